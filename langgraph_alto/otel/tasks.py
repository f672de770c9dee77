"""The spans of one task: one for each attempt of its body.

A body that runs ahead has its span from its real beginning; the span is ended when its fate is
known, with the time at which the body was over.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    set_span_in_context,
)

from langgraph_alto.otel import attributes as a

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_core.callbacks import BaseCallbackHandler

    from langgraph_alto.observe import TaskBegan
    from langgraph_alto.otel.runs import RunSpan
    from langgraph_alto.otel.streams import Edge, Stream

handler_of_body: ContextVar[BaseCallbackHandler | None] = ContextVar("alto_tracer", default=None)
"""What LangChain finds in the context of a body, and adds to each call made there."""

MOST_EVENTS = 32
"""The first and the last so many emissions are events; the SDK keeps 128 and drops the oldest."""

_MOST_TIMES = 10_000

_SHORT_NS = 50_000_000

Entered = tuple[Context, Any, Context, Any]
"""The context and handler around a body, then those in it."""


def _enter(context: Context, handler: Any) -> Entered:
    entered = (contexts.get_current(), handler_of_body.get(), context, handler)
    contexts.attach(context)
    handler_of_body.set(handler)
    return entered


def _leave(entered: Entered) -> None:
    # Not by a token: a generator may be closed in another task's context, and OpenTelemetry
    # would log that as an error.
    contexts.attach(entered[0])
    handler_of_body.set(entered[1])


class PassiveTask:
    """All tasks of a run of which nothing is kept: what they call must know so."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def enter(self) -> Context:
        """The unsampled root is the current span while the body runs."""
        outer = contexts.get_current()
        contexts.attach(self._context)
        return outer

    def leave(self, entered: Context, outcome: str | None, error: BaseException | None) -> None:
        """The body is over."""
        contexts.attach(entered)

    def pause(self, entered: Context) -> None:
        """The body has yielded."""
        contexts.attach(entered)

    def go_on(self, entered: Context) -> Context:
        """The body goes on."""
        return self.enter()

    def emitted(self, key: str, value: Any) -> None:
        """Nothing is kept."""

    def retracted(self) -> None:
        """Nothing is kept."""

    def waits(self) -> None:
        """Nothing is kept."""

    def waited(self) -> None:
        """Nothing is kept."""

    def adopted(self, task_id: str, step: int) -> None:
        """Nothing is kept."""

    def dropped(self, outcome: str, reason: str) -> None:
        """Nothing is kept."""

    def closed(self, outcome: str | None = None) -> None:
        """Nothing is kept."""


class Attempt:
    """One execution of a body. `span` is None beyond the cap of its edge."""

    __slots__ = (
        *("began", "end", "error", "number", "outcome", "span", "waited_until"),
        *("waits_since", "worker"),
    )

    def __init__(self, number: int, began: int, span: Span | None, worker: str) -> None:
        self.number = number
        self.began = began
        self.span = span
        self.worker = worker
        self.end = 0
        self.waits_since = 0
        self.waited_until = 0
        self.outcome: str | None = None
        self.error: str | None = None

    @property
    def duration(self) -> int:
        """In nanoseconds."""
        return self.end - self.began


class TaskSpan:
    """Watches one task of a run that is recorded (see `observe.TaskObserver`)."""

    # What most tasks never change stands here, so that each is made quickly.
    began_ns: int | None = None
    ended_ns: int | None = None
    first_ns: int | None = None
    emitted_count = 0
    span_context: SpanContext | None = None
    _is_in_stream = False
    _count = 0
    _links: Sequence[Link] = ()
    _as_input: tuple[Link, str] | None = None
    _reason = ""
    _saved = 0
    _emitted_bytes = 0
    _last_ns = 0
    _told_events = 0
    _base: dict[str, Any]
    _times: list[int]
    _last: deque[tuple[int, dict[str, Any]]]
    _indices: dict[str, int]

    def __init__(self, run: RunSpan, began: TaskBegan, edge: Edge, stream: Stream | None) -> None:
        self.node = began.node
        self.step = began.step
        self._run = run
        self._facts: TaskBegan | None = began
        self._task_id = began.task_id
        self._is_ahead = began.run_ahead
        self._known_ns = time.time_ns()
        self._edge = edge
        self._stream = stream
        self._parent: Context = run.context if stream is None else stream.context
        self._attempts: list[Attempt] = []
        self._fate = "" if began.run_ahead else "real"

    # The body ------------------------------------------------------------------------------

    def enter(self) -> Entered:
        """The body begins; its span becomes the current one."""
        now = time.time_ns()
        run = self._run
        if self._facts is not None:
            self._begin(self._facts, now)
        with run.lock:
            self._count += 1
            is_kept = self._edge.takes()
        attempt = Attempt(self._count, now, None, threading.current_thread().name)
        self._attempts.append(attempt)
        self.ended_ns = None
        if not is_kept:
            return _enter(self._parent, None)
        attempt.span = self._start(attempt)
        self.span_context = attempt.span.get_span_context()
        return _enter(set_span_in_context(attempt.span, self._parent), run.handler)

    def _start(self, attempt: Attempt) -> Span:
        base = self._base
        base[a.ATTEMPT] = attempt.number
        base[a.WORKER] = attempt.worker
        return self._run.tracer.start_span(
            f"{a.NODE} {self.node}",
            context=self._parent,
            kind=SpanKind.INTERNAL,
            attributes=base,
            links=self._links,
            start_time=attempt.began,
        )

    def _begin(self, facts: TaskBegan, now: int) -> None:
        """Its first attempt: what it was given is told now, and forgotten."""
        self._facts = None
        self.began_ns = now
        size = a.size_of(facts.input)
        base = self._base = {
            a.TASK_NODE: facts.node,
            a.STEP: facts.step,
            a.ANCESTRY: a.text(facts.ancestry),
            a.RUN_AHEAD: facts.run_ahead,
            a.INPUT_BYTES: size,
        }
        if self._task_id is not None:
            base[a.TASK_ID] = self._task_id
        if facts.kind != "node":
            base[a.TASK_KIND] = facts.kind
        links = self._link(facts, base, now) if facts.producers else []
        if self._task_id is not None:
            before = self._run.interrupted_before(self._task_id)
            if before is not None:
                base[a.RESUMED_TRACE] = f"{before.trace_id:032x}"
                base[a.RESUMED_SPAN] = f"{before.span_id:016x}"
                links.append(Link(before, {a.RESUMED: True}))
        self._links = links
        if self._stream is not None:
            with self._run.lock:
                self._is_in_stream = True
                depth = self._stream.began(now, size)
            found = self._run.instruments
            found.note(found.queue, depth, self.node, self._run.span_context)
        if self._is_ahead:
            self._run.instruments.ahead("started", self.node)

    def _link(self, facts: TaskBegan, base: dict[str, Any], now: int) -> list[Link]:
        ready, is_open = 0, False
        linked: list[tuple[Link, str]] = []
        for producer in facts.producers:
            if not isinstance(producer, TaskSpan):
                continue
            there = producer.time_of(facts.index) if facts.is_streamed else producer.ended_ns
            is_open = is_open or producer.ended_ns is None
            ready = max(ready, there or 0)
            if producer.span_context is not None:
                linked.append(producer.as_input(producer.span_context))
        base[a.INPUT_OPEN] = is_open
        if ready:
            waited = max(0, now - ready)
            base[a.INPUT_WAIT] = waited // 1_000 / 1_000
            found = self._run.instruments
            found.note(found.wait, waited / 1e9, self.node, self._run.span_context)
        if facts.index is not None:
            base[a.INPUT_INDEX] = facts.index
        if linked:
            base[a.INPUT_SPAN] = linked[0][1]
        if facts.input_count > 1:
            base[a.INPUT_COUNT] = facts.input_count
        # Viewers drop a link's attributes, and they cost as much as a span's: the span has them.
        return [link for link, _ in linked]

    def as_input(self, context: SpanContext) -> tuple[Link, str]:
        """The link to its span and the span's id: made once for all its consumers."""
        if self._as_input is None or self._as_input[0].context is not context:
            self._as_input = Link(context), f"{context.span_id:016x}"
        return self._as_input

    def pause(self, entered: Entered) -> None:
        """The body has yielded to its consumer."""
        _leave(entered)

    def go_on(self, entered: Entered) -> Entered:
        """The consumer asks for more."""
        return _enter(entered[2], entered[3])

    def waits(self) -> None:
        """The body itself is over."""
        if self._attempts and not self._attempts[-1].waits_since:
            self._attempts[-1].waits_since = time.time_ns()

    def waited(self) -> None:
        """Its router goes on."""
        if self._attempts and self._attempts[-1].waits_since:
            self._attempts[-1].waited_until = time.time_ns()

    def leave(self, entered: Entered, outcome: str | None, error: BaseException | None) -> None:
        """The body is over."""
        _leave(entered)
        now = time.time_ns()
        with self._run.lock:
            if not self._attempts:  # the run is over, and this body was abandoned
                return
            attempt = self._attempts[-1]
            attempt.end = now
            if attempt.waits_since and now - (attempt.waited_until or now) < _SHORT_NS:
                attempt.end = attempt.waits_since  # its router took no time of its own
            attempt.outcome = outcome
            if outcome == "failed" and error is not None:
                attempt.error = type(error).__qualname__
            self.ended_ns = attempt.end
            self._tell_emissions(attempt)
            if outcome == "interrupted" and self._task_id is not None:
                self._run.interrupted_now(self._task_id, self.span_context)
            if self._fate:
                self._finish()

    # Partial output ------------------------------------------------------------------------

    def emitted(self, key: str, value: Any) -> None:
        """A generator's body gave something."""
        now = time.time_ns()
        size = a.size_of(value)
        if not self.emitted_count:
            self._times, self._indices = [], {}
            self._last = deque(maxlen=MOST_EVENTS)
        index = self._indices.get(key, 0)
        self._indices[key] = index + 1
        self.emitted_count += 1
        self._emitted_bytes += size
        self._last_ns = now
        if len(self._times) < _MOST_TIMES:
            self._times.append(now)
        if self.first_ns is None:
            self.first_ns = now
            since = (now - self.began_ns) / 1e9 if self.began_ns is not None else 0.0
            found = self._run.instruments
            found.note(found.first_partial, since, self.node, self._run.span_context)
        span = self._attempts[-1].span if self._attempts else None
        if span is None:
            return
        about: dict[str, Any] = {
            a.PARTIAL_KEY: a.text(key),
            a.PARTIAL_INDEX: index,
            a.PARTIAL_BYTES: size,
        }
        if self.emitted_count <= MOST_EVENTS:
            span.add_event(a.EMIT, about, now)
        else:
            self._last.append((now, about))

    def time_of(self, index: int | None) -> int | None:
        """When it gave its item of this index."""
        if not self.emitted_count or not self._times:
            return self.ended_ns
        return self._times[-1 if index is None else min(index, len(self._times) - 1)]

    def retracted(self) -> None:
        """What it gave so far does not count."""
        if not self.emitted_count:
            return
        self._indices.clear()
        self._times.clear()
        self._event(a.RETRACT, {})

    def lost(self, node: str, reason: str) -> None:
        """A consumer that was started from its partial output was thrown away."""
        self._event(a.CANCEL, {a.PARTIAL_NODE: node, a.AHEAD_REASON: a.text(reason)})

    def _event(self, name: str, about: Mapping[str, Any]) -> None:
        span = self._attempts[-1].span if self._attempts else None
        if span is not None and self._told_events < MOST_EVENTS:
            self._told_events += 1
            span.add_event(name, about)

    def _tell_emissions(self, attempt: Attempt) -> None:
        span = attempt.span
        if span is None or not self.emitted_count or self.first_ns is None:
            return
        for when, about in self._last:
            span.add_event(a.EMIT, about, when)
        self._last.clear()
        span.add_event(a.END, {a.PARTIAL_COUNT: self.emitted_count}, attempt.end)
        began = self.began_ns or self.first_ns
        span.set_attributes(
            {
                a.PARTIAL_COUNT: self.emitted_count,
                a.PARTIAL_BYTES: self._emitted_bytes,
                a.PARTIAL_FIRST: a.milliseconds(self.first_ns - began),
                a.PARTIAL_LAST: a.milliseconds(self._last_ns - began),
            }
        )

    # Its fate ------------------------------------------------------------------------------

    def adopted(self, task_id: str, step: int) -> None:
        """Its real task has taken it over."""
        now = time.time_ns()
        run = self._run
        with run.lock:
            self._task_id = task_id
            self._fate = "adopted"
            if self.began_ns is not None:
                self._saved = max(0, (self.ended_ns or now) - self.began_ns)
            if self.ended_ns is not None:
                if self._attempts and self._attempts[-1].outcome == "interrupted":
                    run.interrupted_now(task_id, self.span_context)
                self._finish()
        run.instruments.ahead("adopted", self.node)
        run.instruments.seconds(a.M_SAVED, self._saved / 1e9, self.node)

    def dropped(self, outcome: str, reason: str) -> None:
        """It ran in vain."""
        now = time.time_ns()
        run = self._run
        with run.lock:
            if self._fate in ("discarded", "rerun"):
                return
            self._fate, self._reason = outcome, reason
            if self._stream is not None and self._stream.producer is not None:
                self._stream.producer.lost(self.node, reason)
            if not self._attempts:
                self._never_began("cancelled")
            elif self.ended_ns is not None:
                self._finish()
        if self.began_ns is not None:
            lost = (self.ended_ns or now) - self.began_ns
            run.instruments.seconds(a.M_LOST, lost / 1e9, self.node)
        run.instruments.ahead(outcome, self.node)

    def closed(self, outcome: str | None = None) -> None:
        """Nothing more comes of it."""
        with self._run.lock:
            if self._facts is not None and outcome is not None:
                self._never_began(outcome)
            elif self._attempts:
                now = time.time_ns()
                for attempt in self._attempts:
                    if not attempt.end:
                        attempt.end = now
                        is_lost = self._fate in ("discarded", "rerun")
                        attempt.outcome = "abandoned" if is_lost else "cancelled"
                self.ended_ns = self.ended_ns or now
                self._fate = self._fate or "discarded"
                self._finish()
            self._facts = None
            self._stream = None

    def _never_began(self, outcome: str) -> None:
        if self._facts is None:
            return
        began = self._known_ns
        self._begin(self._facts, began)
        self._count += 1
        attempt = Attempt(1, began, None, "")
        attempt.end, attempt.outcome = time.time_ns(), outcome
        self.ended_ns = attempt.end
        if self._edge.takes():
            attempt.span = self._start(attempt)
            self.span_context = attempt.span.get_span_context()
        self._attempts.append(attempt)
        self._finish()

    def _finish(self) -> None:
        """End the spans of all attempts that are over. The lock is held."""
        attempts, self._attempts = self._attempts, []
        for attempt in attempts:
            if not attempt.end:
                self._attempts.append(attempt)
                continue
            if attempt.span is not None:
                self._write(attempt.span, attempt)
            elif self._edge.offer(self, attempt):
                self.write_late(attempt)
        if self._is_in_stream and self._stream is not None and not self._attempts:
            self._is_in_stream = False
            self._stream.over(self.ended_ns or 0)
        if not self._attempts:
            self._run.live.discard(self)

    def _write(self, span: Span, attempt: Attempt) -> None:
        found: dict[str, Any] = {}
        if self._is_ahead:
            found[a.AHEAD_OUTCOME] = self._fate
            if self._fate == "adopted":
                found[a.TASK_ID] = self._task_id
                found[a.AHEAD_SAVED] = a.milliseconds(self._saved)
            else:
                found[a.AHEAD_REASON] = a.text(self._reason)
                found[a.AHEAD_COST] = a.milliseconds(attempt.duration)
        if attempt.waits_since:
            until = attempt.waited_until or attempt.end
            found[a.GATE_WAIT] = a.milliseconds(until - attempt.waits_since)
        if attempt.outcome is not None:
            found[a.OUTCOME] = attempt.outcome
        if attempt.error is not None:
            found[a.ERROR_TYPE] = attempt.error
            span.set_status(Status(StatusCode.ERROR, attempt.error))
        if found:
            span.set_attributes(found)
        span.end(attempt.end)

    def write_late(self, attempt: Attempt) -> None:
        """Make a span for an execution that is over, and that was kept back by the cap."""
        self._write(self._start(attempt), attempt)
