"""What may still happen before a step begins: which channels are settled, and who unsettles others.

A task may start before its step once nothing that may still run can write what it reads. What
may still run is: every task that has not ended, in this step or in a later one that is known
already, and whatever may follow from it (`GraphSpec.may_write` counts both). What has ended has
written what it wrote; its followers stand among the known tasks of the next step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from langgraph_alto.core.events import Write
from langgraph_alto.core.spec import GraphSpec, Names

_STATE = ("value", "reducer")


class Outlook:
    """Counts the unfinished tasks of each step, by node.

    Example:
        >>> from langgraph_alto.core.spec import NodeSpec
        >>> slow = NodeSpec("slow", writes=frozenset({"x"}))
        >>> outlook = Outlook(GraphSpec("g", {"slow": slow}))
        >>> outlook.begin(1, {"slow": 1})
        >>> outlook.blocker(frozenset({"x"}), 2), outlook.blocker(frozenset({"y"}), 2)
        ('slow', None)
    """

    def __init__(self, spec: GraphSpec) -> None:
        self.spec = spec
        self.is_blind = False
        """A node did what its facts exclude: from now on nothing is foretold from facts."""
        self._step = 0
        self.unfinished: dict[int, Counter[str]] = {}
        """How many tasks of each node have not ended, by step."""

    def begin(self, step: int, nodes: Mapping[str, int]) -> None:
        """LangGraph began a step with so many tasks of each node that have not ended."""
        self._step = step
        for past in [s for s in self.unfinished if s <= step]:
            del self.unfinished[past]
        self.unfinished[step] = Counter(nodes)

    def add(self, step: int, node: str) -> None:
        """A task of a later step is known."""
        self.unfinished.setdefault(step, Counter())[node] += 1

    def finish(self, step: int, node: str) -> None:
        """A task has ended, or will not be."""
        counter = self.unfinished.get(step)
        if counter is None:
            return
        counter[node] -= 1
        if counter[node] <= 0:
            del counter[node]

    def blocker(self, channels: Names, step: int) -> str | None:
        """A node that may still write one of these channels before that step, or None."""
        for current in range(self._step, step):
            for node in self.unfinished.get(current, ()):
                may = None if self.is_blind else self.spec.may_write(node, step - 1 - current)
                if may is None or not may.isdisjoint(channels):
                    return node
        return None

    def surprises(
        self, node: str, writes: Iterable[Write], targets: Collection[str]
    ) -> tuple[str, ...]:
        """Channels that a task wrote and nodes that it led to although the facts exclude them."""
        facts = self.spec.nodes.get(node)
        if facts is None or self.is_blind:
            return ()
        wrong: set[str] = set()
        if facts.writes is not None:
            known = facts.writes | facts.edges
            for channel, _ in writes:
                found = self.spec.channels.get(channel)
                if channel not in known and found is not None and found.kind in _STATE:
                    wrong.add(channel)
        if targets and (following := self.spec.successors(node)) is not None:
            wrong.update(set(targets) - following)
        return tuple(sorted(wrong))


def reads_of(spec: GraphSpec, node: str) -> Names:
    """The channels that must be settled before a node starts: what it reads, and its joins."""
    found = spec.nodes[node]
    joins = frozenset(
        trigger
        for trigger in found.triggers
        if (channel := spec.channels.get(trigger)) is not None and channel.kind == "barrier"
    )
    return found.reads | joins


def gains(spec: GraphSpec, running: Mapping[str, int], held: Collection[str]) -> bool:
    """Whether an edge may be followed while tasks of these nodes run beside each other.

    It may if one of them leads to a node that some other of them can't keep waiting. Where
    none does, a step needs no attention at all (a fan-out into a join of its results).

    Args:
        spec: The graph.
        running: The nodes of a step, and how many tasks each has.
        held: Nodes that never start early.
    """
    for node, count in running.items():
        following = spec.successors(node)
        others = [n for n in running if n != node or count > 1]
        for successor in spec.nodes if following is None else following:
            if successor in held or successor not in spec.nodes:
                continue
            reads = reads_of(spec, successor)
            for other in others:
                may = spec.may_write(other, 0)
                if may is not None and may.isdisjoint(reads):
                    return True
    return False


def fills_at(
    names: Names, seen: Names, step: int, writes: Mapping[int, Iterable[str]]
) -> int | None:
    """The step that a join triggers next, or None while a part of it is missing.

    Args:
        names: The parts that it waits for.
        seen: Those that had come when `step` began; all of them if it triggered `step` itself,
            which consumes them.
        step: The current step.
        writes: The parts that the tasks of each step, from the current one on, have written.

    Example:
        >>> fills_at(frozenset("ab"), frozenset("a"), 3, {4: ["b"]})
        5
    """
    if not writes:
        return None
    have = frozenset() if seen == names else seen
    for current in range(step, max(writes) + 1):
        have |= frozenset(writes.get(current, ()))
        if have >= names:
            return current + 1
    return None


def in_order(tasks: Iterable[tuple[tuple[object, ...], Sequence[Write]]]) -> list[Write]:
    """The writes of a step's tasks in the order in which LangGraph applies them."""
    found = list(tasks)
    found.sort(key=lambda task: task[0])
    return [write for _, writes in found for write in writes]
