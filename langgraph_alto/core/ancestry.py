"""Nested ancestry while a run goes on: paths, complete levels, what a retraction cancels.

Rules
-----
1. A *task* may give *items* (partial outputs: elements of a state key) while it runs. A task
   that was started for an item, by a `Send`, lives in it. All items that one task gives under
   one key are a *level*.
2. A task that was started by another one without an item, by an edge, lives where that one
   lives. In LangGraph an edge that leaves a fan-out starts one task for all of its items: that
   task lives where its aggregator does (`core.levels`), so it is begun from there: from the
   request, or from the task whose graph it belongs to (`inside`). See `group_of`.
3. A task may run a graph: then the tasks of that graph live *inside* it.
4. A path names what a task or item lives in: `request / plan.sections[3] / search.queries[1]`;
   a graph that a task runs stands as the node's name. A node's second task in the same place is
   `plan#2`. So no two living items have the same path, and a path never changes.
5. A level is complete when its task gives no more items (it ended, or closed the level) and
   nothing that lives in the items runs. Whoever ends a task first says what follows from it.
   That a level is complete is said once, by the event that made it so; after that nothing
   begins in it, unless a task of it is restarted, which is said too.
6. A retraction removes a task or item and everything that descends from it, and nothing else.
   A task that needs several others descends from one of them, or from what they live in.
7. What is forgotten is over and can't be retracted any more. What follows from it stays.

An event that breaks a rule changes nothing and raises `IllegalEvent` with the story of the task
or item. Keys are anything hashable: a run-ahead task's number, later (`renamed`) its real id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NoReturn

from langgraph_alto.core.lineage import (
    Found,
    ItemPart,
    LevelPart,
    Origin,
    Part,
    RequestPart,
    TaskPart,
    Turns,
    busier,
    close,
    descendants,
    emitter_of,
    hand_up,
    inhabitants,
    item_of,
    name_of,
    place_of,
    prefix_in,
    quieter,
    ref_of,
    retraction_of,
    root_of,
    steps_upwards,
    unhook,
    upwards,
    why_closed,
)
from langgraph_alto.core.paths import (
    Fact,
    Item,
    Key,
    LevelOf,
    Path,
    Ref,
    Step,
    path_text,
)
from langgraph_alto.errors import AltoError

_MOST_STORIES = 256
"""Of how many removed keys the story is kept, for the message of an `IllegalEvent`."""


class IllegalEvent(AltoError, RuntimeError):
    """A bug in whoever feeds an `AncestryTree`. Please report it with this message."""


class AncestryTree:
    """Where every task and item of a run descends from. Not thread-safe: the driver locks.

    Each event returns the facts that it brought about.

    Example:
        >>> tree = AncestryTree()
        >>> tree.request_began("r1")
        []
        >>> tree.task_began("p", "plan", "r1") + tree.emitted("p", "sections", 0)
        []
        >>> tree.task_began(7, "work", Item("p", "sections", 0)) + tree.task_ended("p")
        []
        >>> tree.path_text(7)
        'request / plan.sections[0]'
        >>> tree.task_ended(7)
        [LevelComplete(level=LevelOf(task='p', key='sections'), name='plan.sections[]', items=1)]
    """

    def __init__(self) -> None:
        self._named: dict[Key, RequestPart | TaskPart] = {}
        self._stories: dict[Ref, str] = {}
        self._size = 0

    # Events --------------------------------------------------------------------------------

    def request_began(self, key: Key) -> list[Fact]:
        """A request began.

        Raises:
            IllegalEvent: The key is in use. (All events raise it for keys that are unknown,
                or should be; each says for what else.)
        """
        self._must_be_new(key, "begin")
        self._named[key] = RequestPart(None, 1, ["began"], key=key)
        self._size += 1
        return []

    def request_ended(self, key: Key) -> list[Fact]:
        """A request takes no more tasks.

        Raises:
            IllegalEvent: It ended before.
        """
        request = self._find(key, "end")
        if not isinstance(request, RequestPart) or not request.open:
            self._refuse(request, "end", "it ended before, or is no request")
        facts: list[Fact] = []
        request.open = False
        request.history.append("ended")
        quieter(request, facts)
        return facts

    def task_began(
        self,
        key: Key,
        node: str,
        parent: Ref,
        *,
        index: int | None = None,
        of: str | None = None,
        inside: bool = False,
    ) -> list[Fact]:
        """A task began, or is known to begin.

        Args:
            key: Its key.
            node: Its node's name.
            parent: The item that it was started for; or the task that it follows, or the
                request.
            index: With a task as parent: the task was started for its item of this index, which
                counts as given if it was not.
            of: The state's key of that item; without it the node's name stands for it.
            inside: The parent is a task that runs a graph, and this is a task of that graph.

        Raises:
            IllegalEvent: The key is in use, or nothing can begin there any more.
        """
        self._must_be_new(key, "begin")
        origin: Found = self._find(parent, "begin a task")
        event = f"begin {node!r}"
        if (inside or index is not None) and not isinstance(origin, TaskPart):
            self._refuse(origin, event, "it is no task")
        if index is not None:
            label = of or node
            known = item_of(origin, label, index)
            origin = known or self._emit(origin, label, index, settled=True)
        home = origin.up if isinstance(origin, TaskPart) and not inside else origin
        assert isinstance(home, Origin)
        if why := why_closed(home):
            self._refuse(origin, event, why)
        turn = home.turns.setdefault(node, Turns()).take()
        task = TaskPart(home, 1, ["began"], names=[key], node=node, parent=origin, turn=turn)
        task.prefix = prefix_in(home)
        origin.begun[task] = None
        self._named[key] = task
        self._size += 1
        busier(home, [])  # nothing reopens: what is complete takes no tasks
        return []

    def emitted(
        self, task: Key, key: str, index: int | None = None, *, settled: bool = True
    ) -> list[Fact]:
        """A running task gave an item: an element of a list, or (`index` None) a value.

        Args:
            task: Who gave it.
            key: The state's key.
            index: Which element of that key it is.
            settled: It can't change any more. Otherwise `settled` says so later, or the end of
                its level.

        Raises:
            IllegalEvent: The task ended, the level is closed, or the item is there already.
        """
        emitter = self._find(task, "emit")
        if item_of(emitter, key, index) is not None:
            self._refuse(emitter, f"emit {key!r} {index}", "it did before")
        self._emit(emitter, key, index, settled)
        return []

    def settled(self, item: Item) -> list[Fact]:
        """An item can't change any more.

        Raises:
            IllegalEvent: It is settled already.
        """
        part = self._find(item, "settle")
        if not isinstance(part, ItemPart) or part.settled:
            self._refuse(part, "settle", "it is settled, or no item")
        part.settled = True
        part.history.append("settled")
        return []

    def level_closed(self, task: Key, key: str) -> list[Fact]:
        """A running task gives no more items under this key; it may have given none.

        Raises:
            IllegalEvent: The level is closed, or the task ended.
        """
        emitter = self._find(task, "close a level")
        facts: list[Fact] = []
        close(self._open_level(emitter, key, f"close {key!r}", listed=None), facts)
        return facts

    def task_ended(self, key: Key) -> list[Fact]:
        """A task ended, and with it the levels that it opened.

        What begins because of it is told before. If it failed, so that its items are void,
        `restarted` comes before.

        Raises:
            IllegalEvent: It ended before.
        """
        task = self._find(key, "end")
        if not isinstance(task, TaskPart) or not task.running:
            self._refuse(task, "end", "it ended before, or is no task")
        facts: list[Fact] = []
        task.running = False
        task.history.append("ended")
        for level in task.levels.values():
            if level.open:
                close(level, facts)
        quieter(task, facts)
        return facts

    def restarted(self, key: Key) -> list[Fact]:
        """What a task did is void: it runs as if it had just begun.

        That is a failed attempt that is retried, or a result that could not be adopted. The
        task's items and everything that descends from it are retracted; levels around it that
        were complete are so no more.

        Raises:
            IllegalEvent: Its request is complete.
        """
        task = self._find(key, "restart")
        if not isinstance(task, TaskPart):
            self._refuse(task, "restart", "it is no task")
        if not root_of(task).busy:
            self._refuse(task, "restart", "its request is complete")
        facts: list[Fact] = []
        if not task.busy:
            busier(task.up, facts)
        task.running, task.busy = True, 1
        task.history.append("restarted")
        if doomed := descendants(task):
            facts.append(retraction_of(doomed))
        self._remove(doomed, "retracted", facts, spared=[task, *task.levels.values()])
        task.levels, task.begun, task.turns = {}, {}, {}
        return facts

    def retracted(self, ref: Ref) -> list[Fact]:
        """A task or item does not hold, and nothing that descends from it does.

        Returns:
            What was removed; then the levels that are complete without it.
        """
        part = self._find(ref, "be retracted")
        doomed = [part, *descendants(part)]
        facts: list[Fact] = [retraction_of(doomed)]
        self._remove(doomed, "retracted", facts)
        return facts

    def renamed(self, old: Key, new: Key) -> list[Fact]:
        """A task has a new key: a run-ahead task was adopted. The old one still finds it.

        Raises:
            IllegalEvent: The new key is in use.
        """
        task = self._find(old, "be renamed")
        if not isinstance(task, TaskPart):
            self._refuse(task, "be renamed", "it is no task")
        self._must_be_new(new, "be a new name")
        task.names.append(new)
        task.history.append(f"renamed {new!r}")
        self._named[new] = task
        return []

    def forget(self, ref: Ref | LevelOf) -> int:
        """Drop what is over and can't be retracted any more, so that a long run stays small.

        Args:
            ref: A request that is complete; a level that is complete, while its task runs; a
                task that ended and whose levels are complete. What follows a task stays.

        Returns:
            How many tasks and items were dropped.

        Raises:
            IllegalEvent: Something there still runs.
        """
        if isinstance(ref, LevelOf):
            level = self._level(ref)
            if level.busy:
                self._refuse(emitter_of(level), f"forget {ref.key!r}", "it is not complete")
            doomed = [p for item in level.items.values() for p in (item, *inhabitants(item))]
            level.items = {}
            return self._remove(doomed, "forgotten", [])
        part = self._find(ref, "be forgotten")
        if part.busy or isinstance(part, ItemPart):
            self._refuse(part, "be forgotten", "something there runs, or it is an item")
        if isinstance(part, TaskPart):
            hand_up(part)
        return self._remove([part, *inhabitants(part)], "forgotten", [])

    # Queries -------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many requests, tasks and items are kept."""
        return self._size

    def __contains__(self, ref: Ref) -> bool:
        """Whether a key or item is known: begun, not retracted, not forgotten."""
        if isinstance(ref, Item):
            return item_of(self._named.get(ref.task), ref.key, ref.index) is not None
        return ref in self._named

    def path(self, ref: Ref) -> Path:
        """What a task lives in, or the place of an item, outermost first."""
        return tuple(steps_upwards(self._find(ref)))[::-1]

    def path_text(self, ref: Ref | LevelOf, most: int | None = None) -> str:
        """The same for people and traces: `request / plan.sections[3] / search.queries[1]`.

        Args:
            ref: A task, item or request; or a level: `request / plan.sections[]`.
            most: How many steps are shown. Of a longer path that is the innermost ones, behind
                an ellipsis: where each task sends to the next one paths grow with the run.
        """
        level = self._level(ref) if isinstance(ref, LevelOf) else None
        part = level or self._find(ref)
        steps = list(islice(steps_upwards(part), None if most is None else most + 1))[::-1]
        return path_text(steps, most)

    def name(self, task: Key) -> Step:
        """What a task is called in the paths of what it gives: its node, and its turn there."""
        part = self._find(task)
        if not isinstance(part, TaskPart):
            self._refuse(part, "be asked for its name", "it is no task")
        return Step(part.node, part.turn)

    def is_settled(self, ref: Ref) -> bool:
        """Whether no item that it descends from can change any more, nor itself."""
        return all(part.settled for part in upwards(self._find(ref)) if isinstance(part, ItemPart))

    def is_complete(self, ref: Ref | LevelOf) -> bool:
        """Whether nothing in there runs, and a level or request takes nothing more."""
        part = self._level(ref) if isinstance(ref, LevelOf) else self._find(ref)
        return not part.busy

    def group_of(self, ref: Ref, level: str) -> Ref | None:
        """The ancestor in a level: all that have the same one belong together.

        Args:
            ref: A task or item.
            level: A level's name as in `core.levels`: `plan.sections[]`, the graph that a node
                runs (`section:`), or `request`. What aggregators give is grouped by their
                `Aggregator.at`.

        Returns:
            The innermost such item, task or request; None if it descends from none.
        """
        part = self._find(ref)
        for at in upwards(part):
            is_itself = at is part and isinstance(at, TaskPart)  # it does not live in itself
            if not is_itself and name_of(at) == level:
                return ref_of(at)
        return None

    def members(self, ancestor: Ref, level: str | None = None) -> tuple[Ref, ...]:
        """All tasks and items that live in an item, request or task, outermost first.

        Args:
            ancestor: An item or request; or a task: its items and the graph that it runs.
            level: Only the items of this level and the tasks that live right in it.
        """
        found: Sequence[Found] = inhabitants(self._find(ancestor))
        if level is not None:
            found = [part for part in found if name_of(place_of(part)) == level]
        return tuple(map(ref_of, found))

    def descendants(self, ref: Ref) -> tuple[Ref, ...]:
        """What `retracted` would remove besides the task or item itself, deepest first."""
        return tuple(ref_of(part) for part in reversed(descendants(self._find(ref))))

    # Finding -------------------------------------------------------------------------------

    def _find(self, ref: Ref, event: str = "be asked about") -> Found:
        part: Found | None
        if isinstance(ref, Item):
            part = item_of(self._named.get(ref.task), ref.key, ref.index)
        else:
            part = self._named.get(ref)
        if part is None:
            story = self._stories.get(ref, "it never began, or long ago")
            raise IllegalEvent(
                f"{ref!r} can't {event}: there is no such task, item or request. Its story: "
                f"{story}. This is a bug in langgraph_alto."
            )
        return part

    def _level(self, ref: LevelOf) -> LevelPart:
        task = self._find(ref.task)
        level = task.levels.get(ref.key) if isinstance(task, TaskPart) else None
        if level is None:
            self._refuse(task, f"be asked about {ref.key!r}", "it has no such level")
        return level

    def _must_be_new(self, key: Key, event: str) -> None:
        if key in self._named:
            self._refuse(self._named[key], event, "its key is in use")

    def _refuse(self, part: Found, event: str, why: str) -> NoReturn:
        what = part.node if isinstance(part, TaskPart) else name_of(part)
        raise IllegalEvent(
            f"{ref_of(part)!r} ({what}) can't {event}: {why}. Its story: "
            f"{' -> '.join(part.history)}. This is a bug in langgraph_alto."
        )

    # Adding --------------------------------------------------------------------------------

    def _emit(self, task: Found, key: str, index: int | None, settled: bool) -> ItemPart:
        event = f"emit {key!r} {index}"
        level = self._open_level(task, key, event, listed=index is not None)
        item = ItemPart(level, 0, ["emitted"], index=index, settled=settled)
        level.items[index] = item
        level.count += 1
        self._size += 1
        return item

    def _open_level(self, task: Found, key: str, event: str, listed: bool | None) -> LevelPart:
        """The level, opened if need be. `listed`: whether its items have an index, if known."""
        if not isinstance(task, TaskPart) or not task.running:
            self._refuse(task, event, "it ended, or is no task")
        level = task.levels.get(key)
        if level is None:
            level = task.levels[key] = LevelPart(task, 1, key=key, listed=listed is not False)
            task.busy += 1
        if not level.open:
            self._refuse(task, event, "the level is closed")
        if listed is not None and listed is not level.listed:
            self._refuse(task, event, "it is a list in one place and a value in another")
        return level

    # Removing ------------------------------------------------------------------------------

    def _remove(
        self, doomed: Sequence[Found], how: str, facts: list[Fact], spared: Iterable[Part] = ()
    ) -> int:
        """Take parts out, and out of what is left; but leave what is `spared` as it is."""
        gone: set[Part | None] = {None, *doomed, *spared}
        for part in doomed:
            self._keep_story(part, how)
            if isinstance(part, TaskPart):
                gone.update(part.levels.values())
        for part in doomed:
            if isinstance(part, TaskPart):
                for name in part.names:
                    del self._named[name]
            elif isinstance(part, RequestPart):
                del self._named[part.key]
            unhook(part, gone, how == "retracted")
        self._size -= len(doomed)
        for part in doomed:
            if part.busy and part.up not in gone:
                quieter(part.up, facts)
        return len(doomed)

    def _keep_story(self, part: Found, how: str) -> None:
        story = " -> ".join([*part.history, how])
        for name in part.names if isinstance(part, TaskPart) else [ref_of(part)]:
            self._stories.pop(name, None)
            self._stories[name] = story
        while len(self._stories) > _MOST_STORIES:
            del self._stories[next(iter(self._stories))]
