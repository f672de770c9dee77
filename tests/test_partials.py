"""`Options(partials=True)`: partial outputs with their ancestry in the `custom` stream.

Asynchronous graphs run on a virtual clock. What ALTO adds is compared over all `run_ahead`
modes: it must not tell which bodies ran ahead. Without it every stream is LangGraph's.
"""

from __future__ import annotations

import asyncio
import operator
import threading
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langchain_core.runnables.utils import AddableDict
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, RetryPolicy, Send, interrupt

from langgraph_alto import Options, RunReport, accelerate, record
from langgraph_alto._langgraph import lineage, members, partials
from langgraph_alto.core.ancestry import AncestryTree, IllegalEvent
from langgraph_alto.testing import VirtualClock
from tests.helpers.leaks import quick_gc, references

MODES = ["custom", "updates", "values"]
AHEAD: dict[str, Any] = {"alto": {"effects": "idempotent"}}

Build = Callable[[], Any]


class State(TypedDict, total=False):
    items: Annotated[list[Any], operator.add]
    subs: Annotated[list[Any], operator.add]
    done: Annotated[list[Any], operator.add]
    text: str
    turn: int


class Outcome:
    """How a run went: its chunks with the times at which they came, its error, its report."""

    def __init__(
        self,
        graph: Any,
        input: Any = None,
        config: Any = None,
        *,
        modes: Sequence[str] = MODES,
        subgraphs: bool = True,
        is_resumed: bool = False,
    ) -> None:
        self.chunks: list[tuple[str, Any]] = []
        self.namespaces: list[tuple[str, ...]] = []
        self.times: list[float] = []
        self.error: str | None = None
        clock = VirtualClock()

        async def run() -> None:
            try:
                async for chunk in graph.astream(
                    {"done": []} if input is None and not is_resumed else input,
                    config,
                    stream_mode=modes,
                    subgraphs=subgraphs,
                ):
                    self.namespaces.append(chunk[0] if subgraphs else ())
                    self.chunks.append(chunk[-2:])
                    self.times.append(round(clock.now(), 3))
            except Exception as error:
                self.error = f"{type(error).__name__}: {error}"
            self.seconds = clock.now()

        with record() as reports:
            clock.run(run())
        self.report = reports[0] if reports else RunReport("none")

    @property
    def own(self) -> list[tuple[str, Any]]:
        """The chunks that LangGraph would give."""
        return [chunk for chunk in self.chunks if not is_added(chunk)]

    @property
    def added(self) -> list[str]:
        """What ALTO added, in short."""
        return [in_short(chunk) for _, chunk in filter(is_added, self.chunks)]

    @property
    def order(self) -> list[Any]:
        """All chunks, what ALTO added in short."""
        return [in_short(c[1]) if is_added(c) else c for c in self.chunks]


def is_added(chunk: tuple[str, Any]) -> bool:
    mode, data = chunk
    return mode == "custom" and isinstance(data, dict) and "alto." in str(data.get("type"))


def in_short(chunk: Any) -> str:
    path = str(chunk["path"]).removeprefix("request / ")
    match chunk["type"]:
        case partials.PARTIAL:
            return f"{path} {'=' if chunk['settled'] else '~'} {chunk['value']}"
        case partials.COMPLETE:
            return f"{path} has {chunk['items']}"
        case _:
            return f"not {path}"


def everywhere(build: Build, input: Any = None, error: str | None = None) -> Outcome:
    """Run a graph in all modes: LangGraph's chunks everywhere, the same ones added everywhere."""
    langgraph = Outcome(build().compile(), input)
    assert (langgraph.error or "").partition(":")[0] == (error or "")
    silent = Outcome(accelerate(build().compile()), input)
    assert (silent.chunks, silent.error) == (langgraph.chunks, langgraph.error)
    shown = {}
    for mode in ("off", "certain", "streamed", "speculative"):
        options = Options(partials=True, run_ahead=mode)
        shown[mode] = Outcome(accelerate(build().compile(), options=options), input)
        assert shown[mode].error == langgraph.error
        assert shown[mode].own == langgraph.chunks
        assert shown[mode].order == shown["off"].order
    return shown["streamed"]


def generator(key: str, values: Sequence[Any], seconds: float = 1.0) -> Callable[..., Any]:
    """A body that yields one element at a time."""

    async def body(state: Any) -> Any:
        for value in values:
            await asyncio.sleep(seconds)
            yield AddableDict({key: [value]})

    return body


async def work(arg: dict[str, Any]) -> Any:
    # No two end at the same time: there LangGraph has no order of its own.
    await asyncio.sleep(10 + sum(n * ord(c) for n, c in enumerate(arg["item"], 1)) / 100)
    return {"done": [arg["item"]]}


async def join(state: State) -> Any:
    return {"text": "".join(state["done"])}


def each(key: str, node: str) -> Callable[[Any], list[Send]]:
    return lambda state: [Send(node, {"item": item}) for item in state[key]]


class Section(TypedDict, total=False):
    """The state of a subgraph; only `done` is told to the graph around it."""

    item: str
    subs: Annotated[list[Any], operator.add]
    done: Annotated[list[Any], operator.add]


class Done(TypedDict):
    done: Annotated[list[Any], operator.add]


def each_section(state: State) -> list[Send]:
    return [Send("section", {"item": item, "subs": []}) for item in state["items"]]


def section_graph() -> Any:
    """search gives two queries for the section; each is a task."""

    async def search(state: Section) -> Any:
        for query in "xy":
            await asyncio.sleep(1 + ord(state["item"]) / 100)
            yield AddableDict(subs=[state["item"] + query])

    builder = StateGraph(Section, output_schema=Done)
    builder.add_node("search", search, metadata=AHEAD)
    builder.add_node("work", work, metadata=AHEAD)
    builder.add_edge(START, "search")
    builder.add_conditional_edges("search", each("subs", "work"), ["work"])
    return builder.compile()


def graph(**nodes: Any) -> Any:
    builder = StateGraph(State)
    for name, body in nodes.items():
        builder.add_node(name, body, metadata=AHEAD)
    return builder


def one_level() -> Any:
    builder = graph(plan=generator("items", "abc"), work=work, join=join)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", each("items", "work"), ["work"])
    builder.add_edge("work", "join")
    return builder


class TestPaths:
    def test_one_level(self) -> None:
        shown = everywhere(one_level)
        assert shown.added == [
            "plan.items[0] = a",
            "plan.items[1] = b",
            "plan.items[2] = c",
            "plan.items[] has 3",
        ]
        assert shown.report.adopted == 3
        assert shown.seconds == pytest.approx(13.99, abs=0.001)

    def test_a_whole_chunk(self) -> None:
        shown = everywhere(one_level)
        customs = [data for mode, data in shown.chunks if mode == "custom"]
        assert customs[1] == {
            "type": "alto.partial",
            "path": "request / plan.items[1]",
            "node": "plan",
            "key": "items",
            "index": 1,
            "value": "b",
            "settled": True,
        }
        assert customs[-1] == {
            "type": "alto.complete",
            "path": "request / plan.items[]",
            "node": "plan",
            "key": "items",
            "items": 3,
        }

    def test_it_comes_when_it_is_yielded(self) -> None:
        shown = everywhere(one_level)
        at = [
            time for time, chunk in zip(shown.times, shown.chunks, strict=True) if is_added(chunk)
        ]
        assert at == [1, 2, 3, 13.99]

    def test_nested_levels(self) -> None:
        """Sections are yielded; each yields queries while it runs ahead; each is a task."""

        async def section(arg: dict[str, Any]) -> Any:
            for query in range(2):
                await asyncio.sleep(1 + ord(arg["item"]) / 100)
                yield AddableDict(subs=[f"{arg['item']}{query}"])

        def build() -> Any:
            builder = graph(plan=generator("items", "ab"), section=section, work=work)
            builder.add_edge(START, "plan")
            builder.add_conditional_edges("plan", each("items", "section"), ["section"])
            builder.add_conditional_edges("section", each("subs", "work"), ["work"])
            return builder

        shown = everywhere(build)
        assert shown.added == [
            "plan.items[0] = a",
            "plan.items[1] = b",
            "plan.items[0] / section.subs[0] = a0",
            "plan.items[1] / section.subs[0] = b0",
            "plan.items[0] / section.subs[1] = a1",
            "plan.items[1] / section.subs[1] = b1",
            "plan.items[0] / section.subs[] has 2",
            "plan.items[1] / section.subs[] has 2",
            "plan.items[] has 2",
        ]
        assert shown.report.adopted == 6

    def test_a_subgraph_per_item(self) -> None:
        def build() -> Any:
            outer = graph(plan=generator("items", "ab"), section=section_graph())
            outer.add_edge(START, "plan")
            outer.add_conditional_edges("plan", each_section, ["section"])
            return outer

        shown = everywhere(build)
        for item in (0, 1):
            inside = f"plan.items[{item}] / section / search.subs"
            own = [text for text in shown.added if text.startswith(inside)]
            assert own == [
                f"{inside}[0] = {'ab'[item]}x",
                f"{inside}[1] = {'ab'[item]}y",
                f"{inside}[] has 2",
            ]
        assert shown.added[-1] == "plan.items[] has 2"
        assert len(shown.added) == 9

    def test_a_loop(self) -> None:
        """The node's second task is another one, and so are its items."""

        async def write(state: State) -> Any:
            for part in "ab":
                await asyncio.sleep(1)
                yield AddableDict(items=[f"{part}{state['turn']}"])

        async def review(state: State) -> Any:
            return {"turn": state["turn"] + 1}

        def again(state: State) -> Literal["write", "__end__"]:
            return "write" if state["turn"] < 3 else END  # type: ignore[return-value]

        def build() -> Any:
            builder = graph(write=write, review=review)
            builder.add_edge(START, "write")
            builder.add_edge("write", "review")
            builder.add_conditional_edges("review", again)
            return builder

        shown = everywhere(build, {"turn": 1, "items": []})
        assert shown.added == [
            "write.items[0] = a1",
            "write.items[1] = b1",
            "write.items[] has 2",
            "write#2.items[0] = a2",
            "write#2.items[1] = b2",
            "write#2.items[] has 2",
        ]

    def test_two_producers_beside_each_other(self) -> None:
        def build() -> Any:
            builder = graph(
                one=generator("items", "ab", 1.1), two=generator("subs", "xyz", 0.7), work=work
            )
            builder.add_edge(START, "one")
            builder.add_edge(START, "two")
            builder.add_conditional_edges("one", each("items", "work"), ["work"])
            builder.add_conditional_edges("two", each("subs", "work"), ["work"])
            return builder

        shown = everywhere(build)
        assert shown.added == [
            "two.subs[0] = x",
            "one.items[0] = a",
            "two.subs[1] = y",
            "two.subs[2] = z",
            "one.items[1] = b",
            "one.items[] has 2",
            "two.subs[] has 3",
        ]
        assert shown.report.adopted == 5

    def test_a_graph_that_a_body_calls(self) -> None:
        def build() -> Any:
            inner = accelerate(section_graph(), options=Options(partials=True))

            async def outer(state: State) -> Any:
                first = await inner.ainvoke({"item": "a", "subs": [], "done": []})
                second = await inner.ainvoke({"item": "b", "subs": [], "done": []})
                return {"done": [*first["done"], *second["done"]]}

            builder = graph(outer=outer)
            builder.add_edge(START, "outer")
            return builder

        options = Options(partials=True)
        shown = Outcome(accelerate(build().compile(), options=options))
        assert shown.added == [
            "outer / search.subs[0] = ax",
            "outer / search.subs[1] = ay",
            "outer / search.subs[] has 2",
            "outer / search#2.subs[0] = bx",
            "outer / search#2.subs[1] = by",
            "outer / search#2.subs[] has 2",
        ]

    def test_ordinary_functions_have_levels_too(self) -> None:
        """Routers of the start, and `Send`s in a `Command`: their tasks end levels."""

        async def plan(state: State) -> Command[Literal["work"]]:
            goto = [Send("work", {"item": f"{state['items'][0]}{n}"}) for n in range(2)]
            return Command(update={"subs": ["x", "y"]}, goto=goto)

        def build() -> Any:
            builder = graph(plan=plan, work=work)
            builder.add_conditional_edges(
                START,
                lambda state: [Send("plan", {"items": [i]}) for i in state["items"]],
                ["plan"],
            )
            return builder

        shown = everywhere(build, {"items": ["a", "b"]})
        assert shown.added == [
            "__start__.items[0] / plan.subs[] has 2",
            "__start__.items[1] / plan.subs[] has 2",
            "__start__.items[] has 2",
        ]

    def test_a_router_that_leaves_some_out(self) -> None:
        """A task descends from the element that its `Send` was made from, not from the n-th."""

        def some(state: State) -> list[Send]:
            return [Send("section", {"item": i, "subs": []}) for i in state["items"] if i != "b"]

        def build() -> Any:
            builder = graph(plan=generator("items", ["a", "b", "c"]), section=section_graph())
            builder.add_edge(START, "plan")
            builder.add_conditional_edges("plan", some, ["section"])
            return builder

        shown = everywhere(build)
        third = [text for text in shown.added if text.startswith("plan.items[2] / ")]
        assert third[0] == "plan.items[2] / section / search.subs[0] = cx"
        assert not any(text.startswith("plan.items[1] /") for text in shown.added)
        assert shown.added[-1] == "plan.items[] has 3"

    def test_a_send_to_a_node_that_there_is_not(self) -> None:
        def router(state: State) -> list[Send]:
            return [Send("nobody" if i == "b" else "work", {"item": i}) for i in state["items"]]

        def build() -> Any:
            builder = graph(plan=generator("items", "abc"), work=work)
            builder.add_edge(START, "plan")
            builder.add_conditional_edges("plan", router)
            return builder

        with pytest.warns(UserWarning, match="Node 'plan' wrote or led to 'nobody'"):
            shown = everywhere(build)
        assert shown.added[-1] == "plan.items[] has 3"
        assert shown.times[-1] == pytest.approx(13.99, abs=0.001)


class TestValues:
    def of(self, *chunks: Any, error: str | None = None) -> list[str]:
        async def produce(state: State) -> Any:
            for chunk in chunks:
                await asyncio.sleep(1)
                yield chunk

        def build() -> Any:
            builder = graph(produce=produce)
            builder.add_edge(START, "produce")
            return builder

        return everywhere(build, error=error).added

    def test_text_comes_in_pieces(self) -> None:
        pieces = [AddableDict(text=piece) for piece in ("To be", ", or not", " to be")]
        assert self.of(*pieces) == [
            "produce.text = To be",
            "produce.text = , or not",
            "produce.text =  to be",
            "produce.text has 1",
        ]

    def test_several_keys_at_once(self) -> None:
        assert self.of(AddableDict(items=["a", "b"], text="x", unknown=[1]), {"items": ["c"]}) == [
            "produce.items[0] = a",
            "produce.items[1] = b",
            "produce.text = x",
            "produce.items[2] = c",  # what comes after an addable chunk adds to it
            "produce.items[] has 3",
            "produce.text has 1",
        ]

    def test_drafts(self) -> None:
        """Of plain dicts the last one counts, so none of them is settled."""
        assert self.of({"items": ["a"], "text": "x"}, {"items": ["a", "b"]}) == [
            "produce.items ~ ['a']",
            "produce.text ~ x",
            "not produce.text",
            "produce.items ~ ['a', 'b']",
        ]

    def test_a_draft_to_which_something_is_added(self) -> None:
        """LangChain adds an addable chunk to a plain one: then that counts too."""
        assert self.of({"items": ["a"]}, AddableDict(items=["b"])) == [
            "produce.items ~ ['a']",
            "not produce.items",
            "produce.items[0] = a",
            "produce.items[1] = b",
            "produce.items[] has 2",
        ]

    def test_what_cannot_be_added_replaces_everything(self) -> None:
        assert self.of(AddableDict(text="x", items=["a"]), AddableDict(text=["y"])) == [
            "produce.text = x",
            "produce.items[0] = a",
            "not produce.items[0]",
            "not produce.text",
            "produce.text[0] = y",
            "produce.text[] has 1",
        ]

    def test_a_chunk_of_a_wrong_type(self) -> None:
        assert self.of(AddableDict(items=["a"]), 7, error="InvalidUpdateError") == [
            "produce.items[0] = a",
            "not produce.items[0]",
        ]

    def test_nothing(self) -> None:
        assert self.of(None, AddableDict(), AddableDict(items=[]), AddableDict(text=None)) == []


_AGAIN = RetryPolicy(initial_interval=0.5, jitter=False, retry_on=ValueError)


def failing(
    times: int,
    *,
    retry: RetryPolicy | None = _AGAIN,
    **compiled: Any,
) -> Any:
    """plan fails `times` times after two sections; each section gives two queries."""
    attempts = 0

    async def plan(state: State) -> Any:
        nonlocal attempts
        attempts += 1
        for item in "ab":
            await asyncio.sleep(1)
            yield AddableDict(items=[item])
        await asyncio.sleep(5)
        if attempts <= times:
            raise ValueError("no more")

    async def section(arg: dict[str, Any]) -> Any:
        for query in "xy":
            await asyncio.sleep(1 + ord(arg["item"]) / 100)
            yield AddableDict(subs=[arg["item"] + query])

    builder = StateGraph(State)
    builder.add_node("plan", plan, retry_policy=retry, metadata=AHEAD, **compiled)
    builder.add_node("section", section, metadata=AHEAD)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", each("items", "section"), ["section"])
    return builder


TWO = ["plan.items[0] = a", "plan.items[1] = b"]
NOT_TWO = ["not plan.items[1]", "not plan.items[0]"]
ALL = [
    *TWO,
    "plan.items[0] / section.subs[0] = ax",
    "plan.items[1] / section.subs[0] = bx",
    "plan.items[0] / section.subs[1] = ay",
    "plan.items[0] / section.subs[] has 2",
    "plan.items[1] / section.subs[1] = by",
    "plan.items[1] / section.subs[] has 2",
    "plan.items[] has 2",
]


class TestRetractions:
    def test_a_retry(self) -> None:
        shown = everywhere(lambda: failing(1))
        assert shown.added == [*TWO, *NOT_TWO, *ALL]
        assert (shown.report.discarded, shown.report.adopted) == (2, 2)

    def test_a_failure(self) -> None:
        shown = everywhere(lambda: failing(1, retry=None), error="ValueError")
        assert shown.added == [*TWO, *NOT_TWO]

    def test_eager_shows_what_is_retracted_later(self) -> None:
        options = Options(partials=True, emit="eager")
        shown = Outcome(accelerate(failing(1).compile(), options=options))
        queries = {f"plan.items[{n}] / section.subs[{m}]" for n in (0, 1) for m in (0, 1)}
        end = shown.added.index("not plan.items[0]") + 1
        first, second = shown.added[:end], shown.added[end:]
        assert {text.partition(" = ")[0] for text in first if " = " in text} >= queries
        given = [text.partition(" = ")[0] for text in first if " = " in text]
        gone = [text.removeprefix("not ") for text in first if text.startswith("not ")]
        assert sorted(given) == sorted(gone)
        assert sorted(second) == sorted(ALL)
        assert shown.times[0] < shown.seconds

    def test_eager_comes_earlier(self) -> None:
        """A section's queries come while the plan is still made."""
        shown = {}
        for emit in ("ordered", "eager"):
            options = Options(partials=True, emit=emit)
            shown[emit] = Outcome(accelerate(failing(0).compile(), options=options))
        assert sorted(shown["eager"].added) == sorted(shown["ordered"].added)
        text = "plan.items[0] / section.subs[0] = ax"
        at = {emit: found.times[found.order.index(text)] for emit, found in shown.items()}
        assert at == {"eager": pytest.approx(2.97), "ordered": pytest.approx(7)}

    def test_an_error_handler_takes_over(self) -> None:
        async def rescue(state: State) -> Any:
            return Command(update={"subs": ["r"]}, goto=[Send("work", {"item": "r"})])

        def build() -> Any:
            builder = failing(1, retry=None, error_handler=rescue)
            builder.add_node("work", work, metadata=AHEAD)
            return builder

        shown = everywhere(build)
        assert shown.added[:4] == [*TWO, *NOT_TWO]

    def test_a_retry_of_what_runs_a_graph(self) -> None:
        def build() -> Any:
            inner = accelerate(section_graph(), options=Options(partials=True))
            attempts = 0

            async def outer(state: State) -> Any:
                nonlocal attempts
                attempts += 1
                found = await inner.ainvoke({"item": "a", "subs": [], "done": []})
                if attempts == 1:
                    raise ValueError("again")
                return {"done": found["done"]}

            builder = StateGraph(State)
            policy = RetryPolicy(initial_interval=0.5, jitter=False, retry_on=ValueError)
            builder.add_node("outer", outer, retry_policy=policy)
            builder.add_edge(START, "outer")
            return builder

        shown = Outcome(accelerate(build().compile(), options=Options(partials=True)))
        given = ["outer / search.subs[0] = ax", "outer / search.subs[1] = ay"]
        gone = ["not outer / search.subs[1]", "not outer / search.subs[0]"]
        end = "outer / search.subs[] has 2"
        assert shown.added == [*given, end, *gone, *given, end]
        at = [
            ns for ns, chunk in zip(shown.namespaces, shown.chunks, strict=True) if is_added(chunk)
        ]
        assert {ns[0].partition(":")[0] for ns in at} == {"outer"}
        assert at[3:5] == at[:2] != at[5:7]  # LangGraph numbers the graphs that a task runs

    def test_an_interrupt_runs_the_node_again(self) -> None:
        async def plan(state: State) -> Any:
            yield AddableDict(items=["a"])
            yield AddableDict(items=[interrupt("which?")])

        builder = graph(plan=plan, work=work)
        builder.add_edge(START, "plan")
        builder.add_conditional_edges("plan", each("items", "work"), ["work"])
        app = accelerate(
            builder.compile(checkpointer=InMemorySaver()), options=Options(partials=True)
        )
        config = {"configurable": {"thread_id": "t"}}
        first = Outcome(app, config=config)
        assert first.added == ["plan.items[0] = a", "not plan.items[0]"]
        second = Outcome(app, Command(resume="b"), config)
        assert second.added == [*TWO, "plan.items[] has 2"]


class TestSynchronous:
    def shown(self, builder: Any, **options: Any) -> list[tuple[str, Any]]:
        app = accelerate(builder.compile(), options=Options(partials=True, **options))
        stream = app.stream({"done": []}, stream_mode=MODES, subgraphs=True)
        return [chunk[-2:] for chunk in stream]

    def nested(self, is_ahead: threading.Event | None = None) -> Any:
        """plan gives sections, each of which gives queries. With `is_ahead`, plan waits for one."""

        def plan(state: State) -> Any:
            for item in "abc":
                yield AddableDict(items=[item])
            if is_ahead is not None:
                assert is_ahead.wait(30)

        def section(arg: dict[str, Any]) -> Any:
            for query in "xy":
                yield AddableDict(subs=[arg["item"] + query])
            if is_ahead is not None:
                is_ahead.set()

        builder = graph(plan=plan, section=section)
        builder.add_edge(START, "plan")
        builder.add_conditional_edges("plan", each("items", "section"), ["section"])
        return builder

    @pytest.mark.parametrize("emit", ["ordered", "eager"])
    def test_nested_levels_whose_tasks_run_ahead(self, emit: Any) -> None:
        chunks = self.shown(self.nested(threading.Event()), emit=emit)
        added = [in_short(data) for _, data in filter(is_added, chunks)]
        assert [t for t in added if " / " not in t] == [
            *(f"plan.items[{n}] = {item}" for n, item in enumerate("abc")),
            "plan.items[] has 3",
        ]
        assert added[-1] == "plan.items[] has 3"
        for number, item in enumerate("abc"):
            path = f"plan.items[{number}] / section.subs"
            own = [text for text in added if text.startswith(path)]
            assert own == [f"{path}[0] = {item}x", f"{path}[1] = {item}y", f"{path}[] has 2"]

    @pytest.mark.parametrize("mode", ["off", "certain", "streamed"])
    def test_in_every_mode(self, mode: Any) -> None:
        chunks = self.shown(self.nested(), run_ahead=mode)
        added = sorted(in_short(data) for _, data in filter(is_added, chunks))
        assert len(added) == len(set(added)) == 3 + 6 + 3 + 1
        own = [chunk for chunk in chunks if not is_added(chunk)]
        expected = self.nested().compile().stream({"done": []}, stream_mode=MODES)
        assert sorted(map(repr, own)) == sorted(map(repr, expected))

    def test_nothing_is_seen_of_it_before_its_turn(self) -> None:
        """A section's output comes after the plan's update, though it was there before."""
        chunks = self.shown(self.nested(threading.Event()))
        texts = [in_short(c[1]) if is_added(c) else c[0] for c in chunks]
        plan_is_over = texts.index("updates")
        assert all(" / " not in text for text in texts[:plan_is_over])

    def test_a_retry(self) -> None:
        attempts: list[int] = []

        def plan(state: State) -> Any:
            attempts.append(1)
            yield AddableDict(items=["a"])
            if len(attempts) == 1:
                raise ValueError("again")

        builder = StateGraph(State)
        policy = RetryPolicy(initial_interval=0.001, jitter=False, retry_on=ValueError)
        builder.add_node("plan", plan, retry_policy=policy)
        builder.add_edge(START, "plan")
        added = [in_short(data) for _, data in filter(is_added, self.shown(builder))]
        given = "plan.items[0] = a"
        assert added == [given, "not plan.items[0]", given, "plan.items[] has 1"]

    def test_a_sync_generator_in_an_async_run(self) -> None:
        shown = Outcome(accelerate(self.nested().compile(), options=Options(partials=True)))
        assert len(shown.added) == len(set(shown.added)) == 3 + 6 + 3 + 1
        assert shown.added[-1] == "plan.items[] has 3"


class TestWhereItIsShown:
    def test_only_in_the_custom_stream(self, families: list[members.Family]) -> None:
        options = Options(partials=True)
        for modes in (["updates"], ["values", "tasks"]):
            expected = Outcome(one_level().compile(), modes=modes).chunks
            app = accelerate(one_level().compile(), options=options)
            found = Outcome(app, modes=modes).chunks
            if "tasks" not in modes:
                assert found == expected
            assert not any(map(is_added, found))
        assert families == []  # nobody listens, so nothing is noted

    def test_off_by_default(self, families: list[members.Family]) -> None:
        for build in (one_level, lambda: failing(1)):
            found = Outcome(accelerate(build().compile()))
            assert found.chunks == Outcome(build().compile()).chunks
        assert families == []

    def outer(self, section: Any) -> Any:
        builder = graph(plan=generator("items", "ab"), section=section)
        builder.add_edge(START, "plan")
        builder.add_conditional_edges("plan", each_section, ["section"])
        return accelerate(builder.compile(), options=Options(partials=True))

    def test_a_subgraphs_chunks_have_its_namespace(self) -> None:
        shown = Outcome(self.outer(section_graph()))
        inside = [
            ns
            for ns, chunk in zip(shown.namespaces, shown.chunks, strict=True)
            if is_added(chunk) and " / " in str(chunk[1]["path"]).removeprefix("request / ")
        ]
        assert len(inside) == 6
        assert {ns[0].partition(":")[0] for ns in inside} == {"section"}
        assert len(set(inside)) == 2

    def test_without_subgraphs(self) -> None:
        shown = Outcome(self.outer(section_graph()), subgraphs=False)
        assert shown.added == [*TWO, "plan.items[] has 2"]
        assert shown.times[-1] == shown.seconds

    def test_a_stream_of_its_own_inside_a_body(self) -> None:
        """As with the writer: who streams a graph in a body gets its chunks, nobody else."""
        inner = accelerate(section_graph(), options=Options(partials=True))
        taken: list[str] = []

        async def section(state: Any) -> Any:
            given = {"item": state["item"], "subs": [], "done": []}
            async for mode, data in inner.astream(given, stream_mode=["custom", "values"]):
                if is_added((mode, data)):
                    taken.append(in_short(data))
            return {"done": []}

        shown = Outcome(self.outer(section))
        assert shown.added == [*TWO, "plan.items[] has 2"]
        mine = [text for text in taken if text.startswith("plan.items[1]")]
        path = "plan.items[1] / section / search.subs"
        assert mine == [f"{path}[0] = bx", f"{path}[1] = by", f"{path}[] has 2"]
        assert len(taken) == 6

    def test_a_graph_that_is_not_shown_is_not_noted(self) -> None:
        """A subgraph with options of its own."""
        silent = accelerate(section_graph(), options=Options())

        async def section(state: Any) -> Any:
            found = await silent.ainvoke({"item": state["item"], "subs": [], "done": []})
            return {"done": found["done"]}

        assert Outcome(self.outer(section)).added == [*TWO, "plan.items[] has 2"]


@pytest.fixture
def families(monkeypatch: pytest.MonkeyPatch) -> list[members.Family]:
    """The trees of the runs of a test."""
    made: list[members.Family] = []

    class Noted(members.Family):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr(lineage, "Family", Noted)
    return made


class TestMemory:
    def sizes(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How many tasks and items a tree holds whenever a task begins."""
        found: list[int] = []

        class Noted(AncestryTree):
            def task_began(self, *args: Any, **kwargs: Any) -> Any:
                found.append(len(self))
                return super().task_began(*args, **kwargs)

        monkeypatch.setattr(members, "AncestryTree", Noted)
        return found

    @pytest.mark.parametrize("subgraph", [False, True])
    def test_a_loop_stays_small(self, monkeypatch: pytest.MonkeyPatch, subgraph: bool) -> None:
        sizes = self.sizes(monkeypatch)

        async def write(state: State) -> Any:
            for part in "ab":
                yield AddableDict(items=[part])

        async def step(arg: dict[str, Any]) -> Any:
            return {"done": [arg["item"]]}

        async def review(state: State) -> Any:
            return {"turn": state["turn"] + 1}

        def again(state: State) -> Literal["write", "__end__"]:
            return "write" if state["turn"] < 60 else END  # type: ignore[return-value]

        builder = graph(write=write, step=section_graph() if subgraph else step, review=review)
        builder.add_edge(START, "write")
        builder.add_conditional_edges(
            "write",
            lambda state: [Send("step", {"item": i}) for i in state["items"][-2:]],
            ["step"],
        )
        builder.add_edge("step", "review")
        builder.add_conditional_edges("review", again)
        shown = Outcome(
            accelerate(builder.compile(), options=Options(partials=True)),
            {"turn": 1, "items": []},
            {"recursion_limit": 1000},
        )
        assert shown.error is None
        assert shown.added[-1].startswith("write#59.items")
        assert len(sizes) > 200
        assert max(sizes) < (40 if subgraph else 20)

    def test_nothing_is_left_after_the_run(self, families: list[members.Family]) -> None:
        app = accelerate(failing(1).compile(), options=Options(partials=True))
        shown = Outcome(app)
        assert shown.added
        (family,) = families
        assert (len(family.tree), family.is_over) == (0, True)
        with quick_gc():
            del app, shown
            assert not references()

    def test_a_long_chain_of_sends_has_short_paths(self) -> None:
        """Where each task sends to the next one, paths grow; the last steps are shown."""

        async def go(arg: dict[str, Any]) -> Any:
            yield AddableDict(items=[arg["turn"]])

        def on(state: State) -> list[Send]:
            last = state["items"][-1]
            return [Send("go", {"turn": last + 1})] if last < 50 else []

        builder = graph(go=go)
        builder.add_conditional_edges(START, lambda _: [Send("go", {"turn": 1})], ["go"])
        builder.add_conditional_edges("go", on, ["go"])
        shown = Outcome(
            accelerate(builder.compile(), options=Options(partials=True)),
            {"items": []},
            {"recursion_limit": 100},
        )
        given = [data["path"] for _, data in filter(is_added, shown.chunks) if "value" in data]
        assert len(given) == 50
        assert given[1] == "request / __start__.go[0] / go.items[0] / go.items[0]"
        assert given[-1].startswith("request / \u2026 / ")
        assert given[-1].count(" / ") == lineage.MOST_STEPS + 1


class TestUnexpected:
    def test_a_mistake_costs_the_partial_outputs_not_the_run(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def emitted(self: Any, *args: Any, **kwargs: Any) -> Any:
            raise IllegalEvent("no such task")

        monkeypatch.setattr(AncestryTree, "emitted", emitted)
        app = accelerate(one_level().compile(), options=Options(partials=True))
        with pytest.warns(UserWarning, match="No more partial outputs in this run: no such task"):
            shown = Outcome(app)
        assert shown.added == []
        assert shown.chunks == Outcome(one_level().compile()).chunks

    def test_tasks_that_were_restored(self) -> None:
        """After a failure in a step, the tasks that had ended in it don't run again."""
        failures = ["once"]

        async def flaky(arg: dict[str, Any]) -> Any:
            await asyncio.sleep(20)
            if arg["item"] == "b" and failures:
                raise ValueError(failures.pop())
            yield AddableDict(subs=[arg["item"]])

        builder = graph(plan=generator("items", "ab"), work=work, flaky=flaky)
        builder.add_edge(START, "plan")
        builder.add_conditional_edges(
            "plan",
            lambda state: [Send("work", {"item": "a"}), Send("flaky", {"item": "b"})],
            ["work", "flaky"],
        )
        saver = InMemorySaver()
        app = accelerate(builder.compile(checkpointer=saver), options=Options(partials=True))
        config = {"configurable": {"thread_id": "t"}}
        assert Outcome(app, config=config).error == "ValueError: once"
        again = Outcome(app, config=config, is_resumed=True)
        assert again.error is None
        assert again.added == ["flaky.subs[0] = b", "flaky.subs[] has 1"]
