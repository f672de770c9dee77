"""The chunk of a node that hands on its result piece by piece."""

from __future__ import annotations

from langchain_core.runnables.utils import AddableDict


class Partial(AddableDict):
    """A part of a node's update: a generator node's chunks of this kind add up.

    It is LangChain's `AddableDict`, with a name for what it is here. LangGraph's own executor
    adds such chunks up too and goes on when the node has ended; on ALTO a list element that was
    yielded is final, so what a router makes of it starts while the node still runs. (Of plain
    dicts that a node yields, the last one counts.)

    Example:
        >>> async def plan(state):
        ...     for section in ("introduction", "results"):
        ...         yield Partial(sections=[section])
        >>> Partial(sections=["introduction"]) + Partial(sections=["results"])
        {'sections': ['introduction', 'results']}
    """
