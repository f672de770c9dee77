"""What all tests share: asyncio as the backend, reproducible properties, checked schedulers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings

from langgraph_alto.core.effects import Verdict
from langgraph_alto.core.events import Command, Event
from langgraph_alto.core.invariants import check
from langgraph_alto.core.scheduler import Scheduler
from langgraph_alto.core.tasks import RunPolicy

# The same examples in every run: a red test is red again, on any machine.
settings.register_profile("alto", deadline=None, derandomize=True, database=None)
settings.load_profile("alto")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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


@pytest.fixture
def scheduler() -> Iterator[MakeScheduler]:
    """Builds schedulers; the invariants hold after each event and at the end of the test."""
    made: list[Checked] = []

    def make(
        policy: RunPolicy | None = None,
        verdicts: Mapping[str, Verdict] | None = None,
        **options: Any,
    ) -> Checked:
        made.append(Checked(Scheduler(policy or RunPolicy(), verdicts or {}, **options)))
        return made[-1]

    yield make
    for checked in made:
        check(checked.scheduler)
