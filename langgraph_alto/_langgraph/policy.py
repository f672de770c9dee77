"""What a run allows to start early, read off LangGraph's loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from langchain_core.tracers.langchain import LangChainTracer

from langgraph_alto._langgraph import chaos, names
from langgraph_alto._langgraph.reader import verdicts
from langgraph_alto.core.effects import Rank, Verdict
from langgraph_alto.core.tasks import RunPolicy
from langgraph_alto.options import Options


def run_policy(loop: Any, options: Options) -> RunPolicy:
    """The policy of one run, from its options, its checkpointer and how it was called."""
    return RunPolicy(
        max_ahead=options.max_ahead,
        last_step=loop.stop,
        proven_only=loop.checkpointer is not None and loop.durability == "sync",
        resumable=loop.checkpointer is not None,
        off=why_off(loop, options),
        start_at_step_end=chaos.active is not None,
    )


def why_off(loop: Any, options: Options) -> str | None:
    """Why nothing of this run starts early, or None."""
    if options.run_ahead == "off":
        return 'Options(run_ahead="off")'
    if loop.interrupt_before or loop.interrupt_after:
        # Which step a breakpoint stops is known only when the step has been prepared.
        return "breakpoints (interrupt_before/interrupt_after)"
    if names.CONFIG_KEY_RUNNER_SUBMIT in loop.config[names.CONF]:
        return "tasks are submitted to another executor"
    handlers = getattr(loop.manager, "inheritable_handlers", None) or ()
    if any(h.raise_error for h in handlers):
        return "a callback handler with raise_error=True"
    if any(isinstance(h, LangChainTracer) for h in handlers):
        # It is added anew inside a body whose handlers are recorded, and would trace it twice.
        return "LangSmith tracing"
    return None


def verdicts_of(loop: Any, options: Options, path: tuple[str, ...] | None) -> Mapping[str, Verdict]:
    """The verdict on each node of the loop's graph, which `path` leads to (see `Settings`)."""
    if path is None:
        levels = [part for part in loop.checkpoint_ns if not part.isdigit()]
        path = tuple(part.partition(names.NS_END)[0] for part in levels)
    found = verdicts(loop.nodes, loop.specs, options, parent=path, check_names=False)
    observed = names.CONFIG_KEY_TIMED_ATTEMPT_OBSERVER in loop.config[names.CONF]
    result: dict[str, Verdict] = {}
    for name, verdict in found.items():
        node = loop.nodes.get(name)
        if node is not None and node.timeout is not None and _has_router(node):
            # The router waits until the task is real; that time is not the node's own.
            verdict = dataclasses.replace(  # noqa: PLW2901
                verdict, rank=Rank.HELD, reason="timeout with a router"
            )
        elif observed and node is not None and node.timeout is not None:
            verdict = dataclasses.replace(  # noqa: PLW2901
                verdict, rank=Rank.HELD, reason="its timed attempts are observed"
            )
        elif chaos.trust_undeclared and verdict.reason not in chaos.NEVER_TRUSTED:
            verdict = dataclasses.replace(verdict, rank=Rank.PROVEN)  # noqa: PLW2901
        result[name] = verdict
    return result


def _has_router(node: Any) -> bool:
    return any(not isinstance(writer, names.ChannelWrite) for writer in node.flat_writers)


def same_value(a: Any, b: Any) -> bool:
    """Whether two arguments are equal, and surely so: in doubt they are not.

    Example:
        >>> same_value({"i": [1]}, {"i": [1]}), same_value({"i": 1}, {"i": True})
        (True, False)
    """
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    try:
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(same_value(v, b[k]) for k, v in a.items())
        if isinstance(a, list | tuple):
            return len(a) == len(b) and all(map(same_value, a, b))
        return bool(a == b)
    except Exception:  # an __eq__ that raises, or gives an array, is no proof of equality
        return False
