"""What the page's script gets to know about a flow: short lists of numbers and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph_alto.flow.critical_path import Segment, critical_path, held_up_by, marks
from langgraph_alto.flow.model import Flow, Interval, Span
from langgraph_alto.flow.tree import Row, rows

EXECUTORS = {"alto": "ALTO", "langgraph": "LangGraph"}
"""How the executors are called."""

MOST_TICKS = 200
"""Ticks drawn for a span: no screen shows more."""


def payload(flow: Flow) -> dict[str, Any]:
    """A flow as plain JSON values. The names are read by `web/flow.js`."""
    found = rows(flow)
    path = critical_path(flow)
    on_path = marks(flow, path)
    held: dict[str | None, list[Interval]] = {}
    for segment in path:
        if segment.kind == "wait":
            held.setdefault(segment.span, []).append(Interval(segment.start, segment.end))
    numbers = {row.span.id: number for number, row in enumerate(found) if row.span is not None}
    described = []
    for row in found:
        span_id = row.span.id if row.span is not None else ""
        marked = {"path": on_path.get(span_id, ()), "held": held.get(span_id, ())}
        described.append(_row(flow, row, numbers, marked))
    return {
        "title": flow.title,
        "executor": EXECUTORS.get(flow.executor, flow.executor),
        "length": _number(flow.length),
        "facts": [[name, text] for name, text in summary(flow, path)],
        "rows": described,
    }


def summary(flow: Flow, path: Sequence[Segment]) -> list[tuple[str, str]]:
    """What to say above a flow: how long, how much waiting, how much ran ahead."""
    nodes = [span for span in flow.spans if span.kind == "node"]
    waited = sum(segment.end - segment.start for segment in path if segment.kind == "wait")
    ahead = sum(span.outcome == "adopted" for span in nodes)
    lost = [span for span in nodes if span.was_lost]
    found = [("length", seconds(flow.length)), ("tasks", str(len(nodes)))]
    if waited > 0:
        found.append(("waiting on the critical path", seconds(waited)))
    if ahead:
        found.append(("ran ahead", str(ahead)))
    if lost:
        cost = sum(span.end - span.start for span in lost)
        found.append(("discarded", f"{len(lost)} ({seconds(cost)})"))
    failed = sum(span.failed for span in nodes)
    if failed:
        found.append(("failed", str(failed)))
    return found + list(flow.facts.items())


def seconds(value: float) -> str:
    """A time for people.

    Example:
        >>> [seconds(t) for t in (12.345, 1.5, 0.0421, 0.00042, 0)]
        ['12.3 s', '1.50 s', '42 ms', '0.42 ms', '0 ms']
    """
    if value >= 10:
        return f"{value:.1f} s"
    if value >= 1:
        return f"{value:.2f} s"
    if value >= 0.01 or value <= 0:
        return f"{value * 1000:.0f} ms"
    return f"{value * 1000:.2f} ms"


def why(flow: Flow, span: Span) -> list[str]:
    """In words: what a span descends from, what it waited for, what became of it."""
    found = []
    if span.waits:
        found.append(_why_it_waited(flow, span))
    overlap = sum(interval.length for interval in span.overlaps)
    if overlap > 0:
        names = _names(flow, [link.span for link in span.links])
        found.append(f"Ran {seconds(overlap)} while {names or 'its producer'} still ran.")
    if span.outcome == "adopted":
        found.append("Ran ahead of its step, and its result was used.")
    elif span.outcome == "discarded":
        found.append("Ran ahead; no task of LangGraph's matched it, so its result was discarded.")
    elif span.outcome == "rerun":
        found.append("Ran ahead, was dropped, and ran again for its step.")
    if span.reason:
        found.append(f"Reason: {span.reason}")
    return found


def _why_it_waited(flow: Flow, span: Span) -> str:
    waited = seconds(sum(interval.length for interval in span.waits))
    held = held_up_by(flow, span)
    if held is not None and held[1] > span.waits[0].start:
        other = held[0]
        about = [other.ancestry[-1]] if len(other.ancestry) > 1 else []
        about += [] if other.step is None else [f"step {other.step}"]
        which = f" ({', '.join(about)})" if about else ""
        return f"Waited {waited} after its input was there: for {other.name}{which} to end."
    return f"Waited {waited} after its input was there."


def _names(flow: Flow, ids: Sequence[str]) -> str:
    names = list(dict.fromkeys(flow[i].name for i in ids if i in flow.by_id))
    return ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")


def _row(
    flow: Flow, row: Row, numbers: dict[str, int], marked: Mapping[str, Sequence[Interval]]
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "label": row.label,
        "depth": row.depth,
        "up": row.parent,
        "at": [_number(row.interval.start), _number(row.interval.end)],
        "item": row.item,
        "kind": "group",
    }
    span = row.span
    if span is None:
        return values
    ticks = span.ticks
    if len(ticks) > MOST_TICKS:
        ticks = tuple(ticks[i * len(ticks) // MOST_TICKS] for i in range(MOST_TICKS))
    fed = []
    for link in span.links:
        ready = flow.ready_at(link)
        if link.span in numbers and ready is not None:
            fed.append([numbers[link.span], _number(ready)])
    values |= {
        "kind": span.kind,
        "outcome": span.outcome or "",
        "failed": span.failed,
        "ticks": [_number(tick.at) for tick in ticks],
        "waits": _numbers(span.waits),
        "overlaps": _numbers(span.overlaps),
        "path": _numbers(marked["path"]),
        "held": _numbers(marked["held"]),
        "fed": fed,
        "why": why(flow, span),
        "ancestry": " / ".join(span.ancestry),
        "details": [[name, text] for name, text in span.details.items()],
    }
    if ticks:
        values["emitted"] = max(span.emitted, len(span.ticks))
    # What is empty is left out; 0 is not empty.
    return {name: v for name, v in values.items() if v is not False and v not in ("", [])}


def _numbers(intervals: Sequence[Interval]) -> list[list[float]]:
    return [[_number(interval.start), _number(interval.end)] for interval in intervals]


def _number(value: float) -> float:
    return round(value, 6)
