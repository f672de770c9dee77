"""The span of a run of a graph, and what its tasks share: streams, edges, what was interrupted."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from importlib.metadata import version
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    TracerProvider,
    set_span_in_context,
)

from langgraph_alto import observe
from langgraph_alto.observe import RunBegan, RunEnded, TaskBegan
from langgraph_alto.otel import attributes as a
from langgraph_alto.otel.calls import CallHandler
from langgraph_alto.otel.metrics import Instruments
from langgraph_alto.otel.streams import Edge, Stream
from langgraph_alto.otel.tasks import PassiveTask, TaskSpan

_MOST_THREADS = 1_024
"""Interrupted threads that are remembered for each checkpointer."""

_MOST_TASKS = 64

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Interrupted:
    """The spans that an interrupted run left, for the run that goes on from there."""

    def __init__(self, root: SpanContext, tasks: dict[str, SpanContext]) -> None:
        self.root = root
        self.tasks = tasks


class Memory:
    """Which threads of which checkpointer are interrupted. Bounded; holds no checkpointer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: weakref.WeakKeyDictionary[Any, OrderedDict[Any, Interrupted]] = (
            weakref.WeakKeyDictionary()
        )

    def keep(self, began: RunBegan, found: Interrupted) -> None:
        """A run was interrupted."""
        with self._lock:
            threads = self._known.setdefault(began.checkpointer, OrderedDict())
            threads.pop(key := _key(began), None)
            threads[key] = found
            while len(threads) > _MOST_THREADS:
                threads.popitem(last=False)

    def take(self, began: RunBegan) -> Interrupted | None:
        """What a run goes on from, if it was interrupted in this process."""
        if began.checkpointer is None:
            return None
        with self._lock:
            threads = self._known.get(began.checkpointer)
            return None if threads is None else threads.pop(_key(began), None)


def _key(began: RunBegan) -> tuple[Any, ...]:
    """A thread and a place in it; a subgraph's namespace has the task's id, which is the same."""
    return (began.thread, *began.namespace)


class PassiveRun:
    """A run of which nothing is kept: not sampled. What it calls must know that."""

    is_recording = False

    def __init__(self, root: Span, context: Context) -> None:
        self._root = root
        self._task = PassiveTask(context)

    def task_began(self, began: TaskBegan | None) -> PassiveTask:
        """The same for all tasks."""
        return self._task

    def step_over(self, step: int) -> None:
        """Nothing is kept."""

    def ended(self, ended: RunEnded) -> None:
        """The run is over."""
        self._root.end()


class RunSpan:
    """A run that is recorded (see `observe.RunObserver`). Used from any thread."""

    is_recording = True

    def __init__(self, observer: TraceObserver, began: RunBegan, root: Span, base: Context) -> None:
        self.tracer: Tracer = observer.tracer
        self.instruments = observer.instruments
        self.context: Context = set_span_in_context(root, base)
        self.span_context: SpanContext = root.get_span_context()
        self.lock = threading.RLock()
        self.live: set[TaskSpan] = set()
        self.handler = CallHandler(self.tracer, self.context)
        self.instruments.look()
        self._observer = observer
        self._began = began
        self._root = root
        self._streams: dict[tuple[TaskSpan, str], Stream] = {}
        self._edges: dict[tuple[str, str], Edge] = {}
        self._resumed: Interrupted | None = None
        self._interrupted: dict[str, SpanContext] = {}
        if began.is_resuming:
            self._resumed = observer.memory.take(began)

    # Resuming ------------------------------------------------------------------------------

    def interrupted_before(self, task_id: str) -> SpanContext | None:
        """The span of the task that was interrupted, if this one goes on from it."""
        return None if self._resumed is None else self._resumed.tasks.get(task_id)

    def interrupted_now(self, task_id: str, context: SpanContext | None) -> None:
        """A task of this run was interrupted."""
        if context is not None and len(self._interrupted) < _MOST_TASKS:
            self._interrupted[task_id] = context

    # What the executor tells ---------------------------------------------------------------

    def task_began(self, began: TaskBegan | None) -> TaskSpan:
        """A task is known."""
        assert began is not None
        producer = began.producers[0] if began.producers else None
        source = producer if isinstance(producer, TaskSpan) else None
        with self.lock:
            key = (source.node if source is not None else "", began.node)
            edge = self._edges.get(key)
            if edge is None:
                edge = self._edges[key] = Edge()
            stream = None
            if source is not None and began.index is not None:
                stream = self._streams.get((source, began.node))
                if stream is None and began.is_streamed:
                    stream = self._streams[source, began.node] = Stream(self, source, began.node)
            task = TaskSpan(self, began, edge, stream)
            self.live.add(task)
        return task

    def step_over(self, step: int) -> None:
        """Streams whose consumers belonged to this step are drained."""
        if self._streams:
            with self.lock:
                for key, stream in list(self._streams.items()):
                    if stream.step < step and not stream.active:
                        self._close_stream(key, stream)

    def _close_stream(self, key: tuple[TaskSpan, str], stream: Stream) -> None:
        del self._streams[key]
        edge = self._edges.get((key[0].node, key[1]))
        if edge is not None:
            edge.flush()
        stream.close(edge.suppressed if edge is not None else 0)

    def ended(self, ended: RunEnded) -> None:
        """The run is over: so is everything in it."""
        with self.lock:
            for task in list(self.live):
                task.closed("cancelled")
            for edge in self._edges.values():
                edge.flush()
            for key, stream in list(self._streams.items()):
                self._close_stream(key, stream)
            suppressed = sum(edge.suppressed for edge in self._edges.values())
            self.handler.close()
            self.live.clear()
        self._end_root(ended, suppressed)
        began = self._began
        if ended.is_interrupted and began.checkpointer is not None and began.thread is not None:
            found = Interrupted(self._root.get_span_context(), self._interrupted)
            self._observer.memory.keep(began, found)

    def _end_root(self, ended: RunEnded, suppressed: int) -> None:
        root = self._root
        if self._resumed is not None:
            from_ = self._resumed.root
            root.add_link(from_, {a.RESUMED: True})
            root.set_attributes(
                {
                    a.RESUMED: True,
                    a.RESUMED_TRACE: f"{from_.trace_id:032x}",
                    a.RESUMED_SPAN: f"{from_.span_id:016x}",
                }
            )
        names = {
            "started": a.STARTED,
            "adopted": a.ADOPTED,
            "discarded": a.DISCARDED,
            "rerun": a.RERUN,
            "abandoned": a.ABANDONED,
        }
        found: dict[str, Any] = {names[name]: count for name, count in ended.counts.items()}
        if suppressed:
            found[a.SUPPRESSED] = suppressed
        if ended.is_interrupted:
            found[a.OUTCOME] = "interrupted"
        elif ended.error is not None and ended.is_cancelled:
            found[a.OUTCOME] = "cancelled"
        elif ended.error is not None:
            found[a.OUTCOME] = "failed"
            found[a.ERROR_TYPE] = type(ended.error).__qualname__
            root.set_status(Status(StatusCode.ERROR, type(ended.error).__qualname__))
        root.set_attributes(found)
        root.end()


class TraceObserver:
    """Makes a trace of each run with one tracer provider; None: the global one of that time."""

    def __init__(self, provider: TracerProvider) -> None:
        self.tracer: Tracer = trace.get_tracer(
            a.SCOPE, version("langgraph-alto"), tracer_provider=provider
        )
        self.instruments = Instruments(_meters.get(provider))
        self.memory = _memory

    def run_began(self, began: RunBegan) -> RunSpan | PassiveRun | None:
        """A graph begins to run, in the caller's context."""
        from opentelemetry import context as contexts

        base = contexts.get_current()
        root = self.tracer.start_span(
            f"{a.INVOKE_WORKFLOW} {began.graph}",
            context=base,
            kind=SpanKind.INTERNAL,
            attributes=_about(began),
            start_time=began.began_ns,
        )
        if not root.is_recording():
            context = root.get_span_context()
            return PassiveRun(root, set_span_in_context(root, base)) if context.is_valid else None
        return RunSpan(self, began, root, base)


def _about(began: RunBegan) -> dict[str, Any]:
    found: dict[str, Any] = {
        a.OPERATION: a.INVOKE_WORKFLOW,
        a.WORKFLOW_NAME: a.text(began.graph),
        a.EXECUTOR: began.executor,
    }
    if began.thread is not None:
        found[a.CONVERSATION] = a.text(began.thread)
    if began.request is not None:
        found[a.REQUEST_ID] = a.text(began.request)
    if began.namespace:
        found[a.NAMESPACE] = a.text("|".join(began.namespace))
    if began.off is not None and began.executor == "alto":
        found[a.OFF] = a.text(began.off)
    return found


_memory = Memory()
_from_environment: list[TracerProvider | None] = []
_meters: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
_observers: weakref.WeakKeyDictionary[Any, TraceObserver] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def provider_of_environment() -> TracerProvider | None:
    """A provider of our own, where `OTEL_EXPORTER_OTLP_ENDPOINT` is set and nobody set one up."""
    if _from_environment:
        return _from_environment[0]
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return None
    with _lock:
        if not _from_environment:
            _from_environment.append(_make_from_environment())
    return _from_environment[0]


def _make_from_environment() -> TracerProvider | None:
    from langgraph_alto.otel import setup

    if not setup.is_wanted():
        return None
    try:
        return setup.configure(make_global=False).provider
    except Exception as error:
        observe.warn_once(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but there is no exporter for it "
            f"({type(error).__name__}); pip install 'langgraph-alto[otlp]'. No traces are made."
        )
        return None


def observer_for(provider: object | None) -> TraceObserver | None:
    """See `observe.observer_for`."""
    if provider is None:
        provider = trace.get_tracer_provider()
        if isinstance(provider, trace.ProxyTracerProvider):
            provider = provider_of_environment()
        if provider is None or isinstance(provider, trace.NoOpTracerProvider):
            return None
    if not isinstance(provider, TracerProvider):
        observe.warn_once(
            f"tracer_provider is a {type(provider).__name__}, no TracerProvider: "
            "no traces are made."
        )
        return None
    found = _observers.get(provider)
    if found is None:
        with _lock:
            found = _observers.setdefault(provider, TraceObserver(provider))
    return found


def use_meters(provider: TracerProvider, meters: Any) -> None:
    """Measure what a tracer provider traces with this meter provider, not the global one."""
    _meters[provider] = meters
