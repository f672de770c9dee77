"""What a scan has found so far; it becomes `NodeFacts` at the end."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from langgraph_alto.core.effects import NodeFacts, Place


def _places() -> dict[Place, None]:
    return {}


@dataclass(slots=True)
class Findings:
    """A growing `NodeFacts`. Sequences are dicts: ordered, and each entry once."""

    reads: dict[Hashable, Place] = field(default_factory=dict)
    changes: dict[Hashable, Place] = field(default_factory=dict)
    escapes: set[Hashable] = field(default_factory=set)
    holds: dict[tuple[str, Place], None] = field(default_factory=dict)
    outward_writes: dict[Place, None] = field(default_factory=_places)
    outside_reads: dict[Place, None] = field(default_factory=_places)
    changes_input: dict[Place, None] = field(default_factory=_places)
    changes_own_input: dict[Place, None] = field(default_factory=_places)
    hands_input: dict[Place, None] = field(default_factory=_places)
    unreadable: dict[Place, None] = field(default_factory=_places)
    unproven: dict[Place, None] = field(default_factory=_places)
    interrupts: dict[Place, None] = field(default_factory=_places)
    identity: dict[Place, None] = field(default_factory=_places)
    once: dict[str, None] = field(default_factory=dict)
    tools: dict[str, None] = field(default_factory=dict)
    parent_commands: dict[Place, None] = field(default_factory=_places)
    input_keys: set[str] = field(default_factory=set)
    whole_input: bool = False

    def add(self, other: Findings) -> None:
        """Take over what a part of the scan found; what was found first stays."""
        for key, place in other.reads.items():
            self.reads.setdefault(key, place)
        for key, place in other.changes.items():
            self.changes.setdefault(key, place)
        self.escapes |= other.escapes
        self.input_keys |= other.input_keys
        self.whole_input = self.whole_input or other.whole_input
        self.holds |= other.holds
        self.outward_writes |= other.outward_writes
        self.outside_reads |= other.outside_reads
        self.changes_input |= other.changes_input
        self.changes_own_input |= other.changes_own_input
        self.hands_input |= other.hands_input
        self.unreadable |= other.unreadable
        self.unproven |= other.unproven
        self.interrupts |= other.interrupts
        self.identity |= other.identity
        self.once |= other.once
        self.tools |= other.tools
        self.parent_commands |= other.parent_commands

    def facts(self, function: str | None = None) -> NodeFacts:
        """What was found, as it is judged."""
        return NodeFacts(
            function=function,
            reads=self.reads,
            changes=self.changes,
            escapes=frozenset(self.escapes),
            holds=tuple(self.holds),
            outward_writes=tuple(self.outward_writes),
            outside_reads=tuple(self.outside_reads),
            changes_input=tuple(self.changes_input),
            changes_own_input=tuple(self.changes_own_input),
            hands_input=tuple(self.hands_input),
            unreadable=tuple(self.unreadable),
            unproven=tuple(self.unproven),
            interrupts=tuple(self.interrupts),
            identity=tuple(self.identity),
            once=tuple(self.once),
            tools=tuple(self.tools),
            parent_commands=tuple(self.parent_commands),
            input_keys=frozenset(self.input_keys),
            whole_input=self.whole_input,
        )
