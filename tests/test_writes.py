"""What a node may write and where it may lead, read from its source.

Each function of the table stands with what must be read from it. It is also run: what it really
gives must lie inside what was read. `ANY` stands where nothing can be known.
"""

# ruff: noqa: C408, F841 - the ways of writing are the point

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import linecache
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace
from typing import Annotated, Any, Literal, TypedDict, cast

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    RunnableBranch,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.runnables.utils import AddableDict
from langchain_core.tools import tool
from langgraph.errors import ParentCommand
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import push_message
from langgraph.prebuilt import InjectedState, ToolNode
from langgraph.types import Command, Send
from pydantic import BaseModel, ConfigDict

from langgraph_alto.source import shapes
from langgraph_alto.source.shapes import of_annotation
from langgraph_alto.source.writes import (
    Outcome,
    Writes,
    annotated,
    annotated_function,
    outcome_of,
    router_ends,
)

ANY = None


class State(TypedDict, total=False):
    q: str
    n: int
    xs: list[Any]


class Update(TypedDict, total=False):
    a: int
    b: int


@dataclass
class Data:
    a: int = 0
    b: int = 0


@dataclass
class Hooked:
    a: int = 0

    def __post_init__(self) -> None:
        self.b = 1


class Model(BaseModel):
    a: int = 0


class OpenModel(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int = 0


class Node(str, Enum):  # noqa: UP042 - the older way
    WORK = "work"


class Partial(AddableDict):
    """As in `langgraph_alto.Partial`."""


class Watched(dict[str, Any]):
    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__("watched", value)


KEY = "a"
SAMPLES: list[State] = [
    {"q": "", "n": 0, "xs": []},
    {"q": "work", "n": 1, "xs": [1, 2]},
    {"q": "done", "n": 7, "xs": ["a", "b"]},
]

rows: list[Any] = []


def gives(
    *keys: str, any_keys: bool = False, goto: Any = (), sends: bool = False, leaves: bool = False
) -> Callable[[Any], Any]:
    """The row's expectation: keys, nodes, Sends, commands for the graph around."""

    def register(function: Any) -> Any:
        expected = Outcome(
            None if any_keys else frozenset(keys),
            None if goto is ANY else frozenset(goto),
            sends,
            leaves,
        )
        name = getattr(function, "__name__", type(function).__name__)
        rows.append(pytest.param(function, expected, id=name))
        return function

    return register


# Mappings ------------------------------------------------------------------------------------


@gives("a")
def a_display(state: State) -> Any:
    return {"a": state["q"]}


@gives("a", "b")
def two_returns(state: State) -> Any:
    if state["n"]:
        return {"a": 1}
    return {"b": 1}


@gives()
def nothing_at_all(state: State) -> Any:
    print(state["q"])


@gives("a")
def or_none(state: State) -> Any:
    return {"a": 1} if state["n"] else None


@gives("a", "b")
def a_conditional(state: State) -> Any:
    return {"a": 1} if state["n"] else {"b": 1}


@gives("a", "b")
def a_call_of_dict(state: State) -> Any:
    return dict(a=1, b=state["n"])


@gives("a", "b")
def a_typed_dict(state: State) -> Any:
    return Update(a=1, b=2)


@gives("a", "b")
def a_spread(state: State) -> Any:
    known = {"a": 1}
    return {**known, "b": 2}


@gives(any_keys=True)
def the_state_spread(state: State) -> Any:
    return {**state, "b": 2}


@gives(any_keys=True)
def the_state_itself(state: State) -> Any:
    state["n"] = 3
    return state


@gives("a", "b")
def a_union(state: State) -> Any:
    return {"a": 1} | {"b": state["n"]}


@gives(any_keys=True)
def a_union_with_the_state(state: State) -> Any:
    return state | {"b": 1}


@gives("a")
def a_global_key(state: State) -> Any:
    return {KEY: 1}


@gives("work")
def an_enum_key(state: State) -> Any:
    return {Node.WORK: 1}


@gives(any_keys=True)
def a_computed_key(state: State) -> Any:
    return {state["q"]: 1}


@gives("a", "b")
def keys_of_a_loop(state: State) -> Any:
    found = {}
    for key in ("a", "b"):
        found[key] = state["n"]
    return found


@gives(any_keys=True)
def keys_of_the_input(state: State) -> Any:
    return {str(x): 1 for x in state["xs"]}


@gives("a")
def a_comprehension_of_known_keys(state: State) -> Any:
    return {key: [key] for key in ["a"]}


@gives("a", "b")
def from_keys(state: State) -> Any:
    return dict.fromkeys(["a", "b"], 0)


@gives(any_keys=True)
def from_any_keys(state: State) -> Any:
    return dict.fromkeys(state["xs"], 0)


# Variables -----------------------------------------------------------------------------------


@gives("a", "b", "c", "d", "e", "f")
def a_variable_that_grows(state: State) -> Any:
    found = {"a": 1}
    found["b"] = 2
    found.update({"c": 3}, d=4)
    found.setdefault("e", 5)
    if state["n"]:
        found |= {"f": 6}
    return found


@gives("a", "b")
def a_second_name(state: State) -> Any:
    found = {}
    same = found
    same["a"] = 1
    one = other = found
    other["b"] = 1
    return found


@gives("a", "b")
def names_bound_at_once(state: State) -> Any:
    one = other = {}
    other["a"] = 1
    if third := one:
        third["b"] = 1
    return one


@gives(any_keys=True)
def a_name_bound_on_the_way(state: State) -> Any:
    one: dict[str, Any] = {}
    (other := one)["b"] = 1
    return one


@gives(any_keys=True)
def handed_to_unread_code(state: State) -> Any:
    found = {"a": 1}
    random.choice([fill])(found)
    return found


@gives(any_keys=True)
def handed_to_a_helper(state: State) -> Any:
    found = {"a": 1}
    fill(found)
    return found


@gives("a")
def only_looked_at(state: State) -> Any:
    found = {"a": 1}
    print(len(found), found, "a" in found, f"{found}", found["a"], found.get("b"), list(found))
    for key in found:
        print(key)
    return found


@gives("a")
def values_handed_on(state: State) -> Any:
    found = {"a": [1]}
    fill_list(found["a"])
    found["a"].append(2)
    return found


@gives(any_keys=True)
def kept_in_an_attribute(state: State) -> Any:
    keeper = SimpleNamespace()
    found = {"a": 1}
    keeper.kept = found
    keeper.kept["b"] = 1
    return found


@gives(any_keys=True)
def kept_inside_another(state: State) -> Any:
    found = {"a": 1}
    holder = {"inner": found}
    holder["inner"]["b"] = 1
    return found


@gives(any_keys=True)
def kept_and_bound_at_once(state: State) -> Any:
    holder: dict[str, Any] = {}
    found = holder["inner"] = {}
    holder["inner"]["b"] = 1
    return found


@gives("a", "b", "c")
def from_a_list(state: State) -> Any:
    found: dict[str, Any] = {"a": 1}
    several = [found]
    for one in several:
        one["b"] = 1
    several[0]["c"] = 1
    return {"a": 1, "b": 1, "c": 1}


@gives(any_keys=True)
def changed_through_a_list(state: State) -> Any:
    found: dict[str, Any] = {"a": 1}
    several = [found]
    several[0]["c"] = 1
    return found


@gives(any_keys=True)
def changed_through_a_copied_list(state: State) -> Any:
    found: dict[str, Any] = {"a": 1}
    several = [found].copy()
    others = several.copy()
    others[0]["c"] = 1
    return found


@gives("a", "b")
def changed_through_a_popped_one(state: State) -> Any:
    found: dict[str, Any] = {"a": 1}
    several = [found]
    one = several.pop()
    one["b"] = 1
    return found


@gives(any_keys=True)
def popped_and_handed_on(state: State) -> Any:
    found: dict[str, Any] = {"a": 1}
    several = [found]
    fill([*several].pop())
    return found


@gives("a")
def deleted_keys_may_stay(state: State) -> Any:
    found = {"a": 1}
    del found["a"]
    found.pop("a", None)
    return found


@gives(any_keys=True)
def unknown_and_known(state: State) -> Any:
    found = {"a": 1}
    if state["n"]:
        found = dict(state)
    return found


@gives("a", "b")
def built_on_itself(state: State) -> Any:
    found = {}
    found = {**found, "a": 1}
    found = {**found, "b": 1}
    return found


@gives("a", "b")
def by_turns(state: State) -> Any:
    one: dict[str, Any] = {"a": 1}
    for _ in range(3):
        other = {**one, "b": 1}
        one = {**other}
    return other


@gives("a")
def a_copy(state: State) -> Any:
    found = {"a": 1}
    return copy.deepcopy(found)


@gives("a", "b")
def a_cast(state: State) -> Any:
    found = cast("State", {"a": 1})
    return found or cast(State, {"b": 1})


@gives("a")
def a_match(state: State) -> Any:
    match state["n"]:
        case 0:
            return {"a": 1}
        case _:
            return None


@gives("a", "b")
def a_try(state: State) -> Any:
    try:
        return {"a": 1 / state["n"]}
    except ZeroDivisionError:
        return {"b": 1}


@gives(any_keys=True)
def a_locals_call(state: State) -> Any:
    found = {"a": 1}
    locals()["found"]["b"] = 1
    return found


@gives(any_keys=True)
def a_default_dict(state: State) -> Any:
    found: Any = defaultdict(list)
    found["a"].append(1)
    return dict(found)


@gives(any_keys=True, goto=ANY, sends=True)
def a_changed_dict_class(state: State) -> Any:
    found = Watched()
    found["a"] = 1
    return found


# Helpers -------------------------------------------------------------------------------------


def fill(found: dict[str, Any]) -> None:
    found["filled"] = 1


def fill_list(found: list[Any]) -> None:
    found.append(1)


def helper(value: Any) -> Any:
    return {"a": value}


def with_key(key: str, found: Any = None, **more: Any) -> Any:
    result = {key: 1, **more}
    if found is not None:
        result["found"] = found
    return result


def completed(found: Any) -> Any:
    found["b"] = 1
    return found


async def late(value: Any) -> Any:
    return {"late": value}


def endless(depth: int) -> Any:
    return {"a": 1} if depth > 100 else endless(depth + 1)


@gives("a")
def through_a_helper(state: State) -> Any:
    return helper(state["q"])


@gives("a", "c", "found")
def through_a_helper_with_keys(state: State) -> Any:
    return with_key("a", c=1)


@gives("a", "b")
def through_a_helper_that_changes(state: State) -> Any:
    return completed({"a": 1})


@gives(any_keys=True)
def through_a_helper_that_changes_a_variable(state: State) -> Any:
    found = {"a": 1}
    return completed(found)


@gives(any_keys=True, goto=ANY, sends=True)
def through_a_recursion(state: State) -> Any:
    return endless(0)


@gives("a", "inner")
def through_a_local_function(state: State) -> Any:
    def inner(value: Any) -> Any:
        return {"inner": value}

    wrapped = lambda: {"a": 1}  # noqa: E731
    return wrapped() if state["n"] else inner(1)


@gives("a", "b")
def through_a_closure_that_writes(state: State) -> Any:
    found: dict[str, Any] = {"a": 1}

    def add() -> None:
        found["b"] = 1

    add()
    return found


@gives(any_keys=True)
def through_a_closure_with_its_own_names(state: State) -> Any:
    found: dict[str, Any] = {"a": 1}
    key = "b"

    def add(key: str) -> None:
        found[key] = 1

    add("c")
    return found


@gives(any_keys=True, goto=ANY, sends=True)
def through_a_closure_that_rebinds(state: State) -> Any:
    found: dict[str, Any] = {"a": 1}

    def swap() -> None:
        nonlocal found
        found = {"z": 1}

    swap()
    return found


@gives("late")
async def an_awaited_helper(state: State) -> Any:
    return await late(1)


@gives("a")
async def a_helper_in_a_thread(state: State) -> Any:
    return await asyncio.to_thread(helper, state["q"])


@gives(any_keys=True, goto=ANY, sends=True)
async def gathered(state: State) -> Any:
    return (await asyncio.gather(late(1)))[0]


@gives("a")
def an_import_inside(state: State) -> Any:
    import copy as imported
    from typing import cast as also

    return imported.deepcopy(also("Any", {"a": 1}))


@gives(any_keys=True, goto=ANY, sends=True)
def one_of_several_functions(state: State) -> Any:
    chosen = random.choice([helper, with_key])
    return chosen("a")


@gives(any_keys=True, goto=ANY, sends=True)
def what_a_model_gave(state: State) -> Any:
    return GenericFakeChatModel(messages=iter([AIMessage("x")])).invoke("x").additional_kwargs


# Objects -------------------------------------------------------------------------------------


OF_DATA = frozenset({"a", "b", *dir(Data)})


@gives(*OF_DATA)
def a_dataclass(state: State) -> Any:
    return Data(a=1)


@gives(*dir(Model), "a", *shapes.of_instance(Model).keys or ())
def a_pydantic_model(state: State) -> Any:
    return Model(a=1)


@gives(any_keys=True)
def a_model_with_any_fields(state: State) -> Any:
    return OpenModel(a=1, b=2)  # type: ignore[call-arg]


@gives(any_keys=True)
def a_dataclass_that_adds(state: State) -> Any:
    return Hooked(1)


@gives(any_keys=True)
def a_dataclass_that_is_changed(state: State) -> Any:
    found: Any = Data()
    found.c = 1
    return found


@gives(any_keys=True)
def a_model_dumped(state: State) -> Any:
    return Model(a=1).model_dump()


class Agent:
    name = "agent"

    def __call__(self, state: State) -> Any:
        return self.result(state["n"])

    def result(self, value: Any) -> Any:
        return {"agent": value}

    def method(self, state: State) -> Any:
        return self.static() | self.of_class()

    @staticmethod
    def static() -> Any:
        return {"static": 1}

    @classmethod
    def of_class(cls) -> Any:
        return {cls.name: 1}

    async def coroutine(self, state: State) -> Any:
        return self.result(1)


class Special(Agent):
    def result(self, value: Any) -> Any:
        return {"special": value}


gives("agent")(Agent())
gives("special")(Special())
gives("agent", "static")(Agent().method)
gives("special")(Special().coroutine)
gives("a")(functools.partial(lambda key, state: {key: 1}, "a"))


# Decorated -----------------------------------------------------------------------------------


def passing(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        print(result)
        return result

    return wrapper


def adding(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(state: State) -> Any:
        return {**function(state), "added": 1}

    return wrapper


def opaque(function: Any) -> Any:
    table = {"f": function}

    @functools.wraps(function)
    def wrapper(state: State) -> Any:
        return table["f"](state)

    return wrapper


def made(key: str) -> Any:
    def node(state: State) -> Any:
        return Command(update={key: 1}, goto=key)

    return node


@gives("a")
@passing
def decorated(state: State) -> Any:
    return {"a": 1}


@gives("a", "added")
@adding
def decorated_with_more(state: State) -> Any:
    return {"a": 1}


@gives(any_keys=True, goto=ANY, sends=True)
@opaque
def decorated_opaquely(state: State) -> Any:
    return {"a": 1}


@gives(any_keys=True, goto=ANY, sends=True)
@functools.lru_cache
def cached(state: State) -> Any:
    return {"a": 1}


gives("x", goto=("x",))(made("x"))


# Commands and Sends --------------------------------------------------------------------------


@gives("a", goto=("work",))
def a_command(state: State) -> Any:
    return Command(update={"a": 1}, goto="work")


@gives(goto=("work",))
def only_goto(state: State) -> Any:
    return Command(goto="work")


@gives("a")
def only_an_update(state: State) -> Any:
    return Command(update={"a": 1})


@gives(goto=("work",))
def a_subscripted_command(state: State) -> Any:
    return Command[Literal["work"]](goto="work")


@gives(goto=("work", "rest"))
def a_chosen_goto(state: State) -> Any:
    goto = "work" if state["n"] else END
    if state["q"]:
        goto = "rest"
    return Command(goto=goto)


@gives(goto=("work", "rest"))
def several_gotos(state: State) -> Any:
    return Command(goto=["work", "rest"])


@gives(goto=("work",))
def a_goto_of_an_enum(state: State) -> Any:
    return Command(goto=Node.WORK.value)


@gives("a", goto=ANY, sends=True)
def a_computed_goto(state: State) -> Any:
    return Command(update={"a": 1}, goto=state["q"] or "work")


@gives(goto=ANY)
def a_formatted_goto(state: State) -> Any:
    return Command(goto=f"node{state['n']}")


@gives(goto=("work", "done"))
def a_literal_goto(state: State) -> Any:
    goto: Literal["work", "done"] = state["q"]  # type: ignore[typeddict-item, assignment]
    return Command(goto=goto if goto else "work")


def pick(state: State) -> Literal["work", "done"]:
    return state["q"] or "work"  # type: ignore[return-value]


@gives(goto=("work", "done"))
def a_literal_helper(state: State) -> Any:
    return Command(goto=pick(state))


@gives(goto=("work", "rest"))
def from_a_table(state: State) -> Any:
    return Command(goto={"a": "work", "b": "rest"}.get(state["q"], "rest"))


@gives("a", goto=("work",), sends=True)
def sends_in_a_command(state: State) -> Any:
    return Command(update={"a": 1}, goto=[Send("work", {"x": x}) for x in state["xs"]])


@gives(goto=("work", "rest"), sends=True)
def sends_that_are_collected(state: State) -> Any:
    sends = []
    for x in state["xs"]:
        sends.append(Send("work", {"x": x}))
    sends.extend([Send("rest", {})])
    return Command(goto=sends)


@gives(goto=ANY, sends=True)
def sends_to_anywhere(state: State) -> Any:
    return Command(goto=[Send(state["q"] or "x", {})])


@gives(goto=ANY, sends=True)
def sends_that_are_handed_on(state: State) -> Any:
    sends = [Send("work", {})]
    random.choice([fill_list])(sends)
    return Command(goto=[s for s in sends if isinstance(s, Send)])


@gives("node", "arg", "timeout", goto=("work",), sends=True)
def a_send_itself(state: State) -> Any:
    return Send("work", {})


@gives("a", "b", goto=("work", "rest"))
def a_list_of_commands(state: State) -> Any:
    return [Command(update={"a": 1}, goto="work"), Command(goto="rest"), {"b": 1}]


@gives("a", "b", goto=("work",))
def commands_that_are_collected(state: State) -> Any:
    found: list[Any] = [Command(update={"a": 1})]
    update = {}
    found.append(Command(update=update, goto="work"))
    update["b"] = 1
    return found


@gives("a", "b")
def a_dict_or_a_command(state: State) -> Any:
    return {"a": 1} if state["n"] else Command(update={"b": 1})


@gives(any_keys=True)
def an_update_that_is_handed_on(state: State) -> Any:
    update = {"a": 1}
    command = Command(update=update)
    fill(update)
    return command


@gives(any_keys=True)
def an_update_of_pairs(state: State) -> Any:
    return Command(update=[("a", 1)])


@gives(*OF_DATA)
def an_update_of_a_dataclass(state: State) -> Any:
    return Command(update=Data(a=1))


@gives(leaves=True)
def for_the_graph_around(state: State) -> Any:
    return Command(graph=Command.PARENT, update={"a": 1}, goto="other")


@gives("a", goto=("work",), leaves=True)
def for_one_or_the_other(state: State) -> Any:
    if state["n"]:
        return Command(graph=Command.PARENT, update={"outer": 1}, goto="other")
    return Command(update={"a": 1}, goto="work")


@gives("a", goto=("work",), leaves=True)
def for_a_graph_that_is_chosen(state: State) -> Any:
    graph = Command.PARENT if state["n"] else None
    return Command(graph=graph, update={"a": 1}, goto="work")


@gives("a", leaves=True)
def for_a_named_graph(state: State) -> Any:
    return Command(graph=state["q"], update={"a": 1})


@gives(any_keys=True, goto=ANY, sends=True, leaves=True)
def by_an_exception(state: State) -> Any:
    raise ParentCommand(Command(graph=Command.PARENT, goto="other"))


@gives(any_keys=True, goto=ANY, sends=True, leaves=True)
def a_command_by_keywords(state: State) -> Any:
    fields = {"update": {"a": 1}, "goto": "x"}
    return Command(**fields)


# Generators ----------------------------------------------------------------------------------


@gives("a", "b")
def a_generator(state: State) -> Iterator[Any]:
    for x in state["xs"]:
        yield {"a": [x]}
    yield AddableDict(b=1)


@gives("xs")
def a_generator_of_partials(state: State) -> Iterator[Any]:
    yield from (Partial({"xs": [x]}) for x in range(3))


@gives("a", "b")
def a_generator_of_generators(state: State) -> Iterator[Any]:
    yield from parts()


def parts() -> Iterator[Any]:
    yield {"a": 1}
    yield {"b": 1}


@gives("a")
async def an_async_generator(state: State) -> AsyncIterator[Any]:
    yield {"a": 1}


@gives("a", goto=("work",))
def a_generator_that_ends_with_a_command(state: State) -> Iterator[Any]:
    yield {"a": 1}
    yield Command(goto="work")


# The table -----------------------------------------------------------------------------------


def test_the_table_is_not_small() -> None:
    assert len(rows) >= 100


@pytest.mark.parametrize(("function", "expected"), rows)
def test_what_is_read(function: Any, expected: Outcome) -> None:
    found = Writes().outcome(function)
    assert found == expected


@pytest.mark.parametrize(("function", "expected"), rows)
async def test_what_is_given_lies_inside(function: Any, expected: Outcome) -> None:
    """No row's function may ever give more than was read from it."""
    found = Writes().outcome(function)
    for sample in SAMPLES:
        for result in await _results(function, copy.deepcopy(sample)):
            keys, goto, leaves = _given(result)
            assert found.keys is None or keys <= found.keys
            assert found.goto is None or goto <= found.goto
            assert found.leaves or not leaves


async def _results(function: Any, state: State) -> list[Any]:
    with suppress(ParentCommand, TypeError, RecursionError):  # unhashable, too deep
        result = function(state)
        if inspect.isawaitable(result):
            result = await result
        if inspect.isasyncgen(result):
            return [chunk async for chunk in result]
        return list(result) if inspect.isgenerator(result) else [result]
    return []


def _given(result: Any) -> tuple[set[str], set[str], bool]:
    """Keys, nodes and whether it leaves the graph, of a real result."""
    if isinstance(result, list):
        parts = [_given(part) for part in result]
        keys = set().union(*(k for k, _, _ in parts))
        return keys, set().union(*(g for _, g, _ in parts)), any(x for _, _, x in parts)
    if isinstance(result, Command):
        if result.graph == Command.PARENT:
            return set(), set(), True
        nodes = result.goto if isinstance(result.goto, list | tuple) else [result.goto]
        goto = {n.node if isinstance(n, Send) else str.__str__(n) for n in nodes} - {END}
        # An update that is no mapping is one of the whole state, which these graphs don't have.
        return {str(k) for k, _ in result._update_as_tuples()} - {"__root__"}, goto, False
    if isinstance(result, Send):
        return {"node", "arg", "timeout"}, {result.node}, False
    if isinstance(result, dict):
        return {str.__str__(key) for key in result if isinstance(key, str)}, set(), False
    return set(getattr(result, "__dict__", {})), set(), False


# Runnables -----------------------------------------------------------------------------------

PROMPT = ChatPromptTemplate.from_messages([("human", "{q}")])
MODEL = GenericFakeChatModel(messages=iter([]))


def chunks(items: Iterator[Any]) -> Iterator[Any]:
    for item in items:
        yield {"chunk": item}


RUNNABLES: dict[str, tuple[Any, Outcome]] = {
    "a lambda": (RunnableLambda(a_display), Outcome(frozenset("a"), frozenset())),
    "a lambda of a coroutine": (
        RunnableLambda(a_display, afunc=an_awaited_helper),
        Outcome(frozenset({"a", "late"}), frozenset()),
    ),
    "a generator": (RunnableGenerator(chunks), Outcome(frozenset({"chunk"}), frozenset())),
    "a parallel": (
        RunnableParallel(a=MODEL, b=RunnableLambda(a_display)),
        Outcome(frozenset("ab"), frozenset()),
    ),
    "a chain that ends with a function": (
        PROMPT | MODEL | StrOutputParser() | helper,
        Outcome(frozenset("a"), frozenset()),
    ),
    "a chain that ends with a parser": (
        PROMPT | MODEL | JsonOutputParser(),
        Outcome(None, frozenset()),
    ),
    "a model": (MODEL, Outcome(None, frozenset())),
    "a binding": (
        RunnableLambda(a_display).with_config(tags=["x"]).with_retry(),
        Outcome(frozenset("a"), frozenset()),
    ),
    "fallbacks": (
        RunnableLambda(a_display).with_fallbacks([RunnableLambda(only_goto)]),
        Outcome(frozenset("a"), frozenset({"work"})),
    ),
    "a branch": (
        RunnableBranch((bool, RunnableLambda(a_display)), RunnableLambda(a_command)),
        Outcome(frozenset("a"), frozenset({"work"})),
    ),
    "an assignment": (RunnablePassthrough.assign(a=helper), Outcome(None, frozenset())),
    "a class of the app": (
        type("Own", (RunnableLambda,), {"invoke": None})(a_display),
        Outcome(frozenset("a"), frozenset()),
    ),
}


@pytest.mark.parametrize("name", RUNNABLES)
def test_runnables(name: str) -> None:
    bound, expected = RUNNABLES[name]
    assert Writes().outcome(bound) == expected


def test_a_graph_that_a_function_calls() -> None:
    builder = StateGraph(State, output_schema=Update)
    builder.add_node("inner", a_display)
    builder.add_edge(START, "inner")
    graph = builder.compile()

    def node(state: State) -> Any:
        return graph.invoke({"q": state["q"]})

    async def node_with_more(state: State) -> Any:
        return {**await graph.ainvoke({}), "more": 1}

    assert Writes().outcome(node).keys == {"a", "b"}
    assert Writes().outcome(node_with_more).keys == {"a", "b", "more"}


# Tools ---------------------------------------------------------------------------------------


@tool
def search(query: str) -> str:
    """Search."""
    return query


@tool
def formatted(query: str):
    """Search, without an annotation."""
    return f"found {query}"


@tool
def unseen(query: str):
    """Nothing says what it gives."""
    return random.choice([search])(query)


@tool
def unseen_but_said(query: str) -> str:
    """The annotation says what it gives."""
    return random.choice([search])(query)


@tool
def commands(query: str) -> Command[Any]:
    """Leads on."""
    return Command(update={"messages": [], "found": query}, goto="work")


@tool
def hands_over(query: str, state: Annotated[dict[str, Any], InjectedState]) -> Any:
    """Leads around."""
    return Command(graph=Command.PARENT, goto="other", update={**state})


MESSAGES = frozenset({"messages"})
TOOLS: dict[str, tuple[list[Any], Outcome]] = {
    "plain": ([search, formatted], Outcome(MESSAGES, frozenset())),
    "said": ([unseen_but_said], Outcome(MESSAGES, frozenset())),
    "unseen": ([search, unseen], Outcome(None, None, sends=True)),
    "commands": ([commands], Outcome(MESSAGES | {"found"}, frozenset({"work"}))),
    "hands over": ([search, hands_over], Outcome(MESSAGES, frozenset(), leaves=True)),
}


@pytest.mark.parametrize("name", TOOLS)
def test_tool_nodes(name: str) -> None:
    tools, expected = TOOLS[name]
    assert Writes().outcome(ToolNode(tools)) == expected


def test_a_tool_as_a_node() -> None:
    @tool
    def gives_keys(query: str) -> Any:
        """Gives an update."""
        return {"a": query}

    assert Writes().outcome(gives_keys) == Outcome(frozenset("a"), frozenset())
    assert Writes().outcome(hands_over) == Outcome(frozenset(), frozenset(), leaves=True)
    assert Writes().outcome(commands).goto == {"work"}
    assert Writes().outcome(unseen).keys is None


def test_a_wrapped_tool_node_may_give_anything() -> None:
    node = ToolNode([search], wrap_tool_call=lambda request, execute: execute(request))
    found = Writes().outcome(node)
    assert (found.keys, found.goto, found.sends) == (None, None, True)


def test_a_tool_node_with_another_key() -> None:
    assert Writes().outcome(ToolNode([search], messages_key="talk")).keys == {"talk"}


# Routers -------------------------------------------------------------------------------------


def test_routers() -> None:
    def names(state: State) -> Any:
        return "a" if state["n"] else END

    def sends(state: State) -> Any:
        if not state["xs"]:
            return "none"
        return [Send("work", {"x": x}) for x in state["xs"]]

    def computed(state: State) -> Any:
        return state["q"]

    def truth(state: State) -> Any:
        return bool(state["n"])

    def mixed(state: State) -> Any:
        return ["a", Send(state["q"], {})]

    writes = Writes()
    found = {f.__name__: writes.router(f) for f in (names, sends, computed, truth, mixed)}
    assert (found["names"].ends, found["names"].sends) == ({"a", END}, False)
    assert (found["sends"].ends, found["sends"].targets) == ({"none"}, {"work"})
    assert found["computed"] == router_ends(shapes.UNKNOWN)
    assert (found["truth"].ends, found["truth"].sends) == (None, False)
    assert (found["mixed"].ends, found["mixed"].targets) == ({"a"}, None)
    assert all(found[name].sends for name in ("sends", "computed", "mixed"))


# Signatures ----------------------------------------------------------------------------------


def _said(typ: Any) -> Outcome:
    return outcome_of(of_annotation(typ))


def test_annotations() -> None:
    nowhere: frozenset[str] = frozenset()
    assert _said(Update) == Outcome(frozenset("ab"), nowhere)
    assert _said(Data) == Outcome(OF_DATA, nowhere)
    assert _said(Update | None) == Outcome(frozenset("ab"), nowhere)
    assert _said(None) == Outcome(nowhere, nowhere)
    assert _said(dict[str, Any]) == Outcome(None, nowhere)
    assert _said(dict) == Outcome(None, nowhere)
    assert _said(Any).goto is None
    assert _said(Command[Literal["work", "__end__"]]) == Outcome(
        None, frozenset({"work"}), sends=False, leaves=True
    )
    assert _said(Command) == Outcome(None, None, sends=True, leaves=True)
    assert _said(Update | Command[Literal["work"]]).goto == {"work"}
    assert _said(list[Command[Literal["work"]]]).goto == {"work"}
    assert _said(Annotated[Update, "x"]).keys == {"a", "b"}
    assert _said(str) == Outcome(nowhere, nowhere)


def test_annotated_functions() -> None:
    def items(state: State) -> Iterator[Update]:
        yield from random.choice([[]])

    def unresolved(state: State) -> Missing:  # type: ignore[name-defined]  # noqa: F821
        return random.choice([1])

    async def coroutine(state: State) -> Update:
        return random.choice([{}])

    assert outcome_of(annotated_function(items)).keys == {"a", "b"}
    assert annotated_function(unresolved) == shapes.UNKNOWN
    assert annotated_function(coroutine) == shapes.mapping("ab")
    assert annotated(RunnableLambda(coroutine)) == shapes.mapping("ab")
    assert annotated(PROMPT) == shapes.UNKNOWN


def test_source_that_is_gone() -> None:
    space: dict[str, Any] = {}
    exec("def gone(state):\n    return {'a': 1}", space)
    found = Writes().outcome(space["gone"])
    assert (found.keys, found.goto, found.sends, found.leaves) == (None, None, True, False)


def test_source_that_is_gone_and_speaks_of_the_graph_around() -> None:
    space: dict[str, Any] = {"Command": Command}
    exec("def gone(state):\n    return Command(graph=Command.PARENT)", space)
    assert Writes().outcome(space["gone"]).leaves


def test_own_ways_to_channels_are_seen() -> None:
    def reads(state: State, config: Any) -> Any:
        return {"a": config["configurable"]["__pregel_read"]("b")}

    def calls(state: State, config: Any) -> Any:
        return reads(state, config)

    class Reader:
        def __call__(self, state: State, config: Any) -> Any:
            return self.further(state, config)

        def further(self, state: State, config: Any) -> Any:
            return self.still(state, config)

        def still(self, state: State, config: Any) -> Any:
            return reads(state, config)

    assert Writes().reaches_channels(reads)
    assert Writes().reaches_channels(calls)
    assert Writes().reaches_channels(Reader())
    assert Writes().reaches_channels(RunnableLambda(str) | RunnableLambda(calls))
    assert not Writes().reaches_channels(a_display)
    assert not Writes().reaches_channels(Agent())


def test_messages_that_are_pushed_are_writes() -> None:
    def pushes(state: State) -> Any:
        push_message(AIMessage("x", id="1"))
        return {"a": 1}

    assert Writes().writes_by_itself(pushes)
    assert not Writes().writes_by_itself(a_display)


# Functions made by chance --------------------------------------------------------------------


def from_source(source: str) -> Any:
    """The function `node` of a text, whose source can be read."""
    file = f"<by chance {hash(source)}>"
    namespace: dict[str, Any] = {**globals(), "__name__": "by_chance"}
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), namespace)
    return namespace["node"]


NAMES = ("d", "e", "f")
STATEMENTS = (
    "{d} = {{'{k}': 1}}",
    "{d} = {e}",
    "{d} = {e} or {f}",
    "{d} = {{**{e}, '{k}': 1}}",
    "{d} = dict({e}, {k}=1)",
    "{d} = {e}.copy()",
    "{d} = {e} | {f}",
    "{d} = completed({{'{k}': 1}})",
    "{d} = completed({e})",
    "{d}, {e} = {e}, {d}",
    "{d}, {e} = [{f}, {{'{k}': 2}}]",
    "{d} = {e} = {{'{k}': 1}}",
    "{d}['{k}'] = 1",
    "{d}['{k}'] = {e}",
    "{d}['{k}'] = {d}.get('{k}') or {{}}; {e} = {d}['{k}'] if type({d}['{k}']) is dict else {e}",
    "{d}.update({e})",
    "{d}.update({k}=1)",
    "{d} |= {e}",
    "{d}.setdefault('{k}', {e})",
    "fill({d})",
    "print({d}, len({e})) if not {d} else None",
    "l = [{d}, {e}]",
    "l = [*l, {d}]",
    "l.append({d})",
    "l += [{d}]",
    "{d} = l[0]",
    "{d} = l[-1:][0]",
    "{d} = l.pop() if len(l) > 1 else {e}",
    "l[0]['{k}'] = 1",
    "l[0].update({k}=1)",
    "l = l.copy()",
    "l = list(l)",
    "l = [x for x in l]",
    "[x.update({k}=1) for x in l]",
    "for x in l: x['{k}'] = 1",
    "for x in (l, [{d}]): x[0]['{k}'] = 1",
    "{d} = next(iter(l))",
    "{d} = {{'in': {e}}}; {d}['in']['{k}'] = 1; {d} = {f}",
    "{d} = (lambda x: x)({e})",
    "(lambda: {d}.update({k}=1))()",
    "g = lambda: {d}.setdefault('{k}', 1); g()",
    "{d} = Command(update={e}).update",
    "{d} = {e} if {f} else {{'{k}': 1}}",
    "if (y := {d}): y['{k}'] = 1",
    "try: {d}['{k}'] = {e}['none']\n    except KeyError: {d} = {f}",
    "while len({d}) > 3: {d} = {{'{k}': 1}}",
    "{d} = max({e}, {f}, key=len)",
    "locals()['{d}'].update({k}=1)",
    "c = Command(update={d})",
    "c.update['{k}'] = 1",
    "l = [c.update, {d}]",
    "l = [c, {d}]; l[0].update['{k}'] = 1; l = [{e}]",
    "def h(): return {d}\n    {e} = h(); {e}['{k}'] = 1",
    "def h(z): z['{k}'] = 1\n    h({d})",
    "def h(z): return z\n    {d} = h({e})",
    "def h({d}): {d}['{k}'] = 1; return {d}\n    {e} = h({f})",
    "def h():\n        for x in l: x['{k}'] = 1\n    h()",
    "{d} = [{e} for _ in (1,)][0]",
    "{d} = [{e} for {e} in l][0]",
    "t = ({d}, {e}); {f} = t[0]; t[1]['{k}'] = 1",
    "m = {{'x': {d}}}; {e} = m['x']; {e}['{k}'] = 1",
    "m = {{'x': {d}}}; {e} = m.get('x'); {e}['{k}'] = 1",
    "m = {{'x': {d}}}; m.pop('x')['{k}'] = 1",
    "for {d} in l: {d}['{k}'] = 1",
    "for i, x in enumerate(l): x['{k}'] = 1",
    "{d}.update(**{e})",
    "{d}.update([('{k}', 1)])",
    "with nullcontext({d}) as x: x['{k}'] = 1",
    "match {d}:\n        case x: x['{k}'] = 1",
    "match [{d}]:\n        case [x]: x['{k}'] = 1",
    "{d}.pop('{k}', None)",
    "l.insert(0, {d})",
    "l[0] = {d}",
    "l.extend([{d}])",
    "l = l + [{d}]",
    "l = [{d}] * 2; l[0]['{k}'] = 1",
    "{d} = sorted([{e}], key=len)[0]",
    "q = l; q.append({d}); q[-1]['{k}'] = 1",
    "s = {{'l': l}}; s['l'][0]['{k}'] = 1",
    "{d}.__setitem__('{k}', 1)",
    "u = {d}.update; u({k}=1)",
    "{d} = AddableDict({e}) + AddableDict({f})",
    "{d}, *rest = [{e}, {f}]; rest[0]['{k}'] = 1",
    "[{d}] = [{e}]",
    "({d}, x), y = ({e}, {f}), {d}; x['{k}'] = 1; y['{k}'] = 1",
    "l, {d} = [{e}], l[0]",
    "class K: v = {d}\n    K.v['{k}'] = 1",
    "{d} = (x for x in l).__next__()",
    "l = list(map(lambda x: x, l)); l[0]['{k}'] = 1",
    "(lambda z={d}: z.update({k}=1))()",
    "x = y = {d}; y['{k}'] = 1",
    "x: Any = {d}; x['{k}'] = 1",
    "{d}['{k}'] = {e}['{k}'] = {{}}",
    "{d}, {d}['{k}'] = {e}, 1",
    "l.reverse(); l.sort(key=len); {d} = l[0]",
    "{d} = [*l, {e}].pop()",
    "{d} = dict(**{e}, **{{'z{k}': 1}})",
    "{d} = {{k: 1 for k in {e}}}",
    "{d} = {{k: 1 for k in ('{k}', 'z')}}",
    "k = '{k}'; {d}[k] = 1",
    "k = str(len({d})); {d}[k] = 1",
    "async def h(): {d}['{k}'] = 1\n    h().close()",
    "{d} = vars(SimpleNamespace(**{e}))",
    "o = SimpleNamespace(d={d}); o.d['{k}'] = 1",
    "{d} = Update(a=1); {d}['{k}'] = 1",
    "{d} = {e} and {f}",
    "{d} = not {e} or {f}; {d} = {e} if {d} is True else {d}",
)
RESULTS = (
    *("d", "e", "Command(update=f)", "{**d, **e}", "[Command(update=d), f]", "l[0]", "d or e"),
    *("c", "[c, d]", "[*l, c]", "f if d else e", "(d, c)[0]", "{'a': 1, **l[0]}", "completed(d)"),
    *("[Command(update=x) for x in l]", "dict(e)", "(yes := f)", "[c] + l"),
)


def by_chance(r: random.Random) -> str:
    """A function that passes mappings from name to name, and changes them on the way."""
    lines = ["d, e, f, l, c = {}, {}, {}, [{}], Command(update={})"]
    for _ in range(r.randint(1, 7)):
        d, e, f = r.choice(NAMES), r.choice(NAMES), r.choice(NAMES)
        lines.append(r.choice(STATEMENTS).format(d=d, e=e, f=f, k=r.choice("abc")))
        if r.random() < 0.2:
            lines.append(f"if state['n']: return {r.choice(RESULTS)}")
    lines.append(f"return {r.choice(RESULTS)}")
    return "\n".join(["def node(state):", *(f"    {line}" for line in lines)])


def test_functions_made_by_chance() -> None:
    """What they really give lies inside what was read, whoever has which object."""
    r = random.Random(1)
    known = ran = 0
    for _ in range(400):
        source = by_chance(r)
        function = from_source(source)
        found = Writes().outcome(function)
        known += found.keys is not None
        for sample in SAMPLES:
            with suppress(LookupError, TypeError, AttributeError, NameError, StopIteration):
                keys, _, _ = _given(function(dict(sample)))
                ran += 1
                assert found.keys is None or keys <= found.keys, source
        del linecache.cache[function.__code__.co_filename]
    assert ran > 1000
    assert known > 60


def test_a_function_with_very_many_names_takes_no_time() -> None:
    """The rounds over names are few, and what does not settle is unknown."""
    lines = [f"    x{i} = {{**x{i - 1}, 'k{i}': x{i + 1}}}" for i in range(1, 40)]
    source = "\n".join(["def node(state):", "    x0 = {'a': 1}", *lines, "    return x39"])
    found = Writes().outcome(from_source(source))
    assert found.keys is None or {"a", "k39"} <= found.keys
