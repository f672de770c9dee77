"""When outputs may be seen: examples by hand, then random bodies against plain sorting."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_alto.core.order import TOGETHER, StepOrder, Turn, WakeAt

# By hand


def test_nothing_waits_nothing_is_due() -> None:
    order = StepOrder()
    assert order.next(now=0.0) is None
    order.began("a", zero=0.0)
    assert order.next(now=5.0) is None


def test_without_running_bodies_everything_is_due() -> None:
    order = StepOrder()
    order.wait("a", offset=1e9)
    assert order.horizon(now=0.0) == float("inf")
    assert order.next(now=0.0) == Turn("a")


def test_the_horizon_is_the_age_of_the_youngest() -> None:
    order = StepOrder()
    order.began("ahead", zero=0.0)
    order.began("real", zero=10.0)
    assert order.horizon(now=12.0) == 2.0
    order.ended("real")
    assert order.horizon(now=12.0) == 12.0
    order.ended("ahead")
    assert order.horizon(now=12.0) == float("inf")


def test_an_output_waits_until_every_body_that_runs_is_as_old() -> None:
    order = StepOrder()
    order.began("real", zero=10.0)
    order.wait("ahead", offset=3.0)
    assert order.next(now=10.0) == WakeAt(13.0, "ahead")
    assert order.next(now=12.0) == WakeAt(13.0, "ahead")
    assert order.next(now=13.0) == Turn("ahead")


def test_asking_at_the_time_of_waking_gives_the_turn_whatever_rounding_does() -> None:
    order = StepOrder()
    zero, offset = 1000.1, 0.3
    order.began("real", zero=zero)
    order.wait("ahead", offset=offset)
    found = order.next(now=zero + 0.1)
    assert isinstance(found, WakeAt)
    assert order.next(now=found.at) == Turn("ahead")


def test_smaller_offsets_go_first_and_equal_ones_in_order_of_asking() -> None:
    order = StepOrder()
    for key, offset in [("late", 2.0), ("first", 1.0), ("second", 1.0)]:
        order.wait(key, offset)
    handed = []
    while isinstance(turn := order.next(now=0.0), Turn):
        handed.append(turn.key)
        order.release(turn.key)
    assert handed == ["first", "second", "late"]


def test_one_turn_at_a_time() -> None:
    order = StepOrder()
    order.wait("a", offset=1.0)
    order.wait("b", offset=1.0)
    assert order.next(now=0.0) == Turn("a")
    assert order.holder == "a"
    assert order.next(now=9.0) is None
    order.release("b")  # it has none: nothing changes
    assert order.next(now=9.0) is None
    order.release("a")
    assert order.next(now=9.0) == Turn("b")


def test_a_failing_sibling_cuts_off_what_is_later() -> None:
    """Outputs beyond the age at which a sibling fails are not handed out before it does."""
    order = StepOrder()
    order.began("fails at 2", zero=10.0)
    order.wait("ahead", offset=1.0)
    assert isinstance(order.next(now=11.0), Turn)
    order.release("ahead")
    order.wait("ahead", offset=3.0)
    assert isinstance(order.next(now=12.0), WakeAt)


def test_a_body_that_began_again_counts_from_then() -> None:
    order = StepOrder()
    order.began("a", zero=0.0)
    order.began("a", zero=8.0)  # it had been paused for eight seconds
    assert order.horizon(now=10.0) == 2.0
    order.began("a", zero=5.0)
    assert order.horizon(now=10.0) == 5.0
    order.ended("a")
    assert order.horizon(now=10.0) == float("inf")


def test_the_end_of_an_unknown_body_changes_nothing() -> None:
    order = StepOrder()
    order.began("a", zero=1.0)
    order.ended("b")
    assert order.horizon(now=3.0) == 2.0


# Ties: outputs less than TOGETHER apart


def test_an_output_may_come_a_moment_early() -> None:
    order = StepOrder(["real", "ahead"])
    order.began("real", zero=10.0)
    order.wait("ahead", offset=3.0, is_end=False)
    assert order.next(now=12.0) == WakeAt(13.0 - TOGETHER, "ahead")
    assert order.next(now=13.0 - TOGETHER) == Turn("ahead")


@pytest.mark.parametrize(
    ("tasks", "at"),
    [(["ahead", "real", "other"], 13.0 - TOGETHER), (["real", "ahead", "other"], 13.0)],
    ids=["all that run come after it", "one that runs comes before it"],
)
def test_an_end_may_come_early_if_its_task_is_the_first(tasks: list[str], at: float) -> None:
    order = StepOrder(tasks)
    order.began("other", zero=9.0)
    order.began("real", zero=10.0)
    order.wait("ahead", offset=3.0, is_end=True)
    assert order.next(now=12.0) == WakeAt(at, "ahead")


def test_an_end_may_come_early_when_the_tasks_before_it_have_ended() -> None:
    order = StepOrder(["first", "ahead", "last"])
    order.began("first", zero=10.0)
    order.began("last", zero=10.0)
    order.wait("ahead", offset=TOGETHER / 2, is_end=True)
    assert isinstance(order.next(now=10.0), WakeAt)
    order.ended("first")
    assert order.next(now=10.0) == Turn("ahead")


def test_what_is_emitted_together_is_handed_out_in_turns() -> None:
    order = StepOrder(["a", "b"])
    order.wait("a", offset=1.0 + TOGETHER * 0.3, is_end=False)
    order.wait("b", offset=1.0 + TOGETHER * 0.1, is_end=False)
    assert order.next(now=0.0) == Turn("a")
    assert not order.goes_on("a", 1.0 + TOGETHER * 0.5, now=0.0, is_end=False)
    order.release("a")
    order.wait("a", offset=1.0 + TOGETHER * 0.5, is_end=False)
    assert order.next(now=0.0) == Turn("b")
    assert order.goes_on("b", 1.0 - TOGETHER, now=0.0, is_end=False)


# goes_on: the holder of the turn keeps it


@pytest.fixture
def holding() -> StepOrder:
    """`ahead` holds the turn; `real` is 2 seconds old; `other` waits with 1.5 at the time 12."""
    order = StepOrder()
    order.began("real", zero=10.0)
    order.wait("ahead", offset=1.0)
    order.wait("other", offset=1.5)
    assert order.next(now=12.0) == Turn("ahead")
    return order


@pytest.mark.parametrize(
    ("key", "offset", "goes_on"),
    [
        ("ahead", 1.2, True),
        ("ahead", 1.5, False),  # a tie: they take turns
        ("ahead", 1.6, False),  # the other one is first
        ("ahead", 9.0, False),  # the real body may emit before that
        ("other", 1.2, False),  # it does not hold the turn
    ],
)
def test_goes_on(holding: StepOrder, key: str, offset: float, goes_on: bool) -> None:
    assert holding.goes_on(key, offset, now=12.0) is goes_on
    assert holding.holder == "ahead"


def test_goes_on_up_to_the_horizon_when_nobody_waits() -> None:
    order = StepOrder()
    order.began("real", zero=10.0)
    order.wait("ahead", offset=1.0)
    order.next(now=12.0)
    assert order.goes_on("ahead", 2.0, now=12.0)
    assert not order.goes_on("ahead", 2.5, now=12.0)
    assert order.goes_on("ahead", 2.5, now=12.5)


# Random bodies ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Body:
    """A body of the step: when it began, what it emitted at which age, how long it ran.

    `pause`: from that age on it waited for its adoption, as a router does, and went on when
    its step began.
    """

    zero: float
    offsets: tuple[float, ...]
    duration: float
    pause: float | None


@dataclass
class Handed:
    at: float
    offset: float
    key: str
    emitted_at: float


STEP = 100.0
"""When the step begins; bodies with an earlier zero ran ahead of it."""

QUARTERS = st.integers(0, 40).map(lambda n: n / 4)  # exact in binary: no rounding in the model


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    offsets = tuple(sorted(draw(st.lists(QUARTERS, max_size=4))))
    duration = max((*offsets, draw(QUARTERS)))
    lead = draw(st.one_of(st.just(0.0), QUARTERS))
    pause = draw(st.one_of(st.none(), QUARTERS)) if lead else None
    if pause is None or pause > lead or pause > duration:
        return Body(STEP - lead, offsets, duration, None)
    # It stood still since then: at the step's beginning it is as old as when it paused.
    return Body(STEP - pause, offsets, duration, pause)


@dataclass
class Simulation:
    """A driver of `StepOrder` in virtual time, as `_langgraph.run` is one in real time."""

    bodies: dict[str, Body]
    holding: float = 0.0  # how long handing out takes
    order: StepOrder = field(default_factory=StepOrder)
    handed: list[Handed] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.serial = count()
        self.agenda: list[tuple[float, int, str, str]] = []
        self.boxes: dict[str, deque[tuple[float, float]]] = {}
        self.queued: set[str] = set()

    def run(self) -> list[Handed]:
        adopted = {k: b for k, b in self.bodies.items() if b.zero < STEP or b.pause is not None}
        for key, body in self.bodies.items():
            self.boxes[key] = deque()
            ends_at = body.zero + body.duration
            if key in adopted:
                for offset in (*body.offsets, body.duration):
                    if body.zero + offset > STEP:
                        self.plan(body.zero + offset, "emit", key)
                    else:
                        self.boxes[key].append((offset, body.zero + offset))
            else:
                for offset in (*body.offsets, body.duration):
                    self.plan(body.zero + offset, "emit directly", key)
            if ends_at > STEP or key not in adopted:
                self.order.began(key, body.zero)
                self.plan(ends_at, "end", key)
        for key in adopted:
            self.queue(key)
        self.pump(STEP)
        while self.agenda:
            now, _, what, key = heapq.heappop(self.agenda)
            self.do(now, what, key)
            self.pump(now)
        return self.handed

    def plan(self, at: float, what: str, key: str) -> None:
        heapq.heappush(self.agenda, (at, next(self.serial), what, key))

    def do(self, now: float, what: str, key: str) -> None:
        body = self.bodies[key]
        match what:
            case "emit":
                self.boxes[key].append((now - body.zero, now))
                self.queue(key)
            case "emit directly":
                self.handed.append(Handed(now, now - body.zero, key, now))
            case "end":
                self.order.ended(key)
            case "hand out":
                offset, emitted_at = self.boxes[key].popleft()
                self.handed.append(Handed(now, offset, key, emitted_at))
                if self.boxes[key] and self.order.goes_on(key, self.boxes[key][0][0], now):
                    self.plan(now + self.holding, "hand out", key)
                    return
                self.queued.discard(key)
                self.order.release(key)
                self.queue(key)

    def queue(self, key: str) -> None:
        if self.boxes[key] and key not in self.queued:
            self.queued.add(key)
            self.order.wait(key, self.boxes[key][0][0])

    def pump(self, now: float) -> None:
        match self.order.next(now):
            case Turn(key):
                assert isinstance(key, str)
                if self.holding:
                    self.plan(now + self.holding, "hand out", key)
                else:
                    self.do(now, "hand out", key)
                    self.pump(now)
            case WakeAt(at, key):
                assert at > now
                self.plan(at, "wake", str(key))


def named(found: list[Body]) -> dict[str, Body]:
    return {f"task {i}": body for i, body in enumerate(found)}


def expected(found: dict[str, Body]) -> list[tuple[str, float]]:
    return [(k, o) for k, b in found.items() for o in (*b.offsets, b.duration)]


@given(st.lists(bodies(), max_size=5).map(named))
def test_outputs_are_handed_out_sorted_by_offset_and_never_late(found: dict[str, Body]) -> None:
    handed = Simulation(found).run()
    # Everything is handed out, once.
    assert sorted((h.key, h.offset) for h in handed) == sorted(expected(found))
    # In the order in which LangGraph, which starts all bodies together, would have: ties are free.
    assert all(a.offset <= b.offset for a, b in pairwise(handed))
    # Within a task, in the order in which its body emitted.
    for key, body in found.items():
        assert [h.offset for h in handed if h.key == key] == [*body.offsets, body.duration]
    for h in handed:
        assert h.at >= h.emitted_at
        assert h.at <= STEP + h.offset, "never later than under LangGraph"


@given(st.lists(bodies(), max_size=5).map(named), st.sampled_from([0.25, 1.0, 3.0]))
def test_slow_handlers_delay_and_do_not_reorder(found: dict[str, Body], holding: float) -> None:
    handed = Simulation(found, holding).run()
    assert sorted((h.key, h.offset) for h in handed) == sorted(expected(found))
    queued = [h for h in handed if found[h.key].zero < STEP or found[h.key].pause is not None]
    for a, b in pairwise(queued):
        # What came later with a smaller offset was not there yet when the other had its turn.
        assert a.offset <= b.offset or b.emitted_at > a.at - holding
    if all(b.zero + b.duration <= STEP for b in found.values()):
        assert all(a.offset <= b.offset for a, b in pairwise(handed))


@given(st.lists(bodies(), min_size=1, max_size=5).map(named))
def test_when_all_bodies_ended_nothing_waits(found: dict[str, Body]) -> None:
    simulation = Simulation(found)
    simulation.run()
    order = simulation.order
    assert order.holder is None
    assert order.next(now=1e9) is None
    assert order.horizon(now=1e9) == float("inf")


@given(st.lists(bodies(), max_size=5).map(named))
def test_a_step_takes_no_longer_than_its_longest_body(found: dict[str, Body]) -> None:
    """Counted from the step's beginning, as LangGraph would need."""
    handed = Simulation(found).run()
    longest = max((b.duration for b in found.values()), default=0.0)
    assert all(h.at <= STEP + longest for h in handed)
