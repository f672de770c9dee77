"""What all tests share: asyncio as the backend, reproducible properties, checked schedulers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import settings

from langgraph_alto.core.effects import Verdict
from langgraph_alto.core.invariants import check
from langgraph_alto.core.scheduler import Scheduler
from langgraph_alto.core.tasks import RunPolicy
from tests.helpers.checked import Checked, MakeScheduler

# The same examples in every run: a red test is red again, on any machine.
settings.register_profile("alto", deadline=None, derandomize=True, database=None)
settings.load_profile("alto")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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
