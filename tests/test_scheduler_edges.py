"""Tasks that edges trigger: when they start, with what input, and when a router may run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from langgraph_alto.core.effects import Rank, Verdict
from langgraph_alto.core.events import (
    Adopt,
    AheadEnded,
    AheadRejected,
    Command,
    Discard,
    End,
    GateReached,
    Mistrust,
    OpenGate,
    RealTask,
    SendSpec,
    Start,
    StepBegan,
    TaskEnded,
)
from langgraph_alto.core.outlook import fills_at, gains
from langgraph_alto.core.scheduler import History
from langgraph_alto.core.spec import ChannelSpec, GraphSpec, Names, NodeSpec, RouterSpec
from langgraph_alto.core.tasks import RunPolicy
from tests.helpers.checked import Checked, MakeScheduler

FREE = Verdict(
    rank=Rank.FREE, reason="", detail="", unlock=None, may_interrupt=False, needs_identity=False
)


class Graph:
    """A graph in a few words: `node("b", after="a", reads="x", writes="y")`."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeSpec] = {}
        self.channels: dict[str, ChannelSpec] = {}
        self.triggered: dict[str, tuple[str, ...]] = {}

    def node(self, name: str, *, reads: str = "", writes: str | None = "", **facts: Any) -> Graph:
        self.channels[f"to:{name}"] = ChannelSpec(f"to:{name}", "trigger")
        self.triggered[f"to:{name}"] = (name,)
        wrote = None if writes is None else frozenset(writes)
        for channel in {*reads, *(writes or "")}:
            self.channels[channel] = ChannelSpec(channel, "value")
        self.nodes[name] = NodeSpec(
            name, (f"to:{name}",), frozenset(reads), frozenset(reads), writes=wrote, **facts
        )
        return self

    def edge(self, start: str, end: str) -> Graph:
        node = self.nodes[start]
        self.nodes[start] = replace(node, edges=node.edges | {f"to:{end}"})
        return self

    def join(self, *starts: str, end: str) -> Graph:
        channel = f"join:{'+'.join(starts)}:{end}"
        self.channels[channel] = ChannelSpec(channel, "barrier")
        self.triggered[channel] = (end,)
        target = self.nodes[end]
        self.nodes[end] = replace(target, triggers=(*target.triggers, channel))
        for start in starts:
            node = self.nodes[start]
            self.nodes[start] = replace(node, edges=node.edges | {channel})
        return self

    def spec(self) -> GraphSpec:
        return GraphSpec("g", self.nodes, self.channels, self.triggered)


class Told:
    """A foresight whose channels are plain values: what was written last, or what they had."""

    def __init__(self, values: Mapping[str, object] | None = None, spec: Any = None) -> None:
        self.values = dict(values or {})
        self.seen: dict[str, set[str]] = {}
        self.spec = spec
        self.is_possible = True

    def join(self, channel: str) -> tuple[Names, Names]:
        names = channel.split(":")[1].split("+")
        return frozenset(names), frozenset(self.seen.get(channel, ()))

    def state(self, channels: Names, history: History) -> dict[str, object] | None:
        found = {c: self.values[c] for c in channels if c in self.values}
        for step in history:
            found |= {c: v for c, v in step if c in channels}
        return found if self.is_possible else None

    def input(self, node: str, history: History) -> SendSpec | None:
        found = self.state(self.spec.nodes[node].reads, history)
        return None if found is None else SendSpec(node, found)

    def same(self, node: str, foretold: object, real: object) -> bool:
        return foretold == real


@pytest.fixture
def run(scheduler: MakeScheduler) -> Any:
    def make(graph: Graph, values: Mapping[str, object] | None = None, **options: Any) -> Checked:
        spec = graph.spec()
        told = options.pop("foresight", None) or Told(values, spec)
        verdicts = dict.fromkeys(spec.nodes, FREE) | options.pop("verdicts", {})
        return scheduler(verdicts=verdicts, spec=spec, foresight=told, **options)

    return make


def began(step: int, *nodes: str, **inputs: object) -> StepBegan:
    """A step whose tasks were triggered by edges; a task's key is its node's name."""
    return StepBegan(
        step,
        tuple(RealTask(n, n, ("pull", n), pull=True, arg=inputs.get(n)) for n in nodes),
    )


def ended(key: str, *to: str, sends: tuple[SendSpec, ...] = (), **writes: object) -> TaskEnded:
    return TaskEnded(key, End.FINISHED, sends, written(to, writes))


def ahead_ended(ahead: int, *to: str, **writes: object) -> AheadEnded:
    return AheadEnded(ahead, End.FINISHED, (), written(to, writes))


def written(to: tuple[str, ...], writes: Mapping[str, object]) -> list[tuple[str, object]]:
    edges = [(t if t.startswith("join") else f"to:{t}", t) for t in to]
    return [*writes.items(), *edges]


def part(channel: str, name: str) -> TaskEnded:
    return TaskEnded(name, End.FINISHED, (), [(channel, name)])


def started(commands: list[Command]) -> list[tuple[str, int, object]]:
    return [(c.send.node, c.step, c.send.arg) for c in commands if isinstance(c, Start)]


def branches() -> Graph:
    return (
        Graph()
        .node("fast", writes="x")
        .node("slow", writes="y")
        .node("after", reads="x", writes="z")
        .node("last", reads="z")
        .edge("fast", "after")
        .edge("after", "last")
    )


def test_a_branch_goes_on_while_the_other_runs(run: Any) -> None:
    s = run(branches())
    s(began(1, "fast", "slow"))
    assert started(s(ended("fast", "after", x=1))) == [("after", 2, {"x": 1})]
    assert started(s(ahead_ended(1, "last", z=2))) == [("last", 3, {"z": 2})]
    s(ahead_ended(2))
    s(ended("slow", y=5))
    assert s(began(2, "after", after={"x": 1})) == [Adopt(1, "after")]
    s(ended("after", "last", z=2))
    assert s(began(3, "last", last={"z": 2})) == [Adopt(2, "last")]


def test_it_waits_for_who_may_still_write_what_it_reads(run: Any) -> None:
    graph = branches().node("after", reads="xy", writes="z")
    s = run(graph)
    s(began(1, "fast", "slow", "third"))
    assert started(s(ended("fast", "after", x=1))) == []
    assert s.scheduler.aheads[1].reason == "waits for 'slow'"
    # A node of which nothing is known still runs then: anything may be written.
    assert started(s(ended("slow", y=5))) == []
    assert started(s(ended("third"))) == []


def test_a_later_writer_counts_too(run: Any) -> None:
    """slow -> again -> writes x, two steps later: what reads x in that step is not settled."""
    graph = (
        branches()
        .node("again", writes="z")
        .edge("slow", "again")
        .node("slow", writes="y")
        .edge("slow", "again")
    )
    s = run(graph)
    s(began(1, "fast", "slow"))
    assert started(s(ended("fast", "after", x=1))) == [("after", 2, {"x": 1})]
    # `again` may run in step 2 and write z, which `last` reads in step 3.
    assert started(s(ahead_ended(1, "last", z=2))) == []


def test_a_node_whose_writes_are_unknown_holds_all(run: Any) -> None:
    s = run(branches().node("slow", writes=None))
    s(began(1, "fast", "slow"))
    assert started(s(ended("fast", "after", x=1))) == []


def test_the_input_that_was_foretold_must_be_the_real_one(run: Any) -> None:
    s = run(branches())
    s(began(1, "fast", "slow"))
    s(ended("fast", "after", x=1))
    s(ended("slow"))
    assert s(began(2, "after", after={"x": 7})) == [Discard(1, "no such task in its step")]


def test_two_writers_trigger_one_task(run: Any) -> None:
    graph = Graph().node("a").node("b").node("slow", writes="y").node("both", reads="x")
    s = run(graph.edge("a", "both").edge("b", "both"), {"x": 0})
    s(began(1, "a", "b", "slow"))
    assert started(s(ended("a", "both"))) == [("both", 2, {"x": 0})]
    assert started(s(ended("b", "both"))) == []
    assert list(s.scheduler.aheads[1].parents) == ["a", "b"]


def test_a_discarded_parent_takes_its_only_child_along(run: Any) -> None:
    s = run(branches())
    s(began(1, "fast", "slow"))
    s(ended("fast", "after", x=1))
    s(ahead_ended(1, "last", z=2))
    s(ended("slow"))
    commands = s(began(2, "slow"))
    assert [c.ahead for c in commands if isinstance(c, Discard)] == [1, 2]


def test_a_rejected_task_is_unfinished_again(run: Any) -> None:
    s = run(branches().edge("slow", "slow"))
    s(began(1, "fast", "slow"))
    s(ended("fast", "after", x=1))
    s(ahead_ended(1, "last", z=2))
    s(ended("slow", "slow"))
    s(began(2, "after", "slow", after={"x": 1}))
    s(AheadRejected(1, "it was told another id"))
    assert s.scheduler.outlook.blocker(frozenset("z"), 3) == "after"
    assert started(s(ended("after", "last", z=3))) == [("last", 3, {"z": 3})]


class TestJoins:
    def graph(self) -> Graph:
        return (
            Graph()
            .node("a", writes="x")
            .node("b", writes="y")
            .node("slow")
            .node("both", reads="xy")
            .join("a", "b", end="both")
        )

    def test_a_join_starts_when_its_parts_have_come(self, run: Any) -> None:
        channel = "join:a+b:both"
        s = run(self.graph())
        s(began(1, "a", "b", "slow"))
        done = TaskEnded("a", End.FINISHED, (), [("x", 1), (channel, "a")])
        assert started(s(done)) == []
        done = TaskEnded("b", End.FINISHED, (), [("y", 2), (channel, "b")])
        assert started(s(done)) == [("both", 2, {"x": 1, "y": 2})]

    def test_branches_of_different_length(self, run: Any) -> None:
        """a ends in step 1, b in step 2, run ahead: the join is due in step 3."""
        channel = "join:a+b:both"
        graph = self.graph().node("first").edge("first", "b")
        s = run(graph)
        s(began(1, "a", "first", "slow"))
        s(TaskEnded("a", End.FINISHED, (), [("x", 1), (channel, "a")]))
        assert started(s(ended("first", "b"))) == [("b", 2, {})]
        done = AheadEnded(1, End.FINISHED, (), [("y", 2), (channel, "b")])
        assert started(s(done)) == [("both", 3, {"x": 1, "y": 2})]

    def test_who_may_fill_it_earlier_holds_it(self, run: Any) -> None:
        channel = "join:a+b:both"
        graph = self.graph().node("first").edge("first", "b").edge("slow", "b")
        s = run(graph)
        s(began(1, "a", "first", "slow"))
        s(TaskEnded("a", End.FINISHED, (), [("x", 1), (channel, "a")]))
        s(ended("first", "b"))
        done = AheadEnded(1, End.FINISHED, (), [("y", 2), (channel, "b")])
        assert started(s(done)) == []  # slow leads to b, which runs in step 2 as well

    @pytest.mark.parametrize(
        ("seen", "writes", "expected"),
        [
            ("", {1: ["a"]}, None),
            ("", {1: ["a", "b"]}, 2),
            ("a", {1: ["b"]}, 2),
            ("a", {1: [], 3: ["b"]}, 4),
            ("ab", {1: ["a"]}, None),  # it triggered this step, which uses it up
            ("ab", {1: ["a"], 2: ["b"]}, 3),
            ("", {}, None),
        ],
    )
    def test_fills_at(self, seen: str, writes: Any, expected: int | None) -> None:
        assert fills_at(frozenset("ab"), frozenset(seen), 1, writes) == expected


class TestGates:
    def graph(self) -> Graph:
        return branches().node("after", reads="x", writes="z", routers=(RouterSpec("r", None),))

    def test_a_router_runs_when_what_it_reads_is_settled(self, run: Any) -> None:
        s = run(branches(), {"z": 0})
        s(began(1, "fast", "slow"))
        s(ended("fast", "after", x=1))
        assert s(GateReached(1, frozenset("xz"))) == [OpenGate(1, {"x": 1, "z": 0})]

    def test_it_waits_for_who_may_write_that(self, run: Any) -> None:
        s = run(branches().node("third", writes="w"), {"y": 0})
        s(began(1, "fast", "slow", "third"))
        s(ended("fast", "after", x=1))
        assert s(GateReached(1, frozenset("y"))) == []
        assert s(ended("slow", y=4)) == [OpenGate(1, {"y": 4})]

    def test_what_can_not_be_foretold_waits_for_the_real_task(self, run: Any) -> None:
        graph = branches()
        told = Told({}, graph.spec())
        s = run(graph, foresight=told)
        s(began(1, "fast", "slow"))
        s(ended("fast", "after", x=1))
        told.is_possible = False
        assert s(GateReached(1, frozenset("x"))) == []
        told.is_possible = True
        assert s(began(2, "after", after={"x": 1})) == [Adopt(1, "after")]

    def test_an_adopted_task_is_past_its_gate(self, run: Any) -> None:
        s = run(branches().edge("slow", "slow"), {"z": 0})
        s(began(1, "fast", "slow"))
        s(ended("fast", "after", x=1))
        s(GateReached(1, frozenset("y")))
        s(ended("slow", "slow"))
        assert s(began(2, "after", "slow", after={"x": 1})) == [Adopt(1, "after")]
        assert s(ended("slow", y=1)) == []


class TestWrongFacts:
    def test_what_relied_on_them_begins_anew(self, run: Any) -> None:
        s = run(branches().node("other").edge("slow", "slow"), {"x": 0})
        s(began(1, "fast", "slow", "other"))
        s(ended("fast", "after", x=1))
        commands = s(ended("slow", x=9))
        assert Mistrust("slow", ("x",)) in commands
        assert [c.ahead for c in commands if isinstance(c, Discard)] == [1]
        assert started(commands) == []  # `other` may write anything now
        assert started(s(began(2, "after", "slow", after={"x": 9}))) == []

    def test_an_edge_that_should_not_exist(self, run: Any) -> None:
        s = run(branches())
        s(began(1, "fast", "slow"))
        assert Mistrust("fast", ("last",)) in s(ended("fast", "last", x=1))

    def test_blind_is_careful_not_dead(self, run: Any) -> None:
        s = run(branches().edge("slow", "slow"))
        s(began(1, "fast", "slow"))
        s(ended("fast", "after", z=1))
        s(ended("slow", "slow"))
        s(began(2, "after", "slow", after={"x": 1}))
        assert started(s(ended("after", "last", z=1))) == []
        (last,) = s.scheduler.aheads.values()
        assert (last.node, last.reason) == ("last", "waits for 'slow'")


class TestHeld:
    def test_a_held_node_never_starts_and_still_counts(self, run: Any) -> None:
        held = {"after": replace(FREE, rank=Rank.HELD, reason="outward write")}
        s = run(branches(), verdicts=held)
        s(began(1, "fast", "slow"))
        assert started(s(ended("fast", "after", x=1))) == []
        assert s.scheduler.statistics.held == {"outward write": 1}
        assert s.scheduler.outlook.blocker(frozenset("z"), 3) == "after"

    def test_an_input_that_can_not_be_foretold(self, run: Any) -> None:
        graph = branches()
        told = Told({}, graph.spec())
        told.is_possible = False
        s = run(graph, foresight=told)
        s(began(1, "fast", "slow"))
        assert started(s(ended("fast", "after", x=1))) == []
        assert s.scheduler.statistics.held == {"its input can't be foretold": 1}

    def test_nothing_beyond_an_interrupt_with_a_checkpointer(self, run: Any) -> None:
        asks = {"slow": replace(FREE, may_interrupt=True)}
        s = run(branches(), verdicts=asks, policy=RunPolicy(resumable=True))
        s(began(1, "fast", "slow"))
        assert started(s(ended("fast", "after", x=1))) == []
        assert s.scheduler.aheads[1].reason == "an earlier task may interrupt"

    def test_an_error_handler_of_the_step_may_write_anything(self, run: Any) -> None:
        s = run(branches().node("third").edge("third", "last"))
        s(began(1, "fast", "slow", "third"))
        s(TaskEnded("third", End.HANDLED))
        assert started(s(ended("fast", "after", x=1))) == []


class TestGains:
    """Whether a step needs attention at all."""

    def test_a_fan_out_into_a_join_of_its_results_does_not(self) -> None:
        graph = Graph().node("work", writes="r").node("join", reads="r").edge("work", "join")
        assert not gains(graph.spec(), {"work": 600}, ())

    def test_a_branch_beside_another_does(self) -> None:
        assert gains(branches().spec(), {"fast": 1, "slow": 1}, ())

    def test_unless_what_follows_is_held(self) -> None:
        assert not gains(branches().spec(), {"fast": 1, "slow": 1}, {"after"})

    def test_a_single_task_does_not(self) -> None:
        assert not gains(branches().spec(), {"fast": 1}, ())
