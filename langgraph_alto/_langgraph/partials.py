"""Adds partial outputs with their ancestry to the `custom` stream: `Options(partials=True)`.

Three kinds of chunks come beside those that the nodes write themselves, as if the node had
written them: where `stream_mode` has "custom", and for subgraphs with `subgraphs=True`.

    {"type": "alto.partial", "path": "request / plan.sections[3]", "node": "plan",
     "key": "sections", "index": 3, "value": ..., "settled": True}
        A generator node yielded this. Of an addable chunk (`Partial`, `AddableDict`) each
        element of a list comes by itself. Another value has `index` None and comes as it was
        yielded: pieces of one path add up, as LangChain adds chunks. With `settled` False it is
        a draft (the node yielded a plain dict), which the next one of its path replaces.

    {"type": "alto.retracted", "path": ...}
        What came under this path does not hold: its node failed, is tried again, is run again,
        or (with `emit="eager"`) ran ahead for nothing.

    {"type": "alto.complete", "path": "request / plan.sections[]", "node": "plan",
     "key": "sections", "items": 4}
        The node gives no more of these, and all tasks that descend from them are committed.

Paths are those of `core.ancestry`. `lineage` knows what descends from what; here it is written.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import PregelExecutableTask

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.lineage import Lineage
from langgraph_alto._langgraph.members import Complete, Gone, Seat, StepTask
from langgraph_alto._langgraph.reader import Cache
from langgraph_alto._langgraph.recorder import CUSTOM
from langgraph_alto._langgraph.taps import Attempts, Tap
from langgraph_alto.core.ancestry import IllegalEvent
from langgraph_alto.core.events import End, SendSpec
from langgraph_alto.core.levels import Levels, levels
from langgraph_alto.core.spec import GraphSpec

if TYPE_CHECKING:
    from langgraph_alto._langgraph.ahead import AheadTask
    from langgraph_alto._langgraph.run import Run

SEAT = "__alto_seat"
"""Where a task's config has its seat, for the runs of graphs inside the task."""

PARTIAL = "alto.partial"
RETRACTED = "alto.retracted"
COMPLETE = "alto.complete"

_HANDLER = "node_error_handler"
"""Stands in the path of the task of an error handler."""


def partials_of(run: Run, spec: Callable[[], GraphSpec]) -> Partials | None:
    """What adds partial outputs to a run's stream; None if nobody asked for that or listens.

    Args:
        run: The run.
        spec: Tells what is known of its graph.
    """
    if not run.settings.options.partials:
        return None
    conf = run.loop.config[names.CONF]
    seat: Seat | None = conf.get(SEAT)
    own, outer = run.loop.own_stream, conf.get(names.CONFIG_KEY_STREAM)
    if _has_custom(own):  # LangGraph then writes the chunks of this graph here, and only here
        return Partials(run, spec, seat, own, audience=own)
    if _has_custom(outer):
        audience = outer if seat is None else seat.member.lineage.audience
        return Partials(run, spec, seat, outer, audience=audience)
    return None


def _has_custom(stream: Any) -> bool:
    return stream is not None and "custom" in stream.modes


class Partials:
    """Writes the partial outputs of one run of a graph, and tells its `Lineage` what happens.

    Args:
        run: The run.
        spec: Tells what is known of its graph.
        seat: The task that runs the graph, if one does.
        sink: Where chunks that no body writes go.
        audience: Who is shown the chunks of this run: an identity.
    """

    def __init__(
        self,
        run: Run,
        spec: Callable[[], GraphSpec],
        seat: Seat | None,
        sink: Callable[[Any], None],
        audience: object,
    ) -> None:
        self.namespace = tuple(run.loop.checkpoint_ns)
        self.lineage = Lineage(seat, self._label_of, self._place_of, self.namespace, audience)
        self._run = run
        self._spec = spec
        self._sink = sink
        self._levels: Levels | None = None
        self._names: dict[tuple[str, str], tuple[str, bool]] = {}

    # What the run tells --------------------------------------------------------------------

    def step_began(self, adopted: Mapping[str, AheadTask]) -> None:
        """LangGraph prepared the tasks of a step; some of them adopted a body."""
        tasks: dict[str, PregelExecutableTask] = self._run.loop.tasks
        with self._guarded():
            seats, complete = self.lineage.step_began(
                [
                    StepTask(
                        key,
                        task.name,
                        send=_index_of_send(task),
                        ahead=adopted[key].key if key in adopted else None,
                    )
                    for key, task in tasks.items()
                ]
            )
            for key, seat in seats.items():
                tasks[key].config[names.CONF][SEAT] = seat
            self._tell_complete(complete)

    def gave_sends(self, key: str | int, sends: Sequence[SendSpec]) -> None:
        """A task wrote, or would write if it ended now, these `Send`s."""
        if sends:
            with self._guarded():
                self._joined(key)
                self.lineage.gave(key, sends)

    def task_ended(
        self, key: str, end: End, sends: Sequence[SendSpec], writes: Sequence[tuple[str, Any]]
    ) -> None:
        """LangGraph commits a task, or what it failed with."""
        with self._guarded():
            self._joined(key)
            gone: list[Gone] = []
            if end is End.FINISHED:
                lists = {channel: value for channel, value in writes if isinstance(value, list)}
                self._tell_complete(self.lineage.task_ended(key, sends, lists))
            elif end is End.INTERRUPTED:
                gone = self.lineage.interrupted(key)
            else:
                gone = self.lineage.failed(key)
            for chunk, namespace in self._retractions(gone):
                self._put(chunk, namespace)

    def _joined(self, key: str | int) -> None:
        """An error handler may have ended that runs in place of a task that failed."""
        task = self._run.loop.tasks.get(key)
        if task is not None and _HANDLER in task.path:
            failed = [t.id for t in self._run.loop.tasks.values() if _is_handled_by(t, task)]
            self.lineage.joined(task.id, task.name, failed[0] if failed else None)

    def step_over(self) -> None:
        """All tasks of the step have ended; LangGraph is about to commit it."""
        with self._guarded():
            tasks = sorted(
                self._run.loop.tasks.values(),
                key=lambda t: names.writes_sort_key(names.task_path_str(t.path)),
            )
            sends = [(t.id, sum(channel == names.TASKS for channel, _ in t.writes)) for t in tasks]
            self._tell_complete(self.lineage.step_over(sends))

    def began_ahead(self, ahead: AheadTask, parent: str | int | None, place: int) -> None:
        """A body starts ahead. `parent`: the task that wrote its `Send`; None: an edge led here."""
        with self._guarded():
            seat = self.lineage.began_ahead(ahead.key, ahead.node, parent, place)
            if seat is not None:
                ahead.task.config[names.CONF][SEAT] = seat

    def discarded(self, ahead: AheadTask) -> None:
        """A body that ran ahead is thrown away. To be called before its outbox is cut."""
        with self._guarded():
            gone, complete = self.lineage.discarded(ahead.key)
            if self._run.eager:  # else nobody has seen any of it
                unseen = set(_unseen(ahead))
                for chunk, namespace in self._retractions(gone):
                    if chunk["path"] not in unseen:
                        self._put(chunk, namespace)
            self._tell_complete(complete)

    def closed(self) -> None:
        """The run of the graph is over."""
        with self._guarded():
            self.lineage.closed()

    # What bodies give ----------------------------------------------------------------------

    def tap(self, task: PregelExecutableTask) -> Tap | None:
        """Shows what the task's body yields."""
        seat = task.config[names.CONF].get(SEAT)
        return None if seat is None else Tap(self, task, seat, self._run.loop.channels)

    def write(
        self, task: PregelExecutableTask, chunk: Any, namespace: tuple[str, ...] | None = None
    ) -> None:
        """Write a chunk as the task's body would, or one of a graph inside it."""
        config: RunnableConfig = task.config
        if namespace is not None and namespace != self.namespace:
            inside = names.NS_SEP.join((*namespace, "_"))
            config = {"configurable": {names.CONFIG_KEY_CHECKPOINT_NS: inside}}
        writer = task.config[names.CONF][names.CONFIG_KEY_RUNTIME].stream_writer
        with names.set_config_context(config) as context:
            context.run(writer, chunk)

    def restarted(self, task: PregelExecutableTask, seat: Seat) -> None:
        """A body begins again, or what it yielded does not count any more."""
        with self._guarded():
            for chunk, namespace in self._retractions(self.lineage.restarted(seat)):
                self.write(task, chunk, namespace)

    def gave_element(self, task: PregelExecutableTask, seat: Seat, key: str, value: Any) -> None:
        """An element of a list."""
        with self._guarded():
            found = self.lineage.gave_element(seat, key, value)
            if found is not None:
                path, index = found
                self._write_partial(task, path, {"key": key, "index": index, "value": value})

    def gave_value(self, task: PregelExecutableTask, seat: Seat, key: str, value: Any) -> None:
        """A value that is no list, or a piece of one."""
        with self._guarded():
            path = self.lineage.gave_value(seat, key)
            if path is not None:
                self._write_partial(task, path, {"key": key, "index": None, "value": value})

    def gave_draft(self, task: PregelExecutableTask, seat: Seat, key: str, value: Any) -> None:
        """A value that the next one may replace."""
        with self._guarded():
            path = self.lineage.gave_draft(seat, key)
            if path is not None:
                what = {"key": key, "index": None, "value": value}
                self._write_partial(task, path, what, settled=False)

    def _write_partial(
        self, task: PregelExecutableTask, path: str, what: dict[str, Any], settled: bool = True
    ) -> None:
        chunk = {"type": PARTIAL, "path": path, "node": task.name, **what, "settled": settled}
        self.write(task, chunk)

    def dropped(self, task: PregelExecutableTask, seat: Seat, keys: Iterable[str]) -> None:
        """A draft was replaced by one without these keys."""
        with self._guarded():
            for chunk, namespace in self._retractions(self.lineage.dropped(seat, keys)):
                self.write(task, chunk, namespace)

    def count_attempts(self, task: PregelExecutableTask) -> None:
        """A second attempt makes void what a graph gave that the body ran in the first one."""
        seat = task.config[names.CONF].get(SEAT)
        if seat is not None and (task.retry_policy or self._run.loop.retry_policy):
            object.__setattr__(task, "proc", Attempts(self, task, seat))

    # Writing -------------------------------------------------------------------------------

    def _tell_complete(self, complete: Sequence[Complete]) -> None:
        for level in complete:
            chunk = {"type": COMPLETE, "path": level.path, "node": level.node}
            self._put({**chunk, "key": level.key, "items": level.items}, self.namespace)

    def _retractions(self, gone: Sequence[Gone]) -> list[tuple[dict[str, Any], tuple[str, ...]]]:
        return [
            ({"type": RETRACTED, "path": one.path}, one.lineage.namespace)
            for one in gone
            if one.lineage.audience is self.lineage.audience
        ]

    def _put(self, chunk: Any, namespace: tuple[str, ...]) -> None:
        self._run.on_loop(self._sink, (namespace, "custom", chunk))

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """A mistake in the lineage costs the partial outputs, never the run."""
        try:
            yield
        except IllegalEvent as error:
            self.lineage.family.end()
            warnings.warn(f"No more partial outputs in this run: {error}", stacklevel=2)

    # Names ---------------------------------------------------------------------------------

    def _label_of(self, node: str, target: str) -> tuple[str, bool] | None:
        if target not in self._run.loop.nodes:
            return None
        known = self._names.get((node, target))
        if known is None:
            if self._levels is None:
                self._levels = levels_of(self._run.loop.nodes, self._spec())
            level = self._levels.opened_by(node, target)
            known = (target, False)
            if level is not None and level.key is not None:
                known = (level.key, level.is_key_known)
            self._names[node, target] = known
        return known

    def _place_of(self, ahead: int) -> int | None:
        scheduler = self._run.scheduler
        found = None if scheduler is None else scheduler.aheads.get(ahead)
        return None if found is None else found.position


def _index_of_send(task: PregelExecutableTask) -> int | None:
    """A task's index among all `Send`s of its step; None if an edge or a call made it."""
    index = task.path[1] if task.path[0] == names.PUSH and len(task.path) == 3 else None
    return index if isinstance(index, int) else None


def _is_handled_by(task: PregelExecutableTask, handler: PregelExecutableTask) -> bool:
    """Whether a task failed and the other one runs in its place."""
    is_other = task is not handler and _HANDLER not in task.path
    failed = any(channel == names.ERROR_SOURCE_NODE for channel, _ in task.writes)
    return is_other and failed and task.path[:3] == handler.path[: len(task.path[:3])]


def _unseen(ahead: AheadTask) -> Iterator[str]:
    """The paths of partial outputs that still wait in an outbox."""
    for emission in ahead.outbox.emissions:
        chunk = emission.args[0] if emission.kind == CUSTOM else None
        if isinstance(chunk, dict) and chunk.get("type") == PARTIAL:
            yield chunk["path"]


_known_levels: Cache[Levels] = Cache()


def levels_of(nodes: Mapping[str, Any], spec: GraphSpec) -> Levels:
    """The levels of a graph, inferred once."""
    known = _known_levels.get(nodes)
    for of_spec, found in known:
        if of_spec is spec:
            return found
    known[:] = [(spec, levels(spec))]
    return known[0][1]
