"""Graphs whose Send chains run ahead beside a slow sibling."""

from __future__ import annotations

import asyncio
import operator
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send

AHEAD: dict[str, Any] = {"alto": {"effects": "idempotent"}}
"""Bodies of these tests count and wait, so they say that they may run early."""

ONCE: dict[str, Any] = {"alto": {"effects": "once"}}


class State(TypedDict, total=False):
    """What the chain graphs keep."""

    items: list[int]
    done: Annotated[list[Any], operator.add]
    joined: str


class Bodies:
    """Counts which bodies began, by node and item. Thread-safe."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, Any]] = Counter()
        self._lock = threading.Lock()

    def began(self, node: str, item: Any) -> None:
        with self._lock:
            self.counts[node, item] += 1

    def extra(self, other: Bodies) -> int:
        """How many more bodies began here than there; fails if a body ran less often."""
        fewer = other.counts - self.counts
        assert not fewer, f"bodies that ran less often: {dict(fewer)}"
        return (self.counts - other.counts).total()


Stage = Callable[[int, int], Any]
"""The work of stage `stage` for item `item`; what it returns is kept in `done`."""


def chain_graph(
    stages: int,
    work: Stage,
    *,
    items: Sequence[int] = (0, 1, 2),
    asynchronous: bool,
    metadata: Mapping[str, Any] = AHEAD,
    name: str = "chains",
    **compiled: Any,
) -> Any:
    """Chains of Sends, one per item: stage1 -> stage2 -> ... -> join.

    In an asynchronous graph `work` is a coroutine function.
    """
    builder = StateGraph(State)

    def last_or_next(stage: int, item: int, result: Any) -> Command[Any]:
        goto: Any = Send(f"stage{stage + 1}", {"item": item}) if stage < stages else "join"
        return Command(goto=goto, update={"done": [[stage, item, result]]})

    def make(stage: int) -> Any:
        if asynchronous:

            async def abody(arg: dict[str, int]) -> Command[Any]:
                return last_or_next(stage, arg["item"], await work(stage, arg["item"]))

            return abody

        def body(arg: dict[str, int]) -> Command[Any]:
            return last_or_next(stage, arg["item"], work(stage, arg["item"]))

        return body

    def plan(state: State) -> State:
        return {"items": list(items)}

    def fan_out(state: State) -> list[Send]:
        return [Send("stage1", {"item": item}) for item in state["items"]]

    def join(state: State) -> State:
        return {"joined": ",".join(f"{s}.{i}" for s, i, _ in state["done"])}

    builder.add_node("plan", plan)
    builder.add_node("join", join, defer=True)
    for stage in range(1, stages + 1):
        goes_to = (f"stage{stage + 1}",) if stage < stages else ("join",)
        builder.add_node(
            f"stage{stage}", make(stage), metadata=dict(metadata), destinations=goes_to
        )
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", fan_out, ["stage1"])
    builder.add_edge("join", END)
    graph = builder.compile(**compiled)
    graph.name = name
    return graph


def nap(seconds: float) -> None:
    """A body's own delay in a thread."""
    time.sleep(seconds)


async def anap(seconds: float) -> None:
    """A body's own delay on the event loop."""
    await asyncio.sleep(seconds)
