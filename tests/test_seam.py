"""The accelerated graph is the same graph: type, interface, state, and every way to call it."""

from __future__ import annotations

import asyncio
import functools
import operator
import warnings
from typing import Annotated, Any

import pytest
from langgraph.channels import EphemeralValue, LastValue
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import NodeBuilder, Pregel
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

import langgraph_alto
from langgraph_alto import Options, accelerate, install, is_installed, observe, record, uninstall
from langgraph_alto._langgraph import names, seam
from langgraph_alto.errors import DeclarationError, NotAGraphError


class State(TypedDict):
    items: list[int]
    out: Annotated[list[str], operator.add]


class Item(TypedDict):
    i: int


def plan(state: State) -> Command[Any]:
    return Command(goto=[Send("first", {"i": i}) for i in state["items"]])


def first(item: Item) -> Command[Any]:
    return Command(update={"out": [f"first {item['i']}"]}, goto=Send("second", item))


def second(item: Item) -> dict[str, Any]:
    return {"out": [f"second {item['i']}"]}


def chains(**compile_options: Any) -> CompiledStateGraph[Any, Any, Any, Any]:
    builder = StateGraph(State)
    builder.add_node("plan", plan, destinations=("first",))
    builder.add_node("first", first, destinations=("second",))
    builder.add_node("second", second)
    builder.add_edge(START, "plan")
    return builder.compile(**compile_options)


INPUT: Any = {"items": [1, 2, 3], "out": []}
THREAD: Any = {"configurable": {"thread_id": "1"}}
RESULT = [f"first {i}" for i in (1, 2, 3)] + [f"second {i}" for i in (1, 2, 3)]


def test_accelerated_graph_has_the_graphs_type_and_leaves_the_original_untouched() -> None:
    graph = chains()
    before = dict(graph.__dict__)
    app = accelerate(graph)
    assert isinstance(app, CompiledStateGraph)
    assert type(app).__name__ == type(graph).__name__
    assert type(graph) is CompiledStateGraph
    assert graph.__dict__ == before
    assert app is not graph
    assert app.invoke(INPUT)["out"] == RESULT


def test_copy_and_with_config_stay_accelerated() -> None:
    app = accelerate(chains())
    for variant in (
        app.copy(),
        app.copy({"checkpointer": InMemorySaver(), "name": "other"}),
        app.with_config(tags=["x"]),
    ):
        with record() as runs:
            assert variant.invoke(INPUT, THREAD)["out"] == RESULT
        assert [r.accelerated for r in runs] == [True]


def test_accelerating_twice_takes_the_last_options() -> None:
    app = accelerate(accelerate(chains()), options=Options(run_ahead="off"))
    with record() as runs:
        assert app.invoke(INPUT)["out"] == RESULT
    assert runs[0].fallbacks == ['Options(run_ahead="off")']
    assert not runs[0].accelerated


def test_state_history_update_and_drawing_work_as_before() -> None:
    graph = chains(checkpointer=InMemorySaver())
    app = accelerate(graph)
    app.invoke(INPUT, THREAD)
    assert app.get_state(THREAD) == graph.get_state(THREAD)
    assert len(list(app.get_state_history(THREAD))) == 5
    app.update_state(THREAD, {"out": ["mine"]}, as_node="second")
    assert app.get_state(THREAD).values["out"][-1] == "mine"
    assert app.get_graph().to_json() == graph.get_graph().to_json()
    assert app.get_input_jsonschema() == graph.get_input_jsonschema()


@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore:astream:DeprecationWarning")
async def test_asynchronous_state_and_events() -> None:
    app = accelerate(chains(checkpointer=InMemorySaver()))
    v2 = [e["event"] async for e in app.astream_events(INPUT, THREAD, version="v2")]
    assert v2[0] == "on_chain_start"
    assert v2[-1] == "on_chain_end"
    other: Any = {"configurable": {"thread_id": "2"}}
    v1 = [e async for e in app.astream_events(INPUT, other, version="v1")]
    assert v1[-1]["event"] == "on_chain_end"
    third: Any = {"configurable": {"thread_id": "3"}}
    log = [patch async for patch in app.astream_log(INPUT, third)]
    assert log
    assert (await app.aget_state(third)).values["out"] == RESULT
    await app.aupdate_state(third, {"out": ["mine"]}, as_node="second")
    assert (await app.aget_state(third)).values["out"][-1] == "mine"


def test_a_users_own_subclass_keeps_its_overrides_and_their_super_calls() -> None:
    class Mine(CompiledStateGraph[Any, Any, Any, Any]):
        calls = 0

        def stream(self, *args: Any, **kwargs: Any) -> Any:
            type(self).calls += 1
            yield from super().stream(*args, **kwargs)

    graph = chains()
    mine = object.__new__(Mine)
    mine.__dict__.update(graph.__dict__)
    app = accelerate(mine)
    assert isinstance(app, Mine)
    with record() as runs:
        assert app.invoke(INPUT)["out"] == RESULT
    assert type(app).calls == 1
    assert len(runs) == 1


def test_raw_pregel() -> None:
    def build() -> Pregel[Any, Any, Any, Any]:
        node = NodeBuilder().subscribe_only("a").do(lambda x: x + x).write_to("b")
        return Pregel(
            nodes={"one": node},
            channels={"a": EphemeralValue(str), "b": LastValue(str)},
            input_channels="a",
            output_channels="b",
        )

    app = accelerate(build())
    assert isinstance(app, Pregel)
    assert app.invoke("x") == build().invoke("x") == "xx"


def test_functional_api() -> None:
    @task
    def double(x: int) -> int:
        return 2 * x

    @entrypoint(checkpointer=InMemorySaver())
    def flow(xs: list[int]) -> list[int]:
        return [f.result() for f in [double(x) for x in xs]]

    app = accelerate(flow)
    assert app.invoke([1, 2, 3], THREAD) == [2, 4, 6]
    assert app.get_input_jsonschema() == flow.get_input_jsonschema()


def test_node_subgraphs_are_accelerated_too_and_parent_commands_arrive() -> None:
    def leave(state: State) -> Command[Any]:
        return Command(graph=Command.PARENT, update={"out": ["left"]}, goto="last")

    inner = StateGraph(State)
    inner.add_node("plan", plan, destinations=("first",))
    inner.add_node("first", first, destinations=("second",))
    inner.add_node("second", second)
    inner.add_node("leave", leave)
    inner.add_edge(START, "plan")
    inner.add_edge("second", "leave")

    def build() -> CompiledStateGraph[Any, Any, Any, Any]:
        outer = StateGraph(State)
        outer.add_node("inner", inner.compile(), destinations=("last",))
        outer.add_node("last", lambda s: {"out": ["last"]})
        outer.add_edge(START, "inner")
        return outer.compile()

    graph = build()
    app = accelerate(graph)
    assert isinstance(app.nodes["inner"].bound, seam.AltoPregel)
    assert not isinstance(graph.nodes["inner"].bound, seam.AltoPregel)
    assert app.nodes["inner"].subgraphs == [app.nodes["inner"].bound]
    with record() as runs:
        assert app.invoke(INPUT) == graph.invoke(INPUT)
    assert len(runs) == 1  # a subgraph's run belongs to its parent's report


def test_interrupt_and_resume() -> None:
    def ask(item: Item) -> dict[str, Any]:
        return {"out": [f"{item['i']}: {interrupt(item['i'])}"]}

    def build() -> CompiledStateGraph[Any, Any, Any, Any]:
        builder = StateGraph(State)
        builder.add_node("plan", plan, destinations=("first",))
        builder.add_node(
            "first", lambda item: Command(goto=Send("ask", item)), destinations=("ask",)
        )
        builder.add_node("ask", ask)
        builder.add_edge(START, "plan")
        return builder.compile(checkpointer=InMemorySaver())

    def run(app: Any) -> Any:
        asked = app.invoke(INPUT, THREAD)["__interrupt__"]
        answers = {i.id: f"answer {i.value}" for i in asked}
        return app.invoke(Command(resume=answers), THREAD)["out"]

    expected = [f"{i}: answer {i}" for i in (1, 2, 3)]
    assert run(build()) == run(accelerate(build())) == expected


# The whole process -------------------------------------------------------------------------


@pytest.fixture
def installed() -> Any:
    install()
    yield
    uninstall()


@pytest.mark.usefixtures("installed")
def test_install_covers_graphs_compiled_before_and_after() -> None:
    assert is_installed()
    with record() as runs:
        chains().invoke(INPUT)
    assert len(runs) == 1


def test_install_and_uninstall_are_harmless_twice() -> None:
    before = names.pregel_main.SyncPregelLoop
    graph = chains()
    install()
    install(Options(max_ahead=3))
    with record() as runs:
        graph.invoke(INPUT)
    uninstall()
    uninstall()
    assert names.pregel_main.SyncPregelLoop is before
    assert not is_installed()
    with record() as none:
        graph.invoke(INPUT)
    assert (len(runs), len(none)) == (1, 0)


@pytest.mark.usefixtures("installed")
def test_a_graph_called_inside_a_body_is_reached_by_install() -> None:
    inner = chains()

    def call(state: State) -> dict[str, Any]:
        return {"out": inner.invoke({"items": state["items"], "out": []})["out"]}

    builder = StateGraph(State)
    builder.add_node("call", call)
    builder.add_edge(START, "call")
    builder.add_edge("call", END)
    with record() as runs:
        assert builder.compile().invoke(INPUT)["out"] == RESULT
    assert len(runs) == 1


# Bad input ---------------------------------------------------------------------------------


def test_a_builder_is_to_be_compiled_first() -> None:
    with pytest.raises(TypeError, match=r"StateGraph: compile it first"):
        accelerate(StateGraph(State))  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (None, "needs a compiled graph .*not builtins.NoneType"),
        (chains, "the function chains: call it"),
        (StateGraph, "the class StateGraph"),
        ({"nodes": []}, "not builtins.dict"),
    ],
)
def test_what_is_no_graph_is_named(thing: Any, message: str) -> None:
    with pytest.raises(NotAGraphError, match=message):
        accelerate(thing)


def test_options_and_runtime_of_a_wrong_kind() -> None:
    with pytest.raises(TypeError, match="must be an Options, not dict"):
        accelerate(chains(), options={"max_ahead": 3})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match='Valid: None, "local"'):
        accelerate(chains(), runtime="cloud")


def test_a_declaration_for_an_unknown_node_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"secnd.*second"):
        accelerate(chains(), options=Options(nodes={"secnd": {"effects": "pure"}}))


# Another LangGraph -------------------------------------------------------------------------


def test_an_untested_langgraph_runs_unaccelerated_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(names, "TESTED", ("0.0.1",))
    monkeypatch.setattr(seam, "_warned", False)
    with pytest.warns(RuntimeWarning, match=r"not among the tested versions \(0\.0\.1\)"):
        app = accelerate(chains())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        accelerate(chains())
        install()
    assert not is_installed()
    assert not isinstance(app, seam.AltoPregel)
    assert app.invoke(INPUT)["out"] == RESULT


def test_the_public_names() -> None:
    for name in langgraph_alto.__all__:
        assert getattr(langgraph_alto, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'accelrate'"):
        langgraph_alto.accelrate


def test_run_ahead_happens_while_a_sibling_still_runs() -> None:
    """The promise itself: the chain of item 1 ends while item 2's first task still runs."""
    ended = asyncio.Event()

    async def slow_first(item: Item) -> Command[Any]:
        if item["i"] == 2:
            await asyncio.wait_for(ended.wait(), timeout=20)
        return Command(goto=Send("second", item))

    async def signalling_second(item: Item) -> dict[str, Any]:
        ended.set()
        return {"out": [f"second {item['i']}"]}

    builder = StateGraph(State)
    builder.add_node("plan", plan, destinations=("first",))
    builder.add_node(
        "first", slow_first, destinations=("second",), metadata={"alto": {"effects": "idempotent"}}
    )
    builder.add_node("second", signalling_second, metadata={"alto": {"effects": "idempotent"}})
    builder.add_edge(START, "plan")
    app = accelerate(builder.compile())

    async def run() -> Any:
        return await app.ainvoke({"items": [1, 2], "out": []})

    with record() as runs:
        assert asyncio.run(run())["out"] == ["second 1", "second 2"]
    assert (runs[0].started, runs[0].adopted) == (1, 1)


# What an instrumentation wraps around LangGraph's methods


def test_what_is_wrapped_around_stream_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decorators, also several, and with the work still done on ALTO."""
    told: list[str] = []

    def noting(name: str, wrapped: Any) -> Any:
        @functools.wraps(wrapped)
        def call(self: Any, *args: Any, version: str = "v1", **kwargs: Any) -> Any:
            told.append(f"{name} {self.name}")
            return wrapped(self, *args, version=version, **kwargs)

        return call

    for name in ("inner", "outer"):
        monkeypatch.setattr(Pregel, "stream", noting(name, Pregel.stream))
    app = accelerate(chains(name="wrapped"))
    with record() as runs:
        assert app.invoke(INPUT)["out"] == RESULT
    assert told == ["outer wrapped", "inner wrapped"]
    assert len(runs) == 1


def test_a_wrapper_of_an_unknown_kind_is_left_out_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Wrapper:
        def __init__(self, wrapped: Any) -> None:
            self.__wrapped__ = wrapped

    monkeypatch.setattr(observe, "_told", set())
    monkeypatch.setattr(Pregel, "stream", Wrapper(Pregel.stream))
    with pytest.warns(RuntimeWarning, match="Wrapper object at .* is left out"):
        app = accelerate(chains())
    with record() as runs:
        assert app.invoke(INPUT)["out"] == RESULT
    assert len(runs) == 1
