"""What tracing may cost and may tell: caps, sizes, privacy, bad providers, dead collectors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import operator
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from langgraph_alto import accelerate, install, observe, otel, uninstall
from langgraph_alto._langgraph.seam import trace_langgraph
from langgraph_alto.otel import attributes, streams
from langgraph_alto.otel import metrics as instruments
from tests.helpers import secrets
from tests.helpers.collector import grpc_collector, http_collector
from tests.helpers.graphs import AHEAD
from tests.helpers.shapes import agenerate, awork, fan_out, look_up
from tests.test_otel_spans import Traced, about

ROOT = Path(__file__).parent.parent
SECRET = "hunter2-5f1c"


@pytest.fixture
def traced() -> Iterator[Traced]:
    made = Traced()
    yield made
    made.provider.shutdown()


@pytest.fixture(autouse=True)
def nothing_told_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "_told", set())


def everything(spans: Sequence[ReadableSpan]) -> str:
    return "\n".join(
        span.to_json() + repr([(e.name, dict(e.attributes or {})) for e in span.events])
        for span in spans
    )


# Privacy


@tool
def confess(word: str) -> str:
    """A tool that fails with its argument."""
    raise ValueError(f"no such word: {word}")


def tell_all(**compiled: Any) -> Any:
    model = FakeListChatModel(responses=[f"the answer is {SECRET}"])

    async def work(arg: dict[str, str]) -> Any:
        await model.ainvoke([HumanMessage(f"what is {arg['item']}?")])
        await look_up.ainvoke({"word": SECRET})
        with contextlib.suppress(ValueError):
            await confess.ainvoke({"word": SECRET})
        if arg["item"].endswith("2"):
            raise RuntimeError(f"could not do {SECRET}")
        return {"notes": [SECRET]}

    async def plan(state: Any) -> Any:
        from langgraph_alto import Partial

        for number in range(3):
            yield Partial(items=[f"{SECRET} {number}"])

    return fan_out(plan, work, **compiled)


def run_secretly(provider: Any) -> None:
    app = accelerate(tell_all(), tracer_provider=provider)
    with contextlib.suppress(RuntimeError):
        asyncio.run(app.ainvoke({"items": [], "joined": SECRET}))


def test_no_content_is_told(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of the input, the state, prompts, outputs, tool arguments, nor of errors."""
    monkeypatch.delenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", raising=False)
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: meters)
    run_secretly(traced.provider)
    assert len(traced.named("node work")) == 3
    assert traced.named("execute_tool confess")
    assert {about(s)["error.type"] for s in traced.spans if "error.type" in about(s)} == {
        "RuntimeError",
        "ValueError",
    }
    assert SECRET not in everything(traced.spans)
    assert SECRET not in str(reader.get_metrics_data())


def test_no_content_goes_over_the_wire() -> None:
    with grpc_collector() as collector:
        tracing = otel.configure(collector.endpoint, make_global=False)
        run_secretly(tracing.provider)
        assert tracing.shutdown() == 0
        assert collector.spans
        assert not any(SECRET.encode() in raw for raw in collector.raw)


@pytest.mark.parametrize("executor", ["alto", "langgraph"])
@pytest.mark.parametrize("asked", [False, True])
def test_what_goes_over_the_wire_of_each_place(
    monkeypatch: pytest.MonkeyPatch, executor: str, asked: bool
) -> None:
    """With spans and metrics; a secret of its own in each place where content can be."""
    variable = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    monkeypatch.setenv(variable, "true" if asked else "")
    with grpc_collector() as collector:
        tracing = otel.configure(collector.endpoint, make_global=False)
        try:
            (install if executor == "alto" else trace_langgraph)(tracer_provider=tracing.provider)
            for question in (secrets.secret("input"), "fail"):
                with contextlib.suppress(RuntimeError):
                    asyncio.run(secrets.build().ainvoke({"question": question}))
        finally:
            uninstall()
        assert tracing.shutdown() == 0
        sent = b"".join(collector.raw).decode("latin-1")
        assert len(collector.traces()) == 2
        assert collector.metrics
    assert "RuntimeError" in sent
    assert secrets.told(sent) == (secrets.CAPTURED if asked else [])


def test_content_is_told_where_it_is_asked_for(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    run_secretly(traced.provider)
    chat = about(traced.named("chat FakeListChatModel")[0])
    assert SECRET in chat["gen_ai.input.messages"]
    assert SECRET in chat["gen_ai.output.messages"]
    assert SECRET in about(traced.named("execute_tool look_up")[0])["gen_ai.tool.call.arguments"]
    assert len(chat["gen_ai.input.messages"]) <= attributes.MOST_CHARACTERS


# Sizes and caps


@pytest.mark.parametrize("opened", [grpc_collector, http_collector])
def test_a_fan_out_with_20_kb_of_state_costs_at_most_12_kb(opened: Any) -> None:
    big = "x" * 20_000

    class Big(TypedDict, total=False):
        items: Annotated[list[str], operator.add]
        notes: Annotated[list[str], operator.add]
        context: str

    builder = StateGraph(Big)
    builder.add_node("plan", lambda state: {"items": ["a", "b", "c"]})
    builder.add_node("work", lambda arg: {"notes": [arg["context"][:10]]}, metadata=AHEAD)
    builder.add_node("join", lambda state: {"items": []})
    builder.add_edge(START, "plan")
    builder.add_conditional_edges(
        "plan",
        lambda state: [Send("work", {"item": i, "context": big}) for i in state["items"]],
        ["work"],
    )
    builder.add_edge("work", "join")
    builder.add_edge("join", END)
    with opened() as collector:
        protocol = "grpc" if opened is grpc_collector else "http/protobuf"
        tracing = otel.configure(
            collector.endpoint, protocol=protocol, make_global=False, with_metrics=False
        )
        app = accelerate(builder.compile(name="big"), tracer_provider=tracing.provider)
        app.invoke({"context": big})
        assert tracing.shutdown() == 0
        assert len(collector.spans) >= 6
        assert 0 < collector.bytes <= 12 * 1024
        worked = [s for s in collector.spans if s.name == "node work"]
        assert all(s["alto.input.bytes"] >= 20_000 for s in worked)


def test_long_names_are_cut(traced: Traced) -> None:
    name = "n" * 3_000
    builder = StateGraph(dict)
    builder.add_node("one", lambda state: {"a": 1})
    builder.add_edge(START, "one")
    graph = builder.compile(name=name)
    config: Any = {"configurable": {"thread_id": "t" * 3_000}}
    accelerate(graph, tracer_provider=traced.provider).invoke({}, config)
    root = next(s for s in traced.spans if s.parent is None)
    texts = [v for v in about(root).values() if isinstance(v, str)]
    assert max(map(len, texts)) == attributes.MOST_CHARACTERS


@pytest.mark.slow
def test_beyond_the_cap_errors_and_the_slowest_are_kept(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST_SPANS", 20)
    monkeypatch.setattr(streams, "MOST_SLOW", 5)

    async def work(arg: dict[str, str]) -> Any:
        number = int(arg["item"])
        await asyncio.sleep(0.6 if number in (40, 50) else 0)
        if number == 70:
            raise ValueError("the last one")
        return {"notes": [arg["item"]]}

    async def plan(state: Any) -> Any:
        from langgraph_alto import Partial

        yield Partial(items=[str(n) for n in range(71)])

    app = accelerate(fan_out(plan, work), tracer_provider=traced.provider)
    with contextlib.suppress(ValueError):
        asyncio.run(app.ainvoke({}))
    kept = traced.named("node work")
    indices = {about(s)["alto.input.partial_index"] for s in kept}
    assert len(kept) == 20 + 1 + 5
    assert {70, 40, 50} <= indices
    root = about(traced.one("invoke_workflow fan"))
    assert root["alto.stream.spans_suppressed"] == 71 - 26
    assert about(traced.one("stream plan->work"))["alto.stream.spans_suppressed"] == 71 - 26
    ids = {s.context.span_id for s in traced.spans if s.context}
    assert all(s.parent.span_id in ids for s in traced.spans if s.parent)


def test_what_runs_beyond_the_cap_has_a_parent_in_the_trace(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.helpers import shapes

    monkeypatch.setattr(streams, "MOST_SPANS", 1)
    monkeypatch.setattr(streams, "MOST_SLOW", 1)
    shapes.providers.append(traced.provider)
    try:
        app = accelerate(fan_out(agenerate, awork), tracer_provider=traced.provider)
        asyncio.run(app.ainvoke({}))
    finally:
        shapes.providers.pop()
    parents = sorted(str(traced.parent_of(s)) for s in traced.named("mine"))
    assert parents == ["node work", "stream plan->work", "stream plan->work"]


# Bad input


class _Raises(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise OSError("no such collector")

    def shutdown(self) -> None:
        raise OSError("no such collector")


class _BrokenTracer:
    def start_span(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("broken")


def result_of(provider: Any) -> Any:
    app = accelerate(fan_out(agenerate, awork), tracer_provider=provider)
    return asyncio.run(app.ainvoke({}))


EXPECTED = result_of(None)


def test_a_provider_without_a_processor_changes_nothing() -> None:
    assert result_of(TracerProvider(shutdown_on_exit=False)) == EXPECTED


def test_a_limit_of_zero_changes_nothing() -> None:
    limits = SpanLimits(max_attributes=0, max_events=0, max_links=0, max_attribute_length=0)
    traced = Traced(span_limits=limits)
    assert result_of(traced.provider) == EXPECTED
    assert traced.named("node work")


def test_an_exporter_that_raises_costs_its_spans_and_one_warning() -> None:
    tracing = otel.configure(exporter=_Raises(), make_global=False)

    def run() -> int:
        assert result_of(tracing.provider) == EXPECTED
        return tracing.shutdown()

    with pytest.warns(RuntimeWarning) as told:
        lost = run()
    assert lost == tracing.ended > 0
    assert {str(w.message).split(": ")[1] for w in told} <= {
        "the span exporter raised OSError",
        "the end of tracing raised OSError.",
    }


def test_what_is_no_provider_is_told_once() -> None:
    with pytest.warns(RuntimeWarning, match="tracer_provider is a object, no TracerProvider"):
        assert result_of(object()) == EXPECTED
    assert result_of(object()) == EXPECTED  # a second warning would be an error


def test_a_tracer_that_raises_costs_its_spans_and_one_warning(traced: Traced) -> None:
    class Broken(TracerProvider):
        def get_tracer(self, *args: Any, **kwargs: Any) -> Any:
            return _BrokenTracer()

    with pytest.warns(RuntimeWarning, match="tracing failed with RuntimeError") as told:
        assert result_of(Broken(shutdown_on_exit=False)) == EXPECTED
    assert len(told) == 1


def test_a_tracer_that_breaks_in_the_middle_leaves_the_run_alone(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langgraph_alto.otel import tasks

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise KeyError("broken")

    for method in ("__init__", "_begin", "leave", "emitted", "adopted", "closed"):
        monkeypatch.setattr(observe, "_told", set())
        with monkeypatch.context() as patched:
            patched.setattr(tasks.TaskSpan, method, broken)
            with pytest.warns(RuntimeWarning, match="KeyError") as told:
                assert result_of(traced.provider) == EXPECTED
        assert len(told) == 1, method


def test_an_odd_thread_id_is_told_as_text(traced: Traced) -> None:
    app = accelerate(fan_out(agenerate, awork), tracer_provider=traced.provider)
    asyncio.run(app.ainvoke({}, {"configurable": {"thread_id": 7}, "metadata": {"a": object()}}))
    assert about(traced.one("invoke_workflow fan"))["gen_ai.conversation.id"] == "7"


def test_nothing_is_made_where_nothing_is_configured() -> None:
    assert observe.observer_for() is None


# Metrics


def test_metrics_and_their_labels(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: meters)
    result_of(traced.provider)
    data: Any = reader.get_metrics_data()
    found = {
        m.name: m.data.data_points
        for r in data.resource_metrics
        for s in r.scope_metrics
        for m in s.metrics
    }
    assert found[attributes.M_FIRST_PARTIAL][0].count == 1
    waits = {p.attributes["alto.node"]: p.count for p in found[attributes.M_WAIT]}
    assert waits["work"] == 3
    assert sum(p.count for p in found[attributes.M_QUEUE]) == 3
    ahead = {p.attributes["outcome"]: p.value for p in found[attributes.M_AHEAD]}
    assert ahead == {"started": 3, "adopted": 3}
    assert found[attributes.M_SAVED][0].value > 0
    labels = {name for points in found.values() for p in points for name in p.attributes}
    assert labels == {instruments.NODE, instruments.OUTCOME}
    exemplars = [e for p in found[attributes.M_WAIT] for e in p.exemplars]
    traces = {s.context.trace_id for s in traced.spans if s.context}
    assert exemplars
    assert {e.trace_id for e in exemplars} == traces


def test_metrics_go_over_the_wire_with_what_was_dropped() -> None:
    with grpc_collector() as collector:
        tracing = otel.configure(collector.endpoint, make_global=False)
        result_of(tracing.provider)
        tracing.shutdown()
        assert {m.name for m in collector.metrics} >= {attributes.M_DROPPED, attributes.M_WAIT}


# Collectors that are no good


def refused_endpoint() -> str:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_dead_collector_costs_two_seconds_at_the_end_and_no_more(protocol: str) -> None:
    tracing = otel.configure(
        refused_endpoint(), protocol=protocol, make_global=False, with_metrics=False
    )
    assert result_of(tracing.provider) == EXPECTED
    began = time.monotonic()
    lost = tracing.shutdown()
    assert time.monotonic() - began < 4  # the SDK alone waits 5, a busy machine adds some
    assert lost == tracing.ended > 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["slow", "refusing"])
def test_a_slow_or_refusing_collector_does_not_hold_the_run(kind: str) -> None:
    with grpc_collector() as collector:
        collector.refuses = kind == "refusing"
        collector.held = threading.Event() if kind == "slow" else None
        tracing = otel.configure(collector.endpoint, make_global=False, with_metrics=False)
        assert result_of(tracing.provider) == EXPECTED
        began = time.monotonic()
        lost = tracing.shutdown()
        assert time.monotonic() - began < 4  # the SDK alone waits 5, a busy machine adds some
        assert lost == tracing.ended > 5


@pytest.mark.slow
def test_a_restarted_collector_gets_what_comes_later() -> None:
    with grpc_collector() as first:
        tracing = otel.configure(first.endpoint, make_global=False, with_metrics=False)
        result_of(tracing.provider)
        tracing.provider.force_flush()
        assert (before := len(first.spans)) > 5
    port = int(first.endpoint.rsplit(":", 1)[1])
    with grpc_collector(port) as second:
        result_of(tracing.provider)
        assert tracing.shutdown(10) == 0
        assert len(second.spans) == before


FLOOD = """
import resource, sys, threading, time
from langgraph_alto import accelerate, otel
from langgraph.graph import START, StateGraph

tracing = otel.configure(sys.argv[1], make_global=False, with_metrics=False)
tracer = tracing.provider.get_tracer("flood")
def flood(count):
    for _ in range(count):
        tracer.start_span("node work", attributes={"alto.node": "work", "alto.step": 1}).end()
flood(20_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
flood(80_000)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
began = time.monotonic()
lost = tracing.shutdown()
print(tracing.ended, lost, grown // 1024, time.monotonic() - began)
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_100_000_spans_to_a_dead_collector_are_bounded() -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", FLOOD, refused_endpoint()],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    total = time.monotonic() - began
    ended, lost, grown, end = done.stdout.split()
    assert int(ended) == int(lost) == 100_000
    assert int(grown) < 64, f"{grown} MiB"
    assert float(end) < 2.5, total


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    """By the names that a Prometheus exporter gives them: dots, units, `_total`."""
    file = ROOT / "examples" / "tracing" / "grafana-dashboard.json"
    asked = [
        t["expr"] for panel in json.loads(file.read_text())["panels"] for t in panel["targets"]
    ]
    units = {
        attributes.M_FIRST_PARTIAL: "_seconds_bucket",
        attributes.M_WAIT: "_seconds_bucket",
        attributes.M_QUEUE: "_bucket",
        attributes.M_AHEAD: "_total",
        attributes.M_SAVED: "_seconds_total",
        attributes.M_LOST: "_seconds_total",
        attributes.M_DROPPED: "",
    }
    known = {name.replace(".", "_") + unit for name, unit in units.items()}
    found = {name for expr in asked for name in re.findall(r"\balto_(?:stream|run|trace)\w+", expr)}
    assert found == known
