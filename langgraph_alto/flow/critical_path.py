"""What a run's length was made of, walked back from its end. Pure.

Rules
-----
1. The walk begins with the part of the run that ended last, and goes back to its start.
2. From a span's start it goes on where the span was held up:
   - it ran ahead, or steps are unknown: at the input that was there last, that is at the
     producer, at the time of the partial output; or at the producer's end, if it started later
     (unless the flow `follows_items`);
   - otherwise at what ended last in the steps before, which is what a superstep waits for.
   The time until the start is *waiting*.
3. Inside a span that has parts, the same walk divides the part of it that is on the path. What
   no part explains is the span's own.
4. Work that was thrown away and streams (which are edges) are never on the path.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from langgraph_alto.flow.model import Flow, Interval, Span

SLACK = 1e-6
"""Seconds by which clocks may disagree about what came first."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the path. `"wait"`: the span's input was there and the span had not started."""

    span: str | None
    start: float
    end: float
    kind: Literal["work", "wait"] = "work"


def critical_path(flow: Flow) -> tuple[Segment, ...]:
    """The segments of the critical path by time; together they cover the whole flow.

    A segment without a span is time at the top that no span explains.

    Example:
        >>> flow = Flow("demo", (Span("a", "plan", 0, 2), Span("b", "work", 2, 5)))
        >>> [(s.span, s.start, s.end) for s in critical_path(flow)]
        [('a', 0, 2), ('b', 2, 5)]
    """
    segments: list[Segment] = []
    # (container, from, to): what is still to be divided.
    open_: list[tuple[str | None, float, float]] = [(None, 0.0, flow.length)]
    while open_:
        container, start, end = open_.pop()
        for segment in _walk(flow, container, start, end):
            if segment.span == container or segment.kind == "wait":
                segments.append(segment)
            else:
                open_.append((segment.span, segment.start, segment.end))
    return tuple(sorted(segments, key=lambda s: (s.start, s.end)))


def marks(flow: Flow, path: Iterable[Segment]) -> dict[str, list[Interval]]:
    """For each span on the path, when it was on it; a span's parts count for it, too."""
    found: dict[str, list[Interval]] = {}
    for segment in path:
        at = segment.span
        if segment.kind == "wait":
            continue
        while at is not None:
            found.setdefault(at, []).append(Interval(segment.start, segment.end))
            at = flow.container_of(flow[at])
    return {span: _joined(intervals) for span, intervals in found.items()}


def held_up_by(flow: Flow, span: Span) -> tuple[Span, float] | None:
    """What a span's start waited for, and when that was there (rule 2); None if unknown."""
    found = _barrier(flow, span)
    return found if found is not None else _last_input(flow, span)


def _walk(flow: Flow, container: str | None, start: float, end: float) -> list[Segment]:
    """One level of the path, from its end back."""
    found: list[Segment] = []
    now = end
    span = _last(flow, container, start, end)
    seen: set[str] = set()
    while span is not None and now > start + SLACK and span.id not in seen:
        seen.add(span.id)
        until = min(span.end, now)
        if until < now:
            found.append(Segment(container, until, now))
        began = max(start, span.start)
        if began < until:
            found.append(Segment(span.id, began, until))
        now = min(now, began)
        held = held_up_by(flow, span)
        if held is None:
            span = _last(flow, container, start, now, before=span)
            continue
        before, ready = held
        ready = max(start, min(ready, now))
        if ready < now:
            found.append(Segment(span.id, ready, now, "wait"))
        span, now = before, ready
    if start < now:
        found.append(Segment(container, start, now))
    return found


def _last(
    flow: Flow, container: str | None, start: float, end: float, before: Span | None = None
) -> Span | None:
    """The part that was there last until `end`; of several, the one that began first.

    With `before` only what had ended when that span started.
    """
    found = [
        span
        for span in flow.parts.get(container, ())
        if span.start < end - SLACK
        and span.end > start
        and (before is None or (span is not before and span.end <= before.start + SLACK))
    ]
    return max(found, key=lambda s: (min(s.end, end), -s.start), default=None)


def _barrier(flow: Flow, span: Span) -> tuple[Span, float] | None:
    """What ended last of the steps before a span that did not run ahead."""
    if span.step is None or span.ran_ahead or span.kind != "node":
        return None
    level = flow.parts.get(flow.container_of(span), ())
    ended = bisect_right(level, span.start + SLACK, key=lambda other: other.end)
    for number in range(ended - 1, -1, -1):
        other = level[number]
        if other.step is not None and other.step < span.step and other is not span:
            return other, other.end
    return None


def _last_input(flow: Flow, span: Span) -> tuple[Span, float] | None:
    level = flow.container_of(span)
    found = []
    for link in span.links:
        producer = flow.by_id.get(link.span)
        ready = flow.ready_at(link)
        if producer is None or ready is None or flow.container_of(producer) != level:
            continue
        if ready < producer.end <= span.start + SLACK and not flow.follows_items:
            ready = producer.end  # it was not started while its producer ran: that held it up
        if ready <= span.start + SLACK:
            found.append((producer, ready))
    return max(found, key=lambda pair: pair[1], default=None)


def _joined(intervals: list[Interval]) -> list[Interval]:
    """Overlapping and touching intervals as one."""
    joined: list[Interval] = []
    for interval in sorted(intervals):
        if joined and interval.start <= joined[-1].end + SLACK:
            joined[-1] = Interval(joined[-1].start, max(joined[-1].end, interval.end))
        else:
            joined.append(interval)
    return joined
