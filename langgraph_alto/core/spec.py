"""What a graph is, as far as planning and run-ahead need it: frozen facts, no LangGraph objects.

`_langgraph.graph_reader.graph_spec` reads a `GraphSpec` off a compiled graph; all that decides
(`core.plan`, `core.scheduler`, `core.ancestry`) starts from it.

`None` in place of a set of names stands for "any": nothing is known, so everything is possible.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

How = Literal["declared", "signature", "source", "unknown"]
"""How a fact is known: by a declaration, from annotations, from the code, or not at all."""

Names = frozenset[str]


class Stream(enum.Enum):
    """What a node hands on while it runs."""

    NOTHING = "nothing"
    """An ordinary function: its result comes at the end."""
    ADDABLE = "addable"
    """A generator: chunks with `+` (`Partial`, `AddableDict`) add up, of plain ones the last
    counts. Which of the two it is shows with the second chunk."""
    CHUNKS = "chunks"
    """A Runnable that streams (`prompt | model | parser`): chunks are predictions."""


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """One channel of the state.

    Attributes:
        name: Its name, which is the state's key.
        kind: `"value"` (one write a step, the last stays), `"reducer"` (writes are folded),
            `"trigger"` (an edge's own channel), `"barrier"` (an edge from several nodes),
            `"other"` (its value in a later step can't be foretold).
        many: Its values are collections to which tasks add (an operator such as
            `operator.add` on lists, `add_messages`): many writers, one reader.
        unpredictable: Why its value can't be foretold once something was written to it: its
            reducer may change its arguments, or can't be read. None where it can.
        internal: It is no key of the state: an edge's own channel, the graph's input, `Send`s.
            No result of a node can name it.
    """

    name: str
    kind: Literal["value", "reducer", "trigger", "barrier", "other"]
    many: bool = False
    unpredictable: str | None = None
    internal: bool = False


@dataclass(frozen=True, slots=True)
class RouterSpec:
    """A conditional edge.

    Attributes:
        name: The router's name in the graph.
        reads: Keys of the state that it looks at; None: any.
        channels: Keys of the schema that it is given.
        ends: Nodes to which it may lead; None: any.
        sends: It may give `Send`s.
        targets: Nodes to which its `Send`s go; None: any of its ends.
        waits: Why it is never evaluated on partial state (it takes config, runtime or store,
            awaits, reaches a model, a client or I/O); None if it may be.
    """

    name: str
    reads: Names | None
    channels: Names = frozenset()
    ends: Names | None = None
    sends: bool = True
    targets: Names | None = None
    waits: str | None = None


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node.

    Attributes:
        name: Its name.
        triggers: Channels whose update makes it run.
        channels: Channels of which its input is made.
        reads: Channels that it looks at. What it does not look at need not be known when it
            starts.
        reads_how: How `reads` is known.
        narrowed: The input may omit the channels that are not in `reads` (a dict; a pydantic
            model or dataclass can't omit).
        writes: State channels that it may write; None: any.
        writes_how: How `writes` is known.
        edges: Channels that it writes whenever it ends: its direct edges and its part of a
            join.
        goto: Nodes to which a `Command` of its may lead; None: any; empty: it gives none.
        sends: It may give `Send`s itself (`Command(goto=[Send(…)])`).
        routers: Its conditional edges.
        stream: What it hands on while it runs.
        defer: It waits for the end of everything else.
        handler: Its error handler node, if any.
        unpredictable: Why its input can't be foretold (managed values, raw channels of an
            unknown kind); None if it can.
        subgraph: The graph that it holds as a node, if it is one.
    """

    name: str
    triggers: tuple[str, ...] = ()
    channels: Names = frozenset()
    reads: Names = frozenset()
    reads_how: How = "unknown"
    narrowed: bool = False
    writes: Names | None = None
    writes_how: How = "unknown"
    edges: Names = frozenset()
    goto: Names | None = frozenset()
    sends: bool = False
    routers: tuple[RouterSpec, ...] = ()
    stream: Stream = Stream.NOTHING
    defer: bool = False
    handler: str | None = None
    unpredictable: str | None = None
    subgraph: GraphSpec | None = None


@dataclass(frozen=True)
class GraphSpec:
    """A whole graph.

    Attributes:
        name: The graph's name.
        nodes: Its nodes, by name.
        channels: Its channels, by name.
        triggered: The nodes that an update of a channel makes run.
        input: Channels of the input schema.
        output: Channels of the output schema.
        context: Keys of the context schema.

    Example:
        >>> spec = GraphSpec(
        ...     name="g",
        ...     nodes={
        ...         "a": NodeSpec("a", writes=frozenset({"x"}), edges=frozenset({"to:b"})),
        ...         "b": NodeSpec("b", triggers=("to:b",), writes=frozenset({"y"})),
        ...     },
        ...     channels={},
        ...     triggered={"to:b": ("b",)},
        ... )
        >>> spec.successors("a"), sorted(spec.may_write("a", 1) or ())
        (frozenset({'b'}), ['to:b', 'x', 'y'])
    """

    name: str
    nodes: Mapping[str, NodeSpec]
    channels: Mapping[str, ChannelSpec] = field(default_factory=dict)
    triggered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    input: Names = frozenset()
    output: Names = frozenset()
    context: Names = frozenset()

    @cached_property
    def _may_write(self) -> dict[tuple[str, int], Names | None]:
        return {}

    def successors(self, name: str) -> Names | None:
        """The nodes that may run one step after a task of this node; None: any.

        `Send`s count too: unless the router's or command's ends are known, they lead anywhere.
        """
        node = self.nodes.get(name)
        if node is None or node.goto is None or node.handler is not None:
            return None
        found = set(node.goto)
        for channel in (*node.edges, *(node.writes or ())):
            found.update(self.triggered.get(channel, ()))
        if node.writes is None:
            state = [c for c in self.triggered if self._is_state(c)]
            found.update(n for c in state for n in self.triggered[c])
        for router in node.routers:
            if router.ends is None:
                return None
            found |= router.ends
        return frozenset(found)

    def _is_state(self, channel: str) -> bool:
        spec = self.channels.get(channel)
        if spec is None:
            return True
        return not spec.internal and spec.kind not in ("trigger", "barrier")

    def may_write(self, name: str, depth: int) -> Names | None:
        """Channels that a task of this node, or what follows from it, may write; None: any.

        Args:
            name: The node.
            depth: How many further steps are counted: 0 for the task alone.
        """
        key = (name, depth)
        if key in self._may_write:
            return self._may_write[key]
        node = self.nodes.get(name)
        found: Names | None = None
        if node is not None and node.writes is not None and node.handler is None:
            found = node.writes | node.edges
            if depth > 0:
                following = self.successors(name)
                if following is None:
                    found = None
                else:
                    for successor in following:
                        more = self.may_write(successor, depth - 1)
                        if more is None:
                            found = None
                            break
                        found |= more
        self._may_write[key] = found
        return found
