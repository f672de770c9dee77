"""The words of a `Lineage`: who is in it, who may speak for whom, and what it tells."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langgraph_alto.core.ancestry import AncestryTree
from langgraph_alto.core.paths import REQUEST

if TYPE_CHECKING:
    from langgraph_alto._langgraph.lineage import Lineage


class Family:
    """The tree that a run and the runs of its subgraphs share, and the lock that guards it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.tree = AncestryTree()
        self.tree.request_began(REQUEST)
        self.is_over = False

    def end(self) -> None:
        """The run is over: nothing is kept, and whoever still speaks is not heard."""
        self.is_over = True
        self.tree = AncestryTree()


class Member:
    """One task: a real one, one that runs ahead, or one whose `Send` waits for its step.

    Attributes:
        node: Its node.
        lineage: The run of a graph that it belongs to.
        ahead: The key of its run-ahead body, if it has one.
        is_certain: LangGraph has its `Send` or prepared it.
        seat: Who speaks for it.
        places: The level and index of each of its `Send`s, as far as they are known; None for
            one that goes nowhere.
        children: The tasks of these, by their place among them.
        given: What its body gave: how many elements of a list; None for a value.
        values: Those elements, while it runs.
        levels: Whether the items of each of its levels have an index.
        drafts: Keys of which it gave something that is not settled.
    """

    __slots__ = (
        *("ahead", "children", "drafts", "given", "is_certain", "levels", "lineage", "node"),
        *("places", "seat", "values"),
    )

    def __init__(self, node: str, lineage: Lineage) -> None:
        self.node = node
        self.lineage = lineage
        self.ahead: int | None = None
        self.is_certain = False
        self.seat: Seat | None = None
        self.begin_anew()

    def begin_anew(self) -> None:
        """Nothing is known of what it gives."""
        self.places: list[tuple[str, int] | None] = []
        self.children: dict[int, Member] = {}
        self.given: dict[str, int | None] = {}
        self.values: dict[str, list[Any]] = {}
        self.levels: dict[str, bool] = {}
        self.drafts: dict[str, None] = {}

    def place_of(self, place: int) -> tuple[str, int] | None:
        """The level and index of one of its `Send`s."""
        return self.places[place] if place < len(self.places) else None

    def __repr__(self) -> str:
        return f"<task of {self.node!r}>"


@dataclass(frozen=True, slots=True, eq=False)
class Seat:
    """Lets a body, and the runs of graphs inside it, speak for a task."""

    member: Member

    @property
    def family(self) -> Family:
        """The tree that the task is in."""
        return self.member.lineage.family

    @property
    def is_taken(self) -> bool:
        """Whether what is said from here still counts."""
        return self.member.seat is self and self.member in self.family.tree

    def __deepcopy__(self, memo: object) -> Seat:
        return self  # it stands in a config, and configs are copied


@dataclass(frozen=True, slots=True)
class Gone:
    """Something that a task gave does not hold. `lineage`: the run of the task's graph."""

    path: str
    lineage: Lineage


@dataclass(frozen=True, slots=True)
class Complete:
    """A level is complete: all `items` of it, and whatever descends from them, are over."""

    path: str
    node: str
    key: str
    items: int


@dataclass(frozen=True, slots=True)
class StepTask:
    """A task that LangGraph prepared.

    Attributes:
        key: Its id.
        node: Its node.
        send: Its index among all `Send`s of the step before; None: an edge triggers it.
        ahead: The run-ahead body that it adopted.
    """

    key: str
    node: str
    send: int | None = None
    ahead: int | None = None
