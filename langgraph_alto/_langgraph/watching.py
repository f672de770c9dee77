"""Which tasks of a run are watched while they still write (`streaming.Producer`)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from langgraph.types import PregelExecutableTask

from langgraph_alto._langgraph.ahead import AheadTask
from langgraph_alto._langgraph.foresight import SettledChannels
from langgraph_alto._langgraph.handing_out import HandingOut
from langgraph_alto._langgraph.streaming import followed, is_streaming_runnable, streams
from langgraph_alto.core.effects import Verdict
from langgraph_alto.core.events import Command, Event, PartialOutput
from langgraph_alto.core.scheduler import Scheduler
from langgraph_alto.core.spec import GraphSpec, Names


class Watching(HandingOut):
    """Asks the routers of generator nodes while these yield, and tells the scheduler."""

    scheduler: Scheduler | None
    speculates: bool
    _follows_partials: bool
    _in_step: bool
    _step_told: bool

    @abstractmethod
    def _facts(self) -> tuple[GraphSpec, Mapping[str, Verdict]]: ...

    @abstractmethod
    def _tell_step(self) -> None: ...

    @abstractmethod
    def _handle(self, event: Event) -> list[Command]: ...

    @abstractmethod
    def _carry_out(self, commands: list[Command]) -> None: ...

    def _streams(self, tasks: Mapping[str, PregelExecutableTask]) -> bool:
        if not self._follows_partials:
            return False
        return any(self._may_stream(t.name) for t in tasks.values())

    def _may_stream(self, node: str) -> bool:
        bound = self.loop.nodes[node].bound
        return streams(bound) or (self.speculates and is_streaming_runnable(bound))

    def _follow_producers(self, tasks: Mapping[str, PregelExecutableTask]) -> None:
        """Look at what the generators among these tasks yield. The lock is held."""
        if not self._streams(tasks):
            return
        nodes = self._facts()[0].nodes
        loop = self.loop
        for task in tasks.values():
            facts = nodes.get(task.name)
            if not task.writes and task.id not in self._adopted_by_task:
                proc = followed(self, task.id, task, facts, lambda: loop.channels)
                object.__setattr__(task, "proc", proc)

    def follow(self, ahead: AheadTask) -> None:
        """Look at what the generator of a run-ahead task yields."""
        if not self._follows_partials or not self._may_stream(ahead.node):
            return
        facts = self._facts()[0].nodes.get(ahead.node)
        if facts is None:
            return
        reads: Names = frozenset().union(*(router.channels for router in facts.routers))

        def channels() -> Mapping[str, Any] | None:
            with self.lock:
                if self.is_closed or self.scheduler is None or ahead.dropped:
                    return None
                found: Any = (
                    self.loop.channels
                    if ahead.adopted is not None
                    else self.scheduler.settled(ahead.key, reads)
                )
                return None if found is None else SettledChannels(found, self.loop.channels)

        proc = followed(self, ahead.key, ahead.task, facts, channels)
        object.__setattr__(ahead.task, "proc", proc)

    def partial_output(self, event: PartialOutput) -> None:
        """A task that still runs would write certain `Send`s if it ended now."""
        with self.lock:
            if self.is_closed or not self._in_step:
                return
            if not self._step_told:
                self._tell_step()
            self._carry_out(self._handle(event))

    @property
    def waiting_sends(self) -> int:
        """How many tasks wait for a slot."""
        return 0 if self.scheduler is None else self.scheduler.waiting
