"""What the scheduler is told (events) and what it asks for (commands)."""

from __future__ import annotations

import enum
from collections.abc import Sequence
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


Write = tuple[str, object]
"""A channel and what is written to it."""


@dataclass(frozen=True, slots=True)
class RealTask:
    """A task that LangGraph prepared for the current step.

    `order` sorts the tasks of a step as LangGraph applies their writes. `arg` is its input: the
    argument of a `Send`, or what the channels held; `push` tells the one from the other, `pull`
    a task that an edge triggered (a task can be neither: an error handler, a `@task` call).
    `done` tasks do not run (any more): a cache or a checkpoint had their writes, or they ended
    before the scheduler was told of the step. A `TaskEnded` follows for them as for others.
    """

    key: str
    node: str
    order: tuple[str | int, ...]
    push: bool = False
    arg: object = None
    done: bool = False
    pull: bool = False


# Events ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepBegan:
    """LangGraph prepared the tasks of a step; all earlier steps are committed."""

    step: int
    tasks: tuple[RealTask, ...]


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A real task of the current step ended; its `Send`s and other writes are final."""

    key: str
    end: End
    sends: tuple[SendSpec, ...] = ()
    writes: Sequence[Write] = ()


@dataclass(frozen=True, slots=True)
class AheadEnded:
    """A run-ahead body ended, its routers included."""

    ahead: int
    end: End
    sends: tuple[SendSpec, ...] = ()
    writes: Sequence[Write] = ()


@dataclass(frozen=True, slots=True)
class PartialOutput:
    """A task that still runs would have written these `Send`s, had it ended now.

    `key` is a real task's, or a run-ahead one's. The list is whole: what an earlier one had and
    this one lacks is retracted. `numbered` tells whether these are all `Send`s that the task
    gives so far, so that the place of each is known.
    """

    key: str | int
    sends: tuple[SendSpec, ...]
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class GateReached:
    """A run-ahead body waits with a router that reads these channels of the state."""

    ahead: int
    reads: frozenset[str]


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


Event = (
    StepBegan
    | TaskEnded
    | AheadEnded
    | PartialOutput
    | GateReached
    | AheadRejected
    | SlotsChanged
    | RunEnded
)


# Commands ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Start a body ahead of its step: a `Send`'s, or one that an edge triggers (`pull`)."""

    ahead: int
    step: int
    send: SendSpec
    pull: bool = False


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


@dataclass(frozen=True, slots=True)
class OpenGate:
    """What the body's router reads is settled; `state` holds it (opaque here)."""

    ahead: int
    state: object


@dataclass(frozen=True, slots=True)
class Mistrust:
    """A node wrote or triggered what the facts about it exclude."""

    node: str
    names: tuple[str, ...]


Command = Start | Adopt | Discard | OpenGate | Mistrust
