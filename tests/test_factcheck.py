"""The fact check application and what its demo measures, in virtual time."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from examples.factcheck import app, demo, offline, prompts, timeline
from examples.factcheck.judge import judge
from examples.factcheck.measure import (
    STAGES,
    Body,
    Key,
    Spent,
    bodies_of,
    bound,
    critical_path,
    dependencies,
    shares_written,
    spent,
)
from langgraph_alto import accelerate
from langgraph_alto.testing import CallLog, VirtualClock, count_tokens

APOLLO, DNA, EVEREST, PANAMA, PENICILLIN, REEF = offline.questions()


@dataclasses.dataclass
class Checked:
    """A question that was run in virtual time."""

    state: dict[str, Any]
    latency: float
    log: CallLog

    @property
    def bodies(self) -> dict[Key, Body]:
        return bodies_of(self.log.calls, 0.0)


def check(question: str, accelerated: bool = False) -> Checked:
    clock, log = VirtualClock(), CallLog()
    graph: Any = app.build(offline.chat_model(clock, log), offline.retriever(clock, log))
    if accelerated:
        graph = accelerate(graph)
    state = clock.run(graph.ainvoke({"question": question}))
    return Checked(state, clock.now(), log)


# The application, on LangGraph's own executor


@pytest.mark.parametrize("question", offline.questions())
def test_the_report_runs_once_with_all_verdicts(question: str) -> None:
    done = check(question)
    nodes = Counter(call.node for call in done.log.calls)
    claims = done.state["claims"]
    assert 3 <= len(claims) <= 12
    assert nodes == {
        "answer": 1,
        "extract": 1,
        "claim": len(claims),
        "search": 2 * len(claims),
        "verdict": len(claims),
        "report": 1,
    }
    assert [verdict["claim"] for verdict in done.state["verdicts"]] == claims
    assert done.state["report"].startswith(f"Of {len(claims)} claims, ")
    for verdict in done.state["verdicts"]:
        assert verdict["claim"] in done.state["report"]


def test_two_runs_are_the_same_in_result_and_time() -> None:
    first, second = check(PANAMA), check(PANAMA)
    assert first.state == second.state
    assert first.latency == second.latency


@pytest.mark.parametrize(
    ("question", "refuted", "unknown"),
    [
        (APOLLO, ["about 12 hours", "Atlantic Ocean"], []),
        (DNA, ["in 1901"], ["Linus Pauling"]),
        (EVEREST, ["in 1841"], []),
        (PANAMA, ["December 1979"], []),
        (PENICILLIN, ["in 1948"], []),
        (REEF, ["in 1991"], []),
    ],
)
def test_just_the_mistakes_in_the_answer_are_found(
    question: str, refuted: list[str], unknown: list[str]
) -> None:
    wanted = {"refuted": refuted, "not found": unknown}
    for verdict in check(question).state["verdicts"]:
        labels = [
            label for label, marks in wanted.items() if any(m in verdict["claim"] for m in marks)
        ]
        assert verdict["label"] == (labels[0] if labels else "supported"), verdict


def test_another_question_gets_the_nearest_answer() -> None:
    done = check("Who climbed Mount Everest?")
    assert any("Hillary" in claim for claim in done.state["claims"])


def test_the_file_can_be_loaded_by_its_path() -> None:
    spec = importlib.util.spec_from_file_location("factcheck_app", app.__file__)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.graph.get_graph().nodes.keys() == app.graph.get_graph().nodes.keys()


# The fixed shape: what a length is, nobody chooses


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        (prompts.EXTRACT, 900),
        (prompts.QUERIES, 700),
        (prompts.VERDICT, 1000),
        (prompts.REPORT, 300),
    ],
)
def test_shared_prompts_have_the_size_of_the_shape(prompt: str, tokens: int) -> None:
    assert count_tokens(prompt) == pytest.approx(tokens, rel=0.02)


@pytest.mark.parametrize("question", offline.questions())
def test_lengths_and_times_are_within_the_shape(question: str) -> None:
    done = check(question)
    claims = len(done.state["claims"])
    calls = {stage: [c for c in done.log.calls if c.node == stage] for stage in STAGES}
    (answer,) = calls["answer"]
    assert 60 <= answer.output_tokens <= 1000
    assert claims == min(12, max(3, round(answer.output_tokens / 60)))
    assert all(40 <= c.output_tokens <= 300 for c in calls["verdict"])
    assert 60 <= calls["report"][0].output_tokens <= 900
    took = [c.ended - c.started for c in calls["search"] if c.ended is not None]
    assert all(0.1 <= round(seconds, 6) <= 6 for seconds in took)


# The judge


@pytest.mark.parametrize(
    ("claim", "label"),
    [
        ("The tower is 330 metres high.", "supported"),
        ("The tower is 300 metres high.", "refuted"),
        ("The tower was built by Gustave Eiffel in Paris.", "supported"),
        ("The tower was built by Gustave Eiffel in Lyon.", "refuted"),
        ("Bees dance.", "not found"),
    ],
)
def test_the_judge(claim: str, label: str) -> None:
    text = "The tower is 330 metres high. The tower was built by Gustave Eiffel in Paris."
    assert judge(claim, [("Tower", text)]).label == label


# The bound and the breakdown, on a timeline made by hand


def timeline_of(**times: tuple[float, float]) -> dict[Key, Body]:
    """Bodies from `claim_0=(start, end)` and `answer=(start, end)`."""
    found = {}
    for name, (started, ended) in times.items():
        node, _, claim = name.partition("_")
        key = Key(node, int(claim) if claim else None)
        found[key] = Body(key, started, ended)
    return found


LOCKSTEP = timeline_of(
    answer=(0, 2),
    extract=(2, 3),
    claim_0=(3, 4),
    claim_1=(3, 6),
    search_0=(6, 11),
    search_1=(6, 7),
    verdict_0=(11, 12),
    verdict_1=(11, 13),
    report=(13.5, 14),
)
AHEAD = timeline_of(
    answer=(0, 2),
    extract=(2, 3),
    claim_0=(3, 4),
    claim_1=(3, 6),
    search_0=(4, 9),
    search_1=(6, 7),
    verdict_0=(9, 10),
    verdict_1=(7, 9),
    report=(10, 10.5),
)


def test_the_critical_path_of_a_known_timeline() -> None:
    durations = {key: body.duration for key, body in LOCKSTEP.items()}
    seconds, path = critical_path(durations, dependencies(durations))
    assert seconds == 2 + 1 + (1 + 5 + 1) + 0.5
    assert path == [
        Key("answer"),
        Key("extract"),
        Key("claim", 0),
        Key("search", 0),
        Key("verdict", 0),
        Key("report"),
    ]


def test_the_bound_takes_each_body_at_its_fastest() -> None:
    slower = {**AHEAD, Key("search", 0): Body(Key("search", 0), 4, 10)}
    assert bound([LOCKSTEP, AHEAD]) == bound([LOCKSTEP]) == 10.5
    assert bound([LOCKSTEP, slower]) == 10.5
    assert bound([slower]) == 11.5


def test_the_streamed_bound_starts_a_claim_when_it_is_written() -> None:
    # Claim 0 is written after a quarter of `extract`; its chain is the longest.
    assert bound([LOCKSTEP], shares_written([10, 30])) == 2 + 0.25 + 7 + 0.5


def test_where_the_time_went_adds_up() -> None:
    lockstep = spent(LOCKSTEP, 14.25)
    # Back from the end: verdict 1 ended last; its search was done at 7 and waited until 11.
    assert lockstep == Spent(model=2 + 1 + 3 + 2 + 0.5, search=1, barriers=4, executor=0.75)
    assert spent(AHEAD, 10.5) == Spent(model=2 + 1 + 1 + 1 + 0.5, search=5)


def test_a_body_that_ran_twice_counts_as_it_was_completed() -> None:
    done = check(REEF)
    dropped = dataclasses.replace(done.log.calls[2], started=0.5, ended=0.6, completed=False)
    assert bodies_of([dropped, *done.log.calls], 0.0) == done.bodies


def test_what_ran_ahead_is_capitals_in_the_timeline() -> None:
    def drawn(bodies: dict[Key, Body]) -> str:
        console = Console(file=io.StringIO(), width=100, no_color=True)
        console.print(timeline.panel("x", bodies, width=90, scale=14, latency=14.0))
        return console.file.getvalue()  # type: ignore[attr-defined]

    assert not re.search("[QSV]", drawn(LOCKSTEP))
    assert re.search("qS+s+v+", drawn(AHEAD))  # its search began while claim 1 wrote queries
    assert re.search("q+s+V+", drawn(AHEAD))


# Both executors


@pytest.mark.parametrize("question", offline.questions())
def test_langgraph_keeps_to_the_bound(question: str) -> None:
    done = check(question)
    assert bound([done.bodies]) <= done.latency


@pytest.mark.parametrize("question", offline.questions())
def test_alto_gives_the_same_and_reaches_the_bound(question: str) -> None:
    plain, alto = check(question), check(question, accelerated=True)
    assert alto.state == plain.state
    least = bound([plain.bodies, alto.bodies])
    assert least <= alto.latency + 1e-9
    assert least <= plain.latency + 1e-9
    # Virtual time has no overhead in it, only neighbours on the engine.
    assert alto.latency <= least * 1.02
    assert alto.latency <= plain.latency * 1.001


# The demo


def run_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str]:
    monkeypatch.setenv("COLUMNS", "140")
    code = demo.main(["--speed", "200", *arguments])
    return code, capsys.readouterr().out


@pytest.mark.slow
def test_the_demo_prints_plain_text_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run_demo(monkeypatch, capsys, "--baseline")
    assert code == 0
    assert "\x1b" not in out
    assert out.count("  equal  ") == 6
    assert "The same results on all 6 questions" in out


@pytest.mark.slow
def test_the_demo_fails_if_a_result_differs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run_and_spoil(pair: demo.Pair) -> None:
        for run in pair.runs:
            await run.go()
        if pair.number == 2:
            pair.runs[1].state["report"] = "something else"

    monkeypatch.setattr(demo, "run_pair", run_and_spoil)
    code, out = run_demo(monkeypatch, capsys, "--baseline")
    assert code == 1
    assert f"The results differ on: {DNA}" in out


@pytest.mark.slow
def test_the_demo_runs_on_both_executors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run_demo(monkeypatch, capsys, "--all")
    assert code == 0
    assert "The same results on all 6 questions" in out
    assert re.search(r"(\d\d) tasks started before their superstep, \1 of them were adopted", out)


def test_every_data_file_is_used() -> None:
    data = Path(app.__file__).parent / "data"
    assert len(offline.answers()) == len(list((data / "answers").iterdir()))
    files = {document.metadata["file"] for document in offline.references()}
    assert files == {path.name for path in (data / "reference").iterdir()}
