"""Graphs whose critical path is known in closed form. Their bodies only wait."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send

from langgraph_alto import Partial


class State(TypedDict, total=False):
    a: str
    b: str
    c: str
    d: str
    turns: int
    items: Annotated[list[Any], operator.add]
    done: Annotated[list[Any], operator.add]


@dataclass(frozen=True)
class Shape:
    """A graph, its bound in seconds, and what LangGraph needs for it."""

    name: str
    build: Callable[[], Any]
    bound: float
    supersteps: float


def _wait(seconds: float, **update: Any) -> Any:
    async def body(state: State) -> Any:
        await asyncio.sleep(seconds)
        return update

    return body


async def _a1(state: State) -> State:
    await asyncio.sleep(1)
    return {"a": "a"}


async def _b5(state: State) -> State:
    await asyncio.sleep(5)
    return {"b": "b"}


async def _c3_after_a(state: State) -> State:
    text = state["a"]
    await asyncio.sleep(3)
    return {"c": text}


async def _d2_after_b_and_c(state: State) -> State:
    text = state["b"] + state["c"]
    await asyncio.sleep(2)
    return {"d": text}


async def _d2_after_a(state: State) -> State:
    text = state["a"]
    await asyncio.sleep(2)
    return {"d": text}


def chain() -> Any:
    builder = StateGraph(State)
    builder.add_node("a", _a1)
    builder.add_node("c", _c3_after_a)
    builder.add_edge(START, "a")
    builder.add_edge("a", "c")
    return builder.compile()


def diamond() -> Any:
    """a -> (c, d) -> end; both branches begin together."""
    builder = StateGraph(State)
    builder.add_node("a", _a1)
    builder.add_node("c", _c3_after_a)
    builder.add_node("d", _d2_after_a)
    builder.add_edge(START, "a")
    builder.add_edge("a", "c")
    builder.add_edge("a", "d")
    return builder.compile()


def uneven_branches() -> Any:
    """a(1) -> c(3) beside b(5); d(2) joins: max(1 + 3, 5) + 2 and not 5 + 3 + 2."""
    builder = StateGraph(State)
    builder.add_node("a", _a1)
    builder.add_node("b", _b5)
    builder.add_node("c", _c3_after_a)
    builder.add_node("d", _d2_after_b_and_c)
    builder.add_edge(START, "a")
    builder.add_edge(START, "b")
    builder.add_edge("a", "c")
    builder.add_edge(["b", "c"], "d")
    return builder.compile()


def no_join() -> Any:
    """The same without a join: the run is over when the longer branch is."""
    builder = StateGraph(State)
    builder.add_node("a", _a1)
    builder.add_node("b", _b5)
    builder.add_node("c", _c3_after_a)
    builder.add_edge(START, "a")
    builder.add_edge(START, "b")
    builder.add_edge("a", "c")
    return builder.compile()


class Item(TypedDict):
    index: int


FIRST = (3.0, 1.0, 2.0)
SECOND = (1.0, 4.0, 2.0)


async def _first(item: Item) -> Command[Literal["second"]]:
    await asyncio.sleep(FIRST[item["index"]])
    return Command(goto=[Send("second", {"index": item["index"]})])


async def _second(item: Item) -> State:
    await asyncio.sleep(SECOND[item["index"]])
    return {"done": [item["index"]]}


async def _report(state: State) -> State:
    count = len(state["done"])
    await asyncio.sleep(0.5)
    return {"d": str(count)}


def send_chains() -> Any:
    """Three chains of two `Send`s and a join: max of the sums, and not the sum of the maxima."""
    builder = StateGraph(State)
    builder.add_node("first", _first)
    builder.add_node("second", _second)
    builder.add_node("report", _report)
    builder.add_conditional_edges(
        START, lambda _: [Send("first", {"index": i}) for i in range(3)], ["first"]
    )
    builder.add_edge("second", "report")
    return builder.compile()


def map_reduce() -> Any:
    """One level of `Send`s and a join: nothing to gain."""
    builder = StateGraph(State)
    builder.add_node("second", _second)
    builder.add_node("report", _report)
    builder.add_conditional_edges(
        START, lambda _: [Send("second", {"index": i}) for i in range(3)], ["second"]
    )
    builder.add_edge("second", "report")
    return builder.compile()


async def _make(state: State) -> Any:
    for index in range(3):
        await asyncio.sleep(2)
        yield Partial(items=[index])
    await asyncio.sleep(1)


def _each(state: State) -> list[Send]:
    return [Send("second", {"index": item}) for item in state["items"]]


def producer() -> Any:
    """Items come after 2, 4 and 6 s of 7: the last of 4 + 4 and 6 + 2, then the join."""
    builder = StateGraph(State)
    builder.add_node("make", _make)
    builder.add_node("second", _second)
    builder.add_node("report", _report)
    builder.add_edge(START, "make")
    builder.add_conditional_edges("make", _each, ["second"])
    builder.add_edge("second", "report")
    return builder.compile()


async def _turn(state: State) -> State:
    await asyncio.sleep(1)
    return {"turns": state.get("turns", 0) + 1}


def loop_beside_a_node() -> Any:
    """Four turns of 1 s beside a node of 5 s whose result nobody needs."""
    builder = StateGraph(State)
    builder.add_node("turn", _turn)
    builder.add_node("b", _b5)
    builder.add_edge(START, "turn")
    builder.add_edge(START, "b")
    builder.add_conditional_edges(
        "turn", lambda state: "turn" if state["turns"] < 4 else END, ["turn", END]
    )
    return builder.compile()


class Inner(TypedDict, total=False):
    index: int
    done: Annotated[list[Any], operator.add]


async def _inner_first(state: Inner) -> Inner:
    await asyncio.sleep(FIRST[state["index"]])
    return {}


async def _inner_second(state: Inner) -> Inner:
    await asyncio.sleep(SECOND[state["index"]])
    return {"done": [state["index"]]}


def _section() -> Any:
    builder = StateGraph(Inner)
    builder.add_node("one", _inner_first)
    builder.add_node("two", _inner_second)
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    return builder.compile()


def subgraphs() -> Any:
    """A subgraph for each item: LangGraph itself keeps their steps apart."""
    builder = StateGraph(State)
    builder.add_node("section", _section())
    builder.add_node("report", _report)
    builder.add_conditional_edges(
        START, lambda _: [Send("section", {"index": i}) for i in range(3)], ["section"]
    )
    builder.add_edge("section", "report")
    return builder.compile()


def _uneven_section() -> Any:
    """a(1) -> c(3) beside b(5), as a graph of its own."""
    return no_join()


async def _d2_after_c(state: State) -> State:
    text = state["c"]
    await asyncio.sleep(2)
    return {"d": text}


def subgraph_with_branches() -> Any:
    """A subgraph whose own branches are uneven, then a node: 5 + 2 and not 8 + 2."""
    builder = StateGraph(State)
    builder.add_node("section", _uneven_section())
    builder.add_node("d", _d2_after_c)
    builder.add_edge(START, "section")
    builder.add_edge("section", "d")
    return builder.compile()


async def _plan(state: State) -> Command[Literal["b", "c"]]:
    await asyncio.sleep(1)
    return Command(update={"a": "a"}, goto=["b", "c"])


def commands() -> Any:
    """A command names two nodes; one of them goes on."""
    builder = StateGraph(State)
    builder.add_node("plan", _plan)
    builder.add_node("b", _b5)
    builder.add_node("c", _c3_after_a)
    builder.add_node("d", _d2_after_c)
    builder.add_edge(START, "plan")
    builder.add_edge("c", "d")
    return builder.compile()


def deferred() -> Any:
    """A deferred node waits for the end of both branches."""
    builder = StateGraph(State)
    builder.add_node("a", _a1)
    builder.add_node("b", _b5)
    builder.add_node("c", _c3_after_a)
    builder.add_node("d", _d2_after_b_and_c, defer=True)
    builder.add_edge(START, "a")
    builder.add_edge(START, "b")
    builder.add_edge("a", "c")
    builder.add_edge("c", "d")
    builder.add_edge("b", "d")
    return builder.compile()


def reads_what_is_slow() -> Any:
    """a(1) -> late(2), which reads what b(5) writes: a true dependency that no edge shows."""

    async def late(state: State) -> State:
        text = state.get("b", "nothing")
        await asyncio.sleep(2)
        return {"d": text}

    builder = StateGraph(State)
    builder.add_node("a", _a1)
    builder.add_node("b", _b5)
    builder.add_node("late", late)
    builder.add_edge(START, "a")
    builder.add_edge(START, "b")
    builder.add_edge("a", "late")
    return builder.compile()


def either_edge() -> Any:
    """a(1) -> c(3) and b(5) -> c, which reads nothing of b: a's edge alone would start it."""
    builder = StateGraph(State)
    builder.add_node("a", _a1)
    builder.add_node("b", _b5)
    builder.add_node("c", _c3_after_a)
    builder.add_edge(START, "a")
    builder.add_edge(START, "b")
    builder.add_edge("a", "c")
    builder.add_edge("b", "c")
    return builder.compile()


SHAPES = [
    Shape("chain", chain, 4.0, 4.0),
    Shape("diamond", diamond, 4.0, 4.0),
    Shape("uneven branches", uneven_branches, 7.0, 10.0),
    Shape("no join", no_join, 5.0, 8.0),
    Shape("Send chains", send_chains, 5.5, 7.5),
    Shape("map-reduce", map_reduce, 4.5, 4.5),
    Shape("producer", producer, 8.5, 11.5),
    Shape("loop beside a node", loop_beside_a_node, 5.0, 8.0),
    Shape("subgraphs", subgraphs, 5.5, 5.5),
    Shape("subgraph with branches", subgraph_with_branches, 7.0, 10.0),
    Shape("commands", commands, 6.0, 8.0),
    Shape("deferred", deferred, 7.0, 10.0),
    Shape("reads what is slow", reads_what_is_slow, 7.0, 7.0),
    Shape("either edge", either_edge, 5.0, 8.0),
]
