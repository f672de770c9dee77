"""Traces as a collector gets them: over gRPC and HTTP, from both executors, of many shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        self.collector.clear()
        with traced(executor, self.tracing):
            requests = SHAPES[name]()
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


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", SHAPES)
def test_each_request_is_one_trace_as_it_should_be(sent: Sent, name: str, executor: str) -> None:
    for trace in sent.run(name, executor):
        assert problems_of(trace) == []
        root = next(s for s in trace if not s.parent)
        assert root.name.startswith("invoke_workflow ")
        assert root["gen_ai.operation.name"] == "invoke_workflow"
        assert root["alto.executor"] == executor
        assert root.resource["service.name"]
        assert root.resource["service.instance.id"]


def test_both_executors_have_the_same_names(over_grpc: Sent) -> None:
    """Side by side in Jaeger: what differs are the streams, which LangGraph has not."""
    for name in ("chains", "models_and_tools", "subgraph", "retries", "task_calls"):
        ours, theirs = (
            Counter(s.name for s in over_grpc.run(name, e)[0] if not s.name.startswith("stream "))
            for e in EXECUTORS
        )
        assert ours == theirs, name
