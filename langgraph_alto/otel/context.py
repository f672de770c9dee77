"""Trace context in and out: carriers for whatever crosses a process, a queue or a wire.

Inside a node's body the node's span is the current one, so HTTP clients that are instrumented
send their `traceparent` by themselves. For everything else there is `carrier()`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context as contexts
from opentelemetry import propagate
from opentelemetry.context import Context


def carrier(context: Context | None = None) -> dict[str, str]:
    """The current trace context (or the given one) as headers: `traceparent`, `baggage`, ...

    Follows `OTEL_PROPAGATORS`. Empty where there is no trace.

    Example:
        >>> carrier()
        {}
    """
    headers: dict[str, str] = {}
    propagate.inject(headers, context)
    return headers


@contextmanager
def carried(headers: Mapping[str, str]) -> Iterator[Context]:
    """Make what a carrier holds the current trace context inside the block.

    For a worker that takes jobs off a queue: what it runs joins the trace of who sent the job.

    Example:
        >>> with carried({"traceparent": f"00-{1:032x}-{2:016x}-01"}):
        ...     carrier()["traceparent"]
        '00-00000000000000000000000000000001-0000000000000002-01'
    """
    context = propagate.extract(headers)
    before = contexts.get_current()
    contexts.attach(context)
    try:
        yield context
    finally:
        # Not by the token: whoever leaves the block may be in another task's context.
        contexts.attach(before)
