"""Counts the calls of models and tools in a run, and replays recorded answers of chat models.

While `watching`, the methods by which each class of chat model answers (`_generate`, `_stream`
and their asynchronous forms) are wrapped. They lie below LangChain's callbacks, streams and
retries, so all of these happen as in a live call; and one answer counts once, however it is
asked for. Whose run a call belongs to is told by the context.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool

from langgraph_alto.compare.recording import Answer, Recording, key_of

METHODS = ("_generate", "_agenerate", "_stream", "_astream")


@dataclass
class Tally:
    """What was called in one run. `recording`: where answers come from, or go."""

    recording: Recording | None = None
    records: bool = False
    model_calls: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    has_tokens: bool = False
    asked: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tokens(self, message: BaseMessage) -> None:
        """Add what a message says of its tokens."""
        usage = getattr(message, "usage_metadata", None)
        if usage:
            with self.lock:
                self.has_tokens = True
                self.input_tokens += usage.get("input_tokens") or 0
                self.output_tokens += usage.get("output_tokens") or 0

    def turn(self, key: str) -> int:
        """How often this was asked before in the run."""
        with self.lock:
            self.asked[key] += 1
            return self.asked[key] - 1


_tally: ContextVar[Tally | None] = ContextVar("alto_compare_tally", default=None)
_answering: ContextVar[bool] = ContextVar("alto_compare_answering", default=False)


@contextmanager
def counting(tally: Tally) -> Iterator[Tally]:
    """Count the calls that are made in this context."""
    token = _tally.set(tally)
    try:
        yield tally
    finally:
        _tally.reset(token)


class Watch:
    """The wrapped methods of all classes of chat models, tools and retrievers."""

    def __init__(self) -> None:
        self._wrapped: dict[tuple[type[Any], str], Any] = {}

    def look_for_models(self) -> None:
        """Wrap the classes that were defined since; harmless to repeat."""
        todo: list[type[Any]] = list(BaseChatModel.__subclasses__())
        while todo:
            kind = todo.pop()
            todo += kind.__subclasses__()
            for name in METHODS:
                if name in vars(kind) and (kind, name) not in self._wrapped:
                    self._wrap(kind, name, _WRAPPERS[name])

    def _wrap(self, kind: type[Any], name: str, wrapper: Callable[..., Any]) -> None:
        original = vars(kind)[name]
        self._wrapped[kind, name] = original
        setattr(kind, name, wrapper(original, kind, name))

    def open(self) -> None:
        """Begin."""
        self.look_for_models()
        for kind, name in _CALLED:
            self._wrap(kind, name, _counted)

    def close(self) -> None:
        """Put everything back."""
        for (kind, name), original in self._wrapped.items():
            setattr(kind, name, original)
        self._wrapped.clear()


@contextmanager
def watching() -> Iterator[Watch]:
    """Wrap the methods as long as the block lasts."""
    watch = Watch()
    watch.open()
    try:
        yield watch
    finally:
        watch.close()


_CALLED: tuple[tuple[type[Any], str], ...] = (
    (BaseTool, "run"),
    (BaseTool, "arun"),
    (BaseRetriever, "invoke"),
    (BaseRetriever, "ainvoke"),
)


def _counted(original: Any, kind: type[Any], name: str) -> Any:
    """A tool's or retriever's method that counts; async ones give their coroutine as it is."""

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        tally = _tally.get()
        # A tool's `arun` without an own asynchronous form calls `run`: one call, counted once.
        if tally is not None and not (name == "run" and _in_arun.get() is self):
            with tally.lock:
                tally.tool_calls += 1
        made = original(self, *args, **kwargs)
        return _as_arun(self, made) if name == "arun" else made

    return call


_in_arun: ContextVar[Any] = ContextVar("alto_compare_in_arun", default=None)


async def _as_arun(tool: Any, running: Any) -> Any:
    token = _in_arun.set(tool)
    try:
        return await running
    finally:
        _in_arun.reset(token)


# Chat models -------------------------------------------------------------------------------


def _mine(self: Any, name: str, wrapper: Any) -> Tally | None:
    """Whose call this is; None if nobody counts, or if another wrapper counts it."""
    if _answering.get() or getattr(type(self), name, None) is not wrapper:
        return None
    tally = _tally.get()
    if tally is not None:
        with tally.lock:
            tally.model_calls += 1
    return tally


@dataclass(frozen=True)
class _Question:
    """A call of a model in a run."""

    tally: Tally
    model: Any
    messages: Any
    stop: Any
    options: dict[str, Any]

    def recorded(self) -> Answer | None:
        """The recorded answer; None in a live run."""
        tally = self.tally
        if tally.recording is None or tally.records:
            return None
        key = self._key()
        return tally.recording.answer(key, tally.turn(key), self.messages)

    def keep(self, answer: Callable[[], Answer]) -> None:
        """Keep the answer, if this run is recorded."""
        if self.tally.records and self.tally.recording is not None:
            self.tally.recording.keep(self._key(), answer())

    def _key(self) -> str:
        return key_of(self.model, self.messages, self.stop, self.options)


def _wrap_generate(original: Any, kind: type[Any], name: str) -> Any:
    @functools.wraps(original)
    def generate(
        self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        tally = _mine(self, name, generate)
        if tally is None:
            plain: ChatResult = original(self, messages, stop, run_manager, **kwargs)
            return plain
        question = _Question(tally, self, messages, stop, kwargs)
        answer = question.recorded()
        if answer is not None:
            time.sleep(answer.seconds)
            result = _merged(answer)
        else:
            token = _answering.set(True)
            began = time.perf_counter()
            try:
                result = original(self, messages, stop, run_manager, **kwargs)
            finally:
                _answering.reset(token)
            seconds = time.perf_counter() - began
            question.keep(lambda: Answer.of_result(result, seconds))
        _count_result(tally, result)
        return result

    return generate


def _wrap_agenerate(original: Any, kind: type[Any], name: str) -> Any:
    @functools.wraps(original)
    async def generate(
        self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        tally = _mine(self, name, generate)
        if tally is None:
            plain: ChatResult = await original(self, messages, stop, run_manager, **kwargs)
            return plain
        question = _Question(tally, self, messages, stop, kwargs)
        answer = question.recorded()
        if answer is not None:
            await asyncio.sleep(answer.seconds)
            result = _merged(answer)
        else:
            clock = asyncio.get_running_loop().time
            token = _answering.set(True)
            began = clock()
            try:
                result = await original(self, messages, stop, run_manager, **kwargs)
            finally:
                _answering.reset(token)
            seconds = clock() - began
            question.keep(lambda: Answer.of_result(result, seconds))
        _count_result(tally, result)
        return result

    return generate


def _wrap_stream(original: Any, kind: type[Any], name: str) -> Any:
    @functools.wraps(original)
    def stream(
        self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        tally = _mine(self, name, stream)
        if tally is None:
            yield from original(self, messages, stop, run_manager, **kwargs)
            return
        question = _Question(tally, self, messages, stop, kwargs)
        answer = question.recorded()
        began = time.perf_counter()
        chunks: list[tuple[float, ChatGenerationChunk]] = []
        if answer is not None:
            for at, chunk in answer.chunks():
                time.sleep(max(0.0, began + at - time.perf_counter()))
                tally.tokens(chunk.message)
                yield chunk
            return
        for chunk in original(self, messages, stop, run_manager, **kwargs):
            if tally.records:
                chunks.append((time.perf_counter() - began, chunk.model_copy(deep=True)))
            tally.tokens(chunk.message)
            yield chunk
        question.keep(lambda: Answer.of_chunks(chunks))

    return stream


def _wrap_astream(original: Any, kind: type[Any], name: str) -> Any:
    @functools.wraps(original)
    async def stream(
        self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        tally = _mine(self, name, stream)
        if tally is None:
            async for chunk in original(self, messages, stop, run_manager, **kwargs):
                yield chunk
            return
        question = _Question(tally, self, messages, stop, kwargs)
        answer = question.recorded()
        clock = asyncio.get_running_loop().time
        began = clock()
        chunks: list[tuple[float, ChatGenerationChunk]] = []
        if answer is not None:
            for at, chunk in answer.chunks():
                await asyncio.sleep(max(0.0, began + at - clock()))
                tally.tokens(chunk.message)
                yield chunk
            return
        async for chunk in original(self, messages, stop, run_manager, **kwargs):
            if tally.records:
                chunks.append((clock() - began, chunk.model_copy(deep=True)))
            tally.tokens(chunk.message)
            yield chunk
        question.keep(lambda: Answer.of_chunks(chunks))

    return stream


_WRAPPERS = {
    "_generate": _wrap_generate,
    "_agenerate": _wrap_agenerate,
    "_stream": _wrap_stream,
    "_astream": _wrap_astream,
}


def _count_result(tally: Tally, result: ChatResult) -> None:
    for generation in result.generations:
        tally.tokens(generation.message)


def _merged(answer: Answer) -> ChatResult:
    """A recorded answer as one result."""
    result = answer.result()
    if result is not None:
        return result
    return generate_from_stream(chunk for _, chunk in answer.chunks())
