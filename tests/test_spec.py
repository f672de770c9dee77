"""`GraphSpec`: who may follow whom, and what may still be written. No graph, no source."""

from __future__ import annotations

from typing import Any

import pytest

from langgraph_alto.core.spec import ChannelSpec, GraphSpec, NodeSpec, RouterSpec, Stream

STATE = ("x", "y", "z")


def node(name: str, *to: str, writes: Any = (), **facts: Any) -> NodeSpec:
    """A node that leads to others by edges."""
    return NodeSpec(
        name,
        triggers=(f"to:{name}",),
        writes=None if writes is None else frozenset(writes),
        edges=frozenset(f"to:{target}" for target in to),
        **facts,
    )


def spec(*nodes: NodeSpec, **triggered: tuple[str, ...]) -> GraphSpec:
    """A graph of nodes, each with an edge's channel of its own."""
    channels = {name: ChannelSpec(name, "value") for name in STATE}
    for n in nodes:
        channels[f"to:{n.name}"] = ChannelSpec(f"to:{n.name}", "trigger", internal=True)
    edges = {f"to:{n.name}": (n.name,) for n in nodes}
    return GraphSpec("g", {n.name: n for n in nodes}, channels, {**edges, **triggered})


def router(*ends: str, anywhere: bool = False) -> RouterSpec:
    return RouterSpec("route", frozenset(), ends=None if anywhere else frozenset(ends))


def test_edges_lead_on() -> None:
    found = spec(node("a", "b", "c"), node("b"), node("c"))
    assert found.successors("a") == {"b", "c"}
    assert found.successors("b") == frozenset()


def test_a_state_channel_may_trigger_nodes() -> None:
    found = spec(node("a", writes="x"), node("b"), node("c"), x=("b",), y=("c",))
    assert found.successors("a") == {"b"}


def test_who_writes_anything_may_trigger_whom_the_state_triggers() -> None:
    """But no node by an edge's own channel: no result can name one."""
    found = spec(node("a", writes=None), node("b"), node("c"), x=("b",))
    assert found.successors("a") == {"b"}
    late = GraphSpec(
        "g",
        {"a": node("a", writes=None), "late": node("late")},
        {"to:late": ChannelSpec("to:late", "other", internal=True)},
        {"to:late": ("late",), "unknown": ("a",)},
    )
    assert late.successors("a") == {"a"}  # a channel of which nothing is known may be a key


@pytest.mark.parametrize(
    "facts",
    [
        {"goto": None},
        {"handler": "h"},
        {"routers": (router("b"), router(anywhere=True))},
    ],
)
def test_what_may_lead_anywhere(facts: dict[str, Any]) -> None:
    found = spec(node("a", "b", **facts), node("b"))
    assert found.successors("a") is None
    assert found.may_write("a", 1) is None


def test_commands_and_routers_lead_on() -> None:
    first = node("a", "b", goto=frozenset("c"), routers=(router("d"), router("e", "b")))
    found = spec(first, *map(node, "bcde"))
    assert found.successors("a") == set("bcde")


def test_an_unknown_node_may_do_anything() -> None:
    found = spec(node("a", goto=frozenset({"nowhere"})))
    assert found.successors("nowhere") is None
    assert found.may_write("nowhere", 0) is None
    assert found.may_write("a", 0) == frozenset()
    assert found.may_write("a", 1) is None


def test_what_follows_counts_by_its_depth() -> None:
    found = spec(node("a", "b", writes="x"), node("b", "c", writes="y"), node("c", writes="z"))
    assert found.may_write("a", 0) == {"x", "to:b"}
    assert found.may_write("a", 1) == {"x", "y", "to:b", "to:c"}
    assert found.may_write("a", 2) == {"x", "y", "z", "to:b", "to:c"}
    assert found.may_write("a", 50) == found.may_write("a", 2)


def test_a_loop_ends() -> None:
    found = spec(node("a", "b", writes="x"), node("b", "a", writes="y"))
    assert found.may_write("a", 100) == {"x", "y", "to:a", "to:b"}


def test_one_that_may_write_anything_is_enough() -> None:
    found = spec(node("a", "b", "c"), node("b"), node("c", "d"), node("d", writes=None))
    assert found.may_write("a", 1) is not None
    assert found.may_write("a", 2) is None


def test_a_failure_that_is_handled_may_write_anything() -> None:
    found = spec(node("a", "b"), node("b", writes="x", handler="h"))
    assert found.may_write("b", 0) is None
    assert found.may_write("a", 0) == {"to:b"}


def test_the_same_question_is_answered_once() -> None:
    found = spec(node("a", "b", writes="x"), node("b", writes="y"))
    assert found.may_write("a", 3) is found.may_write("a", 3)


def test_specs_are_values() -> None:
    one, other = spec(node("a", "b"), node("b")), spec(node("a", "b"), node("b"))
    assert one.may_write("a", 1) == other.may_write("a", 1)
    assert one == other
    assert one != spec(node("a"), node("b"))
    assert NodeSpec("a").stream is Stream.NOTHING
    with pytest.raises(AttributeError):
        one.name = "other"  # type: ignore[misc]
