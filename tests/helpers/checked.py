"""A scheduler whose invariants are checked at each event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from langgraph_alto.core.events import Command, Event
from langgraph_alto.core.invariants import check
from langgraph_alto.core.scheduler import Scheduler


@dataclass
class Checked:
    """A scheduler whose every event is followed by a look at the invariants."""

    scheduler: Scheduler
    now: float = 0.0
    log: list[Command] = field(default_factory=list)

    def __call__(self, event: Event) -> list[Command]:
        self.now += 1.0
        commands = self.scheduler.handle(event, self.now)
        check(self.scheduler, commands)
        self.log += commands
        return commands


MakeScheduler = Callable[..., Checked]
