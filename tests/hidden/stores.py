"""Rows: LangGraph's store, by every way that leads to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from langgraph.config import get_store
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime, get_runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from tests.hidden.kit import Case, State, Table, beside, next_round, rounds, row
from tests.hidden.quartet import quartet
from tests.hidden.waiting import apause

TABLE: Table = {}
STORE = "store"
NOTES = ("notes",)


def kept(store: BaseStore) -> Any:
    """What is in the store at the end."""
    return sorted((item.key, item.value) for item in store.search(NOTES))


@row(TABLE, STORE)
def injected(place: Path) -> Case:
    store = InMemoryStore()

    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State, *, store: BaseStore) -> State:
        await apause("right")
        await store.aput(NOTES, "from", {"who": "right"})
        return {"right": "done"}

    async def after_left(state: State, *, store: BaseStore) -> State:
        found = await store.aget(NOTES, "from")
        return {"after_left": found.value if found else None}

    graph = beside(State, [left, after_left], [right], store=store)
    return Case(graph, effect=lambda: kept(store))


@row(TABLE, STORE)
def through_the_runtime(place: Path) -> Case:
    store = InMemoryStore()

    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State, runtime: Runtime) -> State:
        await apause("right")
        assert runtime.store is not None
        await runtime.store.aput(NOTES, "from", {"who": "right"})
        return {"right": "done"}

    async def after_left(state: State, runtime: Runtime) -> State:
        assert runtime.store is not None
        found = await runtime.store.asearch(NOTES)
        return {"after_left": [item.value for item in found]}

    graph = beside(State, [left, after_left], [right], store=store)
    return Case(graph, effect=lambda: kept(store))


@row(TABLE, STORE)
def ambient(place: Path) -> Case:
    store = InMemoryStore()

    async def remember(who: str) -> None:
        await get_store().aput(NOTES, who, {"who": who})

    async def recall() -> Any:
        return [item.key for item in await get_store().asearch(NOTES)]

    return Case(quartet(remember, recall, store=store), effect=lambda: kept(store))


@row(TABLE, STORE)
def ambient_through_the_runtime(place: Path) -> Case:
    store = InMemoryStore()

    def memory() -> Any:
        return get_runtime().store

    async def remember(who: str) -> None:
        await memory().aput(NOTES, who, {"who": who})

    async def recall() -> Any:
        return [item.key for item in await memory().asearch(NOTES)]

    return Case(quartet(remember, recall, store=store), effect=lambda: kept(store))


@row(TABLE, STORE)
def in_a_closure(place: Path) -> Case:
    store = InMemoryStore()

    async def remember(who: str) -> None:
        await store.aput(NOTES, who, {"who": who})

    async def recall() -> Any:
        return [item.key for item in await store.asearch(NOTES)]

    return Case(quartet(remember, recall), effect=lambda: kept(store))


@row(TABLE, STORE)
def behind_the_apps_own_class(place: Path) -> Case:
    store = InMemoryStore()

    class Memory:
        def __init__(self, store: BaseStore) -> None:
            self.store = store

        async def keep(self, who: str) -> None:
            await self.store.aput(NOTES, who, {"who": who})

        async def all(self) -> list[str]:
            return [item.key for item in await self.store.asearch(NOTES)]

    memory = Memory(store)

    async def remember(who: str) -> None:
        await memory.keep(who)

    async def recall() -> Any:
        return await memory.all()

    return Case(quartet(remember, recall), effect=lambda: kept(store))


@row(TABLE, STORE)
def runtime_handed_to_a_helper(place: Path) -> Case:
    store = InMemoryStore()

    async def note(runtime: Runtime, who: str) -> None:
        assert runtime.store is not None
        await runtime.store.aput(NOTES, who, {"who": who})

    async def count(runtime: Runtime) -> int:
        assert runtime.store is not None
        return len(await runtime.store.asearch(NOTES))

    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State, runtime: Runtime) -> State:
        await apause("right")
        await note(runtime, "right")
        return {"right": "done"}

    async def after_left(state: State, runtime: Runtime) -> State:
        return {"after_left": await count(runtime)}

    graph = beside(State, [left, after_left], [right], store=store)
    return Case(graph, effect=lambda: kept(store))


@row(TABLE, STORE)
def in_a_subgraph(place: Path) -> Case:
    store = InMemoryStore()

    class Left(TypedDict):
        left: str

    async def inside(state: Any) -> State:
        return {"after_left": [item.key for item in await get_store().asearch(NOTES)]}

    inner = StateGraph(State, input_schema=Left)
    inner.add_node("inside", inside, input_schema=Left)
    inner.add_edge(START, "inside")
    subgraph = inner.compile(name="after_left")

    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State) -> State:
        await apause("right")
        await get_store().aput(NOTES, "right", {"who": "right"})
        return {"right": "done"}

    graph = beside(State, [left, subgraph], [right], store=store)
    return Case(graph, effect=lambda: kept(store))


@row(TABLE, STORE)
def by_the_tasks_of_one_node(place: Path) -> Case:
    store = InMemoryStore()

    async def work(arg: Any, *, store: BaseStore) -> Any:
        await apause(arg["who"])
        key = f"{arg['who']} {arg['round']}"
        await store.aput(NOTES, key, {"before": len(await store.asearch(NOTES))})
        return next_round(arg)

    return Case(rounds(work, State, store=store), effect=lambda: kept(store))
