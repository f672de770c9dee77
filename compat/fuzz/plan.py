"""A random graph as plain data: what `generate` makes, `source` renders and `shrink` reduces.

A `GraphPlan` says everything about a case (nodes, edges, how it is run), is equal to its
JSON form, and holds nothing that runs: both executors get fresh objects built from it.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from typing import Any

START = "__start__"
END = "__end__"


@dataclass
class Channel:
    """A state key. `kind`: "list", "ordered", "last", "count" or "messages"."""

    name: str
    kind: str = "list"


@dataclass
class Sends:
    """`Send`s that a node or a router gives.

    `arg` says what they carry: "item" (a fresh dict each), "shared" (one dict for all of
    them), "slice" (a dict with a piece of the state) or "state" (the state itself). With
    `varied` their number depends on the data, up to `width`; else it is `width`.
    """

    targets: list[str]
    width: int = 1
    arg: str = "item"
    varied: bool = False


@dataclass
class Node:
    """A node's body, feature by feature. Fields at their default mean "has not".

    `depth` is where a countdown of nested `Send`s starts in a node that got no item.
    `fail`: "always", "some" (by its data) or "flaky" (the first `fail_times` attempts).
    `mutate`: "input" or "global"; `store`: "put", "get" or "both"; `generator`: "plain" or
    "addable". `subgraph` makes the node a graph of its own, as a node or ("called") from
    the body. `parent_goto` makes a node of a subgraph end with Command(graph=PARENT).
    """

    name: str
    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    slow: float = 1.0
    no_wait: bool = False
    depth: int = 0
    sends: Sends | None = None
    goto: list[str] = field(default_factory=list)
    fail: str | None = None
    fail_times: int = 1
    retry: int = 0
    handler: bool = False
    interrupts: int = 0
    custom: int = 0
    chat: bool = False
    store: str | None = None
    mutate: str | None = None
    effects: str | None = None
    timeout: float | None = None
    cache: bool = False
    defer: bool = False
    identity: bool = False
    blocking: bool = False
    generator: str | None = None
    subgraph: Graph | None = None
    called: bool = False
    sub_checkpointer: bool | None = None
    parent_goto: str | None = None


@dataclass
class Edge:
    """A plain edge, or with several sources one that waits for all of them."""

    sources: list[str]
    target: str


@dataclass
class Branch:
    """A conditional edge. `bound` makes it a loop: back to `targets[0]` while the list in
    `reads[0]` is shorter than `bound`, then on to `targets[1]`.
    """

    source: str
    targets: list[str] = field(default_factory=list)
    sends: Sends | None = None
    reads: list[str] = field(default_factory=list)
    depth: int = 0
    bound: int = 0


@dataclass
class Graph:
    """Nodes and edges. A subgraph has the same channels as the graph around it."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    branches: list[Branch] = field(default_factory=list)

    def node(self, name: str) -> Node | None:
        """The node of that name, if there is one."""
        return next((node for node in self.nodes if node.name == name), None)


@dataclass
class Stage:
    """A part of an `@entrypoint` body: `width` calls of a task, gathered or one by one."""

    task: str
    width: int = 1
    gather: bool = True


@dataclass
class Flow:
    """A functional graph. `tasks` reuse `Node` for what a body does."""

    tasks: list[Node] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    interrupts: int = 0
    previous: bool = False


@dataclass
class Run:
    """How the graph is run. `api`: "stream", "invoke" or "events" (astream_events v2).

    `swap` resumes on the other executor. `sync_routers` are plain functions in an async
    graph, as most apps have them: LangGraph runs them in threads.
    """

    asynchronous: bool = True
    api: str = "stream"
    modes: list[str] = field(default_factory=lambda: ["values"])
    subgraphs: bool = False
    checkpointer: str | None = None
    latency: float = 0.0
    durability: str | None = None
    turns: int = 1
    interrupt_before: list[str] = field(default_factory=list)
    interrupt_after: list[str] = field(default_factory=list)
    recursion_limit: int = 40
    max_concurrency: int | None = None
    step_timeout: float | None = None
    callbacks: bool = False
    update_state: bool = False
    swap: bool = False
    sync_routers: bool = False
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class GraphPlan:
    """One case: a state graph (`graph`) or a functional one (`flow`), and its run."""

    seed: int
    channels: list[Channel] = field(default_factory=list)
    graph: Graph = field(default_factory=Graph)
    flow: Flow | None = None
    run: Run = field(default_factory=Run)

    def channel(self, name: str) -> Channel:
        """The channel of that name."""
        return next(channel for channel in self.channels if channel.name == name)

    def has_exact_order(self) -> bool:
        """Whether equal delays give an equal order: all on the virtual clock, no thread."""
        threads = self.run.sync_routers or any(node.blocking for node in all_nodes(self))
        return self.run.asynchronous and not threads

    def to_json(self) -> str:
        """The plan as JSON, defaults left out so that a shrunk plan is short to read."""
        return json.dumps(_compact(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> GraphPlan:
        """The plan that `to_json` wrote."""
        return typing.cast(GraphPlan, _restore(cls, json.loads(text)))

    def copy(self) -> GraphPlan:
        """An independent copy."""
        return GraphPlan.from_json(self.to_json())


def all_graphs(graph: Graph) -> list[Graph]:
    """The graph and every subgraph in it, outermost first."""
    found = [graph]
    for node in graph.nodes:
        if node.subgraph is not None:
            found.extend(all_graphs(node.subgraph))
    return found


def all_nodes(plan: GraphPlan) -> list[Node]:
    """Every node of a plan, those of subgraphs and the tasks of a flow included."""
    nodes = [node for graph in all_graphs(plan.graph) for node in graph.nodes]
    return nodes + (plan.flow.tasks if plan.flow else [])


def settle(plan: GraphPlan) -> None:
    """Change what would make LangGraph's own outcome hang on the machine's load."""
    if not plan.has_exact_order():
        for graph in all_graphs(plan.graph):
            _keep_apart(graph)
    run = plan.run
    if run.asynchronous or all(node.mutate != "input" for node in all_nodes(plan)):
        return
    # Else a thread saves, or tells a handler of, what a body is changing in another.
    if run.checkpointer:
        run.durability = "sync"
    for graph in all_graphs(plan.graph):
        for owner in [*graph.nodes, *graph.branches]:
            if owner.sends is not None and owner.sends.arg == "state":
                owner.sends.arg = "slice"


def _keep_apart(graph: Graph) -> None:
    """A subgraph that keeps its state from run to run has one namespace. Several of its runs at
    once, in threads, write and read each other's checkpoints there in any order."""
    owners = [*graph.nodes, *graph.branches]
    targets = {name for owner in owners if owner.sends for name in owner.sends.targets}
    for node in graph.nodes:
        if node.sub_checkpointer and node.name in targets:
            node.sub_checkpointer = None


def _compact(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = {}
        for item in dataclasses.fields(value):
            current = getattr(value, item.name)
            default = item.default
            if item.default_factory is not dataclasses.MISSING:
                default = item.default_factory()
            if default is dataclasses.MISSING or current != default:
                kept[item.name] = _compact(current)
        return kept
    if isinstance(value, list):
        return [_compact(item) for item in value]
    return value


def _restore(kind: Any, value: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        kind = next(arg for arg in typing.get_args(kind) if arg is not type(None))
        return _restore(kind, value)
    if origin is list:
        return [_restore(typing.get_args(kind)[0], item) for item in value]
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _restore(hints[name], item) for name, item in value.items()})
    return value
