"""Graphs that a comparison must get right. `ON_ALTO` tells a body where it runs."""

from __future__ import annotations

import asyncio
import itertools
import operator
import random
import uuid
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_config
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import interrupt

from langgraph_alto._langgraph.probe import _ObservedRun
from langgraph_alto.testing import VirtualClock


class State(TypedDict, total=False):
    number: int
    id: str
    said: list[str]
    done: Annotated[list[Any], operator.add]


def built(*nodes: Any, schema: Any = State, **compiled: Any) -> Any:
    """A sequence of nodes."""
    builder = StateGraph(schema)
    for node in nodes:
        builder.add_node(node)
    builder.add_edge(START, nodes[0].__name__)
    for one, other in itertools.pairwise(nodes):
        builder.add_edge(one.__name__, other.__name__)
    return builder.compile(**compiled)


class Where:
    """Whether the newest run is ALTO's; a graph that looks at it differs on purpose."""

    def __init__(self, monkeypatch: Any) -> None:
        self.on_alto = False
        original = _ObservedRun.__init__

        def noted(run: Any, *args: Any, **kwargs: Any) -> None:
            self.on_alto = True
            original(run, *args, **kwargs)

        monkeypatch.setattr(_ObservedRun, "__init__", noted)

    def differing(self, langgraph: Any, alto: Any, key: str = "said") -> Any:
        """A graph with another result on each executor."""

        async def node(state: State) -> Any:
            await asyncio.sleep(0.1)
            found, self.on_alto = (alto if self.on_alto else langgraph), False
            if isinstance(found, Exception):
                raise found
            return {key: found}

        return built(node)


async def equal_node(state: State) -> State:
    await asyncio.sleep(0.1)
    return {"number": state.get("number", 0) + 1}


def equal_graph() -> Any:
    return built(equal_node)


async def with_an_id(state: State) -> State:
    return {"id": str(uuid.uuid4()), "number": 1}


async def fails_on_odd(state: State) -> State:
    await asyncio.sleep(0.1)
    if state["number"] % 2:
        raise ValueError(f"{state['number']} is odd")
    return {"said": ["even"]}


async def greets(state: MessagesState) -> Any:
    from langchain_core.messages import AIMessage

    return {"messages": [AIMessage("hello")]}


async def asks(state: State) -> State:
    answer = interrupt({"question": "really?"})
    return {"said": [answer]}


async def asks_again(state: State) -> State:
    return {"done": [interrupt("and now?")]}


def with_questions() -> Any:
    return built(asks, asks_again, checkpointer=InMemorySaver())


async def remembers(state: State, *, store: BaseStore) -> State:
    seen = await store.aget(("a",), "seen")
    await store.aput(("a",), "seen", {"count": 1 if seen is None else seen.value["count"] + 1})
    return {"number": 0 if seen is None else seen.value["count"]}


def with_store() -> Any:
    return built(remembers, store=InMemoryStore())


class Context(TypedDict):
    user: str


async def greets_user(state: State, runtime: Runtime[Context]) -> State:
    return {"said": [f"hello {runtime.context['user']}"]}


async def tells_thread(state: State) -> State:
    return {"id": get_config()["configurable"]["thread_id"]}


def noisy_branches(seed: int, factor: float = 1.0, noise: float = 0.02) -> Any:
    """A sequence of two nodes of 1 s, a little different each time; `factor` slows it."""
    rng = random.Random(seed)

    async def one(state: State) -> State:
        await asyncio.sleep(factor * rng.lognormvariate(0, noise))
        return {"number": 1}

    async def two(state: State) -> State:
        await asyncio.sleep(factor * rng.lognormvariate(0, noise))
        return {"id": "two"}

    return built(one, two)


def on_virtual_clock(**more: Any) -> dict[str, Any]:
    """Arguments of `compare` for a run in no time."""
    clock = VirtualClock()
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = clock.new_event_loop
    return {"loop_factory": loop_factory, "runs": 6, **more}
