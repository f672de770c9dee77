"""What is measured besides the spans. No ancestry, ids or content among the labels.

A task only notes what it measured; the notes become measurements when the metrics are read, in the
reader's thread. Each is made in the context of its span, so exporters that know exemplars lead
from a point in a graph to its trace.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import Any

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from langgraph_alto.otel import attributes as a

NODE = "alto.node"
OUTCOME = "outcome"

MOST_NOTES = 65_536
"""Measurements that wait for the reader; the oldest are lost beyond that."""

_NOBODY = ("_ProxyMeterProvider", "NoOpMeterProvider")


class Instruments:
    """The instruments of one meter provider, None: the global one."""

    def __init__(self, provider: Any = None) -> None:
        self._provider = provider
        meter = (provider or metrics.get_meter_provider()).get_meter(a.SCOPE)
        self._lock = threading.Lock()
        self._notes: deque[tuple[Any, float, str, SpanContext]] = deque(maxlen=MOST_NOTES)
        self._ahead: Counter[tuple[str, str]] = Counter()
        self._seconds: dict[str, Counter[str]] = {a.M_SAVED: Counter(), a.M_LOST: Counter()}
        self.is_on = False
        self.first_partial = meter.create_histogram(
            a.M_FIRST_PARTIAL, "s", "From the beginning of a node to its first partial output"
        )
        self.queue = meter.create_histogram(
            a.M_QUEUE, "{item}", "Partial outputs that wait when a consumer begins"
        )
        self.wait = meter.create_histogram(
            a.M_WAIT, "s", "From when a task's input was there to the beginning of its body"
        )
        meter.create_observable_counter(
            a.M_AHEAD, [self._read], "{task}", "Tasks that ran ahead, by what became of them"
        )
        meter.create_observable_counter(
            a.M_SAVED, [self._read_saved], "s", "Work that was done before its step began"
        )
        meter.create_observable_counter(
            a.M_LOST, [self._read_lost], "s", "Work of bodies that were thrown away"
        )

    def look(self) -> None:
        """Find out whether anybody reads what is measured from now on."""
        provider = self._provider or metrics.get_meter_provider()
        self.is_on = type(provider).__name__ not in _NOBODY

    def note(self, instrument: Any, amount: float, node: str, span: SpanContext | None) -> None:
        """A histogram's next value, for a node, with the span that it belongs to."""
        if self.is_on and span is not None:
            self._notes.append((instrument, amount, node, span))

    def ahead(self, outcome: str, node: str) -> None:
        """A body started ahead, or its fate is known."""
        if self.is_on:
            with self._lock:
                self._ahead[outcome, node] += 1

    def seconds(self, name: str, seconds: float, node: str) -> None:
        """Work was saved (`M_SAVED`) or lost (`M_LOST`)."""
        if self.is_on:
            with self._lock:
                self._seconds[name][node] += max(0.0, seconds)  # type: ignore[assignment]

    def _read(self, options: CallbackOptions) -> list[Observation]:
        while self._notes:
            instrument, amount, node, span = self._notes.popleft()
            instrument.record(amount, {NODE: node}, set_span_in_context(NonRecordingSpan(span)))
        with self._lock:
            found = list(self._ahead.items())
        return [Observation(n, {NODE: node, OUTCOME: outcome}) for (outcome, node), n in found]

    def _read_saved(self, options: CallbackOptions) -> list[Observation]:
        return self._totals(a.M_SAVED)

    def _read_lost(self, options: CallbackOptions) -> list[Observation]:
        return self._totals(a.M_LOST)

    def _totals(self, name: str) -> list[Observation]:
        with self._lock:
            return [Observation(total, {NODE: n}) for n, total in self._seconds[name].items()]
