"""What depended on what in an observed run, from what LangGraph committed.

Tasks say what triggered them (`triggers`) or which `Send` made them (`path`); what they wrote is
in `writes`. What a node reads is known from the plan's facts (`graph_spec`). Both executors
commit the same tasks with the same writes, so both are read in the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph.types import Send

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.probe import Observation, SeenBody, SeenLoop, SeenStep
from langgraph_alto.core.attribution import are_made_from, elements_of
from langgraph_alto.core.critical_path import Body, Dependency, Emitted
from langgraph_alto.core.fanout import START
from langgraph_alto.core.levels import Levels, levels
from langgraph_alto.core.paths import Path, Step, path_text
from langgraph_alto.core.spec import GraphSpec, NodeSpec, Stream

SEPARATOR = ":"
"""Between a subgraph node's name and those of the nodes in it, as in a plan."""

_HANDLER = "node_error_handler"
_GUESSED = ("signature", "unknown")


@dataclass(slots=True)
class _Facts:
    """What is known of one graph."""

    spec: GraphSpec
    levels: Levels


@dataclass(slots=True)
class _Committed:
    """A task of a step, with its body (none: a cache or a checkpoint had its writes)."""

    task: Any
    index: int | None
    path: Path
    writes: Sequence[tuple[str, Any]]
    turn: int = 1
    seen: SeenBody | None = None
    sent: list[tuple[str, Any]] = field(default_factory=list)
    items: dict[int, tuple[float | None, Step]] = field(default_factory=dict)


class Provenance:
    """Reads observed runs of one graph.

    Args:
        spec: What is known of it.
    """

    def __init__(self, spec: GraphSpec) -> None:
        self._spec = spec
        self._facts: dict[tuple[str, ...], _Facts | None] = {}

    def facts(self, place: tuple[str, ...]) -> _Facts | None:
        """What is known of the graph behind these subgraph nodes."""
        if place not in self._facts:
            spec: GraphSpec | None = self._spec
            for name in place:
                node = None if spec is None else spec.nodes.get(name)
                spec = None if node is None else node.subgraph
            self._facts[place] = None if spec is None else _Facts(spec, levels(spec))
        return self._facts[place]

    def bodies(self, seen: Observation, zero: float) -> list[Body]:
        """The bodies that became tasks of a run that began at `zero`, with their dependencies."""
        found: list[Body] = []
        index_of: dict[SeenBody, int] = {}
        for loop in seen.loops:
            reader = _LoopReader(self, seen, loop, zero=zero, found=found, index_of=index_of)
            for step in loop.steps:
                reader.read(step)
        return found


class _LoopReader:
    """Reads the steps of one graph's run in their order."""

    def __init__(
        self,
        provenance: Provenance,
        seen: Observation,
        loop: SeenLoop,
        *,
        zero: float,
        found: list[Body],
        index_of: dict[SeenBody, int],
    ) -> None:
        self._seen = seen
        self._zero = zero
        self._found = found
        self._index_of = index_of
        self._inside = None if loop.inside is None else index_of.get(loop.inside)
        # `name:task id` for a subgraph, or `name:task id|…`: only what is before the id counts.
        self._place = tuple(part.rpartition(names.NS_END)[0] or part for part in loop.namespace)
        self._facts = provenance.facts(self._place)
        self._home: Path = self._home_path()
        self._writers: dict[str, list[int]] = {}
        self._fresh: dict[str, list[int]] = {}
        self._sends: list[tuple[_Committed, int]] = []
        self._last: list[int] = []
        self._turns: Counter[tuple[Path, str]] = Counter()

    def _home_path(self) -> Path:
        if self._inside is None:
            return ()
        return (*_steps(self._found[self._inside]), Step(self._place[-1]))

    # One step ------------------------------------------------------------------------------

    def read(self, step: SeenStep) -> None:
        """Add the bodies of a step; what they wrote is what later ones depend on."""
        tasks = [self._commit(task, step) for task in step.tasks.values() if _is_own(task)]
        tasks.sort(key=lambda c: names.writes_sort_key(names.task_path_str(c.task.path)))
        self._consume(tasks)
        self._fresh = {}
        self._sends = []
        for committed in tasks:
            self._written(committed)
        self._last = [c.index for c in tasks if c.index is not None] or self._last

    def _commit(self, task: Any, step: SeenStep) -> _Committed:
        sender, place = self._sender(task)
        path, item = self._home, None
        if sender is not None:
            item, own = self._item(sender, place)
            path = (*sender.path, own)
        self._turns[path, task.name] += 1
        body = self._seen.adopted.get(task.id) or self._seen.real.get(task.id)
        made = _Committed(task, None, path, tuple(task.writes), self._turns[path, task.name], body)
        if body is None or body.began is None:
            return made
        ended = body.ended if body.ended is not None else self._seen.clock()
        made.index = len(self._found)
        self._index_of[body] = made.index
        self._found.append(
            _NamedBody(
                id=task.id,
                node=SEPARATOR.join((*self._place, task.name)),
                step=step.step,
                began=body.began - self._zero,
                ended=ended - self._zero,
                depends=self._depends(task, sender, item),
                inside=self._inside,
                step_began=step.began - self._zero,
                ahead=body.is_ahead,
                path=path_text(path, 12),
                namespace=self._place,
                failed=body.failed,
                emitted=emitted_by(body, self._zero),
                steps=path,
            )
        )
        return made

    def _sender(self, task: Any) -> tuple[_Committed | None, int]:
        """Who wrote the `Send` that made a task, and which one of its `Send`s that was."""
        path = task.path
        is_sent = path[0] == names.PUSH and len(path) == 3 and isinstance(path[1], int)
        return self._sends[path[1]] if is_sent and path[1] < len(self._sends) else (None, 0)

    # Dependencies --------------------------------------------------------------------------

    def _depends(
        self, task: Any, sender: _Committed | None, item: float | None
    ) -> tuple[Dependency, ...]:
        spec = self._node(task.name)
        if sender is not None:
            found = [] if sender.index is None else [Dependency(sender.index, "send", item)]
            return (*found, *self._routed(sender, spec))
        if _HANDLER in task.path or spec is None:
            return tuple(Dependency(i, "order") for i in self._last)
        if spec.defer:
            home = range(len(self._found))
            return tuple(Dependency(i, "order") for i in home if self._is_sibling(i))
        found = []
        for trigger in task.triggers:
            via = self._kind(trigger)
            found += [Dependency(i, via) for i in self._triggering(trigger)]
        triggered = {d.on for d in found}
        guess = spec.reads_how in _GUESSED
        for channel in sorted(spec.reads):
            for i in self._writers.get(channel, ()):
                if i not in triggered:
                    found.append(Dependency(i, "data", guessed=guess))
        return tuple({(d.on, d.via == "data"): d for d in found}.values())

    def _triggering(self, trigger: str) -> Sequence[int]:
        """The bodies without which a channel would not have triggered a task.

        Any one of those that lead over an edge is enough: the first one. What a task reads of the
        others counts by itself.
        """
        writers = self._writers.get(trigger, [])
        if self._kind(trigger) == "edge" and writers:
            return [min(writers, key=lambda i: self._found[i].ended)]
        return writers

    def _routed(self, sender: _Committed, target: NodeSpec | None) -> tuple[Dependency, ...]:
        """What the router read that wrote a `Send`, besides what its own node gave."""
        spec = self._node(sender.task.name)
        if spec is None or sender.index is None or target is None:
            return ()
        read = frozenset[str]().union(
            *(r.reads or frozenset() for r in spec.routers if r.sends and _leads(r, target.name))
        )
        own = {channel for channel, _ in sender.writes}
        return tuple(
            Dependency(i, "data")
            for channel in sorted(read - own)
            for i in self._writers.get(channel, ())
            if i != sender.index
        )

    def _is_sibling(self, index: int) -> bool:
        return self._found[index].inside == self._inside

    def _node(self, name: str) -> NodeSpec | None:
        return None if self._facts is None else self._facts.spec.nodes.get(name)

    def _kind(self, channel: str) -> str:
        if self._facts is not None and channel in self._facts.spec.channels:
            kind = self._facts.spec.channels[channel].kind
            return {"trigger": "edge", "barrier": "join"}.get(kind, "channel")
        return "channel"

    # What was written ----------------------------------------------------------------------

    def _consume(self, tasks: Sequence[_Committed]) -> None:
        """A join is over once its node has run; an edge leads to the next step only."""
        consumed = {channel for c in tasks for channel in c.task.triggers}
        for channel in list(self._writers):
            kind = self._kind(channel)
            if kind == "edge" or (kind == "join" and channel in consumed):
                del self._writers[channel]

    def _written(self, committed: _Committed) -> None:
        if committed.task.name == START and committed.index is not None:
            committed.index = None  # it hands the input on; nothing depends on its time
        sent = 0
        for channel, value in committed.writes:
            if channel == names.TASKS:
                if isinstance(value, Send):
                    committed.sent.append((value.node, value.arg))
                    self._sends.append((committed, sent))
                    sent += 1
            elif committed.index is not None:
                self._wrote(channel, committed.index)

    def _wrote(self, channel: str, index: int) -> None:
        spec = None if self._facts is None else self._facts.spec.channels.get(channel)
        adds = spec is not None and spec.kind in ("reducer", "barrier")
        writers = self._writers.setdefault(channel, [])
        if not adds and channel not in self._fresh:
            writers.clear()  # the last value counts, or those of one step
        self._fresh.setdefault(channel, []).append(index)
        if index not in writers:
            writers.append(index)

    # Items ---------------------------------------------------------------------------------

    def _item(self, sender: _Committed, place: int) -> tuple[float | None, Step]:
        """When the element was there from which a `Send` was made, and its place in the path."""
        if not sender.items:
            self._find_items(sender)
        return sender.items[place]

    def _find_items(self, sender: _Committed) -> None:
        by_label: dict[tuple[str, bool], list[int]] = {}
        for place, (node, _) in enumerate(sender.sent):
            level = None
            if self._facts is not None:
                level = self._facts.levels.opened_by(sender.task.name, node)
            if level is None or level.key is None:
                label = node, False
            else:
                label = level.key, level.is_key_known
            by_label.setdefault(label, []).append(place)
        lists = {c: v for c, v in sender.writes if isinstance(v, list)}
        for (key, is_key), places in by_label.items():
            targets = [sender.sent[place][0] for place in places]
            arguments = [sender.sent[place][1] for place in places]
            elements: Sequence[Any] = lists.get(key, ()) if is_key else ()
            times = self._times(sender, key, targets, arguments, elements)
            indices = elements_of(targets, arguments, elements)
            for place, index in zip(places, indices, strict=True):
                step = Step(sender.task.name, sender.turn, key, index)
                sender.items[place] = (times[index] if index < len(times) else None), step

    def _times(
        self,
        sender: _Committed,
        key: str,
        targets: Sequence[str],
        arguments: Sequence[Any],
        elements: Sequence[Any],
    ) -> list[float]:
        """When each element was yielded, after the body's begin; empty: they came at its end."""
        body, spec = sender.seen, self._node(sender.task.name)
        if body is None or body.began is None or not body.items or spec is None:
            return []
        asked = [r for r in spec.routers if r.sends]
        is_asked = bool(asked) and all(r.waits is None for r in asked)
        if spec.stream is not Stream.ADDABLE or not is_asked:
            return []
        if not are_made_from(targets, arguments, elements):
            return []
        times: list[float] = []
        for moment, name, count in body.items:
            if name == key and count is not None:
                times += [moment - body.began] * (count - len(times))
        return times


def emitted_by(body: SeenBody, zero: float) -> tuple[Emitted, ...]:
    """The partial outputs of a body, in seconds since `zero`: of lists each element by itself."""
    found: list[Emitted] = []
    counts: Counter[str] = Counter()
    for moment, key, count in body.items or ():
        if body.ended is not None and moment > body.ended:
            break  # it was thrown away by then
        if count is None:
            found.append(Emitted(moment - zero, key, None))
            continue
        found += (Emitted(moment - zero, key, index) for index in range(counts[key], count))
        counts[key] = count
    return tuple(found)


class _NamedBody(Body):
    """A body with its path as steps."""

    __slots__ = ("steps",)

    def __init__(self, *, steps: Path, **rest: Any) -> None:
        super().__init__(**rest)
        self.steps = steps


def _steps(body: Body) -> Path:
    return body.steps if isinstance(body, _NamedBody) else ()


def _is_own(task: Any) -> bool:
    """Whether a task is one of the step itself, and not a call inside a body."""
    path = task.path
    return not (path[0] == names.PUSH and len(path) > 3 and _HANDLER not in path)


def _leads(router: Any, node: str) -> bool:
    return router.ends is None or node in router.ends
