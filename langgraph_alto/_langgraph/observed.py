"""A task's body, watched: the outermost layer below LangGraph's retry loop.

One call is one attempt. What an observer sets in the context (the current span) holds while the
body runs and not while a generator waits for its consumer.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.errors import GraphBubbleUp, GraphInterrupt, ParentCommand

from langgraph_alto._langgraph.ahead import GaveUp
from langgraph_alto.observe import TaskObserver, warn_failed

_CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError, GeneratorExit)


def outcome_of(error: BaseException) -> str | None:
    """What became of a body that raised this (see `observe.TaskObserver.leave`)."""
    if isinstance(error, GraphInterrupt):
        return "interrupted"
    if isinstance(error, ParentCommand):
        return None
    if isinstance(error, GaveUp):
        return "gave up"
    if isinstance(error, _CANCELLED):
        return "cancelled"
    return "interrupted" if isinstance(error, GraphBubbleUp) else "failed"


class Observed(Runnable[Any, Any]):
    """A body that an observer is told of."""

    def __init__(self, body: Runnable[Any, Any], watched: TaskObserver) -> None:
        self._body = body
        self._watched = watched
        self.name = getattr(body, "name", None)

    def _enter(self) -> Any:
        try:
            return self._watched.enter()
        except Exception as error:
            warn_failed(error)
            return None

    def _leave(self, entered: Any, error: BaseException | None) -> None:
        if entered is None:
            return
        try:
            outcome = None if error is None else outcome_of(error)
            self._watched.leave(entered, outcome, error)
        except Exception as mistake:
            warn_failed(mistake)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        entered = self._enter()
        try:
            result = self._body.invoke(input, config, **kwargs)
        except BaseException as error:
            self._leave(entered, error)
            raise
        self._leave(entered, None)
        return result

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        entered = self._enter()
        try:
            result = await self._body.ainvoke(input, config, **kwargs)
        except BaseException as error:
            self._leave(entered, error)
            raise
        self._leave(entered, None)
        return result

    def stream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        entered = self._enter()
        try:
            with closing(self._body.stream(input, config, **kwargs)) as chunks:  # type: ignore[type-var]
                for chunk in chunks:
                    self._pause(entered)
                    yield chunk
                    entered = self._go_on(entered)
        except BaseException as error:
            self._leave(entered, error)
            raise
        self._leave(entered, None)

    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        entered = self._enter()
        try:
            async with aclosing(self._body.astream(input, config, **kwargs)) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    self._pause(entered)
                    yield chunk
                    entered = self._go_on(entered)
        except BaseException as error:
            self._leave(entered, error)
            raise
        self._leave(entered, None)

    def _pause(self, entered: Any) -> None:
        if entered is not None:
            self._watched.pause(entered)

    def _go_on(self, entered: Any) -> Any:
        return None if entered is None else self._watched.go_on(entered)
