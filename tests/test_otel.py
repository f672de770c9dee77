"""Traces as a collector gets them: over gRPC and HTTP, from both executors, of many shapes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import langgraph_alto
from langgraph_alto import otel
from langgraph_alto._langgraph.seam import trace_langgraph
from tests.helpers import shapes
from tests.helpers.collector import (
    Collector,
    Received,
    grpc_collector,
    http_collector,
    problems_of,
)
from tests.helpers.examples import Example, every_example, run_requests
from tests.helpers.shapes import SHAPES

EXECUTORS: dict[str, Callable[[Any], None]] = {
    "alto": lambda provider: langgraph_alto.install(tracer_provider=provider),
    "langgraph": lambda provider: trace_langgraph(tracer_provider=provider),
}


@contextmanager
def traced(executor: str, tracing: otel.Tracing) -> Iterator[None]:
    """Every graph of this process runs on an executor and is traced."""
    EXECUTORS[executor](tracing.provider)
    shapes.providers.append(tracing.provider)
    try:
        yield
    finally:
        shapes.providers.pop()
        langgraph_alto.uninstall()
        tracing.provider.force_flush()


class Sent:
    """A collector, and what exports to it."""

    def __init__(self, collector: Collector, protocol: str) -> None:
        self.collector = collector
        self.tracing = otel.configure(
            collector.endpoint, protocol=protocol, make_global=False, with_metrics=False
        )

    def run(self, name: str, executor: str = "alto") -> list[list[Received]]:
        """Run a shape; returns its traces, each with its root first."""
        return self.traces_of(SHAPES[name], executor)

    def traces_of(self, run: Callable[[], int], executor: str) -> list[list[Received]]:
        """The same of any function that says how many requests it made."""
        self.collector.clear()
        with traced(executor, self.tracing):
            requests = run()
        found = [sorted(t, key=lambda s: s.start) for t in self.collector.traces().values()]
        assert len(found) == requests, [[s.name for s in t] for t in found]
        return sorted(found, key=lambda t: t[0].start)


@pytest.fixture(scope="module", params=["grpc", "http/protobuf"])
def sent(request: pytest.FixtureRequest) -> Iterator[Sent]:
    opened = grpc_collector if request.param == "grpc" else http_collector
    with opened() as collector:
        made = Sent(collector, request.param)
        yield made
        assert made.tracing.shutdown() == 0


@pytest.fixture(scope="module")
def over_grpc() -> Iterator[Sent]:
    with grpc_collector() as collector:
        made = Sent(collector, "grpc")
        yield made
        assert made.tracing.shutdown() == 0


def nodes(trace: list[Received], name: str | None = None) -> list[Received]:
    return [
        s
        for s in trace
        if s.name.startswith("node ")
        and s["alto.node"] != "__start__"
        and (name is None or s["alto.node"] == name)
    ]


def is_as_it_should_be(trace: list[Received], executor: str) -> None:
    """A trace by the rules, whose root tells of the request."""
    assert problems_of(trace) == []
    root = trace[0]
    assert not root.parent
    assert root.name.startswith("invoke_workflow ")
    assert root["gen_ai.operation.name"] == "invoke_workflow"
    assert root["alto.executor"] == executor
    assert root.resource["service.name"]
    assert root.resource["service.instance.id"]


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", SHAPES)
def test_each_request_is_one_trace_as_it_should_be(sent: Sent, name: str, executor: str) -> None:
    for trace in sent.run(name, executor):
        is_as_it_should_be(trace, executor)


def test_both_executors_have_the_same_names(over_grpc: Sent) -> None:
    """Side by side in Jaeger: what differs are the streams, which LangGraph has not."""
    for name in ("chains", "models_and_tools", "subgraph", "retries", "task_calls"):
        ours, theirs = (
            Counter(s.name for s in over_grpc.run(name, e)[0] if not s.name.startswith("stream "))
            for e in EXECUTORS
        )
        assert ours == theirs, name


def names(trace: list[Received]) -> Counter[str]:
    """What ran for the result. LangGraph has no streams, and throws nothing away."""
    lost = ("discarded", "rerun")
    gone = {s.id for s in trace if s.attributes.get("alto.run_ahead.outcome") in lost}
    return Counter(
        s.name for s in trace if not s.name.startswith("stream ") and not {s.id, s.parent} & gone
    )


def in_a_node(span: Received, trace: list[Received]) -> bool:
    by_id = {s.id: s for s in trace}
    while span.parent and not span.name.startswith("node "):
        span = by_id[span.parent]
    return bool(span.parent)


@pytest.mark.slow
@pytest.mark.parametrize("example", every_example(), ids=str)
def test_each_request_of_every_example_is_one_trace(
    sent: Sent, example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {
        executor: sent.traces_of(lambda: run_requests(example, monkeypatch), executor)
        for executor in EXECUTORS
    }
    for executor, traces in found.items():
        for trace in traces:
            is_as_it_should_be(trace, executor)
            calls = [s for s in trace if s.name.startswith(("chat ", "execute_tool "))]
            assert all(in_a_node(call, trace) for call in calls)
        for before, after in pairwise(traces):  # a person was asked, and answered
            assert before[0]["alto.outcome"] == "interrupted"
            assert after[0]["alto.resumed.from_trace_id"] == before[0].trace
        assert any(s.name.startswith("chat ") for trace in traces for s in trace)
    ours, theirs = ([names(trace) for trace in traces] for traces in found.values())
    assert ours == theirs


def test_there_are_examples() -> None:
    """Applications, gains and tutorials are found; one of them asks a person."""
    found = every_example()
    folders = Counter(str(example).partition(".")[0] for example in found)
    assert folders["factcheck"] == folders["tracing"] == 1
    assert folders["gains"] >= 7
    assert folders["tutorials"] >= 10
    assert sum("answers" in example.line for example in found) >= 1


# The command line

GRAPH = """
from langgraph.graph import START, StateGraph
builder = StateGraph(dict)
builder.add_node("one", lambda state: {"said": "hello"})
builder.add_edge(START, "one")
graph = builder.compile(name="greeting")
"""


def command(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "LANGGRAPH_ALTO"))}
    return subprocess.run(
        [sys.executable, "-m", "langgraph_alto", *arguments],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("opened", [grpc_collector, http_collector])
def test_run_sends_its_trace(tmp_path: Path, opened: Any, executor: str) -> None:
    """By the option, and by OpenTelemetry's own variables."""
    (tmp_path / "app.py").write_text(GRAPH)
    protocol = "grpc" if opened is grpc_collector else "http/protobuf"
    with opened() as collector:
        run = ("run", "app.py:graph", "--input", "{}", "--executor", executor)
        by_option = command(
            tmp_path, *run, "--otlp", collector.endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=protocol
        )
        by_variable = command(
            tmp_path,
            *run,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_SERVICE_NAME="greeter",
        )
        for done in (by_option, by_variable):
            assert (done.returncode, done.stderr) == (0, "")
            assert "hello" in done.stdout
        first, second = sorted(collector.traces().values(), key=lambda t: t[0].start)
    for trace in (first, second):
        assert problems_of(trace) == []
        root = next(s for s in trace if not s.parent)
        assert root.name == "invoke_workflow greeting"
        assert root["alto.executor"] == executor
        assert nodes(trace, "one")
    assert first[0].resource["service.name"] == "langgraph-alto"
    assert second[0].resource["service.name"] == "greeter"


@pytest.mark.slow
def test_a_script_that_is_run_unchanged_sends_its_trace(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(GRAPH + "print(graph.invoke({}))\n")
    with grpc_collector() as collector:
        done = command(
            tmp_path,
            "exec",
            "script.py",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
        )
        assert (done.returncode, done.stderr) == (0, "")
        (trace,) = collector.traces().values()
    assert problems_of(trace) == []


@pytest.mark.slow
def test_a_collector_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(GRAPH)
    done = command(tmp_path, "run", "app.py:graph", "--input", "{}", "--otlp", "http://127.0.0.1:1")
    assert done.returncode == 0
    assert "hello" in done.stdout
    assert "langgraph-alto: 3 spans did not reach http://127.0.0.1:1" in done.stderr


@pytest.mark.slow
def test_an_unknown_protocol_is_bad_usage(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(GRAPH)
    run = ("run", "app.py:graph", "--input", "{}", "--otlp", "http://127.0.0.1:1")
    done = command(tmp_path, *run, OTEL_EXPORTER_OTLP_PROTOCOL="pigeon")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "'pigeon' is not one" in done.stderr
