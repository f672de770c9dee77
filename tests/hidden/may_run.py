"""Rows that must run ahead: they share something that nobody changes."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import importlib
import json
import logging
import math
import operator
import os
import random
import re
import sqlite3
import string
import sys
import textwrap
import threading
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypedDict

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.config import get_config, get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import StreamWriter
from pydantic import BaseModel

from langgraph_alto.testing import FakeChatModel, FakeEngine, FakeRetriever, RealClock
from tests.hidden.kit import Case, Saw, State, Table, beside, next_round, rounds, row
from tests.hidden.waiting import apause

TABLE: Table = {}


def sharing(use: Any, **compiled: Any) -> Any:
    """All four nodes use one thing."""

    async def left(state: State) -> State:
        await apause("left")
        return {"left": await use("left")}

    async def right(state: State) -> State:
        await apause("right")
        return {"right": await use("right")}

    async def after_left(state: State) -> State:
        return {"after_left": [state["left"], await use("after left")]}

    async def after_right(state: State) -> State:
        return {"after_right": [state["right"], await use("after right")]}

    return beside(State, [left, after_left], [right, after_right], **compiled)


PRICES = {"left": 1, "right": 2, "after left": 3, "after right": 4}


@row(TABLE, runs_ahead=1)
def dict_of_a_module(place: Path) -> Case:
    async def use(who: str) -> int:
        return PRICES[who]

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def list_in_a_closure(place: Path) -> Case:
    names = ["left", "right", "after left", "after right"]

    async def use(who: str) -> list[str]:
        return [name for name in names if name != who]

    return Case(sharing(use))


RATES = [0.1, 0.2, 0.3]


@row(TABLE, runs_ahead=1)
def table_handed_to_sum(place: Path) -> Case:
    async def use(who: str) -> float:
        return sum(RATES) + max(RATES) + len(sorted(RATES))

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def compiled_pattern(place: Path) -> Case:
    pattern = re.compile(r"\b(\w)(\w*)")

    async def use(who: str) -> str:
        return pattern.sub(lambda found: found.group(1).upper() + found.group(2), who)

    return Case(sharing(use))


LOG = logging.getLogger("may_run")


@row(TABLE, runs_ahead=1)
def logger(place: Path) -> Case:
    async def use(who: str) -> str:
        LOG.debug("%s is at work", who)
        LOG.info("again")
        return who

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def configuration(place: Path) -> Case:
    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State) -> State:
        await apause("right")
        return {"right": "done"}

    async def after_left(state: State, config: RunnableConfig) -> State:
        return {"after_left": config["configurable"]["name"]}

    async def after_right(state: State, config: RunnableConfig) -> State:
        return {"after_right": config.get("configurable", {}).get("name")}

    graph = beside(State, [left, after_left], [right, after_right])
    return Case(graph, config={"configurable": {"name": "Ada"}})


@row(TABLE, runs_ahead=1)
def ambient_configuration(place: Path) -> Case:
    async def use(who: str) -> Any:
        return [who, get_config()["configurable"]["name"]]

    return Case(sharing(use), config={"configurable": {"name": "Ada"}})


class Settings(TypedDict):
    name: str


@dataclass
class Desk:
    name: str


@row(TABLE, runs_ahead=1)
def context_of_the_runtime(place: Path) -> Case:
    async def left(state: State, runtime: Runtime[Settings]) -> State:
        await apause("left")
        return {"left": runtime.context["name"]}

    async def right(state: State) -> State:
        await apause("right")
        return {"right": "done"}

    async def after_left(state: State, runtime: Runtime[Settings]) -> State:
        return {"after_left": runtime.context["name"]}

    async def after_right(state: State, runtime: Runtime[Settings]) -> State:
        return {"after_right": [runtime.context["name"], runtime.context.get("more")]}

    graph = beside(State, [left, after_left], [right, after_right], context_schema=Settings)
    return Case(graph, context={"name": "Ada"})


@row(TABLE, runs_ahead=1)
def context_that_is_a_dataclass(place: Path) -> Case:
    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State) -> State:
        await apause("right")
        return {"right": "done"}

    async def after_left(state: State, runtime: Runtime[Desk]) -> State:
        return {"after_left": runtime.context.name}

    async def after_right(state: State, runtime: Runtime[Desk]) -> State:
        return {"after_right": runtime.context.name.upper()}

    graph = beside(State, [left, after_left], [right, after_right], context_schema=Desk)
    return Case(graph, context=Desk("Ada"))


@row(TABLE, runs_ahead=1)
def ambient_stream_writer(place: Path) -> Case:
    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State) -> State:
        await apause("right")
        return {"right": "done"}

    async def after_left(state: State) -> State:
        get_stream_writer()({"from": "after left"})
        return {"after_left": "done"}

    async def after_right(state: State) -> State:
        return {"after_right": state["right"]}

    return Case(beside(State, [left, after_left], [right, after_right]))


@row(TABLE, runs_ahead=1)
def injected_stream_writer(place: Path) -> Case:
    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State) -> State:
        await apause("right")
        return {"right": "done"}

    async def after_left(state: State, writer: StreamWriter) -> State:
        for number in range(3):
            writer({"number": number})
        return {"after_left": "done"}

    async def after_right(state: State) -> State:
        return {"after_right": state["right"]}

    return Case(beside(State, [left, after_left], [right, after_right]))


@row(TABLE, runs_ahead=1)
def chat_model(place: Path) -> Case:
    model = FakeChatModel(engine=FakeEngine(clock=RealClock(speed=1e6)))

    async def use(who: str) -> str:
        return str((await model.ainvoke(f"What does {who} say?")).text)

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def chain_with_a_chat_model(place: Path) -> Case:
    model = FakeChatModel(engine=FakeEngine(clock=RealClock(speed=1e6)))
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{question}")])
    chain = prompt | model | StrOutputParser()

    async def use(who: str) -> str:
        return str(await chain.ainvoke({"question": f"What does {who} say?"}))

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def retriever(place: Path) -> Case:
    documents = [Document("The left one is fast."), Document("The right one is slow.")]
    found = FakeRetriever(documents=documents, k=1, clock=RealClock(speed=1e6))

    async def use(who: str) -> list[str]:
        return [document.page_content for document in await found.ainvoke(who)]

    return Case(sharing(use))


class Tokenizer:
    """As tokenizers are: a vocabulary that is built once, and methods that read it."""

    PATTERN: ClassVar[re.Pattern[str]] = re.compile(r"\w+")

    def __init__(self, words: list[str]) -> None:
        self.numbers = {word: number for number, word in enumerate(words)}
        self.words = {number: word for word, number in self.numbers.items()}
        self.unknown = len(words)

    @property
    def size(self) -> int:
        return len(self.numbers) + 1

    def encode(self, text: str) -> list[int]:
        return [self._number(word) for word in self.PATTERN.findall(text)]

    def decode(self, numbers: list[int]) -> str:
        return " ".join(self.words.get(number, "?") for number in numbers)

    def _number(self, word: str) -> int:
        return self.numbers.get(word, self.unknown)

    def __len__(self) -> int:
        return self.size


@row(TABLE, runs_ahead=1)
def tokenizer(place: Path) -> Case:
    tokens = Tokenizer(["left", "after", "is", "at", "work"])

    async def use(who: str) -> Any:
        numbers = tokens.encode(f"{who} is at work")
        return [numbers, tokens.decode(numbers), tokens.size, len(tokens)]

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def json_of_the_input(place: Path) -> Case:
    async def left(state: State) -> State:
        await apause("left")
        return {"left": {"name": "left", "numbers": [1, 2]}}

    async def right(state: State) -> State:
        await apause("right")
        return {"right": {"name": "right"}}

    async def after_left(state: State) -> State:
        return {"after_left": json.dumps(state["left"], sort_keys=True)}

    async def after_right(state: State) -> State:
        return {"after_right": json.loads(json.dumps(state["right"]))}

    return Case(beside(State, [left, after_left], [right, after_right]))


@dataclass(frozen=True)
class Limits:
    most: int = 5
    names: tuple[str, ...] = ("left", "right")


LIMITS = Limits()


@row(TABLE, runs_ahead=1)
def frozen_dataclass(place: Path) -> Case:
    async def use(who: str) -> Any:
        wider = dataclasses.replace(LIMITS, most=LIMITS.most + len(who))
        return [who in LIMITS.names, wider.most]

    return Case(sharing(use))


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


@row(TABLE, runs_ahead=1)
def enumeration(place: Path) -> Case:
    async def use(who: str) -> Any:
        level = Level.HIGH if len(who) > 5 else Level["LOW"]
        return [level.value, Level(1).name, [each.name for each in Level]]

    return Case(sharing(use))


Point = collections.namedtuple("Point", "x y")
ORIGIN = Point(0, 0)


@row(TABLE, runs_ahead=1)
def named_tuple_and_proxy(place: Path) -> Case:
    table = MappingProxyType({"left": 1})

    async def use(who: str) -> Any:
        return [ORIGIN._replace(x=len(who)).x, table.get(who, 0)]

    return Case(sharing(use))


class Options(BaseModel):
    limit: int = 3
    names: list[str] = ["left"]


OPTIONS = Options()


@row(TABLE, runs_ahead=1)
def pydantic_settings(place: Path) -> Case:
    async def use(who: str) -> Any:
        return [OPTIONS.limit, who in OPTIONS.names, OPTIONS.model_dump()["limit"]]

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def plain_functions_of_modules(place: Path) -> Case:
    template = string.Template("$who is at work")

    async def use(who: str) -> Any:
        text = textwrap.fill(template.substitute(who=who), 8)
        return [text, math.ceil(len(text) / 3), date(2026, 1, 2).isoformat()]

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def partial_and_reduce(place: Path) -> Case:
    numbers = (1, 2, 3)
    power = functools.partial(pow, mod=7)

    async def use(who: str) -> Any:
        return [power(len(who), 2), functools.reduce(lambda a, b: a * b, numbers, 1)]

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def tool_that_computes(place: Path) -> Case:
    @tool
    def double(number: int) -> int:
        """Double a number."""
        return number * 2

    async def use(who: str) -> Any:
        return await double.ainvoke({"number": len(who)})

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def lock_around_what_nobody_changes(place: Path) -> Case:
    lock = threading.Lock()

    async def use(who: str) -> int:
        with lock:
            return PRICES[who]

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def objects_made_inside_the_body(place: Path) -> Case:
    async def use(who: str) -> Any:
        tokens = Tokenizer(["left", "right"])
        seen: dict[str, int] = {}
        for number in tokens.encode(who):
            seen[str(number)] = seen.get(str(number), 0) + 1
        names: list[str] = []
        names.append(who)
        return [seen, names, collections.Counter(who).most_common(1)]

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def tasks_of_one_node_that_share_a_table(place: Path) -> Case:
    async def work(arg: Any) -> Any:
        await apause(arg["who"])
        return next_round(arg, PRICES[arg["who"]] * arg["round"])

    return Case(rounds(work, Saw))


@row(TABLE, runs_ahead=1)
def subgraph_that_computes(place: Path) -> Case:
    class Inside(TypedDict, total=False):
        left: Any
        after_left: Any

    async def inside(state: Inside) -> Inside:
        return {"after_left": f"{state['left']} and {PRICES['left']}"}

    inner = StateGraph(Inside)
    inner.add_node("inside", inside)
    inner.add_edge(START, "inside")
    subgraph = inner.compile(name="after_left")

    async def left(state: State) -> State:
        await apause("left")
        return {"left": "done"}

    async def right(state: State) -> State:
        await apause("right")
        return {"right": "done"}

    async def after_right(state: State) -> State:
        return {"after_right": state["right"]}

    return Case(beside(State, [left, subgraph], [right, after_right]))


@row(TABLE, runs_ahead=1)
def file_that_is_only_read(place: Path) -> Case:
    file = place / "text.txt"
    file.write_text("some text")

    async def use(who: str) -> Any:
        text = (file.parent / "text.txt").read_text().replace("some", who)
        with open(file) as opened:
            return [text, opened.readline().strip(), file.with_suffix(".md").name]

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def database_that_is_only_read(place: Path) -> Case:
    file = place / "prices.db"
    with sqlite3.connect(file) as connection:
        connection.execute("create table prices (name text, price integer)")
        connection.execute("insert into prices values ('left', 1)")
    connection.close()

    async def use(who: str) -> Any:
        opened = sqlite3.connect(file)
        try:
            return opened.execute("select price from prices where name = ?", (who,)).fetchall()
        finally:
            opened.close()

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def environment_that_is_only_read(place: Path) -> Case:
    async def use(who: str) -> Any:
        return [os.environ.get("ALTO_NO_SUCH_VARIABLE", who), bool(os.getcwd())]

    return Case(sharing(use))


class Price:
    """A value with everything that Python calls by itself, and that changes nothing."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __str__(self) -> str:
        return f"{self.cents / 100:.2f}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Price) and self.cents == other.cents

    def __lt__(self, other: Price) -> bool:
        return self.cents < other.cents

    def __add__(self, other: Price) -> Price:
        return Price(self.cents + other.cents)

    def __hash__(self) -> int:
        return hash(self.cents)

    def __bool__(self) -> bool:
        return self.cents > 0


CHEAP, DEAR = Price(100), Price(900)


@row(TABLE, runs_ahead=1)
def object_with_operators(place: Path) -> Case:
    async def use(who: str) -> Any:
        total = CHEAP + DEAR
        return [f"{total}", total > CHEAP, CHEAP == DEAR, bool(CHEAP), str(max(CHEAP, DEAR))]

    return Case(sharing(use))


class Field:
    """A descriptor that computes."""

    def __get__(self, instance: Any, owner: Any) -> str:
        return f"field of {owner.__name__}"


class Form:
    field = Field()


@row(TABLE, runs_ahead=1)
def descriptor_that_computes(place: Path) -> Case:
    form = Form()

    async def use(who: str) -> Any:
        return [form.field, getattr(form, "fie" + "ld", None)]

    return Case(sharing(use))


@functools.cache
def squared(number: int) -> int:
    return number * number


@row(TABLE, runs_ahead=1)
def cache_of_what_is_computed(place: Path) -> Case:
    async def use(who: str) -> Any:
        return squared(len(who))

    return Case(sharing(use))


@functools.singledispatch
def shown(thing: Any) -> str:
    return "a thing"


@shown.register
def shown_text(thing: str) -> str:
    return f"text {thing}"


@row(TABLE, runs_ahead=1)
def dispatched_function_that_computes(place: Path) -> Case:
    async def use(who: str) -> Any:
        return [shown(who), shown(1)]

    return Case(sharing(use))


ROWS = [{"name": "left", "price": 2}, {"name": "right", "price": 1}]


@row(TABLE, runs_ahead=1)
def getters_over_a_table(place: Path) -> Case:
    by_price = operator.itemgetter("price")

    async def use(who: str) -> Any:
        cheapest = min(ROWS, key=by_price)
        names = list(map(operator.itemgetter("name"), sorted(ROWS, key=by_price)))
        return [cheapest["name"], names, operator.methodcaller("upper")(who)]

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def defaults_of_dicts(place: Path) -> Case:
    known: collections.defaultdict[str, int] = collections.defaultdict(int, left=1)
    both = collections.ChainMap({"left": 3}, PRICES)

    async def use(who: str) -> Any:
        return [known.get(who), known["left"], who in known, both[who]]

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def errors_that_are_handled(place: Path) -> Case:
    class NotThere(Exception):
        def __init__(self, who: str) -> None:
            super().__init__(f"{who} is not there")
            self.who = who

    def find(who: str) -> int:
        if who not in ("left", "right"):
            raise NotThere(who)
        return PRICES[who]

    async def use(who: str) -> Any:
        try:
            return find(who)
        except NotThere as error:
            return [str(error), error.who]

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def class_of_the_body(place: Path) -> Case:
    async def use(who: str) -> Any:
        @dataclass
        class Seat:
            name: str
            row: int = 1

            @property
            def label(self) -> str:
                return f"{self.name} {self.row}"

        seats = [Seat(who), Seat(who, 2)]
        seats.sort(key=lambda seat: -seat.row)
        return [seat.label for seat in seats]

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def printing_and_timing(place: Path) -> Case:
    async def use(who: str) -> Any:
        began = time.perf_counter()
        print(who, file=sys.stderr)
        return time.perf_counter() >= began

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def random_number(place: Path) -> Case:
    async def use(who: str) -> Any:
        return 0 <= random.random() < 1

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def module_found_by_name(place: Path) -> Case:
    async def use(who: str) -> Any:
        return importlib.import_module("json").dumps([who])

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def structured_output_of_a_model(place: Path) -> Case:
    class Verdict(BaseModel):
        holds: bool
        why: str

    model = FakeChatModel(engine=FakeEngine(clock=RealClock(speed=1e6)))
    judge = model.with_structured_output(Verdict)

    async def use(who: str) -> Any:
        return (await judge.ainvoke(f"Does {who} hold?")).model_dump()

    return Case(sharing(use))


@row(TABLE, runs_ahead=1)
def messages_of_the_state(place: Path) -> Case:
    class Chat(MessagesState, total=False):
        right: Any
        after_left: Any
        after_right: Any

    async def left(state: Chat) -> Any:
        await apause("left")
        return {"messages": [AIMessage("left", id="m2")]}

    async def right(state: Chat) -> Any:
        await apause("right")
        return {"right": "done"}

    async def after_left(state: Chat) -> Any:
        last = state["messages"][-1]
        return {"after_left": [last.content, len(state["messages"]), last.model_copy().text]}

    async def after_right(state: Chat) -> Any:
        return {"after_right": state["right"]}

    graph = beside(Chat, [left, after_left], [right, after_right])
    return Case(graph, {"messages": [HumanMessage("begin", id="m1")]})
