"""The bodies that run ahead: what the scheduler decided about each is carried out here.

A body is started, adopted by its real task or rejected, let through a gate, discarded; it ends,
and it may have to be told which task it will be.
"""

from __future__ import annotations

import itertools
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextvars import Context
from typing import Any

from langgraph.errors import GraphInterrupt
from langgraph.types import PregelExecutableTask, Send

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.adopted import stand_in, without_note
from langgraph_alto._langgraph.ahead import AheadTask, GaveUp, ahead_writes, mute_context_handlers
from langgraph_alto._langgraph.foresight import SettledChannels, holds
from langgraph_alto._langgraph.identity import (
    Reservation,
    TaskIdentity,
    identity_of_pull,
    identity_of_send,
)
from langgraph_alto._langgraph.narrowed import NarrowedState
from langgraph_alto._langgraph.watching import Watching
from langgraph_alto.core.effects import Rank
from langgraph_alto.core.events import (
    Adopt,
    AheadEnded,
    AheadRejected,
    Discard,
    End,
    Event,
    GateReached,
    Mistrust,
    OpenGate,
    SendSpec,
    Start,
)
from langgraph_alto.core.spec import Names, RouterSpec
from langgraph_alto.report import RunReport, Span


class Bodies(Watching):
    """Carries out commands of the scheduler, and tells it what became of them."""

    context: Context | None
    report: RunReport
    report_zero: float
    recording: bool
    reservation: Reservation
    aheads: dict[int, AheadTask]
    _spans: dict[str, Span]

    @abstractmethod
    def send_event(self, event: Event) -> None: ...

    @abstractmethod
    def _read_writes(
        self, writes: Sequence[tuple[str, Any]]
    ) -> tuple[End, tuple[SendSpec, ...]]: ...

    # Commands ------------------------------------------------------------------------------

    def _start(self, command: Start) -> None:
        packet = command.send.packet
        assert isinstance(packet, Send)
        if self.scheduler is None or command.ahead not in self.scheduler.aheads:
            # Retracted meanwhile: what it descends from was rejected in the same breath.
            self.permit_unused()
            return
        try:
            ahead = AheadTask(command.ahead, command.step, packet, self, is_pull=command.pull)
        except Exception as error:
            # LangGraph itself could not prepare it; it will say so when the step comes.
            self.report.fallbacks.append(f"{packet.node}: could not be prepared early: {error}")
            self.permit_unused()
            self.send_event(AheadEnded(command.ahead, End.GAVE_UP))
            return
        if self.partials is not None:
            known = self.scheduler.aheads[command.ahead]
            self.partials.began_ahead(ahead, None if known.pull else known.parent, known.position)
        self.follow(ahead)
        if self.observing is not None:
            self.observing.began_ahead(ahead, self.scheduler.aheads[command.ahead])
        self.aheads[command.ahead] = ahead
        ahead.zero = self.clock()
        if self.recording:
            ahead.span = self._note(ahead.node, ahead.step)
        self.spawn(ahead)

    def body_context(self, ahead: AheadTask) -> Context:
        """The context that LangGraph would run the body in, for the body alone."""
        assert self.context is not None
        context = self.context.copy()
        if ahead.player is not None:
            context.run(mute_context_handlers, ahead.player.handlers)
        return context

    def _adopt(self, command: Adopt) -> None:
        ahead = self.aheads[command.ahead]
        task: PregelExecutableTask = self.loop.tasks[command.key]
        if ahead.gave_up is not None:
            self._reject(ahead, ahead.gave_up)
            return
        if not self.claim(ahead):
            self._reject(ahead, "it had not begun", began=False)
            return
        conf = task.config[names.CONF]
        real = TaskIdentity(
            task.id, conf[names.CONFIG_KEY_CHECKPOINT_NS], self.loop.checkpoint["id"], task.path
        )
        if not ahead.identity.settle(real):
            self._reject(ahead, "its body was told another task id")
            return
        if not holds(ahead.relied_on, self.loop.channels):
            self._reject(ahead, "its router was shown another state")
            return
        if isinstance(ahead.send.arg, NarrowedState):
            ahead.send.arg.complete(task.input)
        ahead.adopted = task
        self._adopted_by_task[task.id] = ahead
        stand_in(task, ahead)
        if ahead.span is not None:
            ahead.span.outcome = "adopted"
            ahead.span.adopted_at = self.clock() - self.report_zero
            self._spans[task.id] = ahead.span
        ahead.go_on()
        self.open_gate(ahead)
        if ahead.producer is not None:
            ahead.producer.ask_soon()

    def _open_gate(self, command: OpenGate) -> None:
        ahead = self.aheads.get(command.ahead)
        if ahead is None or ahead.adopted is not None or ahead.dropped:
            return
        settled: Any = command.state
        ahead.relied_on.update(settled)
        ahead.state = SettledChannels(settled, self.loop.channels)
        ahead.go_on()
        self.open_gate(ahead)

    def reach_gate(self, ahead: AheadTask, reads: Names | None) -> None:
        """A body is over, and its router waits. It may be let through at once."""
        with self.lock:
            # What was settled for the router before it is not what this one reads; if the task
            # is real by now, it reads the real state.
            ahead.state = None
            if ahead.adopted is not None or ahead.dropped:
                return
            ahead.gate.clear()
            ahead.pause()
            if reads is not None:
                self.send_event(GateReached(ahead.key, reads))

    def _mistrust(self, command: Mistrust) -> None:
        listed = ", ".join(map(repr, command.names))
        text = (
            f"Node {command.node!r} wrote or led to {listed}, which its declaration or source "
            "excludes. What relied on that is run again; the result is not affected. Correct "
            "its metadata={'alto': ...} or Options(nodes=...)."
        )
        self.report.fallbacks.append(text)
        warnings.warn(text, stacklevel=2)

    def _reject(self, ahead: AheadTask, reason: str, *, began: bool = True) -> None:
        if ahead.span is not None:
            ahead.span.outcome, ahead.span.reason = "rerun", reason
        if self.observing is not None:
            self.observing.dropped(ahead, "rerun", reason)
        self.send_event(AheadRejected(ahead.key, reason, began))

    def _discard(self, command: Discard) -> None:
        ahead = self.aheads.pop(command.ahead, None)
        if ahead is None:
            return
        if ahead.span is not None:
            ahead.span.ended = ahead.span.ended or self.clock() - self.report_zero
            if ahead.span.outcome != "rerun":
                ahead.span.outcome, ahead.span.reason = "discarded", command.reason
        if self.observing is not None:
            self.observing.dropped(ahead, "discarded", command.reason)
        if self.eager and ahead.player is not None:
            self.play_now(ahead.player, ahead.player.closing())
        if self.partials is not None:
            self.partials.discarded(ahead)
        ahead.cut()
        self.cancel(ahead)

    # A body's end --------------------------------------------------------------------------

    def body_ended(self, ahead: AheadTask, error: BaseException | None) -> None:
        """A run-ahead body is over, in whatever way. Never raises."""
        if ahead.dropped:
            return
        ahead.duration = ahead.age()
        sends: tuple[SendSpec, ...] = ()
        writes: list[tuple[str, Any]] = []
        if ahead.gave_up is not None and ahead.adopted is None:
            end = End.GAVE_UP
        elif isinstance(error, GraphInterrupt):
            end, ahead.exception = End.INTERRUPTED, error
        elif error is not None:
            # Handlers see the error before LangGraph puts its note on it.
            end, ahead.exception = End.FAILED, without_note(error)
        else:
            end = End.FINISHED
            try:
                writes = ahead_writes(ahead)
                sends = self._read_writes(writes)[1]
            except GaveUp:
                end = End.GAVE_UP
            except Exception as pinning_error:
                end, ahead.exception = End.FAILED, pinning_error
        with self.lock:
            ahead.end = end
            if ahead.span is not None:
                ahead.span.ended = self.clock() - self.report_zero
            if end is End.GAVE_UP:
                self._give_up(ahead)
            elif ahead.adopted is not None:
                if self.order is not None:
                    self.order.ended(ahead.adopted.id)
                self._queue(ahead)
            if self.partials is not None:
                self.partials.gave_sends(ahead.key, sends)
            self.send_event(AheadEnded(ahead.key, end, sends, writes))
        self.pump()

    def _give_up(self, ahead: AheadTask) -> None:
        """The body is over and leaves its work to the real task. The lock is held."""
        if ahead.span is not None:
            ahead.span.outcome, ahead.span.reason = "rerun", ahead.gave_up
        if self.observing is not None:
            self.observing.dropped(ahead, "rerun", ahead.gave_up or "")
        self.aheads.pop(ahead.key, None)
        if self.partials is not None:
            self.partials.discarded(ahead)
        ahead.cut()

    # Identity ------------------------------------------------------------------------------

    def identity_of(self, ahead: AheadTask) -> TaskIdentity | None:
        """The identity that the real task will have, if that is determined by now."""
        with self.lock:
            if self.scheduler is None or self.is_closed:
                return None
            index = self.scheduler.index_of(ahead.key)
            if index is None:
                return None
            loop = self.loop
            if loop.step == ahead.step:  # just committed: its step is about to begin
                checkpoint_id = loop.checkpoint["id"]
            else:
                checkpoint_id = self.reservation.reserve(loop.step)
                if loop.checkpointer is None:  # no other client can write in between
                    self.reservation.confirm(loop.step, True)
            place: dict[str, Any] = {
                "step": ahead.step,
                "checkpoint_id": checkpoint_id,
                "checkpoint_v": loop.checkpoint["v"],
                "parent_ns": loop.config[names.CONF].get(names.CONFIG_KEY_CHECKPOINT_NS, ""),
            }
            if ahead.is_pull:
                return identity_of_pull(ahead.node, loop.nodes[ahead.node].triggers, **place)
            return identity_of_send(ahead.node, index, **place)

    def identity_needed_by(self, ahead: AheadTask) -> TaskIdentity | None:
        """The identity of a body that runs graphs of its own: LangGraph joins their namespaces
        to its own in C, which would read a lazy one's placeholder."""
        verdict = self._facts()[1].get(ahead.node)
        if verdict is None or not verdict.needs_identity:
            return None
        return ahead.identity.known() if self.identity_of(ahead) is not None else None

    def has_ahead(self) -> bool:
        """Whether a body runs, or ran, that is not real yet."""
        with self.lock:
            return any(ahead.adopted is None for ahead in self.aheads.values())

    def has_exposed(self) -> bool:
        """Whether a body was told an identity that depends on the reserved checkpoint id."""
        return self.reservation.is_open(self.loop.step) and any(
            a.identity.exposed is not None and a.adopted is None for a in self.aheads.values()
        )

    def expected_head(self) -> str | None:
        """The checkpoint that the thread must still end with for a reserved id to be used."""
        conf = self.loop.checkpoint_config[names.CONF]
        found: str | None = conf.get(names.CONFIG_KEY_CHECKPOINT_ID)
        return found

    # What a body's wrappers ask --------------------------------------------------------------

    def is_proven(self, node: str) -> bool:
        """Whether a node was declared or proven safe, so that even the store is open to it."""
        scheduler = self.scheduler
        if scheduler is None:
            return False
        verdict = scheduler.verdicts.get(node)
        return verdict is not None and verdict.rank is Rank.PROVEN

    def routers_of(self, node: str, count: int) -> Iterator[RouterSpec | None]:
        """What is known of a node's routers, in their order; None of those that are not."""
        facts = self._facts()[0].nodes.get(node)
        if facts is None or len(facts.routers) != count:
            return itertools.repeat(None)
        return iter(facts.routers)

    # The timeline ---------------------------------------------------------------------------

    def _note(self, node: str, step: int) -> Span:
        span = Span(
            node=node,
            step=step,
            started=self.clock() - self.report_zero,
            namespace=tuple(self.loop.checkpoint_ns),
        )
        if len(self.report.timeline) < RunReport.TIMELINE_LIMIT:
            self.report.timeline.append(span)
        return span
