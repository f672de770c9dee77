"""Other instrumentations beside ours: what they tell is what they tell on LangGraph's executor.

OpenInference and OpenLLMetry make a tree of their own out of LangChain's callbacks. A body that ran
ahead hands its callbacks out when it is adopted, so their spans have the times of that moment; ours
have the real ones.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import langgraph.prebuilt
import langgraph.prebuilt.chat_agent_executor
import pytest
from langchain_core.callbacks import BaseCallbackManager
from langchain_core.messages import HumanMessage
from langgraph.pregel import Pregel
from langgraph.types import Command
from langsmith import Client, tracing_context
from opentelemetry import trace

import langgraph_alto
from langgraph_alto import accelerate, otel, record
from langgraph_alto.testing import FakeChatModel, FakeEngine, VirtualClock
from tests.helpers import shapes
from tests.helpers.canonical import mask, plain
from tests.helpers.collector import (
    Collector,
    Received,
    grpc_collector,
    http_collector,
    problems_of,
)
from tests.helpers.shapes import SHAPES, agenerate, fan_out, look_up, own_span

INSTRUMENTORS = {
    "OpenInference": ("openinference.instrumentation.langchain", "LangChainInstrumentor"),
    "OpenLLMetry": ("opentelemetry.instrumentation.langchain", "LangchainInstrumentor"),
}
MISSING = "it is in the extra `dev`: pip install -e '.[dev]'"
OURS = "langgraph_alto"

# What they patch and don't all give back.
PATCHED = [
    (BaseCallbackManager, "__init__"),
    (Pregel, "stream"),
    (Pregel, "astream"),
    (Command, "__init__"),
    (langgraph.prebuilt, "create_react_agent"),
    (langgraph.prebuilt.chat_agent_executor, "create_react_agent"),
]

look_up.metadata = {"alto": {"effects": "idempotent"}}


class Beside:
    """A collector, and a provider that an instrumentation and we use."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.tracing = otel.configure(collector.endpoint, make_global=False, with_metrics=False)
        self.tracer = trace.get_tracer("server", tracer_provider=self.tracing.provider)

    def run(self, function: Callable[[], object], *, ours: bool) -> list[Received]:
        """Run it in a request of a server; returns the spans."""
        self.collector.clear()
        provider = self.tracing.provider if ours else trace.NoOpTracerProvider()
        if ours:
            langgraph_alto.install(tracer_provider=provider)
        shapes.providers.append(self.tracing.provider)
        try:
            with self.tracer.start_as_current_span("POST /ask") as span:
                function()
                assert trace.get_current_span() is span
        finally:
            shapes.providers.pop()
            langgraph_alto.uninstall()
        self.tracing.provider.force_flush()
        return self.collector.spans


@pytest.fixture(scope="module")
def beside() -> Iterator[Beside]:
    with grpc_collector() as collector:
        made = Beside(collector)
        yield made
        assert made.tracing.shutdown() == 0


@pytest.fixture(params=INSTRUMENTORS)
def instrumented(
    request: pytest.FixtureRequest, beside: Beside, caplog: pytest.LogCaptureFixture
) -> Iterator[Beside]:
    """One of them is on, and nothing is logged."""
    module, name = INSTRUMENTORS[request.param]
    pytest.importorskip(module, reason=MISSING)
    instrumentor = getattr(import_module(module), name)()
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING):
        for owner, attribute in PATCHED:
            patch.setattr(owner, attribute, vars(owner)[attribute])
        instrumentor.instrument(tracer_provider=beside.tracing.provider)
        yield beside
        instrumentor.uninstrument()
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []


def is_theirs(span: Received) -> bool:
    return span.scope.startswith(("openinference", "opentelemetry"))


def theirs(spans: list[Received]) -> Counter[tuple[str, ...]]:
    """The tree of the instrumentation: the path of each span, without what is not its own.

    OpenLLMetry makes some spans where they happen and not from a callback. As the user's own they
    are inside the span of ours that is current there, or of its own on LangGraph.
    """
    by_id = {span.id: span for span in spans}

    def path(span: Received | None) -> tuple[str, ...]:
        if span is None:
            return ()
        if span.name.startswith(("goto ", "invoke_agent ")):
            return (span.name,)
        return path(by_id.get(span.parent)) + ((span.name,) if is_theirs(span) else ())

    return Counter(path(span) for span in spans if is_theirs(span))


def is_one_tree(spans: list[Received]) -> None:
    """One trace, one root, no orphans, and no span began before its parent."""
    by_id = {span.id: span for span in spans}
    assert len({span.trace for span in spans}) == 1
    assert [span.name for span in spans if not span.parent] == ["POST /ask"]
    for span in spans:
        if span.parent:
            assert by_id[span.parent].start <= span.start, span.name


def asking(clock: VirtualClock, provider: Any = None) -> Any:
    """Three workers that each ask a model and a tool, and run ahead of their step."""
    model = FakeChatModel(engine=FakeEngine(clock=clock))

    async def work(arg: dict[str, str]) -> Any:
        said = await model.ainvoke([HumanMessage(arg["item"])])
        with own_span():
            found = await look_up.ainvoke({"word": arg["item"]})
        return {"notes": [f"{said.text[:9]} {found}"]}

    async def plan(state: Any) -> Any:
        async for chunk in agenerate(state):
            yield chunk
        await asyncio.sleep(5)

    graph = fan_out(plan, work)
    return graph if provider is None else accelerate(graph, tracer_provider=provider)


def test_their_tree_is_as_on_langgraph_and_ours_is_whole(instrumented: Beside) -> None:
    results: list[Any] = []

    def go(provider: Any = None) -> None:
        clock = VirtualClock()
        results.append(clock.run(asking(clock, provider).ainvoke({})))

    expected = theirs(instrumented.run(go, ours=False))
    with record() as runs:
        spans = instrumented.run(lambda: go(instrumented.tracing.provider), ours=False)
    assert runs[0].adopted == 3
    assert results[0] == results[1]
    assert theirs(spans) == expected
    assert expected.total() >= 10
    is_one_tree(spans)
    by_id = {span.id: span for span in spans}
    ours = [span for span in spans if span.scope == OURS]
    names = Counter(span.name for span in ours)
    assert names["node work"] == names["chat fake-chat-model"] == 3
    assert names["execute_tool look_up"] == 3
    for span in spans:
        if span.name == "mine" or (span in ours and span.name.startswith("chat ")):
            assert by_id[span.parent].name == "node work"


SAME = [
    "streamed_producer",
    "streamed_producer_in_threads",
    "streamed_messages",
    "chains",
    "chains_in_threads",
    "retries",
    "interrupts",
    "subgraph",
    "graph_in_a_body",
    "models_and_tools",
    "task_calls",
    "loop",
    "branches",
    "messages_of_a_model",
    "discarded",
]
"""Shapes of which LangGraph runs the same nodes each time."""


@pytest.mark.parametrize("name", SAME)
def test_their_tree_of_every_shape_is_as_on_langgraph(instrumented: Beside, name: str) -> None:
    expected = theirs(instrumented.run(SHAPES[name], ours=False))
    spans = instrumented.run(SHAPES[name], ours=True)
    assert theirs(spans) == expected
    assert expected
    is_one_tree(spans)
    assert any(span.name.startswith("node ") and span.scope == OURS for span in spans)


# LangSmith


class LangSmith:
    """What LangSmith's client posted."""

    def __init__(self, endpoint: str) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.headers: list[str] = []
        self.raw: list[bytes] = []
        self.client = Client(
            api_url=endpoint, api_key="a key for nobody", auto_batch_tracing=False, info={}
        )

    def take(self, id: str | None, body: bytes) -> None:
        self.raw.append(body)
        told = {key: value for key, value in json.loads(body).items() if value is not None}
        self.runs.setdefault(id or told["id"], {}).update(told)

    def tree(self) -> Counter[tuple[str, ...]]:
        """The path of each run, with its kind, what it was given and what it gave."""

        def path(run: dict[str, Any] | None) -> tuple[str, ...]:
            return (
                () if run is None else (*path(self.runs.get(run.get("parent_run_id"))), run["name"])
            )

        def about(run: dict[str, Any]) -> str:
            kept = {key: run.get(key) for key in ("run_type", "inputs", "outputs", "error")}
            return json.dumps(mask(plain(kept)), sort_keys=True)

        return Counter((*path(run), about(run)) for run in self.runs.values())


@pytest.fixture
def langsmith() -> Iterator[LangSmith]:
    """LangSmith's tracing is on, and posts to a server of ours."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.headers += [name.lower() for name in self.headers]
            made.take(self.path.removeprefix("/runs").strip("/") or None, body)
            self.send_response(202)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_PATCH = do_POST

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    made = LangSmith(f"http://127.0.0.1:{server.server_address[1]}")
    try:
        with tracing_context(enabled=True, client=made.client, project_name="tests"):
            yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_langsmith_gets_the_same_runs_and_nothing_of_ours(
    langsmith: LangSmith, beside: Beside
) -> None:
    results, trees, sent, spans = [], [], [], []
    for provider in (None, beside.tracing.provider):
        langsmith.runs.clear()
        langsmith.raw.clear()
        clock = VirtualClock()

        def go(clock: VirtualClock = clock, provider: Any = provider) -> None:
            results.append(clock.run(asking(clock, provider).ainvoke({})))

        spans = beside.run(go, ours=False)
        langsmith.client.flush(timeout=10)
        trees.append(langsmith.tree())
        sent.append(b"".join(langsmith.raw))
    assert results[0] == results[1]
    assert trees[0] == trees[1]
    assert sum(path[-2] == "FakeChatModel" for path in trees[0].elements()) == 3
    is_one_tree(spans)
    # The graph says "alto" itself: the model is of our package, the tool declares its effects.
    assert len({said.lower().count(b"alto") for said in sent}) == 1
    ids = {span.trace.encode() for span in spans} | {span.id.encode() for span in spans}
    assert not any(id in sent[1] for id in ids)
    assert "traceparent" not in langsmith.headers


# opentelemetry-instrument

SCRIPT = """
import sys
from langchain_core.language_models import FakeListChatModel
from langgraph.graph import START, StateGraph
model = FakeListChatModel(responses=["yes"])
builder = StateGraph(dict)
builder.add_node("one", lambda state: {"said": model.invoke("hello?").text})
builder.add_edge(START, "one")
graph = builder.compile(name="greeting")
if __name__ == "__main__":
    if "accelerate" in sys.argv:
        from langgraph_alto import accelerate
        graph = accelerate(graph)
    print(graph.invoke({}))
"""

ALTO = [sys.executable, "-m", "langgraph_alto"]
COMMANDS = {
    "accelerate": [sys.executable, "script.py", "accelerate"],
    "exec": [*ALTO, "exec", "script.py"],
    "run": [*ALTO, "run", "script.py:graph", "--input", "{}", "--otlp"],
    "trace": [*ALTO, "trace", "script.py:graph", "--input", "{}", "--html", "flow.html"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_opentelemetry_instrument(tmp_path: Path, name: str) -> None:
    """Its provider is used, not one of ours; the standard variables say where spans go."""
    command = Path(sys.executable).with_name("opentelemetry-instrument")
    if not command.exists():
        pytest.skip(f"there is no opentelemetry-instrument: {MISSING}")
    (tmp_path / "script.py").write_text(SCRIPT)
    opened = grpc_collector if name in ("accelerate", "run") else http_collector
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "LANGGRAPH_ALTO"))}
    with opened() as collector:
        # Where spans go is said by the variables, or by an option of ours.
        by_option = [collector.endpoint] if name == "run" else []
        done = subprocess.run(
            [str(command), *COMMANDS[name], *by_option],
            cwd=tmp_path,
            env={
                **kept,
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"
                if opened is grpc_collector
                else "http/protobuf",
                "OTEL_TRACES_EXPORTER": "none" if by_option else "otlp",
                "OTEL_LOGS_EXPORTER": "none",
                "OTEL_SERVICE_NAME": "greeter",
                "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=tests",
                "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "langchain",
            },
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        (found,) = collector.traces().values()
    assert (done.returncode, done.stderr) == (0, "")
    assert "yes" in done.stdout or name == "trace"
    assert problems_of(found) == []
    names = sorted(span.name for span in found)
    assert names == [
        "chat FakeListChatModel",
        "invoke_workflow greeting",
        "node __start__",
        "node one",
    ]
    assert found[0].resource["service.name"] == "greeter"
    assert found[0].resource["deployment.environment.name"] == "tests"
