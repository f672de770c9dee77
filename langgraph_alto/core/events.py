"""What the scheduler is told (events) and what it asks for (commands)."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class End(enum.Enum):
    """How an execution of a node's body ended."""

    FINISHED = "finished"
    FAILED = "failed"
    HANDLED = "handled"
    """It failed, and an error handler of the graph took over."""
    INTERRUPTED = "interrupted"
    GAVE_UP = "gave up"
    """A run-ahead body needed something that only its real task has."""


@dataclass(frozen=True, slots=True)
class SendSpec:
    """One `Send`: the node, its argument, and the packet itself (opaque here)."""

    node: str
    arg: object
    packet: object = None


@dataclass(frozen=True, slots=True)
class RealTask:
    """A task that LangGraph prepared for the current step.

    `order` sorts the tasks of a step as LangGraph applies their writes. `arg` is the argument
    of a `Send` task; `push` tells such a task from one that an edge triggered. `done` tasks
    do not run (any more): a cache or a checkpoint had their writes, or they ended before the
    scheduler was told of the step; `send_count` is how many `Send`s those wrote.
    """

    key: str
    node: str
    order: tuple[str | int, ...]
    push: bool = False
    arg: object = None
    done: bool = False
    send_count: int = 0


# Events ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepBegan:
    """LangGraph prepared the tasks of a step; all earlier steps are committed."""

    step: int
    tasks: tuple[RealTask, ...]


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A real task of the current step ended; its `Send`s are final."""

    key: str
    end: End
    sends: tuple[SendSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class AheadEnded:
    """A run-ahead body ended."""

    ahead: int
    end: End
    sends: tuple[SendSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class AheadRejected:
    """An adopted run-ahead task can't stand for the real one; the real task runs itself.

    `began` tells whether its body had begun by then, so that some work was lost.
    """

    ahead: int
    reason: str
    began: bool = True


@dataclass(frozen=True, slots=True)
class SlotsChanged:
    """Something outside changed what may start (a permit came free, a drain was requested)."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over, in whatever way; nothing is adopted any more."""


Event = StepBegan | TaskEnded | AheadEnded | AheadRejected | SlotsChanged | RunEnded


# Commands ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Start a body ahead of its step."""

    ahead: int
    step: int
    send: SendSpec


@dataclass(frozen=True, slots=True)
class Adopt:
    """The real task `key` is the one that runs, or ran, ahead."""

    ahead: int
    key: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Stop a body that runs ahead and forget what it did."""

    ahead: int
    reason: str


Command = Start | Adopt | Discard
