"""A log of the calls that the fakes served: what a graph's bodies spent their time on.

It is written by the model and the retriever, so a graph needs no instrumentation of its own
to be measured, and it holds true start and end times under every executor. Callbacks don't:
an executor that starts work early has reason to deliver them later.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from langgraph_alto.testing.clock import Clock

Kind = Literal["model", "retrieval"]


@dataclass(eq=False, slots=True)
class Call:
    """One call. Times are the clock's model seconds; `ended` is None while it runs.

    `metadata` is what LangChain carries to the call: LangGraph's `langgraph_node` and
    whatever the caller gave as `config={"metadata": …}`. `completed` is False for a call
    that runs, was cancelled or failed.
    """

    kind: Kind
    started: float
    metadata: Mapping[str, Any] = field(default_factory=dict)
    ended: float | None = None
    completed: bool = False
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def node(self) -> str | None:
        """The LangGraph node whose body called, or None outside a graph."""
        return self.metadata.get("langgraph_node")


class CallLog:
    """The calls of one or several fakes, in order of their start; safe to share by threads.

    Example:
        >>> from langgraph_alto.testing import VirtualClock
        >>> log = CallLog()
        >>> with log.record("model", VirtualClock()) as call:
        ...     call.output_tokens = 7
        >>> [(c.kind, c.output_tokens, c.completed) for c in log.calls]
        [('model', 7, True)]
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget the calls."""
        with self._lock:
            self.calls.clear()

    @contextmanager
    def record(
        self, kind: Kind, clock: Clock, metadata: Mapping[str, Any] | None = None
    ) -> Iterator[Call]:
        """Log the block as one call."""
        call = Call(kind, clock.now(), dict(metadata or {}))
        with self._lock:
            self.calls.append(call)
        try:
            yield call
            call.completed = True
        finally:
            call.ended = clock.now()
