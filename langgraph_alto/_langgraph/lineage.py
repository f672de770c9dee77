"""What descends from what while a graph runs: its tasks, real and ahead, in an `AncestryTree`.

`core.ancestry` keeps the tree. A `Lineage` tells it what LangGraph's loop and the scheduler do,
for one run of a graph; runs of its subgraphs add to the same tree.

1. A task is in the tree from the moment its `Send` is known for sure: when the task that wrote
   it has ended. A body that runs ahead is there from its start. So no level is complete too early.
2. A task that an edge triggers lives where its graph does: at the request, or in the task that
   runs the graph.
3. Adoption changes nothing but that the task is certain now. A task *ends* in the tree when
   LangGraph commits it, however early its body was over.
4. A discarded body whose `Send` is certain begins anew, another one is retracted.
5. A body speaks for its task through a `Seat`. Who was discarded or replaced has lost it, and is
   not heard any more, even if its thread can't be stopped.
6. What is over is forgotten when the next step begins, so that a loop stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langgraph_alto._langgraph.members import Complete, Family, Gone, Member, Seat, StepTask
from langgraph_alto.core.attribution import are_made_from, elements_of
from langgraph_alto.core.events import SendSpec
from langgraph_alto.core.paths import REQUEST, Fact, Item, LevelComplete, Ref, path_text

MOST_STEPS = 32
"""Of a longer path, where tasks send to each other without end, these last steps are shown."""


Label = Callable[[str, str], tuple[str, bool] | None]
"""The name of the level of the `Send`s from one node to another, and whether it is a state's
key; None if there is no such node, so that LangGraph drops them."""


class Lineage:
    """One run of a graph. Thread-safe; answers are to be acted on without its lock.

    Args:
        home: The task that runs the graph; None: it is the request itself.
        label_of: Names levels.
        place_of: The place among its writer's `Send`s that the scheduler gives a run-ahead body,
            None if it does not know it any more.
        namespace: The graph's checkpoint namespace.
        audience: Who is shown what its tasks give.
    """

    def __init__(
        self,
        home: Seat | None,
        label_of: Label,
        place_of: Callable[[int], int | None],
        namespace: tuple[str, ...] = (),
        audience: object = None,
    ) -> None:
        self.family = Family() if home is None else home.family
        self.namespace = namespace
        self.audience = audience
        self._home = home
        self._label_of = label_of
        self._place_of = place_of
        self._real: dict[str, Member] = {}
        self._ahead: dict[int, Member] = {}
        self._pending: list[Member | None] = []
        self._running: dict[Member, None] = {}
        self._over: list[Member] = []

    # Real tasks ----------------------------------------------------------------------------

    def step_began(self, tasks: Sequence[StepTask]) -> tuple[dict[str, Seat], list[Complete]]:
        """LangGraph prepared the tasks of the next step.

        Returns:
            The seat of each task, by its id; and levels that are complete because a `Send`
            became no task (its node is unknown).
        """
        with self.family.lock:
            if not self._is_heard:
                return {}, []
            self._forget()
            free = dict.fromkeys(member for member in self._pending if member is not None)
            self._real = {}
            for task in sorted(tasks, key=lambda t: t.ahead is None):
                member = self._member_of(task, free)
                free.pop(member, None)
                member.is_certain = True
                if member.seat is None or task.ahead is None:
                    member.seat = Seat(member)
                self._real[task.key] = member
            facts: list[Fact] = []
            for member in free:
                facts += self._retract(member)
            self._pending = []
            seats = {key: m.seat for key, m in self._real.items() if m.seat is not None}
            return seats, self._completes(facts)

    def _member_of(self, task: StepTask, free: Mapping[Member, None]) -> Member:
        if task.ahead is not None:
            known = self._ahead.get(task.ahead)
            if known is not None and self._is_there(known):
                return known
        if task.send is not None and free:
            meant = self._pending[task.send] if task.send < len(self._pending) else None
            if meant is not None and meant in free:
                return meant
            for member in free:  # of equal `Send`s, one was adopted in place of another
                if member.node == task.node:
                    return member
        return self._begin(task.node, None, 0)

    def task_ended(
        self, key: str, sends: Sequence[SendSpec], values: Mapping[str, Sequence[Any]]
    ) -> list[Complete]:
        """LangGraph commits a task. Call `gave` for its `Send`s before any of them starts.

        Args:
            key: Its id.
            sends: The `Send`s that it wrote, in their order.
            values: The lists that it wrote, by the state's key.
        """
        with self.family.lock:
            member = self._find(key)
            if member is None or member not in self._running:
                return []
            member.values = {}
            self._gave(member, sends, values)
            self._order_children(member)
            for place, sent in enumerate(sends):
                if member.places[place] is None:
                    continue
                child = member.children.get(place)
                if child is None or not self._is_there(child):
                    child = self._begin(sent.node, member, place)
                child.is_certain = True
            return self._end(member)

    def _order_children(self, member: Member) -> None:
        """What the end confirmed may stand in another place than partial output had it."""
        found: dict[int, Member] = {}
        for place, child in member.children.items():
            confirmed = None if child.ahead is None else self._place_of(child.ahead)
            found[place if confirmed is None else confirmed] = child
        member.children = found

    def joined(self, key: str, node: str, after: str | None) -> None:
        """A task joined the step while that runs: an error handler, in the place of another."""
        with self.family.lock:
            if self._is_heard and key not in self._real:
                former = None if after is None else self._find(after)
                self._real[key] = self._begin(node, former, None)

    def failed(self, key: str) -> list[Gone]:
        """A task's work is void, and what ran inside it."""
        with self.family.lock:
            member = self._find(key)
            return [] if member is None else self._restart(member)[0]

    def interrupted(self, key: str) -> list[Gone]:
        """A task will be run again from its beginning; what ran inside it may be kept."""
        with self.family.lock:
            member = self._find(key)
            if member is None:
                return []
            own = [i for i in self._given_by(member) if i in self.family.tree]
            gone = self._gone([*own, member])
            for item in own:
                self.family.tree.retracted(item)
            member.given, member.drafts = {}, {}
            return gone

    def step_over(self, sends: Iterable[tuple[str, int]]) -> list[Complete]:
        """All tasks of the step have ended.

        Args:
            sends: In LangGraph's order, the step's tasks and how many `Send`s each wrote.
        """
        with self.family.lock:
            self._pending = []
            if not self._is_heard:
                return []
            facts: list[Complete] = []
            for key, count in sends:
                member = self._real.get(key)
                children = {} if member is None else member.children
                self._pending += [children.get(place) for place in range(count)]
            for member in self._real.values():
                if member in self._running and self._is_there(member):
                    facts += self._end(member)
            return facts

    # Tasks ahead ---------------------------------------------------------------------------

    def gave(self, key: str | int, sends: Sequence[SendSpec]) -> None:
        """What a task would send if it ended now, or does send. `key`: its id or ahead key."""
        with self.family.lock:
            member = self._find(key)
            if member is not None and member in self._running:
                self._gave(member, sends, member.values)

    def began_ahead(self, key: int, node: str, parent: str | int | None, place: int) -> Seat | None:
        """A body starts ahead. `parent`: who wrote its `Send`; None: an edge triggers it."""
        with self.family.lock:
            if not self._is_heard:
                return None
            writer = None if parent is None else self._find(parent)
            member = None if writer is None else writer.children.get(place)
            if member is None or not self._is_there(member):
                member = self._begin(node, writer, place)
            member.ahead = key
            member.seat = Seat(member)
            self._ahead[key] = member
            return member.seat

    def discarded(self, key: int) -> tuple[list[Gone], list[Complete]]:
        """A body that ran ahead is thrown away; what it gave is gone."""
        with self.family.lock:
            member = self._ahead.pop(key, None)
            if member is None or not self._is_heard or not self._is_there(member):
                return [], []
            member.ahead = member.seat = None
            if member.is_certain:
                gone, facts = self._restart(member)
            else:
                gone = self._gone([*self.family.tree.descendants(member), member])
                facts = self._retract(member)
            return gone, self._completes(facts)

    # Partial output ------------------------------------------------------------------------

    def gave_element(self, seat: Seat, key: str, value: Any) -> tuple[str, int] | None:
        """A body gave the next element of a list; returns its path and index."""
        with self.family.lock:
            member = seat.member
            if not self._is_heard or not seat.is_taken:
                return None
            index = member.given.get(key) or 0
            member.given[key] = index + 1
            member.values.setdefault(key, []).append(value)
            return self._give(member, key, index), index

    def gave_value(self, seat: Seat, key: str) -> str | None:
        """A body gave a value, or a piece of one; returns its path."""
        with self.family.lock:
            if not self._is_heard or not seat.is_taken:
                return None
            seat.member.given[key] = None
            return self._give(seat.member, key, None)

    def gave_draft(self, seat: Seat, key: str) -> str | None:
        """A body gave what may yet be replaced; returns the path that it would have."""
        with self.family.lock:
            if not self._is_heard or not seat.is_taken:
                return None
            seat.member.drafts[key] = None
            return self._loose_path(seat.member, key)

    def dropped(self, seat: Seat, keys: Iterable[str]) -> list[Gone]:
        """A body replaced its drafts by one that lacks these keys."""
        with self.family.lock:
            if not self._is_heard or not seat.is_taken:
                return []
            member = seat.member
            lost = [key for key in keys if key in member.drafts]
            for key in lost:
                del member.drafts[key]
            return [Gone(self._loose_path(member, key), self) for key in lost]

    def restarted(self, seat: Seat) -> list[Gone]:
        """A body begins again, or what it gave is void in another way."""
        with self.family.lock:
            if not self._is_heard or not seat.is_taken:
                return []
            return self._restart(seat.member)[0]

    def _give(self, member: Member, key: str, index: int | None) -> str:
        tree, item = self.family.tree, Item(member, key, index)
        listed = index is not None
        if member.levels.setdefault(key, listed) is not listed:
            return self._loose_path(member, key)
        if item not in tree:  # a `Send` that was made from it may have come before
            tree.emitted(member, key, index, settled=listed)
        return tree.path_text(item, MOST_STEPS)

    def _loose_path(self, member: Member, key: str) -> str:
        tree = self.family.tree
        step = replace(tree.name(member), key=key)
        return path_text((*tree.path(member), step), MOST_STEPS)

    # The end -------------------------------------------------------------------------------

    def closed(self) -> None:
        """The run of the graph is over."""
        with self.family.lock:
            if self._is_heard:
                real = set(self._real.values())
                for member in list(self._running):
                    if not self._is_there(member):
                        continue
                    if member in real:
                        self._end(member)
                    else:
                        self._retract(member)
            if self._home is None:
                self.family.end()
            self._real, self._ahead, self._pending = {}, {}, []
            self._running, self._over = {}, []

    # The tree ------------------------------------------------------------------------------

    @property
    def _is_heard(self) -> bool:
        if self.family.is_over:
            return False
        return self._home is None or self._home.is_taken

    def _is_there(self, member: Member) -> bool:
        return member in self.family.tree

    def _find(self, key: str | int) -> Member | None:
        found = self._real.get(key) if isinstance(key, str) else self._ahead.get(key)
        return found if found is not None and self._is_heard and self._is_there(found) else None

    def _begin(self, node: str, writer: Member | None, place: int | None) -> Member:
        """A task: for a `Send` of `writer`, or (`place` None) following it, or by itself."""
        member, tree = Member(node, self), self.family.tree
        if writer is None or writer not in self._running or not self._is_there(writer):
            home = REQUEST if self._home is None else self._home.member
            tree.task_began(member, node, home, inside=self._home is not None)
        elif place is None or (found := writer.place_of(place)) is None:
            tree.task_began(member, node, writer)
        else:
            label, index = found
            tree.task_began(member, node, writer, index=index, of=label)
            writer.levels[label] = True
            writer.children[place] = member
        self._running[member] = None
        return member

    def _end(self, member: Member) -> list[Complete]:
        self._running.pop(member, None)
        self._over.append(member)
        return self._completes(self.family.tree.task_ended(member))

    def _restart(self, member: Member) -> tuple[list[Gone], list[Fact]]:
        tree = self.family.tree
        gone = self._gone([*tree.descendants(member), member])
        facts = tree.restarted(member)
        member.begin_anew()
        return gone, facts

    def _retract(self, member: Member) -> list[Fact]:
        self._running.pop(member, None)
        return self.family.tree.retracted(member) if self._is_there(member) else []

    def _forget(self) -> None:
        """Drop the tasks of the last steps that are over with all that descends from them."""
        tree, left = self.family.tree, []
        for member in self._real.values():
            member.children = {}
            if member.ahead is not None:
                self._ahead.pop(member.ahead, None)
        for member in self._over:
            if self._is_there(member):
                if tree.is_complete(member):
                    tree.forget(member)
                else:
                    left.append(member)
        self._over = left

    def _gave(
        self, member: Member, sends: Sequence[SendSpec], values: Mapping[str, Sequence[Any]]
    ) -> None:
        """Find the place of each `Send`: its level, and the element that it was made from."""
        by_label: dict[tuple[str, bool], list[int]] = {}
        labels = {node: self._label(member, node) for node in {sent.node for sent in sends}}
        for place, sent in enumerate(sends):
            if (label_of_it := labels[sent.node]) is not None:
                by_label.setdefault(label_of_it, []).append(place)
        member.places = [None] * len(sends)
        for (name, is_key), places in by_label.items():
            targets = [sends[place].node for place in places]
            arguments = [sends[place].arg for place in places]
            given = {key: values[key] for key in member.given if key in values}
            label = name if is_key else self._key_of(targets, arguments, given) or name
            indices = elements_of(targets, arguments, values.get(label, ()))
            for place, index in zip(places, indices, strict=True):
                member.places[place] = label, index

    def _key_of(
        self, targets: Sequence[str], arguments: Sequence[Any], lists: Mapping[str, Sequence[Any]]
    ) -> str | None:
        """The list that `Send`s were made from, where the source of the graph does not tell."""
        keys = [key for key, given in lists.items() if are_made_from(targets, arguments, given)]
        return keys[0] if len(keys) == 1 else None

    def _label(self, member: Member, target: str) -> tuple[str, bool] | None:
        """A level's name under which the task gave no value that is not a list."""
        found = self._label_of(member.node, target)
        if found is None or member.levels.get(found[0]) is not False:
            return found
        while member.levels.get(target) is False:
            target += "'"
        return target, False

    def _given_by(self, member: Member) -> list[Item]:
        """What a body gave, as items."""
        found = []
        for key, count in member.given.items():
            found += [Item(member, key, i) for i in ([None] if count is None else range(count))]
        return found

    def _gone(self, refs: Iterable[Ref]) -> list[Gone]:
        """Those among tasks and items that bodies gave, as long as they are in the tree."""
        tree, found = self.family.tree, []
        for ref in refs:
            if isinstance(ref, Item):
                giver: Any = ref.task
                count = giver.given.get(ref.key, 0)
                if count is None or (ref.index is not None and ref.index < count):
                    found.append(Gone(tree.path_text(ref, MOST_STEPS), giver.lineage))
            elif isinstance(ref, Member):
                paths = (ref.lineage._loose_path(ref, key) for key in ref.drafts)
                found += [Gone(path, ref.lineage) for path in paths]
        return found

    def _completes(self, facts: Sequence[Fact]) -> list[Complete]:
        found = []
        for fact in facts:
            if isinstance(fact, LevelComplete):
                giver: Any = fact.level.task
                path = self.family.tree.path_text(fact.level, MOST_STEPS)
                found.append(Complete(path, giver.node, fact.level.key, fact.items))
        return found
