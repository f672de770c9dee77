"""A drop-in execution backend for LangGraph.

The same compiled graph, the same results, checkpoints and streams; but tasks start as soon as
their data is determined.

    from langgraph_alto import accelerate

    app = accelerate(graph)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph_alto._langgraph.seam import accelerate, install, is_installed, uninstall
    from langgraph_alto.options import Options
    from langgraph_alto.partial import Partial
    from langgraph_alto.planning import StreamingPlan, plan
    from langgraph_alto.report import RunReport, record

# LangGraph is imported when it is first needed: `langgraph-alto --version` and child processes
# that never run a graph stay quick.
_HOMES = {
    "accelerate": "langgraph_alto._langgraph.seam",
    "install": "langgraph_alto._langgraph.seam",
    "is_installed": "langgraph_alto._langgraph.seam",
    "uninstall": "langgraph_alto._langgraph.seam",
    "Options": "langgraph_alto.options",
    "Partial": "langgraph_alto.partial",
    "RunReport": "langgraph_alto.report",
    "StreamingPlan": "langgraph_alto.planning",
    "plan": "langgraph_alto.planning",
    "record": "langgraph_alto.report",
}

__all__ = [
    "Options",
    "Partial",
    "RunReport",
    "StreamingPlan",
    "accelerate",
    "install",
    "is_installed",
    "plan",
    "record",
    "uninstall",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
