"""The summary of a run: tables for people, one JSON object for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from compat.expectation import Comparison, Expectation, KnownFailure
from compat.log import RunLog, TestResult, Totals
from compat.modes import Mode

_REASONS_SHOWN = 12
_MESSAGE_SHOWN = 160


@dataclass(frozen=True, slots=True)
class Summary:
    """All that is known about a run when it is over.

    `holds` says, for tests that failed although every node was trusted, how they fare under
    the default policy; it is empty where nobody asked.
    """

    mode: Mode
    quick: bool
    expectation: Expectation
    log: RunLog
    comparison: Comparison
    seconds: float
    output: Path
    holds: dict[str, Explanation]


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a test that failed came out under the default policy, and what that held back."""

    outcome: str
    held: Counter[str]

    @property
    def text(self) -> str:
        """One line: the holds by frequency, or that there were none."""
        reasons = "; ".join(f"{reason} ({n})" for reason, n in self.held.most_common(3))
        return f"{self.outcome} with the default policy; held: {reasons or 'nothing'}"


def as_json(summary: Summary) -> dict[str, Any]:
    """The summary as plain values."""
    comparison, log = summary.comparison, summary.log
    selection = summary.expectation.selection(quick=summary.quick)
    return {
        "langgraph": summary.expectation.version,
        "mode": summary.mode.value,
        "quick": summary.quick,
        "green": comparison.is_green,
        "seconds": round(summary.seconds, 1),
        "tests": dict(log.counts()),
        "on_langgraph_itself": {"passed": selection.passed, "skipped": selection.skipped},
        "runs": log.totals.as_json(),
        "problems": comparison.problems,
        "failures": [_failure(summary, result) for result in comparison.failures],
        "unsteady": [_failure(summary, result) for result in comparison.unsteady],
        "expected_failures": [
            {**_failure(summary, result), "reason": entry.reason}
            for result, entry in comparison.expected_failures
        ],
        "no_longer_fail": [_entry(entry) for entry in comparison.no_longer_fail],
        "stale": [_entry(entry) for entry in comparison.stale],
        "newly_skipped": [result.test for result in comparison.newly_skipped],
        "newly_run": [result.test for result in comparison.newly_run],
    }


def _failure(summary: Summary, result: TestResult) -> dict[str, Any]:
    values: dict[str, Any] = {
        "test": result.test,
        "outcome": result.outcome,
        "message": result.message,
        "runs": summary.log.by_test.get(result.test, Totals()).as_json(),
    }
    if explanation := summary.holds.get(result.test):
        values["default_policy"] = {
            "outcome": explanation.outcome,
            "held": dict(explanation.held.most_common()),
        }
    return values


def _entry(entry: KnownFailure) -> dict[str, Any]:
    return {"test": entry.test, "reason": entry.reason}


def print_summary(summary: Summary, console: Console) -> None:
    """Print what came out, what should have, and what to look at."""
    _print_counts(summary, console)
    if summary.mode.on_alto:
        _print_runs(summary.log.totals, console)
    comparison = summary.comparison
    _print_failures(summary, console)
    _print_known(
        "Failed beside others, passed alone",
        [(result.test, _first_line(result.message)) for result in comparison.unsteady],
        console,
    )
    _print_known(
        "Failed as expected",
        [(result.test, entry.reason) for result, entry in comparison.expected_failures],
        console,
    )
    _print_known(
        "No longer fail: drop these entries once it stays so",
        [(entry.test, entry.reason) for entry in comparison.no_longer_fail],
        console,
    )
    _print_known(
        "Known failures that mean no test: correct or drop these entries",
        [(entry.test, entry.reason) for entry in comparison.stale],
        console,
    )
    _print_known(
        "Skipped, but not on LangGraph itself",
        [(result.test, result.message) for result in comparison.newly_skipped],
        console,
    )
    _print_known(
        "Ran, but skipped on LangGraph itself",
        [(result.test, "") for result in comparison.newly_run],
        console,
    )
    for problem in comparison.problems:
        console.print(f"[red]✗[/] {escape(problem)}")
    if comparison.is_green:
        console.print(f"[bold green]✓ as expected[/] ({summary.seconds:.0f} s)")
    else:
        console.print(f"[bold red]✗ not as expected[/] ({summary.seconds:.0f} s)")
        console.print(f"  pytest's output: {escape(str(summary.output))}", soft_wrap=True)


def _print_counts(summary: Summary, console: Console) -> None:
    selection = summary.expectation.selection(quick=summary.quick)
    counts = summary.log.counts()
    size = "selected files" if summary.quick else "whole suite"
    table = Table(title=f"LangGraph {summary.expectation.version} · {summary.mode} · {size}")
    table.add_column("tests")
    table.add_column("this run", justify="right")
    table.add_column("LangGraph itself", justify="right")
    failed = counts["failed"] + counts["unfinished"]
    table.add_row("passed", str(counts["passed"]), str(selection.passed))
    table.add_row("skipped", str(counts["skipped"]), str(selection.skipped))
    known = len(summary.comparison.expected_failures)
    table.add_row("failed", f"{failed} ({known} known)" if known else str(failed), "0")
    console.print(table)


def _print_runs(totals: Totals, console: Console) -> None:
    table = Table(title="Runs of graphs")
    table.add_column("what")
    table.add_column("number", justify="right")
    table.add_row("on ALTO", str(totals.on_alto))
    table.add_row("not on ALTO", str(totals.not_on_alto))
    for name in ("started", "adopted", "discarded", "rerun", "abandoned"):
        table.add_row(
            f"tasks {name}" + (" ahead" if name == "started" else ""), str(getattr(totals, name))
        )
    console.print(table)
    _print_reasons("Not accelerated because", totals.fallbacks, console)
    _print_reasons("Held for their step because", totals.held, console)


def _print_reasons(title: str, reasons: Counter[str], console: Console) -> None:
    if not reasons:
        return
    table = Table(title=title)
    table.add_column("times", justify="right")
    table.add_column("reason")
    for reason, times in reasons.most_common(_REASONS_SHOWN):
        table.add_row(str(times), escape(reason))
    rest = len(reasons) - _REASONS_SHOWN
    if rest > 0:
        table.add_row("…", f"{rest} more reasons: --json has all")
    console.print(table)


def _print_failures(summary: Summary, console: Console) -> None:
    if not summary.comparison.failures:
        return
    table = Table(title="[red]Unexpected failures[/]", show_lines=True)
    table.add_column("test", overflow="fold")
    table.add_column("why", overflow="fold")
    for result in summary.comparison.failures:
        lines = [_first_line(result.message) or f"{result.outcome}: see pytest's output"]
        totals = summary.log.by_test.get(result.test)
        if totals:
            lines.append(f"adopted {totals.adopted}, rerun {totals.rerun}")
        if explanation := summary.holds.get(result.test):
            lines.append(explanation.text)
        table.add_row(escape(result.test), escape("\n".join(lines)))
    console.print(table)


def _print_known(title: str, rows: list[tuple[str, str]], console: Console) -> None:
    if not rows:
        return
    table = Table(title=title)
    table.add_column("test", overflow="fold")
    table.add_column("reason", overflow="fold")
    for test, reason in rows:
        table.add_row(escape(test), escape(reason))
    console.print(table)


def _first_line(message: str) -> str:
    return message.splitlines()[0][:_MESSAGE_SHOWN] if message else ""
