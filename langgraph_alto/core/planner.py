"""From a graph's facts and verdicts to its `StreamingPlan`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from langgraph_alto.core.beside import END, START, Beside, is_barrier, is_state, join_members
from langgraph_alto.core.effects import Rank, Verdict
from langgraph_alto.core.levels import levels
from langgraph_alto.core.outlook import reads_of
from langgraph_alto.core.plan import (
    ANY,
    EdgePlan,
    Kind,
    NodePlan,
    RouterPlan,
    Start,
    StreamingPlan,
    Wait,
    When,
)
from langgraph_alto.core.spec import GraphSpec, Names, NodeSpec, RouterSpec, Stream
from langgraph_alto.core.unlock import Unlocks

SIGNATURE_ONLY = "signature only"
"""How the detail of a node begins whose source is gone."""

MOST_TOLD = 6
"""How many nodes a sentence names."""

SEPARATOR = ":"
"""Between the names of a subgraph's node and of a node in it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What applies to every node of a graph.

    Attributes:
        run_ahead: `Options.run_ahead`.
        resumable: The graph has a checkpointer (see `RunPolicy.resumable`).
        off: Why nothing starts early at all; None if run-ahead is on.
        functions: By a node's name with its path, the name of its function.
        objects: The nodes, with their paths, whose input is an object of a class.
        ends: The nodes, with their paths, that may lead to the end, and the name of the router
            that does; None for an edge. `GraphSpec` does not tell, as nothing runs there.
    """

    run_ahead: str = "streamed"
    resumable: bool = False
    off: str | None = None
    functions: Mapping[str, str] = field(default_factory=dict)
    objects: Names = frozenset()
    ends: frozenset[tuple[str, str | None]] = frozenset()

    def allows(self, start: Start) -> bool:
        """Whether a class of run-ahead is on."""
        order = ("off", "certain", "streamed", "speculative")
        return self.off is None and order.index(start) <= order.index(self.run_ahead)


def streaming_plan(
    spec: GraphSpec, verdicts: Mapping[str, Verdict], setting: Setting | None = None
) -> StreamingPlan:
    """What may start early in a graph, and what waits for whom.

    Args:
        spec: The graph.
        verdicts: The verdict on each node, in subgraphs under `"parent:child"`.
        setting: What applies to every node.

    Example:
        >>> nodes = [
        ...     NodeSpec("__start__", edges=frozenset({"to:a"}), writes=frozenset()),
        ...     NodeSpec("a", ("to:a",), writes=frozenset({"x"}), writes_how="source"),
        ... ]
        >>> spec = GraphSpec("g", {n.name: n for n in nodes}, {}, {"to:a": ("a",)})
        >>> streaming_plan(spec, {}).nodes["a"].starts
        'certain'
    """
    setting = setting or Setting()
    nodes, edges = _plan(spec, verdicts, setting, "")
    found = levels(spec)
    return StreamingPlan(
        graph=spec.name,
        run_ahead=setting.run_ahead,
        off=setting.off,
        nodes=nodes,
        edges=tuple(edges),
        levels=tuple(found.levels.values()),
        notes=(*_notes(nodes.values()), *found.notes),
    )


def _notes(nodes: Iterable[NodePlan]) -> Iterable[str]:
    """What could not be read of the nodes' functions."""
    gone = [n.name for n in nodes if n.detail.startswith(SIGNATURE_ONLY)]
    if gone:
        yield f"the source can't be read of {', '.join(gone)}: known from the signature only"


def _plan(
    spec: GraphSpec, verdicts: Mapping[str, Verdict], setting: Setting, prefix: str
) -> tuple[dict[str, NodePlan], list[EdgePlan]]:
    """The nodes and edges of a graph and of its subgraphs."""
    planner = _Planner(spec, verdicts, setting, prefix)
    edges = planner.edges()
    own = list(edges)
    nodes: dict[str, NodePlan] = {}
    for name, node in spec.nodes.items():
        if name.startswith("__"):
            continue
        nodes[prefix + name] = planner.node(node, own)
        if node.subgraph is not None:
            inner = _plan(node.subgraph, verdicts, setting, f"{prefix}{name}{SEPARATOR}")
            nodes |= inner[0]
            edges += inner[1]
    return nodes, edges


_UNJUDGED = Verdict(
    Rank.FREE, "not judged", "no verdict", unlock=None, may_interrupt=False, needs_identity=False
)


@dataclass(frozen=True, slots=True)
class _From:
    """The beginning of an edge: the node, or the nodes that a join waits for."""

    names: tuple[str, ...]
    late: Names
    behind: Names
    before: Names


class _Planner:
    """Plans one graph; `prefix` stands before the names of its nodes."""

    def __init__(
        self, spec: GraphSpec, verdicts: Mapping[str, Verdict], setting: Setting, prefix: str
    ) -> None:
        self._spec = spec
        self._setting = setting
        self._prefix = prefix
        self._verdicts = {n: verdicts.get(prefix + n, _UNJUDGED) for n in spec.nodes}
        self._beside = Beside(spec)
        self._channels_that_trigger = tuple(c for c in spec.triggered if is_state(spec, c))
        functions = {
            name: function
            for name in spec.nodes
            if (function := setting.functions.get(prefix + name)) is not None
        }
        objects = frozenset(name for name in spec.nodes if prefix + name in setting.objects)
        self._unlocks = Unlocks(spec, functions, objects, prefix)
        self._reads = {name: reads_of(spec, name) for name in spec.nodes}
        self._unknown_waits: dict[str, Wait] = {}
        self._handlers = {n.handler for n in spec.nodes.values() if n.handler is not None}

    # Nodes -----------------------------------------------------------------------------------

    def node(self, node: NodeSpec, edges: Sequence[EdgePlan]) -> NodePlan:
        """The plan of one node."""
        verdict = self._verdicts[node.name]
        starts, reason, detail, unlock = self._start(node, verdict, edges)
        return NodePlan(
            name=self._prefix + node.name,
            reads=tuple(sorted(node.reads)),
            reads_how=node.reads_how,
            writes=None if node.writes is None else tuple(sorted(node.writes)),
            writes_how=node.writes_how,
            rank=verdict.rank.value,
            effects=verdict.reason,
            starts=starts,
            reason=reason,
            detail=detail,
            unlock=unlock,
            stream=node.stream.value,
            defer=node.defer,
            subgraph=node.subgraph is not None,
            routers=tuple(self._router(node, router) for router in node.routers),
        )

    def _start(
        self, node: NodeSpec, verdict: Verdict, edges: Sequence[EdgePlan]
    ) -> tuple[Start, str, str, str | None]:
        """When a node may start, why, precisely why, and what would unlock it."""
        if (held := self._held(node, verdict)) is not None:
            return ("held", *held)
        own = self._prefix + node.name
        into = [edge for edge in edges if edge.target in (own, ANY)]
        for start in ("streamed", "certain", "speculative"):
            if (edge := next((e for e in into if e.starts == start), None)) is not None:
                return start, _STARTS_ON[start], edge.reason, None
        if into:
            return "held", "no edge runs ahead", into[0].reason, into[0].unlock
        return "certain", "entered from elsewhere", "no edge leads to it", None

    def _held(self, node: NodeSpec, verdict: Verdict) -> tuple[str, str, str | None] | None:
        """Why a node never starts early, whatever leads to it: reason, detail, unlock."""
        if self._setting.off is not None:
            return self._setting.off, "run-ahead is off for the whole graph", None
        if verdict.rank is Rank.HELD:
            detail = verdict.detail
            known = (node.reads_how, node.writes_how)
            if verdict.reason == "source can't be read" and "source" not in known:
                detail = f"{SIGNATURE_ONLY}: {detail}"
            return verdict.reason, detail, self._unlocks.named(node.name, verdict.unlock)
        if self._setting.resumable and verdict.needs_identity:
            detail = "its checkpoints would stay in the checkpointer if its work were discarded"
            return "subgraph or task with a checkpointer", detail, None
        if node.name in self._handlers:
            return "error handler", "LangGraph starts it when a node has failed", None
        return None

    def _router(self, node: NodeSpec, router: RouterSpec) -> RouterPlan:
        reads = router.channels if router.reads is None else router.reads & router.channels
        behind = self._beside.behind(node.name)
        reason = router.waits
        if reason is None and not router.sends:
            reason = "it gives no Sends, and a plain name from a partial state is a guess"
        if reason is None and node.stream is Stream.NOTHING:
            reason = f"{self._prefix + node.name!r} does not stream"
        return RouterPlan(
            name=router.name,
            reads=None if router.reads is None else tuple(sorted(router.reads)),
            ends=None if router.ends is None else tuple(sorted(router.ends)),
            sends=router.sends,
            gate=tuple(self._waits(reads, None, behind, behind)),
            on_partial_state=reason is None,
            reason=reason,
        )

    # Edges -----------------------------------------------------------------------------------

    def edges(self) -> list[EdgePlan]:
        """All edges, in the order of the nodes; a join stands with the first of its nodes."""
        found: list[EdgePlan] = []
        joins: set[str] = set()
        for node in self._spec.nodes.values():
            found += self._edges_from(node, joins)
        return found

    def _edges_from(self, node: NodeSpec, joins: set[str]) -> Iterable[EdgePlan]:
        start = self._from(node.name)
        for channel in sorted(node.edges):
            at = start
            kind: Kind = "channel" if is_state(self._spec, channel) else "direct"
            if is_barrier(self._spec, channel):
                if channel in joins:
                    continue
                joins.add(channel)
                at, kind = self._from(*join_members(self._spec, channel)), "join"
            for target in self._spec.triggered.get(channel, ()):
                yield self._edge(at, target, kind, channel=channel)
        for channel in self._channels_that_trigger:
            if channel not in node.edges and (node.writes is None or channel in node.writes):
                for target in self._spec.triggered[channel]:
                    yield self._edge(start, target, "channel", channel=channel)
        if node.handler is not None:
            yield self._edge(start, node.handler, "error")
        if node.goto is None:
            yield self._anywhere(start, None)
        for target in sorted(node.goto or ()):
            yield self._edge(start, target, "command", sends=node.sends)
        if (self._prefix + node.name, None) in self._setting.ends:
            yield self._edge(start, END, "direct")
        for router in node.routers:
            yield from self._edges_of_router(start, router)

    def _edges_of_router(self, start: _From, router: RouterSpec) -> Iterable[EdgePlan]:
        if router.ends is None:
            yield self._anywhere(start, router)
        ends = router.ends or frozenset()
        if (self._prefix + start.names[0], router.name) in self._setting.ends:
            ends |= {END}
        for target in sorted(ends):
            yield self._edge(start, target, "conditional", router=router, sends=router.sends)

    def _from(self, *names: str) -> _From:
        """The beginning of an edge, and who may still run, or have run, when it is reached."""
        late = self._beside.of(names[0]) if len(names) == 1 else self._beside.of_join(names)
        behind = late & frozenset().union(*(self._beside.behind(name) for name in names))
        before = frozenset(names)
        if behind:
            before |= frozenset().union(*(self._beside.before(name) for name in names))
        return _From(names, late, behind, before)

    def _edge(
        self,
        start: _From,
        target: str,
        kind: Kind,
        *,
        channel: str | None = None,
        router: RouterSpec | None = None,
        sends: bool = False,
    ) -> EdgePlan:
        """The plan of one edge to a node, or to the end."""
        edge = EdgePlan(
            sources=tuple(self._prefix + name for name in start.names),
            target=self._prefix + target,
            kind=kind,
            router=None if router is None else router.name,
            sends=sends,
            when="end",
            starts="held",
            waits=(),
            beside=self._listed(start.late),
            reason="the end",
        )
        node = self._spec.nodes.get(target)
        if node is None or target == END:
            return edge
        if (held := self._held(node, self._verdicts[target])) is not None:
            reason = f"{edge.target!r} is held: {held[0]}"
            return replace(edge, when="with its step", reason=reason, unlock=held[2])
        when, waits, reason, unlock = self._when(start, node, kind, channel)
        starts: Start = "held" if when == "with its step" and not sends else "certain"
        if sends and router is not None:
            starts, streamed = self._streamed(start.names[0], router, starts)
            reason = f"{streamed}; by its name: {reason}"
        if starts == "certain" and not self._setting.allows("certain"):
            starts = "held"
        return replace(edge, when=when, starts=starts, waits=waits, reason=reason, unlock=unlock)

    def _streamed(self, source: str, router: RouterSpec, otherwise: Start) -> tuple[Start, str]:
        """The class of a router's `Send`s, and why in words."""
        node = self._spec.nodes[source]
        if node.stream is Stream.NOTHING or router.waits is not None:
            why = f", not while it streams: the router {router.waits}" if router.waits else ""
            return otherwise, f"its Sends start when {source!r} has ended{why}"
        start: Start = "streamed" if node.stream is Stream.ADDABLE else "speculative"
        if self._setting.allows(start):
            return start, f"its Sends start while {source!r} still runs"
        off = f"Options(run_ahead={start!r}) would start them earlier"
        return otherwise, f"its Sends start when {source!r} has ended; {off}"

    def _when(
        self, start: _From, node: NodeSpec, kind: Kind, channel: str | None
    ) -> tuple[When, tuple[Wait, ...], str, str | None]:
        """When a task that is started by its name may start: when, for whom, why, unlock."""
        if (never := self._never(start, node, kind, channel)) is not None:
            return "with its step", (), never, None
        own = tuple(self._prefix + name for name in start.names)
        waits = tuple(
            # The tasks of one node trigger the other for what they write: that is no guess.
            replace(wait, unlock=None) if wait.channels and wait.node in own else wait
            for wait in self._waits(self._reads[node.name], node, start.late, start.behind)
        )
        ended = " and ".join(map(repr, own))
        if waits:
            return "waits", waits, f"after {ended}; waits for {self._told(start, waits)}", None
        if start.names == (START,):
            return "at once", (), "starts with the run", None
        if not start.late:
            return "at once", (), f"after {ended}; nothing runs beside it", None
        late = self._listed(start.late)
        beside = ", ".join(map(repr, late[:MOST_TOLD])) + _more(late)
        return "at once", (), f"after {ended}, while {beside} may still run", None

    def _told(self, start: _From, waits: Sequence[Wait]) -> str:
        """For whom an edge waits and for which channels, in words."""
        own = {self._prefix + name for name in start.names}
        found = []
        for wait in waits[:MOST_TOLD]:
            what = "anything" if wait.channels is None else ", ".join(wait.channels)
            who = f"other tasks of {wait.node!r}" if wait.node in own else repr(wait.node)
            found.append(f"{who} ({what or wait.why})")
        return ", ".join(found) + _more(waits)

    def _never(self, start: _From, node: NodeSpec, kind: Kind, channel: str | None) -> str | None:
        """Why a task of a node is not started by this edge before its step, if so."""
        label = self._prefix + node.name
        if node.defer:
            return f"{label!r} is deferred: it waits for the end of everything else"
        if node.unpredictable is not None:
            return f"the input of {label!r} can't be foretold: {node.unpredictable}"
        found = self._spec.channels.get(channel or "")
        if found is not None and found.kind == "other":
            return f"whether {channel!r} makes {label!r} run can't be foretold"
        return None if start.names == (START,) else self._unforeseen(start, node)

    def _unforeseen(self, start: _From, node: NodeSpec) -> str | None:
        """What a node reads whose value is not known before its step begins."""
        for name in sorted(self._reads[node.name]):
            read = self._spec.channels.get(name)
            if read is None or not is_state(self._spec, name):
                continue
            if read.kind == "other":
                return f"reads {name!r}, whose value in a later step can't be foretold"
            if read.unpredictable is not None and self._may_be_written(name, start):
                return f"reads {name!r}, which can't be foretold: {read.unpredictable}"
        return None

    def _may_be_written(self, channel: str, start: _From) -> bool:
        """Whether something may have been written to a channel that is not committed yet."""
        writes = [self._spec.nodes[name].writes for name in (*start.names, *start.late)]
        if start.behind:
            writes += [self._spec.nodes[name].writes for name in start.before]
        return any(written is None or channel in written for written in writes)

    def _anywhere(self, start: _From, router: RouterSpec | None) -> EdgePlan:
        """An edge whose end nothing tells: what waits for any of the nodes."""
        name = start.names[0]
        node = self._spec.nodes[name]
        what = f"router {router.name!r}" if router is not None else f"the Command of {name!r}"
        reads = frozenset().union(*self._reads.values())
        waits = tuple(self._waits(reads, None, start.late, start.behind))
        sends = node.sends if router is None else router.sends
        starts: Start = "certain" if self._setting.allows("certain") else "held"
        reason = f"{what} may lead to any node"
        if sends and router is not None:
            starts, streamed = self._streamed(name, router, starts)
            reason = f"{streamed}; {reason}"
        return EdgePlan(
            sources=(self._prefix + name,),
            target=ANY,
            kind="command" if router is None else "conditional",
            router=None if router is None else router.name,
            sends=sends,
            when="waits" if waits else "at once",
            starts=starts,
            waits=waits,
            beside=self._listed(start.late),
            reason=reason,
            unlock=self._unlocks.ends(name, router),
        )

    # Who waits for whom ----------------------------------------------------------------------

    def _waits(
        self, reads: Names, reader: NodeSpec | None, late: Names, behind: Names
    ) -> Iterable[Wait]:
        """Those of the nodes that may still run for whom a reader of these channels waits.

        `reader` is None for a router, and where it may be any node.
        """
        for name in self._spec.nodes:
            if name not in late:
                continue
            node = self._spec.nodes[name]
            label = self._prefix + name
            may = self._spec.may_write(name, 0)
            if may is None:
                yield self._unknown(node)
            elif common := may & reads:
                unlock = self._unlocks.writer(node, reader, common)
                yield Wait(label, "writes what is read", tuple(sorted(common)), unlock)
            elif self._may_interrupt(name) and reader is not None and self._is_free(reader):
                unlock = self._unlocks.declare(reader.name, "effects", "idempotent")
                yield Wait(label, "may interrupt", (), unlock)
            elif name in behind and self._spec.may_write(name, 1) is None:
                yield Wait(label, "what follows is not known", None, self._ends_of(node))

    def _unknown(self, node: NodeSpec) -> Wait:
        """The wait for a node that may write anything: the same for whoever waits."""
        found = self._unknown_waits.get(node.name)
        if found is None:
            unlock = self._unlocks.writer(node, None, frozenset())
            found = Wait(self._prefix + node.name, "may write anything", None, unlock)
            self._unknown_waits[node.name] = found
        return found

    def _may_interrupt(self, name: str) -> bool:
        return self._setting.resumable and self._verdicts[name].may_interrupt

    def _is_free(self, node: NodeSpec) -> bool:
        return self._verdicts[node.name].rank is Rank.FREE

    def _ends_of(self, node: NodeSpec) -> str | None:
        """What would say where a node leads, if that is what is not known."""
        if node.goto is None:
            return self._unlocks.ends(node.name, None)
        router = next((r for r in node.routers if r.ends is None), None)
        return None if router is None else self._unlocks.ends(node.name, router)

    def _listed(self, names: Names) -> tuple[str, ...]:
        """Names with their path, in the graph's order."""
        return tuple(self._prefix + name for name in self._spec.nodes if name in names)


def _more(items: Sequence[object]) -> str:
    """How many there are beyond those that a sentence names."""
    return f" and {len(items) - MOST_TOLD} more" if len(items) > MOST_TOLD else ""


_STARTS_ON: Mapping[Start, str] = {
    "streamed": "Sends of a node that streams",
    "certain": "what has ended",
    "speculative": "chunks that are predictions",
}
