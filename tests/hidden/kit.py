"""What rows are made of: the case that a row gives, the table, and the usual graphs."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send


class State(TypedDict, total=False):
    """The usual state: what each of the two siblings wrote, and what those after them saw."""

    left: Any
    right: Any
    after_left: Any
    after_right: Any


@dataclass
class Case:
    """One graph, ready to run once.

    Attributes:
        graph: The compiled graph.
        input: Its input.
        effect: Gives what the run left outside of the state.
        context: The run's context.
        config: Its config.
        prepare: Called in the context of the run, before it.
        close: Called at the very end.
    """

    graph: Any
    input: Any = field(default_factory=dict)
    effect: Callable[[], Any] | None = None
    context: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[], Any] | None = None
    close: Callable[[], Any] = lambda: None


Build = Callable[[Path], Case]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        build: Makes the case; it gets an empty directory.
        held: Reasons for which nodes of the graph are held.
        why_equal: Why even with everything trusted the result is LangGraph's; None: it is not.
        twins: How it runs: "async" and "sync", or one of them.
        declared: What `Options` declares when everything is trusted.
        runs_ahead: So many tasks must run ahead, whoever is slow.
    """

    build: Build
    held: frozenset[str] = frozenset()
    why_equal: str | None = None
    declared: Mapping[str, Any] = field(default_factory=dict)
    runs_ahead: int = 0
    twins: tuple[str, ...] = ("async", "sync")


Table = dict[str, Row]


def row(
    table: Table,
    *held: str,
    why_equal: str | None = None,
    declared: Mapping[str, Any] | None = None,
    runs_ahead: int = 0,
    twins: tuple[str, ...] = ("async", "sync"),
) -> Callable[[Build], Build]:
    """Put a function into the table under its name."""

    def add(build: Build) -> Build:
        assert build.__name__ not in table, f"two rows are called {build.__name__}"
        reasons = frozenset(held)
        table[build.__name__] = Row(build, reasons, why_equal, declared or {}, runs_ahead, twins)
        return build

    return add


# Graphs ---------------------------------------------------------------------------------------


def beside(
    schema: Any,
    left: Sequence[Callable[..., Any]],
    right: Sequence[Callable[..., Any]],
    *,
    before: Sequence[Callable[..., Any]] = (),
    context_schema: Any = None,
    **compiled: Any,
) -> Any:
    """Two chains of nodes that begin together, after `before`. Functions name their nodes."""
    builder = StateGraph(schema, context_schema)
    for function in (*before, *left, *right):
        builder.add_node(name_of(function), function)
    for branch in (left, right):
        chain = [START, *map(name_of, (*before, *branch)), END]
        for here, there in itertools.pairwise(chain):
            if (here, there) not in builder.edges:
                builder.add_edge(here, there)
    return builder.compile(**compiled)


def name_of(function: Any) -> str:
    """The name of a function, a partial of one, or an object with a name."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    found = getattr(function, "__name__", None) or function.name
    return str(found)


def rounds(work: Callable[..., Any], schema: Any, plan: Any = None, **compiled: Any) -> Any:
    """Two tasks of one node, left and right, each of which sends the node to its next round.

    `work` gets `{"who": …, "round": …}` and ends with `next_round`.
    """
    builder = StateGraph(schema)
    builder.add_node("plan", plan or (lambda state: {}))
    builder.add_node("work", work, destinations=("work",))
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", both, ["work"])
    return builder.compile(**compiled)


def both(state: Any) -> list[Send]:
    """The first round."""
    return [Send("work", {"who": who, "round": 1}) for who in ("left", "right")]


def in_order(saw: Iterable[Any]) -> list[Any]:
    """What tasks of one step saw, in an order that does not depend on who ended first."""
    return sorted(saw, key=repr)


def next_round(arg: Any, saw: Any = None, *, last: int = 2) -> Command[Any]:
    """Ends a task of `rounds`: the next round of the same side, and what this one saw."""
    goto = [Send("work", {**arg, "round": arg["round"] + 1})] if arg["round"] < last else []
    update = {} if saw is None else {"saw": [[arg["who"], arg["round"], saw]]}
    return Command(goto=goto, update=update)


class Saw(TypedDict, total=False):
    """What the tasks of `rounds` saw."""

    saw: Annotated[list[Any], operator.add]
