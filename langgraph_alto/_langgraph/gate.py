"""Before a router of a run-ahead body: it reads the state of a step that has not begun.

The body waits at the gate until what the router reads is settled, or until its task is real. In
the first case the router sees the settled channels only; a router that looks at anything else
waits for the real task after all (`NarrowedState`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
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
        self._reads = None if facts is None else reads_of(router, facts)
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
        branch = _branch_of(self._router)

        def ask(state: NarrowedState, key: str | None) -> None:
            self._ahead.require_real("its router reads more of the state")
            self._ahead.state = None
            value = self._reader(config)
            passed = {} if not isinstance(input, dict) or branch.input_schema else input
            state.complete({**passed, **value})

        return narrowed(self._router, self._channels - self._reads, ask)


Ask = Callable[[NarrowedState, "str | None"], None]
"""Called with a state and the key that it lacks, or None for the whole. It completes the state,
or raises."""


def narrowed(router: Runnable[Any, Any], hidden: Names, ask: Ask) -> Runnable[Any, Any]:
    """The router, given a state that knows that it lacks the hidden keys."""
    branch = _branch_of(router)
    if not hidden or branch is None:
        return router
    path = branch._replace(path=_NarrowedPath(branch.path, hidden, ask))
    made: Any = copy.copy(router)
    made.func, made.afunc = path._route, path._aroute
    return made  # type: ignore[no-any-return]


def _branch_of(router: Any) -> Any:
    return getattr(getattr(router, "func", None), "__self__", None)


def _reader_of(router: Any) -> Any:
    return (getattr(router, "kwargs", None) or {}).get("reader")


def reads_of(router: Any, facts: RouterSpec) -> Names | None:
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

    def __init__(self, path: Runnable[Any, Any], hidden: Names, ask: Ask) -> None:
        self._path = path
        self._hidden = hidden
        self._ask = ask
        self.name = getattr(path, "name", None)

    def _narrow(self, value: Any) -> Any:
        if type(value) is not dict:
            return value
        known = {k: v for k, v in value.items() if k not in self._hidden}
        state = NarrowedState(known, self._hidden)
        state.ask = partial(self._ask, state)
        return state

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self._path.invoke(self._narrow(input), config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return await self._path.ainvoke(self._narrow(input), config, **kwargs)
