"""Routing: a model classifies the request, and one of several nodes answers it.

Expected of ALTO: nothing (1.00). One node runs after the other, and each needs the one before.

    langgraph-alto compare examples/tutorials/routing.py:graph \\
        --inputs examples/tutorials/routing.jsonl
"""

import json
from typing import Literal

from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel
from typing_extensions import TypedDict

from langgraph_alto.testing import FakeChatModel, Prompt, Reply


class Route(BaseModel):
    """Who should answer."""

    team: Literal["billing", "technical", "general"]


class State(TypedDict):
    request: str
    team: str
    answer: str


def speak(prompt: Prompt) -> Reply:
    """What the offline model says."""
    if prompt.schema is None:
        return Reply.of(f"Thank you for asking. About {prompt.last}", 25)
    words = prompt.last.lower()
    team = "billing" if "invoice" in words else "technical" if "error" in words else "general"
    return Reply.of(json.dumps({"team": team}))


llm = FakeChatModel(script=speak)
router = llm.with_structured_output(Route)


def classify(state: State):
    route = router.invoke(f"Who should answer this? {state['request']}")
    return {"team": route.team}


def billing(state: State):
    return {"answer": llm.invoke(f"(billing) {state['request']}").text}


def technical(state: State):
    return {"answer": llm.invoke(f"(technical) {state['request']}").text}


def general(state: State):
    return {"answer": llm.invoke(f"(general) {state['request']}").text}


def pick(state: State) -> Literal["billing", "technical", "general"]:
    return state["team"]


builder = StateGraph(State)
builder.add_node("classify", classify)
builder.add_node("billing", billing)
builder.add_node("technical", technical)
builder.add_node("general", general)
builder.add_edge(START, "classify")
builder.add_conditional_edges("classify", pick)
builder.add_edge("billing", END)
builder.add_edge("technical", END)
builder.add_edge("general", END)
graph = builder.compile()
