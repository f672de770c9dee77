"""The span of a stream from a producer to its consumers, and the cap on the spans of an edge."""

from __future__ import annotations

import heapq
import itertools
import time
from typing import TYPE_CHECKING

from opentelemetry.trace import Link, SpanKind, set_span_in_context

from langgraph_alto.otel import attributes as a

if TYPE_CHECKING:
    from langgraph_alto.otel.runs import RunSpan
    from langgraph_alto.otel.tasks import Attempt, TaskSpan

MOST_SPANS = 1_000
"""Of one edge; beyond that only errors (as many again) and the slowest are kept."""

MOST_SLOW = 32


class Stream:
    """One edge on which partial output flows: from the first item until all are consumed."""

    def __init__(self, run: RunSpan, producer: TaskSpan, node: str) -> None:
        self.producer: TaskSpan | None = producer
        self.step = producer.step
        self._node = node
        began = producer.began_ns or time.time_ns()
        self._first_item = producer.first_ns or time.time_ns()
        linked = producer.span_context
        self.span = run.tracer.start_span(
            f"{a.STREAM} {producer.node}->{node}",
            context=run.context,
            kind=SpanKind.INTERNAL,
            attributes={a.STREAM_PRODUCER: producer.node, a.STREAM_CONSUMER: node},
            links=[Link(linked)] if linked is not None else None,
            start_time=self._first_item,
        )
        if linked is not None:
            self.span.set_attribute(a.INPUT_SPAN, f"{linked.span_id:016x}")
        self.span.set_attribute(a.STREAM_FIRST, a.milliseconds(max(0, self._first_item - began)))
        self.context = set_span_in_context(self.span, run.context)
        self.active = 0
        self._items = 0
        self._bytes = 0
        self._deepest = 0
        self._first_start: int | None = None
        self._last_end = 0

    def began(self, now: int, size: int) -> int:
        """A consumer begins; returns how many items waited, this one included."""
        depth = 0 if self.producer is None else self.producer.emitted_count - self._items
        depth = max(1, depth)
        self._deepest = max(self._deepest, depth)
        self._items += 1
        self._bytes += size
        self.active += 1
        if self._first_start is None:
            self._first_start = now
        return depth

    def over(self, now: int) -> None:
        """A consumer is over."""
        self.active -= 1
        self._last_end = max(self._last_end, now)

    def close(self, suppressed: int) -> None:
        """All is consumed, or the run is over."""
        producer, self.producer = self.producer, None
        if producer is None:
            return
        now = time.time_ns()
        produced = producer.ended_ns or now
        overlap = 0
        if self._first_start is not None:
            overlap = max(0, min(produced, self._last_end or now) - self._first_start)
        found = {
            a.STREAM_ITEMS: self._items,
            a.STREAM_BYTES: self._bytes,
            a.STREAM_QUEUE: self._deepest,
            a.STREAM_OVERLAP: a.milliseconds(overlap),
        }
        if suppressed:
            found[a.SUPPRESSED] = suppressed
        self.span.set_attributes(found)
        self.span.end(max(produced, self._last_end, self._first_item))


class Edge:
    """Counts the spans between two nodes of a run, and keeps the best beyond the cap."""

    def __init__(self) -> None:
        self.count = 0
        self.suppressed = 0
        self._errors = 0
        self._slowest: list[tuple[int, int, TaskSpan, Attempt]] = []
        self._numbers = itertools.count()

    def takes(self) -> bool:
        """Whether one more span is within the cap."""
        self.count += 1
        return self.count <= MOST_SPANS

    def offer(self, task: TaskSpan, attempt: Attempt) -> bool:
        """An execution beyond the cap is over; returns whether it is to be kept at once."""
        if attempt.error is not None and self._errors < MOST_SPANS:
            self._errors += 1
            return True
        entry = (attempt.duration, next(self._numbers), task, attempt)
        if len(self._slowest) < MOST_SLOW:
            heapq.heappush(self._slowest, entry)
        else:
            heapq.heappushpop(self._slowest, entry)
            self.suppressed += 1
        return False

    def flush(self) -> None:
        """Make spans of the slowest; no more come."""
        slowest, self._slowest = self._slowest, []
        for _, _, task, attempt in slowest:
            task.write_late(attempt)
