"""Keeps what a run-ahead body emits until it may be seen.

Callbacks, custom chunks and the chunks of subgraphs go into an *outbox* with the age that the
body had. They are handed to the real handlers when the task is adopted and it is their turn
(`core.order`); what is never adopted is never seen.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langgraph.errors import ParentCommand

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.identity import plain_metadata, provisional_metadata

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
}
"""LangChain's callback events, with the handler attribute that switches each off."""

CUSTOM = "custom"
STREAM = "stream"
TAP = "tap"
_END = object()


@dataclass(slots=True)
class Emission:
    """One thing that a body emitted at the age of `offset` seconds."""

    offset: float
    kind: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Outbox:
    """What a body emitted and nobody has seen, in order. Appending is thread-safe."""

    __slots__ = ("_age", "_appended", "emissions", "is_cut")

    def __init__(self, age: Callable[[], float], appended: Callable[[], None]) -> None:
        self.emissions: deque[Emission] = deque()
        self.is_cut = False
        self._age = age
        self._appended = appended

    def put(self, kind: str, *args: Any, **kwargs: Any) -> None:
        if not self.is_cut:
            self.emissions.append(Emission(self._age(), kind, args, kwargs))
            self._appended()

    def cut(self) -> None:
        """Nothing of it will ever be seen, nor kept."""
        self.is_cut = True
        self.emissions.clear()


class Recorder(BaseCallbackHandler):
    """Stands in for the real handlers while a body runs ahead, and writes down what they miss."""

    run_inline = True

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox


def _as_it_is_now(value: Any) -> Any:
    """LangGraph addresses a parent command on its way up, by changing the exception."""
    if isinstance(value, ParentCommand):
        return copy.copy(value).with_traceback(value.__traceback__)
    return value


def _record_method(event: str) -> Callable[..., None]:
    def record(self: Recorder, *args: Any, **kwargs: Any) -> None:
        self.outbox.put(event, *map(_as_it_is_now, args), **kwargs)

    record.__name__ = event
    return record


for _event in EVENTS:
    setattr(Recorder, _event, _record_method(_event))


class _Tapping:
    """Notes the chunks of streamed runs for handlers that tap them (`astream_events`)."""

    outbox: Outbox

    async def tap_output_aiter(
        self, run_id: UUID, output: AsyncIterator[Any]
    ) -> AsyncIterator[Any]:
        async for chunk in output:
            self.outbox.put(TAP, run_id, chunk)
            yield chunk
        self.outbox.put(TAP, run_id, _END)

    def tap_output_iter(self, run_id: UUID, output: Iterator[Any]) -> Iterator[Any]:
        for chunk in output:
            self.outbox.put(TAP, run_id, chunk)
            yield chunk
        self.outbox.put(TAP, run_id, _END)


# A handler's class decides how a model runs inside the node (streamed or not, and by which
# protocol), so there is a recorder of each kind.
class StreamingRecorder(_Tapping, Recorder, names.StreamingCallbackHandler[Any]):
    """A recorder for handlers that make models stream."""


class V2StreamingRecorder(_Tapping, Recorder, names.V2StreamingCallbackHandler):
    """A recorder for handlers of the content-block protocol."""


class BothStreamingRecorder(
    _Tapping, Recorder, names.StreamingCallbackHandler[Any], names.V2StreamingCallbackHandler
):
    """A recorder for both kinds at once."""


def recorder_for(handlers: Sequence[BaseCallbackHandler], outbox: Outbox) -> Recorder:
    """The recorder that makes models behave as with these handlers."""
    # As LangChain asks it: a handler that only has the methods streams as well.
    streaming = any(isinstance(h, names.StreamingCallbackHandler) for h in handlers)
    v2 = any(isinstance(h, names.V2StreamingCallbackHandler) for h in handlers)
    kind = {
        (False, False): Recorder,
        (True, False): StreamingRecorder,
        (False, True): V2StreamingRecorder,
        (True, True): BothStreamingRecorder,
    }[streaming, v2]
    recorder: Recorder = kind(outbox)
    return recorder


class DiscardedError(Exception):
    """Ends the callbacks of a body whose work was thrown away (only with `emit="eager"`)."""


class Player:
    """Hands a body's callbacks to the real handlers, synchronously or not.

    With `provisional`, metadata that is not known yet has placeholders instead of waiting.
    """

    def __init__(
        self, handlers: Sequence[BaseCallbackHandler], *, provisional: bool = False
    ) -> None:
        self.handlers = list(handlers)
        self._provisional = provisional
        self._open: dict[UUID, tuple[str, dict[str, Any]]] = {}
        self._tappers: list[Any] = [
            h for h in handlers if hasattr(h, "tap_output_iter") and not isinstance(h, Recorder)
        ]
        self._taps: dict[UUID, list[tuple[deque[Any], Any]]] = {}

    def play(self, emission: Emission) -> None:
        if emission.kind == TAP:
            self._play_tap(*emission.args)
            return
        args, kwargs = self._visible(emission)
        names.handle_event(
            self._listening(emission.kind), emission.kind, EVENTS[emission.kind], *args, **kwargs
        )

    async def aplay(self, emission: Emission) -> None:
        if emission.kind == TAP:
            await self._aplay_tap(*emission.args)
            return
        args, kwargs = self._visible(emission)
        await names.ahandle_event(
            self._listening(emission.kind), emission.kind, EVENTS[emission.kind], *args, **kwargs
        )

    def _visible(self, emission: Emission) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kwargs = emission.kwargs
        run_id = kwargs.get("run_id")
        kind, _, moment = emission.kind.removeprefix("on_").partition("_")
        if run_id is not None and moment.endswith("start"):
            about: dict[str, Any] = {
                key: kwargs[key] for key in ("parent_run_id", "tags") if key in kwargs
            }
            self._open[run_id] = ("llm" if kind == "chat" else kind, about)
        elif moment in ("end", "error"):
            self._open.pop(run_id, None)  # type: ignore[arg-type]
        metadata = kwargs.get("metadata")
        if isinstance(metadata, dict):
            known = provisional_metadata if self._provisional else plain_metadata
            kwargs = {**kwargs, "metadata": known(metadata)}
        return emission.args, kwargs

    def closing(self) -> list[Emission]:
        """What tells the handlers that everything that began and did not end was discarded."""
        events = []
        for run_id, (kind, about) in reversed(self._open.items()):
            error = DiscardedError("started ahead of its step, then discarded")
            events.append(Emission(0.0, f"on_{kind}_error", (error,), {"run_id": run_id, **about}))
        self._open.clear()
        return events

    def _listening(self, event: str) -> list[BaseCallbackHandler]:
        # `on_stream_event` is not part of every handler, unlike the others.
        return [h for h in self.handlers if hasattr(h, event)]

    def _play_tap(self, run_id: UUID, chunk: Any) -> None:
        if run_id not in self._taps:
            queues: list[deque[Any]] = [deque() for _ in self._tappers]
            self._taps[run_id] = [
                (queue, h.tap_output_iter(run_id, _drain(queue)))
                for queue, h in zip(queues, self._tappers, strict=True)
            ]
        for queue, tap in self._taps[run_id]:
            queue.append(chunk)
            next(tap, None)
        if chunk is _END:
            self._taps.pop(run_id, None)

    async def _aplay_tap(self, run_id: UUID, chunk: Any) -> None:
        if run_id not in self._taps:
            queues: list[deque[Any]] = [deque() for _ in self._tappers]
            self._taps[run_id] = [
                (queue, h.tap_output_aiter(run_id, _adrain(queue)))
                for queue, h in zip(queues, self._tappers, strict=True)
            ]
        for queue, tap in self._taps[run_id]:
            queue.append(chunk)
            await anext(tap, None)
        if chunk is _END:
            self._taps.pop(run_id, None)


def _drain(queue: deque[Any]) -> Iterator[Any]:
    while (chunk := queue.popleft()) is not _END:
        yield chunk


async def _adrain(queue: deque[Any]) -> AsyncIterator[Any]:
    while (chunk := queue.popleft()) is not _END:
        yield chunk
