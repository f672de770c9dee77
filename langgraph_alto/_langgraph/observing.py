"""Tells an observer what happens in one run of a graph: who produced what for whom.

It looks at what LangGraph's loop has anyway (the tasks of a step, their writes) and at the
scheduler's decisions, so that the same is told of a run on LangGraph's own executor.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec

from langchain_core.runnables.utils import AddableDict
from langgraph.channels import NamedBarrierValue, NamedBarrierValueAfterFinish
from langgraph.errors import GraphInterrupt
from langgraph.types import Command, PregelExecutableTask

from langgraph_alto import observe
from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.observed import Observed, outcome_of
from langgraph_alto.core.paths import REQUEST, SEPARATOR
from langgraph_alto.observe import MOST_LINKS, RunBegan, RunEnded, TaskBegan

if TYPE_CHECKING:
    from langgraph_alto._langgraph.ahead import AheadTask
    from langgraph_alto._langgraph.run import Run, Settings
    from langgraph_alto.core.tasks import Ahead

P = ParamSpec("P")


def guarded(method: Callable[P, None]) -> Callable[P, None]:
    """A mistake in an observer costs its traces, never the run."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except Exception as error:
            observe.warn_failed(error)

    return call


PLACE = "__alto_place"
"""Where a task's config has its place in the ancestry, for the runs of graphs inside it."""

_BARRIERS = (NamedBarrierValue, NamedBarrierValueAfterFinish)


def observing(run: Run, settings: Settings, began_ns: int, off: str | None) -> Observing | None:
    """What tells the observer of a run, if there is one and it wants to know."""
    try:
        observer = observe.observer_for(settings.tracer_provider)
        if observer is None:
            return None
        seen = observer.run_began(began(run.loop, settings, began_ns, off))
        return None if seen is None else Observing(run, seen)
    except Exception as error:
        observe.warn_failed(error)
        return None


def began(loop: Any, settings: Settings, began_ns: int, off: str | None) -> RunBegan:
    """What is told of a run when it begins."""
    config = loop.config
    conf = config[names.CONF]
    run_id = config.get("run_id") or (config.get("metadata") or {}).get("run_id")
    resuming = conf.get(names.CONFIG_KEY_RESUMING)
    if resuming is None:
        resuming = loop.input is None or isinstance(loop.input, Command)
    thread = conf.get("thread_id")
    return RunBegan(
        graph=settings.name or config.get("run_name") or "graph",
        executor=settings.executor,
        began_ns=began_ns,
        request=None if run_id is None else str(run_id),
        thread=None if thread is None else str(thread),
        checkpointer=loop.checkpointer,
        namespace=tuple(getattr(loop, "checkpoint_ns", None) or ()),
        is_resuming=bool(resuming),
        off=off,
    )


def failed_to_begin(loop: Any, settings: Settings, error: BaseException) -> None:
    """A run ended before its first step: its input or its thread was refused."""
    try:
        observer = observe.observer_for(settings.tracer_provider)
        if observer is None:
            return
        seen = observer.run_began(began(loop, settings, loop.began_ns, None))
        if seen is not None:
            outcome = outcome_of(error)
            is_interrupted = outcome == "interrupted"
            seen.ended(RunEnded(error, is_interrupted, is_cancelled=outcome == "cancelled"))
    except Exception as mistake:
        observe.warn_failed(mistake)


class Known:
    """What is known of one task."""

    __slots__ = ("ancestry", "node", "seen")

    def __init__(self, node: str, ancestry: str, seen: observe.TaskObserver) -> None:
        self.node = node
        self.ancestry = ancestry
        self.seen = seen

    @guarded
    def adopted(self, task_id: str, step: int) -> None:
        """Its real task has taken it over."""
        self.seen.adopted(task_id, step)

    @guarded
    def waits(self) -> None:
        """Its router waits."""
        self.seen.waits()

    @guarded
    def waited(self) -> None:
        """Its router goes on."""
        self.seen.waited()


class Observing:
    """One run of a graph, as it is told to its observer. `run.lock` guards it where it must."""

    def __init__(self, run: Run, seen: observe.RunObserver) -> None:
        self.seen = seen
        self.is_recording = seen.is_recording
        self.error: BaseException | None = None
        self._run = run
        self._home: str = run.loop.config[names.CONF].get(PLACE) or REQUEST
        self._real: dict[str, Known] = {}
        self._ahead: dict[int, Known] = {}
        self._senders: list[tuple[Known, int]] = []
        """Of the step before: who wrote each `Send`, and its place among the writer's own."""
        self._writers: dict[str, list[Known]] = {}
        self._labels: dict[tuple[str, str], str] = {}
        self._passive = None if seen.is_recording else seen.task_began(None)

    # Steps ---------------------------------------------------------------------------------

    @guarded
    def step_began(self, adopted: Mapping[str, AheadTask]) -> None:
        """LangGraph prepared the tasks of a step; some of them adopted a body."""
        tasks: dict[str, PregelExecutableTask] = self._run.loop.tasks
        if self._passive is not None:
            for task in tasks.values():
                if task.id not in adopted:
                    object.__setattr__(task, "proc", Observed(task.proc, self._passive))
            return
        former, self._real = self._real, {}
        for task in tasks.values():
            ahead = adopted.get(task.id)
            if ahead is not None and ahead.seen is not None:
                self._real[task.id] = ahead.seen
                self._ahead.pop(ahead.key, None)
            elif task.writes:
                continue  # a checkpoint had its writes: it does not run
            else:
                self._begin_real(task)
        former.clear()

    def _begin_real(self, task: PregelExecutableTask) -> None:
        path, producers, index = task.path, [], None
        if path[0] == names.PUSH and len(path) == 3:
            place = path[1]
            if isinstance(place, int) and place < len(self._senders):
                producer, index = self._senders[place]
                producers = [producer]
        elif path[0] == names.PULL:
            producers = self._triggered_by(task.triggers)
        self._watch(task, producers, index)

    @guarded
    def joined(self, task: PregelExecutableTask | None, kind: str, by: Any = None) -> None:
        """A task joined the step: a `@task` call, or the handler of an error."""
        if task is None or task.writes:
            return
        if self._passive is not None:
            object.__setattr__(task, "proc", Observed(task.proc, self._passive))
            return
        caller = self._real.get(getattr(by, "id", ""))
        self._watch(task, [] if caller is None else [caller], None, kind)

    def _watch(
        self,
        task: PregelExecutableTask,
        producers: list[Known],
        index: int | None,
        kind: str = "node",
    ) -> None:
        known = self._known(
            task.name,
            self._run.loop.step,
            producers,
            index,
            task_id=task.id,
            input=task.input,
            kind=kind,
        )
        self._real[task.id] = known
        self._wrap(task, known)

    def _wrap(self, task: PregelExecutableTask, known: Known) -> None:
        task.config[names.CONF][PLACE] = known.ancestry + SEPARATOR + known.node
        object.__setattr__(task, "proc", Observed(task.proc, known.seen))

    @guarded
    def step_over(self) -> None:
        """All tasks of the step have ended; LangGraph is about to commit it."""
        if self._passive is not None:
            return
        loop = self._run.loop
        self._senders = []
        written: dict[str, list[Known]] = {}
        for task in sorted(
            loop.tasks.values(), key=lambda t: names.writes_sort_key(names.task_path_str(t.path))
        ):
            known = self._real.get(task.id)
            if known is None:
                continue
            known.seen.closed("cached" if task.writes else "cancelled")
            position = 0
            for channel, _ in task.writes:
                if channel == names.TASKS:
                    self._senders.append((known, position))
                    position += 1
                else:
                    writers = written.setdefault(channel, [])
                    if not writers or writers[-1] is not known:
                        writers.append(known)
        for channel, writers in self._writers.items():
            if isinstance(loop.channels.get(channel), _BARRIERS):
                written[channel] = [*writers, *written.get(channel, ())]
        self._writers = written
        self.seen.step_over(loop.step)

    def _triggered_by(self, triggers: Iterable[str]) -> list[Known]:
        found: dict[Known, None] = {}
        for channel in triggers:
            found.update(dict.fromkeys(self._writers.get(channel, ())))
            if isinstance(self._run.loop.channels.get(channel), _BARRIERS):
                self._writers.pop(channel, None)
        return list(found)

    # Ahead ---------------------------------------------------------------------------------

    @guarded
    def began_ahead(self, ahead: AheadTask, facts: Ahead) -> None:
        """A body is about to start ahead."""
        if self._passive is not None:
            object.__setattr__(ahead.task, "proc", Observed(ahead.task.proc, self._passive))
            return
        found = [
            self._real.get(parent) if isinstance(parent, str) else self._ahead_of(parent)
            for parent in facts.parents
        ]
        producers = [known for known in found if known is not None]
        known = self._known(
            ahead.node,
            ahead.step,
            producers,
            None if facts.pull else facts.position,
            input=ahead.task.input,
            run_ahead=True,
            is_streamed=facts.partial,
        )
        ahead.seen = self._ahead[ahead.key] = known
        self._wrap(ahead.task, known)

    def _ahead_of(self, key: int) -> Known | None:
        found = self._ahead.get(key)
        if found is None and (ahead := self._run.aheads.get(key)) is not None:
            found = ahead.seen  # adopted, and still running
        return found

    @guarded
    def dropped(self, ahead: AheadTask, outcome: str, reason: str) -> None:
        """A body ran ahead in vain."""
        known = ahead.seen
        if known is None:
            return
        self._ahead.pop(ahead.key, None)
        known.seen.dropped(outcome, reason)

    # Tasks ---------------------------------------------------------------------------------

    def _known(
        self,
        node: str,
        step: int,
        producers: list[Known],
        index: int | None,
        **facts: Any,
    ) -> Known:
        ancestry = self._home
        if index is not None and producers:
            producer = producers[0]
            label = self._label(producer.node, node)
            ancestry = f"{producer.ancestry}{SEPARATOR}{producer.node}.{label}[{index}]"
        began = TaskBegan(
            node=node,
            step=step,
            ancestry=ancestry,
            producers=[known.seen for known in producers[:MOST_LINKS]],
            input_count=len(producers),
            index=index,
            **facts,
        )
        return Known(node, ancestry, self.seen.task_began(began))

    def _label(self, node: str, target: str) -> str:
        """The key of the state that a node's `Send`s to another one are made of."""
        found = self._labels.get((node, target))
        if found is None:
            found = self._labels[node, target] = self._run.level_key(node, target) or target
        return found

    def follower(self, key: str | int, task: PregelExecutableTask) -> Emissions | None:
        """What looks at the chunks of a generator's body."""
        if self._passive is not None:
            return None
        return Emissions(self, key, task.id)

    def known(self, key: str | int, task_id: str) -> Known | None:
        """A task, by its id or the key of its run-ahead body."""
        if isinstance(key, str):
            return self._real.get(key)
        return self._ahead_of(key) or self._real.get(task_id)

    # The end -------------------------------------------------------------------------------

    @guarded
    def ended(self, counts: tuple[int, int, int, int] | None, unused: int, abandoned: int) -> None:
        """The run is over, and all its bodies.

        Args:
            counts: Bodies that started ahead, were adopted, discarded, rerun.
            unused: Adopted ones whose real task never began.
            abandoned: Threads that still run.
        """
        started, adopted, discarded, rerun = counts or (0, 0, 0, 0)
        named = {"started": started, "adopted": adopted - unused, "rerun": rerun}
        named |= {"discarded": discarded + unused, "abandoned": abandoned}
        error = self.error
        outcome = None if error is None else outcome_of(error)
        try:
            self.seen.ended(
                RunEnded(
                    error=error,
                    is_interrupted=isinstance(error, GraphInterrupt) or outcome == "interrupted",
                    is_cancelled=outcome == "cancelled",
                    counts=named,
                )
            )
        finally:
            self.error = None
            self._real, self._ahead, self._senders, self._writers = {}, {}, [], {}


class Emissions:
    """Tells what the body of a generator node yields (see `streaming.Follower`)."""

    def __init__(self, observing: Observing, key: str | int, task_id: str) -> None:
        self._observing = observing
        self._key = key
        self._task_id = task_id
        self._has_begun = False

    def _seen(self) -> observe.TaskObserver | None:
        known = self._observing.known(self._key, self._task_id)
        return None if known is None else known.seen

    def began(self) -> None:
        """The body begins, maybe not for the first time."""
        if self._has_begun and (seen := self._seen()) is not None:
            seen.retracted()
        self._has_begun = True

    def took(self, chunk: Any) -> bool:
        """A chunk passed; nothing starts because of that."""
        seen = self._seen()
        if seen is not None:
            self._tell(seen, chunk)
        return False

    @guarded
    def _tell(self, seen: observe.TaskObserver, chunk: Any) -> None:
        if not isinstance(chunk, dict):
            seen.emitted("", chunk)
            return
        for key, value in chunk.items():
            if value is None:
                continue
            if isinstance(value, list) and isinstance(chunk, AddableDict):
                for element in value:
                    seen.emitted(str(key), element)
            else:
                seen.emitted(str(key), value)

    async def let_others_begin(self) -> None:
        """Nothing was started."""
