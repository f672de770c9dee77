"""Another client calls `update_state` in mid-run: history and latest are LangGraph's.

Every body waits for its gate, so a run is a sequence of events that can be repeated: the gates
in any order that the chains allow, and the update at some moment between two of them. What
counts for LangGraph is how far the thread had come by then; the reference run takes it there.
"""

from __future__ import annotations

import asyncio
import operator
import random
import threading
import time
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_config
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, Send

from langgraph_alto import accelerate, record
from langgraph_alto._langgraph.identity import Reservation
from tests.helpers.canonical import history_of, plain
from tests.helpers.graphs import AHEAD

CONFIG: Any = {"configurable": {"thread_id": "t"}}
STAGES = ("a", "b", "c")
ITEMS = (0, 1, 2)
REPEATS = 200

Body = tuple[str, int]


class State(TypedDict, total=False):
    """What the chains keep: who ran, and which identity it was told."""

    done: Annotated[list[Any], operator.add]


class Script:
    """A seeded order of events: which bodies end when, which ask for their identity, and when
    the other client comes."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.order: list[Body] = []
        left = {item: list(STAGES) for item in ITEMS}
        while left:
            # Uneven, so that some chains get far ahead.
            item = rng.choices(sorted(left), weights=[4**i for i in range(len(left))])[0]
            self.order.append((left[item].pop(0), item))
            if not left[item]:
                del left[item]
        self.moment = rng.randrange(len(self.order) + 1)
        self.asking = {body for body in self.order if rng.random() < 0.7}
        self.early = rng.random() < 0.5  # asks before it waits for its gate, else after
        self.as_node = rng.choice(["plan", "b", "c"])


def chains(script: Script, gates: Any, *, asynchronous: bool, saver: Any) -> Any:
    """plan -> a(i) -> b(i) -> c(i), one chain per item."""

    def told(body: Body, runtime: Runtime[Any]) -> Any:
        if body not in script.asking:
            return None
        info = runtime.execution_info
        assert info is not None
        conf = get_config()["configurable"]
        return [info.checkpoint_id, info.task_id, str(conf["checkpoint_ns"])]

    def outcome(body: Body, identity: Any) -> Command[Any]:
        stage, item = body
        following = STAGES[STAGES.index(stage) + 1 :]
        goto = [Send(following[0], {"item": item})] if following else []
        return Command(update={"done": [[stage, item, identity]]}, goto=goto)

    def make(stage: str) -> Any:
        async def abody(arg: dict[str, int], runtime: Runtime[Any]) -> Command[Any]:
            body = (stage, arg["item"])
            identity = told(body, runtime) if script.early else None
            await gates.wait(body)
            return outcome(body, identity if script.early else told(body, runtime))

        def body(arg: dict[str, int], runtime: Runtime[Any]) -> Command[Any]:
            key = (stage, arg["item"])
            identity = told(key, runtime) if script.early else None
            gates.wait(key)
            return outcome(key, identity if script.early else told(key, runtime))

        return abody if asynchronous else body

    def plan(state: State) -> State:
        return {"done": ["planned"]}

    async def aplan(state: State) -> State:
        return plan(state)

    def fan_out(state: State) -> list[Send]:
        return [Send("a", {"item": item}) for item in ITEMS]

    builder = StateGraph(State)
    builder.add_node("plan", aplan if asynchronous else plan)
    for stage in STAGES:
        builder.add_node(stage, make(stage), metadata=AHEAD, destinations=STAGES)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", fan_out, ["a"])
    return builder.compile(checkpointer=saver)


class AsyncGates:
    """Bodies wait here; time passes in turns of the event loop."""

    def __init__(self) -> None:
        self.open: dict[Body, asyncio.Event] = {}

    def gate(self, body: Body) -> asyncio.Event:
        return self.open.setdefault(body, asyncio.Event())

    async def wait(self, body: Body) -> None:
        await self.gate(body).wait()

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)


class ThreadGates:
    """The same for bodies in threads."""

    def __init__(self) -> None:
        self.open: dict[Body, threading.Event] = {}
        self.lock = threading.Lock()
        self.passed = 0

    def gate(self, body: Body) -> threading.Event:
        with self.lock:
            return self.open.setdefault(body, threading.Event())

    def wait(self, body: Body) -> None:
        assert self.gate(body).wait(30)
        self.passed += 1


Progress = tuple[int, frozenset[Body]]
"""The step that runs, and which of its tasks are committed."""


def progress(saver: Any) -> Progress:
    """How far the thread has come, as any client could see it."""
    head = saver.get_tuple(CONFIG)
    if head is None:
        return -2, frozenset()
    done = frozenset(
        (value[0][0], value[0][1])
        for _, channel, value in head.pending_writes
        if channel == "done" and value[0] != "planned"
    )
    return head.metadata["step"], done


def progress_at(opened: list[Body]) -> Progress:
    """How far a run comes when these gates are open."""
    for step, stage in enumerate(STAGES, 1):
        done = frozenset((stage, item) for item in ITEMS if (stage, item) in opened)
        if len(done) < len(ITEMS):
            return step, done
    return len(STAGES) + 1, frozenset()


def gates_before(reached: Progress) -> list[Body]:
    """The gates that take LangGraph's own run to just that point."""
    step, done = reached
    earlier = [(stage, item) for stage in STAGES[: max(0, step - 1)] for item in ITEMS]
    return [*earlier, *sorted(done)]


def update_of(script: Script) -> dict[str, Any]:
    return {"values": {"done": [["update", 9, None]]}, "as_node": script.as_node}


class Thread:
    """What is compared of a thread after the run."""

    def __init__(self, result: Any, graph: Any) -> None:
        self.result = plain(result)
        history = list(graph.get_state_history(CONFIG))
        # The run's own result is numbered with the history: told ids must fit its ids.
        self.history = history_of([*history, graph.get_state(CONFIG), result])
        self.latest = plain(graph.get_state(CONFIG).values)


async def run_async(script: Script, accelerated: bool, reached: Progress | None) -> Any:
    saver, gates = InMemorySaver(), AsyncGates()
    graph = chains(script, gates, asynchronous=True, saver=saver)
    client = chains(script, gates, asynchronous=True, saver=saver)
    before = script.order[: script.moment] if reached is None else gates_before(reached)
    running = asyncio.create_task((accelerate(graph) if accelerated else graph).ainvoke({}, CONFIG))
    while progress(saver)[0] < 1:  # the router of `plan` is in a thread
        await asyncio.sleep(0.001)
    await gates.settle()
    for body in before:
        gates.gate(body).set()
        await gates.settle()
    seen = progress(saver)
    await client.aupdate_state(CONFIG, **update_of(script))
    for body in script.order:
        gates.gate(body).set()
        await gates.settle()
    return seen, Thread(await running, client)


def run_sync(script: Script, accelerated: bool, reached: Progress | None) -> Any:
    saver, gates = InMemorySaver(), ThreadGates()
    graph = chains(script, gates, asynchronous=False, saver=saver)
    client = chains(script, gates, asynchronous=False, saver=saver)
    before = script.order[: script.moment] if reached is None else gates_before(reached)
    results: list[Any] = []
    reports: list[Any] = []

    def target() -> None:
        with record() as found:
            results.append((accelerate(graph) if accelerated else graph).invoke({}, CONFIG))
        reports.extend(found)

    running = threading.Thread(target=target)
    running.start()
    for body in before:
        gates.gate(body).set()
    if reached is None:
        # Threads that got no processor for a while would look settled.
        wait_until(lambda: progress(saver) == progress_at(before))
        settle(lambda: (progress(saver), gates.passed, len(gates.open)))
    else:
        wait_until(lambda: progress(saver) == reached)
    seen = progress(saver)
    client.update_state(CONFIG, **update_of(script))
    for body in script.order:
        gates.gate(body).set()
    running.join(30)
    return seen, Thread(results[0], client), reports


def settle(observe: Callable[[], Any], *, calm: float = 0.008) -> None:
    """Wait until nothing that can be observed changes any more."""
    last, since = observe(), time.monotonic()
    while time.monotonic() - since < calm or last[0][0] < 1:
        time.sleep(0.001)
        if (found := observe()) != last:
            last, since = found, time.monotonic()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the run did not get there"
        time.sleep(0.0005)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The reserved checkpoint ids that were really used."""
    found: list[str] = []
    take = Reservation.take

    def noting(self: Reservation, step: int) -> str | None:
        if (id_ := take(self, step)) is not None:
            found.append(id_)
        return id_

    monkeypatch.setattr(Reservation, "take", noting)
    return found


@pytest.mark.slow
@pytest.mark.anyio
async def test_async_history_and_latest_are_langgraphs(taken: list[str]) -> None:
    with record() as reports:
        for seed in range(REPEATS):
            script = Script(seed)
            reached, found = await run_async(script, True, None)
            reference, expected = await run_async(script, False, reached)
            assert reference == reached, f"seed {seed}"
            assert found.result == expected.result or script.asking, f"seed {seed}"
            assert found.history == expected.history, f"seed {seed}"
    assert sum(r.adopted for r in reports) > REPEATS
    assert sum(r.rerun for r in reports) > REPEATS / 20
    assert len(taken) > REPEATS / 20


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_sync_history_and_latest_are_langgraphs(taken: list[str]) -> None:
    adopted = rerun = 0
    for seed in range(REPEATS):
        script = Script(seed)
        reached, found, reports = run_sync(script, True, None)
        reference, expected, _ = run_sync(script, False, reached)
        assert reference == reached, f"seed {seed}"
        assert found.history == expected.history, f"seed {seed}"
        adopted += sum(r.adopted for r in reports)
        rerun += sum(r.rerun for r in reports)
    assert adopted > REPEATS
    assert rerun > REPEATS / 20
    assert len(taken) > REPEATS / 20
