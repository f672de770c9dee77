"""Gain: a loop in each branch, with different numbers of rounds.

    plan -+-> research -> research -> write ------+-> report
          +-> research -> write ------------------+
          +-> research -> research -> research ... -> write

A flat graph: each section goes round on its own, by `Send`s. LangGraph takes all sections one
round further at a time, each round as long as its slowest section.

    langgraph-alto compare examples/gains/loops_per_branch.py:graph \\
        --inputs examples/gains/loops_per_branch.jsonl
"""

import operator
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Send

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


class Section(TypedDict):
    title: str
    notes: list[str]


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

    async def plan(state: State) -> Command[Any]:
        return Command(
            goto=[Send("research", Section(title=t, notes=[])) for t in state["sections"]]
        )

    async def research(task: Section) -> Command[Any]:
        note = await model.ainvoke(f"Note {len(task['notes'])} on {task['title']}")
        found = Section(title=task["title"], notes=[*task["notes"], note.text])
        enough = len(found["notes"]) >= rounds(task["title"])
        return Command(goto=[Send("write" if enough else "research", found)])

    async def write(task: Section) -> State:
        reply = await model.ainvoke(f"Write {task['title']} from {' '.join(task['notes'])}")
        return {"texts": [reply.text]}

    def report(state: State) -> State:
        return {"report": "\n".join(sorted(state["texts"]))}

    builder = StateGraph(State)
    builder.add_node("plan", plan, destinations=("research",))
    builder.add_node("research", research, destinations=("research", "write"))
    builder.add_node("write", write)
    builder.add_node("report", report, defer=True)
    builder.add_edge(START, "plan")
    builder.add_edge("write", "report")
    builder.add_edge("report", END)
    return builder.compile(name="loops_per_branch")


graph = build()
