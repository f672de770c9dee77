"""`langgraph-alto run`, targets, and what the command line says of bad input."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import os
import subprocess
import sys
import textwrap
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.types import Interrupt, Send
from rich.console import Console

import langgraph_alto
from langgraph_alto import cli
from langgraph_alto.errors import TargetError
from langgraph_alto.rendering import print_report, to_json, to_plain
from langgraph_alto.report import RunReport
from langgraph_alto.targets import load_target

GRAPHS = """
import operator
from typing import Annotated, TypedDict
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Send, interrupt
import langgraph_alto

class State(TypedDict):
    items: Annotated[list, operator.add]
    done: Annotated[list, operator.add]

def fan(state):
    return [Send("work", {"item": item}) for item in state["items"]]

def work(state):
    return {"done": [state["item"] * 2]}

def fanned(work=work, **compile):
    builder = StateGraph(State)
    builder.add_node("work", work)
    builder.add_conditional_edges(START, fan, ["work"])
    builder.add_edge("work", END)
    return builder

async def awork(state):
    return {"done": [state["item"] * 3]}

builder = fanned()
graph = builder.compile()
agraph = fanned(awork).compile()

def make():
    return graph

def make_builder():
    return fanned()

async def amake():
    import asyncio
    loop = asyncio.get_running_loop()
    async def same_loop(state):
        assert asyncio.get_running_loop() is loop
        return await awork(state)
    return fanned(same_loop).compile()

def needs(argument):
    return graph

def gives_number():
    return 5

def executor(state):
    return {"done": [langgraph_alto.is_installed()]}
executor = fanned(executor).compile()

def fail(state):
    raise KeyError("mine")
failing = fanned(fail).compile()

def end_of_file(state):
    raise EOFError("mine")
ending = fanned(end_of_file).compile()

def leave(state):
    raise SystemExit(3)
leaving = fanned(leave).compile()

def ask(state):
    return {"done": [interrupt({"sure?": state["item"]})]}
asking = fanned(ask).compile(checkpointer=InMemorySaver())

class Talk(TypedDict):
    messages: Annotated[list, add_messages]
talk = StateGraph(Talk).add_node("say", lambda s: {"messages": [AIMessage("hi", id="1")]})
talk.set_entry_point("say")

class Holder:
    inner = graph

number = 5
"""

INPUT = '{"items": [1, 2]}'

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with graphs in `app.py` and `pack.graphs`; the process is restored."""
    (tmp_path / "app.py").write_text(GRAPHS)
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "pack" / "graphs.py").write_text("from app import graph\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LANGGRAPH_ALTO_OPTIONS", raising=False)
    monkeypatch.setenv("LANGGRAPH_ALTO", "1")  # `run` may set it: restored afterwards
    modules, path, installed = dict(sys.modules), list(sys.path), langgraph_alto.is_installed()
    yield tmp_path
    for name in set(sys.modules) - set(modules):
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]
    sys.path[:] = path
    if not installed:
        langgraph_alto.uninstall()


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs the command line in this process: exit code, stdout, stderr."""

    def run_cli(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_cli


def in_process(*arguments: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "langgraph_alto", *arguments],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


# Targets


@pytest.mark.parametrize(
    ("target", "factor"),
    [
        ("app.py:graph", 2),
        ("./app.py:graph", 2),
        ("app:graph", 2),
        ("pack.graphs:graph", 2),
        ("pack/graphs.py:graph", 2),
        ("app.py:Holder.inner", 2),
        ("app.py:builder", 2),
        ("app.py:make", 2),
        ("app.py:make_builder", 2),
        ("app.py:agraph", 3),
        ("app.py:amake", 3),
    ],
)
def test_target_forms(run: Cli, folder: Path, target: str, factor: int) -> None:
    # `python pack/graphs.py` would not see the folder above, nor does the target.
    (folder / "pack" / "app.py").write_text(GRAPHS)
    code, out, err = run("run", target, "--input", INPUT)
    assert (code, err) == (0, "")
    assert json.loads(out) == {"items": [1, 2], "done": [factor, 2 * factor]}


def test_target_file_is_a_module_like_any_other(folder: Path) -> None:
    (folder / "other.py").write_text("name, file = __name__, __file__\nfrom app import graph\n")
    load_target(f"{folder / 'other.py'}:graph")
    assert sys.modules["other"].name == "other"
    assert sys.path[0] == str(folder)


def test_target_file_called_like_a_module_in_use(folder: Path) -> None:
    (folder / "json.py").write_text("from app import graph\n")
    load_target("json.py:graph")
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "app.py",
            "'app.py' names no graph. Write path/to/file.py:NAME or package.module:NAME, "
            "here app.py:NAME.",
        ),
        ("app.py:", "here app.py:NAME"),
        (":graph", "names no graph"),
        ("", "names no graph"),
        ("ap.py:graph", "Did you mean 'app.py'?"),
        ("no/such/file.py:graph", "No file 'no/such/file.py'"),
        ("pack/:graph", "'pack' is a folder"),
        ("no_such_module:graph", "No module named 'no_such_module'"),
        ("pack.nope:graph", "No module named 'pack.nope'"),
        ("not-a-module:graph", "'not-a-module' is not the name of a module"),
        ("app.py:grph", "app.py has no 'grph'. Did you mean 'graph'"),
        ("app.py:zzz", "Graphs there: builder, graph, agraph"),
        ("app.py:number", "app.py:number is an int, not a graph."),
        ("app.py:gives_number", "app.py:gives_number returned an int, not a graph."),
        ("app.py:needs", "can't be called without arguments"),
        ("app.py:State", "not a graph"),
    ],
)
def test_target_that_can_not_be_loaded(run: Cli, target: str, message: str) -> None:
    code, out, err = run("run", target, "--input", INPUT)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("langgraph-alto: ")
    assert message in err


def test_import_error_of_the_module_itself_is_the_users(folder: Path) -> None:
    (folder / "broken.py").write_text("import no_such_dependency\n")
    for target in ("broken.py:graph", "broken:graph"):
        with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
            load_target(target)
    assert "broken" not in sys.modules


# Input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing command"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["--frobnicate"], "No such option: --frobnicate"),
        (["run"], "Missing"),
        (["run", "app.py:graph"], "Missing option '--input'"),
        (["run", "app.py:graph", "--input"], "requires an argument"),
        (["run", "app.py:graph", "--input", "{", "--report"], "--input: not valid JSON"),
        (["run", "app.py:graph", "--input", ""], "--input: not valid JSON"),
        (["run", "app.py:graph", "--input", "@nope.json"], "--input: can't read 'nope.json'"),
        (["run", "app.py:graph", "--input", "@app.py"], "--input: app.py: not valid JSON"),
        (["run", "app.py:graph", "--input", "@binary"], "--input: binary: not UTF-8"),
        (["run", "app.py:graph", "--input", "@pack"], "--input: can't read 'pack'"),
        (["run", "app.py:graph", "--input", "{}", "--config", "[]"], "must be a JSON object"),
        (["run", "app.py:graph", "--input", "{}", "--config", "@no"], "--config: can't read 'no'"),
        (["run", "app.py:graph", "--input", "{}", "--executor", "fast"], "--executor"),
        (["run", "app.py:graph", "--input", "{}", "--stream-mode", "all"], "--stream-mode"),
        (["run", "app.py:graph", "--input", "{}", "--options", "{"], "--options: not valid JSON"),
        (["run", "app.py:graph", "--input", "{}", "--options", '{"speed": 9}'], "Valid: run_ahead"),
        (["run", "app.py:graph", "--input", "{}", "--options", '{"emit": 9}'], "Valid: 'ordered'"),
        (
            ["run", "app.py:graph", "--input", "{}", "--options", '{"tools": 9}'],
            "tools must be a mapping",
        ),
        (["run", "app.py:graph", "--input", "{}", "more"], "more"),
    ],
)
def test_bad_usage(run: Cli, folder: Path, arguments: list[str], message: str) -> None:
    (folder / "binary").write_bytes(b"\xff\xfe\xff")
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("langgraph-alto: ")
    assert message in err


def test_bad_options_in_the_environment(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGGRAPH_ALTO_OPTIONS", "{")
    code, out, err = run("run", "app.py:graph", "--input", INPUT)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "LANGGRAPH_ALTO_OPTIONS must hold a JSON object" in err


def test_input_and_config_from_files(run: Cli, folder: Path) -> None:
    (folder / "in.json").write_text(INPUT)
    (folder / "config.json").write_text('{"recursion_limit": 7}')
    code, out, _ = run("run", "app.py:graph", "--input", "@in.json", "--config", "@config.json")
    assert (code, json.loads(out)["done"]) == (0, [2, 4])


@pytest.mark.slow
def test_input_from_stdin(folder: Path) -> None:
    result = in_process("run", "app.py:graph", "--input", "-", cwd=folder, stdin=INPUT)
    assert (json.loads(result.stdout)["done"], result.stderr) == ([2, 4], "")
    wrong = in_process("run", "app.py:graph", "--input", "-", cwd=folder, stdin="{")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
    assert "--input: stdin: not valid JSON" in wrong.stderr


# Running


@pytest.mark.parametrize(("executor", "installed"), [("alto", True), ("langgraph", False)])
def test_executor(run: Cli, executor: str, installed: bool) -> None:
    _, out, _ = run("run", "app.py:executor", "--input", '{"items": [1]}', "--executor", executor)
    assert json.loads(out)["done"] == [installed]


def test_executor_of_the_module_is_undone_for_langgraph(run: Cli, folder: Path) -> None:
    (folder / "auto.py").write_text("import langgraph_alto\nlanggraph_alto.install()\n" + GRAPHS)
    arguments = ["run", "auto.py:executor", "--input", '{"items": [1]}', "--executor", "langgraph"]
    assert json.loads(run(*arguments)[1])["done"] == [False]


def test_options_reach_the_executor(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(langgraph_alto, "install", given.append)
    monkeypatch.setattr(langgraph_alto, "is_installed", lambda: False)
    monkeypatch.setenv("LANGGRAPH_ALTO_OPTIONS", '{"max_ahead": 3}')
    run("run", "app.py:graph", "--input", INPUT)
    run("run", "app.py:graph", "--input", INPUT, "--options", '{"max_ahead": 4}')
    assert [options.max_ahead for options in given] == [3, 4]


def test_what_the_module_installed_stands(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(langgraph_alto, "install", given.append)
    monkeypatch.setattr(langgraph_alto, "is_installed", lambda: True)
    run("run", "app.py:graph", "--input", INPUT)
    assert given == []


def test_stream_modes(run: Cli) -> None:
    one = run("run", "app.py:graph", "--input", INPUT, "--stream-mode", "updates")[1]
    assert [json.loads(line) for line in one.splitlines()] == [
        {"work": {"done": [2]}},
        {"work": {"done": [4]}},
    ]
    modes = ["--stream-mode", "updates", "--stream-mode", "values"]
    two = run("run", "app.py:agraph", "--input", '{"items": [1]}', *modes)[1]
    assert [json.loads(line) for line in two.splitlines()] == [
        ["values", {"items": [1], "done": []}],
        ["updates", {"work": {"done": [3]}}],
        ["values", {"items": [1], "done": [3]}],
    ]


def test_messages_can_be_read_and_given_back(run: Cli) -> None:
    _, out, _ = run("run", "app.py:talk", "--input", '{"messages": [["user", "hello"]]}')
    human, ai = json.loads(out)["messages"]
    assert (human["type"], human["content"]) == ("human", "hello")
    assert (ai["type"], ai["content"], ai["id"]) == ("ai", "hi", "1")
    _, again, _ = run("run", "app.py:talk", "--input", out)
    assert json.loads(again) == json.loads(out)


def test_interrupt_is_shown(run: Cli) -> None:
    arguments = ["--input", '{"items": [1]}', "--config", '{"configurable": {"thread_id": "1"}}']
    _, out, _ = run("run", "app.py:asking", *arguments)
    assert json.loads(out)["__interrupt__"][0]["value"] == {"sure?": 1}


def test_report(run: Cli) -> None:
    code, out, err = run("run", "app.py:graph", "--input", INPUT, "--report")
    assert (code, json.loads(out)["done"]) == (0, [2, 4])
    for word in ("started", "adopted", "discarded", "rerun", "abandoned", "seconds"):
        assert word in err
    off = ["--report", "--executor", "langgraph"]
    assert "No report" in run("run", "app.py:graph", "--input", INPUT, *off)[2]


def test_report_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    held = RunReport("app", accelerated=False, held=Counter({"writes a [file]": 2}), duration=1.5)
    fallen = RunReport("other", fallbacks=["LangGraph 9 is not tested"])
    print_report([held, fallen], Console())
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        "app: not accelerated",
        "app: held 2 times: writes a [file]",
        "other: not accelerated: LangGraph 9 is not tested",
    ]


def test_report_of_a_run_that_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError, match="mine"):
        cli.main(["run", "app.py:failing", "--input", INPUT, "--report"])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "adopted" in captured.err


@pytest.mark.parametrize(("name", "error"), [("failing", KeyError), ("ending", EOFError)])
def test_exception_of_the_graph_passes_through(
    folder: Path, name: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match="mine"):
        cli.main(["run", f"app.py:{name}", "--input", INPUT])


def test_error_of_the_users_own_use_of_alto_passes_through(folder: Path) -> None:
    (folder / "wrong.py").write_text("import langgraph_alto\nlanggraph_alto.Options(speed=9)\n")
    with pytest.raises(langgraph_alto.errors.OptionError, match="Unknown option speed"):
        cli.main(["run", "wrong.py:graph", "--input", INPUT])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "code", "last_line"),
    [
        ("raise KeyError('mine')", 1, "KeyError: 'mine'"),
        ("import sys; sys.exit(3)", 3, ""),
        ("def broken(:", 1, "SyntaxError: invalid syntax"),
    ],
)
def test_failure_of_the_module_has_its_own_traceback_and_code(
    folder: Path, text: str, code: int, last_line: str
) -> None:
    (folder / "bad.py").write_text(text)
    result = in_process("run", "bad.py:graph", "--input", INPUT, cwd=folder)
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.strip().splitlines()[-1:] == ([last_line] if last_line else [])
    assert not last_line or "bad.py" in result.stderr


# Start-up, version, help


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--version"], ["exec", "nope.py"], ["run", "x:y"], []])
def test_langgraph_is_not_imported_before_it_is_needed(folder: Path, arguments: list[str]) -> None:
    code = textwrap.dedent(
        f"""
        import sys
        from langgraph_alto.cli import main
        main({arguments})
        names = [n for n in sys.modules if n.startswith(("langgraph.", "langchain", "rich"))]
        print(names, file=sys.stdout)
        """
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_version_and_help(run: Cli) -> None:
    code, out, err = run("--version")
    assert (code, err) == (0, "")
    assert out.startswith("langgraph-alto ")
    for arguments in (["--help"], ["run", "--help"], ["exec", "--help"]):
        code, out, err = run(*arguments)
        assert (code, err) == (0, "")
        assert "Usage" in out


# JSON


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    next: Any = None


def test_values_become_json() -> None:
    value = {
        "message": AIMessage("hi", tool_calls=[{"name": "f", "args": {"a": 1}, "id": "1"}]),
        "send": Send("node", {"a": (1, 2)}),
        "interrupt": Interrupt(value="sure?", id="i"),
        "point": Point(1, Point(2)),
        "enum": [Colour.RED, Level.HIGH],
        "sets": [{3, 1, 2}, frozenset("ba")],
        "deque": deque([1]),
        "bytes": b"a\xff",
        "numbers": [1, 1.5, True, None, float("inf"), decimal.Decimal("1.50")],
        "time": datetime.datetime(2024, 1, 2, 3, 4, tzinfo=datetime.UTC),
        "id": uuid.UUID(int=1),
        "path": Path("a/b"),
        "type": Point,
        ("a", 1): "key",
        2: "key",
    }
    plain = json.loads(to_json(value))
    message, interrupt = plain.pop("message"), plain.pop("interrupt")
    assert (message["type"], message["content"]) == ("ai", "hi")
    assert (interrupt["value"], interrupt["id"]) == ("sure?", "i")
    assert message["tool_calls"][0]["args"] == {"a": 1}
    assert plain == {
        "send": {"node": "node", "arg": {"a": [1, 2]}},
        "point": {"x": 1, "next": {"x": 2, "next": None}},
        "enum": ["red", 3],
        "sets": [[1, 2, 3], ["a", "b"]],
        "deque": [1],
        "bytes": "a\\xff",
        "numbers": [1, 1.5, True, None, None, "1.50"],
        "time": "2024-01-02 03:04:00+00:00",
        "id": "00000000-0000-0000-0000-000000000001",
        "path": f"a{os.sep}b",
        "type": str(Point),
        "['a', 1]": "key",
        "2": "key",
    }


def test_value_that_holds_itself() -> None:
    value: dict[str, Any] = {}
    value["self"] = [value]
    assert to_plain(value) == {"self": ["<dict inside itself>"]}
    same = [1]
    assert to_plain([same, same]) == [[1], [1]]


def test_target_error_is_one_of_ours() -> None:
    assert issubclass(TargetError, langgraph_alto.errors.AltoError)
