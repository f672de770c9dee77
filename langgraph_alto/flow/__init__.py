"""How partial output flowed through a run: a model of it, a page, a view for the terminal.

`Flow` is plain data; OpenTelemetry spans (`reading`, `otlp_json`) are one source of it, and
others may build their own. `waterfall` draws one or several on one time axis.
"""

from langgraph_alto.flow.model import Flow, Interval, Link, Span, Tick
from langgraph_alto.flow.page import Fragment, page, waterfall

__all__ = ["Flow", "Fragment", "Interval", "Link", "Span", "Tick", "page", "waterfall"]
