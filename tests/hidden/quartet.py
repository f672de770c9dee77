"""The usual four nodes: two siblings, and one after each of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.hidden.kit import State, beside
from tests.hidden.waiting import apause

Remember = Callable[[str], Awaitable[Any]]
Recall = Callable[[], Awaitable[Any]]


def quartet(remember: Remember, recall: Recall, **compiled: Any) -> Any:
    """Each sibling remembers something in a hidden place; those after them look it up.

    The state tells nobody of it: it says that the nodes of one branch have nothing to do with
    those of the other.
    """

    async def left(state: State) -> State:
        await apause("left")
        await remember("left")
        return {"left": "done"}

    async def right(state: State) -> State:
        await apause("right")
        await remember("right")
        return {"right": "done"}

    async def after_left(state: State) -> State:
        return {"after_left": [state["left"], await recall()]}

    async def after_right(state: State) -> State:
        return {"after_right": [state["right"], await recall()]}

    return beside(State, [left, after_left], [right, after_right], **compiled)


Change = Callable[[Any, str], Awaitable[Any]]
Look = Callable[[Any], Awaitable[Any]]


def over_state(schema: Any, change: Change, look: Look, *before: Any, **compiled: Any) -> Any:
    """The same for nodes that are handed the state: one changes it, the other looks at it."""

    async def left(state):  # type: ignore[no-untyped-def]
        await apause("left")
        return {"left": await change(state, "left")}

    async def right(state):  # type: ignore[no-untyped-def]
        await apause("right")
        return {"right": await change(state, "right")}

    async def after_left(state):  # type: ignore[no-untyped-def]
        return {"after_left": await look(state)}

    async def after_right(state):  # type: ignore[no-untyped-def]
        return {"after_right": await look(state)}

    chains = [left, after_left], [right, after_right]
    return beside(schema, *chains, before=before, **compiled)


def taking_turns(draw: Recall, **compiled: Any) -> Any:
    """Four nodes that each draw from one source: who draws first gets the first."""

    async def left(state: State) -> State:
        await apause("left")
        return {"left": await draw()}

    async def right(state: State) -> State:
        await apause("right")
        return {"right": await draw()}

    async def after_left(state: State) -> State:
        await apause("left")
        return {"after_left": await draw()}

    async def after_right(state: State) -> State:
        await apause("right")
        return {"after_right": await draw()}

    return beside(State, [left, after_left], [right, after_right], **compiled)
