"""Stream modes "messages" and "tools" of bodies that run ahead: what LangGraph gives, as it does.

LangGraph asks the handlers in a body's config whether they are those of its stream modes:
`push_message` writes to them, a tool's partial output goes through them, and a graph that the
body calls drops those of its caller. Each body here is run by LangGraph and ahead of a slow
sibling, in an asynchronous run (on a virtual clock) and in threads.
"""

from __future__ import annotations

import asyncio
import inspect
import operator
import threading
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.constants import TAG_NOSTREAM
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages, push_message
from langgraph.prebuilt.tool_node import ToolRuntime
from langgraph.types import Command, Send

from langgraph_alto import Options, accelerate, record
from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.identity import lazy_str, lazy_tuple
from langgraph_alto._langgraph.recorder import Outbox, Player, recorders_for
from langgraph_alto.testing import FakeChatModel, FakeEngine, VirtualClock
from tests.helpers.canonical import mask, plain, rename
from tests.helpers.graphs import AHEAD

MODES = ["messages", "tools"]
LIMIT = 20.0
"""Seconds after which a thread gives up waiting for another: only when a test fails."""


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    seen: Annotated[list[Any], operator.add]
    word: str
    other: str


# Bodies


def model() -> FakeChatModel:
    """It takes no time: an engine of its own, on a clock of its own."""
    script = {"": "a rather long answer"}
    return FakeChatModel(script=script, engine=FakeEngine(clock=VirtualClock()))


def runtime() -> Any:
    unused: Any = None
    return ToolRuntime(
        state={}, context=None, config={}, stream_writer=unused, tool_call_id=None, store=None
    )


@tool
def shout(word: str) -> str:
    """Says it louder, bit by bit."""
    runtime().emit_output_delta(word)
    runtime().emit_output_delta("!")
    return f"{word}!"


@tool
def fail(word: str) -> str:
    """Says a little and fails."""
    runtime().emit_output_delta(word)
    raise ValueError(word)


@tool
def ask_others(word: str) -> str:
    """Uses another tool, and one that nobody is to see, and goes on."""
    said = shout.invoke({"word": word})
    shout.invoke({"word": "hidden"}, {"tags": [TAG_NOSTREAM]})
    runtime().emit_output_delta("said")
    return str(said)


def pushes(state: State) -> State:
    push_message(AIMessage(id="pushed", content="hi"), state_key=None)
    push_message(AIMessage(id="kept", content="hello"))
    return {}


def pushes_what_it_returns(state: State) -> State:
    message = AIMessage(id="pushed", content="hi")
    push_message(message, state_key=None)
    return {"messages": [message, AIMessage(id="returned", content="too")]}


def pushes_one_that_grows(state: State) -> State:
    message = AIMessage(id="pushed", content="")
    for word in ("one", "two"):
        message.content += word
        push_message(message.model_copy(), state_key=None)
    return {"messages": [message]}


def uses_tools(state: State) -> State:
    return {"word": str(shout.invoke({"word": "a"})) + str(ask_others.invoke({"word": "b"}))}


def uses_a_tool_that_fails(state: State) -> State:
    try:
        fail.invoke({"word": "oh"})
    except ValueError as error:
        return {"word": str(error)}
    return {}


def asks_a_model(state: State) -> State:
    hidden = model().with_config(tags=[TAG_NOSTREAM]).invoke("hi")
    answer = model().with_config(tags=["mine"]).invoke([HumanMessage("hi", id="h")])
    return {"messages": [AIMessage(answer.content, id="answer")], "word": str(hidden.text)}


def one_node(body: Callable[[State], State]) -> Any:
    builder = StateGraph(State)
    builder.add_node("inner", body)
    builder.add_edge(START, "inner")
    return builder.compile()


def everything(state: State) -> State:
    pushes(state)
    uses_tools(state)
    return asks_a_model(state)


def named(parts: Any) -> list[Any]:
    """What a body itself saw of a stream, without ids."""
    return [mask(plain(part)) for part in parts]


def calls_a_graph(state: State) -> State:
    return {"word": str(one_node(everything).invoke({"word": "x"})["word"])}


def calls_a_graph_on_its_own_thread(state: State) -> State:
    config: Any = {"configurable": {"thread_id": "child"}}
    return {"word": str(one_node(everything).invoke({"word": "x"}, config)["word"])}


def streams_a_graph(state: State) -> State:
    parts = one_node(everything).stream({"word": "x"}, stream_mode=MODES)
    return {"seen": named(parts)}


def streams_a_graph_on_its_own_thread(state: State) -> State:
    config: Any = {"configurable": {"thread_id": "child"}}
    parts = one_node(everything).stream({"word": "x"}, config, stream_mode=MODES)
    return {"seen": named(parts)}


def streams_a_graph_with_its_subgraphs(state: State) -> State:
    outer = one_node(calls_a_graph_on_its_own_thread)
    parts = outer.stream({"word": "x"}, stream_mode=MODES, subgraphs=True)
    return {"seen": named(parts)}


BODIES: dict[str, Callable[[State], State]] = {
    body.__name__: body
    for body in (
        pushes,
        pushes_what_it_returns,
        pushes_one_that_grows,
        uses_tools,
        uses_a_tool_that_fails,
        asks_a_model,
        calls_a_graph,
        calls_a_graph_on_its_own_thread,
        streams_a_graph,
        streams_a_graph_on_its_own_thread,
        streams_a_graph_with_its_subgraphs,
    )
}


# Runs


def beside_a_slow_one(body: Callable[[State], State], slow: Any) -> Any:
    """first -> body -> last, beside `slow`: the body can run while `slow` still does."""

    def first(state: State) -> State:
        return {"word": "first"}

    def last(state: State) -> State:
        return {"other": "last"}

    async def afirst(state: State) -> State:
        return first(state)

    async def alast(state: State) -> State:
        return last(state)

    # Virtual time knows nothing of threads, in which plain functions would run.
    in_threads = not inspect.iscoroutinefunction(slow)
    ends = (first, last) if in_threads else (afirst, alast)
    builder = StateGraph(State)
    for name, node in (("first", ends[0]), ("slow", slow), ("last", ends[1])):
        builder.add_node(name, node, metadata=AHEAD)
    builder.add_node("body", body, metadata={"alto": {**AHEAD["alto"], "reads": ["word"]}})
    for start, end in ((START, "first"), (START, "slow"), ("first", "body"), ("body", "last")):
        builder.add_edge(start, end)
    return builder.compile()


class Seen:
    """What was seen of one run, with ids renamed as they appear, and how the body was run."""

    def __init__(self, chunks: list[Any], reports: Sequence[Any], times: Sequence[float] = ()):
        self.plain = [plain(chunk) for chunk in chunks]
        self.chunks = rename(self.plain)
        self.times = list(times)
        self.body = outcomes(reports)


def outcomes(reports: Sequence[Any]) -> list[str]:
    """How the body under test was run, each time that it was."""
    spans = [span for report in reports for span in report.timeline]
    return [span.outcome for span in spans if span.node == "body"]


def run_async(name: str, options: Options | None, **how: Any) -> Seen:
    clock = VirtualClock()

    async def body(state: State) -> State:
        return BODIES[name](state)

    async def slow(state: State) -> State:
        await asyncio.sleep(5)
        return {"other": "slow"}

    graph = beside_a_slow_one(body, slow)  # type: ignore[arg-type]
    app = graph if options is None else accelerate(graph, options=options)
    chunks, times = [], []

    async def main() -> None:
        async for chunk in app.astream({"word": ""}, **how):
            chunks.append(chunk)
            times.append(clock.now())

    with record() as reports:
        clock.run(main())
    return Seen(chunks, reports, times)


def run_in_threads(name: str, options: Options | None, **how: Any) -> Seen:
    is_over, first_is_seen = threading.Event(), threading.Event()

    def body(state: State) -> State:
        try:
            return BODIES[name](state)
        finally:
            is_over.set()

    def slow(state: State) -> State:
        if options is None:
            assert first_is_seen.wait(LIMIT), "nothing was streamed of `first`"
        else:
            assert is_over.wait(LIMIT), "the body did not run ahead"
        return {"other": "slow"}

    graph = beside_a_slow_one(body, slow)
    app = graph if options is None else accelerate(graph, options=options)
    chunks = []
    with record() as reports:
        for chunk in app.stream({"word": ""}, **how):
            chunks.append(chunk)
            if chunk[-2:] == ("updates", {"first": {"word": "first"}}):
                first_is_seen.set()
    return Seen(chunks, reports)


RUNS = {"async": run_async, "threads": run_in_threads}


@pytest.mark.parametrize("how", RUNS)
@pytest.mark.parametrize("subgraphs", [False, True])
@pytest.mark.parametrize("name", BODIES)
def test_the_streams_are_langgraphs(name: str, subgraphs: bool, how: str) -> None:
    modes = [*MODES, "updates"]
    expected = RUNS[how](name, None, stream_mode=modes, subgraphs=subgraphs)
    found = RUNS[how](name, Options(), stream_mode=modes, subgraphs=subgraphs)
    assert found.chunks == expected.chunks
    assert found.body == ["adopted"]


@pytest.mark.parametrize("name", ["pushes", "calls_a_graph_on_its_own_thread", "asks_a_model"])
def test_the_parts_of_version_2_too(name: str) -> None:
    how: dict[str, Any] = {"stream_mode": MODES, "subgraphs": True, "version": "v2"}
    expected = run_async(name, None, **how)
    found = run_async(name, Options(), **how)
    assert found.chunks == expected.chunks
    assert {part["type"] for part in found.chunks} <= {*MODES}
    assert found.body == ["adopted"]


@pytest.mark.parametrize("subgraphs", [False, True])
@pytest.mark.parametrize("name", BODIES)
def test_eagerly_each_comes_when_it_happens(name: str, subgraphs: bool) -> None:
    expected = run_async(name, None, stream_mode=MODES, subgraphs=subgraphs)
    eager = Options(emit="eager")
    found = run_async(name, eager, stream_mode=MODES, subgraphs=subgraphs)
    assert told(found.plain) == told(expected.plain)
    assert set(expected.times) <= {5.0}
    assert set(found.times) <= {0.0}
    assert found.body == ["adopted"]


def told(chunks: list[Any]) -> list[Any]:
    """What was streamed, without the metadata: some of it is not known so early."""
    shown = [[*where, data[0] if mode == "messages" else data] for *where, mode, data in chunks]
    return rename(shown)


@pytest.mark.filterwarnings("ignore::langchain_core._api.deprecation.LangChainDeprecationWarning")
@pytest.mark.parametrize("how", ["astream_events v1", "astream_events v2"])
@pytest.mark.parametrize("name", ["pushes", "uses_tools", "asks_a_model", "streams_a_graph"])
def test_the_event_apis(name: str, how: str) -> None:
    def events(options: Options | None) -> tuple[list[Any], list[str]]:
        clock = VirtualClock()

        async def body(state: State) -> State:
            return BODIES[name](state)

        async def slow(state: State) -> State:
            await asyncio.sleep(5)
            return {"other": "slow"}

        graph = beside_a_slow_one(body, slow)  # type: ignore[arg-type]
        app = graph if options is None else accelerate(graph, options=options)

        async def main() -> list[Any]:
            version: Any = how.rpartition(" ")[2]
            stream = app.astream_events({"word": ""}, version=version, stream_mode=MODES)
            return [plain(event) async for event in stream]

        with record() as reports:
            found = clock.run(main())
        return found, outcomes(reports)

    expected, _ = events(None)
    found, body = events(Options())
    # LangGraph's body never awaited: its chunks came when it was over, and these come between.
    for streamed in (False, True):
        alto, langgraph = (
            [e for e in events if is_chunk(e) is streamed] for events in (found, expected)
        )
        if how == "astream_events v2":
            assert rename(alto) == rename(langgraph)
        else:
            # The order of what siblings do at one moment varies in version 1, from run to run.
            assert by_run(alto) == by_run(langgraph)
    assert body == ["adopted"]


def by_run(events: list[dict[str, Any]]) -> list[Any]:
    """The events of each run in their order, and the runs by their names."""
    runs: dict[str, list[Any]] = {}
    for event in events:
        runs.setdefault(event["run_id"], []).append(mask(event))
    return sorted(runs.values(), key=str)


def is_chunk(event: dict[str, Any]) -> bool:
    """Whether an event is a chunk of the whole graph's stream."""
    return (event["event"], event["name"]) == ("on_chain_stream", "LangGraph")


@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
@pytest.mark.parametrize("name", ["pushes", "asks_a_model", "calls_a_graph"])
def test_content_blocks_of_version_3(name: str) -> None:
    """Its handler is of a class of its own, which makes models stream by another protocol."""

    def events(options: Options | None) -> tuple[list[Any], list[str]]:
        is_over = threading.Event()

        def body(state: State) -> State:
            try:
                return BODIES[name](state)
            finally:
                is_over.set()

        def slow(state: State) -> State:
            if options is not None:
                assert is_over.wait(LIMIT), "the body did not run ahead"
            return {"other": "slow"}

        graph = beside_a_slow_one(body, slow)
        app = graph if options is None else accelerate(graph, options=options)
        with record() as reports:
            run = app.stream_events({"word": ""}, version="v3")
            found = [[plain(event) for event in stream] for stream in run.messages]
        return rename(found), outcomes(reports)

    expected, _ = events(None)
    found, body = events(Options())
    assert found == expected
    assert bool(expected) is (name != "calls_a_graph")
    assert body == ["adopted"]


# A body that several tasks run at once


def test_tools_of_parallel_bodies_write_each_their_own() -> None:
    def run(options: Options | None) -> Any:
        clock = VirtualClock()

        async def work(arg: dict[str, Any]) -> State:
            await asyncio.sleep(1)
            await shout.ainvoke({"word": arg["word"]})
            return {"seen": [arg["word"]]}

        async def slow(state: State) -> State:
            await asyncio.sleep(5)
            return {"other": "slow"}

        def first(state: State) -> State:
            return {"word": "first"}

        def fan_out(state: State) -> list[Send]:
            return [Send("work", {"word": word}) for word in "abc"]

        builder = StateGraph(State)
        builder.add_node("first", first, metadata=AHEAD)
        builder.add_node("work", work, metadata=AHEAD)
        builder.add_node("slow", slow, metadata=AHEAD)
        builder.add_edge(START, "first")
        builder.add_edge(START, "slow")
        builder.add_conditional_edges("first", fan_out, ["work"])
        graph = builder.compile()
        app = graph if options is None else accelerate(graph, options=options)

        async def main() -> list[Any]:
            return [c async for c in app.astream({"word": ""}, stream_mode="tools")]

        chunks = clock.run(main())
        calls: dict[str, list[Any]] = {}
        for chunk in chunks:
            calls.setdefault(chunk["tool_call_id"], []).append(plain(chunk))
        return sorted(mask(list(calls.values())), key=str)

    expected = run(None)
    assert run(Options()) == expected
    assert [[event["event"] for event in call] for call in expected] == [
        ["tool-started", "tool-output-delta", "tool-output-delta", "tool-finished"]
    ] * 3


def test_messages_that_are_pushed_in_a_chain_of_sends() -> None:
    """There a body's index among the tasks of its step is not known when it begins."""

    def run(options: Options | None) -> list[Any]:
        clock = VirtualClock()

        async def ask(arg: dict[str, Any]) -> Command[Any]:
            await asyncio.sleep(1 if arg["word"] != "a" else 5)
            return Command(goto=Send("dig", arg))

        async def dig(arg: dict[str, Any]) -> State:
            push_message(AIMessage(id=arg["word"], content="hi"), state_key=None)
            return {"seen": [arg["word"]]}

        def fan_out(state: State) -> list[Send]:
            return [Send("ask", {"word": word}) for word in "abc"]

        builder = StateGraph(State)
        builder.add_node("ask", ask, metadata=AHEAD, destinations=("dig",))
        builder.add_node("dig", dig, metadata=AHEAD)
        builder.add_conditional_edges(START, fan_out, ["ask"])
        graph = builder.compile()
        app = graph if options is None else accelerate(graph, options=options)

        async def main() -> list[Any]:
            return [plain(c) async for c in app.astream({}, stream_mode="messages")]

        return sorted(mask(clock.run(main())), key=str)

    expected = run(None)
    assert run(Options()) == expected
    assert [message["id"] for message, _ in expected] == ["a", "b", "c"]


# The recorders by themselves


class Stream:
    """A handler of LangGraph's, and the chunks that it gave."""

    def __init__(self, kind: Callable[..., Any], *, subgraphs: bool = True) -> None:
        self.chunks: list[Any] = []
        self.handler = kind(self.chunks.append, subgraphs)


def played(box: Outbox, *handlers: BaseCallbackHandler) -> None:
    player = Player(handlers)
    for emission in box.emissions:
        player.play(emission)


def test_a_message_is_noted_as_it_was_when_it_was_pushed() -> None:
    stream, box = Stream(names.StreamMessagesHandler), Outbox(float, list)
    recorder: Any
    (recorder,) = recorders_for([stream.handler], box)
    message = AIMessage("one", id="m")
    recorder._emit(((), {"step": 1}), message)
    message.content = "one two"
    recorder._emit(((), {"step": 1}), message)
    recorder._emit(((), {"step": 1}), message, dedupe=True)
    played(box, stream.handler)
    assert [chunk[2][0].content for chunk in stream.chunks] == ["one", "one two"]
    assert {chunk[1] for chunk in stream.chunks} == {"messages"}


def test_a_tool_that_is_not_streamed_writes_to_the_tool_that_called_it() -> None:
    """As LangGraph's handler leaves it, when a tool is tagged so that nobody sees it."""
    metadata = {"langgraph_checkpoint_ns": "node:1", "langgraph_path": ()}

    def use(handlers: list[Any]) -> None:
        config: Any = {"callbacks": handlers, "metadata": metadata}
        ask_others.invoke({"word": "b"}, config)

    direct, late = Stream(names.StreamToolCallHandler), Stream(names.StreamToolCallHandler)
    use([direct.handler])
    box = Outbox(float, list)
    use([*recorders_for([late.handler], box)])
    assert late.chunks == []
    played(box, late.handler)
    assert rename([plain(c) for c in late.chunks]) == rename([plain(c) for c in direct.chunks])
    deltas = [c[2]["delta"] for c in late.chunks if "delta" in c[2]]
    assert deltas == ["b", "!", "hidden", "!", "said"]


def test_a_tool_never_asks_for_the_identity() -> None:
    def ask() -> Any:
        raise AssertionError("asked")

    stream, box = Stream(names.StreamToolCallHandler, subgraphs=False), Outbox(float, list)
    metadata = {
        "langgraph_checkpoint_ns": lazy_str(ask, "node:unknown"),
        "langgraph_path": lazy_tuple(ask),
    }
    config: Any = {"callbacks": recorders_for([stream.handler], box), "metadata": metadata}
    shout.invoke({"word": "a"}, config)
    assert [emission.kind for emission in box.emissions] == [
        "on_tool_start",
        "tool output",
        "tool output",
        "on_tool_end",
    ]


def test_playing_a_tools_events_leaves_nothing_in_the_context() -> None:
    stream, box = Stream(names.StreamToolCallHandler), Outbox(float, list)
    (recorder,) = recorders_for([stream.handler], box)
    one, two = uuid4(), uuid4()
    started: dict[str, Any] = {"metadata": {"langgraph_checkpoint_ns": "node:1"}}
    recorder.on_tool_start({"name": "one"}, "", run_id=one, **started)
    recorder.on_tool_start({"name": "two"}, "", run_id=two, **started)
    recorder.on_tool_end("", run_id=two)
    recorder.on_tool_end("", run_id=one)
    assert names.tool_call_writer.get() is None
    for emission in [*box.emissions][:3]:
        Player([stream.handler]).play(emission)
        assert names.tool_call_writer.get() is None


def test_output_of_a_tool_that_was_thrown_away_goes_nowhere() -> None:
    stream, box = Stream(names.StreamToolCallHandler), Outbox(float, list)
    (recorder,) = recorders_for([stream.handler], box)
    started: dict[str, Any] = {"metadata": {"langgraph_checkpoint_ns": "node:1"}}
    recorder.on_tool_start({"name": "one"}, "", run_id=uuid4(), **started)
    box.cut()
    writer = names.tool_call_writer.get()
    assert writer is not None
    writer("late")
    names.tool_call_writer.set(None)
    assert (list(box.emissions), stream.chunks) == ([], [])
