"""A thread that one executor interrupted is resumed by the other, with the same outcome."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command, interrupt

from langgraph_alto import accelerate, record
from tests.helpers.canonical import history_of, plain
from tests.helpers.graphs import AHEAD, ONCE, Bodies, anap, chain_graph, nap

CONFIG: Any = {"configurable": {"thread_id": "t"}}

SLOW = {(1, 2): 0.03, (2, 1): 0.02, (2, 2): 0.01}
"""Item 2 takes its time over stage 1, so the others are far ahead when it interrupts."""

ASKING = {(2, 1), (3, 0), (3, 2)}


class Outcome:
    """What is compared of a thread."""

    def __init__(self) -> None:
        self.bodies = Bodies()
        self.results: list[Any] = []
        self.history: Any = None
        self.reports: list[Any] = []

    def lost(self) -> int:
        return sum(report.discarded + report.rerun for report in self.reports)

    def started(self) -> int:
        return sum(report.started for report in self.reports)


def sync_work(bodies: Bodies) -> Any:
    def work(stage: int, item: int) -> Any:
        bodies.began(f"stage{stage}", item)
        nap(SLOW.get((stage, item), 0))
        return interrupt([stage, item]) if (stage, item) in ASKING else "done"

    return work


def async_work(bodies: Bodies) -> Any:
    async def work(stage: int, item: int) -> Any:
        bodies.began(f"stage{stage}", item)
        await anap(SLOW.get((stage, item), 0))
        return interrupt([stage, item]) if (stage, item) in ASKING else "done"

    return work


def answers_to(snapshot: Any) -> Command[Any]:
    return Command(resume={i.id: f"yes {i.value}" for i in snapshot.interrupts})


@contextmanager
def sync_saver(kind: str) -> Iterator[Any]:
    if kind == "memory":
        yield InMemorySaver()
    else:
        with SqliteSaver.from_conn_string(":memory:") as saver:
            yield saver


@asynccontextmanager
async def async_saver(kind: str) -> AsyncIterator[Any]:
    if kind == "memory":
        yield InMemorySaver()
    else:
        async with AsyncSqliteSaver.from_conn_string(":memory:") as saver:
            yield saver


def run_sync(executors: str, kind: str, metadata: Any) -> Outcome:
    """Run and resume until done; the executors, "A" or "L", take turns."""
    outcome = Outcome()
    turns = itertools.cycle(executors)
    with sync_saver(kind) as saver, record() as outcome.reports:
        graph = chain_graph(
            3, sync_work(outcome.bodies), asynchronous=False, metadata=metadata, checkpointer=saver
        )
        graphs = {"L": graph, "A": accelerate(graph)}
        value: Any = {}
        while value is not None:
            outcome.results.append(plain(graphs[next(turns)].invoke(value, CONFIG)))
            snapshot = graph.get_state(CONFIG)
            value = answers_to(snapshot) if snapshot.next else None
        outcome.history = history_of(graph.get_state_history(CONFIG))
    return outcome


async def run_async(executors: str, kind: str, metadata: Any) -> Outcome:
    outcome = Outcome()
    turns = itertools.cycle(executors)
    async with async_saver(kind) as saver:
        with record() as outcome.reports:
            graph = chain_graph(
                3,
                async_work(outcome.bodies),
                asynchronous=True,
                metadata=metadata,
                checkpointer=saver,
            )
            graphs = {"L": graph, "A": accelerate(graph)}
            value: Any = {}
            while value is not None:
                outcome.results.append(plain(await graphs[next(turns)].ainvoke(value, CONFIG)))
                snapshot = await graph.aget_state(CONFIG)
                value = answers_to(snapshot) if snapshot.next else None
            found = [snapshot async for snapshot in graph.aget_state_history(CONFIG)]
        outcome.history = history_of(found)
    return outcome


def assert_equal(expected: Outcome, found: Outcome) -> None:
    assert without_ids(found.results) == without_ids(expected.results)
    assert len(found.history) == len(expected.history)
    assert found.history == expected.history
    # Node runs: LangGraph's, and at most those that the executor says it lost.
    assert found.bodies.extra(expected.bodies) <= found.lost()


def without_ids(results: list[Any]) -> Any:
    return history_of(results)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("executors", ["AL", "LA", "A"])
def test_sync_thread_is_resumed_on_the_other_executor(executors: str, kind: str) -> None:
    expected = run_sync("L", kind, AHEAD)
    found = run_sync(executors, kind, AHEAD)
    assert len(expected.results) == 3
    assert_equal(expected, found)
    assert found.started() >= 1  # a node that may interrupt waits until its id is known


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("executors", ["AL", "LA", "A"])
async def test_async_thread_is_resumed_on_the_other_executor(executors: str, kind: str) -> None:
    expected = await run_async("L", kind, AHEAD)
    found = await run_async(executors, kind, AHEAD)
    assert len(expected.results) == 3
    assert_equal(expected, found)
    assert found.started() >= 1  # a node that may interrupt waits until its id is known


@pytest.mark.slow
@pytest.mark.parametrize("executors", ["AL", "LA", "A"])
def test_nodes_that_run_once_run_as_often_as_on_langgraph(executors: str) -> None:
    """Held means held: `effects="once"` never runs a second time."""
    expected = run_sync("L", "memory", ONCE)
    found = run_sync(executors, "memory", ONCE)
    assert_equal(expected, found)
    assert found.bodies.counts == expected.bodies.counts


@pytest.mark.slow
@pytest.mark.parametrize("executors", ["AL", "LA", "A"])
def test_undeclared_nodes_do_not_pass_a_task_that_may_interrupt(executors: str) -> None:
    """Without a declaration nothing is lost to an interrupt either."""
    expected = asyncio.run(run_async("L", "memory", {}))
    found = asyncio.run(run_async(executors, "memory", {}))
    assert_equal(expected, found)
    assert found.bodies.counts == expected.bodies.counts
