"""Which tasks of a run are watched while they still write (`streaming.Producer`)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from langgraph.types import PregelExecutableTask

from langgraph_alto._langgraph.ahead import AheadTask
from langgraph_alto._langgraph.foresight import SettledChannels
from langgraph_alto._langgraph.handing_out import HandingOut
from langgraph_alto._langgraph.observing import Emissions, Observing
from langgraph_alto._langgraph.partials import Partials
from langgraph_alto._langgraph.streaming import (
    Producer,
    can_be_followed,
    followed,
    is_streaming_runnable,
    read_by_routers,
    streams,
)
from langgraph_alto._langgraph.taps import Tap
from langgraph_alto.core.effects import Verdict
from langgraph_alto.core.events import Command, Event, PartialOutput
from langgraph_alto.core.scheduler import Scheduler
from langgraph_alto.core.spec import GraphSpec, NodeSpec


class Watching(HandingOut):
    """Asks the routers of generator nodes while these yield, and tells the scheduler."""

    scheduler: Scheduler | None
    speculates: bool
    partials: Partials | None
    observing: Observing | None
    _in_step: bool
    _step_told: bool

    @property
    @abstractmethod
    def asks_routers(self) -> bool: ...

    @abstractmethod
    def _facts(self) -> tuple[GraphSpec, Mapping[str, Verdict]]: ...

    @abstractmethod
    def _tell_step(self) -> None: ...

    @abstractmethod
    def _handle(self, event: Event) -> list[Command]: ...

    @abstractmethod
    def _carry_out(self, commands: list[Command]) -> None: ...

    def _streams(self, tasks: Mapping[str, PregelExecutableTask]) -> bool:
        is_shown = self.partials is not None or self.observing is not None
        if not is_shown and not self.asks_routers:
            return False
        streaming = [task.name for task in tasks.values() if self._may_stream(task.name)]
        if is_shown or not streaming:
            return bool(streaming)
        nodes = self._facts()[0].nodes
        return any(can_be_followed(nodes.get(n), speculative=self.speculates) for n in streaming)

    def _may_stream(self, node: str) -> bool:
        bound = self.loop.nodes[node].bound
        return streams(bound) or (self.speculates and is_streaming_runnable(bound))

    def _follow_producers(self, tasks: Mapping[str, PregelExecutableTask]) -> None:
        """Look at what the generators among these tasks yield. The lock is held."""
        streams = self._streams(tasks)
        if not streams and self.partials is None:
            return
        nodes = self._facts()[0].nodes if streams else {}
        loop = self.loop
        for task in tasks.values():
            if not task.writes and task.id not in self._adopted_by_task:
                facts = nodes.get(task.name)
                self._follow(task.id, task, facts, lambda: loop.channels)

    def _follow(
        self,
        key: str | int,
        task: PregelExecutableTask,
        facts: NodeSpec | None,
        channels: Callable[[], Mapping[str, Any] | None],
    ) -> Producer | None:
        proc, producer = task.proc, None
        if self._may_stream(task.name):
            proc, producer = followed(self, key, task, facts, channels)
        if proc is not task.proc:
            object.__setattr__(task, "proc", proc)
        elif self.partials is not None:
            self.partials.count_attempts(task)
        return producer

    def tap(self, task: PregelExecutableTask) -> Tap | None:
        """What shows the partial outputs of a task, if they are to be shown."""
        return None if self.partials is None else self.partials.tap(task)

    def emissions(self, key: str | int, task: PregelExecutableTask) -> Emissions | None:
        """What tells an observer of the chunks of a task, if there is one."""
        return None if self.observing is None else self.observing.follower(key, task)

    def follow(self, ahead: AheadTask) -> None:
        """Look at what the generator of a run-ahead task yields."""
        looks = self.asks_routers or self.observing is not None
        if self.partials is None and not (looks and self._may_stream(ahead.node)):
            return
        facts = self._facts()[0].nodes.get(ahead.node)
        reads = read_by_routers(self.loop.nodes[ahead.node], facts)

        def channels() -> Mapping[str, Any] | None:
            with self.lock:
                if self.is_closed or self.scheduler is None or ahead.dropped:
                    return None
                if ahead.adopted is not None:
                    return self.loop.channels  # type: ignore[no-any-return]
                found: Any = self.scheduler.settled(ahead.key, reads)
                return None if found is None else SettledChannels(found, self.loop.channels)

        ahead.producer = self._follow(ahead.key, ahead.task, facts, channels)

    def partial_output(self, event: PartialOutput) -> None:
        """A task that still runs would write certain `Send`s if it ended now."""
        with self.lock:
            if self.is_closed or not self._in_step:
                return
            if self.partials is not None:
                self.partials.gave_sends(event.key, event.sends)
            if not self._step_told:
                self._tell_step()
            self._carry_out(self._handle(event))

    @property
    def waiting_sends(self) -> int:
        """How many tasks wait for a slot."""
        return 0 if self.scheduler is None else self.scheduler.waiting
