"""Before a router of a run-ahead body: it reads the state of a step that has not begun.

The body waits at the gate until what the router reads is settled, or until its task is real. In
the first case the router sees the settled channels only; a router that looks at anything else
waits for the real task after all (`NarrowedState`).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import Runnable, RunnableConfig

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.narrowed import NarrowedState
from langgraph_alto.core.spec import Names, RouterSpec

if TYPE_CHECKING:
    from langgraph_alto._langgraph.ahead import AheadTask


class Gate(Runnable[Any, Any]):
    """Lets a router run when what it reads is known.

    Args:
        ahead: The task whose body the router belongs to.
        router: The router, as LangGraph built it.
        facts: What is known of it; None: it waits for the real task.
    """

    def __init__(
        self, ahead: AheadTask, router: Runnable[Any, Any], facts: RouterSpec | None
    ) -> None:
        self._ahead = ahead
        self._router = router
        self.name = getattr(router, "name", None)
        self._reader = _reader_of(router)
        self._reads = None if facts is None else _reads_of(router, facts)
        self._channels = frozenset() if facts is None else facts.channels

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        self._ahead.run.wait_at_gate(self._ahead, self._reads)
        return self._passable(input, config).invoke(input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        await self._ahead.run.await_at_gate(self._ahead, self._reads)
        return await self._passable(input, config).ainvoke(input, config, **kwargs)

    def _passable(self, input: Any, config: RunnableConfig | None) -> Runnable[Any, Any]:
        """The router; with a narrowed state if it runs before its task is real."""
        if self._ahead.state is None or self._reads is None:
            return self._router
        hidden = self._channels - self._reads
        branch: Any = getattr(getattr(self._router, "func", None), "__self__", None)
        if not hidden or branch is None:
            return self._router

        def complete() -> dict[str, Any]:
            self._ahead.state = None
            value = self._reader(config)
            passed = {} if not isinstance(input, dict) or branch.input_schema else input
            return {**passed, **value}

        path = _NarrowedPath(self._ahead, branch.path, hidden, complete)
        narrowed = branch._replace(path=path)
        router: Any = copy.copy(self._router)
        router.func, router.afunc = narrowed._route, narrowed._aroute
        return router  # type: ignore[no-any-return]


def _reader_of(router: Any) -> Any:
    return (getattr(router, "kwargs", None) or {}).get("reader")


def _reads_of(router: Any, facts: RouterSpec) -> Names | None:
    """The channels that must be settled; a schema's mapper looks at all that it is given."""
    if not isinstance(router, names.RunnableCallable):
        return None
    reader = _reader_of(router)
    if reader is None:
        return frozenset()  # it is handed the node's own result
    keywords = getattr(reader, "keywords", None)
    if keywords is None:
        return None
    if facts.reads is None or keywords.get("mapper") is not None:
        return facts.channels
    return facts.reads & facts.channels


class _NarrowedPath(Runnable[Any, Any]):
    """A router's function, given a state that knows what it lacks."""

    def __init__(
        self, ahead: AheadTask, path: Runnable[Any, Any], hidden: Names, complete: Any
    ) -> None:
        self._ahead = ahead
        self._path = path
        self._hidden = hidden
        self._complete = complete
        self.name = getattr(path, "name", None)

    def _narrow(self, value: Any) -> Any:
        if type(value) is not dict:
            return value
        known = {k: v for k, v in value.items() if k not in self._hidden}
        state = NarrowedState(known, self._hidden)

        def ask(key: str | None) -> None:
            self._ahead.require_real("its router reads more of the state")
            state.complete(self._complete())

        state.ask = ask
        return state

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self._path.invoke(self._narrow(input), config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return await self._path.ainvoke(self._narrow(input), config, **kwargs)
