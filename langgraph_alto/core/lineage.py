"""What an ancestry tree is made of: its parts, looking around in them, counting what is busy.

Parts hang together in two ways. `up` is what a part lives in: a task in an item, in a task whose
graph it belongs to, or in the request; an item in its level; a level in its task. `begun` and
`levels` are what came from a part: that is what a retraction follows. The two differ for a task
that follows another one by an edge: it came from that one, and lives beside it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from langgraph_alto.core.paths import (
    ANY,
    REQUEST,
    Fact,
    Item,
    Key,
    LevelComplete,
    LevelOf,
    LevelReopened,
    Ref,
    RequestComplete,
    Retracted,
    Step,
)


@dataclass(slots=True, eq=False)
class Part:
    """`busy` counts what is open or runs: the part itself, and each busy part right in it."""

    up: Part | None
    busy: int = 0
    history: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Origin(Part):
    """What tasks begin from. `begun` are those tasks; `turns` numbers the ones that live here."""

    begun: dict[TaskPart, None] = field(default_factory=dict)
    turns: dict[str, Turns] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class RequestPart(Origin):
    key: Key = None
    open: bool = True


@dataclass(slots=True, eq=False)
class TaskPart(Origin):
    """The last one of `names` counts. `prefix`: the graphs that it runs in, `"section:"`."""

    names: list[Key] = field(default_factory=list)
    node: str = ""
    prefix: str = ""
    parent: Origin | None = None
    turn: int = 1
    running: bool = True
    levels: dict[str, LevelPart] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class ItemPart(Origin):
    index: int | None = None
    settled: bool = True


@dataclass(slots=True, eq=False)
class LevelPart(Part):
    """`count` is how many items it has, forgotten ones included."""

    key: str = ""
    listed: bool = True
    open: bool = True
    count: int = 0
    items: dict[int | None, ItemPart] = field(default_factory=dict)


Found = RequestPart | TaskPart | ItemPart
"""What a `Ref` names."""


@dataclass(slots=True)
class Turns:
    """Numbers the tasks of a node in one place; a retracted one's number is given again."""

    taken: int = 0
    free: list[int] = field(default_factory=list)

    def take(self) -> int:
        """The smallest number that no task has."""
        if self.free:
            return heapq.heappop(self.free)
        self.taken += 1
        return self.taken

    def give_back(self, turn: int) -> None:
        """The task with this number is retracted."""
        heapq.heappush(self.free, turn)


# Upwards -----------------------------------------------------------------------------------


def level_of(item: ItemPart) -> LevelPart:
    """The level of an item."""
    assert isinstance(item.up, LevelPart)
    return item.up


def emitter_of(level: LevelPart) -> TaskPart:
    """The task that gives a level's items."""
    assert isinstance(level.up, TaskPart)
    return level.up


def upwards(part: Found) -> Iterator[Found]:
    """A part, and what it lives in: items, tasks that run its graph, the request."""
    at: Part | None = part
    while at is not None:
        assert isinstance(at, Found)
        yield at
        at = emitter_of(level_of(at)).up if isinstance(at, ItemPart) else at.up


def root_of(part: Part) -> Part:
    """The request."""
    while part.up is not None:
        part = part.up
    return part


def steps_upwards(part: Found | LevelPart) -> Iterator[Step]:
    """What a task lives in, or the place of an item or level, innermost first."""
    if isinstance(part, LevelPart):
        task = emitter_of(part)
        yield Step(task.node, task.turn, part.key, ANY if part.listed else None)
        part = task
    for at in upwards(part):
        if isinstance(at, ItemPart):
            level = level_of(at)
            task = emitter_of(level)
            yield Step(task.node, task.turn, level.key, at.index)
        elif isinstance(at, TaskPart) and at is not part:
            yield Step(at.node, at.turn)


def prefix_in(home: Origin) -> str:
    """What stands before the name of a node that lives there: the graphs that it runs in."""
    if isinstance(home, TaskPart):
        return name_of(home)
    return emitter_of(level_of(home)).prefix if isinstance(home, ItemPart) else ""


def name_of(part: Part) -> str:
    """The name of a level, a task's graph and the request included."""
    if isinstance(part, ItemPart):
        part = level_of(part)
    if isinstance(part, LevelPart):
        task = emitter_of(part)
        return task.prefix + Step(task.node, 1, part.key, ANY if part.listed else None).label
    return f"{part.prefix}{part.node}:" if isinstance(part, TaskPart) else REQUEST


def ref_of(part: Found) -> Ref:
    """How the outside names a part."""
    if isinstance(part, RequestPart):
        return part.key
    if isinstance(part, TaskPart):
        return part.names[-1]
    level = level_of(part)
    return Item(emitter_of(level).names[-1], level.key, part.index)


def level_ref(level: LevelPart) -> LevelOf:
    """How the outside names a level."""
    return LevelOf(emitter_of(level).names[-1], level.key)


def item_of(task: Part | None, key: str, index: int | None) -> ItemPart | None:
    level = task.levels.get(key) if isinstance(task, TaskPart) else None
    return level.items.get(index) if level is not None else None


def place_of(part: Found) -> Part:
    """What a task lives in; an item itself."""
    return part.up if isinstance(part, TaskPart) and part.up is not None else part


def why_closed(home: Part) -> str | None:
    """Why nothing begins there any more."""
    if isinstance(home, ItemPart):
        return None if level_of(home).busy else "its level is complete"
    if isinstance(home, TaskPart):
        return None if home.running else "the task that ran the graph ended"
    return None if isinstance(home, RequestPart) and home.open else "the request ended"


# Downwards ---------------------------------------------------------------------------------


def descendants(part: Found) -> list[Found]:
    """Everything that came from a part, in order of depth."""
    return _and_theirs(_children(part))


def inhabitants(part: Found) -> list[Found]:
    """Everything that lives in a part, in order of depth: not what follows a task."""
    return _and_theirs(
        child for child in _children(part) if isinstance(child, ItemPart) or child.up is part
    )


def _and_theirs(first: Iterator[Found]) -> list[Found]:
    found = list(first)
    for part in found:  # which grows
        found.extend(_children(part))
    return found


def _children(part: Found) -> Iterator[TaskPart | ItemPart]:
    yield from part.begun
    if isinstance(part, TaskPart):
        for level in part.levels.values():
            yield from level.items.values()


def retraction_of(doomed: list[Found]) -> Retracted:
    """What is said when these, given in order of depth, are retracted."""
    deepest_first = doomed[::-1]
    running = [p.names[-1] for p in deepest_first if isinstance(p, TaskPart) and p.running]
    return Retracted(tuple(map(ref_of, deepest_first)), tuple(running))


# Changing ----------------------------------------------------------------------------------


def unhook(part: Found, gone: set[Part | None], is_retracted: bool) -> None:
    """Take a part out of those that are left."""
    if isinstance(part, TaskPart):
        if part.parent is not None and part.parent not in gone:
            del part.parent.begun[part]
        if is_retracted and part.up not in gone and isinstance(part.up, Origin):
            part.up.turns[part.node].give_back(part.turn)
    elif isinstance(part, ItemPart) and part.up not in gone and is_retracted:
        level = level_of(part)
        del level.items[part.index]
        level.count -= 1


def hand_up(task: TaskPart) -> None:
    """What follows a task, and lives where it lives, follows its parent from now on."""
    assert task.parent is not None
    for follower in [f for f in task.begun if f.up is not task]:
        del task.begun[follower]
        follower.parent = task.parent
        task.parent.begun[follower] = None


def close(level: LevelPart, facts: list[Fact]) -> None:
    """No more items come."""
    level.open = False
    for item in level.items.values():
        item.settled = True
    quieter(level, facts)


def busier(part: Part | None, facts: list[Fact]) -> None:
    """Something in a part, or it itself, is open or runs."""
    while part is not None:
        part.busy += 1
        if part.busy > 1:
            return
        if isinstance(part, LevelPart):
            facts.append(LevelReopened(level_ref(part), name_of(part)))
        part = part.up


def quieter(part: Part | None, facts: list[Fact]) -> None:
    """Something in a part, or it itself, is open or runs no more."""
    while part is not None:
        part.busy -= 1
        if part.busy:
            return
        if isinstance(part, LevelPart):
            facts.append(LevelComplete(level_ref(part), name_of(part), part.count))
        elif isinstance(part, RequestPart):
            facts.append(RequestComplete(part.key))
        part = part.up
