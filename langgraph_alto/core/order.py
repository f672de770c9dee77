"""When a task's output may be seen, so that run-ahead leaves no trace in the stream.

LangGraph starts all tasks of a step together and hands out what they emit (custom chunks,
messages, callbacks, their updates at the end) as it happens. A body that ran ahead has emitted
some of that before its step began. To give LangGraph's order, its output is handed out as
though all bodies of the step had begun together:

    the *offset* of an output is the age that its body had when it emitted it;
    an output may be seen once every body of the step that still runs is older than its offset,
    and after every waiting output with a smaller offset (at the same age, tasks take turns, as
    bodies do on an event loop).

Offsets are measured, so nothing follows from less than `TOGETHER` seconds between two of them:
siblings that emit something as soon as they begin would come in any order. LangGraph shows them
in the order in which it begins the tasks of a step. So an output may be seen that much early:
its real task hands it out, and LangGraph begins that one in order, too. But the end of a body
may only if all tasks that still run come after its own.

So output of an adopted task is never later than under LangGraph, a step never ends later, and
a sibling that fails early cuts off exactly what LangGraph would have cut off. Time is data:
`zero` is the moment at which a body began (or would have, without its pauses), `now` is given.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

TOGETHER = 1e-3
"""Seconds within which two outputs count as simultaneous: what the start of a thread or a few
turns of an event loop take."""

_EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Turn:
    """`key` may hand out one output now, and must call `release` when that is done."""

    key: Hashable


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Nothing is due; ask again at this time, or when something changes. `key` is next."""

    at: float
    key: Hashable


@dataclass(frozen=True, slots=True, order=True)
class _Waiting:
    when: int
    serial: int
    key: Hashable = field(compare=False)
    offset: float = field(compare=False)
    is_end: bool = field(compare=False)


class StepOrder:
    """The order in which the tasks of one step may emit. Not thread-safe.

    Example:
        >>> order = StepOrder()
        >>> order.began("slow", zero=10.0)       # runs since 10 s
        >>> order.wait("ahead", offset=3.0)      # emitted something at the age of 3 s
        >>> order.next(now=11.0)                 # the slow one might still emit before that
        WakeAt(at=13.0, key='ahead')
        >>> order.ended("slow")
        >>> order.next(now=11.5)
        Turn(key='ahead')
    """

    def __init__(self, tasks: Iterable[Hashable] = ()) -> None:
        """`tasks` are those of the step, in LangGraph's order."""
        self._zero: dict[Hashable, float] = {}
        self._stopped_at: dict[Hashable, float] = {}
        self._place = {key: place for place, key in enumerate(tasks)}
        self._youngest: list[tuple[float, int, Hashable]] = []
        self._first: list[tuple[int, Hashable]] = []
        self._waiting: list[_Waiting] = []
        self._serial = itertools.count()
        self.holder: Hashable | None = None

    def began(self, key: Hashable, zero: float) -> None:
        """A body runs whose age at a time t is t - zero."""
        self._zero[key] = zero
        heapq.heappush(self._youngest, (-zero, next(self._serial), key))
        heapq.heappush(self._first, (self._place.get(key, 0), key))

    def stop_aging(self, key: Hashable, now: float) -> None:
        """The body is over, and its end is kept back for a while: what is older waits for it."""
        zero = self._zero.pop(key, None)
        if zero is not None:
            self._stopped_at[key] = now - zero

    def ended(self, key: Hashable) -> None:
        """The body does not run any more, it will emit nothing new."""
        self._zero.pop(key, None)
        self._stopped_at.pop(key, None)

    def wait(self, key: Hashable, offset: float, *, is_end: bool = True) -> None:
        """`key` has an output of that offset (or has ended then) and asks for its turn."""
        when = math.floor(offset / TOGETHER)
        heapq.heappush(self._waiting, _Waiting(when, next(self._serial), key, offset, is_end))

    def release(self, key: Hashable) -> None:
        """`key` is done with its turn (a `key` that has none may call it too)."""
        if self.holder == key:
            self.holder = None

    def horizon(self, now: float) -> float:
        """The age of the youngest body that runs: outputs up to it may be seen."""
        oldest = min(self._stopped_at.values(), default=float("inf"))
        while self._youngest:
            negative_zero, _, key = self._youngest[0]
            if self._zero.get(key) == -negative_zero:
                return min(oldest, now + negative_zero)
            heapq.heappop(self._youngest)
        return oldest

    def next(self, now: float) -> Turn | WakeAt | None:
        """Whose turn it is; or when to ask again; or None if nothing waits or a turn is open."""
        if self.holder is not None or not self._waiting:
            return None
        found = self._waiting[0]
        early = found.offset - self._visible(found.key, now, found.is_end)
        if early > _EPSILON:
            return WakeAt(now + early, found.key)
        heapq.heappop(self._waiting)
        self.holder = found.key
        return Turn(found.key)

    def goes_on(self, key: Hashable, offset: float, now: float, *, is_end: bool = True) -> bool:
        """Whether the holder of the turn may hand out its next output at once."""
        if self.holder != key or offset > self._visible(key, now, is_end) + _EPSILON:
            return False
        return not self._waiting or math.floor(offset / TOGETHER) < self._waiting[0].when

    def _visible(self, key: Hashable, now: float, is_end: bool) -> float:
        """The largest offset that an output of `key` may have to be seen now."""
        horizon = self.horizon(now)
        return horizon if is_end and not self._comes_first(key) else horizon + TOGETHER

    def _comes_first(self, key: Hashable) -> bool:
        """Whether every task that still runs comes after `key`'s."""
        while self._first:
            place, running = self._first[0]
            if running in self._zero or running in self._stopped_at:
                return self._place.get(key, 0) < place
            heapq.heappop(self._first)
        return True
