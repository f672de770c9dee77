"""Graphs whose static branches, loops, subgraphs and streaming producers can overlap.

Each comes with its critical path in closed form. Bodies wait for known times and declare nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from itertools import accumulate
from typing import Annotated, Any, TypedDict

from langchain_core.runnables.utils import AddableDict
from langgraph.graph import START, StateGraph
from langgraph.types import Send

from benchmarks.case import Case


def add(left: list[Any], right: list[Any]) -> list[Any]:
    """The reducer of all lists here."""
    return left + right


class Branches(TypedDict, total=False):
    first: str
    second: str
    third: str
    whole: str


def two_branches(asynchronous: bool) -> Case:
    """fast -> after, beside slow, then a join of both: LangGraph keeps `after` waiting for slow."""
    times = {"fast": 0.1, "after": 0.5, "slow": 0.6, "join": 0.05}

    async def afast(state: Branches) -> Branches:
        await asyncio.sleep(times["fast"])
        return {"first": "fast"}

    async def aafter(state: Branches) -> Branches:
        await asyncio.sleep(times["after"])
        return {"second": state["first"] + " after"}

    async def aslow(state: Branches) -> Branches:
        await asyncio.sleep(times["slow"])
        return {"third": "slow"}

    async def ajoin(state: Branches) -> Branches:
        await asyncio.sleep(times["join"])
        return {"whole": state["second"] + state["third"]}

    def fast(state: Branches) -> Branches:
        time.sleep(times["fast"])
        return {"first": "fast"}

    def after(state: Branches) -> Branches:
        time.sleep(times["after"])
        return {"second": state["first"] + " after"}

    def slow(state: Branches) -> Branches:
        time.sleep(times["slow"])
        return {"third": "slow"}

    def join(state: Branches) -> Branches:
        time.sleep(times["join"])
        return {"whole": state["second"] + state["third"]}

    def build() -> Any:
        builder = StateGraph(Branches)
        builder.add_node("fast", afast if asynchronous else fast)
        builder.add_node("after", aafter if asynchronous else after)
        builder.add_node("slow", aslow if asynchronous else slow)
        builder.add_node("join", ajoin if asynchronous else join)
        builder.add_edge(START, "fast")
        builder.add_edge(START, "slow")
        builder.add_edge("fast", "after")
        builder.add_edge(["after", "slow"], "join")
        return builder.compile()

    bound = max(times["fast"] + times["after"], times["slow"]) + times["join"]
    return Case("two static branches", build, asynchronous, target=1.03, repeats=5, bound=bound)


class Loops(TypedDict, total=False):
    a: int
    b: int
    c: int
    done: Annotated[list[str], add]


def branches_with_loops(asynchronous: bool, *, seed: int) -> Case:
    """Three branches, each a loop with a conditional edge, of different lengths."""
    rng = random.Random(seed)
    lengths = {name: rng.randint(2, 5) for name in "abc"}
    times = {name: rng.uniform(0.05, 0.2) for name in "abc"}

    def branch(builder: Any, name: str) -> None:
        turn, out = _LOOP_BODIES[name]
        builder.add_node(f"turn_{name}", turn(times[name], asynchronous))
        builder.add_node(f"end_{name}", out)
        builder.add_edge(START, f"turn_{name}")
        builder.add_conditional_edges(
            f"turn_{name}", _LOOP_ROUTERS[name](lengths[name]), [f"turn_{name}", f"end_{name}"]
        )

    def build() -> Any:
        builder = StateGraph(Loops)
        for name in "abc":
            branch(builder, name)
        return builder.compile()

    return Case(
        f"three branches with loops, #{seed}",
        build,
        asynchronous,
        target=1.05,
        repeats=5,
        bound=max(lengths[name] * times[name] for name in "abc"),
    )


def _turn_a(seconds: float, asynchronous: bool) -> Any:
    async def aturn(state: Loops) -> Loops:
        await asyncio.sleep(seconds)
        return {"a": state.get("a", 0) + 1}

    def turn(state: Loops) -> Loops:
        time.sleep(seconds)
        return {"a": state.get("a", 0) + 1}

    return aturn if asynchronous else turn


def _turn_b(seconds: float, asynchronous: bool) -> Any:
    async def aturn(state: Loops) -> Loops:
        await asyncio.sleep(seconds)
        return {"b": state.get("b", 0) + 1}

    def turn(state: Loops) -> Loops:
        time.sleep(seconds)
        return {"b": state.get("b", 0) + 1}

    return aturn if asynchronous else turn


def _turn_c(seconds: float, asynchronous: bool) -> Any:
    async def aturn(state: Loops) -> Loops:
        await asyncio.sleep(seconds)
        return {"c": state.get("c", 0) + 1}

    def turn(state: Loops) -> Loops:
        time.sleep(seconds)
        return {"c": state.get("c", 0) + 1}

    return aturn if asynchronous else turn


def _end_a(state: Loops) -> Loops:
    return {"done": [f"a {state['a']}"]}


def _end_b(state: Loops) -> Loops:
    return {"done": [f"b {state['b']}"]}


def _end_c(state: Loops) -> Loops:
    return {"done": [f"c {state['c']}"]}


_LOOP_BODIES: dict[str, tuple[Callable[[float, bool], Any], Any]] = {
    "a": (_turn_a, _end_a),
    "b": (_turn_b, _end_b),
    "c": (_turn_c, _end_c),
}
_LOOP_ROUTERS: dict[str, Callable[[int], Callable[[Loops], str]]] = {
    "a": lambda length: lambda state: "turn_a" if state["a"] < length else "end_a",
    "b": lambda length: lambda state: "turn_b" if state["b"] < length else "end_b",
    "c": lambda length: lambda state: "turn_c" if state["c"] < length else "end_c",
}


class Sections(TypedDict, total=False):
    sections: list[int]
    done: Annotated[list[str], add]
    report: str


class Section(TypedDict, total=False):
    section: int
    turns: int
    done: Annotated[list[str], add]


def subgraph_per_section(asynchronous: bool, *, seed: int, count: int = 6) -> Case:
    """A generator plans sections, each goes to a subgraph that loops; a report joins them."""
    rng = random.Random(seed)
    lengths = [rng.randint(1, 4) for _ in range(count)]
    turn_time = [rng.uniform(0.04, 0.15) for _ in range(count)]
    plan_time = [rng.uniform(0.02, 0.08) for _ in range(count)]
    report_time = 0.05

    async def aplan(state: Sections) -> Any:
        for section in range(count):
            await asyncio.sleep(plan_time[section])
            yield AddableDict(sections=[section])

    def plan(state: Sections) -> Any:
        for section in range(count):
            time.sleep(plan_time[section])
            yield AddableDict(sections=[section])

    async def aturn(state: Section) -> Section:
        await asyncio.sleep(turn_time[state["section"]])
        return {"turns": state.get("turns", 0) + 1}

    def turn(state: Section) -> Section:
        time.sleep(turn_time[state["section"]])
        return {"turns": state.get("turns", 0) + 1}

    def write(state: Section) -> Section:
        return {"done": [f"{state['section']}: {state['turns']}"]}

    async def areport(state: Sections) -> Sections:
        await asyncio.sleep(report_time)
        return {"report": "; ".join(state["done"])}

    def report(state: Sections) -> Sections:
        time.sleep(report_time)
        return {"report": "; ".join(state["done"])}

    def again(state: Section) -> str:
        return "turn" if state["turns"] < lengths[state["section"]] else "write"

    def each(state: Sections) -> list[Send]:
        return [Send("section", {"section": s}) for s in state["sections"]]

    def build() -> Any:
        inner = StateGraph(Section)
        inner.add_node("turn", aturn if asynchronous else turn)
        inner.add_node("write", write)
        inner.add_edge(START, "turn")
        inner.add_conditional_edges("turn", again, ["turn", "write"])
        outer = StateGraph(Sections)
        outer.add_node("plan", aplan if asynchronous else plan)
        outer.add_node("section", inner.compile())
        outer.add_node("report", areport if asynchronous else report)
        outer.add_edge(START, "plan")
        outer.add_conditional_edges("plan", each, ["section"])
        outer.add_edge("section", "report")
        return outer.compile()

    ready = list(accumulate(plan_time))
    ends = [ready[i] + lengths[i] * turn_time[i] for i in range(count)]
    return Case(
        f"a subgraph per section, #{seed}",
        build,
        asynchronous,
        target=1.05,
        repeats=5,
        bound=max(ends) + report_time,
    )


class Stream(TypedDict, total=False):
    items: list[int]
    done: Annotated[list[int], add]
    count: int


def producer(asynchronous: bool, *, items: int = 8, between: float = 0.25) -> Case:
    """A generator of items, each a Send as soon as it is there, then a join."""

    def work_time(item: int) -> float:
        return 2.0 - 0.2 * item

    scale = 0.5
    between *= scale

    async def amake(state: Stream) -> Any:
        for item in range(items):
            await asyncio.sleep(between)
            yield AddableDict(items=[item])

    def make(state: Stream) -> Any:
        for item in range(items):
            time.sleep(between)
            yield AddableDict(items=[item])

    async def awork(arg: dict[str, int]) -> Stream:
        await asyncio.sleep(scale * work_time(arg["item"]))
        return {"done": [arg["item"]]}

    def work(arg: dict[str, int]) -> Stream:
        time.sleep(scale * work_time(arg["item"]))
        return {"done": [arg["item"]]}

    def join(state: Stream) -> Stream:
        return {"count": len(state["done"])}

    def each(state: Stream) -> list[Send]:
        return [Send("work", {"item": item}) for item in state["items"]]

    def build() -> Any:
        builder = StateGraph(Stream)
        builder.add_node("make", amake if asynchronous else make)
        builder.add_node("work", awork if asynchronous else work)
        builder.add_node("join", join)
        builder.add_edge(START, "make")
        builder.add_conditional_edges("make", each, ["work"])
        builder.add_edge("work", "join")
        return builder.compile()

    bound = max(between * (item + 1) + scale * work_time(item) for item in range(items))
    return Case(
        "generator, fan-out, join", build, asynchronous, target=1.04, repeats=5, bound=bound
    )


def chunks(asynchronous: bool, *, count: int = 1000, routed: bool = False) -> Case:
    """A generator of many chunks with nothing to hide: a plain edge, or Sends of trivial bodies."""

    async def amake(state: Stream) -> Any:
        for item in range(count):
            yield AddableDict(items=[item])

    def make(state: Stream) -> Any:
        for item in range(count):
            yield AddableDict(items=[item])

    def last(state: Stream) -> Stream:
        return {"count": len(state["items"])}

    def work(arg: dict[str, int]) -> Stream:
        return {"done": [arg["item"]]}

    def each(state: Stream) -> list[Send]:
        return [Send("work", {"item": item}) for item in state["items"][:8]]

    def build() -> Any:
        builder = StateGraph(Stream)
        builder.add_node("make", amake if asynchronous else make)
        builder.add_edge(START, "make")
        if routed:
            builder.add_node("work", work)
            builder.add_conditional_edges("make", each, ["work"])
        else:
            builder.add_node("last", last)
            builder.add_edge("make", "last")
        return builder.compile()

    name = f"{count} chunks{', eight Sends' if routed else ''}, nothing to hide"
    return Case(name, build, asynchronous, target=1.05, repeats=15)
