"""One case from end to end: run it on both executors, and judge what differs.

LangGraph differs from itself when delays change, since the errors and interrupts of siblings
race. So a difference counts only where LangGraph shows none in the same aspect: first under the
very same delays, then with ties broken or a quick saver, at last under other delays. The verdict
says which of them explained it, from strong evidence to weak.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from compat.fuzz.compare import Difference, compare, compare_executors
from compat.fuzz.generate import features
from compat.fuzz.plan import GraphPlan
from compat.fuzz.run import Executor, Outcome, execute

TIES = ("+1", "+2", "+3", "+4", "+5", "+6")
"""The same delays to a millisecond: what would end in the same instant ends in one order or
another."""

QUICK_SAVER = "quick saver"
"""The same delays, and saving takes no time. LangGraph saves a checkpoint in the background, and
joins of edges hand out the very set that they change in the next step: with a slow saver, what
is saved of them belongs to a later step, and `get_state` then believes that. Beside run-ahead
ALTO copies them, so it can save what LangGraph would save if it were quicker."""

OF_SAVER = {"saved", "history", "pauses"}
"""The aspects that show what was saved."""

OTHER_DELAYS = ("1", "-0", "~2", "none", "~3", "~4", "~5", "~6")
"""The baseline: other seeds, every delay mirrored ("-0"), no delay at all, and delays that
break ties ("~")."""

SAME_DELAYS_AGAIN = 20
"""With threads in it even the same delays give other orders. On the virtual clock fewer are
enough: for what LangGraph takes from a set (siblings that fail in the same instant)."""


@dataclass
class Verdict:
    """What came of a case, as data that travels between processes."""

    seed: int
    plan: str
    unexplained: list[str] = field(default_factory=list)
    explained: list[str] = field(default_factory=list)
    aspects: list[str] = field(default_factory=list)
    baseline: list[str] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    fallbacks: list[str] = field(default_factory=list)
    virtual: tuple[float, float] = (0.0, 0.0)
    bodies: tuple[int, int] = (0, 0)
    trouble: str | None = None
    shrunk: str | None = None


def judge(
    plan: GraphPlan,
    executor: Executor = "alto",
    stage: Callable[[str], None] = lambda name: None,
) -> Verdict:
    """Run a case on LangGraph and on `executor`, and on LangGraph with other delays.

    `stage` is told who runs next, so that a watchdog can name who hangs.
    """
    verdict = Verdict(plan.seed, plan.to_json(), features=sorted(features(plan)))
    stage("langgraph")
    langgraph = execute(plan)
    stage(executor)
    other = execute(plan, executor)
    stage("langgraph")
    baseline = compare(plan, langgraph, execute(plan, delays=OTHER_DELAYS[0]))
    verdict.baseline = [difference.aspect for difference in baseline]
    _note(verdict, langgraph, other)
    differences = _differences(plan, executor, langgraph, other)
    if differences:
        causes = _causes(plan, langgraph, {difference.aspect for difference in differences})
        verdict.aspects = sorted(aspect for aspect, delays in causes.items() if delays is None)
        for difference in differences:
            delays = causes[difference.aspect]
            if delays is None:
                verdict.unexplained.append(str(difference))
            else:
                verdict.explained.append(f"{difference} (delays {delays})")
    return verdict


def differs(plan: GraphPlan, executor: Executor, aspects: set[str]) -> bool:
    """Whether a case still shows an unexplained difference in one of these aspects."""
    langgraph = execute(plan)
    # Between threads a difference can come and go: look more than once.
    for _ in range(1 if plan.has_exact_order() else 3):
        differences = [
            difference
            for difference in _differences(plan, executor, langgraph, execute(plan, executor))
            if difference.aspect in aspects
        ]
        if differences:
            found = {difference.aspect for difference in differences}
            return None in _causes(plan, langgraph, found).values()
    return False


def _differences(
    plan: GraphPlan, executor: Executor, langgraph: Outcome, other: Outcome
) -> list[Difference]:
    if executor == "alto":
        return compare_executors(plan, langgraph, other)
    return compare(plan, langgraph, other)


def _causes(plan: GraphPlan, langgraph: Outcome, aspects: set[str]) -> dict[str, str | None]:
    """For each aspect the delays under which LangGraph differs from itself in it, or None."""
    causes: dict[str, str | None] = dict.fromkeys(aspects)
    again = ("0",) * (3 if plan.has_exact_order() else SAME_DELAYS_AGAIN)
    saves_late = plan.run.latency > 0 and plan.run.durability in (None, "async")
    quick = (QUICK_SAVER,) if saves_late and OF_SAVER & aspects else ()
    for delays in itertools.chain(again, TIES, quick, OTHER_DELAYS):
        if None not in causes.values():
            break
        for difference in compare(plan, langgraph, _baseline(plan, delays)):
            is_asked = delays != QUICK_SAVER or difference.aspect in OF_SAVER
            if is_asked and causes.get(difference.aspect, "not asked") is None:
                causes[difference.aspect] = delays
    return causes


def _baseline(plan: GraphPlan, delays: str) -> Outcome:
    if delays != QUICK_SAVER:
        return execute(plan, delays=delays)
    quick = plan.copy()
    quick.run.latency = 0.0
    return execute(quick)


def _note(verdict: Verdict, langgraph: Outcome, other: Outcome) -> None:
    names = ("started", "adopted", "discarded", "rerun", "abandoned")
    verdict.counters = {name: other.total(name) for name in names}
    for report in other.reports:
        for reason, count in report["held"].items():
            verdict.held[reason] = verdict.held.get(reason, 0) + count
        verdict.fallbacks += report["fallbacks"]
    verdict.virtual = (langgraph.virtual, other.virtual)
    verdict.bodies = (langgraph.bodies.total(), other.bodies.total())
