"""The report of a run, which its subgraphs' runs share."""

from __future__ import annotations

from typing import Any

from langgraph_alto import report as reports
from langgraph_alto.report import RunReport

# One report for a run and its subgraphs: they share the run's RunControl.
_open_reports: dict[int, RunReport] = {}


def open_report(loop: Any, name: str | None, off: str | None) -> tuple[RunReport, bool]:
    """The report of the run that this loop belongs to, and whether it is this loop's own."""
    if loop.is_nested and (found := _open_reports.get(id(loop.control))) is not None:
        if off is not None and off not in found.fallbacks:
            found.fallbacks.append(off)
        return found, False
    name = name or loop.config.get("run_name") or "graph"
    report = RunReport(graph=name, accelerated=off is None)
    if off is not None:
        report.fallbacks.append(off)
    if loop.control is not None:
        _open_reports[id(loop.control)] = report
    reports.run_began(report)
    return report, True


def close_report(loop: Any, report: RunReport, duration: float) -> None:
    """The run is over: its report is complete."""
    if _open_reports.get(id(loop.control)) is report:
        del _open_reports[id(loop.control)]
    report.duration = duration
    reports.run_ended(report)
