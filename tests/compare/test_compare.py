"""`compare()` on graphs whose outcome is known, most of them on a virtual clock."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from langgraph_alto import Options, Partial, accelerate
from langgraph_alto.compare import Report, compare
from langgraph_alto.compare.against import against, load_report
from langgraph_alto.compare.comparison import About
from langgraph_alto.compare.page_words import results
from langgraph_alto.compare.report import SCHEMA, schema_text
from langgraph_alto.compare.sides import Sides
from langgraph_alto.compare.sustained import sustained_rates, why_not_measured
from langgraph_alto.compare.waterfall import MOST_PARTIALS
from langgraph_alto.errors import InputsError, NotAGraphError, OptionError
from langgraph_alto.testing import FakeChatModel, FakeEngine, VirtualClock
from tests.compare import graphs, shapes
from tests.compare.graphs import Where, built, on_virtual_clock

SAMPLE = Path(__file__).with_name("sample_report.json")


def valid(report: Report) -> Report:
    """The report, validated against its schema."""
    jsonschema.validate(json.loads(report.to_json()), json.loads(SCHEMA.read_text("utf-8")))
    return report


# Verdicts and figures


@pytest.mark.slow
def test_a_gain_is_found_with_its_bound_and_its_edge() -> None:
    report = valid(compare(shapes.uneven_branches(), [{}], **on_virtual_clock(ablate=True)))
    assert report.equal
    assert report.verdict.code == "faster"
    assert report.ratio == pytest.approx(0.7)
    assert report.bound == pytest.approx(7.0)
    assert report.bound_ratio == pytest.approx(0.7)
    assert report.latency.langgraph is not None
    assert report.latency.langgraph.p50 == pytest.approx(10.0)
    assert report.noise.ratio is not None
    assert report.noise.ratio.value == pytest.approx(1.0)
    first = report.edges[0]
    assert (first.source, first.target) == ("a", "c")
    assert first.waited_for["langgraph"] == {"b": pytest.approx(4.0)}
    assert first.gain == pytest.approx(4.0)  # 3 of the latency: then the other branch decides
    assert first.lost == 0.0
    classes = {row.run_ahead: row.ratio.value for row in report.ablation if row.ratio}
    assert classes == {
        "off": pytest.approx(1.0),
        "certain": pytest.approx(0.7),
        "streamed": pytest.approx(0.7),
        "speculative": pytest.approx(0.7),
    }
    assert report.spent.langgraph is not None
    assert report.spent.langgraph.waiting == pytest.approx(4.0)


@pytest.mark.slow
def test_a_streaming_producer_gains_and_shows_partials() -> None:
    report = valid(compare(shapes.producer(), [{}], **on_virtual_clock()))
    assert report.ratio == pytest.approx(8.5 / 11.5)
    partial = report.runs[0].first_partial
    assert partial.langgraph is None
    assert partial.alto is not None
    assert partial.alto.p50 == pytest.approx(2.0)
    assert report.typical is not None
    spans = report.typical.alto.spans
    assert {s.path for s in spans if s.node == "second"} == {
        f"request / make.items[{i}]" for i in range(3)
    }
    assert all(s.ahead and s.outcome == "adopted" for s in spans if s.node == "second")
    for timeline in (report.typical.langgraph, report.typical.alto):
        (make,) = (s for s in timeline.spans if s.node == "make")
        told = [(round(p.at - make.begin, 6), p.key, p.index) for p in make.partials]
        assert told == [(2.0, "items", 0), (4.0, "items", 1), (6.0, "items", 2)]
        assert make.partial_count == 3
        assert not any(s.partials for s in timeline.spans if s.node != "make")
    assert report.wasted is not None
    assert (report.wasted.adopted, report.wasted.discarded) == (3.0, 0.0)


def test_partial_outputs_that_are_no_list_or_too_many() -> None:
    async def node(state: graphs.State) -> Any:
        for _ in range(1000):
            await asyncio.sleep(0.01)
            yield Partial(said=["a", "b"])
        yield Partial(id="done")

    report = valid(compare(built(node), [{}], **on_virtual_clock(runs=1)))
    assert report.typical is not None
    (span,) = report.typical.langgraph.spans
    assert span.partial_count == 2001
    assert len(span.partials) == MOST_PARTIALS
    assert [(p.key, p.index) for p in span.partials[:1]] == [("said", 0)]
    assert [(p.key, p.index) for p in span.partials[-1:]] == [("id", None)]
    assert [p.at for p in span.partials] == sorted(p.at for p in span.partials)
    assert span.partials[50].at == pytest.approx(span.end / 2, rel=0.02)


def test_a_plain_chunk_is_a_draft_and_no_partial_output() -> None:
    async def node(state: graphs.State) -> Any:
        yield {"said": ["a"]}
        yield {"said": ["b"]}

    report = compare(built(node), [{}], **on_virtual_clock(runs=1))
    assert report.typical is not None
    assert [s.partials for s in report.typical.langgraph.spans] == [[]]


def test_nothing_to_gain_is_no_difference() -> None:
    report = valid(compare(shapes.chain(), [{}], **on_virtual_clock()))
    assert report.verdict.code == "no_difference"
    assert report.ratio == pytest.approx(1.0)


@pytest.mark.slow
def test_several_at_once_give_a_throughput_and_a_sustained_rate() -> None:
    report = valid(compare(shapes.no_join(), [{}], **on_virtual_clock(concurrency=(1, 4))))
    assert [level.concurrency for level in report.runs] == [1, 4]
    rates = report.runs[1].throughput
    assert rates.langgraph == pytest.approx(4 / 8, rel=0.2)
    assert rates.ratio == pytest.approx(8 / 5, rel=0.05)
    assert {row.target for row in report.sustained} == {1.25, 2.0}
    assert all(row.rate.ratio and row.rate.ratio > 1.4 for row in report.sustained)
    assert report.sustained[0].at_most_concurrency == ["langgraph", "alto"]
    assert not report.sustained_note


@pytest.mark.parametrize(
    ("asked", "measured", "note"),
    [
        (
            (1,),
            1,
            "more than one concurrency. The same command with --concurrency 1,2,4,8 measures",
        ),
        (
            (4,),
            1,
            "a concurrency of 1, too. The same command with --concurrency 1,4 measures",
        ),
        ((2, 8), 2, "a concurrency of 1, too. The same command with --concurrency 1,2,8 "),
        ((1, 8), 1, "the measurement was stopped before it."),
    ],
)
def test_where_no_sustained_rate_was_measured_the_report_says_what_measures_it(
    asked: tuple[int, ...], measured: int, note: str
) -> None:
    sample = load_report(SAMPLE).runs[0]
    levels = [sample.model_copy(update={"concurrency": at}) for at in asked[:measured]]
    assert sustained_rates(levels) == []
    assert note in why_not_measured(levels, asked, in_python=False)


def test_one_concurrency_in_python_says_what_measures_the_sustained_rate() -> None:
    report = valid(compare(graphs.equal_graph(), [{}], **on_virtual_clock(runs=2)))
    assert report.sustained == []
    assert "The same call with concurrency=(1, 2, 4, 8) measures it." in report.sustained_note


def test_few_runs_claim_nothing() -> None:
    report = compare(shapes.uneven_branches(), [{}], **on_virtual_clock(runs=2))
    assert report.ratio == pytest.approx(0.7)
    assert report.verdict.code == "no_difference"
    assert "too few" in report.verdict.sentence


# Results


@pytest.mark.parametrize(
    ("langgraph", "alto", "kind", "key"),
    [
        (["a", "b"], ["a", "c"], "value", "said[1]"),
        (["a", "b"], ["a"], "missing", "said[1]"),
        (["a"], ["a", "b"], "extra", "said[1]"),
        (["a", "b"], ["b", "a"], "order", "said[0]"),
        ({"x": 1}, {"x": "1"}, "type", "said.x"),
        (["a"], ValueError("no"), "outcome", ""),
        (ValueError("yes"), ValueError("no"), "error", ""),
    ],
)
def test_different_results(
    monkeypatch: pytest.MonkeyPatch, langgraph: Any, alto: Any, kind: str, key: str
) -> None:
    graph = Where(monkeypatch).differing(langgraph, alto)
    report = valid(compare(graph, [{}], **on_virtual_clock(runs=2, warm_up=0)))
    assert not report.equal
    assert report.verdict.code == "results_differ"
    found = report.first_difference
    assert found is not None
    assert (found.kind, found.key) == (kind, key)
    assert found.sentence in report.verdict.sentence
    counted = report.results.order_only if kind == "order" else report.results.different
    assert counted == 2
    assert report.results.langgraph_differs == 0
    assert report.verdict.sentence.endswith(found.sentence)


def test_where_langgraph_differs_from_itself_alto_is_not_blamed() -> None:
    report = valid(compare(built(graphs.with_an_id), [{}], **on_virtual_clock(runs=2)))
    assert report.results.langgraph_differs == 2
    assert report.verdict.sentence.endswith("LangGraph's own results differ from run to run, too.")
    assert "does not give the same result twice" in results(report)
    unknown = compare(built(graphs.with_an_id), [{}], **on_virtual_clock(runs=2, noise=False))
    assert unknown.results.langgraph_differs is None
    assert "LangGraph's own results" not in unknown.verdict.sentence
    expecting = [{"input": {}, "expect": {"number": 2}}]
    how = on_virtual_clock(runs=1, ignore=["id"])
    report = compare(built(graphs.with_an_id), expecting, **how)
    assert report.verdict.code == "results_differ"
    assert report.results.langgraph_differs == 0
    assert "LangGraph's own results" not in report.verdict.sentence


def test_a_graph_without_a_name_is_called_by_its_target() -> None:
    about = About(target="shop/app.py:graph")
    report = compare(graphs.equal_graph(), [{}], about=about, **on_virtual_clock(runs=1))
    assert report.graph == "app.py:graph"
    assert compare(graphs.equal_graph(), [{}], **on_virtual_clock(runs=1)).graph == "graph"


def test_ids_differ_unless_they_are_named() -> None:
    graph = built(graphs.with_an_id)
    report = valid(compare(graph, [{}], **on_virtual_clock(runs=2)))
    assert report.first_difference is not None
    assert report.first_difference.key == "id"
    report = compare(graph, [{}], **on_virtual_clock(runs=2, ignore=["id"]))
    assert report.equal
    assert report.results.ignored == ["id"]


def test_ids_that_langgraph_draws_for_messages_are_no_difference() -> None:
    from langgraph.graph import MessagesState

    graph = built(graphs.greets, schema=MessagesState)
    inputs = [{"messages": [{"role": "user", "content": "hi"}]}]
    assert compare(graph, inputs, **on_virtual_clock(runs=2)).equal


def test_runs_that_fail_are_counted_and_compared() -> None:
    graph = built(graphs.fails_on_odd)
    inputs = [{"number": 1}, {"number": 2}, {"number": 3}]
    report = valid(compare(graph, inputs, **on_virtual_clock()))
    assert report.equal
    assert report.results.failed == {"langgraph": 12, "alto": 12}
    assert "All 18 results are equal, errors included." in report.verdict.sentence
    assert {f.error for f in report.results.failures} == {
        "ValueError: 1 is odd",
        "ValueError: 3 is odd",
    }
    assert [row.outcome["alto"] for row in report.inputs] == ["failed", "finished", "failed"]
    assert report.latency.alto is not None
    assert report.latency.alto.count == 6


def test_a_graph_that_fails_on_every_input_is_told_at_once() -> None:
    with pytest.raises(InputsError, match=r"every input fails on LangGraph.*1 is odd"):
        compare(built(graphs.fails_on_odd), [{"number": 1}, {"number": 3}], **on_virtual_clock())


def test_what_is_expected_is_checked() -> None:
    case = {"input": {"number": 1}, "expect": {"number": 3}}
    report = compare(graphs.equal_graph(), [case], **on_virtual_clock(runs=2))
    assert report.first_difference is not None
    assert report.first_difference.kind == "expected"
    assert report.results.unexpected == 2
    case["expect"] = {"number": 2}
    assert compare(graphs.equal_graph(), [case], **on_virtual_clock(runs=2)).equal


def test_a_run_that_hangs_is_left_behind() -> None:
    async def hangs(state: graphs.State) -> graphs.State:
        await asyncio.sleep(0 if state["number"] == 1 else 1e6)
        return {"number": 2}

    report = compare(
        built(hangs), [{"number": 1}, {"number": 2}], **on_virtual_clock(runs=2, timeout=5)
    )
    assert report.results.timeouts == {"langgraph": 2, "alto": 2}
    assert report.equal
    assert report.results.failures[0].error == "no end after 5 s"


# What can be asked


def test_interrupts_are_answered() -> None:
    inputs = [
        {"input": {}, "answers": ["yes", "no"]},
        {"input": {}, "answers": ["yes"]},
        {"input": {}},
    ]
    expected = {"said": ["yes"], "done": ["no"]}
    inputs[0]["expect"] = expected
    report = valid(compare(graphs.with_questions(), inputs, **on_virtual_clock(runs=2)))
    assert report.equal
    outcomes = [row.outcome["alto"] for row in report.inputs]
    assert outcomes == ["finished", "interrupted", "interrupted"]


def test_a_breakpoint_is_passed_by_a_null() -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    graph = built(
        graphs.equal_node,
        graphs.with_an_id,
        checkpointer=InMemorySaver(),
        interrupt_before=["with_an_id"],
    )
    inputs = [{"input": {}, "answers": [None], "expect": {"number": 1}}]
    report = compare(graph, inputs, **on_virtual_clock(runs=2, ignore=["id"]))
    assert report.equal


def test_each_run_has_a_store_and_a_thread_of_its_own() -> None:
    report = compare(graphs.with_store(), [{}], **on_virtual_clock(runs=3))
    assert report.equal
    from langgraph.checkpoint.memory import InMemorySaver

    graph = built(graphs.tells_thread, checkpointer=InMemorySaver())
    inputs = [{"input": {}, "config": {"configurable": {"thread_id": "mine"}}}]
    report = compare(graph, inputs, **on_virtual_clock(runs=2))
    assert report.equal


def test_context_and_config_go_with_the_input() -> None:
    graph = built(graphs.greets_user)
    cases = [{"input": {}, "context": {"user": "ada"}, "expect": {"said": ["hello ada"]}}]
    assert compare(graph, cases, **on_virtual_clock(runs=2)).equal


def test_builders_and_factories() -> None:
    async def factory() -> Any:
        return graphs.equal_graph().builder

    for given in (graphs.equal_graph, factory, graphs.equal_graph().builder):
        assert compare(given, [{}], **on_virtual_clock(runs=1)).equal
    accelerated = accelerate(shapes.uneven_branches())
    report = compare(accelerated, [{}], **on_virtual_clock())
    assert report.ratio == pytest.approx(0.7)  # its own acceleration is taken off for LangGraph


def test_options_of_the_alto_side() -> None:
    options = Options(nodes={"c": {"effects": "once"}})
    report = compare(shapes.uneven_branches(), [{}], **on_virtual_clock(options=options))
    assert report.ratio == pytest.approx(1.0)
    edge = next(e for e in report.edges if e.target == "c")
    assert edge.lost == pytest.approx(4.0)
    assert edge.when == "with its step"
    assert edge.waited_for["alto"] == {"b": pytest.approx(4.0)}


def test_sync_graphs_run_without_an_event_loop() -> None:
    def node(state: graphs.State) -> graphs.State:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return {"number": 1}

    report = valid(compare(built(node), [{}], runs=2, concurrency=(1, 2)))
    assert report.settings.mode == "sync"
    assert report.equal


def test_calls_and_tokens_are_counted() -> None:
    model, clock = fake_model()

    async def node(state: graphs.State) -> graphs.State:
        reply = await model.ainvoke("What is the capital of France?")
        return {"said": [str(reply.text)]}

    report = compare(built(node), [{}], runs=2, loop_factory=clock.new_event_loop)
    assert report.calls.langgraph == report.calls.alto
    assert report.calls.alto is not None
    assert report.calls.alto.model_calls == 1
    assert report.calls.alto.output_tokens == 3


def fake_model() -> tuple[FakeChatModel, VirtualClock]:
    """A model that says where Paris is, on a virtual clock."""
    clock = VirtualClock()
    script = {"capital of France": "It is Paris."}
    return FakeChatModel(script=script, engine=FakeEngine(clock=clock)), clock


# Bad use


def test_bad_use_is_told_before_any_work() -> None:
    for bad in (
        {"runs": 0},
        {"concurrency": ()},
        {"concurrency": (0,)},
        {"warm_up": -1},
        {"timeout": 0},
        {"mode": "fast"},
        {"stream_modes": ("word",)},
        {"record": "a", "replay": "b"},
        {"repeats": 3},
    ):
        with pytest.raises(OptionError):
            compare(graphs.equal_graph(), [{}], **bad)
    with pytest.raises(NotAGraphError):
        compare(lambda: 3, [{}])
    with pytest.raises(InputsError):
        compare(graphs.equal_graph(), [])


def test_a_running_event_loop_is_told() -> None:
    async def main() -> None:
        compare(graphs.equal_graph(), [{}])

    with pytest.raises(RuntimeError, match=r"asyncio\.to_thread"):
        asyncio.run(main())


# The report


def test_the_schema_is_made_from_the_models() -> None:
    assert SCHEMA.read_text("utf-8") == schema_text()


def test_the_sample_is_a_report() -> None:
    jsonschema.validate(
        json.loads(SAMPLE.read_text("utf-8")), json.loads(SCHEMA.read_text("utf-8"))
    )
    assert load_report(SAMPLE).runs[0].pairs


def test_a_report_from_before_a_field_was_added_can_be_read(tmp_path: Path) -> None:
    old = json.loads(SAMPLE.read_text("utf-8"))
    for side in ("langgraph", "alto"):
        for span in old["typical"][side]["spans"]:
            del span["partials"], span["partial_count"]
    (tmp_path / "old.json").write_text(json.dumps(old), "utf-8")
    assert load_report(tmp_path / "old.json").typical is not None


def test_the_top_has_plain_numbers() -> None:
    found = json.loads(compare(graphs.equal_graph(), [{}], **on_virtual_clock(runs=2)).to_json())
    assert isinstance(found["ratio"], float)
    assert isinstance(found["bound"], float)
    assert isinstance(found["latency"]["langgraph"]["p50"], float)
    assert found["equal"] is True
    assert found["first_difference"] is None


def test_two_reports(tmp_path: Path) -> None:
    old = compare(shapes.uneven_branches(), [{}], **on_virtual_clock())
    path = tmp_path / "old.json"
    path.write_text(old.to_json(), "utf-8")
    same = against(load_report(path), old, "old.json")
    assert (same.code, same.differs) == ("no_difference", [])
    options = Options(run_ahead="off")
    new = compare(shapes.uneven_branches(), [{}], **on_virtual_clock(options=options))
    worse = against(load_report(path), new, "old.json")
    assert worse.code == "worse"
    assert worse.change is not None
    assert worse.change.value == pytest.approx(1 / 0.7)
    assert any(text.startswith("options") for text in worse.differs)
    other = compare(shapes.uneven_branches(), [{"a": "x"}], **on_virtual_clock())
    assert against(old, other, "old.json").code == "not_comparable"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 1}', "nothing"])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "old.json"
    path.write_text(text, "utf-8")
    with pytest.raises(InputsError, match=r"old\.json"):
        load_report(path)


# Statistics, on a virtual clock with noise of 2 % in each body


def slowed(monkeypatch: pytest.MonkeyPatch, factor: float | None, seed: int) -> Report:
    """LangGraph against itself, one of them slowed by a factor."""

    def other(self: Sides, name: str = "alto", **_: Any) -> Any:
        graph = graphs.noisy_branches(seed + 1_000, factor or 1.0)
        return Sides(graph, self.options).langgraph(name)

    monkeypatch.setattr(Sides, "alto", other)
    clock = VirtualClock()
    return compare(
        graphs.noisy_branches(seed), [{}], runs=20, seed=seed, loop_factory=clock.new_event_loop
    )


@pytest.mark.slow
def test_langgraph_against_itself_shows_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """In 19 of 20 comparisons at least."""
    codes = [slowed(monkeypatch, None, seed).verdict.code for seed in range(20)]
    assert codes.count("no_difference") >= 19


@pytest.mark.slow
def test_five_percent_are_found_and_one_is_not_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [slowed(monkeypatch, 1.05, seed).verdict.code for seed in range(6)]
    assert found == ["slower"] * 6
    claimed = [slowed(monkeypatch, 1.01, seed).verdict.code for seed in range(6)]
    assert claimed == ["no_difference"] * 6
