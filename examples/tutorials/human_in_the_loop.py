"""Human in the loop: a draft is shown to a person, who approves it or says what to change.

Expected of ALTO: nothing (1.00). The run stops at `interrupt()`, and what follows depends on the
answer. Nothing that comes after a person's approval may start before it.

Each line of the inputs holds the answers that the person gives.

    langgraph-alto compare examples/tutorials/human_in_the_loop.py:graph \\
        --inputs examples/tutorials/human_in_the_loop.jsonl
"""

from typing import Literal

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from langgraph_alto.testing import FakeChatModel, Prompt, Reply


class State(TypedDict):
    topic: str
    draft: str
    wish: str
    published: str


def speak(prompt: Prompt) -> Reply:
    """What the offline model says."""
    return Reply.of(f"Text: {prompt.last}", 26)


llm = FakeChatModel(script=speak)


def write(state: State):
    wish = f" ({state['wish']})" if state.get("wish") else ""
    return {"draft": llm.invoke(f"{state['topic']}{wish}").text}


def review(state: State) -> Command[Literal["publish", "write"]]:
    answer = interrupt({"question": "Publish this?", "draft": state["draft"]})
    if answer == "yes":
        return Command(goto="publish")
    return Command(goto="write", update={"wish": answer})


def publish(state: State):
    return {"published": state["draft"]}


builder = StateGraph(State)
builder.add_node("write", write)
builder.add_node("review", review)
builder.add_node("publish", publish)
builder.add_edge(START, "write")
builder.add_edge("write", "review")
builder.add_edge("publish", END)
graph = builder.compile(checkpointer=InMemorySaver())
