"""`langgraph-alto compare` from the outside: exit codes, one line for bad use, files, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from langgraph_alto import cli
from langgraph_alto.compare.report import SCHEMA

APP = '''
import os, signal, time, uuid
from typing import TypedDict
from langgraph.graph import START, StateGraph


class State(TypedDict, total=False):
    number: int
    id: str


def one(node):
    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile()


graph = one(lambda state: {"number": state.get("number", 0) + 1})
with_ids = one(lambda state: {"id": str(uuid.uuid4())})


def needs_a_key():
    raise RuntimeError("ACME_API_KEY is not set.\\nSee the manual.")


def fails(state):
    raise KeyError("ACME_API_KEY")


always_fails = one(fails)
number = 3
calls = 0


def stopped(state):
    """Ctrl-C in the 20th call."""
    global calls
    calls += 1
    if calls == 20:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
    return {"number": calls * 0}


async def astopped(state):
    import asyncio

    if (await asyncio.sleep(0, stopped.__globals__))["calls"] >= 19:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(30)
    stopped.__globals__["calls"] += 1
    return {"number": 0}


stops = one(stopped)
astops = one(astopped)


def hangs_on_two(state):
    if state.get("number") == 2:
        time.sleep(1000)
    return {"number": 1}


hangs = one(hangs_on_two)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an application and inputs, to be in."""
    (tmp_path / "shop.py").write_text(textwrap.dedent(APP))
    (tmp_path / "inputs.jsonl").write_text('{"input": {"number": 1}}\n')
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    sys.modules.pop("shop", None)


def compare(*arguments: str) -> int:
    return cli.main(["compare", *arguments])


def test_equal_results_exit_with_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("shop.py:graph", "--inputs", "inputs.jsonl", "--runs", "2", "--json", "out.json")
    assert compare(*arguments) == 0
    report = json.loads((folder / "out.json").read_text())
    jsonschema.validate(report, json.loads(SCHEMA.read_text("utf-8")))
    assert report["reproduce"]["command"] == "langgraph-alto compare " + " ".join(arguments)
    assert report["target"] == "shop.py:graph"
    told = capsys.readouterr()
    assert "All 2 results are equal." in told.out
    assert told.out.endswith("Written: out.json.\n")
    assert "LangGraph against itself" in told.out
    assert "; an executor's own time is not in it." in told.out
    assert "The same command with --concurrency 1,2,4,8 measures it." in told.out
    assert compare(*arguments[:-2], "--against", "out.json", "--concurrency", "1,2") == 0
    told = capsys.readouterr()
    assert "older report" in told.out
    assert "Sustained rate, the median below" in told.out
    assert "was not measured" not in told.out


def test_different_results_exit_with_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("shop.py:with_ids", "--inputs", "inputs.jsonl", "--runs", "1", "--no-noise")
    assert compare(*arguments) == 1
    out = capsys.readouterr().out
    assert "The results differ. Input 1: 'id' is" in out
    assert "--ignore KEY" in out
    assert "differ from run to run" not in out  # that was not measured
    assert compare(*arguments[:-1]) == 1
    assert "LangGraph's own results differ from run to run, too." in capsys.readouterr().out
    assert compare(*arguments, "--ignore", "id") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shop.py:number"], "shop.py:number is an int, not a graph"),
        (["shop.py:grap"], "shop.py has no 'grap'. Did you mean 'graph'?"),
        (["shop.py"], "names no graph"),
        (["nothing.py:graph"], "No file 'nothing.py'"),
        (["shop.py:needs_a_key"], "raised RuntimeError: ACME_API_KEY is not set. See the manual."),
        (["shop.py:always_fails"], "every input fails on LangGraph; the first one: KeyError"),
        (["shop.py:graph", "--inputs", "broken.jsonl"], "broken.jsonl, line 2, column"),
        (["shop.py:graph", "--inputs", "empty.jsonl"], "empty.jsonl holds no inputs"),
        (["shop.py:graph", "--inputs", "none.jsonl"], "can't read 'none.jsonl'"),
        (["shop.py:graph", "--json", "no/folder/out.json"], "can't write 'no/folder/out.json'"),
        (["shop.py:graph", "--html", "."], "can't write '.'"),
        (["shop.py:graph", "--record", "no/folder/a"], "can't write 'no/folder/a'"),
        (["shop.py:graph", "--json", "inputs.jsonl"], "can't write 'inputs.jsonl': it is read"),
        (["shop.py:graph", "--json", "./shop.py"], "can't write './shop.py': it is read"),
        (["shop.py:graph", "--json", "a", "--html", "./a"], "can't write './a': two options"),
        (["shop.py:graph", "--executor-options", "{"], "--executor-options: not valid JSON"),
        (["shop.py:graph", "--replay", "empty.jsonl"], "holds no recorded answers"),
        (["shop.py:graph", "--against", "inputs.jsonl"], "is no report"),
        (["shop.py:graph", "--runs", "0"], "runs=0 must be 1 or more"),
        (["shop.py:graph", "--concurrency", "1,x"], "must be whole numbers"),
        (["shop.py:graph", "--concurrency", "0"], "must be whole numbers from 1"),
        (["shop.py:graph", "--timeout", "-1"], "must be more than 0"),
        (["shop.py:graph", "--mode", "fast"], "Valid: auto, async, sync"),
        (["shop.py:graph", "--executor-options", '{"max": 1}'], "Unknown option max"),
        (
            ["shop.py:graph", "--executor-options", '{"nodes": {"x": {"effects": "pure"}}}'],
            "shop.py:graph: ",
        ),
        (["shop.py:graph", "--record", "a", "--replay", "inputs.jsonl"], "given together"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_use_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (folder / "broken.jsonl").write_text('{"input": 1}\n{"input": \n')
    (folder / "empty.jsonl").write_text("\n")
    before = sorted(p.name for p in folder.iterdir() if p.name != "__pycache__")
    if "--inputs" not in arguments:
        arguments = [*arguments, "--inputs", "inputs.jsonl"]
    assert compare(*arguments) == 2
    told = capsys.readouterr()
    assert told.err.startswith("langgraph-alto: ")
    assert told.err.count("\n") == 1
    assert message in told.err
    assert told.out == ""
    after = sorted(p.name for p in folder.iterdir() if p.name != "__pycache__")
    assert before == after


def in_a_process(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "langgraph_alto", "compare", *arguments]
    return subprocess.run(
        [*command, "--inputs", "inputs.jsonl", "--json", "out.json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        # Where the tests run in the background, a shell has made them, and so this, deaf to it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.slow
@pytest.mark.parametrize("target", ["stops", "astops"])
def test_ctrl_c_keeps_what_is_done(folder: Path, target: str) -> None:
    done = in_a_process(folder, f"shop.py:{target}", "--runs", "20")
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    report = json.loads((folder / "out.json").read_text())
    assert report["complete"] is False
    assert 3 <= len(report["runs"][0]["pairs"]) < 20
    assert "Stopped before its end" in done.stdout


@pytest.mark.slow
def test_threads_that_hang_do_not_keep_the_command(folder: Path) -> None:
    (folder / "inputs.jsonl").write_text('{"number": 1}\n{"number": 2}\n')
    done = in_a_process(folder, "shop.py:hangs", "--runs", "1", "--timeout", "0.2", "--no-noise")
    assert done.returncode == 0, done.stderr
    assert "Input 2 on ALTO, 1 times: no end after 0.2 s" in done.stdout
