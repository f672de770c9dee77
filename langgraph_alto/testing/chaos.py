"""Switches for the compatibility tests: make everything run ahead that can.

They change the whole process, for as long as the block lasts. Not for production.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from langgraph_alto._langgraph import chaos as switch

_POLL = 0.002


@contextmanager
def chaos(hold: float = 0.1) -> Iterator[None]:
    """Hold each real task back for up to `hold` seconds after its body, while others run ahead.

    What its body wrote is known to the scheduler at once, so everything that it determines
    starts, also where a step has one task only and nothing would be gained.

    Example:
        >>> with chaos(hold=0.05):
        ...     pass  # run a test suite with `install()` in force
    """
    before = switch.active
    switch.active = _HoldBack(hold)
    try:
        yield
    finally:
        switch.active = before


@contextmanager
def trust_undeclared() -> Iterator[None]:
    """Treat every node that is not declared `effects="once"` as proven safe to run early."""
    before = switch.trust_undeclared
    switch.trust_undeclared = True
    try:
        yield
    finally:
        switch.trust_undeclared = before


class _HoldBack:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def hold_back(self, run: Any) -> None:
        for task in run.loop.tasks.values():
            if not task.writes and task.id not in run.adopted_tasks:
                object.__setattr__(task, "proc", _HeldBack(self.seconds, run, task))


class _HeldBack(Runnable[Any, Any]):
    """A real task's body that ends late."""

    def __init__(self, seconds: float, run: Any, task: Any) -> None:
        self._seconds = seconds
        self._run = run
        self._task = task
        self._body = task.proc
        self.name = getattr(task.proc, "name", None)

    def _moments(self) -> Iterator[None]:
        self._run.body_over(self._task.id, list(self._task.writes))
        end = time.monotonic() + self._seconds
        while time.monotonic() < end and self._run.is_working_ahead():
            yield

    def _hold(self) -> None:
        never = threading.Event()
        for _ in self._moments():
            never.wait(_POLL)  # tests replace time.sleep

    async def _ahold(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in self._moments():
            moment = asyncio.Event()  # tests replace asyncio.sleep
            loop.call_later(_POLL, moment.set)
            await moment.wait()

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        result = self._body.invoke(input, config, **kwargs)
        self._hold()
        return result

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        result = await self._body.ainvoke(input, config, **kwargs)
        await self._ahold()
        return result

    def stream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        yield from self._body.stream(input, config, **kwargs)
        self._hold()

    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        async for chunk in self._body.astream(input, config, **kwargs):
            yield chunk
        await self._ahold()
