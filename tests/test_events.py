"""What a client sees of a run: every stream mode, event API and callback, in LangGraph's order.

Asynchronous runs are on a virtual clock, where the order of things is exact. Bodies have delays
of their own, so that no two emit at the same moment; only where several tasks of a step begin
together they do, and LangGraph's order among those is the event loop's whim: see `in_order`.
"""

from __future__ import annotations

import asyncio
import itertools
import operator
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    adispatch_custom_event,
)
from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt

from compat.fuzz.compare import first_difference
from langgraph_alto import Options, accelerate, record
from langgraph_alto.testing import FakeChatModel, FakeEngine, VirtualClock
from tests.helpers.canonical import key_of, mask, plain, rename, unordered
from tests.helpers.graphs import AHEAD

pytestmark = pytest.mark.filterwarnings(
    "ignore::langchain_core._api.deprecation.LangChainDeprecationWarning"
)

ALL_MODES = ["values", "updates", "messages", "custom", "tasks", "checkpoints", "debug"]


class Desk(TypedDict, total=False):
    """What the newsroom keeps."""

    topics: list[int]
    notes: Annotated[list[Any], operator.add]
    messages: Annotated[list[AnyMessage], add_messages]
    report: str


class Inner(TypedDict, total=False):
    """What the subgraph keeps."""

    topic: int
    found: str
    notes: Annotated[list[Any], operator.add]


class Delays:
    """A delay for each (node, topic, moment), the same for both executors, no two alike."""

    def __init__(self, seed: int, *, unit: float = 1.0) -> None:
        self.seed = seed
        self.unit = unit

    def of(self, *key: Any) -> float:
        slow = 6.0 if key[:2] == ("ask", 2) else 0.0
        return self.unit * (slow + random.Random(f"{self.seed} {key}").uniform(0.2, 3.0))


Fate = Callable[[str, int], None]
"""What happens to a body before it ends; it may raise, or interrupt."""


def newsroom(
    delays: Delays, clock: VirtualClock, fate: Fate, *, nested: bool = True, **compiled: Any
) -> Any:
    """plan -> [ask(topic) -> dig(topic) -> write(topic)] -> publish; ask(2) is slow.

    `dig` is a subgraph if `nested`. With a checkpointer such a node waits for its step.
    """

    def model(*key: Any) -> FakeChatModel:
        # An engine of its own for each call: no call is slowed down by its neighbours, who
        # are others under each executor.
        return FakeChatModel(
            script={"topic": f"About {key} there is much to say, and some of it is true."},
            engine=FakeEngine(clock=clock),
        )

    async def plan(state: Desk) -> Desk:
        get_stream_writer()({"plan": state["topics"]})
        await asyncio.sleep(delays.of("plan"))
        return {"notes": ["planned"]}

    def fan_out(state: Desk) -> list[Send]:
        return [Send("ask", {"topic": topic}) for topic in state["topics"]]

    async def ask(arg: dict[str, int]) -> Command[Any]:
        topic = arg["topic"]
        write = get_stream_writer()
        write({"ask": topic})
        await asyncio.sleep(delays.of("ask", topic))
        await adispatch_custom_event("asked", {"topic": topic})
        write({"asking": topic})
        answer = await model("ask", topic).ainvoke([HumanMessage(f"topic {topic}", id=f"h{topic}")])
        fate("ask", topic)
        return Command(goto=Send("dig", {"topic": topic}), update={"messages": [answer]})

    async def look(state: Inner) -> Inner:
        get_stream_writer()({"look": state["topic"]})
        await asyncio.sleep(delays.of("look", state["topic"]))
        return {"found": f"gold {state['topic']}"}

    async def sift(state: Inner) -> Command[Any]:
        await asyncio.sleep(delays.of("sift", state["topic"]))
        text = await model("sift", state["topic"]).ainvoke(f"topic {state['topic']}")
        get_stream_writer()({"sift": state["found"]})
        return Command(
            graph=Command.PARENT,
            goto=Send("write", {"topic": state["topic"], "text": text.text}),
            update={"notes": [state["found"]]},
        )

    async def dig(arg: dict[str, Any]) -> Command[Any]:
        topic = arg["topic"]
        await asyncio.sleep(delays.of("dig", topic))
        get_stream_writer()({"dig": topic})
        text = await model("dig", topic).ainvoke(f"topic {topic}")
        return Command(goto=Send("write", {"topic": topic, "text": text.text}))

    async def write(arg: dict[str, Any]) -> Desk:
        await asyncio.sleep(delays.of("write", arg["topic"]))
        get_stream_writer()({"write": arg["topic"]})
        fate("write", arg["topic"])
        return {"notes": [{"written": arg["topic"], "text": arg["text"]}]}

    async def publish(state: Desk) -> Desk:
        return {"report": f"{len(state['notes'])} notes, {len(state.get('messages', []))} messages"}

    inner = StateGraph(Inner)
    inner.add_node("look", look, metadata=AHEAD)
    inner.add_node("sift", sift, metadata=AHEAD)
    inner.add_edge(START, "look")
    inner.add_edge("look", "sift")

    builder = StateGraph(Desk)
    builder.add_node("plan", plan, metadata=AHEAD)
    builder.add_node("ask", ask, metadata=AHEAD, destinations=("dig",))
    digging: Any = inner.compile() if nested else dig
    builder.add_node("dig", digging, metadata=AHEAD, destinations=("write",))
    builder.add_node("write", write, metadata=AHEAD)
    builder.add_node("publish", publish, metadata=AHEAD, defer=True)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", fan_out, ["ask"])
    builder.add_edge("write", "publish")
    builder.add_edge("publish", END)
    graph = builder.compile(**compiled)
    graph.name = "newsroom"
    return graph


def fine(node: str, topic: int) -> None:
    """Nothing happens."""


def asking_two_fails(node: str, topic: int) -> None:
    if (node, topic) == ("ask", 2):
        raise ValueError("nobody answers")


def asking_two_interrupts(node: str, topic: int) -> None:
    if (node, topic) == ("ask", 2):
        interrupt("who should answer?")


Timed = tuple[float, Any]
"""When something was seen, and what."""


def in_order(expected: list[Timed], found: list[Timed]) -> tuple[list[Any], list[Any]]:
    """Both as plain lists that are equal if the order is LangGraph's.

    What LangGraph emitted at one and the same moment may come in any order; such a group is
    sorted, in both lists.
    """
    assert len(expected) == len(found)
    sizes = [len(list(group)) for _, group in itertools.groupby(expected, key=lambda seen: seen[0])]
    return _grouped(expected, sizes), _grouped(found, sizes)


def assert_same_order(expected: list[Timed], found: list[Timed]) -> None:
    one, other = in_order(expected, found)
    spot = first_difference(one, other)
    assert spot is None, spot


def _grouped(seen: list[Timed], sizes: list[int]) -> list[Any]:
    things = iter([thing for _, thing in seen])
    groups = [list(itertools.islice(things, size)) for size in sizes]
    return rename([sorted(group, key=lambda thing: key_of(mask(thing))) for group in groups])


class Events:
    """A callback handler's notes."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.now = now
        self.seen: list[Timed] = []

    def note(self, event: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kept = {k: plain(v) for k, v in kwargs.items() if k not in ("serialized", "options")}
        self.seen.append((self.now(), [event, [plain(a) for a in args if a is not None], kept]))


_EVENTS = (
    "on_chain_start",
    "on_chain_end",
    "on_chain_error",
    "on_chat_model_start",
    "on_llm_new_token",
    "on_llm_end",
    "on_llm_error",
    "on_custom_event",
)


def _sync_note(event: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> None:
        self.note(event, args, kwargs)

    return method


def _async_note(event: str) -> Any:
    async def method(self: Any, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        self.note(event, args, kwargs)

    return method


class SyncEvents(Events, BaseCallbackHandler):
    """In the emitter's own thread."""

    run_inline = True


class AsyncEvents(Events, AsyncCallbackHandler):
    """On the event loop."""


for _event in _EVENTS:
    setattr(SyncEvents, _event, _sync_note(_event))
    setattr(AsyncEvents, _event, _async_note(_event))


Consume = Callable[[Any, dict[str, Any]], AsyncIterator[Any]]


def of_stream(modes: list[str], *, subgraphs: bool = True) -> Consume:
    async def consume(graph: Any, config: dict[str, Any]) -> AsyncIterator[Any]:
        async for chunk in graph.astream(
            {"topics": [0, 1, 2]}, config, stream_mode=modes, subgraphs=subgraphs
        ):
            yield chunk

    return consume


def of_events(version: str) -> Consume:
    async def consume(graph: Any, config: dict[str, Any]) -> AsyncIterator[Any]:
        async for event in graph.astream_events({"topics": [0, 1, 2]}, config, version=version):
            yield event

    return consume


async def of_log(graph: Any, config: dict[str, Any]) -> AsyncIterator[Any]:
    async for patch in graph.astream_log({"topics": [0, 1, 2]}, config):
        for op in patch.ops:
            # Runs of one name are numbered as they begin, and their ids never come again.
            yield mask(plain({**op, "path": re.sub(r":\d+", "", op["path"])}))


CONSUMERS: dict[str, Consume] = {
    "all modes": of_stream(ALL_MODES),
    "all modes, no subgraphs": of_stream(ALL_MODES, subgraphs=False),
    "updates": of_stream(["updates"]),
    "messages": of_stream(["messages"]),
    "custom": of_stream(["custom"]),
    "events v1": of_events("v1"),
    "events v2": of_events("v2"),
    "log": of_log,
}


class Seen:
    """All that a client saw of one run."""

    def __init__(self) -> None:
        self.chunks: list[Timed] = []
        self.error: Any = None
        self.sync_events: list[Timed] = []
        self.async_events: list[Timed] = []
        self.took = 0.0
        self.reports: list[Any] = []

    def total(self, name: str) -> int:
        return sum(getattr(report, name) for report in self.reports)


def watch(
    consume: Consume,
    *,
    seed: int = 1,
    fate: Fate = fine,
    options: Options | None = None,
    handlers: bool = False,
    saver: bool = False,
    nested: bool | None = None,
) -> Seen:
    """Run the newsroom on LangGraph, or with `options` on ALTO, in virtual time."""
    clock = VirtualClock()
    compiled = {"checkpointer": InMemorySaver()} if saver else {}
    nested = not saver if nested is None else nested
    graph = newsroom(Delays(seed), clock, fate, nested=nested, **compiled)
    if options is not None:
        graph = accelerate(graph, options=options)
    seen = Seen()
    sync_handler, async_handler = SyncEvents(clock.now), AsyncEvents(clock.now)
    config: dict[str, Any] = {"configurable": {"thread_id": "t"}}
    if handlers:
        config["callbacks"] = [sync_handler, async_handler]

    async def main() -> None:
        began = clock.now()
        try:
            async for chunk in consume(graph, config):
                seen.chunks.append((clock.now(), plain(chunk)))
        except ValueError as error:
            seen.error = plain(error)
        seen.took = clock.now() - began

    with record() as seen.reports:
        run_on(clock, main())
    seen.sync_events, seen.async_events = sync_handler.seen, async_handler.seen
    return seen


def run_on(clock: VirtualClock, main: Coroutine[Any, Any, None]) -> None:
    clock.run(main)


@pytest.mark.slow
@pytest.mark.parametrize("saver", [False, True], ids=["no saver", "saver"])
@pytest.mark.parametrize("name", CONSUMERS)
def test_chunks_are_langgraphs_in_the_same_order(name: str, saver: bool) -> None:
    for seed in (1, 2):
        expected = watch(CONSUMERS[name], seed=seed, saver=saver)
        found = watch(CONSUMERS[name], seed=seed, saver=saver, options=Options())
        assert len(expected.chunks) >= 6
        assert_same_order(expected.chunks, found.chunks)
        assert found.total("adopted") >= 4
        assert found.took < expected.took - 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all modes", "events v2"])
def test_a_subgraph_with_a_checkpointer_waits_for_its_step(name: str) -> None:
    expected = watch(CONSUMERS[name], saver=True, nested=True)
    found = watch(CONSUMERS[name], saver=True, nested=True, options=Options())
    assert_same_order(expected.chunks, found.chunks)
    assert found.reports[0].held["subgraph or task with a checkpointer"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("saver", [False, True], ids=["no saver", "saver"])
@pytest.mark.parametrize("name", ["all modes", "events v2", "updates"])
def test_callback_handlers_are_told_the_same_in_the_same_order(name: str, saver: bool) -> None:
    expected = watch(CONSUMERS[name], handlers=True, saver=saver)
    found = watch(CONSUMERS[name], handlers=True, saver=saver, options=Options())
    assert len(expected.sync_events) > 40
    assert_same_order(expected.sync_events, found.sync_events)
    assert_same_order(expected.async_events, found.async_events)
    assert_same_order(expected.chunks, found.chunks)


@pytest.mark.slow
@pytest.mark.parametrize("fate", [asking_two_fails, asking_two_interrupts])
@pytest.mark.parametrize("name", CONSUMERS)
def test_discarded_work_is_invisible(name: str, fate: Fate) -> None:
    saver = fate is asking_two_interrupts
    expected = watch(CONSUMERS[name], fate=fate, handlers=True, saver=saver)
    found = watch(CONSUMERS[name], fate=fate, handlers=True, saver=saver, options=Options())
    assert found.total("discarded") >= 2
    assert rename(found.error) == rename(expected.error)
    assert (expected.error is None) == saver
    assert_same_order(expected.chunks, found.chunks)
    assert_same_order(expected.sync_events, found.sync_events)
    assert_same_order(expected.async_events, found.async_events)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all modes", "messages", "custom", "updates"])
def test_eager_emits_the_same_chunks_sooner(name: str) -> None:
    expected = watch(CONSUMERS[name], seed=3)
    found = watch(CONSUMERS[name], seed=3, options=Options(emit="eager"))
    assert _contents(found.chunks) == _contents(expected.chunks)


def _contents(seen: list[Timed]) -> list[Any]:
    return unordered([_without_path(chunk) for _, chunk in seen])


def _without_path(value: Any) -> Any:
    """`langgraph_path` of a chunk that is emitted before its step began is not known yet."""
    if isinstance(value, dict):
        return {k: _without_path(v) for k, v in value.items() if k != "langgraph_path"}
    return [_without_path(v) for v in value] if isinstance(value, list) else value


# Synchronous runs are on real time and threads -----------------------------------------------


class Row(TypedDict, total=False):
    """What the sync graph keeps."""

    notes: Annotated[list[Any], operator.add]


SLOT = 0.02


def sync_rows(fail: bool) -> Any:
    """Chains a -> b beside a slow sibling; each body emits in a time slot of its own."""

    def spend(*slots: int) -> None:
        """Sleep until each slot (counted from now), and say so there."""
        began = time.monotonic()
        for slot in slots:
            time.sleep(max(0.0, began + slot * SLOT - time.monotonic()))
            get_stream_writer()({"slot": slot})

    def a(arg: dict[str, int]) -> Command[Any]:
        item = arg["item"]
        spend(*{0: (1, 3), 1: (2, 4), 2: (5, 12)}[item])
        if fail and item == 2:
            raise ValueError("no")
        return Command(goto=Send("b", {"item": item}), update={"notes": [["a", item]]})

    def b(arg: dict[str, int]) -> Row:
        item = arg["item"]
        spend(*{0: (1, 7), 1: (3, 5), 2: (2, 9)}[item])
        return {"notes": [["b", item]]}

    builder = StateGraph(Row)
    builder.add_node("a", a, metadata=AHEAD, destinations=("b",))
    builder.add_node("b", b, metadata=AHEAD)
    builder.add_conditional_edges(START, lambda _: [Send("a", {"item": i}) for i in range(3)])
    return builder.compile()


@pytest.mark.slow
@pytest.mark.parametrize("fail", [False, True], ids=["fine", "fails"])
def test_sync_chunks_are_langgraphs_in_the_same_order(fail: bool) -> None:
    seen = []
    reports: list[Any] = []
    for graph in (sync_rows(fail), accelerate(sync_rows(fail))):
        chunks: list[Any] = []
        handler = SyncEvents()
        try:
            with record() as reports:
                for chunk in graph.stream(
                    {}, {"callbacks": [handler]}, stream_mode=["values", "updates", "custom"]
                ):
                    chunks.append(plain(chunk))
        except ValueError as error:
            chunks.append(plain(error))
        seen.append((rename(chunks), unordered([event for _, event in handler.seen])))
    assert seen[1][0] == seen[0][0]
    assert len(seen[1][1]) == len(seen[0][1])
    assert reports[0].started >= 2
    assert reports[0].adopted >= (0 if fail else 2)
