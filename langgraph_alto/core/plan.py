"""The streaming plan of a graph: what may start early, what waits for whom, and why.

`streaming_plan` says before a run what the scheduler will do in it, from the same facts and by
the same rule: a node that a finished task triggers starts when no task that may still run before
its step can write what it reads. Which tasks run beside each other depends on the run, so here
the answer is given for each pair of nodes that may (`core.beside`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from langgraph_alto.core.levels import Level
from langgraph_alto.core.spec import How

Start = Literal["certain", "streamed", "speculative", "held"]
"""The class of run-ahead in which a node may start before its step; "held": in none."""

When = Literal["at once", "waits", "with its step", "end"]
"""When a task at the end of an edge may start, once the task at its beginning has ended.

"at once": nothing that may run beside it can write what the node reads. "waits": for the nodes
in `waits`, if they run beside it. "with its step": never before LangGraph starts it. "end": the
edge leads to the end of the graph.
"""

Kind = Literal["direct", "join", "conditional", "command", "channel", "error"]
"""What an edge is in the graph. "command": `Command(goto=…)`; "channel": an update of a channel
that makes the node run (raw Pregel); "error": to an error handler."""

ANY = "*"
"""Stands for "any node" as an edge's target: nothing says where the edge may lead."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Why something waits for a node that may still run.

    Attributes:
        node: For whom.
        why: "writes what is read", "may write anything", "may interrupt" or "what follows is
            not known".
        channels: Which of the channels that are read it writes; None: any of them.
        unlock: A line to paste that would end the wait, if the node really doesn't do it.
    """

    node: str
    why: str
    channels: tuple[str, ...] | None = ()
    unlock: str | None = None


@dataclass(frozen=True, slots=True)
class RouterPlan:
    """A conditional edge as a whole.

    Attributes:
        name: The router's name.
        reads: Keys of the state that it looks at; None: any.
        ends: Nodes to which it may lead; None: any.
        sends: It may give `Send`s.
        gate: For whom it waits after a body that ran ahead of its step: what it reads must be
            settled. The body does not wait.
        on_partial_state: It may be evaluated while its node still streams.
        reason: Why not, if not.
    """

    name: str
    reads: tuple[str, ...] | None
    ends: tuple[str, ...] | None
    sends: bool
    gate: tuple[Wait, ...]
    on_partial_state: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node.

    Attributes:
        name: Its name; `"parent:child"` in a subgraph.
        reads: The keys of the state that must be settled before it starts.
        reads_how: How that is known.
        writes: The keys that it may write; None: any.
        writes_how: How that is known.
        rank: "proven", "free" or "held": how far its effects allow it to start early.
        effects: Why, in short: "pure", "declared idempotent", "outward write", …
        starts: The earliest class of run-ahead in which it may start.
        reason: Why it is held, or what it starts on, in short.
        detail: The same precisely: what was found, and where.
        unlock: A line to paste that would let a held node start early, if there is one.
        stream: What it hands on while it runs: "nothing", "addable" or "chunks".
        defer: It waits for the end of everything else.
        subgraph: It is a graph; its nodes stand under `"name:child"`.
        routers: Its conditional edges.
    """

    name: str
    reads: tuple[str, ...]
    reads_how: How
    writes: tuple[str, ...] | None
    writes_how: How
    rank: str
    effects: str
    starts: Start
    reason: str
    detail: str
    unlock: str | None
    stream: str
    defer: bool
    subgraph: bool
    routers: tuple[RouterPlan, ...]

    @property
    def held(self) -> bool:
        """Whether it never starts before its real task."""
        return self.starts == "held"


@dataclass(frozen=True, slots=True)
class EdgePlan:
    """One edge, a join of several nodes included.

    Attributes:
        sources: The nodes that it comes from; several for a join.
        target: The node that it leads to; `"*"`: any.
        kind: What it is in the graph.
        router: The router's name, of a conditional edge.
        sends: It may carry `Send`s. These never wait; `when` and `waits` are about a task that
            is started by its name.
        when: When that task may start.
        starts: The earliest class in which the edge starts a task.
        waits: For whom the task waits, if they run beside it.
        beside: All nodes that may still run when the source has ended.
        reason: The same in a sentence.
        unlock: A line to paste that would help, besides those of `waits`.
    """

    sources: tuple[str, ...]
    target: str
    kind: Kind
    router: str | None
    sends: bool
    when: When
    starts: Start
    waits: tuple[Wait, ...]
    beside: tuple[str, ...]
    reason: str
    unlock: str | None = None


@dataclass(frozen=True)
class StreamingPlan:
    """What runs early in a graph, and why the rest does not.

    Attributes:
        graph: The graph's name.
        run_ahead: The classes that are on, `Options.run_ahead`.
        off: Why nothing starts early at all; None if run-ahead is on.
        nodes: Its nodes by name, subgraphs' nodes included.
        edges: Its edges, subgraphs' edges included.
        levels: The levels of nested ancestry (`core.levels`).
        notes: What could not be read, and what was taken as likely.
    """

    graph: str
    run_ahead: str = "streamed"
    off: str | None = None
    nodes: Mapping[str, NodePlan] = field(default_factory=dict)
    edges: tuple[EdgePlan, ...] = ()
    levels: tuple[Level, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def held(self) -> tuple[NodePlan, ...]:
        """The nodes that never start before their real task."""
        return tuple(node for node in self.nodes.values() if node.held)

    def edges_to(self, node: str) -> tuple[EdgePlan, ...]:
        """The edges that may start a task of a node."""
        return tuple(edge for edge in self.edges if edge.target in (node, ANY))
