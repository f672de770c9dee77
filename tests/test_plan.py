"""The streaming plan, from facts: who may start early, who waits for whom, what unlocks it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from langgraph_alto.core.effects import Rank, Verdict
from langgraph_alto.core.plan import ANY, EdgePlan, NodePlan, StreamingPlan
from langgraph_alto.core.planner import Setting, streaming_plan
from langgraph_alto.core.spec import ChannelSpec, GraphSpec, NodeSpec, RouterSpec, Stream

KEYS = frozenset({"a", "b", "c", "x"})


def node(name: str, reads: str = "", writes: str | None = "", **more: Any) -> NodeSpec:
    """A node whose reads and writes (None: anything) were read in its source."""
    facts: dict[str, Any] = {
        "triggers": (f"to:{name}",),
        "channels": KEYS,
        "reads": frozenset(reads),
        "reads_how": "source",
        "narrowed": True,
        "writes": None if writes is None else frozenset(writes),
        "writes_how": "source",
    }
    return NodeSpec(name, **{**facts, **more})


def graph(
    nodes: Iterable[NodeSpec], edges: str, joins: str = "", **channels: Mapping[str, Any]
) -> GraphSpec:
    """A graph of nodes with edges such as "START>p p>q" and joins such as "p+q>r"."""
    made = {n.name: n for n in (node("__start__"), *nodes)}
    known = {n: ChannelSpec(f"to:{n}", "trigger") for n in made}
    specs = {spec.name: spec for spec in known.values()}
    specs |= {key: ChannelSpec(key, "value") for key in KEYS}
    specs |= {key: replace(specs[key], **more) for key, more in channels.items()}
    triggered = {f"to:{n}": (n,) for n in made}
    for edge in edges.split():
        source, target = edge.replace("START", "__start__").split(">")
        made[source] = replace(made[source], edges=made[source].edges | {f"to:{target}"})
    for join in joins.split():
        members, target = join.split(">")
        channel = f"join:{members}:{target}"
        specs[channel] = ChannelSpec(channel, "barrier")
        triggered[channel] = (target,)
        made[target] = replace(made[target], triggers=(*made[target].triggers, channel))
        for member in members.split("+"):
            made[member] = replace(made[member], edges=made[member].edges | {channel})
    return GraphSpec("g", made, specs, triggered, input=KEYS)


def verdict(rank: Rank = Rank.PROVEN, reason: str = "pure", **more: Any) -> Verdict:
    facts: dict[str, Any] = {
        "detail": "its source only computes",
        "unlock": None,
        "may_interrupt": False,
        "needs_identity": False,
    }
    return Verdict(rank, reason, **{**facts, **more})


def planned(spec: GraphSpec, setting: Setting | None = None, **verdicts: Verdict) -> StreamingPlan:
    everything = dict.fromkeys(_paths(spec), verdict())
    return streaming_plan(spec, {**everything, **verdicts}, setting)


def _paths(spec: GraphSpec, prefix: str = "") -> Iterable[str]:
    for name, found in spec.nodes.items():
        yield prefix + name
        if found.subgraph is not None:
            yield from _paths(found.subgraph, f"{prefix}{name}:")


def edge(plan: StreamingPlan, source: str, target: str) -> EdgePlan:
    """The one edge between two nodes."""
    (found,) = (e for e in plan.edges if source in e.sources and e.target == target)
    return found


def waits(edge: EdgePlan) -> dict[str, str]:
    """For whom an edge waits, and for which channels or why."""
    return {w.node: w.why if not w.channels else "".join(w.channels) for w in edge.waits}


# Edges ---------------------------------------------------------------------------------------


def branches(after_reads: str, slow_writes: str | None, **more: Any) -> GraphSpec:
    """START -> fast -> after, beside slow."""
    nodes = [node("fast", "a", "b"), node("slow", "a", slow_writes), node("after", after_reads)]
    nodes = [replace(n, **more.get(n.name, {})) for n in nodes]
    return graph(nodes, "START>fast START>slow fast>after")


def test_a_branch_does_not_wait_for_a_sibling_that_writes_nothing_it_reads() -> None:
    plan = planned(branches("b", "x"))
    found = edge(plan, "fast", "after")
    assert (found.when, found.starts, found.waits) == ("at once", "certain", ())
    assert found.beside == ("slow",)
    assert found.reason == "after 'fast', while 'slow' may still run"
    assert plan.nodes["after"].starts == "certain"
    assert not plan.held


def test_a_real_dependency_waits_and_nothing_unlocks_it() -> None:
    found = edge(planned(branches("bx", "x")), "fast", "after")
    assert (found.when, waits(found)) == ("waits", {"slow": "x"})
    assert found.waits[0].unlock is None
    assert found.reason == "after 'fast'; waits for 'slow' (x)"


FUNCTIONS = Setting(functions={"slow": "slow", "after": "summarise"})
OBJECTS = replace(FUNCTIONS, objects=frozenset({"after"}))


@pytest.mark.parametrize(
    ("spec", "setting", "unlock"),
    [
        (
            branches("b", None),
            FUNCTIONS,
            'add_node("slow", slow, metadata={"alto": {"writes": ["a", "b", "c", "x"]}})'
            "  # keep what it writes",
        ),
        (
            branches("bx", "cx", slow={"writes_how": "signature"}),
            FUNCTIONS,
            'add_node("slow", slow, metadata={"alto": {"writes": ["c"]}})'
            '  # if it doesn\'t write "x"',
        ),
        (
            branches("bx", "x", after={"reads_how": "unknown"}),
            FUNCTIONS,
            'add_node("after", summarise, metadata={"alto": {"reads": ["b"]}})'
            '  # if it doesn\'t read "x"',
        ),
        (
            branches("abcx", "x", after={"reads_how": "signature"}),
            FUNCTIONS,
            'add_node("after", summarise, metadata={"alto": {"reads": ["a", "b", "c"]}})'
            '  # if it doesn\'t read "x"',
        ),
        (
            branches("abcx", "x", after={"reads_how": "signature"}),
            OBJECTS,
            'add_node("after", summarise, input_schema=OnlyWhatItReads)  # a schema without "x"',
        ),
        (
            branches("abcx", "x"),
            FUNCTIONS,
            'add_node("after", summarise, metadata={"alto": {"reads": ["a", "b", "c"]}})'
            '  # if it doesn\'t read "x"',
        ),
        # A schema that was narrowed by hand names what the node reads.
        (branches("bx", "x", after={"reads_how": "signature"}), FUNCTIONS, None),
        (branches("bx", "x", after={"reads_how": "declared"}), FUNCTIONS, None),
    ],
)
def test_a_guess_is_unlocked_by_a_line_to_paste(
    spec: GraphSpec, setting: Setting, unlock: str | None
) -> None:
    found = edge(planned(spec, setting), "fast", "after")
    assert [(w.node, w.unlock) for w in found.waits] == [("slow", unlock)]


def test_what_an_error_handler_does_counts_as_done_by_its_node() -> None:
    spec = branches("b", "a", slow={"handler": "mend"})
    spec = replace(spec, nodes={**spec.nodes, "mend": node("mend", goto=frozenset({"after"}))})
    found = edge(planned(spec), "fast", "after")
    assert found.beside == ("slow",)
    assert [(w.node, w.why, w.unlock) for w in found.waits] == [
        ("slow", "may write anything", None)
    ]


def test_a_node_without_a_name_for_its_function_is_declared_in_the_options() -> None:
    found = edge(planned(branches("b", None)), "fast", "after")
    assert found.waits[0].unlock == (
        'Options(nodes={"slow": {"writes": ["a", "b", "c", "x"]}})  # keep what it writes'
    )
    assert waits(found) == {"slow": "may write anything"}


def test_a_sibling_that_lags_behind_is_waited_for_later_in_the_chain() -> None:
    """slow is of the first step, last of the third: its reads tell whether slow matters."""
    nodes = [node("p"), node("q"), node("last", "x"), node("slow", "", "x")]
    plan = planned(graph(nodes, "START>p START>slow p>q q>last"))
    assert edge(plan, "p", "q").when == "at once"
    assert waits(edge(plan, "q", "last")) == {"slow": "x"}


def test_what_follows_a_lagging_sibling_counts_too() -> None:
    nodes = [node("p"), node("q"), node("last", "x"), node("slow"), node("then", "", "x")]
    spec = graph(nodes, "START>p START>slow p>q q>last slow>then")
    assert waits(edge(planned(spec), "q", "last")) == {"then": "x"}
    unknown = replace(spec.nodes["slow"], goto=None)
    lost = replace(spec, nodes={**spec.nodes, "slow": unknown})
    found = edge(planned(lost, FUNCTIONS), "q", "last")
    assert waits(found)["slow"] == "what follows is not known"
    assert found.waits[-2].unlock == (
        'add_node("slow", slow, destinations=tuple(["last", "p", "q", "slow", "then"]))'
        "  # keep those that it gives"
    )


def test_a_join_waits_for_its_members_only_as_a_join() -> None:
    nodes = [node("p", "", "a"), node("q", "", "b"), node("r", "", "c"), node("all", "ab")]
    spec = graph(nodes, "START>p START>q START>r", "p+q>all")
    found = edge(planned(spec), "p", "all")
    assert (found.sources, found.kind, found.when) == (("p", "q"), "join", "at once")
    assert found.beside == ("r",)
    wider = replace(spec, nodes={**spec.nodes, "all": replace(spec.nodes["all"], reads=KEYS)})
    assert waits(edge(planned(wider), "p", "all")) == {"r": "c"}


def test_another_way_into_a_join_waits_for_the_parts_of_the_join() -> None:
    nodes = [node("p"), node("q"), node("r"), node("all")]
    spec = graph(nodes, "START>p START>q START>r r>all", "p+q>all")
    plan = planned(spec)
    (direct,) = (e for e in plan.edges if e.sources == ("r",))
    assert [(w.node, w.channels) for w in direct.waits] == [
        ("p", ("join:p+q:all",)),
        ("q", ("join:p+q:all",)),
    ]


def fan_out(**more: Any) -> GraphSpec:
    """plan -> Sends to work -> collect."""
    fan = RouterSpec("fan", frozenset("a"), KEYS, ends=frozenset({"work"}), **more.pop("fan", {}))
    nodes = [
        node("plan", "", "a", routers=(fan,), **more),
        node("work", "", "c"),
        node("collect", "c", "x"),
    ]
    return graph(nodes, "START>plan work>collect", c={"kind": "reducer", "many": True})


def test_sends_start_at_once_and_the_collector_waits_for_all_of_them() -> None:
    plan = planned(fan_out())
    sent, joined = edge(plan, "plan", "work"), edge(plan, "work", "collect")
    assert (sent.kind, sent.router, sent.sends) == ("conditional", "fan", True)
    assert (sent.when, sent.starts) == ("at once", "certain")
    assert waits(joined) == {"work": "c"}
    assert joined.reason == "after 'work'; waits for other tasks of 'work' (c)"
    assert joined.waits[0].unlock is None
    # That it collects what they write is no guess, however little is known of it.
    guessed = replace(fan_out().nodes["collect"], reads=KEYS, reads_how="signature")
    spec = fan_out()
    whole = planned(replace(spec, nodes={**spec.nodes, "collect": guessed}))
    assert edge(whole, "work", "collect").waits[0].unlock is None


def test_a_router_without_sends_gives_one_end_at_a_time() -> None:
    route = RouterSpec("route", frozenset(), KEYS, ends=frozenset({"loop", "done"}), sends=False)
    nodes = [node("loop", "x", "x", routers=(route,)), node("done", "x", "a")]
    plan = planned(graph(nodes, "START>loop"))
    assert {e.target: (e.when, e.beside) for e in plan.edges if e.router} == {
        "done": ("at once", ()),
        "loop": ("at once", ()),
    }


def test_unknown_ends_are_said_and_can_be_named() -> None:
    route = RouterSpec("route", frozenset(), KEYS, ends=None)
    nodes = [node("p", routers=(route,)), node("q", "x"), node("slow", "", "x")]
    plan = planned(graph(nodes, "START>p START>slow"))
    found = edge(plan, "p", ANY)
    assert found.reason.endswith("router 'route' may lead to any node")
    assert found.unlock == (
        'add_conditional_edges("p", route, ["p", "q", "slow"])  # keep those that it gives'
    )
    assert "slow" in waits(found)
    assert plan.edges_to("q") == (found,)
    assert plan.nodes["q"].starts == "certain"


def test_commands_lead_where_they_say() -> None:
    nodes = [node("p", goto=frozenset({"q", "__end__"})), node("q", "x"), node("slow", "", "x")]
    plan = planned(graph(nodes, "START>p START>slow"))
    assert waits(edge(plan, "p", "q")) == {"slow": "x"}
    end = edge(plan, "p", "__end__")
    assert (end.kind, end.when, end.starts) == ("command", "end", "held")


# What streams --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "run_ahead", "starts", "reason"),
    [
        (Stream.ADDABLE, "streamed", "streamed", "its Sends start while 'plan' still runs"),
        (Stream.ADDABLE, "speculative", "streamed", "its Sends start while 'plan' still runs"),
        (Stream.ADDABLE, "certain", "certain", "Options(run_ahead='streamed') would"),
        (Stream.CHUNKS, "streamed", "certain", "Options(run_ahead='speculative') would"),
        (Stream.CHUNKS, "speculative", "speculative", "while 'plan' still runs"),
        (Stream.NOTHING, "speculative", "certain", "its Sends start when 'plan' has ended;"),
        (Stream.ADDABLE, "off", "held", ""),
    ],
)
def test_classes_of_sends(stream: Stream, run_ahead: str, starts: str, reason: str) -> None:
    off = "switched off" if run_ahead == "off" else None
    plan = planned(fan_out(stream=stream), Setting(run_ahead=run_ahead, off=off))
    found = edge(plan, "plan", "work")
    assert (found.starts, plan.nodes["work"].starts) == (starts, starts)
    assert reason in found.reason
    assert plan.nodes["work"].held is (starts == "held")


def test_a_router_says_why_it_is_not_evaluated_on_partial_state() -> None:
    spec = fan_out(stream=Stream.ADDABLE, fan={"waits": "takes config"})
    plan = planned(spec)
    (router,) = plan.nodes["plan"].routers
    assert (router.on_partial_state, router.reason) == (False, "takes config")
    found = edge(plan, "plan", "work")
    assert found.starts == "certain"
    assert "not while it streams: the router takes config" in found.reason
    (other,) = planned(fan_out(stream=Stream.ADDABLE)).nodes["plan"].routers
    assert (other.on_partial_state, other.reason, other.reads) == (True, None, ("a",))
    (plain,) = planned(fan_out(stream=Stream.ADDABLE, fan={"sends": False})).nodes["plan"].routers
    assert plain.reason is not None
    assert "gives no Sends" in plain.reason


def test_a_router_waits_at_a_gate_for_what_lags_behind_and_its_body_does_not() -> None:
    route = RouterSpec("route", frozenset("x"), KEYS, ends=frozenset({"r"}))
    nodes = [node("p"), node("q", routers=(route,)), node("r"), node("slow", "", "x")]
    plan = planned(graph(nodes, "START>p START>slow p>q"))
    assert edge(plan, "p", "q").when == "at once"
    (router,) = plan.nodes["q"].routers
    assert [(w.node, w.channels) for w in router.gate] == [("slow", ("x",))]
    # Beside it in the same step, slow's writes are not seen by the router.
    nodes = [node("q", routers=(route,)), node("r"), node("slow", "", "x")]
    (router,) = planned(graph(nodes, "START>q START>slow")).nodes["q"].routers
    assert router.gate == ()


# What is held --------------------------------------------------------------------------------


def chain(**more: Any) -> GraphSpec:
    """START -> p -> q."""
    return graph([node("p", "", "x"), node("q", "x", **more)], "START>p p>q")


def held(plan: StreamingPlan, name: str = "q") -> NodePlan:
    found = plan.nodes[name]
    assert found in plan.held
    assert found.starts == "held"
    assert all(e.starts == "held" for e in plan.edges_to(name))
    return found


def test_a_held_node_says_why_and_what_would_unlock_it() -> None:
    line = 'add_node("q", q, metadata={"alto": {"effects": "idempotent"}})'
    why = verdict(Rank.HELD, "outward write", detail="open() (app.py:3)", unlock=line)
    plan = planned(chain(), q=why)
    found = held(plan)
    assert (found.rank, found.effects, found.reason) == ("held", "outward write", "outward write")
    assert (found.detail, found.unlock) == ("open() (app.py:3)", line)
    to = edge(plan, "p", "q")
    assert (to.when, to.reason, to.unlock) == (
        "with its step",
        "'q' is held: outward write",
        line,
    )


def test_a_held_node_whose_function_has_no_name_is_unlocked_in_the_options() -> None:
    line = 'add_node("q", …, metadata={"alto": {"effects": "idempotent"}})'
    why = verdict(Rank.HELD, "mutates its input", unlock=f"return a new value, or {line}")
    assert held(planned(chain(), q=why)).unlock == (
        'return a new value, or Options(nodes={"q": {"effects": "idempotent"}})'
    )
    inner = graph([node("section", subgraph=chain())], "START>section")
    found = planned(inner, **{"section:q": verdict(Rank.HELD, "store", unlock=line)})
    assert held(found, "section:q").unlock == (
        'Options(nodes={"section:q": {"effects": "idempotent"}})'
    )


def test_source_that_is_gone_says_signature_only() -> None:
    gone = verdict(Rank.HELD, "source can't be read", detail="no source for q in <stdin>")
    plan = planned(chain(reads_how="signature", writes_how="unknown"), q=gone)
    assert held(plan).detail == "signature only: no source for q in <stdin>"
    assert plan.notes == ("the source can't be read of q: known from the signature only",)
    # `exec` in a function that was read is another matter.
    assert held(planned(chain(), q=gone)).detail == "no source for q in <stdin>"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (chain(defer=True), "'q' is deferred: it waits for the end of everything else"),
        (
            chain(unpredictable="managed value 'left'"),
            "the input of 'q' can't be foretold: managed value 'left'",
        ),
        (
            graph(chain().nodes.values(), "START>p p>q", x={"unpredictable": "its reducer …"}),
            "reads 'x', which can't be foretold: its reducer …",
        ),
        (
            graph(chain().nodes.values(), "START>p p>q", x={"kind": "other"}),
            "reads 'x', whose value in a later step can't be foretold",
        ),
    ],
)
def test_what_can_not_be_foretold_starts_with_its_step(spec: GraphSpec, reason: str) -> None:
    plan = planned(spec)
    assert (held(plan).reason, held(plan).detail) == ("no edge runs ahead", reason)
    assert edge(plan, "p", "q").when == "with its step"
    assert plan.nodes["p"].starts == "certain"


def test_a_channel_is_unforeseen_only_once_something_was_written_to_it() -> None:
    nodes = [node("p", "", "a"), node("q", "x"), node("s", "", "x"), node("o")]
    odd = {"unpredictable": "its reducer can't be read"}
    alone = graph(nodes[:2], "START>p p>q", x=odd)
    assert edge(planned(alone), "p", "q").when == "at once"
    beside = graph(nodes[:3], "START>p START>s p>q", x=odd)
    assert edge(planned(beside), "p", "q").when == "with its step"
    before = graph(nodes, "START>s s>p p>q", x=odd)
    assert edge(planned(before), "p", "q").when == "at once"
    lagging = graph(nodes, "START>s START>o s>p p>q", x=odd)
    assert edge(planned(lagging), "p", "q").when == "with its step"


def test_run_ahead_that_is_off_holds_everything() -> None:
    plan = planned(chain(), Setting(off="breakpoints"))
    assert plan.off == "breakpoints"
    assert held(plan).reason == "breakpoints"
    assert len(plan.held) == 2


def test_with_a_checkpointer_subgraphs_and_tasks_are_held() -> None:
    needs = verdict(needs_identity=True)
    assert planned(chain(), q=needs).nodes["q"].starts == "certain"
    plan = planned(chain(), Setting(resumable=True), q=needs)
    assert held(plan).reason == "subgraph or task with a checkpointer"


def test_with_a_checkpointer_only_proven_nodes_pass_an_interrupt() -> None:
    asks, free = verdict(may_interrupt=True), verdict(Rank.FREE, "free")
    spec = branches("b", "x")
    resumable = Setting(resumable=True, functions={"after": "after"})
    assert edge(planned(spec, resumable, slow=asks), "fast", "after").when == "at once"
    assert edge(planned(spec, slow=asks, after=free), "fast", "after").when == "at once"
    found = edge(planned(spec, resumable, slow=asks, after=free), "fast", "after")
    assert [(w.node, w.why, w.channels) for w in found.waits] == [("slow", "may interrupt", ())]
    assert found.waits[0].unlock == (
        'add_node("after", after, metadata={"alto": {"effects": "idempotent"}})'
    )
    assert found.reason == "after 'fast'; waits for 'slow' (may interrupt)"


def test_an_error_handler_is_left_to_langgraph() -> None:
    plan = planned(graph([node("p", handler="q"), node("q")], "START>p"))
    assert held(plan).reason == "error handler"
    (found,) = (e for e in plan.edges if e.kind == "error")
    assert (found.sources, found.target, found.when) == (("p",), "q", "with its step")


def test_an_edge_by_a_channel_of_another_kind_does_not_run_ahead() -> None:
    spec = graph([node("p", "", "x"), node("q", "a")], "START>p")
    raw = replace(spec, triggered={**spec.triggered, "x": ("q",)})
    assert edge(planned(raw), "p", "q").kind == "channel"
    assert edge(planned(raw), "p", "q").when == "at once"
    other = {**raw.channels, "x": ChannelSpec("x", "other")}
    found = edge(planned(replace(raw, channels=other)), "p", "q")
    assert (found.when, found.starts) == ("with its step", "held")
    unknown = {**raw.nodes, "p": replace(raw.nodes["p"], writes=None)}
    assert edge(planned(replace(raw, nodes=unknown)), "p", "q").kind == "channel"


# Subgraphs and levels ------------------------------------------------------------------------


def test_nodes_of_subgraphs_stand_under_their_path() -> None:
    inner = branches("bx", "x", slow={"writes_how": "unknown"})
    spec = graph([node("p"), node("section", subgraph=inner)], "START>p p>section")
    asks = verdict(Rank.HELD, "store", detail="…")
    plan = planned(spec, **{"section:fast": asks})
    assert list(plan.nodes) == [
        *("p", "section", "section:fast", "section:slow", "section:after"),
    ]
    assert plan.nodes["section"].subgraph
    assert held(plan, "section:fast").reason == "store"
    found = edge(plan, "section:fast", "section:after")
    assert waits(found) == {"section:slow": "x"}
    assert found.waits[0].unlock == (
        'Options(nodes={"section:slow": {"writes": []}})  # if it doesn\'t write "x"'
    )
    assert edge(plan, "section:__start__", "section:slow").reason == "starts with the run"
    assert [level.paths for level in plan.levels] == [("request / section",)]


def test_levels_and_their_aggregators() -> None:
    (level,) = planned(fan_out()).levels
    assert level.paths == ("request / plan.a[]",)
    assert (level.members, level.aggregators) == (("work",), ("collect",))
