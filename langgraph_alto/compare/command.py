"""`langgraph-alto compare`: measures a TARGET, shows what came out, writes JSON and HTML."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from langgraph_alto.compare.against import against, load_report
from langgraph_alto.compare.comparison import About, Comparison, Request
from langgraph_alto.compare.inputs import Case, read_inputs
from langgraph_alto.compare.page import require_libraries, to_html
from langgraph_alto.compare.recording import Recording
from langgraph_alto.compare.report import Report
from langgraph_alto.compare.summary import print_summary
from langgraph_alto.errors import AltoError, InputsError, TargetError
from langgraph_alto.targets import find_target

DIFFERENT = 1
"""The exit code if results differ."""
STOPPED = 130
"""The exit code after Ctrl-C."""


@dataclass(frozen=True)
class CompareRequest:
    """What the command line asked for, with its files read: nothing here can be wrong any more."""

    target: str
    inputs: str
    cases: Sequence[Case]
    how: Request
    recording: Recording | None = None
    old: Report | None = None
    old_file: str = ""
    json_file: str | None = None
    html_file: str | None = None
    arguments: Sequence[str] = ()


def prepare(
    target: str, inputs: str, how: Request, *, against_file: str | None, **files: Any
) -> CompareRequest:
    """Read and check everything that can be known before any work starts.

    Raises:
        InputsError: A file can't be read or written.
        OptionError: The libraries of the page are not installed.
    """
    cases = read_inputs(inputs)
    if files.get("html_file") is not None:
        require_libraries()
    outputs = [files.get("json_file"), files.get("html_file"), how.record]
    refuse_bad_files([str(path) for path in outputs if path is not None])
    read = (inputs, how.replay, target.rpartition(":")[0])
    refuse_lost_files(outputs, [str(path) for path in read if path])
    return CompareRequest(
        target=target,
        inputs=inputs,
        cases=cases,
        how=how,
        recording=None if how.replay is None else Recording.load(how.replay),
        old=None if against_file is None else load_report(against_file),
        old_file=against_file or "",
        **files,
    )


def refuse_bad_files(paths: Sequence[str]) -> None:
    """Tell of files that can't be written before hours are spent.

    Raises:
        InputsError: One can't.
    """
    for path in paths:
        is_new = not os.path.lexists(path)
        try:
            with open(path, "a", encoding="utf-8"):
                pass
        except OSError as error:
            raise InputsError(f"can't write {path!r}: {error.strerror}.") from None
        if is_new:
            os.unlink(path)


def refuse_lost_files(written: Sequence[str | Path | None], read: Sequence[str]) -> None:
    """Tell of a file that would be written over though it is read, or written twice.

    Raises:
        InputsError: There is one.
    """
    reads = {os.path.realpath(path) for path in read}
    writes: set[str] = set()
    for path in written:
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in reads or place in writes:
            why = "it is read, too" if place in reads else "two options name it"
            raise InputsError(f"can't write {str(path)!r}: {why}.")
        writes.add(place)


def run(request: CompareRequest) -> int:
    """Compare, show and write; returns the exit code.

    Raises:
        TargetError: The target can't be loaded, raises, or is no graph.
        InputsError: There is nothing to compare: every input fails on LangGraph.
    """
    report, abandoned = _measured(request)
    if request.old is not None:
        report.against = against(request.old, report, request.old_file)
    if request.json_file is not None:
        Path(request.json_file).write_text(report.to_json() + "\n", encoding="utf-8")
    if request.html_file is not None:
        _write_page(report, request.html_file)
    print_summary(report, Console())
    if written := [path for path in (request.json_file, request.html_file) if path is not None]:
        print(f"Written: {', '.join(written)}.")
    code = 0 if report.equal else DIFFERENT
    code = code if report.complete else STOPPED
    if abandoned:
        # Threads of runs that timed out may never end, and Python would wait for them.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _measured(request: CompareRequest) -> tuple[Report, bool]:
    with _one_line(request.target):
        target = find_target(request.target)
    comparison = Comparison(
        target.make,
        request.cases,
        request.how,
        recording=request.recording,
        check=target.check,
        about=About(
            target=request.target,
            command=shlex.join(["langgraph-alto", *request.arguments]),
        ),
    )
    with comparison, _progress(Console(stderr=True)) as progress:
        with _one_line(request.target):
            comparison.make()
        report = comparison.run(_teller(progress))
    return report, comparison.has_abandoned


@contextmanager
def _one_line(target: str) -> Iterator[None]:
    """What the user's module or function raises, as one line: nothing was measured yet."""
    try:
        yield
    except TargetError:
        raise
    except AltoError as error:
        raise TargetError(f"{target}: {error}") from None
    except Exception as error:
        text = " ".join(str(error).split())
        raise TargetError(f"{target} raised {type(error).__name__}: {text}") from error


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _teller(progress: Progress) -> Callable[[str, int, int], None]:
    task = progress.add_task("", total=None)

    def tell(what: str, done: int, total: int) -> None:
        progress.update(task, description=what, completed=done, total=total)

    return tell


def prepare_redrawing(report_file: str, html_file: str) -> Callable[[], int]:
    """Read a report that `--json` wrote; what is returned writes its page.

    Raises:
        InputsError: The report can't be read, or the page not written.
        OptionError: The libraries of the page are not installed.
    """
    report = load_report(report_file)
    require_libraries()
    refuse_bad_files([html_file])

    def redraw() -> int:
        _write_page(report, html_file)
        return 0

    return redraw


def _write_page(report: Report, path: str) -> None:
    Path(path).write_text(to_html(report), encoding="utf-8")
