"""The conformance runner's own parts: what it reads, sums, compares and prints. No network."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from compat import __main__ as command_line
from compat.environment import clean_environ
from compat.errors import CompatError
from compat.expectation import (
    Expectation,
    KnownFailure,
    Limits,
    Selection,
    compare,
    load_expectation,
    matches,
    parse_expectation,
)
from compat.log import RunLog, TestResult, Totals, fold_runs, fold_tests, read_log
from compat.modes import Executor, Mode, choose_mode
from compat.paths import REQUIREMENTS, ROOT
from compat.plugin import LOG_VARIABLE, MODE_VARIABLE
from compat.show import Explanation, Summary, as_json, print_summary
from compat.source import fetch_suite, last_error, verify
from compat.suite import SuiteRun
from langgraph_alto.report import RunReport


def lines_of(test: str, *outcomes: str, finish: bool = True) -> list[dict[str, Any]]:
    """What the plugin writes for a test whose phases ended so."""
    lines: list[dict[str, Any]] = [{"event": "start", "test": test}]
    for outcome in outcomes:
        lines.append(
            {
                "event": "report",
                "test": test,
                "phase": "call",
                "outcome": outcome,
                "seconds": 0.5,
                "message": "why" if outcome == "failed" else "",
            }
        )
    if finish:
        lines.append({"event": "finish", "test": test})
    return lines


def log_of(status: int | None = 0, **outcomes: str) -> RunLog:
    """A log in which `a="failed"` stands for the test `t.py::a`."""
    log = RunLog(status=status)
    for name, outcome in outcomes.items():
        test = f"t.py::{name}"
        log.results[test] = TestResult(test, outcome)  # type: ignore[arg-type]
    log.totals.on_alto = 1
    return log


def expectation_of(
    passed: int, skipped: int = 0, *known: KnownFailure, **limits: int
) -> Expectation:
    return Expectation(
        version="1.0",
        sha256="0",
        full=Selection(passed, skipped),
        quick=Selection(passed, skipped, files=("t.py",)),
        skips=("t.py::skip*",),
        known_failures=known,
        limits={Mode.CHAOS: Limits(**limits)},
    )


def known(test: str, *modes: Mode) -> KnownFailure:
    return KnownFailure(test=test, reason="blocks on a sibling", modes=modes or (Mode.CHAOS,))


class TestReadingTheLog:
    @pytest.mark.parametrize(
        ("outcomes", "expected"),
        [
            (("passed", "passed", "passed"), "passed"),
            (("passed", "failed", "passed"), "failed"),
            (("passed", "passed", "failed"), "failed"),
            (("skipped", "passed"), "skipped"),
            (("failed", "skipped"), "failed"),
        ],
    )
    def test_a_test_fails_if_any_phase_does(self, outcomes: tuple[str, ...], expected: str) -> None:
        log = RunLog()
        fold_tests(log, lines_of("t.py::a", *outcomes))
        assert log.results["t.py::a"].outcome == expected
        assert log.results["t.py::a"].message == ("why" if expected == "failed" else "")

    def test_a_test_that_did_not_end_has_not_passed(self) -> None:
        log = RunLog()
        fold_tests(log, lines_of("t.py::a", "passed", finish=False))
        assert log.results["t.py::a"].outcome == "unfinished"

    def test_a_dead_workers_test_stays_failed_when_it_starts_again(self) -> None:
        log = RunLog()
        fold_tests(log, lines_of("t.py::a", "failed", finish=False) + lines_of("t.py::a", "passed"))
        assert log.results["t.py::a"].outcome == "failed"

    def test_a_module_that_skips_as_a_whole_is_counted_once(self) -> None:
        log = RunLog()
        fold_tests(log, lines_of("t.py", "skipped", finish=False)[1:] * 2)
        assert log.counts() == {"skipped": 1}

    def test_files_of_several_processes_are_summed(self, tmp_path: Path) -> None:
        one = {"test": "t.py::a", "totals": {"on_alto": 2, "held": {"store": 1}}}
        two = {"test": "t.py::a", "totals": {"on_alto": 1, "held": {"store": 2, "files": 1}}}
        (tmp_path / "runs-1.jsonl").write_text(json.dumps(one) + "\n")
        (tmp_path / "runs-2.jsonl").write_text(json.dumps(two) + '\n{"test": "cut o')
        (tmp_path / "tests.jsonl").write_text('{"event": "end", "status": 1}\n')
        log = read_log(tmp_path)
        assert log.totals.on_alto == 3
        assert log.totals.held == {"store": 3, "files": 1}
        assert log.by_test["t.py::a"] == log.totals
        assert log.status == 1

    def test_an_empty_folder_gives_an_empty_log(self, tmp_path: Path) -> None:
        assert read_log(tmp_path) == RunLog()


class TestTotals:
    def test_reports_are_counted(self) -> None:
        totals = Totals()
        assert not totals
        totals.add_report(
            RunReport(started=3, adopted=2, discarded=1, held=Counter({"store": 2}), abandoned=1)
        )
        totals.add_report(RunReport(accelerated=False, fallbacks=["max_concurrency is set"]))
        assert totals
        assert (totals.on_alto, totals.not_on_alto) == (1, 1)
        assert (totals.started, totals.adopted, totals.discarded) == (3, 2, 1)
        assert totals.held == {"store": 2}
        assert totals.fallbacks == {"max_concurrency is set": 1}

    def test_json_and_back(self) -> None:
        totals = Totals(on_alto=4, rerun=1, held=Counter(a=1, b=5))
        assert list(totals.as_json()["held"]) == ["b", "a"]
        assert Totals.from_json(json.loads(json.dumps(totals.as_json()))) == totals

    def test_a_tests_totals_are_not_shared_with_the_sum(self) -> None:
        log = RunLog()
        line = {"test": "t.py::a", "totals": {"adopted": 1, "held": {"store": 1}}}
        fold_runs(log, [line, line])
        assert log.by_test["t.py::a"].held == {"store": 2}
        assert log.totals.held == {"store": 2}


class TestComparison:
    def test_the_same_outcome_is_green(self) -> None:
        log = log_of(a="passed", b="passed", skip_c="skipped")
        comparison = compare(log, expectation_of(2, 1), Mode.ALTO, quick=False)
        assert comparison.is_green

    def test_an_unknown_failure_is_not(self) -> None:
        log = log_of(1, a="passed", b="failed", c="unfinished")
        comparison = compare(log, expectation_of(3), Mode.ALTO, quick=False)
        assert [result.test for result in comparison.failures] == ["t.py::b", "t.py::c"]
        assert not comparison.problems
        assert not comparison.is_green

    def test_a_failure_that_passes_alone_is_named_and_no_error(self) -> None:
        log = log_of(1, a="passed", b="failed", c="failed")
        comparison = compare(log, expectation_of(3), Mode.ALTO, quick=False)
        comparison.settle(log_of(1, b="passed", c="failed"))
        assert [result.test for result in comparison.unsteady] == ["t.py::b"]
        assert [result.test for result in comparison.failures] == ["t.py::c"]
        assert not comparison.is_green
        comparison.settle(log_of(c="passed"))
        assert comparison.is_green

    def test_a_known_failure_counts_in_its_mode_only(self) -> None:
        log = log_of(1, a="failed", b="passed")
        expectation = expectation_of(2, 0, known("t.py::a", Mode.CHAOS))
        assert compare(log, expectation, Mode.CHAOS, quick=False).is_green
        assert not compare(log, expectation, Mode.CHAOS_TRUST, quick=False).is_green

    def test_a_known_failure_that_passes_is_named_and_no_error(self) -> None:
        expectation = expectation_of(1, 0, known("t.py::*"))
        comparison = compare(log_of(a="passed"), expectation, Mode.CHAOS, quick=False)
        assert [entry.test for entry in comparison.no_longer_fail] == ["t.py::*"]
        assert comparison.is_green

    def test_one_failure_under_a_pattern_keeps_its_entry(self) -> None:
        expectation = expectation_of(2, 0, known("t.py::*"), known("t.py::a"))
        log = log_of(1, a="failed", b="passed")
        comparison = compare(log, expectation, Mode.CHAOS, quick=False)
        assert not comparison.no_longer_fail
        assert len(comparison.expected_failures) == 1

    @pytest.mark.parametrize("quick", [True, False])
    def test_an_entry_without_a_test_is_an_error_in_a_whole_run(self, quick: bool) -> None:
        expectation = expectation_of(1, 0, known("t.py::gone"))
        comparison = compare(log_of(a="passed"), expectation, Mode.CHAOS, quick=quick)
        assert comparison.is_green is quick
        assert len(comparison.stale) == (0 if quick else 1)

    def test_the_same_number_of_other_skips_is_not_green(self) -> None:
        log = log_of(a="skipped", skip_b="passed")
        comparison = compare(log, expectation_of(1, 1), Mode.ALTO, quick=False)
        assert [result.test for result in comparison.newly_skipped] == ["t.py::a"]
        assert [result.test for result in comparison.newly_run] == ["t.py::skip_b"]
        assert not comparison.is_green

    def test_a_missing_test_is_seen(self) -> None:
        comparison = compare(log_of(a="passed"), expectation_of(2), Mode.ALTO, quick=False)
        assert comparison.problems == ["1 tests ran; on LangGraph itself it is 2."]

    def test_a_run_that_was_cut_off_is_not_green(self) -> None:
        comparison = compare(log_of(None, a="passed"), expectation_of(1), Mode.ALTO, quick=False)
        assert "did not come to its end" in comparison.problems[0]

    def test_an_executor_that_was_not_in_place_is_seen(self) -> None:
        log = log_of(a="passed")
        log.totals = Totals()
        assert compare(log, expectation_of(1), Mode.LANGGRAPH, quick=False).is_green
        problems = compare(log, expectation_of(1), Mode.ALTO, quick=False).problems
        assert problems == ["No graph ran on ALTO: the executor was not in place."]

    def test_a_silent_fallback_is_seen(self) -> None:
        log = log_of(a="passed")
        log.totals.add_report(RunReport(accelerated=False))
        problems = compare(log, expectation_of(1), Mode.ALTO, quick=False).problems
        assert problems == ["1 runs were not on ALTO and gave no reason."]

    def test_limits_hold_for_known_failures_too(self) -> None:
        expectation = expectation_of(2, 0, known("t.py::*"), failures_at_most=1, adopted_at_least=5)
        log = log_of(1, a="failed", b="failed")
        problems = compare(log, expectation, Mode.CHAOS, quick=False).problems
        assert problems == [
            "2 tests failed, at most 1 may.",
            "0 tasks were adopted, it should be 5.",
        ]
        assert not compare(log, expectation, Mode.CHAOS, quick=True).problems


@pytest.mark.parametrize(
    ("test", "pattern", "expected"),
    [
        ("t.py::a[memory-sync]", "t.py::a[memory-sync]", True),
        ("t.py::a[memory-sync]", "t.py::a[*-sync]", True),
        ("t.py::a[memory-sync]", "t.py::a", False),
        ("t.py::a[m]", "t.py::a[abm]", False),
        ("t.py::ab", "t.py::a?", False),
        ("t.py::a[two\nlines]", "t.py::a[*]", True),
    ],
)
def test_only_the_star_is_special_in_a_pattern(test: str, pattern: str, expected: bool) -> None:
    assert matches(test, pattern) is expected


class TestExpectedToml:
    def test_the_file_is_valid_and_fits_the_pins(self) -> None:
        expectation = load_expectation()
        assert f"langgraph=={expectation.version}\n" in REQUIREMENTS.read_text()
        assert expectation.quick.files
        assert expectation.quick.passed < expectation.full.passed

    def test_every_requirement_is_pinned(self) -> None:
        lines = [line.split("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines()]
        assert all("==" in line for line in lines if line)

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ({"test": "a", "modes": ["chaos"], "reason": " "}, "has no reason"),
            ({"test": "a", "modes": ["alto"], "reason": "x"}, "only chaos runs"),
            ({"test": "a", "modes": ["mayhem"], "reason": "x"}, "mayhem"),
            ({"test": "a", "modes": ["chaos", "chaos"], "reason": "x"}, "2 times for chaos"),
        ],
    )
    def test_an_entry_that_means_nothing_is_refused(
        self, entry: dict[str, Any], message: str
    ) -> None:
        values = {
            "langgraph": {"version": "1", "sha256": "0"},
            "suite": {"passed": 1, "skipped": 0, "skips": []},
            "quick": {"passed": 1, "skipped": 0, "files": ["t.py"]},
            "known_failure": [entry],
        }
        with pytest.raises(ValueError, match=message):
            parse_expectation(values)

    def test_a_missing_value_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "expected.toml"
        path.write_text("[langgraph]\nversion = '1'\n")
        with pytest.raises(CompatError, match="'sha256' is missing"):
            load_expectation(path)


class TestModes:
    @pytest.mark.parametrize(
        ("executor", "chaos", "trust", "expected"),
        [
            (Executor.LANGGRAPH, False, False, Mode.LANGGRAPH),
            (Executor.LANGGRAPH, True, False, Mode.LANGGRAPH_CHAOS),
            (Executor.ALTO, False, False, Mode.ALTO),
            (Executor.ALTO, True, False, Mode.CHAOS),
            (Executor.ALTO, True, True, Mode.CHAOS_TRUST),
        ],
    )
    def test_each_combination_has_its_mode(
        self, executor: Executor, chaos: bool, trust: bool, expected: Mode
    ) -> None:
        assert choose_mode(executor, chaos=chaos, trust=trust) is expected

    @pytest.mark.parametrize(
        "arguments", [["--trust"], ["--executor", "langgraph", "--chaos", "--trust"]]
    )
    def test_trust_without_a_policy_is_bad_usage(self, arguments: list[str]) -> None:
        result = CliRunner().invoke(command_line.app, ["suite", *arguments])
        assert result.exit_code == 2
        assert "use it with --executor alto --chaos" in result.output


class TestSource:
    def archive(self, folder: Path) -> str:
        """A small sdist in the cache; its digest."""
        files = {
            "pyproject.toml": "",
            "tests/test_a.py": "",
            "langgraph/graph.py": "",
            "README": "",
        }
        with tarfile.open(folder / "langgraph-9.9.tar.gz", "w:gz") as tar:
            for name in files:
                tar.addfile(tarfile.TarInfo(f"langgraph-9.9/{name}"), io.BytesIO(b""))
        return hashlib.sha256((folder / "langgraph-9.9.tar.gz").read_bytes()).hexdigest()

    def test_only_the_tests_are_unpacked(self, tmp_path: Path) -> None:
        digest = self.archive(tmp_path)
        folder = fetch_suite("9.9", digest, ["false"], cache=tmp_path)
        assert (folder / "tests" / "test_a.py").exists()
        assert (folder / "pyproject.toml").exists()
        assert not (folder / "langgraph").exists()
        (folder / "tests" / "mine.txt").touch()
        assert fetch_suite("9.9", digest, ["false"], cache=tmp_path) == folder
        assert (folder / "tests" / "mine.txt").exists(), "it was unpacked a second time"

    def test_another_archive_is_refused(self, tmp_path: Path) -> None:
        self.archive(tmp_path)
        with pytest.raises(CompatError, match=r"expected 0000.*Delete the file"):
            verify(tmp_path / "langgraph-9.9.tar.gz", "0000")

    def test_without_a_network_one_line_says_what_to_do(self, tmp_path: Path) -> None:
        script = "import sys; sys.exit('WARNING: again\\nERROR: no route to the index')"
        with pytest.raises(CompatError) as caught:
            fetch_suite("9.9", "0", [sys.executable, "-c", script], cache=tmp_path)
        assert "(no route to the index)" in str(caught.value)
        assert "put the file there yourself" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_the_last_error_is_what_counts(self) -> None:
        assert last_error("ERROR: one\nERROR: two\nhint") == "two"
        assert last_error("Traceback\nBoom\n") == "Boom"
        assert last_error("") == "pip gave no reason"

    def test_it_exits_2_with_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse() -> Path:
            raise CompatError("no network: connect to a package index.")

        monkeypatch.setattr(command_line, "ensure_environment", refuse)
        result = CliRunner().invoke(command_line.app, ["suite"])
        assert result.exit_code == 2
        assert "compat: no network: connect to a package index." in result.output
        assert "Traceback" not in result.output


class TestSuiteRun:
    def test_the_users_settings_stay_outside(self) -> None:
        environ = clean_environ(
            {"PATH": "p", "PYTEST_ADDOPTS": "-x", "LANGGRAPH_ALTO": "0", "PYTHONPATH": "elsewhere"}
        )
        assert environ == {"PATH": "p", "NO_DOCKER": "true", "LANGSMITH_TRACING": "false"}

    def test_a_selection_takes_the_place_of_the_whole(self, tmp_path: Path) -> None:
        whole = SuiteRun(Path("python"), tmp_path, Mode.ALTO, tmp_path)
        part = SuiteRun(Path("python"), tmp_path, Mode.CHAOS, tmp_path, tests=("tests/test_a.py",))
        assert whole.command()[-1] == "tests"
        assert part.command()[-1] == "tests/test_a.py"
        assert part.environ()[MODE_VARIABLE] == "chaos"

    @pytest.mark.slow
    def test_the_plugin_writes_what_the_runner_reads(self, tmp_path: Path) -> None:
        (tmp_path / "test_some.py").write_text(
            "import pytest\n"
            "def test_passes(): pass\n"
            "def test_fails(): assert 1 == 2, 'one is not two'\n"
            "@pytest.mark.skip(reason='later')\n"
            "def test_skips(): pass\n"
        )
        (tmp_path / "test_module.py").write_text(
            "import pytest\npytest.skip('whole', allow_module_level=True)\n"
        )
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        variables = {MODE_VARIABLE: "langgraph", LOG_VARIABLE: str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "compat.plugin", "-p", "no:cacheprovider", "-q"],
            cwd=tmp_path,
            env={**clean_environ(os.environ), **variables, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1, done.stdout + done.stderr
        log = read_log(tmp_path)
        assert {test: result.outcome for test, result in log.results.items()} == {
            "test_module.py": "skipped",
            "test_some.py::test_passes": "passed",
            "test_some.py::test_fails": "failed",
            "test_some.py::test_skips": "skipped",
        }
        assert "one is not two" in log.results["test_some.py::test_fails"].message
        assert log.status == 1
        assert not log.totals


class TestSummary:
    def summary(self) -> Summary:
        log = log_of(1, a="passed", bad="failed", late="failed", skip_c="skipped")
        log.results["t.py::bad"].message = "AssertionError: [1] != [2]\nmore"
        log.totals.held["reads the store"] = 3
        log.by_test["t.py::bad"] = Totals(on_alto=1, adopted=2)
        expectation = expectation_of(3, 1, known("t.py::late", Mode.CHAOS_TRUST))
        return Summary(
            mode=Mode.CHAOS_TRUST,
            quick=False,
            expectation=expectation,
            log=log,
            comparison=compare(log, expectation, Mode.CHAOS_TRUST, quick=False),
            seconds=12.3,
            output=Path("pytest.txt"),
            holds={"t.py::bad": Explanation("passed", Counter({"shared list 'seen'": 2}))},
        )

    def test_people_see_what_failed_and_why(self) -> None:
        console = Console(file=io.StringIO(), width=120)
        print_summary(self.summary(), console)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert "AssertionError: [1] != [2]" in text
        assert "passed with the default policy; held: shared list 'seen' (2)" in text
        assert "blocks on a sibling" in text
        assert "reads the store" in text
        assert "not as expected" in text

    def test_programs_see_the_same(self) -> None:
        values = json.loads(json.dumps(as_json(self.summary())))
        assert values["green"] is False
        assert values["mode"] == "chaos-trust"
        assert values["tests"] == {"passed": 1, "failed": 2, "skipped": 1}
        assert values["runs"]["held"] == {"reads the store": 3}
        (failure,) = values["failures"]
        assert failure["test"] == "t.py::bad"
        assert failure["runs"]["adopted"] == 2
        assert failure["default_policy"]["held"] == {"shared list 'seen'": 2}
        assert values["expected_failures"][0]["reason"] == "blocks on a sibling"
