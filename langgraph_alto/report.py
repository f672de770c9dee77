"""What a run did: `record()` and the `RunReport` that it collects.

A report is plain data, filled by the executor while the run goes on and complete when the
run ends. It is kept for every accelerated run, recorded or not, and costs a few counters.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["real", "adopted", "discarded", "rerun"]


@dataclass(slots=True)
class Span:
    """One execution of a node's body on the timeline. Times are in seconds since the run began.

    `outcome` says what became of it: `"real"` (LangGraph's own task ran it), `"adopted"`
    (it ran ahead and became a real task), `"discarded"` (it ran ahead and no real task
    matched, or the run ended before that one began), `"rerun"` (it ran ahead, had to be
    dropped, and its real task ran it again).
    """

    node: str
    step: int
    started: float
    ended: float | None = None
    outcome: Outcome = "real"
    adopted_at: float | None = None
    reason: str | None = None
    namespace: tuple[str, ...] = ()


@dataclass(slots=True)
class RunReport:
    """What happened in one run of a graph, its subgraphs included.

    Attributes:
        graph: The graph's name.
        accelerated: Whether run-ahead was on; if not, `fallbacks` says why.
        started: Tasks whose body began before their step.
        adopted: Those that became a real task.
        discarded: Those that no real task matched, or whose real task never began because
            the run ended before; their work was lost.
        rerun: Those that had begun and whose real task had to run the body again.
        held: How often a task could have begun early and did not, by reason.
        abandoned: Threads of discarded bodies that still ran when the run ended. A thread
            can't be cancelled: its results go nowhere, and it is gone when its body returns.
        fallbacks: Reasons for which (a part of) the run went without acceleration.
        duration: Seconds from the beginning of the run to its end; None while it runs.
        timeline: Every body that ran, in order of its start (at most `TIMELINE_LIMIT`).
    """

    graph: str = "graph"
    accelerated: bool = True
    started: int = 0
    adopted: int = 0
    discarded: int = 0
    rerun: int = 0
    held: Counter[str] = field(default_factory=Counter)
    abandoned: int = 0
    fallbacks: list[str] = field(default_factory=list)
    duration: float | None = None
    timeline: list[Span] = field(default_factory=list)

    TIMELINE_LIMIT = 10_000


_recordings: ContextVar[tuple[list[RunReport], ...]] = ContextVar("alto_recordings", default=())
_subscribers: list[Callable[[RunReport], None]] = []
_lock = threading.Lock()


@contextmanager
def record() -> Iterator[list[RunReport]]:
    """Collect a `RunReport` for each run that begins inside the block.

    Runs are attributed by context: tasks and threads that inherit the current context are
    included, other threads are not. A report is appended when its run begins.

    Example:
        >>> from langgraph_alto import record
        >>> with record() as runs:
        ...     pass  # app.invoke(...)
        >>> runs
        []
    """
    runs: list[RunReport] = []
    token = _recordings.set((*_recordings.get(), runs))
    try:
        yield runs
    finally:
        _recordings.reset(token)


def subscribe(callback: Callable[[RunReport], None]) -> Callable[[], None]:
    """Call `callback` with the report of every run of this process when the run ends.

    Returns a function that ends the subscription.
    """
    with _lock:
        _subscribers.append(callback)

    def unsubscribe() -> None:
        with _lock:
            if callback in _subscribers:
                _subscribers.remove(callback)

    return unsubscribe


def run_began(report: RunReport) -> None:
    """Hand a new report to the recordings of the current context."""
    for runs in _recordings.get():
        runs.append(report)


def is_recording() -> bool:
    """Whether anyone in the current context, or a subscriber, will read the timeline."""
    return bool(_recordings.get()) or bool(_subscribers)


def run_ended(report: RunReport) -> None:
    """Tell the subscribers of this process that a run is over."""
    for callback in tuple(_subscribers):
        callback(report)
