"""What the page says of a report, without a browser."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import get_args

import pytest

from langgraph_alto.cli import main
from langgraph_alto.compare import page, page_view, plots, wording
from langgraph_alto.compare.flows import flows
from langgraph_alto.compare.page import to_html
from langgraph_alto.compare.page_words import KINDS
from langgraph_alto.compare.plots import Mark, Row, latencies, ratios
from langgraph_alto.compare.report import Difference, Report
from langgraph_alto.flow.critical_path import critical_path
from tests.helpers.compared import compared, differing, writer


@pytest.mark.parametrize("module", [wording, plots, page_view])
def test_examples(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def test_every_kind_of_difference_has_words() -> None:
    assert set(KINDS) == set(get_args(Difference.model_fields["kind"].annotation))


def test_a_plot_has_a_dot_for_each_sample() -> None:
    rows = [Row("LangGraph", "", [1.0, 1.1, 1.1], 1.1), Row("ALTO", "", [0.5], 0.5, is_alto=True)]
    drawn = latencies(rows, Mark(0.4, "bound"), width=400, title="Latency")
    assert drawn.count("<use") == 4


def test_many_samples_are_shown_by_their_quantiles() -> None:
    row = Row("LangGraph", "", [number / 5000 for number in range(5000)], 0.5)
    drawn = latencies([row], None, width=400, title="Latency")
    assert drawn.count("<use") == plots.MOST_DOTS


def test_a_plot_takes_colours_and_fonts_from_the_page() -> None:
    drawn = ratios([Row("ALTO", "", [0.9, 1.2], 1.0, interval=(0.9, 1.1))], width=400, title="R")
    assert set(re.findall(r"(?:fill|stroke): ([^;\"]*)", drawn)) <= {
        "none", "var(--ink)", "var(--soft)", "var(--rule)", "var(--langgraph)", "var(--paper)",
    }  # fmt: skip
    assert "font-family" not in drawn
    assert "<style" not in drawn


def test_plots_of_one_page_share_no_id() -> None:
    row = Row("ALTO", "", [0.9, 1.2], 1.0)
    drawn = [latencies([row], None, width=width, title="L") for width in (340, 800)]
    found = [set(re.findall(r' id="([mp]\w{8,})"', one)) for one in drawn]
    assert found[0]
    assert not found[0] & found[1]


def test_a_title_is_escaped() -> None:
    drawn = latencies([Row("a", "", [1.0], 1.0)], None, width=400, title="<script>&")
    assert "<title>&lt;script&gt;&amp;</title>" in drawn


@pytest.mark.slow
def test_a_report_read_from_json_gives_the_same_page() -> None:
    report = compared(writer(2), [{"topic": "moss"}], runs=1, warm_up=0, noise=False)
    again = Report.model_validate_json(report.to_json())
    assert to_html(again) == to_html(report)


@pytest.mark.slow
def test_what_was_stopped_says_so() -> None:
    report = compared(differing(), [{"place": "Brest"}], runs=1, warm_up=0, noise=False)
    assert "stopped early" not in to_html(report)
    assert "stopped early" in to_html(report.model_copy(update={"complete": False}))


@pytest.mark.slow
def test_a_saved_report_is_drawn_without_running_anything(tmp_path: Path) -> None:
    report = compared(writer(2), [{"topic": "moss"}], runs=1, warm_up=0, noise=False)
    saved, drawn = tmp_path / "report.json", tmp_path / "report.html"
    saved.write_text(report.to_json(), "utf-8")
    assert main(["compare", "--from", str(saved), "--html", str(drawn)]) == 0
    assert drawn.read_text("utf-8") == to_html(report)


@pytest.mark.slow
def test_the_command_measures_and_draws(tmp_path: Path) -> None:
    (tmp_path / "reported_app.py").write_text(APP, "utf-8")
    inputs, drawn = tmp_path / "inputs.jsonl", tmp_path / "page.html"
    inputs.write_text('{"input": {"said": ["hello"]}}\n', "utf-8")
    arguments = [
        "compare",
        f"{tmp_path}/reported_app.py:graph",
        "--inputs",
        str(inputs),
        "--runs",
        "1",
    ]
    assert main([*arguments, "--no-noise", "--html", str(drawn)]) == 0
    text = drawn.read_text("utf-8")
    assert "No difference shown" in text
    assert "langgraph-alto compare" in text


APP = """
import operator
from typing import Annotated, TypedDict

from langgraph.graph import START, StateGraph


class State(TypedDict):
    said: Annotated[list[str], operator.add]


builder = StateGraph(State)
builder.add_node("echo", lambda state: {"said": state["said"]})
builder.add_edge(START, "echo")
graph = builder.compile()
"""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "none.json", "--html", "page.html"], "can't read 'none.json'"),
        (["--from", "empty.json", "--html", "page.html"], "empty.json: not valid JSON"),
        (["--from", "other.json", "--html", "page.html"], "is no report of"),
        (["--from", "other.json"], "--from: takes --html FILE, and neither"),
        (["app.py:graph", "--from", "other.json", "--html", "page.html"], "--from: takes"),
        (["app.py:graph"], "TARGET and --inputs: both are needed"),
        (["--inputs", "inputs.jsonl"], "TARGET and --inputs: both are needed"),
    ],
)
def test_bad_use_is_told_in_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.json").touch()
    Path("other.json").write_text("{}", "utf-8")
    assert main(["compare", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not Path("page.html").exists()


def test_missing_libraries_are_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(page, "LIBRARIES", ("jinja2", "no_such_library"))
    monkeypatch.chdir(tmp_path)
    Path("inputs.jsonl").write_text('{"input": {}}\n', "utf-8")
    arguments = ["compare", "none.py:graph", "--inputs", "inputs.jsonl", "--html", "page.html"]
    assert main(arguments) == 2
    assert "needs no_such_library: pip install 'langgraph-alto[compare]'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_waterfalls_wait_where_the_report_says_so() -> None:
    report = compared(writer(), [{"topic": "moss"}], runs=1, warm_up=0, noise=False)
    assert report.typical is not None
    for flow, spent in zip(
        flows(report.typical, graph="writer"),
        (report.spent.langgraph, report.spent.alto),
        strict=True,
    ):
        waits = [s for s in critical_path(flow) if s.kind == "wait"]
        assert spent is not None
        # Of the run's one pair: what its chain waited for, and the executor's work between.
        assert sum(s.end - s.start for s in waits) == pytest.approx(spent.waiting, abs=0.01)
