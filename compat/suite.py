"""One run of LangGraph's suite, in a process group of its own that can be ended as a whole."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from compat.environment import clean_environ
from compat.errors import CompatError
from compat.log import TESTS_FILE, RunLog, read_log
from compat.modes import Mode
from compat.paths import ROOT
from compat.plugin import LOG_VARIABLE, MODE_VARIABLE

OUTPUT_FILE = "pytest.txt"

TEST_TIMEOUT = 60
CHAOS_TIMEOUT = 180
"""Seconds after which a test counts as hanging.

On LangGraph the slowest takes under 3. Held back, one with a thousand steps takes over 60.
"""

_POLL = 0.25
_FINISH = '"event": "finish"'


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """How one run is to be done.

    Attributes:
        python: The Python of the suite's environment.
        source: The folder with LangGraph's tests.
        mode: The executor, and what is done to it.
        tests: Files or test ids; empty for all.
        keyword: An expression for pytest's `-k`; empty for none.
        folder: Where the log and pytest's output go; emptied first.
        workers: Processes that run tests.
        limit: Seconds after which the whole run is ended, whatever it is doing.
    """

    python: Path
    source: Path
    mode: Mode
    folder: Path
    tests: Sequence[str] = ()
    keyword: str = ""
    workers: int = 2
    limit: float = 1200.0

    def command(self) -> list[str]:
        """The command line of the run."""
        timeout = CHAOS_TIMEOUT if self.mode.is_chaos and not self.keyword else TEST_TIMEOUT
        return [
            *(str(self.python), "-m", "pytest", "-p", "compat.plugin"),
            # LangGraph's own options print whole traces and a list of slow tests. Only what
            # changes outcomes is kept of them.
            *("-o", "addopts=", "--strict-markers", "--snapshot-warn-unused"),
            *("-p", "no:cacheprovider", "-q", "--tb=short", "--disable-warnings", "-rfE"),
            *("-n", str(self.workers), "--max-worker-restart", "50"),
            # By thread: it ends the worker, which is then replaced. A signal would raise inside
            # the test, whose clean-up may wait for the very thread that hangs.
            *("--timeout", str(timeout), "--timeout-method", "thread"),
            # The stacks of a hanging test: what pytest-timeout prints itself is lost with the
            # worker, this goes to the runner's output.
            *("-o", f"faulthandler_timeout={timeout * 0.8:.0f}"),
            *(("-k", self.keyword) if self.keyword else ()),
            *(self.tests or ("tests",)),
        ]

    def environ(self) -> dict[str, str]:
        """The variables of the run: no more of the user's than it needs."""
        return {
            **clean_environ(os.environ),
            # pytest puts the suite's folder before it, so that `tests` means LangGraph's.
            "PYTHONPATH": str(ROOT),
            MODE_VARIABLE: self.mode.value,
            LOG_VARIABLE: str(self.folder.resolve()),
        }


def run_suite(run: SuiteRun, on_progress: Callable[[int], None] = lambda done: None) -> RunLog:
    """Run the suite and read what it left.

    Args:
        run: What to run, and where.
        on_progress: Called now and then with the number of tests that are done.

    Raises:
        CompatError: pytest could not begin. Tests that fail are no error.
    """
    shutil.rmtree(run.folder, ignore_errors=True)
    run.folder.mkdir(parents=True)
    output = run.folder / OUTPUT_FILE
    with output.open("wb") as stream:
        process = subprocess.Popen(
            run.command(),
            cwd=run.source,
            env=run.environ(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            in_time = _wait(process, run, on_progress)
        finally:
            _end(process)
    log = read_log(run.folder)
    if not log.results and not in_time:
        raise CompatError(f"No test ended within {run.limit:.0f} s: give it more with --limit.")
    if not log.results:
        lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1].strip() if lines else "no output"
        raise CompatError(f"pytest could not run a test ({last}). Its output: {output}")
    return log


def _wait(
    process: subprocess.Popen[bytes], run: SuiteRun, on_progress: Callable[[int], None]
) -> bool:
    """Whether the run ended by itself, and not at its limit."""
    deadline = time.monotonic() + run.limit
    tests = run.folder / TESTS_FILE
    done = position = 0
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(_POLL)
        if not tests.exists():
            continue
        with tests.open("rb") as lines:
            lines.seek(position)
            new = lines.read()
        whole = new[: new.rfind(b"\n") + 1]
        position += len(whole)
        done += whole.count(_FINISH.encode())
        on_progress(done)
    return process.poll() is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing behind: neither a run past its limit, nor a worker that hangs at its exit."""
    try:
        os.killpg(process.pid, signal.SIGKILL)  # the group lives on while any member does
    except ProcessLookupError:
        pass
    process.wait()
