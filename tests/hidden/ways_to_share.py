"""Rows: one shared list, and the many ways in which code changes it or reaches it."""

from __future__ import annotations

import abc
import collections
import contextlib
import copy
import functools
import importlib
import itertools
import operator
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypedDict

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableParallel
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_config
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.runtime import Runtime, get_runtime
from langgraph.types import Send

from tests.hidden.kit import Case, State, Table, beside, row
from tests.hidden.quartet import quartet
from tests.hidden.waiting import apause

TABLE: Table = {}
SHARED = "shared container"
UNREAD = "source can't be read"

NAMES: list[str] = []

Remember = Callable[[str], Any]


def way(*held: str) -> Callable[[Remember], Remember]:
    """A row whose siblings change `NAMES` in this way; those after them copy it."""

    def add(remember: Remember) -> Remember:
        def build(place: Path) -> Case:
            async def recall() -> list[str]:
                return list(NAMES)

            return Case(quartet(remember, recall), effect=lambda: NAMES)

        build.__name__ = remember.__name__
        row(TABLE, SHARED, *held)(build)
        return remember

    return add


@way()
async def by_a_slice(who: str) -> None:
    NAMES[len(NAMES) :] = [who]


@way()
async def by_an_alias(who: str) -> None:
    names = NAMES
    names.append(who)


@way()
async def by_a_condition(who: str) -> None:
    (NAMES if who else []).append(who)


@way()
async def by_or(who: str) -> None:
    for names in (NAMES or NAMES,):
        names.append(who)


@way()
async def by_a_walrus(who: str) -> None:
    if (names := NAMES) is not None:
        names.append(who)


@way()
async def by_unpacking(who: str) -> None:
    (names, _), *_rest = [(NAMES, 1), (None, 2)]
    names.append(who)


@way()
async def by_a_dict_of_lists(who: str) -> None:
    {"names": NAMES}["names"].append(who)


@way()
async def by_an_object_made_here(who: str) -> None:
    @dataclass
    class Holder:
        names: list[str]

    Holder(NAMES).names.append(who)


@way()
async def by_a_nested_function(who: str) -> None:
    def keep(names: list[str] = NAMES) -> None:
        names.append(who)

    keep()


@way()
async def by_a_lambda(who: str) -> None:
    keep = lambda names: names.append(who)  # noqa: E731
    keep(NAMES)


@way()
async def by_star_arguments(who: str) -> None:
    def keep(*lists: list[str], **more: list[str]) -> None:
        for names in (*lists, *more.values()):
            names.append(who)

    keep(NAMES, again=NAMES)


@way()
async def by_a_generator(who: str) -> None:
    def keep() -> Iterator[None]:
        NAMES.append(who)
        yield

    list(keep())


@way()
async def by_a_context_manager(who: str) -> None:
    @contextlib.contextmanager
    def noted() -> Iterator[list[str]]:
        yield NAMES

    with noted() as names:
        names.append(who)


@way()
async def by_an_exit_stack(who: str) -> None:
    with contextlib.ExitStack() as stack:
        stack.callback(NAMES.append, who)


@way()
async def by_a_partial(who: str) -> None:
    functools.partial(NAMES.append, who)()


@way()
async def by_a_method_caller(who: str) -> None:
    operator.methodcaller("append", who)(NAMES)


@way()
async def by_an_attribute_getter(who: str) -> None:
    operator.attrgetter("append")(NAMES)(who)


@way()
async def by_operator_iadd(who: str) -> None:
    operator.iadd(NAMES, [who])


@way()
async def by_reduce(who: str) -> None:
    def keep(names: list[str], name: str) -> list[str]:
        names.append(name)
        return names

    functools.reduce(keep, [who], NAMES)


@way()
async def by_filter(who: str) -> None:
    def keep(name: str) -> bool:
        NAMES.append(name)
        return True

    list(filter(keep, [who]))


@way()
async def by_a_sort_key(who: str) -> None:
    sorted([who], key=NAMES.append)


@way()
async def by_getattr(who: str) -> None:
    getattr(NAMES, "append")(who)  # noqa: B009


@way()
async def by_getattr_of_a_name_made_here(who: str) -> None:
    getattr(NAMES, "app" + "end")(who)


@way()
async def by_a_match(who: str) -> None:
    match {"names": NAMES}:
        case {"names": list(names)}:
            names.append(who)


@way()
async def by_a_handler_of_errors(who: str) -> None:
    try:
        raise ValueError(who)
    except ValueError as error:
        NAMES.append(str(error))
    finally:
        NAMES.append("finally")


@way()
async def by_what_an_error_carries(who: str) -> None:
    try:
        raise ValueError(NAMES)
    except ValueError as error:
        error.args[0].append(who)


@way()
async def by_a_weak_reference(who: str) -> None:
    box = weakref.ref(OWNER)()
    assert box is not None
    box.names.append(who)


class Owner:
    names = NAMES


OWNER = Owner()


@way()
async def by_a_shallow_copy(who: str) -> None:
    copy.copy({"names": NAMES})["names"].append(who)


@way()
async def by_a_chain_of_maps(who: str) -> None:
    collections.ChainMap({}, {"names": NAMES})["names"].append(who)


@way()
async def by_itertools(who: str) -> None:
    for names in itertools.chain([NAMES], []):
        names.append(who)


@way()
async def by_zip(who: str) -> None:
    for names, name in zip([NAMES], [who], strict=True):
        names.append(name)


HANDLERS: dict[str, Callable[[str], None]] = {"keep": lambda name: NAMES.append(name)}  # noqa: PLW0108


@way()
async def by_a_function_from_a_table(who: str) -> None:
    HANDLERS["keep"](who)


@way()
async def by_a_function_whose_name_is_made_here(who: str) -> None:
    HANDLERS["ke" + "ep"](who)


@functools.singledispatch
def keep(thing: Any) -> None:
    raise TypeError(thing)


@keep.register
def keep_text(thing: str) -> None:
    NAMES.append(thing)


@way()
async def by_a_dispatched_function(who: str) -> None:
    keep(who)


class Keeper(abc.ABC):
    @abc.abstractmethod
    def keep(self, who: str) -> None: ...


class ListKeeper(Keeper):
    def keep(self, who: str) -> None:
        NAMES.append(who)


class KeepsNames(Protocol):
    def keep(self, who: str) -> None: ...


def keep_by(keeper: KeepsNames, who: str) -> None:
    keeper.keep(who)


@way()
async def by_an_abstract_class(who: str) -> None:
    keeper: Keeper = ListKeeper()
    keeper.keep(who)


@way()
async def by_a_protocol(who: str) -> None:
    keep_by(ListKeeper(), who)


@way()
async def by_a_method_of_a_class_in_a_table(who: str) -> None:
    {"list": ListKeeper}["list"]().keep(who)


class Named:
    def __init__(self, name: str) -> None:
        self.name = name
        NAMES.append(name)


@way()
async def by_a_constructor(who: str) -> None:
    Named(who)


class Registered:
    everybody: ClassVar[list[str]] = NAMES

    def __init_subclass__(cls) -> None:
        NAMES.append(cls.__name__)


@way()
async def by_a_class_statement(who: str) -> None:
    class _Left(Registered): ...


@dataclass
class Checked:
    name: str

    def __post_init__(self) -> None:
        NAMES.append(self.name)


@way()
async def by_a_dataclass(who: str) -> None:
    Checked(who)


class Called:
    def __call__(self, who: str) -> None:
        NAMES.append(who)


@way()
async def by_a_callable_object(who: str) -> None:
    Called()(who)


class Meta(type):
    def __call__(cls, who: str) -> Any:
        NAMES.append(who)
        return super().__call__()


class MadeByMeta(metaclass=Meta): ...


@way()
async def by_a_metaclass(who: str) -> None:
    MadeByMeta(who)  # type: ignore[call-arg]


class Entered:
    async def __aenter__(self) -> list[str]:
        return NAMES

    async def __aexit__(self, *error: object) -> None: ...


@way()
async def by_what_a_block_gives(who: str) -> None:
    async with Entered() as names:
        names.append(who)


class Numbers:
    def __add__(self, who: str) -> Numbers:
        NAMES.append(who)
        return self

    def __eq__(self, other: object) -> bool:
        NAMES.append(str(other))
        return True

    def __hash__(self) -> int:
        return 1


@way()
async def by_an_operator(who: str) -> None:
    Numbers() + who


@way()
async def by_a_comparison(who: str) -> None:
    _ = Numbers() == who


class Lazy:
    @functools.cached_property
    def names(self) -> list[str]:
        return NAMES


LAZY = Lazy()


@way()
async def by_a_cached_property(who: str) -> None:
    LAZY.names.append(who)


@way()
async def by_an_import_in_the_body(who: str) -> None:
    module = importlib.import_module(__name__)
    module.NAMES.append(who)


@way()
async def by_the_table_of_modules(who: str) -> None:
    sys.modules[__name__].NAMES.append(who)


@way()
async def by_a_runnable(who: str) -> None:
    await RunnableLambda(NAMES.append).ainvoke(who)


@way()
async def by_parallel_runnables(who: str) -> None:
    await RunnableParallel(kept=lambda name: NAMES.append(name)).ainvoke(who)  # noqa: PLW0108


class NoteTool(BaseTool):
    name: str = "note"
    description: str = "Keep a note."

    def _run(self, text: str) -> str:
        NAMES.append(text)
        return "kept"


@way()
async def by_a_tool_that_is_a_class(who: str) -> None:
    NoteTool().invoke({"text": who})


def sourceless() -> Callable[[str], None]:
    names: dict[str, Any] = {"NAMES": NAMES, "__name__": __name__}
    exec(compile("def keep(who):\n    NAMES.append(who)\n", "<nowhere>", "exec"), names)
    made: Callable[[str], None] = names["keep"]
    return made


KEEP = sourceless()


@way(UNREAD)
async def by_a_function_without_source(who: str) -> None:
    KEEP(who)


@way(UNREAD)
async def by_text_that_is_evaluated(who: str) -> None:
    eval("NAMES.append(who)", globals(), {"who": who})


@way(UNREAD)
async def by_text_without_names(who: str) -> None:
    exec("NAMES.append('somebody')")


@way()
async def by_a_thread(who: str) -> None:
    thread = threading.Thread(target=NAMES.append, args=(who,))
    thread.start()
    thread.join()


@way()
async def by_a_pool_of_threads(who: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(NAMES.append, who).result()


@way()
async def by_a_function_that_is_mapped_by_a_pool(who: str) -> None:
    def keep(name: str) -> None:
        NAMES.append(name)

    with ThreadPoolExecutor(1) as pool:
        list(pool.map(keep, [who]))


# What LangGraph hands out ---------------------------------------------------------------------


@row(TABLE, SHARED)
def dict_in_the_config(place: Path) -> Case:
    notes: dict[str, Any] = {}

    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State, config: RunnableConfig) -> State:
        await apause("right")
        config["configurable"]["notes"]["right"] = True
        return {"right": "done"}

    async def after_left(state: State) -> State:
        return {"after_left": sorted(get_config()["configurable"]["notes"])}

    graph = beside(State, [left, after_left], [right])
    return Case(graph, config={"configurable": {"notes": notes}}, effect=lambda: notes)


@dataclass
class Desk:
    notes: list[str]


@row(TABLE, SHARED)
def object_in_the_context(place: Path) -> Case:
    desk = Desk([])

    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State, runtime: Runtime[Desk]) -> State:
        await apause("right")
        runtime.context.notes.append("right")
        return {"right": "done"}

    async def after_left(state: State) -> State:
        return {"after_left": list(get_runtime(Desk).context.notes)}

    graph = beside(State, [left, after_left], [right], context_schema=Desk)
    return Case(graph, context=desk, effect=lambda: desk.notes)


@row(TABLE, SHARED)
def object_in_the_context_that_a_closure_keeps(place: Path) -> Case:
    desk = Desk([])

    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State) -> State:
        await apause("right")
        desk.notes.append("right")
        return {"right": "done"}

    async def after_left(state: State, runtime: Runtime[Desk]) -> State:
        return {"after_left": list(runtime.context.notes)}

    graph = beside(State, [left, after_left], [right], context_schema=Desk)
    return Case(graph, context=desk, effect=lambda: desk.notes)


class Calls(MessagesState, total=False):
    left: Any
    right: Any
    saw: Any


@row(TABLE, SHARED, why_equal="a tool node waits for the state that it may hand to its tools")
def tools_of_a_tool_node(place: Path) -> Case:
    notes: list[str] = []

    @tool
    def note(text: str) -> str:
        """Keep a note."""
        notes.append(text)
        return f"note {len(notes)}"

    call = {"name": "note", "args": {"text": "a tool"}, "id": "c1", "type": "tool_call"}

    async def left(state: Calls) -> Any:
        await apause("left")
        return {"messages": [AIMessage("", id="m1", tool_calls=[call])]}

    def send_calls(state: Calls) -> list[Send]:
        return [Send("tools", [call])]

    async def right(state: Calls) -> Any:
        await apause("right")
        notes.append("right")
        return {"right": "done"}

    builder = StateGraph(Calls)
    builder.add_node("left", left)
    builder.add_node("right", right)
    builder.add_node("tools", ToolNode([note]))
    builder.add_edge(START, "left")
    builder.add_edge(START, "right")
    builder.add_conditional_edges("left", send_calls, ["tools"])
    return Case(builder.compile(), {"messages": []}, effect=lambda: notes)


@row(TABLE, SHARED)
def list_of_a_subgraphs_node(place: Path) -> Case:
    async def inside(state: Any) -> State:
        return {"after_left": list(NAMES)}

    class Left(TypedDict):
        left: str

    inner = StateGraph(State, input_schema=Left)
    inner.add_node("inside", inside, input_schema=Left)
    inner.add_edge(START, "inside")
    subgraph = inner.compile(name="after_left")

    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State) -> State:
        await apause("right")
        NAMES.append("right")
        return {"right": "done"}

    return Case(beside(State, [left, subgraph], [right]), effect=lambda: NAMES)


@row(TABLE, SHARED)
def list_in_a_loop_beside(place: Path) -> Case:
    """Two loops of different length over one list."""

    async def left(state: State) -> State:
        if (state.get("left") or 0) < 2:  # the other one has no third round
            await apause("left")
        NAMES.append("left")
        return {"left": (state.get("left") or 0) + 1}

    async def right(state: State) -> State:
        await apause("right")
        NAMES.append("right")
        return {"right": (state.get("right") or 0) + 1}

    def left_again(state: State) -> str:
        return "left" if state["left"] < 3 else END

    def right_again(state: State) -> str:
        return "right" if state["right"] < 2 else END

    builder = StateGraph(State)
    builder.add_node("left", left)
    builder.add_node("right", right)
    builder.add_edge(START, "left")
    builder.add_edge(START, "right")
    builder.add_conditional_edges("left", left_again, ["left", END])
    builder.add_conditional_edges("right", right_again, ["right", END])
    return Case(builder.compile(), effect=lambda: NAMES)


@row(TABLE, SHARED)
def list_with_a_checkpointer(place: Path) -> Case:
    async def remember(who: str) -> None:
        NAMES.append(who)

    async def recall() -> list[str]:
        return list(NAMES)

    graph = quartet(remember, recall, checkpointer=InMemorySaver())
    return Case(graph, config={"configurable": {"thread_id": "1"}}, effect=lambda: NAMES)
