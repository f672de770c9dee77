"""The graphs that are compared: one on LangGraph's own executor, the others on ALTO."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langgraph.pregel import Pregel
from langgraph.store.memory import InMemoryStore

from langgraph_alto._langgraph.graph_reader import graph_spec
from langgraph_alto._langgraph.probe import probed
from langgraph_alto._langgraph.provenance import Provenance
from langgraph_alto._langgraph.seam import AltoPregel, accelerate, class_before, copy_as
from langgraph_alto.options import Options

Graph = Pregel[Any, Any, Any, Any]

LANGGRAPH = "langgraph"
AGAIN = "again"
"""LangGraph a second time: the noise."""
ALTO = "alto"
PARTIALS = "partials"
"""ALTO with `Options(partials=True)`: when the first partial output is there."""


@dataclass
class Side:
    """A graph to measure. `name` is one of the words above, or `ablate:CLASS`."""

    name: str
    graph: Graph
    keep_store: bool = False

    @property
    def is_alto(self) -> bool:
        """Whether it runs on ALTO."""
        return isinstance(self.graph, AltoPregel)

    def fresh(self) -> Graph:
        """The graph for one run: with a store of its own, if it has one in memory.

        What one run writes into a store the next one would read, on either executor.
        """
        store = self.graph.store
        if self.keep_store or not isinstance(store, InMemoryStore):
            return self.graph
        made: Graph = object.__new__(type(self.graph))
        made.__dict__.update(self.graph.__dict__)
        made.store = copy.deepcopy(store)
        return made


class Sides:
    """Makes the sides of a comparison from one graph.

    Args:
        graph: The graph; one that was accelerated runs on LangGraph's own executor too.
        options: The ALTO side's options.
    """

    def __init__(self, graph: Graph, options: Options) -> None:
        self.graph = graph
        self.options = options
        self.notes: list[str] = []
        self._plain = plain(graph)
        self._keep_store = not self._can_copy_store()
        self.provenance = Provenance(graph_spec(self._plain, options))

    def langgraph(self, name: str = LANGGRAPH) -> Side:
        """The graph on LangGraph's own executor."""
        return self._side(name, self._plain)

    def alto(self, name: str = ALTO, **changed: Any) -> Side:
        """The graph on ALTO, with some of the options changed."""
        values = {**vars(self.options), **changed}
        return self._side(name, accelerate(self._plain, Options(**values)))

    def _side(self, name: str, graph: Graph) -> Side:
        return Side(name, probed(graph), self._keep_store)

    def _can_copy_store(self) -> bool:
        store = self.graph.store
        if store is None:
            return True
        if isinstance(store, InMemoryStore):
            try:
                copy.deepcopy(store)
            except Exception:  # its embedding function may hold anything
                pass
            else:
                return True
        self.notes.append(
            f"All runs share the graph's store ({type(store).__name__}): what one run writes "
            "there the next one reads."
        )
        return False


def plain(graph: Graph) -> Graph:
    """A graph without acceleration; itself if it has none."""
    if not isinstance(graph, AltoPregel):
        return graph
    return copy_as(class_before(graph), graph, lambda _, inner: plain(inner))


Progress = Callable[[str, int, int], None]
"""Is told what runs, how many runs are done and how many there will be."""
