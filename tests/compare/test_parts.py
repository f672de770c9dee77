"""Equality, statistics, inputs, recordings: the parts of a comparison by themselves."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool

from langgraph_alto import plan
from langgraph_alto.compare import compare
from langgraph_alto.compare import statistics as stats
from langgraph_alto.compare.equality import first_difference, missing_expected, plain_result
from langgraph_alto.compare.inputs import Case, cases_of, digest, read_inputs
from langgraph_alto.compare.models import METHODS, Tally, counting, watching
from langgraph_alto.compare.recording import NotRecordedError, Recording
from langgraph_alto.compare.report import Noise, Ratio
from langgraph_alto.errors import InputsError
from langgraph_alto.testing import FakeChatModel, FakeEngine, VirtualClock
from tests.compare import graphs

# Equality


@pytest.mark.parametrize(
    ("left", "right", "kind", "key"),
    [
        ({"a": 1}, {"a": 2}, "value", "a"),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, "value", "a.b[1].c"),
        ({"a": 1}, {}, "missing", "a"),
        ({}, {"a": 1}, "extra", "a"),
        ({"a": [1, 2, 3]}, {"a": [3, 2, 1]}, "order", "a[0]"),
        ({"a": [1, 2], "b": 1}, {"a": [2, 1], "b": 2}, "value", "b"),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, "extra", "a[2]"),
        ({"a": None}, {"a": []}, "type", "a"),
        (1, 2, "value", ""),
        ([[1, 2], [3]], [[3], [1, 2]], "order", "[0]"),
    ],
)
def test_the_first_difference(left: Any, right: Any, kind: str, key: str) -> None:
    found = first_difference(left, right)
    assert found is not None
    assert (found.kind, found.key) == (kind, key)


def test_equal_results() -> None:
    assert first_difference({"a": [1, {"b": 2.0}]}, {"a": [1, {"b": 2}]}) is None
    assert first_difference({"a": 1, "b": 2}, {"b": 2, "a": 1}) is None


@pytest.mark.parametrize("pattern", ["id", "items[*].id", "items[*].*", "items"])
def test_what_is_ignored(pattern: str) -> None:
    left = {"items": [{"id": 1}, {"id": 2}]}
    right = {"items": [{"id": 3}, {"id": 4}]}
    assert first_difference(left, right) is not None
    assert first_difference(left, right, [pattern]) is None
    assert first_difference(left, right, ["other"]) is not None


def test_what_is_ignored_does_not_hide_an_order() -> None:
    left = {"items": [{"id": 1, "x": 1}, {"id": 2, "x": 2}]}
    right = {"items": [{"id": 3, "x": 2}, {"id": 4, "x": 1}]}
    found = first_difference(left, right, ["id"])
    assert found is not None
    assert found.kind == "order"


def test_messages_are_the_same_if_their_drawn_ids_are_used_alike() -> None:
    one, two = (
        {"messages": [AIMessage("a", id=f"run--{u}"), AIMessage("b", id=f"run--{v}")]}
        for u, v in (
            ("0" * 8 + "-0000-0000-0000-" + "1" * 12, "0" * 8 + "-0000-0000-0000-" + "2" * 12),
            ("0" * 8 + "-0000-0000-0000-" + "3" * 12, "0" * 8 + "-0000-0000-0000-" + "4" * 12),
        )
    )
    assert first_difference(plain_result(one), plain_result(two)) is None
    own = {"messages": [AIMessage("a", id="mine")]}
    other = {"messages": [AIMessage("a", id="yours")]}
    assert first_difference(plain_result(own), plain_result(other)) is not None


def test_addresses_are_no_difference() -> None:
    assert first_difference(plain_result(object()), plain_result(object())) is None


def test_expectations() -> None:
    assert missing_expected({"a": 1}, {"a": 1, "b": 2}) is None
    found = missing_expected({"a": [1, 2]}, {"a": [1, 3]})
    assert found is not None
    assert (found.key, found.left, found.right) == ("a[1]", "3", "2")
    assert missing_expected({"a": 1}, {}) is not None
    assert missing_expected({"a": 1}, None) is not None


# Statistics


def pairs_of(ratio: float, noise: float, rounds: int, seed: int) -> list[tuple[float, float]]:
    rng = random.Random(seed)
    return [
        (rng.lognormvariate(0, noise), ratio * rng.lognormvariate(0, noise)) for _ in range(rounds)
    ]


def test_the_interval_holds_the_true_ratio() -> None:
    held = 0
    for seed in range(40):
        inputs = [pairs_of(0.9, 0.05, 10, seed * 7 + i) for i in range(3)]
        found = stats.typical_ratio(inputs)
        assert found is not None
        held += found.low <= 0.9 <= found.high
    assert held >= 34


def test_a_long_input_weighs_as_much_as_a_short_one() -> None:
    long = [(100 * a, 100 * b) for a, b in pairs_of(0.5, 0.001, 8, 1)]
    short = pairs_of(1.0, 0.001, 8, 2)
    found = stats.typical_ratio([long, short])
    assert found is not None
    assert found.value == pytest.approx(0.5**0.5, rel=0.01)


def test_a_disturbed_run_weighs_little() -> None:
    pairs = [*pairs_of(1.0, 0.001, 11, 3), (1.0, 10.0)]
    found = stats.typical_ratio([pairs])
    assert found is not None
    assert found.value == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize(
    ("ratio", "noise", "pairs", "code"),
    [
        ((0.8, 0.75, 0.85), 1.0, 20, "faster"),
        ((1.2, 1.1, 1.3), 1.0, 20, "slower"),
        ((0.9, 0.79, 1.01), 1.0, 20, "no_difference"),  # the interval holds 1
        ((0.985, 0.98, 0.99), 1.0, 20, "no_difference"),  # nobody would notice
        ((0.95, 0.93, 0.97), 1.06, 20, "no_difference"),  # LangGraph differs more from itself
        ((0.5, 0.4, 0.6), 1.0, 5, "no_difference"),  # too few
        (None, 1.0, 0, "no_data"),
    ],
)
def test_verdicts(ratio: Any, noise: float, pairs: int, code: str) -> None:
    found = None if ratio is None else Ratio(value=ratio[0], low=ratio[1], high=ratio[2])
    own = Noise(ratio=Ratio(value=noise, low=noise, high=noise), sentence="")
    assert stats.verdict_of(found, own, pairs).code == code


def test_quantiles() -> None:
    assert stats.quantiles([]) is None
    found = stats.quantiles([1.0, 2.0, 3.0])
    assert found is not None
    assert (found.p50, found.least, found.most, found.count) == (2.0, 1.0, 3.0, 3)
    ratios = stats.quantile_ratios([pairs_of(0.5, 0.01, 20, 1)])
    assert ratios is not None
    assert np.allclose([ratios.p50.value, ratios.p99.value], 0.5, rtol=0.1)
    assert stats.quantile_ratios([]) is None


# Inputs


def test_a_file_of_inputs(tmp_path: Path) -> None:
    path = tmp_path / "inputs.jsonl"
    path.write_text('{"question": "a"}\n\n{"input": 1, "answers": ["x"], "context": {"u": 1}}\n')
    assert read_inputs(path) == [
        Case(1, {"question": "a"}),
        Case(3, 1, context={"u": 1}, answers=("x",)),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no inputs"),
        ("\n\n", "holds no inputs"),
        ('{"a": 1}\n{"a": \n', "line 2, column"),
        ('{"input": 1, "inputs": 2}', "line 1: unknown key 'inputs'"),
        ('{"input": 1, "config": 3}', "line 1: config must be an object"),
        ('{"input": 1, "config": {"configurable": 3}}', "line 1: config.configurable"),
        ('{"input": 1, "answers": "yes"}', "line 1: answers must be a list"),
        ('{"input": 1, "expect": []}', "line 1: expect must be an object"),
    ],
)
def test_bad_inputs(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "inputs.jsonl"
    path.write_text(text)
    with pytest.raises(InputsError, match=message) as told:
        read_inputs(path)
    assert "\n" not in str(told.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(InputsError, match="can't read"):
            read_inputs(path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputsError, match="not UTF-8"):
        read_inputs(tmp_path / "binary")
    with pytest.raises(InputsError, match="not a dict"):
        cases_of({"input": 1})


def test_a_digest_tells_inputs_apart() -> None:
    assert digest(cases_of([{"a": 1}])) == digest(cases_of([{"a": 1}]))
    assert digest(cases_of([{"a": 1}])) != digest(cases_of([{"a": 2}]))


# Models


QUESTION = [HumanMessage("What is the capital of France?")]


def answering(clock: VirtualClock, text: str = "It is Paris.") -> FakeChatModel:
    return FakeChatModel(script={"capital of France": text}, engine=FakeEngine(clock=clock))


def timed(
    clock: VirtualClock, model: BaseChatModel, tally: Tally
) -> tuple[str, float, list[float]]:
    """A model's answer by `ainvoke`, how long that took, and when the chunks of `astream` came."""

    async def ask() -> tuple[str, float, list[float]]:
        with counting(tally):
            began = clock.now()
            reply = await model.ainvoke(QUESTION)
            took = clock.now() - began
            began = clock.now()
            moments = [clock.now() - began async for _ in model.astream(QUESTION)]
        return str(reply.text), took, moments

    return clock.run(ask())


def test_a_recording_gives_the_same_tokens_at_the_same_times(tmp_path: Path) -> None:
    clock = VirtualClock()
    recording = Recording()
    with watching():
        tally = Tally(recording, records=True)
        live = timed(clock, answering(clock), tally)
        assert tally.model_calls == 2
        assert len(recording) == 2
        recording.save(tmp_path / "answers.jsonl")
        # The replayed model would say something else by itself.
        replayed = timed(
            clock,
            answering(clock, "Lyon."),
            Tally(Recording.load(tmp_path / "answers.jsonl")),
        )
    assert replayed[0] == live[0] == "It is Paris."
    assert replayed[1] == pytest.approx(live[1])
    assert replayed[2] == pytest.approx(live[2])
    assert len(set(live[2])) > 2


def test_a_question_that_was_not_recorded() -> None:
    clock = VirtualClock()
    recording = Recording()
    with watching():
        timed(clock, answering(clock), Tally(recording, records=True))

        async def ask() -> None:
            with counting(Tally(recording)):
                await answering(clock).ainvoke("Something else")

        with pytest.raises(NotRecordedError, match="Something else"):
            clock.run(ask())


def test_everything_is_put_back() -> None:
    before = {name: vars(FakeChatModel).get(name) for name in METHODS}
    with watching():
        assert vars(FakeChatModel)["_agenerate"] is not before["_agenerate"]
    assert {name: vars(FakeChatModel).get(name) for name in METHODS} == before


def test_sync_calls_and_tools_count_once() -> None:
    @tool
    def double(number: int) -> int:
        """Twice the number."""
        return 2 * number

    clock = VirtualClock()
    model = answering(clock)
    tally = Tally()
    with watching(), counting(tally):
        model.invoke(QUESTION)
        assert len(list(model.stream(QUESTION))) > 1
        double.invoke({"number": 1})
        asyncio.run(double.ainvoke({"number": 1}))
    assert (tally.model_calls, tally.tool_calls) == (2, 2)
    assert tally.has_tokens


@pytest.mark.parametrize("text", ["", "no", "{}", '{"key": "a", "stream": true, "parts": [1]}'])
def test_what_is_no_recording(tmp_path: Path, text: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(text)
    with pytest.raises(InputsError, match=r"answers\.jsonl"):
        Recording.load(path)


def test_a_comparison_over_a_recording(tmp_path: Path) -> None:
    """A model that never says the same twice: equal only because the answers are recorded."""
    clock = VirtualClock()
    numbers = iter(range(1_000))
    model = FakeChatModel(
        script=lambda prompt: f"answer {next(numbers)}", engine=FakeEngine(clock=clock)
    )

    async def node(state: graphs.State) -> graphs.State:
        reply = await model.ainvoke(QUESTION)
        return {"said": [str(reply.text)]}

    graph = graphs.built(node)
    how: dict[str, Any] = {"runs": 2, "loop_factory": clock.new_event_loop}
    assert not compare(graph, [{}], **how).equal
    path = tmp_path / "answers.jsonl"
    report = compare(graph, [{}], record=path, **how)
    assert report.equal
    assert report.settings.models == "recorded"
    assert report.latency.alto is not None
    assert report.latency.alto.p50 > 0
    assert compare(graph, [{}], replay=path, **how).equal
    assert json.loads(path.read_text().splitlines()[0])["stream"] is False
    with pytest.raises(InputsError, match="nothing to record"):
        compare(graphs.equal_graph(), [{}], record=path, **how)


class OwnModel(FakeChatModel):
    """A model of the application's own, whose methods the plan may read."""

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._generate(messages, *args, **kwargs)

    async def _agenerate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        return await super()._agenerate(messages, *args, **kwargs)


def test_watching_changes_no_verdict_and_counts_an_overridden_method_once() -> None:
    def planned() -> Any:
        clock = VirtualClock()
        model = OwnModel(script={"France": "Paris"}, engine=FakeEngine(clock=clock))

        async def node(state: graphs.State) -> graphs.State:
            reply = await model.ainvoke(QUESTION)
            return {"said": [str(reply.text)]}

        graph = graphs.built(node)
        found = plan(graph)
        tally = Tally()

        async def run() -> None:
            with counting(tally):
                await graph.ainvoke({})

        clock.run(run())
        return found.to_json(), tally.model_calls

    before, uncounted = planned()
    with watching():
        within, counted = planned()
    assert within == before
    assert (uncounted, counted) == (0, 1)
