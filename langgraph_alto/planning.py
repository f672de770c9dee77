"""`plan(graph)`: what ALTO would start early in a graph, and why not the rest."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.graph_reader import graph_spec
from langgraph_alto._langgraph.reader import verdicts
from langgraph_alto._langgraph.seam import AltoPregel
from langgraph_alto.core import plan as core
from langgraph_alto.core.beside import END
from langgraph_alto.core.effects import Rank, Verdict
from langgraph_alto.core.planner import SEPARATOR, Setting, streaming_plan
from langgraph_alto.errors import DeclarationError, NotAGraphError, TargetError
from langgraph_alto.options import Options
from langgraph_alto.plan_rendering import (
    plan_to_json,
    plan_to_mermaid,
    plan_to_text,
    print_plan,
)
from langgraph_alto.targets import load_target

Graph = Pregel[Any, Any, Any, Any]


class StreamingPlan(core.StreamingPlan):
    """What `plan` found: nodes, edges, levels, and why a node is held.

    `str(plan)` is a table with reasons; see `core.plan.StreamingPlan` for the fields.
    """

    def __str__(self) -> str:
        return plan_to_text(self)

    def to_mermaid(self) -> str:
        """The plan as a Mermaid diagram, as GitHub and LangGraph Studio show it."""
        return plan_to_mermaid(self)

    def to_json(self) -> str:
        """The plan as JSON text, described by `plan.schema.json` in this package."""
        return plan_to_json(self)


def plan(graph: Graph, options: Options | None = None) -> StreamingPlan:
    """Say what ALTO would start early in a graph; nothing is run.

    Args:
        graph: A compiled graph, accelerated or not.
        options: How it would run; None: as it was accelerated, else the defaults.

    Raises:
        NotAGraphError: (a TypeError) `graph` is not a compiled graph.
        DeclarationError: A declaration names an unknown node, tool, key or effect.

    Example:
        >>> from langgraph.graph import StateGraph, START
        >>> builder = StateGraph(dict)
        >>> _ = builder.add_node("hello", lambda state: {"said": "hello"})
        >>> _ = builder.add_edge(START, "hello")
        >>> plan(builder.compile()).nodes["hello"].starts
        'certain'
    """
    if not isinstance(graph, Pregel):
        raise NotAGraphError(_not_a_graph(graph))
    if options is None:
        options = graph._alto_settings.options if isinstance(graph, AltoPregel) else Options()
    spec = graph_spec(graph, options)
    setting = Setting(
        run_ahead=options.run_ahead,
        resumable=graph.checkpointer not in (None, False),
        off=_off(graph, options),
        functions=dict(_functions(graph, "")),
        objects=frozenset(_objects(graph, "")),
        ends=frozenset(_ends(graph, "")),
    )
    found = streaming_plan(spec, dict(_verdicts(graph, options, ())), setting)
    notes = (*_notes(graph), *found.notes)
    return StreamingPlan(**{**vars(found), "notes": notes})


def show_plan(target: str, form: str, options: Options | None) -> None:
    """`langgraph-alto plan`: load a TARGET and print its plan.

    Args:
        target: What to load (`targets`).
        form: "text", "mermaid" or "json".
        options: How it would run; None: as it was accelerated, else as the environment says.

    Raises:
        TargetError: There is no such graph, or it has a declaration that can't mean anything.
    """
    graph = load_target(target)
    if options is None and not isinstance(graph, AltoPregel):
        options = Options.from_environment()
    try:
        found = plan(graph, options)
    except DeclarationError as error:
        raise TargetError(f"{target}: {error}") from None
    if form == "text":
        from rich.console import Console

        console = Console()
        if console.is_terminal:
            print_plan(found, console)
            return
    text = {"mermaid": found.to_mermaid, "json": found.to_json}.get(form, found.__str__)()
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # `| head` has read enough. Python would complain once more when it flushes at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _not_a_graph(thing: object) -> str:
    if isinstance(thing, StateGraph):
        return "plan() got a StateGraph: compile it first, plan(builder.compile())."
    kind = f"{type(thing).__module__}.{type(thing).__qualname__}"
    return f"plan() needs a compiled graph (StateGraph.compile(), @entrypoint, Pregel), not {kind}."


def _off(graph: Graph, options: Options) -> str | None:
    """Why nothing of the graph would start early, in whatever run."""
    if (why := names.unsupported()) is not None:
        return why
    if options.run_ahead == "off":
        return 'Options(run_ahead="off")'
    if graph.interrupt_before_nodes or graph.interrupt_after_nodes:
        return "breakpoints (interrupt_before/interrupt_after)"
    return "step_timeout" if graph.step_timeout is not None else None


def _subgraph(node: Any) -> Graph | None:
    """The graph that a node is."""
    return node.bound if isinstance(node.bound, Pregel) else None


def _verdicts(
    graph: Graph, options: Options, path: tuple[str, ...]
) -> Iterator[tuple[str, Verdict]]:
    """The verdict on each node, in subgraphs under `"parent:child"`."""
    for name, verdict in verdicts(graph.nodes, graph.channels, options, parent=path).items():
        node = graph.nodes[name]
        yield SEPARATOR.join((*path, name)), _with_timeout(verdict, node)
        if (inner := _subgraph(node)) is not None:
            yield from _verdicts(inner, options, (*path, name))


def _with_timeout(verdict: Verdict, node: Any) -> Verdict:
    """A router after a node with a timeout would wait in the node's own time."""
    routes = any(not isinstance(writer, names.ChannelWrite) for writer in node.flat_writers)
    if node.timeout is None or not routes:
        return verdict
    return dataclasses.replace(
        verdict, rank=Rank.HELD, reason="timeout with a router", detail="", unlock=None
    )


def _functions(graph: Graph, prefix: str) -> Iterator[tuple[str, str]]:
    """The names under which the nodes' functions can be written into `add_node`."""
    for name, node in graph.nodes.items():
        function = getattr(node.bound, "func", None) or getattr(node.bound, "afunc", None)
        written = getattr(function, "__name__", None)
        if isinstance(written, str) and written.isidentifier():
            yield prefix + name, written
        if (inner := _subgraph(node)) is not None:
            yield from _functions(inner, f"{prefix}{name}{SEPARATOR}")


def _objects(graph: Graph, prefix: str) -> Iterator[str]:
    """The nodes whose input is made into an object of a class (pydantic, a dataclass)."""
    for name, node in graph.nodes.items():
        if node.mapper is not None or isinstance(node.channels, str):
            yield prefix + name
        if (inner := _subgraph(node)) is not None:
            yield from _objects(inner, f"{prefix}{name}{SEPARATOR}")


def _ends(graph: Graph, prefix: str) -> Iterator[tuple[str, str | None]]:
    """The nodes that may lead to the end, and the routers that do (None: an edge)."""
    builder = getattr(graph, "builder", None)
    if isinstance(builder, StateGraph):
        for source, target in builder.edges:
            if target == END:
                yield prefix + source, None
        for source, routers in builder.branches.items():
            for name, router in routers.items():
                if END in (router.ends or {}).values():
                    yield prefix + source, name
    for name, node in graph.nodes.items():
        if (inner := _subgraph(node)) is not None:
            yield from _ends(inner, f"{prefix}{name}{SEPARATOR}")


def _notes(graph: Graph) -> Iterator[str]:
    """What a plan can't show of a graph that no StateGraph made."""
    builder = getattr(graph, "builder", None)
    if isinstance(builder, StateGraph):
        return
    channels: Mapping[str, Any] = graph.channels
    if "__previous__" in channels:
        yield (
            "a functional graph (@entrypoint) is one node: its @task calls are made by its own "
            "code, and start when they are called"
        )
    else:
        yield "a raw Pregel graph: what its nodes write by their own code can't be read"
