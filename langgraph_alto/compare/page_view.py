"""What the page's template shows of a report: chosen, ordered and put into words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from langgraph_alto.compare import plots
from langgraph_alto.compare.flows import NAMES
from langgraph_alto.compare.page_words import (
    KINDS,
    SIDES,
    TIMES,
    created,
    differing_parts,
    headline,
    plural,
    results,
    sentence,
)
from langgraph_alto.compare.report import (
    BothTimes,
    EdgeRow,
    Executor,
    Level,
    Quantiles,
    Ratio,
    Report,
    Spent,
    Wasted,
)
from langgraph_alto.compare.wording import change, number, percent, plain_ratio, ratio, seconds

WIDE, NARROW = 848, 372
"""Widths of the plots in CSS pixels: the page's column, and a phone's."""

MOST_ROWS = 300
"""Rows of a table; what is beyond is in the JSON, and the page says so."""


class Figure(NamedTuple):
    """One of the figures below the verdict."""

    name: str
    value: str
    note: str


class Drawn(NamedTuple):
    """A plot for a desk and for a phone, as SVG."""

    wide: Any
    narrow: Any


class LevelView(NamedTuple):
    """The plots of one concurrency."""

    title: str
    latencies: Drawn
    ratios: Drawn | None


class Row(NamedTuple):
    """A figure on both executors, in a table."""

    name: str
    langgraph: float | None
    alto: float | None
    ratio: Any = None
    note: str = ""
    concurrency: int | None = None
    at_least: Sequence[Executor] = ()


class EdgeView(NamedTuple):
    """An edge with its gain in words."""

    row: EdgeRow
    gain: str
    lost: str
    tone: str


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges on which time was gained or lost, the others, and how many are left out."""

    shown: list[EdgeView]
    more: list[EdgeView]
    left_out: int


def values(report: Report) -> dict[str, Any]:
    """The template's variables but for scripts and styles."""
    drawn = [_level(report, level) for level in report.runs if _was_measured(level)]
    pairs = max((len(level.pairs) for level in report.runs), default=0)
    edges = _edges(report)
    listed = [*edges.shown, *edges.more]
    return {
        "headline": headline(report),
        "sentence": sentence(report),
        "created": created(report.created),
        "figures": list(_figures(report)),
        "results": results(report),
        "difference": differing_parts(report.first_difference),
        "kinds": KINDS,
        "levels": drawn,
        "thinned": plots.MOST_DOTS if pairs > plots.MOST_DOTS else 0,
        "has_noise": any(level.noise.ratio for level in report.runs),
        "quantiles": list(_quantiles(report)),
        "spent": _spent(report),
        "left_out": _left_out(report),
        "edges": edges,
        "can_unlock": any(edge.row.unlock for edge in listed),
        "nodes": report.nodes[:MOST_ROWS],
        "nodes_left_out": len(report.nodes[MOST_ROWS:]),
        "first": list(_first(report)),
        "load": list(_load(report)),
        "calls": list(_calls(report)),
        "wasted": _wasted(report.wasted),
        "held": _held(report.wasted),
        "method": _method(report),
        "environment": list(_environment(report)),
        "inputs": report.inputs[:MOST_ROWS],
        "inputs_left_out": len(report.inputs[MOST_ROWS:]),
    }


# Below the verdict.


def _figures(report: Report) -> Iterator[Figure]:
    before, after = report.latency.langgraph, report.latency.alto
    if before and after:
        note = f"ratio {ratio(report.ratio_interval)}" if report.ratio_interval else ""
        yield Figure("Median latency", change(before.p50, after.p50), note)
    if report.bound is not None:
        level = report.runs[0] if report.runs else None
        near = level.alto_to_bound if level else None
        note = f"ALTO is at {near:.2f} times it; " if near else ""
        note += "the time of an executor itself is not in it"
        yield Figure("The bound", seconds(report.bound), note)
    compared = report.results
    if compared.compared:
        same = "all equal" if report.equal else f"{compared.equal:,} equal"
        note = f"{same}, of {compared.compared:,} pair{plural(compared.compared)}"
        value = "Equal" if report.equal else "Different"
        yield Figure("Results", value, note)
    first = _first_median(report)
    if first:
        yield first
    if report.wasted and report.wasted.started_ahead:
        waste = report.wasted
        note = f"{number(waste.started_ahead)} bodies a run began early"
        yield Figure("Work thrown away", percent(waste.share), note)


def _first_median(report: Report) -> Figure | None:
    if not report.runs:
        return None
    for name, both in (
        ("First partial output", report.runs[0].first_partial),
        ("First chunk", report.runs[0].first_chunk),
    ):
        if both.langgraph and both.alto:
            value = change(both.langgraph.p50, both.alto.p50)
            return Figure(name, value, f"ratio {ratio(both.ratio)}" if both.ratio else "")
    return None


# Latency.


def _was_measured(level: Level) -> bool:
    return level.latency.langgraph is not None or level.latency.alto is not None


def _level(report: Report, level: Level) -> LevelView:
    title = "One run at a time" if level.concurrency == 1 else f"{level.concurrency} runs at once"
    samples = {side: [t for p in level.pairs if (t := getattr(p, side)) is not None]
               for side in SIDES}  # fmt: skip
    quantiles = {"langgraph": level.latency.langgraph, "alto": level.latency.alto}
    rows = [
        plots.Row(NAMES[side], _median(quantiles[side]), samples[side],
                  found.p50 if (found := quantiles[side]) else None, is_alto=side == "alto")
        for side in SIDES
    ]  # fmt: skip
    mark = (
        plots.Mark(level.bound, f"bound {seconds(level.bound)}")
        if level.bound is not None
        else None
    )
    spoken = f"Latency, {title.lower()}: " + ", ".join(f"{r.label} {r.value}" for r in rows)
    if level.bound is not None:
        spoken += f", bound {seconds(level.bound)}"
    return LevelView(title, _drawn(plots.latencies, rows, mark, title=spoken), _ratios(level))


def _median(found: Quantiles | None) -> str:
    return f"median {seconds(found.p50)}" if found else "no run finished"


def _ratios(level: Level) -> Drawn | None:
    pairs = [(p.langgraph, p.alto, p.again) for p in level.pairs if p.langgraph]
    alto = [a / b for b, a, _ in pairs if a is not None]
    again = [c / b for b, _, c in pairs if c is not None]
    if not alto or level.ratio_interval is None:
        return None
    rows = [_ratio_row("ALTO ÷ LangGraph", alto, level.ratio_interval, is_alto=True)]
    if again and level.noise.ratio is not None:
        rows.insert(0, _ratio_row("LangGraph ÷ itself", again, level.noise.ratio))
    spoken = "Ratio of the latencies of a pair: " + ", ".join(f"{r.label} {r.value}" for r in rows)
    return _drawn(plots.ratios, rows, title=spoken)


def _ratio_row(
    label: str, samples: Sequence[float], found: Ratio, *, is_alto: bool = False
) -> plots.Row:
    return plots.Row(label, ratio(found), samples, found.value, is_alto, (found.low, found.high))


def _drawn(draw: Any, *args: Any, title: str) -> Drawn:
    from markupsafe import Markup

    # matplotlib escapes what it writes; the rows hold no text of the user's anyway.
    wide, narrow = (draw(*args, width=width, title=title) for width in (WIDE, NARROW))
    return Drawn(Markup(wide), Markup(narrow))


def _quantiles(report: Report) -> Iterator[Row]:
    for level in report.runs:
        before, after = level.latency.langgraph, level.latency.alto
        for name in ("p50", "p95", "p99"):
            yield Row(
                name,
                getattr(before, name, None),
                getattr(after, name, None),
                getattr(level.quantile_ratios, name, None),
                concurrency=level.concurrency,
            )


# Where the time goes.


def _spent(report: Report) -> list[dict[str, Any]]:
    found = [(side, spent) for side in SIDES if (spent := getattr(report.spent, side))]
    longest = max((spent.latency for _, spent in found), default=0.0)
    return [_spent_by(side, spent, longest) for side, spent in found] if longest > 0 else []


def _spent_by(side: Executor, spent: Spent, longest: float) -> dict[str, Any]:
    parts = [
        {"key": key, "seconds": took, "width": f"{max(0.0, took) / longest * 100:.2f}"}
        for key in ("bodies", "waiting", "executor")
        for took in [getattr(spent, key)]
    ]
    return {"name": NAMES[side], "key": side, "latency": spent.latency, "parts": parts}


def _left_out(report: Report) -> int:
    if report.typical is None:
        return 0
    return report.typical.langgraph.left_out + report.typical.alto.left_out


def _edges(report: Report) -> Edges:
    """An edge stands in the open if it moved or still costs half a percent of the latency."""
    latency = report.latency.langgraph
    least = 0.005 * latency.p50 if latency else 0.0
    matter: list[EdgeView] = []
    rest: list[EdgeView] = []
    for row in report.edges[:MOST_ROWS]:
        matters = abs(row.gain) > least or row.lost > least
        (matter if matters else rest).append(_edge(row, least))
    if not matter:
        matter, rest = rest[:5], rest[5:]
    return Edges(matter, rest, len(report.edges[MOST_ROWS:]))


def _edge(row: EdgeRow, least: float) -> EdgeView:
    if abs(row.gain) <= least:
        gain, tone = "no gain", ""
    elif row.gain > 0:
        gain, tone = f"{seconds(row.gain)} gained", "better"
    else:
        gain, tone = f"{seconds(-row.gain)} more", "worse"
    lost = f"{seconds(row.lost)} still lost" if row.lost > least else ""
    return EdgeView(row, gain, lost, tone)


# Output, load, work.


def _first(report: Report) -> Iterator[Row]:
    for level in report.runs:
        suffix = f", {level.concurrency} at once" if len(report.runs) > 1 else ""
        for name, both in (
            ("First chunk", level.first_chunk),
            ("First partial output", level.first_partial),
        ):
            if both.langgraph or both.alto:
                yield _times(name + suffix, both)


def _times(name: str, both: BothTimes) -> Row:
    return Row(
        name, getattr(both.langgraph, "p50", None), getattr(both.alto, "p50", None), both.ratio
    )


def _load(report: Report) -> Iterator[Row]:
    for level in report.runs:
        found = level.throughput
        if found.langgraph is not None or found.alto is not None:
            name = "One at a time" if level.concurrency == 1 else f"{level.concurrency} at once"
            yield Row(name, found.langgraph, found.alto, found.ratio)
    for row in report.sustained:
        yield Row(
            f"While the median stays below {seconds(row.limit)}",
            row.rate.langgraph,
            row.rate.alto,
            row.rate.ratio,
            f"{row.target:g} {TIMES} LangGraph's unloaded median",
            at_least=row.at_most_concurrency,
        )


def _calls(report: Report) -> Iterator[Row]:
    before, after = report.calls.langgraph, report.calls.alto
    for name, key in (
        ("Model calls", "model_calls"),
        ("Tool calls", "tool_calls"),
        ("Input tokens", "input_tokens"),
        ("Output tokens", "output_tokens"),
    ):
        row = Row(name, getattr(before, key, None), getattr(after, key, None))
        if row.langgraph or row.alto:
            yield row


def _wasted(found: Wasted | None) -> str:
    if found is None:
        return ""
    if not found.started_ahead:
        return "No body began before its step."
    said = (
        f"In a run {number(found.started_ahead)} bodies began before their step: "
        f"{number(found.adopted)} became a real task, {number(found.discarded)} were discarded, "
        f"{number(found.rerun)} ran again."
    )
    if found.seconds:
        said += f" Thrown away: {seconds(found.seconds)} of work, {percent(found.share)} of all."
    return said


def _held(found: Wasted | None) -> list[tuple[str, float]]:
    return sorted(found.held.items(), key=lambda row: -row[1])[:MOST_ROWS] if found else []


# How it was measured.


def _method(report: Report) -> str:
    made = report.settings
    at_once = " and ".join(f"{level:,}" for level in made.concurrency) + " at once"
    if made.concurrency == [1]:
        at_once = "one at a time"
    models = f", model answers from {made.recording}" if made.models == "recorded" else ""
    if made.models == "live" and report.calls.langgraph and report.calls.langgraph.model_calls:
        models = ", live models"
    inputs = len(report.inputs)
    said = (
        f"{inputs:,} input{plural(inputs)}, {made.runs:,} round{plural(made.runs)}"
        f" after {made.warm_up:,} to warm up, {at_once}, {made.mode}{models}. "
        f"Intervals are {percent(made.confidence)} bootstrap intervals of {made.resamples:,} "
        f"resamples (seed {made.seed}). A difference below "
        f"{percent(report.verdict.margin)} is not called one."
    )
    if made.timeout is not None:
        said += f" A run was given {seconds(made.timeout)}."
    return said


def _environment(report: Report) -> Iterator[tuple[str, str]]:
    found = report.environment
    yield "Graph", report.target
    yield "Python", found.python
    yield (
        "Machine",
        found.platform + (f", {found.processors} processors" if found.processors else ""),
    )
    if found.load_before is not None and found.load_after is not None:
        load = f"{plain_ratio(found.load_before)} before, {plain_ratio(found.load_after)} after"
        yield "Load per processor", load
    if found.packages:
        yield "Packages", ", ".join(f"{name} {version}" for name, version in found.packages.items())
    if report.settings.options:
        options = report.settings.options.items()
        yield "Options", ", ".join(f"{name}={value!r}" for name, value in options)
    if report.settings.stream_modes:
        yield "Stream modes", ", ".join(report.settings.stream_modes)
    yield "Inputs", f"SHA-256 {report.reproduce.inputs_sha256}"
