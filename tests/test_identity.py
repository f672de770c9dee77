"""Lazy identities: who asks, who does not, and whether the answer is LangGraph's."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
import operator
import pickle
from collections.abc import Callable
from typing import Annotated, Any, NoReturn, TypedDict

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.callbacks.manager import AsyncCallbackManager, CallbackManager
from langchain_core.documents import Document
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableParallel
from langchain_core.runnables.config import ensure_config, merge_configs, patch_config
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_config
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import ExecutionInfo, Runtime
from langgraph.types import Send
from pydantic import BaseModel

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.identity import (
    Identity,
    LazyExecutionInfo,
    Reservation,
    TaskIdentity,
    identity_of_send,
    is_lazy,
    lazy_str,
    lazy_tuple,
    plain_metadata,
    provisional_metadata,
    real_values,
)
from langgraph_alto._langgraph.recorder import Outbox, recorder_for
from langgraph_alto.testing import FakeChatModel, FakeEngine, FakeRetriever, VirtualClock

NS = "work:1234-abcd"
PATH = ("__pregel_push", 3, False)


class Asked(Exception):
    """A lazy value was used where it must only be carried."""


def refuse() -> NoReturn:
    raise Asked


# Lazy values: what asks


STR_ASKS: list[tuple[str, Callable[[Any], object]]] = [
    ("str", str),
    ("repr", repr),
    ("format", lambda v: f"{v}"),
    ("format with a width", lambda v: f"{v:>20}"),
    ("str.format", lambda v: "{} {}".format(v, 1)),  # noqa: UP032
    ("percent", lambda v: "%s" % v),  # noqa: UP031
    ("equal", lambda v: v == NS),
    ("equal, reversed", lambda v: NS == v),  # noqa: SIM300
    ("different", lambda v: v != "other"),
    ("less", lambda v: v < "z"),
    ("less, reversed", lambda v: "a" < v),  # noqa: SIM300
    ("sorted", lambda v: sorted([v, "a"])),
    ("hash", hash),
    ("found as a key", lambda v: {NS: 1}[v]),
    ("a key that is found", lambda v: {v: 1}[NS]),
    ("in a set", lambda v: v in {NS}),
    ("split", lambda v: v.split(":")),
    ("rsplit", lambda v: v.rsplit(":", 1)),
    ("partition", lambda v: v.partition(":")),
    ("join of its split", lambda v: "|".join(v.split(":"))),
    ("contains", lambda v: ":" in v),
    ("len", len),
    ("first", lambda v: v[0]),
    ("slice", lambda v: v[2:5]),
    ("iter", list),
    ("concatenated", lambda v: v + "!"),
    ("concatenated, reversed", lambda v: "!" + v),
    ("times", lambda v: v * 2),
    ("times, reversed", lambda v: 2 * v),
    ("startswith", lambda v: v.startswith("work")),
    ("encode", lambda v: v.encode()),
    ("upper", lambda v: v.upper()),
    ("replace", lambda v: v.replace("w", "W")),
    ("json of its str", lambda v: json.dumps(str(v))),
    ("pickle", lambda v: pickle.loads(pickle.dumps(v))),
]

TUPLE_ASKS: list[tuple[str, Callable[[Any], object]]] = [
    ("str", str),
    ("repr", repr),
    ("equal", lambda v: v == PATH),
    ("equal, reversed", lambda v: PATH == v),  # noqa: SIM300
    ("less", lambda v: v < ("z",)),
    ("hash", hash),
    ("key", lambda v: {PATH: 1}[v]),
    ("len", len),
    ("item", lambda v: v[1]),
    ("slice", lambda v: v[1:]),
    ("contains", lambda v: 3 in v),
    ("iter", list),
    ("tuple", tuple),
    ("starred", lambda v: [*v]),
    ("starred tuple", lambda v: (0, *v)),
    ("unpacked", lambda v: operator.itemgetter(2, 0)([*v])),
    ("unpacked into arguments", lambda v: "{} {} {}".format(*v)),
    ("count and index", lambda v: (v.count(3), v.index(3))),
    ("concatenated", lambda v: v + (1,)),
    ("concatenated, reversed", lambda v: (1,) + v),
    ("times", lambda v: v * 2),
    ("json", json.dumps),
    ("pickle", lambda v: pickle.loads(pickle.dumps(v))),
]

ASKS = [
    *[pytest.param(f, NS, id=f"str, {name}") for name, f in STR_ASKS],
    *[pytest.param(f, PATH, id=f"tuple, {name}") for name, f in TUPLE_ASKS],
]


def lazy(get: Callable[[], Any], like: object) -> Any:
    return lazy_str(get, "placeholder") if isinstance(like, str) else lazy_tuple(get)


@pytest.mark.parametrize(("use", "value"), ASKS)
def test_using_a_lazy_value_uses_the_real_one(use: Callable[[Any], object], value: Any) -> None:
    asked: list[object] = []

    def get() -> Any:
        asked.append(value)
        return value

    assert use(lazy(get, value)) == use(value)
    assert asked


@pytest.mark.parametrize(("use", "value"), ASKS)
def test_using_a_lazy_value_that_is_not_known_raises(
    use: Callable[[Any], object], value: Any
) -> None:
    with pytest.raises(Asked):
        use(lazy(refuse, value))


@pytest.mark.parametrize("like", [NS, PATH], ids=["str", "tuple"])
def test_every_method_asks_except_those_that_only_carry(like: Any) -> None:
    """No method of a later Python is forgotten."""
    own = vars(type(lazy(refuse, like)))
    inherited = {n for n in dir(type(like)) if callable(getattr(type(like), n)) and n not in own}
    assert (
        inherited
        - {
            *("__new__", "__init__", "__init_subclass__", "__subclasshook__", "__class__"),
            *("__getattribute__", "__setattr__", "__delattr__", "__dir__"),
            *("__sizeof__", "__getnewargs__", "__class_getitem__", "__getstate__"),
        }
        == set()
    )


def test_a_copy_that_pickle_makes_is_a_plain_one() -> None:
    assert type(pickle.loads(pickle.dumps(lazy_str(lambda: NS, "")))) is str
    assert type(pickle.loads(pickle.dumps(lazy_tuple(lambda: PATH)))) is tuple
    assert type(str(lazy_str(lambda: NS, ""))) is str


def test_c_code_that_reads_the_buffer_sees_the_placeholder() -> None:
    """The limit of lazy strings, which nothing in Python can lift; `real_values` is for these."""
    value = lazy_str(lambda: NS, "placeholder")
    assert json.dumps([value]) == '["placeholder"]'
    assert "".join([value]) == "placeholder"
    assert json.dumps(real_values([value])) == f'["{NS}"]'


# Lazy values: what does not ask


CARRIES: list[tuple[str, Callable[[Any], object]]] = [
    ("bool", bool),
    ("and or", lambda v: (v and 1) or 2),
    ("not", operator.not_),
    ("isinstance", lambda v: isinstance(v, str | tuple)),
    ("type", type),
    ("is", lambda v: v is None),
    ("callable", callable),
    ("copy", copy.copy),
    ("deepcopy", copy.deepcopy),
    ("deepcopy of a dict", lambda v: copy.deepcopy({"a": [v]})),
    ("dict copy", lambda v: {**{"a": v}, "b": v}),
    ("dict merge", lambda v: {"a": v} | {"b": v}),
    ("in a list", lambda v: [v, *[v]]),
    ("dataclass", lambda v: dataclasses.replace(TaskIdentity("", "", "", ()), task_id=v)),
    ("passed on", lambda v: {"x": v}),
    ("default", lambda v: {"a": v}.get("a", "")),
    ("is_lazy", is_lazy),
]


@pytest.mark.parametrize("like", [NS, PATH], ids=["str", "tuple"])
@pytest.mark.parametrize("carry", [c[1] for c in CARRIES], ids=[c[0] for c in CARRIES])
def test_carrying_a_lazy_value_does_not_ask(carry: Callable[[Any], object], like: Any) -> None:
    carry(lazy(refuse, like))


def test_copies_stay_lazy_and_true() -> None:
    for value in (lazy(refuse, NS), lazy(refuse, PATH)):
        assert copy.copy(value) is value
        assert copy.deepcopy([value])[0] is value
        assert bool(value) is True
        assert is_lazy(value)
    assert not is_lazy(NS)
    assert not is_lazy(PATH)


def test_configs_are_merged_and_patched_without_asking() -> None:
    config = lazy_config()
    merged = merge_configs(config, {"metadata": {"mine": 1}, "tags": ["t"]})
    patched = patch_config(merged, run_name="x", configurable={"thread_id": "1"})
    ensured = ensure_config(patched)
    assert is_lazy(ensured["configurable"]["checkpoint_ns"])
    assert is_lazy(ensured["metadata"]["langgraph_path"])


# What leaves a body, and what a handler sees


def test_real_values_copies_only_what_holds_a_lazy_value() -> None:
    ns, path = lazy(lambda: NS, NS), lazy(lambda: PATH, PATH)
    plain = {"a": [1, (2, {"b": "c"})], "d": {1}}
    assert real_values(plain) is plain
    mixed = {"same": plain, "deep": [1, (2, {"ns": ns})], "path": path}
    found = real_values(mixed)
    assert found == {"same": plain, "deep": [1, (2, {"ns": NS})], "path": PATH}
    assert found["same"] is plain
    assert type(found["deep"][1][1]["ns"]) is str
    assert mixed["path"] is path
    sent = real_values(Send("work", {"from": ns}))
    assert sent == Send("work", {"from": NS})
    assert type(sent.arg["from"]) is str


def test_plain_metadata_asks_and_provisional_metadata_does_not() -> None:
    metadata = {"a": 1, "ns": lazy(lambda: NS, NS), "path": lazy(lambda: PATH, PATH)}
    found = plain_metadata(metadata)
    assert found == {"a": 1, "ns": NS, "path": PATH}
    assert not any(map(is_lazy, found.values()))
    untouched = {"a": 1}
    assert plain_metadata(untouched) is untouched
    unknown = {"a": 1, "ns": lazy(refuse, NS), "path": lazy(refuse, PATH)}
    assert provisional_metadata(unknown) == {"a": 1, "ns": "placeholder", "path": ()}
    assert not any(map(is_lazy, provisional_metadata(unknown).values()))


# Identity: asked, told, settled


REAL = TaskIdentity("id", "work:id", "checkpoint", PATH)
OTHER = dataclasses.replace(REAL, task_id="other")


def test_an_identity_is_worked_out_once() -> None:
    answers = [REAL, OTHER]
    identity = Identity(lambda: answers.pop(0))
    assert identity.exposed is None
    assert identity.known() is REAL
    assert identity.known() is REAL
    assert identity.exposed is REAL


def test_an_identity_that_nobody_asked_for_settles_on_any() -> None:
    identity = Identity(refuse)
    assert identity.settle(REAL)
    assert identity.known() is REAL
    assert identity.exposed is None


@pytest.mark.parametrize(
    ("real", "settles"), [(dataclasses.replace(REAL), True), (OTHER, False)], ids=["equal", "other"]
)
def test_a_body_that_was_told_an_identity_is_adopted_under_that_one_only(
    real: TaskIdentity, settles: bool
) -> None:
    identity = Identity(lambda: REAL)
    identity.known()
    assert identity.settle(real) is settles
    assert identity.known() == REAL


def test_a_body_that_gives_up_was_told_nothing() -> None:
    identity = Identity(refuse)
    with pytest.raises(Asked):
        identity.known()
    assert identity.exposed is None
    assert identity.settle(OTHER)


def info(**fields: Any) -> ExecutionInfo:
    return ExecutionInfo(
        **{"checkpoint_id": "c", "checkpoint_ns": "n", "task_id": "t", "thread_id": "9", **fields}
    )


def test_lazy_execution_info_gives_plain_strings_when_a_field_is_read() -> None:
    found = LazyExecutionInfo.over(info(), Identity(lambda: REAL))
    assert isinstance(found, ExecutionInfo)
    for name in ("checkpoint_id", "checkpoint_ns", "task_id"):
        assert getattr(found, name) == getattr(REAL, name)
        assert type(getattr(found, name)) is str
    assert "".join([found.task_id]) == "id"


def test_lazy_execution_info_asks_only_for_its_identity() -> None:
    found = LazyExecutionInfo.over(info(run_id="r"), Identity(refuse))
    retried = found.patch(node_attempt=2, node_first_attempt_time=1.5)
    assert (retried.node_attempt, retried.node_first_attempt_time) == (2, 1.5)
    assert (retried.thread_id, retried.run_id, found.node_attempt) == ("9", "r", 1)
    runtime = Runtime(execution_info=found)
    assert runtime.override(execution_info=retried).execution_info is retried
    for name in ("checkpoint_id", "checkpoint_ns", "task_id"):
        with pytest.raises(Asked):
            getattr(retried, name)


def test_copies_of_lazy_execution_info_are_plain_and_equal() -> None:
    identity = Identity(lambda: REAL)
    found = LazyExecutionInfo.over(info(), identity)
    plain = info(checkpoint_id="checkpoint", checkpoint_ns="work:id", task_id="id")
    for made in (
        dataclasses.replace(found),
        copy.copy(found),
        copy.deepcopy(found),
        pickle.loads(pickle.dumps(found)),
    ):
        assert type(made) is ExecutionInfo
        assert made == plain
    assert dataclasses.asdict(found) == dataclasses.asdict(plain)
    assert found.patch(task_id="mine") == dataclasses.replace(plain, task_id="mine")


# identity_of_send is LangGraph's


class SendState(TypedDict):
    seen: Annotated[list[dict[str, Any]], operator.add]


def what_it_sees(runtime: Runtime[Any]) -> dict[str, Any]:
    config, info = get_config(), runtime.execution_info
    assert info is not None
    return {
        "task_id": info.task_id,
        "checkpoint_ns": info.checkpoint_ns,
        "checkpoint_id": info.checkpoint_id,
        "path": config["metadata"]["langgraph_path"],
        "metadata_ns": config["metadata"]["langgraph_checkpoint_ns"],
        "conf_task_id": config["configurable"][names.CONFIG_KEY_TASK_ID],
        "conf_ns": config["configurable"][names.CONFIG_KEY_CHECKPOINT_NS],
        "step": config["metadata"]["langgraph_step"],
    }


def fan_out_graph(**compiled: Any) -> Any:
    """Two tasks each send to `work`, the first of them later by name order; `work` sends on."""

    def work(arg: int, runtime: Runtime[Any]) -> dict[str, Any]:
        return {"seen": [{"arg": arg, **what_it_sees(runtime)}]}

    def again(state: SendState) -> list[Send]:
        return []

    builder = StateGraph(SendState)
    for name, args in (("b", (0, 1)), ("a", (2,)), ("c", (3, 4, 5))):
        builder.add_node(name, lambda state: {"seen": []})
        builder.add_edge(START, name)
        builder.add_conditional_edges(
            name, lambda state, args=args: [Send("work", arg) for arg in args], ["work"]
        )
    builder.add_node("work", work)
    builder.add_conditional_edges("work", again, ["work"])
    return builder.compile(**compiled)


ORDER = [2, 0, 1, 3, 4, 5]  # by the writers' names: a, b, c


def test_identity_of_send_is_langgraphs() -> None:
    graph = fan_out_graph(checkpointer=InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}
    ids: dict[int, str] = {}
    seen: list[dict[str, Any]] = []
    for mode, chunk in graph.stream({"seen": []}, config, stream_mode=["tasks", "values"]):
        if mode == "tasks" and "input" in chunk and chunk["name"] == "work":
            ids[chunk["input"]] = chunk["id"]
        elif mode == "values":
            seen = chunk["seen"]
    assert len(seen) == len(ids) == 6
    version = graph.checkpointer.get(config)["v"]
    for body in seen:
        expected = identity_of_send(
            "work",
            ORDER.index(body["arg"]),
            step=body["step"],
            checkpoint_id=body["checkpoint_id"],
            checkpoint_v=version,
            parent_ns="",
        )
        assert expected == TaskIdentity(
            body["task_id"], body["checkpoint_ns"], body["checkpoint_id"], body["path"]
        )
        assert expected.task_id == ids[body["arg"]] == body["conf_task_id"]
        assert expected.checkpoint_ns == body["metadata_ns"] == body["conf_ns"]


def test_identity_of_send_is_langgraphs_in_a_subgraph() -> None:
    sub = fan_out_graph()
    builder = StateGraph(SendState)
    builder.add_node("sub", sub)
    builder.add_edge(START, "sub")
    builder.add_edge("sub", END)
    graph = builder.compile(checkpointer=InMemorySaver())
    seen = graph.invoke({"seen": []}, {"configurable": {"thread_id": "1"}})["seen"]
    assert len(seen) == 6
    for body in seen:
        parent_ns = body["checkpoint_ns"].rsplit(names.NS_SEP, 1)[0]
        assert parent_ns.startswith("sub:")
        found = identity_of_send(
            "work",
            ORDER.index(body["arg"]),
            step=body["step"],
            checkpoint_id=body["checkpoint_id"],
            checkpoint_v=4,
            parent_ns=parent_ns,
        )
        assert found.task_id == body["task_id"]
        assert found.checkpoint_ns == body["checkpoint_ns"]


def test_old_checkpoints_derive_ids_in_their_own_way() -> None:
    old, new = (
        identity_of_send(
            "work",
            0,
            step=1,
            checkpoint_id="1f0c8a3e-0000-6000-8000-000000000000",
            checkpoint_v=v,
            parent_ns="",
        )
        for v in (1, 4)
    )
    assert old.task_id != new.task_id
    assert old.path == new.path == (names.PUSH, 0, False)
    assert old.checkpoint_ns == f"work{names.NS_END}{old.task_id}"


# Reservation


def test_a_reserved_id_is_the_same_until_it_is_taken() -> None:
    reservation = Reservation()
    assert not reservation.is_open(3)
    reserved = reservation.reserve(3)
    assert reservation.reserve(3) == reserved
    assert reservation.is_open(3)
    assert not reservation.is_open(4)


def test_a_reserved_id_is_used_only_if_the_head_was_found_to_be_ours() -> None:
    reservation = Reservation()
    reserved = reservation.reserve(3)
    reservation.confirm(3, True)
    assert reservation.take(3) == reserved
    assert reservation.take(3) is None  # once


@pytest.mark.parametrize(
    "confirmations",
    [[], [(3, False)], [(3, True), (3, False)], [(2, True)]],
    ids=["unconfirmed", "another head", "changed its mind", "another step"],
)
def test_otherwise_a_fresh_id_is_used(confirmations: list[tuple[int, bool]]) -> None:
    reservation = Reservation()
    reservation.reserve(3)
    for step, ours in confirmations:
        reservation.confirm(step, ours)
    assert reservation.take(3) is None
    assert not reservation.is_open(3)


def test_nothing_is_reserved_for_a_step_that_nobody_asked_about() -> None:
    reservation = Reservation()
    reservation.confirm(3, True)
    assert reservation.take(3) is None


def test_a_reservation_is_for_one_step() -> None:
    reservation = Reservation()
    first = reservation.reserve(3)
    reservation.confirm(3, True)
    second = reservation.reserve(4)
    assert second != first
    assert reservation.take(4) is None  # the confirmation was the other one's
    reservation.reserve(5)
    reservation.confirm(5, True)
    assert reservation.take(6) is None
    assert reservation.take(5) is None


def test_reserved_ids_sort_as_langgraphs_do() -> None:
    """Checkpoints are listed by id: a later one must sort after an earlier one."""
    reservation = Reservation()
    before = str(names.uuid6(clock_seq=2))
    reserved = reservation.reserve(3)
    assert before < reserved < str(names.uuid6(clock_seq=3))


# Ordinary model calls carry lazy values and never ask --------------------------------------------


def lazy_config(
    handlers: list[BaseCallbackHandler] | None = None, *, is_async: bool = False
) -> Any:
    """What a run-ahead body's config looks like to LangChain, with nothing known."""
    manager = AsyncCallbackManager if is_async else CallbackManager
    return {
        "metadata": {
            "langgraph_step": 3,
            "langgraph_node": "work",
            "langgraph_path": lazy(refuse, PATH),
            "langgraph_checkpoint_ns": lazy(refuse, NS),
        },
        "tags": ["a tag"],
        "callbacks": manager(handlers or [], inheritable_handlers=list(handlers or [])),
        "configurable": {
            names.CONFIG_KEY_TASK_ID: lazy(refuse, NS),
            "checkpoint_ns": lazy(refuse, NS),
            "checkpoint_map": {"": lazy(refuse, NS)},
            "thread_id": "1",
        },
        "recursion_limit": 25,
    }


class Answer(BaseModel):
    text: str
    score: int


@tool
def lookup(word: str) -> str:
    """Looks a word up."""
    return f"{word}!"


@tool
def lookup_with_config(word: str, config: RunnableConfig) -> str:
    """Looks a word up, and is handed the config."""
    assert is_lazy(config["configurable"]["checkpoint_ns"])
    return f"{word}!"


def model(clock: VirtualClock) -> FakeChatModel:
    return FakeChatModel(engine=FakeEngine(clock=clock))


def chain(llm: BaseChatModel) -> Any:
    return ChatPromptTemplate.from_template("Say {x}") | llm | StrOutputParser()


def agent_step(llm: BaseChatModel) -> Any:
    """What nodes do: call a model with tools, and the tools that it asked for."""

    def call(x: Any, config: RunnableConfig) -> Any:
        message: AIMessage = llm.bind_tools([lookup], tool_choice="lookup").invoke(x, config)
        return [lookup.invoke(call, config) for call in message.tool_calls]

    return RunnableLambda(call)


RUNNABLES: dict[str, Callable[[VirtualClock], tuple[Any, Any]]] = {
    "model": lambda clock: (model(clock), "hi"),
    "bind_tools": lambda clock: (model(clock).bind_tools([lookup]), "hi"),
    "forced tool": lambda clock: (model(clock).bind_tools([lookup], tool_choice="lookup"), "hi"),
    "with_structured_output": lambda clock: (model(clock).with_structured_output(Answer), "hi"),
    "structured by a tool": lambda clock: (
        model(clock).with_structured_output(Answer, method="function_calling"),
        "hi",
    ),
    "structured, raw": lambda clock: (
        model(clock).with_structured_output(Answer, include_raw=True),
        "hi",
    ),
    "prompt, model, parser": lambda clock: (chain(model(clock)), {"x": "hi"}),
    "parallel": lambda clock: (
        RunnableParallel(a=chain(model(clock)), b=chain(model(clock))),
        {"x": "hi"},
    ),
    "with_retry": lambda clock: (model(clock).with_retry(), "hi"),
    "with_fallbacks": lambda clock: (model(clock).with_fallbacks([model(clock)]), "hi"),
    "with_config": lambda clock: (model(clock).with_config(tags=["x"], metadata={"y": 1}), "hi"),
    "tool": lambda clock: (lookup, {"word": "hi"}),
    "tool with config": lambda clock: (lookup_with_config, {"word": "hi"}),
    "retriever": lambda clock: (retriever(clock), "hi"),
    "agent step": lambda clock: (agent_step(model(clock)), "hi"),
}


def retriever(clock: VirtualClock) -> FakeRetriever:
    return FakeRetriever(documents=[Document("one hi"), Document("two")], clock=clock)


def consume(runnable: Any, value: Any, config: Any, how: str) -> None:
    match how:
        case "invoke":
            runnable.invoke(value, config)
        case "stream":
            list(runnable.stream(value, config))
        case "batch":
            runnable.batch([value, value], [config, config])
        case "context":
            with names.set_config_context(config) as context:
                context.run(runnable.invoke, value)


async def aconsume(runnable: Any, value: Any, config: Any, how: str) -> None:
    match how:
        case "invoke":
            await runnable.ainvoke(value, config)
        case "stream":
            async for _ in runnable.astream(value, config):
                pass
        case "batch":
            await runnable.abatch([value, value], [config, config])
        case "context":
            with names.set_config_context(config) as context:
                await asyncio.create_task(runnable.ainvoke(value), context=context)


class Streams(names.StreamingCallbackHandler[Any], BaseCallbackHandler):
    """Makes models stream, as LangGraph's `messages` mode does."""

    def tap_output_aiter(self, run_id: Any, output: Any) -> Any:
        return output

    def tap_output_iter(self, run_id: Any, output: Any) -> Any:
        return output


def recorded(*handlers: BaseCallbackHandler) -> list[BaseCallbackHandler]:
    """The recorder that a run-ahead body gets in place of these handlers."""
    return [recorder_for(handlers, Outbox(lambda: 0.0, lambda: None))]


HANDLERS: dict[str, Callable[[], list[BaseCallbackHandler]]] = {
    "no handlers": list,
    "recorded": lambda: recorded(BaseCallbackHandler()),
    "recorded, streaming": lambda: recorded(Streams()),
}


@pytest.fixture(autouse=True)
def no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2", "LANGSMITH_TRACING_V2"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("handlers", HANDLERS)
@pytest.mark.parametrize("how", ["invoke", "stream", "batch", "context"])
@pytest.mark.parametrize("kind", RUNNABLES)
def test_model_calls_never_ask_for_the_identity(kind: str, how: str, handlers: str) -> None:
    runnable, value = RUNNABLES[kind](VirtualClock())
    consume(runnable, value, lazy_config(HANDLERS[handlers]()), how)


@pytest.mark.parametrize("handlers", HANDLERS)
@pytest.mark.parametrize("how", ["invoke", "stream", "batch", "context"])
@pytest.mark.parametrize("kind", RUNNABLES)
def test_asynchronous_model_calls_never_ask_for_the_identity(
    kind: str, how: str, handlers: str
) -> None:
    clock = VirtualClock()
    runnable, value = RUNNABLES[kind](clock)
    config = lazy_config(HANDLERS[handlers](), is_async=True)
    clock.run(aconsume(runnable, value, config, how))


def test_the_check_above_would_notice() -> None:
    """A runnable that does look at the lazy values asks for them."""
    nosy = RunnableLambda(lambda x, config: config["configurable"]["checkpoint_ns"].split(":"))
    with pytest.raises(Asked):
        nosy.invoke("hi", lazy_config())
