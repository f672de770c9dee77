"""What a run needs done on an event loop or on threads.

`run_async.AsyncRun` and `run_sync.SyncRun` implement it; `run.Run` decides, in the classes between.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from langgraph_alto._langgraph.ahead import AheadTask
from langgraph_alto._langgraph.recorder import Emission, Player
from langgraph_alto.core.spec import Names


class Driver(ABC):
    """Starts, stops, wakes; `loop` is LangGraph's loop, `lock` guards every decision."""

    loop: Any
    lock: threading.RLock
    clock: Callable[[], float]
    eager: bool
    is_closed: bool
    use_astream = False

    @abstractmethod
    def spawn(self, ahead: AheadTask) -> None:
        """Start the body."""

    @abstractmethod
    def cancel(self, ahead: AheadTask) -> None:
        """Stop the body of a discarded task as far as it can be stopped."""

    @abstractmethod
    def claim(self, ahead: AheadTask) -> bool:
        """Whether the body has begun; a queued one is taken back for the real task to run."""

    @abstractmethod
    def open_gate(self, ahead: AheadTask) -> None:
        """Let a body that waits for its adoption go on."""

    @abstractmethod
    def grant(self, ahead: AheadTask) -> None:
        """It is this task's turn."""

    @abstractmethod
    def wake_later(self, ahead: AheadTask, at: float) -> None:
        """Call `pump` at that time of the clock."""

    def age_to_note(self, ahead: AheadTask) -> float:
        """The age to note beside what the body emits now."""
        return ahead.age()

    @abstractmethod
    def call_later(self, at: float, callback: Callable[[], None]) -> None:
        """Call back at that time of the clock, unless the run is closed by then."""

    def on_loop(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call back where the stream may be written to: soon if that is another thread."""
        callback(*args)

    async def let_others_begin(self) -> None:  # noqa: B027 - threads need no help
        """Let what was just started begin."""

    @abstractmethod
    def adapt(self, ahead: AheadTask, bound: Runnable[Any, Any]) -> Runnable[Any, Any]:
        """The node's own runnable, made fit to run beside real tasks."""

    @abstractmethod
    def has_permit(self) -> bool:
        """Whether `max_concurrency` leaves room for one more body."""

    def deliver(self, ahead: AheadTask, config: RunnableConfig) -> Any:
        raise TypeError("This graph runs asynchronously; its tasks can't be run synchronously.")

    async def adeliver(self, ahead: AheadTask, config: RunnableConfig) -> Any:
        raise TypeError("This graph runs synchronously; its tasks can't be awaited.")

    def wait_at_gate(self, ahead: AheadTask, reads: Names | None) -> None:
        """Return when the task is real, or `ahead.state` holds what its router reads."""
        ahead.require_real("a synchronous router in an asynchronous run")

    async def await_at_gate(self, ahead: AheadTask, reads: Names | None) -> None:
        """The same for an asynchronous run."""
        ahead.require_real("an asynchronous router in a synchronous run")

    @abstractmethod
    def emit_now(self, ahead: AheadTask) -> None:
        """Hand out what a body emitted without waiting for anything (`emit="eager"`)."""

    @abstractmethod
    def play_now(self, player: Player, emissions: list[Emission]) -> None:
        """Hand callbacks out without waiting for anything."""

    @abstractmethod
    def task_call(self, ahead: AheadTask, call: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A `@task` call of an adopted body, made by its real task."""

    def task_calls(self, ahead: AheadTask) -> Any:
        """What a `@task` call finds in a run-ahead body: it needs the real task."""

        def call(*args: Any, **kwargs: Any) -> Any:
            ahead.require_real("@task call")
            return self.task_call(ahead, args, kwargs)

        return call

    def permit_unused(self) -> None:  # noqa: B027 - only the synchronous driver takes permits
        """A start that was allowed did not happen."""
