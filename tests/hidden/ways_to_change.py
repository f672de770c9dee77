"""Rows: an object in the state, and the many ways in which code changes it in place."""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import functools
import itertools
import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from tests.hidden.kit import Case, Table, row
from tests.hidden.mutation import CHANGED, CHANGES, Card, Chat, Model, Profile, Things
from tests.hidden.quartet import over_state

TABLE: Table = {}

Change = Callable[[Any, str], Any]


def way(*held: str) -> Callable[[Change], Change]:
    """A row whose siblings change the state in this way; those after them look at all of it."""

    def add(change: Change) -> Change:
        def build(place: Path) -> Case:
            async def look(state: Any) -> str:
                model = state["model"].model_dump()
                seen = [state["items"], state["table"], state["document"], model]
                return f"{seen} {state['profile'].tags} {state['card'].tags}"

            return Case(over_state(Things, change, look), things())

        build.__name__ = change.__name__
        row(TABLE, *(held or (CHANGES,)))(build)
        return change

    return add


def things() -> dict[str, Any]:
    return {
        "items": ["begin"],
        "table": {"begin": [1]},
        "document": {"sections": [{"title": "One", "notes": []}], "more": {}},
        "profile": Profile("Ada"),
        "card": Card("Ada", ["begin"]),
        "model": Model(name="Ada", tags=["begin"]),
    }


@way()
async def by_get(state: Any, who: str) -> None:
    state.get("items", []).append(who)


@way()
async def by_get_of_a_dict(state: Any, who: str) -> None:
    state["table"].get("begin").append(who)


@way()
async def by_setdefault(state: Any, who: str) -> None:
    state["table"].setdefault("more", []).append(who)


@way()
async def by_a_default_of_get(state: Any, who: str) -> None:
    (state.get("nothing") or state["items"]).append(who)


@way()
async def by_an_item_getter(state: Any, who: str) -> None:
    operator.itemgetter("items")(state).append(who)


@way()
async def by_an_attribute_getter(state: Any, who: str) -> None:
    operator.attrgetter("tags")(state["card"]).append(who)


@way()
async def by_getattr(state: Any, who: str) -> None:
    getattr(state["card"], "tags").append(who)  # noqa: B009


@way()
async def by_getattr_of_a_name_made_here(state: Any, who: str) -> None:
    getattr(state["card"], "".join(["ta", "gs"])).append(who)


@way()
async def by_the_state_as_a_dict(state: Any, who: str) -> None:
    dict(state)["items"].append(who)


@way()
async def by_another_dict_around_the_state(state: Any, who: str) -> None:
    {**state}["items"].append(who)


@way()
async def by_the_union_of_the_state(state: Any, who: str) -> None:
    (state | {"more": 1})["items"].append(who)


@way()
async def by_the_values_of_the_state(state: Any, who: str) -> None:
    for value in state.values():
        if isinstance(value, list):
            value.append(who)


@way()
async def by_keyword_arguments(state: Any, who: str) -> None:
    def keep(items: list[str], **rest: Any) -> None:
        items.append(who)

    keep(**state)


@way()
async def by_star_arguments(state: Any, who: str) -> None:
    def keep(*sections: dict[str, Any]) -> None:
        sections[0]["notes"].append(who)

    keep(*state["document"]["sections"])


@way()
async def by_a_slice(state: Any, who: str) -> None:
    state["document"]["sections"][:][0]["notes"].append(who)


@way()
async def by_a_slice_that_is_set(state: Any, who: str) -> None:
    state["items"][1:1] = [who]


@way()
async def by_a_comprehension(state: Any, who: str) -> None:
    found = [section for section in state["document"]["sections"] if section["title"]]
    found[0]["notes"].append(who)


@way()
async def by_a_dict_comprehension(state: Any, who: str) -> None:
    found = {section["title"]: section for section in state["document"]["sections"]}
    found["One"]["notes"].append(who)


@way()
async def by_next(state: Any, who: str) -> None:
    next(iter(state["document"]["sections"]))["notes"].append(who)


@way()
async def by_next_of_a_generator(state: Any, who: str) -> None:
    found = next((s for s in state["document"]["sections"] if s["title"] == "One"), None)
    assert found is not None
    found["notes"].append(who)


@way()
async def by_max(state: Any, who: str) -> None:
    max(state["document"]["sections"], key=lambda s: s["title"])["notes"].append(who)


@way()
async def by_sorted(state: Any, who: str) -> None:
    sorted(state["document"]["sections"], key=lambda s: s["title"])[0]["notes"].append(who)


@way()
async def by_filter(state: Any, who: str) -> None:
    list(filter(None, state["document"]["sections"]))[0]["notes"].append(who)  # noqa: RUF015


@way()
async def by_map(state: Any, who: str) -> None:
    list(map(lambda s: s["notes"].append(who), state["document"]["sections"]))  # noqa: C417


@way()
async def by_zip(state: Any, who: str) -> None:
    for section, _ in zip(state["document"]["sections"], [1], strict=True):
        section["notes"].append(who)


@way()
async def by_reversed(state: Any, who: str) -> None:
    for section in reversed(state["document"]["sections"]):
        section["notes"].append(who)


@way()
async def by_itertools(state: Any, who: str) -> None:
    for section in itertools.islice(state["document"]["sections"], 1):
        section["notes"].append(who)


@way()
async def by_reduce(state: Any, who: str) -> None:
    first = functools.reduce(lambda a, b: a, state["document"]["sections"])
    first["notes"].append(who)


@way()
async def by_a_nested_loop(state: Any, who: str) -> None:
    for value in state["document"].values():
        for section in value:
            section["notes"].append(who)


@way()
async def by_unpacking(state: Any, who: str) -> None:
    first, *_ = state["document"]["sections"]
    first["notes"].append(who)


@way()
async def by_a_match(state: Any, who: str) -> None:
    match state["document"]:
        case {"sections": [first, *_]}:
            first["notes"].append(who)


@way()
async def by_a_match_of_the_state(state: Any, who: str) -> None:
    match state:
        case {"items": items}:
            items.append(who)


@way()
async def by_a_walrus(state: Any, who: str) -> None:
    if items := state["items"]:
        items.append(who)


@way()
async def by_a_condition(state: Any, who: str) -> None:
    (state["items"] if who else []).append(who)


@way()
async def by_a_nested_function(state: Any, who: str) -> None:
    items = state["items"]

    def keep() -> None:
        items.append(who)

    keep()


@way()
async def by_a_default_argument(state: Any, who: str) -> None:
    def keep(items: Any = state["items"]) -> None:
        items.append(who)

    keep()


@way()
async def by_an_object_that_holds_it(state: Any, who: str) -> None:
    class Holder:
        def __init__(self, items: list[str]) -> None:
            self.items = items

        def keep(self) -> None:
            self.items.append(who)

    Holder(state["items"]).keep()


@way()
async def by_a_list_that_holds_it(state: Any, who: str) -> None:
    lists: list[Any] = []
    lists.append(state["items"])
    lists[-1].append(who)


@way()
async def by_a_deque_that_holds_it(state: Any, who: str) -> None:
    waiting = collections.deque([state["items"]])
    while waiting:
        waiting.popleft().append(who)


@way()
async def by_a_stack_of_nested_values(state: Any, who: str) -> None:
    stack: list[Any] = [state["document"]]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack.extend(value.values())
            value["seen"] = who
        elif isinstance(value, list):
            stack.extend(value)


@way()
async def by_a_recursive_function(state: Any, who: str) -> None:
    def mark(value: Any) -> None:
        if isinstance(value, dict):
            value["seen"] = who
            for inner in list(value.values()):
                mark(inner)
        elif isinstance(value, list):
            for inner in value:
                mark(inner)

    mark(state["document"])


@way()
async def by_a_chain_of_maps(state: Any, who: str) -> None:
    collections.ChainMap(state["table"])[who] = [1]


@way()
async def by_a_shallow_copy(state: Any, who: str) -> None:
    copy.copy(state["card"]).tags.append(who)


@way()
async def by_a_copied_dict(state: Any, who: str) -> None:
    state["document"].copy()["sections"][0]["notes"].append(who)


@way()
async def by_a_replaced_dataclass(state: Any, who: str) -> None:
    dataclasses.replace(state["card"], name=who).tags.append(who)


@way()
async def by_a_copied_model(state: Any, who: str) -> None:
    state["model"].model_copy().tags.append(who)


@way()
async def by_an_attribute_of_a_model(state: Any, who: str) -> None:
    state["model"].tags += [who]


@way()
async def by_vars(state: Any, who: str) -> None:
    vars(state["card"])["tags"].append(who)


@way()
async def by_the_objects_dict(state: Any, who: str) -> None:
    state["card"].__dict__["tags"].append(who)


@way()
async def by_object_setattr(state: Any, who: str) -> None:
    object.__setattr__(state["card"], "tags", [who])


@way()
async def by_a_method_of_the_class(state: Any, who: str) -> None:
    list.append(state["items"], who)


@way()
async def by_a_bound_method(state: Any, who: str) -> None:
    keep = state["items"].append
    keep(who)


@way()
async def by_a_partial(state: Any, who: str) -> None:
    functools.partial(state["items"].append, who)()


@way()
async def by_a_method_caller(state: Any, who: str) -> None:
    operator.methodcaller("append", who)(state["items"])


@way()
async def by_operator_iadd(state: Any, who: str) -> None:
    operator.iadd(state["items"], [who])


@way()
async def by_in_place_multiplication(state: Any, who: str) -> None:
    items = state["items"]
    items *= 2


@way()
async def by_update(state: Any, who: str) -> None:
    state["table"].update({who: [1]})


@way()
async def by_a_merged_dict(state: Any, who: str) -> None:
    table = state["table"]
    table |= {who: [1]}


@way()
async def by_clear(state: Any, who: str) -> None:
    if who == "right":
        state["items"].clear()


@way()
async def by_a_context_manager(state: Any, who: str) -> None:
    @contextlib.contextmanager
    def opened(items: list[str]) -> Iterator[list[str]]:
        yield items

    with opened(state["items"]) as items:
        items.append(who)


@way()
async def by_try(state: Any, who: str) -> None:
    try:
        items = state["items"]
    except KeyError:
        items = []
    items.append(who)


@way()
async def by_while(state: Any, who: str) -> None:
    section = state["document"]
    while "sections" in section:
        section = section["sections"][0]
    section["notes"].append(who)


@way()
async def by_an_assignment_to_a_key_made_here(state: Any, who: str) -> None:
    state["document"]["".join(["mo", "re"])][who] = 1


@way("source can't be read", CHANGED)
async def by_code_that_is_evaluated(state: Any, who: str) -> None:
    eval("items.append(who)", {}, {"items": state["items"], "who": who})


@row(TABLE, CHANGES)
def of_a_message_by_a_comprehension(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        human = [m for m in state["messages"] if isinstance(m, HumanMessage)]
        human[-1].additional_kwargs[who] = True
        return "done"

    async def look(state: Any) -> Any:
        return sorted(state["messages"][-1].additional_kwargs)

    return Case(over_state(Chat, change, look), {"messages": [HumanMessage("begin", id="m1")]})


@row(TABLE, CHANGES)
def with_a_checkpointer(place: Path) -> Case:
    async def change(state: Any, who: str) -> str:
        state["items"].append(who)
        return "done"

    async def look(state: Any) -> Any:
        return list(state["items"])

    graph = over_state(Things, change, look, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    return Case(graph, {"items": ["begin"]}, config=config)
