"""Rows: objects that several nodes reach and one of them changes."""

from __future__ import annotations

import array
import collections
import functools
import heapq
import io
import itertools
import operator
import random
import threading
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from pydantic import BaseModel

from tests.hidden.kit import Case, State, Table, beside, row
from tests.hidden.quartet import quartet, taking_turns
from tests.hidden.waiting import apause

TABLE: Table = {}
SHARED = "shared container"


@row(TABLE, SHARED)
def set_of_names(place: Path) -> Case:
    names: set[str] = set()

    async def remember(who: str) -> None:
        names.add(who)

    async def recall() -> list[str]:
        return sorted(names)

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def deque_of_names(place: Path) -> Case:
    names: collections.deque[str] = collections.deque(maxlen=1)

    async def remember(who: str) -> None:
        names.appendleft(who)

    async def recall() -> str:
        return names[0]

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def counter_of_calls(place: Path) -> Case:
    calls: collections.Counter[str] = collections.Counter()

    async def remember(who: str) -> None:
        calls["calls"] += 1

    async def recall() -> int:
        return calls.total()

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def defaultdict_that_reading_fills(place: Path) -> Case:
    known: collections.defaultdict[str, int] = collections.defaultdict(int)

    async def remember(who: str) -> int:
        return known[who]

    async def recall() -> int:
        return len(known)

    return Case(quartet(remember, recall))


class Upper(dict[str, str]):
    """A dict that keeps what it was asked for."""

    def __missing__(self, key: str) -> str:
        self[key] = key.upper()
        return self[key]


@row(TABLE, SHARED)
def dict_whose_missing_fills_it(place: Path) -> Case:
    known = Upper()

    async def remember(who: str) -> str:
        return known[who]

    async def recall() -> list[str]:
        return sorted(known)

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def user_dict(place: Path) -> Case:
    known: collections.UserDict[str, int] = collections.UserDict()

    async def remember(who: str) -> None:
        known[who] = 1

    async def recall() -> int:
        return len(known.data)

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def merged_dict(place: Path) -> Case:
    known: dict[str, int] = {}

    async def remember(who: str) -> None:
        nonlocal known
        known |= {who: 1}

    async def recall() -> int:
        return len(known)

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def list_inside_a_tuple_inside_a_dict(place: Path) -> Case:
    parts: dict[str, tuple[str, list[str]]] = {"names": ("all of them", [])}

    async def remember(who: str) -> None:
        _, names = parts["names"]
        names += [who]

    async def recall() -> list[str]:
        return [name for name in parts["names"][1]]  # noqa: C416

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def heap(place: Path) -> Case:
    queue: list[str] = []

    async def remember(who: str) -> None:
        heapq.heappush(queue, who)

    async def recall() -> list[str]:
        return heapq.nsmallest(2, queue)

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def byte_array(place: Path) -> Case:
    known = bytearray()

    async def remember(who: str) -> None:
        known.extend(who.encode())

    async def recall() -> str:
        return known.decode()

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def text_buffer(place: Path) -> Case:
    text = io.StringIO()

    async def remember(who: str) -> None:
        text.write(who)

    async def recall() -> str:
        return text.getvalue()

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def namespace_object(place: Path) -> Case:
    known = types.SimpleNamespace(last="nobody")

    async def remember(who: str) -> None:
        known.last = who

    async def recall() -> str:
        return known.last

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def flag_of_threading(place: Path) -> Case:
    flags = {"left": threading.Event(), "right": threading.Event()}

    async def remember(who: str) -> None:
        flags[who].set()

    async def recall() -> bool:
        return flags["left"].is_set() and flags["right"].is_set()

    return Case(quartet(remember, recall))


class Box:
    """An object of the app with everything that an object can have."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.last = "nobody"

    def remember(self, who: str) -> None:
        self.names.append(who)

    def all(self) -> list[str]:
        return list(self.names)

    @property
    def newest(self) -> str:
        return self.last

    @newest.setter
    def newest(self, who: str) -> None:
        self.last = who

    def __setitem__(self, index: int, who: str) -> None:
        self.names.insert(index, who)

    def __contains__(self, who: str) -> bool:
        return who in self.names

    def __iadd__(self, who: str) -> Box:
        self.names.append(who)
        return self

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *error: object) -> None:
        self.names.append("left the block")


class QuietBox(Box):
    def remember(self, who: str) -> None:
        super().remember(who.lower())


@row(TABLE, SHARED)
def attribute_of_an_object(place: Path) -> Case:
    box = Box()

    async def remember(who: str) -> None:
        box.last = who

    async def recall() -> str:
        return box.last

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def method_of_an_object(place: Path) -> Case:
    box = Box()

    async def remember(who: str) -> None:
        box.remember(who)

    async def recall() -> list[str]:
        return box.all()

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def method_of_a_base_class(place: Path) -> Case:
    box = QuietBox()

    async def remember(who: str) -> None:
        box.remember(who)

    async def recall() -> list[str]:
        return box.all()

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def property_with_a_setter(place: Path) -> Case:
    box = Box()

    async def remember(who: str) -> None:
        box.newest = who

    async def recall() -> str:
        return box.newest

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def items_of_an_object(place: Path) -> Case:
    box = Box()

    async def remember(who: str) -> None:
        box[0] = who

    async def recall() -> list[bool]:
        return ["left" in box, "right" in box]

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def operator_of_an_object(place: Path) -> Case:
    box = Box()

    async def remember(who: str) -> None:
        nonlocal box
        box += who

    async def recall() -> list[str]:
        return list(box.names)

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def block_of_an_object(place: Path) -> Case:
    box = Box()

    async def remember(who: str) -> None:
        with box:
            pass

    async def recall() -> int:
        return len(box.names)

    return Case(quartet(remember, recall))


class Proxy:
    """Hands everything on to another object."""

    def __init__(self, to: Any) -> None:
        self.to = to

    def __getattr__(self, name: str) -> Any:
        return getattr(self.to, name)


@row(TABLE, SHARED)
def object_behind_a_proxy(place: Path) -> Case:
    box = Box()
    proxy = Proxy(box)

    async def remember(who: str) -> None:
        proxy.remember(who)

    async def recall() -> list[str]:
        return box.all()

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def method_named_at_run_time(place: Path) -> Case:
    box = Box()
    methods = {"keep": "remember", "give": "all"}

    async def remember(who: str) -> None:
        getattr(box, methods["keep"])(who)

    async def recall() -> list[str]:
        return list(getattr(box, methods["give"])())

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def attribute_behind_a_proxy(place: Path) -> Case:
    box = Box()
    proxy = Proxy(box)

    async def remember(who: str) -> None:
        proxy.names.append(who)

    async def recall() -> list[str]:
        return box.all()

    return Case(quartet(remember, recall))


@dataclass
class Notes:
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Fixed:
    notes: Notes = field(default_factory=Notes)


@row(TABLE, SHARED)
def dataclass_object(place: Path) -> Case:
    notes = Notes()

    async def remember(who: str) -> None:
        notes.names = [*notes.names, who]

    async def recall() -> list[str]:
        return notes.names

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def what_a_frozen_dataclass_holds(place: Path) -> Case:
    fixed = Fixed()

    async def remember(who: str) -> None:
        fixed.notes.names.append(who)

    async def recall() -> int:
        return len(fixed.notes.names)

    return Case(quartet(remember, recall))


class Model(BaseModel):
    limit: int = 0


@row(TABLE, SHARED)
def pydantic_object(place: Path) -> Case:
    model = Model()

    async def remember(who: str) -> None:
        model.limit += 1

    async def recall() -> Any:
        return model.model_dump()

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def object_whose_dict_is_updated(place: Path) -> Case:
    box = Box()

    async def remember(who: str) -> None:
        vars(box).update(last=who)

    async def recall() -> str:
        return box.last

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def iterator_of_numbers(place: Path) -> Case:
    numbers = itertools.count(1)

    async def draw() -> int:
        return next(numbers)

    return Case(taking_turns(draw))


@row(TABLE, SHARED)
def round_robin(place: Path) -> Case:
    keys = itertools.cycle(["key one", "key two", "key three"])

    async def draw() -> str:
        return next(keys)

    return Case(taking_turns(draw))


@row(TABLE, SHARED)
def generator_of_tickets(place: Path) -> Case:
    def tickets() -> Iterator[int]:
        number = 100
        while True:
            yield number
            number += 1

    machine = tickets()

    async def draw() -> int:
        for number in machine:
            return number
        return 0

    return Case(taking_turns(draw))


@row(TABLE, SHARED)
def random_generator_with_a_seed(place: Path) -> Case:
    dice = random.Random(7)

    async def draw() -> int:
        return dice.randint(1, 1_000_000)

    return Case(taking_turns(draw))


@row(TABLE, SHARED)
def random_module_that_a_node_seeds(place: Path) -> Case:
    async def left(state: State) -> State:
        await apause("left")
        random.seed(7)
        return {"left": "seeded"}

    async def right(state: State) -> State:
        await apause("right")
        random.seed(8)
        return {"right": "seeded"}

    async def after_left(state: State) -> State:
        return {"after_left": random.randint(1, 1_000_000)}

    return Case(beside(State, [left, after_left], [right]))


@row(TABLE, SHARED)
def callable_objects_as_nodes(place: Path) -> Case:
    names: list[str] = []

    class Node:
        def __init__(self, name: str) -> None:
            self.__name__ = name

        async def __call__(self, state: State) -> Any:
            await apause(self.__name__.removeprefix("after_"))
            names.append(self.__name__)
            return {"left": list(names)}

    class Reader:
        __name__ = "after_left"

        async def __call__(self, state: State) -> State:
            return {"after_left": list(names)}

    class Writer:
        __name__ = "right"

        async def __call__(self, state: State) -> State:
            await apause("right")
            names.append("right")
            return {"right": "done"}

    return Case(beside(State, [Node("left"), Reader()], [Writer()]))


@row(TABLE, SHARED)
def methods_of_one_object_as_nodes(place: Path) -> Case:
    class Agent:
        def __init__(self) -> None:
            self.history: list[str] = []

        async def left(self, state: State) -> State:
            await apause("left")
            self.history.append("left")
            return {"left": "done"}

        async def right(self, state: State) -> State:
            await apause("right")
            self.history.append("right")
            return {"right": "done"}

        async def after_left(self, state: State) -> State:
            return {"after_left": list(self.history)}

        async def after_right(self, state: State) -> State:
            return {"after_right": list(self.history)}

    agent = Agent()
    chains = [agent.left, agent.after_left], [agent.right, agent.after_right]
    return Case(beside(State, *chains), effect=lambda: agent.history)


@row(TABLE, SHARED)
def decorator_that_counts(place: Path) -> Case:
    calls = {"number": 0}

    def counted(function: Any) -> Any:
        async def wrapper(state: State) -> Any:
            calls["number"] += 1
            return await function(state)

        wrapper.__name__ = function.__name__
        return wrapper

    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State) -> State:
        await apause("right")
        calls["number"] += 10
        return {"right": "done"}

    @counted
    async def after_left(state: State) -> State:
        return {"after_left": calls["number"]}

    return Case(beside(State, [left, after_left], [right]), effect=lambda: calls)


@row(TABLE, SHARED)
def bound_method_under_a_name(place: Path) -> Case:
    names: list[str] = []
    keep = names.append

    async def remember(who: str) -> None:
        keep(who)

    async def recall() -> list[str]:
        return names.copy()

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def method_handed_to_map(place: Path) -> Case:
    names: list[str] = []

    async def remember(who: str) -> None:
        list(map(names.append, [who]))

    async def recall() -> int:
        return sum(1 for _ in names)

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def method_of_the_class_list(place: Path) -> Case:
    names: list[str] = []

    async def remember(who: str) -> None:
        list.append(names, who)

    async def recall() -> list[str]:
        return sorted(names)

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def function_of_the_module_operator(place: Path) -> Case:
    known: dict[str, int] = {}

    async def remember(who: str) -> None:
        operator.setitem(known, who, 1)

    async def recall() -> list[str]:
        return sorted(known.keys())

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def expression_that_changes(place: Path) -> Case:
    names: list[str] = []

    async def remember(who: str) -> None:
        [names.append(part) for part in (who,)]

    async def recall() -> str:
        return f"{names}"

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def object_found_by_a_helper(place: Path) -> Case:
    boxes = {"one": Box()}

    def find(name: str) -> Box:
        return boxes.get(name) or Box()

    async def remember(who: str) -> None:
        find("one").remember(who)

    async def recall() -> list[str]:
        return find("one").all()

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def tool_that_keeps_notes(place: Path) -> Case:
    notes: list[str] = []

    @tool
    def note(text: str) -> str:
        """Keep a note."""
        notes.append(text)
        return "kept"

    @tool
    def read_notes() -> str:
        """Read all notes."""
        return ", ".join(notes)

    async def remember(who: str) -> None:
        note.invoke({"text": who})

    async def recall() -> str:
        return str(read_notes.invoke({}))

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def chain_that_keeps_notes(place: Path) -> Case:
    notes: list[str] = []

    def keep(text: str) -> str:
        notes.append(text)
        return text

    chain = RunnableLambda(str.upper) | RunnableLambda(keep)

    async def remember(who: str) -> None:
        chain.invoke(who)

    async def recall() -> list[str]:
        return list(notes)

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def descriptor_that_counts(place: Path) -> Case:
    class Attempts:
        """A descriptor that counts who looks."""

        number = 0

        def __get__(self, instance: Any, owner: Any) -> int:
            self.number += 1
            return self.number

    class Door:
        attempts = Attempts()

    door = Door()

    async def draw() -> int:
        return door.attempts

    return Case(taking_turns(draw))


class Growing:
    """Iterating it changes it; so does its truth."""

    def __init__(self) -> None:
        self.number = 0

    def __iter__(self) -> Iterator[int]:
        self.number += 1
        return iter([self.number])

    def __len__(self) -> int:
        self.number += 1
        return self.number

    def __str__(self) -> str:
        self.number += 1
        return str(self.number)


@row(TABLE, SHARED)
def object_that_iterating_changes(place: Path) -> Case:
    growing = Growing()

    async def draw() -> list[int]:
        return [*growing]

    return Case(taking_turns(draw))


@row(TABLE, SHARED)
def object_whose_length_changes_it(place: Path) -> Case:
    growing = Growing()

    async def draw() -> int:
        return len(growing)

    return Case(taking_turns(draw))


@row(TABLE, SHARED)
def object_whose_text_changes_it(place: Path) -> Case:
    growing = Growing()

    async def draw() -> str:
        return f"number {growing}"

    return Case(taking_turns(draw))


@row(TABLE, SHARED)
def printed_into_a_buffer(place: Path) -> Case:
    text = io.StringIO()

    async def remember(who: str) -> None:
        print(who, file=text)

    async def recall() -> str:
        return text.getvalue()

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def objects_that_register_themselves(place: Path) -> Case:
    class Item:
        all: ClassVar[list[Any]] = []

        def __init__(self, name: str) -> None:
            self.name = name
            Item.all.append(self)

    async def remember(who: str) -> None:
        Item(who)

    async def recall() -> list[str]:
        return [item.name for item in Item.all]

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def cached_property(place: Path) -> Case:
    numbers = itertools.count(1)

    class Lazy:
        @functools.cached_property
        def number(self) -> int:
            return next(numbers)

    one, two = Lazy(), Lazy()

    def number_of(lazy: Lazy) -> int:
        return lazy.number  # LangGraph itself looks at attributes of what a node names

    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State) -> State:
        await apause("right")
        return {"right": number_of(two)}

    async def after_left(state: State) -> State:
        return {"after_left": number_of(one)}

    return Case(beside(State, [left, after_left], [right]))


@row(TABLE, SHARED)
def array_of_numbers(place: Path) -> Case:
    numbers = array.array("i", [0])

    async def remember(who: str) -> None:
        numbers[0] += len(who)

    async def recall() -> list[int]:
        return numbers.tolist()

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def view_of_bytes(place: Path) -> Case:
    raw = bytearray(2)
    view = memoryview(raw)

    async def remember(who: str) -> None:
        view[len(who) - 4] = 1

    async def recall() -> list[int]:
        return list(raw)

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def chat_history_of_langchain(place: Path) -> Case:
    with warnings.catch_warnings(action="ignore"):
        history = InMemoryChatMessageHistory()

    async def remember(who: str) -> None:
        history.add_user_message(who)

    async def recall() -> list[Any]:
        return [message.content for message in history.messages]

    return Case(quartet(remember, recall))


@row(TABLE, SHARED)
def fake_model_that_answers_in_order(place: Path) -> Case:
    model = FakeListChatModel(responses=["one", "two", "three", "four"])

    async def draw() -> str:
        return str((await model.ainvoke("next?")).text)

    return Case(taking_turns(draw))


@row(TABLE, SHARED)
def model_of_the_app_that_counts(place: Path) -> Case:
    class Counting(BaseChatModel):
        calls: list[str] = []  # noqa: RUF012 - pydantic copies it

        def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
            self.calls.append("call")
            answer = AIMessage(f"call {len(self.calls)}", id="m")
            return ChatResult(generations=[ChatGeneration(message=answer)])

        @property
        def _llm_type(self) -> str:
            return "counting"

    model = Counting()

    async def draw() -> str:
        return str((await model.ainvoke("next?")).text)

    return Case(taking_turns(draw))
