"""Reflection: one node writes, one criticizes, and both go round a fixed number of times.

Expected of ALTO: nothing (1.00). Each round needs the one before it.

    langgraph-alto compare examples/tutorials/reflection.py:graph \\
        --inputs examples/tutorials/reflection.jsonl
"""

from typing import Annotated

from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from langgraph_alto.testing import FakeChatModel, Prompt, Reply


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def speak(prompt: Prompt) -> Reply:
    """What the offline model says."""
    return Reply.of(f"Version {len(prompt.messages)} of {prompt.messages[0].text}", 22)


llm = FakeChatModel(script=speak)


def generate(state: State):
    return {"messages": [llm.invoke(state["messages"])]}


def reflect(state: State):
    critique = llm.invoke([HumanMessage("critique"), *state["messages"]])
    return {"messages": [HumanMessage(critique.text)]}


def again(state: State):
    return END if len(state["messages"]) > 5 else "reflect"


builder = StateGraph(State)
builder.add_node("generate", generate)
builder.add_node("reflect", reflect)
builder.add_edge(START, "generate")
builder.add_conditional_edges("generate", again, ["reflect", END])
builder.add_edge("reflect", "generate")
graph = builder.compile()
