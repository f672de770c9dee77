"""Clocks for the fakes: real time, real time sped up, and virtual time that no test waits for.

A clock counts *model seconds*. Everything in this package takes its times in them and gives
its times in them, so a demo that runs twice as fast as an engine needs one number in one place.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Protocol, TypeVar, runtime_checkable

T = TypeVar("T")


@runtime_checkable
class Clock(Protocol):
    """What the fakes ask of a clock.

    Both waits take a deadline and not a duration: a wait that ends late does not delay the
    next one, so that a thousand tokens take as long as a thousand tokens should.
    """

    def now(self) -> float:
        """Model seconds since some fixed moment."""

    def sleep_until(self, deadline: float) -> None:
        """Block the thread until `deadline`; return at once if it has passed."""

    async def wait_until(self, deadline: float) -> None:
        """The same without blocking the event loop, which always gets a turn."""


class RealClock:
    """The machine's clock, on which `speed` model seconds pass per second.

    Example:
        >>> clock = RealClock(speed=1000)
        >>> started = clock.now()
        >>> clock.sleep_until(started + 1)  # a millisecond
        >>> clock.now() - started >= 1
        True
    """

    def __init__(self, speed: float = 1.0) -> None:
        if not speed > 0:
            raise ValueError(f"speed={speed!r} must be a number above 0; 2 is twice as fast.")
        self.speed = speed

    def now(self) -> float:
        return time.perf_counter() * self.speed

    def sleep_until(self, deadline: float) -> None:
        remaining = (deadline - self.now()) / self.speed
        if remaining > 0:
            time.sleep(remaining)

    async def wait_until(self, deadline: float) -> None:
        await asyncio.sleep(max(0.0, (deadline - self.now()) / self.speed))


class VirtualClock:
    """Time that jumps to the next deadline as soon as nothing else can happen.

    `run(coroutine)` runs it on an event loop of its own whose every timer (also
    `asyncio.sleep` and LangGraph's timeouts) obeys this clock: a minute takes milliseconds,
    and the order of events is the same in every run. Synchronous waits just move the clock,
    which is right for one thread and meaningless for several.

    Example:
        >>> clock = VirtualClock()
        >>> clock.run(asyncio.sleep(3600, "done"))
        'done'
        >>> clock.now()
        3600.0
    """

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def advance_to(self, deadline: float) -> None:
        """Move the clock forward; it never goes back."""
        self._now = max(self._now, deadline)

    def sleep_until(self, deadline: float) -> None:
        self.advance_to(deadline)

    async def wait_until(self, deadline: float) -> None:
        await asyncio.sleep(max(0.0, deadline - self._now))

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, as `asyncio.run` does, in virtual time."""
        with asyncio.Runner(loop_factory=self.new_event_loop) as runner:
            return runner.run(main)

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """An event loop on this clock, as `asyncio.Runner(loop_factory=…)` takes it."""
        return _VirtualLoop(self)


class _VirtualSelector(selectors.DefaultSelector):
    """Where a loop would wait for time to pass, moves the clock instead.

    While a thread works for the loop the wait is real: its result comes when it comes, and
    time that jumped meanwhile would let every timeout win.
    """

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._working = 0

    def thread_began(self) -> None:
        with self._lock:
            self._working += 1

    def thread_ended(self) -> None:
        with self._lock:
            self._working -= 1

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        with self._lock:
            working = self._working > 0
        if working:
            return super().select(0.01)  # woken earlier by the thread's result
        ready = super().select(0)
        if not ready:
            self._clock.advance_to(self._clock.now() + timeout)
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        self._virtual_clock = clock
        self._virtual_selector = _VirtualSelector(clock)
        super().__init__(self._virtual_selector)

    def time(self) -> float:
        return self._virtual_clock.now()

    def run_in_executor(  # type: ignore[override]  # typeshed: a generic of the result
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        self._virtual_selector.thread_began()
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(lambda _: self._virtual_selector.thread_ended())
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for threads without a time limit: virtually, any limit passes at once.

        Since Python 3.12 `asyncio.Runner` sets one.
        """
        await super().shutdown_default_executor()
