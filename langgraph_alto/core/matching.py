"""Which of LangGraph's tasks are those that run ahead: same node, same input, in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from langgraph_alto.core.events import RealTask
from langgraph_alto.core.tasks import Ahead

Same = Callable[[object, object], bool]


def pair_sends(
    tasks: Iterable[RealTask], due: Sequence[Ahead], same: Same | None
) -> list[tuple[RealTask, Ahead]]:
    """Pair `Send` tasks: the same argument object, else an equal one.

    Both come in LangGraph's order, so that of several alike each finds its own.
    """
    by_identity: dict[tuple[str, int], list[Ahead]] = {}
    for ahead in reversed(due):
        by_identity.setdefault((ahead.node, id(ahead.send.arg)), []).append(ahead)
    pairs: list[tuple[RealTask, Ahead]] = []
    unmatched: list[RealTask] = []
    for task in tasks:
        if found := by_identity.get((task.node, id(task.arg))):
            pairs.append((task, found.pop()))
        else:
            unmatched.append(task)
    if not unmatched or same is None:
        return pairs
    paired = {ahead.key for _, ahead in pairs}
    left = [a for a in due if a.key not in paired]
    for task in unmatched:
        for ahead in left:
            if ahead.node == task.node and same(ahead.send.arg, task.arg):
                left.remove(ahead)
                pairs.append((task, ahead))
                break
    return pairs


def pair_pulls(
    tasks: Iterable[RealTask], due: Iterable[Ahead], is_input: Callable[[RealTask, Ahead], bool]
) -> list[tuple[RealTask, Ahead]]:
    """Pair tasks that edges trigger: a step has one a node, and its input must be the real one."""
    by_node = {ahead.node: ahead for ahead in due}
    return [
        (task, ahead)
        for task in tasks
        if (ahead := by_node.get(task.node)) is not None and is_input(task, ahead)
    ]
