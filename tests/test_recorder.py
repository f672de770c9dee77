"""What a body emits ahead of its step arrives later as though it had just happened."""

from __future__ import annotations

import copy
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    CallbackManager,
    StdOutCallbackHandler,
    adispatch_custom_event,
    dispatch_custom_event,
)
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableGenerator, RunnableLambda
from langchain_core.tools import tool
from langchain_core.tracers import BaseTracer, ConsoleCallbackHandler
from langchain_core.tracers.event_stream import _AstreamEventsCallbackHandler
from langchain_core.tracers.log_stream import LogStreamCallbackHandler
from langgraph.callbacks import (
    GraphCallbackHandler,
    GraphInterruptEvent,
    GraphResumeEvent,
    get_sync_graph_callback_manager_for_config,
)
from pydantic import BaseModel

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.identity import lazy_str
from langgraph_alto._langgraph.narrowed import NarrowedState
from langgraph_alto._langgraph.recorder import (
    CUSTOM,
    EVENTS,
    TAP,
    DiscardedError,
    Emission,
    Outbox,
    Player,
    Recorder,
    recorder_for,
    recorders_for,
)
from langgraph_alto.testing import FakeChatModel, FakeEngine, FakeRetriever, Reply, VirtualClock

# Handlers that note what they are told

Note = tuple[str, tuple[Any, ...], dict[str, Any]]


class Noting(BaseCallbackHandler):
    """Notes each event with its arguments."""

    run_inline = True

    def __init__(self) -> None:
        self.notes: list[Note] = []


class ANoting(AsyncCallbackHandler):
    """The same, awaited."""

    def __init__(self) -> None:
        self.notes: list[Note] = []


def _note(event: str) -> Callable[..., None]:
    def note(self: Noting, *args: Any, **kwargs: Any) -> None:
        self.notes.append((event, args, kwargs))

    return note


def _anote(event: str) -> Callable[..., Any]:
    async def note(self: ANoting, *args: Any, **kwargs: Any) -> None:
        self.notes.append((event, args, kwargs))

    return note


for _event in EVENTS:
    setattr(Noting, _event, _note(_event))
    setattr(ANoting, _event, _anote(_event))


class Tapping(names.StreamingCallbackHandler[Any], Noting):
    """Notes the chunks of streamed runs too, and makes models stream."""

    async def tap_output_aiter(
        self, run_id: UUID, output: AsyncIterator[Any]
    ) -> AsyncIterator[Any]:
        async for chunk in output:
            self.notes.append(("chunk", (run_id, chunk), {}))
            yield chunk
        self.notes.append(("end of chunks", (run_id,), {}))

    def tap_output_iter(self, run_id: UUID, output: Iterator[Any]) -> Iterator[Any]:
        for chunk in output:
            self.notes.append(("chunk", (run_id, chunk), {}))
            yield chunk
        self.notes.append(("end of chunks", (run_id,), {}))


class V2(names.V2StreamingCallbackHandler, Noting):
    """Wants content blocks."""


class DuckTapping(Noting):
    """Streams by its methods alone, which is enough for LangChain, but not for LangGraph."""

    tap_output_aiter = Tapping.tap_output_aiter
    tap_output_iter = Tapping.tap_output_iter


class NotingTracer(BaseTracer):
    """Keeps the runs that it traced."""

    def __init__(self) -> None:
        super().__init__()
        self.traced: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.traced.append(run)


_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<= at )0x[0-9a-f]+"


def plain(value: Any, ids: dict[str, str]) -> Any:
    """A value as plain data; ids are numbered as they appear, addresses too."""

    def number(found: re.Match[str]) -> str:
        return ids.setdefault(found[0], f"id {len(ids)}")

    match value:
        case UUID() | str():
            return re.sub(_ID, number, str(value))
        case BaseModel():
            return type(value).__name__, plain(value.model_dump(), ids)
        case dict():
            return {plain(k, ids): plain(v, ids) for k, v in value.items()}
        case list() | tuple():
            return [plain(v, ids) for v in value]
        case BaseException():
            return repr(value)
    return value


def told(notes: list[Note]) -> list[Any]:
    ids: dict[str, str] = {}
    return [plain(note, ids) for note in notes]


# Things to call


def model(clock: VirtualClock) -> FakeChatModel:
    return FakeChatModel(
        script=lambda prompt: Reply.of("a rather long answer", 5), engine=FakeEngine(clock=clock)
    )


@tool
def shout(word: str) -> str:
    """Says it louder."""
    return f"{word}!"


@tool
def fail(word: str) -> str:
    """Says nothing."""
    raise ValueError(word)


def report(word: str, config: RunnableConfig) -> str:
    dispatch_custom_event("progress", {"done": 1}, config=config)
    return word


async def areport(word: str, config: RunnableConfig) -> str:
    await adispatch_custom_event("progress", {"done": 1}, config=config)
    return word


def numbers(chunks: Iterator[Any]) -> Iterator[int]:
    for chunk in chunks:
        yield from range(chunk)


async def anumbers(chunks: AsyncIterator[Any]) -> AsyncIterator[int]:
    async for chunk in chunks:
        for number in range(chunk):
            yield number


def chain(clock: VirtualClock) -> Runnable[Any, Any]:
    return ChatPromptTemplate.from_template("Say {x}") | model(clock) | StrOutputParser()


def nested(clock: VirtualClock) -> Runnable[Any, Any]:
    def ask_then_shout(x: str, config: RunnableConfig) -> str:
        return str(shout.invoke({"word": chain(clock).invoke({"x": x}, config)}, config))

    return RunnableLambda(ask_then_shout)


CALLS: dict[str, Callable[[VirtualClock], tuple[Runnable[Any, Any], Any]]] = {
    "model": lambda clock: (model(clock), "hi"),
    "tool": lambda clock: (shout, {"word": "hi"}),
    "tool that fails": lambda clock: (fail, {"word": "hi"}),
    "retriever": lambda clock: (
        FakeRetriever(documents=[Document("hi you")], clock=clock),
        "hi you",
    ),
    "chain": lambda clock: (chain(clock), {"x": "hi"}),
    "chain in a chain": lambda clock: (nested(clock), "hi"),
    "custom event": lambda clock: (RunnableLambda(report, areport), "hi"),
    "generator": lambda clock: (RunnableGenerator(numbers, anumbers), 3),
}


def call(runnable: Runnable[Any, Any], value: Any, config: RunnableConfig, how: str) -> None:
    try:
        if how == "stream":
            for _ in runnable.stream(value, config):
                pass
        else:
            runnable.invoke(value, config)
    except ValueError:
        pass


async def acall(runnable: Runnable[Any, Any], value: Any, config: RunnableConfig, how: str) -> None:
    try:
        if how == "stream":
            async for _ in runnable.astream(value, config):
                pass
        else:
            await runnable.ainvoke(value, config)
    except ValueError:
        pass


def config_with(*handlers: BaseCallbackHandler) -> RunnableConfig:
    return {
        "callbacks": [*handlers],
        "tags": ["tag"],
        "metadata": {"step": 3},
        "run_name": "named",
    }


def outbox() -> Outbox:
    return Outbox(lambda: 0.0, lambda: None)


def play(box: Outbox, *handlers: BaseCallbackHandler) -> Player:
    player = Player(handlers)
    for emission in box.emissions:
        player.play(emission)
    return player


# Replayed, everything arrives as in a direct run


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("handler_type", [Noting, Tapping, DuckTapping, V2])
def test_what_is_replayed_equals_what_a_direct_run_tells(
    handler_type: type[Noting], kind: str, how: str
) -> None:
    direct, late = handler_type(), handler_type()
    runnable, value = CALLS[kind](VirtualClock())
    call(runnable, value, config_with(direct), how)
    box = outbox()
    runnable, value = CALLS[kind](VirtualClock())
    call(runnable, value, config_with(*recorders_for([late], box)), how)
    assert late.notes == []
    play(box, late)
    assert told(late.notes) == told(direct.notes)
    assert direct.notes


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("handler_type", [Noting, ANoting, Tapping, DuckTapping, V2])
def test_what_is_replayed_asynchronously_equals_what_a_direct_run_tells(
    handler_type: type[Noting] | type[ANoting], kind: str, how: str
) -> None:
    direct, late = handler_type(), handler_type()

    async def main(clock: VirtualClock, *, record: bool) -> None:
        runnable, value = CALLS[kind](clock)
        if not record:
            await acall(runnable, value, config_with(direct), how)
            return
        box = outbox()
        await acall(runnable, value, config_with(*recorders_for([late], box)), how)
        assert late.notes == []
        player = Player([late])
        for emission in box.emissions:
            await player.aplay(emission)

    for record in (False, True):
        clock = VirtualClock()
        clock.run(main(clock, record=record))
    assert told(late.notes) == told(direct.notes)
    assert direct.notes


def test_events_of_astream_events_are_the_same() -> None:
    """LangChain's own tapping handler, with the chunks of every run in it."""

    def handler() -> Any:
        return _AstreamEventsCallbackHandler()

    async def events_of(tapping: Any) -> list[Any]:
        await tapping.send_stream.aclose()
        return [event async for event in tapping]

    async def main(clock: VirtualClock, *, record: bool) -> list[Any]:
        tapping = handler()
        box = outbox()
        attached: list[BaseCallbackHandler] = [*recorders_for([tapping], box)]
        callbacks = attached if record else [tapping]
        async for _ in chain(clock).astream({"x": "hi"}, {"callbacks": callbacks}):
            pass
        player = Player([tapping])
        for emission in box.emissions:
            await player.aplay(emission)
        return await events_of(tapping)

    found = []
    for record in (False, True):
        clock = VirtualClock()
        ids: dict[str, str] = {}
        found.append([plain(e, ids) for e in clock.run(main(clock, record=record))])
    assert found[0] == found[1]
    kinds = {event["event"] for event in found[0]}
    assert {"on_chat_model_stream", "on_parser_stream", "on_chain_stream"} <= kinds


def shared_log() -> tuple[list[Any], list[Any]]:
    """Handlers of several kinds that note into one list, and that list."""
    notes: list[Any] = []

    def note_as(kind: type[Any], name: str) -> Any:
        handler = kind()
        handler.notes = _Named(name, notes)
        return handler

    kinds = {"a": ANoting, "b": Noting, "c": V2, "d": Tapping, "e": ANoting, "f": Tapping}
    return [note_as(kind, name) for name, kind in kinds.items()], notes


class _Named:
    """Notes who noted."""

    def __init__(self, name: str, notes: list[Any]) -> None:
        self._name, self._notes = name, notes

    def append(self, note: Note) -> None:
        self._notes.append((note[0], (self._name, *note[1]), note[2]))


@pytest.mark.parametrize("kind", ["chain in a chain", "generator"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_handlers_are_told_in_the_same_order(kind: str, asynchronous: bool) -> None:
    """In an asynchronous run LangChain tells those first that are told inline."""

    def run(*, record: bool) -> list[Any]:
        clock = VirtualClock()
        handlers, notes = shared_log()
        box = outbox()
        runnable, value = CALLS[kind](clock)
        attached = recorders_for(handlers, box) if record else handlers
        if not asynchronous:
            call(runnable, value, config_with(*attached), "stream")
            play(box, *handlers)
            return told(notes)

        async def main() -> None:
            await acall(runnable, value, config_with(*attached), "stream")
            player = Player(handlers)
            for emission in box.emissions:
                await player.aplay(emission)

        clock.run(main())
        return told(notes)

    assert run(record=True) == run(record=False)


MIXTURES: dict[str, Callable[[], list[Noting]]] = {
    "two plain ones": lambda: [Noting(), Noting()],
    "plain and tapping": lambda: [Noting(), Tapping(), Noting()],
    "two tapping ones": lambda: [Tapping(), Tapping()],
    "tapping by class and by methods": lambda: [DuckTapping(), Tapping()],
    "both protocols": lambda: [Tapping(), V2()],
}


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("kind", ["chain in a chain", "generator", "tool that fails"])
@pytest.mark.parametrize("mixture", MIXTURES)
def test_several_handlers_are_told_what_each_would_be(mixture: str, kind: str, how: str) -> None:
    direct, late = MIXTURES[mixture](), MIXTURES[mixture]()
    runnable, value = CALLS[kind](VirtualClock())
    call(runnable, value, config_with(*direct), how)
    box = outbox()
    runnable, value = CALLS[kind](VirtualClock())
    call(runnable, value, config_with(*recorders_for(late, box)), how)
    play(box, *late)
    for here, there in zip(late, direct, strict=True):
        assert told(here.notes) == told(there.notes)
        assert here.notes


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("mixture", MIXTURES)
def test_what_a_recorder_plays_to_a_recorder(mixture: str, kind: str, how: str) -> None:
    """A graph that a run-ahead body calls may run ahead itself."""
    direct, late = MIXTURES[mixture](), MIXTURES[mixture]()
    runnable, value = CALLS[kind](VirtualClock())
    call(runnable, value, config_with(*direct), how)
    outer, inner = outbox(), outbox()
    between = recorders_for(late, outer)
    runnable, value = CALLS[kind](VirtualClock())
    call(runnable, value, config_with(*recorders_for(between, inner)), how)
    play(inner, *between)
    play(outer, *late)
    for here, there in zip(late, direct, strict=True):
        assert told(here.notes) == told(there.notes)


@pytest.mark.parametrize("kind", ["chain in a chain", "tool that fails"])
def test_a_tracer_traces_the_same_runs(kind: str) -> None:
    def shape(run: Any) -> Any:
        return (run.name, run.run_type, run.error is None, [shape(r) for r in run.child_runs])

    direct, late = NotingTracer(), NotingTracer()
    runnable, value = CALLS[kind](VirtualClock())
    call(runnable, value, config_with(direct), "invoke")
    box = outbox()
    runnable, value = CALLS[kind](VirtualClock())
    call(runnable, value, config_with(*recorders_for([late], box)), "invoke")
    assert late.traced == []
    play(box, late)
    assert [shape(run) for run in late.traced] == [shape(run) for run in direct.traced]
    assert len(direct.traced) == 1


def test_a_tap_that_stops_early_disturbs_nobody() -> None:
    class Impatient(Tapping):
        def tap_output_iter(self, run_id: UUID, output: Iterator[Any]) -> Iterator[Any]:
            yield next(output)

    impatient, patient = Impatient(), Tapping()
    run_id, box = uuid4(), outbox()
    chunks: Iterator[Any] = iter("abc")
    for recorder in recorders_for([impatient, patient], box):
        tapped: Any = recorder
        chunks = tapped.tap_output_iter(run_id, chunks)
    assert list(chunks) == ["a", "b", "c"]
    play(box, impatient, patient)
    assert [n[1][1] for n in patient.notes if n[0] == "chunk"] == ["a", "b", "c"]


def test_taps_of_two_runs_may_interleave() -> None:
    tapping, box = Tapping(), outbox()
    recorder: Any = recorder_for([tapping], box)
    one, two = uuid4(), uuid4()
    streams = [recorder.tap_output_iter(one, iter("ab")), recorder.tap_output_iter(two, iter("xy"))]
    for chunks in zip(*streams, strict=True):
        assert len(chunks) == 2
    play(box, tapping)
    for run_id, chunks in ((one, ["a", "b"]), (two, ["x", "y"])):
        assert [n[1][1] for n in tapping.notes if n[0] == "chunk" and n[1][0] == run_id] == chunks
        assert ("end of chunks", (run_id,), {}) in tapping.notes


# Single events


ARGUMENTS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "on_chat_model_start": (({}, [[HumanMessage("hi")]]), {"metadata": {"a": 1}, "tags": []}),
    "on_llm_start": (({}, ["hi"]), {"metadata": {"a": 1}}),
    "on_text": (("text",), {}),
    "on_retry": ((object(),), {}),
    "on_custom_event": (("name", {"data": 1}), {"tags": [], "metadata": {}}),
}


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_is_passed_on_unchanged(event: str) -> None:
    args, kwargs = ARGUMENTS.get(event, (("something",), {"more": 1}))
    kwargs = {"run_id": uuid4(), "parent_run_id": uuid4(), **kwargs}
    # A tool's own arguments are among them, whatever their names.
    kwargs |= {"kind": "k", "recorder": "r", "outbox": "o"}
    handler, box = Noting(), outbox()
    getattr(recorder_for([handler], box), event)(*args, **kwargs)
    (emission,) = box.emissions
    assert emission.kind == event
    Player([handler]).play(emission)
    assert handler.notes == [(event, args, kwargs)]


@pytest.mark.parametrize("handler_type", [BaseCallbackHandler, GraphCallbackHandler])
def test_every_event_is_known(handler_type: type[BaseCallbackHandler]) -> None:
    assert {n for n in dir(handler_type) if n.startswith("on_")} <= set(EVENTS)
    for switch in filter(None, EVENTS.values()):
        assert getattr(BaseCallbackHandler(), switch) is False


@pytest.mark.parametrize("event", [e for e, switch in EVENTS.items() if switch])
def test_a_handler_that_ignores_an_event_is_not_told(event: str) -> None:
    class Ignoring(Noting):
        def __getattribute__(self, name: str) -> Any:
            return True if name == EVENTS[event] else super().__getattribute__(name)

    handler = Ignoring()
    recorders = recorders_for([handler], outbox())
    Player([handler]).play(Emission(0.0, event, ("something",), {"run_id": uuid4()}, recorders))
    assert handler.notes == []


def test_a_handler_for_completions_gets_a_chat_as_text() -> None:
    class OnlyText(BaseCallbackHandler):
        def __init__(self) -> None:
            self.prompts: list[str] = []

        def on_llm_start(self, serialized: Any, prompts: list[str], **kwargs: Any) -> None:
            self.prompts += prompts

    handler, box = OnlyText(), outbox()
    call(model(VirtualClock()), "hi", config_with(*recorders_for([handler], box)), "invoke")
    play(box, handler)
    assert handler.prompts == ["Human: hi"]


def test_an_error_of_a_handler_stays_its_own(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Noting):
        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            raise RuntimeError("broken")

    broken, sound = Broken(), Noting()
    recorders = recorders_for([broken, sound], outbox())
    player = Player([broken, sound])
    player.play(Emission(0.0, "on_chain_start", ({}, {}), {"run_id": uuid4()}, recorders))
    assert [n[0] for n in sound.notes] == ["on_chain_start"]
    assert "broken" in caplog.text


def test_metadata_is_known_when_a_handler_sees_it() -> None:
    handler = Noting()
    metadata = {"ns": lazy_str(lambda: "real", "placeholder"), "plain": 1}
    kwargs = {"run_id": uuid4(), "metadata": metadata}
    recorders = recorders_for([handler], outbox())
    emission = Emission(0.0, "on_chain_start", ({}, {}), kwargs, recorders)
    Player([handler]).play(emission)
    Player([handler], provisional=True).play(emission)
    assert [n[2]["metadata"] for n in handler.notes] == [
        {"ns": "real", "plain": 1},
        {"ns": "placeholder", "plain": 1},
    ]
    assert all(type(n[2]["metadata"]["ns"]) is str for n in handler.notes)


# A recorder is of the classes that are asked for, like the handler that it stands in for


def ignore(chunk: Any) -> None:
    """Nobody consumes this stream."""


class Both(Tapping, V2):
    """Streams by either protocol."""


class TappingGraphHandler(GraphCallbackHandler, Tapping):
    """Told of interrupts, and streams."""


HANDLERS: dict[str, Callable[[], Any]] = {
    "plain": Noting,
    "asynchronous": ANoting,
    "tapping": Tapping,
    "tapping by its methods": DuckTapping,
    "content blocks": V2,
    "both protocols": Both,
    "tracer": NotingTracer,
    "streaming tracer": LogStreamCallbackHandler,
    "console": ConsoleCallbackHandler,
    "stdout": StdOutCallbackHandler,
    "graph": GraphCallbackHandler,
    "graph, tapping": TappingGraphHandler,
    "astream_events": _AstreamEventsCallbackHandler,
    "messages": lambda: names.StreamMessagesHandler(ignore, False, parent_ns=("a",)),
    "messages v2": lambda: names.StreamMessagesHandlerV2(ignore, True),
    "tools": lambda: names.StreamToolCallHandler(ignore, False, parent_ns=("a",)),
}

ASKED: tuple[type, ...] = (
    names.StreamingCallbackHandler,
    names.V2StreamingCallbackHandler,
    names.StreamMessagesHandler,
    names.StreamMessagesHandlerV2,
    names.StreamToolCallHandler,
    GraphCallbackHandler,
    BaseTracer,
    ConsoleCallbackHandler,
    StdOutCallbackHandler,
)


@pytest.mark.parametrize("kind", HANDLERS)
def test_a_recorder_is_what_its_handler_is(kind: str) -> None:
    handler = HANDLERS[kind]()
    recorder = recorder_for([handler], outbox())
    again = recorder_for([recorder], outbox())
    for found in (recorder, again):
        for asked in ASKED:
            assert isinstance(found, asked) is isinstance(handler, asked), asked
            # LangGraph asks this way whether a node is run as a stream.
            assert (asked in type(found).__mro__) is (asked in type(handler).__mro__), asked
        assert found.run_inline
        assert isinstance(found, Recorder)


@pytest.mark.parametrize("kind", ["messages", "messages v2", "tools"])
def test_what_is_asked_of_a_stream_handler(kind: str) -> None:
    handler = HANDLERS[kind]()
    recorder: Any = recorder_for([handler], outbox())
    assert (recorder.subgraphs, recorder.parent_ns) == (handler.subgraphs, handler.parent_ns)
    chunks = iter("ab")
    assert recorder.tap_output_iter(uuid4(), chunks) is chunks
    assert not hasattr(recorder, "unheard_of")
    assert copy.copy(recorder).stands_for == [handler]


def test_a_handler_that_applications_may_switch_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """LangChain adds one by an environment variable wherever it finds none of its class."""
    monkeypatch.setenv("NOTING", "true")
    hooks = [*names.configure_hooks, (ContextVar("noting", default=None), True, Noting, "NOTING")]
    monkeypatch.setattr(names, "configure_hooks", hooks)
    monkeypatch.setattr("langchain_core.tracers.context._configure_hooks", hooks)
    handler, box = Noting(), outbox()
    call(shout, {"word": "hi"}, config_with(*recorders_for([handler], box)), "invoke")
    play(box, handler)
    assert [n[0] for n in handler.notes] == ["on_tool_start", "on_tool_end"]
    assert isinstance(recorder_for([handler], box), Noting)


def test_only_handlers_that_nobody_asks_for_share_a_recorder() -> None:
    plain, tapping = [Noting() for _ in range(3)], [Tapping(), Tapping()]
    handlers: list[Any] = [plain[0], plain[1], *tapping, plain[2]]
    shares = [recorder.stands_for for recorder in recorders_for(handlers, outbox())]
    assert shares == [plain[:2], tapping[:1], tapping[1:], plain[2:]]
    assert recorders_for([], outbox()) == []


def test_a_handler_is_not_added_beside_its_recorder() -> None:
    """Whoever adds it again in a body: an instrumentation, or the body itself."""
    handler, other = Noting(), Noting()
    (recorder,) = recorders_for([handler], Outbox(lambda: 0.0, lambda: None))
    (nested,) = recorders_for([recorder], Outbox(lambda: 0.0, lambda: None))
    for stand_in in (recorder, nested):
        manager = CallbackManager([stand_in], inheritable_handlers=[stand_in])
        manager.add_handler(handler)
        assert manager.handlers == manager.inheritable_handlers == [stand_in]
        assert manager.handlers[0] is stand_in
        manager.add_handler(other)
        assert manager.handlers[1] is other


def test_interrupts_are_told_to_those_who_ask() -> None:
    class Interrupts(GraphCallbackHandler):
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def on_interrupt(self, event: Any) -> None:
            self.seen.append(event)

        def on_resume(self, event: Any) -> None:
            self.seen.append(event)

    handler, box = Interrupts(), outbox()
    common: dict[str, Any] = {
        "run_id": uuid4(),
        "status": "interrupted",
        "checkpoint_id": "c",
        "checkpoint_ns": (),
    }
    events = [GraphInterruptEvent(interrupts=(), **common), GraphResumeEvent(**common)]
    (recorder,) = recorders_for([handler], box)
    manager: Any = get_sync_graph_callback_manager_for_config({"callbacks": [recorder]})
    manager.on_interrupt(events[0])
    manager.on_resume(events[1])
    assert handler.seen == []
    play(box, handler)
    assert handler.seen == events


@pytest.mark.parametrize("handler_type", [Noting, Tapping])
def test_a_model_streams_ahead_if_it_would_stream_for_real(handler_type: type[Noting]) -> None:
    box = outbox()
    recorders = recorders_for([Noting(), handler_type()], box)
    call(model(VirtualClock()), "hi", config_with(*recorders), "invoke")
    tokens = [e for e in box.emissions if e.kind == "on_llm_new_token"]
    assert bool(tokens) is (handler_type is Tapping)


# The outbox


def test_an_outbox_keeps_the_age_of_each_emission_and_tells_of_it() -> None:
    ages = iter([0.5, 1.5])
    appended: list[int] = []
    box = Outbox(lambda: next(ages), lambda: appended.append(len(box.emissions)))
    box.put(CUSTOM, "first")
    box.put(TAP, 1, 2, more=3)
    assert list(box.emissions) == [
        Emission(0.5, CUSTOM, ("first",), {}),
        Emission(1.5, TAP, (1, 2), {"more": 3}),
    ]
    assert appended == [1, 2]


def test_an_event_is_one_emission_however_many_are_told() -> None:
    box, run_id = outbox(), uuid4()
    one, two = recorders_for([Tapping(), V2()], box)
    for recorder in (one, two, one, two):
        recorder.on_llm_new_token("a", chunk=None, run_id=run_id)
    two.on_llm_new_token("a", chunk=None, run_id=uuid4())
    assert [emission.recorders for emission in box.emissions] == [[one, two], [one, two], [two]]


def test_an_emission_that_is_being_played_is_told_nobody_else() -> None:
    box, run_id, late = outbox(), uuid4(), Tapping()
    one, two = recorders_for([Tapping(), late], box)
    one.on_text("a", run_id=run_id)
    Player([]).play(box.emissions[0])
    two.on_text("a", run_id=run_id)
    assert [emission.recorders for emission in box.emissions] == [[one], [two]]
    Player([]).play(box.emissions[1])
    assert [note[1] for note in late.notes] == [("a",)]


def test_a_cut_outbox_keeps_nothing() -> None:
    appended: list[int] = []
    box = Outbox(lambda: 0.0, lambda: appended.append(1))
    recorder = recorder_for([Tapping()], box)
    recorder.on_text("seen", run_id=uuid4())
    box.cut()
    assert box.is_cut
    call(chain(VirtualClock()), {"x": "hi"}, config_with(recorder), "stream")
    box.put(CUSTOM, "late")
    assert list(box.emissions) == []
    assert appended == [1]


# Handed out eagerly


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state": s}, lambda s: [s], lambda s: (s,)]
)
def test_an_input_that_is_not_settled_is_shown_as_far_as_it_is(wrap: Callable[[Any], Any]) -> None:
    """A handler must not make its body give up by looking at all of it."""
    asked: list[Any] = []
    state = NarrowedState({"a": 1}, {"a"})
    state.ask = asked.append
    handler, box = Noting(), outbox()
    (recorder,) = recorders_for([handler], box)
    recorder.on_chain_start({}, wrap(state), run_id=uuid4())
    Player([handler], provisional=True).play(box.emissions[0])
    assert plain(handler.notes[0][1][1], {}) == plain(wrap({"a": 1}), {})
    assert asked == []


# What was handed out and then discarded is ended


@pytest.mark.parametrize("kind", ["model", "tool", "retriever", "chain"])
def test_what_began_and_was_discarded_is_ended_innermost_first(kind: str) -> None:
    handler, box = Noting(), outbox()
    runnable, value = CALLS[kind](VirtualClock())
    outer: Runnable[Any, Any] = RunnableLambda(runnable.invoke)
    call(outer, value, config_with(*recorders_for([handler], box)), "invoke")
    player = Player([handler], provisional=True)
    open_runs: list[UUID] = []
    for emission in box.emissions:
        if emission.kind.endswith("_end"):
            break
        if emission.kind.endswith("_start"):
            open_runs.append(emission.kwargs["run_id"])
        player.play(emission)
    begun = len(handler.notes)
    for emission in player.closing():
        player.play(emission)
    ends = handler.notes[begun:]
    assert [n[2]["run_id"] for n in ends] == open_runs[::-1]
    inner = {"model": "on_llm_error", "chain": "on_chain_error"}.get(kind, f"on_{kind}_error")
    assert ends[0][0] == inner
    assert ends[-1][0] == "on_chain_error"
    assert all(isinstance(n[1][0], DiscardedError) for n in ends)
    assert player.closing() == []


def test_what_ended_is_not_ended_again() -> None:
    handlers, box = [Noting(), Tapping()], outbox()
    recorders = recorders_for(handlers, box)
    call(chain(VirtualClock()), {"x": "hi"}, config_with(*recorders), "invoke")
    assert play(box, *handlers).closing() == []


def test_who_was_told_of_the_beginning_is_told_of_the_end() -> None:
    handlers, box = [Noting(), Tapping()], outbox()
    first, second = recorders_for(handlers, box)
    outer, inner = uuid4(), uuid4()
    for run_id in (outer, inner):
        first.on_chain_start({}, {}, run_id=run_id)
        second.on_chain_start({}, {}, run_id=run_id)
    first.on_chain_end({}, run_id=inner)
    player = play(box, *handlers)
    for emission in player.closing():
        player.play(emission)
    ended = [[n[2]["run_id"] for n in h.notes if n[0] == "on_chain_error"] for h in handlers]
    assert ended == [[outer], [inner, outer]]


def test_messages_keep_their_types() -> None:
    """The comparison above looks at fields; handlers get the very objects."""
    handler, box = Noting(), outbox()
    message = HumanMessage("hi")
    call(model(VirtualClock()), [message], config_with(*recorders_for([handler], box)), "invoke")
    play(box, handler)
    ((found,),) = handler.notes[0][1][1]
    assert isinstance(found, BaseMessage)
    assert found == message
