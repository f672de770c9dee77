"""A run as spans on one time axis, and what passed between them. Pure data, from any source.

Times are in seconds since the flow began. A span that has no `waits` and `overlaps` of its own
gets them from its links: it waited from when its input was there until it started, and it
overlapped with its producers as long as these still ran.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NamedTuple

Kind = Literal["run", "node", "stream", "model", "tool", "other"]
"""What a span stands for. A `"stream"` is an edge: from its first item until it is drained."""

Outcome = Literal["real", "adopted", "discarded", "rerun"]
"""What became of a node's execution, as in `langgraph_alto.report.Span`."""

LOST: frozenset[str | None] = frozenset({"discarded", "rerun"})
"""The outcomes of work that was thrown away."""


class Interval(NamedTuple):
    """From `start` to `end`, in seconds."""

    start: float
    end: float

    @property
    def length(self) -> float:
        """In seconds, never negative."""
        return max(0.0, self.end - self.start)


class Tick(NamedTuple):
    """A partial output: when it was emitted, its number among those of its name, and that name."""

    at: float
    number: int | None = None
    name: str = ""


class Link(NamedTuple):
    """What fed a span: the producer's id, which of its partial outputs, and when it was there.

    Without `ready` it is the time of that partial output's tick, or the producer's end.
    """

    span: str
    number: int | None = None
    ready: float | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """One thing that took time.

    Attributes:
        id: Names it within its flow.
        name: A short label, e.g. the node's name.
        start: When it began, in seconds.
        end: When it ended, in seconds.
        kind: What it stands for.
        parent: The id of the span that it is a part of.
        ancestry: The path of emissions that it descends from, outermost first, e.g.
            `("request", "plan.sections[3]")`.
        links: What fed it.
        ticks: The partial outputs that it emitted, by time.
        emitted: How many these were, where `ticks` has only some of them.
        waits: When its input was there and it had not started.
        overlaps: When it ran while a producer of its input still did.
        step: LangGraph's superstep.
        outcome: What became of it; `"adopted"` and the lost ones ran ahead.
        reason: Why it was thrown away, or did not run ahead.
        failed: Whether it ended with an error.
        details: More to show about it, by name.
    """

    id: str
    name: str
    start: float
    end: float
    kind: Kind = "node"
    parent: str | None = None
    ancestry: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    ticks: tuple[Tick, ...] = ()
    emitted: int = 0
    waits: tuple[Interval, ...] = ()
    overlaps: tuple[Interval, ...] = ()
    step: int | None = None
    outcome: Outcome | None = None
    reason: str = ""
    failed: bool = False
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def ran_ahead(self) -> bool:
        """Whether it started before its step."""
        return self.outcome in {"adopted", "discarded", "rerun"}

    @property
    def was_lost(self) -> bool:
        """Whether its work was thrown away."""
        return self.outcome in LOST


@dataclass(frozen=True)
class Flow:
    """One run. `duration` is in seconds, or None for the end of the last span.

    With `follows_items` the critical path goes on to a partial output even where the span began
    only when its producer had ended: what that took is waiting, and not the producer's work.

    Example:
        >>> plan = Span("a", "plan", 0.0, 2.0, ticks=(Tick(1.0, 0),))
        >>> work = Span("b", "work", 1.5, 3.0, links=(Link("a", 0),))
        >>> flow = Flow("demo", (plan, work)).completed()
        >>> flow["b"].waits, flow["b"].overlaps
        ((Interval(start=1.0, end=1.5),), (Interval(start=1.5, end=2.0),))
    """

    title: str
    spans: tuple[Span, ...]
    executor: str = ""
    duration: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    follows_items: bool = False

    @cached_property
    def by_id(self) -> Mapping[str, Span]:
        """The spans by their ids."""
        return {span.id: span for span in self.spans}

    @cached_property
    def children(self) -> Mapping[str | None, Sequence[Span]]:
        """The spans by their parent's id, in order of their start; None for those at the top.

        A span whose parent is not in the flow, or is itself below it, is at the top.
        """
        found: dict[str | None, list[Span]] = {}
        for span in sorted(self.spans, key=lambda span: (span.start, -span.end)):
            found.setdefault(self.parent_of(span), []).append(span)
        return found

    @property
    def length(self) -> float:
        """How long it took, in seconds."""
        if self.duration is not None:
            return self.duration
        return max((span.end for span in self.spans), default=0.0)

    def __getitem__(self, span_id: str) -> Span:
        return self.by_id[span_id]

    def parent_of(self, span: Span) -> str | None:
        """The id of the span's parent, or None at the top."""
        return self._parents[span.id]

    @cached_property
    def _parents(self) -> Mapping[str, str | None]:
        """Parents without cycles: a recording may hold anything."""
        parents: dict[str, str | None] = {}
        for span in self.spans:
            known = span.parent in self.by_id and span.parent != span.id
            parents[span.id] = span.parent if known else None
        safe: set[str | None] = {None}
        for start in parents:
            trail: list[str] = []
            at: str | None = start
            while at not in safe and at is not None and at not in trail:
                trail.append(at)
                at = parents[at]
            if at is not None and at not in safe:  # a cycle: cut it where it was entered
                parents[at] = None
            safe.update(trail)
        return parents

    def container_of(self, span: Span) -> str | None:
        """The id of the run or node that a span is a part of: its parent, streams left out."""
        parent = self.parent_of(span)
        while parent is not None and self[parent].kind == "stream":
            parent = self.parent_of(self[parent])
        return parent

    @cached_property
    def parts(self) -> Mapping[str | None, Sequence[Span]]:
        """What each run or node is made of, by the end: streams left out, and what was lost."""
        found: dict[str | None, list[Span]] = {}
        for span in sorted(self.spans, key=lambda span: (span.end, span.start)):
            if span.kind != "stream" and not span.was_lost:
                found.setdefault(self.container_of(span), []).append(span)
        return found

    def ready_at(self, link: Link) -> float | None:
        """When what came over a link was there, or None if its producer is unknown."""
        if link.ready is not None:
            return link.ready
        producer = self.by_id.get(link.span)
        if producer is None:
            return None
        if link.number is not None:
            for tick in producer.ticks:
                if tick.number == link.number:
                    return tick.at
        return producer.end

    def completed(self) -> Flow:
        """The same flow, with waits and overlaps worked out where a span has none."""
        return replace(self, spans=tuple(self._completed(span) for span in self.spans))

    def _completed(self, span: Span) -> Span:
        if not span.links or span.kind == "stream":
            return span
        waits, overlaps = span.waits, span.overlaps
        if not waits:
            # All of its input must be there, so it waits from the last one on.
            ready = [at for link in span.links if (at := self.ready_at(link)) is not None]
            if ready and max(ready) < span.start:
                waits = (Interval(max(ready), span.start),)
        if not overlaps:
            ends = [self[link.span].end for link in span.links if link.span in self.by_id]
            until = min(span.end, max(ends, default=span.start))
            if until > span.start:
                overlaps = (Interval(span.start, until),)
        return replace(span, waits=waits, overlaps=overlaps)
