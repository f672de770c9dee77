"""What should come out of a run (`expected.toml`), and the comparison with what did."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from compat.errors import CompatError
from compat.log import RunLog, TestResult
from compat.modes import Mode
from compat.paths import EXPECTED


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """A test, or several by a pattern, that may fail in some chaos modes, and why."""

    test: str
    reason: str
    modes: tuple[Mode, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """Figures that a run in a mode has to keep."""

    failures_at_most: int | None = None
    adopted_at_least: int | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """What is run, and how many of it pass and skip on LangGraph itself.

    `files` is empty for the whole suite; `keyword` is an expression for pytest's `-k`.
    """

    passed: int
    skipped: int
    files: tuple[str, ...] = ()
    keyword: str = ""


@dataclass(frozen=True, slots=True)
class Expectation:
    """The content of `expected.toml`."""

    version: str
    sha256: str
    full: Selection
    quick: Selection
    skips: tuple[str, ...]
    known_failures: tuple[KnownFailure, ...] = ()
    limits: Mapping[Mode, Limits] = field(default_factory=dict)
    quick_limits: Mapping[Mode, Limits] = field(default_factory=dict)

    def selection(self, *, quick: bool) -> Selection:
        """The whole suite, or the part of it that a short budget allows."""
        return self.quick if quick else self.full

    def limits_of(self, mode: Mode, *, quick: bool) -> Limits:
        """The figures that a run has to keep; none where the file gives none."""
        return (self.quick_limits if quick else self.limits).get(mode, Limits())


@dataclass(slots=True)
class Comparison:
    """How a run differs from what was expected. Tests are sorted by their ids.

    Attributes:
        failures: Tests that failed, or did not end, and were not known to.
        unsteady: Those that failed beside others and passed alone: some of LangGraph's tests
            leave a busy machine ten milliseconds. Not an error, but always named.
        expected_failures: Those that were known to, with the entry that says so.
        no_longer_fail: Known failures whose tests ran and all passed. Not an error: some
            depend on timing. Drop the entry once it stays so.
        stale: Known failures in a whole run whose pattern matches no test.
        newly_skipped: Tests that were skipped and run on LangGraph itself.
        newly_run: Tests that ran and are skipped on LangGraph itself.
        problems: Other differences, each a sentence.
    """

    failures: list[TestResult] = field(default_factory=list)
    unsteady: list[TestResult] = field(default_factory=list)
    expected_failures: list[tuple[TestResult, KnownFailure]] = field(default_factory=list)
    no_longer_fail: list[KnownFailure] = field(default_factory=list)
    stale: list[KnownFailure] = field(default_factory=list)
    newly_skipped: list[TestResult] = field(default_factory=list)
    newly_run: list[TestResult] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def settle(self, alone: RunLog) -> None:
        """Take in how the failures went when each was run with nothing beside it."""
        for result in list(self.failures):
            again = alone.results.get(result.test)
            if again is not None and again.outcome == "passed":
                self.failures.remove(result)
                self.unsteady.append(result)

    @property
    def is_green(self) -> bool:
        """Whether the run came out as expected."""
        return not (
            self.failures or self.stale or self.newly_skipped or self.newly_run or self.problems
        )


def compare(log: RunLog, expectation: Expectation, mode: Mode, *, quick: bool) -> Comparison:
    """Hold a run against the expectation for its mode."""
    known = [entry for entry in expectation.known_failures if mode in entry.modes]
    comparison = Comparison()
    for result in sorted(log.results.values(), key=lambda each: each.test):
        skips_there = matches_any(result.test, expectation.skips)
        if result.outcome in ("failed", "unfinished"):
            entry = next((each for each in known if matches(result.test, each.test)), None)
            if entry is None:
                comparison.failures.append(result)
            else:
                comparison.expected_failures.append((result, entry))
        elif result.outcome == "skipped" and not skips_there:
            comparison.newly_skipped.append(result)
        elif result.outcome == "passed" and skips_there:
            comparison.newly_run.append(result)
    _judge_known(comparison, log, known, quick=quick)
    _judge_figures(comparison, log, expectation, mode, quick=quick)
    return comparison


def _judge_known(
    comparison: Comparison, log: RunLog, known: Iterable[KnownFailure], *, quick: bool
) -> None:
    failed = [result.test for result, _ in comparison.expected_failures]
    for entry in known:
        # Against all of them, as two entries may mean the same test.
        if any(matches(test, entry.test) for test in failed):
            continue
        if any(matches(test, entry.test) for test in log.results):
            comparison.no_longer_fail.append(entry)
        elif not quick:
            comparison.stale.append(entry)


def _judge_figures(
    comparison: Comparison, log: RunLog, expectation: Expectation, mode: Mode, *, quick: bool
) -> None:
    problems = comparison.problems
    if log.status is None:
        problems.append("pytest did not come to its end: not every test was run.")
    elif log.status not in (0, 1):  # 1: some test failed, which is judged by itself
        problems.append(f"pytest ended with exit status {log.status}.")
    # A failed test is counted with those that should pass: it has been judged already. What
    # is left to find here is a test that is not there, or one that should not be.
    counts = log.counts()
    selection = expectation.selection(quick=quick)
    ran = counts["passed"] + counts["failed"] + counts["unfinished"]
    for found, wanted, what in (
        (ran, selection.passed, "ran"),
        (counts["skipped"], selection.skipped, "were skipped"),
    ):
        if found != wanted:
            problems.append(f"{found} tests {what}; on LangGraph itself it is {wanted}.")
    failed = counts["failed"] + counts["unfinished"]
    limits = expectation.limits_of(mode, quick=quick)
    if limits.failures_at_most is not None and failed > limits.failures_at_most:
        problems.append(f"{failed} tests failed, at most {limits.failures_at_most} may.")
    adopted = log.totals.adopted
    if limits.adopted_at_least is not None and adopted < limits.adopted_at_least:
        problems.append(f"{adopted} tasks were adopted, it should be {limits.adopted_at_least}.")
    if mode.on_alto and not log.totals.on_alto:
        problems.append("No graph ran on ALTO: the executor was not in place.")
    if log.totals.silent:
        problems.append(f"{log.totals.silent} runs were not on ALTO and gave no reason.")


def matches(test: str, pattern: str) -> bool:
    """Whether a test id is meant by a pattern, in which only `*` is special.

    `fnmatch` would take the brackets of a parametrised test for a set of characters.

    Example:
        >>> matches("tests/test_a.py::test_b[memory-sync]", "tests/*::test_b[memory-*]")
        True
    """
    return _compiled(pattern).fullmatch(test) is not None


def matches_any(test: str, patterns: Iterable[str]) -> bool:
    """Whether a test id is meant by one of several patterns."""
    return any(matches(test, pattern) for pattern in patterns)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def load_expectation(path: Path = EXPECTED) -> Expectation:
    """Read `expected.toml`.

    Raises:
        CompatError: It is not valid; the message says where.
    """
    try:
        return parse_expectation(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise CompatError(f"{path} is not a valid expectation: {reason}") from None


def parse_expectation(values: Mapping[str, Any]) -> Expectation:
    """Take the file's values apart.

    Raises:
        KeyError, TypeError, ValueError: A value is missing, or can't be what it should be.
    """
    known = tuple(_known(entry) for entry in values.get("known_failure", ()))
    seen = Counter((entry.test, mode) for entry in known for mode in entry.modes)
    for (test, mode), times in seen.items():
        if times > 1:
            raise ValueError(f"known_failure {test!r} stands there {times} times for {mode}")
    return Expectation(
        version=values["langgraph"]["version"],
        sha256=values["langgraph"]["sha256"],
        full=_selection(values["suite"]),
        quick=_selection(values["quick"]),
        skips=tuple(values["suite"]["skips"]),
        known_failures=known,
        limits=_limits(values["suite"].get("limits", {})),
        quick_limits=_limits(values["quick"].get("limits", {})),
    )


def _known(entry: Mapping[str, Any]) -> KnownFailure:
    modes = tuple(Mode(mode) for mode in entry["modes"])
    if not entry["reason"].strip():
        raise ValueError(f"known_failure {entry['test']!r} has no reason")
    if not all(mode.is_chaos for mode in modes):
        raise ValueError(f"known_failure {entry['test']!r}: only chaos runs may have failures")
    return KnownFailure(test=entry["test"], reason=entry["reason"].strip(), modes=modes)


def _selection(values: Mapping[str, Any]) -> Selection:
    return Selection(
        passed=values["passed"],
        skipped=values["skipped"],
        files=tuple(values.get("files", ())),
        keyword=values.get("keyword", ""),
    )


def _limits(values: Mapping[str, Mapping[str, int]]) -> dict[Mode, Limits]:
    return {Mode(mode): Limits(**limits) for mode, limits in values.items()}
