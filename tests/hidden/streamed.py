"""Rows: a generator feeds tasks while it still runs, and something else passes as well.

Its items start tasks at once; under LangGraph those begin after the generator has ended.
"""

from __future__ import annotations

import operator
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.runnables.utils import AddableDict
from langgraph.config import get_store
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.types import Send

from tests.hidden.kit import Case, Table, row
from tests.hidden.outside import database, names_in
from tests.hidden.waiting import apause

TABLE: Table = {}
SHARED = "shared container"
CHANGES = "mutates its input"


class Feed(TypedDict, total=False):
    items: Annotated[list[Any], operator.add]
    found: Annotated[list[Any], operator.add]
    box: list[Any]
    right: Any


def send_items(state: Feed) -> list[Send]:
    return [Send("work", {"item": item}) for item in state["items"]]


def feeding(left: Any, right: Any, work: Any, route: Any = send_items, **compiled: Any) -> Any:
    """left (a generator) -> work for each of its items, beside right."""
    builder = StateGraph(Feed)
    builder.add_node("left", left)
    builder.add_node("right", right)
    builder.add_node("work", work)
    builder.add_edge(START, "left")
    builder.add_edge(START, "right")
    builder.add_conditional_edges("left", route, ["work"])
    return builder.compile(**compiled)


def producing(remember: Any, look: Any, **compiled: Any) -> Any:
    """A generator and its sibling both change something; the tasks that it feeds look at it."""

    async def left(state: Feed) -> AsyncIterator[Any]:
        for item in (1, 2, 3):
            yield AddableDict(items=[item])
        await apause("left")
        await remember("left")

    async def right(state: Feed) -> Feed:
        await apause("right")
        await remember("right")
        return {"right": "done"}

    async def work(arg: Any) -> Any:
        return {"found": [[arg["item"], await look()]]}

    return feeding(left, right, work, **compiled)


@row(TABLE, SHARED)
def list_that_the_generator_changes(place: Path) -> Case:
    names: list[str] = []

    async def remember(who: str) -> None:
        names.append(who)

    async def look() -> list[str]:
        return list(names)

    return Case(producing(remember, look), effect=lambda: names)


@row(TABLE, SHARED)
def number_that_the_generator_changes(place: Path) -> Case:
    number = 0

    async def remember(who: str) -> None:
        nonlocal number
        number += 1

    async def look() -> int:
        return number

    return Case(producing(remember, look), effect=lambda: number)


@row(TABLE, SHARED)
def class_attribute_that_the_generator_changes(place: Path) -> Case:
    class Progress:
        last = "nobody"

    async def remember(who: str) -> None:
        Progress.last = who

    async def look() -> str:
        return Progress.last

    return Case(producing(remember, look), effect=lambda: Progress.last)


@row(TABLE, "store")
def store_that_the_generator_writes(place: Path) -> Case:
    async def remember(who: str) -> None:
        await get_store().aput(("notes",), who, {"who": who})

    async def look() -> Any:
        return [item.key for item in await get_store().asearch(("notes",))]

    return Case(producing(remember, look, store=InMemoryStore()))


@row(TABLE, "outward write", "outside read while another node writes")
def file_that_the_generator_writes(place: Path) -> Case:
    file = place / "names.txt"
    file.write_text("")

    async def remember(who: str) -> None:
        with file.open("a") as opened:
            opened.write(who)

    async def look() -> str:
        return file.read_text()

    return Case(producing(remember, look), effect=file.read_text)


@row(TABLE, "outward write", "outside read while another node writes")
def database_that_the_generator_writes(place: Path) -> Case:
    file = database(place)

    async def remember(who: str) -> None:
        connection = sqlite3.connect(file)
        with connection:
            connection.execute("insert into names (name) values (?)", (who,))
        connection.close()

    async def look() -> list[str]:
        return names_in(file)

    return Case(producing(remember, look), effect=lambda: names_in(file))


async def calm(state: Feed) -> Feed:
    await apause("right")
    return {"right": "done"}


async def passed_on(arg: Any) -> Any:
    return {"found": [str(arg["item"])]}


@row(TABLE)
def item_that_the_generator_changes_afterwards(place: Path) -> Case:
    async def left(state: Feed) -> AsyncIterator[Any]:
        item = {"number": 1}
        yield AddableDict(items=[item])
        await apause("left")
        item["number"] += 10

    return Case(feeding(left, calm, passed_on))


@row(TABLE)
def item_filled_bit_by_bit(place: Path) -> Case:
    async def left(state: Feed) -> AsyncIterator[Any]:
        items = [{"text": ""}, {"text": ""}]
        for item in items:
            yield AddableDict(items=[item])
        await apause("left")
        for item in items:
            item["text"] = "filled in"

    return Case(feeding(left, calm, passed_on))


@row(TABLE, CHANGES)
def item_of_the_state_that_the_sibling_changes(place: Path) -> Case:
    async def left(state: Feed) -> AsyncIterator[Any]:
        for item in state["box"]:
            yield AddableDict(items=[item])
        await apause("left")

    async def right(state: Feed) -> Feed:
        await apause("right")
        for item in state["box"]:
            item["number"] += 10
        return {"right": "done"}

    boxes = [{"number": 1}, {"number": 2}]
    return Case(feeding(left, right, passed_on), {"box": boxes})


@row(TABLE, CHANGES)
def item_that_the_tasks_change(place: Path) -> Case:
    async def left(state: Feed) -> AsyncIterator[Any]:
        box: list[int] = [0]
        yield AddableDict(items=[box])
        await apause("left")
        yield AddableDict(items=[[len(box)]])

    async def work(arg: Any) -> Any:
        arg["item"].append(1)
        return {"found": [len(arg["item"])]}

    return Case(feeding(left, calm, work))


@row(TABLE, SHARED, why_equal="tasks are retracted when a later answer of the router changes them")
def router_that_looks_at_what_the_generator_changes(place: Path) -> Case:
    begun: list[int] = []

    async def left(state: Feed) -> AsyncIterator[Any]:
        for item in (1, 2, 3):
            yield AddableDict(items=[item])
        await apause("left")
        begun.append(3)

    def route(state: Feed) -> list[Send]:
        return [Send("work", {"item": [item, len(begun)]}) for item in state["items"]]

    return Case(feeding(left, calm, passed_on, route))


@row(TABLE, SHARED)
def generator_that_ends_in_an_error(place: Path) -> Case:
    calls: list[int] = []

    async def left(state: Feed) -> AsyncIterator[Any]:
        for item in (1, 2, 3):
            yield AddableDict(items=[item])
        await apause("left")
        raise ValueError("no more")

    async def work(arg: Any) -> Any:
        calls.append(arg["item"])
        return {"found": [arg["item"]]}

    return Case(feeding(left, calm, work), effect=lambda: calls)


@row(TABLE, SHARED)
def what_the_generator_does_at_its_end(place: Path) -> Case:
    names: list[str] = []

    async def left(state: Feed) -> AsyncIterator[Any]:
        try:
            yield AddableDict(items=[1])
            await apause("left")
        finally:
            names.append("ended")

    async def work(arg: Any) -> Any:
        return {"found": [list(names)]}

    return Case(feeding(left, calm, work), effect=lambda: names)


@row(TABLE, SHARED, why_equal="of chunks that do not add up the last counts")
def drafts_and_a_list(place: Path) -> Case:
    names: list[str] = []

    async def left(state: Feed) -> AsyncIterator[Any]:
        yield {"items": [1]}
        await apause("left")
        names.append("left")
        yield {"items": [1, 2]}

    async def right(state: Feed) -> Feed:
        await apause("right")
        return {"right": "done"}

    async def work(arg: Any) -> Any:
        return {"found": [[arg["item"], list(names)]]}

    return Case(feeding(left, right, work), effect=lambda: names)
