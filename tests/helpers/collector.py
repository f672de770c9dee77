"""An OTLP collector for tests: the real protocols, gRPC and HTTP, on real sockets.

It keeps what it was sent and can be slow, refuse, or go away.
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(v) for v in value.array_value.values]
    return getattr(value, kind) if kind else None


def _attributes(found: Any) -> dict[str, Any]:
    return {pair.key: _plain(pair.value) for pair in found}


@dataclass
class Link:
    """What a span links to."""

    trace: str
    span: str
    attributes: dict[str, Any]


@dataclass
class Event:
    """Something that a span says happened."""

    name: str
    at: int
    attributes: dict[str, Any]


@dataclass
class Received:
    """A span as it came over the wire."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    start: int
    end: int
    status: int
    message: str
    attributes: dict[str, Any]
    links: list[Link]
    events: list[Event]
    resource: dict[str, Any]
    scope: str = ""
    """Whose span it is: the name of the instrumentation."""

    def __getitem__(self, name: str) -> Any:
        return self.attributes[name]


@dataclass
class Collector:
    """What was received so far. `refuses` and `wait` (seconds) make it a bad one."""

    endpoint: str = ""
    refuses: bool = False
    held: threading.Event | None = None
    requests: int = 0
    bytes: int = 0
    raw: list[bytes] = field(default_factory=list)
    spans: list[Received] = field(default_factory=list)
    metrics: list[Any] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: Any, size: int) -> bool:
        """A request with spans; returns whether it was accepted."""
        if self.held is not None:
            self.held.wait(30)
        with self.lock:
            self.requests += 1
            if self.refuses:
                return False
            self.bytes += size
            self.raw.append(request.SerializeToString())
            for of_resource in request.resource_spans:
                resource = _attributes(of_resource.resource.attributes)
                for of_scope in of_resource.scope_spans:
                    name = of_scope.scope.name
                    self.spans += [_received(span, resource, name) for span in of_scope.spans]
        return True

    def take_metrics(self, request: Any) -> None:
        """A request with metrics."""
        with self.lock:
            self.raw.append(request.SerializeToString())
            for of_resource in request.resource_metrics:
                for of_scope in of_resource.scope_metrics:
                    self.metrics += list(of_scope.metrics)

    def traces(self) -> dict[str, list[Received]]:
        """The spans of each trace."""
        found: dict[str, list[Received]] = {}
        with self.lock:
            for span in self.spans:
                found.setdefault(span.trace, []).append(span)
        return found

    def clear(self) -> None:
        """Forget everything."""
        with self.lock:
            self.spans, self.metrics, self.raw = [], [], []
            self.bytes = self.requests = 0


def _received(span: Any, resource: dict[str, Any], scope: str) -> Received:
    return Received(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=span.kind,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        status=span.status.code,
        message=span.status.message,
        attributes=_attributes(span.attributes),
        links=[
            Link(link.trace_id.hex(), link.span_id.hex(), _attributes(link.attributes))
            for link in span.links
        ],
        events=[Event(e.name, e.time_unix_nano, _attributes(e.attributes)) for e in span.events],
        resource=resource,
        scope=scope,
    )


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):  # type: ignore[misc]
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> Any:
        if not self._collector.take(request, request.ByteSize()):
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):  # type: ignore[misc]
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> Any:
        self._collector.take_metrics(request)
        return metrics_service_pb2.ExportMetricsServiceResponse()


@contextmanager
def grpc_collector(port: int = 0) -> Iterator[Collector]:
    """A collector that speaks OTLP/gRPC."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(4, "collector"))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(collector), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(collector), server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    collector.endpoint = f"http://127.0.0.1:{port}"
    server.start()
    try:
        yield collector
    finally:
        if collector.held is not None:
            collector.held.set()
        server.stop(0).wait()


@contextmanager
def http_collector() -> Iterator[Collector]:
    """A collector that speaks OTLP/HTTP (protobuf)."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            accepted = True
            if self.path == "/v1/traces":
                request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
                accepted = collector.take(request, len(body))
            else:
                found = metrics_service_pb2.ExportMetricsServiceRequest.FromString(body)
                collector.take_metrics(found)
            self.send_response(200 if accepted else 503)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def problems_of(trace: list[Received]) -> list[str]:
    """What is wrong with a trace by the rules of tracing; empty if it is as it should be."""
    found: list[str] = []
    by_id = {span.id: span for span in trace}
    roots = [span for span in trace if not span.parent]
    if len(roots) != 1:
        found.append(f"{len(roots)} roots: {[r.name for r in roots]}")
    for span in trace:
        parent = by_id.get(span.parent)
        if span.parent and parent is None:
            found.append(f"{span.name} is an orphan")
        elif parent is not None and span.start < parent.start:
            found.append(f"{span.name} began before its parent {parent.name}")
        elif parent is not None and span.end > parent.end and "mine" not in span.name:
            found.append(f"{span.name} ended after its parent {parent.name}")
        if span.end < span.start:
            found.append(f"{span.name} ended before it began")
        found += _problems_of_one(span, by_id)
    return found


def _problems_of_one(span: Received, by_id: dict[str, Received]) -> list[str]:
    found = []
    if len(span.links) > 33:
        found.append(f"{span.name} has {len(span.links)} links")
    if len(span.events) > 128:
        found.append(f"{span.name} has {len(span.events)} events")
    if span.name.startswith(("node ", "invoke_workflow ")) and span.links:
        mirrored = span.attributes.get("alto.input.from_span_id")
        resumed = span.attributes.get("alto.resumed.from_span_id")
        linked = [link.span for link in span.links]
        if mirrored is None and resumed is None:
            found.append(f"{span.name}'s links are not mirrored")
        if not {mirrored, resumed} - {None} <= set(linked):
            found.append(f"{span.name} mirrors another span than it links to")
        if mirrored is not None and mirrored not in by_id:
            found.append(f"{span.name} links to what is not in its trace")
    for name, value in span.attributes.items():
        if isinstance(value, str) and len(value) > 1_024:
            found.append(f"{span.name}'s {name} has {len(value)} characters")
    return found
