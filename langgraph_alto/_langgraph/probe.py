"""Measures when bodies run, on LangGraph's own executor and on ALTO alike.

`probed(graph)` is a copy whose loops and runner note three things while `observing`: when a step
begins and with which tasks, when a body begins and ends, and when a generator yields. Everything
else is worked out after the run (`provenance`). On LangGraph's side its own loop and runner run,
without any of ALTO's parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from langchain_core.runnables.utils import AddableDict
from langgraph.pregel import Pregel

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.ahead import AheadTask
from langgraph_alto._langgraph.loop import AltoAsyncLoop, AltoRunner, AltoSyncLoop
from langgraph_alto._langgraph.rebinding import rebind, rebind_method
from langgraph_alto._langgraph.run import Run, Settings
from langgraph_alto._langgraph.run_async import AsyncRun
from langgraph_alto._langgraph.run_sync import SyncRun
from langgraph_alto._langgraph.seam import AltoPregel, class_before, copy_as
from langgraph_alto._langgraph.streaming import passing_by, streams, with_steps
from langgraph_alto.core.events import Adopt, Discard
from langgraph_alto.core.spec import Names

G = TypeVar("G", bound=Pregel[Any, Any, Any, Any])


@dataclass(slots=True, eq=False)
class SeenBody:
    """One execution of a body. Times as the clock gives them.

    `items` are what a generator has yielded so far in chunks that add up: (moment, key, elements
    of that list by then; None of what is no list). None of a body that is no generator.
    """

    node: str
    step: int
    loop: SeenLoop | None
    is_ahead: bool = False
    began: float | None = None
    ended: float | None = None
    task_id: str | None = None
    outcome: str = "real"
    failed: bool = False
    items: list[tuple[float, str, int | None]] | None = None


@dataclass(slots=True, eq=False)
class SeenStep:
    """A superstep: LangGraph's tasks stay in `tasks`, with what they wrote."""

    step: int
    began: float
    tasks: Mapping[str, Any]


@dataclass(slots=True, eq=False)
class SeenLoop:
    """The run of a graph, or of a subgraph in the body `inside`."""

    namespace: tuple[str, ...]
    inside: SeenBody | None
    steps: list[SeenStep] = field(default_factory=list)


class Observation:
    """What was seen of one run.

    Args:
        clock: Gives the moment, in seconds; the same clock for all that is compared.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.loops: list[SeenLoop] = []
        self.real: dict[str, SeenBody] = {}
        self.ahead: list[SeenBody] = []
        self.adopted: dict[str, SeenBody] = {}
        self.held: dict[str, int] = {}


_observation: ContextVar[Observation | None] = ContextVar("alto_observation", default=None)
_body: ContextVar[SeenBody | None] = ContextVar("alto_observed_body", default=None)


@contextmanager
def observing(observation: Observation) -> Iterator[Observation]:
    """Note the runs of probed graphs that begin in this context."""
    token = _observation.set(observation)
    inner = _body.set(None)
    try:
        yield observation
    finally:
        _body.reset(inner)
        _observation.reset(token)


# Bodies ------------------------------------------------------------------------------------


def _begin(task: Any) -> SeenBody | None:
    """A real task's body begins; None if nobody observes, or if the body ran ahead of it."""
    seen = _observation.get()
    if seen is None or task.id in seen.adopted:
        return None
    body = SeenBody(task.name, -1, None, began=seen.clock(), task_id=task.id)
    seen.real[task.id] = body
    _watch_items(task, body, seen.clock)
    return body


def _end(body: SeenBody) -> None:
    seen = _observation.get()
    if seen is not None:
        body.ended = seen.clock()


def _timed(task: Any, *args: Any, **kwargs: Any) -> Any:
    """LangGraph's `run_with_retry`, timed."""
    body = _begin(task)
    if body is None:
        return names.run_with_retry(task, *args, **kwargs)
    token = _body.set(body)
    try:
        return names.run_with_retry(task, *args, **kwargs)
    except BaseException:
        body.failed = True
        raise
    finally:
        _end(body)
        _body.reset(token)


async def _atimed(task: Any, *args: Any, **kwargs: Any) -> Any:
    """LangGraph's `arun_with_retry`, timed."""
    body = _begin(task)
    if body is None:
        return await names.arun_with_retry(task, *args, **kwargs)
    token = _body.set(body)
    try:
        return await names.arun_with_retry(task, *args, **kwargs)
    except BaseException:
        body.failed = True
        raise
    finally:
        _end(body)
        _body.reset(token)


class _ItemClock:
    """Notes when what a generator yields grows."""

    def __init__(self, body: SeenBody, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counts: dict[str, int] = {}
        self._items: list[tuple[float, str, int | None]] = []
        body.items = self._items

    def began(self) -> None:
        self._counts.clear()
        self._items.clear()

    def took(self, chunk: Any) -> bool:
        if isinstance(chunk, AddableDict):
            for key, value in chunk.items():
                if not isinstance(value, list):
                    self._items.append((self._clock(), key, None))
                elif value:
                    count = self._counts[key] = self._counts.get(key, 0) + len(value)
                    self._items.append((self._clock(), key, count))
        return False

    async def let_others_begin(self) -> None:
        """Nothing was begun."""


def _watch_items(task: Any, body: SeenBody, clock: Callable[[], float]) -> None:
    proc = task.proc
    if isinstance(proc, names.RunnableSeq) and streams(proc.steps[0]):
        first = passing_by(proc.steps[0], _ItemClock(body, clock))
        object.__setattr__(task, "proc", with_steps(proc, [first, *proc.steps[1:]], type(proc)))


# LangGraph's side --------------------------------------------------------------------------


class _Observed:
    """Notes the steps of a loop. Mixed in before LangGraph's class, or ALTO's."""

    seen: SeenLoop | None = None
    step: int
    tasks: Any
    checkpoint_ns: tuple[str, ...]

    def tick(self) -> bool:
        observation = _observation.get()
        if observation is not None and self.seen is None:
            self.seen = SeenLoop(tuple(self.checkpoint_ns), _body.get())
            observation.loops.append(self.seen)
        if not super().tick():  # type: ignore[misc]
            return False
        if observation is not None and self.seen is not None:
            self.seen.steps.append(SeenStep(self.step, observation.clock(), self.tasks))
        return True


class _ProbedRunner(names.PregelRunner):
    tick = rebind(names.PregelRunner.tick, run_with_retry=_timed)
    atick = rebind(names.PregelRunner.atick, arun_with_retry=_atimed)


class _ProbedSyncLoop(_Observed, names.SyncPregelLoop):
    pass


class _ProbedAsyncLoop(_Observed, names.AsyncPregelLoop):
    pass


# ALTO's side -------------------------------------------------------------------------------


class _ObservedRun(Run):
    """Notes what becomes of bodies that run ahead."""

    _seen: Observation | None = None
    _bodies: dict[int, SeenBody]

    def __init__(self, loop: Any, settings: Settings) -> None:
        self._seen = _observation.get()
        self._bodies = {}
        super().__init__(loop, settings)

    def spawn(self, ahead: AheadTask) -> None:
        if self._seen is not None:
            body = SeenBody(ahead.node, ahead.step, self.loop.seen, is_ahead=True)
            self._bodies[ahead.key] = body
            self._seen.ahead.append(body)
            _watch_items(ahead.task, body, self._seen.clock)
        super().spawn(ahead)  # type: ignore[safe-super]  # both kinds of runs have it

    def _adopt(self, command: Adopt) -> None:
        ahead = self.aheads[command.ahead]
        super()._adopt(command)
        body = self._bodies.get(command.ahead)
        if body is not None and ahead.adopted is not None and self._seen is not None:
            body.task_id, body.outcome = ahead.adopted.id, "adopted"
            self._seen.adopted[ahead.adopted.id] = body

    def _reject(self, ahead: AheadTask, reason: str, *, began: bool = True) -> None:
        self._came_to_nothing(ahead.key, "rerun" if began else "discarded")
        super()._reject(ahead, reason, began=began)

    def _give_up(self, ahead: AheadTask) -> None:
        self._came_to_nothing(ahead.key, "rerun")
        super()._give_up(ahead)

    def _discard(self, command: Discard) -> None:
        self._came_to_nothing(command.ahead, "discarded")
        super()._discard(command)

    def _came_to_nothing(self, key: int, outcome: str) -> None:
        body = self._bodies.get(key)
        if body is not None and self._seen is not None:
            if body.outcome == "real":
                body.outcome = outcome
            if body.ended is None:
                body.ended = self._seen.clock()

    def reach_gate(self, ahead: AheadTask, reads: Names | None) -> None:
        self._body_over(ahead)
        super().reach_gate(ahead, reads)

    def body_ended(self, ahead: AheadTask, error: BaseException | None) -> None:
        self._body_over(ahead)
        body = self._bodies.get(ahead.key)
        if body is not None and error is not None:
            body.failed = True
        super().body_ended(ahead, error)

    def _body_over(self, ahead: AheadTask) -> None:
        body = self._bodies.get(ahead.key)
        if body is not None and body.ended is None and self._seen is not None:
            body.ended = self._seen.clock()

    def _entered(self, ahead: AheadTask) -> None:
        """The body begins, in a context of its own."""
        body = self._bodies.get(ahead.key)
        if body is not None and self._seen is not None:
            body.began = self._seen.clock()
            _body.set(body)

    def forget(self) -> None:
        if self._seen is not None and self._owns_report:
            report = self.report
            super().forget()
            for reason, count in report.held.items():
                self._seen.held[reason] = self._seen.held.get(reason, 0) + count
            return
        super().forget()


class _ProbedAsyncRun(_ObservedRun, AsyncRun):
    async def _body(self, ahead: AheadTask) -> None:
        self._entered(ahead)
        await AsyncRun._body(self, ahead)


class _ProbedSyncRun(_ObservedRun, SyncRun):
    def _body(self, ahead: AheadTask) -> None:
        self._entered(ahead)
        SyncRun._body(self, ahead)


class _ProbedAltoSyncLoop(_Observed, AltoSyncLoop):
    run_class = _ProbedSyncRun


class _ProbedAltoAsyncLoop(_Observed, AltoAsyncLoop):
    run_class = _ProbedAsyncRun


class _ProbedAltoRunner(AltoRunner, _ProbedRunner):  # type: ignore[misc]  # as in the base
    langgraphs_tick = rebind(AltoRunner.langgraphs_tick, run_with_retry=_timed)
    langgraphs_atick = rebind(AltoRunner.langgraphs_atick, arun_with_retry=_atimed)


# Graphs ------------------------------------------------------------------------------------


class _ProbedPregel(Pregel[Any, Any, Any, Any]):
    """Marks probed graphs on LangGraph's executor."""


def probed(graph: G) -> G:
    """A copy of a graph, and of its node subgraphs, that can be observed.

    A graph that was accelerated stays so; any other runs on LangGraph's own executor.
    """
    original = class_before(graph)
    loops: dict[str, Any]
    attributes: dict[str, Any] = {}
    kind: type[Any] = _ProbedPregel
    if isinstance(graph, AltoPregel):
        settings = graph._alto_settings
        kind, attributes = AltoPregel, {"_alto_settings": settings}
        loops = {
            "SyncPregelLoop": partial(_ProbedAltoSyncLoop, settings=settings),
            "AsyncPregelLoop": partial(_ProbedAltoAsyncLoop, settings=settings),
            "PregelRunner": _ProbedAltoRunner,
        }
    else:
        loops = {
            "SyncPregelLoop": _ProbedSyncLoop,
            "AsyncPregelLoop": _ProbedAsyncLoop,
            "PregelRunner": _ProbedRunner,
        }
    attributes["stream"] = rebind_method(Pregel, "stream", **loops)
    attributes["astream"] = rebind_method(Pregel, "astream", **loops)
    part = type(kind.__name__, (kind,), attributes)
    made = type(original.__name__, (part,) if original is Pregel else (original, part), {})
    return copy_as(made, graph, lambda _, subgraph: probed(subgraph))
