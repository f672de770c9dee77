"""After a run is cancelled, broken off or failed, at any moment, nothing of it is left."""

from __future__ import annotations

import asyncio
import gc
import logging
import operator
import random
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send

from langgraph_alto import accelerate, record
from langgraph_alto.report import RunReport
from tests.helpers.graphs import AHEAD, anap, chain_graph
from tests.helpers.leaks import Payload, new_threads, other_tasks, quick_gc, references

MOMENTS = 200
STAGES = 3
ITEMS = 4

How = Literal["cancel", "break", "exception"]


class Stopped(Exception):
    """What a body raises at its moment."""


class State(TypedDict, total=False):
    """Keeps what must not be kept after the run."""

    done: Annotated[list[Payload], operator.add]


def chains(pass_by: Callable[[], Any], *, asynchronous: bool, **compiled: Any) -> Any:
    """Chains of Sends that carry `Payload`s; each body comes by `pass_by` a few times."""

    def outcome(stage: int, arg: dict[str, Any]) -> Command[Any]:
        item = arg["payload"].item
        goto = [Send(f"stage{stage + 1}", {"payload": Payload(item)})] if stage < STAGES else []
        return Command(update={"done": [Payload(item)]}, goto=goto)

    def make(stage: int) -> Any:
        async def abody(arg: dict[str, Any]) -> Command[Any]:
            for _ in range(3):
                await pass_by()
            return outcome(stage, arg)

        def body(arg: dict[str, Any]) -> Command[Any]:
            for _ in range(3):
                pass_by()
            return outcome(stage, arg)

        return abody if asynchronous else body

    builder = StateGraph(State)
    for stage in range(1, STAGES + 1):
        goes_to = (f"stage{stage + 1}",) if stage < STAGES else ()
        builder.add_node(f"stage{stage}", make(stage), metadata=AHEAD, destinations=goes_to)
    builder.add_conditional_edges(
        START, lambda _: [Send("stage1", {"payload": Payload(i)}) for i in range(ITEMS)]
    )
    return builder.compile(**compiled)


class Moment:
    """Counts how often bodies came by; something happens at the `at`-th time."""

    def __init__(self, rng: random.Random, happen: Callable[[], None]) -> None:
        self.rng = rng
        self.left = rng.randrange(1, 3 * STAGES * ITEMS)
        self.happen = happen
        self.lock = threading.Lock()

    def count(self) -> float:
        """Come by; how long to stay."""
        with self.lock:
            self.left -= 1
            due = self.left == 0
            delay = self.rng.choice([0, 0, 0.0005, 0.002])
        if due:
            self.happen()
        return delay

    async def apass_by(self) -> None:
        await anap(self.count())

    def pass_by(self) -> None:
        time.sleep(self.count())


@pytest.fixture(autouse=True)
def _no_late_commits_in_the_log() -> Iterator[None]:
    """LangGraph's exit can overtake the commit of a task that ends just then; the executor logs
    that with its traceback, and pytest would keep it with all that it refers to."""
    log = logging.getLogger("concurrent.futures")
    log.propagate = False
    handler = logging.NullHandler()
    log.addHandler(handler)
    yield
    log.removeHandler(handler)
    log.propagate = True


def raise_stopped() -> None:
    raise Stopped


async def stop_async(seed: int, how: How) -> RunReport:
    """One asynchronous run that is stopped at its moment; nothing is left of it."""
    rng = random.Random(seed)
    running: list[asyncio.Task[None]] = []
    broken = asyncio.Event()
    happen: Callable[[], Any] = {
        "cancel": lambda: running[0].cancel(),  # noqa: PLW0108 - it is not there yet
        "break": broken.set,
        "exception": raise_stopped,
    }[how]
    compiled = {"checkpointer": InMemorySaver()} if seed % 2 else {}
    graph = accelerate(chains(Moment(rng, happen).apass_by, asynchronous=True, **compiled))

    async def consume() -> None:
        stream = graph.astream(
            {}, {"configurable": {"thread_id": "t"}}, stream_mode=["updates", "custom"]
        )
        try:
            async for _ in stream:
                if broken.is_set():
                    break
        finally:
            await stream.aclose()

    with record() as runs:
        running.append(asyncio.create_task(consume()))
        with suppress(Stopped, asyncio.CancelledError):
            await running[0]
    assert not other_tasks(), f"seed {seed}, {how}"
    for _ in range(3):
        await asyncio.sleep(0)  # what asyncio itself has still scheduled
    return runs[0]


def stop_sync(seed: int, how: How) -> RunReport:
    """The same in threads; a sync run can't be cancelled."""
    rng = random.Random(seed)
    broken = threading.Event()
    happen: Callable[[], Any] = {"break": broken.set, "exception": raise_stopped}[how]
    compiled = {"checkpointer": InMemorySaver()} if seed % 2 else {}
    graph = accelerate(chains(Moment(rng, happen).pass_by, asynchronous=False, **compiled))
    with record() as runs, suppress(Stopped):
        stream = graph.stream(
            {}, {"configurable": {"thread_id": "t"}}, stream_mode=["updates", "custom"]
        )
        try:
            for _ in stream:
                if broken.is_set():
                    break
        finally:
            stream.close()
    return runs[0]


@pytest.mark.slow
def test_async_runs_leave_nothing_at_200_random_moments() -> None:
    reports: list[RunReport] = []
    threads = set(threading.enumerate())

    async def main() -> None:
        hows: tuple[How, ...] = ("cancel", "break", "exception")
        for seed in range(MOMENTS):
            how = hows[seed % 3]
            reports.append(await stop_async(seed, how))
            if references():
                # One stopped run in a hundred is kept until the next one, on LangGraph alone too.
                await stop_async(seed, "break")
            assert not references(), f"seed {seed}, {how}"

    with quick_gc():
        asyncio.run(main())
        assert not references()
    assert not new_threads(threads)
    assert sum(r.started for r in reports) > MOMENTS
    assert sum(r.discarded for r in reports) > MOMENTS / 4


@pytest.mark.slow
def test_sync_runs_leave_nothing_at_200_random_moments() -> None:
    reports: list[RunReport] = []
    threads = set(threading.enumerate())
    hows: tuple[How, ...] = ("break", "exception")
    with quick_gc():
        for seed in range(MOMENTS):
            how = hows[seed % 2]
            reports.append(stop_sync(seed, how))
            assert not new_threads(threads), f"seed {seed}, {how}"
            assert not references(), f"seed {seed}, {how}"
    assert sum(r.started for r in reports) > MOMENTS
    assert sum(r.discarded for r in reports) > MOMENTS / 8
    assert any(r.abandoned for r in reports)


# Threads of discarded bodies ------------------------------------------------------------------


class Stuck:
    """Item 0 gets to stage 2 and stays there; item 1 fails as soon as it did."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.may_return = threading.Event()
        self.returned = threading.Event()

    def work(self, stage: int, item: int) -> str:
        if (stage, item) == (2, 0):
            self.began.set()
            assert self.may_return.wait(30)
            self.returned.set()
        if (stage, item) == (1, 1):
            assert self.began.wait(30)
            raise Stopped
        return "done"


def assert_gone(report: RunReport, stuck: Stuck, threads: set[threading.Thread]) -> None:
    assert report.abandoned == 1
    assert report.discarded == 1
    assert not stuck.returned.is_set()
    alive = {t for t in threading.enumerate() if t not in threads and "alto" in t.name}
    assert alive
    stuck.may_return.set()
    assert not new_threads(threads)
    assert stuck.returned.is_set()


def test_sync_run_returns_at_once_and_its_abandoned_thread_ends_with_its_body() -> None:
    threads = set(threading.enumerate())
    stuck = Stuck()
    graph = accelerate(chain_graph(2, stuck.work, items=(0, 1), asynchronous=False))
    with record() as runs, pytest.raises(Stopped):
        graph.invoke({})
    assert_gone(runs[0], stuck, threads)


def test_async_run_returns_at_once_though_a_sync_body_still_runs() -> None:
    threads = set(threading.enumerate())
    stuck = Stuck()
    # Sync bodies in an asynchronous run.
    graph = accelerate(chain_graph(2, stuck.work, items=(0, 1), asynchronous=False))

    async def main() -> None:
        with record() as runs, pytest.raises(Stopped):
            await graph.ainvoke({})
        assert_gone(runs[0], stuck, threads)

    asyncio.run(main())


def test_what_an_abandoned_body_returns_goes_nowhere() -> None:
    threads = set(threading.enumerate())
    stuck = Stuck()
    saver = InMemorySaver()
    graph = accelerate(
        chain_graph(2, stuck.work, items=(0, 1), asynchronous=False, checkpointer=saver)
    )
    config: Any = {"configurable": {"thread_id": "t"}}
    with pytest.raises(Stopped):
        graph.invoke({}, config)
    before = repr(list(saver.list(config)))
    stuck.may_return.set()
    assert not new_threads(threads)
    assert repr(list(saver.list(config))) == before


# Memory ---------------------------------------------------------------------------------------

RUNS = 2_000
WARM_UP = 100
SPAN = 100

FLAT_BLOCKS = 1_000
"""Python objects; one that is kept by each run would be twice as many."""
FLAT_BYTES = 96 * 1024
"""A run's loop and tasks, kept each time, would be ten times as much. Interned strings and the
like settle at some 40 KiB whatever the number of runs, on LangGraph alone too."""


def small(asynchronous: bool) -> Any:
    """A graph in which something runs ahead in each run."""

    async def awork(stage: int, item: int) -> str:
        if (stage, item) == (1, 1):
            for _ in range(5):
                await asyncio.sleep(0)
        return "done"

    def work(stage: int, item: int) -> str:
        if (stage, item) == (1, 1):
            time.sleep(0.0005)
        return "done"

    return accelerate(
        chain_graph(2, awork if asynchronous else work, items=(0, 1), asynchronous=asynchronous)
    )


def growth_in_blocks(run: Callable[[], Any]) -> int:
    """How many more Python objects there are after `RUNS` runs than after the first ones."""
    for _ in range(WARM_UP):
        run()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(RUNS - WARM_UP):
        run()
    gc.collect()
    return sys.getallocatedblocks() - before


def growth_in_bytes(run: Callable[[], Any]) -> int:
    """The same in bytes, for fewer runs: tracing makes them slow."""
    tracemalloc.start()
    try:
        for _ in range(60):
            run()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(SPAN):
            run()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def assert_flat(run: Callable[[], Any]) -> None:
    with quick_gc():
        assert growth_in_blocks(run) < FLAT_BLOCKS
        assert growth_in_bytes(run) < FLAT_BYTES


@pytest.mark.slow
def test_async_memory_is_flat_over_2000_runs() -> None:
    graph = small(asynchronous=True)

    async def adopted() -> int:
        with record() as runs:
            await graph.ainvoke({})
        return runs[0].adopted

    with asyncio.Runner() as runner:
        assert runner.run(adopted()) >= 1
        assert_flat(lambda: runner.run(graph.ainvoke({})))


@pytest.mark.slow
def test_sync_memory_is_flat_over_2000_runs() -> None:
    graph = small(asynchronous=False)
    with record() as runs:
        graph.invoke({})
    assert runs[0].adopted >= 1
    assert_flat(lambda: graph.invoke({}))
