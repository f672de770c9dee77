"""Graphs whose comparisons make the report page say each thing that it can say.

All are really run on both executors, on a virtual clock: the times are the same in every run.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Annotated, Any, TypedDict

from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Send

from langgraph_alto import Partial
from langgraph_alto.compare import Report, compare
from langgraph_alto.testing import VirtualClock

HOSTILE = "<script>alert(1)</script>"
BREAKING = "</pre></script><script>alert(2)</script><img src=x onerror=alert(3)>"


def add(left: list[str], right: list[str]) -> list[str]:
    return left + right


class State(TypedDict, total=False):
    topic: str
    sections: Annotated[list[str], add]
    rated: Annotated[list[str], add]
    report: str


class Section(TypedDict, total=False):
    section: str
    index: int
    rated: Annotated[list[str], add]


def writer(sections: int = 4, *, rate: str = "rate") -> CompiledStateGraph[Any, Any, Any, Any]:
    """A streamed list, two uneven tasks for each of its items, a join, and a node that is held."""
    sent: list[str] = []

    async def plan(state: State) -> Any:
        for number in range(sections):
            await asyncio.sleep(0.03)
            yield Partial(sections=[f"{state['topic']} {number}"])

    async def research(state: Section) -> Any:
        await asyncio.sleep(0.05 + 0.04 * (state["index"] * 7 % 5))
        return Command(goto=[Send(rate, dict(state))])

    async def rated(state: Section) -> Section:
        await asyncio.sleep(0.04 + 0.03 * (state["index"] * 3 % 4))
        return {"rated": [state["section"]]}

    async def write(state: State) -> State:
        await asyncio.sleep(0.1)
        return {"report": "; ".join(sorted(state["rated"]))}

    async def archive(state: State) -> State:
        sent.append(state["report"])
        await asyncio.sleep(0.05)
        return {}

    def each(state: State) -> list[Send]:
        return [
            Send("research", {"section": section, "index": index})
            for index, section in enumerate(state["sections"])
        ]

    builder = StateGraph(State)
    builder.add_node("plan", plan)
    builder.add_node("research", research, input_schema=Section, destinations=(rate,))
    builder.add_node(rate, rated, input_schema=Section)
    builder.add_node("write", write)
    builder.add_node("archive", archive)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", each, ["research"])
    builder.add_edge(rate, "write")
    builder.add_edge("write", "archive")
    return builder.compile(name="report writer")


class Answer(TypedDict, total=False):
    place: str
    answer: str


def differing() -> CompiledStateGraph[Any, Any, Any, Any]:
    """Its answer counts its calls, so no two results are equal; one input fails."""
    calls = count(1)

    async def look(state: Answer) -> Answer:
        if state["place"] == "nowhere":
            raise LookupError(f"no tides at {BREAKING}")
        await asyncio.sleep(0.02)
        return {}

    async def answer(state: Answer) -> Answer:
        await asyncio.sleep(0.03)
        return {"answer": f"The tide at {state['place']} turns twice a day ({next(calls)})."}

    builder = StateGraph(Answer)
    builder.add_node("look", look)
    builder.add_node("answer", answer)
    builder.add_edge(START, "look")
    builder.add_edge("look", "answer")
    return builder.compile(name="tides")


def compared(graph: Any, inputs: list[Any], **how: Any) -> Report:
    """`compare()` in virtual time."""
    clock = VirtualClock()
    return compare(graph, inputs, loop_factory=clock.new_event_loop, **how)
