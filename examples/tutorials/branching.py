"""Branches of different length: after a first node two ways lead to the last one, one of them with
an extra step.

    intake -+-> search ---------------+-> answer
            +-> translate -> glossary-+

Expected of ALTO: a gain. `glossary` needs the translation only, but LangGraph begins it when the
search has ended, too. Afterwards the bound is the longer of the two ways.

    langgraph-alto compare examples/tutorials/branching.py:graph \\
        --inputs examples/tutorials/branching.jsonl
"""

import operator
from typing import Annotated

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from langgraph_alto.testing import FakeChatModel, Prompt, Reply, rng

TOKENS = {"Find": (25, 35), "Translate": (8, 14), "Terms": (18, 26)}


class State(TypedDict):
    request: str
    question: str
    translation: str
    notes: Annotated[list[str], operator.add]
    answer: str


def speak(prompt: Prompt) -> Reply:
    """What the offline model says."""
    low, high = TOKENS.get(prompt.last.split(":")[0], (10, 16))
    return Reply.of(f"[{prompt.last}]", rng(prompt.last).randint(low, high))


llm = FakeChatModel(script=speak)


def intake(state: State):
    return {"question": state["request"].strip()}


def search(state: State):
    return {"notes": [llm.invoke(f"Find: {state['question']}").text]}


def translate(state: State):
    return {"translation": llm.invoke(f"Translate: {state['question']}").text}


def glossary(state: State):
    return {"notes": [llm.invoke(f"Terms: {state['translation']}").text]}


def answer(state: State):
    return {"answer": llm.invoke("Answer: " + " ".join(state["notes"])).text}


builder = StateGraph(State)
builder.add_node("intake", intake)
builder.add_node("search", search)
builder.add_node("translate", translate)
builder.add_node("glossary", glossary)
builder.add_node("answer", answer)
builder.add_edge(START, "intake")
builder.add_edge("intake", "search")
builder.add_edge("intake", "translate")
builder.add_edge("translate", "glossary")
builder.add_edge(["search", "glossary"], "answer")
builder.add_edge("answer", END)
graph = builder.compile()
