"""What is true of a scheduler between any two events: one named rule each.

`check` costs time in proportion to what is ahead, so a run does not call it; the tests do,
after every event and at the end of every test that uses a scheduler.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from langgraph_alto.core.effects import Rank
from langgraph_alto.core.events import Adopt, Command, Discard, End, Mistrust, OpenGate, Start
from langgraph_alto.core.outlook import reads_of
from langgraph_alto.core.scheduler import Scheduler
from langgraph_alto.core.tasks import TRANSITIONS, Ahead, State
from langgraph_alto.errors import InvariantViolated

Problem = tuple[str, Ahead | None]
"""What is wrong, and with which task."""

_BEGAN = (State.RUNNING, State.ENDED)


def check(scheduler: Scheduler, commands: Sequence[Command] = ()) -> None:
    """Hold a scheduler, and the commands of its last event, against every rule.

    Raises:
        InvariantViolated: It names the rule, what is wrong and the task's history.
    """
    for rule in RULES:
        for problem, ahead in rule(scheduler, commands):
            name = rule.__name__.replace("_", " ")
            raise InvariantViolated(f"{name!r} is broken: {problem}.{_story(ahead)}")


def _story(ahead: Ahead | None) -> str:
    if ahead is None:
        return ""
    return (
        f" Task {ahead.key} ({ahead.node!r}, step {ahead.step}, from {[*ahead.parents]!r}): "
        f"{' -> '.join(ahead.history)}."
    )


# Bounds and counts -------------------------------------------------------------------------


def in_flight_counts_what_began(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    began = sum(a.state in _BEGAN for a in s.aheads.values())
    if s.in_flight != began:
        yield f"in_flight is {s.in_flight}, {began} tasks run or ended ahead", None


def never_more_than_max_ahead(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    if s.in_flight > s.policy.max_ahead:
        yield f"{s.in_flight} tasks are ahead, {s.policy.max_ahead} may be", None


def statistics_add_up(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    """Each task that began is adopted, discarded, rerun, still ahead, or waits to be rerun."""
    total = s.statistics
    gave_up = sum(a.state is State.GAVE_UP for a in s.aheads.values())
    became = total.adopted + total.discarded + total.rerun + s.in_flight + gave_up
    if total.started != became:
        yield f"{total.started} started, but {became} are accounted for ({total})", None


def unfinished_counts_real_tasks(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    left = sum(not real.ended for real in s._real.values())
    if s.unfinished != left:
        yield f"unfinished is {s.unfinished}, {left} real tasks have not ended", None


# States ------------------------------------------------------------------------------------


def histories_are_legal(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    for ahead in s.aheads.values():
        state = None
        for moment in map(State, ahead.history):
            if moment not in TRANSITIONS[state]:
                yield f"no transition leads from {state} to {moment}", ahead
            state = moment
        if ahead.state is not state:
            yield f"its state is {ahead.state}, its history ends with {state}", ahead


def discarded_tasks_are_forgotten(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    for key, ahead in s.aheads.items():
        if ahead.state in (None, State.DISCARDED):
            yield f"it is kept and {ahead.state}", ahead
        if key != ahead.key:
            yield f"it is kept under the key {key}", ahead


def of_begun_steps_only_adopted_remain(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    for ahead in s.aheads.values():
        if ahead.step < s.step:
            yield f"step {s.step} began without it being dropped", ahead
        if ahead.step == s.step and ahead.state is not State.ADOPTED:
            yield f"its step began and it is {ahead.state}", ahead
        if ahead.step > s.step and ahead.state is State.ADOPTED:
            yield f"it was adopted and only step {s.step} began", ahead


def waiting_tasks_are_queued(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    queued = Counter(key for _, key in s._waiting)
    for ahead in s.aheads.values():
        if ahead.state is State.WAITING and queued[ahead.key] != 1:
            yield f"it waits and is queued {queued[ahead.key]} times", ahead


def no_slot_stays_free(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    """What waits although there is room has a reason."""
    if s._stopped is not None or s.in_flight >= s.policy.max_ahead or s._may_start is not None:
        return
    if s._nothing_runs and not s.policy.start_at_step_end:
        return
    for ahead in s.aheads.values():
        if ahead.state is State.WAITING and ahead.reason is None:
            yield "it waits, for no reason", ahead


# Held means held ---------------------------------------------------------------------------


def held_tasks_never_began(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    for ahead in s.aheads.values():
        if State.RUNNING.value not in ahead.history:
            continue
        verdict = s.verdicts.get(ahead.node, s.default)
        if s.policy.off is not None:
            yield f"it began although nothing may ({s.policy.off})", ahead
        if verdict.rank is Rank.HELD:
            yield f"it began although its node is held ({verdict.reason})", ahead
        if s.policy.proven_only and verdict.rank is not Rank.PROVEN:
            yield f"it began although only proven nodes may, and it is {verdict.rank}", ahead
        if s.policy.resumable and verdict.needs_identity:
            yield "it began although it would leave checkpoints behind", ahead


def held_tasks_have_a_reason(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    for ahead in s.aheads.values():
        if ahead.state is State.HELD and not ahead.reason:
            yield "it is held, for no reason", ahead


# Where tasks come from ---------------------------------------------------------------------


def tasks_descend_from_known_ones(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    adopted = {real.adopted for real in s._real.values()}
    for ahead in s.aheads.values():
        if ahead.state is State.ADOPTED:
            continue  # its parents were of a step that is over
        for key in ahead.parents:
            if isinstance(key, int):
                parent = s.aheads.get(key)
                if parent is None and key not in adopted:
                    yield "its parent was discarded", ahead
                if parent is not None and not _may_be_parent(parent.step, ahead):
                    yield f"its parent is of step {parent.step}", ahead
            elif key not in s._real and s._order_known and not ahead.pull:
                yield "its parent is no task of this step", ahead
            elif not _may_be_parent(s.step, ahead):
                yield f"its parent is a real task of step {s.step}", ahead


def _may_be_parent(step: int, ahead: Ahead) -> bool:
    """A join's parts may come in different steps."""
    return ahead.step == step + 1 or (ahead.pull and ahead.step > step)


def only_finished_tasks_have_children(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    for ahead in s.aheads.values():
        known = [s.aheads[c] for c in ahead.children if c in s.aheads]
        if ahead.end is not End.FINISHED and not all(child.partial for child in known):
            yield f"it has children and ended {ahead.end}", ahead
        for child in ahead.children:
            if child in s.aheads and ahead.key not in s.aheads[child].parents:
                yield f"its child {child} has other parents", ahead


# Edges -------------------------------------------------------------------------------------


def an_edge_triggers_a_node_once_a_step(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    pulls = {(a.step, a.node): a.key for a in s.aheads.values() if a.pull}
    if pulls != s._pulls:
        yield f"{s._pulls} are noted, {pulls} are ahead", None
    if len(pulls) != sum(a.pull for a in s.aheads.values()):
        yield "a node is triggered twice in a step", None


def an_edge_starts_only_what_is_settled(
    s: Scheduler, commands: Sequence[Command]
) -> Iterator[Problem]:
    for command in commands:
        if isinstance(command, Start) and command.pull:
            ahead = s.aheads[command.ahead]
            reads = reads_of(s.outlook.spec, ahead.node)
            if (blocker := s.outlook.blocker(reads, ahead.step)) is not None:
                yield f"it starts although {blocker!r} may still write what it reads", ahead


def gates_belong_to_running_bodies(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    for key in s._gated:
        ahead = s.aheads.get(key)
        if ahead is None or ahead.state is not State.RUNNING:
            yield f"task {key} waits at a gate and does not run ahead", ahead


def the_outlook_counts_unfinished_tasks(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    found: dict[int, Counter[str]] = {}
    for real in s._real.values():
        if real.writes is None:
            found.setdefault(s.step, Counter())[real.task.node] += 1
    for ahead in s.aheads.values():
        if ahead.writes is None and ahead.step > s.step:
            found.setdefault(ahead.step, Counter())[ahead.node] += 1
    counted = {step: c for step, c in s.outlook.unfinished.items() if c}
    if counted != found:
        yield f"the outlook counts {counted}, unfinished are {found}", None


def an_adopted_task_has_one_real_task(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    links = Counter(r.adopted for r in s._real.values() if r.adopted is not None)
    for key, count in links.items():
        if count > 1:
            yield f"{count} real tasks adopted it", s.aheads.get(key)
    for real in s._real.values():
        ahead = None if real.adopted is None else s.aheads.get(real.adopted)
        if ahead is not None and (ahead.state is not State.ADOPTED or ahead.node != real.task.node):
            yield f"it is {ahead.state} and stands for a task of {real.task.node!r}", ahead
    for ahead in s.aheads.values():
        if ahead.state is State.ADOPTED and ahead.key not in links:
            yield "it is adopted, by no real task", ahead


# No start past a stop ----------------------------------------------------------------------


def nothing_begins_past_a_stop(s: Scheduler, commands: Sequence[Command]) -> Iterator[Problem]:
    if s._stopped is None:
        return
    for ahead in s.aheads.values():
        if ahead.state not in (State.WAITING, State.HELD, State.ADOPTED):
            yield f"it is {ahead.state} although {s._stopped}", ahead
    if any(isinstance(command, Start) for command in commands):
        yield f"a task starts although {s._stopped}", None


def nothing_begins_beyond_the_last_step(s: Scheduler, _: Sequence[Command]) -> Iterator[Problem]:
    for ahead in s.aheads.values():
        if ahead.step > s.policy.last_step and State.RUNNING.value in ahead.history:
            yield f"it began and {s.policy.last_step} is the last step", ahead


def nothing_begins_beyond_a_failure(s: Scheduler, commands: Sequence[Command]) -> Iterator[Problem]:
    failed = [
        a.step
        for a in s.aheads.values()
        if a.end in (End.FAILED, End.INTERRUPTED) and a.state in (State.ENDED, State.ADOPTED)
    ]
    for command in commands:
        if isinstance(command, Start) and failed and command.step > min(failed):
            yield f"it starts although a task of step {min(failed)} failed", s.aheads[command.ahead]


# Commands ----------------------------------------------------------------------------------


def commands_agree_with_states(s: Scheduler, commands: Sequence[Command]) -> Iterator[Problem]:
    for command in commands:
        if isinstance(command, Mistrust):
            continue
        ahead = s.aheads.get(command.ahead)
        match command:
            case OpenGate():
                if ahead is None or ahead.state is not State.RUNNING:
                    yield f"{command} for a task that does not run ahead", ahead
            case Start():
                if ahead is None or ahead.state is not State.RUNNING or ahead.step != command.step:
                    yield f"{command} for a task that does not run in that step", ahead
            case Adopt():
                if ahead is None or s._real[command.key].adopted != command.ahead:
                    yield f"{command} for a task that is not adopted by it", ahead
            case Discard():
                if ahead is not None:
                    yield f"{command} for a task that is kept", ahead


RULES: tuple[Callable[[Scheduler, Sequence[Command]], Iterator[Problem]], ...] = (
    in_flight_counts_what_began,
    never_more_than_max_ahead,
    statistics_add_up,
    unfinished_counts_real_tasks,
    histories_are_legal,
    discarded_tasks_are_forgotten,
    of_begun_steps_only_adopted_remain,
    waiting_tasks_are_queued,
    no_slot_stays_free,
    held_tasks_never_began,
    held_tasks_have_a_reason,
    tasks_descend_from_known_ones,
    only_finished_tasks_have_children,
    an_edge_triggers_a_node_once_a_step,
    an_edge_starts_only_what_is_settled,
    gates_belong_to_running_bodies,
    the_outlook_counts_unfinished_tasks,
    an_adopted_task_has_one_real_task,
    nothing_begins_past_a_stop,
    nothing_begins_beyond_the_last_step,
    nothing_begins_beyond_a_failure,
    commands_agree_with_states,
)
"""Every rule; each yields what is wrong, or nothing."""
