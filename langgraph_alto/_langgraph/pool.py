"""The threads of a synchronous run's real tasks.

LangGraph's pool has as many threads as Python finds good for short calls (cores + 4), and tasks
that wait on the network queue up behind each other. A wide pool would start a thread for each
task at once, and where tasks are short those threads are all that costs. So this one begins as
Python's does, and grows as long as tasks wait and the threads that there are don't get through
them: when fewer were taken in a moment than there are threads.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from typing import Any

FEW = min(32, (os.cpu_count() or 1) + 4)
"""Threads to begin with: as many as Python's own pool has."""

MOMENT = 0.001
"""Seconds from one look at the queue to the next, while something waits in it."""

_Work = tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class GrowingPool(Executor):
    """A thread pool that grows up to `most` threads while its tasks wait on something else.

    LangGraph closes its pool when the last task is over, which may be a moment before that task
    is committed: then saving its writes raises, and they are lost. Here they are saved, by
    whoever brings them.

    Example:
        >>> with GrowingPool(100) as pool:
        ...     pool.submit(sum, [1, 2]).result()
        3
    """

    def __init__(self, most: int, name: str = "langgraph-alto") -> None:
        self.most = most
        self._name = name
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._idle = 0  # threads that are known to wait for work
        self._submitted = 0
        self._waiting = threading.Event()  # something waits in the queue, maybe
        self._is_watched = False
        self._watcher: threading.Thread | None = None
        self._is_shut_down = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        work = (future, fn, args, kwargs)
        with self._lock:
            if not self._is_shut_down:
                self._submitted += 1
                self._queue.put(work)
                if self._idle > 0:
                    self._idle -= 1
                elif len(self._threads) < min(FEW, self.most):
                    self._add_thread()
                elif len(self._threads) < self.most:
                    self._waiting.set()
                    if not self._is_watched:
                        self._is_watched = True
                        self._watcher = self._start(self._watch, f"{self._name}-pool")
                return future
        _carry_out(work)
        return future

    def _add_thread(self) -> None:
        self._threads.append(self._start(self._work, f"{self._name}-{len(self._threads)}"))

    def _start(self, target: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        return thread

    def _work(self) -> None:
        while (work := self._next()) is not None:
            _carry_out(work)
            del work  # a result must not live on in a thread that waits

    def _next(self) -> _Work | None:
        try:
            return self._queue.get_nowait()
        except Empty:
            pass
        with self._lock:
            # Looked at and counted in one go: a thread that counts as idle and took work that
            # came in between would leave a later task without a thread.
            try:
                return self._queue.get_nowait()
            except Empty:
                self._idle += 1
        return self._queue.get()

    def _watch(self) -> None:
        taken = 0
        while self._waiting.wait():
            time.sleep(MOMENT)
            with self._lock:
                if self._is_shut_down:
                    return
                waiting = self._queue.qsize()
                before, taken = taken, self._submitted - waiting
                threads = len(self._threads)
                if not waiting:
                    self._waiting.clear()
                elif taken - before < threads:
                    for _ in range(min(waiting, threads, self.most - threads)):
                        self._add_thread()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._lock:
            self._is_shut_down = True
            self._waiting.set()
            if cancel_futures:
                while not self._queue.empty():
                    if (work := self._queue.get()) is not None:
                        work[0].cancel()
            for _ in self._threads:
                self._queue.put(None)
        if wait:
            for thread in (*self._threads, self._watcher):
                if thread is not None:
                    thread.join()


def _carry_out(work: _Work) -> None:
    future, call, args, kwargs = work
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call(*args, **kwargs)
    except BaseException as error:
        future.set_exception(error)
        del future, work, error  # no cycle through the traceback
    else:
        future.set_result(result)
