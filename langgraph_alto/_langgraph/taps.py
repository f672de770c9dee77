"""What looks at the body of a task for its partial outputs: at its chunks, and its attempts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.utils import AddableDict
from langgraph.types import PregelExecutableTask

from langgraph_alto._langgraph.members import Seat

if TYPE_CHECKING:
    from langgraph_alto._langgraph.partials import Partials


class Tap:
    """Shows what the body of one task yields, chunk by chunk (see `streaming.Follower`).

    It keeps what LangChain's sum of the chunks would be made of: a plain dict replaces what was
    there, an addable one adds to it, and so does a plain one behind it; what can't be added
    replaces everything.
    """

    def __init__(
        self, partials: Partials, task: PregelExecutableTask, seat: Seat, keys: Iterable[str]
    ) -> None:
        self._partials = partials
        self._task = task
        self._seat = seat
        self._keys = frozenset(keys)
        self._has_begun = False
        self._forget()

    def _forget(self) -> None:
        self._is_sum = False
        self._draft: dict[str, Any] | None = None
        self._last: dict[str, Any] = {}

    def began(self) -> None:
        """The body begins, maybe not for the first time."""
        if self._has_begun:
            self._partials.restarted(self._task, self._seat)
            self._forget()
        self._has_begun = True

    def took(self, chunk: Any) -> bool:
        """A chunk passed; nothing starts because of that."""
        if not isinstance(chunk, dict):
            self._void()
            return False
        if not self._fits(chunk):
            self._void()
        if self._is_sum or isinstance(chunk, AddableDict):
            if self._draft is not None:
                draft = self._draft
                self._void()
                self._give(draft)
            self._is_sum = True
            self._give(chunk)
        else:
            if self._draft is not None:
                lost = self._draft.keys() - chunk.keys()
                self._partials.dropped(self._task, self._seat, sorted(lost, key=str))
            self._draft, self._last = chunk, {}
            self._note(chunk)
            for key, value in chunk.items():
                if key in self._keys:
                    self._partials.gave_draft(self._task, self._seat, key, value)
        return False

    async def let_others_begin(self) -> None:
        """Nothing was started."""

    def _fits(self, chunk: dict[str, Any]) -> bool:
        """Whether the chunk adds to what is there; a plain one on a plain one replaces it."""
        if not self._is_sum and not isinstance(chunk, AddableDict):
            return True
        for key, value in chunk.items():
            last = self._last.get(key)
            if last is not None and value is not None:
                try:
                    last + value
                except Exception:
                    return False
        return True

    def _note(self, chunk: dict[str, Any]) -> None:
        for key, value in chunk.items():
            if value is not None:
                self._last[key] = [] if isinstance(value, list) else value

    def _give(self, chunk: dict[str, Any]) -> None:
        self._note(chunk)
        for key, value in chunk.items():
            if value is None or key not in self._keys:
                continue
            if isinstance(value, list):
                for element in value:
                    self._partials.gave_element(self._task, self._seat, key, element)
            else:
                self._partials.gave_value(self._task, self._seat, key, value)

    def _void(self) -> None:
        if self._is_sum or self._draft is not None:
            self._partials.restarted(self._task, self._seat)
        self._forget()


class Attempts(Runnable[Any, Any]):
    """A task's body below LangGraph's retry loop: a second call is a second attempt."""

    def __init__(self, partials: Partials, task: PregelExecutableTask, seat: Seat) -> None:
        self._partials = partials
        self._task = task
        self._seat = seat
        self._body: Runnable[Any, Any] = task.proc
        self._has_begun = False
        self.name = getattr(task.proc, "name", None)

    def _begin(self) -> None:
        if self._has_begun:
            self._partials.restarted(self._task, self._seat)
        self._has_begun = True

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        self._begin()
        return self._body.invoke(input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        self._begin()
        return await self._body.ainvoke(input, config, **kwargs)

    def stream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        self._begin()
        yield from self._body.stream(input, config, **kwargs)

    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        self._begin()
        async for chunk in self._body.astream(input, config, **kwargs):
            yield chunk
