"""Gain: a node that hands on each item as it is written.

    outline -+-> section -+-> join          (outline writes one line after the other)
             +-> section -+
             +-> ...

`outline` is a generator: it yields each title as a `Partial` when the model has finished its
line. LangGraph waits for the last line. On ALTO the first section is being written while the
outline still is. How much that gives depends on the input: if the section of the last title is
the longest one, nothing.

    langgraph-alto compare examples/gains/streaming_producer.py:graph \\
        --inputs examples/gains/streaming_producer.jsonl
"""

import operator
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Send

from langgraph_alto import Partial
from langgraph_alto.testing import (
    Clock,
    FakeChatModel,
    FakeEngine,
    LogNormal,
    Prompt,
    RealClock,
    Reply,
    rng,
)

SECTIONS = ("origins", "names", "causes", "kinds", "uses", "trade", "objections", "outlook")
TITLE_TOKENS = 15
SECTION_TOKENS = LogNormal.with_mean(50, 0.6, 15, 120)


class State(TypedDict, total=False):
    topic: str
    titles: list[str]
    sections: Annotated[list[str], operator.add]
    text: str


class Title(TypedDict):
    title: str


def speak(prompt: Prompt) -> Reply:
    """An outline, a title a line, or a section whose length follows from its title."""
    kind, _, topic = prompt.last.partition(": ")
    if kind == "Outline":
        lines = "".join(f"{topic}, {name}\n" for name in SECTIONS)
        return Reply.of(lines, TITLE_TOKENS * len(SECTIONS))
    return Reply.of(f"({prompt.last})", SECTION_TOKENS.tokens(rng(prompt.last)))


def build(clock: Clock | None = None) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph, in real time or on another clock."""
    model = FakeChatModel(script=speak, engine=FakeEngine(clock=clock or RealClock()))

    async def outline(state: State) -> AsyncIterator[Partial]:
        line = ""
        async for chunk in model.astream(f"Outline: {state['topic']}"):
            line += chunk.text
            while "\n" in line:
                title, line = line.split("\n", 1)
                yield Partial(titles=[title])

    def each_title(state: State) -> list[Send]:
        return [Send("section", {"title": title}) for title in state["titles"]]

    async def section(task: Title) -> State:
        return {"sections": [(await model.ainvoke(f"Write: {task['title']}")).text]}

    def join(state: State) -> State:
        return {"text": "\n".join(state["sections"])}

    builder = StateGraph(State)
    for node in (outline, section, join):
        builder.add_node(node)
    builder.add_edge(START, "outline")
    builder.add_conditional_edges("outline", each_title, ["section"])
    builder.add_edge("section", "join")
    builder.add_edge("join", END)
    return builder.compile(name="streaming_producer")


graph = build()
