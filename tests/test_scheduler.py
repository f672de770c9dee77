"""The run-ahead state machine: scripted events in, commands out; then random runs of a model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

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
from langgraph_alto.core.invariants import RULES, check
from langgraph_alto.core.scheduler import (
    IllegalTransition,
    Scheduler,
)
from langgraph_alto.core.tasks import TRANSITIONS, RunPolicy, State
from langgraph_alto.errors import AltoError, InvariantViolated
from tests.helpers.checked import Checked, MakeScheduler

FREE = Verdict(
    rank=Rank.FREE, reason="", detail="", unlock=None, may_interrupt=False, needs_identity=False
)
PROVEN = replace(FREE, rank=Rank.PROVEN)
HELD = replace(FREE, rank=Rank.HELD, reason="outward write")
ASKS = replace(FREE, may_interrupt=True)
NAMED = replace(FREE, needs_identity=True)


def send(arg: object, node: str = "work") -> SendSpec:
    return SendSpec(node, arg)


def real(key: str, node: str = "plan", **options: Any) -> RealTask:
    """A task whose place in its step is that of its key in the alphabet."""
    return RealTask(key, node, (key,), **options)


def began(step: int, *tasks: str | RealTask) -> StepBegan:
    return StepBegan(step, tuple(t if isinstance(t, RealTask) else real(t) for t in tasks))


def of(sends: list[SendSpec] | tuple[SendSpec, ...], prefix: str = "r") -> tuple[RealTask, ...]:
    """The tasks that LangGraph prepares for these `Send`s."""
    return tuple(
        RealTask(f"{prefix}{i}", s.node, (prefix, i), push=True, arg=s.arg)
        for i, s in enumerate(sends)
    )


def ended(key: str, *sends: SendSpec, end: End = End.FINISHED) -> TaskEnded:
    return TaskEnded(key, end, sends)


def ahead_ended(ahead: int, *sends: SendSpec, end: End = End.FINISHED) -> AheadEnded:
    return AheadEnded(ahead, end, sends)


def starts(commands: list[Command]) -> list[int]:
    return [c.ahead for c in commands if isinstance(c, Start)]


def adoptions(commands: list[Command]) -> dict[str, int]:
    return {c.key: c.ahead for c in commands if isinstance(c, Adopt)}


def discards(commands: list[Command]) -> list[int]:
    return [c.ahead for c in commands if isinstance(c, Discard)]


def state(s: Checked, key: int) -> State | None:
    return s.scheduler.aheads[key].state


def counts(s: Checked) -> tuple[int, int, int, int]:
    total = s.scheduler.statistics
    return total.started, total.adopted, total.discarded, total.rerun


# Rule 2: certain tasks start early


def test_the_sends_of_a_finished_task_start_while_a_sibling_runs(scheduler: MakeScheduler) -> None:
    s = scheduler()
    a, b = send("a"), send("b", "other")
    assert s(began(1, "fast", "slow")) == []
    assert s(ended("fast", a, b)) == [Start(1, 2, a), Start(2, 2, b)]
    assert s.scheduler.unfinished == 1


def test_the_sends_of_a_body_that_ran_ahead_start_to_any_depth(scheduler: MakeScheduler) -> None:
    s = scheduler()
    s(began(1, "fast", "slow"))
    s(ended("fast", send(0)))
    for depth in range(1, 30):
        assert s(ahead_ended(depth, send(depth))) == [Start(depth + 1, depth + 2, send(depth))]
    assert s.scheduler.in_flight == 30


def test_a_chain_is_adopted_step_by_step(scheduler: MakeScheduler) -> None:
    s = scheduler()
    first, second = send(1), send(2)
    s(began(1, "fast", "slow"))
    s(ended("fast", first))
    s(ahead_ended(1, second))
    s(ended("slow"))
    assert s(began(2, *of([first]))) == [Adopt(1, "r0")]
    assert s(ended("r0", second)) == []  # its Sends were seen when its body ended
    assert s(began(3, *of([second]))) == [Adopt(2, "r0")]
    assert s(ahead_ended(2)) == []
    assert s(ended("r0")) == []
    assert counts(s) == (2, 2, 0, 0)
    assert s.scheduler.is_idle


def test_an_adopted_body_that_goes_on_starts_its_sends_at_its_end(
    scheduler: MakeScheduler,
) -> None:
    s = scheduler()
    s(began(1, "fast", "slow"))
    s(ended("fast", send(1)))
    s(ended("slow"))
    s(began(2, *of([send(1)], "a"), "slow"))
    child = send(2)
    assert s(ahead_ended(1, child)) == [Start(2, 3, child)]
    assert s(ended("a0", child)) == []
    s(ended("slow"))
    assert adoptions(s(began(3, *of([child])))) == {"r0": 2}


def test_a_real_task_may_be_reported_before_the_body_that_it_adopted(
    scheduler: MakeScheduler,
) -> None:
    s = scheduler()
    s(began(1, "fast", "slow"))
    first, child = send(1), send(2)
    s(ended("fast", first))
    s(ended("slow"))
    s(began(2, *of([first], "a"), "slow"))
    assert s(ended("a0", child)) == [Start(2, 3, child)]
    assert s(ahead_ended(1, child)) == []


# Rule 3: matching


def test_an_argument_is_matched_by_identity_first(scheduler: MakeScheduler) -> None:
    compared: list[object] = []

    def same(a: object, b: object) -> bool:
        compared.append((a, b))
        return a == b

    s = scheduler(same=same)
    one, two = send([1]), send([1])
    s(began(1, "a", "b"))
    s(ended("a", one, two))
    s(ended("b"))
    assert adoptions(s(began(2, *of([two, one])))) == {"r0": 2, "r1": 1}
    assert compared == []


def test_an_argument_is_matched_by_equality_next(scheduler: MakeScheduler) -> None:
    s = scheduler(same=lambda a, b: a == b)
    s(began(1, "a", "b"))
    s(ended("a", send([1]), send([2]), send([3])))
    s(ended("b"))
    commands = s(began(2, *of([send([3]), send([9]), send([1])])))
    assert adoptions(commands) == {"r0": 3, "r2": 1}
    assert discards(commands) == [2]


def test_equal_arguments_of_another_node_do_not_match(scheduler: MakeScheduler) -> None:
    s = scheduler(same=lambda a, b: a == b)
    s(began(1, "a", "b"))
    s(ended("a", send(1, "work")))
    s(ended("b"))
    assert s(began(2, *of([send(1, "rest")]))) == [Discard(1, "no such task in its step")]


def test_without_a_comparison_only_the_same_object_matches(scheduler: MakeScheduler) -> None:
    s = scheduler()
    s(began(1, "a", "b"))
    s(ended("a", send([1])))
    s(ended("b"))
    assert discards(s(began(2, *of([send([1])])))) == [1]


def test_a_task_that_an_edge_triggered_matches_nothing(scheduler: MakeScheduler) -> None:
    s = scheduler(same=lambda a, b: a == b)
    s(began(1, "a", "b"))
    s(ended("a", send(1)))
    s(ended("b"))
    commands = s(began(2, RealTask("r", "work", (0,), push=False, arg=1)))
    assert commands == [Discard(1, "no such task in its step")]


def test_a_task_that_a_cache_answered_adopts_nothing(scheduler: MakeScheduler) -> None:
    s = scheduler()
    s(began(1, "a", "b"))
    s(ended("a", send(1)))
    s(ended("b"))
    cached = replace(of([send(1)])[0], done=True)
    assert s(began(2, cached, "b")) == [Discard(1, "no such task in its step")]
    s(ended(cached.key, send(2), send(3)))
    assert s.scheduler.unfinished == 1


@pytest.mark.parametrize("same", [None, lambda a, b: a == b], ids=["identity", "equality"])
def test_of_several_alike_each_finds_its_own(
    scheduler: MakeScheduler, same: Callable[[object, object], bool] | None
) -> None:
    """LangGraph numbers them by their writers' order, not by when those ended."""
    s = scheduler(same=same)
    arg = "the same" if same is None else ["the same"]
    s(began(1, "a", "b", "c"))
    s(ended("b", send(arg)))
    s(ended("a", send(arg), send(arg)))
    s(ended("c"))
    found = [send(arg if same is None else ["the same"]) for _ in range(3)]
    assert adoptions(s(began(2, *of(found)))) == {"r0": 2, "r1": 3, "r2": 1}


def test_a_leftover_of_an_earlier_step_is_not_matched_again(scheduler: MakeScheduler) -> None:
    """A handled failure ends an adopted task without its body's `Send`s."""
    s = scheduler()
    arg = send("same")
    s(began(1, "a", "b"))
    s(ended("a", arg))
    s(ended("b"))
    s(began(2, *of([arg], "x"), "b", "c"))
    s(ended("x0", end=End.HANDLED))
    s(ended("b", arg))
    s(ended("c"))
    assert starts(s.log) == [1, 2]
    assert s(began(3, *of([arg]))) == [Adopt(2, "r0")]
    s(ahead_ended(2))
    s(ended("r0"))
    assert s.scheduler.is_idle


def test_an_adopted_task_that_ended_without_a_word_is_dropped(scheduler: MakeScheduler) -> None:
    s = scheduler()
    arg = send("same")
    s(began(1, "a", "b"))
    s(ended("a", arg))
    s(ended("b"))
    s(began(2, *of([arg], "x"), "b"))
    s(ended("b", arg))
    assert adoptions(s(began(3, *of([arg], "y")))) == {"y0": 2}
    assert list(s.scheduler.aheads) == [2]


def test_what_is_never_matched_is_discarded_with_all_that_descends_from_it(
    scheduler: MakeScheduler,
) -> None:
    s = scheduler()
    kept, lost = send("kept"), send("lost")
    s(began(1, "a", "b"))
    s(ended("a", kept, lost))
    s(ahead_ended(1, send("kept child")))
    s(ahead_ended(2, send("x"), send("y")))
    s(ahead_ended(4, send("x child")))
    s(ended("b"))
    commands = s(began(2, *of([kept])))
    assert adoptions(commands) == {"r0": 1}
    assert sorted(discards(commands)) == [2, 4, 5, 6]
    assert list(s.scheduler.aheads) == [1, 3]
    assert counts(s) == (6, 1, 4, 0)


def test_discarded_tasks_are_not_heard_any_more(scheduler: MakeScheduler) -> None:
    s = scheduler()
    s(began(1, "a", "b"))
    s(ended("a", send(1)))
    s(ended("b"))
    s(began(2, "a"))
    assert s(ahead_ended(1, send(2))) == []
    assert s(AheadRejected(1, "late")) == []
    assert s(ahead_ended(99)) == []
    assert s.scheduler.is_idle


# Rule 5: bounded, nearer steps first


def test_at_most_max_ahead_tasks_begin(scheduler: MakeScheduler) -> None:
    s = scheduler(RunPolicy(max_ahead=2))
    s(began(1, "a", "b"))
    assert starts(s(ended("a", *map(send, range(5))))) == [1, 2]
    assert s(ahead_ended(1)) == []  # a kept result still takes its place
    assert [state(s, k) for k in range(1, 6)] == [
        State.ENDED,
        State.RUNNING,
        State.WAITING,
        State.WAITING,
        State.WAITING,
    ]


def test_adoption_and_giving_up_make_room(scheduler: MakeScheduler) -> None:
    s = scheduler(RunPolicy(max_ahead=2))
    s(began(1, "a", "b"))
    s(ended("a", *map(send, range(4))))
    assert starts(s(ahead_ended(1, end=End.GAVE_UP))) == [3]
    s(ended("b"))
    assert adoptions(s(began(2, *of([send(i) for i in range(4)])))) == {"r1": 2, "r2": 3}
    assert counts(s) == (3, 2, 0, 1)
    assert s.scheduler.statistics.held == {"max_ahead": 1}


def test_nearer_steps_go_first(scheduler: MakeScheduler) -> None:
    s = scheduler(RunPolicy(max_ahead=2))
    s(began(1, "a", "b", "c"))
    s(ended("a", send("x"), send("y")))
    s(ahead_ended(1, send("far")))  # waits: no slot
    s(ended("b", send("near")))
    assert starts(s(ahead_ended(2, end=End.GAVE_UP))) == [4]
    assert s.scheduler.aheads[4].send.arg == "near"
    assert state(s, 3) is State.WAITING


@pytest.mark.parametrize("start_at_step_end", [False, True])
def test_when_nothing_is_left_to_overlap_with_nothing_starts(
    scheduler: MakeScheduler, start_at_step_end: bool
) -> None:
    s = scheduler(RunPolicy(start_at_step_end=start_at_step_end))
    s(began(1, "a", "b"))
    s(ended("a"))
    assert bool(s(ended("b", send(1)))) is start_at_step_end
    s(began(2, *of([send(1)])))
    assert s.scheduler.statistics.held == {}  # it was not held back: its step was due


def test_a_start_is_asked_for_outside_each_time(scheduler: MakeScheduler) -> None:
    permits = [True, False]
    s = scheduler(may_start=lambda: permits.pop(0))
    s(began(1, "a", "b"))
    assert starts(s(ended("a", send(1), send(2), send(3)))) == [1]
    assert s.scheduler.aheads[2].reason == "max_concurrency"
    permits += [True, False]
    assert starts(s(SlotsChanged())) == [2]
    permits += [False]
    s(ended("b"))
    permits += [False]
    s(began(2, *of([send(1), send(2), send(3)])))
    assert s.scheduler.statistics.held == {"max_concurrency": 1}


# Rule 4 and holds: what does not start early, and why


HOLDS: list[tuple[str, RunPolicy, Verdict, str]] = [
    ("held node", RunPolicy(), HELD, "outward write"),
    ("off", RunPolicy(off="breakpoints"), PROVEN, "breakpoints"),
    ("recursion limit", RunPolicy(last_step=1), PROVEN, "recursion limit"),
    ("sync, undeclared", RunPolicy(proven_only=True), FREE, 'durability="sync"'),
    (
        "subgraph with a checkpointer",
        RunPolicy(resumable=True),
        replace(PROVEN, needs_identity=True),
        "subgraph or task with a checkpointer",
    ),
]


@pytest.mark.parametrize(
    ("policy", "verdict", "reason"), [h[1:] for h in HOLDS], ids=[h[0] for h in HOLDS]
)
def test_held_means_held(
    scheduler: MakeScheduler, policy: RunPolicy, verdict: Verdict, reason: str
) -> None:
    s = scheduler(policy, {"work": verdict})
    s(began(1, "a", "b"))
    assert s(ended("a", send(1), send(2))) == []
    assert state(s, 1) is State.HELD
    assert s.scheduler.statistics.held == {reason: 2}
    assert s(SlotsChanged()) == []
    assert s(ended("b")) == []
    assert s(began(2, *of([send(1)]))) == []
    assert counts(s) == (0, 0, 0, 0)
    assert s.scheduler.is_idle


STARTS: list[tuple[str, RunPolicy, Verdict]] = [
    ("free", RunPolicy(), FREE),
    ("last step", RunPolicy(last_step=2), FREE),
    ("sync, proven", RunPolicy(proven_only=True), PROVEN),
    ("checkpointer", RunPolicy(resumable=True), FREE),
    ("needs its id, nothing before it", RunPolicy(), NAMED),
]


@pytest.mark.parametrize(("policy", "verdict"), [c[1:] for c in STARTS], ids=[c[0] for c in STARTS])
def test_what_is_not_held_starts(
    scheduler: MakeScheduler, policy: RunPolicy, verdict: Verdict
) -> None:
    s = scheduler(policy, {"work": verdict})
    s(began(1, "a", "b"))
    assert starts(s(ended("a", send(1)))) == [1]


def test_a_node_without_a_verdict_gets_the_default(scheduler: MakeScheduler) -> None:
    s = scheduler(default=replace(HELD, reason="unknown node"))
    s(began(1, "a", "b"))
    assert s(ended("a", send(1, "nobody"))) == []
    assert s.scheduler.statistics.held == {"unknown node": 1}


def test_a_held_send_is_counted_once_and_its_siblings_start(scheduler: MakeScheduler) -> None:
    s = scheduler(verdicts={"mail": HELD})
    s(began(1, "a", "b"))
    assert starts(s(ended("a", send(1, "mail"), send(2, "work")))) == [2]
    s(ended("b"))
    assert adoptions(s(began(2, *of([send(1, "mail"), send(2, "work")])))) == {"r1": 2}
    assert s.scheduler.statistics.held == {"outward write": 1}


# A sibling that may interrupt


@pytest.mark.parametrize(
    ("resumable", "verdict", "starts_at_once"),
    [(False, FREE, True), (True, FREE, False), (True, PROVEN, True)],
)
def test_beyond_a_possible_interrupt_only_proven_nodes_start(
    scheduler: MakeScheduler, resumable: bool, verdict: Verdict, starts_at_once: bool
) -> None:
    s = scheduler(RunPolicy(resumable=resumable), {"ask": ASKS, "work": verdict})
    s(began(1, "a", real("b", "ask")))
    assert bool(starts(s(ended("a", send(1))))) is starts_at_once
    if not starts_at_once:
        assert s.scheduler.aheads[1].reason == "an earlier task may interrupt"


def test_a_task_that_did_not_interrupt_lets_the_others_go(scheduler: MakeScheduler) -> None:
    s = scheduler(RunPolicy(resumable=True), {"ask": ASKS})
    s(began(1, "a", real("b", "ask"), "c"))
    s(ended("a", send(1)))
    assert starts(s(ended("b"))) == [1]


def test_two_steps_ahead_anything_may_interrupt(scheduler: MakeScheduler) -> None:
    """Which tasks the step between will have is not known yet."""
    s = scheduler(RunPolicy(resumable=True), {"ask": ASKS, "sure": PROVEN})
    s(began(1, "a", "b"))
    s(ended("a", send(1)))
    assert starts(s(ahead_ended(1, send("near"), send("far", "sure")))) == [3]
    assert s.scheduler.aheads[2].reason == "an earlier task may interrupt"
    s(ended("b"))
    # Now it is: no task of it may interrupt.
    assert starts(s(began(2, *of([send(1)]), "z"))) == [2]


def test_waiting_for_a_possible_interrupt_is_counted(scheduler: MakeScheduler) -> None:
    s = scheduler(RunPolicy(resumable=True), {"ask": ASKS})
    s(began(1, "a", real("b", "ask")))
    s(ended("a", send(1)))
    s(ended("b"))
    s(began(2, *of([send(1)])))
    assert starts(s.log) == []
    assert s.scheduler.statistics.held == {"an earlier task may interrupt": 1}


# Failures


@pytest.mark.parametrize("end", [End.FAILED, End.INTERRUPTED])
def test_a_real_failure_discards_everything(scheduler: MakeScheduler, end: End) -> None:
    s = scheduler()
    s(began(1, "a", "b", "c"))
    s(ended("a", send(1), send(2)))
    s(ahead_ended(1, send(3)))
    commands = s(ended("b", end=end))
    assert sorted(discards(commands)) == [1, 2, 3]
    assert {c.reason for c in commands if isinstance(c, Discard)} == {
        f"a task {end.value} in step 1"
    }
    assert s(ended("c", send(4))) == []  # LangGraph lets it end; nothing starts any more
    assert s(SlotsChanged()) == []
    assert counts(s) == (3, 0, 3, 0)


def test_adopted_bodies_outlive_a_siblings_failure(scheduler: MakeScheduler) -> None:
    """They are real: LangGraph decides what becomes of them."""
    s = scheduler()
    s(began(1, "a", "b"))
    s(ended("a", send(1)))
    s(ended("b"))
    s(began(2, *of([send(1)]), "b"))
    assert s(ended("b", end=End.FAILED)) == []
    assert state(s, 1) is State.ADOPTED


@pytest.mark.parametrize("end", [End.FAILED, End.INTERRUPTED])
def test_nothing_starts_beyond_a_failure_ahead(scheduler: MakeScheduler, end: End) -> None:
    s = scheduler()
    s(began(1, "a", "b"))
    s(ended("a", send("fails"), send("goes on")))
    s(ahead_ended(1, end=end))
    assert s(ahead_ended(2, send("beyond"))) == []
    assert s.scheduler.aheads[3].reason == "an earlier task failed"


def test_beside_a_failure_ahead_tasks_still_start(scheduler: MakeScheduler) -> None:
    s = scheduler()
    s(began(1, "a", "b", "c"))
    s(ended("a", send("fails")))
    s(ahead_ended(1, end=End.FAILED))
    assert starts(s(ended("b", send("beside")))) == [2]


def test_the_nearest_of_several_failures_counts_and_then_the_next(
    scheduler: MakeScheduler,
) -> None:
    s = scheduler()
    near, far = send("near"), send("chain")
    s(began(1, "a", "b"))
    s(ended("a", near, far))
    s(ahead_ended(2, send("fails at 3"), send("ends at 3")))
    s(ahead_ended(3, end=End.FAILED))
    s(ahead_ended(1, end=End.FAILED))
    s(ended("b"))
    # The failure of step 2 goes with its task; that of step 3 is still known.
    s(began(2, *of([far]), "z"))
    assert s(ahead_ended(4, send("beyond 3"))) == []
    assert s.scheduler.aheads[5].reason == "an earlier task failed"


def test_an_adopted_failure_stops_what_is_beyond_until_it_is_dealt_with(
    scheduler: MakeScheduler,
) -> None:
    """Its real task hands out what it emitted before it fails: until then it is only known."""
    s = scheduler()
    bad, good, child = send("bad"), send("good"), send("child")
    s(began(1, "a", "b"))
    s(ended("a", bad, good))
    s(ahead_ended(1, end=End.FAILED))
    s(ended("b"))
    s(began(2, *of([bad, good])))
    assert s(ahead_ended(2, child)) == []
    assert s.scheduler.aheads[3].reason == "an earlier task failed"
    assert starts(s(ended("r0", end=End.HANDLED))) == [3]


def test_a_failure_that_is_discarded_stops_nothing(scheduler: MakeScheduler) -> None:
    s = scheduler()
    bad, good = send("bad"), send("good")
    s(began(1, "a", "b"))
    s(ended("a", bad, good))
    s(ahead_ended(1, end=End.FAILED))
    s(ahead_ended(2, send("child")))
    s(ended("b"))
    assert starts(s(began(2, *of([good]), "z"))) == [3]


def test_a_failed_task_call_is_its_callers_business(scheduler: MakeScheduler) -> None:
    s = scheduler()
    s(began(1, "a", "b"))
    assert starts(s(ended("a", send(1)))) == [1]
    assert s(ended("a @task call", end=End.FAILED)) == []
    assert state(s, 1) is State.RUNNING


def test_a_handled_failure_stops_nothing_and_commits_no_sends(scheduler: MakeScheduler) -> None:
    s = scheduler()
    s(began(1, "a", "b", "c"))
    s(ended("a", send(1)))
    assert s(ended("b", send(2), end=End.HANDLED)) == []
    assert s.scheduler.unfinished == 1
    assert starts(s(ended("its handler", send(3)))) == [2]


def test_after_a_stop_a_new_step_goes_on(scheduler: MakeScheduler) -> None:
    """LangGraph began another step, so what had stopped us was no end."""
    s = scheduler()
    s(began(1, "a", "b"))
    s(ended("a", end=End.FAILED))
    assert s(ended("b", send(1))) == []
    assert s(began(2, *of([send(1)]), "c")) == []
    assert starts(s(ended("r0", send(2)))) == [2]
    assert counts(s) == (1, 0, 0, 0)


def test_the_end_of_the_run_discards_everything(scheduler: MakeScheduler) -> None:
    s = scheduler(RunPolicy(max_ahead=2), {"mail": HELD})
    s(began(1, "a", "b"))
    s(ended("a", send(1), send(2), send(3), send(4, "mail")))
    s(ahead_ended(1))
    assert s(RunEnded()) == [Discard(1, "the run ended"), Discard(2, "the run ended")]
    assert s.scheduler.is_idle
    assert s(SlotsChanged()) == []


# Giving up and rejection


def test_a_body_that_gave_up_is_run_again_by_its_real_task(scheduler: MakeScheduler) -> None:
    s = scheduler()
    s(began(1, "a", "b"))
    s(ended("a", send(1)))
    assert s(ahead_ended(1, end=End.GAVE_UP)) == []
    s(ended("b"))
    assert s(began(2, *of([send(1)]), "b")) == []
    assert counts(s) == (1, 0, 0, 1)
    assert starts(s(ended("r0", send(2)))) == [2]


def test_a_body_that_gave_up_and_has_no_real_task_was_discarded(scheduler: MakeScheduler) -> None:
    s = scheduler()
    s(began(1, "a", "b"))
    s(ended("a", send(1)))
    s(ahead_ended(1, end=End.GAVE_UP))
    s(ended("b"))
    assert s(began(2, "a")) == []
    assert counts(s) == (1, 0, 1, 0)


def test_a_rejected_adoption_takes_everything_back(scheduler: MakeScheduler) -> None:
    s = scheduler()
    first = send(1)
    s(began(1, "a", "b"))
    s(ended("a", first))
    s(ahead_ended(1, send("told a wrong id")))
    s(ended("b"))
    s(began(2, *of([first]), "b"))
    commands = s(AheadRejected(1, "its body was told another task id"))
    assert discards(commands) == [1, 2]
    assert counts(s) == (2, 0, 1, 1)
    # The real task runs its body: its Sends are news.
    assert starts(s(ended("r0", send("right id")))) == [3]


def test_a_rejected_body_that_had_not_begun_costs_nothing(scheduler: MakeScheduler) -> None:
    s = scheduler()
    s(began(1, "a", "b"))
    s(ended("a", send(1)))
    s(ended("b"))
    s(began(2, *of([send(1)])))
    s(AheadRejected(1, "it had not begun", began=False))
    assert counts(s) == (0, 0, 0, 0)


# Identity: which index a Send will have


def test_a_node_that_needs_its_identity_waits_for_its_index(scheduler: MakeScheduler) -> None:
    s = scheduler(verdicts={"sub": NAMED})
    s(began(1, "a", "b", "c"))
    assert s(ended("b", send(1, "sub"))) == []
    assert s.scheduler.aheads[1].reason == "needs its task id"
    assert starts(s(ended("a"))) == [1]


def test_two_steps_ahead_nobody_has_an_index(scheduler: MakeScheduler) -> None:
    s = scheduler(verdicts={"sub": NAMED})
    s(began(1, "a", "b"))
    s(ended("a", send(1)))
    assert s(ahead_ended(1, send(2, "sub"))) == []
    assert s.scheduler.index_of(2) is None
    s(ended("b"))
    commands = s(began(2, *of([send(1)]), "z"))
    assert commands == [Adopt(1, "r0"), Start(2, 3, send(2, "sub"))]
    assert s.scheduler.index_of(2) == 0


@dataclass(frozen=True)
class Shape:
    """A step: how many `Send`s its tasks a, b, c… wrote; None for one that runs."""

    wrote: tuple[int | None, ...]
    expected: tuple[int | None, ...]  # the indexes of all Sends, in order of their writers


SHAPES = [
    Shape((1,), (0,)),
    Shape((3,), (0, 1, 2)),
    Shape((2, None), (0, 1)),
    Shape((None, 2), (None, None)),
    Shape((2, 1, None), (0, 1, 2)),
    Shape((0, 1, None), (0,)),
    Shape((1, None, 1), (0, None)),
    Shape((2, 0, 2, 0, 1), (0, 1, 2, 3, 4)),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("backwards", [False, True])
def test_index_of(scheduler: MakeScheduler, shape: Shape, backwards: bool) -> None:
    s = scheduler()
    keys = "abcdefg"[: len(shape.wrote)]
    s(began(1, *keys))
    wrote = list(zip(keys, shape.wrote, strict=True))
    for key, count in reversed(wrote) if backwards else wrote:
        if count is not None:
            s(ended(key, *(send((key, i)) for i in range(count))))
    aheads = sorted(s.scheduler.aheads.values(), key=lambda a: (a.parent, a.position))
    assert tuple(s.scheduler.index_of(a.key) for a in aheads) == shape.expected


def test_tasks_that_were_done_before_count(scheduler: MakeScheduler) -> None:
    s = scheduler()
    s(began(1, real("a", done=True), "b", "c"))
    s(ended("a", send(1), send(2), send(3)))
    s(ended("b", send(4)))
    assert s.scheduler.index_of(4) == 3


def test_a_task_that_ended_before_the_scheduler_heard_of_its_step(
    scheduler: MakeScheduler,
) -> None:
    s = scheduler()
    s(began(1, real("a", done=True), real("b", done=True), "c"))
    s(ended("a", send(0)))
    assert starts(s(ended("b", send(1), send(2)))) == [2, 3]
    assert [s.scheduler.index_of(k) for k in (1, 2, 3)] == [0, 1, 2]


def test_an_adopted_writer_gives_its_childrens_index(scheduler: MakeScheduler) -> None:
    s = scheduler()
    first, second = send(1), send(2)
    s(began(1, "a", "b"))
    s(ended("a", first, second))
    s(ahead_ended(2, send("child of the second")))
    s(ended("b"))
    s(began(2, *of([first, second])))
    assert s.scheduler.index_of(3) is None  # the first may still write
    s(ended("r0", send("child of the first")))
    assert s.scheduler.index_of(3) == 1
    s(ended("r1", send("child of the second")))
    assert s.scheduler.index_of(3) == 1


@pytest.mark.parametrize(
    "event",
    [
        ended("handler of b"),
        ended("a @task call", end=End.FAILED),
        ended("b", end=End.HANDLED),
    ],
    ids=["error handler", "task call", "handled failure"],
)
def test_a_task_that_joins_in_mid_step_makes_indexes_unknown(
    scheduler: MakeScheduler, event: Event
) -> None:
    s = scheduler(verdicts={"sub": NAMED})
    s(began(1, "a", "b", "c"))
    s(event)
    assert s(ended("a", send(1, "sub"), send(2))) != []
    assert s.scheduler.index_of(2) is None
    assert s.scheduler.aheads[1].reason == "needs its task id"
    s(ended("b"))
    s(ended("c"))
    s(began(2, *of([send(1, "sub"), send(2)])))
    assert starts(s(ended("r0", send(3, "sub")))) == [3]  # known again in the next step
    assert s.scheduler.statistics.held == {"needs its task id": 1}


def test_after_a_stop_nobody_has_an_index(scheduler: MakeScheduler) -> None:
    s = scheduler()
    s(began(1, "a", "b", "c"))
    s(ended("a", end=End.FAILED))
    s(ended("b", send(1)))
    assert s.scheduler.index_of(1) is None
    assert s.scheduler.index_of(99) is None


# Transitions and invariants


def reach(target: State | None) -> tuple[Scheduler, Any]:
    """A scheduler whose task 1 is in the given state."""
    s = Scheduler(RunPolicy(max_ahead=1), {"mail": HELD})
    s.handle(began(1, "a", "b"), 0.0)
    node = "mail" if target is State.HELD else "work"
    if target is State.WAITING:
        s.handle(ended("a", send(0), send(1)), 0.0)
        return s, s.aheads[2]
    s.handle(ended("a", send(1, node)), 0.0)
    ahead = s.aheads[1]
    if target is State.ENDED:
        s.handle(ahead_ended(1), 0.0)
    elif target is State.GAVE_UP:
        s.handle(ahead_ended(1, end=End.GAVE_UP), 0.0)
    elif target is State.ADOPTED:
        s.handle(began(2, *of([send(1)])), 0.0)
    elif target is State.DISCARDED:
        s.handle(RunEnded(), 0.0)
    assert ahead.state is target
    return s, ahead


ILLEGAL = [
    (start, end) for start, end in itertools.product(State, State) if end not in TRANSITIONS[start]
]


@pytest.mark.parametrize(
    ("start", "end"), ILLEGAL, ids=[f"{a.value} to {b.value}" for a, b in ILLEGAL]
)
def test_an_illegal_transition_raises_with_the_tasks_story(start: State, end: State) -> None:
    s, ahead = reach(start)
    with pytest.raises(IllegalTransition) as raised:
        s._move(ahead, end)
    message = str(raised.value)
    assert " -> ".join([*ahead.history, end.value]) in message
    assert f"Task {ahead.key} ({ahead.send.node!r}, step 2)" in message
    assert "bug in langgraph_alto" in message


def test_every_state_can_be_reached_and_left_for_discarded() -> None:
    for target in State:
        _, ahead = reach(target)
        assert ahead.history[-1] == target.value
        assert target is State.DISCARDED or State.DISCARDED in TRANSITIONS[target]


def _break_in_flight(s: Scheduler) -> None:
    s._in_flight += 1


def _break_max_ahead(s: Scheduler) -> None:
    s.policy = replace(s.policy, max_ahead=0)


def _break_statistics(s: Scheduler) -> None:
    s.statistics.adopted += 1


def _break_unfinished(s: Scheduler) -> None:
    s._unfinished = 7


def _break_history(s: Scheduler) -> None:
    s.aheads[1].history.insert(0, "adopted")


def _break_forgetting(s: Scheduler) -> None:
    s.aheads[7] = s.aheads[2]


def _break_steps(s: Scheduler) -> None:
    s.step = 3


def _break_queue(s: Scheduler) -> None:
    s._waiting.clear()


def _break_slots(s: Scheduler) -> None:
    s.policy = replace(s.policy, max_ahead=9)


def _break_held(s: Scheduler) -> None:
    s.verdicts = {"work": HELD}


def _break_reason(s: Scheduler) -> None:
    s.aheads[3].reason = None


def _break_parent(s: Scheduler) -> None:
    s.aheads[1].parents = {99: None}


def _break_children(s: Scheduler) -> None:
    s.aheads[1].children.append(2)


def _break_adoption(s: Scheduler) -> None:
    s._real["b"].adopted = 1


def _break_stop(s: Scheduler) -> None:
    s._stopped = "it stopped"


def _break_limit(s: Scheduler) -> None:
    s.policy = replace(s.policy, last_step=1)


@pytest.mark.parametrize(
    ("sabotage", "rule_name"),
    [
        (_break_in_flight, "in flight counts what began"),
        (_break_max_ahead, "never more than max ahead"),
        (_break_statistics, "statistics add up"),
        (_break_unfinished, "unfinished counts real tasks"),
        (_break_history, "histories are legal"),
        (_break_forgetting, "discarded tasks are forgotten"),
        (_break_steps, "of begun steps only adopted remain"),
        (_break_queue, "waiting tasks are queued"),
        (_break_slots, "no slot stays free"),
        (_break_held, "held tasks never began"),
        (_break_reason, "held tasks have a reason"),
        (_break_parent, "tasks descend from known ones"),
        (_break_children, "only finished tasks have children"),
        (_break_adoption, "an adopted task has one real task"),
        (_break_stop, "nothing begins past a stop"),
        (_break_limit, "nothing begins beyond the last step"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_check_names_the_broken_rule(sabotage: Callable[[Scheduler], None], rule_name: str) -> None:
    s = Scheduler(RunPolicy(max_ahead=1), {"mail": HELD})
    s.handle(began(1, "a", "b"), 0.0)
    s.handle(ended("a", send(1), send(2), send(3, "mail")), 0.0)
    check(s)
    sabotage(s)
    with pytest.raises(InvariantViolated, match=f"^'{rule_name}' is broken: ") as raised:
        check(s)
    assert isinstance(raised.value, AltoError)


def test_check_names_the_broken_rule_of_commands() -> None:
    s = Scheduler(RunPolicy(), {})
    s.handle(began(1, "a", "b"), 0.0)
    s.handle(ended("a", send(1), send(2)), 0.0)
    for command in (Start(1, 3, send(1)), Adopt(3, "a"), Discard(1, "why")):
        with pytest.raises(InvariantViolated, match=r"^'commands agree with states' is broken"):
            check(s, [command])
    s.handle(ahead_ended(1, end=End.FAILED), 0.0)
    s.handle(ahead_ended(2, send(3)), 0.0)
    check(s, [])
    with pytest.raises(InvariantViolated, match=r"beyond a failure.*Task 3 .*: waiting\."):
        check(s, [Start(3, 3, send(3))])


def test_every_rule_has_a_name_of_its_own() -> None:
    names = [rule.__name__ for rule in RULES]
    assert len(set(names)) == len(names)


# Random runs: a small model of LangGraph drives the scheduler ----------------------------------


@dataclass(frozen=True)
class Body:
    """What a body does, whoever runs it."""

    sends: tuple[SendSpec, ...]
    end: End


@dataclass
class ModelTask:
    """A real task of the current step, in the model."""

    task: RealTask
    send: SendSpec | None
    ended: End | None = None
    sends: tuple[SendSpec, ...] = ()


VERDICTS: Mapping[str, Verdict] = {
    "free": FREE,
    "proven": PROVEN,
    "held": HELD,
    "asks": ASKS,
    "named": NAMED,
}
NODES = st.sampled_from([*VERDICTS, "free", "free", "proven"])


class Model(RuleBasedStateMachine):
    """LangGraph as far as the scheduler knows it, and what must be true of the answers.

    The model keeps its own books: which `Send`s were written, which of them began, what a step
    commits. It never looks into the scheduler, except to check its invariants.
    """

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.answers: list[list[Command]] = []
        self.bodies: dict[int, Body] = {}
        self.fresh = itertools.count()
        self.step = 0
        self.tasks: list[ModelTask] = []
        self.is_over = False
        self.stopped = False
        self.known: list[tuple[int, SendSpec]] = []
        self.running: dict[int, Start] = {}
        self.kept: dict[int, Start] = {}
        self.gave_up: set[int] = set()
        self.adopted: dict[str, int] = {}
        self.ever_started: set[int] = set()
        self.told_index: dict[int, int] = {}
        self.failed: dict[int, int] = {}

    @initialize(
        max_ahead=st.sampled_from([1, 2, 5, 64]),
        resumable=st.booleans(),
        last_step=st.sampled_from([3, 1 << 60]),
        at_step_end=st.booleans(),
        count=st.integers(1, 4),
    )
    def begin(
        self, max_ahead: int, resumable: bool, last_step: int, at_step_end: bool, count: int
    ) -> None:
        self.policy = RunPolicy(
            max_ahead=max_ahead,
            resumable=resumable,
            last_step=last_step,
            start_at_step_end=at_step_end,
        )
        self.scheduler = Scheduler(self.policy, VERDICTS, same=lambda a, b: a == b)
        self.prepare([], count)

    # The world

    def send_spec(self, data: st.DataObject) -> SendSpec:
        # Small numbers are the same object and often equal; lists are equal, not identical.
        value = data.draw(st.integers(0, 2))
        arg: object = value if data.draw(st.booleans()) else [value, next(self.fresh) % 2]
        return SendSpec(data.draw(NODES), arg, packet=next(self.fresh))

    def body_of(self, packet: object, data: st.DataObject) -> Body:
        """What this task's body does: the same, ahead or real."""
        assert isinstance(packet, int)
        if packet not in self.bodies:
            ends = st.sampled_from([End.FINISHED] * 12 + [End.FAILED, End.INTERRUPTED])
            count = data.draw(st.sampled_from([0, 1, 1, 2, 2, 3]))
            self.bodies[packet] = Body(
                tuple(self.send_spec(data) for _ in range(count)), data.draw(ends)
            )
        body = self.bodies[packet]
        return body if body.end is End.FINISHED else replace(body, sends=())

    def prepare(self, sends: list[SendSpec], pulls: int) -> None:
        self.step += 1
        self.stopped = False
        self.adopted = {}
        self.tasks = [
            ModelTask(RealTask(f"{self.step}/{i}", s.node, (1, i), push=True, arg=s.arg), s)
            for i, s in enumerate(sends)
        ] + [
            ModelTask(RealTask(f"{self.step}/edge{i}", "free", (0, i)), None) for i in range(pulls)
        ]
        self.tell(StepBegan(self.step, tuple(t.task for t in self.tasks)))
        late = [k for k, s in {**self.running, **self.kept}.items() if s.step <= self.step]
        assert late == [], "what ran ahead of this step is adopted or discarded"

    def tell(self, event: Event) -> None:
        commands = self.scheduler.handle(event, 0.0)
        self.events.append(event)
        self.answers.append(commands)
        check(self.scheduler, commands)
        for command in commands:
            match command:
                case Start():
                    self.saw_start(command)
                case Adopt():
                    self.saw_adopt(command)
                case Discard():
                    self.saw_discard(command)
        for key in self.running:
            index = self.scheduler.index_of(key)
            if index is not None:
                assert self.told_index.setdefault(key, index) == index, "it never changes"

    # What must be true of every answer

    def saw_start(self, start: Start) -> None:
        assert not self.stopped
        assert not self.is_over
        assert start.step > self.step
        assert start.step <= self.policy.last_step
        assert start.ahead not in self.ever_started
        assert (start.step, start.send) in self.known, "only what a finished task wrote"
        assert start.send.node != "held"
        if self.policy.resumable:
            assert start.send.node != "named"
        assert all(start.step <= step for step in self.failed.values())
        self.known.remove((start.step, start.send))
        self.ever_started.add(start.ahead)
        self.running[start.ahead] = start
        assert len(self.running) + len(self.kept) <= self.policy.max_ahead

    def saw_adopt(self, adopt: Adopt) -> None:
        start = self.running.pop(adopt.ahead, None) or self.kept.pop(adopt.ahead)
        (task,) = [t for t in self.tasks if t.task.key == adopt.key]
        assert task.task.push, "only prepared Send tasks are adopted"
        assert not task.task.done
        assert start.step == self.step
        assert (start.send.node, start.send.arg) == (task.task.node, task.task.arg)
        assert adopt.key not in self.adopted
        self.adopted[adopt.key] = adopt.ahead
        # A body that was told its index gets that very task.
        if adopt.ahead in self.told_index:
            assert task.task.key == f"{self.step}/{self.told_index[adopt.ahead]}"

    def saw_discard(self, discard: Discard) -> None:
        self.failed.pop(discard.ahead, None)
        found = self.running.pop(discard.ahead, None) or self.kept.pop(discard.ahead, None)
        assert found is not None or discard.ahead in self.adopted.values()

    # What may happen

    @property
    def open(self) -> list[ModelTask]:
        return [t for t in self.tasks if t.ended is None]

    @precondition(lambda self: self.open and not self.is_over)
    @rule(data=st.data())
    def real_task_ends(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.open))
        ahead = self.adopted.get(task.task.key)
        if task.send is None:
            body = Body(
                tuple(self.send_spec(data) for _ in range(data.draw(st.integers(0, 3)))),
                End.FINISHED,
            )
        elif ahead is not None:
            # It stands for the run-ahead body, which may have another packet of an equal Send.
            body = self.body_of(self.packet[ahead], data)
        else:
            body = self.body_of(task.send.packet, data)
        task.ended, task.sends = body.end, body.sends
        if body.end is not End.FINISHED:
            self.stopped = True
        elif ahead is None or ahead not in self.body_ended:
            self.known += [(self.step + 1, s) for s in body.sends]
        self.tell(TaskEnded(task.task.key, body.end, body.sends))
        if self.stopped:
            assert not self.running
            assert not self.kept

    @property
    def packet(self) -> dict[int, object]:
        return {c.ahead: c.send.packet for cs in self.answers for c in cs if isinstance(c, Start)}

    @property
    def body_ended(self) -> set[int]:
        return {e.ahead for e in self.events if isinstance(e, AheadEnded)}

    @precondition(lambda self: self.running and not self.is_over)
    @rule(data=st.data())
    def body_ahead_ends(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        start = self.running.pop(key)
        body = self.body_of(start.send.packet, data)
        self.kept[key] = start
        if body.end is End.FINISHED:
            self.known += [(start.step + 1, s) for s in body.sends]
        else:
            self.failed[key] = start.step
        self.tell(AheadEnded(key, body.end, body.sends))

    @precondition(lambda self: self.running and not self.is_over)
    @rule(data=st.data())
    def body_ahead_gives_up(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        del self.running[key]
        self.gave_up.add(key)
        self.tell(AheadEnded(key, End.GAVE_UP))

    @precondition(lambda self: not self.is_over)
    @rule(data=st.data(), had_begun=st.booleans())
    def adoption_is_rejected(self, data: st.DataObject, had_begun: bool) -> None:
        open_keys = {t.task.key for t in self.open}
        fresh = sorted(k for k in self.adopted if k in open_keys)
        if fresh:
            key = data.draw(st.sampled_from(fresh))
            ahead = self.adopted[key]
            began = had_begun or ahead in self.body_ended
            self.tell(AheadRejected(ahead, "rejected", began))
            del self.adopted[key]

    @rule()
    def slots_changed(self) -> None:
        self.tell(SlotsChanged())

    @precondition(lambda self: not self.open and not self.is_over)
    @rule(pulls=st.integers(0, 2))
    def next_step_begins(self, pulls: int) -> None:
        """Everything ended: LangGraph commits, and prepares a task for each `Send`."""
        if any(t.ended is not End.FINISHED for t in self.tasks):
            self.end_run()
            return
        sends = [s for t in sorted(self.tasks, key=lambda t: t.task.order) for s in t.sends]
        before = {k for k, s in {**self.running, **self.kept}.items() if s.step == self.step + 1}
        self.known = [k for k in self.known if k[0] > self.step + 1]
        self.told_index = {k: i for k, i in self.told_index.items() if k in before}
        self.prepare(sends, pulls)
        # Every Send was written by a body that does the same whoever runs it: nothing is lost.
        assert before == set(self.adopted.values())

    @precondition(lambda self: not self.is_over)
    @rule(really=st.sampled_from([False] * 19 + [True]))
    def run_is_cancelled(self, really: bool) -> None:
        if really:
            self.end_run()

    def end_run(self) -> None:
        self.is_over = True
        self.tell(RunEnded())
        assert not self.running
        assert not self.kept

    @invariant()
    def scheduler_is_sound(self) -> None:
        if self.events:
            check(self.scheduler)

    def teardown(self) -> None:
        """The same events give the same commands, at whatever time they come."""
        if self.events:
            again = Scheduler(self.policy, VERDICTS, same=lambda a, b: a == b)
            assert [again.handle(e, 3.5 * i) for i, e in enumerate(self.events)] == self.answers


TestRandomRuns = Model.TestCase
TestRandomRuns.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
