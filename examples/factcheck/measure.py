"""What a run's calls tell: its bodies, the bound, and where the time went.

Both executors are measured by the same log, which the fake model and the fake search write
(`langgraph_alto.testing.CallLog`). A body is known by its node and its claim, and lasts from
its first call's start to its last call's end; all its calls run side by side, so a body has
no other work worth measuring.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from langgraph_alto.testing import Call

STAGES = ("answer", "extract", "claim", "search", "verdict", "report")
"""The nodes in their order: on LangGraph's executor, each is one superstep."""

IN_CHAIN = ("claim", "search", "verdict")


class Key(NamedTuple):
    """Which body: the node, and the claim that it works on if it is in a chain."""

    node: str
    claim: int | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """A body's time, in seconds since the run began; `ended` is None while it runs."""

    key: Key
    started: float
    ended: float | None

    @property
    def duration(self) -> float:
        return 0.0 if self.ended is None else self.ended - self.started


def bodies_of(calls: Iterable[Call], origin: float) -> dict[Key, Body]:
    """The bodies in a log, for a run that began at `origin`.

    A body that was dropped and run again appears once, as it was completed.
    """
    grouped: dict[Key, list[Call]] = {}
    for call in calls:
        if call.node and (call.completed or call.ended is None):
            grouped.setdefault(Key(call.node, call.metadata.get("claim")), []).append(call)
    found: dict[Key, Body] = {}
    for key, group in grouped.items():
        ends = [call.ended for call in group]
        found[key] = Body(
            key,
            min(call.started for call in group) - origin,
            None if None in ends else max(end for end in ends if end is not None) - origin,
        )
    return found


def dependencies(keys: Iterable[Key]) -> dict[Key, list[Key]]:
    """What each body's data comes from: the previous stage, of the same claim in a chain.

    `report` needs all verdicts. No barrier is in here.
    """
    known = list(keys)
    needed: dict[Key, list[Key]] = {}
    for key in known:
        stage = STAGES.index(key.node)
        previous = [k for k in known if stage and k.node == STAGES[stage - 1]]
        needed[key] = [k for k in previous if None in (k.claim, key.claim) or k.claim == key.claim]
    return needed


def critical_path(
    durations: Mapping[Key, float],
    needed: Mapping[Key, Sequence[Key]],
    shares: Mapping[Key, float] | None = None,
) -> tuple[float, list[Key]]:
    """The longest way through the dependencies: its seconds, and its bodies in order.

    `shares` tells for a body how much of the bodies before it must be over when it can
    begin, where that is not all.
    """
    shares = shares or {}
    started: dict[Key, tuple[float, list[Key]]] = {}

    def start_of(key: Key) -> tuple[float, list[Key]]:
        """When a body can begin, and the bodies that it waits for."""
        if key not in started:
            share = shares.get(key, 1.0)
            ways = [(start_of(k)[0] + durations[k] * share, k) for k in needed[key]]
            ready, last = max(ways, default=(0.0, None), key=lambda way: way[0])
            started[key] = (ready, [*start_of(last)[1], last] if last else [])
        return started[key]

    ends = [(start_of(key)[0] + durations[key], [*start_of(key)[1], key]) for key in durations]
    return max(ends, default=(0.0, []), key=lambda way: way[0])


def bound(runs: Sequence[Mapping[Key, Body]], shares: Mapping[Key, float] | None = None) -> float:
    """The least latency of a question: the critical path of its bodies, each at its fastest.

    The same body takes a little longer when more run beside it. Its fastest run is the one
    nearest to having the engine to itself, so the bound is below every run's latency.

    Without `shares` a body begins when the one that sent it has ended, which no executor can
    better without looking inside a body. With them it begins as soon as its own item is
    written: what an executor could reach that hands a list on while it grows.
    """
    keys = set.intersection(*(set(run) for run in runs))
    fastest = {key: min(run[key].duration for run in runs) for key in keys}
    return critical_path(fastest, dependencies(fastest), shares)[0]


def shares_written(tokens: Sequence[int]) -> dict[Key, float]:
    """For each claim's first body, how much of the list of claims is written with its claim."""
    total = sum(tokens)
    written = accumulate(tokens)
    return {Key(IN_CHAIN[0], index): part / total for index, part in enumerate(written)}


def barriers(bodies: Mapping[Key, Body]) -> dict[str, float]:
    """When a superstep executor could have begun each stage: the end of the stage before."""
    opened: dict[str, float] = {}
    moment = 0.0
    for stage in STAGES:
        opened[stage] = moment
        ends = [body.ended for key, body in bodies.items() if key.node == stage]
        moment = max([moment, *(float("inf") if end is None else end for end in ends)])
    return opened


@dataclass(frozen=True, slots=True)
class Spent:
    """A latency taken apart along the chain of bodies that ended last. The parts add up."""

    model: float = 0.0
    search: float = 0.0
    barriers: float = 0.0
    executor: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.model + other.model,
            self.search + other.search,
            self.barriers + other.barriers,
            self.executor + other.executor,
        )


def spent(bodies: Mapping[Key, Body], latency: float) -> Spent:
    """Where the time of a run went, walked back from its end.

    From the last body back, each time to the latest of the bodies that it needed. The gap
    before a body is a wait at a barrier as long as its superstep could not have begun, and
    otherwise the executor's.
    """
    needed = dependencies(bodies)
    opened = barriers(bodies)
    total = Spent()
    moment = latency
    at: Key | None = max(bodies, key=lambda key: bodies[key].ended or 0.0, default=None)
    if at is not None:  # after the last body only the executor is left
        total += Spent(executor=moment - (bodies[at].ended or 0.0))
    while at is not None:
        body = bodies[at]
        is_search = at.node == "search"
        total += Spent(search=body.duration) if is_search else Spent(model=body.duration)
        at = max(needed[at], key=lambda key: bodies[key].ended or 0.0, default=None)
        ready = (bodies[at].ended or 0.0) if at else 0.0
        gap = body.started - ready
        opening = opened[body.key.node]
        waited = max(0.0, opening - ready) if body.started >= opening else 0.0
        total += Spent(barriers=waited, executor=gap - waited)
    return total
