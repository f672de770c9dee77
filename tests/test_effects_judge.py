"""`judge`: facts in, verdicts out; no source, no graph."""

from __future__ import annotations

import pytest

from langgraph_alto.core.effects import NodeFacts, Place, Rank, Verdict, judge, merged
from langgraph_alto.core.tables import (
    effect_of,
    mutates_by_name,
    register,
    version,
    words,
    writes_outward_by_name,
)

HERE = Place("ITEMS.append(1)", "app.py:3")


def verdict(
    facts: NodeFacts, effects: str | None = None, undeclared: str = "run", **others
) -> Verdict:
    declared = {"a": {"effects": effects}} if effects else {}
    return judge({"a": facts, **others}, declared=declared, undeclared=undeclared)["a"]


HELD = {
    "store": NodeFacts(holds=(("store", HERE),)),
    "previous": NodeFacts(holds=(("previous", HERE),)),
    "managed value": NodeFacts(holds=(("managed value", HERE),)),
    "runtime handed on": NodeFacts(holds=(("runtime handed on", HERE),)),
    "source can't be read": NodeFacts(unreadable=(HERE,)),
    "mutates its input": NodeFacts(changes_input=(HERE,)),
    "outward write": NodeFacts(outward_writes=(HERE,)),
    "shared container": NodeFacts(changes={1: HERE}),
    "declared once": NodeFacts(once=("pay",)),
}


@pytest.mark.parametrize("reason", HELD)
def test_what_holds_an_undeclared_node(reason: str) -> None:
    found = verdict(HELD[reason])
    assert (found.rank, found.reason) == (Rank.HELD, reason)
    assert reason == "declared once" or "app.py:3" in found.detail


@pytest.mark.parametrize("effects", ["pure", "idempotent"])
@pytest.mark.parametrize("reason", HELD)
def test_a_declaration_is_believed(reason: str, effects: str) -> None:
    found = verdict(HELD[reason], effects)
    assert (found.rank, found.reason) == (Rank.PROVEN, f"declared {effects}")


def test_once_is_never_early() -> None:
    found = verdict(NodeFacts(), "once")
    assert (found.rank, found.reason, found.unlock) == (Rank.HELD, "declared once", None)


def test_a_cache_policy_holds_whatever_is_declared() -> None:
    assert verdict(NodeFacts(cache_policy=True), "pure").reason == "cache policy"


def test_a_changed_own_input_holds_only_its_node() -> None:
    changer = NodeFacts(changes_own_input=(HERE,), whole_input=True)
    reader = NodeFacts(whole_input=True)
    found = judge({"a": changer, "b": reader}, declared={}, undeclared="run")
    assert found["a"].reason == "mutates its input"
    assert found["b"].rank is Rank.PROVEN


def test_a_changed_object_inside_the_state_holds_its_readers() -> None:
    changer = NodeFacts(changes_input=(HERE,), whole_input=True)
    found = judge(
        {"a": changer, "b": NodeFacts(input_keys=frozenset({"q"})), "c": NodeFacts()},
        declared={},
        undeclared="run",
    )
    assert found["b"].reason == "input changed by another node"
    assert found["c"].rank is Rank.PROVEN


def test_a_shared_object_holds_both_sides_and_a_read_one_none() -> None:
    reader = NodeFacts(reads={1: HERE})
    assert verdict(reader, b=NodeFacts(reads={1: HERE})).rank is Rank.PROVEN
    found = verdict(reader, b=NodeFacts(changes={1: HERE}))
    assert found.reason == "shared container"
    assert "'b' changes it" in found.detail


def test_a_reducer_is_a_party_without_a_verdict() -> None:
    reducer = NodeFacts(role="reducer", changes={1: HERE})
    found = judge({"a": NodeFacts(reads={1: HERE}), "r": reducer}, declared={}, undeclared="run")
    assert found.keys() == {"a"}
    assert found["a"].reason == "shared container"


def test_a_pure_node_changes_nothing_for_others() -> None:
    facts = {"a": NodeFacts(reads={1: HERE}), "b": NodeFacts(changes={1: HERE})}
    for effects, rank in (("pure", Rank.PROVEN), ("idempotent", Rank.HELD)):
        found = judge(facts, declared={"b": {"effects": effects}}, undeclared="run")
        assert found["a"].rank is rank


def test_an_outside_read_is_held_only_beside_a_writer() -> None:
    reader = NodeFacts(outside_reads=(HERE,))
    assert verdict(reader).rank is Rank.FREE
    found = verdict(reader, b=NodeFacts(outward_writes=(HERE,)))
    assert found.reason == "outside read while another node writes"


def test_an_object_that_entered_the_state_and_changes_holds_readers_of_the_state() -> None:
    giver = NodeFacts(changes={1: HERE}, escapes=frozenset({1}))
    found = verdict(NodeFacts(whole_input=True), b=giver)
    assert found.reason == "input changed by another node"


def test_hold_holds_the_free_and_not_the_proven() -> None:
    free = NodeFacts(unproven=(Place("calls llm"),), function="call")
    found = verdict(free, undeclared="hold")
    assert (found.rank, found.reason) == (Rank.HELD, "undeclared")
    assert found.unlock == 'add_node("a", call, metadata={"alto": {"effects": "idempotent"}})'
    assert verdict(NodeFacts(), undeclared="hold").rank is Rank.PROVEN


def test_what_may_interrupt_and_what_needs_identity() -> None:
    assert verdict(NodeFacts(interrupts=(HERE,))).may_interrupt
    assert verdict(NodeFacts(unreadable=(HERE,))).may_interrupt
    assert not verdict(NodeFacts()).may_interrupt
    assert verdict(NodeFacts(identity=(HERE,)), "pure").needs_identity


def test_a_tool_that_writes_is_unlocked_by_its_declaration() -> None:
    found = verdict(NodeFacts(outward_writes=(HERE,), tools=("pay",)))
    assert found.unlock == 'Options(tools={"pay": {"effects": "idempotent"}})'


def test_merging_keeps_everything() -> None:
    one = NodeFacts(reads={1: HERE}, input_keys=frozenset({"q"}), function="f")
    two = NodeFacts(changes={2: HERE}, outward_writes=(HERE,), whole_input=True)
    both = merged(one, two)
    assert (both.reads, both.changes, both.function) == ({1: HERE}, {2: HERE}, "f")
    assert (both.outward_writes, both.whole_input) == ((HERE,), True)


@pytest.mark.parametrize(
    ("module", "name", "effect"),
    [
        ("json", "dumps", "reader"),
        ("json", "load", "outside read"),
        ("posix", "remove", "outward write"),
        ("os.path", "join", "reader"),
        ("os", "listdir", "outside read"),
        ("pathlib", "Path.write_text", "outward write"),
        ("pathlib", "Path.read_text", "outside read"),
        ("_heapq", "heappush", "mutator"),
        ("openai.resources", "Completions.create", "model"),
        ("somewhere", "f", None),
    ],
)
def test_the_tables(module: str, name: str, effect: str | None) -> None:
    assert effect_of(module, name) == effect


def test_names_that_tell() -> None:
    assert words("HTTPServer.createOrder_now") == ["http", "server", "create", "order", "now"]
    assert [
        writes_outward_by_name(n) for n in ("apost", "async_send", "post_process", "lookup")
    ] == [
        True,
        True,
        True,
        False,
    ]
    assert mutates_by_name("add_documents")
    assert not mutates_by_name("similarity_search")


def test_users_extend_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    from langgraph_alto.core import tables

    monkeypatch.setattr(tables, "EFFECTS", dict(tables.EFFECTS))
    before = version()
    register("outward write", ["acme.mailer"])
    assert effect_of("acme.mailer.client", "Client.go") == "outward write"
    assert version() > before
    with pytest.raises(ValueError, match=r"'writer' is no kind\. Valid: 'own', 'reader'"):
        register("writer", ["x"])  # type: ignore[arg-type]
