"""The pool of a synchronous run's real tasks: few threads, more only while tasks wait."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from langgraph_alto._langgraph.pool import FEW, GrowingPool
from tests.helpers.leaks import new_threads


def test_it_grows_until_all_waiting_tasks_have_a_thread() -> None:
    """Tasks that wait for each other must not keep each other out."""
    together = threading.Barrier(40)
    with GrowingPool(64) as pool:
        found = [pool.submit(together.wait, 20) for _ in range(40)]
        assert sorted(f.result() for f in found) == list(range(40))


class _Slow(SimpleQueue[Any]):
    """A queue in which work arrives just after the first thread found nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.looked, self.arrived, self.taken, self.other_waits = (
            threading.Event() for _ in range(4)
        )
        self.first: threading.Thread | None = None

    def get_nowait(self) -> Any:
        me = threading.current_thread()
        if self.looked.is_set() and me is not self.first:
            assert self.taken.wait(20)  # the first thread is the one that takes it
        try:
            return super().get_nowait()
        except Empty:
            if self.first is None:
                self.first = me
                self.looked.set()
                assert self.arrived.wait(20)
            raise

    def get(self, *args: Any, **kwargs: Any) -> Any:
        if threading.current_thread() is not self.first:
            self.other_waits.set()
        return super().get(*args, **kwargs)


def test_a_thread_that_took_late_work_does_not_count_as_idle() -> None:
    together = threading.Barrier(3)
    with GrowingPool(10) as pool:
        pool._queue = queue = _Slow()
        pool.submit(bool)
        assert queue.looked.wait(20)

        def late() -> int:
            queue.taken.set()
            return together.wait(5)

        found = [pool.submit(late)]
        queue.arrived.set()
        assert queue.other_waits.wait(20)
        found += [pool.submit(together.wait, 5) for _ in range(2)]
        assert sorted(future.result(20) for future in found) == [0, 1, 2]


def test_it_never_grows_beyond_its_limit() -> None:
    release = threading.Event()
    began = threading.Semaphore(0)

    def body() -> None:
        began.release()
        assert release.wait(20)

    with GrowingPool(FEW + 2) as pool:
        found = [pool.submit(body) for _ in range(FEW + 6)]
        for _ in range(FEW + 2):
            assert began.acquire(timeout=20)
        assert not began.acquire(timeout=0.05)
        release.set()
        for future in found:
            future.result(timeout=20)


def test_short_tasks_need_few_threads() -> None:
    seen: set[int] = set()
    with GrowingPool(200) as pool:
        for future in [pool.submit(lambda: seen.add(threading.get_ident())) for _ in range(300)]:
            future.result()
    assert len(seen) <= FEW + 4  # a busy machine may make one of them look slow


def test_errors_reach_the_future() -> None:
    def fail() -> None:
        raise ValueError("no")

    with GrowingPool(2) as pool, pytest.raises(ValueError, match="no"):
        pool.submit(fail).result()


def test_what_comes_after_the_end_is_done_by_who_brings_it() -> None:
    pool = GrowingPool(2)
    pool.shutdown()
    assert pool.submit(threading.get_ident).result() == threading.get_ident()


def test_a_queued_task_can_be_taken_back() -> None:
    release = threading.Event()
    with GrowingPool(1) as pool:
        running = pool.submit(release.wait, 20)
        queued = pool.submit(pytest.fail, "it was taken back")
        assert queued.cancel()
        release.set()
        assert running.result()


def test_its_threads_end_with_it() -> None:
    threads = set(threading.enumerate())
    for _ in range(20):
        with GrowingPool(50) as pool:
            for _ in range(30):
                pool.submit(threading.Event().wait, 0.001)
    assert not new_threads(threads)
