"""Which edges of a graph are edges, and which carry `Send`s made from which key of the state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from langgraph_alto.core.spec import GraphSpec, Names, NodeSpec, RouterSpec, Stream

START = "__start__"
END = "__end__"


@dataclass(frozen=True, slots=True)
class Fan:
    """What one node sends from one key of the state.

    Attributes:
        emitter: The node.
        key: The key, or the name of the only node that is sent to.
        is_key_known: Whether `key` is a key of the state.
        targets: The nodes that are sent to.
        handlers: Their error handlers.
        stream: How the key grows while the node runs, if `Send`s are made from it meanwhile.
    """

    emitter: str
    key: str
    is_key_known: bool
    targets: Names
    handlers: Names = frozenset()
    stream: Stream = Stream.NOTHING


class GraphEdges:
    """The edges of one graph, subgraphs left alone.

    Attributes:
        after: The nodes that an edge of a node leads to.
        begin: The nodes that the graph begins with.
        by_edge: The nodes that edges lead to, or that the graph begins with.
        fans: What is sent.
        handlers: Nodes and their error handlers.
        notes: What was taken as likely.
    """

    def __init__(self, spec: GraphSpec) -> None:
        self._spec = spec
        self.notes: list[str] = []
        self.after: dict[str, set[str]] = {n: self._certain(s) for n, s in spec.nodes.items()}
        sources = [source for node in spec.nodes.values() for source in _sending(node)]
        self._adopt_unreached(sources)
        self.handlers = tuple(
            (name, node.handler)
            for name, node in spec.nodes.items()
            if node.handler is not None and node.handler in spec.nodes
        )
        self.fans = self._fans(sources)
        self.begin = self._begin()
        self.by_edge = self.begin.union(*self.after.values())

    # Edges ---------------------------------------------------------------------------------

    def _certain(self, node: NodeSpec) -> set[str]:
        """Where edges, routers that send nothing and commands without `Send`s lead."""
        spec = self._spec
        channels = {*node.edges, *(node.writes or ())}
        if node.writes is None:
            state = (c for c in spec.channels.values() if not c.internal)
            channels |= {c.name for c in state if c.kind not in _EDGE_KINDS}
        found = {name for channel in channels for name in spec.triggered.get(channel, ())}
        for ends in _named_ends(node):
            found |= ends or frozenset()
        return found & set(spec.nodes)

    def _adopt_unreached(self, sources: list[_Source]) -> None:
        """Where something may lead anywhere, it is taken to lead to what nothing else leads to."""
        spec = self._spec
        lost = set(spec.nodes) - {START} - self._begin()
        lost -= set().union(*self.after.values())
        lost -= {end for source in sources for end in source.ends or ()}
        lost -= {node.handler for node in spec.nodes.values() if node.handler is not None}
        likely = ", ".join(map(repr, sorted(lost))) or "nowhere"
        anywhere = [place for place, source in enumerate(sources) if source.ends is None]
        for place in anywhere:
            sources[place] = replace(sources[place], ends=frozenset(lost))
            self.notes.append(f"{sources[place].label} may send anywhere; taken as: {likely}")
        if anywhere or not lost:
            return
        for name, node in spec.nodes.items():
            if None in _named_ends(node):
                self.after[name] |= lost
                self.notes.append(f"{name} may lead anywhere; taken as: {likely}")

    def _begin(self) -> set[str]:
        """The nodes that the graph begins with: the start node where there is one."""
        if START in self._spec.nodes:
            return {START}
        return set(self._spec.triggered.get(START, ())) & set(self._spec.nodes)

    def reachable(self, start: Iterable[str], blocked: Names = frozenset()) -> set[str]:
        """The nodes behind edges from these ones, not beyond the blocked ones."""
        found: set[str] = set()
        todo = list(start)
        while todo:
            new = self.after[todo.pop()] - found
            found |= new
            todo += new - blocked
        return found

    # Sends ---------------------------------------------------------------------------------

    def _fans(self, sources: list[_Source]) -> tuple[Fan, ...]:
        found: dict[tuple[str, str], Fan] = {}
        for source in sources:
            targets = frozenset(self._sent_to(source))
            key = self._key(source)
            if key is not None and targets:
                fans = [Fan(source.node.name, key, True, targets)]
            else:
                fans = [Fan(source.node.name, t, False, frozenset({t})) for t in sorted(targets)]
            for fan in fans:
                known = found.get((fan.emitter, fan.key), fan)
                stream = self._stream(source, key)
                found[fan.emitter, fan.key] = replace(
                    fan,
                    targets=fan.targets | known.targets,
                    stream=known.stream if stream is Stream.NOTHING else stream,
                )
        return tuple(self._with_handlers(fan) for fan in found.values())

    def _with_handlers(self, fan: Fan) -> Fan:
        return replace(fan, handlers=frozenset(h for n, h in self.handlers if n in fan.targets))

    def _sent_to(self, source: _Source) -> set[str]:
        """Which ends get `Send`s; the others are named, and become edges."""
        ends = set(source.ends or ()) & set(self._spec.nodes)
        if source.router is not None and source.router.targets is not None:
            self.after[source.node.name] |= ends - source.router.targets
            return ends & source.router.targets
        behind = {end: self.reachable([end]) for end in ends}
        named = {
            end
            for end in ends
            if any(
                (end in behind[other] and other not in behind[end])
                or (self._collects(end, other) and not self._collects(other, end))
                for other in ends - {end}
            )
        }
        self.after[source.node.name] |= named
        sent = ends - named
        if len(sent) > 1:
            names = ", ".join(map(repr, sorted(sent)))
            self.notes.append(f"{source.label}: all of {names} are taken to be sent to")
        return sent

    def _collects(self, reader: str, writer: str) -> bool:
        """Whether a node reads a channel to which the other one adds."""
        return bool(self.collected([writer]) & self._spec.nodes[reader].reads)

    def _key(self, source: _Source) -> str | None:
        """The key whose elements the `Send`s are made from, if only one comes into question."""
        if source.reads is None:
            return None
        node = source.node
        writes = self._spec.input if node.name == START else node.writes
        keys = (source.reads & writes if writes is not None else None) or source.reads
        many = [key for key in keys if self._is_many(key)]
        if len(many) == 1:
            return many[0]
        return next(iter(keys)) if len(keys) == 1 else None

    def _stream(self, source: _Source, key: str | None) -> Stream:
        """Whether items come while the node runs: only routers can be asked meanwhile."""
        node = source.node
        grows = key is not None and (node.writes is None or key in node.writes)
        if source.router is None or source.router.waits is not None or not grows:
            return Stream.NOTHING
        return node.stream

    # Collecting channels -------------------------------------------------------------------

    def _is_many(self, channel: str) -> bool:
        found = self._spec.channels.get(channel)
        return found is not None and found.many

    def collected(self, writers: Iterable[str]) -> Names:
        """The channels to which tasks of these nodes add."""
        many = frozenset(name for name in self._spec.channels if self._is_many(name))
        found: set[str] = set()
        for name in writers:
            writes = self._spec.nodes[name].writes
            found |= many if writes is None else writes & many
        return frozenset(found)

    def first_readers(self, start: Iterable[str], channel: str) -> set[str]:
        """The nodes behind edges that read a channel, none behind another such node."""
        readers = frozenset(n for n, node in self._spec.nodes.items() if channel in node.reads)
        return self.reachable(start, readers) & readers


_EDGE_KINDS = ("trigger", "barrier")


@dataclass(frozen=True, slots=True)
class _Source:
    """A router that may send, or a node that may do so itself. `ends`: None: anywhere."""

    node: NodeSpec
    router: RouterSpec | None
    reads: Names | None
    ends: Names | None

    @property
    def label(self) -> str:
        return self.node.name if self.router is None else f"{self.node.name} ({self.router.name})"


def _sending(node: NodeSpec) -> list[_Source]:
    found = [_Source(node, r, r.reads, _nodes_only(r.ends)) for r in node.routers if r.sends]
    if node.sends:
        keys = node.writes or node.reads  # what it computes goes to the state too, as a rule
        found.append(_Source(node, None, keys, _nodes_only(node.goto)))
    return found


def _named_ends(node: NodeSpec) -> list[Names | None]:
    """Where routers that send nothing lead, and a command of the node if it sends nothing."""
    found = [_nodes_only(router.ends) for router in node.routers if not router.sends]
    return found if node.sends else [*found, _nodes_only(node.goto)]


def _nodes_only(ends: Names | None) -> Names | None:
    return None if ends is None else ends - {END}
