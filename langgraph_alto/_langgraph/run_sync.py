"""Carries out the scheduler's decisions on threads, for `invoke` and `stream`."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.types import PregelExecutableTask

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.ahead import AheadTask, GaveUp
from langgraph_alto._langgraph.pool import FEW, GrowingPool
from langgraph_alto._langgraph.recorder import CUSTOM, STREAM, Emission, Player
from langgraph_alto._langgraph.run import Run, Settings
from langgraph_alto._langgraph.run_async import head_id, thread_config
from langgraph_alto.core.spec import Names

REAL_THREADS = 128
"""Threads for the real tasks of a run that sets no `max_concurrency`.

Python's default (cores + 4) is made for short calls; tasks of LLM applications wait on the
network, and LangGraph's own asynchronous runs set no limit either. Threads are made on demand.
"""


_SOON = 1e-6
"""Seconds by which a thread need not be woken just to wait less."""


class SyncRun(Run):
    """Bodies that run ahead have threads of their own, so they never keep a real task waiting."""

    def __init__(self, loop: Any, settings: Settings) -> None:
        super().__init__(loop, settings)
        self._threads: GrowingPool | None = None
        self._futures: set[Future[None]] = set()
        self._timers: list[threading.Timer] = []
        limit = loop.config.get("max_concurrency")
        self._permits = threading.BoundedSemaphore(limit) if limit else None
        self.langgraphs_threads: int = limit or FEW
        self._may_be_alone = self._may_be_alone and self._permits is None
        self._has_pool = self.policy.off is not None

    def _replace_pool(self) -> None:
        # An adopted task keeps a thread until its turn has come, so each must have one: else
        # those that wait could keep the one whose turn it is from beginning.
        limit = self.loop.config.get("max_concurrency")
        threads = limit or REAL_THREADS + self.policy.max_ahead
        background = self.loop.submit.__self__
        background.executor = background.stack.enter_context(GrowingPool(threads))
        self._has_pool = True

    # Bodies --------------------------------------------------------------------------------

    def _begin_step(self, tasks: dict[str, PregelExecutableTask]) -> None:
        if not self._has_pool:
            self._replace_pool()
        super()._begin_step(tasks)
        if self._permits is not None and self.policy.off is None:
            for task in tasks.values():
                if not task.writes and task.id not in self._adopted_by_task:
                    object.__setattr__(task, "proc", _WithPermit(self._permits, task))

    def spawn(self, ahead: AheadTask) -> None:
        assert self.context is not None
        ahead.turn = threading.Event()
        ahead.gate = threading.Event()
        ahead.delivering = threading.Event()
        ahead.committed = threading.Event()
        ahead.holds_permit = self._permits is not None  # taken by `has_permit`
        if self._threads is None:
            self._threads = GrowingPool(2 * self.policy.max_ahead, "langgraph-alto-ahead")
        future = self._threads.submit(self.body_context(ahead).run, self._body, ahead)
        ahead.handle = future
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)

    def _body(self, ahead: AheadTask) -> None:
        if ahead.dropped:
            self._give_permit_back(ahead)
            return
        error: BaseException | None = None
        try:
            ahead.value = names.run_with_retry(  # type: ignore[func-returns-value]
                ahead.task, None, configurable={names.CONFIG_KEY_CALL: self.task_calls(ahead)}
            )
        except BaseException as raised:
            error = raised
        self._give_permit_back(ahead)
        self.body_ended(ahead, error)

    def cancel(self, ahead: AheadTask) -> None:
        if ahead.handle is not None and ahead.handle.cancel():
            self._give_permit_back(ahead)
        self.open_gate(ahead)

    def claim(self, ahead: AheadTask) -> bool:
        if ahead.handle.cancel():
            self._give_permit_back(ahead)
            return False
        return True

    def open_gate(self, ahead: AheadTask) -> None:
        ahead.gate.set()

    def wait_at_gate(self, ahead: AheadTask, reads: Names | None) -> None:
        self.reach_gate(ahead, reads)
        if ahead.adopted is None and ahead.state is None:
            self._give_permit_back(ahead)  # the body itself is over; only its router waits
            ahead.gate.wait()
        ahead.go_on()
        if ahead.adopted is None and ahead.state is None:
            raise GaveUp("discarded")

    def adapt(self, ahead: AheadTask, bound: Runnable[Any, Any]) -> Runnable[Any, Any]:
        return bound

    # Handing out ---------------------------------------------------------------------------

    def deliver(self, ahead: AheadTask, config: RunnableConfig) -> Any:
        """Run in place of an adopted task's body: hand out its output, then its result."""
        ahead.use()
        ahead.real_config = config
        ahead.delivering.set()
        while True:
            self._wait_turn(ahead)
            while ahead.outbox.emissions and self.keeps_turn(ahead):
                emission = ahead.outbox.emissions.popleft()
                if emission.kind in (CUSTOM, STREAM):
                    self.play(emission, config)
                elif ahead.player is not None:
                    ahead.player.play(emission)
            if ahead.end is not None and not ahead.outbox.emissions and self.keeps_turn(ahead):
                break
            self.pass_turn(ahead)
        # The turn is passed on when LangGraph has committed this task (`task_ended`): another
        # thread could overtake this one on its way there.
        return self.outcome(ahead, config)

    def _wait_turn(self, ahead: AheadTask) -> None:
        while not ahead.granted:
            at = ahead.wake_at
            if not ahead.turn.wait(None if at is None else max(0.0, at - self.clock())):
                ahead.wake_at = None
                self.pump()
            ahead.turn.clear()
        ahead.granted = False

    def grant(self, ahead: AheadTask) -> None:
        ahead.granted = True
        ahead.turn.set()

    def wake_later(self, ahead: AheadTask, at: float) -> None:
        if ahead.wake_at is None or at < ahead.wake_at - _SOON:
            ahead.wake_at = at
            ahead.turn.set()

    def call_later(self, at: float, callback: Callable[[], None]) -> None:
        timer = threading.Timer(max(0.0, at - self.clock()), callback)
        timer.daemon = True
        with self.lock:
            self._timers = [t for t in self._timers if t.is_alive()]
            self._timers.append(timer)
        timer.start()

    def emit_now(self, ahead: AheadTask) -> None:
        emission = ahead.outbox.emissions.popleft()
        if emission.kind in (CUSTOM, STREAM):
            self.play_eagerly(emission)
        elif ahead.player is not None:
            ahead.player.play(emission)

    def play_now(self, player: Player, emissions: list[Emission]) -> None:
        for emission in emissions:
            player.play(emission)

    def task_call(self, ahead: AheadTask, call: tuple[Any, ...], options: dict[str, Any]) -> Any:
        ahead.delivering.wait()  # adopted: LangGraph is about to begin the real task
        assert ahead.real_config is not None
        return ahead.real_config["configurable"][names.CONFIG_KEY_CALL](*call, **options)

    # Permits -------------------------------------------------------------------------------

    def has_permit(self) -> bool:
        # A permit found is a permit taken: the start follows at once.
        return self._permits is None or self._permits.acquire(blocking=False)

    def permit_unused(self) -> None:
        if self._permits is not None:
            self._permits.release()

    def _give_permit_back(self, ahead: AheadTask) -> None:
        if ahead.holds_permit and self._permits is not None:
            ahead.holds_permit = False
            self._permits.release()
            self.slots_changed()

    # Ending --------------------------------------------------------------------------------

    def end(self) -> None:
        """LangGraph's exit begins. It waits for the real tasks, so adopted ones come to an end."""
        super().end()
        with self.lock:
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()
            self.order = None
            adopted = list(self._adopted_by_task.values())
            for ahead in adopted:
                self.grant(ahead)
        for ahead in adopted:
            # LangGraph's exit waits for the task, not for its commit, and then closes the pool
            # that saves the writes. All these commit at once: without waiting, some come late.
            if ahead.delivering.is_set():
                ahead.committed.wait()

    def task_ended(self, task_id: str, writes: Sequence[tuple[str, Any]]) -> None:
        super().task_ended(task_id, writes)
        if ahead := self._adopted_by_task.get(task_id):
            ahead.committed.set()

    def outcome(self, ahead: AheadTask, config: RunnableConfig) -> Any:
        try:
            return super().outcome(ahead, config)
        except GraphBubbleUp:
            ahead.committed.set()  # most of these are not committed
            raise

    def close(self) -> None:
        """LangGraph's exit is over; discarded bodies that still run are cut off and counted."""
        with self.lock:
            self.report.abandoned += sum(not f.done() for f in self._futures)
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        self.forget()

    def confirm_head(self) -> None:
        """Before a reserved checkpoint id is used: is the thread's head still our parent?"""
        loop = self.loop
        if not self.reservation.is_open(loop.step) or loop.checkpointer is None:
            return
        is_ours = self.has_exposed()
        if is_ours:
            saving = getattr(loop, "_put_checkpoint_fut", None)
            if saving is not None:
                wait({saving})
            is_ours = head_id(loop.checkpointer.get_tuple(thread_config(loop))) == (
                self.expected_head()
            )
        self.reservation.confirm(loop.step, is_ours)


class _WithPermit(Runnable[Any, Any]):
    """A real task's body under the `max_concurrency` that it shares with run-ahead bodies."""

    def __init__(self, permits: threading.BoundedSemaphore, task: PregelExecutableTask) -> None:
        self._permits = permits
        self._body = task.proc
        self.name = getattr(task.proc, "name", None)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        with self._permits:
            return self._body.invoke(input, config, **kwargs)

    def stream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        with self._permits:
            yield from self._body.stream(input, config, **kwargs)

    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        async for chunk in self._body.astream(input, config, **kwargs):
            yield chunk
