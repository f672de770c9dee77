"""How a graph comes to run on ALTO: a class built for it, or a switch for the whole process.

`stream` and `astream` stay LangGraph's own functions, rebound over a copy of their module's
globals in which the loop and runner classes are ours. (Both have no free variables, so this is
exact; no source is copied and nothing of LangGraph is changed.) The class is built per graph,
with our part *last* before `Pregel`, so a user's own overrides and their `super()` calls work.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.loop import AltoAsyncLoop, AltoRunner, AltoSyncLoop
from langgraph_alto._langgraph.reader import verdicts
from langgraph_alto._langgraph.rebinding import rebind_method
from langgraph_alto._langgraph.run import Settings
from langgraph_alto.errors import NotAGraphError
from langgraph_alto.options import Options

G = TypeVar("G", bound=Pregel[Any, Any, Any, Any])


class AltoPregel(Pregel[Any, Any, Any, Any]):
    """Marks accelerated graphs; `_alto_settings` says how."""

    _alto_settings: Settings


def _loops(settings: Settings) -> dict[str, Any]:
    return {
        "SyncPregelLoop": partial(AltoSyncLoop, settings=settings),
        "AsyncPregelLoop": partial(AltoAsyncLoop, settings=settings),
        "PregelRunner": AltoRunner,
    }


def _accelerated_class(original: type[Any], settings: Settings) -> type[Any]:
    loops = _loops(settings)
    part = type(
        "AltoPregel",
        (AltoPregel,),
        {
            "_alto_settings": settings,
            "stream": rebind_method(Pregel, "stream", **loops),
            "astream": rebind_method(Pregel, "astream", **loops),
        },
    )
    bases = (part,) if original is Pregel else (original, part)
    namespace = {"__module__": original.__module__, "__doc__": original.__doc__}
    built = type(original.__name__, bases, namespace)
    built.__qualname__ = original.__qualname__
    return built


def class_before(graph: Pregel[Any, Any, Any, Any]) -> type[Any]:
    """The class that a graph had before it was accelerated; its own if it was not."""
    if not isinstance(graph, AltoPregel):
        return type(graph)
    return next((b for b in type(graph).__bases__ if not issubclass(b, AltoPregel)), Pregel)


def copy_as(kind: type[Any], graph: G, inner: Callable[[str, Any], Any]) -> G:
    """A copy of a graph in another class; `inner` makes those of its node subgraphs.

    Args:
        kind: The class of the copy.
        graph: The graph; it is left as it is.
        inner: Called with a node's name and the subgraph that is the node's body.
    """
    copied: G = object.__new__(kind)
    copied.__dict__.update(graph.__dict__)
    copied.nodes = {name: _copy_node(name, node, inner) for name, node in graph.nodes.items()}
    return copied


def _copy_node(name: str, node: Any, inner: Callable[[str, Any], Any]) -> Any:
    subgraph = node.bound
    if not isinstance(subgraph, Pregel):
        return node
    made = inner(name, subgraph)
    return node.copy(
        {"bound": made, "subgraphs": [made if s is subgraph else s for s in node.subgraphs]}
    )


def accelerate_graph(graph: G, settings: Settings) -> G:
    """A copy of the graph, and of its node subgraphs, that runs on ALTO.

    One that was accelerated before gets the new settings, and the class it had then.
    """

    def inner(name: str, subgraph: Any) -> Any:
        path = (*(settings.path or ()), name)
        return accelerate_graph(subgraph, replace(settings, name=name, path=path))

    return copy_as(_accelerated_class(class_before(graph), settings), graph, inner)


_warned = False


def _is_supported() -> bool:
    global _warned  # noqa: PLW0603
    why = names.unsupported()
    if why is None:
        return True
    if not _warned:
        _warned = True
        warnings.warn(
            f"langgraph_alto: {why}. Graphs run on LangGraph's own executor, unaccelerated.",
            RuntimeWarning,
            stacklevel=3,
        )
    return False


def accelerate(
    graph: G,
    options: Options | None = None,
    runtime: object | None = None,
    tracer_provider: object | None = None,
) -> G:
    """Return a graph that does what `graph` does, on ALTO.

    The original is untouched. The result has the same type (a subclass of it) and interface;
    results, checkpoints and streams are LangGraph's.

    Args:
        graph: A compiled graph: `StateGraph.compile()`, an `@entrypoint`, or a `Pregel`.
        options: How to run it; see `Options`.
        runtime: Where node bodies run: None or `"local"`, in this process.
        tracer_provider: Who makes a trace of each run (OpenTelemetry); None: the global
            provider, if there is one when a run begins.

    Raises:
        NotAGraphError: (a TypeError) `graph` is not a compiled graph.
        DeclarationError: A declaration names an unknown node, tool, key or effect.

    Example:
        >>> from langgraph.graph import StateGraph, START
        >>> builder = StateGraph(dict)
        >>> _ = builder.add_node("hello", lambda state: {"said": "hello"})
        >>> _ = builder.add_edge(START, "hello")
        >>> accelerate(builder.compile()).invoke({})
        {'said': 'hello'}
    """
    if not isinstance(graph, Pregel):
        raise NotAGraphError(_not_a_graph(graph))
    options = options if options is not None else Options()
    if not isinstance(options, Options):
        raise TypeError(f"options must be an Options, not {type(options).__name__}.")
    if runtime not in (None, "local"):
        raise TypeError(f'runtime={runtime!r} is not one. Valid: None, "local".')
    if not _is_supported():
        return graph.copy()
    if options.nodes or options.tools or any(n.metadata for n in graph.nodes.values()):
        verdicts(graph.nodes, graph.channels, options)  # wrong declarations are told now
    settings = Settings(options, name=graph.name, path=(), tracer_provider=tracer_provider)
    return accelerate_graph(graph, settings)


def _not_a_graph(thing: object) -> str:
    kind = f"{type(thing).__module__}.{type(thing).__qualname__}"
    if isinstance(thing, StateGraph):
        return "accelerate() got a StateGraph: compile it first, accelerate(builder.compile())."
    if isinstance(thing, type):
        return f"accelerate() got the class {thing.__qualname__}: give it a compiled graph."
    if callable(thing) and not hasattr(thing, "invoke"):
        name = getattr(thing, "__name__", kind)
        return f"accelerate() got the function {name}: call it, or give it the graph it makes."
    return (
        f"accelerate() needs a compiled graph (StateGraph.compile(), @entrypoint, Pregel), "
        f"not {kind}."
    )


# The whole process -------------------------------------------------------------------------

_lock = threading.Lock()
_originals: dict[str, Any] = {}


def install(
    options: Options | None = None,
    runtime: object | None = None,
    tracer_provider: object | None = None,
) -> None:
    """Run every graph of this process on ALTO, compiled before or after.

    Graphs made by `accelerate` keep their own settings. Calling it again replaces the options.

    Example:
        >>> install(Options(max_ahead=16))
        >>> is_installed()
        True
        >>> uninstall()
    """
    options = options if options is not None else Options()
    if not isinstance(options, Options):
        raise TypeError(f"options must be an Options, not {type(options).__name__}.")
    if runtime not in (None, "local"):
        raise TypeError(f'runtime={runtime!r} is not one. Valid: None, "local".')
    if not _is_supported():
        return
    _replace(Settings(options, tracer_provider=tracer_provider))


def trace_langgraph(tracer_provider: object | None = None) -> None:
    """Make traces of LangGraph's own executor, for every graph of this process.

    Its loop and runner do all the work; what runs on ALTO is told the same way, so both traces
    can be laid side by side. Ended by `uninstall`.
    """
    if _is_supported():
        options = Options(run_ahead="off")
        _replace(Settings(options, tracer_provider=tracer_provider, executor="langgraph"))


def _replace(settings: Settings) -> None:
    loops = _loops(settings)
    with _lock:
        for name, replacement in loops.items():
            _originals.setdefault(name, getattr(names.pregel_main, name))
            setattr(names.pregel_main, name, replacement)


def uninstall() -> None:
    """Undo `install`. Runs that are under way end on ALTO. Harmless if it was not called."""
    with _lock:
        for name, original in _originals.items():
            setattr(names.pregel_main, name, original)
        _originals.clear()


def is_installed() -> bool:
    """Whether `install` is in force."""
    return bool(_originals)
