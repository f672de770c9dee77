"""`langgraph-alto trace`, each time as a process of its own: it sets a global tracer provider."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.secrets import CAPTURED, secret, told
from tests.test_flow_reading import otlp_json

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
TELLS_ALL = "tests/helpers/secrets.py:graph"

GRAPHS = """
import asyncio, operator
from typing import Annotated, TypedDict
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from langgraph_alto import Partial

class State(TypedDict, total=False):
    secret: str
    items: Annotated[list[str], operator.add]
    done: Annotated[list[str], operator.add]

async def plan(state: State):
    for n in range(3):
        await asyncio.sleep(0.01)
        yield Partial(items=[f"{n}"])

def each(state: State):
    return [Send("work", {"item": item}) for item in state["items"]]

async def work(task):
    if task["item"] == "2" and fail:
        raise ValueError("the secret is xyzzy")
    return {"done": [task["item"]]}

def make():
    builder = StateGraph(State)
    builder.add_node("plan", plan)
    builder.add_node("work", work)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", each, ["work"])
    return builder.compile(name="writer")

fail = False
graph = make()

def failing():
    global fail
    fail = True
    return make()
"""


@pytest.fixture
def graphs(tmp_path: Path) -> str:
    (tmp_path / "graphs.py").write_text(GRAPHS)
    return str(tmp_path / "graphs.py")


def trace(
    *arguments: str, columns: int = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "langgraph_alto", "trace", *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1", **environment},
    )


@pytest.mark.parametrize("executor", ["alto", "langgraph"])
def test_a_run(graphs: str, tmp_path: Path, executor: str) -> None:
    html = tmp_path / "flow.html"
    given = json.dumps({"secret": "xyzzy"})
    done = trace(f"{graphs}:graph", "--input", given, "--html", str(html), "--executor", executor)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(re.findall(r"work plan\.items\[\d\]", done.stdout)) >= 3
    # Two at least: the last item's task may be real before it could start early.
    assert bool(re.search(r"ran ahead [23]", done.stdout)) == (executor == "alto")
    page = html.read_text("utf-8")
    assert '"executor":"' + {"alto": "ALTO", "langgraph": "LangGraph"}[executor] in page
    assert "xyzzy" not in page + done.stdout


def test_what_a_run_raises_comes_after_its_flow(graphs: str, tmp_path: Path) -> None:
    html = tmp_path / "flow.html"
    done = trace(f"{graphs}:failing", "--input", "{}", "--html", str(html))
    assert done.returncode == 1
    assert "ValueError: the secret is xyzzy" in done.stderr  # Python's own traceback
    assert "failed" in done.stdout
    assert "xyzzy" not in done.stdout + html.read_text("utf-8")


@pytest.mark.parametrize(
    ("executor", "fails"), [("alto", False), ("alto", True), ("langgraph", True)]
)
def test_no_content_is_drawn(tmp_path: Path, executor: str, fails: bool) -> None:
    """Neither input, state, prompts and answers, tools' arguments and results, nor errors."""
    html = tmp_path / "flow.html"
    given = json.dumps({"question": "fail" if fails else secret("input")})
    run = (TELLS_ALL, "--input", given, "--html", str(html), "--executor", executor)
    done = trace(*run, OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="")
    assert done.returncode == fails, done.stderr
    drawn = html.read_text("utf-8") + done.stdout
    for name in ("tells all", "FakeListChatModel", "execute_tool confess", "ValueError"):
        assert name in drawn
    assert ("RuntimeError" in drawn) == fails
    assert told(drawn) == []


def test_content_is_drawn_where_it_is_asked_for(tmp_path: Path) -> None:
    html = tmp_path / "flow.html"
    run = (TELLS_ALL, "--input", json.dumps({"question": secret("input")}), "--html", str(html))
    done = trace(*run, OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="true")
    assert done.returncode == 0, done.stderr
    assert told(html.read_text("utf-8")) == CAPTURED


def test_a_recording(tmp_path: Path) -> None:
    recording, html = tmp_path / "trace.json", tmp_path / "flow.html"
    recording.write_text(json.dumps(otlp_json()))
    done = trace(str(recording), "--html", str(html))
    assert (done.returncode, done.stderr) == (0, "")
    assert "writer on ALTO" in done.stdout
    assert "Reason: retracted" in done.stdout
    assert "<!doctype html>" in html.read_text("utf-8")


def test_a_bad_target_is_one_line(graphs: str) -> None:
    done = trace(f"{graphs}:nope", "--input", "{}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "has no 'nope'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["{tmp}/none.json"], "Can't read"),
        (["{tmp}"], "Is a directory"),
        (["{tmp}/bad.json"], "is no OTLP JSON: it has no 'resourceSpans'"),
        (["{tmp}/graphs.py"], "is no OTLP JSON: Expecting value"),
        (["{graphs}:graph"], "needs --input"),
        (["{graphs}:graph", "--input", "{{"], "--input: not valid JSON"),
        (["{graphs}:graph", "--input", "{{}}", "--html", "{tmp}/no/x.html"], "there is no folder"),
        (["{graphs}:graph", "--input", "{{}}", "--html", "{tmp}"], "is a folder"),
        (["{graphs}:graph", "--input", "{{}}", "--executor", "x"], "Invalid value"),
        (["{tmp}/bad.json", "--otlp", "http://localhost:4317"], "--otlp: is for a run"),
    ],
)
def test_bad_input_is_one_line(
    graphs: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    problem: str,
) -> None:
    """In this process: nothing is run, so no provider is set."""
    from langgraph_alto.cli import main

    (tmp_path / "bad.json").write_text('{"a": 1}')
    filled = [argument.format(tmp=tmp_path, graphs=graphs) for argument in arguments]
    code = main(["trace", *filled])
    printed = capsys.readouterr()
    assert code == 2
    assert problem in printed.err
    assert printed.err.startswith("langgraph-alto: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""
