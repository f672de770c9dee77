"""An event loop whose clock jumps to the next timer when nothing is ready.

Delays of seconds cost nothing, and the order in which things end is exactly the order of
their delays, on any machine and under any load.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")

STUCK_AFTER = 10.0
"""Real seconds without timer, ready callback or event after which the loop is stuck."""


TURN = 1e-6
"""Seconds that a turn of the loop takes. As in real life, code takes time as well: without it,
all that happens between two delays would be at the same instant, and its order undefined."""

TIE = 1e-12
"""Seconds between two timers of one instant: far below a turn, and above a float's last bit."""

THREAD_PATIENCE = 0.25
"""Real seconds for which the clock stands still for a thread. Not for ever: the thread may
itself be waiting for a timer of the loop."""


class StuckError(RuntimeError):
    """Every task waits and no timer is set: a deadlock, found without waiting for a watchdog."""


class _JumpingSelector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Advances the clock by what the loop would have slept.

    asyncio sleeps in exactly one place, `select(timeout)`, so the jump needs none of the
    loop's private state.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.outside = 0  # calls that run in threads; their end is not on our clock

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += TURN
        if timeout is not None and timeout <= 0:
            return super().select(0)
        events = super().select(0)
        if events:
            return events
        if timeout is None:
            # Nothing but a thread can go on from here, and that takes real time.
            events = super().select(STUCK_AFTER)
            if not events:
                raise StuckError(f"no timer and no event for {STUCK_AFTER:.0f} s")
            return events
        if self.outside and (events := super().select(THREAD_PATIENCE)):
            return events
        self.now += timeout
        return events


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time that starts at 0. Work in threads stops the clock."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        self._timers = 0
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As asyncio's, with the timers of one instant in the order in which they were set.

        asyncio keeps timers in a heap, which gives equal ones in an order that hangs on all
        the others: a timer more or less anywhere would swap siblings that wait equally long.
        """
        self._timers += 1
        return super().call_at(when + self._timers * TIE, callback, *args, context=context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """As asyncio's, with the clock standing still until the call is over."""
        future = super().run_in_executor(executor, func, *args)
        self._jumping.outside += 1
        future.add_done_callback(self._returned)
        return future

    def _returned(self, _: asyncio.Future[Any]) -> None:
        self._jumping.outside -= 1


def run_virtual(main: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """Run a coroutine on a fresh virtual loop; its result and the virtual seconds it took.

    What is still pending at the end is cancelled, as `asyncio.run` does.
    """
    loop = VirtualClockLoop()
    try:
        asyncio.set_event_loop(loop)
        result = loop.run_until_complete(main)
        return result, loop.time()
    finally:
        try:
            _cancel_all(loop)
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
    if pending:
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
