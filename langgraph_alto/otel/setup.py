"""Sets OpenTelemetry up where nothing else does: providers that export over OTLP, and their end.

What OpenTelemetry's own `OTEL_*` variables say holds: endpoint, protocol, headers, resource,
sampler, batch sizes, `OTEL_SDK_DISABLED`. Without them a queue of 16,384 spans is sent in batches
of 512, each second.
"""

from __future__ import annotations

import atexit
import os
import socket
import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from langgraph_alto import observe
from langgraph_alto.otel import attributes as a
from langgraph_alto.otel.runs import ENDPOINTS, use_meters

QUEUE = 16_384
BATCH = 512
DELAY_MS = 1_000
PATIENCE = 2.0
"""Seconds that the end of a process waits for its last spans."""


class _Counting(SpanExporter):
    """Counts what an exporter takes; what that raises is a lost batch and nothing more."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.exported = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception as error:
            observe.warn_once(f"the span exporter raised {type(error).__name__}: spans are lost.")
            return SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self.exported += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _Sender(BatchSpanProcessor):
    """Counts the spans that ended, and sends them in batches."""

    def __init__(self, exporter: SpanExporter) -> None:
        super().__init__(
            exporter,
            max_queue_size=_number("OTEL_BSP_MAX_QUEUE_SIZE", QUEUE),
            max_export_batch_size=_number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH),
            schedule_delay_millis=_number("OTEL_BSP_SCHEDULE_DELAY", DELAY_MS),
        )
        self.ended = 0
        self._count_lock = threading.Lock()

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.trace_flags.sampled:
            with self._count_lock:
                self.ended += 1
        super().on_end(span)


class Tracing:
    """What `configure` made. `dropped`: spans that ended and reached nobody (yet)."""

    def __init__(
        self,
        provider: TracerProvider,
        meters: MeterProvider | None,
        counts: tuple[_Sender, _Counting],
        *,
        is_joined: bool = False,
    ) -> None:
        self.provider = provider
        self.meters = meters
        self._sender, self._counting = counts
        self._ours = self._sender if is_joined else provider
        """What is shut down at the end: not a provider that somebody else has set up."""
        self._is_over = False

    @property
    def ended(self) -> int:
        """Sampled spans that ended."""
        return self._sender.ended

    @property
    def exported(self) -> int:
        """Spans that the collector took."""
        return self._counting.exported

    @property
    def dropped(self) -> int:
        """Spans that ended and that the collector did not take: while the run goes on, they
        may still be in the queue."""
        return max(0, self.ended - self.exported)

    def shutdown(self, seconds: float = PATIENCE) -> int:
        """Send what is left, for at most so many seconds; returns how many spans were lost."""
        if not self._is_over:
            self._is_over = True
            providers = [p for p in (self._ours, self.meters) if p is not None]
            shutdown(*providers, seconds=seconds)
        return self.dropped


def shutdown(*providers: Any, seconds: float = PATIENCE) -> bool:
    """Flush and shut providers down, all together within a time; returns whether they were done.

    An exporter whose collector is gone may take its time: it is left to a daemon thread.
    """
    threads = []
    for provider in providers:
        thread = threading.Thread(target=_end, args=(provider, seconds), daemon=True)
        thread.start()
        threads.append(thread)
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def _end(provider: Any, seconds: float) -> None:
    try:
        provider.force_flush(int(seconds * 900))
        provider.shutdown()
    except Exception as error:
        observe.warn_once(f"the end of tracing raised {type(error).__name__}.")


def is_wanted() -> bool:
    """Whether the environment names a collector, and does not switch OpenTelemetry off."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return False
    return any(os.environ.get(name) for name in ENDPOINTS)


def configure(
    endpoint: str | None = None,
    *,
    protocol: str | None = None,
    service: str = "langgraph-alto",
    with_metrics: bool = True,
    exporter: SpanExporter | None = None,
    make_global: bool = True,
) -> Tracing:
    """Export traces and metrics over OTLP, and stop within 2 seconds when the process ends.

    Args:
        endpoint: The collector, `http://localhost:4317`; None: what `OTEL_EXPORTER_OTLP_*` say.
        protocol: `"grpc"` or `"http/protobuf"`; None: `OTEL_EXPORTER_OTLP_PROTOCOL`, or gRPC
            (http/protobuf for an endpoint with port 4318).
        service: `service.name`, unless `OTEL_SERVICE_NAME` says so.
        with_metrics: Metrics too.
        exporter: Another exporter than OTLP's.
        make_global: Set it as the global provider. Where there is one already, as under
            `opentelemetry-instrument`, its spans are exported there too.

    Raises:
        ModuleNotFoundError: The exporters are missing: `pip install langgraph-alto[otlp]`.
        ValueError: An unknown protocol.
    """
    resource = _resource(service)
    kind = _protocol(endpoint, protocol)
    counting = _Counting(exporter or _span_exporter(kind, endpoint))
    sender = _Sender(counting)
    there = trace.get_tracer_provider() if make_global else None
    is_joined = isinstance(there, TracerProvider)
    provider = there if is_joined else TracerProvider(resource=resource, shutdown_on_exit=False)
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(sender)
    meters = None
    has_meters = is_joined and isinstance(metrics.get_meter_provider(), MeterProvider)
    is_measured = with_metrics and exporter is None and not has_meters
    if is_measured and os.environ.get("OTEL_METRICS_EXPORTER") != "none":
        reader = PeriodicExportingMetricReader(_metric_exporter(kind, endpoint))
        meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    tracing = Tracing(provider, meters, (sender, counting), is_joined=is_joined)
    if make_global and not is_joined:
        trace.set_tracer_provider(provider)
    if make_global and meters is not None:
        metrics.set_meter_provider(meters)
    if meters is not None:
        _count_dropped(tracing, meters)
        use_meters(provider, meters)
    atexit.register(tracing.shutdown)
    return tracing


def _count_dropped(tracing: Tracing, meters: MeterProvider) -> None:
    def observed(options: CallbackOptions) -> list[Observation]:
        return [Observation(tracing.dropped)]

    meters.get_meter(a.SCOPE).create_observable_gauge(
        a.M_DROPPED, [observed], "{span}", "Spans that ended and that the collector has not taken"
    )


def _resource(service: str) -> Resource:
    from importlib.metadata import version

    given = os.environ.get("OTEL_SERVICE_NAME") or service
    found = {
        "service.name": given,
        "service.version": version("langgraph-alto"),
        "service.instance.id": f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
    }
    if "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "") and not os.environ.get(
        "OTEL_SERVICE_NAME"
    ):
        del found["service.name"]
    return Resource.create(found)


def _number(name: str, default: int) -> int:
    try:
        return int(os.environ[name])
    except (KeyError, ValueError):
        return default


def _protocol(endpoint: str | None, protocol: str | None) -> str:
    found = protocol or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if found is None:
        place = endpoint or next((v for n in ENDPOINTS if (v := os.environ.get(n))), "")
        found = "http/protobuf" if ":4318" in place else "grpc"
    if found not in ("grpc", "http/protobuf"):
        raise ValueError(f'OTLP protocol {found!r} is not one. Valid: "grpc", "http/protobuf".')
    return found


def _span_exporter(kind: str, endpoint: str | None) -> SpanExporter:
    if kind == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc

        return grpc.OTLPSpanExporter(endpoint=endpoint, insecure=_is_insecure(endpoint))
    from opentelemetry.exporter.otlp.proto.http import trace_exporter as http

    return http.OTLPSpanExporter(endpoint=_path(endpoint, "v1/traces"))


def _metric_exporter(kind: str, endpoint: str | None) -> MetricExporter:
    if kind == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc

        return grpc.OTLPMetricExporter(endpoint=endpoint, insecure=_is_insecure(endpoint))
    from opentelemetry.exporter.otlp.proto.http import metric_exporter as http

    return http.OTLPMetricExporter(endpoint=_path(endpoint, "v1/metrics"))


def _is_insecure(endpoint: str | None) -> bool | None:
    return None if endpoint is None or "://" in endpoint else True


def _path(endpoint: str | None, path: str) -> str | None:
    """The exporter takes an endpoint that is given to it as the whole address."""
    if endpoint is None or endpoint.rstrip("/").endswith(path):
        return endpoint
    return f"{endpoint.rstrip('/')}/{path}"
