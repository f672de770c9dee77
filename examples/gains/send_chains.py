"""Gain: chains of Sends of uneven length of work, one chain a question.

    split -+-> look_up -> answer -+-> summary
           +-> look_up -> answer -+
           +-> ...

Each `look_up` sends its own `answer`. LangGraph begins the answers when the slowest look-up has
ended; a question needs nothing of its neighbours before the summary.

    langgraph-alto compare examples/gains/send_chains.py:graph \\
        --inputs examples/gains/send_chains.jsonl
"""

import operator
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Send

from langgraph_alto.testing import (
    Clock,
    FakeChatModel,
    FakeEngine,
    LogNormal,
    Prompt,
    RealClock,
    Reply,
    rng,
)

TOKENS = LogNormal.with_mean(18, 0.6, 6, 60)  # 7.6 ms a token


class State(TypedDict, total=False):
    questions: list[str]
    answers: Annotated[list[str], operator.add]
    summary: str


class Question(TypedDict):
    question: str


class Found(TypedDict):
    question: str
    notes: str


def speak(prompt: Prompt) -> Reply:
    """Some words on the prompt; how many follows from the prompt alone."""
    return Reply.of(f"({prompt.last})", TOKENS.tokens(rng(prompt.last)))


def build(clock: Clock | None = None) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph, in real time or on another clock."""
    model = FakeChatModel(script=speak, engine=FakeEngine(clock=clock or RealClock()))

    async def split(state: State) -> Command[Any]:
        return Command(goto=[Send("look_up", {"question": q}) for q in state["questions"]])

    async def look_up(task: Question) -> Command[Any]:
        notes = await model.ainvoke(f"Notes on: {task['question']}")
        found = Found(question=task["question"], notes=notes.text)
        return Command(goto=[Send("answer", found)])

    async def answer(task: Found) -> State:
        reply = await model.ainvoke(f"Answer {task['question']} with {task['notes']}")
        return {"answers": [reply.text]}

    async def summary(state: State) -> State:
        reply = await model.ainvoke("Sum up: " + "; ".join(state["answers"]))
        return {"summary": reply.text}

    builder = StateGraph(State)
    builder.add_node("split", split, destinations=("look_up",))
    builder.add_node("look_up", look_up, destinations=("answer",))
    builder.add_node("answer", answer)
    builder.add_node("summary", summary)
    builder.add_edge(START, "split")
    builder.add_edge("answer", "summary")
    builder.add_edge("summary", END)
    return builder.compile(name="send_chains")


graph = build()
