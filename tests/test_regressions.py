"""Differences that the fuzzer found, each in the smallest graph that shows it."""

from __future__ import annotations

import asyncio
import logging
import operator
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Annotated, Any, TypedDict, cast
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph
from langgraph.types import Command, RetryPolicy, Send

from compat.fuzz.clock import VirtualClockLoop, run_virtual
from langgraph_alto import accelerate, record
from langgraph_alto._langgraph import pool
from langgraph_alto._langgraph.adopted import AdoptedBody
from langgraph_alto._langgraph.loop import Futures
from langgraph_alto.testing import VirtualClock


class State(TypedDict, total=False):
    """What the graphs keep."""

    found: Annotated[list[str], operator.add]


class SlowSaver(InMemorySaver):
    """Saves in the background, as savers do, and looks at the checkpoint late."""

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        await asyncio.sleep(0.5)
        return await super().aput(config, checkpoint, metadata, new_versions)


async def planner(state: State) -> Command[str]:
    return Command(goto=[Send("worker", {"found": []})])


async def slow(state: State) -> State:
    await asyncio.sleep(3.0)
    return {"found": ["slow"]}


# Seed 4437. A join of edges hands out the very set that it changes in the next step. LangGraph
# has the same trouble with itself, when a body ends before the checkpoint before it is saved.


@pytest.mark.parametrize("defer", [False, True])
def test_a_checkpoint_does_not_hold_what_the_next_step_changed(defer: bool) -> None:
    async def worker(state: State) -> State:
        await asyncio.sleep(2.0)
        return {"found": ["worker"]}

    async def join(state: State) -> State:
        return {"found": ["join"]}

    builder = StateGraph(State)
    builder.add_node("planner", planner)
    builder.add_node("slow", slow)
    builder.add_node("worker", worker)
    builder.add_node("join", join, defer=defer)
    builder.add_edge(START, "planner")
    builder.add_edge(START, "slow")
    builder.add_edge(["planner", "worker"], "join")
    saver = SlowSaver()
    graph = builder.compile(saver)

    async def history(app: Any, thread: str) -> list[Any]:
        config: RunnableConfig = {"configurable": {"thread_id": thread}}
        await app.ainvoke({"found": []}, config)
        saved = [found.checkpoint["channel_values"] async for found in saver.alist(config)]
        following = [state.next async for state in app.aget_state_history(config)]
        return list(zip(following, saved, strict=True))

    async def both() -> tuple[list[Any], list[Any]]:
        return await history(graph, "1"), await history(accelerate(graph), "2")

    with record() as runs:
        langgraph, alto = VirtualClock().run(both())
    assert runs[0].adopted >= 1
    assert alto == langgraph
    assert ("worker",) in [following for following, _ in alto]


# Seed 902 and ten others. Handlers see the error of an attempt before LangGraph puts its note on
# it; what an attempt ahead of its step told them came later, with the note of another task.


class Errors(BaseCallbackHandler):
    """Keeps each error, with the notes that it had and the task that it came from."""

    run_inline = True

    def __init__(self) -> None:
        self.seen: list[tuple[BaseException, list[str]]] = []
        self.tasks: list[str] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        if kwargs.get("name") == "worker":
            self.tasks.append(kwargs["metadata"]["langgraph_checkpoint_ns"].partition(":")[2])

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        if "attempt" in str(error):
            self.seen.append((error, list(getattr(error, "__notes__", []))))


@pytest.mark.parametrize("attempts", [2, 3])
def test_handlers_see_the_error_of_an_attempt_without_a_note(attempts: int) -> None:
    tries: list[int] = []

    async def worker(state: State) -> State:
        await asyncio.sleep(0.1)
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError(f"attempt {len(tries)}")
        return {"found": ["worker"]}

    builder = StateGraph(State)
    builder.add_node("planner", planner)
    builder.add_node("slow", slow)
    builder.add_node(
        "worker",
        worker,
        retry_policy=RetryPolicy(max_attempts=attempts, initial_interval=0.1, jitter=False),
        metadata={"alto": {"effects": "idempotent"}},
    )
    builder.add_edge(START, "planner")
    builder.add_edge(START, "slow")
    graph = builder.compile()

    def errors(app: Any) -> Errors:
        tries.clear()
        handler = Errors()
        run = app.ainvoke({"found": []}, {"callbacks": [handler]})
        if attempts < 3:
            with pytest.raises(ConnectionError, match="attempt 2"):
                VirtualClock().run(run)
        else:
            VirtualClock().run(run)
        return handler

    with record() as runs:
        for handler in (errors(graph), errors(accelerate(graph))):
            assert [str(error) for error, _ in handler.seen[:2]] == ["attempt 1", "attempt 2"]
            assert [notes for _, notes in handler.seen[:2]] == [[], []]
            # Later the note is there, and names the real task.
            note = f"During task with name 'worker' and id '{handler.tasks[0]}'"
            assert [error.__notes__ for error, _ in handler.seen[:2]] == [[note], [note]]
    assert runs[0].adopted == 1


# Seed 15851. Times are measured: what siblings emit as soon as they begin has nearly the same
# age, and must come in the order of the tasks all the same.


class Starts(BaseCallbackHandler):
    """The names of what began, in order."""

    run_inline = True

    def __init__(self) -> None:
        self.names: list[str] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.names.append(str(kwargs.get("name")))


def test_siblings_begin_in_the_order_of_the_tasks() -> None:
    async def worker(state: State) -> State:
        await asyncio.sleep(5.0)
        return {"found": ["worker"]}

    async def other(state: State) -> State:
        await asyncio.sleep(1.0)
        return {"found": ["other"]}

    builder = StateGraph(State)
    for name, body in [("planner", planner), ("slow", slow), ("worker", worker), ("other", other)]:
        builder.add_node(name, body)
    builder.add_edge(START, "planner")
    builder.add_edge(START, "slow")
    builder.add_edge("slow", "other")
    graph = builder.compile()

    def starts(app: Any) -> list[str]:
        handler = Starts()
        run_virtual(app.ainvoke({"found": []}, {"callbacks": [handler]}))
        return handler.names

    with record() as runs:
        langgraph, alto = starts(graph), starts(accelerate(graph))
    assert runs[0].adopted == 1
    assert alto == langgraph == ["LangGraph", "planner", "slow", "worker", "other"]


# Seed 20389 and 20 others of 3,000. The handler of `astream_events` runs in a task of its own,
# so an event takes some turns of the loop, and siblings waited for each other's.


def test_events_of_siblings_begin_in_the_order_of_the_tasks() -> None:
    async def fan_out(state: State) -> Command[str]:
        return Command(goto=[Send("worker", {"found": [str(i)]}) for i in range(3)])

    async def worker(state: State) -> State:
        await asyncio.sleep(5.0 - len(state["found"]))
        return {"found": ["worker"]}

    async def other(state: State) -> State:
        await asyncio.sleep(1.0)
        return {"found": ["other"]}

    builder = StateGraph(State)
    bodies = [("fan_out", fan_out), ("slow", slow), ("worker", worker), ("other", other)]
    for name, body in bodies:
        builder.add_node(name, body)
    builder.add_edge(START, "fan_out")
    builder.add_edge(START, "slow")
    builder.add_edge("slow", "other")
    graph = builder.compile()

    async def events(app: Any) -> list[tuple[str, str, str]]:
        found = app.astream_events({"found": []}, version="v2")
        return [(e["event"], e["name"], str(e["data"])) async for e in found]

    with record() as runs:
        langgraph, _ = run_virtual(events(graph))
        alto, _ = run_virtual(events(accelerate(graph)))
    assert runs[0].adopted == 3
    assert alto == langgraph
    begun = [name for event, name, _ in alto if event == "on_chain_start"]
    assert begun == ["LangGraph", "fan_out", "slow", "worker", "worker", "worker", "other"]


# Seed 22726. What a body emits without giving way to others stays together.


class TickingLoop(VirtualClockLoop):
    """Virtual time that passes, as in life, also between two statements."""

    def __init__(self) -> None:
        self._looked = 0
        super().__init__()

    def time(self) -> float:
        self._looked += 1
        return super().time() + self._looked * 1e-8


def test_what_is_emitted_in_one_go_stays_together() -> None:
    async def fan_out(state: State) -> Command[str]:
        return Command(goto=[Send("worker", {"found": [name]}) for name in "abc"])

    async def worker(state: State) -> State:
        await asyncio.sleep(1.0)
        write = get_stream_writer()
        write(state["found"][0] + "1")
        write(state["found"][0] + "2")
        await asyncio.sleep(1.0)
        write(state["found"][0] + "3")
        return {"found": ["worker"]}

    builder = StateGraph(State)
    for name, body in [("fan_out", fan_out), ("slow", slow), ("worker", worker)]:
        builder.add_node(name, body)
    builder.add_edge(START, "fan_out")
    builder.add_edge(START, "slow")
    graph = builder.compile()

    def chunks(app: Any) -> list[Any]:
        async def run() -> list[Any]:
            return [chunk async for chunk in app.astream({"found": []}, stream_mode="custom")]

        with asyncio.Runner(loop_factory=TickingLoop) as runner:
            return runner.run(run())

    with record() as runs:
        langgraph, alto = chunks(graph), chunks(accelerate(graph))
    assert runs[0].adopted == 3
    assert alto == langgraph == ["a1", "a2", "b1", "b2", "c1", "c2", "a3", "b3", "c3"]


# Seeds 455 and 6396. A node with two routers became real while its first one, which had been let
# through early, still ran: the second one was shown what was settled for the first.


class Routed(State, total=False):
    """With a channel that nobody writes to."""

    mode: str


def test_a_router_does_not_see_what_was_settled_for_the_one_before_it() -> None:
    async def worker(state: Routed) -> Routed:
        return {"found": ["worker"]}

    async def first(state: Routed) -> str:
        await asyncio.sleep(5.0)
        return "left" if state.get("mode") == "on" else "right"

    async def second(state: Routed) -> str:
        return "left" if state["found"] == ["slow", "worker"] else "right"

    async def left(state: Routed) -> Routed:
        return {"found": ["left"]}

    async def right(state: Routed) -> Routed:
        return {"found": ["right"]}

    builder = StateGraph(Routed)
    bodies = [planner, slow, worker, left, right]
    for body in bodies:
        builder.add_node(body.__name__, body)
    builder.add_edge(START, "planner")
    builder.add_edge(START, "slow")
    builder.add_conditional_edges("worker", first, ["left", "right"])
    builder.add_conditional_edges("worker", second, ["left", "right"])
    graph = builder.compile()

    async def both() -> list[Any]:
        given: Any = {"found": [], "mode": "on"}
        return [await app.ainvoke(given) for app in (graph, accelerate(graph))]

    with record() as runs:
        langgraph, alto = VirtualClock().run(both())
    assert runs[0].adopted >= 1
    assert alto == langgraph == {"found": ["slow", "worker", "left"], "mode": "on"}


# Seed 963. A body that ran ahead, and whose real task LangGraph never began: it still waited for
# a place among `max_concurrency` when a sibling failed. It is an execution more than without
# run-ahead, and was not counted as one.


# LangGraph never awaits the coroutines of tasks that it cancels while they wait for their place.
@pytest.mark.filterwarnings("ignore:coroutine 'arun_with_retry':RuntimeWarning")
def test_a_body_whose_real_task_never_began_is_counted_as_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fan_out(state: State) -> Command[str]:
        return Command(goto=[Send("worker", {"found": ["early"]})])

    async def boss(state: State) -> Command[str]:
        await asyncio.sleep(3.0)
        return Command(goto=[Send("worker", {"found": [name]}) for name in ("bad", "b", "c")])

    async def worker(state: State) -> State:
        name = state["found"][0]
        logging.getLogger(__name__).info("%s", name)
        await asyncio.sleep(0.2 if name == "bad" else 0.5)
        if name == "bad":
            raise ValueError(name)
        return {"found": ["worker"]}

    builder = StateGraph(State)
    for name, body in [("boss", boss), ("fan_out", fan_out), ("worker", worker)]:
        builder.add_node(name, body)
    builder.add_edge(START, "boss")
    builder.add_edge(START, "fan_out")
    graph = builder.compile()

    async def begun(app: Any) -> list[str]:
        caplog.clear()
        with pytest.raises(ValueError, match="bad"):
            await app.ainvoke({"found": []}, {"max_concurrency": 2})
        return list(caplog.messages)

    with caplog.at_level(logging.INFO, __name__), record() as runs:
        # The place of the one that failed is taken before LangGraph hears of it.
        assert VirtualClock().run(begun(graph)) == ["bad", "b", "c"]
        assert VirtualClock().run(begun(accelerate(graph))) == ["early", "bad", "b", "c"]
    assert (runs[0].started, runs[0].adopted, runs[0].discarded) == (1, 0, 1)
    lost = [span.reason for span in runs[0].timeline if span.outcome == "discarded"]
    assert lost == ["the run ended before its real task began"]


# Seed 1188. LangGraph forgets that a task failed when it adds another one to the step, until some
# task ends. The adopted ones waited for LangGraph to cut them off.


def test_a_task_that_fails_while_others_are_still_submitted_ends_the_step() -> None:
    def fan_out(state: State) -> Command[str]:
        return Command(goto=[Send("worker", {"found": [str(i)]}) for i in range(60)])

    def slow(state: State) -> State:
        assert all_begun.wait(20)
        return {"found": ["slow"]}

    def worker(state: State) -> State:
        last = state["found"] == ["59"]
        if last:
            all_begun.set()
        if state["found"] == ["0"]:
            raise ValueError("the first of many")
        return {"found": ["worker"]}

    all_begun = threading.Event()
    builder = StateGraph(State)
    for name, body in [("fan_out", fan_out), ("slow", slow), ("worker", worker)]:
        builder.add_node(name, body, metadata={"alto": {"effects": "idempotent"}})
    builder.add_edge(START, "fan_out")
    builder.add_edge(START, "slow")
    with record() as runs, pytest.raises(ValueError, match="the first of many"):
        accelerate(builder.compile()).invoke({"found": []})
    assert runs[0].adopted + runs[0].discarded == 60


@pytest.mark.parametrize("is_adopted", [True, False])
def test_a_failure_is_not_forgotten_where_adopted_tasks_wait_for_its_end(is_adopted: bool) -> None:
    event, failed, other = threading.Event(), Future[None](), Future[None]()
    body: Any = AdoptedBody(cast(Any, None), RunnableLambda(str)) if is_adopted else None
    task: Any = SimpleNamespace(proc=body)
    futures = Futures(event, lambda: None, should_stop=bool, future_type=Future)
    futures[failed] = task
    failed.set_exception(ValueError())
    assert event.is_set()
    futures[other] = task
    assert event.is_set() is is_adopted  # LangGraph forgets it


# Seed 5139. The task that ran ahead fails as soon as LangGraph begins it, and those that were begun
# beside it could have no thread by then. They were cut off; under LangGraph they had long begun.


def test_a_task_that_runs_ahead_and_fails_cuts_off_none_that_would_have_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fan_out(state: State) -> Command[str]:
        return Command(goto=[Send("worker", {"found": [name]}) for name in ("bad", "good")])

    def slow(state: State) -> State:
        assert both_begun.wait(20)
        return {"found": ["slow"]}

    def worker(state: State) -> State:
        name = state["found"][0]
        if name == "bad":
            bad_begun.set()
            raise ValueError(name)
        assert bad_begun.wait(20)
        both_begun.set()
        assert failed.wait(20)  # else it could end first, and be handed out first
        return {"found": [name]}

    class Saver(InMemorySaver):
        def put_writes(
            self,
            config: RunnableConfig,
            writes: Sequence[tuple[str, Any]],
            task_id: str,
            task_path: str = "",
        ) -> None:
            super().put_writes(config, writes, task_id, task_path)
            if any(channel == "__error__" for channel, _ in writes):
                failed.set()

    def begin_late(work: Any) -> None:
        future, _, args, _ = work
        if len(args) > 1 and getattr(args[1], "path", ())[:2] == ("__pregel_push", 1):
            # Its thread comes so late that a runner that does not wait for it cuts it off.
            failed.wait(20)
            cut_off = threading.Event()
            future.add_done_callback(lambda _: cut_off.set())
            cut_off.wait(0.05)
        carry_out(work)

    bad_begun, both_begun, failed = threading.Event(), threading.Event(), threading.Event()
    carry_out = pool._carry_out
    monkeypatch.setattr(pool, "_carry_out", begin_late)
    builder = StateGraph(State)
    for name, body in [("fan_out", fan_out), ("slow", slow), ("worker", worker)]:
        builder.add_node(name, body, metadata={"alto": {"effects": "idempotent"}})
    builder.add_edge(START, "fan_out")
    builder.add_edge(START, "slow")
    graph = accelerate(builder.compile(Saver()))
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}
    with record() as runs, pytest.raises(ValueError, match="bad"):
        graph.invoke({"found": []}, config)
    assert runs[0].adopted == 2
    tasks = graph.get_state(config).tasks
    assert [(task.error, task.result) for task in tasks[1:]] == [(None, {"found": ["good"]})]
