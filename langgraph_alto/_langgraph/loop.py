"""LangGraph's loops and runner with three additions each: a step begins, writes arrive, the end.

Everything that commits is LangGraph's own code, called through `super()`.
"""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import replace
from types import FrameType
from typing import Any, Self

from langgraph.channels import NamedBarrierValue, NamedBarrierValueAfterFinish, Topic
from langgraph.pregel import Pregel

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.adopted import AdoptedBody
from langgraph_alto._langgraph.observing import failed_to_begin
from langgraph_alto._langgraph.rebinding import rebind
from langgraph_alto._langgraph.run import Run, Settings
from langgraph_alto._langgraph.run_async import AsyncRun
from langgraph_alto._langgraph.run_sync import SyncRun
from langgraph_alto.observe import observer_for

_reserved_id: ContextVar[str | None] = ContextVar("alto_reserved_id", default=None)

_CHANGED_IN_PLACE = (NamedBarrierValue, NamedBarrierValueAfterFinish, Topic)


def _create_checkpoint(
    previous: Any, channels: Any, *args: Any, id: str | None = None, **kwargs: Any
) -> Any:
    """LangGraph's function, with the reserved id and with containers of the checkpoint's own.

    A checkpoint is saved in the background, and these channels hand out the very container
    that they change in the next step. If its tasks ran ahead, that step is over at once: without
    a copy, what it changed would be saved with the step before it.
    """
    id = id or _reserved_id.get()
    made = names.create_checkpoint(previous, channels, *args, id=id, **kwargs)
    values = made["channel_values"]
    for key, channel in (channels or {}).items():
        if isinstance(channel, _CHANGED_IN_PLACE) and key in values:
            values[key] = channel.copy().checkpoint()
    return made


def _name_of_caller(frame: FrameType) -> str | None:
    """The name of the graph whose `stream` makes a loop: the loop itself is not told."""
    graph = frame.f_locals.get("self")
    return graph.get_name() if isinstance(graph, Pregel) else None


_MOST_PATIENCE = 1.0
"""Seconds that a failure waits at most for its siblings to begin: savers may keep the threads."""

_GLANCE = 1e-4
"""Seconds between two looks at what has begun: a future tells nobody."""


class Futures(names.FuturesDict[Any, Any]):
    """The futures of a step, which also wake the runner if one fails while others are added.

    LangGraph's clears its event with each future that is added, and is then woken by the next
    task that ends. Adopted tasks end in their turn, and after a failure there is none: they
    wait for the runner to cut them off. A step without any is LangGraph's, whatever it forgets.
    """

    has_adopted = False
    added = 0

    def __init__(self, event: Any, callback: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(event, callback, *args, **kwargs)
        runner = getattr(callback(), "__self__", None)
        if isinstance(runner, AltoRunner):
            runner.futures = weakref.ref(self)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self.added += value is not None
        if isinstance(getattr(value, "proc", None), AdoptedBody):
            self.has_adopted = True
        if not self.has_adopted:
            return
        with self.lock:
            if self.should_stop(self.failed):
                self.event.set()

    def let_begin(self, threads: int) -> None:
        """Before a failure cuts the others off: wait until they have begun, on so many threads.

        A body that ran ahead fails as soon as its real task begins, so siblings that were given
        a thread may not have taken it. Under LangGraph they would have, while that body ran;
        and one that has begun is not cut off in a synchronous run.
        """
        with self.lock:
            if not self.has_adopted or not self.should_stop(self.failed):
                return
            others = len(self.done) - 1  # what ended before left its thread to the next
        late = max(0, self.added - threads - others)
        until = time.monotonic() + _MOST_PATIENCE
        while time.monotonic() < until:
            tasks = [future for future, task in list(self.items()) if task is not None]
            if sum(not (future.running() or future.done()) for future in tasks) <= late:
                return
            time.sleep(_GLANCE)


# LangGraph's method with one name in it replaced: it makes the checkpoint inside.
_put_checkpoint = rebind(names.PregelLoop._put_checkpoint, create_checkpoint=_create_checkpoint)


class _AltoLoop:
    """What both loops add. Mixed in before LangGraph's class."""

    alto: Run | None = None
    own_stream: Any = None
    """Where the consumer of this run takes its chunks, without that of a run around it."""
    began_ns: int
    step: int
    checkpoint_metadata: Any
    _settings: Settings

    def _note_end(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if self.alto is not None and self.alto.observing is not None:
            self.alto.observing.error = error

    def _joined(self, task: Any, kind: str, by: Any) -> Any:
        if self.alto is not None and self.alto.observing is not None:
            self.alto.observing.joined(task, kind, by)
        return task

    def tick(self) -> bool:
        if not super().tick():  # type: ignore[misc]
            return False
        if self.alto is not None:
            self.alto.began_step()
        return True

    def after_tick(self) -> None:
        if self.alto is not None:
            self.alto.step_over()
        super().after_tick()  # type: ignore[misc]

    def put_writes(
        self, task_id: str, writes: Sequence[tuple[str, Any]], *, cached: bool = False
    ) -> None:
        super().put_writes(task_id, writes, cached=cached)  # type: ignore[misc]
        alto = self.alto
        if alto is None or alto.is_alone or not writes or task_id == names.NULL_TASK_ID:
            return
        alto.task_ended(task_id, writes)

    def _put_checkpoint(self, metadata: Any) -> None:
        alto = self.alto
        if alto is None or alto.is_alone or metadata is self.checkpoint_metadata:
            super()._put_checkpoint(metadata)  # type: ignore[misc]
            return
        reserved = alto.reservation.take(self.step)
        if reserved is None and not alto.has_ahead():
            super()._put_checkpoint(metadata)  # type: ignore[misc]
            return
        token = _reserved_id.set(reserved)
        try:
            _put_checkpoint(self, metadata)
        finally:
            _reserved_id.reset(token)


class AltoSyncLoop(_AltoLoop, names.SyncPregelLoop):
    """LangGraph's synchronous loop with run-ahead beside it."""

    alto: SyncRun | None = None
    run_class: type[SyncRun] = SyncRun

    def __init__(self, *args: Any, settings: Settings, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = settings
        self.began_ns = time.time_ns()
        if settings.name is None and observer_for(settings.tracer_provider) is not None:
            self._settings = replace(settings, name=_name_of_caller(sys._getframe(1)))
        self.own_stream = kwargs.get("stream")

    def __enter__(self) -> Self:
        self.stack.callback(self._close_alto)  # the last to be called
        try:
            super().__enter__()
        except BaseException as error:
            failed_to_begin(self, self._settings, error)
            raise
        run = self.run_class(self, self._settings)
        self.stack.callback(run.end)
        self.alto = run
        self.stack.push(self._note_end)
        return self

    def accept_push(self, task: Any, *args: Any, **kwargs: Any) -> Any:
        return self._joined(super().accept_push(task, *args, **kwargs), "call", task)

    def schedule_error_handler(self, failed_task: Any, error: BaseException) -> Any:
        handler = super().schedule_error_handler(failed_task, error)
        return self._joined(handler, "handler", failed_task)

    def _close_alto(self) -> None:
        if self.alto is not None:
            self.alto.close()
            self.alto = None


class AltoAsyncLoop(_AltoLoop, names.AsyncPregelLoop):
    """LangGraph's asynchronous loop with run-ahead beside it."""

    alto: AsyncRun | None = None
    run_class: type[AsyncRun] = AsyncRun

    def __init__(self, *args: Any, settings: Settings, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = settings
        self.began_ns = time.time_ns()
        if settings.name is None and observer_for(settings.tracer_provider) is not None:
            self._settings = replace(settings, name=_name_of_caller(sys._getframe(1)))
        self.own_stream = kwargs.get("stream")

    async def __aenter__(self) -> Self:
        self.stack.push_async_callback(self._close_alto)  # the last to be called
        try:
            await super().__aenter__()
        except BaseException as error:
            failed_to_begin(self, self._settings, error)
            raise
        run = self.run_class(self, self._settings)
        self.stack.push_async_callback(run.aend)
        self.alto = run
        self.stack.push(self._note_end)
        return self

    async def aaccept_push(self, task: Any, *args: Any, **kwargs: Any) -> Any:
        return self._joined(await super().aaccept_push(task, *args, **kwargs), "call", task)

    async def aschedule_error_handler(self, failed_task: Any, error: BaseException) -> Any:
        handler = await super().aschedule_error_handler(failed_task, error)
        return self._joined(handler, "handler", failed_task)

    async def _close_alto(self) -> None:
        if self.alto is not None:
            await self.alto.aclose()
            self.alto = None


class AltoRunner(names.PregelRunner):
    """LangGraph's runner; before a step is committed, a reserved checkpoint id is confirmed."""

    # LangGraph's own, with one name in each replaced: they make the futures inside.
    langgraphs_tick: Any = rebind(names.PregelRunner.tick, FuturesDict=Futures)
    langgraphs_atick: Any = rebind(names.PregelRunner.atick, FuturesDict=Futures)

    futures: Callable[[], Futures | None] = staticmethod(lambda: None)
    """The futures of the step that runs, or None."""

    def _alto(self) -> Run | None:
        put_writes = self.put_writes()
        return getattr(getattr(put_writes, "__self__", None), "alto", None)

    def tick(self, tasks: Any, **kwargs: Any) -> Iterator[None]:
        run = self._alto()
        if not isinstance(run, SyncRun) or run.policy.off is not None:
            return super().tick(tasks, **kwargs)
        if (timeout := kwargs.get("timeout")) is not None:
            run.step_timeout(timeout)
        if run.is_alone:
            return super().tick(tasks, **kwargs)
        return self._tick(run, self.langgraphs_tick(self._without_finished(run, tasks), **kwargs))

    def _tick(self, run: SyncRun, ticking: Iterator[None]) -> Iterator[None]:
        for _ in ticking:
            yield
            futures = self.futures()
            if futures is not None:
                futures.let_begin(run.langgraphs_threads)
        run.confirm_head()

    def atick(self, tasks: Any, **kwargs: Any) -> AsyncIterator[None]:
        run = self._alto()
        if not isinstance(run, AsyncRun) or run.policy.off is not None:
            return super().atick(tasks, **kwargs)
        run.use_astream = self.use_astream
        if (timeout := kwargs.get("timeout")) is not None:
            run.step_timeout(timeout)
        if run.is_alone:
            return super().atick(tasks, **kwargs)
        return self._atick(run, self.langgraphs_atick(self._without_finished(run, tasks), **kwargs))

    async def _atick(self, run: AsyncRun, ticking: AsyncIterator[None]) -> AsyncIterator[None]:
        async for _ in ticking:
            yield
        await run.confirm_head()

    def _without_finished(self, run: Run, tasks: Any) -> Any:
        """Commit what ran ahead and is over; only the rest needs to be run."""
        finished = set()
        for task in run.take_finished():
            self.commit(task, None)
            finished.add(task.id)
        return [t for t in tasks if t.id not in finished] if finished else tasks
