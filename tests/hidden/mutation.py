"""Rows: objects in the state that a node changes in place, and one object in two channels."""

from __future__ import annotations

import heapq
import operator
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.graph import MessagesState, add_messages
from pydantic import BaseModel

from tests.hidden.kit import Case, Table, beside, row
from tests.hidden.quartet import over_state
from tests.hidden.waiting import apause

TABLE: Table = {}
CHANGES = "mutates its input"
CHANGED = "input changed by another node"


class Profile:
    def __init__(self, name: str) -> None:
        self.name = name
        self.tags: list[str] = []

    def rename(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Profile({self.name!r}, {self.tags})"


@dataclass
class Card:
    name: str = "nobody"
    tags: list[str] = field(default_factory=list)


class Model(BaseModel):
    name: str = "nobody"
    tags: list[str] = []


class Things(TypedDict, total=False):
    """A state with things that can be changed in place."""

    items: list[str]
    table: dict[str, Any]
    document: dict[str, Any]
    profile: Profile
    card: Card
    model: Model
    left: Any
    right: Any
    after_left: Any
    after_right: Any


def case(change: Any, look: Any, **input: Any) -> Case:
    """One node changes what the other looks at."""
    return Case(over_state(Things, change, look), input)


@row(TABLE, CHANGES)
def list_that_grows(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        state["items"].append(who)
        return "done"

    async def look(state: Any) -> int:
        return len(state["items"])

    return case(change, look, items=[])


@row(TABLE, CHANGES)
def list_item_that_is_replaced(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        state["items"][0] += f" {who}"
        return "done"

    async def look(state: Any) -> str:
        return str(state["items"][0])

    return case(change, look, items=["begin"])


@row(TABLE, CHANGES)
def list_added_to_under_another_name(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        items = state["items"]
        items += [who]
        return "done"

    async def look(state: Any) -> list[str]:
        return [*state["items"]]

    return case(change, look, items=[])


@row(TABLE, CHANGES)
def list_that_is_sorted(place: Path) -> Case:
    async def left(state: Things) -> Things:
        await apause("left")
        return {"left": "done"}

    async def right(state: Things) -> Things:
        await apause("right")
        state["items"].sort()
        return {"right": "done"}

    async def after_left(state: Things) -> Things:
        return {"after_left": list(state["items"])}

    return Case(beside(Things, [left, after_left], [right]), {"items": ["b", "c", "a"]})


@row(TABLE, CHANGES)
def list_that_is_emptied(place: Path) -> Case:
    async def left(state: Things) -> Things:
        await apause("left")
        return {"left": "done"}

    async def right(state: Things) -> Things:
        await apause("right")
        while state["items"]:
            state["items"].pop()
        return {"right": "done"}

    async def after_left(state: Things) -> Things:
        return {"after_left": bool(state["items"])}

    return Case(beside(Things, [left, after_left], [right]), {"items": ["b", "c", "a"]})


@row(TABLE, CHANGES)
def dict_item(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        state["table"][who] = "was here"
        return "done"

    async def look(state: Any) -> list[str]:
        return sorted(state["table"])

    return case(change, look, table={})


@row(TABLE, CHANGES)
def dict_item_that_is_deleted(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        del state["table"][who]
        return "done"

    async def look(state: Any) -> list[str]:
        return sorted(state["table"])

    return case(change, look, table={"left": 1, "right": 2, "other": 3})


@row(TABLE, CHANGES)
def nested_value(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        state["document"]["sections"][0]["title"] += f", {who}"
        return "done"

    async def look(state: Any) -> str:
        return str(state["document"]["sections"][0]["title"])

    return case(change, look, document={"sections": [{"title": "Begin"}]})


@row(TABLE, CHANGES)
def elements_in_a_loop(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        for number, item in enumerate(state["document"]["sections"]):
            item[who] = number
        return "done"

    async def look(state: Any) -> list[int]:
        return [len(section) for section in state["document"]["sections"]]

    return case(change, look, document={"sections": [{"title": "one"}, {"title": "two"}]})


@row(TABLE, CHANGES)
def object_of_the_app(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        state["profile"].name = who
        return "done"

    async def look(state: Any) -> str:
        return str(state["profile"].name)

    return case(change, look, profile=Profile("nobody"))


@row(TABLE, CHANGES)
def object_of_the_app_by_a_method(place: Path) -> Case:
    async def left(state: Things) -> Things:
        await apause("left")
        return {"left": "done"}

    async def right(state: Things) -> Things:
        await apause("right")
        state["profile"].rename("right")
        return {"right": "done"}

    async def after_left(state: Things) -> Things:
        return {"after_left": repr(state["profile"])}

    return Case(beside(Things, [left, after_left], [right]), {"profile": Profile("nobody")})


@row(TABLE, CHANGES)
def dataclass_in_the_state(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        state["card"].tags.append(who)
        return "done"

    async def look(state: Any) -> list[str]:
        return list(state["card"].tags)

    return case(change, look, card=Card())


@row(TABLE, CHANGES)
def pydantic_model_in_the_state(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        state["model"].name = who
        return "done"

    async def look(state: Any) -> Any:
        return state["model"].model_dump()

    return case(change, look, model=Model())


@row(TABLE, CHANGES)
def through_a_helper(place: Path) -> Case:
    def stamp(items: list[str], who: str) -> None:
        items.insert(0, who)

    async def change(state: Any, who: str) -> str:
        stamp(state["items"], who)
        return "done"

    async def look(state: Any) -> list[str]:
        return sorted(state["items"])

    return case(change, look, items=[])


@row(TABLE, CHANGES)
def through_setattr(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        setattr(state["profile"], "name", who)  # noqa: B010
        return "done"

    async def look(state: Any) -> Any:
        return getattr(state["profile"], "name")  # noqa: B009

    return case(change, look, profile=Profile("nobody"))


@row(TABLE, CHANGES)
def through_the_objects_dict(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        vars(state["profile"])["name"] = who
        return "done"

    async def look(state: Any) -> str:
        return str(state["profile"].name)

    return case(change, look, profile=Profile("nobody"))


@row(TABLE, CHANGES)
def through_the_module_operator(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        operator.setitem(state["table"], who, 1)
        return "done"

    async def look(state: Any) -> list[str]:
        return sorted(state["table"])

    return case(change, look, table={})


@row(TABLE, CHANGES)
def through_a_heap(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        heapq.heappush(state["items"], who)
        return "done"

    async def look(state: Any) -> list[str]:
        return sorted(state["items"])

    return case(change, look, items=[])


@row(TABLE, CHANGES)
def through_a_shuffle(place: Path) -> Case:
    async def left(state: Things) -> Things:
        await apause("left")
        return {"left": "done"}

    async def right(state: Things) -> Things:
        await apause("right")
        random.Random(3).shuffle(state["items"])
        return {"right": "done"}

    async def after_left(state: Things) -> Things:
        return {"after_left": list(state["items"])}

    return Case(beside(Things, [left, after_left], [right]), {"items": list("abcdefgh")})


@row(TABLE, CHANGES)
def through_unpacking(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        first, *_ = state["document"].values()
        first.append(who)
        return "done"

    async def look(state: Any) -> int:
        return len(state["document"]["sections"])

    return case(change, look, document={"sections": [], "other": 1})


@row(TABLE, CHANGES)
def through_a_shallow_copy(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        copied = dict(state["document"])
        copied["sections"].append(who)
        return "done"

    async def look(state: Any) -> int:
        return len(state["document"]["sections"])

    return case(change, look, document={"sections": []})


@row(TABLE, CHANGES)
def by_the_node_that_would_run_early(place: Path) -> Case:
    """The sibling that is still at work would see the change too soon."""

    async def left(state: Things) -> Things:
        await apause("left")
        return {"left": "done"}

    async def right(state: Things) -> Things:
        await apause("right")
        return {"right": list(state["items"])}

    async def after_left(state: Things) -> Things:
        state["items"].append("after left")
        return {"after_left": "done"}

    return Case(beside(Things, [left, after_left], [right]), {"items": ["begin"]})


@row(TABLE, CHANGES, why_equal="LangGraph makes the outermost dict for each task")
def of_the_nodes_own_dict(place: Path) -> Case:
    async def change(state: Any, who: str) -> Any:
        state["items"] = [who]
        return state["items"]

    async def look(state: Any) -> list[str]:
        return list(state["items"])

    return case(change, look, items=["begin"])


@row(TABLE, CHANGES)
def and_given_back(place: Path) -> Case:
    """Changed in place and returned as well: the channel holds the same list all the time."""

    async def left(state: Things) -> Things:
        await apause("left")
        return {"left": "done"}

    async def right(state: Things) -> Things:
        await apause("right")
        table = state["table"]
        table["right"] = 1
        return {"right": table}

    async def after_left(state: Things) -> Things:
        return {"after_left": sorted(state["table"])}

    return Case(beside(Things, [left, after_left], [right]), {"table": {}})


# Messages -------------------------------------------------------------------------------------


class Chat(MessagesState, total=False):
    left: Any
    right: Any
    after_left: Any
    after_right: Any


def messages() -> list[AnyMessage]:
    return [HumanMessage("begin", id="m1"), AIMessage("go on", id="m2")]


@row(TABLE, CHANGES)
def message_text(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        state["messages"][-1].content += f" {who}"
        return "done"

    async def look(state: Any) -> str:
        return str(state["messages"][-1].content)

    return Case(over_state(Chat, change, look), {"messages": messages()})


@row(TABLE, CHANGES)
def message_metadata(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        for message in state["messages"]:
            message.additional_kwargs[who] = True
        return "done"

    async def look(state: Any) -> list[Any]:
        return [sorted(message.additional_kwargs) for message in state["messages"]]

    return Case(over_state(Chat, change, look), {"messages": messages()})


@row(TABLE, CHANGES)
def message_list(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        state["messages"].append(HumanMessage(who, id=who))
        return "done"

    async def look(state: Any) -> list[Any]:
        return [message.content for message in state["messages"]]

    return Case(over_state(Chat, change, look), {"messages": messages()})


# States that are objects ----------------------------------------------------------------------


@dataclass
class Desk:
    """All that a node gets, as a dataclass."""

    items: list[str] = field(default_factory=list)


class Form(BaseModel):
    """All that a node gets, as a pydantic model. It keeps objects of its own kind as they are."""

    model: Model = Model()


def over_schema(schema: Any, change: Any, look: Any, **input: Any) -> Case:
    """left -> after_left beside right, where right and after_left are given a schema's object."""

    async def left(state: Things) -> Things:
        await apause("left")
        return {"left": "done"}

    async def right(state):  # type: ignore[no-untyped-def]
        await apause("right")
        await change(state)
        return {"right": "done"}

    async def after_left(state):  # type: ignore[no-untyped-def]
        return {"after_left": await look(state)}

    for function in (right, after_left):
        function.__annotations__["state"] = schema
    return Case(beside(Things, [left, after_left], [right]), input)


@row(TABLE, CHANGES)
def list_in_a_dataclass_that_is_the_input(place: Path) -> Case:
    async def change(state: Desk) -> None:
        state.items.append("right")

    async def look(state: Desk) -> list[str]:
        return list(state.items)

    return over_schema(Desk, change, look, items=[])


@row(TABLE, CHANGES)
def model_in_a_pydantic_model_that_is_the_input(place: Path) -> Case:
    async def change(state: Form) -> None:
        state.model.name = "right"

    async def look(state: Form) -> Any:
        return state.model.model_dump()

    return over_schema(Form, change, look, model=Model())


@row(TABLE, CHANGES, why_equal="a state that is an object is made of all channels")
def list_of_a_dataclass_state(place: Path) -> Case:
    @dataclass
    class Whole(Desk):
        left: Any = None
        right: Any = None
        after_left: Any = None
        after_right: Any = None

    async def change(state: Whole, who: str) -> str:
        state.items.append(who)
        return "done"

    async def look(state: Whole) -> list[str]:
        return list(state.items)

    return Case(over_state(Whole, change, look), {"items": []})


# One object in two channels -------------------------------------------------------------------


class Twice(TypedDict, total=False):
    one: Any
    two: Any
    log: Annotated[list[Any], operator.add]
    messages: Annotated[list[AnyMessage], add_messages]
    left: Any
    right: Any
    after_left: Any
    after_right: Any


def aliased(plan: Any, change: Any, look: Any, **input: Any) -> Case:
    """A first node puts one object into two channels; one branch changes it, one looks."""
    return Case(over_state(Twice, change, look, plan), input)


@row(TABLE, CHANGES)
def list_in_two_channels(place: Path) -> Case:
    async def plan(state: Any) -> Any:
        items: list[str] = []
        return {"one": items, "two": items}

    async def change(state: Any, who: str) -> str:
        state["one"].append(who)
        return "done"

    async def look(state: Any) -> list[str]:
        return list(state["two"])

    return aliased(plan, change, look)


@row(TABLE, CHANGES)
def list_inside_another_channel(place: Path) -> Case:
    async def plan(state: Any) -> Any:
        items: list[str] = []
        return {"one": items, "two": {"inside": (items,)}}

    async def change(state: Any, who: str) -> str:
        state["one"].append(who)
        return "done"

    async def look(state: Any) -> int:
        return len(state["two"]["inside"][0])

    return aliased(plan, change, look)


@row(TABLE, CHANGES)
def elements_in_two_lists(place: Path) -> Case:
    async def plan(state: Any) -> Any:
        items = [{"n": 1}, {"n": 2}]
        return {"one": items, "two": items[:]}

    async def change(state: Any, who: str) -> str:
        state["one"][0]["n"] += 10
        return "done"

    async def look(state: Any) -> int:
        return int(state["two"][0]["n"])

    return aliased(plan, change, look)


@row(TABLE, CHANGES)
def elements_that_a_reducer_keeps(place: Path) -> Case:
    async def plan(state: Any) -> Any:
        first: dict[str, Any] = {"n": 1}
        return {"one": first, "log": [first]}

    async def change(state: Any, who: str) -> str:
        state["one"][who] = 1
        return "done"

    async def look(state: Any) -> int:
        return len(state["log"][0])

    return aliased(plan, change, look)


@row(TABLE, CHANGES)
def message_in_two_channels(place: Path) -> Case:
    async def plan(state: Any) -> Any:
        message = HumanMessage("begin", id="m1")
        return {"one": message, "messages": [message]}

    async def change(state: Any, who: str) -> str:
        state["one"].content += f" {who}"
        return "done"

    async def look(state: Any) -> str:
        return str(state["messages"][0].content)

    return aliased(plan, change, look)


@row(TABLE, "shared container", CHANGED)
def list_in_the_state_and_in_a_closure(place: Path) -> Case:
    kept: list[str] = []

    async def plan(state: Any) -> Any:
        return {"one": kept}

    async def change(state: Any, who: str) -> str:
        kept.append(who)
        return "done"

    async def look(state: Any) -> list[str]:
        return list(state["one"])

    return aliased(plan, change, look)


@row(TABLE, "shared container")
def list_of_the_input_that_a_closure_keeps(place: Path) -> Case:
    """The app puts a list into the input and keeps it; a node changes the one it kept."""
    kept: list[str] = []

    async def change(state: Any, who: str) -> str:
        kept.append(who)
        return "done"

    async def look(state: Any) -> list[str]:
        return list(state["one"])

    return Case(over_state(Twice, change, look), {"one": kept})


@row(TABLE, "shared container", CHANGED)
def list_that_a_node_gives_away_and_keeps(place: Path) -> Case:
    """What a node changes after it gave it to the state."""
    drafts: dict[str, list[str]] = {}

    async def plan(state: Any) -> Any:
        drafts["one"] = ["begin"]
        return {"one": drafts["one"]}

    async def change(state: Any, who: str) -> str:
        drafts["one"].append(who)
        return "done"

    async def look(state: Any) -> list[str]:
        return list(state["one"])

    return aliased(plan, change, look)
