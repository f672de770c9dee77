"""Reads a graph's nodes: facts from their source, declarations, and the verdict on each.

A node's routers run in its task, so what they do counts as done by the node. The reducers of
the channels run in LangGraph's loop; they are parties that may share objects with nodes.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

# Private names, as of LangGraph 1.2.22: a node's parts, and which specs are managed values.
from langgraph.managed.base import is_managed_value
from langgraph.pregel._read import PregelNode

from langgraph_alto._langgraph.channel_reader import is_internal
from langgraph_alto.core import tables
from langgraph_alto.core.effects import NodeFacts, Place, Verdict, judge, merged
from langgraph_alto.errors import DeclarationError
from langgraph_alto.options import (
    DECLARATION_KEYS,
    TOOL_DECLARATION_KEYS,
    Options,
    check_declaration,
)
from langgraph_alto.source import calls
from langgraph_alto.source.scan import Scanner
from langgraph_alto.source.values import NOTHING, Arguments, Input, Real, Value
from langgraph_alto.source.writes import Writes

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
    cached = _verdicts_cache.get(nodes)
    for known, result in cached:
        if known == key:
            return result
    declared = Declared(options, tuple(parent))
    own = {name: declared.of_node((*parent, name), node) for name, node in nodes.items()}
    facts = node_facts(nodes, specs, declared)
    if check_names and not parent:
        declared.check_names(nodes)
        declared.check_keys(nodes, specs)
    result = judge(facts, declared=own, undeclared=options.undeclared)
    cached.append((key, result))
    del cached[:-_MOST_CACHED]
    return result


@dataclass(frozen=True)
class Scanned:
    """What the source of a graph's nodes, routers and reducers says, piece by piece."""

    bodies: Mapping[str, NodeFacts]
    """Of each node without its writers."""
    writers: Mapping[str, tuple[NodeFacts, ...]]
    """Of each node's writers (edges and routers), in their order."""
    reducers: Mapping[str, NodeFacts]
    """Of each channel with a function of its own; its first argument is the state."""
    updates: Mapping[str, NodeFacts]
    """The same, where the second argument, what a node wrote, is told from nothing too."""
    tools: frozenset[str]
    """The names of all tools in reach."""
    paths: frozenset[str]
    """The names of all nodes in reach, `"parent:child"` in subgraphs."""


def scanned(nodes: Nodes, specs: Mapping[str, Any], declared: Declared | None = None) -> Scanned:
    """Scan a graph's source, once for the same graph and declarations."""
    declared = declared if declared is not None else Declared(Options(), ())
    options = declared.options
    key = (declared.parent, options.nodes, options.tools, tables.version())
    cached = _scans_cache.get(nodes)
    found = [result for known, result in cached if known == key]
    if not found:
        found = [_scan(nodes, specs, Declared(options, declared.parent))]
        cached.append((key, found[0]))
        del cached[:-_MOST_CACHED]
    result = found[0]
    declared.tools |= result.tools
    declared.paths |= result.paths
    return result


def _scan(nodes: Nodes, specs: Mapping[str, Any], declared: Declared) -> Scanned:
    scanner = _Scanner(
        packages=app_packages(nodes),
        tool_declaration=declared.of_tool,
        node_declaration=declared.of_node,
    )
    bodies: dict[str, NodeFacts] = {}
    writers: dict[str, tuple[NodeFacts, ...]] = {}
    for name, node in nodes.items():
        path = [*declared.parent, name]
        whole = isinstance(node.channels, list)
        found = scanner.scan_node(name, node.bound, whole=whole, path=list(path))
        bodies[name] = found.facts(_function_name(node.bound))
        writers[name] = tuple(
            scanner.scan_node(name, writer, path=list(path)).facts() for writer in node.writers
        )
    reducers: dict[str, NodeFacts] = {}
    updates: dict[str, NodeFacts] = {}
    for name, channel in specs.items():
        if is_managed_value(channel) or not _has_own_reducer(channel):
            continue
        label = f"reducer of {name!r}"
        reducers[name] = scanner.scan_reducer(label, channel)
        updates[name] = _scan_update(scanner, label, channel)
    return Scanned(
        bodies, writers, reducers, updates, frozenset(declared.tools), frozenset(declared.paths)
    )


def _scan_update(scanner: Scanner, label: str, channel: Any) -> NodeFacts:
    """What a reducer does to either of its arguments."""

    def root(site: Any, node: Any) -> Value:
        both: list[Value] = [frozenset({Input(False)}), frozenset({Input(False)})]
        for attribute in _REDUCERS:
            function = getattr(channel, attribute, None)
            if callable(function):
                calls.call_atom(site, Real(function), Arguments(both, {}), node)
        return NOTHING

    return scanner.scan(label, root).facts()


class _Scanner(Scanner):
    """Notes also which graphs in reach may give commands to the graph around them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._writes = Writes(self.kinds.packages)
        self._leading: dict[int, bool] = {}

    @contextmanager
    def entering(self, obj: Any) -> Iterator[bool]:
        """A Runnable is about to be scanned."""
        if self.kinds.is_graph(obj) and self._leads_around(obj):
            self.findings.parent_commands[Place(f"graph {getattr(obj, 'name', '')!r}")] = None
        with super().entering(obj) as entered:
            yield entered

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """A node of a graph in reach: what leads around a graph that *it* runs ends there."""
        findings = self.findings
        before = dict(findings.parent_commands)
        with super().inside(name):
            yield
        findings.parent_commands = before

    def _leads_around(self, graph: Any) -> bool:
        known = self._leading.get(id(graph))
        if known is None:
            nodes = getattr(graph, "nodes", None)
            known = nodes is None or any(
                self._writes.outcome(node.bound).leaves for node in nodes.values()
            )
            self._leading[id(graph)] = known
        return known


def node_facts(
    nodes: Nodes, specs: Mapping[str, Any], declared: Declared | None = None
) -> dict[str, NodeFacts]:
    """What the source of each node, its routers included, and of each reducer says.

    Reducers stand under `"reducer of <channel>"`.
    """
    found = scanned(nodes, specs, declared)
    managed = {name for name, spec in specs.items() if is_managed_value(spec)}
    facts: dict[str, NodeFacts] = {}
    for name, node in nodes.items():
        facts[name] = _with_node(merged(found.bodies[name], *found.writers[name]), node, managed)
    for name, reducer in found.reducers.items():
        facts[f"reducer of {name!r}"] = merged(NodeFacts(role="reducer"), reducer)
    return facts


def _with_node(facts: NodeFacts, node: PregelNode, managed: set[str]) -> NodeFacts:
    """What the node itself adds to what its source says."""
    holds: list[tuple[str, Place]] = []
    if isinstance(node.channels, list):
        read = managed & set(node.channels)
        read = read if facts.whole_input else read & facts.input_keys
        holds = [("managed value", Place(f"reads {key!r}")) for key in sorted(read)]
    return merged(facts, NodeFacts(holds=tuple(holds), cache_policy=bool(node.cache_policy)))


def router_facts(nodes: Nodes) -> dict[str, tuple[NodeFacts, ...]]:
    """What each node's conditional edges do, one entry a router that does anything."""
    scanner = Scanner(packages=app_packages(nodes))
    return {
        name: tuple(
            scanner.scan_node(name, writer).facts()
            for writer in node.writers
            if type(getattr(getattr(writer, "func", None), "__self__", None)).__name__
            == "BranchSpec"
        )
        for name, node in nodes.items()
    }


def _function_name(bound: Any) -> str | None:
    function = getattr(bound, "func", None) or getattr(bound, "afunc", None)
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) and name.isidentifier() else None


_REDUCERS = ("operator", "reducer")
"""Where channels keep their function."""


def _has_own_reducer(channel: Any) -> bool:
    return any(callable(getattr(channel, name, None)) for name in _REDUCERS)


_LIBRARIES = frozenset({"langgraph", "langchain", "langchain_core", "langgraph_alto", "builtins"})


def app_packages(nodes: Nodes) -> set[str]:
    """Top-level packages of the nodes' functions: an installed app is still the app."""
    packages = set()
    for node in nodes.values():
        function = getattr(node.bound, "func", None) or getattr(node.bound, "afunc", None)
        namespace = getattr(function, "__globals__", None) or {}
        top = str(namespace.get("__name__", "")).partition(".")[0]
        if top and top not in _LIBRARIES and tables.effect_of(top, "") is None:
            packages.add(top)
    return packages


class Declared:
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

    def check_keys(self, nodes: Nodes, specs: Mapping[str, Any]) -> None:
        """Refuse `reads`, `writes` and `stream` of keys that the state doesn't have."""
        state = [name for name, spec in specs.items() if not is_internal(name, spec)]
        for name, node in nodes.items():
            path = (*self.parent, name)
            declaration = self.of_node(path, node)
            channels = [node.channels] if isinstance(node.channels, str) else node.channels
            for what, valid in (("reads", channels), ("writes", state), ("stream", state)):
                _check_keys(PATH_SEPARATOR.join(path), what, declaration.get(what), valid)
            for graph in node.subgraphs if len(path) < 8 else ():
                inner = getattr(graph, "nodes", None) or {}
                Declared(self.options, path).check_keys(inner, getattr(graph, "channels", {}))


def check_declared_keys(graph: Any, options: Options) -> None:
    """Refuse declarations that name keys which the state of a graph doesn't have.

    Raises:
        DeclarationError: The message names the node, the key and the valid ones.
    """
    Declared(options, ()).check_keys(graph.nodes, graph.channels)


def _check_keys(node: str, what: str, keys: Any, valid: Iterable[str]) -> None:
    if keys is None:
        return
    kinds = (Mapping,) if what == "stream" else (list, tuple, set, frozenset)
    if not isinstance(keys, kinds):
        kind = "a mapping from keys of the state" if what == "stream" else "a list of state keys"
        raise DeclarationError(
            f"node {node!r} declares {what}={keys!r}: it must be {kind}, such as {_EXAMPLES[what]}."
        )
    for key in keys:
        if key not in valid:
            listed = ", ".join(map(repr, sorted(valid))) or "it has none"
            raise DeclarationError(
                f"node {node!r} declares {what} of {key!r}, which is no key of its state. "
                f"Valid: {listed}."
            )


_EXAMPLES = {"reads": "['question']", "writes": "['answer']", "stream": "{'sections': 'sections'}"}


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
_MOST_GRAPHS = 4
T = TypeVar("T")
_Known = tuple[tuple[str, ...], list[weakref.ref[PregelNode]], list[tuple[Any, T]]]


class Cache(Generic[T]):
    """What is known by the nodes of a graph, which are not kept alive by it.

    A mapping of nodes can't be referred to weakly, its nodes can. An entry hangs on the first
    node and holds as long as the mapping has the very same nodes. Several graphs may share
    their first node: a graph and its accelerated copy do.
    """

    def __init__(self) -> None:
        self._by_first: weakref.WeakKeyDictionary[PregelNode, list[_Known[T]]] = (
            weakref.WeakKeyDictionary()
        )

    def get(self, nodes: Nodes) -> list[tuple[Any, T]]:
        """What is known of these nodes: keys and values, a list to add to."""
        first = next(iter(nodes.values()), None)
        if first is None:
            return []
        known = self._by_first.setdefault(first, [])
        for names, references, entries in known:
            if names == tuple(nodes) and all(
                reference() is node
                for reference, node in zip(references, nodes.values(), strict=True)
            ):
                return entries
        made: list[tuple[Any, T]] = []
        known.append((tuple(nodes), [weakref.ref(node) for node in nodes.values()], made))
        del known[:-_MOST_GRAPHS]
        return made


__all__ = [
    "Cache",
    "Declared",
    "Nodes",
    "PregelNode",
    "Scanned",
    "app_packages",
    "check_declared_keys",
    "is_managed_value",
    "node_facts",
    "router_facts",
    "scanned",
    "verdicts",
]

_verdicts_cache: Cache[dict[str, Verdict]] = Cache()
_scans_cache: Cache[Scanned] = Cache()
