"""The bound of graphs whose critical path is known, from the timelines of both executors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from langgraph_alto import Options, accelerate
from langgraph_alto._langgraph.graph_reader import graph_spec
from langgraph_alto._langgraph.probe import Observation, observing, probed
from langgraph_alto._langgraph.provenance import Provenance
from langgraph_alto.core.critical_path import Body, Dependency, Run, longest_path
from langgraph_alto.testing import VirtualClock
from tests.compare.shapes import (
    SHAPES,
    Shape,
    either_edge,
    producer,
    send_chains,
    subgraphs,
    uneven_branches,
)


def observed(graph: Any, *, on_alto: bool) -> tuple[list[Body], float]:
    """The bodies of a run on a virtual clock, and its latency."""
    provenance = Provenance(graph_spec(graph, Options()))
    side = probed(accelerate(graph) if on_alto else graph)
    clock = VirtualClock()

    async def run() -> tuple[Observation, float]:
        began = asyncio.get_running_loop().time()
        with observing(Observation(asyncio.get_running_loop().time)) as seen:
            await side.ainvoke({})
        return seen, began

    seen, began = clock.run(run())
    return provenance.bodies(seen, began), clock.now() - began


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("on_alto", [False, True], ids=["langgraph", "alto"])
def test_the_bound_is_the_critical_path(shape: Shape, on_alto: bool) -> None:
    """Within 1 %, and the parts of the chain add up to the latency."""
    bodies, latency = observed(shape.build(), on_alto=on_alto)
    assert longest_path(bodies) == pytest.approx(shape.bound, rel=0.01)
    assert latency >= shape.bound - 1e-6
    if not on_alto:
        assert latency == pytest.approx(shape.supersteps, rel=0.01)
    chain = Run(bodies).chain(latency)
    parts = sum(chain.bodies.values()) + sum(w.total for w in chain.waits)
    assert parts + chain.first + chain.last == pytest.approx(latency)


def test_shapes_differ_where_steps_cost() -> None:
    """The table would show nothing if LangGraph reached the bound everywhere."""
    assert len(SHAPES) >= 10
    assert sum(shape.supersteps > 1.1 * shape.bound for shape in SHAPES) >= 6


def test_a_barrier_is_told_with_the_node_that_was_waited_for() -> None:
    bodies, latency = observed(uneven_branches(), on_alto=False)
    waits = {bodies[w.target].node: w for w in Run(bodies).chain(latency).waits}
    assert waits["c"].blocker == "b"
    assert waits["c"].waiting == pytest.approx(4.0)
    assert bodies[waits["c"].source or 0].node == "a"


def test_of_several_edges_to_a_node_the_first_is_what_it_depends_on() -> None:
    for on_alto, waited in ((False, 4.0), (True, 0.0)):
        bodies, latency = observed(either_edge(), on_alto=on_alto)
        (c,) = (index for index, body in enumerate(bodies) if body.node == "c")
        assert {bodies[d.on].node for d in bodies[c].depends} == {"a"}
        assert Run(bodies).wait(c).total == pytest.approx(waited)
        assert latency == pytest.approx(5.0 if on_alto else 8.0)


def test_an_item_is_there_when_it_was_yielded() -> None:
    bodies, _ = observed(producer(), on_alto=False)
    sends = [d for b in bodies if b.node == "second" for d in b.depends if d.via == "send"]
    assert [round(d.after or 0.0, 6) for d in sends] == [2.0, 4.0, 6.0]


def test_both_executors_give_the_same_dependencies() -> None:
    for build in (send_chains, producer, subgraphs, uneven_branches):
        found = []
        for on_alto in (False, True):
            bodies, _ = observed(build(), on_alto=on_alto)
            named = {
                (b.node, b.path, tuple(sorted((bodies[d.on].node, d.via) for d in b.depends)))
                for b in bodies
            }
            found.append(named)
        assert found[0] == found[1]


def test_paths_are_those_of_the_ancestry() -> None:
    bodies, _ = observed(subgraphs(), on_alto=True)
    paths = {b.path for b in bodies if b.node == "section:two"}
    assert paths == {f"request / __start__.section[{i}] / section" for i in range(3)}


def test_bodies_that_ran_ahead_are_told() -> None:
    bodies, _ = observed(uneven_branches(), on_alto=True)
    assert {b.node for b in bodies if b.ahead} == {"c"}


# The pure part


def test_a_dependency_that_is_guessed_can_be_left_out() -> None:
    bodies = [
        Body("1", "slow", 1, 0.0, 9.0),
        Body("2", "quick", 1, 0.0, 1.0),
        Body("3", "after", 2, 9.0, 10.0, (Dependency(0, "data", guessed=True), Dependency(1, "x"))),
    ]
    assert longest_path(bodies) == 10.0
    assert longest_path(bodies, guessed=False) == 9.0


def test_a_body_inside_another_one_counts_once() -> None:
    bodies = [
        Body("1", "section", 1, 0.0, 10.0),
        Body("2", "section:a", 1, 1.0, 3.0, inside=0),
        Body("3", "section:b", 2, 5.0, 8.0, (Dependency(1, "direct"),), inside=0),
        Body("4", "after", 2, 10.0, 11.0, (Dependency(0, "direct"),)),
    ]
    assert longest_path(bodies) == 6.0
    chain = Run(bodies).chain(11.0)
    assert chain.bodies == {3: 1.0, 2: 3.0, 1: 2.0}
    assert [(w.source, w.target, w.total) for w in chain.waits] == [(1, 2, 2.0), (0, 3, 2.0)]


def test_a_loop_of_thousands_of_turns_needs_no_deep_stack() -> None:
    bodies = [
        Body(str(i), "turn", i, float(i), i + 1.0, (Dependency(i - 1, "direct"),) if i else ())
        for i in range(5_000)
    ]
    assert longest_path(bodies[::1]) == 5_000.0
    assert len(Run(bodies).chain(5_000.0).bodies) == 5_000


def test_nothing_ran() -> None:
    assert longest_path([]) == 0.0
    assert Run([]).chain(1.0).last == 1.0
