"""Reads what stands behind a node's body: its edges, its routers, and what becomes of its result.

LangGraph's own writers are known by the classes and functions that made them: a StateGraph's
node has one `ChannelWrite` for its result, one more for each direct edge, and a function of a
`BranchSpec` for each conditional edge.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import Runnable

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.channel_reader import BRANCH
from langgraph_alto.core.effects import NodeFacts
from langgraph_alto.core.spec import Names, RouterSpec, Stream
from langgraph_alto.source import objects
from langgraph_alto.source.follow import plain_function
from langgraph_alto.source.kinds import CALLABLE, PREGEL
from langgraph_alto.source.writes import (
    BINDING,
    GENERATOR,
    LAMBDA,
    RouterEnds,
    Writes,
    annotated,
    functions_of,
    router_ends,
)

END = "__end__"
NONE: Names = frozenset()
_INJECTED = ("config", "runtime", "store", "writer", "previous", "run_manager")


@dataclass(frozen=True, slots=True)
class NodeWriters:
    """What a node's writers say by themselves.

    Attributes:
        edges: Channels that are written whenever the node ends.
        plain: Channels that are written, these and those that may be left out.
        state_keys: What a StateGraph's node can write by its result; None: not such a node.
        ends: Nodes to which a `Command` is said to lead (`Command[Literal[…]]`,
            `destinations`); None: nothing is said.
        sent: Nodes that get a `Send` each time.
        routers: The conditional edges, with their place among the writers.
        unknown: A writer that is none of LangGraph's own; None: there is none.
    """

    edges: Names
    plain: Names
    state_keys: tuple[str, ...] | None
    ends: Names | None
    sent: Names
    routers: tuple[tuple[int, Any], ...]
    unknown: Any | None


def read_writers(node: Any) -> NodeWriters:
    """Read the writers of a node."""
    edges: set[str] = set()
    plain: set[str] = set()
    sent: set[str] = set()
    routers: list[tuple[int, Any]] = []
    state_keys: tuple[str, ...] | None = None
    ends: set[str] | None = None
    unknown: Any = None
    for place, writer in enumerate(node.writers):
        if branch_of(writer) is not None:
            routers.append((place, writer))
        elif not isinstance(writer, names.ChannelWrite):
            unknown = writer
        else:
            entries: list[Any] = writer.writes
            for entry in entries:
                kind = type(entry).__name__
                if kind == "ChannelWriteEntry":
                    plain.add(entry.channel)
                    if not entry.skip_none and entry.mapper is None:
                        edges.add(entry.channel)
                elif kind == "Send":
                    sent.add(entry.node)
                elif (keys := _state_keys(entry)) is not None:
                    state_keys = keys
                elif _is_control(entry):
                    ends = _ends(entry.static)
                else:
                    unknown = entry
    return NodeWriters(
        edges=frozenset(edges),
        plain=frozenset(plain),
        state_keys=state_keys,
        ends=None if ends is None else frozenset(ends),
        sent=frozenset(sent),
        routers=tuple(routers),
        unknown=unknown,
    )


def branch_of(writer: Any) -> Any | None:
    """The `BranchSpec` of a conditional edge's writer."""
    owner = getattr(getattr(writer, "func", None), "__self__", None)
    return owner if type(owner).__name__ == "BranchSpec" else None


def _state_keys(entry: Any) -> tuple[str, ...] | None:
    """The keys that a StateGraph's writer lets through, from the function that filters them."""
    mapper: Any = getattr(entry, "mapper", None)
    name = getattr(mapper, "__name__", "")
    if not _is_langgraphs(mapper):
        return None
    if name == "_get_root":
        return ("__root__",)
    if name != "_get_updates":
        return None
    cells = zip(mapper.__code__.co_freevars, mapper.__closure__ or (), strict=False)
    found = dict(cells).get("output_keys")
    return None if found is None else tuple(found.cell_contents)


def _is_control(entry: Any) -> bool:
    mapper: Any = getattr(entry, "mapper", None)
    return _is_langgraphs(mapper) and mapper.__name__ == "_control_branch"


def _is_langgraphs(function: Any) -> bool:
    return getattr(function, "__module__", None) == "langgraph.graph.state"


def _ends(static: Iterable[tuple[str, Any, str | None]] | None) -> set[str] | None:
    """The nodes that a node is said to lead to; LangGraph does not hold it to them."""
    found = [channel for channel, _, _ in static or ()]
    if not found:
        return None
    return {channel.removeprefix(BRANCH) for channel in found if channel != END}


# Streams ------------------------------------------------------------------------------------


def stream_of(bound: Any) -> Stream:
    """What a node hands on while it runs."""
    mro = objects.mro_names(type(bound))
    if LAMBDA in mro:
        generates = any(map(_is_generator, functions_of(bound)))
        return Stream.ADDABLE if generates else Stream.NOTHING
    if PREGEL in mro or CALLABLE in mro:
        return Stream.NOTHING
    if BINDING in mro:
        return stream_of(bound.bound)
    if not isinstance(bound, Runnable):
        return Stream.NOTHING
    own = ("stream", "astream", "transform", "atransform")
    streams = any(getattr(type(bound), n) is not getattr(Runnable, n) for n in own)
    return Stream.CHUNKS if streams or GENERATOR in mro else Stream.NOTHING


def _is_generator(function: Any) -> bool:
    plain = plain_function(function)
    return inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain)


# Routers ------------------------------------------------------------------------------------


def router_spec(writer: Any, facts: NodeFacts, writes: Writes, managed: Names) -> RouterSpec:
    """What a conditional edge reads, where it may lead, and why it waits.

    Args:
        writer: LangGraph's writer of the edge.
        facts: What the scan found about it.
        writes: Reads the source of what it returns.
        managed: Keys of the state that are no channels.
    """
    branch = branch_of(writer)
    assert branch is not None
    reader = (getattr(writer, "kwargs", None) or {}).get("reader")
    keywords: Mapping[str, Any] = getattr(reader, "keywords", None) or {}
    select = keywords.get("select", ())
    channels = frozenset([select] if isinstance(select, str) else select) - managed
    told_by_keys = not (facts.whole_input or facts.unreadable or isinstance(select, str))
    narrowed = told_by_keys and keywords.get("mapper") is None
    ends, targets, sends = _ends_of(branch, writes)
    return RouterSpec(
        name=getattr(branch.path, "name", None) or "condition",
        reads=facts.input_keys & channels if narrowed else channels,
        channels=channels,
        ends=ends,
        sends=sends,
        targets=targets,
        waits=_waits(branch.path, facts),
    )


def _ends_of(branch: Any, writes: Writes) -> tuple[Names | None, Names | None, bool]:
    """Where a router may lead (None: anywhere), and whether it may give `Send`s."""
    found: RouterEnds = writes.router(branch.path)
    if found.ends is None and found.targets is None:
        said = router_ends(annotated(branch.path))
        known = said.ends is not None and said.targets is not None and not said.sends
        found = said if known else found
    if branch.ends:
        # Names go through the map; a Send goes where it says, of which the map is told, too.
        mapped = frozenset(map(str, branch.ends.values())) - {END}
        return mapped | (found.targets or NONE), found.targets, found.sends
    if found.ends is None or found.targets is None:
        return None, found.targets, found.sends
    return (found.ends - {END}) | found.targets, found.targets, found.sends


def _waits(path: Any, facts: NodeFacts) -> str | None:
    """Why a router is never evaluated on partial state."""
    functions = functions_of(path)
    if taken := [name for name in _INJECTED if any(_takes(f, name) for f in functions)]:
        return f"takes {', '.join(taken)}"
    if any(map(inspect.iscoroutinefunction, map(plain_function, functions))):
        return "is asynchronous"
    reasons: tuple[tuple[str, Iterable[Any]], ...] = (
        ("can't be read", facts.unreadable),
        ("uses", (place for _, place in facts.holds)),
        ("may interrupt", facts.interrupts),
        ("runs", facts.identity),
        ("writes outside", facts.outward_writes),
        ("reads outside", facts.outside_reads),
        ("changes", (*facts.changes.values(), *facts.changes_input)),
        ("does more than compute", facts.unproven),
        ("uses", (p for k, p in facts.reads.items() if isinstance(k, tuple) and k[0] == "special")),
    )
    for what, places in reasons:
        for place in places:
            return f"{what}: {place}"
    return None


def _takes(function: Any, name: str) -> bool:
    code = getattr(plain_function(function), "__code__", None)
    if code is None:
        return False
    count = code.co_argcount + code.co_kwonlyargcount
    # The first parameter is the state, whatever it is called.
    return name in code.co_varnames[1:count]
