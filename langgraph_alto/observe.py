"""What can be watched of a run: hooks, and what they are told. Nothing here knows OpenTelemetry.

The executor asks `observer_for` once per run. Where nobody watches it gets None, and from then on
each hook costs it one comparison. `langgraph_alto.otel` is the observer that makes traces.

An observer never changes a run: it sees no values (only their sizes), and what it raises is
caught and told in one warning.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

MOST_LINKS = 32
"""Of a task with more producers, these first ones are told one by one."""


# What is told ------------------------------------------------------------------------------


@dataclass(slots=True)
class RunBegan:
    """A graph begins to run.

    Attributes:
        graph: Its name.
        executor: `"alto"` or `"langgraph"`.
        began_ns: When it was called, in nanoseconds since the epoch.
        request: The id of the run that the caller gave (`run_id`), if any.
        thread: The thread id of its config, if any.
        checkpointer: The checkpointer, an identity.
        namespace: Where a subgraph runs; empty for the graph that was called.
        is_resuming: It goes on from a checkpoint of its thread.
        off: Why nothing of it runs ahead; None if something may.
    """

    graph: str
    executor: str
    began_ns: int
    request: str | None = None
    thread: str | None = None
    checkpointer: object = None
    namespace: tuple[str, ...] = ()
    is_resuming: bool = False
    off: str | None = None


@dataclass(slots=True)
class TaskBegan:
    """A task is known, and its body is about to begin. Not told for a body that was adopted.

    Attributes:
        node: Its node.
        step: LangGraph's number of its step.
        ancestry: The path of what it descends from: `request / plan.sections[3]`.
        task_id: LangGraph's id; None for a body that runs ahead, until it is adopted.
        kind: `"node"`, `"call"` (a `@task`) or `"handler"` (of an error).
        run_ahead: Its body begins before its step.
        producers: Who wrote its `Send`, or what triggers it (the first `MOST_LINKS`).
        input_count: How many producers there are.
        index: The place of its `Send` among those of its producer; None if it has no `Send`.
        is_streamed: Its producer still runs: its `Send` was made of partial output.
        input: What it is given. Only its size may be taken of it.
    """

    node: str
    step: int
    ancestry: str
    task_id: str | None = None
    kind: str = "node"
    run_ahead: bool = False
    producers: Sequence[TaskObserver] = ()
    input_count: int = 0
    index: int | None = None
    is_streamed: bool = False
    input: Any = None


@dataclass(slots=True)
class RunEnded:
    """A run of a graph is over.

    Attributes:
        error: What it raised to its caller; also what an early end of the stream raises in it
            (GeneratorExit, CancelledError).
        is_interrupted: It stopped at an interrupt or a breakpoint.
        is_cancelled: Its caller broke off: the error is no failure.
        counts: `started`, `adopted`, `discarded`, `rerun`, `abandoned`.
    """

    error: BaseException | None = None
    is_interrupted: bool = False
    is_cancelled: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)


# Who is told -------------------------------------------------------------------------------


class TaskObserver(Protocol):
    """Watches one task: a real one, or a body that runs ahead. Called from any thread."""

    def enter(self) -> Any:
        """The body begins (again, if it is tried again); returns what `leave` is to be given.

        From here to `leave` the observer may set context variables; both are called in the same
        context, and nothing of the run's own happens between a `pause` and a `go_on`.
        """

    def leave(self, entered: Any, outcome: str | None, error: BaseException | None) -> None:
        """The body is over. `outcome` is None if it finished, else `"failed"`, `"interrupted"`,
        `"cancelled"`, `"gave up"` (it ran ahead, and leaves its work to its real task)."""

    def pause(self, entered: Any) -> None:
        """The body has yielded to its consumer: what `enter` set is to be taken back."""

    def go_on(self, entered: Any) -> Any:
        """The consumer asks for more: set it again; returns what `pause` or `leave` is given."""

    def emitted(self, key: str, value: Any) -> None:
        """A generator's body gave an element of a list, or another value."""

    def retracted(self) -> None:
        """What a body gave so far does not count: it begins again, or a draft is replaced."""

    def waits(self) -> None:
        """The body itself is over; its router waits until it may read the state."""

    def waited(self) -> None:
        """Its router may go on."""

    def adopted(self, task_id: str, step: int) -> None:
        """It ran ahead, and its real task, which begins now, has taken it over."""

    def dropped(self, outcome: str, reason: str) -> None:
        """It ran ahead in vain: `"discarded"`, or `"rerun"` by its real task."""

    def closed(self, outcome: str | None = None) -> None:
        """Nothing more comes. `outcome`: what became of a body that never began (`"cached"`)."""


class RunObserver(Protocol):
    """Watches one run of one graph.

    `is_recording`: False if nothing is kept of this run; then only `task_began` is called, once,
    without facts, and the observer that it returns is used for all tasks.
    """

    is_recording: bool

    def task_began(self, began: TaskBegan | None) -> TaskObserver:
        """A task is known; to be called before its body begins."""

    def step_over(self, step: int) -> None:
        """All tasks of a step have ended."""

    def ended(self, ended: RunEnded) -> None:
        """The run is over. Not told if `run_began` returned None."""


class Observer(Protocol):
    """Watches all runs of a process, or of an accelerated graph."""

    def run_began(self, began: RunBegan) -> RunObserver | None:
        """A graph begins to run, in the caller's context; None: nobody wants to know."""


# Who watches -------------------------------------------------------------------------------


def observer_for(provider: object | None = None) -> Observer | None:
    """The observer that makes traces with a tracer provider, or with the global one; or None.

    As long as nobody in this process has imported OpenTelemetry and no provider is given, nothing
    is looked up.

    Example:
        >>> observer_for() is None  # nothing is configured here
        True
    """
    if provider is None and "opentelemetry.trace" not in sys.modules:
        return None
    from langgraph_alto import otel

    return otel.observer_for(provider)


_told: set[str] = set()


def warn_once(text: str) -> None:
    """Say this once in this process."""
    if text not in _told:
        _told.add(text)
        warnings.warn(f"langgraph_alto: {text}", RuntimeWarning, stacklevel=3)


def warn_failed(error: Exception) -> None:
    """A mistake in an observer costs its traces, never the run."""
    warn_once(f"tracing failed with {type(error).__name__}; the run is not affected.")
