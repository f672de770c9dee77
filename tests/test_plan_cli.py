"""`plan(graph)` and `langgraph-alto plan` on real graphs."""

from __future__ import annotations

import asyncio
import json
import operator
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import jsonschema
import pytest
from langgraph.channels import EphemeralValue, LastValue
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.pregel import NodeBuilder, Pregel
from langgraph.types import Send, interrupt

from langgraph_alto import Options, StreamingPlan, accelerate, cli, plan
from langgraph_alto.core.plan import EdgePlan
from langgraph_alto.errors import DeclarationError, NotAGraphError
from tests.helpers.graphs import AHEAD
from tests.test_plan_rendering import parsed, schema, strict


class State(TypedDict, total=False):
    topic: str
    short: str
    long: str
    extra: str
    items: list[str]
    notes: Annotated[list[str], operator.add]


def fast(state: State) -> dict[str, Any]:
    return {"short": state["topic"]}


def slow(state: State) -> dict[str, Any]:
    return {"long": state["topic"] * 2}


def after_fast(state: State) -> dict[str, Any]:
    return {"extra": state["short"]}


def after_both(state: State) -> dict[str, Any]:
    return {"extra": state["short"] + state["long"]}


def whole(state: State) -> dict[str, Any]:
    return {"extra": ", ".join(f"{key}: {value}" for key, value in state.items())}


def branches(after: Any = after_fast, **compiled: Any) -> Any:
    """START -> fast -> after, beside slow."""
    builder = StateGraph(State)
    builder.add_node("fast", fast)
    builder.add_node("slow", slow)
    builder.add_node("after", after)
    builder.add_edge(START, "fast")
    builder.add_edge(START, "slow")
    builder.add_edge("fast", "after")
    return builder.compile(**compiled)


def edge(found: StreamingPlan, source: str, target: str) -> EdgePlan:
    (edge,) = (e for e in found.edges if source in e.sources and e.target == target)
    return edge


# The function


def test_static_branches_run_ahead_without_declarations() -> None:
    found = plan(branches())
    after = found.nodes["after"]
    assert (after.reads, after.reads_how) == (("short",), "source")
    assert (after.writes, after.writes_how) == (("extra",), "source")
    assert (after.rank, after.effects, after.starts) == ("proven", "pure", "certain")
    assert edge(found, "fast", "after").when == "at once"
    assert edge(found, "fast", "after").beside == ("slow",)
    waiting = edge(plan(branches(after_both)), "fast", "after")
    assert [(w.node, w.channels, w.unlock) for w in waiting.waits] == [("slow", ("long",), None)]


async def test_the_executor_does_what_the_plan_says() -> None:
    """`slow` ends only after `after` has begun, in the step after it."""
    begun = asyncio.Event()

    async def first(state: State) -> dict[str, Any]:
        return {"short": state["topic"]}

    async def slow(state: State) -> dict[str, Any]:
        await asyncio.wait_for(begun.wait(), 20)
        return {"long": state["topic"]}

    async def after(state: State) -> dict[str, Any]:
        begun.set()
        return {"extra": state["short"]}

    builder = StateGraph(State)
    for name, body in (("fast", first), ("slow", slow), ("after", after)):
        builder.add_node(name, body, metadata=AHEAD)
    builder.add_edge(START, "fast")
    builder.add_edge(START, "slow")
    builder.add_edge("fast", "after")
    graph = builder.compile()
    assert edge(plan(graph), "fast", "after").when == "at once"
    result = await accelerate(graph).ainvoke({"topic": "t"})
    assert result["extra"] == "t"


def test_a_fan_out_and_its_level() -> None:
    def fan(state: State) -> list[Send]:
        return [Send("work", {"item": item}) for item in state["items"]]

    def work(state: dict[str, Any]) -> dict[str, Any]:
        return {"notes": [state["item"]]}

    def join(state: State) -> dict[str, Any]:
        return {"long": ", ".join(state["notes"])}

    builder = StateGraph(State)
    builder.add_node("split", lambda state: {"items": state["topic"].split()})
    builder.add_node("work", work)
    builder.add_node("join", join)
    builder.add_edge(START, "split")
    builder.add_conditional_edges("split", fan, ["work"])
    builder.add_edge("work", "join")
    found = plan(builder.compile())
    assert edge(found, "split", "work").sends
    assert edge(found, "split", "work").starts == "certain"
    assert [(w.node, w.channels) for w in edge(found, "work", "join").waits] == [
        ("work", ("notes",))
    ]
    (level,) = found.levels
    assert (level.paths, level.aggregators) == (("request / split.items[]",), ("join",))


def test_a_generator_streams() -> None:
    def split(state: State) -> Any:
        for item in state["topic"].split():
            yield {"items": [item]}

    def fan(state: State) -> list[Send]:
        return [Send("fast", {"topic": item}) for item in state["items"]]

    builder = StateGraph(State)
    builder.add_node("split", split)
    builder.add_node("fast", fast)
    builder.add_edge(START, "split")
    builder.add_conditional_edges("split", fan, ["fast"])
    graph = builder.compile()
    assert plan(graph).nodes["fast"].starts == "streamed"
    assert plan(graph, Options(run_ahead="certain")).nodes["fast"].starts == "certain"


def build(*lines: str, **names: Any) -> Any:
    """The graph of `branches`, with lines that replace its own."""
    builder = StateGraph(State)
    builder.add_edge(START, "fast")
    builder.add_edge(START, "slow")
    builder.add_edge("fast", "after")
    own = {"fast": fast, "slow": slow, "after": whole, **names}
    for line in lines:
        eval(f"builder.{line}", {"builder": builder, **own})
    for name, function in own.items():
        if name in ("fast", "slow", "after") and name not in builder.nodes:
            builder.add_node(name, function)
    return builder.compile()


def without_source() -> Any:
    """A function whose file is gone."""
    names: dict[str, Any] = {}
    exec("def slow(state) -> dict:\n    return {'long': state['topic']}", names)
    return names["slow"]


def test_the_line_that_is_proposed_unlocks_what_reads_everything() -> None:
    (wait,) = edge(plan(build()), "fast", "after").waits
    assert (wait.node, wait.channels) == ("slow", ("long",))
    assert wait.unlock == (
        'add_node("after", whole, metadata={"alto": {"reads": '
        '["extra", "items", "notes", "short", "topic"]}})  # if it doesn\'t read "long"'
    )
    assert edge(plan(build(wait.unlock, whole=whole)), "fast", "after").when == "at once"


def test_the_line_that_is_proposed_unlocks_a_writer_that_can_not_be_read() -> None:
    gone = without_source()
    found = plan(build(slow=gone, after=after_fast))
    (wait,) = edge(found, "fast", "after").waits
    assert (wait.node, wait.why) == ("slow", "may write anything")
    assert wait.unlock == (
        'add_node("slow", slow, metadata={"alto": {"writes": '
        '["extra", "items", "long", "notes", "short", "topic"]}})  # keep what it writes'
    )
    kept = wait.unlock.replace('"extra", "items", "long", "notes", "short", "topic"', '"long"')
    assert edge(plan(build(kept, slow=gone, after=after_fast)), "fast", "after").when == "at once"


def test_the_line_that_is_proposed_unlocks_a_held_node() -> None:
    gone = without_source()
    node = plan(build(slow=gone)).nodes["slow"]
    assert (node.held, node.reason) == (True, "source can't be read")
    assert node.detail.startswith("signature only: no source for slow in <string>")
    assert node.unlock is not None
    unlocked = plan(build(node.unlock, slow=gone)).nodes["slow"]
    assert (unlocked.held, unlocked.effects) == (False, "declared idempotent")


def test_source_that_is_gone_is_noted() -> None:
    found = plan(build(slow=without_source()))
    assert found.notes == ("the source can't be read of slow: known from the signature only",)
    assert f"Note: {found.notes[0]}." in str(found)


@dataclass
class Loaded:
    topic: str = ""
    short: str = ""
    long: str = ""
    extra: str = ""


@dataclass
class OnlyWhatItReads:
    short: str = ""


def test_the_line_that_is_proposed_unlocks_an_input_that_is_an_object() -> None:
    def first(state: Loaded) -> dict[str, Any]:
        return {"short": state.topic}

    def other(state: Loaded) -> dict[str, Any]:
        return {"long": state.topic}

    def after(state: Loaded) -> dict[str, Any]:
        return {"extra": state.short}

    def make(line: str = 'add_node("after", after)') -> Any:
        builder = StateGraph(Loaded)
        builder.add_node("first", first)
        builder.add_node("other", other)
        names = {"builder": builder, "after": after, "OnlyWhatItReads": OnlyWhatItReads}
        eval(f"builder.{line}", names)
        builder.add_edge(START, "first")
        builder.add_edge(START, "other")
        builder.add_edge("first", "after")
        return builder.compile()

    (wait,) = edge(plan(make()), "first", "after").waits
    assert wait.unlock == (
        'add_node("after", after, input_schema=OnlyWhatItReads)  # a schema without "long"'
    )
    assert edge(plan(make(wait.unlock)), "first", "after").when == "at once"


def test_lines_that_name_ends_unlock() -> None:
    def route(state: State) -> str:
        return state["short"]

    def make(line: str = 'add_conditional_edges("fast", route)') -> Any:
        builder = StateGraph(State)
        for name, function in (("fast", fast), ("slow", slow), ("after", after_fast)):
            builder.add_node(name, function)
        builder.add_edge(START, "fast")
        eval(f"builder.{line}", {"builder": builder, "route": route})
        return builder.compile()

    (lost,) = (e for e in plan(make()).edges if e.target == "*")
    assert lost.unlock == (
        'add_conditional_edges("fast", route, ["after", "fast", "slow"])'
        "  # keep those that it gives"
    )
    ends = {e.target for e in plan(make(lost.unlock)).edges if e.router}
    assert ends == {"after", "fast", "slow"}


def test_what_switches_run_ahead_off() -> None:
    for graph, off in (
        (branches(interrupt_before=["slow"]), "breakpoints (interrupt_before/interrupt_after)"),
        (branches(), None),
    ):
        assert plan(graph).off == off
    assert plan(branches(), Options(run_ahead="off")).off == 'Options(run_ahead="off")'
    graph = branches()
    graph.step_timeout = 3
    found = plan(graph)
    assert found.off == "step_timeout"
    assert len(found.held) == 3
    assert str(found).startswith("Plan of 'LangGraph': nothing starts early: step_timeout.")


def test_a_checkpointer_makes_interrupts_count() -> None:
    def asks(state: State) -> dict[str, Any]:
        return {"long": interrupt("sure?")}

    def free(state: State) -> dict[str, Any]:
        return {"extra": state["short"] + open("notes.txt").read()}

    def make(**compiled: Any) -> Any:
        builder = StateGraph(State)
        builder.add_node("fast", fast)
        builder.add_node("slow", asks)
        builder.add_node("after", free)
        builder.add_edge(START, "fast")
        builder.add_edge(START, "slow")
        builder.add_edge("fast", "after")
        return builder.compile(**compiled)

    assert edge(plan(make()), "fast", "after").when == "at once"
    (wait,) = edge(plan(make(checkpointer=InMemorySaver())), "fast", "after").waits
    assert (wait.node, wait.why) == ("slow", "may interrupt")


def test_a_timeout_with_a_router_holds() -> None:
    async def body(state: State) -> dict[str, Any]:
        return {"short": state["topic"]}

    builder = StateGraph(State)
    builder.add_node("fast", body, timeout=5)
    builder.add_node("slow", body, timeout=5)
    builder.add_edge(START, "fast")
    builder.add_edge("fast", "slow")
    builder.add_conditional_edges("fast", lambda state: END, [END])
    found = plan(builder.compile())
    assert found.nodes["fast"].reason == "timeout with a router"
    assert not found.nodes["slow"].held


def test_an_accelerated_graph_is_planned_with_its_own_options() -> None:
    declared = Options(nodes={"slow": {"effects": "once"}})
    graph = accelerate(branches(), declared)
    assert [n.name for n in plan(graph).held] == ["slow"]
    assert plan(graph, Options()).held == ()
    assert plan(branches(), declared).nodes["slow"].effects == "declared once"


def test_subgraphs() -> None:
    builder = StateGraph(State)
    builder.add_node("fast", fast)
    builder.add_node("section", branches(after_both))
    builder.add_edge(START, "fast")
    builder.add_edge("fast", "section")
    graph = builder.compile()
    found = plan(graph)
    assert list(found.nodes) == [
        *("fast", "section", "section:fast", "section:slow", "section:after"),
    ]
    waiting = edge(found, "section:fast", "section:after")
    assert [wait.node for wait in waiting.waits] == ["section:slow"]
    held = plan(graph, Options(nodes={"section:slow": {"effects": "once"}}))
    assert [n.name for n in held.held] == ["section", "section:slow"]
    assert list(parsed(found.to_mermaid()))


def test_a_functional_graph_says_what_can_not_be_read() -> None:
    @task
    def double(value: int) -> int:
        return 2 * value

    @entrypoint()
    def flow(value: int) -> int:
        return double(value).result()

    found = plan(flow)
    assert list(found.nodes) == ["flow"]
    assert "its @task calls are made by its own code" in found.notes[0]
    assert "flow" in str(found)


def test_a_raw_pregel_graph() -> None:
    graph = Pregel(
        nodes={
            "a": NodeBuilder().subscribe_only("in").do(lambda x: x + 1).write_to("mid"),
            "b": NodeBuilder().subscribe_only("mid").do(lambda x: x + 1).write_to("out"),
        },
        channels={"in": EphemeralValue(int), "mid": LastValue(int), "out": LastValue(int)},
        input_channels=["in"],
        output_channels=["out"],
    )
    found = plan(graph)
    assert list(found.nodes) == ["a", "b"]
    assert edge(found, "a", "b").kind == "channel"
    assert "a raw Pregel graph" in found.notes[0]
    json.loads(found.to_json())


def test_what_is_no_graph() -> None:
    builder = StateGraph(State)
    with pytest.raises(NotAGraphError, match=r"compile it first, plan\(builder.compile\(\)\)"):
        plan(builder)  # type: ignore[arg-type]
    with pytest.raises(NotAGraphError, match=r"plan\(\) needs a compiled graph .*, not builtins"):
        plan(5)  # type: ignore[arg-type]


def test_a_declaration_for_an_unknown_node() -> None:
    with pytest.raises(DeclarationError, match=r"nodes\['slw'\]: the graph has no such node"):
        plan(branches(), Options(nodes={"slw": {"effects": "pure"}}))


def hundred(prefix: str) -> str:
    """The source of a module with a graph of 100 nodes: branches, joins, fan-outs and a loop."""
    lines = [
        "import operator",
        "from typing import Annotated, Any, TypedDict",
        "from langgraph.graph import START, StateGraph",
        "from langgraph.types import Send",
        "class State(TypedDict, total=False):",
        *(f"    k{i}: str" for i in range(20)),
        "    items: Annotated[list, operator.add]",
        "builder = StateGraph(State)",
    ]
    for i in range(100):
        lines += [
            f"def {prefix}{i}(state: State) -> dict[str, Any]:",
            f"    text = state['k{i % 20}'].strip()",
            f"    words = [w for w in text.split() if len(w) > {i % 7}]",
            f"    return {{'k{(i * 7 + 1) % 20}': ' '.join(words), 'items': [text]}}",
            f"builder.add_node('{prefix}{i}', {prefix}{i})",
        ]
        source = "START" if i < 5 else f"'{prefix}{i - 5}'"
        lines.append(f"builder.add_edge({source}, '{prefix}{i}')")
        if i % 10 == 9:
            sources = [f"{prefix}{i - 8}", f"{prefix}{i - 7}"]
            lines.append(f"builder.add_edge({sources}, '{prefix}{i}')")
            lines += [
                f"def route{i}(state: State) -> list[Send]:",
                f"    return [Send('{prefix}{i - 3}', {{'k1': x}}) for x in state['items']]",
                f"builder.add_conditional_edges('{prefix}{i - 9}', route{i}, ['{prefix}{i - 3}'])",
            ]
    return "\n".join([*lines, "graph = builder.compile()"])


@pytest.mark.slow
def test_a_graph_of_a_hundred_nodes_is_planned_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured at 0.3 s at most; the limit leaves room for a loaded machine."""
    times = []
    monkeypatch.syspath_prepend(tmp_path)
    for prefix in ("first", "second"):
        (tmp_path / f"{prefix}_hundred.py").write_text(hundred(prefix))
        graph = __import__(f"{prefix}_hundred").graph
        began = time.process_time()
        found = plan(graph)
        times.append(time.process_time() - began)
        assert len(found.nodes) == 100
        del sys.modules[f"{prefix}_hundred"]
    assert min(times) < 1.0, times


# langgraph-alto plan


APP = """
import langgraph_alto
from tests.test_plan_cli import State, branches, without_source, build
graph = branches()
accelerated = langgraph_alto.accelerate(
    graph, langgraph_alto.Options(nodes={"slow": {"effects": "once"}}))
builder = graph.builder
gone = build(slow=without_source())
async def make():
    return graph
number = 5
wrong = build('add_node("slow", slow, metadata={"alto": {"effects": "none"}})')
"""


Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Cli]:
    """Runs the command line where `plans.py` lies: exit code, stdout, stderr."""
    (tmp_path / "plans.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("LANGGRAPH_ALTO_OPTIONS", raising=False)

    def run_cli(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    yield run_cli
    sys.modules.pop("plans", None)


@pytest.mark.parametrize("name", ["graph", "builder", "make"])
def test_text(run: Cli, name: str) -> None:
    code, out, err = run("plan", f"plans.py:{name}")
    assert (code, err) == (0, "")
    assert out.startswith("Plan of 'LangGraph': 3 nodes may start early, 0 held")
    assert "fast -> after   at once   after 'fast', while 'slow' may still run" in out


def test_reasons_and_lines_to_paste(run: Cli) -> None:
    out = run("plan", "plans.py:gone")[1]
    assert "  slow: source can't be read: signature only: no source for slow in" in out
    assert '    unlock: add_node("slow", slow, metadata={"alto": {"effects": ' in out


def test_mermaid(run: Cli) -> None:
    code, out, err = run("plan", "plans.py:graph", "--mermaid")
    assert (code, err) == (0, "")
    assert out.startswith("graph TD\n")
    assert list(parsed(out))


def test_json(run: Cli) -> None:
    code, out, err = run("plan", "plans.py:graph", "--json")
    assert (code, err) == (0, "")
    value = json.loads(out)
    jsonschema.validate(value, strict(schema()))
    assert [node["name"] for node in value["nodes"]] == ["fast", "slow", "after"]


def test_options(
    run: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    off = '{"run_ahead": "off"}'
    assert "nothing starts early" in run("plan", "plans.py:graph", "--options", off)[1]
    assert "slow: declared once" in run("plan", "plans.py:accelerated")[1]
    assert "0 held" in run("plan", "plans.py:accelerated", "--options", "{}")[1]
    monkeypatch.setenv("LANGGRAPH_ALTO_OPTIONS", off)
    assert "nothing starts early" in run("plan", "plans.py:graph")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan"], "Missing argument"),
        (["plan", "plans.py:graph", "--mermaid", "--json"], "can't be given together with"),
        (["plan", "plans.py:graph", "more"], "more"),
        (["plan", "plans.py:nothing"], "plans.py has no 'nothing'"),
        (["plan", "plans.py:number"], "plans.py:number is an int, not a graph."),
        (["plan", "plans.py:wrong"], "plans.py:wrong: metadata of node 'slow' declares effects="),
        (["plan", "plans.py:graph", "--options", "{"], "--options: not valid JSON"),
        (
            ["plan", "plans.py:graph", "--options", '{"nodes": {"slw": {}}}'],
            "plans.py:graph: nodes['slw']: the graph has no such node",
        ),
    ],
)
def test_bad_usage(
    run: Cli,
    arguments: list[str],
    message: str,
) -> None:
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("langgraph-alto: ")
    assert message in err


def test_help(run: Cli) -> None:
    code, out, err = run("plan", "--help")
    assert (code, err) == (0, "")
    assert "--mermaid" in out


@pytest.mark.slow
def test_a_reader_that_has_enough_is_no_error() -> None:
    code = (
        "import sys, langgraph_alto.cli as cli\n"
        "sys.stdin.read(); sys.exit(cli.main(['plan', 'examples/gains/send_chains.py:graph']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # nobody reads
        process.stdin.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, "")
