"""What the channels of a graph will hold when a later step begins.

LangGraph applies the writes of a step to its channels, with their reducers, when the step ends.
Here the writes that are known are applied to copies, in the same order. `core.scheduler` asks
only when nothing that may still run can write these channels.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.channels.base import BaseChannel
from langgraph.channels.binop import BinaryOperatorAggregate
from langgraph.channels.last_value import LastValue
from langgraph.channels.untracked_value import UntrackedValue
from langgraph.errors import EmptyChannelError
from langgraph.types import Overwrite, Send

from langgraph_alto._langgraph.narrowed import NarrowedState
from langgraph_alto._langgraph.policy import same_value
from langgraph_alto.core.events import SendSpec
from langgraph_alto.core.scheduler import History
from langgraph_alto.core.spec import GraphSpec, Names

_FOLDABLE = (LastValue, UntrackedValue, BinaryOperatorAggregate)
"""Channels that keep what they hold while nobody writes to them. Subclasses may not."""

_ADD_MESSAGES = ("langgraph.graph.message", {"add_messages", "_add_messages"})
"""The reducer of messages: where it is defined, and what it is called there, wrapped or not."""

Channels = Mapping[str, BaseChannel[Any, Any, Any]]


class ChannelForesight:
    """Foretells inputs from a loop's channels (see `core.scheduler.Foresight`).

    Args:
        loop: LangGraph's loop.
        spec: What is known of its graph.
    """

    def __init__(self, loop: Any, spec: GraphSpec) -> None:
        self._loop = loop
        self._spec = spec
        self.is_open = False
        """Whether the channels are those of the step that the scheduler knows. Between the end
        of a step and the beginning of the next they are not."""

    def join(self, channel: str) -> tuple[Names, Names]:
        """The parts that a join waits for, and those that had come when the step began."""
        found: Any = self._loop.channels[channel]
        return frozenset(map(str, found.names)), frozenset(map(str, found.seen))

    def input(self, node: str, history: History) -> SendSpec | None:
        """The node's input, made as LangGraph makes it; None if that can't be foretold."""
        proc = self._loop.nodes[node]
        facts = self._spec.nodes[node]
        folded = self.state(facts.reads, history)
        if folded is None:
            return None
        try:
            if isinstance(proc.channels, str):
                value = folded[proc.channels].get()
            else:
                value = {
                    name: folded[name].get()
                    for name in proc.channels
                    if name in folded and folded[name].is_available()
                }
            if proc.mapper is not None:
                value = proc.mapper(value)
        except Exception:  # an empty channel, a mapper that refuses: LangGraph will tell
            return None
        # The body may change what it is given; what it was given is still compared afterwards.
        given = copy.copy(value) if type(value) is dict else value
        if facts.narrowed and (hidden := frozenset(proc.channels) - facts.reads):
            given = NarrowedState(value, hidden, is_enough=facts.subgraph is not None)
        return SendSpec(node, value, Send(node, given))

    def state(self, channels: Names, history: History) -> Channels | None:
        """These channels as they will be, or None if one of them can't be foretold."""
        if not self.is_open:
            return None
        found: dict[str, BaseChannel[Any, Any, Any]] = {}
        written = _by_channel(channels, history)
        for name in channels:
            channel = self._loop.channels.get(name)
            if channel is None:
                return None
            folded = self._folded(name, channel, written.get(name))
            if folded is None:
                return None
            found[name] = folded
        return found

    def _folded(
        self, name: str, channel: Any, writes: Sequence[Sequence[Any]] | None
    ) -> BaseChannel[Any, Any, Any] | None:
        facts = self._spec.channels.get(name)
        if facts is None or type(channel) not in _FOLDABLE:
            return None
        if writes is None:
            return channel  # type: ignore[no-any-return]
        if facts.unpredictable is not None or _mints_ids(channel, writes):
            return None
        copied: BaseChannel[Any, Any, Any] = channel.copy()
        try:
            for values in writes:
                copied.update(values)
        except Exception:  # LangGraph will say so when the step ends
            return None
        return copied

    def same(self, node: str, foretold: object, real: object) -> bool:
        """Whether the real input is the foretold one, in what was foretold of it."""
        facts = self._spec.nodes[node]
        if not facts.narrowed or not isinstance(foretold, dict) or not isinstance(real, dict):
            return same_value(foretold, real)
        return same_value(foretold, {key: real[key] for key in facts.reads if key in real})


def holds(foretold: Channels, channels: Channels) -> bool:
    """Whether channels hold what was foretold of them."""
    return all(_same_content(c, channels[name]) for name, c in foretold.items())


def _same_content(a: BaseChannel[Any, Any, Any], b: BaseChannel[Any, Any, Any]) -> bool:
    if a is b:
        return True
    if a.is_available() != b.is_available():
        return False
    return not a.is_available() or same_value(a.get(), b.get())


class SettledChannels(Mapping[str, BaseChannel[Any, Any, Any]]):
    """The channels for a router: the settled ones, and all others as if they were empty."""

    def __init__(self, settled: Channels, known: Iterable[str]) -> None:
        self.settled = settled
        self._known = tuple(known)

    def __getitem__(self, key: str) -> BaseChannel[Any, Any, Any]:
        found = self.settled.get(key)
        return _UNSETTLED if found is None else found

    def __iter__(self) -> Any:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class _Unsettled(BaseChannel[Any, Any, Any]):
    """Stands for a channel whose value is not known: it is left out of what is read."""

    ValueType = UpdateType = Any

    def __init__(self) -> None:
        super().__init__(Any)

    def from_checkpoint(self, checkpoint: Any) -> _Unsettled:
        return self

    def copy(self) -> _Unsettled:
        return self

    def update(self, values: Sequence[Any]) -> bool:
        return False

    def get(self) -> Any:
        raise EmptyChannelError

    def is_available(self) -> bool:
        return False


_UNSETTLED = _Unsettled()


def _by_channel(channels: Names, history: History) -> dict[str, list[list[Any]]]:
    """The values written to each of these channels, step by step; none where nothing was."""
    found: dict[str, list[list[Any]]] = {}
    for step in history:
        values: dict[str, list[Any]] = {}
        for channel, value in step:
            if channel in channels:
                values.setdefault(channel, []).append(value)
        for channel, written in values.items():
            found.setdefault(channel, []).append(written)
    return found


def _mints_ids(channel: Any, writes: Sequence[Sequence[Any]]) -> bool:
    """Whether folding would make up message ids that the real step will make up anew.

    `add_messages` turns strings, tuples and dicts into messages with a random id each time.
    A message object gets its id once, in place.
    """
    operator: Any = getattr(channel, "operator", None)
    if operator is None:
        return False
    function = getattr(operator, "func", operator)
    module, names = _ADD_MESSAGES
    if getattr(function, "__module__", "") != module or function.__name__ not in names:
        return False
    return any(not _are_messages(value) for values in writes for value in values)


def _are_messages(value: Any) -> bool:
    if isinstance(value, Overwrite):
        value = value.value
    if isinstance(value, list | tuple):
        return all(isinstance(item, BaseMessage) for item in value)
    return isinstance(value, BaseMessage)
