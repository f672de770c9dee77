"""The examples as Jaeger shows them: a real one where there is one, else its translation.

`make test-jaeger` runs this, and says which of the two it was.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from langgraph_alto.flow.otlp_json import read_text
from tests.helpers.browser import browser
from tests.helpers.collector import Collector, Event, Link, Received, grpc_collector
from tests.helpers.jaeger import (
    Jaeger,
    JaegerSpan,
    Log,
    Reference,
    broken_rules,
    from_record,
    running,
    translated,
)
from tests.test_flow_reading import otlp_json, spans

ROOT = Path(__file__).parent.parent
EXAMPLES = {
    "tracing": ("examples/tracing/app.py:graph", {"topic": "bees"}),
    "factcheck": (
        "examples/factcheck/app.py:graph",
        {"question": "How was the structure of DNA found?"},
    ),
}
ALL = os.environ.get("TEST_JAEGER") == "all"
"""All examples; one takes 10 seconds."""
NONE = (
    "no Jaeger ran (JAEGER_ADDRESS is not set, and there is no `jaeger` on PATH): "
    "the examples were checked on its documented translation of OTLP."
)


@pytest.fixture(scope="module")
def jaeger() -> Iterator[Jaeger | None]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with grpc_collector() as found:
        yield found


def test_which_one_it_is(jaeger: Jaeger | None, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\ntest-jaeger: {NONE if jaeger is None else f'Jaeger at {jaeger.query}'}")


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["alto", "langgraph"])
@pytest.mark.parametrize("example", EXAMPLES if ALL else ["tracing"])
def test_the_tree_of_an_example(
    jaeger: Jaeger | None, collector: Collector, tmp_path: Path, example: str, executor: str
) -> None:
    target, given = EXAMPLES[example]
    html = tmp_path / "flow.html"
    endpoint = collector.endpoint if jaeger is None else jaeger.otlp
    done = subprocess.run(
        [sys.executable, "-m", "langgraph_alto", "trace", target, "--executor", executor]
        + ["--input", json.dumps(given), "--otlp", endpoint, "--html", str(html)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    ids = re.findall(r'\["trace","([0-9a-f]{32})"\]', html.read_text("utf-8"))
    (trace_id,) = set(ids)
    spans = spans_of(trace_id, len(ids), jaeger, collector)
    assert broken_rules(spans) == []
    names = {span.operation for span in spans}
    if example == "tracing":
        assert {"node plan", "node research", "node search", "node report"} <= names
        assert {"chat offline-writer", "execute_tool web_search"} <= names
        paths = {span.tags.get("alto.ancestry") for span in spans}
        assert "request / plan.sections[4] / research.queries[1]" in paths
        assert len(re.findall(r"search research\.queries\[\d\]", done.stdout)) >= 10
    (root,) = [span for span in spans if span.parent is None]
    assert root.tags["alto.executor"] == executor
    ahead = [span for span in spans if span.tags.get("alto.run_ahead")]
    assert bool(ahead) == (executor == "alto")
    if jaeger is not None:
        picture = ROOT / ".cache" / f"jaeger-{example}-{executor}.png"
        picture.parent.mkdir(exist_ok=True)
        with browser() as opened:
            opened.picture(
                f"{jaeger.query}/trace/{trace_id}", picture, wait=".span-row", size=(1400, 900)
            )
        assert picture.stat().st_size > 10_000


def spans_of(
    trace_id: str, count: int, jaeger: Jaeger | None, collector: Collector
) -> list[JaegerSpan]:
    if jaeger is None:
        return [translated(span, ("langgraph_alto", "0")) for span in collector.traces()[trace_id]]
    found = jaeger.trace(trace_id, spans=count)
    return [from_record(record) for record in read_text(json.dumps(found))]


# The translation, rule by rule -------------------------------------------------------------


SPAN = Received(
    name="node work",
    trace="aa" * 16,
    id="bb" * 8,
    parent="cc" * 8,
    kind=1,
    start=5_000_123,
    end=9_000_999,
    status=0,
    message="",
    attributes={"text": "a", "number": 1, "share": 0.5, "is": True, "list": ["a", "b"]},
    links=[],
    events=[],
    resource={"service.name": "app", "service.version": "1", "process.tags": [1, 2]},
)


class TestTranslation:
    def test_ids_name_and_times(self) -> None:
        span = translated(SPAN)
        assert (span.trace, span.id, span.operation) == ("aa" * 16, "bb" * 8, "node work")
        assert (span.start, span.duration) == (5_000, 4_000)  # microseconds

    def test_the_parent_is_the_first_reference(self) -> None:
        links = [
            Link("aa" * 16, "dd" * 8, {"alto.input.wait_ms": 3}),
            Link("ee" * 16, "ff" * 8, {}),
        ]
        span = translated(replace(SPAN, links=links))
        assert span.references == [
            Reference("CHILD_OF", "aa" * 16, "cc" * 8),
            Reference("FOLLOWS_FROM", "aa" * 16, "dd" * 8),
            Reference("FOLLOWS_FROM", "ee" * 16, "ff" * 8),
        ]
        assert span.parent == "cc" * 8

    def test_attributes_of_links_are_lost(self) -> None:
        span = translated(replace(SPAN, links=[Link("aa" * 16, "dd" * 8, {"gone": 1})]))
        assert "gone" not in repr(span)

    def test_a_root_has_no_reference(self) -> None:
        span = translated(replace(SPAN, parent=""))
        assert span.references == []
        assert span.parent is None

    @pytest.mark.parametrize(
        ("kind", "tag"),
        [
            (0, None),
            (1, "internal"),
            (2, "server"),
            (3, "client"),
            (4, "producer"),
            (5, "consumer"),
        ],
    )
    def test_kinds(self, kind: int, tag: str | None) -> None:
        assert translated(replace(SPAN, kind=kind)).tags.get("span.kind") == tag

    @pytest.mark.parametrize(
        ("status", "tags"),
        [
            (0, {}),
            (1, {"otel.status_code": "OK", "otel.status_description": "why"}),
            (
                2,
                {"otel.status_code": "ERROR", "error": True, "otel.status_description": "why"},
            ),
        ],
    )
    def test_status(self, status: int, tags: dict[str, object]) -> None:
        span = translated(replace(SPAN, status=status, message="why"))
        names = ("otel.status_code", "error", "otel.status_description")
        assert {name: span.tags[name] for name in names if name in span.tags} == tags

    def test_attributes_are_tags_and_lists_are_json(self) -> None:
        tags = translated(SPAN).tags
        assert {name: tags[name] for name in SPAN.attributes} == {
            "text": "a",
            "number": 1,
            "share": 0.5,
            "is": True,
            "list": '["a", "b"]',
        }

    def test_events_are_logs(self) -> None:
        events = [
            Event("alto.partial.emit", 6_000_789, {"alto.partial.index": 0}),
            Event("odd", 7_000_000, {"event": "its own"}),
        ]
        assert translated(replace(SPAN, events=events)).logs == [
            Log(6_000, {"event": "alto.partial.emit", "alto.partial.index": 0}),
            Log(7_000, {"event": "its own"}),  # an attribute of that name wins
        ]

    def test_the_resource_is_the_process(self) -> None:
        span = translated(SPAN)
        assert span.service == "app"
        assert span.process_tags == {"service.version": "1", "process.tags": "[1, 2]"}

    def test_the_scope_is_two_tags(self) -> None:
        tags = translated(SPAN, ("langgraph_alto", "1.0")).tags
        assert (tags["otel.scope.name"], tags["otel.scope.version"]) == ("langgraph_alto", "1.0")


class TestRulesOfATree:
    """What the check of a tree finds: it must be able to fail."""

    ROOT = translated(replace(SPAN, name="invoke_workflow w", id="cc" * 8, parent=""))

    def child(self, **about: object) -> JaegerSpan:
        return translated(replace(SPAN, **about))  # type: ignore[arg-type]

    def test_a_good_one(self) -> None:
        assert broken_rules([self.ROOT, self.child()]) == []

    @pytest.mark.parametrize(
        ("about", "problem"),
        [
            ({"parent": "dd" * 8}, "is an orphan"),
            ({"parent": ""}, "not one root"),
            ({"trace": "ab" * 16}, "not one trace"),
            ({"id": "cc" * 8}, "two spans have one id"),
            ({"end": 0}, "ends before it starts"),
            ({"links": [Link("aa" * 16, "dd" * 8, {})]}, "follows what is not there"),
            ({"links": [Link("aa" * 16, "cc" * 8, {})]}, "is a child of its producer"),
            ({"links": [Link("aa" * 16, "cc" * 8, {})]}, "from_span_id names none of its links"),
            ({"links": [Link("aa" * 16, "cc" * 8, {})] * 33}, "more than 32 links"),
        ],
    )
    def test_bad_ones(self, about: dict[str, object], problem: str) -> None:
        found = broken_rules([self.ROOT, self.child(**about)])
        assert any(problem in text for text in found), found


def test_what_jaegers_api_answers_is_read(collector: Collector) -> None:
    """Its form, from a server of ours: OTLP's JSON in a `result`, ids in either notation."""
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    request = encode_spans(spans())
    in_base64 = MessageToDict(request)
    for body in (in_base64, otlp_json()):
        with answering({"result": body}) as address:
            found = Jaeger(address, "").trace("aa" * 16, spans=8)
        read = [from_record(record) for record in read_text(json.dumps(found))]
        assert len(read) == 8
        assert len(read[0].trace) == 32
        assert sum(span.parent is None for span in read) == 1
        assert {span.parent for span in read} - {None} <= {span.id for span in read}


@contextmanager
def answering(body: Any) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
