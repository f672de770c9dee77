"""No gain: the same loops, with a subgraph for each section.

    plan -+-> section (research, research, write) -+-> report
          +-> section (research, write) -----------+

Many applications are written so. Each subgraph runs its own steps at its own pace, also on
LangGraph: sections don't wait for each other before the report, and it needs all of them.

    langgraph-alto compare examples/gains/subgraph_per_section.py:graph \\
        --inputs examples/gains/subgraph_per_section.jsonl
"""

import operator
from typing import Annotated, Any, Literal, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Send

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

NOTE = LogNormal.with_mean(12, 0.6, 4, 40)
TEXT = LogNormal.with_mean(30, 0.3, 15, 50)
MOST_ROUNDS = 4


class State(TypedDict, total=False):
    sections: list[str]
    texts: Annotated[list[str], operator.add]
    report: str


class Section(TypedDict, total=False):
    title: str
    notes: Annotated[list[str], operator.add]
    texts: list[str]


class Written(TypedDict):
    texts: list[str]


def speak(prompt: Prompt) -> Reply:
    """A note, or a text; their lengths follow from the prompt alone."""
    length = TEXT if prompt.last.startswith("Write") else NOTE
    return Reply.of(f"({prompt.last})", length.tokens(rng(prompt.last)))


def rounds(title: str) -> int:
    """How many rounds of research a section needs: 1 to 4."""
    return rng("rounds", title).randint(1, MOST_ROUNDS)


def build(clock: Clock | None = None) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph, in real time or on another clock."""
    model = FakeChatModel(script=speak, engine=FakeEngine(clock=clock or RealClock()))

    async def research(state: Section) -> Section:
        known = len(state.get("notes", []))
        note = await model.ainvoke(f"Note {known} on {state['title']}")
        return {"notes": [note.text]}

    def enough(state: Section) -> Literal["research", "write"]:
        return "write" if len(state["notes"]) >= rounds(state["title"]) else "research"

    async def write(state: Section) -> Section:
        reply = await model.ainvoke(f"Write {state['title']} from {' '.join(state['notes'])}")
        return {"texts": [reply.text]}

    inner = StateGraph(Section, output_schema=Written)
    inner.add_node(research)
    inner.add_node(write)
    inner.add_edge(START, "research")
    inner.add_conditional_edges("research", enough)
    inner.add_edge("write", END)

    def plan(state: State) -> State:
        return {"sections": state["sections"]}

    def each_section(state: State) -> list[Send]:
        return [Send("section", {"title": title}) for title in state["sections"]]

    def report(state: State) -> State:
        return {"report": "\n".join(sorted(state["texts"]))}

    builder = StateGraph(State)
    builder.add_node(plan)
    builder.add_node("section", inner.compile())
    builder.add_node(report)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", each_section, ["section"])
    builder.add_edge("section", "report")
    builder.add_edge("report", END)
    return builder.compile(name="subgraph_per_section")


graph = build()
