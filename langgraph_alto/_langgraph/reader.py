"""Reads a graph's nodes: facts from their source, declarations, and the verdict on each.

A node's routers run in its task, so what they do counts as done by the node. The reducers of
the channels run in LangGraph's loop; they are parties that may share objects with nodes.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

# Private names, as of LangGraph 1.2.22: a node's parts, and which specs are managed values.
from langgraph.managed.base import is_managed_value
from langgraph.pregel._read import PregelNode

from langgraph_alto.core import tables
from langgraph_alto.core.effects import NodeFacts, Place, Verdict, judge, merged
from langgraph_alto.errors import DeclarationError
from langgraph_alto.options import (
    DECLARATION_KEYS,
    TOOL_DECLARATION_KEYS,
    Options,
    check_declaration,
)
from langgraph_alto.source.scan import Scanner

Nodes = Mapping[str, PregelNode]
METADATA_KEY = "alto"
PATH_SEPARATOR = ":"


def verdicts(
    nodes: Nodes,
    specs: Mapping[str, Any],
    options: Options,
    *,
    parent: Sequence[str] = (),
    check_names: bool = True,
) -> dict[str, Verdict]:
    """Decide for each node of a graph whether it may run before its real step.

    Args:
        nodes: The graph's nodes (`Pregel.nodes`).
        specs: Its channels and managed values (`Pregel.channels`).
        options: Declarations, and what becomes of undeclared nodes.
        parent: For a subgraph: the path of nodes that leads to it. Its nodes are declared
            under `"parent:child"`, and names that this graph doesn't have are its parent's
            business.
        check_names: Refuse names in the options that the graph doesn't have. Off when a run
            begins: options for the whole process name nodes and tools of any graph.

    Raises:
        DeclarationError: A declaration in the graph's metadata that can't mean anything, or
            one in the options for a node or tool that the graph doesn't have.
    """
    key = (tuple(parent), options, tables.version(), check_names)
    cached = _cache.get(nodes)
    for known, result in cached:
        if known == key:
            return result
    declared = _Declared(options, tuple(parent))
    own = {name: declared.of_node((*parent, name), node) for name, node in nodes.items()}
    facts = node_facts(nodes, specs, declared)
    if check_names and not parent:
        declared.check_names(nodes)
    result = judge(facts, declared=own, undeclared=options.undeclared)
    cached.append((key, result))
    del cached[:-_MOST_CACHED]
    return result


def node_facts(
    nodes: Nodes, specs: Mapping[str, Any], declared: _Declared | None = None
) -> dict[str, NodeFacts]:
    """What the source of each node, its routers included, and of each reducer says.

    Reducers stand under `"reducer of <channel>"`.
    """
    declared = declared if declared is not None else _Declared(Options(), ())
    scanner = Scanner(
        packages=_app_packages(nodes),
        tool_declaration=declared.of_tool,
        node_declaration=declared.of_node,
    )
    managed = {name for name, spec in specs.items() if is_managed_value(spec)}
    facts: dict[str, NodeFacts] = {}
    for name, node in nodes.items():
        facts[name] = _facts_of(scanner, name, node, managed, declared.parent)
    for name, channel in specs.items():
        if name in managed or not _has_own_reducer(channel):
            continue
        label = f"reducer of {name!r}"
        found = scanner.scan_reducer(label, channel)
        facts[label] = merged(NodeFacts(role="reducer"), found)
    return facts


def router_facts(nodes: Nodes) -> dict[str, tuple[NodeFacts, ...]]:
    """What each node's conditional edges do, one entry a router that does anything."""
    scanner = Scanner(packages=_app_packages(nodes))
    return {
        name: tuple(
            scanner.scan_node(name, writer).facts()
            for writer in node.writers
            if type(getattr(getattr(writer, "func", None), "__self__", None)).__name__
            == "BranchSpec"
        )
        for name, node in nodes.items()
    }


def _facts_of(
    scanner: Scanner, name: str, node: PregelNode, managed: set[str], parent: tuple[str, ...]
) -> NodeFacts:
    whole = isinstance(node.channels, list)
    found = scanner.scan_node(name, node.bound, whole=whole, path=[*parent, name])
    facts = found.facts(_function_name(node.bound))
    for writer in node.writers:
        routed = scanner.scan_node(name, writer, path=[*parent, name])
        facts = merged(facts, routed.facts())
    holds = list(facts.holds)
    if whole:
        read = managed & set(node.channels)
        read = read if facts.whole_input else read & facts.input_keys
        holds += [("managed value", Place(f"reads {key!r}")) for key in sorted(read)]
    extra = NodeFacts(holds=tuple(holds[len(facts.holds) :]), cache_policy=bool(node.cache_policy))
    return merged(facts, extra)


def _function_name(bound: Any) -> str | None:
    function = getattr(bound, "func", None) or getattr(bound, "afunc", None)
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) and name.isidentifier() else None


def _has_own_reducer(channel: Any) -> bool:
    return any(callable(getattr(channel, name, None)) for name in ("operator", "reducer"))


_LIBRARIES = frozenset({"langgraph", "langchain", "langchain_core", "langgraph_alto", "builtins"})


def _app_packages(nodes: Nodes) -> set[str]:
    """Top-level packages of the nodes' functions: an installed app is still the app."""
    packages = set()
    for node in nodes.values():
        function = getattr(node.bound, "func", None) or getattr(node.bound, "afunc", None)
        namespace = getattr(function, "__globals__", None) or {}
        top = str(namespace.get("__name__", "")).partition(".")[0]
        if top and top not in _LIBRARIES and tables.effect_of(top, "") is None:
            packages.add(top)
    return packages


class _Declared:
    """Declarations in their order of precedence: the options first, then the graph's own."""

    def __init__(self, options: Options, parent: tuple[str, ...]) -> None:
        self.options = options
        self.parent = parent
        self.tools: set[str] = set()
        self.paths: set[str] = set()

    def of_node(self, path: tuple[str, ...], node: Any) -> Mapping[str, Any]:
        """What is declared of a node."""
        name = PATH_SEPARATOR.join(path)
        self.paths.add(name)
        own = self._metadata(node, f"metadata of node {name!r}", DECLARATION_KEYS)
        return {**own, **self.options.nodes.get(name, {})}

    def of_tool(self, name: str, tool: Any) -> Mapping[str, Any]:
        """What is declared of a tool."""
        self.tools.add(name)
        own = self._metadata(tool, f"metadata of tool {name!r}", TOOL_DECLARATION_KEYS)
        return {**own, **self.options.tools.get(name, {})}

    def _metadata(self, thing: Any, where: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
        metadata = getattr(thing, "metadata", None)
        declaration = metadata.get(METADATA_KEY) if isinstance(metadata, Mapping) else None
        if declaration is None:
            return {}
        check_declaration(declaration, where, keys)
        return declaration if isinstance(declaration, Mapping) else {}

    def check_names(self, nodes: Nodes) -> None:
        """Refuse declarations for nodes and tools that don't exist."""
        known = {name for name in self.paths if not name.startswith("__")}
        known |= {path for name, node in nodes.items() for path in _subgraph_paths(name, node)}
        for name in self.options.nodes:
            if name not in known:
                valid = ", ".join(map(repr, sorted(known)))
                raise DeclarationError(
                    f"nodes[{name!r}]: the graph has no such node. Valid: {valid}."
                )
        tools = self.tools | set(_tools_of(nodes))
        for name in self.options.tools:
            if name not in tools:
                valid = ", ".join(map(repr, sorted(tools))) or "the graph has no tools"
                raise DeclarationError(
                    f"tools[{name!r}]: the graph has no such tool. Valid: {valid}."
                )


def _subgraph_paths(name: str, node: Any, depth: int = 0) -> list[str]:
    """`"parent:child"` for the nodes of a node's subgraphs, however deep."""
    found: list[str] = []
    for graph in getattr(node, "subgraphs", ()) if depth < 8 else ():
        for child_name, child in (getattr(graph, "nodes", None) or {}).items():
            if child_name.startswith("__"):
                continue
            path = f"{name}{PATH_SEPARATOR}{child_name}"
            found += [path, *_subgraph_paths(path, child, depth + 1)]
    return found


def _tools_of(nodes: Nodes, depth: int = 0) -> list[str]:
    """The names of the tools of `ToolNode`s, also in subgraphs and under declared nodes."""
    found: list[str] = []
    for node in nodes.values() if depth < 8 else ():
        tools = getattr(node.bound, "tools_by_name", None)
        found += list(tools) if isinstance(tools, Mapping) else []
        for graph in node.subgraphs:
            found += _tools_of(getattr(graph, "nodes", None) or {}, depth + 1)
    return found


_MOST_CACHED = 4
_Entry = tuple[tuple[tuple[str, ...], Options, int, bool], dict[str, Verdict]]


class _Cache:
    """Verdicts by the nodes of a graph, which are not kept alive by it.

    A mapping of nodes can't be referred to weakly, its nodes can. The entry hangs on the first
    node and holds as long as the mapping has the very same nodes.
    """

    def __init__(self) -> None:
        self._by_first: weakref.WeakKeyDictionary[
            PregelNode, tuple[tuple[str, ...], list[weakref.ref[PregelNode]], list[_Entry]]
        ] = weakref.WeakKeyDictionary()

    def get(self, nodes: Nodes) -> list[_Entry]:
        """The known verdicts for these nodes, a list to add to."""
        first = next(iter(nodes.values()), None)
        if first is None:
            return []
        found = self._by_first.get(first)
        if found is not None:
            names, references, entries = found
            if names == tuple(nodes) and all(
                reference() is node
                for reference, node in zip(references, nodes.values(), strict=True)
            ):
                return entries
        made: list[_Entry] = []
        references = [weakref.ref(node) for node in nodes.values()]
        self._by_first[first] = (tuple(nodes), references, made)
        return made


_cache = _Cache()
