"""`import langgraph_alto.auto` runs every graph of this process on the executor.

One line at the top of a program, before or after LangGraph is imported. Options come from
`LANGGRAPH_ALTO_OPTIONS`; `LANGGRAPH_ALTO=0` makes the line do nothing.
`langgraph-alto exec` does the same without the line, in child processes too.
"""

from __future__ import annotations

from langgraph_alto._import_hook import activate, is_switched_off
from langgraph_alto.options import Options

if not is_switched_off():
    Options.from_environment()  # a mistake in it is reported here, not at a later import
    activate()
