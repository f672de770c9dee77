"""Supervisor: a model decides again and again which worker goes next, until it is content.

Expected of ALTO: nothing (1.00). The supervisor decides on what the last worker said.

    langgraph-alto compare examples/tutorials/supervisor.py:graph \\
        --inputs examples/tutorials/supervisor.jsonl
"""

import json
import operator
from typing import Annotated, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from pydantic import BaseModel
from typing_extensions import TypedDict

from langgraph_alto.testing import FakeChatModel, Prompt, Reply


class Decision(BaseModel):
    """Who goes next."""

    next: Literal["researcher", "writer", "finish"]


class State(TypedDict):
    task: str
    log: Annotated[list[str], operator.add]


def speak(prompt: Prompt) -> Reply:
    """What the offline model says."""
    if prompt.schema is None:
        return Reply.of(f"{prompt.last}: done", 24)
    entries = prompt.last.count("#")
    order = ["researcher", "researcher", "writer", "finish"]
    return Reply.of(json.dumps({"next": order[min(entries, 3)]}), 8)


llm = FakeChatModel(script=speak)


def supervisor(state: State) -> Command[Literal["researcher", "writer", "__end__"]]:
    log = " ".join(f"#{entry}" for entry in state["log"])
    decision = llm.with_structured_output(Decision).invoke(f"{state['task']} {log}")
    return Command(goto=END if decision.next == "finish" else decision.next)


def researcher(state: State) -> Command[Literal["supervisor"]]:
    found = llm.invoke(f"research {len(state['log'])} for {state['task']}")
    return Command(goto="supervisor", update={"log": [found.text]})


def writer(state: State) -> Command[Literal["supervisor"]]:
    text = llm.invoke(f"write {state['task']} from {len(state['log'])} notes")
    return Command(goto="supervisor", update={"log": [text.text]})


builder = StateGraph(State)
builder.add_node("supervisor", supervisor)
builder.add_node("researcher", researcher)
builder.add_node("writer", writer)
builder.add_edge(START, "supervisor")
graph = builder.compile()
