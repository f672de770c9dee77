"""A graph that puts secrets in every place where content can be, each with a word of its own.

It needs no network and gives the same result on both executors.
"""

from __future__ import annotations

import asyncio
import contextlib
import operator
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from langgraph.types import Send

from langgraph_alto import Partial

PLACES = (
    "input",
    "state",
    "partial",
    "sent",
    "system",
    "prompt",
    "answer",
    "argument",
    "result",
    "toolerror",
    "error",
)

CAPTURED = ["system", "prompt", "answer", "argument", "result"]
"""What the GenAI conventions capture where a user asks for it. No error's text is among it."""


def secret(place: str) -> str:
    """The word that stands in this place and nowhere else."""
    return f"xyzzy-{place}-5f1c"


class State(TypedDict, total=False):
    question: str
    items: Annotated[list[str], operator.add]
    notes: Annotated[list[str], operator.add]


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    return secret("result")


@tool
def confess(word: str) -> str:
    """A tool that fails."""
    raise ValueError(f"{secret('toolerror')}: no such word")


async def plan(state: State) -> AsyncIterator[Partial]:
    """Streams its items."""
    for number in range(3):
        await asyncio.sleep(0.005)
        yield Partial(items=[f"{secret('partial')} {number}"])


def each(state: State) -> list[Send]:
    """Hands each item on, with something that is in no channel."""
    return [
        Send("work", {"item": item, "more": secret("sent"), "fails": state["question"] == "fail"})
        for item in state["items"]
    ]


async def work(task: dict[str, Any]) -> State:
    """Asks a model and two tools."""
    await asyncio.sleep(0.01)
    model = FakeListChatModel(responses=[secret("answer")])
    await model.ainvoke([SystemMessage(secret("system")), HumanMessage(secret("prompt"))])
    await look_up.ainvoke({"word": secret("argument")})
    with contextlib.suppress(ValueError):
        await confess.ainvoke({"word": secret("argument")})
    if task["fails"] and task["item"].endswith("2"):
        raise RuntimeError(secret("error"))
    return {"notes": [secret("state")]}


def build() -> Any:
    """The graph. It fails when asked to `"fail"`; ask it `secret("input")` otherwise."""
    builder = StateGraph(State)
    builder.add_node("plan", plan)
    builder.add_node("work", work)
    builder.add_node("last", lambda state: {"notes": ["over"]}, defer=True)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", each, ["work"])
    builder.add_edge("work", "last")
    return builder.compile(name="tells all")


def told(text: str) -> list[str]:
    """The places whose secrets stand in a text."""
    return [place for place in PLACES if secret(place) in text]


graph = build()
