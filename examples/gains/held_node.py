"""No gain until it is declared: the same branches, but `draft` writes a file.

    start -+-> keywords (short) -> draft (long, writes a file) -+-> edit
           +-> background (long) -> facts (short) --------------+

A body that runs early runs even if its neighbour then fails, and LangGraph would not have run it.
So a node that writes outward is held at its step. Here a second write would do no harm (the same
text to the same file), and `declared` says so: it gains what `uneven_branches` gains.

    langgraph-alto compare examples/gains/held_node.py:graph \\
        --inputs examples/gains/held_node.jsonl
    langgraph-alto compare examples/gains/held_node.py:declared \\
        --inputs examples/gains/held_node.jsonl
"""

import tempfile
from pathlib import Path
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from langgraph_alto.testing import Clock, FakeChatModel, FakeEngine, Prompt, RealClock, Reply, rng

TOKENS = {"Keywords": (4, 8), "Background": (30, 40), "Draft": (30, 40), "Facts": (4, 8)}
DRAFTS = Path(tempfile.gettempdir()) / "langgraph-alto-drafts"


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


def build(
    clock: Clock | None = None, metadata: dict[str, Any] | None = None
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph; `metadata` is that of the node that writes."""
    model = FakeChatModel(script=speak, engine=FakeEngine(clock=clock or RealClock()))

    async def keywords(state: State) -> State:
        return {"keywords": (await model.ainvoke(f"Keywords: {state['topic']}")).text}

    async def background(state: State) -> State:
        return {"background": (await model.ainvoke(f"Background: {state['topic']}")).text}

    async def draft(state: State) -> State:
        text = (await model.ainvoke(f"Draft: {state['keywords']}")).text
        DRAFTS.mkdir(exist_ok=True)
        (DRAFTS / "draft.txt").write_text(text, encoding="utf-8")
        return {"draft": text}

    async def facts(state: State) -> State:
        return {"facts": (await model.ainvoke(f"Facts: {state['background']}")).text}

    async def edit(state: State) -> State:
        return {"text": (await model.ainvoke(f"Edit: {state['draft']} {state['facts']}")).text}

    builder = StateGraph(State)
    builder.add_node("draft", draft, metadata=metadata)
    for node in (keywords, background, facts, edit):
        builder.add_node(node)
    builder.add_edge(START, "keywords")
    builder.add_edge(START, "background")
    builder.add_edge("keywords", "draft")
    builder.add_edge("background", "facts")
    builder.add_edge(["draft", "facts"], "edit")
    builder.add_edge("edit", END)
    return builder.compile(name="held_node")


IDEMPOTENT = {"alto": {"effects": "idempotent"}}

graph = build()
declared = build(metadata=IDEMPOTENT)
