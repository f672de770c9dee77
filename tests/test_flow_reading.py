"""Flows out of OpenTelemetry: spans of the SDK, and files of OTLP JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, set_span_in_context

from langgraph_alto.errors import RecordingError
from langgraph_alto.flow import Interval
from langgraph_alto.flow.otlp_json import read_file, read_text
from langgraph_alto.flow.reading import Event, Linked, Record, flows_of, record_of
from langgraph_alto.otel.keeping import Kept

S = 10**9
EMIT = "alto.partial.emit"
BEGAN = 1_700_000_000 * S


def spans() -> list[ReadableSpan]:
    """A run that streams, by the SDK itself: what the schema has, and a span of the user's own."""
    kept = Kept()
    provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(kept)
    tracer = provider.get_tracer("test", "1.0")

    def start(name: str, at: float, parent: Any = None, **about: Any) -> Any:
        return tracer.start_span(
            name,
            context=set_span_in_context(parent) if parent else None,
            start_time=BEGAN + int(at * S),
            **about,
        )

    def end(span: Any, at: float) -> None:
        span.end(BEGAN + int(at * S))

    about = {"gen_ai.operation.name": "invoke_workflow", "alto.executor": "alto"}
    root = start("invoke_workflow writer", 0, attributes=about)
    node = {"alto.step": 1, "alto.ancestry": "request", "alto.run_ahead": False}
    plan = start("node plan", 0, root, attributes={**node, "alto.node": "plan"})
    plan.add_event("alto.partial.emit", {"alto.partial.index": 0}, BEGAN + 1 * S)
    plan.add_event("alto.partial.emit", {"alto.partial.index": 1}, BEGAN + 2 * S)
    chat = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 12}
    end(start("chat m", 0.5, plan, kind=SpanKind.CLIENT, attributes=chat), 2.5)
    stream = {"alto.stream.items": 2}
    edge = start(
        "stream plan->work", 1, root, attributes=stream, links=[Link(plan.get_span_context())]
    )
    for number, outcome in enumerate(("adopted", "discarded")):
        fed = {"alto.input.partial_index": number, "alto.input.wait_ms": 250.0}
        work = start(
            "node work",
            1.25 + number,
            edge,
            links=[Link(plan.get_span_context(), fed)],
            attributes={
                **fed,
                "alto.node": "work",
                "alto.step": 2,
                "alto.ancestry": f"request / plan.items[{number}]",
                "alto.run_ahead": True,
                "alto.run_ahead.outcome": outcome,
                "alto.run_ahead.reason": "retracted" if outcome == "discarded" else "",
                "list": ["a", "b"],
            },
        )
        end(start("my own", 1.5 + number, work), 1.75 + number)
        if number:
            work.set_status(Status(StatusCode.ERROR, "ValueError"))
        end(work, 3 + number)
    end(plan, 3)
    end(edge, 4)
    end(root, 4.5)
    return kept.spans


def otlp_json() -> dict[str, Any]:
    """The same as a request, ids in hexadecimal as OTLP's JSON has them."""
    request = MessageToDict(encode_spans(spans()))

    def in_hexadecimal(value: Any) -> None:
        import base64

        if isinstance(value, list):
            for item in value:
                in_hexadecimal(item)
        elif isinstance(value, dict):
            for name, item in value.items():
                if name in ("traceId", "spanId", "parentSpanId"):
                    value[name] = base64.b64decode(item).hex()
                else:
                    in_hexadecimal(item)

    in_hexadecimal(request)
    return request


def test_what_a_flow_is_made_of() -> None:
    (flow,) = flows_of(map(record_of, spans()))
    assert (flow.title, flow.executor, flow.length) == ("writer", "alto", 4.5)
    found = {(span.name, span.start): span for span in flow.spans}
    plan = found["plan", 0]
    assert plan.kind == "node"
    assert plan.outcome == "real"
    assert [(tick.at, tick.number) for tick in plan.ticks] == [(1, 0), (2, 1)]
    first, second = found["work", 1.25], found["work", 2.25]
    assert first.ancestry == ("request", "plan.items[0]")
    assert first.waits == (Interval(1, 1.25),)
    assert first.overlaps == (Interval(1.25, 3),)
    assert (first.outcome, second.outcome) == ("adopted", "discarded")
    assert second.reason == "retracted"
    assert (first.failed, second.failed) == (False, True)
    assert second.details["status"] == "ValueError"
    assert second.details["list"] == "a, b"
    assert found["\N{RIGHTWARDS ARROW} work", 1].kind == "stream"
    assert found["chat m", 0.5].kind == "model"
    assert found["my own", 1.5].kind == "other"
    assert flow.container_of(first) == flow.container_of(plan) != None  # noqa: E711


def test_a_file_says_the_same_as_the_sdk(tmp_path: Path) -> None:
    request = otlp_json()
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(request))
    (read,) = flows_of(read_file(path))
    (direct,) = flows_of(map(record_of, spans()))

    def told(flow: Any) -> Any:
        kept = [
            (s.name, s.kind, s.start, s.end, s.ancestry, s.ticks, s.waits, s.overlaps, s.outcome)
            for s in flow.spans
        ]
        details = [
            {k: v for k, v in s.details.items() if k not in ("span", "trace")} for s in flow.spans
        ]
        return flow.title, flow.executor, sorted(kept), details

    assert told(read) == told(direct)


def test_an_item_waits_from_its_emission() -> None:
    """Also where the executor could only know of it when its producer had ended."""
    emit = {"alto.partial.key": "items", "alto.partial.index": 1}
    plan = Record(
        "t", "p", None, "node plan", 0, 4 * S, {"alto.node": "plan"}, [Event(EMIT, S, emit)]
    )
    about = {"alto.node": "work", "alto.input.wait_ms": 500.0}
    of_item = {**about, "alto.ancestry": "request / plan.items[1]"}
    of_other = {**about, "alto.ancestry": "request / plan.items[2]"}
    fed = [Linked("t", "p")]
    start = int(4.5 * S)
    first = Record("t", "a", None, "node work", start, 6 * S, of_item, links=fed)
    second = Record("t", "b", None, "node work", start, 6 * S, of_other, links=fed)
    (flow,) = flows_of([plan, first, second])
    assert flow["a"].waits == (Interval(1, 4.5),)
    assert flow["b"].waits == (Interval(4, 4.5),)
    assert flow["a"].details["alto.input.wait_ms"] == "500"


@pytest.mark.parametrize("form", ["list", "lines", "snake_case", "byte order mark"])
def test_the_forms_of_a_file(tmp_path: Path, form: str) -> None:
    request = otlp_json()
    lines = [
        json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
        for span in request["resourceSpans"][0]["scopeSpans"][0]["spans"]
    ]
    text = {
        "list": f"[{', '.join(lines)}]",
        "lines": "\n".join(lines) + "\n",
        "snake_case": json.dumps(request)
        .replace("resourceSpans", "resource_spans")
        .replace("scopeSpans", "scope_spans")
        .replace("startTimeUnixNano", "start_time_unix_nano")
        .replace("parentSpanId", "parent_span_id"),
        "byte order mark": "\N{ZERO WIDTH NO-BREAK SPACE}" + json.dumps(request),
    }[form]
    path = tmp_path / "trace.json"
    path.write_text(text, "utf-8")
    records = read_file(path)
    assert len(records) == 8
    assert flows_of(records)[0].length == 4.5


SPAN = '{"traceId": "aa", "spanId": "bb", "name": "x", %s}'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expecting value"),
        ("nope", "Expecting value"),
        ("[]", "there are no spans in it"),
        ("{}", "it has no 'resourceSpans'"),
        ("3", "a request in it is no object"),
        ('{"resourceSpans": 3}', "'resourceSpans' in it is no list"),
        ('{"resourceSpans": [3]}', "an entry of 'resourceSpans' in it is no object"),
        ('{"resourceSpans": []}', "there are no spans in it"),
        ('{"data": [{"spans": []}]}', "it has no 'resourceSpans'"),
        ('{"resourceSpans": []}\n{"resourceSp', "line 2 is no JSON"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
)
def test_what_is_no_otlp_json(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(RecordingError) as caught:
        read_file(path)
    assert problem in str(caught.value)
    assert "is no OTLP JSON" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ('"startTimeUnixNano": "soon"', "'startTimeUnixNano' in it is no time: 'soon'"),
        ('"endTimeUnixNano": "1"', "'startTimeUnixNano' in it is no time"),
        ('"startTimeUnixNano": "1", "attributes": {}', "'attributes' in it is no list"),
        ('"startTimeUnixNano": "1", "spanId": ""', "a span in it has no 'spanId'"),
    ],
)
def test_bad_spans(fields: str, problem: str) -> None:
    text = f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{SPAN % fields}]}}]}}]}}'
    with pytest.raises(RecordingError, match=problem):
        read_text(text)


def test_odd_spans_are_read() -> None:
    """What a recording may hold: no end, a ring of parents, values of every kind."""
    values = [
        {"key": "int", "value": {"intValue": "-3"}},
        {"key": "odd int", "value": {"intValue": "three"}},
        {"key": "double", "value": {"doubleValue": 0.5}},
        {"key": "bool", "value": {"boolValue": False}},
        {"key": "map", "value": {"kvlistValue": {"values": [{"key": "a", "value": {}}]}}},
        {"key": "empty"},
        {"key": "alto.node", "value": {"stringValue": "x"}},
        {"key": "alto.step", "value": {"stringValue": "not a number"}},
        {"key": "alto.input.wait_ms", "value": {"stringValue": "long"}},
    ]
    ids = ("a", "b", "c")
    ring = [
        {"traceId": "t", "spanId": i, "parentSpanId": up, "startTimeUnixNano": 7}
        for i, up in zip(ids, ("b", "c", "a"), strict=True)
    ]
    ring[0]["attributes"] = values
    text = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": ring}]}]})
    (flow,) = flows_of(read_text(text))
    assert len(flow.spans) == 3
    assert flow["a"].details["int"] == "-3"
    assert flow["a"].step is None
    assert flow.length == 0


def test_several_traces_in_order() -> None:
    text = json.dumps(
        {
            "resourceSpans": [
                {
                    "scopeSpans": [
                        {
                            "spans": [
                                {"traceId": t, "spanId": t, "name": t, "startTimeUnixNano": at}
                                for t, at in (("late", 9), ("early", 3))
                            ]
                        }
                    ]
                }
            ]
        }
    )
    assert [flow.title for flow in flows_of(read_text(text))] == ["early", "late"]
