"""Gain: two static branches whose slow halves stand in different steps.

    start -+-> keywords (short) -> draft (long) -+-> edit
           +-> background (long) -> facts (short) -+

`draft` needs the keywords only, but LangGraph begins it when `background` has ended, too: the two
long calls follow each other, though they could run at the same time.

    langgraph-alto compare examples/gains/uneven_branches.py:graph \\
        --inputs examples/gains/uneven_branches.jsonl
"""

from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from langgraph_alto.testing import Clock, FakeChatModel, FakeEngine, Prompt, RealClock, Reply, rng

TOKENS = {"Keywords": (4, 8), "Background": (30, 40), "Draft": (30, 40), "Facts": (4, 8)}


class State(TypedDict, total=False):
    topic: str
    keywords: str
    background: str
    draft: str
    facts: str
    text: str


def speak(prompt: Prompt) -> Reply:
    """A text whose number of tokens follows from the kind of the task and the prompt."""
    low, high = TOKENS.get(prompt.last.split(":")[0], (10, 20))
    return Reply.of(f"({prompt.last})", rng(prompt.last).randint(low, high))


def build(clock: Clock | None = None) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph, in real time or on another clock."""
    model = FakeChatModel(script=speak, engine=FakeEngine(clock=clock or RealClock()))

    async def keywords(state: State) -> State:
        return {"keywords": (await model.ainvoke(f"Keywords: {state['topic']}")).text}

    async def background(state: State) -> State:
        return {"background": (await model.ainvoke(f"Background: {state['topic']}")).text}

    async def draft(state: State) -> State:
        return {"draft": (await model.ainvoke(f"Draft: {state['keywords']}")).text}

    async def facts(state: State) -> State:
        return {"facts": (await model.ainvoke(f"Facts: {state['background']}")).text}

    async def edit(state: State) -> State:
        return {"text": (await model.ainvoke(f"Edit: {state['draft']} {state['facts']}")).text}

    builder = StateGraph(State)
    for node in (keywords, background, draft, facts, edit):
        builder.add_node(node)
    builder.add_edge(START, "keywords")
    builder.add_edge(START, "background")
    builder.add_edge("keywords", "draft")
    builder.add_edge("background", "facts")
    builder.add_edge(["draft", "facts"], "edit")
    builder.add_edge("edit", END)
    return builder.compile(name="uneven_branches")


graph = build()
