"""`langgraph-alto trace`: how partial output flowed through a run, or through a recorded one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from langgraph_alto.errors import OutputError
from langgraph_alto.run import RunRequest, run

if TYPE_CHECKING:
    from langgraph_alto.flow.model import Flow

MOST_FLOWS = 20
"""Traces of a recording that are drawn: the last ones."""


@dataclass(frozen=True)
class TraceRequest:
    """What the command line asked for: a run, or else the `recording` of one.

    `html` is where to write the page to. `otlp` is a collector that gets the spans, too.
    """

    run: RunRequest | None = None
    recording: Path | None = None
    html: Path | None = None
    otlp: str | None = None


def trace(request: TraceRequest) -> None:
    """Draw a flow in the terminal, and as a page if that is wanted.

    If the run fails, what there is of its flow is drawn, and the error goes on to the caller.

    Raises:
        TargetError: The target can't be loaded or is no graph.
        OutputError: The page can't be written, or OTLP's exporters are missing.
        RecordingError: The recording can't be read, or is none.
    """
    _must_be_writable(request.html)
    if request.recording is not None:
        from langgraph_alto.flow.otlp_json import read_file
        from langgraph_alto.flow.reading import flows_of

        _show(flows_of(read_file(request.recording)), request)
    elif request.run is not None:
        _run_and_show(request.run, request)


def _run_and_show(wanted: RunRequest, request: TraceRequest) -> None:
    from langgraph_alto.flow.reading import flows_of, record_of
    from langgraph_alto.otel.keeping import kept

    with ExitStack() as stack:
        try:
            found = stack.enter_context(kept(request.otlp))
        except ModuleNotFoundError:
            raise OutputError("--otlp needs: pip install 'langgraph-alto[otlp]'.") from None
        except ValueError as error:
            raise OutputError(f"--otlp: {error}") from None
        try:
            run(wanted)
        finally:
            stack.close()
            sys.stdout.flush()
            if found.spans:
                _show(flows_of(map(record_of, found.spans)), request)
    if found.lost:
        print(f"langgraph-alto: {found.lost} spans did not reach {request.otlp}", file=sys.stderr)
    if not found.spans:
        raise OutputError("The run left no spans: is OTEL_SDK_DISABLED set?")


def _must_be_writable(html: Path | None) -> None:
    """Known before a run that may take long."""
    if html is None:
        return
    if html.is_dir():
        raise OutputError(f"--html: {str(html)!r} is a folder.")
    if not html.parent.is_dir():
        raise OutputError(f"--html: there is no folder {str(html.parent)!r}.")
    if not os.access(html if html.exists() else html.parent, os.W_OK):
        raise OutputError(f"--html: {str(html)!r} can't be written.")


def _show(flows: Sequence[Flow], request: TraceRequest) -> None:
    from rich.console import Console

    from langgraph_alto.flow.terminal import print_flow

    console = Console()
    shown = flows[-MOST_FLOWS:]
    if len(shown) < len(flows):
        console.print(f"The last {len(shown)} of {len(flows)} traces:")
    scale = max(flow.length for flow in shown)
    for number, flow in enumerate(shown):
        if number:
            console.print()
        print_flow(flow, console, scale=scale)
    if request.html is not None:
        from langgraph_alto.flow.page import page

        names = list(dict.fromkeys(flow.title for flow in shown))
        title = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        request.html.write_text(page(shown, title=title), encoding="utf-8")
        console.print(f"\nThe page: {request.html}", markup=False, highlight=False, soft_wrap=True)
