"""The command line: `python -m compat suite`."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from compat.environment import ensure_environment, source_state
from compat.errors import CompatError
from compat.expectation import Expectation, compare, load_expectation
from compat.log import RunLog, Totals
from compat.modes import Executor, Mode, choose_mode
from compat.paths import run_folder
from compat.show import Explanation, Summary, as_json, print_summary
from compat.source import fetch_suite
from compat.suite import OUTPUT_FILE, SuiteRun, run_suite

NOT_AS_EXPECTED, NOT_RUN = 1, 2

MOST_AGAIN = 5
"""Unexpected failures that are run again, alone; of more than that, chance is not the cause."""

LOG_WIDTH = 160
"""Columns where no terminal says how many: test ids in a CI log should fit on a line."""

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode="markdown")


@app.callback()
def compat() -> None:
    """Conformance of ALTO: LangGraph's own tests with ALTO as the executor."""


@app.command()
def suite(
    *,
    executor: Annotated[
        Executor, typer.Option(help="What runs the graphs; `langgraph` is the baseline.")
    ] = Executor.ALTO,
    chaos: Annotated[
        bool, typer.Option("--chaos", help="Hold real tasks back, so that all else runs ahead.")
    ] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="With --chaos: take every undeclared node as proven.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Chaos on selected files only (expected.toml).")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="With --trust: run failures again under the default policy; name its holds.",
        ),
    ] = False,
    json_out: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write the summary as JSON.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that run tests.")] = 2,
    limit: Annotated[
        float, typer.Option(min=1, help="Seconds after which the whole run is ended.")
    ] = 1200.0,
) -> None:
    """Run LangGraph's own test suite and compare the outcome with the expected one.

    Exits 0 if it is as expected, 1 if not, 2 if it could not be run.
    """
    console, notes = Console(), Console(stderr=True)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    try:
        mode = choose_mode(executor, chaos=chaos, trust=trust)
        expectation = load_expectation()
        run = prepare(mode, expectation, notes, quick=quick, workers=workers, limit=limit)
        summary = measure(run, expectation, notes, quick=quick, explain=explain)
        if json_out is not None:
            write_json(json_out, summary)
    except CompatError as error:
        notes.print(f"compat: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(NOT_RUN) from None
    print_summary(summary, console)
    if not summary.comparison.is_green:
        raise typer.Exit(NOT_AS_EXPECTED)


def prepare(
    mode: Mode,
    expectation: Expectation,
    notes: Console,
    *,
    quick: bool,
    workers: int,
    limit: float,
) -> SuiteRun:
    """Make sure of everything that the run needs; the first time this takes a minute."""
    with notes.status("Preparing the suite's environment"):
        python = ensure_environment()
    with notes.status(f"Preparing LangGraph {expectation.version}'s tests"):
        pip = [str(python), "-m", "pip"]
        source = fetch_suite(expectation.version, expectation.sha256, pip)
    selection = expectation.selection(quick=quick and mode.is_chaos)
    return SuiteRun(
        python=python,
        source=source,
        mode=mode,
        tests=selection.files,
        keyword=selection.keyword,
        folder=run_folder(mode),
        workers=workers,
        limit=limit,
    )


def measure(
    run: SuiteRun, expectation: Expectation, notes: Console, *, quick: bool, explain: bool
) -> Summary:
    """Run the suite and judge it."""
    quick = quick and run.mode.is_chaos  # the others are short enough as they are
    selection = expectation.selection(quick=quick)
    source, began = source_state(), time.monotonic()
    log = run_shown(run, f"{run.mode}: LangGraph's tests", selection.passed, notes)
    seconds = time.monotonic() - began
    comparison = compare(log, expectation, run.mode, quick=quick)
    if 0 < len(comparison.failures) <= MOST_AGAIN:
        comparison.settle(run_alone(run, [each.test for each in comparison.failures], notes))
    if run.mode.on_alto and source_state() != source:
        comparison.problems.append(
            "ALTO's source was changed during the run, so this may be a mixture: run it again."
        )
    failed = [result.test for result in comparison.failures]
    failed += [result.test for result, _ in comparison.expected_failures]
    holds: dict[str, Explanation] = {}
    if explain and run.mode is Mode.CHAOS_TRUST and failed:
        holds = explain_failures(run, sorted(failed), notes)
    return Summary(
        mode=run.mode,
        quick=quick,
        expectation=expectation,
        log=log,
        comparison=comparison,
        seconds=seconds,
        output=run.folder / OUTPUT_FILE,
        holds=holds,
    )


def run_alone(run: SuiteRun, failed: list[str], notes: Console) -> RunLog:
    """Run a few tests again, one after the other, with nothing beside them."""
    again = replace(run, tests=failed, keyword="", folder=run_folder("alone"), workers=1)
    return run_shown(again, "the failures again, alone", len(failed), notes)


def explain_failures(run: SuiteRun, failed: list[str], notes: Console) -> dict[str, Explanation]:
    """Run tests again with the policy that `--trust` switched off, and see what it holds."""
    again = SuiteRun(
        python=run.python,
        source=run.source,
        mode=Mode.CHAOS,
        folder=run_folder("explain"),
        tests=failed,
        workers=run.workers,
        limit=run.limit,
    )
    log = run_shown(again, "the failures under the default policy", len(failed), notes)
    return {
        test: Explanation(log.results[test].outcome, log.by_test.get(test, Totals()).held)
        for test in failed
        if test in log.results
    }


def run_shown(run: SuiteRun, title: str, expected: int, notes: Console) -> RunLog:
    """Run the suite with a progress bar, or a line where nobody watches."""
    if not notes.is_terminal:
        notes.print(f"{title}: {expected} on {run.workers} processes", highlight=False)
        return run_suite(run)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=notes, transient=True) as progress:
        task = progress.add_task(title, total=expected)
        return run_suite(run, lambda done: progress.update(task, completed=done))


def write_json(path: Path, summary: Summary) -> None:
    """Write the summary; a folder that is not there yet is made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(as_json(summary), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise CompatError(f"{path} can't be written: {error.strerror}") from None


if __name__ == "__main__":
    app()
