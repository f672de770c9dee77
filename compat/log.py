"""What the plugin writes, read back: the outcome of each test, and what ALTO's runs did.

Two kinds of files lie in a run's folder, each with one JSON object a line:

- `tests.jsonl`: `{"event": "start" | "report" | "finish", "test": id, …}`, and at last
  `{"event": "end", "status": pytest's exit status}`;
- `runs-<process id>.jsonl`: `{"test": id, "totals": {…}}`, what the runs of a test did.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

TESTS_FILE = "tests.jsonl"
RUNS_FILES = "runs-*.jsonl"

Outcome = Literal["passed", "failed", "skipped", "unfinished"]


@dataclass(slots=True)
class TestResult:
    """How one test came out. `unfinished`: it began, and the run was over before it ended."""

    __test__ = False  # not a test class, whatever pytest takes from its name

    test: str
    outcome: Outcome = "unfinished"
    seconds: float = 0.0
    message: str = ""


@dataclass(slots=True)
class Totals:
    """Sums over runs of graphs; the counters mean what they mean in `RunReport`.

    Attributes:
        on_alto: Runs with run-ahead.
        not_on_alto: Runs that went without it; `fallbacks` says why.
        silent: Those of them that give no reason, of which there should be none.
        fallbacks: How often (a part of) a run went without acceleration, by reason.
        held: How often a task could have begun early and did not, by reason.
    """

    on_alto: int = 0
    not_on_alto: int = 0
    silent: int = 0
    started: int = 0
    adopted: int = 0
    discarded: int = 0
    rerun: int = 0
    abandoned: int = 0
    fallbacks: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))

    def add_report(self, report: Any) -> None:
        """Count one `langgraph_alto.report.RunReport`."""
        if report.accelerated:
            self.on_alto += 1
        else:
            self.not_on_alto += 1
            self.silent += not report.fallbacks
        for name in ("started", "adopted", "discarded", "rerun", "abandoned"):
            setattr(self, name, getattr(self, name) + getattr(report, name))
        self.fallbacks.update(report.fallbacks)
        self.held.update(report.held)

    def add(self, other: Totals) -> None:
        """Count what another process, or another test, counted."""
        for each in fields(self):
            mine, more = getattr(self, each.name), getattr(other, each.name)
            setattr(self, each.name, mine + more)

    def as_json(self) -> dict[str, Any]:
        """Plain values, the most frequent reasons first."""
        values: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            values[each.name] = dict(value.most_common()) if isinstance(value, Counter) else value
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Totals:
        """The reverse of `as_json`."""
        totals = cls()
        for each in fields(cls):
            value = values.get(each.name, 0)
            if isinstance(getattr(totals, each.name), Counter):
                value = Counter(value or {})
            setattr(totals, each.name, value)
        return totals


@dataclass(slots=True)
class RunLog:
    """All that one run of the suite left behind.

    Attributes:
        results: By test id.
        totals: Summed over all processes.
        by_test: The same, by the test during which the runs ended.
        status: pytest's exit status; None where it did not come to its end.
    """

    results: dict[str, TestResult] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    by_test: dict[str, Totals] = field(default_factory=dict)
    status: int | None = None

    def counts(self) -> Counter[str]:
        """How many tests had each outcome."""
        return Counter(result.outcome for result in self.results.values())


def read_log(folder: Path) -> RunLog:
    """Read the files of a run's folder."""
    log = RunLog()
    tests = folder / TESTS_FILE
    if tests.exists():
        fold_tests(log, _objects(tests))
    for path in sorted(folder.glob(RUNS_FILES)):
        fold_runs(log, _objects(path))
    return log


def fold_tests(log: RunLog, lines: Iterable[Mapping[str, Any]]) -> None:
    """Take in the controller's lines.

    A test fails if any of its phases does. It has passed only once it is finished without
    a failure, so that a worker that dies between two phases does not look like a success.
    """
    for line in lines:
        match line["event"]:
            case "end":
                log.status = line["status"]
            case "start":
                # Once more where a worker died before it ran the test: the later one counts,
                # unless the first has failed.
                before = log.results.get(line["test"])
                if before is None or before.outcome != "failed":
                    log.results[line["test"]] = TestResult(line["test"])
            case "report":
                result = log.results.setdefault(line["test"], TestResult(line["test"]))
                result.seconds += line["seconds"]
                if line["outcome"] != "passed" and result.outcome != "failed":
                    result.outcome = line["outcome"]
                    result.message = line["message"]
            case "finish":
                result = log.results.setdefault(line["test"], TestResult(line["test"]))
                if result.outcome == "unfinished":
                    result.outcome = "passed"


def fold_runs(log: RunLog, lines: Iterable[Mapping[str, Any]]) -> None:
    """Take in a worker's lines."""
    for line in lines:
        totals = Totals.from_json(line["totals"])
        log.totals.add(totals)
        log.by_test.setdefault(line["test"], Totals()).add(totals)


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file, less a last line that was cut off when its process died."""
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return
