"""Makes the report of what was measured."""

from __future__ import annotations

import os
import platform
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from statistics import median

from langgraph_alto.compare import report as model
from langgraph_alto.compare import statistics as stats
from langgraph_alto.compare.equality import Found, shown
from langgraph_alto.compare.execution import Done
from langgraph_alto.compare.inputs import Case, digest
from langgraph_alto.compare.measuring import Group, Measured
from langgraph_alto.compare.sides import AGAIN, ALTO, LANGGRAPH, PARTIALS
from langgraph_alto.compare.sustained import (
    BOTH,
    both_numbers,
    sustained_rates,
    why_not_measured,
)
from langgraph_alto.compare.tables import SideTimes, edge_rows, mean_over, node_rows
from langgraph_alto.compare.waterfall import timeline_of
from langgraph_alto.core.critical_path import longest_path
from langgraph_alto.core.plan import StreamingPlan
from langgraph_alto.rendering import to_json

PACKAGES = (
    "langgraph-alto",
    "langgraph",
    "langgraph-checkpoint",
    "langchain-core",
    "numpy",
    "scipy",
)


@dataclass
class Material:
    """Everything that a report is made of."""

    target: str
    graph: str
    cases: Sequence[Case]
    levels: Sequence[Measured]
    plan: StreamingPlan
    settings: model.Settings
    ignored: Sequence[str] = ()
    complete: bool = True
    ablated: Sequence[tuple[str, str]] = ()
    """Classes of run-ahead, and the side that has each."""
    load_before: float | None = None
    command: str | None = None
    code: str = ""
    notes: list[str] = field(default_factory=list)


def build_report(material: Material) -> model.Report:
    """The report."""
    levels = [_level(material, level) for level in material.levels]
    first = levels[0]
    measured = material.levels[0]
    results, difference = _results(material)
    langgraph = SideTimes.of(measured.runs_of(LANGGRAPH))
    alto = SideTimes.of(measured.runs_of(ALTO))
    latency = first.latency.langgraph
    unlocked = [b for b in (_bound(g, guessed=False) for g in measured.groups) if b is not None]
    return model.Report(
        schema_version=model.VERSION,
        version=_version("langgraph-alto") or "",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        target=material.target,
        graph=material.graph,
        complete=material.complete,
        equal=difference is None,
        first_difference=difference,
        verdict=_verdict(first.verdict, difference, results),
        latency=first.latency,
        ratio=first.ratio,
        ratio_interval=first.ratio_interval,
        bound=first.bound,
        bound_ratio=first.bound / latency.p50 if first.bound and latency else None,
        bound_if_unlocked=median(unlocked) if unlocked else None,
        noise=first.noise,
        runs=levels,
        sustained=sustained_rates(levels),
        sustained_note=why_not_measured(
            levels, material.settings.concurrency, in_python=material.command is None
        ),
        results=results,
        calls=model.BothCalls(
            langgraph=_calls(measured.runs_of(LANGGRAPH)), alto=_calls(measured.runs_of(ALTO))
        ),
        wasted=_wasted(measured),
        spent=model.BothSpent(langgraph=langgraph.mean_spent(), alto=alto.mean_spent()),
        edges=edge_rows(langgraph, alto, material.plan),
        nodes=node_rows(langgraph, alto, material.plan),
        typical=_typical(measured),
        ablation=[_ablated(material, name, side) for name, side in material.ablated],
        against=None,
        inputs=[_input_row(material, case) for case in material.cases],
        settings=material.settings,
        environment=_environment(material),
        reproduce=model.Reproduce(
            command=material.command, code=material.code, inputs_sha256=digest(material.cases)
        ),
        notes=material.notes,
    )


# One concurrency ---------------------------------------------------------------------------


def _level(material: Material, level: Measured) -> model.Level:
    seed = material.settings.seed
    pairs = level.pairs()
    ratio = stats.typical_ratio(pairs, seed)
    noise = stats.noise_of(level.pairs(AGAIN), seed)
    latency = model.Latencies(
        langgraph=stats.quantiles([a for some in pairs for a, _ in some]),
        alto=stats.quantiles([b for some in pairs for _, b in some]),
    )
    bounds = [b for b in (_bound(group) for group in level.groups) if b is not None]
    bound = median(bounds) if bounds else None
    per_pair = [
        (lat, b) for g in level.groups if (lat := g.latencies()) and (b := _bound(g)) is not None
    ]
    return model.Level(
        concurrency=level.concurrency,
        latency=latency,
        ratio=None if ratio is None else ratio.value,
        ratio_interval=ratio,
        quantile_ratios=stats.quantile_ratios(pairs, seed),
        verdict=stats.verdict_of(ratio, noise, sum(map(len, pairs))),
        bound=bound,
        langgraph_to_bound=_median_ratio([(a, b) for (a, _), b in per_pair]),
        alto_to_bound=_median_ratio([(a, b) for (_, a), b in per_pair]),
        first_chunk=stats.both_times(_moments(level, "first_chunk", ALTO)),
        first_partial=stats.both_times(_moments(level, "first_partial", PARTIALS)),
        throughput=_throughput(level),
        noise=noise,
        pairs=[_pair(group, material.ignored) for group in level.groups],
    )


def _median_ratio(pairs: Sequence[tuple[float, float]]) -> float | None:
    ratios = [a / b for a, b in pairs if b > 0]
    return median(ratios) if ratios else None


def _moments(
    level: Measured, name: str, second: str
) -> list[list[tuple[float | None, float | None]]]:
    by_line: dict[int, list[tuple[float | None, float | None]]] = {}
    for group in level.groups:
        values = [
            getattr(group.runs[side], name, None) if side in group.runs else None
            for side in (LANGGRAPH, second)
        ]
        by_line.setdefault(group.case.line, []).append((values[0], values[1]))
    return list(by_line.values())


def _throughput(level: Measured) -> model.BothNumbers:
    def rate(side: str) -> float | None:
        seconds = level.seconds.get(side, 0.0)
        finished = sum(run.is_measured for run in level.runs_of(side))
        return finished / seconds if seconds > 0 and finished else None

    return both_numbers(rate(LANGGRAPH), rate(ALTO))


def _bound(group: Group, *, guessed: bool = True) -> float | None:
    """The bound of a pair: of its two timelines the shorter one.

    The same body takes a little longer when more run beside it.
    """
    found = [
        longest_path(run.bodies, guessed=guessed)
        for run in (group.runs.get(LANGGRAPH), group.runs.get(ALTO))
        if run is not None and run.is_measured and run.bodies
    ]
    return min(found) if found else None


def _pair(group: Group, ignored: Sequence[str]) -> model.PairTimes:
    def latency(side: str) -> float | None:
        run = group.runs.get(side)
        return run.latency if run is not None and run.is_measured else None

    runs = {name: group.runs[name] for name in BOTH if name in group.runs}
    partials = group.runs.get(PARTIALS)
    return model.PairTimes(
        line=group.case.line,
        round=group.round,
        order=group.order,
        langgraph=latency(LANGGRAPH),
        alto=latency(ALTO),
        again=latency(AGAIN),
        bound=_bound(group),
        first_chunk={name: run.first_chunk for name, run in runs.items()},
        first_partial={
            "langgraph": None,
            "alto": None if partials is None else partials.first_partial,
        },
        outcome={name: run.outcome for name, run in runs.items()},
        equal=None if group.pair() is None else group.difference(ignored) is None,
    )


# Results -----------------------------------------------------------------------------------


def _results(material: Material) -> tuple[model.Results, model.Difference | None]:
    counts: Counter[str] = Counter()
    failed: dict[model.Executor, int] = {"langgraph": 0, "alto": 0}
    timeouts: dict[model.Executor, int] = {"langgraph": 0, "alto": 0}
    failures: Counter[tuple[int, model.Executor, str]] = Counter()
    first: model.Difference | None = None
    seconds = [ALTO, *(side for _, side in material.ablated if side != ALTO)]
    for group in (group for level in material.levels for group in level.groups):
        for name in BOTH:
            run = group.runs.get(name)
            if run is not None and not run.is_measured:
                failed[name] += 1
                timeouts[name] += run.outcome == "timeout"
                failures[group.case.line, name, (run.error or "")[:500]] += 1
        for second in seconds:
            found = group.pair(LANGGRAPH, second)
            if found is None:
                continue
            differs = group.difference(material.ignored, second)
            kind = "equal" if differs is None else differs.kind
            counts[kind if kind in ("equal", "order", "expected") else "different"] += 1
            if differs is not None and (
                first is None or (first.kind == "order" and differs.kind != "order")
            ):
                first = _difference(group, differs, *found)
    return (
        model.Results(
            compared=counts.total(),
            equal=counts["equal"],
            order_only=counts["order"],
            different=counts["different"],
            langgraph_differs=_own_differences(material),
            ignored=list(material.ignored),
            failed=failed,
            timeouts=timeouts,
            unexpected=counts["expected"],
            failures=[
                model.Failure(line=line, executor=name, error=error, count=count)
                for (line, name, error), count in failures.most_common(20)
            ],
        ),
        first,
    )


def _own_differences(material: Material) -> int | None:
    """How often LangGraph's second run on an input differs from the first one."""
    groups = [g for level in material.levels for g in level.groups if g.pair(LANGGRAPH, AGAIN)]
    if not groups:
        return None
    found = [g.difference(material.ignored, AGAIN) for g in groups]
    return sum(differs is not None and differs.kind != "expected" for differs in found)


def _difference(group: Group, found: Found, one: Done, other: Done) -> model.Difference:
    where = f"Input {group.case.line}"
    key, left, right, kind = found.key, found.left, found.right, str(found.kind)
    if one.outcome != other.outcome:
        kind, key = "outcome", ""
        left, right = _ended(one), _ended(other)
        sentence = f"{where}: on LangGraph it {left}, on ALTO it {right}."
    elif one.outcome == "failed":
        kind, key, left, right = "error", "", one.error or "", other.error or ""
        sentence = f"{where}: LangGraph raises {shown(left)}, ALTO raises {shown(right)}."
    elif kind == "order":
        sentence = (
            f"{where}: the same elements in another order, from {key!r} on: {left} on LangGraph, "
            f"{right} on ALTO."
        )
    elif kind == "expected":
        sentence = f"{where}: {key!r} is {left}, and {right} was expected."
    elif kind == "missing":
        sentence = f"{where}: {key!r} is {left} on LangGraph and missing on ALTO."
    elif kind == "extra":
        sentence = f"{where}: {key!r} is {right} on ALTO and missing on LangGraph."
    else:
        name = repr(key) if key else "the result"
        sentence = f"{where}: {name} is {left} on LangGraph and {right} on ALTO."
    return model.Difference(
        kind=kind,  # type: ignore[arg-type]  # `kind` is one of them
        line=group.case.line,
        round=group.round,
        key=key,
        langgraph=shown(left),
        alto=shown(right),
        sentence=sentence,
    )


def _ended(run: Done) -> str:
    if run.outcome == "failed":
        return f"raised {shown(run.error)}"
    if run.outcome == "timeout":
        return f"had {run.error}"
    return "stopped at an interrupt" if run.outcome == "interrupted" else "finished"


def _verdict(
    verdict: model.Verdict, difference: model.Difference | None, results: model.Results
) -> model.Verdict:
    if difference is not None:
        what = "differ only in the order of elements" if difference.kind == "order" else "differ"
        if difference.kind == "expected":
            what = "are not what was expected"
        sentence = f"The results {what}. {difference.sentence}"
        if results.langgraph_differs and difference.kind != "expected":
            sentence += " LangGraph's own results differ from run to run, too."
        return model.Verdict(code="results_differ", sentence=sentence, margin=verdict.margin)
    sentence = verdict.sentence
    if results.compared:
        equal = "The result is" if results.compared == 1 else f"All {results.compared} results are"
        errors = ", errors included" if any(results.failed.values()) else ""
        sentence = f"{sentence} {equal} equal{errors}."
    if any(results.failed.values()):
        sentence += (
            f" {results.failed['langgraph']} runs failed on LangGraph, "
            f"{results.failed['alto']} on ALTO."
        )
    return model.Verdict(code=verdict.code, sentence=sentence, margin=verdict.margin)


# Work --------------------------------------------------------------------------------------


def _calls(runs: Sequence[Done]) -> model.Calls | None:
    tallies = [run.tally for run in runs if run.is_measured]
    if not tallies:
        return None
    told = any(tally.has_tokens for tally in tallies)
    return model.Calls(
        model_calls=mean_over([t.model_calls for t in tallies]),
        tool_calls=mean_over([t.tool_calls for t in tallies]),
        input_tokens=mean_over([t.input_tokens for t in tallies]) if told else None,
        output_tokens=mean_over([t.output_tokens for t in tallies]) if told else None,
    )


def _wasted(level: Measured) -> model.Wasted | None:
    runs = [run for run in level.runs_of(ALTO) if run.is_measured]
    if not runs:
        return None
    others = [run for run in level.runs_of(LANGGRAPH) if run.is_measured]
    held: Counter[str] = Counter()
    for run in runs:
        held.update(run.held)
    lost = [sum(max(0.0, b.ended - b.began) for b in run.lost) for run in runs]
    useful = [sum(b.duration for b in run.bodies if b.inside is None) for run in runs]
    everything = sum(lost) + sum(useful)
    return model.Wasted(
        started_ahead=mean_over([run.started_ahead for run in runs]),
        adopted=mean_over([run.adopted for run in runs]),
        discarded=mean_over([sum(b.outcome == "discarded" for b in r.lost) for r in runs]),
        rerun=mean_over([sum(b.outcome == "rerun" for b in r.lost) for r in runs]),
        seconds=mean_over(lost),
        share=sum(lost) / everything if everything > 0 else 0.0,
        model_calls=mean_over([r.tally.model_calls for r in runs])
        - mean_over([r.tally.model_calls for r in others]),
        held={reason: count / len(runs) for reason, count in held.most_common()},
    )


def _typical(level: Measured) -> model.TypicalPair | None:
    """The pair whose latencies are nearest to the medians of its input, the middle input."""
    pairs = [(g, found) for g in level.groups if (found := g.latencies()) is not None]
    if not pairs:
        return None
    medians = [median(values) for values in zip(*(found for _, found in pairs), strict=True)]

    def distance(latencies: tuple[float, float]) -> float:
        return sum(abs(a / m - 1) if m else 0.0 for a, m in zip(latencies, medians, strict=True))

    group = min(pairs, key=lambda pair: distance(pair[1]))[0]
    return model.TypicalPair(
        line=group.case.line,
        round=group.round,
        concurrency=level.concurrency,
        langgraph=timeline_of("langgraph", group.runs[LANGGRAPH]),
        alto=timeline_of("alto", group.runs[ALTO]),
    )


def _ablated(material: Material, name: str, side: str) -> model.Ablated:
    level = material.levels[0]
    pairs = level.pairs(side)
    seed = material.settings.seed
    ratio = stats.typical_ratio(pairs, seed)
    noise = stats.noise_of(level.pairs(AGAIN), seed)
    differs = [g.difference(material.ignored, side) for g in level.groups]
    return model.Ablated(
        run_ahead=name,
        latency=stats.quantiles([b for some in pairs for _, b in some]),
        ratio=ratio,
        equal=not any(differs),
        verdict=stats.verdict_of(ratio, noise, sum(map(len, pairs))),
    )


def _input_row(material: Material, case: Case) -> model.InputRow:
    groups = [g for g in material.levels[0].groups if g.case.line == case.line]
    pairs = [found for g in groups if (found := g.latencies()) is not None]
    bounds = [b for b in (_bound(g) for g in groups) if b is not None]
    ratio = stats.typical_ratio([pairs], material.settings.seed) if pairs else None
    outcomes: dict[model.Executor, model.Outcome] = {}
    for name in BOTH:
        ends = Counter(g.runs[name].outcome for g in groups if name in g.runs)
        if ends:
            outcomes[name] = ends.most_common(1)[0][0]
    compared = [g.difference(material.ignored) for g in groups if g.pair() is not None]
    return model.InputRow(
        line=case.line,
        preview=shown(to_json(case.input))[:120],
        runs=len(groups),
        langgraph=median([a for a, _ in pairs]) if pairs else None,
        alto=median([b for _, b in pairs]) if pairs else None,
        ratio=None if ratio is None else ratio.value,
        bound=median(bounds) if bounds else None,
        equal=not any(compared) if compared else None,
        outcome=outcomes,
    )


# Environment -------------------------------------------------------------------------------


def _environment(material: Material) -> model.Environment:
    found = {name: v for name in PACKAGES if (v := _version(name)) is not None}
    return model.Environment(
        python=sys.version.split()[0],
        platform=platform.platform(),
        processors=os.cpu_count(),
        load_before=material.load_before,
        load_after=load(),
        packages=found,
    )


def load() -> float | None:
    """The machine's load of the last minute, per processor; None where it is not told."""
    try:
        return round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)
    except (OSError, AttributeError):
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
