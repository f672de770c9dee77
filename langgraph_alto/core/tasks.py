"""What the scheduler knows of one task, and what a run allows."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from langgraph_alto.core.events import End, RealTask, SendSpec, Write


class State(enum.Enum):
    WAITING = "waiting"
    HELD = "held"
    RUNNING = "running"
    ENDED = "ended"
    GAVE_UP = "gave up"
    ADOPTED = "adopted"
    DISCARDED = "discarded"


TRANSITIONS: Mapping[State | None, frozenset[State]] = {
    None: frozenset({State.WAITING, State.HELD}),
    State.WAITING: frozenset({State.RUNNING, State.HELD, State.DISCARDED}),
    State.HELD: frozenset({State.DISCARDED}),
    State.RUNNING: frozenset({State.ENDED, State.GAVE_UP, State.ADOPTED, State.DISCARDED}),
    State.ENDED: frozenset({State.ADOPTED, State.DISCARDED}),
    State.GAVE_UP: frozenset({State.DISCARDED}),
    State.ADOPTED: frozenset({State.DISCARDED}),
    State.DISCARDED: frozenset(),
}


class IllegalTransition(RuntimeError):
    """A bug in the scheduler or its driver. Please report it with this message."""


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """What a run allows, fixed when it begins.

    Attributes:
        max_ahead: Tasks that may be ahead at once.
        last_step: The last step that the recursion limit allows.
        proven_only: Only proven nodes may start early (`durability="sync"`).
        resumable: The run has a checkpointer, so an interrupt does not end it for good and
            nothing that is not proven starts beyond a task that may interrupt.
        off: Why nothing starts at all, e.g. breakpoints; None if run-ahead is on.
        start_at_step_end: Start also when no task of the step is left, where nothing can be
            gained, since the next step begins right away. Only tests want that.
    """

    max_ahead: int = 64
    last_step: int = 1 << 60
    proven_only: bool = False
    resumable: bool = False
    off: str | None = None
    start_at_step_end: bool = False


@dataclass(slots=True, eq=False)
class Ahead:
    """A task that was started, or waits to be, before its step.

    Attributes:
        send: Its node and input. The input of a `pull` task is known when it starts.
        parents: The tasks that wrote the `Send`, or that trigger it; one for a `Send`.
        position: The `Send`'s place among those of its parent.
        pull: An edge triggers it, no `Send`.
        partial: Its `Send` comes from partial output that its parent's end has not confirmed.
        numbered: Its place among its parent's `Send`s is known.
        reason: Why it is held or has not started yet.
        writes: What its body wrote, once that has finished.
    """

    key: int
    step: int
    send: SendSpec
    parents: dict[str | int, None]
    position: int = 0
    pull: bool = False
    partial: bool = False
    numbered: bool = True
    state: State | None = None
    reason: str | None = None
    end: End | None = None
    children: list[int] = field(default_factory=list)
    writes: Sequence[Write] | None = None
    send_count: int = 0
    history: list[str] = field(default_factory=list)

    @property
    def node(self) -> str:
        """The node whose body it runs."""
        return self.send.node

    @property
    def parent(self) -> str | int:
        """The first of its parents."""
        return next(iter(self.parents))


@dataclass(slots=True)
class Real:
    """A task of the current step. `writes` are known once its body has finished."""

    task: RealTask
    ended: bool = False
    send_count: int = 0
    adopted: int | None = None
    writes: Sequence[Write] | None = None


@dataclass(slots=True)
class Statistics:
    """Counters of one run; `held` counts tasks that did not start early, by reason."""

    started: int = 0
    adopted: int = 0
    discarded: int = 0
    rerun: int = 0
    held: Counter[str] = field(default_factory=Counter)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Started, adopted, discarded, rerun."""
        return self.started, self.adopted, self.discarded, self.rerun
