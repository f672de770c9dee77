"""Parallelization: three nodes look at one text at the same time, a fourth puts them together.

Expected of ALTO: nothing (1.00). The three run in one step on LangGraph, too, and the fourth needs
all of them.

    langgraph-alto compare examples/tutorials/parallelization.py:graph \\
        --inputs examples/tutorials/parallelization.jsonl
"""

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from langgraph_alto.testing import FakeChatModel, LogNormal, Prompt, Reply, rng

LENGTH = LogNormal.with_mean(18, 0.5, 6, 40)


class State(TypedDict):
    text: str
    tone: str
    summary: str
    keywords: str
    review: str


def speak(prompt: Prompt) -> Reply:
    """What the offline model says."""
    return Reply.of(f"On “{prompt.last[:40]}”: fine.", LENGTH.tokens(rng(prompt.last)))


llm = FakeChatModel(script=speak)


def tone(state: State):
    return {"tone": llm.invoke(f"What is the tone of: {state['text']}").text}


def summary(state: State):
    return {"summary": llm.invoke(f"Sum up: {state['text']}").text}


def keywords(state: State):
    return {"keywords": llm.invoke(f"Keywords of: {state['text']}").text}


def review(state: State):
    prompt = f"Review: {state['tone']} {state['summary']} {state['keywords']}"
    return {"review": llm.invoke(prompt).text}


builder = StateGraph(State)
builder.add_node("tone", tone)
builder.add_node("summary", summary)
builder.add_node("keywords", keywords)
builder.add_node("review", review)
for name in ("tone", "summary", "keywords"):
    builder.add_edge(START, name)
    builder.add_edge(name, "review")
builder.add_edge("review", END)
graph = builder.compile()
