"""What the scan finds in real graphs: rows that must be held, and rows that must not.

A row is a function that makes a graph; its expectation names the verdict's reason by node.
`"free"` and `"pure"` are the reasons of nodes that are not held.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import copy
import functools
import gc
import heapq
import itertools
import json
import logging
import math
import operator
import os
import queue
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypedDict

import pytest
import requests
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnablePassthrough
from langchain_core.tools import tool
from langgraph.config import get_config, get_store, get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.managed import RemainingSteps
from langgraph.prebuilt import InjectedStore, ToolNode, create_react_agent, tools_condition
from langgraph.runtime import Runtime, get_runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import CachePolicy, Command, Send, interrupt
from pydantic import BaseModel

from langgraph_alto._langgraph.reader import node_facts, router_facts, verdicts
from langgraph_alto.core.effects import Rank, Verdict
from langgraph_alto.errors import DeclarationError
from langgraph_alto.options import Options
from langgraph_alto.testing import FakeChatModel


class State(TypedDict, total=False):
    q: str
    n: int
    xs: Annotated[list, operator.add]
    d: dict
    messages: Annotated[list, add_messages]


class Model(BaseModel):
    q: str = ""
    xs: list[str] = []


@dataclass
class Data:
    q: str = ""
    xs: list[str] = field(default_factory=list)


model = FakeChatModel(script={})
log = logging.getLogger("app")
WORD = re.compile(r"\w+")
WEIGHTS = [0.1, 0.2, 0.3]
TABLE = {"a": 1, "b": {"c": [1, 2]}}

held: dict[str, tuple[Callable[[], Any], dict[str, str]]] = {}
early: dict[str, tuple[Callable[[], Any], dict[str, str]]] = {}


def row(rows: dict[str, Any], **expected: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def register(make: Callable[[], Any]) -> Callable[[], Any]:
        rows[make.__name__.strip("_")] = (make, expected)
        return make

    return register


def graph(*nodes: Any, state: Any = State, **named: Any) -> Any:
    """A chain of nodes, called by their names."""
    builder = StateGraph(state)
    every = {**{node.__name__: node for node in nodes}, **named}
    for name, node in every.items():
        builder.add_node(name, node)
    names = [START, *every]
    for one, two in itertools.pairwise(names):
        builder.add_edge(one, two)
    return builder.compile()


def judged(app: Any, options: Options | None = None) -> dict[str, Verdict]:
    return verdicts(app.nodes, app.channels, options or Options())


@pytest.mark.parametrize("name", held)
def test_held(name: str) -> None:
    make, expected = held[name]
    found = judged(make())
    for node, reason in expected.items():
        assert (found[node].rank, found[node].reason) == (Rank.HELD, reason), found[node]
        assert "scan failed" not in found[node].detail


@pytest.mark.parametrize("name", early)
def test_early(name: str) -> None:
    make, expected = early[name]
    found = judged(make())
    ranks = {"free": Rank.FREE, "pure": Rank.PROVEN}
    for node, reason in expected.items():
        assert (found[node].rank, found[node].reason) == (ranks[reason], reason), found[node]


def test_the_table_is_long_enough() -> None:
    assert len(held) >= 50
    assert len(early) >= 20


# The store, previous, managed values, the runtime --------------------------------------------


@row(held, a="store")
def _store_injected() -> Any:
    def a(state: State, *, store: BaseStore) -> Any:
        store.put(("x",), "k", {"v": 1})
        return {}

    return graph(a)


@row(held, a="store")
def _store_of_the_runtime() -> Any:
    def a(state: State, runtime: Runtime) -> Any:
        return {"n": runtime.store.get(("x",), "k").value["v"]}

    return graph(a)


@row(held, a="store")
def _store_ambient() -> Any:
    def a(state: State) -> Any:
        return helper()

    def helper() -> Any:
        return {"n": len(get_store().search(("x",)))}

    return graph(a)


STORE = InMemoryStore()


@row(held, a="store")
def _store_global() -> Any:
    def a(state: State) -> Any:
        STORE.put(("x",), "k", {})
        return {}

    return graph(a)


@row(held, a="store")
def _store_in_a_tool() -> Any:
    @tool
    def remember(text: str, store: Annotated[Any, InjectedStore()]) -> str:
        """Remember."""
        store.put(("x",), text, {})
        return text

    return graph(a=ToolNode([remember]))


@row(held, flow="previous")
def _previous() -> Any:
    @entrypoint()
    def flow(n: int, *, previous: Any = None) -> int:
        return n + (previous or 0)

    return flow


@row(held, a="managed value", b="managed value")
def _managed() -> Any:
    class Limited(TypedDict):
        q: str
        left: RemainingSteps

    def a(state: Limited) -> Any:
        return {"q": "x" if state["left"] > 2 else "y"}

    def b(state: Limited) -> Any:
        return {"q": str(state)}

    def c(state: Limited) -> Any:
        return {"q": state["q"]}

    return graph(a, b, c, state=Limited)


@row(early, c="pure")
def _managed_not_read() -> Any:
    return _managed()


@row(held, a="runtime handed on")
def _runtime_handed_on() -> Any:
    import pluggy

    def a(state: State, runtime: Runtime) -> Any:
        pluggy._result._warn_teardown_exception(runtime, None, None)
        return {}

    return graph(a)


# Shared containers ---------------------------------------------------------------------------

SEEN: list[str] = []
COUNTS: dict[str, int] = {}
NESTED: dict[str, list[int]] = {"xs": []}
COUNTER = 0
LATE: Any = None


@row(held, a="shared container", b="shared container")
def _global_list() -> Any:
    def a(state: State) -> Any:
        SEEN.append(state["q"])
        return {}

    def b(state: State) -> Any:
        return {"n": len(SEEN)}

    return graph(a, b)


@row(held, a="shared container", b="shared container")
def _global_dict_through_helpers() -> Any:
    def bump(counts: dict[str, int], key: str) -> None:
        counts[key] = counts.get(key, 0) + 1

    def a(state: State) -> Any:
        bump(COUNTS, state["q"])
        return {}

    def b(state: State) -> Any:
        return {"d": dict(COUNTS)}

    return graph(a, b)


@row(held, a="shared container", b="shared container")
def _nested_in_a_global() -> Any:
    def a(state: State) -> Any:
        NESTED["xs"].append(1)
        return {}

    def b(state: State) -> Any:
        return {"q": json.dumps(NESTED)}

    return graph(a, b)


@row(held, a="shared container")
def _alias() -> Any:
    def a(state: State) -> Any:
        mine = SEEN
        also = mine
        also.append(state["q"])
        return {}

    return graph(a)


@row(held, a="shared container", b="shared container")
def _global_rebound() -> Any:
    def a(state: State) -> Any:
        global COUNTER  # noqa: PLW0603
        COUNTER += 1
        return {}

    def b(state: State) -> Any:
        return {"n": COUNTER}

    return graph(a, b)


@row(held, a="shared container", b="shared container")
def _global_made_late() -> Any:
    def a(state: State) -> Any:
        global LATE  # noqa: PLW0603
        if LATE is None:
            LATE = []
        LATE.append(state["q"])
        return {}

    def b(state: State) -> Any:
        return {"n": 0 if LATE is None else len(LATE)}

    return graph(a, b)


@row(held, a="shared container", b="shared container")
def _closure() -> Any:
    seen: list[str] = []

    def a(state: State) -> Any:
        seen.extend(state["xs"])
        return {}

    def b(state: State) -> Any:
        return {"n": len(seen)}

    return graph(a, b)


@row(held, a="shared container", b="shared container")
def _nonlocal() -> Any:
    total = 0

    def a(state: State) -> Any:
        nonlocal total
        total += state["n"]
        return {}

    def b(state: State) -> Any:
        return {"n": total}

    return graph(a, b)


@row(held, a="shared container")
def _mutable_default() -> Any:
    def a(state: State, seen: list = []) -> Any:  # noqa: B006
        seen.append(state["q"])
        return {"xs": list(seen)}

    return graph(a)


@row(held, a="shared container")
def _mutable_default_of_a_helper() -> Any:
    def number(key: str, known: dict = {}) -> int:  # noqa: B006
        return known.setdefault(key, len(known))

    def a(state: State) -> Any:
        return {"n": number(state["q"])}

    return graph(a)


class Registry:
    items: list[str] = []  # noqa: RUF012
    count = 0
    _instance: Registry | None = None

    def __init__(self) -> None:
        self.mine: list[str] = []
        self.calls = 0
        self.llm = model

    @classmethod
    def instance(cls) -> Registry:
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance

    def add(self, item: str) -> None:
        self.mine.append(item)

    def ask(self, text: str) -> Any:
        return self.llm.invoke(text)


@row(held, a="shared container", b="shared container")
def _class_attribute() -> Any:
    def a(state: State) -> Any:
        Registry.items.append(state["q"])
        return {}

    def b(state: State) -> Any:
        return {"n": len(Registry.items)}

    return graph(a, b)


@row(held, a="shared container", b="shared container")
def _class_attribute_rebound() -> Any:
    def a(state: State) -> Any:
        Registry.count += 1
        return {}

    def b(state: State) -> Any:
        return {"n": Registry().count}

    return graph(a, b)


@row(held, a="shared container", b="shared container")
def _singleton() -> Any:
    def a(state: State) -> Any:
        Registry.instance().add(state["q"])
        return {}

    def b(state: State) -> Any:
        return {"xs": Registry.instance().mine}

    return graph(a, b)


@row(held, a="shared container", b="shared container")
def _bound_methods() -> Any:
    class Agent:
        def __init__(self) -> None:
            self.notes: list[str] = []

        def a(self, state: State) -> Any:
            self.notes.append(state["q"])
            return {}

        def b(self, state: State) -> Any:
            return {"xs": self.notes}

    agent = Agent()
    return graph(a=agent.a, b=agent.b)


@row(held, a="shared container", b="shared container")
def _attribute_rebound() -> Any:
    class Agent:
        last = ""

        def a(self, state: State) -> Any:
            self.last = state["q"]
            return {}

        def __call__(self, state: State) -> Any:
            return {"q": self.last}

    agent = Agent()
    return graph(a=agent.a, b=agent)


@row(held, a="shared container", b="shared container")
def _lru_cache() -> Any:
    @functools.cache
    def bucket(key: str) -> list[str]:
        return []

    def a(state: State) -> Any:
        bucket("k").append(state["q"])
        return {}

    def b(state: State) -> Any:
        return {"xs": bucket("k")}

    return graph(a, b)


@row(held, a="shared container", b="shared container")
def _cache_cleared() -> Any:
    @functools.lru_cache
    def value() -> float:
        return time.time()

    def a(state: State) -> Any:
        value.cache_clear()
        return {}

    def b(state: State) -> Any:
        return {"n": value()}

    return graph(a, b)


VAR: contextvars.ContextVar[Any] = contextvars.ContextVar("VAR", default=None)


@row(held, a="shared container", b="shared container")
def _context_variable() -> Any:
    def a(state: State) -> Any:
        VAR.set(state["q"])
        return {}

    def b(state: State) -> Any:
        return {"q": VAR.get()}

    return graph(a, b)


@row(held, a="shared container", b="shared container")
def _module_state() -> Any:
    def a(state: State) -> Any:
        import settings_of_this_test as settings

        settings.LEVEL = state["q"]
        return {}

    def b(state: State) -> Any:
        import settings_of_this_test as settings

        return {"q": settings.LEVEL}

    settings: Any = ModuleType("settings_of_this_test")
    settings.LEVEL = "x"
    sys.modules["settings_of_this_test"] = settings
    return graph(a, b)


@row(held, a="shared container", b="shared container")
def _function_attribute() -> Any:
    def count() -> int:
        count.calls += 1  # type: ignore[attr-defined]
        return count.calls  # type: ignore[attr-defined]

    count.calls = 0  # type: ignore[attr-defined]

    def a(state: State) -> Any:
        return {"n": count()}

    def b(state: State) -> Any:
        return {"n": count.calls}  # type: ignore[attr-defined]

    return graph(a, b)


NUMBERS = itertools.count()


@row(held, a="shared container")
def _iterator() -> Any:
    def a(state: State) -> Any:
        return {"n": next(NUMBERS)}

    return graph(a)


RNG = random.Random(7)


@row(held, a="shared container")
def _seeded_generator() -> Any:
    def a(state: State) -> Any:
        return {"n": RNG.randint(1, 6)}

    return graph(a)


@row(held, a="shared container", b="shared container")
def _event() -> Any:
    done = threading.Event()

    def a(state: State) -> Any:
        done.set()
        return {}

    def b(state: State) -> Any:
        return {"n": int(done.is_set())}

    return graph(a, b)


HEAP: list[int] = []


@row(held, a="shared container", b="shared container", c="shared container")
def _changed_by_functions() -> Any:
    def a(state: State) -> Any:
        heapq.heappush(HEAP, 1)
        return {}

    def b(state: State) -> Any:
        list.append(HEAP, 2)
        return {}

    def c(state: State) -> Any:
        return {"n": max(HEAP)}

    return graph(a, b, c)


@row(held, a="shared container")
def _handed_to_unread_code() -> Any:
    import pluggy

    def a(state: State) -> Any:
        pluggy.HookCallError(SEEN)
        pluggy._manager._formatdef(SEEN)
        return {}

    return graph(a)


@row(held, a="shared container", b="shared container")
def _a_router_over_one_list() -> Any:
    turns: list[int] = []

    def a(state: State) -> Any:
        return {"n": len(turns)}

    def b(state: State) -> Any:
        return {}

    def route(state: State) -> str:
        turns.append(1)
        return END if len(turns) > 3 else "a"

    builder = StateGraph(State)
    builder.add_node("a", a)
    builder.add_node("b", b)
    builder.add_edge(START, "a")
    builder.add_edge("a", "b")
    builder.add_conditional_edges("b", route, ["a", END])
    return builder.compile()


@row(held, a="shared container")
def _a_reducer_over_one_list() -> Any:
    merges: list[int] = []

    def reduce(left: Any, right: Any) -> Any:
        merges.append(1)
        return right

    def a(state: State) -> Any:
        return {"n": len(merges)}

    return graph(a, state=TypedDict("Reduced", {"n": Annotated[int, reduce]}))


@row(held, b="shared container")
def _a_decorator_that_counts() -> Any:
    calls: list[str] = []

    def counted(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            calls.append(function.__name__)
            return function(*args, **kwargs)

        return wrapper

    @counted
    def b(state: State) -> Any:
        return {}

    return graph(b)


@row(held, a="shared container", b="shared container", c="shared container")
def _partial_lambda_and_callable() -> Any:
    seen: set[str] = set()

    def put(target: set[str], state: State) -> Any:
        target.add(state["q"])
        return {}

    return graph(
        a=functools.partial(put, seen),
        b=lambda state: {"n": len(seen)},
        c=RunnableLambda(lambda state: {"n": len(seen | {"x"})}),
    )


@row(held, a="shared container", b="shared container")
def _augmented_assignment() -> Any:
    seen: collections.deque[str] = collections.deque()

    class Box:
        items = seen

    def a(state: State) -> Any:
        Box.items += [state["q"]]
        return {}

    def b(state: State) -> Any:
        return {"xs": [x for x in seen]}  # noqa: C416

    return graph(a, b)


@row(held, a="shared container", b="shared container")
def _getattr_by_name() -> Any:
    holder = Registry()

    def a(state: State) -> Any:
        getattr(holder, "mine").append(1)  # noqa: B009
        return {}

    def b(state: State) -> Any:
        return {"xs": getattr(holder, state["q"])}

    return graph(a, b)


@row(held, a="shared container", b="shared container")
def _context_changed() -> Any:
    def a(state: State, runtime: Runtime) -> Any:
        runtime.context["log"].append(state["q"])
        return {}

    def b(state: State) -> Any:
        return {"n": len(get_runtime().context["log"])}

    return graph(a, b)


@row(held, a="shared container", b="shared container")
def _a_fake_model_that_counts() -> Any:
    fake = GenericFakeChatModel(messages=iter([AIMessage("1"), AIMessage("2")]))
    chain = ChatPromptTemplate.from_template("{q}") | fake

    def a(state: State) -> Any:
        return {"q": chain.invoke({"q": state["q"]}).content}

    def b(state: State) -> Any:
        return {"q": fake.invoke("x").content}

    return graph(a, b)


@row(held, a="shared container", b="shared container")
def _a_model_of_the_app_that_counts() -> Any:
    class Mine(GenericFakeChatModel):
        calls: int = 0

        def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return super()._generate(messages, *args, **kwargs)

    fake = Mine(messages=iter([]))

    def a(state: State) -> Any:
        return {"messages": [fake.invoke(state["messages"])]}

    def b(state: State) -> Any:
        return {"n": fake.calls}

    return graph(a, b)


@row(held, a="shared container")
def _a_callback_handed_to_a_thread() -> Any:
    seen: list[str] = []

    def work(text: str) -> None:
        seen.append(text)

    async def a(state: State) -> Any:
        await asyncio.gather(*[asyncio.to_thread(work, x) for x in state["xs"]])
        return {}

    return graph(a)


@row(held, a="shared container", b="shared container")
def _own_container_class() -> Any:
    class Memory:
        def __init__(self) -> None:
            self._data: dict[str, str] = {}

        def __setitem__(self, key: str, value: str) -> None:
            self._data[key] = value

        def __getitem__(self, key: str) -> str:
            return self._data[key]

    memory = Memory()

    def a(state: State) -> Any:
        memory["q"] = state["q"]
        return {}

    def b(state: State) -> Any:
        return {"q": memory["q"]}

    return graph(a, b)


@row(held, b="input changed by another node")
def _a_global_that_entered_the_state() -> Any:
    shared: list[int] = []

    def a(state: State) -> Any:
        shared.append(1)
        return {"d": {"shared": shared}}

    def b(state: State) -> Any:
        return {"n": len(state["d"]["shared"])}

    return graph(a, b)


# Changes of the input ------------------------------------------------------------------------


def _changes(function: Any, state: Any = State) -> Any:
    return graph(a=function, state=state)


def _m_list(state: State) -> Any:
    state["xs"].append(1)
    return {}


def _m_dict(state: State) -> Any:
    state["d"]["k"] = 1
    return {}


def _m_nested(state: State) -> Any:
    inner = state["d"].get("inner", {})
    inner.setdefault("k", []).append(1)
    return {}


def _m_message(state: State) -> Any:
    state["messages"][-1].content = "changed"
    return {}


def _m_loop(state: State) -> Any:
    for message in state["messages"]:
        message.additional_kwargs["seen"] = True
    return {}


def _m_dataclass(state: Data) -> Any:
    state.xs.append("x")
    return {}


def _m_pydantic(state: Model) -> Any:
    state.xs += ["x"]
    return {}


def _m_shallow_copy(state: State) -> Any:
    mine = dict(state)
    mine["xs"].append(1)
    return mine


def _m_spread(state: State) -> Any:
    mine = {**state}
    mine["d"]["k"] = 1
    return mine


def _m_copied_list_element(state: State) -> Any:
    messages = list(state["messages"])
    messages[0].content = "x"
    return {}


def _m_helper(state: State) -> Any:
    def put(target: dict, key: str) -> None:
        target[key] = 1

    put(state["d"], "k")
    return {}


def _m_del(state: State) -> Any:
    del state["d"]["k"]
    return {}


def _m_augmented(state: State) -> Any:
    xs = state["xs"]
    xs += [1]
    return {"xs": xs}


def _m_top(state: State) -> Any:
    state["q"] = "x"
    return state


def _m_getattr(state: Data) -> Any:
    getattr(state, "xs").sort()  # noqa: B009
    return {}


def _m_setattr(state: Data) -> Any:
    setattr(state, "q", "x")  # noqa: B010
    return state


def _m_shuffle(state: State) -> Any:
    random.shuffle(state["xs"])
    return {}


def _m_lambda(state: Any) -> Any:
    return [x.update(seen=1) for x in state["xs"]] and {}


def _m_values(state: State) -> Any:
    for value in state["d"].values():
        value.append(1)
    return {}


def _m_branch(state: State) -> Any:
    xs = [] if state["n"] else state["xs"]
    xs.append(1)
    return {"xs": xs}


def _m_unpacked(state: State) -> Any:
    first, *rest = state["xs"]
    rest[0]["k"] = first
    return {}


def _m_dunder(state: State) -> Any:
    operator.setitem(state["d"], "k", 1)
    return {}


class Doc:
    def __init__(self) -> None:
        self.read = False

    def finish(self) -> None:
        self.read = True


def _m_own_method(state: State) -> Any:
    state["d"]["doc"].finish()
    return {}


CHANGES = {
    name: function
    for name, function in list(globals().items())
    if name.startswith("_m_") and callable(function)
}
for _name, _function in CHANGES.items():
    _schema = {"_m_dataclass": Data, "_m_getattr": Data, "_m_setattr": Data, "_m_pydantic": Model}
    row(held, a="mutates its input")(
        functools.update_wrapper(
            functools.partial(_changes, _function, _schema.get(_name, State)), _function
        )
    )


@row(held, b="input changed by another node")
def _aliased_channels() -> Any:
    def a(state: State) -> Any:
        state["xs"].append(1)
        return {}

    def b(state: State) -> Any:
        return {"n": len(state["d"]["same"])}

    return graph(a, b)


# Outside -------------------------------------------------------------------------------------


def _w_open(state: State) -> Any:
    with open("out.txt", "w") as file:
        file.write(state["q"])
    return {}


def _w_open_mode(state: State) -> Any:
    open("out.txt", mode=state["q"]).close()
    return {}


def _w_path(state: State) -> Any:
    Path("out.txt").write_text(state["q"])
    return {}


def _w_path_open(state: State) -> Any:
    Path("out.txt").open("a").close()
    return {}


def _w_environ(state: State) -> Any:
    os.environ["MODE"] = state["q"]
    return {}


def _w_remove(state: State) -> Any:
    os.remove(state["q"])
    return {}


def _w_subprocess(state: State) -> Any:
    return {"q": subprocess.run(["ls"], check=False).stdout}


def _w_requests(state: State) -> Any:
    requests.post("http://x", json={"q": state["q"]})
    return {}


SESSION = requests.Session()


def _w_session(state: State) -> Any:
    return {"q": SESSION.request("DELETE", "http://x").text}


def _w_database(state: State) -> Any:
    with sqlite3.connect("x.db") as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    return {}


QUEUE: queue.Queue[str] = queue.Queue()


def _w_queue(state: State) -> Any:
    QUEUE.put(state["q"])
    return {}


def _w_unknown_client(state: State) -> Any:
    from pluggy import PluginManager

    PluginManager("x").register(state["q"])
    return {}


def _w_context_client(state: State, runtime: Runtime) -> Any:
    runtime.context.mail.send(state["q"])
    return {}


class Mailer:
    def __init__(self, url: str) -> None:
        self.url = url

    def send(self, text: str) -> None:
        requests.put(self.url, data=text)


MAILER = Mailer("http://x")


def _w_own_class(state: State) -> Any:
    MAILER.send(state["q"])
    return {}


WRITES = {n: f for n, f in list(globals().items()) if n.startswith("_w_") and callable(f)}
for _name, _function in WRITES.items():
    row(held, a="outward write")(
        functools.update_wrapper(functools.partial(_changes, _function), _function)
    )


def reads_outside(function: Any) -> Any:
    return graph(a=_w_path, b=function)


def _r_open(state: State) -> Any:
    with open("out.txt") as file:
        return {"q": file.read()}


def _r_environ(state: State) -> Any:
    return {"q": os.environ.get("MODE", "")}


def _r_getenv(state: State) -> Any:
    return {"q": os.getenv("MODE")}


def _r_requests(state: State) -> Any:
    return {"q": requests.get("http://x").json()["q"]}


def _r_database(state: State) -> Any:
    connection = sqlite3.connect("x.db")
    return {"xs": connection.execute("SELECT * FROM t").fetchall()}


def _r_path(state: State) -> Any:
    return {"q": Path("out.txt").read_text()}


READS = {n: f for n, f in list(globals().items()) if n.startswith("_r_") and callable(f)}
for _name, _function in READS.items():
    row(held, b="outside read while another node writes")(
        functools.update_wrapper(functools.partial(reads_outside, _function), _function)
    )
    early[f"{_name}_alone".strip("_")] = (
        functools.partial(_changes, _function),
        {"a": "free"},
    )


# Unreadable, declared, cached ----------------------------------------------------------------


@row(held, a="source can't be read", b="source can't be read", c="source can't be read")
def _no_source() -> Any:
    namespace: dict[str, Any] = {}
    exec("def a(state):\n    return {}\n", namespace)

    def b(state: State) -> Any:
        return namespace["a"](state)

    def c(state: State) -> Any:
        exec(state["q"])
        return {}

    return graph(a=namespace["a"], b=b, c=c)


@row(held, a="cache policy")
def _cache_policy() -> Any:
    builder = StateGraph(State)
    builder.add_node("a", lambda state: {}, cache_policy=CachePolicy())
    builder.add_edge(START, "a")
    return builder.compile()


@row(held, a="declared once")
def _tool_declared_once() -> Any:
    @tool
    def pay(amount: int) -> str:
        """Pay."""
        return "done"

    pay.metadata = {"alto": {"effects": "once"}}
    return graph(a=ToolNode([pay]))


@row(held, a="outward write")
def _tool_that_writes() -> Any:
    @tool
    def pay(amount: int) -> str:
        """Pay."""
        return requests.post("http://x", json={"amount": amount}).text

    return graph(a=ToolNode([pay]))


@row(held, a="shared container")
def _subgraph_that_changes() -> Any:
    def inner(state: State) -> Any:
        SEEN.append("x")
        return {}

    return graph(a=graph(inner))


@row(held, a="outward write")
def _a_router_that_writes() -> Any:
    def route(state: State) -> Any:
        Path("x").write_text("x")
        return [Send("b", {"q": "x"})]

    builder = StateGraph(State)
    builder.add_node("a", lambda state: {})
    builder.add_node("b", lambda state: {})
    builder.add_edge(START, "a")
    builder.add_conditional_edges("a", route, ["b"])
    return builder.compile()


# Rows that must run ahead --------------------------------------------------------------------


@row(early, a="pure")
def _plain() -> Any:
    def a(state: State) -> Any:
        words = [w.lower() for w in state["q"].split()]
        words.append("end")
        counts = collections.Counter(words)
        return {"xs": sorted(words), "n": sum(counts.values()), "d": dict(counts)}

    return graph(a)


@row(early, a="free")
def _a_model_call() -> Any:
    prompt = ChatPromptTemplate.from_template("{q}")

    def a(state: State) -> Any:
        messages = [HumanMessage(state["q"])]
        messages.append(HumanMessage("and be brief"))
        answer = model.invoke(messages)
        log.info("answered %s", answer)
        chain = prompt | model | StrOutputParser()
        return {"messages": [answer], "q": chain.invoke({"q": state["q"]})}

    return graph(a)


@row(early, a="free", b="free")
def _a_shared_model_and_structured_output() -> Any:
    structured = model.with_structured_output(Model)

    async def a(state: State, config: RunnableConfig) -> Any:
        found = await structured.ainvoke(state["messages"], config)
        return {"xs": found.xs}

    def b(state: State) -> Any:
        answer = model.invoke([*state["messages"], HumanMessage("x")])
        return {"messages": [answer]}

    return graph(a, b)


@row(early, a="pure", b="pure")
def _shared_data_only_read() -> Any:
    def a(state: State) -> Any:
        return {"n": sum(WEIGHTS) + TABLE["a"], "d": copy.deepcopy(TABLE)}

    def b(state: State) -> Any:
        total = 0
        for weight in WEIGHTS:
            total += weight
        return {"n": math.floor(total), "q": json.dumps(TABLE), "xs": [w * 2 for w in WEIGHTS]}

    return graph(a, b)


@row(early, a="pure")
def _context_and_config() -> Any:
    def a(state: State, config: RunnableConfig, runtime: Runtime) -> Any:
        user = config["configurable"].get("user")
        info = runtime.execution_info
        return {"q": f"{user} {runtime.context.name} {get_config()['tags']} {info.task_id}"}

    return graph(a)


@row(early, a="pure")
def _stream_writer() -> Any:
    def a(state: State, runtime: Runtime) -> Any:
        get_stream_writer()({"progress": 1})
        runtime.stream_writer("x")
        return {}

    return graph(a)


class Retriever(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document(requests.post("http://index", json={"q": query}).text)]


retriever = Retriever()
embedder = DeterministicFakeEmbedding(size=3)


@row(early, a="free")
def _retriever_and_embedder() -> Any:
    def a(state: State) -> Any:
        docs = retriever.invoke(state["q"])
        vector = embedder.embed_query(state["q"])
        return {"xs": [d.page_content for d in docs] + vector}

    return graph(a)


@row(early, a="pure")
def _logger_and_pattern() -> Any:
    def a(state: State) -> Any:
        log.debug("at %s", state["q"])
        log.addFilter(lambda record: True)
        match = WORD.match(state["q"])
        return {"xs": WORD.findall(state["q"]), "q": match.group() if match else ""}

    return graph(a)


@row(early, a="pure")
def _fresh_copies() -> Any:
    def a(state: State) -> Any:
        messages = state["messages"]
        messages = messages + [HumanMessage("x")]
        messages.append(HumanMessage("y"))
        mine = {**state, "xs": []}
        mine["xs"].append(1)
        mine["q"] = "x"
        deep = copy.deepcopy(state)
        deep["d"]["k"] = 1
        count = state["n"]
        count += 1
        text = state["q"]
        text += " more"
        other = [dict(x) for x in state["xs"]]
        other[0]["k"] = 1
        return {"messages": messages, "n": count, "q": text, "xs": mine["xs"]}

    return graph(a)


@row(early, a="pure")
def _helpers_and_closures() -> Any:
    def total(xs: list[int]) -> int:
        result = 0
        for x in xs:
            result += x
        return result

    def count() -> Callable[[], int]:
        n = 0

        def bump() -> int:
            nonlocal n
            n += 1
            return n

        return bump

    def a(state: State) -> Any:
        bump = count()
        bump()
        return {"n": total(state["xs"]) + bump(), "xs": list(map(str, state["xs"]))}

    return graph(a)


@row(early, a="pure")
def _fresh_objects_of_the_app() -> Any:
    @dataclass
    class Box:
        items: list[str]
        seen: set[str] = field(default_factory=set)

        def add(self, item: str) -> Box:
            self.items.append(item)
            self.seen.add(item)
            return self

    def a(state: State) -> Any:
        box = Box([]).add(state["q"])
        box.add("x")
        return {"xs": box.items}

    return graph(a)


@row(early, a="pure")
def _time_and_random() -> Any:
    def a(state: State) -> Any:
        time.sleep(0)
        return {"n": random.randint(1, 6) + time.time(), "q": random.choice(["a", "b"])}

    return graph(a)


@row(early, a="pure", b="free")
def _generators() -> Any:
    def a(state: State) -> Iterator[Any]:
        for x in state["xs"]:
            yield {"xs": [x]}

    async def b(state: State) -> Any:
        async for chunk in model.astream(state["q"]):
            yield {"xs": [chunk.content]}

    return graph(a, b)


@row(early, a="pure")
def _commands_and_sends() -> Any:
    def a(state: State) -> Any:
        return Command(goto=[Send("a", {"q": x}) for x in state["xs"]], update={"n": 1})

    return graph(a)


@row(early, a="pure")
def _a_pure_router() -> Any:
    builder = StateGraph(State)
    builder.add_node("a", lambda state: {"n": 1})
    builder.add_edge(START, "a")
    builder.add_conditional_edges("a", lambda s: [Send("a", {"q": x}) for x in s["xs"]], ["a", END])
    return builder.compile()


@row(early, a="free", tools="pure")
def _an_agent() -> Any:
    @tool
    def add(x: int, y: int) -> int:
        """Add."""
        return x + y

    bound = model.bind_tools([add])

    def a(state: State) -> Any:
        return {"messages": [bound.invoke(state["messages"])]}

    builder = StateGraph(State)
    builder.add_node("a", a)
    builder.add_node("tools", ToolNode([add]))
    builder.add_edge(START, "a")
    builder.add_conditional_edges("a", tools_condition)
    builder.add_edge("tools", "a")
    return builder.compile()


@row(early, tools="pure")
def _a_prebuilt_agent() -> Any:
    @tool
    def add(x: int, y: int) -> int:
        """Add."""
        return x + y

    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return create_react_agent(model, [add], prompt="be brief")


@row(held, agent="managed value")
def _a_prebuilt_agent_counts_its_steps() -> Any:
    return _a_prebuilt_agent()


@row(early, a="free", b="free")
def _composed() -> Any:
    chain = (
        RunnablePassthrough.assign(context=lambda x: x["q"] + "!")
        | ChatPromptTemplate.from_template("{q} {context}")
        | model
        | StrOutputParser()
        | (lambda text: {"q": text})
    )

    class Agent:
        def __init__(self, llm: Any, names: list[str]) -> None:
            self.llm = llm
            self.names = names

        def b(self, state: State) -> Any:
            prompt = "\n".join(self.names)
            return {"messages": [self.llm.invoke(prompt + state["q"])]}

    return graph(a=chain, b=Agent(model, ["x"]).b)


_llm: Any = None


def get_llm() -> Any:
    global _llm  # noqa: PLW0603
    if _llm is None:
        _llm = FakeChatModel(script={})
    return _llm


@functools.lru_cache
def get_cached_llm() -> Any:
    return FakeChatModel(script={})


@row(early, a="free", b="free")
def _models_made_on_first_use() -> Any:
    def a(state: State) -> Any:
        return {"messages": [get_llm().invoke(state["q"])]}

    def b(state: State) -> Any:
        return {"messages": [get_cached_llm().invoke(state["q"])]}

    return graph(a, b)


@row(early, a="pure")
def _models_and_dataclasses_as_state() -> Any:
    def a(state: Model) -> Any:
        new = state.model_copy(update={"q": "x"})
        return {"xs": [x.upper() for x in new.xs], "q": state.model_dump_json()}

    return graph(a, state=Model)


@row(early, a="free")
def _own_instance_that_only_reads() -> Any:
    holder = Registry()

    def a(state: State) -> Any:
        return {"messages": [holder.ask(state["q"])], "n": holder.calls}

    return graph(a)


@row(early, a="free", b="pure")
def _a_subgraph() -> Any:
    def inner(state: State) -> Any:
        return {"messages": [model.invoke(state["q"])]}

    def b(state: State) -> Any:
        return {"n": len(state.get("messages", []))}

    return graph(a=graph(inner), b=b)


LOCK = threading.Lock()


@row(early, a="pure")
def _try_and_match() -> Any:
    def a(state: State) -> Any:
        try:
            value = json.loads(state["q"])
        except ValueError as error:
            return {"q": str(error)}
        match value:
            case {"n": int(n)}:
                return {"n": n}
            case [first, *_]:
                return {"q": first}
        found = {}
        while len(found) < 3:
            found[len(found)] = value
            if value is None:
                break
        with LOCK:
            return {"d": found}

    return graph(a)


# Declarations, identity, interrupts, cost ----------------------------------------------------


def test_declarations_in_their_order() -> None:
    builder = StateGraph(State)
    builder.add_node("a", _w_path, metadata={"alto": {"effects": "idempotent"}})
    builder.add_edge(START, "a")
    app = builder.compile()
    assert judged(app)["a"].reason == "declared idempotent"
    assert judged(app, Options(nodes={"a": {"effects": "once"}}))["a"].reason == "declared once"
    assert judged(app, Options(nodes={"a": {"reads": ["q"]}}))["a"].rank is Rank.PROVEN


def test_declared_tools_are_not_scanned() -> None:
    app = _tool_that_writes()
    assert judged(app)["a"].unlock == 'Options(tools={"pay": {"effects": "idempotent"}})'
    options = Options(tools={"pay": {"effects": "idempotent"}})
    assert judged(app, options)["a"].rank is Rank.PROVEN
    assert judged(app, Options(tools={"pay": {"effects": "once"}}))["a"].reason == "declared once"


def test_nodes_of_subgraphs_are_declared_by_path() -> None:
    app = _subgraph_that_changes()
    options = Options(nodes={"a:inner": {"effects": "idempotent"}})
    assert judged(app, options)["a"].rank is not Rank.HELD
    child = app.nodes["a"].bound
    found = verdicts(child.nodes, child.channels, options, parent=("a",))
    assert found["inner"].reason == "declared idempotent"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(nodes={"z": {}}), r"nodes\['z'\]: the graph has no such node. Valid: 'a'"),
        (Options(tools={"z": {}}), r"tools\['z'\]: the graph has no such tool. Valid: 'pay'"),
    ],
)
def test_declarations_for_what_is_not_there(options: Options, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        judged(_tool_that_writes(), options)


def test_wrong_declarations_in_metadata() -> None:
    builder = StateGraph(State)
    builder.add_node("a", _w_path, metadata={"alto": {"effect": "pure"}})
    builder.add_edge(START, "a")
    with pytest.raises(DeclarationError, match="metadata of node 'a' has the unknown key 'effect'"):
        judged(builder.compile())


def test_undeclared_nodes_can_be_held() -> None:
    options = Options(undeclared="hold")
    assert judged(_a_model_call(), options)["a"].reason == "undeclared"
    assert judged(_plain(), options)["a"].rank is Rank.PROVEN


def test_interrupts_in_reach() -> None:
    def ask(question: str) -> Any:
        return interrupt(question)

    @tool
    def confirm(text: str) -> str:
        """Confirm."""
        return ask(text)

    def a(state: State) -> Any:
        return {"q": ask("sure?")}

    app = graph(a, b=ToolNode([confirm]), c=graph(a), d=lambda state: {})
    found = judged(app)
    assert {name for name, v in found.items() if v.may_interrupt} == {"a", "b", "c"}


def test_identity_is_needed_by_subgraphs_and_tasks() -> None:
    child = graph(lambda_ := _r_open)
    assert lambda_ is _r_open

    @task
    def double(n: int) -> int:
        return n * 2

    def a(state: State) -> Any:
        return child.invoke(state)

    def b(state: State) -> Any:
        return {"n": double(state["n"]).result()}

    def c(state: State) -> Any:
        return {"n": 1}

    found = judged(graph(a, b, c, d=child))
    assert {name for name, v in found.items() if v.needs_identity} == {"a", "b", "d"}


def test_which_keys_are_read() -> None:
    def a(state: State) -> Any:
        return {"n": len(state["xs"]) + state.get("n", 0)}

    def b(state: State) -> Any:
        return {"q": str(state)}

    def first(state: State) -> str:
        return state["q"]

    def c(state: State) -> Any:
        return {"q": first(state) if "d" in state else ""}

    app = graph(a, b, c)
    facts = node_facts(app.nodes, app.channels)
    assert (facts["a"].input_keys, facts["a"].whole_input) == ({"xs", "n"}, False)
    assert facts["b"].whole_input
    assert (facts["c"].input_keys, facts["c"].whole_input) == ({"q", "d"}, False)


def test_routers_by_themselves() -> None:
    found = router_facts(_a_router_that_writes().nodes)
    assert [bool(facts.outward_writes) for facts in found["a"]] == [True]
    assert found["b"] == ()


def test_details_name_the_place() -> None:
    found = judged(_global_list())
    assert "SEEN.append(state['q']) (test_effects_scan.py:" in found["a"].detail
    assert "'a' changes it" in found["b"].detail
    assert found["a"].unlock == 'add_node("a", a, metadata={"alto": {"effects": "idempotent"}})'


def test_a_scan_never_raises() -> None:
    class Hostile:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

        def __hash__(self) -> int:
            raise RuntimeError("hash")

    hostile = Hostile()

    def a(state: State) -> Any:
        return {hostile: hostile.x, "y": hostile[hostile](hostile)}

    assert judged(graph(a))["a"].rank in Rank


def test_verdicts_are_cached_without_keeping_the_graph() -> None:
    app = _plain()
    assert judged(app) is judged(app)
    node = weakref.ref(app.nodes["a"])
    del app
    gc.collect()
    assert node() is None


def test_a_hundred_nodes_are_fast() -> None:
    def make(i: int) -> Any:
        def node(state: State) -> Any:
            answer = model.invoke([HumanMessage(state["q"]), HumanMessage(str(i))])
            text = "\n".join(str(x) for x in state["xs"] if WORD.match(str(x)))
            return {"messages": [answer], "q": text, "n": sum(WEIGHTS)}

        return node

    def once() -> float:
        app = graph(**{f"n{i}": make(i) for i in range(100)})
        began = time.thread_time()  # of this thread alone: a busy machine does not count
        found = judged(app)
        took = time.thread_time() - began
        assert all(v.rank is Rank.FREE for name, v in found.items() if name != START)
        return took

    assert min(once() for _ in range(3)) < 0.3
