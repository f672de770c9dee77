"""`langgraph-alto run`: one run of a graph, its result or its stream as JSON on stdout.

What the graph raises passes through unchanged.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langgraph_alto._import_hook import SWITCH
from langgraph_alto.errors import TargetError
from langgraph_alto.options import Options
from langgraph_alto.rendering import print_report, to_json
from langgraph_alto.targets import Target, find_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.pregel import Pregel


@dataclass(frozen=True)
class RunRequest:
    """What the command line asked for.

    `executor` is `"alto"` or `"langgraph"`. Without `options` a graph runs with those that
    its own module installed, or else with those of `LANGGRAPH_ALTO_OPTIONS`. With
    `stream_modes` the chunks are printed instead of the result; `quiet` prints neither. `otlp` is
    where its trace goes.
    """

    target: str
    input: Any
    config: Mapping[str, Any] = field(default_factory=dict)
    executor: str = "alto"
    options: Options | None = None
    stream_modes: Sequence[str] = ()
    report: bool = False
    otlp: str | None = None
    quiet: bool = False


def run(request: RunRequest) -> None:
    """Load the target, run it once, print what came out.

    Raises:
        TargetError: The target can't be loaded or is no graph.
    """
    if request.executor == "langgraph":
        os.environ[SWITCH] = "0"  # also for what the target starts or imports
    target = find_target(request.target)
    made = target.make()
    with _traced(request.otlp), _reported(request.report):
        if isinstance(made, Awaitable):
            asyncio.run(_make_and_run(target, made, request))
            return
        graph = target.check(made)
        _choose_executor(request)
        if is_async(graph):
            asyncio.run(_run_async(graph, request))
        else:
            _run_sync(graph, request)


async def _make_and_run(target: Target, made: Awaitable[Any], request: RunRequest) -> None:
    """Run a graph in the event loop in which its function made it."""
    graph = target.check(await made)
    _choose_executor(request)
    await _run_async(graph, request)


def _run_sync(graph: Pregel[Any, Any, Any, Any], request: RunRequest) -> None:
    if not request.stream_modes:
        _print_result(graph.invoke(request.input, _config(request)), request)
        return
    for chunk in graph.stream(request.input, _config(request), stream_mode=_modes(request)):
        _print_chunk(chunk)


async def _run_async(graph: Pregel[Any, Any, Any, Any], request: RunRequest) -> None:
    if not request.stream_modes:
        _print_result(await graph.ainvoke(request.input, _config(request)), request)
        return
    stream = graph.astream(request.input, _config(request), stream_mode=_modes(request))
    async for chunk in stream:
        _print_chunk(chunk)


def _print_result(result: Any, request: RunRequest) -> None:
    if not request.quiet:
        print(to_json(result, indent=2))


def _config(request: RunRequest) -> Any:
    return dict(request.config)


def _modes(request: RunRequest) -> Any:
    """One mode as a string, which gives bare chunks; several as a list, which gives pairs."""
    modes = list(request.stream_modes)
    return modes[0] if len(modes) == 1 else modes


def _print_chunk(chunk: Any) -> None:
    print(to_json(chunk), flush=True)


def _choose_executor(request: RunRequest) -> None:
    import langgraph_alto

    if request.executor == "langgraph":
        langgraph_alto.uninstall()
        if _is_traced(request.otlp):
            from langgraph_alto._langgraph.seam import trace_langgraph

            trace_langgraph()
    elif request.options is not None or not langgraph_alto.is_installed():
        langgraph_alto.install(request.options or Options.from_environment())


@contextmanager
def _reported(wanted: bool) -> Iterator[None]:
    """Print the reports of the runs inside to stderr, also when a run fails."""
    if not wanted:
        yield
        return
    from rich.console import Console

    from langgraph_alto.report import record

    console = Console(stderr=True)
    with record() as runs:
        try:
            yield
        finally:
            sys.stdout.flush()
            if runs:
                print_report(runs, console)
            else:
                console.print("No report: no graph ran on the ALTO executor.")


def _is_traced(otlp: str | None) -> bool:
    """Whether `--otlp` or OpenTelemetry's own variables ask for a trace."""
    from langgraph_alto.observe import observer_for

    return otlp is not None or observer_for() is not None


@contextmanager
def _traced(otlp: str | None) -> Iterator[None]:
    """Send traces there while the block runs; say on stderr what did not arrive."""
    if otlp is None:
        yield
        return
    from langgraph_alto import otel

    try:
        tracing = otel.configure(otlp)
    except (ModuleNotFoundError, ValueError) as error:
        missing = "pip install 'langgraph-alto[otlp]'"
        reason = missing if isinstance(error, ModuleNotFoundError) else error
        raise TargetError(f"--otlp: {reason}") from None
    try:
        yield
    finally:
        lost = tracing.shutdown()
        if lost:
            sys.stdout.flush()
            print(f"langgraph-alto: {lost} spans did not reach {otlp}", file=sys.stderr)


def is_async(graph: Any) -> bool:
    """Whether a graph has a node, router or tool that only an event loop can run.

    Such a graph fails under `invoke`. The others run under `invoke`, as many checkpointers
    that an app opens in a script (SqliteSaver) only work there.
    """
    return any(_is_async_only(part) for part in _parts(graph))


def _parts(graph: Any) -> Iterable[Any]:
    """What a graph is made of: node bodies, their steps and tools, routers, subgraphs'."""
    for node in graph.nodes.values():
        yield from _parts_of_body(node.bound)
    branches = getattr(getattr(graph, "builder", None), "branches", {})
    for routers in branches.values():
        for router in routers.values():
            yield from _parts_of_body(router.path)


def _parts_of_body(body: Any) -> Iterable[Any]:
    if isinstance(getattr(body, "nodes", None), Mapping) and hasattr(body, "channels"):
        yield from _parts(body)
        return
    yield body
    for step in getattr(body, "steps", ()):
        yield from _parts_of_body(step)
    yield from getattr(body, "tools_by_name", {}).values()


def _is_async_only(part: Any) -> bool:
    """LangChain's and LangGraph's callables keep their two forms in attributes.

    `func` and `afunc` for runnables, `func` and `coroutine` for tools.
    """
    has_async = getattr(part, "afunc", None) or getattr(part, "coroutine", None)
    return bool(has_async) and getattr(part, "func", None) is None
