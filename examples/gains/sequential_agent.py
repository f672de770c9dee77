"""No gain: an agent that takes one step after the other.

    model -> tools -> model -> tools -> model -> end

Each call needs the result of the call before it. There is nothing to run early, and what is to be
seen is that it costs nothing either.

    langgraph-alto compare examples/gains/sequential_agent.py:graph \\
        --inputs examples/gains/sequential_agent.jsonl
"""

from typing import Any, Literal

from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode

from langgraph_alto.testing import Clock, FakeChatModel, FakeEngine, Prompt, RealClock, Reply

CITIES = {"Oslo": "Bergen", "Bergen": "Stavanger", "Rome": "Naples"}


def speak(prompt: Prompt) -> Reply:
    """Asks for the next stop until there is none, then tells the route."""
    stops = [str(m.content) for m in prompt.messages if isinstance(m, ToolMessage)]
    city = stops[-1] if stops else prompt.last.split()[-1].strip("?.")
    if city == "end":
        return Reply.of("The route is " + ", then ".join(stops[:-1]) + ".", 20)
    return Reply.calling(("next_stop", {"city": city}), text=f"What comes after {city}?")


def build(clock: Clock | None = None) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph, in real time or on another clock."""
    time = clock or RealClock()

    @tool
    async def next_stop(city: str) -> str:
        """The stop after a city."""
        await time.wait_until(time.now() + 0.05)
        return CITIES.get(city, "end")

    model = FakeChatModel(script=speak, engine=FakeEngine(clock=time)).bind_tools([next_stop])

    async def call_model(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    def more(state: MessagesState) -> Literal["tools", "__end__"]:
        return "tools" if getattr(state["messages"][-1], "tool_calls", None) else "__end__"

    builder = StateGraph(MessagesState)
    builder.add_node("model", call_model)
    builder.add_node("tools", ToolNode([next_stop]))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", more, {"tools": "tools", "__end__": END})
    builder.add_edge("tools", "model")
    return builder.compile(name="sequential_agent")


graph = build()
