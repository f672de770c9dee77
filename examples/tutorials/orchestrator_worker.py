"""Orchestrator and workers: a model plans the sections of a report, workers write them, one node
puts them together.

Expected of ALTO: nothing (1.00), for the reasons of map_reduce.py: one plan in one piece, one step
of workers, one join.

    langgraph-alto compare examples/tutorials/orchestrator_worker.py:graph \\
        --inputs examples/tutorials/orchestrator_worker.jsonl
"""

import json
import operator
from typing import Annotated

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from pydantic import BaseModel
from typing_extensions import TypedDict

from langgraph_alto.testing import FakeChatModel, LogNormal, Prompt, Reply, rng

LENGTH = LogNormal.with_mean(22, 0.5, 8, 50)


class Section(BaseModel):
    """A part of the report."""

    name: str
    about: str


class Sections(BaseModel):
    """The plan of the report."""

    sections: list[Section]


class State(TypedDict):
    topic: str
    sections: list[Section]
    written: Annotated[list[str], operator.add]
    report: str


class WorkerState(TypedDict):
    section: Section


def speak(prompt: Prompt) -> Reply:
    """What the offline model says."""
    if prompt.schema is not None:
        parts = [{"name": n, "about": prompt.last} for n in ("Basics", "Uses", "Limits")]
        return Reply.of(json.dumps({"sections": parts}), 30)
    return Reply.of(f"{prompt.last}. It is so.", LENGTH.tokens(rng(prompt.last)))


llm = FakeChatModel(script=speak)
planner = llm.with_structured_output(Sections)


def orchestrator(state: State):
    return {"sections": planner.invoke(state["topic"]).sections}


def assign(state: State):
    return [Send("worker", {"section": section}) for section in state["sections"]]


def worker(state: WorkerState):
    section = state["section"]
    return {"written": [llm.invoke(f"{section.name}: {section.about}").text]}


def synthesizer(state: State):
    return {"report": "\n\n".join(state["written"])}


builder = StateGraph(State)
builder.add_node("orchestrator", orchestrator)
builder.add_node("worker", worker)
builder.add_node("synthesizer", synthesizer)
builder.add_edge(START, "orchestrator")
builder.add_conditional_edges("orchestrator", assign, ["worker"])
builder.add_edge("worker", "synthesizer")
builder.add_edge("synthesizer", END)
graph = builder.compile()
