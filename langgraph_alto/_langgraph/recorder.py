"""Keeps callbacks of a run-ahead body, and plays them to the real handlers when they may be seen.

In the body's config, *recorders* stand for the handlers. LangChain and LangGraph ask a handler
for its class, and go other ways for some: a model streams, a tracer is added once, a nested
graph's own stream takes its caller's handler away, `push_message` looks for the handlers of
messages. So such a handler has a recorder of its own, of the same class; all others share one.
"""

from __future__ import annotations

import contextlib
import copy
import types
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, StdOutCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.tracers import BaseTracer, ConsoleCallbackHandler
from langgraph.callbacks import GraphCallbackHandler
from langgraph.errors import ParentCommand

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.identity import plain_metadata, provisional_metadata
from langgraph_alto._langgraph.narrowed import NarrowedState
from langgraph_alto._langgraph.outbox import (
    CUSTOM,
    MESSAGE,
    STREAM,
    TAP,
    TOOL_OUTPUT,
    Emission,
    Outbox,
    notes_of,
)

__all__ = [
    "CUSTOM",
    "EVENTS",
    "MESSAGE",
    "STREAM",
    "TAP",
    "TOOL_OUTPUT",
    "DiscardedError",
    "Emission",
    "Outbox",
    "Player",
    "Recorder",
    "recorder_for",
    "recorders_for",
]

EVENTS: dict[str, str | None] = {
    "on_llm_start": "ignore_llm",
    "on_chat_model_start": "ignore_chat_model",
    "on_llm_new_token": "ignore_llm",
    "on_stream_event": "ignore_llm",
    "on_llm_end": "ignore_llm",
    "on_llm_error": "ignore_llm",
    "on_chain_start": "ignore_chain",
    "on_chain_end": "ignore_chain",
    "on_chain_error": "ignore_chain",
    "on_tool_start": "ignore_agent",
    "on_tool_end": "ignore_agent",
    "on_tool_error": "ignore_agent",
    "on_agent_action": "ignore_agent",
    "on_agent_finish": "ignore_agent",
    "on_retriever_start": "ignore_retriever",
    "on_retriever_end": "ignore_retriever",
    "on_retriever_error": "ignore_retriever",
    "on_text": None,
    "on_retry": "ignore_retry",
    "on_custom_event": "ignore_custom_event",
    "on_interrupt": None,
    "on_resume": None,
}
"""The callback events of LangChain and LangGraph, with the attribute that switches each off."""

_END = object()
_NOTHING = contextlib.nullcontext()

Known = Callable[[dict[str, Any]], dict[str, Any]]
"""Replaces what is not known yet in metadata."""


# Recorders ---------------------------------------------------------------------------------


class Recorder(BaseCallbackHandler):
    """Stands in for real handlers while a body runs ahead, and writes down what they miss."""

    run_inline = True

    def __init__(self, outbox: Outbox, handlers: Sequence[Any]) -> None:
        self.outbox = outbox
        self.stands_for = list(handlers)

    def __eq__(self, other: object) -> bool:
        # LangChain's managers take no handler twice, and a recorder counts as its own: some
        # instrumentations add theirs to every manager, and a body may hand on its run's.
        return self is other or any(h is other or h == other for h in self.stands_for)

    __hash__ = BaseCallbackHandler.__hash__


def _as_it_is_now(value: Any) -> Any:
    """LangGraph addresses a parent command on its way up, by changing the exception."""
    if isinstance(value, ParentCommand):
        return copy.copy(value).with_traceback(value.__traceback__)
    return value


def _record_method(event: str) -> Callable[..., None]:
    def record(self: Recorder, /, *args: Any, **kwargs: Any) -> None:
        self.outbox.tell(self, event, args, kwargs)

    def record_error(self: Recorder, /, *args: Any, **kwargs: Any) -> None:
        self.outbox.tell(self, event, tuple(map(_as_it_is_now, args)), kwargs)

    method = record_error if event.endswith("_error") else record
    method.__name__ = event
    return method


for _event in EVENTS:
    setattr(Recorder, _event, _record_method(_event))


class _Own(Recorder):
    """A recorder for one handler, of whose class it is too."""

    def __getattr__(self, name: str) -> Any:
        # What is asked of such a handler besides its class: `subgraphs`, a tracer's runs.
        if name.startswith("__") or name == "stands_for":
            raise AttributeError(name)
        return getattr(self.stands_for[0], name)


class _Tapping(_Own):
    """Notes the chunks of streamed runs for a handler that taps them (`astream_events`)."""

    async def tap_output_aiter(
        self, run_id: UUID, output: AsyncIterator[Any]
    ) -> AsyncIterator[Any]:
        async for chunk in output:
            self.outbox.put_by(self, TAP, run_id, chunk)
            yield chunk
        self.outbox.put_by(self, TAP, run_id, _END)

    def tap_output_iter(self, run_id: UUID, output: Iterator[Any]) -> Iterator[Any]:
        for chunk in output:
            self.outbox.put_by(self, TAP, run_id, chunk)
            yield chunk
        self.outbox.put_by(self, TAP, run_id, _END)


class _Messages(_Own):
    """For LangGraph's handlers of the stream mode "messages"."""

    def _emit(self, meta: tuple[Any, Any], message: BaseMessage, *, dedupe: bool = False) -> None:
        """`push_message` calls this."""
        # A copy: a body that lets one message grow pushes it as it is each time.
        namespace, metadata = meta
        self.outbox.put_by(self, MESSAGE, namespace, metadata, copy.copy(message), dedupe)


class _ToolCalls(_Own):
    """For LangGraph's handler of the stream mode "tools"."""

    def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
        super().on_tool_start(*args, **kwargs)
        if self._is_streamed(kwargs.get("metadata"), kwargs.get("tags")):
            outer = names.tool_call_writer.get()
            names.tool_call_writer.set(_ToolOutput(self, kwargs["run_id"], outer))

    def on_tool_end(self, *args: Any, **kwargs: Any) -> None:
        self._tool_is_over(kwargs["run_id"])
        super().on_tool_end(*args, **kwargs)

    def on_tool_error(self, *args: Any, **kwargs: Any) -> None:
        self._tool_is_over(kwargs["run_id"])
        super().on_tool_error(*args, **kwargs)

    def _is_streamed(self, metadata: dict[str, Any] | None, tags: list[str] | None) -> bool:
        """Whether LangGraph's handler streams this tool; else it leaves the writer as it is."""
        # It depends on the namespace of the graph, which the placeholders have right.
        known = metadata and provisional_metadata(metadata)
        return self.stands_for[0]._ns_for_emit(known, tags) is not None

    def _tool_is_over(self, run_id: UUID) -> None:
        writer = names.tool_call_writer.get()
        if isinstance(writer, _ToolOutput) and (writer.recorder, writer.run_id) == (self, run_id):
            names.tool_call_writer.set(writer.outer)


@dataclass(frozen=True, slots=True)
class _ToolOutput:
    """Notes what a tool writes while it runs (`ToolRuntime.emit_output_delta`).

    `outer` is the writer of the tool that called this one.
    """

    recorder: Recorder
    run_id: UUID
    outer: Callable[[Any], None] | None

    def __call__(self, delta: Any) -> None:
        self.recorder.outbox.put_by(self.recorder, TOOL_OUTPUT, self.run_id, delta)


class _Tracer(_Own):
    """For tracers. LangChain adds one of a class wherever it finds none; LangGraph shows tracers
    the shortened input and output of a node with a trace policy."""

    def _persist_run(self, run: Any) -> None:
        """A tracer must have it; it is the real one that persists."""


_MORE_METHODS: dict[type, type[Recorder]] = {
    names.StreamMessagesHandler: _Messages,
    names.StreamToolCallHandler: _ToolCalls,
    BaseTracer: _Tracer,
}
"""What recorders of these classes have besides the events."""

_HANDS_CHUNKS_ON = (names.StreamMessagesHandler, names.StreamToolCallHandler)
"""LangGraph's own handlers tap every run, and hand the chunks on as they are."""

_ASKED_FOR: tuple[type, ...] = (
    names.StreamMessagesHandlerV2,
    names.StreamMessagesHandler,
    names.StreamToolCallHandler,
    GraphCallbackHandler,
    ConsoleCallbackHandler,
    BaseTracer,
    StdOutCallbackHandler,
    names.StreamingCallbackHandler,
    names.V2StreamingCallbackHandler,
)
"""Classes for which LangChain and LangGraph ask a handler.

Not among them: LangSmith's tracer, with which nothing runs ahead (`policy.why_off`).
"""


def _recorder_class(handler: BaseCallbackHandler) -> type[Recorder]:
    """The class of the recorder for a handler: `Recorder` if it can share one with others."""
    hooked = tuple(hook[2] for hook in names.configure_hooks if hook[2] is not None)
    # LangChain asks for these two methods (LangGraph for the class that has them).
    taps = hasattr(handler, "tap_output_iter") and hasattr(handler, "tap_output_aiter")
    kind: type = type(handler)
    return _class_of(kind, taps, hooked)


@lru_cache(maxsize=256)
def _class_of(handler: type, taps: bool, hooked: tuple[type, ...]) -> type[Recorder]:
    asked = dict.fromkeys((*_ASKED_FOR, *hooked))
    kinds = [kind for kind in asked if kind in handler.__mro__]
    more = [own for kind, own in _MORE_METHODS.items() if kind in kinds]
    if taps and not issubclass(handler, _HANDS_CHUNKS_ON):
        more.append(_Tapping)
    if not kinds and not more:
        return Recorder
    newest = [k for k in kinds if not any(k in other.__mro__[1:] for other in kinds)]
    made: type[Recorder] = types.new_class("Recorder", (*(more or [_Own]), *newest))
    return made


def recorder_for(handlers: Sequence[BaseCallbackHandler], outbox: Outbox) -> Recorder:
    """One recorder for handlers of one kind."""
    kind = _recorder_class(handlers[0]) if handlers else Recorder
    return kind(outbox, handlers)


def recorders_for(handlers: Sequence[BaseCallbackHandler], outbox: Outbox) -> list[Recorder]:
    """The recorders with which everything goes as with these handlers, in their order.

    Example:
        >>> outbox = Outbox(lambda: 0.0, lambda: None)
        >>> recorders = recorders_for([BaseCallbackHandler(), BaseCallbackHandler()], outbox)
        >>> len(recorders)  # nobody asks these for their class
        1
    """
    made: list[Recorder] = []
    for kind, group in groupby(handlers, key=_recorder_class):
        together = list(group)
        shared = [together] if kind is Recorder else [[handler] for handler in together]
        made += [recorder_for(some, outbox) for some in shared]
    return made


# Playing -----------------------------------------------------------------------------------


class DiscardedError(Exception):
    """Ends the callbacks of a body whose work was thrown away (only with `emit="eager"`)."""


@dataclass(slots=True)
class _OpenRun:
    """A run that has begun and not ended, for those who noted its beginning."""

    kind: str
    about: dict[str, Any]
    told: list[Recorder]


class Player:
    """Hands a body's callbacks to the real handlers, synchronously or not.

    With `provisional`, nothing waits: metadata that is not known yet has placeholders, and of a
    narrowed input that is shown which is settled. `relabel` puts the real task's id into a note
    that LangGraph wrote for the provisional one.
    """

    def __init__(
        self,
        handlers: Sequence[BaseCallbackHandler],
        *,
        provisional: bool = False,
        relabel: Callable[[str], str] = str,
    ) -> None:
        self.handlers = list(handlers)
        self._provisional = provisional
        self._relabel = relabel
        self._known: Known = provisional_metadata if provisional else plain_metadata
        self._open: dict[UUID, _OpenRun] = {}
        self._taps: dict[tuple[Recorder, UUID], tuple[deque[Any], Any]] = {}
        self._tool_writers: dict[UUID, Callable[[Any], None]] = {}

    def play(self, emission: Emission) -> None:
        told = self._take(emission)
        kind = emission.kind
        if kind not in EVENTS:
            tap = self._play_at_once(emission, told[0], "tap_output_iter", _drain)
            if tap is not None:
                next(tap, None)
            return
        args, kwargs = self._visible(emission, told)
        handlers = self._listening(kind, told)
        with self._as_recorded(emission), self._keeping_tool_writer(kind, kwargs, told):
            names.handle_event(handlers, kind, EVENTS[kind], *args, **kwargs)

    async def aplay(self, emission: Emission) -> None:
        told = self._take(emission)
        kind = emission.kind
        if kind not in EVENTS:
            tap = self._play_at_once(emission, told[0], "tap_output_aiter", _adrain)
            if tap is not None:
                await anext(tap, None)
            return
        args, kwargs = self._visible(emission, told)
        handlers = self._listening(kind, told)
        with self._as_recorded(emission), self._keeping_tool_writer(kind, kwargs, told):
            await names.ahandle_event(handlers, kind, EVENTS[kind], *args, **kwargs)

    def _take(self, emission: Emission) -> list[Recorder]:
        if emission.recorders:
            with emission.recorders[0].outbox.lock:
                emission.is_taken = True
        return emission.recorders

    def _play_at_once(
        self, emission: Emission, recorder: Recorder, method: str, drain: Callable[..., Any]
    ) -> Any:
        """Play what is no event; returns a tap that is to be driven by one chunk, or None."""
        if emission.kind == MESSAGE:
            namespace, metadata, message, dedupe = emission.args
            meta = (namespace, self._known(metadata))
            recorder.stands_for[0]._emit(meta, message, dedupe=dedupe)
        elif emission.kind == TOOL_OUTPUT:
            run_id, delta = emission.args
            if run_id in self._tool_writers:
                self._tool_writers[run_id](delta)
        else:
            run_id, chunk = emission.args
            return self._tap(run_id, chunk, recorder, method, drain)
        return None

    def _tap(
        self, run_id: UUID, chunk: Any, recorder: Recorder, method: str, drain: Callable[..., Any]
    ) -> Any:
        """The handler's tap of a run's chunks, with one more chunk waiting in it."""
        key = (recorder, run_id)
        if key not in self._taps:
            queue: deque[Any] = deque()
            tap = getattr(recorder.stands_for[0], method)(run_id, drain(queue))
            self._taps[key] = (queue, tap)
        queue, tap = self._taps[key]
        queue.append(chunk)
        if chunk is _END:
            del self._taps[key]
        return tap

    def _as_recorded(self, emission: Emission) -> contextlib.AbstractContextManager[None]:
        notes = notes_of(emission.args)
        return self._earlier_notes(notes, emission.notes) if notes else _NOTHING

    @contextlib.contextmanager
    def _earlier_notes(self, notes: list[str], count: int) -> Iterator[None]:
        """Show an error with the notes that it had when it was recorded.

        LangGraph puts a note on a failed attempt's error when the handlers have seen it; what
        was recorded they see after that.
        """
        later = notes[count:]
        del notes[count:]
        try:
            yield
        finally:
            notes.extend(map(self._relabel, later))

    def _keeping_tool_writer(
        self, event: str, kwargs: dict[str, Any], told: list[Recorder]
    ) -> contextlib.AbstractContextManager[None]:
        if not event.startswith("on_tool_") or not any(isinstance(r, _ToolCalls) for r in told):
            return _NOTHING
        return self._kept_tool_writer(kwargs["run_id"])

    @contextlib.contextmanager
    def _kept_tool_writer(self, run_id: UUID) -> Iterator[None]:
        """LangGraph's handler leaves a writer for the tool, in a context variable. The tool does
        not run here, so the writer is kept for what it wrote."""
        before = names.tool_call_writer.get()
        names.tool_call_writer.set(None)
        try:
            yield
            writer = names.tool_call_writer.get()
            if writer is not None:
                self._tool_writers[run_id] = writer
        finally:
            names.tool_call_writer.set(before)

    def _visible(
        self, emission: Emission, told: list[Recorder]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kwargs = emission.kwargs
        run_id = kwargs.get("run_id")
        kind, _, moment = emission.kind.removeprefix("on_").partition("_")
        if run_id is not None and moment.endswith("start"):
            about: dict[str, Any] = {
                key: kwargs[key] for key in ("parent_run_id", "tags") if key in kwargs
            }
            begun = _OpenRun("llm" if kind == "chat" else kind, about, [])
            self._open.setdefault(run_id, begun).told.extend(told)
        elif run_id in self._open and moment in ("end", "error"):
            self._ended(run_id, told)
        metadata = kwargs.get("metadata")
        if isinstance(metadata, dict):
            kwargs = {**kwargs, "metadata": self._known(metadata)}
        args = emission.args
        if self._provisional:
            args = tuple(map(_settled, args))
        return args, kwargs

    def _ended(self, run_id: UUID, told: list[Recorder]) -> None:
        run = self._open[run_id]
        run.told = [recorder for recorder in run.told if recorder not in told]
        if not run.told:
            del self._open[run_id]

    def closing(self) -> list[Emission]:
        """What tells the handlers that everything that began and did not end was discarded."""
        events = []
        for run_id, run in reversed(self._open.items()):
            error = DiscardedError("started ahead of its step, then discarded")
            kwargs = {"run_id": run_id, **run.about}
            events.append(Emission(0.0, f"on_{run.kind}_error", (error,), kwargs, run.told))
        self._open.clear()
        return events

    def _listening(self, event: str, told: list[Recorder]) -> list[Any]:
        # `on_stream_event` is not part of every handler, unlike the others.
        return [h for r in told for h in r.stands_for if hasattr(h, event)]


def _settled(value: Any) -> Any:
    """A value without a narrowed state, which would ask its body's task for all that it lacks."""
    if isinstance(value, NarrowedState):
        return dict(dict.items(value))
    if type(value) is dict and any(isinstance(v, NarrowedState) for v in value.values()):
        return {key: _settled(v) for key, v in value.items()}
    if type(value) in (list, tuple) and any(isinstance(v, NarrowedState) for v in value):
        return type(value)(map(_settled, value))
    return value


def _drain(queue: deque[Any]) -> Iterator[Any]:
    while (chunk := queue.popleft()) is not _END:
        yield chunk


async def _adrain(queue: deque[Any]) -> AsyncIterator[Any]:
    while (chunk := queue.popleft()) is not _END:
        yield chunk
