"""Small graphs of many shapes, each with a function that runs it as a user would.

A shape's function makes its own graph (so that whoever is installed runs it), runs it, and
returns how many requests, and so traces, that were.
"""

from __future__ import annotations

import asyncio
import contextlib
import operator
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, RetryPolicy, Send, interrupt
from opentelemetry import trace

from langgraph_alto import Partial
from tests.helpers.graphs import AHEAD, anap, chain_graph, nap

Shape = Callable[[], int]

SHAPES: dict[str, Shape] = {}

providers: list[Any] = []
"""The last one makes the user's own spans. (The global one can be set only once in a process.)"""


def shape(function: Shape) -> Shape:
    """Add a shape under its function's name."""
    SHAPES[function.__name__] = function
    return function


class State(TypedDict, total=False):
    """What most shapes keep."""

    items: Annotated[list[str], operator.add]
    notes: Annotated[list[str], operator.add]
    joined: str


def own_span(name: str = "mine") -> Any:
    """A span that the user makes in a body."""
    provider = providers[-1] if providers else None
    return trace.get_tracer("users own", tracer_provider=provider).start_as_current_span(name)


def each(state: State) -> list[Send]:
    """Route each item to a worker."""
    return [Send("work", {"item": item}) for item in state["items"]]


def join(state: State) -> State:
    """Put the notes together."""
    return {"joined": ",".join(sorted(state["notes"]))}


def fan_out(plan: Any, work: Any, after: Any = join, **compiled: Any) -> Any:
    """plan -> work for each item -> join."""
    builder = StateGraph(State)
    builder.add_node("plan", plan)
    builder.add_node("work", work, metadata=AHEAD)
    builder.add_node("join", after, defer=True)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", each, ["work"])
    builder.add_edge("work", "join")
    builder.add_edge("join", END)
    return builder.compile(name="fan", **compiled)


async def agenerate(state: State) -> AsyncIterator[Partial]:
    """Three items, one after the other."""
    for number in range(3):
        await asyncio.sleep(0.002)
        yield Partial(items=[f"s{number}"])


def generate(state: State) -> Iterator[Partial]:
    """The same in a thread."""
    for number in range(3):
        time.sleep(0.002)
        yield Partial(items=[f"s{number}"])


async def awork(arg: dict[str, str]) -> State:
    """Some work, with a span of the user's own."""
    with own_span():
        await asyncio.sleep(0.002)
    return {"notes": [arg["item"]]}


def work(arg: dict[str, str]) -> State:
    """The same in a thread."""
    with own_span():
        time.sleep(0.002)
    return {"notes": [arg["item"]]}


@shape
def streamed_producer() -> int:
    """Its consumers start while it still runs."""
    asyncio.run(fan_out(agenerate, awork).ainvoke({}))
    return 1


@shape
def streamed_producer_in_threads() -> int:
    """The same synchronously."""
    fan_out(generate, work).invoke({})
    return 1


@shape
def streamed_messages() -> int:
    """A run that is consumed as a stream: bodies are generators all the way."""

    async def consume() -> None:
        async for _ in fan_out(agenerate, awork).astream({}, stream_mode=["messages", "updates"]):
            pass

    asyncio.run(consume())
    return 1


@shape
def chains() -> int:
    """Chains of Sends run ahead of their steps."""

    async def stage(number: int, item: int) -> int:
        await anap(0.001 * (item + 1))
        return item

    asyncio.run(chain_graph(3, stage, asynchronous=True).ainvoke({}))
    return 1


@shape
def chains_in_threads() -> int:
    """The same synchronously."""

    def stage(number: int, item: int) -> int:
        nap(0.001 * (item + 1))
        return item

    chain_graph(3, stage, asynchronous=False).invoke({})
    return 1


@shape
def error() -> int:
    """A node raises."""

    async def fails(arg: dict[str, str]) -> State:
        await asyncio.sleep(0.001)
        if arg["item"] == "s1":
            raise ValueError("not this one")
        return {"notes": [arg["item"]]}

    with contextlib.suppress(ValueError):
        asyncio.run(fan_out(agenerate, fails).ainvoke({}))
    return 1


@shape
def discarded() -> int:
    """A sibling fails while what follows the other one runs ahead."""

    async def stage(number: int, item: int) -> int:
        if number == 1 and item == 2:
            await anap(0.02)
            raise ValueError("too late")
        await anap(0.001 if number == 1 else 0.05)
        return item

    with contextlib.suppress(ValueError):
        asyncio.run(chain_graph(2, stage, asynchronous=True).ainvoke({}))
    return 1


@shape
def retries() -> int:
    """The third attempt succeeds."""
    attempts: list[int] = []

    def flaky(state: State) -> State:
        attempts.append(1)
        if len(attempts) < 3:
            raise ConnectionError("again")
        return {"notes": ["at last"]}

    builder = StateGraph(State)
    policy = RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=3)
    builder.add_node("flaky", flaky, retry_policy=policy)
    builder.add_edge(START, "flaky")
    builder.compile(name="retries").invoke({})
    return 1


@shape
def interrupts() -> int:
    """Asked, and resumed: two requests."""

    def ask(state: State) -> State:
        return {"notes": [interrupt("really?")]}

    builder = StateGraph(State)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    graph = builder.compile(name="asks", checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "thread-1"}}
    graph.invoke({}, config)
    assert graph.invoke(Command(resume="yes"), config)["notes"] == ["yes"]
    return 2


@shape
def breakpoints() -> int:
    """Stopped before a node, and gone on: two requests."""
    builder = StateGraph(State)
    builder.add_node("one", lambda state: {"notes": ["one"]})
    builder.add_node("two", lambda state: {"notes": ["two"]})
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    graph = builder.compile(name="stops", checkpointer=InMemorySaver(), interrupt_before=["two"])
    config: Any = {"configurable": {"thread_id": "thread-2"}}
    graph.invoke({}, config)
    graph.invoke(None, config)
    return 2


@shape
def subgraph() -> int:
    """A graph as a node of another one, for each item."""
    inner = StateGraph(State)
    inner.add_node("read", lambda state: {"notes": ["read"]})
    inner.add_node("write", lambda state: {"notes": ["written"]})
    inner.add_edge(START, "read")
    inner.add_edge("read", "write")
    asyncio.run(fan_out(agenerate, inner.compile(name="inner")).ainvoke({}))
    return 1


@shape
def graph_in_a_body() -> int:
    """A node that calls a graph."""
    inner = StateGraph(State)
    inner.add_node("read", lambda state: {"notes": ["read"]})
    inner.add_edge(START, "read")
    called = inner.compile(name="called")

    async def calls(state: State) -> State:
        return {"notes": (await called.ainvoke({}))["notes"]}

    builder = StateGraph(State)
    builder.add_node("calls", calls)
    builder.add_edge(START, "calls")
    asyncio.run(builder.compile(name="caller").ainvoke({}))
    return 1


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    return word.upper()


@shape
def models_and_tools() -> int:
    """A chat model and a tool in each worker, while it runs ahead."""
    model = FakeListChatModel(responses=["a short answer"])

    async def asks(arg: dict[str, str]) -> State:
        said = await model.ainvoke([HumanMessage(arg["item"])])
        found = await look_up.ainvoke({"word": arg["item"]})
        return {"notes": [f"{said.content} {found}"]}

    asyncio.run(fan_out(agenerate, asks).ainvoke({}))
    return 1


@shape
def consumer_breaks_off() -> int:
    """The stream is closed in the middle."""

    async def consume() -> None:
        async def slow(arg: dict[str, str]) -> State:
            await asyncio.sleep(5)
            return {}

        stream = fan_out(agenerate, slow).astream({}, stream_mode="updates")
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(consume())
    return 1


@shape
def cancelled() -> int:
    """The caller is cancelled."""

    async def go() -> None:
        began = asyncio.Event()

        async def slow(arg: dict[str, str]) -> State:
            began.set()
            await asyncio.sleep(5)
            return {}

        running = asyncio.create_task(fan_out(agenerate, slow).ainvoke({}))
        await began.wait()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(go())
    return 1


@shape
def task_calls() -> int:
    """The functional API."""

    @task
    def double(number: int) -> int:
        return 2 * number

    @entrypoint()
    def work_flow(numbers: list[int]) -> list[int]:
        return [call.result() for call in [double(n) for n in numbers]]

    assert work_flow.invoke([1, 2]) == [2, 4]
    return 1


@shape
def loop() -> int:
    """A node that goes round."""
    builder = StateGraph(State)
    builder.add_node("turn", lambda state: {"notes": ["again"]})
    builder.add_edge(START, "turn")
    builder.add_conditional_edges(
        "turn", lambda state: "turn" if len(state["notes"]) < 5 else END, ["turn", END]
    )
    builder.compile(name="loop").invoke({})
    return 1


@shape
def branches() -> int:
    """Static branches and a join."""
    builder = StateGraph(State)
    for name in ("left", "right"):
        builder.add_node(name, lambda state: {"notes": ["side"]})
        builder.add_edge(START, name)
    builder.add_node("both", join)
    builder.add_edge(["left", "right"], "both")
    builder.compile(name="branches").invoke({})
    return 1


@shape
def bad_input() -> int:
    """Refused before its first step."""
    with contextlib.suppress(Exception):
        builder = StateGraph(State)
        builder.add_node("one", lambda state: {})
        builder.add_edge(START, "one")
        builder.compile(name="refused").invoke(None)
    return 1


@shape
def messages_of_a_model() -> int:
    """An ordinary agent step whose model is streamed to the consumer."""
    model = FakeListChatModel(responses=["one two three"])

    async def agent(state: dict[str, Any]) -> dict[str, Any]:
        return {"joined": (await model.ainvoke([AIMessage("hello")])).text}

    builder = StateGraph(State)
    builder.add_node("agent", agent)
    builder.add_edge(START, "agent")

    async def consume() -> None:
        async for _ in builder.compile(name="agent").astream({}, stream_mode="messages"):
            pass

    asyncio.run(consume())
    return 1
