"""Edges that run ahead and generators that stream, on a virtual clock: results and exact times.

Bodies take virtual seconds; a run lasts as long as its critical path, to the millisecond. The
synchronous half of the same graphs is in `benchmarks` and in the fuzzer.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from inspect import signature
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.runnables.utils import AddableDict
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import InvalidUpdateError
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import RetryPolicy, Send

from langgraph_alto import Options, RunReport, accelerate, record
from langgraph_alto.core import streaming
from langgraph_alto.testing import FakeChatModel, FakeEngine, VirtualClock

SLACK = 0.001
"""Turns of the loop take a microsecond each."""


@pytest.fixture(autouse=True)
def generous(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a question to a router costs in real time must not count in virtual time."""
    monkeypatch.setattr(streaming, "BURST", 60.0)


class State(TypedDict, total=False):
    a: Any
    b: Any
    c: Any
    d: Any
    items: list[Any]
    subs: list[Any]
    done: Annotated[list[Any], operator.add]


class Lists(State, total=False):
    items: Annotated[list[Any], operator.add]  # type: ignore[misc]
    subs: Annotated[list[Any], operator.add]  # type: ignore[misc]


class Outcome:
    """How a run went: its result or error, its stream, its time, its report."""

    def __init__(
        self, graph: Any, input: Any, config: Any = None, clock: VirtualClock | None = None
    ) -> None:
        clock = clock or VirtualClock()

        async def run() -> None:
            try:
                async for chunk in graph.astream(input, config, stream_mode=["values", "updates"]):
                    self.chunks.append(chunk)
            except Exception as error:
                self.error = f"{type(error).__name__}: {error}"
            self.seconds = clock.now()

        self.chunks: list[Any] = []
        self.error: str | None = None
        with record() as reports:
            clock.run(run())
        self.report = reports[0] if reports else RunReport("none")


def both(
    build: Callable[..., Any], input: Any = None, *, saver: bool = False, **options: Any
) -> tuple[Outcome, Outcome]:
    """The same graph on LangGraph and on ALTO; what can be seen of them is equal."""
    found = []
    config = {"configurable": {"thread_id": "t"}} if saver else None
    for on_alto in (False, True):
        clock = VirtualClock()
        builder = build(clock) if signature(build).parameters else build()
        graph = builder.compile(checkpointer=InMemorySaver() if saver else None)
        if on_alto:
            graph = accelerate(graph, options=Options(**options))
        found.append(Outcome(graph, input or {"done": []}, config, clock))
    langgraph, alto = found
    assert alto.error == langgraph.error
    assert alto.chunks == langgraph.chunks
    return langgraph, alto


class TestEdges:
    def branches(self) -> Any:
        async def fast(state: State) -> State:
            await asyncio.sleep(1)
            return {"a": "fast"}

        async def after(state: State) -> State:
            await asyncio.sleep(4)
            return {"b": state["a"] + " after"}

        async def slow(state: State) -> State:
            await asyncio.sleep(6)
            return {"c": "slow"}

        async def join(state: State) -> State:
            await asyncio.sleep(1)
            return {"d": state["b"] + state["c"]}

        builder = StateGraph(State)
        for body in (fast, after, slow, join):
            builder.add_node(body)
        builder.add_edge(START, "fast")
        builder.add_edge(START, "slow")
        builder.add_edge("fast", "after")
        builder.add_edge(["after", "slow"], "join")
        return builder

    @pytest.mark.parametrize("saver", [False, True])
    def test_static_branches(self, saver: bool) -> None:
        langgraph, alto = both(self.branches, saver=saver)
        assert langgraph.seconds == pytest.approx(11, abs=SLACK)
        assert alto.seconds == pytest.approx(7, abs=SLACK)
        assert (alto.report.adopted, alto.report.discarded, alto.report.rerun) == (1, 0, 0)

    def test_a_narrowed_body_that_asks_for_more_waits(self) -> None:
        """Its source hides what it reads: the state itself says that it was not told."""

        def build() -> Any:
            builder = self.branches()

            async def after(state: State) -> State:
                await asyncio.sleep(5)
                return {"b": str(sorted(state))}

            builder.nodes.pop("after")
            builder.add_node("after", after, metadata={"alto": {"reads": ["a"]}})
            return builder

        langgraph, alto = both(build)
        assert alto.report.rerun == 1
        assert langgraph.seconds == alto.seconds

    def test_a_declared_write_that_is_wrong(self) -> None:
        def build() -> Any:
            builder = self.branches()

            async def slow(state: State) -> State:
                await asyncio.sleep(6)
                return {"a": "slow", "c": "slow"}

            async def fast(state: State) -> State:
                await asyncio.sleep(1)
                return {}

            builder.nodes.pop("slow"), builder.nodes.pop("fast")
            builder.add_node("slow", slow, metadata={"alto": {"writes": ["c"]}})
            builder.add_node("fast", fast)
            return builder

        with pytest.warns(UserWarning, match="Node 'slow' wrote or led to 'a'"):
            _, alto = both(build, {"a": "first", "done": []})
        assert alto.report.discarded == 1

    def test_loops_of_different_length(self) -> None:
        def build() -> Any:
            async def turn_a(state: State) -> State:
                await asyncio.sleep(1)
                return {"a": (state.get("a") or 0) + 1}

            async def turn_b(state: State) -> State:
                await asyncio.sleep(2.5)
                return {"b": (state.get("b") or 0) + 1}

            def again_a(state: State) -> str:
                return "turn_a" if state["a"] < 7 else "end_a"

            def again_b(state: State) -> str:
                return "turn_b" if state["b"] < 2 else "end_b"

            def end_a(state: State) -> State:
                return {"done": [state["a"]]}

            async def end_b(state: State) -> State:
                await asyncio.sleep(1.25)
                return {"done": [state["b"] * 100]}

            builder = StateGraph(State)
            for body in (turn_a, turn_b, end_a, end_b):
                builder.add_node(body)
            builder.add_edge(START, "turn_a")
            builder.add_edge(START, "turn_b")
            builder.add_conditional_edges("turn_a", again_a, ["turn_a", "end_a"])
            builder.add_conditional_edges("turn_b", again_b, ["turn_b", "end_b"])
            return builder

        langgraph, alto = both(build)
        assert alto.seconds == pytest.approx(7, abs=SLACK)
        assert langgraph.seconds == pytest.approx(2.5 + 2.5 + 1.25 + 4, abs=SLACK)
        assert alto.report.rerun == alto.report.discarded == 0

    def test_a_join_of_branches_of_different_length(self) -> None:
        """langgraph issue 6005: one branch has three steps, the other one."""

        def build() -> Any:
            builder = StateGraph(State)
            reads = {"a1": "", "a2": "a", "a3": "b"}

            async def a1(state: State) -> State:
                await asyncio.sleep(1)
                return {"a": 1}

            async def a2(state: State) -> State:
                await asyncio.sleep(1)
                return {"b": state["a"] + 1}

            async def a3(state: State) -> State:
                await asyncio.sleep(1)
                return {"c": state["b"] + 1}

            async def other(state: State) -> State:
                await asyncio.sleep(2.5)
                return {"d": 10}

            async def end(state: State) -> State:
                return {"done": [state["c"], state["d"]]}

            for body in (a1, a2, a3, other, end):
                builder.add_node(body)
            builder.add_edge(START, "a1")
            builder.add_edge("a1", "a2")
            builder.add_edge("a2", "a3")
            builder.add_edge(START, "other")
            builder.add_edge(["a3", "other"], "end")
            assert len(reads) == 3
            return builder

        langgraph, alto = both(build)
        assert alto.seconds == pytest.approx(3, abs=SLACK)
        assert langgraph.seconds == pytest.approx(4.5, abs=SLACK)

    def test_messages_with_ids_run_ahead_and_strings_wait(self) -> None:
        def build(content: Any) -> Any:
            class Chat(MessagesState):
                c: str

            async def first(state: Chat) -> Any:
                await asyncio.sleep(1)
                return {"messages": content}

            async def second(state: Chat) -> Any:
                await asyncio.sleep(1)
                return {"messages": [AIMessage(f"{len(state['messages'])}", id="2")]}

            async def slow(state: Chat) -> Any:
                await asyncio.sleep(5)
                return {"c": "slow"}

            builder = StateGraph(Chat)
            for body in (first, second, slow):
                builder.add_node(body)
            builder.add_edge(START, "first")
            builder.add_edge(START, "slow")
            builder.add_edge("first", "second")
            return builder.compile()

        for content, seconds in (([AIMessage("one")], 5), ("one", 6)):
            outcome = Outcome(accelerate(build(content)), {"messages": []})
            assert outcome.seconds == pytest.approx(seconds, abs=SLACK)
            assert [m.content for m in outcome.chunks[-1][1]["messages"]] == ["one", "1"]
            assert outcome.report.discarded == 0


def producing(
    chunks: list[Any],
    router: Callable[..., Any],
    *,
    between: float = 1.0,
    error: Exception | None = None,
    retry: RetryPolicy | None = None,
) -> Callable[[], Any]:
    """produce -> router -> work (10 s each, and a tenth for its item) or empty."""

    def build() -> Any:
        attempts = 0

        async def produce(state: State) -> Any:
            nonlocal attempts
            attempts += 1
            for chunk in chunks:
                await asyncio.sleep(between)
                yield chunk
            if error is not None and attempts == 1:
                raise error

        async def work(arg: dict[str, Any]) -> State:
            index = arg["item"] if isinstance(arg["item"], int) else len(arg["item"])
            await asyncio.sleep(10 + index / 10)
            return {"done": [arg["item"]]}

        async def empty(state: State) -> State:
            return {"done": ["empty"]}

        builder = StateGraph(State)
        builder.add_node("produce", produce, retry_policy=retry)
        builder.add_node("work", work)
        builder.add_node("empty", empty)
        builder.add_edge(START, "produce")
        builder.add_conditional_edges("produce", router, ["work", "empty"])
        return builder

    return build


def each(state: State) -> Any:
    return [Send("work", {"item": item}) for item in state["items"]]


def whole_state(state: State) -> Any:
    return [Send("work", {"item": item, **state}) for item in state["items"]]


def from_three_on(state: State) -> Any:
    if len(state["items"]) < 3:
        return "empty"
    return [Send("work", {"item": item}) for item in state["items"]]


def none_beyond_four(state: State) -> Any:
    if len(state["items"]) > 4:
        return "empty"
    return [Send("work", {"item": item}) for item in state["items"]]


def addable(*values: Any) -> list[Any]:
    return [AddableDict(items=[value]) for value in values]


class TestStreams:
    def test_each_item_starts_when_it_is_yielded(self) -> None:
        langgraph, alto = both(producing(addable(*range(8)), each))
        assert langgraph.seconds == pytest.approx(18.7, abs=SLACK)
        assert alto.seconds == pytest.approx(18.7, abs=SLACK)  # the last item is the critical one
        assert (alto.report.started, alto.report.adopted) == (8, 8)

    def test_shorter_and_shorter_work_is_hidden(self) -> None:
        def build() -> Any:
            builder = producing(addable(*range(8)), each)()

            async def work(arg: dict[str, Any]) -> State:
                await asyncio.sleep(8 - arg["item"])
                return {"done": [arg["item"]]}

            builder.nodes.pop("work")
            builder.add_node("work", work)
            return builder

        langgraph, alto = both(build)
        assert langgraph.seconds == pytest.approx(16, abs=SLACK)
        assert alto.seconds == pytest.approx(9, abs=SLACK)

    @pytest.mark.parametrize("mode", ["certain", "off"])
    def test_only_where_streaming_is_on(self, mode: Any) -> None:
        _, alto = both(producing(addable(*range(8)), each), run_ahead=mode)
        assert alto.report.started == 0

    def test_a_draft_and_a_final_one(self) -> None:
        """Of plain dicts the last one counts: nothing is settled before the end."""
        chunks = [{"items": [1, 2]}, {"items": [1, 2, 3]}, {"items": [7]}]
        _, alto = both(producing(chunks, each))
        assert alto.report.started == 0

    def test_plain_after_addable(self) -> None:
        """The first one started; LangGraph adds a plain dict to an addable one all the same."""
        _, alto = both(producing([*addable(1, 2), {"items": [3]}], each))
        assert alto.report.started == alto.report.adopted + alto.report.discarded

    def test_a_router_that_copies_the_whole_state(self) -> None:
        _, alto = both(producing(addable(*range(5)), whole_state))
        assert alto.report.started == 0

    def test_a_router_that_gives_a_name_until_three_are_there(self) -> None:
        for count in (2, 5):
            _, alto = both(producing(addable(*range(count)), from_three_on))
            assert alto.report.discarded == 0
            assert alto.report.adopted == (5 if count == 5 else 0)

    def test_a_router_that_changes_its_mind(self) -> None:
        _, alto = both(producing(addable(*range(6)), none_beyond_four))
        assert alto.report.adopted == 0
        assert alto.report.discarded == 4  # wasted, and counted

    def test_an_error_after_five_items_retracts_five(self) -> None:
        langgraph, alto = both(producing(addable(*range(5)), each, error=ValueError("no more")))
        assert alto.error == "ValueError: no more"
        assert (alto.report.started, alto.report.discarded) == (5, 5)
        assert alto.seconds == pytest.approx(langgraph.seconds, abs=SLACK)

    def test_a_retry_begins_anew(self) -> None:
        retry = RetryPolicy(max_attempts=2, initial_interval=0.5, jitter=False, retry_on=ValueError)
        _, alto = both(producing(addable(*range(3)), each, error=ValueError("again"), retry=retry))
        assert (alto.report.discarded, alto.report.adopted) == (3, 3)

    @pytest.mark.parametrize("chunk", ["text", 7])
    def test_a_chunk_of_a_wrong_type_is_langgraphs_error(self, chunk: Any) -> None:
        langgraph, _ = both(producing([chunk], each))
        assert (langgraph.error or "").startswith(InvalidUpdateError.__name__)

    def test_nested_producers(self) -> None:
        """Sections are yielded, each yields queries, each of those is a task."""

        def build() -> Any:
            async def plan(state: State) -> Any:
                for section in range(3):
                    await asyncio.sleep(1)
                    yield AddableDict(items=[section])

            async def section(arg: dict[str, Any]) -> Any:
                for query in range(2):
                    await asyncio.sleep(1 + arg["section"] / 10)  # no two end at once
                    yield AddableDict(subs=[(arg["section"], query)])

            async def query(arg: dict[str, Any]) -> State:
                await asyncio.sleep(4 - arg["query"][0])
                return {"done": [arg["query"]]}

            def sections(state: State) -> Any:
                return [Send("section", {"section": s}) for s in state["items"]]

            def queries(state: State) -> Any:
                return [Send("query", {"query": q}) for q in state["subs"]]

            class Sub(TypedDict, total=False):
                subs: Annotated[list[Any], lambda old, new: new]

            class Whole(State):
                pass

            builder = StateGraph(Whole)
            builder.add_node("plan", plan)
            builder.add_node("section", section)
            builder.add_node("query", query)
            builder.add_edge(START, "plan")
            builder.add_conditional_edges("plan", sections, ["section"])
            builder.add_conditional_edges("section", queries, ["query"])
            return builder

        # All sections write `subs`, one value a step: LangGraph refuses that.
        langgraph, _ = both(build)
        assert (langgraph.error or "").startswith(InvalidUpdateError.__name__)

    @pytest.mark.parametrize("looks_at_items", [False, True])
    def test_a_producer_that_runs_ahead_feeds_others(self, looks_at_items: bool) -> None:
        """What its router reads is settled, though `items` still grows; or it is not."""

        def queries(state: Lists) -> Any:
            return [Send("query", {"query": q}) for q in state["subs"]]

        def queries_of_items(state: Lists) -> Any:
            count = len(state["items"])
            return [Send("query", {"query": (*q, count)}) for q in state["subs"]]

        def build() -> Any:
            async def plan(state: Lists) -> Any:
                for section in range(2):
                    await asyncio.sleep(1)
                    yield AddableDict(items=[section])
                await asyncio.sleep(10)

            async def section(arg: dict[str, Any]) -> Any:
                for query in range(2):
                    await asyncio.sleep(1)
                    yield AddableDict(subs=[(arg["section"], query)])
                await asyncio.sleep(8 + arg["section"] / 10)  # no two end at once

            async def query(arg: dict[str, Any]) -> State:
                await asyncio.sleep(9 + arg["query"][0] / 100 + arg["query"][1] / 10)
                return {"done": [arg["query"]]}

            def sections(state: Lists) -> Any:
                return [Send("section", {"section": s}) for s in state["items"]]

            builder = StateGraph(Lists)
            builder.add_node("plan", plan)
            builder.add_node("section", section)
            builder.add_node("query", query)
            builder.add_edge(START, "plan")
            builder.add_conditional_edges("plan", sections, ["section"])
            router = queries_of_items if looks_at_items else queries
            builder.add_conditional_edges("section", router, ["query"])
            return builder

        langgraph, alto = both(build)
        assert langgraph.seconds == pytest.approx(12 + 10.1 + 9.11, abs=SLACK)
        # The last query is written at 4: its section began at 2. Else at 12, with the last item.
        last_query = 12 if looks_at_items else 4
        assert alto.seconds == pytest.approx(last_query + 9.11, abs=SLACK)
        assert (alto.report.started, alto.report.adopted) == (6, 6)

    def test_a_thousand_chunks_at_once(self) -> None:
        _, alto = both(producing(addable(*range(1000)), lambda state: "empty", between=0))
        assert alto.report.started == 0


class TestSpeculative:
    """Opt-in: an item of a growing list is settled when the next one begins."""

    def test_a_draft_that_only_grows(self) -> None:
        chunks = [{"items": list(range(n))} for n in range(1, 6)]
        langgraph, alto = both(producing(chunks, each), run_ahead="speculative")
        assert alto.report.adopted == 4  # the last one is settled at the end only
        assert alto.seconds <= langgraph.seconds

    def test_a_draft_that_is_overwritten(self) -> None:
        chunks = [{"items": [1, 2]}, {"items": [1, 2, 3]}, {"items": [7]}]
        _, alto = both(producing(chunks, each), run_ahead="speculative")
        assert alto.report.started == alto.report.discarded == 2

    def test_a_model_and_a_parser(self) -> None:
        def build(clock: VirtualClock) -> Any:
            script = {"go": '{"items": ["one two", "three", "four"]}'}
            model = FakeChatModel(script=script, engine=FakeEngine(clock=clock))
            builder = producing([], each)()
            builder.nodes.pop("produce")
            builder.add_node("produce", RunnableLambda(lambda _: "go") | model | JsonOutputParser())
            return builder

        _, alto = both(build, run_ahead="speculative")
        assert alto.chunks[-1][1]["done"] == ["one two", "three", "four"]
        assert (alto.report.adopted, alto.report.discarded) == (2, 0)


class TestChunksThatAreNotSettled:
    def test_a_model_and_a_parser(self) -> None:
        """Chunks of a streaming Runnable are predictions: class speculative, not streamed."""

        def build() -> Any:
            model = FakeChatModel(script={"go": '{"items": ["alpha beta", "gamma"]}'})
            builder = producing([], each)()
            builder.nodes.pop("produce")
            builder.add_node("produce", RunnableLambda(lambda _: "go") | model | JsonOutputParser())
            return builder

        _, alto = both(build)
        assert alto.chunks[-1][1]["done"] == ["alpha beta", "gamma"]
        assert alto.report.started == 0

    def test_parallel_token_streams(self) -> None:
        def build() -> Any:
            def letters(text: str) -> Any:
                async def tokens(_: Any) -> Any:
                    for letter in text:
                        yield [letter]

                return RunnableLambda(tokens)

            builder = producing([], each)()
            builder.nodes.pop("produce")
            builder.add_node("produce", RunnableParallel(items=letters("abc"), a=letters("xy")))
            return builder

        _, alto = both(build)
        assert alto.chunks[-1][1]["done"] == ["a", "b", "c"]
        assert alto.report.started == 0


def test_a_record_tells_what_is_held_although_nothing_may_run_ahead() -> None:
    def build(clock: VirtualClock) -> Any:
        async def quick(state: State) -> State:
            return {"a": 1}

        async def slow(state: State) -> State:
            await asyncio.sleep(1)
            return {"b": 1}

        async def after(state: State) -> State:
            return {"c": state["a"]}

        builder = StateGraph(State)
        builder.add_node("quick", quick)
        builder.add_node("slow", slow)
        builder.add_node("after", after, metadata={"alto": {"effects": "once"}})
        builder.add_edge(START, "quick")
        builder.add_edge(START, "slow")
        builder.add_edge("quick", "after")
        return builder

    _, alto = both(build)
    assert alto.report.started == 0
    assert alto.report.held == {"declared once": 1}
