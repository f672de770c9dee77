"""OpenTelemetry: each request as one trace. The only part that imports opentelemetry.

    from langgraph_alto import accelerate, otel

    otel.configure()  # only where nothing else sets OpenTelemetry up: OTEL_* variables count
    app = accelerate(graph)

- `configure(endpoint=None)`: a tracer and meter provider that export over OTLP; a bounded exit.
- `shutdown(provider)`: flush, within 2 seconds.
- `carrier()` and `carried(headers)`: trace context out of and into this process.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph_alto.otel.context import carried, carrier
    from langgraph_alto.otel.runs import observer_for
    from langgraph_alto.otel.setup import Tracing, configure, shutdown

# The SDK is loaded by whoever sets it up, not by each process that runs a graph.
_HOMES = {
    "Tracing": "setup",
    "carried": "context",
    "carrier": "context",
    "configure": "setup",
    "observer_for": "runs",
    "shutdown": "setup",
}

__all__ = ["Tracing", "carried", "carrier", "configure", "observer_for", "shutdown"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
