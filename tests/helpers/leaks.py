"""Finds what a run left behind: tasks, threads, and references to its objects."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from langgraph.pregel._loop import PregelLoop
from langgraph.types import PregelExecutableTask

from langgraph_alto._langgraph.ahead import AheadTask
from langgraph_alto._langgraph.run import Run
from langgraph_alto.core.scheduler import Scheduler

OF_A_RUN: tuple[type[Any], ...] = (PregelLoop, PregelExecutableTask, Run, AheadTask, Scheduler)


class Payload:
    """A value that goes through `Send` arguments and results, and must not outlive its run."""

    alive: ClassVar[weakref.WeakSet[Payload]] = weakref.WeakSet()

    def __init__(self, item: int) -> None:
        self.item = item
        Payload.alive.add(self)


@contextmanager
def quick_gc() -> Iterator[None]:
    """Collections look only at what is made inside the block."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def references() -> Counter[str]:
    """What is still alive of any run, after a collection."""
    gc.collect()
    found: Counter[str] = Counter()
    for thing in gc.get_objects():
        # `type`, as proxies and mocks answer isinstance with code of their own.
        if issubclass(type(thing), OF_A_RUN):
            found[type(thing).__name__] += 1
    if Payload.alive:
        found["Payload"] = len(Payload.alive)
    return found


def other_tasks() -> list[asyncio.Task[Any]]:
    """Asyncio tasks besides the current one."""
    mine = asyncio.current_task()
    return [task for task in asyncio.all_tasks() if task is not mine and not task.done()]


def new_threads(before: set[threading.Thread], *, patience: float = 5.0) -> set[threading.Thread]:
    """Threads that began since and do not end. asyncio's own default pool is kept by asyncio."""
    deadline = time.monotonic() + patience
    while True:
        found = {
            thread
            for thread in threading.enumerate()
            if thread not in before and not thread.name.startswith("asyncio_")
        }
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.001)
