"""The bound of a run, and where its time went: from its bodies and what depended on what.

**The bound** is the longest path through the bodies of a run: each takes the time that it took,
and begins when everything that it depends on is there. What it depends on is

- the task that sent it, or the tasks that triggered it (all parts of a join; where edges of
  several tasks lead to it, the first of these to end);
- the tasks that last wrote what it reads, or added to it, where that is a collection;
- what the router read that led to it.

Steps are no dependency: what a superstep executor waits for beside these is a barrier. A task
that was made from one element of a list which a generator yielded depends on that element, and
not on the generator's end. A node that is a graph takes as long as the longest path inside it.

So the bound is what an executor would need that starts every body the moment it can, costs
nothing itself, and leaves the bodies and their order of writes as they are. `Dependency.guessed`
marks what is only known as possible: without these, `longest_path` gives the bound that
declarations could reach at most.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from langgraph_alto.core.fanout import START


@dataclass(frozen=True, slots=True)
class Dependency:
    """Something that had to be there before a body could begin.

    Attributes:
        on: The index of the body that gave it.
        via: How: "send", "direct", "join", "conditional", "command", "channel", "data", "order".
        after: Seconds from that body's begin at which it was given; None: at its end.
        guessed: It may not be needed: what the body reads, or the other writes, is not known.
    """

    on: int
    via: str
    after: float | None = None
    guessed: bool = False


class Emitted(NamedTuple):
    """A partial output: seconds since the run began, its key, its place in that key's list.

    The place is None where the value of the key is no list.
    """

    at: float
    key: str
    place: int | None


@dataclass(slots=True)
class Body:
    """One execution of a node's body that became a task of the run. Seconds since the run began.

    Attributes:
        id: Unique in its run.
        node: The node; `"parent:child"` in a subgraph.
        step: The superstep of its task.
        began: When the body began.
        ended: When it ended, its router and what comes after left out.
        depends: What it depended on. Empty: on the begin of the run, or of the node around it.
        inside: The index of the body of the subgraph node that it ran in.
        step_began: When LangGraph's loop began its step.
        ahead: It began before its step.
        path: Where it descends from.
        namespace: The subgraph nodes around it.
        failed: It raised.
        emitted: Its partial outputs, by time.
    """

    id: str
    node: str
    step: int
    began: float
    ended: float
    depends: tuple[Dependency, ...] = ()
    inside: int | None = None
    step_began: float | None = None
    ahead: bool = False
    path: str = "request"
    namespace: tuple[str, ...] = ()
    failed: bool = False
    emitted: tuple[Emitted, ...] = ()

    @property
    def duration(self) -> float:
        """Its own time."""
        return max(0.0, self.ended - self.began)


def longest_path(bodies: Sequence[Body], *, guessed: bool = True) -> float:
    """The bound: seconds of the longest path through the bodies and their dependencies.

    Args:
        bodies: The bodies of a run; indices in dependencies count in this sequence.
        guessed: Whether dependencies that may not be needed count.

    Example:
        >>> fast, slow = Body("1", "fast", 1, 0, 1), Body("2", "slow", 1, 0, 5)
        >>> after = Body("3", "after", 2, 5, 8, (Dependency(0, "direct"),))
        >>> longest_path([fast, slow, after])  # LangGraph took 8: `after` waited for `slow`
        5.0
    """
    return max(_earliest_ends(bodies, guessed), default=0.0)


def _earliest_ends(bodies: Sequence[Body], guessed: bool) -> list[float]:
    inner = inner_bodies(bodies)
    starts: list[float | None] = [None] * len(bodies)
    ends: list[float | None] = [None] * len(bodies)

    def unknown_start(index: int) -> list[tuple[int, bool]]:
        body = bodies[index]
        missing = [
            (d.on, d.after is None)
            for d in body.depends
            if (guessed or not d.guessed) and (ends if d.after is None else starts)[d.on] is None
        ]
        if body.inside is not None and starts[body.inside] is None:
            missing.append((body.inside, False))
        return missing

    def start(index: int) -> float:
        body = bodies[index]
        moments = [0.0 if body.inside is None else starts[body.inside] or 0.0]
        for dependency in body.depends:
            if not guessed and dependency.guessed:
                continue
            if dependency.after is None:
                moments.append(ends[dependency.on] or 0.0)
            else:
                lag = min(dependency.after, bodies[dependency.on].duration)
                moments.append((starts[dependency.on] or 0.0) + lag)
        return max(moments)

    # Events, (body, whether its end): a stack and not recursion, since loops make long chains.
    todo = [(index, True) for index in reversed(range(len(bodies)))]
    open_events: set[tuple[int, bool]] = set()
    while todo:
        event = todo[-1]
        index, is_end = event
        if (ends if is_end else starts)[index] is not None:
            todo.pop()
            continue
        if is_end:
            missing = [(index, False)] if starts[index] is None else []
            missing += [(i, True) for i in inner.get(index, ()) if ends[i] is None]
        else:
            missing = unknown_start(index)
        if missing and event not in open_events:
            open_events.add(event)
            todo += missing
            continue
        todo.pop()  # all is known, or the dependencies go round: then what is known counts
        if not is_end:
            starts[index] = start(index)
        elif index in inner:
            own = starts[index] or 0.0
            ends[index] = max([own, *(ends[i] or 0.0 for i in inner[index])])
        else:
            ends[index] = (starts[index] or 0.0) + bodies[index].duration
    return [end or 0.0 for end in ends]


def inner_bodies(bodies: Sequence[Body]) -> dict[int, list[int]]:
    """The bodies that ran inside each body of a subgraph node."""
    found: dict[int, list[int]] = {}
    for index, body in enumerate(bodies):
        if body.inside is not None:
            found.setdefault(body.inside, []).append(index)
    return found


# Where the time went -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wait:
    """The time between a body's begin and when everything that it depends on was there.

    Attributes:
        source: The index of the body whose output came last; None: nothing comes before it.
        target: The index of the body that waited.
        via: How it depends on the source.
        ready: When everything was there.
        began: When it began.
        until: When the last other body ended before it began: what it waited for, where that
            lies between the two; else `ready`. The rest is the executor's own work.
        blocker: The node of that body.
    """

    source: int | None
    target: int
    via: str
    ready: float
    began: float
    until: float
    blocker: str | None = None

    @property
    def waiting(self) -> float:
        """Seconds of waiting for others."""
        return self.until - self.ready

    @property
    def total(self) -> float:
        """All of the gap."""
        return self.began - self.ready


@dataclass(frozen=True, slots=True)
class Chain:
    """What decided a run's latency: from its last body back, each time to what came last.

    The parts add up to the latency.

    Attributes:
        bodies: Seconds in each body on it, by index.
        waits: The gaps between them.
        first: What the executor needed before the first body.
        last: What it needed after the last one.
    """

    bodies: dict[int, float] = field(default_factory=dict)
    waits: tuple[Wait, ...] = ()
    first: float = 0.0
    last: float = 0.0


class Run:
    """The bodies of a run on its timeline.

    Args:
        bodies: Those that became tasks; indices in dependencies count in this sequence.

    Example:
        >>> fast, slow = Body("1", "fast", 1, 0, 1), Body("2", "slow", 1, 0, 5)
        >>> after = Body("3", "after", 2, 5, 8, (Dependency(0, "direct"),))
        >>> run = Run([fast, slow, after])
        >>> wait = run.wait(2)
        >>> wait.ready, wait.until, wait.blocker
        (1, 5, 'slow')
    """

    def __init__(self, bodies: Sequence[Body]) -> None:
        self.bodies = bodies
        self._inner = inner_bodies(bodies)
        leaves = (i for i, b in enumerate(bodies) if i not in self._inner and not _is_start(b))
        self._by_end = sorted(leaves, key=lambda i: bodies[i].ended)
        self._ends = [bodies[i].ended for i in self._by_end]

    def is_leaf(self, index: int) -> bool:
        """Whether a body is no graph whose bodies are here too."""
        return index not in self._inner

    def wait(self, index: int) -> Wait:
        """What a body waited for before it began."""
        body = self.bodies[index]
        owner, last, ready = self._last_needed(index)
        source = None if last is None else last.on
        until, blocker = self._last_end_before(body.began, ready)
        via = "" if last is None else last.via
        return Wait(source, owner, via, ready, body.began, until, blocker)

    def _last_needed(self, index: int) -> tuple[int, Dependency | None, float]:
        """Which dependency of a body, or of the node around it, was there last, and when."""
        while True:
            body = self.bodies[index]
            moments = [(self._given_at(d), -place) for place, d in enumerate(body.depends)]
            if moments:
                moment, place = max(moments)
                return index, body.depends[-place], min(moment, body.began)
            if body.inside is None:
                return index, None, 0.0
            index = body.inside

    def _given_at(self, dependency: Dependency) -> float:
        body = self.bodies[dependency.on]
        if dependency.after is not None:
            return min(body.began + dependency.after, body.ended)
        return self.bodies[self._last_inside(dependency.on)].ended

    def _last_inside(self, index: int) -> int:
        """The body itself, or of a subgraph the one in it that ended last."""
        while index in self._inner:
            index = max(self._inner[index], key=lambda i: self.bodies[i].ended)
        return index

    def _last_end_before(self, moment: float, after: float) -> tuple[float, str | None]:
        place = bisect_right(self._ends, moment) - 1
        if place < 0 or self._ends[place] <= after:
            return after, None
        return self._ends[place], self.bodies[self._by_end[place]].node

    def chain(self, latency: float) -> Chain:
        """The chain that decided a latency of so many seconds."""
        if not self._by_end:
            return Chain(last=latency)
        at = self._by_end[-1]
        seconds: dict[int, float] = {}
        waits: list[Wait] = []
        until = self.bodies[at].ended
        last = latency - until
        while True:
            body = self.bodies[at]
            seconds[at] = max(0.0, until - body.began)
            wait = self.wait(at)
            source = None if wait.source is None else self._last_inside(wait.source)
            if source is None or source in seconds:  # bodies of no length may name each other
                return Chain(seconds, tuple(waits[::-1]), body.began, last)
            waits.append(wait)
            until = wait.ready
            at = source


def _is_start(body: Body) -> bool:
    """Whether a body only hands the input on."""
    return body.node.endswith(START)
