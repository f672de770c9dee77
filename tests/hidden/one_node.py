"""Rows: tasks of one node over one object, nodes and routers, nodes and reducers."""

from __future__ import annotations

import functools
import operator
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send

from tests.hidden.kit import Case, Saw, State, Table, next_round, rounds, row
from tests.hidden.waiting import apause

TABLE: Table = {}
SHARED = "shared container"


@row(TABLE, SHARED)
def tasks_over_a_list(place: Path) -> Case:
    done: list[str] = []

    async def work(arg: Any) -> Any:
        await apause(arg["who"])
        done.append(arg["who"])
        return next_round(arg, list(done))

    return Case(rounds(work, Saw), effect=lambda: done)


@row(TABLE, SHARED)
def tasks_over_a_closure(place: Path) -> Case:
    number = 0

    async def work(arg: Any) -> Any:
        nonlocal number
        await apause(arg["who"])
        number += 1
        return next_round(arg, number)

    return Case(rounds(work, Saw), effect=lambda: number)


@row(TABLE, SHARED)
def tasks_over_an_attribute(place: Path) -> Case:
    class Worker:
        busy = 0

        async def __call__(self, arg: Any) -> Any:
            await apause(arg["who"])
            self.busy += 1
            return next_round(arg, self.busy)

    worker = Worker()
    return Case(rounds(worker, Saw), effect=lambda: worker.busy)


@row(TABLE, SHARED)
def tasks_over_a_cache(place: Path) -> Case:
    numbers: list[str] = []

    @functools.lru_cache
    def number(name: str) -> int:
        numbers.append(name)
        return len(numbers)

    async def work(arg: Any) -> Any:
        await apause(arg["who"])
        return next_round(arg, number(f"{arg['who']} {arg['round']}"))

    return Case(rounds(work, Saw), effect=lambda: numbers)


@row(TABLE, SHARED)
def tasks_over_a_default(place: Path) -> Case:
    async def work(arg: Any, seen: list[str] = []) -> Any:  # noqa: B006
        await apause(arg["who"])
        seen.append(arg["who"])
        return next_round(arg, list(seen))

    return Case(rounds(work, Saw))


@row(TABLE, SHARED)
def tasks_and_the_sender_over_a_list(place: Path) -> Case:
    sent: list[str] = []

    def plan(state: Saw) -> Saw:
        sent.append("plan")
        return {}

    async def work(arg: Any) -> Any:
        await apause(arg["who"])
        sent.append(f"{arg['who']} {arg['round']}")
        return next_round(arg, len(sent))

    return Case(rounds(work, Saw, plan), effect=lambda: sent)


class Parcel(TypedDict, total=False):
    parcel: list[str]
    saw: Annotated[list[Any], operator.add]


def with_a_parcel(work: Any) -> Any:
    """Both tasks get the very list that is in the state, and so do those that follow."""

    def send(state: Parcel) -> list[Send]:
        return [
            Send("work", {"who": who, "round": 1, "parcel": state["parcel"]})
            for who in ("left", "right")
        ]

    builder = StateGraph(Parcel)
    builder.add_node("plan", lambda state: {"parcel": ["from the plan"]})
    builder.add_node("work", work, destinations=("work",))
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", send, ["work"])
    return builder.compile()


@row(TABLE, "mutates its input")
def tasks_that_change_one_argument(place: Path) -> Case:
    async def work(arg: Any) -> Any:
        await apause(arg["who"])
        arg["parcel"].append(arg["who"])
        return next_round(arg, list(arg["parcel"]))

    return Case(with_a_parcel(work))


@row(TABLE, "mutates its input")
def tasks_that_change_one_argument_through_a_helper(place: Path) -> Case:
    def stamp(parcel: list[str], who: str) -> list[str]:
        parcel.append(who)
        return parcel

    async def work(arg: Any) -> Any:
        await apause(arg["who"])
        return next_round(arg, list(stamp(arg["parcel"], arg["who"])))

    return Case(with_a_parcel(work))


# Nodes and routers ----------------------------------------------------------------------------


class Routed(State, total=False):
    """The usual state, and what those at the end of a conditional edge saw."""

    few: Any
    many: Any


def routed(left: Any, right: Any, after_left: Any, route: Any) -> Any:
    """left -> after_left -> few or many, beside right."""

    async def few(state: Routed) -> Routed:
        return {"few": "ran"}

    async def many(state: Routed) -> Routed:
        return {"many": "ran"}

    builder = StateGraph(Routed)
    for function in (left, right, after_left, few, many):
        builder.add_node(function.__name__, function)
    builder.add_edge(START, "left")
    builder.add_edge(START, "right")
    builder.add_edge("left", "after_left")
    builder.add_conditional_edges("after_left", route, ["few", "many"])
    return builder.compile()


@row(TABLE, SHARED)
def router_that_looks_at_what_a_node_changes(place: Path) -> Case:
    names: list[str] = []

    async def left(state: Routed) -> Routed:
        await apause("left")
        return {"left": "done"}

    async def right(state: Routed) -> Routed:
        await apause("right")
        names.append("right")
        return {"right": "done"}

    async def after_left(state: Routed) -> Routed:
        return {"after_left": "done"}

    def route(state: Routed) -> Literal["few", "many"]:
        return "many" if names else "few"

    return Case(routed(left, right, after_left, route))


@row(TABLE, SHARED)
def router_that_changes_what_a_node_looks_at(place: Path) -> Case:
    asked: list[str] = []

    async def left(state: Routed) -> Routed:
        await apause("left")
        return {"left": "done"}

    async def right(state: Routed) -> Routed:
        await apause("right")
        return {"right": list(asked)}

    async def after_left(state: Routed) -> Routed:
        return {"after_left": "done"}

    def route(state: Routed) -> Literal["few", "many"]:
        asked.append("which way?")
        return "few"

    return Case(routed(left, right, after_left, route), effect=lambda: asked)


@row(TABLE, SHARED)
def router_that_counts_its_rounds(place: Path) -> Case:
    """A loop whose router keeps its own count, beside a node that reads that count."""
    rounds_done = {"number": 0}

    async def left(state: Routed) -> Routed:
        await apause("left")
        return {"left": "done"}

    async def right(state: Routed) -> Routed:
        await apause("right")
        return {"right": rounds_done["number"]}

    async def after_left(state: Routed) -> Routed:
        return {"after_left": "done"}

    def again(state: Routed) -> str:
        rounds_done["number"] += 1
        return "after_left" if rounds_done["number"] < 3 else END

    builder = StateGraph(Routed)
    for function in (left, right, after_left):
        builder.add_node(function.__name__, function)
    builder.add_edge(START, "left")
    builder.add_edge(START, "right")
    builder.add_edge("left", "after_left")
    builder.add_conditional_edges("after_left", again, ["after_left", END])
    return Case(builder.compile(), effect=lambda: rounds_done)


@row(TABLE, SHARED)
def command_that_depends_on_what_a_node_changes(place: Path) -> Case:
    names: list[str] = []

    async def left(state: Routed) -> Routed:
        await apause("left")
        return {"left": "done"}

    async def right(state: Routed) -> Routed:
        await apause("right")
        names.append("right")
        return {"right": "done"}

    async def after_left(state: Routed) -> Command[Literal["few", "many"]]:
        return Command(goto="many" if names else "few", update={"after_left": "done"})

    async def few(state: Routed) -> Routed:
        return {"few": "ran"}

    async def many(state: Routed) -> Routed:
        return {"many": "ran"}

    builder = StateGraph(Routed)
    for function in (left, right, after_left, few, many):
        builder.add_node(function.__name__, function)
    builder.add_edge(START, "left")
    builder.add_edge(START, "right")
    builder.add_edge("left", "after_left")
    return Case(builder.compile())


# Nodes and reducers ---------------------------------------------------------------------------


def reduced(reducer: Any, left: Any, right: Any, after_left: Any) -> Any:
    """left -> after_left beside right, over a channel `total` with a reducer."""
    schema: Any = TypedDict(
        "Reduced",
        {
            "total": Annotated[Any, reducer],
            "left": Any,
            "right": Any,
            "after_left": Any,
        },
        total=False,
    )
    builder = StateGraph(schema)
    for function in (left, right, after_left):
        builder.add_node(function.__name__, function)
    builder.add_edge(START, "left")
    builder.add_edge(START, "right")
    builder.add_edge("left", "after_left")
    return builder.compile()


@row(TABLE, SHARED)
def reducer_that_looks_at_what_a_later_node_changes(place: Path) -> Case:
    limits = {"most": 10}

    def capped(old: Any, new: Any) -> Any:
        return min(old + new, limits["most"])

    async def left(state):  # type: ignore[no-untyped-def]
        await apause("left")
        return {"left": "done"}

    async def right(state):  # type: ignore[no-untyped-def]
        await apause("right")
        return {"total": 50}

    async def after_left(state):  # type: ignore[no-untyped-def]
        limits["most"] = 20
        return {"after_left": "done"}

    return Case(reduced(capped, left, right, after_left), {"total": 0})


@row(TABLE, SHARED)
def reducer_that_changes_what_a_node_looks_at(place: Path) -> Case:
    merges: list[int] = []

    def counted(old: Any, new: Any) -> Any:
        merges.append(new)
        return old + new

    async def left(state):  # type: ignore[no-untyped-def]
        await apause("left")
        return {"left": "done"}

    async def right(state):  # type: ignore[no-untyped-def]
        await apause("right")
        return {"total": 5}

    async def after_left(state):  # type: ignore[no-untyped-def]
        return {"after_left": list(merges)}

    return Case(reduced(counted, left, right, after_left), {"total": 0}, lambda: merges)


@row(TABLE, why_equal="what a reducer that counts gave is never foretold")
def reducer_that_counts_its_calls(place: Path) -> Case:
    merges: list[int] = []

    def counted(old: Any, new: Any) -> Any:
        merges.append(new)
        return [*(old or []), f"{new} as number {len(merges)}"]

    async def left(state):  # type: ignore[no-untyped-def]
        await apause("left")
        return {"total": 1}

    async def right(state):  # type: ignore[no-untyped-def]
        await apause("right")
        return {"right": "done"}

    async def after_left(state):  # type: ignore[no-untyped-def]
        return {"after_left": state["total"]}

    return Case(reduced(counted, left, right, after_left), {"total": 0}, lambda: merges)


@row(TABLE, SHARED, why_equal="what a reducer that changes something gave is never foretold")
def reducer_that_gives_its_own_list(place: Path) -> Case:
    """The channel's value is a list that a node reaches by another way, too."""
    total: list[int] = []

    def gathered(old: Any, new: Any) -> Any:
        total.append(new)
        return total

    async def left(state):  # type: ignore[no-untyped-def]
        await apause("left")
        return {"total": 1}

    async def right(state):  # type: ignore[no-untyped-def]
        await apause("right")
        total.append(100)
        return {"right": "done"}

    async def after_left(state):  # type: ignore[no-untyped-def]
        return {"after_left": list(state["total"])}

    return Case(reduced(gathered, left, right, after_left), {"total": 0})
