"""Which nodes may run before their real step: facts in, one verdict per node out.

`NodeFacts` is what a scan of a node's source found. `judge` puts the facts of all nodes side
by side, because some of them only matter together: an object that one node changes holds every
node that looks at it, and a file that one node writes holds those that read files.

The order of the questions: what a declaration can't lift (a cache policy), then what the user
declared, then what holds an undeclared node, then whether its source proves it pure.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal


class Rank(enum.Enum):
    """How far a node may be trusted to run early."""

    PROVEN = "proven"
    """Declared pure or idempotent, or pure by its source."""
    FREE = "free"
    """Undeclared, and nothing was found that speaks against it."""
    HELD = "held"
    """Never starts before its real task."""


@dataclass(frozen=True, slots=True)
class Place:
    """One thing that was found, and where: a name or call, and `file:line`."""

    what: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.what} ({self.where})" if self.where else self.what


@dataclass(frozen=True)
class NodeFacts:
    """What the scan found about one node, its routers included, or about one reducer."""

    role: Literal["node", "reducer"] = "node"
    function: str | None = None
    """The name under which the node's function can be written into `add_node`."""
    reads: Mapping[Hashable, Place] = field(default_factory=dict)
    """Objects, attributes and names outside the node that it looks at, by identity."""
    changes: Mapping[Hashable, Place] = field(default_factory=dict)
    """Those that it may change."""
    escapes: frozenset[Hashable] = frozenset()
    """Outside objects that it returns: from then on they are part of the state."""
    holds: tuple[tuple[str, Place], ...] = ()
    """Reasons that hold by themselves: store, previous, managed value, runtime handed on."""
    outward_writes: tuple[Place, ...] = ()
    outside_reads: tuple[Place, ...] = ()
    changes_input: tuple[Place, ...] = ()
    """Changes of objects inside the input, which other nodes see too."""
    changes_own_input: tuple[Place, ...] = ()
    """Changes of the outermost input object only, which LangGraph makes for each task."""
    hands_input: tuple[Place, ...] = ()
    """Calls of unread code that got a part of the input. Nothing says that it changes it."""
    unreadable: tuple[Place, ...] = ()
    """Code of the app that could not be read."""
    unproven: tuple[Place, ...] = ()
    """What keeps the node from being pure by its source without holding it (a model call)."""
    interrupts: tuple[Place, ...] = ()
    identity: tuple[Place, ...] = ()
    """Subgraphs and `@task` calls: they need the real task's id."""
    once: tuple[str, ...] = ()
    """Tools in reach that are declared "once"."""
    tools: tuple[str, ...] = ()
    """Tools that the node runs."""
    input_keys: frozenset[str] = frozenset()
    """Keys of the state that it reads by name."""
    whole_input: bool = False
    """It may read every key of the state."""
    cache_policy: bool = False
    parent_commands: tuple[Place, ...] = ()
    """Graphs that it runs of which a node may give a command to the graph around it, this one."""

    @property
    def uses_input(self) -> bool:
        """Whether the node looks at its input at all."""
        return self.whole_input or bool(self.input_keys)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a node may run early, why, and what would let it."""

    rank: Rank
    reason: str
    """A short stable phrase; reports count by it."""
    detail: str
    """What precisely, and where."""
    unlock: str | None
    """One line to paste that would let the node run early."""
    may_interrupt: bool
    needs_identity: bool


NOT_FREE_OF_EFFECTS = (
    "store",
    "previous",
    "managed value",
    "runtime handed on",
)
"""Reasons in `NodeFacts.holds`, in the order in which they are reported."""


@dataclass(frozen=True, slots=True)
class _Company:
    """What all nodes, routers and reducers of a graph do together."""

    changes: Mapping[Hashable, tuple[str, Place]]
    """Who changes what: (node or reducer, where)."""
    writers: tuple[tuple[str, Place], ...]
    input_changers: tuple[tuple[str, Place], ...]


def judge(
    facts: Mapping[str, NodeFacts],
    *,
    declared: Mapping[str, Mapping[str, Any]],
    undeclared: Literal["run", "hold"],
) -> dict[str, Verdict]:
    """Decide for every node whether it may run before its real step.

    Args:
        facts: What the scan found, by node name. Entries whose role is "reducer" are parties
            that may share objects with nodes; they get no verdict.
        declared: Declarations by node name; only `effects` counts here.
        undeclared: `"hold"` holds the nodes that are neither declared nor proven.

    Example:
        >>> verdicts = judge({"a": NodeFacts()}, declared={}, undeclared="run")
        >>> verdicts["a"].rank, verdicts["a"].reason
        (<Rank.PROVEN: 'proven'>, 'pure')
    """
    company = _company(facts, declared)
    return {
        name: _verdict(name, node, declared.get(name, {}).get("effects"), company, undeclared)
        for name, node in facts.items()
        if node.role == "node"
    }


def _company(facts: Mapping[str, NodeFacts], declared: Mapping[str, Mapping[str, Any]]) -> _Company:
    changes: dict[Hashable, tuple[str, Place]] = {}
    writers: list[tuple[str, Place]] = []
    input_changers: list[tuple[str, Place]] = []
    escaped = frozenset().union(*(node.escapes for node in facts.values())) if facts else ()
    for name, node in facts.items():
        # A pure node changes nothing for the others either; an idempotent one still writes.
        if declared.get(name, {}).get("effects") == "pure":
            continue
        for key, place in node.changes.items():
            changes.setdefault(key, (name, place))
            if key in escaped:
                input_changers.append((name, place))
        writers.extend((name, place) for place in node.outward_writes[:1])
        writers.extend((name, Place(f"tool {tool!r}")) for tool in node.once[:1])
        input_changers.extend((name, place) for place in node.changes_input[:1])
    return _Company(changes, tuple(writers), tuple(input_changers))


def _verdict(
    name: str,
    node: NodeFacts,
    effects: str | None,
    company: _Company,
    undeclared: Literal["run", "hold"],
) -> Verdict:
    rank, reason, detail, unlock = _ranked(name, node, effects, company)
    if rank is Rank.FREE and undeclared == "hold":
        detail = "not declared, and Options.undeclared is 'hold'"
        rank, reason, unlock = Rank.HELD, "undeclared", _declare(name, node)
    return Verdict(
        rank=rank,
        reason=reason,
        detail=detail,
        unlock=unlock,
        may_interrupt=bool(node.interrupts or node.unreadable),
        needs_identity=bool(node.identity),
    )


def _ranked(
    name: str, node: NodeFacts, effects: str | None, company: _Company
) -> tuple[Rank, str, str, str | None]:
    if node.cache_policy:
        detail = "a cached result decides at the real step whether the node runs at all"
        return Rank.HELD, "cache policy", detail, f'add_node("{name}", …) without cache_policy'
    if effects == "once":
        return Rank.HELD, "declared once", 'declared effects="once"', None
    if effects in ("pure", "idempotent"):
        return Rank.PROVEN, f"declared {effects}", f'declared effects="{effects}"', None
    if (hold := _hold(name, node, company)) is not None:
        return (Rank.HELD, *hold)
    doubts = (*node.unproven, *node.outside_reads)
    if not doubts and not node.changes:
        return Rank.PROVEN, "pure", "its source only computes", None
    detail = f"nothing found that holds it; not pure: {_listed(doubts)}"
    return Rank.FREE, "free", detail, _declare(name, node)


def _hold(  # noqa: PLR0911 - one per kind
    name: str,
    node: NodeFacts,
    company: _Company,
) -> tuple[str, str, str | None] | None:
    """Why an undeclared node is held: (reason, detail, unlock), None where nothing holds it."""
    declare = _declare(name, node)
    if node.once:
        tool = node.once[0]
        return "declared once", f'tool {tool!r} is declared effects="once"', None
    for reason in NOT_FREE_OF_EFFECTS:
        if places := [place for why, place in node.holds if why == reason]:
            return reason, _listed(places), declare
    if node.unreadable:
        return "source can't be read", _listed(node.unreadable), declare
    if changed := (*node.changes_input, *node.changes_own_input):
        unlock = f"return a new value instead of changing the input in place, or {declare}"
        return "mutates its input", _listed(changed), unlock
    if node.outward_writes:
        return "outward write", _listed(node.outward_writes), _unlock_tools(node) or declare
    if (shared := _shared(name, node, company)) is not None:
        return "shared container", shared, declare
    if node.outside_reads and (other := _other(company.writers, name)) is not None:
        detail = f"reads {_listed(node.outside_reads)}; node {other[0]!r} writes: {other[1]}"
        return "outside read while another node writes", detail, declare
    if node.uses_input and (other := _other(company.input_changers, name)) is not None:
        detail = f"{other[0]!r} changes objects inside the state in place: {other[1]}"
        return "input changed by another node", detail, declare
    return None


def _shared(name: str, node: NodeFacts, company: _Company) -> str | None:
    """Which object the node shares with a party that may change it (itself included)."""
    for key, place in node.changes.items():
        by = company.changes.get(key)
        other = f"; also changed by {by[0]!r}: {by[1]}" if by and by[0] != name else ""
        return f"changes {place}{other}"
    for key, place in node.reads.items():
        if (by := company.changes.get(key)) is not None:
            return f"reads {place}; {by[0]!r} changes it: {by[1]}"
    return None


def _other(parties: Iterable[tuple[str, Place]], name: str) -> tuple[str, Place] | None:
    return next((party for party in parties if party[0] != name), None)


def _declare(name: str, node: NodeFacts) -> str:
    function = node.function or "…"
    return f'add_node("{name}", {function}, metadata={{"alto": {{"effects": "idempotent"}}}})'


def _unlock_tools(node: NodeFacts) -> str | None:
    if not node.tools:
        return None
    tools = ", ".join(f'"{tool}": {{"effects": "idempotent"}}' for tool in node.tools)
    return f"Options(tools={{{tools}}})"


def _listed(places: Iterable[Place], most: int = 3) -> str:
    """The first few of what was found, and how many more there are."""
    found = list(dict.fromkeys(map(str, places)))
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return "; ".join(found[:most]) + more


def merged(first: NodeFacts, *others: NodeFacts) -> NodeFacts:
    """The facts of several pieces of code that run as one node."""
    for other in others:
        sequences: dict[str, Any] = {
            name: (*getattr(first, name), *getattr(other, name)) for name in _SEQUENCES
        }
        first = replace(
            first,
            reads={**other.reads, **first.reads},
            changes={**other.changes, **first.changes},
            escapes=first.escapes | other.escapes,
            input_keys=first.input_keys | other.input_keys,
            whole_input=first.whole_input or other.whole_input,
            cache_policy=first.cache_policy or other.cache_policy,
            **sequences,
        )
    return first


_SEQUENCES = (
    "holds",
    "outward_writes",
    "outside_reads",
    "changes_input",
    "changes_own_input",
    "hands_input",
    "unreadable",
    "unproven",
    "interrupts",
    "identity",
    "once",
    "tools",
    "parent_commands",
)
