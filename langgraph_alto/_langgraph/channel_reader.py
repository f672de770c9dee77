"""Reads what a channel is: how it takes writes, and whether its value can be foretold."""

from __future__ import annotations

import collections
import dis
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Annotated, Any, Literal, NotRequired, Required, get_args, get_origin

from langgraph.channels import (
    BinaryOperatorAggregate,
    EphemeralValue,
    LastValue,
    LastValueAfterFinish,
    NamedBarrierValue,
    NamedBarrierValueAfterFinish,
    UntrackedValue,
)
from langgraph.graph.message import add_messages

from langgraph_alto.core.effects import NodeFacts
from langgraph_alto.core.spec import ChannelSpec

BRANCH = "branch:to:"
JOIN = "join:"
_OWN = ("__start__", "__pregel_tasks")
"""Channels that every graph has for itself."""

_DEFERRED = (LastValueAfterFinish, NamedBarrierValueAfterFinish)
_COLLECTIONS = (list, tuple, set, frozenset, dict, collections.deque, Sequence, Set, Mapping)

Kind = Literal["value", "reducer", "trigger", "barrier", "other"]


def channel_spec(
    name: str, channel: Any, reducers: Mapping[str, NodeFacts], updates: Mapping[str, NodeFacts]
) -> ChannelSpec:
    """What a channel is.

    Args:
        name: Its name.
        channel: The channel.
        reducers: What the scan found about the reducer of each channel.
        updates: The same for a reducer's second argument.
    """
    kind = _kind(name, channel)
    unpredictable = None
    if kind == "reducer":
        unpredictable = _doubt(reducers.get(name)) or _doubt(updates.get(name))
        if _only_computes(channel.operator):
            unpredictable = None
    return ChannelSpec(
        name=name,
        kind=kind,
        many=kind == "reducer" and _adds_up(channel),
        unpredictable=unpredictable,
        internal=is_internal(name, channel),
    )


def is_deferred(triggers: Sequence[str], channels: Mapping[str, Any]) -> bool:
    """Whether a node with these triggers waits for the end of everything else."""
    return any(isinstance(channels.get(trigger), _DEFERRED) for trigger in triggers)


def _kind(name: str, channel: Any) -> Kind:
    # By the very class: a subclass may keep its values in another way. An AnyValue is emptied
    # by a step that does not write to it, so its value in a later step is not its value now.
    cls = type(channel)
    if cls is EphemeralValue and name.startswith(BRANCH):
        return "trigger"
    if cls is NamedBarrierValue:
        return "barrier"
    if cls in (LastValue, UntrackedValue):
        return "value"
    return "reducer" if cls is BinaryOperatorAggregate else "other"


def is_internal(name: str, channel: Any) -> bool:
    """Whether a channel is no key of the state: an edge's own, or one that every graph has."""
    if name in _OWN:
        return True
    if isinstance(channel, NamedBarrierValue | NamedBarrierValueAfterFinish):
        return name.startswith(JOIN)
    own = isinstance(channel, EphemeralValue | LastValueAfterFinish)
    return own and name.startswith(BRANCH)


def _doubt(facts: NodeFacts | None) -> str | None:
    """Why a reducer's result can't be foretold by calling it once more."""
    if facts is None:
        return None
    drawn = facts.reads.get(("special", "random"))
    reasons: tuple[tuple[str, Iterable[Any]], ...] = (
        ("can't be read", facts.unreadable),
        ("may change its arguments", (*facts.changes_input, *facts.changes_own_input)),
        ("changes what others see", facts.changes.values()),
        ("uses what LangGraph injects", (place for _, place in facts.holds)),
        ("writes outside", facts.outward_writes),
        ("reads outside", facts.outside_reads),
        ("does more than compute", facts.unproven),
        ("draws random numbers", () if drawn is None else (drawn,)),
    )
    for what, places in reasons:
        for place in places:
            return f"its reducer {what}: {place}"
    return None


_COMPUTES = frozenset({
    "RESUME", "COPY_FREE_VARS", "NOP", "POP_TOP", "COPY", "SWAP", "RETURN_VALUE", "RETURN_CONST",
    "LOAD_FAST", "LOAD_FAST_LOAD_FAST", "LOAD_CONST", "LOAD_SMALL_INT", "LOAD_FAST_BORROW",
    "LOAD_FAST_BORROW_LOAD_FAST_BORROW", "TO_BOOL", "NOT_TAKEN", "CACHE", "PRECALL",
    "BINARY_OP", "BINARY_SUBSCR", "COMPARE_OP", "IS_OP", "CONTAINS_OP", "UNARY_NOT",
    "UNARY_NEGATIVE", "BUILD_LIST", "BUILD_TUPLE", "BUILD_SET", "BUILD_MAP", "LIST_EXTEND",
    "LIST_APPEND", "SET_UPDATE", "DICT_UPDATE", "DICT_MERGE", "LIST_TO_TUPLE",
    "POP_JUMP_IF_TRUE", "POP_JUMP_IF_FALSE", "POP_JUMP_IF_NONE", "POP_JUMP_IF_NOT_NONE",
    "POP_JUMP_FORWARD_IF_TRUE", "POP_JUMP_FORWARD_IF_FALSE", "POP_JUMP_FORWARD_IF_NONE",
    "POP_JUMP_FORWARD_IF_NOT_NONE", "JUMP_IF_TRUE_OR_POP", "JUMP_IF_FALSE_OR_POP",
    "JUMP_FORWARD",
})  # fmt: skip
"""Instructions that look at values and make new ones; `LIST_EXTEND` and the like fill these."""


def _only_computes(function: Any) -> bool:
    """Whether a function's instructions tell that it changes nothing.

    A lambda in an annotation has no source under `from __future__ import annotations`.
    """
    code = getattr(function, "__code__", None)
    if code is None or code.co_name != "<lambda>":
        return False
    return all(instruction.opname in _COMPUTES for instruction in dis.get_instructions(code))


def _adds_up(channel: Any) -> bool:
    """Whether a reducer's values are collections to which tasks add."""
    if channel.operator is add_messages:
        return True
    typ = channel.typ
    while get_origin(typ) in (Annotated, Required, NotRequired):
        typ = get_args(typ)[0]
    origin = get_origin(typ) or typ
    return isinstance(origin, type) and issubclass(origin, _COLLECTIONS)
