"""`record()`: who sees the report of which run."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextvars import copy_context

import pytest

from langgraph_alto import RunReport, record
from langgraph_alto import report as reports


def run(name: str) -> RunReport:
    """A run as the executor reports it."""
    report = RunReport(graph=name)
    reports.run_began(report)
    report.duration = 0.5
    reports.run_ended(report)
    return report


def names(runs: list[RunReport]) -> list[str]:
    return [r.graph for r in runs]


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    yield
    assert not reports.is_recording()
    assert not reports._subscribers


def test_a_new_report_is_empty() -> None:
    report = RunReport()
    assert report == RunReport(
        graph="graph",
        accelerated=True,
        started=0,
        adopted=0,
        discarded=0,
        rerun=0,
        held=Counter(),
        abandoned=0,
        fallbacks=[],
        duration=None,
        timeline=[],
    )
    other = RunReport()
    report.held["once"] += 1
    report.fallbacks.append("why")
    assert other == RunReport()


def test_runs_inside_the_block_are_recorded() -> None:
    run("before")
    with record() as runs:
        assert reports.is_recording()
        first, second = run("first"), run("second")
        assert runs == [first, second]
        assert runs[0] is first
    run("after")
    assert runs == [first, second]


def test_a_report_is_there_from_the_runs_beginning_and_fills_up() -> None:
    with record() as runs:
        report = RunReport(graph="slow")
        reports.run_began(report)
        assert runs[0].duration is None
    report.duration = 2.0  # it ended after the block
    assert runs[0].duration == 2.0


def test_recordings_nest() -> None:
    with record() as outer:
        run("a")
        with record() as inner:
            run("b")
        run("c")
    assert names(outer) == ["a", "b", "c"]
    assert names(inner) == ["b"]


def test_an_exception_ends_a_recording() -> None:
    kept: list[RunReport] = []

    def fail() -> None:
        nonlocal kept
        with record() as kept:
            run("a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    run("b")
    assert names(kept) == ["a"]


def test_tasks_that_inherit_the_context_are_included() -> None:
    async def child(name: str) -> None:
        await asyncio.sleep(0)
        run(name)

    async def main() -> tuple[list[RunReport], list[RunReport]]:
        unrelated = asyncio.create_task(child("begun before"))
        with record() as runs:
            await asyncio.gather(child("a"), child("b"), asyncio.to_thread(run, "in a thread"))
            late = asyncio.create_task(child("late"))
        await asyncio.gather(unrelated, late)
        with record() as others:
            run("other")
        return runs, others

    runs, others = asyncio.run(main())
    assert sorted(names(runs)) == ["a", "b", "in a thread", "late"]
    assert names(others) == ["other"]


def test_concurrent_recordings_do_not_mix() -> None:
    async def request(name: str) -> list[str]:
        with record() as runs:
            for i in range(3):
                await asyncio.sleep(0)
                run(f"{name}{i}")
        return names(runs)

    async def main() -> list[list[str]]:
        return await asyncio.gather(request("a"), request("b"))

    assert asyncio.run(main()) == [["a0", "a1", "a2"], ["b0", "b1", "b2"]]


def test_threads_without_the_context_are_not_included() -> None:
    with record() as runs:
        alien = threading.Thread(target=run, args=("alien",))
        heir = threading.Thread(target=copy_context().run, args=(run, "inherited"))
        for thread in (alien, heir):
            thread.start()
            thread.join()
    assert names(runs) == ["inherited"]


def test_a_subscriber_hears_of_every_run_when_it_ends() -> None:
    heard: list[tuple[str, float | None]] = []
    unsubscribe = reports.subscribe(lambda report: heard.append((report.graph, report.duration)))
    try:
        assert reports.is_recording()
        report = RunReport(graph="a")
        reports.run_began(report)
        assert heard == []
        report.duration = 1.0
        reports.run_ended(report)
        thread = threading.Thread(target=run, args=("in a thread",))
        thread.start()
        thread.join()
    finally:
        unsubscribe()
    run("after")
    assert heard == [("a", 1.0), ("in a thread", 0.5)]


def test_unsubscribing_twice_is_harmless() -> None:
    heard: list[str] = []
    both = [reports.subscribe(lambda report: heard.append(report.graph)) for _ in range(2)]
    both[0]()
    both[0]()
    run("a")
    both[1]()
    assert heard == ["a"]


def test_a_subscriber_may_unsubscribe_while_it_is_told() -> None:
    heard: list[str] = []

    def once(report: RunReport) -> None:
        heard.append(f"once {report.graph}")
        unsubscribe()

    unsubscribe = reports.subscribe(once)
    always = reports.subscribe(lambda report: heard.append(report.graph))
    run("a")
    run("b")
    always()
    assert heard == ["once a", "a", "b"]
