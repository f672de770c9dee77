"""Who may still run beside a task: named cases, and random runs of random graphs."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_alto.core.beside import START, Beside
from langgraph_alto.core.spec import ChannelSpec, GraphSpec, NodeSpec, RouterSpec

Edges = Mapping[str, Iterable[str]]


def graph(
    edges: Edges,
    joins: Sequence[tuple[Sequence[str], str]] = (),
    *,
    routers: Edges | None = None,
    sends: Edges | None = None,
) -> GraphSpec:
    """A graph as LangGraph builds it; a node is a letter, `S` is `__start__`."""
    routers, sends = routers or {}, sends or {}
    letters = {
        letter
        for ends in (edges, routers, sends)
        for to in ends.items()
        for letter in (to[0], *to[1])
    }
    letters |= {letter for members, target in joins for letter in (*members, target)}
    names = [START, *sorted(letters - {"S"})]
    channels = {f"to:{n}": ChannelSpec(f"to:{n}", "trigger") for n in names}
    triggered = {f"to:{n}": (n,) for n in names}
    written = {n: {f"to:{t}" for t in edges.get(_short(n), ())} for n in names}
    for members, target in joins:
        join = f"join:{'+'.join(members)}:{target}"
        channels[join] = ChannelSpec(join, "barrier")
        triggered[join] = (target,)
        for member in members:
            written[member].add(join)
    nodes = {}
    for name in names:
        found = []
        for give_sends, ends in ((False, routers), (True, sends)):
            if _short(name) in ends:
                to = frozenset(ends[_short(name)])
                found.append(RouterSpec("route", frozenset(), ends=to, sends=give_sends))
        nodes[name] = NodeSpec(
            name, writes=frozenset(), edges=frozenset(written[name]), routers=tuple(found)
        )
    return GraphSpec("g", nodes, channels, triggered)


def _short(name: str) -> str:
    return "S" if name == START else name


def beside(spec: GraphSpec) -> dict[str, str]:
    found = Beside(spec)
    return {name: "".join(sorted(map(_short, found.of(name)))) for name in spec.nodes}


# Named cases


def test_one_chain_has_nothing_beside_it() -> None:
    spec = graph({"S": "a", "a": "b", "b": "a"})
    assert set(beside(spec).values()) == {""}


def test_branches_and_what_follows_in_them() -> None:
    spec = graph({"S": "as", "a": "b", "b": "c", "s": "t"})
    found = beside(spec)
    # t comes one step after s, so it can't run when a has ended, as b is in that step.
    assert found == {START: "", "a": "s", "b": "st", "c": "st", "s": "a", "t": "ab"}
    assert Beside(spec).behind("b") == {"s"}


def test_a_loop_runs_beside_everything_that_it_was_started_with() -> None:
    found = beside(graph({"S": "ls", "s": "t", "t": "u"}, routers={"l": "le"}))
    assert found["s"] == "l"
    assert found["u"] == "el"
    assert found["e"] == "stu"
    assert Beside(graph({"S": "a"}, routers={"a": "bc"})).of("b") == frozenset()
    assert Beside(graph({"S": "a"}, sends={"a": "bc"})).of("b") == {"b", "c"}


def test_after_a_join_its_members_have_ended() -> None:
    spec = graph({"S": "ab", "b": "c", "j": "k"}, [("ac", "j")])
    found = beside(spec)
    assert (found["c"], found["j"], found["k"]) == ("a", "", "")
    assert Beside(spec).of_join(["a", "c"]) == frozenset()


def test_a_third_branch_runs_beside_a_join() -> None:
    spec = graph({"S": "abx", "b": "c", "x": "y", "y": "z"}, [("ac", "j")])
    assert Beside(spec).of_join(["a", "c"]) == {"x", "y"}
    assert beside(spec)["j"] == "xyz"


def test_what_a_member_starts_besides_its_join() -> None:
    """x follows the member a, and may still run when the longer branch has ended."""
    spec = graph({"S": "ab", "b": "c", "c": "d", "a": "x"}, [("ad", "j")])
    assert Beside(spec).of_join(["a", "d"]) == {"x"}
    assert beside(spec)["j"] == "x"


def test_tasks_of_one_node_run_beside_each_other_only_by_sends() -> None:
    assert beside(graph({"S": "p", "w": "j"}, sends={"p": "w"}))["w"] == "w"
    assert beside(graph({"S": "ab", "a": "w", "b": "w"}))["w"] == "ab"
    assert beside(graph({"S": "ab", "a": "w"}, sends={"b": "w"}))["w"] == "abw"


def test_unknown_ends_lead_anywhere() -> None:
    spec = graph({"S": "a", "b": "c"})
    unknown = NodeSpec("a", writes=frozenset(), goto=None)
    found = beside(GraphSpec("g", {**spec.nodes, "a": unknown}, spec.channels, spec.triggered))
    assert found["b"] == found["c"] == "abc"


def test_without_a_start_node_the_input_or_the_roots_begin() -> None:
    nodes = {n: NodeSpec(n, triggers=(f"in:{n}",), writes=frozenset()) for n in "ab"}
    triggered = {"in:a": ("a",), "in:b": ("b",)}
    assert beside(GraphSpec("g", nodes, triggered=triggered)) == {"a": "b", "b": "a"}
    entered = GraphSpec("g", nodes, triggered=triggered, input=frozenset({"in:a"}))
    assert beside(entered) == {"a": "", "b": ""}


# Random runs


@dataclass(eq=False)
class Task:
    """A task of a run and what has surely ended before it: its line of ancestors."""

    node: str
    step: int
    before: set[Task] = field(default_factory=set)


@dataclass
class Run:
    """One run of a graph: who triggers whom, step by step, with chance at every choice."""

    spec: GraphSpec
    chance: random.Random
    tasks: list[Task] = field(default_factory=list)
    joins: list[set[Task]] = field(default_factory=list)

    def go(self, steps: int) -> None:
        current = [Task(START, 0)]
        seen: dict[str, dict[str, Task]] = {}
        for step in range(1, steps + 1):
            self.tasks += current
            pulled: dict[str, list[set[Task]]] = {}
            following = [new for task in current for new in self._route(task, step, pulled)]
            for task in current:
                for channel in self.spec.nodes[task.node].edges:
                    if channel.startswith("join:"):
                        seen.setdefault(channel, {})[task.node] = task
                    else:
                        pulled.setdefault(channel[3:], []).append({task, *task.before})
            for channel in list(seen):
                parts = channel[5:].split(":")
                if len(seen[channel]) == len(parts[0].split("+")):
                    members = set(seen.pop(channel).values())
                    self.joins.append(members)
                    before = members.union(*(m.before for m in members))
                    pulled.setdefault(parts[1], []).append(before)
            # A task that several tasks trigger may start when any one of them has ended.
            current = following + [
                Task(name, step, self.chance.choice(lines)) for name, lines in pulled.items()
            ]
            if not current or len(current) > 40:
                return

    def _route(self, task: Task, step: int, pulled: dict[str, list[set[Task]]]) -> list[Task]:
        """The `Send`s of a task's routers; the names that they give go to `pulled`."""
        line = {task, *task.before}
        sent: list[Task] = []
        for router in self.spec.nodes[task.node].routers:
            ends = sorted(router.ends or ())
            if not router.sends:
                pulled.setdefault(self.chance.choice(ends), []).append(line)
                continue
            for end in ends:
                sent += [Task(end, step, line) for _ in range(self.chance.choice([0, 1, 1, 2]))]
        return sent


@st.composite
def graphs(draw: st.DrawFn) -> GraphSpec:
    names = "abcdefg"[: draw(st.integers(2, 7))]
    some = st.lists(st.sampled_from(names), max_size=2, unique=True)
    edges = {"S": draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))}
    edges |= {name: draw(some) for name in names}
    members = st.lists(st.sampled_from(names), min_size=2, max_size=3, unique=True)
    joins = draw(st.lists(st.tuples(members.map(tuple), st.sampled_from(names)), max_size=2))
    routers = {name: draw(some) for name in names if draw(st.booleans())}
    routers = {name: ends for name, ends in routers.items() if ends}
    sends = {name: draw(some) for name in names if draw(st.integers(0, 3)) == 0}
    return graph(edges, joins, routers=routers, sends=sends)


@pytest.mark.slow
@given(graphs(), st.integers(0, 2**32))
def test_no_run_has_more_beside_a_task_than_is_said(spec: GraphSpec, seed: int) -> None:
    found = Beside(spec)
    run = Run(spec, random.Random(seed))
    run.go(7)
    for task in run.tasks:
        others = [t for t in run.tasks if t is not task and t not in task.before]
        late = {t.node for t in others if t.step <= task.step}
        earlier = {t.node for t in others if t.step < task.step}
        assert late <= found.of(task.node), (task.node, task.step)
        assert earlier <= found.behind(task.node), (task.node, task.step)
    for members in run.joins:
        last = max(m.step for m in members)
        ended = members.union(*(m.before for m in members))
        late = {t.node for t in run.tasks if t.step <= last and t not in ended}
        assert late <= found.of_join(m.node for m in members)
