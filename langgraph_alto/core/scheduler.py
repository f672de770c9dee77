"""The run-ahead state machine: out-of-order start, in-order commit.

Rules
-----
1. LangGraph's loop alone commits. The scheduler only decides which bodies begin before their
   step, and which of them a real task may take over.
2. A task is *certain* when a finished task has written its `Send`: node and argument can't
   change any more. (A failed, interrupted or cancelled step commits nothing: then everything
   beyond it is discarded.)
3. A run-ahead task becomes real only if LangGraph prepares a task for the same node with the
   same argument: adopted. What no real task matches when its step begins is discarded,
   together with everything that descends from it.
4. Nothing starts past a stop: the recursion limit, a breakpoint, a drain, a failed or
   interrupted task in an earlier step.
5. Run-ahead is bounded: at most `max_ahead` tasks that began and are not yet adopted; nearer
   steps go first.

States of a run-ahead task
--------------------------
    WAITING    may start, has no slot yet (or waits for its identity, or for a sibling
               that may still interrupt)
    HELD       never starts before its real task
    RUNNING    its body runs
    ENDED      its body ended, finished, failed or interrupted; the result is kept
    GAVE_UP    its body needed what only the real task has; the real task runs it again
    ADOPTED    a real task took it over
    DISCARDED  retracted

Transitions are listed in `TRANSITIONS`; another one raises `IllegalTransition` with the
task's history. The shape (one mutator, events in, commands out, invariants as code) follows
distributed's `worker_state_machine.py`.
"""

from __future__ import annotations

import enum
import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import assert_never

from langgraph_alto.core.effects import Rank, Verdict
from langgraph_alto.core.events import (
    Adopt,
    AheadEnded,
    AheadRejected,
    Command,
    Discard,
    End,
    Event,
    RealTask,
    RunEnded,
    SendSpec,
    SlotsChanged,
    Start,
    StepBegan,
    TaskEnded,
)


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
    State.WAITING: frozenset({State.RUNNING, State.DISCARDED}),
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
    """A task that was started, or waits to be, before its step."""

    key: int
    step: int
    send: SendSpec
    parent: str | int
    position: int
    state: State | None = None
    reason: str | None = None
    end: End | None = None
    children: list[int] = field(default_factory=list)
    send_count: int | None = None
    history: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Real:
    task: RealTask
    ended: bool
    send_count: int = 0
    adopted: int | None = None


@dataclass(slots=True)
class Statistics:
    """Counters of one run; `held` counts `Send`s that did not start early, by reason."""

    started: int = 0
    adopted: int = 0
    discarded: int = 0
    rerun: int = 0
    held: Counter[str] = field(default_factory=Counter)


_DEFAULT_VERDICT = Verdict(
    rank=Rank.FREE, reason="", detail="", unlock=None, may_interrupt=False, needs_identity=False
)


class Scheduler:
    """Decides which `Send`s start early. Not thread-safe: the driver holds a lock.

    Args:
        policy: What the run allows.
        verdicts: What each node may do (`core.effects.judge`).
        default: The verdict on a node that `verdicts` does not name.
        same: Whether two `Send` arguments are equal; asked only if they are not identical.
        may_start: Asked before each start: is there a free permit, and no drain requested?
            It is a fact about the outside, so it is handed in.

    Example:
        >>> s = Scheduler(RunPolicy(), {})
        >>> a, b = RealTask("a", "plan", (0,)), RealTask("b", "slow", (1,))
        >>> s.handle(StepBegan(1, (a, b)), 0.0)
        []
        >>> s.handle(TaskEnded("a", End.FINISHED, (SendSpec("work", {"i": 0}),)), 0.5)
        [Start(ahead=1, step=2, send=SendSpec(node='work', arg={'i': 0}, packet=None))]
    """

    def __init__(
        self,
        policy: RunPolicy,
        verdicts: Mapping[str, Verdict],
        *,
        default: Verdict = _DEFAULT_VERDICT,
        same: Callable[[object, object], bool] | None = None,
        may_start: Callable[[], bool] | None = None,
    ) -> None:
        self.policy = policy
        self.verdicts = verdicts
        self.default = default
        self.statistics = Statistics()
        self.step = -1
        self.aheads: dict[int, Ahead] = {}
        self._same = same
        self._may_start = may_start
        self._real: dict[str, _Real] = {}
        self._unfinished = 0
        self._order_known = True
        self._stopped: str | None = None
        self._failed: dict[int, int] = {}  # the step of each task that failed ahead, by its key
        self._waiting: list[tuple[int, int]] = []
        self._in_flight = 0
        self._next_key = 0
        self._graph_may_interrupt = any(v.may_interrupt for v in verdicts.values())

    # The one mutator -----------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take one event, return what is to be done about it. `now` is in seconds."""
        commands: list[Command] = []
        match event:
            case StepBegan():
                self._handle_step_began(event, commands)
            case TaskEnded():
                self._handle_task_ended(event, commands)
            case AheadEnded():
                self._handle_ahead_ended(event, commands)
            case AheadRejected():
                self._handle_rejected(event, commands)
            case SlotsChanged():
                pass
            case RunEnded():
                self._stop("the run ended", commands)
            case _:
                assert_never(event)
        self._fill_slots(commands, now)
        return commands

    # Events --------------------------------------------------------------------------------

    def _handle_step_began(self, event: StepBegan, commands: list[Command]) -> None:
        due = self._due(event.step)
        was_full = self._in_flight >= self.policy.max_ahead
        self.step = event.step
        self._real = {t.key: _Real(t, t.done, t.send_count) for t in event.tasks}
        self._unfinished = sum(not t.done for t in event.tasks)
        self._order_known = True
        self._stopped = None  # LangGraph goes on, so whatever stopped us was no end
        if not due:
            return
        for real, ahead in self._match(event.tasks, due):
            self._take_over(real, ahead, was_full, commands)
        for ahead in due:
            if ahead.state not in (State.ADOPTED, State.DISCARDED):
                self._discard(ahead, "no such task in its step", commands)

    def _due(self, step: int) -> list[Ahead]:
        """The tasks whose step begins, in LangGraph's order of their `Send`s.

        Adopted tasks of the step that is over are dropped: some end without a word (failed,
        handled).
        """
        for key in [a.key for a in self.aheads.values() if a.state is State.ADOPTED]:
            self._drop_adopted(key)
        due = [a for a in self.aheads.values() if a.step <= step]
        if len(due) > 1:
            order: dict[str | int, tuple[str | int, ...]] = {}
            for task_key, real in self._real.items():
                order[task_key] = real.task.order
                if real.adopted is not None:
                    order[real.adopted] = real.task.order
            due.sort(key=lambda a: (a.parent not in order, order.get(a.parent, ()), a.position))
        return due

    def _drop_adopted(self, key: int) -> Ahead | None:
        self._failed.pop(key, None)
        return self.aheads.pop(key, None)

    def _handle_task_ended(self, event: TaskEnded, commands: list[Command]) -> None:
        real = self._real.get(event.key)
        if real is None:
            # A task that joined in mid-step (an error handler, a @task call): its place
            # among the tasks of the step is unknown, and with it the index of later Sends.
            self._order_known = False
        elif not real.ended:
            real.ended = True
            real.send_count = len(event.sends)
            self._unfinished -= 1
        adopted = None
        if real is not None and real.adopted is not None:
            adopted = self._drop_adopted(real.adopted)
        if event.end in (End.FAILED, End.INTERRUPTED):
            if real is None:
                return  # a @task call: its caller decides what the error means
            self._stop(f"a task {event.end.value} in step {self.step}", commands)
            return
        if event.end is End.HANDLED:
            self._order_known = False
            return
        if adopted is not None and adopted.send_count is not None:
            return  # its Sends were seen when its body ended
        for position, send in enumerate(event.sends):
            self._add(send, event.key, position, self.step + 1)

    def _handle_ahead_ended(self, event: AheadEnded, commands: list[Command]) -> None:
        ahead = self.aheads.get(event.ahead)
        if ahead is None or ahead.state is State.DISCARDED:
            return
        ahead.end = event.end
        if event.end is End.GAVE_UP:
            self._in_flight -= 1
            self._move(ahead, State.GAVE_UP)
            return
        if ahead.state is not State.ADOPTED:
            self._move(ahead, State.ENDED)
        if event.end is not End.FINISHED:
            # Its step will fail or stop there, so nothing begins beyond it.
            self._failed[ahead.key] = ahead.step
            return
        ahead.send_count = len(event.sends)
        for position, send in enumerate(event.sends):
            ahead.children.append(self._add(send, ahead.key, position, ahead.step + 1))

    def _handle_rejected(self, event: AheadRejected, commands: list[Command]) -> None:
        ahead = self.aheads.get(event.ahead)
        if ahead is None or ahead.state is not State.ADOPTED:
            return
        for real in self._real.values():
            if real.adopted == ahead.key:
                real.adopted = None
        self.statistics.adopted -= 1
        if event.began:
            self.statistics.rerun += 1
        else:
            self.statistics.started -= 1
        self._discard(ahead, event.reason, commands)

    # Matching ------------------------------------------------------------------------------

    def _match(self, tasks: tuple[RealTask, ...], due: list[Ahead]) -> list[tuple[RealTask, Ahead]]:
        """Pair real tasks with run-ahead tasks: the same argument object, else an equal one.

        Both come in LangGraph's order, so that of several alike each finds its own.
        """
        by_identity: dict[tuple[str, int], list[Ahead]] = {}
        for ahead in reversed(due):
            by_identity.setdefault((ahead.send.node, id(ahead.send.arg)), []).append(ahead)
        pairs: list[tuple[RealTask, Ahead]] = []
        unmatched: list[RealTask] = []
        for task in tasks:
            if task.push and not task.done:
                if found := by_identity.get((task.node, id(task.arg))):
                    pairs.append((task, found.pop()))
                else:
                    unmatched.append(task)
        if unmatched and self._same is not None:
            paired = {ahead.key for _, ahead in pairs}
            left = [a for a in due if a.key not in paired]
            for task in unmatched:
                for ahead in left:
                    if ahead.send.node == task.node and self._same(ahead.send.arg, task.arg):
                        left.remove(ahead)
                        pairs.append((task, ahead))
                        break
        return pairs

    def _take_over(
        self, task: RealTask, ahead: Ahead, was_full: bool, commands: list[Command]
    ) -> None:
        if ahead.state in (State.RUNNING, State.ENDED):
            self._move(ahead, State.ADOPTED)
            self._in_flight -= 1
            self._real[task.key].adopted = ahead.key
            self.statistics.adopted += 1
            commands.append(Adopt(ahead.key, task.key))
            return
        if ahead.state is State.GAVE_UP:
            self.statistics.rerun += 1
        elif ahead.state is State.WAITING:
            # Without a reason it was written when nothing was left to overlap with.
            reason = ahead.reason or ("max_ahead" if was_full else None)
            self.statistics.held.update([reason] if reason else [])
        self._forget(ahead)

    # Starting ------------------------------------------------------------------------------

    def _add(self, send: SendSpec, parent: str | int, position: int, step: int) -> int:
        self._next_key += 1
        ahead = Ahead(self._next_key, step, send, parent, position)
        self.aheads[ahead.key] = ahead
        if reason := self._held(ahead):
            self.statistics.held[reason] += 1
            ahead.reason = reason
            self._move(ahead, State.HELD)
        else:
            self._move(ahead, State.WAITING)
            heapq.heappush(self._waiting, (step, ahead.key))
        return ahead.key

    def _held(self, ahead: Ahead) -> str | None:
        """Why this task can't start early, whatever happens before its step."""
        verdict = self.verdicts.get(ahead.send.node, self.default)
        if self.policy.off is not None:
            return self.policy.off
        if verdict.rank is Rank.HELD:
            return verdict.reason
        if ahead.step > self.policy.last_step:
            return "recursion limit"
        if self.policy.proven_only and verdict.rank is not Rank.PROVEN:
            return 'durability="sync"'
        if self.policy.resumable and verdict.needs_identity:
            # Its checkpoints would stay in the checkpointer if it were discarded.
            return "subgraph or task with a checkpointer"
        return None

    def _not_yet(self, ahead: Ahead) -> str | None:
        """Why this task can't start right now."""
        verdict = self.verdicts.get(ahead.send.node, self.default)
        if any(ahead.step > failed for failed in self._failed.values()):
            return "an earlier task failed"
        if (
            self.policy.resumable
            and verdict.rank is not Rank.PROVEN
            and self._may_be_interrupted_before(ahead.step)
        ):
            return "an earlier task may interrupt"
        if verdict.needs_identity and self.index_of(ahead.key) is None:
            return "needs its task id"
        return None

    def _may_be_interrupted_before(self, step: int) -> bool:
        if not self._graph_may_interrupt:
            return False
        if step > self.step + 1:
            return True  # which tasks that step will have is not known yet
        return any(
            not real.ended and self.verdicts.get(real.task.node, self.default).may_interrupt
            for real in self._real.values()
        )

    def _fill_slots(self, commands: list[Command], now: float) -> None:
        if not self._waiting or self._stopped is not None:
            return
        if self._unfinished == 0 and not self.policy.start_at_step_end:
            return
        later: list[tuple[int, int]] = []
        while self._waiting and self._in_flight < self.policy.max_ahead:
            step, key = heapq.heappop(self._waiting)
            ahead = self.aheads.get(key)
            if ahead is None or ahead.state is not State.WAITING:
                continue
            ahead.reason = self._not_yet(ahead)
            if ahead.reason is not None:
                later.append((step, key))
                continue
            if self._may_start is not None and not self._may_start():
                ahead.reason = "max_concurrency"
                later.append((step, key))
                break
            self._move(ahead, State.RUNNING)
            self._in_flight += 1
            self.statistics.started += 1
            commands.append(Start(key, step, ahead.send))
        for item in later:
            heapq.heappush(self._waiting, item)

    # Stopping ------------------------------------------------------------------------------

    def _stop(self, reason: str, commands: list[Command]) -> None:
        """Nothing starts any more, and nothing that is not real yet will become so."""
        self._stopped = self._stopped or reason
        for ahead in list(self.aheads.values()):
            if ahead.state is not State.ADOPTED:
                self._discard(ahead, reason, commands)
        self._waiting.clear()

    def _discard(self, ahead: Ahead, reason: str, commands: list[Command]) -> None:
        """Retract a task and everything that descends from it."""
        doomed = [ahead]
        while doomed:
            current = doomed.pop()
            if current.state in (State.RUNNING, State.ENDED):
                self._in_flight -= 1
                self.statistics.discarded += 1
                commands.append(Discard(current.key, reason))
            elif current.state is State.GAVE_UP:
                self.statistics.discarded += 1
            elif current.state is State.ADOPTED:
                commands.append(Discard(current.key, reason))
            doomed.extend(self.aheads[c] for c in current.children if c in self.aheads)
            self._forget(current)

    def _forget(self, ahead: Ahead) -> None:
        if ahead.state is not State.DISCARDED:
            self._move(ahead, State.DISCARDED)
        self.aheads.pop(ahead.key, None)
        self._failed.pop(ahead.key, None)

    # Queries -------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no task is ahead, so that a step needs no attention."""
        return not self.aheads

    @property
    def unfinished(self) -> int:
        """How many real tasks of the current step have not ended."""
        return self._unfinished

    @property
    def in_flight(self) -> int:
        """How many tasks began ahead and are not adopted yet."""
        return self._in_flight

    def index_of(self, key: int) -> int | None:
        """The task's index among all `Send`s of its step, or None while it may change.

        LangGraph numbers the `Send`s of a step by the order of the tasks that wrote them, so
        the number is known once every earlier task of the step has ended.
        """
        ahead = self.aheads.get(key)
        if (
            ahead is None
            or ahead.step != self.step + 1
            or not self._order_known
            or self._stopped is not None
        ):
            return None
        writer = self._writer(ahead)
        if writer is None:
            return None
        before = 0
        for real in self._real.values():
            if real.task.order < writer.task.order:
                if not real.ended:
                    return None
                before += real.send_count
        return before + ahead.position

    def _writer(self, ahead: Ahead) -> _Real | None:
        """The real task of the current step that wrote this Send."""
        if isinstance(ahead.parent, str):
            return self._real.get(ahead.parent)
        for real in self._real.values():
            if real.adopted == ahead.parent:
                return real
        return None

    # Transitions ---------------------------------------------------------------------------

    def _move(self, ahead: Ahead, to: State) -> None:
        if to not in TRANSITIONS[ahead.state]:
            story = " -> ".join([*ahead.history, to.value])
            raise IllegalTransition(
                f"Task {ahead.key} ({ahead.send.node!r}, step {ahead.step}) can't go from "
                f"{ahead.state} to {to}. Its story: {story}. This is a bug in langgraph_alto."
            )
        ahead.state = to
        ahead.history.append(to.value)
