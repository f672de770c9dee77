"""Keeps the spans of this process, for who wants to look at them right away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

MOST_SPANS = 100_000
"""Of a run that is traced by hand; what comes after them is counted only."""


class Kept(SpanProcessor):
    """The spans that ended: `spans`, and how many more there were: `left_out`.

    `lost`: how many did not reach the endpoint, once the block is over.
    """

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.left_out = 0
        self.lost = 0
        self._lock = threading.Lock()

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        pass

    def on_end(self, span: ReadableSpan) -> None:
        with self._lock:
            if len(self.spans) < MOST_SPANS:
                self.spans.append(span)
            else:
                self.left_out += 1


@contextmanager
def kept(endpoint: str | None = None) -> Iterator[Kept]:
    """Make this process's global tracer provider one whose spans are kept; one that is there
    already, as under `opentelemetry-instrument`, stays.

    With an endpoint they also go there, over OTLP; they have arrived when the block ends, or
    2 seconds later they are given up.

    Raises:
        ModuleNotFoundError: There is an endpoint, and the exporters are missing.
        ValueError: `OTEL_EXPORTER_OTLP_PROTOCOL` names an unknown protocol.
    """
    from langgraph_alto.otel.setup import configure

    found = Kept()
    if endpoint is None:
        provider = trace.get_tracer_provider()
        if not isinstance(provider, TracerProvider):
            provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
            trace.set_tracer_provider(provider)
        provider.add_span_processor(found)
        yield found
        return
    tracing = configure(endpoint)
    tracing.provider.add_span_processor(found)
    try:
        yield found
    finally:
        found.lost = tracing.shutdown()
