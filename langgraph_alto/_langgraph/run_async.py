"""Carries out the scheduler's decisions on an asyncio event loop."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.ahead import AheadTask, GaveUp
from langgraph_alto._langgraph.recorder import CUSTOM, STREAM, Emission, Player
from langgraph_alto._langgraph.run import Run, Settings
from langgraph_alto.core.events import End
from langgraph_alto.core.order import TOGETHER
from langgraph_alto.core.spec import Names

_TURNS_TO_CONSUMER = 10
"""Turns of the event loop from a commit to `astream_events`, which has its chunk after 5."""


class AsyncRun(Run):
    """Bodies are asyncio tasks; sync functions among them run on threads of this run."""

    def __init__(self, loop: Any, settings: Settings) -> None:
        self._aio = asyncio.get_running_loop()
        super().__init__(loop, settings, self._aio.time)
        self._thread = threading.get_ident()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._threads: ThreadPoolExecutor | None = None
        self._busy_threads = 0
        handlers = getattr(loop.manager, "handlers", None) or ()
        self._is_tapped = any(names.StreamingCallbackHandler in type(h).__mro__ for h in handlers)
        self._to_consume = 0
        # LangGraph's own, made from `max_concurrency`; a body that runs ahead takes one too.
        self._permits: asyncio.Semaphore | None = loop.submit.__self__.semaphore

    # Bodies --------------------------------------------------------------------------------

    def spawn(self, ahead: AheadTask) -> None:
        assert self.context is not None
        ahead.turn = asyncio.Event()
        ahead.gate = asyncio.Event()
        ahead.handle = self._keep(
            self._aio.create_task(
                self._body(ahead), name=f"ahead {ahead.node}", context=self.body_context(ahead)
            )
        )

    async def _body(self, ahead: AheadTask) -> None:
        error: BaseException | None = None
        try:
            if self._permits is not None:
                await self._permits.acquire()
                ahead.holds_permit = True
            ahead.value = await names.arun_with_retry(  # type: ignore[func-returns-value]
                ahead.task,
                None,
                stream=self.use_astream,
                configurable={names.CONFIG_KEY_CALL: self.task_calls(ahead)},
            )
        except asyncio.CancelledError as cancelled:
            if ahead.gave_up is None:
                error = cancelled
                if ahead.dropped or ahead.adopted is not None or self.is_closed:
                    raise
        except BaseException as raised:
            error = raised
        finally:
            self._give_permit_back(ahead)
            self.body_ended(ahead, error)
            # The exception's traceback holds this frame, and with it the whole run.
            del error

    def cancel(self, ahead: AheadTask) -> None:
        if ahead.handle is not None:
            self.on_loop(ahead.handle.cancel)

    def claim(self, ahead: AheadTask) -> bool:
        return True

    def open_gate(self, ahead: AheadTask) -> None:
        self.on_loop(ahead.gate.set)

    async def await_at_gate(self, ahead: AheadTask, reads: Names | None) -> None:
        self.reach_gate(ahead, reads)
        if ahead.adopted is None and ahead.state is None:
            self._give_permit_back(ahead)  # the body itself is over; only its router waits
            await ahead.gate.wait()
        ahead.go_on()
        if ahead.adopted is None and ahead.state is None:
            raise GaveUp("discarded")

    # Sync functions ------------------------------------------------------------------------

    def adapt(self, ahead: AheadTask, bound: Runnable[Any, Any]) -> Runnable[Any, Any]:
        """Sync functions would fill the event loop's default pool, ahead of real tasks."""
        if (
            isinstance(bound, names.RunnableCallable)
            and bound.func is not None
            and isinstance(getattr(bound.afunc, "__wrapped__", None), Callable)  # type: ignore[arg-type]
            and bound.afunc.__wrapped__ is bound.func  # type: ignore[union-attr]
        ):
            adapted = copy.copy(bound)
            adapted.afunc = partial(self._in_thread, bound.func)
            return adapted
        return bound

    async def _in_thread(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(
                self.policy.max_ahead, thread_name_prefix="langgraph-alto-ahead"
            )
        call = partial(self._counted, func, *args, **kwargs)
        return await self._aio.run_in_executor(self._threads, copy_context().run, call)

    def _counted(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            self._busy_threads += 1
        try:
            return func(*args, **kwargs)
        except StopIteration as error:
            # A future can't carry it (PEP 479); LangChain's executor says the same.
            raise RuntimeError("node raised StopIteration") from error
        finally:
            with self.lock:
                self._busy_threads -= 1

    # Handing out ---------------------------------------------------------------------------

    def age_to_note(self, ahead: AheadTask) -> float:
        """One age for all that a body emits without giving way: nothing comes in between."""
        if threading.get_ident() != self._thread:
            return ahead.age()
        if ahead.age_in_turn is None:
            ahead.age_in_turn = ahead.age()
            self._aio.call_soon(ahead.end_turn_of_loop)
        return ahead.age_in_turn

    async def adeliver(self, ahead: AheadTask, config: RunnableConfig) -> Any:
        """Run in place of an adopted task's body: hand out its output, then its result."""
        self._give_permit_back(ahead)  # the real task has one for the same body
        ahead.use()
        ahead.real_config = config
        for send_call in ahead.waiting_calls:
            send_call()
        ahead.waiting_calls.clear()
        try:
            while self.eager and (ahead.end is None or ahead.playing is not None):
                if ahead.playing is not None:
                    await asyncio.wait({ahead.playing})
                else:
                    await ahead.turn.wait()
            while True:
                await ahead.turn.wait()
                ahead.turn.clear()
                while ahead.outbox.emissions and self.keeps_turn(ahead):
                    if ahead.outbox.emissions[0].offset < TOGETHER:
                        # Siblings begin together: none waits for a handler of another.
                        self.end_turns(ahead)
                    for emission in ahead.outbox.take_next():
                        if emission.kind in (CUSTOM, STREAM):
                            self.play(emission, config)
                        elif ahead.player is not None:
                            await ahead.player.aplay(emission)
                if ahead.end is not None and not ahead.outbox.emissions and self.keeps_turn(ahead):
                    break
                self.pass_turn(ahead)
        except asyncio.CancelledError:
            ahead.handle.cancel()
            raise
        # The turn is passed on when LangGraph has committed this task (`task_ended`): what
        # others hand out must not overtake this one's update.
        return self.outcome(ahead, config)

    def committed(self, task_id: str, end: End) -> None:
        super().committed(task_id, end)
        if self._is_tapped and end is not End.FAILED:
            # The run's own chunk is an event too, and it comes when the consumer has taken
            # the update. Callbacks go out at once: those of the next task would overtake it.
            self._to_consume += 1
            self.on_loop(self._wait_consumed, _TURNS_TO_CONSUMER, self.loop.step)

    def began_step(self) -> None:
        self._to_consume = 0
        super().began_step()

    def _wait_consumed(self, turns: int, step: int) -> None:
        if self.loop is None or self.loop.step != step:
            return  # the step is over: the consumer has taken all of it
        if turns:
            self._aio.call_soon(self._wait_consumed, turns - 1, step)
            return
        self._to_consume -= 1
        self.pump()

    def pump(self) -> None:
        if not self._to_consume:
            super().pump()

    def keeps_turn(self, ahead: AheadTask) -> bool:
        return not self._to_consume and super().keeps_turn(ahead)

    def emit_now(self, ahead: AheadTask) -> None:
        self.on_loop(self._start_playing, ahead)

    def _start_playing(self, ahead: AheadTask) -> None:
        if ahead.playing is None and not ahead.dropped:
            ahead.playing = self._keep(self._aio.create_task(self._play_eagerly(ahead)))

    async def _play_eagerly(self, ahead: AheadTask) -> None:
        try:
            while ahead.outbox.emissions:
                emission = ahead.outbox.emissions.popleft()
                if emission.kind in (CUSTOM, STREAM):
                    self.play_eagerly(emission)
                elif ahead.player is not None:
                    await ahead.player.aplay(emission)
        finally:
            ahead.playing = None

    def play_now(self, player: Player, emissions: list[Emission]) -> None:
        async def play() -> None:
            for emission in emissions:
                await player.aplay(emission)

        if emissions:
            self.on_loop(lambda: self._keep(self._aio.create_task(play())))

    def _keep(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def task_call(self, ahead: AheadTask, call: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if ahead.real_config is not None:
            return ahead.real_config["configurable"][names.CONFIG_KEY_CALL](*call, **options)
        # Adopted, but LangGraph has not begun the real task yet: the call waits for it.
        answer: asyncio.Future[Any] = self._aio.create_future()

        def send_call() -> None:
            assert ahead.real_config is not None
            real = ahead.real_config["configurable"][names.CONFIG_KEY_CALL]
            names.chain_future(real(*call, **options), answer)

        ahead.waiting_calls.append(send_call)
        return answer

    def grant(self, ahead: AheadTask) -> None:
        self.on_loop(ahead.turn.set)

    def wake_later(self, ahead: AheadTask, at: float) -> None:
        self.on_loop(self._set_timer, at)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._aio.call_later(max(0.0, at - self.clock()), self.pump)

    def call_later(self, at: float, callback: Callable[[], None]) -> None:
        self.on_loop(self._call_later, at, callback)

    def _call_later(self, at: float, callback: Callable[[], None]) -> None:
        self._timers = [timer for timer in self._timers if timer.when() > self.clock()]
        self._timers.append(self._aio.call_at(at, callback))

    async def let_others_begin(self) -> None:
        await asyncio.sleep(0)

    def on_loop(self, callback: Callable[..., Any], *args: Any) -> None:
        if threading.get_ident() == self._thread:
            callback(*args)
        elif not self._aio.is_closed():
            self._aio.call_soon_threadsafe(callback, *args)

    # Permits -------------------------------------------------------------------------------

    def has_permit(self) -> bool:
        return self._permits is None or not self._permits.locked()

    def _give_permit_back(self, ahead: AheadTask) -> None:
        if ahead.holds_permit and self._permits is not None:
            ahead.holds_permit = False
            self._permits.release()
            self.slots_changed()

    # Ending --------------------------------------------------------------------------------

    async def aend(self) -> None:
        """LangGraph's exit begins: stop what runs ahead."""
        self.end()
        for timer in (self._timer, *self._timers):
            if timer is not None:
                timer.cancel()
        self._timers.clear()

    async def aclose(self) -> None:
        """LangGraph's exit is over: wait until all bodies are gone. Threads can't be ended."""
        for ahead in self.aheads.values():
            if ahead.handle is not None:
                ahead.handle.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)
        with self.lock:
            self.report.abandoned += self._busy_threads
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        self.forget()

    async def confirm_head(self) -> None:
        """Before a reserved checkpoint id is used: is the thread's head still our parent?"""
        loop = self.loop
        if not self.reservation.is_open(loop.step) or loop.checkpointer is None:
            return
        is_ours = self.has_exposed()
        if is_ours:
            saving = getattr(loop, "_put_checkpoint_fut", None)
            if saving is not None:
                await asyncio.wait({saving})
            head = await loop.checkpointer.aget_tuple(thread_config(loop))
            is_ours = head_id(head) == self.expected_head()
        self.reservation.confirm(loop.step, is_ours)


def thread_config(loop: Any) -> RunnableConfig:
    """A config that addresses the thread's latest checkpoint in the loop's namespace."""
    conf = dict(loop.checkpoint_config[names.CONF])
    conf.pop(names.CONFIG_KEY_CHECKPOINT_ID, None)
    return {"configurable": conf}


def head_id(head: Any) -> str | None:
    """The id of a checkpoint tuple, or None if the thread has none."""
    return None if head is None else head.checkpoint["id"]
