"""Rows: names that several nodes reach, through globals, closures, classes, defaults, modules."""

from __future__ import annotations

import functools
import operator
import threading
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph

from tests.hidden.kit import Case, State, Table, beside, row
from tests.hidden.quartet import quartet
from tests.hidden.waiting import apause

TABLE: Table = {}
SHARED = "shared container"
UNREAD = "source can't be read"

NAMES: list[str] = []


@row(TABLE, SHARED)
def global_list(place: Path) -> Case:
    async def remember(who: str) -> None:
        NAMES.append(who)

    async def recall() -> list[str]:
        return list(NAMES)

    return Case(quartet(remember, recall), effect=lambda: NAMES)


async def left(state: State) -> State:
    await apause("left")
    NAMES.append("left")
    return {"left": "done"}


async def right(state: State) -> State:
    await apause("right")
    NAMES.append("right")
    return {"right": "done"}


async def after_left(state: State) -> State:
    return {"after_left": ", ".join(NAMES)}


async def after_right(state: State) -> State:
    return {"after_right": ", ".join(NAMES)}


@row(TABLE, SHARED)
def global_list_in_plain_functions(place: Path) -> Case:
    return Case(beside(State, [left, after_left], [right, after_right]), effect=lambda: NAMES)


@row(TABLE, SHARED)
def global_list_looked_at_in_a_chain(place: Path) -> Case:
    async def then_left(state: State) -> State:
        return {"after_left": [state["left"], *NAMES]}

    async def last_left(state: State) -> State:
        return {"after_left": [*state["after_left"], len(NAMES)]}

    return Case(beside(State, [left, then_left, last_left], [right, after_right]))


SEEN: dict[str, bool] = {}


@row(TABLE, SHARED)
def global_dict(place: Path) -> Case:
    async def remember(who: str) -> None:
        SEEN[who] = True

    async def recall() -> list[str]:
        return [who for who in ("left", "right") if SEEN.get(who)]

    return Case(quartet(remember, recall), effect=lambda: SEEN)


count = 0


@row(TABLE, SHARED)
def global_number(place: Path) -> Case:
    async def remember(who: str) -> None:
        global count  # noqa: PLW0603 - that is the row
        count += 1

    async def recall() -> int:
        return count

    return Case(quartet(remember, recall), effect=lambda: count)


@row(TABLE, SHARED)
def closure_list(place: Path) -> Case:
    names: list[str] = []

    async def remember(who: str) -> None:
        names.extend([who])

    async def recall() -> list[str]:
        return names[:]

    return Case(quartet(remember, recall), effect=lambda: names)


@row(TABLE, SHARED)
def closure_number(place: Path) -> Case:
    number = 0

    async def remember(who: str) -> None:
        nonlocal number
        number += 1

    async def recall() -> int:
        return number

    return Case(quartet(remember, recall), effect=lambda: number)


class Memory:
    names: ClassVar[list[str]] = []
    count = 0


@row(TABLE, SHARED)
def class_attribute_list(place: Path) -> Case:
    async def remember(who: str) -> None:
        Memory.names.append(who)

    async def recall() -> list[str]:
        return list(Memory.names)

    return Case(quartet(remember, recall), effect=lambda: Memory.names)


@row(TABLE, SHARED)
def class_attribute_number(place: Path) -> Case:
    async def remember(who: str) -> None:
        Memory.count += 1

    async def recall() -> int:
        return Memory().count

    return Case(quartet(remember, recall), effect=lambda: Memory.count)


@row(TABLE, SHARED)
def mutable_default(place: Path) -> Case:
    def names(*more: str, kept: list[str] = []) -> list[str]:  # noqa: B006
        kept.extend(more)
        return list(kept)

    async def remember(who: str) -> None:
        names(who)

    async def recall() -> list[str]:
        return names()

    return Case(quartet(remember, recall), effect=names)


class Trail(TypedDict, total=False):
    trail: Annotated[list[Any], operator.add]


@row(TABLE, SHARED)
def mutable_default_of_a_node(place: Path) -> Case:
    async def visit(state: Trail, config: RunnableConfig, kept: list[str] = []) -> Trail:  # noqa: B006
        node = config["metadata"]["langgraph_node"]
        await apause(node.removeprefix("after_"))
        kept.append(node)
        return {"trail": [list(kept)]}

    builder = StateGraph(Trail)
    for name in ("left", "right", "after_left", "after_right"):
        builder.add_node(name, visit)
    for side in ("left", "right"):
        builder.add_edge(START, side)
        builder.add_edge(side, f"after_{side}")
    return Case(builder.compile())


CALLS: list[str] = []


@functools.lru_cache
def ticket(name: str) -> int:
    """Whoever asks first gets the first number."""
    CALLS.append(name)
    return len(CALLS)


@row(TABLE, SHARED)
def lru_cache_of_numbers(place: Path) -> Case:
    async def right(state: State) -> State:
        await apause("right")
        return {"right": ticket("right")}

    async def left(state: State) -> State:
        await apause("left")
        return {"left": ticket("left")}

    async def after_left(state: State) -> State:
        await apause("left")
        return {"after_left": ticket("after left")}

    async def after_right(state: State) -> State:
        await apause("right")
        return {"after_right": ticket("after right")}

    chains = [left, after_left], [right, after_right]
    return Case(beside(State, *chains), effect=lambda: CALLS)


LIMITS = {"limit": 1}


@functools.cache
def limit() -> int:
    """Remembers what the limit was when somebody first asked."""
    return LIMITS["limit"]


@row(TABLE, SHARED)
def lru_cache_of_what_changes(place: Path) -> Case:
    async def remember(who: str) -> None:
        LIMITS["limit"] += 1

    async def recall() -> int:
        return limit()

    return Case(quartet(remember, recall), effect=limit)


def memoized(function: Any) -> Any:
    known: dict[Any, Any] = {}

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        if args not in known:
            known[args] = function(*args, len(known) + 1)
        return known[args]

    return wrapper


@row(TABLE, SHARED)
def memo_of_the_apps_own(place: Path) -> Case:
    @memoized
    def number(name: str, place: int) -> int:
        return place

    async def left(state: State) -> State:
        await apause("left")
        return {"left": number("left")}

    async def right(state: State) -> State:
        await apause("right")
        return {"right": number("right")}

    async def after_left(state: State) -> State:
        await apause("left")
        return {"after_left": number("after left")}

    async def after_right(state: State) -> State:
        await apause("right")
        return {"after_right": number("after right")}

    return Case(beside(State, [left, after_left], [right, after_right]))


TRAIL: ContextVar[list[str]] = ContextVar("TRAIL")


@row(TABLE, SHARED)
def list_in_a_context_variable(place: Path) -> Case:
    kept: list[str] = []

    async def remember(who: str) -> None:
        TRAIL.get().append(who)

    async def recall() -> list[str]:
        return list(TRAIL.get())

    made = Case(quartet(remember, recall), effect=lambda: kept)
    made.prepare = lambda: TRAIL.set(kept)
    return made


WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


@row(TABLE, SHARED, why_equal="each task has a context of its own, whichever executor runs it")
def context_variable_that_nodes_set(place: Path) -> Case:
    async def remember(who: str) -> None:
        WHO.set(who)

    async def recall() -> str:
        return WHO.get()

    return Case(quartet(remember, recall), effect=WHO.get)


class Registry:
    """A singleton that makes itself."""

    _one: ClassVar[Registry | None] = None

    def __init__(self) -> None:
        self.names: list[str] = []

    @classmethod
    def get(cls) -> Registry:
        if cls._one is None:
            cls._one = cls()
        return cls._one


@row(TABLE, SHARED)
def singleton_by_class_method(place: Path) -> Case:
    async def remember(who: str) -> None:
        Registry.get().names.append(who)

    async def recall() -> list[str]:
        return list(Registry.get().names)

    return Case(quartet(remember, recall), effect=lambda: Registry.get().names)


class Only:
    """A singleton by `__new__`."""

    _one: ClassVar[Any] = None
    names: list[str]

    def __new__(cls) -> Only:
        if cls._one is None:
            cls._one = super().__new__(cls)
            cls._one.names = []
        return cls._one


@row(TABLE, SHARED)
def singleton_by_new(place: Path) -> Case:
    async def remember(who: str) -> None:
        Only().names.append(who)

    async def recall() -> list[str]:
        return list(Only().names)

    return Case(quartet(remember, recall), effect=lambda: Only().names)


_box: Registry | None = None


def box() -> Registry:
    """A singleton by a global name."""
    global _box  # noqa: PLW0603
    if _box is None:
        _box = Registry()
    return _box


@row(TABLE, SHARED)
def singleton_by_global_name(place: Path) -> Case:
    async def remember(who: str) -> None:
        box().names.append(who)

    async def recall() -> list[str]:
        return list(box().names)

    return Case(quartet(remember, recall), effect=lambda: box().names)


@row(TABLE, SHARED)
def module_state(place: Path) -> Case:
    from tests.hidden import app_settings

    app_settings.mode = "none"

    async def remember(who: str) -> None:
        app_settings.mode = who

    async def recall() -> str:
        return app_settings.mode

    return Case(quartet(remember, recall), effect=lambda: app_settings.mode)


@row(TABLE, SHARED)
def module_function_that_keeps_state(place: Path) -> Case:
    from tests.hidden import app_settings

    app_settings.forget()

    async def remember(who: str) -> None:
        app_settings.choose(who)

    async def recall() -> list[str]:
        return app_settings.chosen()

    return Case(quartet(remember, recall), effect=app_settings.chosen)


@row(TABLE, SHARED)
def attribute_of_a_function(place: Path) -> Case:
    def calls() -> int:
        return calls.number  # type: ignore[attr-defined]

    calls.number = 0  # type: ignore[attr-defined]

    async def remember(who: str) -> None:
        calls.number += 1  # type: ignore[attr-defined]

    async def recall() -> int:
        return calls()

    return Case(quartet(remember, recall), effect=calls)


@row(TABLE, SHARED, UNREAD)
def name_set_through_globals(place: Path) -> Case:
    async def remember(who: str) -> None:
        globals()["count"] = count + 1

    async def recall() -> int:
        return count

    return Case(quartet(remember, recall), effect=lambda: count)


@row(TABLE, SHARED)
def attribute_set_by_setattr(place: Path) -> Case:
    async def remember(who: str) -> None:
        setattr(Memory, "count", Memory.count + 1)  # noqa: B010

    async def recall() -> Any:
        return getattr(Memory, "count")  # noqa: B009

    return Case(quartet(remember, recall), effect=lambda: Memory.count)


@row(TABLE, SHARED, UNREAD)
def code_that_is_executed(place: Path) -> Case:
    async def remember(who: str) -> None:
        exec("NAMES.append(who)", globals(), {"who": who})

    async def recall() -> list[str]:
        return list(NAMES)

    return Case(quartet(remember, recall), effect=lambda: NAMES)


@row(TABLE, SHARED)
def list_under_a_lock(place: Path) -> Case:
    lock = threading.Lock()

    async def remember(who: str) -> None:
        with lock:
            NAMES.append(who)

    async def recall() -> list[str]:
        with lock:
            return list(NAMES)

    return Case(quartet(remember, recall), effect=lambda: NAMES)


@row(TABLE, SHARED)
def partials_over_one_list(place: Path) -> Case:
    async def remember(names: list[str], who: str) -> None:
        names.append(who)

    async def recall(names: list[str]) -> list[str]:
        return list(names)

    kept: list[str] = []
    graph = quartet(functools.partial(remember, kept), functools.partial(recall, kept))
    return Case(graph, effect=lambda: kept)
