"""Reads a `GraphSpec` off a compiled graph, or off what a running loop has of it.

Facts come from declarations first, then from the source, then from schemas and annotations.
What none of them tells is "any". A StateGraph's nodes are known by the writers that it gives
them; a raw Pregel's by its plain channel writes.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langgraph.pregel import Pregel

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.channel_reader import channel_spec, is_deferred
from langgraph_alto._langgraph.reader import (
    Cache,
    Declared,
    Scanned,
    app_packages,
    is_managed_value,
    scanned,
)
from langgraph_alto._langgraph.writer_reader import (
    NodeWriters,
    branch_of,
    read_writers,
    router_spec,
    stream_of,
)
from langgraph_alto.core import tables
from langgraph_alto.core.effects import NodeFacts
from langgraph_alto.core.spec import ChannelSpec, GraphSpec, How, Names, NodeSpec, RouterSpec
from langgraph_alto.options import Options
from langgraph_alto.source import objects, shapes
from langgraph_alto.source.kinds import REMOTE, TOOL, TOOL_NODE
from langgraph_alto.source.writes import (
    ANY,
    Outcome,
    Writes,
    annotated,
    outcome_of,
)

START = "__start__"
END = "__end__"
ROOT = "__root__"
NONE: Names = frozenset()


@dataclass(frozen=True)
class GraphParts:
    """What a graph is made of, as a compiled graph and a running loop both have it.

    Attributes:
        nodes: Its nodes.
        channels: Its channels and managed values.
        triggered: The nodes that an update of a channel makes run.
        input: The channel or channels that take the graph's input.
        output: Those that make its output.
        name: Its name.
        context: Keys of its context schema.
    """

    nodes: Mapping[str, Any]
    channels: Mapping[str, Any]
    triggered: Mapping[str, Sequence[str]]
    input: str | Sequence[str]
    output: str | Sequence[str]
    name: str = ""
    context: Names = NONE


def graph_spec(
    graph: Pregel[Any, Any, Any, Any] | GraphParts,
    options: Options | None = None,
    *,
    parent: Sequence[str] = (),
) -> GraphSpec:
    """What planning and run-ahead need to know of a graph. Read once, then remembered.

    Args:
        graph: A compiled graph, or its parts.
        options: Declarations; None: only those in the graph.
        parent: For a subgraph: the path of nodes that leads to it.

    Raises:
        DeclarationError: A declaration in the graph's metadata that can't mean anything.

    Example:
        >>> from langgraph.graph import StateGraph, START
        >>> builder = StateGraph(dict)
        >>> _ = builder.add_node("hello", lambda state: {"said": "hello"})
        >>> _ = builder.add_edge(START, "hello")
        >>> graph_spec(builder.compile()).nodes["hello"].goto
        frozenset()
    """
    options = options if options is not None else Options()
    parts = graph if isinstance(graph, GraphParts) else parts_of(graph)
    key = (
        *(tuple(parent), options.nodes, options.tools, tables.version()),
        *(parts.name, parts.input, parts.output, parts.context),
    )
    cached = _cache.get(parts.nodes)
    for known, result in cached:
        if known == key:
            return result
    result = _Reader(parts, Declared(options, tuple(parent))).spec()
    cached.append((key, result))
    del cached[:-_MOST_CACHED]
    return result


_MOST_CACHED = 4
_cache: Cache[GraphSpec] = Cache()


def parts_of(graph: Pregel[Any, Any, Any, Any]) -> GraphParts:
    """The parts of a compiled graph."""
    return GraphParts(
        graph.nodes,
        graph.channels,
        graph.trigger_to_nodes or _triggered(graph.nodes),
        graph.input_channels,
        graph.output_channels,
        graph.name,
        _keys_of(graph.context_schema),
    )


def spec_of_loop(loop: Any, options: Options, path: Sequence[str] | None = None) -> GraphSpec:
    """The same for the graph that a loop runs.

    Args:
        loop: LangGraph's loop.
        options: Declarations.
        path: The path of nodes that leads to the graph; None: the loop's namespace tells.
    """
    if path is None:
        levels = [part for part in loop.checkpoint_ns if not part.isdigit()]
        path = [part.partition(names.NS_END)[0] for part in levels]
    parts = GraphParts(
        loop.nodes, loop.specs, loop.trigger_to_nodes, loop.input_keys, loop.output_keys
    )
    return graph_spec(parts, options, parent=path)


def _triggered(nodes: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, node in nodes.items():
        for trigger in node.triggers:
            found.setdefault(trigger, []).append(name)
    return found


def _keys_of(schema: Any) -> Names:
    try:
        return frozenset(typing.get_type_hints(schema)) if isinstance(schema, type) else NONE
    except Exception:  # a hint may name what exists for the type checker only
        return frozenset(getattr(schema, "__annotations__", {}))


def _listed(channels: str | Iterable[str]) -> list[str]:
    return [channels] if isinstance(channels, str) else list(channels)


class _Reader:
    """Reads one graph."""

    def __init__(self, parts: GraphParts, declared: Declared) -> None:
        self.parts = parts
        self.declared = declared
        self.scan: Scanned = scanned(parts.nodes, parts.channels, declared)
        self.writes = Writes(app_packages(parts.nodes))
        self.channels: dict[str, ChannelSpec] = {
            name: channel_spec(name, channel, self.scan.reducers, self.scan.updates)
            for name, channel in parts.channels.items()
            if not is_managed_value(channel)
        }
        self.managed = frozenset(parts.channels) - self.channels.keys()
        self.state: Names = frozenset(
            name for name, channel in self.channels.items() if not channel.internal
        )

    def spec(self) -> GraphSpec:
        """The whole graph."""
        nodes = {name: self._node(name, node) for name, node in self.parts.nodes.items()}
        given = frozenset(_listed(self.parts.input))
        if START in nodes and given == {START}:
            given = nodes[START].writes or NONE
        triggered = {c: tuple(found) for c, found in self.parts.triggered.items()}
        return GraphSpec(
            name=self.parts.name,
            nodes=nodes,
            channels=self.channels,
            triggered=triggered,
            input=given,
            output=frozenset(_listed(self.parts.output)),
            context=self.parts.context,
        )

    def _node(self, name: str, node: Any) -> NodeSpec:
        declared = self.declared.of_node((*self.declared.parent, name), node)
        writers = read_writers(node)
        subgraph = self._subgraph(name, node)
        channels = frozenset(_listed(node.channels))
        reads, reads_how = self._reads(name, node, declared, subgraph)
        writes, writes_how, outcome = self._written(name, node, declared, writers, subgraph)
        # A cache's key is made of the whole input, before the body begins.
        narrows = isinstance(node.channels, list) and not (node.mapper or node.cache_policy)
        facts = self.scan.bodies[name]
        return NodeSpec(
            name=name,
            triggers=tuple(node.triggers),
            channels=channels - self.managed,
            reads=reads,
            reads_how=reads_how,
            narrowed=narrows and reads < channels - self.managed,
            writes=writes,
            writes_how=writes_how,
            edges=writers.edges,
            goto=self._known(outcome.goto),
            sends=outcome.sends,
            routers=tuple(
                self._router(router, self.scan.writers[name][place])
                for place, router in writers.routers
            ),
            stream=stream_of(node.bound),
            defer=is_deferred(node.triggers, self.parts.channels),
            handler=node.error_handler_node,
            unpredictable=self._unpredictable(node, reads, facts),
            subgraph=subgraph,
        )

    def _router(self, writer: Any, facts: NodeFacts) -> RouterSpec:
        found = router_spec(writer, facts, self.writes, self.managed)
        return replace(found, ends=self._known(found.ends))

    def _known(self, ends: Names | None) -> Names | None:
        """Nodes of this graph; LangGraph ignores all other names."""
        return None if ends is None else ends.intersection(self.parts.nodes)

    def _subgraph(self, name: str, node: Any) -> GraphSpec | None:
        if not isinstance(node.bound, Pregel):
            return None
        parent = (*self.declared.parent, name)
        return graph_spec(node.bound, self.declared.options, parent=parent)

    # What a node reads ----------------------------------------------------------------------

    def _reads(
        self, name: str, node: Any, declared: Mapping[str, Any], subgraph: GraphSpec | None
    ) -> tuple[Names, How]:
        """The channels that a node looks at, and how that is known."""
        channels = frozenset(_listed(node.channels)) - self.managed
        facts = self.scan.bodies[name]
        if node.mapper is not None or isinstance(node.channels, str):
            return channels, "signature"  # the schema's class is made of all of them
        if subgraph is not None:
            # Not even a declaration makes it fewer: LangGraph copies these, whoever looks at
            # them, so that nobody would notice one that is missing.
            return channels & self._entered(name, node.bound, subgraph), "signature"
        if (said := _said(declared, "reads")) is not None:
            return said & channels, "declared"
        is_tool = objects.mro_names(type(node.bound)) & {TOOL, TOOL_NODE}
        if is_tool or self.writes.reaches_channels(node.bound):
            return channels, "signature"
        if facts.whole_input or facts.unreadable:
            return channels, "source" if facts.whole_input else "signature"
        return facts.input_keys & channels, "source"

    def _entered(self, name: str, graph: Any, subgraph: GraphSpec) -> Names:
        """The keys of its input that a subgraph looks at."""
        everything = frozenset(_listed(self.parts.nodes[name].channels))
        if START not in subgraph.nodes:
            is_whole = isinstance(graph.input_channels, str)
            return everything if is_whole else frozenset(graph.input_channels)
        found = subgraph.input
        # A router of the entry without a schema of its own sees all of the input.
        declared = Declared(self.declared.options, (*self.declared.parent, name))
        scan = scanned(graph.nodes, graph.channels, declared)
        for writer, facts in zip(graph.nodes[START].writers, scan.writers[START], strict=True):
            branch = branch_of(writer)
            if branch is None or branch.input_schema is not None:
                continue
            found |= everything if facts.whole_input or facts.unreadable else facts.input_keys
        return found

    def _unpredictable(self, node: Any, reads: Names, facts: NodeFacts) -> str | None:
        """Why a node's input can't be foretold."""
        listed = _listed(node.channels)
        whole = facts.whole_input or bool(facts.unreadable) or node.mapper is not None
        for name in listed:
            if name in self.managed and (whole or name in facts.input_keys):
                return f"it reads the managed value {name!r}"
        for name in sorted(reads):
            kind = self.channels[name].kind if name in self.channels else "other"
            if kind not in ("value", "reducer"):
                return f"it reads {name!r}, whose value in a later step can't be foretold"
        return None

    # What a node writes and where it leads --------------------------------------------------

    def _written(
        self,
        name: str,
        node: Any,
        declared: Mapping[str, Any],
        writers: NodeWriters,
        subgraph: GraphSpec | None,
    ) -> tuple[Names | None, How, Outcome]:
        """The channels that a node writes, how that is known, and where it leads."""
        found, how, outcome = self._found_written(name, node, writers, subgraph)
        if (said := _said(declared, "writes")) is not None:
            found, how = said & self.state, "declared"
        if found is not None:
            found |= writers.plain & self.state
        return found, how, outcome

    def _found_written(
        self, name: str, node: Any, writers: NodeWriters, subgraph: GraphSpec | None
    ) -> tuple[Names | None, How, Outcome]:
        """The same without declarations."""
        around = self.scan.bodies[name].parent_commands
        if around or self.writes.reaches_channels(node.bound) or writers.unknown is not None:
            return None, "unknown", ANY
        if writers.state_keys is None:  # a raw Pregel node writes what its writers say
            sent = Outcome(NONE, writers.sent, sends=bool(writers.sent))
            return NONE, "signature", sent
        keys = frozenset(writers.state_keys) - self.managed
        if name == START:
            return keys, "signature", Outcome(keys, NONE)
        source, signature = self._outcomes(node, subgraph)
        outcome = _best(source, signature, writers.ends)
        found = source.keys
        how: How = "source" if subgraph is None else "signature"
        if keys == {ROOT}:
            found, how = keys, "signature"
        elif self.writes.writes_by_itself(node.bound):
            found, how = None, "unknown"
        elif found is None:
            found, how = signature.keys, "unknown" if signature.keys is None else "signature"
        return None if found is None else found & keys, how, outcome

    def _outcomes(self, node: Any, subgraph: GraphSpec | None) -> tuple[Outcome, Outcome]:
        """What a node gives, by its source and by its return annotation."""
        if subgraph is not None:
            output = node.bound.output_channels
            found = ANY if isinstance(output, str) else Outcome(frozenset(output), NONE)
            return found, found
        if REMOTE in objects.mro_names(type(node.bound)):
            return ANY, ANY
        first = shapes.ANY_MAPPING if isinstance(node.channels, list) else shapes.UNKNOWN
        return self.writes.outcome(node.bound, first), outcome_of(annotated(node.bound))


def _said(declared: Mapping[str, Any], what: str) -> Names | None:
    """Declared keys; what is no list of names says nothing (`accelerate` refuses it)."""
    keys = declared.get(what)
    return frozenset(keys) if isinstance(keys, list | tuple | set | frozenset) else None


def _best(source: Outcome, signature: Outcome, ends: Names | None) -> Outcome:
    """Where a node leads: by its source, else by its declared ends, else by its annotation."""
    goto = source.goto
    if goto is None:
        goto = signature.goto if ends is None else ends
    # `Command[Literal["work"]]` names what is sent to, too: only an annotation without a Command
    # rules `Send`s out, and only where the source can't be read.
    excluded = source.goto is None and signature.goto == NONE and not signature.sends
    return Outcome(source.keys, goto, source.sends and not excluded, source.leaves)
