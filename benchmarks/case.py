"""What is measured: one graph, how it is run, and what is expected of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One graph to measure.

    `bound` is the critical path in seconds where bodies take time: no executor can be faster.
    `target` is what alto/bound, or alto/langgraph where there is no bound, should not exceed:
    in time if bodies take time, else in processor time.
    """

    name: str
    build: Callable[[], Any]
    asynchronous: bool
    target: float
    repeats: int
    bound: float | None = None
    config: dict[str, Any] = field(default_factory=dict)
    takes_time: bool = False

    @property
    def key(self) -> str:
        return f"{self.name}, {'async' if self.asynchronous else 'sync'}"
