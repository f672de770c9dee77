"""The run-ahead state machine: out-of-order start, in-order commit.

Rules
-----
1. LangGraph's loop alone commits. The scheduler only decides which bodies begin before their
   step, and which of them a real task may take over.
2. A task is *certain* when a finished task has written its `Send`, or triggers its node and no
   task that may still run before its step can write what the node reads (`outlook`). Node and
   input can't change any more then. (A failed, interrupted or cancelled step commits nothing:
   everything beyond it is discarded.)
3. A task is *streamed* when a task that still runs has yielded what its `Send` is made of. When
   that task ends, each such `Send` must be among those that it wrote, else it is retracted.
4. A run-ahead task becomes real only if LangGraph prepares a task for the same node with the
   same input: adopted. What no real task matches when its step begins is discarded, together
   with everything that descends from it.
5. Nothing starts past a stop: the recursion limit, a breakpoint, a drain, a failed or
   interrupted task in an earlier step.
6. Run-ahead is bounded: at most `max_ahead` tasks that began and are not yet adopted; nearer
   steps go first.

States of a run-ahead task
--------------------------
    WAITING    may start, has no slot yet (or waits for its input or identity to be settled, or
               for a sibling that may still interrupt)
    HELD       never starts before its real task
    RUNNING    its body runs
    ENDED      its body ended, finished, failed or interrupted; the result is kept
    GAVE_UP    its body needed what only the real task has; the real task runs it again
    ADOPTED    a real task took it over
    DISCARDED  retracted

A router (conditional edge) reads the state after its node: a body that has one waits at a gate,
while RUNNING, until what the router reads is settled (`OpenGate`) or the task is real.

Transitions are listed in `TRANSITIONS`; another one raises `IllegalTransition` with the
task's history. The shape (one mutator, events in, commands out, invariants as code) follows
distributed's `worker_state_machine.py`.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, assert_never

from langgraph_alto.core.effects import Rank, Verdict
from langgraph_alto.core.events import (
    Adopt,
    AheadEnded,
    AheadRejected,
    Command,
    Discard,
    End,
    Event,
    GateReached,
    Mistrust,
    OpenGate,
    PartialOutput,
    RealTask,
    RunEnded,
    SendSpec,
    SlotsChanged,
    Start,
    StepBegan,
    TaskEnded,
    Write,
)
from langgraph_alto.core.matching import pair_pulls, pair_sends
from langgraph_alto.core.outlook import Outlook, fills_at, in_order, reads_of
from langgraph_alto.core.spec import GraphSpec, Names
from langgraph_alto.core.tasks import TRANSITIONS, Ahead, Real, RunPolicy, State, Statistics

History = Sequence[Sequence[Write]]
"""What the tasks of each step wrote, from the current step on, in LangGraph's order."""


class IllegalTransition(RuntimeError):
    """A bug in the scheduler or its driver. Please report it with this message."""


class Foresight(Protocol):
    """What only the channels of the graph can tell."""

    def join(self, channel: str) -> tuple[Names, Names]:
        """The parts that a join waits for, and those that had come when the step began."""

    def input(self, node: str, history: History) -> SendSpec | None:
        """What LangGraph will hand to an edge's task, or None if that can't be foretold."""

    def state(self, channels: Names, history: History) -> object | None:
        """What a router will find in these channels, or None if that can't be foretold."""

    def same(self, node: str, foretold: object, real: object) -> bool:
        """Whether a task's real input is the one that was foretold."""


_DEFAULT_VERDICT = Verdict(
    rank=Rank.FREE, reason="", detail="", unlock=None, may_interrupt=False, needs_identity=False
)


class Scheduler:
    """Decides which tasks start early. Not thread-safe: the driver holds a lock.

    Args:
        policy: What the run allows.
        verdicts: What each node may do (`core.effects.judge`).
        default: The verdict on a node that `verdicts` does not name.
        same: Whether two `Send` arguments are equal; asked only if they are not identical.
        may_start: Asked before each start: is there a free permit, and no drain requested?
            It is a fact about the outside, so it is handed in.
        spec: What is known of the graph. Without it, and without `foresight`, only `Send`s
            start early.
        foresight: Works out what channels will hold.

    Example:
        >>> s = Scheduler(RunPolicy(), {})
        >>> a, b = RealTask("a", "plan", (0,)), RealTask("b", "slow", (1,))
        >>> s.handle(StepBegan(1, (a, b)), 0.0)
        []
        >>> s.handle(TaskEnded("a", End.FINISHED, (SendSpec("work", {"i": 0}),)), 0.5)
        [Start(ahead=1, step=2, send=SendSpec(node='work', arg={'i': 0}, packet=None), pull=False)]
    """

    def __init__(
        self,
        policy: RunPolicy,
        verdicts: Mapping[str, Verdict],
        *,
        default: Verdict = _DEFAULT_VERDICT,
        same: Callable[[object, object], bool] | None = None,
        may_start: Callable[[], bool] | None = None,
        spec: GraphSpec | None = None,
        foresight: Foresight | None = None,
    ) -> None:
        self.policy = policy
        self.verdicts = verdicts
        self.default = default
        self.statistics = Statistics()
        self.step = -1
        self.aheads: dict[int, Ahead] = {}
        self.outlook = Outlook(spec if spec is not None else GraphSpec("", {}))
        self._foresight = foresight
        self._same = same
        self._may_start = may_start
        self._real: dict[str, Real] = {}
        self._real_of: dict[int, str] = {}  # the real task of each adopted one
        self._pulls: dict[tuple[int, str], int] = {}
        self._gated: dict[int, Names] = {}
        self._partials: dict[str | int, list[Ahead]] = {}  # by the task that still writes
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
            case PartialOutput():
                self._handle_partial_output(event, commands)
            case GateReached():
                if (ahead := self.aheads.get(event.ahead)) and ahead.state is State.RUNNING:
                    self._gated[event.ahead] = event.reads
            case AheadRejected():
                self._handle_rejected(event, commands)
            case SlotsChanged():
                pass
            case RunEnded():
                self._stop("the run ended", commands)
            case _:
                assert_never(event)
        self._fill_slots(commands)
        return commands

    # Events --------------------------------------------------------------------------------

    def _handle_step_began(self, event: StepBegan, commands: list[Command]) -> None:
        due = self._due(event.step)
        was_full = self._in_flight >= self.policy.max_ahead
        self.step = event.step
        self._real = {t.key: Real(t) for t in event.tasks}
        self._real_of = {}
        self._partials = {k: v for k, v in self._partials.items() if k in self.aheads}
        self._unfinished = len(self._real)
        self._order_known = True
        self._stopped = None  # LangGraph goes on, so whatever stopped us was no end
        self.outlook.begin(event.step, Counter(t.node for t in event.tasks))
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
        self._gated.pop(key, None)
        ahead = self.aheads.pop(key, None)
        if ahead is not None and ahead.pull:
            self._pulls.pop((ahead.step, ahead.node), None)
        return ahead

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
            self._confirm_partials(event.key, (), commands)
            return
        if adopted is not None and adopted.writes is not None:
            return  # what follows was seen when its body ended
        if real is None:
            for position, send in enumerate(event.sends):
                self._add_send(send, event.key, position, self.step + 1)
            return
        self._finished(real, event.writes)
        self._follow(event.key, real.task.node, self.step, event, commands)

    def _finished(self, real: Real, writes: Sequence[Write]) -> None:
        if real.writes is None:
            real.writes = writes
            self.outlook.finish(self.step, real.task.node)

    def _handle_partial_output(self, event: PartialOutput, commands: list[Command]) -> None:
        step = self._step_of_running(event.key)
        if step is None or self._stopped is not None:
            return
        given = self._partials.setdefault(event.key, [])
        for position, send in enumerate(event.sends):
            if position < len(given) and self._is_same_send(given[position].send, send):
                continue
            for changed in given[position:]:
                self._discard(changed, "its partial output changed", commands)
            del given[position:]
            ahead = self._add_send(send, event.key, position, step + 1)
            ahead.partial, ahead.numbered = True, event.numbered
            given.append(ahead)
        for gone in given[len(event.sends) :]:
            self._discard(gone, "its partial output is gone", commands)
        del given[len(event.sends) :]

    def _step_of_running(self, key: str | int) -> int | None:
        """The step of a task whose body runs, None if it does not (any more)."""
        if isinstance(key, str):
            real = self._real.get(key)
            return None if real is None or real.ended or real.writes is not None else self.step
        ahead = self.aheads.get(key)
        if ahead is None or ahead.end is not None:
            return None
        return ahead.step if ahead.state in (State.RUNNING, State.ADOPTED) else None

    def _is_same_send(self, a: SendSpec, b: SendSpec) -> bool:
        return a.node == b.node and (
            a.arg is b.arg or (self._same is not None and self._same(a.arg, b.arg))
        )

    def _confirm_partials(
        self, key: str | int, sends: Sequence[SendSpec], commands: list[Command]
    ) -> dict[int, Ahead]:
        """The tasks that a finished task's partial output gave, by the place of their `Send`.

        What its `Send`s do not confirm is retracted.
        """
        given = self._partials.pop(key, [])
        confirmed: dict[int, Ahead] = {}
        if not given:
            return confirmed
        left = [ahead for ahead in given if ahead.state is not State.DISCARDED]
        for position, send in enumerate(sends):
            for ahead in left:
                if self._is_same_send(ahead.send, send):
                    ahead.position, ahead.send = position, send
                    ahead.partial, ahead.numbered = False, True
                    confirmed[position] = ahead
                    left.remove(ahead)
                    break
        for ahead in left:
            self._discard(ahead, "its partial output was not confirmed", commands)
        return confirmed

    def _handle_ahead_ended(self, event: AheadEnded, commands: list[Command]) -> None:
        ahead = self.aheads.get(event.ahead)
        if ahead is None or ahead.state is State.DISCARDED:
            return
        self._gated.pop(ahead.key, None)
        ahead.end = event.end
        if event.end is not End.FINISHED:
            self._confirm_partials(ahead.key, (), commands)
        if event.end is End.GAVE_UP:
            self._in_flight -= 1
            self._move(ahead, State.GAVE_UP)
            return
        is_adopted = ahead.state is State.ADOPTED
        if not is_adopted:
            self._move(ahead, State.ENDED)
        if event.end is not End.FINISHED:
            # Its step will fail or stop there, so nothing begins beyond it.
            self._failed[ahead.key] = ahead.step
            return
        ahead.writes = event.writes
        ahead.send_count = len(event.sends)
        if is_adopted:
            self._finished(self._real[self._real_of[ahead.key]], event.writes)
        else:
            self.outlook.finish(ahead.step, ahead.node)
        self._follow(ahead.key, ahead.node, ahead.step, event, commands)

    def _handle_rejected(self, event: AheadRejected, commands: list[Command]) -> None:
        ahead = self.aheads.get(event.ahead)
        if ahead is None or ahead.state is not State.ADOPTED:
            return
        real = self._real[self._real_of.pop(ahead.key)]
        real.adopted = None
        if real.writes is not None:
            real.writes = None
            self.outlook.add(self.step, real.task.node)
        self.statistics.adopted -= 1
        if event.began:
            self.statistics.rerun += 1
        else:
            self.statistics.started -= 1
        self._discard(ahead, event.reason, commands)

    # What follows from a task --------------------------------------------------------------

    def _follow(
        self,
        key: str | int,
        node: str,
        step: int,
        ended: TaskEnded | AheadEnded,
        commands: list[Command],
    ) -> None:
        """A task of `step` has finished: its `Send`s and edges lead on."""
        confirmed = self._confirm_partials(key, ended.sends, commands)
        for position, send in enumerate(ended.sends):
            if position not in confirmed:
                self._add_send(send, key, position, step + 1)
        if self._foresight is None:
            return
        spec = self.outlook.spec
        targets = {send.node for send in ended.sends}
        for channel in dict.fromkeys(channel for channel, _ in ended.writes):
            triggered = spec.triggered.get(channel)
            if not triggered:
                continue
            targets.update(triggered)
            kind = spec.channels[channel].kind
            if kind == "barrier":
                self._follow_join(channel, key, step)
            elif kind != "other":
                for target in triggered:
                    self._add_pull(target, key, step + 1)
        wrong = self.outlook.surprises(node, ended.writes, targets)
        if wrong:
            commands.append(Mistrust(node, wrong))
            self._rely_on_facts_no_more(step, f"{node!r} does what its facts exclude", commands)

    def _follow_join(self, channel: str, key: str | int, step: int) -> None:
        assert self._foresight is not None
        parts: dict[int, list[str]] = {}
        for of_step, writes in self._written():
            found = [str(value) for c, value in writes if c == channel]
            parts.setdefault(of_step, []).extend(found)
        at = fills_at(*self._foresight.join(channel), self.step, parts)
        if at is not None and at > step:
            for target in self.outlook.spec.triggered[channel]:
                self._add_pull(target, key, at)

    def _rely_on_facts_no_more(self, step: int, reason: str, commands: list[Command]) -> None:
        """What edges triggered beyond this step may have started too early: it begins anew."""
        self.outlook.is_blind = True
        self._gated.clear()
        for ahead in list(self.aheads.values()):
            if ahead.pull and ahead.step > step and ahead.state in (State.RUNNING, State.ENDED):
                parents = dict(ahead.parents)
                self._discard(ahead, reason, commands)
                for parent in parents:
                    if isinstance(parent, str) or parent in self.aheads:
                        self._add_pull(ahead.node, parent, ahead.step)

    # Matching ------------------------------------------------------------------------------

    def _match(self, tasks: tuple[RealTask, ...], due: list[Ahead]) -> list[tuple[RealTask, Ahead]]:
        left = [task for task in tasks if not task.done]
        sends = pair_sends((t for t in left if t.push), [a for a in due if not a.pull], self._same)
        pulls = pair_pulls(
            (t for t in left if t.pull), (a for a in due if a.pull), self._is_input_of
        )
        return sends + pulls

    def _is_input_of(self, task: RealTask, ahead: Ahead) -> bool:
        if ahead.state not in (State.RUNNING, State.ENDED):
            return True  # it has not looked at an input, so it is only the same task
        return self._foresight is not None and self._foresight.same(
            task.node, ahead.send.arg, task.arg
        )

    def _take_over(
        self, task: RealTask, ahead: Ahead, was_full: bool, commands: list[Command]
    ) -> None:
        if ahead.state in (State.RUNNING, State.ENDED):
            self._move(ahead, State.ADOPTED)
            self._in_flight -= 1
            real = self._real[task.key]
            real.adopted = ahead.key
            self._real_of[ahead.key] = task.key
            self._gated.pop(ahead.key, None)  # its router reads the real state from now on
            if ahead.writes is not None:
                self._finished(real, ahead.writes)
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

    def _add_send(self, send: SendSpec, parent: str | int, position: int, step: int) -> Ahead:
        ahead = self._new(step, send, parent)
        ahead.position = position
        self._admit(ahead)
        return ahead

    def _add_pull(self, node: str, parent: str | int, step: int) -> None:
        known = self._pulls.get((step, node))
        if known is not None:
            ahead = self.aheads[known]
            ahead.parents[parent] = None
            if isinstance(parent, int):
                self.aheads[parent].children.append(known)
            return
        ahead = self._new(step, SendSpec(node, None), parent)
        ahead.pull = True
        self._pulls[(step, node)] = ahead.key
        self._admit(ahead)

    def _new(self, step: int, send: SendSpec, parent: str | int) -> Ahead:
        self._next_key += 1
        ahead = Ahead(self._next_key, step, send, {parent: None})
        self.aheads[ahead.key] = ahead
        self.outlook.add(step, send.node)
        if isinstance(parent, int):
            self.aheads[parent].children.append(ahead.key)
        return ahead

    def _admit(self, ahead: Ahead) -> None:
        if reason := self._held(ahead):
            self._hold(ahead, reason)
        else:
            self._move(ahead, State.WAITING)
            heapq.heappush(self._waiting, (ahead.step, ahead.key))

    def _hold(self, ahead: Ahead, reason: str) -> None:
        self.statistics.held[reason] += 1
        ahead.reason = reason
        self._move(ahead, State.HELD)

    def _held(self, ahead: Ahead) -> str | None:  # noqa: PLR0911 - one per reason
        """Why this task can't start early, whatever happens before its step."""
        verdict = self.verdicts.get(ahead.node, self.default)
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
        if ahead.pull and (facts := self.outlook.spec.nodes.get(ahead.node)) is not None:
            return facts.unpredictable
        return None

    def _not_yet(self, ahead: Ahead) -> str | None:
        """Why this task can't start right now."""
        verdict = self.verdicts.get(ahead.node, self.default)
        if any(ahead.step > failed for failed in self._failed.values()):
            return "an earlier task failed"
        if (
            self.policy.resumable
            and verdict.rank is not Rank.PROVEN
            and self._may_be_interrupted_before(ahead.step)
        ):
            return "an earlier task may interrupt"
        if ahead.pull:
            blocker = self._blocker(reads_of(self.outlook.spec, ahead.node), ahead.step)
            if blocker is not None:
                return blocker
        asks_identity = verdict.needs_identity or (self.policy.resumable and verdict.may_interrupt)
        if asks_identity and self.index_of(ahead.key) is None:
            return "needs its task id"
        return None

    def _blocker(self, channels: Names, step: int) -> str | None:
        """Why what these channels will hold in a step is not settled yet."""
        if not self._order_known:
            return "waits for an error handler"
        node = self.outlook.blocker(channels, step)
        return None if node is None else f"waits for {node!r}"

    def _may_be_interrupted_before(self, step: int) -> bool:
        if not self._graph_may_interrupt:
            return False
        if step > self.step + 1:
            return True  # which tasks that step will have is not known yet
        return any(
            not real.ended and self.verdicts.get(real.task.node, self.default).may_interrupt
            for real in self._real.values()
        )

    def _fill_slots(self, commands: list[Command]) -> None:
        if self._stopped is not None or not (self._waiting or self._gated):
            return
        if self._nothing_runs and not self.policy.start_at_step_end:
            return
        self._open_gates(commands)
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
            if ahead.pull and not self._foretell(ahead):
                continue
            if self._may_start is not None and not self._may_start():
                ahead.reason = "max_concurrency"
                later.append((step, key))
                break
            self._move(ahead, State.RUNNING)
            self._in_flight += 1
            self.statistics.started += 1
            commands.append(Start(key, step, ahead.send, ahead.pull))
        for item in later:
            heapq.heappush(self._waiting, item)

    @property
    def _nothing_runs(self) -> bool:
        """Whether all bodies of the step are over: the next step begins at once."""
        return not self.outlook.unfinished.get(self.step)

    def _open_gates(self, commands: list[Command]) -> None:
        for key, reads in list(self._gated.items()):
            step = self.aheads[key].step
            if self._foresight is None or self._blocker(reads, step) is not None:
                continue
            del self._gated[key]
            if (state := self._foresight.state(reads, self._history(step))) is not None:
                commands.append(OpenGate(key, state))

    def _foretell(self, ahead: Ahead) -> bool:
        assert self._foresight is not None
        found = self._foresight.input(ahead.node, self._history(ahead.step))
        if found is None:
            self._hold(ahead, "its input can't be foretold")
            return False
        ahead.send = found
        return True

    def _history(self, step: int) -> History:
        """What was written in each step from the current one to the one before `step`."""
        tasks: dict[int, list[tuple[tuple[object, ...], Sequence[Write]]]] = {
            s: [] for s in range(self.step, step)
        }
        for real in self._real.values():
            if real.writes:
                tasks[self.step].append((real.task.order, real.writes))
        for ahead in self.aheads.values():
            if ahead.writes and self.step < ahead.step < step:
                tasks[ahead.step].append((self._order_of(ahead), ahead.writes))
        return [in_order(of_step) for of_step in tasks.values()]

    def _written(self) -> Iterator[tuple[int, Sequence[Write]]]:
        """What tasks that have finished wrote, with their steps."""
        for real in self._real.values():
            if real.writes:
                yield self.step, real.writes
        for ahead in self.aheads.values():
            if ahead.writes and ahead.state is not State.ADOPTED:
                yield ahead.step, ahead.writes

    def _order_of(self, ahead: Ahead) -> tuple[object, ...]:
        """Sorts the tasks of a later step as LangGraph will: edges by name, then `Send`s."""
        if ahead.pull:
            return (0, ahead.node)
        parent = ahead.parent
        if isinstance(parent, int):
            parent = self._real_of.get(parent, parent)
        order: tuple[object, ...] = (
            self._order_of(self.aheads[parent])
            if isinstance(parent, int)
            else self._real[parent].task.order
        )
        return (1, order, ahead.position)

    # Stopping ------------------------------------------------------------------------------

    def _stop(self, reason: str, commands: list[Command]) -> None:
        """Nothing starts any more, and nothing that is not real yet will become so."""
        self._stopped = self._stopped or reason
        for ahead in list(self.aheads.values()):
            if ahead.state is not State.ADOPTED:
                self._discard(ahead, reason, commands)
        self._waiting.clear()
        self._gated.clear()
        self._partials.clear()

    def _discard(self, ahead: Ahead, reason: str, commands: list[Command]) -> None:
        """Retract a task and everything that descends from it alone."""
        doomed = [ahead]
        while doomed:
            current = doomed.pop()
            if current.state is State.DISCARDED:
                continue
            if current.state in (State.RUNNING, State.ENDED):
                self._in_flight -= 1
                self.statistics.discarded += 1
                commands.append(Discard(current.key, reason))
            elif current.state is State.GAVE_UP:
                self.statistics.discarded += 1
            elif current.state is State.ADOPTED:
                commands.append(Discard(current.key, reason))
            for key in current.children:
                if (child := self.aheads.get(key)) is not None:
                    child.parents.pop(current.key, None)
                    if not child.parents:
                        child.parents[current.key] = None  # its story names where it came from
                        doomed.append(child)
            self._forget(current)

    def _forget(self, ahead: Ahead) -> None:
        if ahead.writes is None and ahead.step > self.step:
            self.outlook.finish(ahead.step, ahead.node)
        if ahead.state is not State.DISCARDED:
            self._move(ahead, State.DISCARDED)
        self.aheads.pop(ahead.key, None)
        self._failed.pop(ahead.key, None)
        self._gated.pop(ahead.key, None)
        self._partials.pop(ahead.key, None)
        if ahead.pull:
            self._pulls.pop((ahead.step, ahead.node), None)

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

    @property
    def waiting(self) -> int:
        """How many tasks wait to start."""
        return len(self._waiting)

    def settled(self, key: int, channels: Names) -> object | None:
        """What these channels hold when a running task's step begins, None if that may change."""
        ahead = self.aheads.get(key)
        if ahead is None or self._foresight is None or self._stopped is not None:
            return None
        if ahead.state is not State.RUNNING or self._blocker(channels, ahead.step) is not None:
            return None
        return self._foresight.state(channels, self._history(ahead.step))

    def index_of(self, key: int) -> int | None:
        """The task's index among all `Send`s of its step, or None while it may change.

        LangGraph numbers the `Send`s of a step by the order of the tasks that wrote them, so
        the number is known once every earlier task of the step has ended. A task that an edge
        triggers has no number (0): its node is enough.
        """
        ahead = self.aheads.get(key)
        if ahead is None or ahead.step != self.step + 1 or self._stopped is not None:
            return None
        if ahead.pull:
            return 0
        if not self._order_known or not ahead.numbered:
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

    def _writer(self, ahead: Ahead) -> Real | None:
        """The real task of the current step that wrote this Send."""
        parent = ahead.parent
        if isinstance(parent, int):
            found = self._real_of.get(parent)
            return None if found is None else self._real.get(found)
        return self._real.get(parent)

    # Transitions ---------------------------------------------------------------------------

    def _move(self, ahead: Ahead, to: State) -> None:
        if to not in TRANSITIONS[ahead.state]:
            story = " -> ".join([*ahead.history, to.value])
            raise IllegalTransition(
                f"Task {ahead.key} ({ahead.node!r}, step {ahead.step}) can't go from "
                f"{ahead.state} to {to}. Its story: {story}. This is a bug in langgraph_alto."
            )
        ahead.state = to
        ahead.history.append(to.value)
