"""The words of ancestry: how items, levels and paths are named, and what `AncestryTree` tells."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

REQUEST = "request"
"""The name of the outermost level, and the first word of each path."""

SEPARATOR = " / "
"""Stands between the steps of a path."""

Key = Hashable
"""Names a task or request; no `Item`."""


# Names -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """Names a partial output: who gave it, the state's key, its index (None: not a list)."""

    task: Key
    key: str
    index: int | None = None


@dataclass(frozen=True, slots=True)
class LevelOf:
    """Names a level: all items that a task gives under a key."""

    task: Key
    key: str


Ref = Key | Item
"""Names a task, a request or an item."""


ANY = -1
"""In place of an index: any, or all, of a list."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path: an item (`plan.sections[3]`), or a graph that runs (`section`)."""

    node: str
    turn: int = 1
    key: str | None = None
    index: int | None = None

    def __str__(self) -> str:
        node = self.node if self.turn == 1 else f"{self.node}#{self.turn}"
        if self.key is None:
            return node
        if self.index is None:
            return f"{node}.{self.key}"
        return f"{node}.{self.key}[{'' if self.index == ANY else self.index}]"

    @property
    def label(self) -> str:
        """The step without its numbers: `plan.sections[]`."""
        return str(Step(self.node, 1, self.key, None if self.index is None else ANY))


Path = tuple[Step, ...]
"""Outermost first. What every path begins with, the request, is left out."""


def path_text(path: Sequence[Step], most: int | None = None) -> str:
    """A path for people and traces. The tuple is what tells paths apart.

    Args:
        path: The steps.
        most: How many of them are shown: the innermost ones, behind an ellipsis.

    >>> path_text((Step("plan", key="sections", index=3), Step("search", 2, "queries", 1)))
    'request / plan.sections[3] / search#2.queries[1]'
    """
    shown = [str(step) for step in path]
    if most is not None and len(shown) > most:
        shown = ["\u2026", *shown[len(shown) - most :]]
    return SEPARATOR.join([REQUEST, *shown])


def path_template(path: Sequence[Step]) -> str:
    """A path without its numbers, as `core.levels` foretells it.

    >>> path_template((Step("plan", key="sections", index=3), Step("search", 2, "queries", 1)))
    'request / plan.sections[] / search.queries[]'
    """
    return SEPARATOR.join([REQUEST, *(step.label for step in path)])


# Facts -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LevelComplete:
    """Nothing runs in the items of a level, and no more of them come.

    Attributes:
        level: Which one.
        name: Its name in `core.levels`: `plan.sections[]`, in a subgraph
            `section:search.queries[]`. (Where it is: `AncestryTree.path_text(level)`.)
        items: How many items it had.
    """

    level: LevelOf
    name: str
    items: int


@dataclass(frozen=True, slots=True)
class LevelReopened:
    """A task in a complete level runs again: what relied on the level's end does not hold."""

    level: LevelOf
    name: str


@dataclass(frozen=True, slots=True)
class RequestComplete:
    """A request ended, and nothing that descends from it runs."""

    request: Key


@dataclass(frozen=True, slots=True)
class Retracted:
    """These tasks and items are gone.

    Attributes:
        refs: All of them, deepest first: the order in which they can be cancelled.
        running: The tasks among them that had not ended, in the same order.
    """

    refs: tuple[Ref, ...]
    running: tuple[Key, ...]


Fact = LevelComplete | LevelReopened | RequestComplete | Retracted
