"""Jaeger: a running one, or its documented translation of OTLP, rule by rule.

The rules are those of "OpenTelemetry to Jaeger Transformation" in OpenTelemetry's specification.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from langgraph_alto.flow.reading import Record

KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
"""SpanKind of OTLP as the tag `span.kind`."""


@dataclass(frozen=True)
class Reference:
    """To another span: its parent, or what it follows from. There is no room for attributes."""

    type: str
    trace: str
    span: str


@dataclass(frozen=True)
class Log:
    """An event. `at` is in microseconds."""

    at: int
    fields: dict[str, Any]


@dataclass(frozen=True)
class JaegerSpan:
    """A span as Jaeger's model has it. Times are in microseconds."""

    trace: str
    id: str
    operation: str
    start: int
    duration: int
    references: list[Reference] = field(default_factory=list)
    tags: dict[str, Any] = field(default_factory=dict)
    logs: list[Log] = field(default_factory=list)
    service: str = ""
    process_tags: dict[str, Any] = field(default_factory=dict)

    @property
    def parent(self) -> str | None:
        """The first reference, if it is its parent: what Jaeger's page nests by."""
        first = self.references[0] if self.references else None
        is_parent = first is not None and first.type == "CHILD_OF" and first.trace == self.trace
        return first.span if first is not None and is_parent else None

    @property
    def follows(self) -> list[str]:
        """What it links to."""
        return [r.span for r in self.references if r.type == "FOLLOWS_FROM"]


def translated(span: Any, scope: tuple[str, str] = ("", "")) -> JaegerSpan:
    """A span that a collector received (`tests.helpers.collector.Received`) as Jaeger keeps it."""
    references = []
    if span.parent:  # the parent comes first, whatever is linked
        references.append(Reference("CHILD_OF", span.trace, span.parent))
    references += [Reference("FOLLOWS_FROM", link.trace, link.span) for link in span.links]
    tags = {name: _tag(value) for name, value in span.attributes.items()}
    if span.kind in KINDS:
        tags["span.kind"] = KINDS[span.kind]
    if span.status == 1:
        tags["otel.status_code"] = "OK"
    elif span.status == 2:
        tags |= {"otel.status_code": "ERROR", "error": True}
    if span.status and span.message:
        tags["otel.status_description"] = span.message
    for tag, value in zip(("otel.scope.name", "otel.scope.version"), scope, strict=True):
        if value:
            tags[tag] = value
    resource = dict(span.resource)
    return JaegerSpan(
        trace=span.trace,
        id=span.id,
        operation=span.name,
        start=span.start // 1000,
        duration=(span.end - span.start) // 1000,
        references=references,
        tags=tags,
        logs=[
            Log(
                event.at // 1000,
                {"event": event.name} | {n: _tag(v) for n, v in event.attributes.items()},
            )
            for event in span.events
        ],
        service=str(resource.pop("service.name", "OTLPResourceNoServiceName")),
        process_tags={name: _tag(value) for name, value in resource.items()},
    )


def _tag(value: Any) -> Any:
    """Tags have no lists: they are written as JSON."""
    return json.dumps(value) if isinstance(value, list | tuple) else value


def from_record(record: Record) -> JaegerSpan:
    """A span as `/api/v3/traces` gives it, which is OTLP's JSON."""
    return translated(
        SimpleNamespace(
            trace=_hexadecimal(record.trace_id),
            id=_hexadecimal(record.span_id),
            parent=_hexadecimal(record.parent_id or ""),
            name=record.name,
            start=record.start,
            end=record.end,
            kind=0,
            status=2 if record.failed else 0,
            message=record.message,
            attributes=record.attributes,
            links=[
                SimpleNamespace(trace=_hexadecimal(e.trace_id), span=_hexadecimal(e.span_id))
                for e in record.links
            ],
            events=record.events,
            resource=record.resource,
        )
    )


def _hexadecimal(id: str) -> str:
    """Ids are hexadecimal in OTLP's JSON, and base64 where protobuf's own JSON is written."""
    return base64.b64decode(id).hex() if len(id) in (12, 24) else id


# A tree ------------------------------------------------------------------------------------


def broken_rules(spans: Sequence[JaegerSpan]) -> list[str]:
    """What is wrong with the tree of one request, in words; nothing if it reads well in Jaeger."""
    found = []
    by_id = {span.id: span for span in spans}
    if len(by_id) < len(spans):
        found.append("two spans have one id")
    if len({span.trace for span in spans}) != 1:
        found.append("there is not one trace")
    roots = [span.operation for span in spans if span.parent is None]
    if len(roots) != 1:
        found.append(f"there is not one root: {roots}")
    for span in spans:
        name = f"{span.operation} {span.id}"
        if span.parent is not None and span.parent not in by_id:
            found.append(f"{name} is an orphan")
        if any(r.type == "CHILD_OF" for r in span.references[1:]):
            found.append(f"{name}: its parent is not the first reference")
        found += [f"{name} follows what is not there" for f in span.follows if f not in by_id]
        if span.duration < 0:
            found.append(f"{name} ends before it starts")
        if span.operation.startswith("node ") and span.follows:
            found += _broken_mirror(span, name)
        if span.parent in span.follows:
            found.append(f"{name} is a child of its producer: Jaeger's critical path would cut it")
    return found


def _broken_mirror(span: JaegerSpan, name: str) -> list[str]:
    """Jaeger keeps no attributes of links: the facts about the input must be tags, too."""
    found = []
    if span.tags.get("alto.input.from_span_id") not in span.follows:
        found.append(f"{name}: alto.input.from_span_id names none of its links")
    if len(span.follows) > 32:
        found.append(f"{name} has more than 32 links")
    if "alto.input.producer_open" not in span.tags:
        found.append(f"{name} does not say whether its producer still ran")
    return found


# A running one -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Jaeger:
    """`query`: its page and API; `otlp`: where it takes OTLP over gRPC."""

    query: str
    otlp: str

    def trace(self, trace_id: str, *, spans: int, patience: float = 20.0) -> dict[str, Any]:
        """A trace as OTLP JSON, once it has so many spans."""
        until = time.monotonic() + patience
        while True:
            try:
                found = self._get(f"/api/v3/traces/{trace_id}")
                result: dict[str, Any] = found.get("result", found)
                if json.dumps(result).count('"spanId"') >= spans or time.monotonic() > until:
                    return result
            except urllib.error.HTTPError as error:
                if error.code != 404 or time.monotonic() > until:
                    raise
            time.sleep(0.2)  # its storage takes a moment

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.query + path, timeout=10) as answer:
            return json.load(answer)


@contextmanager
def running() -> Iterator[Jaeger | None]:
    """The Jaeger of JAEGER_ADDRESS (`http://host:16686`), or one that is started; None without.

    JAEGER_OTLP is where the former takes OTLP, if that is not port 4317 of its host.
    """
    address = os.environ.get("JAEGER_ADDRESS", "").rstrip("/")
    if address:
        address = address if "://" in address else f"http://{address}"
        host = urllib.parse.urlsplit(address).hostname
        yield Jaeger(address, os.environ.get("JAEGER_OTLP") or f"http://{host}:4317")
        return
    binary = shutil.which("jaeger")
    if binary is None:
        yield None
        return
    process = subprocess.Popen([binary], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for port in (16686, 4317):
            _wait_for(port, process)
        yield Jaeger("http://localhost:16686", "http://localhost:4317")
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes], patience: float = 30.0) -> None:
    until = time.monotonic() + patience
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("localhost", port)) == 0:
                return
        time.sleep(0.2)
    raise RuntimeError(f"jaeger does not listen on port {port} (is another one running?)")
