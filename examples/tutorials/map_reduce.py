"""Map-reduce: a model lists subjects, each gets a node of its own by `Send`, the best one wins.

Expected of ALTO: nothing (1.00). The list comes out of an ordinary node in one piece, all
subjects begin in the next step on LangGraph, too, and the last node needs all of them. (Read from
the model's tokens, the first subject could begin before the list ends; ALTO doesn't do that.)

    langgraph-alto compare examples/tutorials/map_reduce.py:graph \\
        --inputs examples/tutorials/map_reduce.jsonl
"""

import json
import operator
from typing import Annotated

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from pydantic import BaseModel
from typing_extensions import TypedDict

from langgraph_alto.testing import FakeChatModel, LogNormal, Prompt, Reply, rng

LENGTH = LogNormal.with_mean(18, 0.6, 6, 50)


class Subjects(BaseModel):
    """What to write about."""

    subjects: list[str]


class State(TypedDict):
    topic: str
    subjects: list[str]
    riddles: Annotated[list[str], operator.add]
    best: str


class RiddleState(TypedDict):
    subject: str


def speak(prompt: Prompt) -> Reply:
    """What the offline model says."""
    if prompt.schema is not None:
        topic = prompt.last.removeprefix("Subjects for: ")
        return Reply.of(json.dumps({"subjects": [f"{topic} {n}" for n in ("I", "II", "III")]}))
    return Reply.of(f"What is like {prompt.last[:60]}?", LENGTH.tokens(rng(prompt.last)))


llm = FakeChatModel(script=speak)


def list_subjects(state: State):
    found = llm.with_structured_output(Subjects).invoke(f"Subjects for: {state['topic']}")
    return {"subjects": found.subjects}


def each_subject(state: State):
    return [Send("write_riddle", {"subject": s}) for s in state["subjects"]]


def write_riddle(state: RiddleState):
    return {"riddles": [llm.invoke(f"A riddle on {state['subject']}").text]}


def pick_best(state: State):
    return {"best": llm.invoke("Which is best? " + " / ".join(state["riddles"])).text}


builder = StateGraph(State)
builder.add_node("list_subjects", list_subjects)
builder.add_node("write_riddle", write_riddle)
builder.add_node("pick_best", pick_best)
builder.add_edge(START, "list_subjects")
builder.add_conditional_edges("list_subjects", each_subject, ["write_riddle"])
builder.add_edge("write_riddle", "pick_best")
builder.add_edge("pick_best", END)
graph = builder.compile()
