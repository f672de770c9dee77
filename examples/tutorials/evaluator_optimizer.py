"""Evaluator and optimizer: one node writes, one grades, and a bad grade sends it back with advice.

Expected of ALTO: nothing (1.00). A loop of two nodes that need each other's last word.

    langgraph-alto compare examples/tutorials/evaluator_optimizer.py:graph \\
        --inputs examples/tutorials/evaluator_optimizer.jsonl
"""

import json
from typing import Literal

from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel
from typing_extensions import TypedDict

from langgraph_alto.testing import FakeChatModel, Prompt, Reply


class Grade(BaseModel):
    """How good a slogan is, and what to change."""

    grade: Literal["good", "bad"]
    advice: str


class State(TypedDict):
    product: str
    slogan: str
    grade: str
    advice: str


def speak(prompt: Prompt) -> Reply:
    """What the offline model says: it is content once it was asked to be shorter."""
    if prompt.schema is None:
        return Reply.of(f"Slogan for {prompt.last}", 18)
    good = "shorter" in prompt.last
    grade = {"grade": "good" if good else "bad", "advice": "" if good else "shorter"}
    return Reply.of(json.dumps(grade), 12)


llm = FakeChatModel(script=speak)
evaluator = llm.with_structured_output(Grade)


def write(state: State):
    advice = f" ({state['advice']})" if state.get("advice") else ""
    return {"slogan": llm.invoke(f"{state['product']}{advice}").text}


def evaluate(state: State):
    grade = evaluator.invoke(f"Grade: {state['slogan']}")
    return {"grade": grade.grade, "advice": grade.advice}


def accepted(state: State) -> Literal["accepted", "rejected"]:
    return "accepted" if state["grade"] == "good" else "rejected"


builder = StateGraph(State)
builder.add_node("write", write)
builder.add_node("evaluate", evaluate)
builder.add_edge(START, "write")
builder.add_edge("write", "evaluate")
builder.add_conditional_edges("evaluate", accepted, {"accepted": END, "rejected": "write"})
graph = builder.compile()
