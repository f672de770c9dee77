"""Plan and execute: a planner writes steps, an executor takes the first one, a replanner goes on.

Expected of ALTO: nothing (1.00). The loop is a chain: each step may change what comes after it.

    langgraph-alto compare examples/tutorials/plan_and_execute.py:graph \\
        --inputs examples/tutorials/plan_and_execute.jsonl
"""

import json
import operator
from typing import Annotated

from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel
from typing_extensions import TypedDict

from langgraph_alto.testing import FakeChatModel, Prompt, Reply


class Plan(BaseModel):
    """Steps still to take, and the answer once there are none."""

    steps: list[str]
    answer: str = ""


class State(TypedDict):
    goal: str
    plan: list[str]
    done: Annotated[list[tuple[str, str]], operator.add]
    answer: str


def speak(prompt: Prompt) -> Reply:
    """What the offline model says: steps that are the goal's parts, one fewer each time."""
    if prompt.schema is None:
        return Reply.of(f"Done: {prompt.last}", 15)
    goal, _, done = prompt.last.partition(" | done: ")
    parts = [part.strip() for part in goal.split(" and ")]
    left = parts[len(done.split("; ")) if done else 0 :]
    return Reply.of(json.dumps({"steps": left, "answer": "" if left else f"All done: {done}"}))


llm = FakeChatModel(script=speak)
planner = llm.with_structured_output(Plan)


def make_plan(state: State):
    return {"plan": planner.invoke(state["goal"]).steps}


def execute(state: State):
    step = state["plan"][0]
    return {"done": [(step, llm.invoke(step).text)]}


def replan(state: State):
    done = "; ".join(result for _, result in state["done"])
    new = planner.invoke(f"{state['goal']} | done: {done}")
    return {"plan": new.steps, "answer": new.answer}


def finished(state: State):
    return END if state["answer"] else "execute"


builder = StateGraph(State)
builder.add_node("make_plan", make_plan)
builder.add_node("execute", execute)
builder.add_node("replan", replan)
builder.add_edge(START, "make_plan")
builder.add_edge("make_plan", "execute")
builder.add_edge("execute", "replan")
builder.add_conditional_edges("replan", finished, ["execute", END])
graph = builder.compile()
