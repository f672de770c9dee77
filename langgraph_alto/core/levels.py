"""Nested ancestry before a run: which nodes open levels, who lives in them, who aggregates.

A `Send` starts one task for one item: nodes that are sent to live in a level that the sending
node opens, `plan.sections[]`. A node that is a subgraph opens one too, for the nodes in it. An
edge does neither: LangGraph starts one task however many tasks led to it, so a node behind an
edge lives at the root of its graph, and out of a level it joins what the level's tasks gave.
If it reads a channel that collects what they wrote, it aggregates.

What is known of a graph may leave open whether a router or a `Command` sends or names a node,
and from which key of the state `Send`s are made. What is taken then is said in `notes`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from langgraph_alto.core.fanout import Fan, GraphEdges
from langgraph_alto.core.paths import REQUEST, SEPARATOR
from langgraph_alto.core.spec import GraphSpec, Stream

MOST_PATHS = 8
"""Of how many paths of a level is told, where nodes send to each other in many ways."""


@dataclass(frozen=True, slots=True)
class Level:
    """Tasks and partial outputs that descend from the items of one node's fan-out.

    Attributes:
        name: Its name, the last step of its paths with the subgraphs in front that it is in:
            `plan.sections[]`, `section:search.queries[]`; a subgraph's level is `section:`.
        kind: "items": one item per `Send`; "graph": the run of a subgraph.
        emitter: The node that opens it.
        key: The state's key whose elements the `Send`s are made from, or if that is not known
            the node's name that is sent to; None for a subgraph. It is what
            `AncestryTree.task_began` takes as `of`.
        is_key_known: Whether `key` is a key of the state.
        targets: The nodes that are sent to; the nodes that begin a subgraph.
        members: All nodes that live in it. Those in subgraphs and levels below do not.
        parents: The levels in which the emitter lives.
        paths: Where it is: `request / plan.sections[]`. More than one if the emitter is reached
            in several ways.
        stream: How the items come while the emitter runs, if they do.
        is_recursive: What lives in it may open it again.
        aggregators: The nodes that read what its members collect.
    """

    name: str
    kind: Literal["items", "graph"]
    emitter: str
    key: str | None
    is_key_known: bool
    targets: tuple[str, ...]
    members: tuple[str, ...]
    parents: tuple[str, ...]
    paths: tuple[str, ...]
    stream: Stream
    is_recursive: bool
    aggregators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node's tasks live.

    Attributes:
        node: The node; `"parent:child"` in a subgraph.
        levels: The levels that it lives in, or `request`.
        paths: The same as paths.
        opens: The levels that it opens.
    """

    node: str
    levels: tuple[str, ...]
    paths: tuple[str, ...]
    opens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Aggregator:
    """A node that reads what the tasks of a level collected: many to one.

    Attributes:
        node: The node.
        at: Where it lives: `request` or a subgraph's level. All that descends from one ancestor
            there belongs together (`AncestryTree.group_of(task, at)`).
        reads: The channels that it reads of each level.
        spans: All levels between `at` and those, outermost first.
    """

    node: str
    at: str
    reads: Mapping[str, tuple[str, ...]]
    spans: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Levels:
    """The levels of a graph, where its nodes live, and its aggregators, by name.

    Attributes:
        levels: All levels but the request itself.
        places: Where each node lives.
        aggregators: The nodes that aggregate.
        notes: What is not known and was taken as likely, or left out.
    """

    levels: Mapping[str, Level]
    places: Mapping[str, Place]
    aggregators: Mapping[str, Aggregator]
    notes: tuple[str, ...]

    def opened_by(self, emitter: str, target: str) -> Level | None:
        """The level of the `Send`s from one node to another; None if none were foreseen."""
        found = self.places.get(emitter)
        opened = [self.levels[name] for name in (found.opens if found is not None else ())]
        return next((o for o in opened if o.kind == "items" and target in o.targets), None)


def levels(spec: GraphSpec) -> Levels:
    """Infer the levels of a graph from what its nodes read and write.

    Example:
        >>> from langgraph_alto.core.spec import ChannelSpec, NodeSpec, RouterSpec
        >>> fan = RouterSpec("fan", reads=frozenset({"sections"}), ends=frozenset({"work"}))
        >>> found = levels(GraphSpec(
        ...     name="g",
        ...     nodes={
        ...         "plan": NodeSpec("plan", routers=(fan,), writes=frozenset({"sections"})),
        ...         "work": NodeSpec("work", writes=frozenset({"notes"}), edges=frozenset({"j"})),
        ...         "join": NodeSpec("join", triggers=("j",), reads=frozenset({"notes"})),
        ...     },
        ...     channels={"notes": ChannelSpec("notes", "reducer", many=True)},
        ...     triggered={"j": ("join",)},
        ... ))
        >>> found.places["work"].paths, found.places["join"].paths
        (('request / plan.sections[]',), ('request',))
        >>> found.aggregators["join"].reads
        {'plan.sections[]': ('notes',)}
    """
    found = _Found()
    found.read(spec, "", REQUEST)
    return found.result()


@dataclass(slots=True)
class _Draft:
    """A level while it is found. `root`: the level at the root of its graph."""

    name: str
    step: str
    emitter: str
    root: str
    fan: Fan | None
    targets: set[str]
    members: set[str]


_Paths = Mapping[str, tuple[str, ...]]
_Below = Mapping[str, set[str]]


class _Found:
    """What is found, over a graph and its subgraphs."""

    def __init__(self) -> None:
        self.drafts: dict[str, _Draft] = {}
        self.homes: dict[str, set[str]] = {}
        self.opens: dict[str, list[str]] = {}
        self.reads: dict[tuple[str, str], dict[str, set[str]]] = {}
        self.inner: dict[str, list[str]] = {}
        self.notes: list[str] = []

    def read(self, spec: GraphSpec, prefix: str, root: str) -> set[str]:
        """Take in a graph whose nodes that edges lead to live in `root`; say where it begins."""
        edges = GraphEdges(spec)
        self.notes += [f"{prefix}{note}" for note in edges.notes]
        for name in spec.nodes:
            self.homes[prefix + name] = {root} if name in edges.by_edge else set()
        own: list[_Draft] = []
        for fan in edges.fans:
            own.append(self._open(fan, prefix, root))
            for member in own[-1].members:
                self.homes[member].add(own[-1].name)
        for name, handler in edges.handlers:  # it runs in place of a task of its node
            self.homes[prefix + handler] |= self.homes[prefix + name]
        for name in spec.nodes:
            self.homes[prefix + name] |= set() if self.homes[prefix + name] else {root}
        self._aggregate(edges, own, prefix, root)
        for node in spec.nodes.values():
            if node.subgraph is not None:
                self._enter(prefix + node.name, node.subgraph, root)
        return {prefix + name for name in edges.begin}

    def _open(self, fan: Fan, prefix: str, root: str) -> _Draft:
        step = f"{fan.emitter}.{fan.key}[]"
        targets = {prefix + target for target in fan.targets}
        members = targets | {prefix + handler for handler in fan.handlers}
        draft = _Draft(prefix + step, step, prefix + fan.emitter, root, fan, targets, members)
        self._add(draft)
        return draft

    def _add(self, draft: _Draft) -> None:
        self.drafts[draft.name] = draft
        self.opens.setdefault(draft.emitter, []).append(draft.name)

    def _enter(self, node: str, spec: GraphSpec, root: str) -> None:
        """A subgraph: a level of its own below whatever its node lives in."""
        name = f"{node}:"
        draft = _Draft(name, node.rpartition(":")[2], node, root, None, set(), set())
        self._add(draft)
        draft.targets = self.read(spec, name, name)
        draft.members = {n for n in map(name.__add__, spec.nodes) if name in self.homes[n]}

    # Aggregators ---------------------------------------------------------------------------

    def _aggregate(self, edges: GraphEdges, own: list[_Draft], prefix: str, root: str) -> None:
        """The first nodes behind the edges out of a level that read what is collected there."""
        for draft in own:
            below = self._below(draft, own)
            leaving = [name.removeprefix(prefix) for d in below for name in d.members]
            for channel in edges.collected(n.removeprefix(prefix) for n in draft.members):
                for reader in edges.first_readers(leaving, channel):
                    known = self.reads.setdefault((prefix + reader, root), {})
                    known.setdefault(draft.name, set()).add(channel)

    def _below(self, draft: _Draft, own: list[_Draft]) -> list[_Draft]:
        """A level and those of its graph that its members open, and so on."""
        found = [draft]
        for level in found:
            found += [o for o in own if o.emitter in level.members and o not in found]
        return found

    # The result ----------------------------------------------------------------------------

    def result(self) -> Levels:
        """What was found."""
        for name, draft in self.drafts.items():
            for home in self.homes[draft.emitter]:
                self.inner.setdefault(home, []).append(name)
        paths = self._paths()
        below = {name: self._all_below(name) for name in self.drafts}
        places = {}
        for node, homes in self.homes.items():
            at = tuple(sorted(homes, key=lambda home: (home != REQUEST, home)))
            where = tuple(path for home in at for path in paths[home])
            places[node] = Place(node, at, where, tuple(self.opens.get(node, ())))
        return Levels(
            levels={name: self._level(draft, paths, below) for name, draft in self.drafts.items()},
            places=places,
            aggregators={
                node: self._aggregator(node, at, reads, paths, below)
                for (node, at), reads in sorted(self.reads.items())
            },
            notes=tuple(self.notes),
        )

    def _aggregator(
        self, node: str, at: str, reads: Mapping[str, set[str]], paths: _Paths, below: _Below
    ) -> Aggregator:
        spans = [
            name
            for name, draft in self.drafts.items()
            if draft.root == at and draft.fan is not None and reads.keys() & {name, *below[name]}
        ]
        depth = {name: min((p.count(SEPARATOR) for p in paths[name]), default=0) for name in spans}
        return Aggregator(
            node=node,
            at=at,
            reads={level: tuple(sorted(channels)) for level, channels in sorted(reads.items())},
            spans=tuple(sorted(spans, key=lambda name: (depth[name], name))),
        )

    def _level(self, draft: _Draft, paths: _Paths, below: _Below) -> Level:
        fan = draft.fan
        aggregators = [node for (node, _), reads in self.reads.items() if draft.name in reads]
        return Level(
            name=draft.name,
            kind="graph" if fan is None else "items",
            emitter=draft.emitter,
            key=None if fan is None else fan.key,
            is_key_known=fan is not None and fan.is_key_known,
            targets=tuple(sorted(draft.targets)),
            members=tuple(sorted(draft.members)),
            parents=tuple(sorted(self.homes[draft.emitter])),
            paths=paths[draft.name],
            stream=Stream.NOTHING if fan is None else fan.stream,
            is_recursive=draft.name in below[draft.name],
            aggregators=tuple(sorted(aggregators)),
        )

    def _all_below(self, level: str) -> set[str]:
        """All levels that what lives in a level leads to, itself included if it is recursive."""
        seen: set[str] = set()
        todo = [level]
        while todo:
            new = set(self.inner.get(todo.pop(), ())) - seen
            seen |= new
            todo += new
        return seen

    def _paths(self) -> _Paths:
        """The shortest ways to each level, none through the same level twice."""
        found: dict[str, list[tuple[str, ...]]] = {name: [] for name in self.drafts}
        todo: deque[tuple[str, tuple[str, ...]]] = deque([(REQUEST, ())])
        while todo:
            home, path = todo.popleft()
            for name in self.inner.get(home, ()):
                if name in path:
                    continue
                if len(found[name]) == MOST_PATHS:
                    note = f"{name}: more than {MOST_PATHS} paths lead there"
                    self.notes += [note] if note not in self.notes else []
                    continue
                found[name].append((*path, name))
                todo.append((name, (*path, name)))
        steps = {name: draft.step for name, draft in self.drafts.items()}
        shown = {
            name: tuple(SEPARATOR.join([REQUEST, *(steps[s] for s in path)]) for path in paths)
            for name, paths in found.items()
        }
        return {**shown, REQUEST: (REQUEST,)}
