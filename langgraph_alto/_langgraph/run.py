"""One run of a graph: feeds the scheduler and carries out what it decides.

`Run` is what the asynchronous and the synchronous driver have in common. LangGraph's loop calls
it when a step begins (`began_step`) and when a task's writes arrive (`task_ended`); everything
else follows from the scheduler's commands. Decisions are made under one lock; no body and no
handler is ever called under it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, replace
from typing import Any

from langgraph.types import PregelExecutableTask, Send

from langgraph_alto import report as reports
from langgraph_alto._langgraph import chaos, names
from langgraph_alto._langgraph.ahead import AheadTask
from langgraph_alto._langgraph.bodies import Bodies
from langgraph_alto._langgraph.foresight import ChannelForesight
from langgraph_alto._langgraph.graph_reader import spec_of_loop
from langgraph_alto._langgraph.identity import (
    Reservation,
)
from langgraph_alto._langgraph.observing import Observing, observing
from langgraph_alto._langgraph.partials import Partials, levels_of, partials_of
from langgraph_alto._langgraph.policy import run_policy, same_value, verdicts_of
from langgraph_alto._langgraph.reporting import close_report, open_report
from langgraph_alto.core.effects import Rank, Verdict
from langgraph_alto.core.events import (
    Adopt,
    Command,
    Discard,
    End,
    Event,
    Mistrust,
    OpenGate,
    RealTask,
    RunEnded,
    SendSpec,
    SlotsChanged,
    Start,
    StepBegan,
    TaskEnded,
)
from langgraph_alto.core.order import StepOrder
from langgraph_alto.core.outlook import gains
from langgraph_alto.core.scheduler import Scheduler
from langgraph_alto.core.spec import GraphSpec
from langgraph_alto.options import Options
from langgraph_alto.report import Span

_UNKNOWN_NODE = Verdict(
    rank=Rank.HELD,
    reason="unknown node",
    detail="LangGraph ignores a Send to a node that the graph does not have",
    unlock=None,
    may_interrupt=False,
    needs_identity=False,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What an accelerated graph carries along.

    `path` leads to it from the graph that was accelerated: the nodes that hold it. None, under
    `install`, where only a run tells in which node a graph is called. `tracer_provider`: who
    makes its traces; None: the global one. `executor`: what they say.
    """

    options: Options
    name: str | None = None
    path: tuple[str, ...] | None = None
    tracer_provider: object | None = None
    executor: str = "alto"


class Run(Bodies):
    """The run-ahead side of one loop (a run, or a subgraph's run within it)."""

    use_astream = False

    def __init__(
        self, loop: Any, settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.loop = loop
        self.settings = settings
        self.clock = clock
        self.lock = threading.RLock()
        self.eager = settings.options.emit == "eager"
        self.reservation = Reservation()
        self.policy = run_policy(loop, settings.options)
        self.observing: Observing | None = observing(self, settings, loop.began_ns, self.policy.off)
        self.report, self._owns_report = open_report(loop, settings.name, self.policy.off)
        self.recording = reports.is_recording()
        self.report_zero = self.clock()
        self.scheduler: Scheduler | None = None
        self.aheads: dict[int, AheadTask] = {}
        self.order: StepOrder | None = None
        self.context: Context | None = None
        self.is_closed = False
        self.partials = partials_of(self, lambda: self._facts()[0])
        self._is_quiet = (
            self.policy.off is not None
            and not self.recording
            and self.partials is None
            and self.observing is None
        )
        self._may_be_alone = not self.recording and self.partials is None
        self.is_alone = False
        """Whether nothing can run ahead in this step: it has one task, which does not stream."""
        self._step_told = False
        self._in_step = False
        self._plain: dict[str, bool] = {}
        """Which nodes have nothing beside them when they are the only task."""
        self._ended: dict[str, Sequence[tuple[str, Any]]] = {}
        self._told: set[str] = set()
        self._spec: GraphSpec | None = None
        self._verdicts: Mapping[str, Verdict] | None = None
        self._foresight: ChannelForesight | None = None
        self._edges_gain: bool | None = None
        self._follows_partials = settings.options.run_ahead in ("streamed", "speculative")
        self.speculates = settings.options.run_ahead == "speculative"
        self._spans: dict[str, Span] = {}
        self._step_zero = 0.0
        self._adopted_by_task: dict[str, AheadTask] = {}

    # What LangGraph's loop tells -----------------------------------------------------------

    def began_step(self) -> None:
        """LangGraph prepared the tasks of the next step."""
        tasks: dict[str, PregelExecutableTask] = self.loop.tasks
        if self._is_quiet:
            return
        self._in_step = True
        self.is_alone = len(tasks) == 1 and self._is_alone(tasks)
        if self.is_alone:
            self._tell_observer()
        else:
            self._begin_step(tasks)

    def _is_alone(self, tasks: dict[str, PregelExecutableTask]) -> bool:
        (task,) = tasks.values()
        is_plain = self._plain.get(task.name)
        if is_plain is None:
            is_plain = self._plain[task.name] = self._may_be_alone and not self._streams(tasks)
        return is_plain and self.is_idle and chaos.active is None

    def _begin_step(self, tasks: dict[str, PregelExecutableTask]) -> None:
        """A step in which something may run ahead, or is watched."""
        self.context = copy_context()
        with self.lock:
            self._step_told = False
            self._edges_gain = None
            self._ended = {}
            self._forget_adopted()
            self.order = None
            self._step_zero = self.clock()
            restored = [t for t in tasks.values() if t.writes]
            for task in restored:
                self._ended[task.id] = task.writes
            if self._foresight is not None:
                self._foresight.is_open = True
            self._spans = {}
            if (
                self.policy.off is None
                and self.scheduler is not None
                and not self.scheduler.is_idle
            ):
                self.order = None if self.eager else StepOrder(tasks)
                self._tell_step()
                self._begin_order(tasks)
            if self.recording:
                self._note_tasks(tasks)
            if self.partials is not None:
                self._tell_partials(self.partials, restored)
            self._follow_producers(tasks)
            self._tell_observer()
            if self.policy.off is not None:
                return
            if chaos.active is not None:
                chaos.active.hold_back(self)
        for task in restored:
            self._restored(task)
        if self.order is not None:
            self.pump()

    def _forget_adopted(self) -> None:
        for adopted in self._adopted_by_task.values():
            self.aheads.pop(adopted.key, None)
            adopted.cut()
        self._adopted_by_task = {}

    def _tell_observer(self) -> None:
        if self.observing is not None:
            self.observing.step_began(self._adopted_by_task)

    def _tell_partials(self, partials: Partials, restored: list[PregelExecutableTask]) -> None:
        partials.step_began(self._adopted_by_task)
        for task in restored:
            partials.task_ended(task.id, *self._read_writes(task.writes), task.writes)

    def step_over(self) -> None:
        """LangGraph is about to commit the step: its channels change from now on."""
        if self.observing is not None:
            self.observing.step_over()
        if self.partials is not None:
            self.partials.step_over()
        if self._foresight is not None:
            with self.lock:
                self._foresight.is_open = False

    def task_ended(self, task_id: str, writes: Sequence[tuple[str, Any]]) -> None:
        """A task's writes are final, and LangGraph is about to commit them."""
        if not self._in_step or self.is_closed:
            return
        end, sends = self._read_writes(writes)
        if self.partials is not None:
            self.partials.gave_sends(task_id, sends)
        may_go_on = self._note_ended(task_id, end, sends, writes)
        if self.partials is not None:
            self.partials.task_ended(task_id, end, sends, writes)
        if may_go_on and (
            end is not End.FAILED
            or any(c == names.ERROR and names.is_invalid_resume(v) for c, v in writes)
        ):
            # After a failure LangGraph cuts the other tasks off: what they would have handed
            # out later must not slip through before that.
            self.pump()

    def _note_ended(
        self,
        task_id: str,
        end: End,
        sends: tuple[SendSpec, ...],
        writes: Sequence[tuple[str, Any]],
    ) -> bool:
        """A task ended; returns whether others may have their turn because of that."""
        if not (sends or self._step_told or self.recording or self.order is not None):
            self._ended[task_id] = writes
            # Another thread may tell of the step meanwhile, with this task or without it.
            if not self._step_told and (end is not End.FINISHED or not self._follows_edges()):
                return False
        with self.lock:
            self._ended[task_id] = writes
            span = self._spans.get(task_id) if self.recording else None
            if span is not None and span.ended is None:
                span.ended = self.clock() - self.report_zero
            if self.policy.off is not None:
                return False
            if self.order is not None:
                self.order.ended(task_id)
                self.committed(task_id, end)
            self._tell_ended(task_id, end, sends, writes)
        return True

    def body_over(self, task_id: str, writes: Sequence[tuple[str, Any]]) -> None:
        """For `chaos`: a body is over, and its end is kept back from LangGraph for a while."""
        end, sends = self._read_writes(writes)
        with self.lock:
            if self.is_closed or self.policy.off is not None:
                return
            self._ended[task_id] = writes
            if self.partials is not None:
                self.partials.gave_sends(task_id, sends)
            if self.order is not None:
                self.order.stop_aging(task_id, self.clock())
            self._tell_ended(task_id, end, sends, writes)

    def _restored(self, task: PregelExecutableTask) -> None:
        """A task that does not run: a cache or a checkpoint had its writes."""
        with self.lock:
            if self.recording and (span := self._spans.get(task.id)) is not None:
                span.ended = self.clock() - self.report_zero
            if self.policy.off is None:
                end, sends = self._read_writes(task.writes)
                self._tell_ended(task.id, end, sends, task.writes)

    def _tell_ended(
        self,
        task_id: str,
        end: End,
        sends: tuple[SendSpec, ...],
        writes: Sequence[tuple[str, Any]],
    ) -> None:
        """Tell the scheduler that a task ended, if anything can come of it. The lock is held."""
        if self._step_told:
            if task_id not in self._told:  # `chaos` may have told it before LangGraph did
                self._told.add(task_id)
                self._carry_out(self._handle(TaskEnded(task_id, end, sends, tuple(writes))))
            return
        is_last = len(self._ended) >= len(self.loop.tasks)
        nothing_to_overlap = (is_last or end is not End.FINISHED) and chaos.active is None
        if not nothing_to_overlap and (sends or self._follows_edges()):
            self._tell_step()

    def _follows_edges(self) -> bool:
        """Whether something may start early along the edges of this step's tasks."""
        if self._edges_gain is None:
            spec, verdicts = self._facts()
            running = Counter(t.name for t in self.loop.tasks.values())
            # A record counts what is held, so there the step is told even if nothing else is.
            held = (
                set[str]()
                if self.recording
                else {name for name, verdict in verdicts.items() if verdict.rank is Rank.HELD}
            )
            self._edges_gain = chaos.active is not None or gains(spec, running, held)
        return self._edges_gain

    def _facts(self) -> tuple[GraphSpec, Mapping[str, Verdict]]:
        """What is known of the graph; read off it once, at the first step with several tasks."""
        if self._spec is None or self._verdicts is None:
            options, path = self.settings.options, self.settings.path
            self._verdicts = verdicts_of(self.loop, options, path)
            self._spec = spec_of_loop(self.loop, options, path)
            self._foresight = ChannelForesight(self.loop, self._spec)
            self._foresight.is_open = self._in_step
        return self._spec, self._verdicts

    def level_key(self, node: str, target: str) -> str | None:
        """The key of the state that a node's `Send`s to another one are made of, if known."""
        level = levels_of(self.loop.nodes, self._facts()[0]).opened_by(node, target)
        return level.key if level is not None and level.is_key_known else None

    @property
    def asks_routers(self) -> bool:
        """Whether routers are asked about what generator nodes have yielded."""
        return self._follows_partials and self.policy.off is None

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs ahead and nothing was adopted in this step."""
        return not self._adopted_by_task and (self.scheduler is None or self.scheduler.is_idle)

    def _read_writes(self, writes: Sequence[tuple[str, Any]]) -> tuple[End, tuple[SendSpec, ...]]:
        end = End.FINISHED
        sends: list[SendSpec] = []
        for channel, value in writes:
            if channel == names.TASKS:
                if isinstance(value, Send):
                    sends.append(SendSpec(value.node, value.arg, value))
            elif channel == names.ERROR:
                end = End.FAILED if end is End.FINISHED else end
            elif channel == names.ERROR_SOURCE_NODE:
                end = End.HANDLED
            elif channel == names.INTERRUPT:
                end = End.INTERRUPTED
        return end, tuple(sends)

    # The scheduler -------------------------------------------------------------------------

    def _tell_step(self) -> None:
        """Tell the scheduler of this step; adopt what ran ahead of it. The lock is held."""
        self._step_told = True
        tasks: dict[str, PregelExecutableTask] = self.loop.tasks
        if self.scheduler is None:
            spec, verdicts = self._facts()
            self.scheduler = Scheduler(
                self.policy,
                verdicts,
                default=_UNKNOWN_NODE,
                same=same_value,
                may_start=self.may_start,
                spec=spec,
                foresight=self._foresight,
            )
        event = StepBegan(
            self.loop.step,
            tuple(
                RealTask(
                    key=t.id,
                    node=t.name,
                    order=names.writes_sort_key(names.task_path_str(t.path)),
                    push=t.path[0] == names.PUSH and t.path[-1] is False and len(t.path) == 3,
                    arg=t.input,
                    done=t.id in self._ended,
                    pull=t.path[0] == names.PULL,
                )
                for t in tasks.values()
            ),
        )
        self._carry_out(self._handle(event))
        ended = dict(self._ended)
        self._told = set(ended)
        for task_id, writes in ended.items():
            end, sends = self._read_writes(writes)
            self._carry_out(self._handle(TaskEnded(task_id, end, sends, tuple(writes))))

    def _handle(self, event: Event) -> list[Command]:
        assert self.scheduler is not None
        commands = self.scheduler.handle(event, self.clock())
        return commands

    def send_event(self, event: Event) -> None:
        """Tell the scheduler something and carry out what follows."""
        with self.lock:
            if self.is_closed or self.scheduler is None:
                return
            self._carry_out(self._handle(event))

    def _carry_out(self, commands: list[Command]) -> None:
        """In the order in which they were decided, so before the lock is given back."""
        for command in commands:
            match command:
                case Start():
                    self._start(command)
                case Adopt():
                    self._adopt(command)
                case Discard():
                    self._discard(command)
                case OpenGate():
                    self._open_gate(command)
                case Mistrust():
                    self._mistrust(command)

    def may_start(self) -> bool:
        """Whether a permit is free and nobody asked the run to drain."""
        control = self.loop.control
        if control is not None and control.drain_requested:
            return False
        limit = self.loop.config.get("max_concurrency")
        if not limit or self.scheduler is None:
            return True
        real = len(self.loop.tasks) - len(self._ended)
        return min(real, limit) + self.scheduler.in_flight < limit and self.has_permit()

    # For `chaos` ---------------------------------------------------------------------------

    @property
    def adopted_tasks(self) -> frozenset[str]:
        """The ids of the real tasks of this step whose bodies ran, or run, ahead."""
        return frozenset(self._adopted_by_task)

    def is_working_ahead(self) -> bool:
        """Whether a body runs that is not real yet and does not wait for that."""
        with self.lock:
            return any(
                a.end is None and a.adopted is None and a.paused_at is None
                for a in self.aheads.values()
            )

    # Ending --------------------------------------------------------------------------------

    def end(self) -> None:
        """LangGraph ends the run: retract what is ahead. Adopted bodies end as real ones do."""
        with self.lock:
            if self.is_closed:
                return
            if self.scheduler is not None:
                self._carry_out(self._handle(RunEnded()))
            self.is_closed = True
        if self.partials is not None:
            self.partials.closed()

    def forget(self) -> None:
        """Drop every reference, so that neither a graph nor a result outlives its run."""
        with self.lock:
            unused = self._note_unused()
            if self.observing is not None:
                counts = None if self.scheduler is None else self.scheduler.statistics.counts
                self.observing.ended(counts, unused, self.report.abandoned)
                self.observing = None
            if self.scheduler is not None:
                total = self.scheduler.statistics
                self.report.started += total.started
                self.report.adopted += total.adopted - unused
                self.report.discarded += total.discarded + unused
                self.report.rerun += total.rerun
                self.report.held.update(total.held)
            for ahead in (*self.aheads.values(), *self._adopted_by_task.values()):
                ahead.cut()
            self.aheads.clear()
            self._adopted_by_task.clear()
            self._spans.clear()
            self._ended = {}
            self._foresight = None
            self.order = None
            self.context = None
            self.scheduler = None
            self.partials = None
        if self._owns_report:
            close_report(self.loop, self.report, self.clock() - self.report_zero)
        # The loop holds its tasks, and adopted ones lead back to this run: no cycle may remain.
        # A body that still runs, in a thread, finds the run closed before it looks for the loop.
        self.loop = None

    # The timeline --------------------------------------------------------------------------

    def _note_unused(self) -> int:
        """Count adopted bodies whose real task LangGraph never began: a sibling failed, or the
        run was cancelled, while it waited for a permit. Without run-ahead they had not begun."""
        unused = [ahead for ahead in self._adopted_by_task.values() if not ahead.is_used]
        reason = "the run ended before its real task began"
        for ahead in unused:
            if ahead.span is not None:
                ahead.span.outcome, ahead.span.reason = "discarded", reason
            if self.observing is not None:
                self.observing.dropped(ahead, "discarded", reason)
        return len(unused)

    def _note_tasks(self, tasks: dict[str, PregelExecutableTask]) -> None:
        for task_id, task in tasks.items():
            if task_id not in self._ended and task_id not in self._adopted_by_task:
                self._spans[task_id] = self._note(task.name, self.loop.step)

    def step_timeout(self, timeout: float) -> None:
        """LangGraph's runner told the time limit of a step.

        It counts from the step's beginning, so a body that began earlier could pass where
        LangGraph's would not: no run-ahead under such a limit.
        """
        if self.policy.off is None:
            self.policy = replace(self.policy, off="step_timeout")
            self.report.accelerated = False
            self.report.fallbacks.append("step_timeout")

    def slots_changed(self) -> None:
        """A permit came free."""
        if self.scheduler is not None and not self.scheduler.is_idle:
            self.send_event(SlotsChanged())
