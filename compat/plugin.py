"""The pytest plugin that puts the executor under LangGraph's tests and says what happened.

Loaded with `-p compat.plugin` in the suite's own process, which gets its orders through the
environment (`MODE_VARIABLE`, `LOG_VARIABLE`). With pytest-xdist there is one controller, which
sees the outcome of every test, and several workers, which run the graphs: the first writes
`tests.jsonl`, each of the others its own `runs-<process id>.jsonl`. A line is written when
it is known, so that a worker that dies, or a run that is cut off, loses nothing.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, TextIO

import pytest

from compat.log import RUNS_FILES, TESTS_FILE, Totals
from compat.modes import Mode

MODE_VARIABLE = "ALTO_COMPAT_MODE"
LOG_VARIABLE = "ALTO_COMPAT_LOG"

LONGEST_HOLD = 0.1
"""Seconds for which a chaos run holds a task back at most."""

MESSAGE_LIMIT = 500

LOST_PHASE = "???"
"""What pytest-xdist calls the phase in which a test's worker died."""


def pytest_configure(config: pytest.Config) -> None:
    """Take up the parts that this process has: controller, worker, or both."""
    folder = os.environ.get(LOG_VARIABLE)
    if folder is None:  # somebody else's pytest that found the plugin
        return
    is_worker = hasattr(config, "workerinput")
    is_controller = not is_worker
    is_alone = is_controller and config.getoption("dist", "no") == "no"
    if is_controller:
        config.pluginmanager.register(OutcomeLog(Path(folder)), "alto-outcomes")
    if is_worker or is_alone:
        mode = Mode(os.environ[MODE_VARIABLE])
        config.pluginmanager.register(ExecutorSwap(mode, Path(folder)), "alto-executor")


class OutcomeLog:
    """Writes down when each test began, how its phases ended, and that it is over."""

    def __init__(self, folder: Path) -> None:
        self._lines = (folder / TESTS_FILE).open("a", encoding="utf-8")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        write_line(self._lines, event="start", test=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._write_report(report, report.when or "?", report.duration)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        # A module that skips or fails as a whole has no tests to report on.
        if not report.passed:
            self._write_report(report, "collect", 0.0)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        write_line(self._lines, event="finish", test=nodeid)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        write_line(self._lines, event="end", status=int(exitstatus))

    def _write_report(
        self, report: pytest.TestReport | pytest.CollectReport, phase: str, seconds: float
    ) -> None:
        write_line(
            self._lines,
            event="report",
            test=report.nodeid,
            phase=phase,
            outcome=report.outcome,
            seconds=round(seconds, 3),
            message=message_of(report) if report.failed else "",
        )


class ExecutorSwap:
    """Puts the executor of `mode` in place for the session and counts what its runs did."""

    def __init__(self, mode: Mode, folder: Path) -> None:
        self._mode = mode
        self._lines = (folder / RUNS_FILES.replace("*", str(os.getpid()))).open(
            "a", encoding="utf-8"
        )
        self._open = ExitStack()
        self._lock = threading.Lock()
        self._totals = Totals()

    def pytest_sessionstart(self) -> None:
        """Before collection: the suite compiles graphs while its modules are imported."""
        if self._mode is Mode.LANGGRAPH_CHAOS:
            from compat.hold import hold_langgraph

            self._open.enter_context(hold_langgraph(LONGEST_HOLD))
        if self._mode.on_alto:
            import langgraph_alto
            from langgraph_alto.report import subscribe

            self._open.callback(subscribe(self._add))
            langgraph_alto.install()
            self._open.callback(langgraph_alto.uninstall)
            for harness in alto_harness(self._mode):
                self._open.enter_context(harness)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._write(nodeid)

    def pytest_sessionfinish(self) -> None:
        self._open.close()
        self._write("")  # runs that ended after the last test, e.g. in a thread
        self._lines.close()

    def _add(self, report: Any) -> None:
        with self._lock:  # runs end in whichever thread they were called from
            self._totals.add_report(report)

    def _write(self, nodeid: str) -> None:
        with self._lock:
            totals, self._totals = self._totals, Totals()
        if totals:
            write_line(self._lines, test=nodeid, totals=totals.as_json())


def alto_harness(mode: Mode) -> list[AbstractContextManager[Any]]:
    """What makes the run harder than a user's: nothing outside the chaos modes."""
    if not mode.is_chaos:
        return []
    from langgraph_alto.testing.chaos import chaos, trust_undeclared

    harness: list[AbstractContextManager[Any]] = [chaos(hold=LONGEST_HOLD)]
    if mode is Mode.CHAOS_TRUST:
        harness.append(trust_undeclared())
    return harness


def message_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a test failed, in a line or two; the whole story is in pytest's own output."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(getattr(crash, "message", None) or report.longrepr or "").strip()
    if report.when == LOST_PHASE:
        text = f"It hung until its time was up, or killed its process ({text})."
    return text[:MESSAGE_LIMIT]


def write_line(lines: TextIO, **values: Any) -> None:
    """Append one JSON object, on disk at once."""
    lines.write(json.dumps(values) + "\n")
    lines.flush()
