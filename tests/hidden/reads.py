"""Rows: reads of the state by ways on which a key is easily missed.

Both siblings write `notes`, and those after them look at it. Whoever thought that they read
nothing but `left` would start them too early.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import operator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph, add_messages
from langgraph.prebuilt import InjectedState, ToolNode
from pydantic import BaseModel

from tests.hidden.kit import Case, Table, beside, row
from tests.hidden.waiting import apause

TABLE: Table = {}
NARROW = {"after_left": {"effects": "pure", "reads": ["left"]}}
"""A declaration that is wrong for every row here."""

ALL = "a state that is an object is made of all channels"


class Notes(TypedDict, total=False):
    notes: Annotated[list[str], operator.add]
    left: Any
    right: Any
    after_left: Any


def noted(look: Any, schema: Any = Notes) -> Case:
    """left -> after_left beside right; both siblings write notes, after_left looks at them."""

    async def left(state):  # type: ignore[no-untyped-def]
        await apause("left")
        return {"left": "done", "notes": ["left"]}

    async def right(state):  # type: ignore[no-untyped-def]
        await apause("right")
        return {"right": "done", "notes": ["right"]}

    async def after_left(state):  # type: ignore[no-untyped-def]
        return {"after_left": await look(state)}

    return Case(beside(schema, [left, after_left], [right]), {"notes": ["begin"]})


def first(state: Any) -> Any:
    return second(state)


def second(state: Any) -> Any:
    return state["notes"]


@row(TABLE, declared=NARROW)
def helpers_of_helpers(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return [state["left"], *first(state)]

    return noted(look)


@row(TABLE, declared=NARROW)
def keyword_arguments(place: Path) -> Case:
    def text(left: str, notes: list[str], **rest: Any) -> str:
        return f"{left}: {notes}"

    async def look(state: Any) -> Any:
        return text(**state)

    return noted(look)


@row(TABLE, declared=NARROW)
def dict_of_the_state(place: Path) -> Case:
    async def look(state: Any) -> Any:
        known = dict(state)
        return known["notes"]

    return noted(look)


@row(TABLE, declared=NARROW)
def another_dict_around_it(place: Path) -> Case:
    async def look(state: Any) -> Any:
        known = {**state, "more": 1}
        return [len(known), known["notes"]]

    return noted(look)


@row(TABLE, declared=NARROW)
def union_with_a_dict(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return (state | {"more": 1})["notes"]

    return noted(look)


@row(TABLE, declared=NARROW)
def get_with_a_default(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return state.get("notes", ["nothing"])

    return noted(look)


@row(TABLE, declared=NARROW)
def get_under_another_name(place: Path) -> Case:
    async def look(state: Any) -> Any:
        get = state.get
        return [get(key) for key in ("left", "notes")]

    return noted(look)


@row(TABLE, declared=NARROW)
def key_made_at_run_time(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return state["".join(["no", "tes"])]

    return noted(look)


@row(TABLE, declared=NARROW)
def key_of_a_constant(place: Path) -> Case:
    key = "notes"

    async def look(state: Any) -> Any:
        return state[key]

    return noted(look)


@row(TABLE, declared=NARROW)
def iteration_over_keys(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return [[key, state[key]] for key in state]

    return noted(look)


@row(TABLE, declared=NARROW)
def iteration_over_items(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return sorted((key, value) for key, value in state.items() if key != "right")

    return noted(look)


@row(TABLE, declared=NARROW)
def iteration_over_values(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return [value for value in state.values() if isinstance(value, list)]

    return noted(look)


@row(TABLE, declared=NARROW)
def length_of_the_state(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return len(state)

    return noted(look)


@row(TABLE, declared=NARROW)
def key_that_is_asked_for(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return "right" in state

    return noted(look)


@row(TABLE, declared=NARROW)
def match_statement(place: Path) -> Case:
    async def look(state: Any) -> Any:
        match state:
            case {"notes": [*_, last]}:
                return last
            case _:
                return None

    return noted(look)


@row(TABLE, declared=NARROW)
def item_getter(place: Path) -> Case:
    take = operator.itemgetter("left", "notes")

    async def look(state: Any) -> Any:
        return list(take(state))

    return noted(look)


@row(TABLE, declared=NARROW)
def json_of_the_state(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return json.dumps(state, sort_keys=True)

    return noted(look)


@row(TABLE, declared=NARROW)
def text_of_the_state(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return f"{state}"

    return noted(look)


@row(TABLE, declared=NARROW)
def format_of_a_template(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return "{left}: {notes}".format(**state)

    return noted(look)


@row(TABLE, declared=NARROW)
def format_map_of_a_template(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return "{left}: {notes}".format_map(state)

    return noted(look)


@row(TABLE, declared=NARROW)
def deep_copy_of_the_state(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return copy.deepcopy(state)["notes"]

    return noted(look)


@row(TABLE, declared=NARROW)
def comparison_of_the_state(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return state == {"left": "done", "notes": ["begin", "left", "right"], "right": "done"}

    return noted(look)


@row(TABLE, declared=NARROW)
def state_kept_in_an_object(place: Path) -> Case:
    class View:
        def __init__(self, state: Any) -> None:
            self.state = state

        @property
        def notes(self) -> Any:
            return self.state["notes"]

    async def look(state: Any) -> Any:
        return View(state).notes

    return noted(look)


@row(TABLE, declared=NARROW)
def state_given_on_in_a_list(place: Path) -> Case:
    def last(states: list[Any]) -> Any:
        return states[-1]["notes"]

    async def look(state: Any) -> Any:
        return last([{}, state])

    return noted(look)


@row(TABLE, declared=NARROW)
def nested_function(place: Path) -> Case:
    async def look(state: Any) -> Any:
        def notes() -> Any:
            return state["notes"]

        return notes()

    return noted(look)


@row(TABLE, declared=NARROW)
def map_over_keys(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return list(map(state.__getitem__, ("left", "notes")))

    return noted(look)


@row(TABLE, "source can't be read", declared=NARROW)
def evaluated_text(place: Path) -> Case:
    async def look(state: Any) -> Any:
        return eval("state['notes']", {}, {"state": state})

    return noted(look)


@row(TABLE, declared=NARROW)
def chain_of_runnables(place: Path) -> Case:
    chain = RunnablePassthrough.assign(more=lambda state: state["left"]) | RunnableLambda(
        operator.itemgetter("notes")
    )

    async def look(state: Any) -> Any:
        return await chain.ainvoke(state)

    return noted(look)


@row(TABLE, declared=NARROW)
def prompt_template(place: Path) -> Case:
    prompt = PromptTemplate.from_template("{left}: {notes}")

    async def look(state: Any) -> Any:
        return (await prompt.ainvoke(state)).to_string()

    return noted(look)


# States that are objects ----------------------------------------------------------------------


@dataclass
class Desk:
    notes: Annotated[list[str], operator.add] = field(default_factory=list)
    left: Any = None
    right: Any = None
    after_left: Any = None


class Form(BaseModel):
    notes: Annotated[list[str], operator.add] = []
    left: Any = None
    right: Any = None
    after_left: Any = None

    def summary(self) -> str:
        return f"{self.left}: {self.notes}"


@row(TABLE, declared=NARROW, why_equal=ALL)
def attribute_named_at_run_time(place: Path) -> Case:
    async def look(state: Desk) -> Any:
        return [getattr(state, name) for name in ("left", "notes")]

    return noted(look, Desk)


@row(TABLE, declared=NARROW, why_equal=ALL)
def fields_of_a_dataclass(place: Path) -> Case:
    async def look(state: Desk) -> Any:
        return dataclasses.asdict(state)

    return noted(look, Desk)


@row(TABLE, declared=NARROW, why_equal=ALL)
def vars_of_a_dataclass(place: Path) -> Case:
    async def look(state: Desk) -> Any:
        return sorted(vars(state))

    return noted(look, Desk)


@row(TABLE, declared=NARROW, why_equal=ALL)
def dump_of_a_pydantic_state(place: Path) -> Case:
    async def look(state: Form) -> Any:
        return state.model_dump()

    return noted(look, Form)


@row(TABLE, declared=NARROW, why_equal=ALL)
def json_of_a_pydantic_state(place: Path) -> Case:
    async def look(state: Form) -> Any:
        return state.model_dump_json(include={"notes"})

    return noted(look, Form)


@row(TABLE, declared=NARROW, why_equal=ALL)
def method_of_a_pydantic_state(place: Path) -> Case:
    async def look(state: Form) -> Any:
        return state.summary()

    return noted(look, Form)


@row(TABLE, declared=NARROW, why_equal=ALL)
def iteration_over_a_pydantic_state(place: Path) -> Case:
    async def look(state: Form) -> Any:
        return [[name, value] for name, value in state]

    return noted(look, Form)


# Routers, tools, subgraphs --------------------------------------------------------------------


class Routed(Notes, total=False):
    few: Any
    many: Any


def routed(route: Any) -> Case:
    """A router after after_left, which itself reads nothing of the notes."""

    async def left(state: Routed) -> Routed:
        await apause("left")
        return {"left": "done", "notes": ["left"]}

    async def right(state: Routed) -> Routed:
        await apause("right")
        return {"right": "done", "notes": ["right"]}

    async def after_left(state: Routed) -> Routed:
        return {"after_left": state["left"]}

    async def few(state: Routed) -> Routed:
        return {"few": "ran"}

    async def many(state: Routed) -> Routed:
        return {"many": "ran"}

    builder = StateGraph(Routed)
    for function in (left, right, after_left, few, many):
        builder.add_node(function.__name__, function)
    builder.add_edge(START, "left")
    builder.add_edge(START, "right")
    builder.add_edge("left", "after_left")
    builder.add_conditional_edges("after_left", route, ["few", "many"])
    return Case(builder.compile(), {"notes": ["begin"]})


ROUTERS = "a router waits for what it looks at, or for its real task"


@row(TABLE, why_equal=ROUTERS)
def router_by_a_helper(place: Path) -> Case:
    def route(state: Any) -> Literal["few", "many"]:
        return "many" if len(first(state)) > 2 else "few"

    return routed(route)


@row(TABLE, why_equal=ROUTERS)
def router_by_the_whole_state(place: Path) -> Case:
    def route(state: Any) -> Literal["few", "many"]:
        return "many" if "right" in json.dumps(dict(state)) else "few"

    return routed(route)


@row(TABLE, why_equal=ROUTERS)
def router_by_a_key_made_at_run_time(place: Path) -> Case:
    key = {"what": "notes"}

    def route(state: Any) -> Literal["few", "many"]:
        return "many" if len(state.get(key["what"], ())) > 2 else "few"

    return routed(route)


class Calls(Notes, total=False):
    messages: Annotated[list[AnyMessage], add_messages]


@row(TABLE, why_equal="tools are handed all channels")
def state_injected_into_a_tool(place: Path) -> Case:
    @tool
    def count(state: Annotated[Any, InjectedState]) -> str:
        """Count the notes."""
        return str(len(state["notes"]))

    async def left(state: Calls) -> Calls:
        await apause("left")
        call = {"name": "count", "args": {}, "id": "c1", "type": "tool_call"}
        return {"messages": [HumanMessage("count", id="m1"), calling(call)], "left": "done"}

    async def right(state: Calls) -> Calls:
        await apause("right")
        return {"right": "done", "notes": ["right"]}

    async def last(state: Calls) -> Calls:
        texts = [m.content for m in state["messages"] if isinstance(m, ToolMessage)]
        return {"after_left": texts}

    builder = StateGraph(Calls)
    for name, node in (("left", left), ("right", right), ("tools", ToolNode([count]))):
        builder.add_node(name, node)
    builder.add_node("last", last)
    builder.add_edge(START, "left")
    builder.add_edge(START, "right")
    builder.add_edge("left", "tools")
    builder.add_edge("tools", "last")
    return Case(builder.compile(), {"notes": ["begin"]})


def calling(call: Any) -> Any:
    from langchain_core.messages import AIMessage

    return AIMessage("", id="m2", tool_calls=[call])


@row(TABLE, declared=NARROW, why_equal="LangGraph copies all keys of its schema into a subgraph")
def key_of_a_subgraph(place: Path) -> Case:
    class Inside(TypedDict, total=False):
        left: Any
        notes: Annotated[list[str], operator.add]
        after_left: Any

    async def inside(state: Inside) -> Inside:
        return {"after_left": list(state["notes"])}

    inner = StateGraph(Inside, output_schema=Outside)
    inner.add_node("inside", inside)
    inner.add_edge(START, "inside")
    subgraph = inner.compile(name="after_left")

    async def left(state: Notes) -> Notes:
        await apause("left")
        return {"left": "done", "notes": ["left"]}

    async def right(state: Notes) -> Notes:
        await apause("right")
        return {"right": "done", "notes": ["right"]}

    return Case(beside(Notes, [left, subgraph], [right]), {"notes": ["begin"]})


class Outside(TypedDict):
    after_left: Any
