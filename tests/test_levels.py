"""Levels, paths and completion, stated for graphs of many shapes: before a run and in it.

Each shape is a graph as `_langgraph.reader` would describe it, what `levels` infers of it, and a
script of what happens when it runs. In the script every path must be one that was foretold.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import Send

from langgraph_alto.core.ancestry import AncestryTree
from langgraph_alto.core.levels import Aggregator, Level, Levels, levels
from langgraph_alto.core.paths import (
    Fact,
    Item,
    Key,
    LevelComplete,
    LevelOf,
    LevelReopened,
    Ref,
    RequestComplete,
    Retracted,
    path_template,
)
from langgraph_alto.core.spec import ChannelSpec, GraphSpec, NodeSpec, RouterSpec, Stream

# Graphs by hand ----------------------------------------------------------------------------


def names(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset(text.split())


def branch(node: str) -> str:
    return f"branch:to:{node}"


def router(ends: str | None, reads: str | None = None, **options: Any) -> RouterSpec:
    return RouterSpec("route", reads=names(reads), ends=names(ends), **options)


def node(
    name: str, to: str = "", *, reads: str = "", writes: str | None = "", **options: Any
) -> NodeSpec:
    """A node with direct edges `to` others."""
    return NodeSpec(
        name,
        triggers=(branch(name),),
        reads=names(reads) or frozenset(),
        writes=names(writes),
        edges=frozenset(map(branch, to.split())),
        **options,
    )


def graph(
    *nodes: NodeSpec, begin: str = "", many: str = "", joins: Iterable[str] = (), input: str = ""
) -> GraphSpec:
    """A graph that begins with some nodes; `joins` are edges from several nodes, `"a b > c"`.

    `many` are the keys with a collecting reducer, all other keys are plain values.
    """
    made = {"__start__": node("__start__", begin)} | {n.name: n for n in nodes}
    triggered = {branch(name): (name,) for name in made if name != "__start__"}
    for join in joins:
        sources, _, target = join.partition(">")
        channel = f"join:{'+'.join(sources.split())}:{target.strip()}"
        triggered[channel] = (target.strip(),)
        for source in sources.split():
            made[source] = replace(made[source], edges=made[source].edges | {channel})
    keys = {k for n in made.values() for k in (*n.reads, *(n.writes or ()))} | set(many.split())
    channels = {k: ChannelSpec(k, "reducer", many=k in many.split()) for k in keys}
    channels |= {
        c: ChannelSpec(c, "barrier" if c.startswith("join") else "trigger") for c in triggered
    }
    channels["__start__"] = ChannelSpec("__start__", "value", internal=True)
    triggered["__start__"] = ("__start__",)
    return GraphSpec("g", made, channels, triggered, input=names(input) or frozenset())


# Runs by hand ------------------------------------------------------------------------------


def told(tree: AncestryTree, facts: list[Fact]) -> list[str]:
    """Facts as short texts."""
    found = []
    for fact in facts:
        match fact:
            case LevelComplete(level, _, items):
                found.append(f"{tree.path_text(level)}: {items}")
            case LevelReopened(level, _):
                found.append(f"{tree.path_text(level)}: again")
            case RequestComplete():
                found.append("request")
            case Retracted(refs):
                found.append(f"gone: {' '.join(map(str, refs))}")
    return found


class Run:
    """One run of a graph, told to an `AncestryTree`, and held against what was foretold."""

    def __init__(self, spec: GraphSpec) -> None:
        self.levels = levels(spec)
        self.tree = AncestryTree()
        self.tree.request_began("r")
        self.nodes: dict[Key, str] = {}

    def begin(self, key: str, node: str, parent: Ref = "r", **options: Any) -> str:
        """A task begins, by an edge unless the options say otherwise; gives its path."""
        assert self.tree.task_began(key, node, parent, **options) == []
        above = parent.task if isinstance(parent, Item) else parent
        prefix = self.nodes.get(above, "").rpartition(":")[0]
        inner = f"{self.nodes[above]}:" if options.get("inside") else f"{prefix}:" * bool(prefix)
        self.nodes[key] = inner + node
        place = self.levels.places[self.nodes[key]]
        assert path_template(self.tree.path(key)) in place.paths, (key, place)
        return self.tree.path_text(key)

    def send(self, key: str, node: str, parent: str, index: int) -> str:
        """A task begins by a `Send`: its item is of the key that was inferred."""
        prefix = self.nodes[parent].rpartition(":")[0]
        level = self.levels.opened_by(self.nodes[parent], f"{prefix}:" * bool(prefix) + node)
        assert level is not None
        return self.begin(key, node, parent, index=index, of=level.key)

    def end(self, *keys: str) -> list[str]:
        """Tasks end, one after the other; gives what came of it."""
        facts = [fact for key in keys for fact in self.tree.task_ended(key)]
        for fact in facts:
            if isinstance(fact, LevelComplete):
                assert fact.name in self.levels.levels
        return told(self.tree, facts)

    def finish(self) -> list[str]:
        return told(self.tree, self.tree.request_ended("r"))


def where(found: Levels) -> dict[str, tuple[str, ...]]:
    """The paths of the nodes that live elsewhere than at the root."""
    return {n: p.paths for n, p in found.places.items() if p.paths != ("request",)}


def level(found: Levels, name: str) -> Level:
    return found.levels[name]


# Shapes ------------------------------------------------------------------------------------


def test_no_fan_out() -> None:
    """a -> b -> c, one after the other: no level but the request."""
    spec = graph(node("a", "b"), node("b", "c"), node("c", reads="x"), begin="a", many="x")
    found = levels(spec)
    assert (found.levels, found.aggregators, found.notes) == ({}, {}, ())
    assert set(found.places) == {"__start__", "a", "b", "c"}
    assert where(found) == {}
    run = Run(spec)
    assert run.begin("1", "a") == run.begin("2", "b", "1") == "request"
    assert run.end("1", "2") == []
    assert run.finish() == ["request"]


ONE_TO_MANY = graph(
    node("plan", reads="topic", writes="sections", routers=(router("work", "sections"),)),
    node("work", "join", writes="notes"),
    node("join", reads="notes", writes="text"),
    begin="plan",
    many="notes",
    input="topic",
)


def test_one_to_many() -> None:
    found = levels(ONE_TO_MANY)
    assert found.levels == {
        "plan.sections[]": Level(
            name="plan.sections[]",
            kind="items",
            emitter="plan",
            key="sections",
            is_key_known=True,
            targets=("work",),
            members=("work",),
            parents=("request",),
            paths=("request / plan.sections[]",),
            stream=Stream.NOTHING,
            is_recursive=False,
            aggregators=("join",),
        )
    }
    assert found.aggregators == {
        "join": Aggregator("join", "request", {"plan.sections[]": ("notes",)}, ("plan.sections[]",))
    }
    assert where(found) == {"work": ("request / plan.sections[]",)}
    assert found.places["plan"].opens == ("plan.sections[]",)
    assert found.notes == ()

    run = Run(ONE_TO_MANY)
    run.begin("p", "plan")
    assert run.send("w0", "work", "p", 0) == "request / plan.sections[0]"
    assert run.send("w1", "work", "p", 1) == "request / plan.sections[1]"
    assert run.end("w0", "p") == []
    assert run.end("w1") == ["request / plan.sections[]: 2"]
    assert run.begin("j", "join") == "request"
    assert run.end("j") == []
    assert run.finish() == ["request"]


def test_nested_in_two_levels() -> None:
    spec = graph(
        node("plan", writes="sections", routers=(router("search", "sections"),)),
        node("search", writes="queries", routers=(router("fetch", "queries"),)),
        node("fetch", "join", writes="pages"),
        node("join", reads="pages"),
        begin="plan",
        many="pages",
    )
    found = levels(spec)
    inner = "request / plan.sections[] / search.queries[]"
    assert where(found) == {"search": ("request / plan.sections[]",), "fetch": (inner,)}
    assert level(found, "search.queries[]").parents == ("plan.sections[]",)
    assert level(found, "search.queries[]").aggregators == ("join",)
    assert level(found, "plan.sections[]").aggregators == ()  # nobody reads what search wrote
    assert found.aggregators["join"].spans == ("plan.sections[]", "search.queries[]")

    run = Run(spec)
    run.begin("p", "plan")
    run.send("s0", "search", "p", 0)
    run.send("s1", "search", "p", 1)
    run.end("p")
    assert run.send("f0", "fetch", "s0", 0) == "request / plan.sections[0] / search.queries[0]"
    run.send("f1", "fetch", "s0", 1)
    run.send("f2", "fetch", "s1", 0)
    assert run.end("s0", "s1", "f0") == []
    assert run.end("f1") == ["request / plan.sections[0] / search.queries[]: 2"]
    assert run.end("f2") == [
        "request / plan.sections[1] / search.queries[]: 1",
        "request / plan.sections[]: 2",
    ]
    assert {f: run.tree.group_of(f, "plan.sections[]") for f in ("f0", "f1", "f2")} == {
        "f0": Item("p", "sections", 0),
        "f1": Item("p", "sections", 0),
        "f2": Item("p", "sections", 1),
    }
    assert run.tree.group_of("f2", found.aggregators["join"].at) == "r"


def test_nested_in_three_levels() -> None:
    spec = graph(
        node("a", writes="x", routers=(router("b", "x"),)),
        node("b", writes="y", routers=(router("c", "y"),)),
        node("c", writes="z", routers=(router("d", "z"),)),
        node("d", "join", writes="out"),
        node("join", reads="out"),
        begin="a",
        many="out",
    )
    found = levels(spec)
    assert found.places["d"].paths == ("request / a.x[] / b.y[] / c.z[]",)
    assert found.aggregators["join"].spans == ("a.x[]", "b.y[]", "c.z[]")

    run = Run(spec)
    run.begin("a", "a")
    run.send("b", "b", "a", 4)
    run.send("c", "c", "b", 1)
    assert run.send("d", "d", "c", 2) == "request / a.x[4] / b.y[1] / c.z[2]"
    assert run.end("a", "b", "c") == []
    assert run.end("d") == [
        "request / a.x[4] / b.y[1] / c.z[]: 1",
        "request / a.x[4] / b.y[]: 1",
        "request / a.x[]: 1",
    ]
    assert run.tree.group_of("d", "b.y[]") == Item("b", "y", 1)


def test_diamond_of_branches() -> None:
    """plan -> (a, b) -> join over a collecting key: two writers, but nothing was sent."""
    spec = graph(
        node("plan", "a b"),
        node("a", "join", writes="notes"),
        node("b", "join", writes="notes"),
        node("join", reads="notes"),
        begin="plan",
        many="notes",
    )
    found = levels(spec)
    assert (found.levels, found.aggregators) == ({}, {})
    run = Run(spec)
    run.begin("p", "plan")
    run.begin("a", "a", "p")
    run.begin("b", "b", "p")
    assert run.end("p", "a", "b") == []
    assert run.begin("j", "join") == "request"


def test_diamond_behind_a_fan_out() -> None:
    """plan -> work[] -> (check, count) -> end: two nodes each aggregate, the last one neither."""
    spec = graph(
        node("plan", writes="sections", routers=(router("work", "sections"),)),
        node("work", "check count", writes="notes"),
        node("check", reads="notes"),
        node("count", reads="notes"),
        node("end", reads="notes"),
        begin="plan",
        many="notes",
        joins=["check count > end"],
    )
    found = levels(spec)
    assert level(found, "plan.sections[]").aggregators == ("check", "count")
    assert set(found.aggregators) == {"check", "count"}
    assert where(found) == {"work": ("request / plan.sections[]",)}

    run = Run(spec)
    run.begin("p", "plan")
    run.send("w", "work", "p", 0)
    assert run.end("p", "w") == ["request / plan.sections[]: 1"]
    assert run.begin("k", "check") == run.begin("c", "count") == run.begin("e", "end") == "request"


def test_loop() -> None:
    """plan -> work[] -> judge -> plan again or end: a level each time round."""
    spec = graph(
        node("plan", writes="sections", routers=(router("work", "sections"),)),
        node("work", "judge", writes="notes"),
        node("judge", reads="notes", routers=(router("plan __end__", "notes", sends=False),)),
        begin="plan",
        many="notes",
    )
    found = levels(spec)
    assert list(found.levels) == ["plan.sections[]"]
    assert not level(found, "plan.sections[]").is_recursive
    assert level(found, "plan.sections[]").aggregators == ("judge",)

    run = Run(spec)
    for turn in range(1, 4):
        number = "" if turn == 1 else f"#{turn}"
        plan, work, judge = f"p{turn}", f"w{turn}", f"j{turn}"
        run.begin(plan, "plan")
        assert run.send(work, "work", plan, 0) == f"request / plan{number}.sections[0]"
        assert run.end(plan) == []
        assert run.end(work) == [f"request / plan{number}.sections[]: 1"]
        run.begin(judge, "judge")
        assert run.end(judge) == []
    assert run.finish() == ["request"]


SECTION = graph(
    node("outline", reads="title", writes="queries", routers=(router("search", "queries"),)),
    node("search", "merge", writes="pages"),
    node("merge", reads="pages", writes="draft"),
    begin="outline",
    many="pages",
    input="title",
)

AGGREGATOR_PER_LEVEL = graph(
    node("plan", writes="sections", routers=(router("section", "sections"),)),
    node("section", "join", writes="drafts", subgraph=SECTION),
    node("join", reads="drafts"),
    begin="plan",
    many="drafts",
)


def test_aggregator_per_level() -> None:
    """A subgraph per section fans out itself: it merges its pages, the graph joins its drafts."""
    found = levels(AGGREGATOR_PER_LEVEL)
    assert {n: made.paths for n, made in found.levels.items()} == {
        "plan.sections[]": ("request / plan.sections[]",),
        "section:": ("request / plan.sections[] / section",),
        "section:outline.queries[]": ("request / plan.sections[] / section / outline.queries[]",),
    }
    assert {n: made.aggregators for n, made in found.levels.items()} == {
        "plan.sections[]": ("join",),
        "section:": (),
        "section:outline.queries[]": ("section:merge",),
    }
    assert found.aggregators["section:merge"].at == "section:"
    assert found.aggregators["section:merge"].spans == ("section:outline.queries[]",)
    assert found.aggregators["join"].at == "request"

    run = Run(AGGREGATOR_PER_LEVEL)
    run.begin("p", "plan")
    run.send("s0", "section", "p", 0)
    run.send("s1", "section", "p", 1)
    run.end("p")
    for section in ("s0", "s1"):
        run.begin(f"{section}.o", "outline", section, inside=True)
        for query in range(2):
            run.send(f"{section}.q{query}", "search", f"{section}.o", query)
        run.end(f"{section}.o")
    assert run.tree.path_text("s1.q0") == (
        "request / plan.sections[1] / section / outline.queries[0]"
    )
    inner = "request / plan.sections[0] / section / outline.queries[]: 2"
    assert run.end("s0.q0", "s0.q1") == [inner]
    path = run.begin("s0.m", "merge", "s0", inside=True)
    assert path == "request / plan.sections[0] / section"
    at = found.aggregators["section:merge"].at
    assert [run.tree.group_of(q, at) for q in ("s0.q0", "s0.m", "s1.q1")] == ["s0", "s0", "s1"]
    assert run.end("s0.m", "s0") == []
    assert run.end("s1.q0", "s1.q1", "s1")[-1] == "request / plan.sections[]: 2"


def test_subgraph_per_item() -> None:
    """plan -> section[] where a section is a graph of two steps: a level of its own below."""
    inner = graph(node("draft", "polish"), node("polish"), begin="draft")
    spec = graph(
        node("plan", writes="sections", routers=(router("section", "sections"),)),
        node("section", "join", writes="done", subgraph=inner),
        node("join", reads="done"),
        begin="plan",
        many="done",
    )
    found = levels(spec)
    below = "request / plan.sections[] / section"
    assert where(found) == {
        "section": ("request / plan.sections[]",),
        "section:__start__": (below,),
        "section:draft": (below,),
        "section:polish": (below,),
    }
    made = level(found, "section:")
    assert (made.kind, made.emitter, made.key) == ("graph", "section", None)
    assert made.parents == ("plan.sections[]",)
    assert made.targets == ("section:__start__",)
    assert found.places["section"].opens == ("section:",)

    run = Run(spec)
    run.begin("p", "plan")
    run.send("s", "section", "p", 3)
    run.end("p")
    path = run.begin("d", "draft", "s", inside=True)
    assert path == "request / plan.sections[3] / section"
    assert run.begin("q", "polish", "d") == path
    assert run.end("d", "q") == []
    assert run.end("s") == ["request / plan.sections[]: 1"]


def test_subgraph_without_a_fan_out_around_it() -> None:
    spec = graph(node("section", subgraph=SECTION), begin="section")
    found = levels(spec)
    assert found.places["section"].paths == ("request",)
    assert found.places["section:search"].paths == ("request / section / outline.queries[]",)
    run = Run(spec)
    run.begin("s", "section")
    run.begin("o", "outline", "s", inside=True)
    assert run.send("q", "search", "o", 1) == "request / section / outline.queries[1]"
    assert run.end("o") == []
    assert run.end("q") == ["request / section / outline.queries[]: 1"]


def test_subgraph_within_a_subgraph() -> None:
    book = graph(
        node("parts", writes="chapters", routers=(router("chapter", "chapters"),)),
        node("chapter", subgraph=AGGREGATOR_PER_LEVEL),
        begin="parts",
    )
    found = levels(book)
    assert found.places["chapter:section:search"].paths == (
        "request / parts.chapters[] / chapter / plan.sections[] / section / outline.queries[]",
    )
    assert found.aggregators["chapter:join"].at == "chapter:"
    assert found.aggregators["chapter:section:merge"].at == "chapter:section:"
    run = Run(book)
    run.begin("b", "parts")
    run.send("c", "chapter", "b", 0)
    run.begin("p", "plan", "c", inside=True)
    run.send("s", "section", "p", 1)
    run.begin("o", "outline", "s", inside=True)
    run.send("q", "search", "o", 2)
    assert run.tree.path_text("q", most=2) == "request / … / section / outline.queries[2]"
    assert run.tree.group_of("q", "chapter:section:") == "s"
    assert run.tree.group_of("q", "chapter:") == "c"


def test_generator_feeding_sends() -> None:
    """Items come while plan runs; one that the final value does not confirm takes its own."""
    streaming = replace(
        ONE_TO_MANY.nodes["plan"], stream=Stream.ADDABLE, writes=frozenset({"sections"})
    )
    spec = replace(ONE_TO_MANY, nodes={**ONE_TO_MANY.nodes, "plan": streaming})
    assert level(levels(spec), "plan.sections[]").stream is Stream.ADDABLE

    run = Run(spec)
    run.begin("p", "plan")
    for index in range(3):
        run.tree.emitted("p", "sections", index, settled=False)
        run.begin(f"w{index}", "work", Item("p", "sections", index))
        assert not run.tree.is_settled(f"w{index}")
        run.tree.settled(Item("p", "sections", index))
        assert run.tree.is_settled(f"w{index}")
    assert run.end("w0", "w1") == []
    gone = run.tree.retracted(Item("p", "sections", 2))
    assert gone == [Retracted(("w2", Item("p", "sections", 2)), ("w2",))]
    assert run.end("p") == ["request / plan.sections[]: 2"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"routers": (router("work", "sections", waits="takes config"),)}, "the router waits"),
        ({"routers": (router("work", "other"),)}, "it is made from what plan does not write"),
        ({"routers": (), "sends": True, "goto": names("work")}, "a Command comes at the end"),
    ],
)
def test_items_that_do_not_come_while_their_node_runs(change: dict[str, Any], why: str) -> None:
    plan = replace(ONE_TO_MANY.nodes["plan"], stream=Stream.ADDABLE, **change)
    (made,) = levels(
        replace(ONE_TO_MANY, nodes={**ONE_TO_MANY.nodes, "plan": plan})
    ).levels.values()
    assert made.stream is Stream.NOTHING, why


def test_two_emitters_into_one_aggregator() -> None:
    spec = graph(
        node("web", writes="urls", routers=(router("fetch", "urls"),)),
        node("files", writes="names", routers=(router("load", "names"),)),
        node("fetch", writes="texts"),
        node("load", writes="texts"),
        node("join", reads="texts"),
        begin="web files",
        many="texts",
        joins=["fetch load > join"],
    )
    found = levels(spec)
    assert found.aggregators["join"] == Aggregator(
        "join",
        "request",
        {"files.names[]": ("texts",), "web.urls[]": ("texts",)},
        ("files.names[]", "web.urls[]"),
    )
    run = Run(spec)
    run.begin("a", "web")
    run.begin("b", "files")
    run.send("f", "fetch", "a", 0)
    run.send("l", "load", "b", 0)
    assert run.end("a", "b") == []
    assert run.end("f") == ["request / web.urls[]: 1"]
    assert run.end("l") == ["request / files.names[]: 1"]
    at = found.aggregators["join"].at
    assert run.tree.group_of("f", at) == run.tree.group_of("l", at) == "r"


def test_command_with_sends() -> None:
    """plan returns Command(update={"sections": …}, goto=[Send("work", …), …])."""
    spec = graph(
        node("plan", reads="topic", writes="sections", sends=True, goto=names("work")),
        node("work", "join", writes="notes"),
        node("join", reads="notes"),
        begin="plan",
        many="notes",
    )
    found = levels(spec)
    assert where(found) == {"work": ("request / plan.sections[]",)}
    assert level(found, "plan.sections[]").aggregators == ("join",)
    run = Run(spec)
    run.begin("p", "plan")
    assert run.send("w", "work", "p", 0) == "request / plan.sections[0]"
    assert run.end("p", "w") == ["request / plan.sections[]: 1"]


def test_command_with_sends_from_what_it_reads() -> None:
    spec = graph(
        node("deal", reads="sections", sends=True, goto=names("work")), node("work"), begin="deal"
    )
    assert list(levels(spec).levels) == ["deal.sections[]"]


def test_chain_of_sends() -> None:
    """Each stage sends one task to the next: every stage is a level in the one before."""
    spec = graph(
        node("begin", routers=(router("a"),)),
        node("a", sends=True, goto=names("b"), writes=None),
        node("b", sends=True, goto=names("c"), writes=None),
        node("c", "join", writes="out"),
        node("join", reads="out"),
        begin="begin",
        many="out",
    )
    found = levels(spec)
    assert [made.is_key_known for made in found.levels.values()] == [False, False, False]
    assert found.places["c"].paths == ("request / begin.a[] / a.b[] / b.c[]",)
    assert found.aggregators["join"].spans == ("begin.a[]", "a.b[]", "b.c[]")
    run = Run(spec)
    run.begin("0", "begin")
    for chain in range(2):
        run.send(f"a{chain}", "a", "0", chain)
    run.end("0")
    for chain in range(2):
        run.send(f"b{chain}", "b", f"a{chain}", 0)
        run.end(f"a{chain}")
        run.send(f"c{chain}", "c", f"b{chain}", 0)
        run.end(f"b{chain}")
    assert run.tree.path_text("c1") == "request / begin.a[1] / a.b[0] / b.c[0]"
    assert run.end("c0") == [
        "request / begin.a[0] / a.b[0] / b.c[]: 1",
        "request / begin.a[0] / a.b[]: 1",
    ]
    assert run.end("c1")[-1] == "request / begin.a[]: 2"


def test_join_of_branches() -> None:
    """One branch fans out, another is a chain of two: they join over what both collected."""
    spec = graph(
        node("plan", writes="sections", routers=(router("work", "sections"),)),
        node("work", writes="notes"),
        node("look", "think"),
        node("think", writes="notes"),
        node("join", reads="notes"),
        begin="plan look",
        many="notes",
        joins=["work think > join"],
    )
    found = levels(spec)
    assert found.aggregators["join"].reads == {"plan.sections[]": ("notes",)}
    assert where(found) == {"work": ("request / plan.sections[]",)}
    run = Run(spec)
    run.begin("p", "plan")
    run.begin("l", "look")
    run.send("w", "work", "p", 0)
    run.begin("t", "think", "l")
    assert run.end("p", "l", "w") == ["request / plan.sections[]: 1"]
    assert run.end("t") == []
    assert run.begin("j", "join") == "request"


def test_recursion() -> None:
    """explore sends to itself, to any depth: one level, whose paths nest in a run."""
    spec = graph(
        node("explore", writes="leads", routers=(router("explore", "leads"),)), begin="explore"
    )
    found = levels(spec)
    assert found.places["explore"].levels == ("request", "explore.leads[]")
    assert found.places["explore"].paths == ("request", "request / explore.leads[]")
    assert level(found, "explore.leads[]").is_recursive
    assert level(found, "explore.leads[]").parents == ("explore.leads[]", "request")
    tree = AncestryTree()
    tree.request_began("r")
    tree.task_began("0", "explore", "r")
    for depth in range(3):
        tree.task_began(str(depth + 1), "explore", str(depth), index=depth, of="leads")
        tree.task_ended(str(depth))
    assert tree.path_text("3") == (
        "request / explore.leads[0] / explore.leads[1] / explore.leads[2]"
    )
    assert tree.group_of("3", "explore.leads[]") == Item("2", "leads", 2)
    assert [
        fact.level.task for fact in tree.task_ended("3") if isinstance(fact, LevelComplete)
    ] == [
        "2",
        "1",
        "0",
    ]


def test_nodes_that_send_to_each_other() -> None:
    spec = graph(node("a", routers=(router("b"),)), node("b", routers=(router("a"),)), begin="a")
    found = levels(spec)
    assert found.places["a"].paths == ("request", "request / a.b[] / b.a[]")
    assert found.places["b"].paths == ("request / a.b[]",)
    assert level(found, "a.b[]").is_recursive
    assert level(found, "b.a[]").is_recursive


def test_fan_out_of_the_input() -> None:
    start = node("__start__", routers=(router("work", "topics style"),))
    spec = graph(node("work", writes="notes"), input="topics", many="notes")
    spec = replace(spec, nodes={**spec.nodes, "__start__": start})
    assert where(levels(spec)) == {"work": ("request / __start__.topics[]",)}


def test_node_that_two_levels_lead_to() -> None:
    """judge sends what is still to do to the same workers."""
    spec = graph(
        node("plan", writes="sections", routers=(router("work", "sections"),)),
        node("work", "judge", writes="notes"),
        node("judge", reads="notes", writes="todo", routers=(router("work __end__", "todo"),)),
        begin="plan",
        many="notes",
    )
    found = levels(spec)
    assert found.places["work"].paths == ("request / judge.todo[]", "request / plan.sections[]")
    assert level(found, "judge.todo[]").aggregators == ("judge",)
    run = Run(spec)
    run.begin("p", "plan")
    run.send("w0", "work", "p", 0)
    run.end("p", "w0")
    run.begin("j", "judge")
    assert run.send("w1", "work", "j", 5) == "request / judge.todo[5]"
    assert run.end("j", "w1") == ["request / judge.todo[]: 1"]


def test_error_handler_of_a_worker_lives_where_the_worker_does() -> None:
    spec = graph(
        node("plan", writes="sections", routers=(router("work", "sections"),)),
        node("work", "join", writes="notes", handler="mend"),
        node("mend", writes="faults"),
        node("join", reads="notes faults"),
        begin="plan",
        many="notes faults",
    )
    found = levels(spec)
    assert found.places["mend"].paths == ("request / plan.sections[]",)
    assert level(found, "plan.sections[]").members == ("mend", "work")
    assert found.aggregators["join"].reads == {"plan.sections[]": ("faults", "notes")}


def test_an_error_handler_lives_everywhere_where_its_node_does() -> None:
    spec = graph(
        node("plan", "work", routers=(router("work"),)), node("work", handler="mend"), node("mend")
    )
    assert levels(spec).places["mend"].paths == ("request", "request / plan.work[]")


def test_an_error_handler_is_not_sent_to() -> None:
    plan = node("plan", routers=(router(None),), handler="mend")
    found = levels(graph(plan, node("work"), node("mend"), begin="plan"))
    assert (found.places["mend"].paths, list(found.levels)) == (("request",), ["plan.work[]"])


# What the sends are made from --------------------------------------------------------------


@pytest.mark.parametrize(
    ("reads", "writes", "many", "key"),
    [
        ("sections", "sections", "", "sections"),  # the only one
        ("sections style", "sections", "", "sections"),  # the only one that plan wrote
        ("sections style", "title", "sections", "sections"),  # the only list
        ("sections style", "sections style", "sections", "sections"),
        ("sections style", "sections style", "", None),  # either
        ("sections parts", "title", "sections parts", None),
        (None, "sections", "", None),  # the router can't be read
        ("sections", None, "", "sections"),  # the node can't be
        ("", "sections", "", None),  # it makes them up
    ],
)
def test_the_key_that_sends_are_made_from(
    reads: str | None, writes: str | None, many: str, key: str | None
) -> None:
    spec = graph(
        node("plan", writes=writes, routers=(router("work", reads),)),
        node("work"),
        begin="plan",
        many=many,
    )
    (made,) = levels(spec).levels.values()
    assert made.name == f"plan.{key or 'work'}[]"
    assert made.is_key_known is (key is not None)


def test_two_targets_made_from_one_key_share_a_level() -> None:
    spec = graph(
        node("plan", writes="sections", routers=(router("write draw", "sections"),)),
        node("write"),
        node("draw"),
        begin="plan",
    )
    found = levels(spec)
    assert level(found, "plan.sections[]").targets == ("draw", "write")
    assert found.notes == ("plan (route): all of 'draw', 'write' are taken to be sent to",)
    run = Run(spec)
    run.begin("p", "plan")
    assert run.send("w", "write", "p", 0) == run.send("d", "draw", "p", 0)
    assert run.end("p", "w") == []
    assert run.end("d") == ["request / plan.sections[]: 1"]


def test_two_targets_made_from_no_known_key_are_two_levels() -> None:
    spec = graph(node("plan", routers=(router("write draw"),)), node("write"), node("draw"))
    assert where(levels(spec)) == {
        "write": ("request / plan.write[]",),
        "draw": ("request / plan.draw[]",),
    }
    assert levels(spec).opened_by("plan", "draw") == level(levels(spec), "plan.draw[]")
    assert levels(spec).opened_by("write", "draw") is None
    assert levels(spec).opened_by("nobody", "draw") is None


@pytest.mark.parametrize("order", [1, -1])
def test_two_routers_over_one_key_share_a_level(order: int) -> None:
    """It streams if one of them can be asked while the node runs."""
    routers = (router("write", "sections", waits="awaits"), router("draw", "sections"))[::order]
    plan = node("plan", writes="sections", routers=routers, stream=Stream.ADDABLE)
    found = levels(graph(plan, node("write"), node("draw"), begin="plan"))
    made = level(found, "plan.sections[]")
    assert (made.targets, made.stream) == (("draw", "write"), Stream.ADDABLE)
    assert found.notes == ()


# What is sent to and what is named ---------------------------------------------------------


def test_an_end_behind_another_one_is_the_way_round_the_fan_out() -> None:
    """`return [Send("work", …), …] or "join"`."""
    work, join = node("work", "join"), node("join", "plan")
    plan = node("plan", routers=(router("work join"),))
    found = levels(graph(plan, work, join, begin="plan"))
    assert found.places["join"].paths == ("request",)
    assert found.places["work"].paths == ("request / plan.work[]",)
    assert found.notes == ()


def test_an_end_that_collects_what_another_one_writes_is_named() -> None:
    """`return "finish" if … else [Send("search", …), …]`."""
    judge = node("judge", reads="found", writes="todo", routers=(router("search finish", "todo"),))
    search = node("search", "judge", reads="found todo", writes="found")
    finish = node("finish", reads="found todo", writes="text")
    found = levels(graph(judge, search, finish, begin="judge", many="found"))
    assert where(found) == {"search": ("request / judge.todo[]",)}
    assert found.notes == ()


def test_a_router_that_may_send_anywhere_is_taken_to_reach_what_nothing_else_does() -> None:
    spec = graph(
        node("plan", writes="sections", routers=(router(None, "sections"),)),
        node("work", "join", writes="notes"),
        node("join", reads="notes"),
        begin="plan",
        many="notes",
    )
    found = levels(spec)
    assert where(found) == {"work": ("request / plan.sections[]",)}
    assert found.notes == ("plan (route) may send anywhere; taken as: 'work'",)


def test_a_router_that_may_send_anywhere_where_all_is_reached() -> None:
    spec = graph(node("plan", "work", routers=(router(None),)), node("work"), begin="plan")
    found = levels(spec)
    assert found.levels == {}
    assert found.notes == ("plan (route) may send anywhere; taken as: nowhere",)


def test_a_command_that_may_lead_anywhere_leads_by_an_edge() -> None:
    """Out of a level: what it reaches aggregates."""
    spec = graph(
        node("plan", routers=(router("work"),)),
        node("work", writes="notes", goto=None),
        node("join", reads="notes"),
        begin="plan",
        many="notes",
    )
    found = levels(spec)
    assert found.places["join"].paths == ("request",)
    assert list(found.aggregators) == ["join"]
    assert found.notes == ("work may lead anywhere; taken as: 'join'",)


# Who aggregates ----------------------------------------------------------------------------


def test_an_aggregator_may_be_further_behind() -> None:
    """Nodes in between that do not read the key do not count; those behind neither."""
    spec = graph(
        node("plan", routers=(router("work"),)),
        node("work", "log", writes="notes"),
        node("log", "join"),
        node("join", "report", reads="notes"),
        node("report", reads="notes"),
        begin="plan",
        many="notes",
    )
    assert list(levels(spec).aggregators) == ["join"]


def test_each_key_has_its_own_aggregator() -> None:
    spec = graph(
        node("plan", routers=(router("work"),)),
        node("work", "join", writes="notes scores plain"),
        node("join", "rank", reads="notes plain"),
        node("rank", reads="notes scores plain"),
        begin="plan",
        many="notes scores",
    )
    found = levels(spec).aggregators
    assert found["join"].reads == {"plan.work[]": ("notes",)}
    assert found["rank"].reads == {"plan.work[]": ("scores",)}


def test_levels_above_are_collected_too_where_their_own_nodes_write() -> None:
    spec = graph(
        node("plan", routers=(router("search"),)),
        node("search", writes="notes", routers=(router("fetch"),)),
        node("fetch", "join", writes="pages"),
        node("join", reads="notes pages"),
        begin="plan",
        many="notes pages",
    )
    assert levels(spec).aggregators["join"].reads == {
        "plan.search[]": ("notes",),
        "search.fetch[]": ("pages",),
    }


def test_a_worker_whose_writes_are_not_known_may_write_every_list() -> None:
    """But not start the graph anew."""
    spec = graph(
        node("plan", reads="notes", routers=(router("work"),)),
        node("work", "join", writes=None),
        node("join", reads="notes"),
        begin="plan",
        many="notes",
    )
    found = levels(spec).aggregators
    assert list(found) == ["join"]
    assert found["join"].reads == {"plan.work[]": ("notes",)}


# Size --------------------------------------------------------------------------------------


def test_many_ways_to_a_level_are_cut_off() -> None:
    """Six nodes that all send to each other: the shortest paths are told, and that there are
    more."""
    every = "a b c d e f"
    spec = graph(*(node(n, routers=(router(every),)) for n in every.split()), begin="a")
    found = levels(spec)
    assert all(1 <= len(made.paths) <= 8 for made in found.levels.values())
    assert all(made.is_recursive for made in found.levels.values())
    assert any("more than 8 paths" in note for note in found.notes)
    assert found.places["b"].paths[0] == "request / a.b[]"


def test_a_node_that_nothing_leads_to_has_a_place() -> None:
    spec = graph(node("a"), node("lost", sends=True, goto=names("lost")), begin="a")
    assert levels(spec).places["lost"].paths == ()
    assert levels(graph(node("a"), node("lost"), begin="a")).places["lost"].paths == ("request",)


def test_a_hundred_nodes_take_little_time() -> None:
    made = [
        node(f"plan{i}", writes=f"k{i}", routers=(router(f"w{i}", f"k{i}"),)) for i in range(33)
    ]
    made += [node(f"w{i}", f"join{i}", writes="out") for i in range(33)]
    made += [node(f"join{i}", f"plan{i + 1}" if i < 32 else "", reads="out") for i in range(33)]
    spec = graph(*made, begin="plan0", many="out")
    began = time.thread_time()
    found = levels(spec)
    assert time.thread_time() - began < 0.3
    assert len(found.levels) == len(found.aggregators) == 33
    assert found.aggregators["join7"].reads == {"plan7.k7[]": ("out",)}


# What it rests on --------------------------------------------------------------------------


class Summary(TypedDict):
    topics: list[str]
    results: Annotated[list[str], operator.add]
    seen: Annotated[list[int], operator.add]


def test_langgraph_starts_one_task_behind_an_edge_out_of_a_fan_out() -> None:
    """Why such a node lives at the root of its graph, and not with each item."""

    def grade(state: Summary) -> dict[str, list[int]]:
        return {"seen": [len(state["results"])]}

    builder = StateGraph(Summary)
    builder.add_node("plan", lambda state: {"topics": ["a", "b", "c"]})
    builder.add_node("work", lambda topic: {"results": [topic]})
    builder.add_node("grade", grade)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges(
        "plan", lambda state: [Send("work", topic) for topic in state["topics"]], ["work"]
    )
    builder.add_edge("work", "grade")
    assert builder.compile().invoke({"topics": [], "results": [], "seen": []})["seen"] == [3]


def test_levels_of_a_running_task_can_be_asked_for_by_key() -> None:
    run = Run(ONE_TO_MANY)
    run.begin("p", "plan")
    run.send("w", "work", "p", 0)
    assert run.tree.path_text(LevelOf("p", "sections")) == "request / plan.sections[]"
    assert not run.tree.is_complete(LevelOf("p", "sections"))
    run.end("p", "w")
    assert run.tree.is_complete(LevelOf("p", "sections"))
