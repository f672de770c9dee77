"""What is measured besides the spans. No ancestry, ids or content among the labels.

Measurements are made in the context of their span, so exporters that know exemplars lead from a
point in a graph to its trace.
"""

from __future__ import annotations

from typing import Any

from opentelemetry import metrics
from opentelemetry.context import Context

from langgraph_alto.otel import attributes as a

NODE = "alto.node"
OUTCOME = "outcome"


class Instruments:
    """The instruments of one meter provider, None: the global one."""

    def __init__(self, provider: Any = None) -> None:
        meter = (provider or metrics.get_meter_provider()).get_meter(a.SCOPE)
        self._first = meter.create_histogram(
            a.M_FIRST_PARTIAL, "s", "From the beginning of a node to its first partial output"
        )
        self._queue = meter.create_histogram(
            a.M_QUEUE, "{item}", "Partial outputs that wait when a consumer begins"
        )
        self._wait = meter.create_histogram(
            a.M_WAIT, "s", "From when a task's input was there to the beginning of its body"
        )
        self._ahead = meter.create_counter(
            a.M_AHEAD, "{task}", "Tasks that ran ahead of their step, by what became of them"
        )
        self._saved = meter.create_counter(
            a.M_SAVED, "s", "Work that was done before its step began"
        )
        self._lost = meter.create_counter(a.M_LOST, "s", "Work of bodies that were thrown away")

    def first_partial(self, seconds: float, node: str, context: Context) -> None:
        """A node gave its first partial output."""
        self._first.record(seconds, {NODE: node}, context)

    def queue(self, depth: int, node: str, context: Context) -> None:
        """So many partial outputs waited for this consumer."""
        self._queue.record(depth, {NODE: node}, context)

    def wait(self, seconds: float, node: str, context: Context) -> None:
        """A task's input waited for its body."""
        self._wait.record(seconds, {NODE: node}, context)

    def ahead(self, outcome: str, node: str, context: Context) -> None:
        """A body started ahead, or its fate is known."""
        self._ahead.add(1, {NODE: node, OUTCOME: outcome}, context)

    def saved(self, seconds: float, node: str, context: Context) -> None:
        """Part of an adopted body ran before its step."""
        self._saved.add(max(0.0, seconds), {NODE: node}, context)

    def lost(self, seconds: float, node: str, context: Context) -> None:
        """A body ran in vain."""
        self._lost.add(max(0.0, seconds), {NODE: node}, context)
