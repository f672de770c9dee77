"""What stands in for the body of a real task whose body runs, or ran, ahead."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.types import PregelExecutableTask, RetryPolicy

if TYPE_CHECKING:
    from langgraph_alto._langgraph.ahead import AheadTask

_NO_RETRY = (RetryPolicy(retry_on=lambda _: False),)
_NOTE = "During task with name "


class AdoptedBody(Runnable[Any, Any]):
    """Hands out what the run-ahead body emits, in its turn, and then its result.

    It sits at `task.proc`, below LangGraph's retry loop, so errors, interrupts and parent
    commands take LangGraph's own way.
    """

    def __init__(self, ahead: AheadTask, real: Runnable[Any, Any]) -> None:
        self._ahead = ahead
        self._real = real
        self.name = getattr(real, "name", None)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        assert config is not None
        return self._ahead.run.deliver(self._ahead, config)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        assert config is not None
        return await self._ahead.run.adeliver(self._ahead, config)

    def stream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        yield self.invoke(input, config)

    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        yield await self.ainvoke(input, config)


def stand_in(task: PregelExecutableTask, ahead: AheadTask) -> None:
    """Let a real task take its result from a run-ahead body.

    Retries and timeouts were that body's own, so the real task has none of its own on top.
    """
    object.__setattr__(task, "proc", AdoptedBody(ahead, task.proc))
    object.__setattr__(task, "retry_policy", _NO_RETRY)
    object.__setattr__(task, "timeout", None)


def without_note(error: BaseException) -> BaseException:
    """Take off the note that names the provisional task; LangGraph adds it for the real one."""
    notes = getattr(error, "__notes__", None)
    if notes and notes[-1].startswith(_NOTE):
        notes.pop()
    return error
