"""The small examples and the tutorial patterns: equal results, and the gain that they announce."""

from __future__ import annotations

import importlib
import json
import re
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from langgraph.types import Command

from langgraph_alto import accelerate, record
from langgraph_alto.testing import Prompt, Reply, VirtualClock
from tests.helpers.canonical import mask, plain, rename
from tests.helpers.examples import hasten

EXAMPLES = Path(__file__).parent.parent / "examples"
GAINS = sorted(path.stem for path in (EXAMPLES / "gains").glob("[!_]*.py"))
TUTORIALS = sorted(path.stem for path in (EXAMPLES / "tutorials").glob("[!_]*.py"))
SPEED = 40
"""Model seconds a second in the tutorials: their synchronous nodes can't run in virtual time."""


def load(folder: str, name: str) -> tuple[ModuleType, list[dict[str, Any]]]:
    lines = (EXAMPLES / folder / f"{name}.jsonl").read_text("utf-8").splitlines()
    return importlib.import_module(f"examples.{folder}.{name}"), [json.loads(x) for x in lines]


def comparable(value: Any) -> Any:
    return rename(mask(plain(value)))


def seconds(build: Any, inputs: list[dict[str, Any]], accelerated: bool) -> tuple[float, list[Any]]:
    """Virtual seconds of all inputs together, and their results."""
    total, results = 0.0, []
    for value in inputs:
        clock = VirtualClock()
        graph = build(clock)
        if accelerated:
            graph = accelerate(graph)
        results.append(comparable(clock.run(graph.ainvoke(value))))
        total += clock.now()
    return total, results


@pytest.mark.slow
@pytest.mark.parametrize("name", GAINS)
def test_a_small_example_gains_what_it_announces(name: str) -> None:
    module, inputs = load("gains", name)
    (langgraph, expected), (alto, results) = (
        seconds(module.build, inputs, accelerated) for accelerated in (False, True)
    )
    assert results == expected
    announced = (module.__doc__ or "").split(":")[0]
    if announced == "Gain":
        assert alto / langgraph < 0.95
    else:
        assert announced in ("No gain", "No gain until it is declared")
        assert alto / langgraph == pytest.approx(1.0, abs=0.001)


def test_the_held_example_gains_when_it_is_declared() -> None:
    module, inputs = load("gains", "held_node")
    langgraph, expected = seconds(module.build, inputs, accelerated=False)
    alto, results = seconds(
        lambda clock: module.build(clock, module.IDEMPOTENT), inputs, accelerated=True
    )
    assert results == expected
    assert alto / langgraph < 0.8


def run(graph: Any, line: dict[str, Any], thread: str) -> Any:
    """One line of an inputs file: an input, or an input with a person's answers."""
    value, answers = (line["input"], line["answers"]) if "answers" in line else (line, [])
    config = {"configurable": {"thread_id": thread}}
    state = graph.invoke(value, config)
    for answer in answers:
        assert state["__interrupt__"], "a person is asked once for each answer"
        state = graph.invoke(Command(resume=answer), config)
    assert "__interrupt__" not in state
    return comparable(state)


@pytest.mark.slow
@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_gives_the_same_on_both_executors(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, inputs = load("tutorials", name)
    hasten(module, monkeypatch, SPEED)
    app = accelerate(module.graph)
    with record() as runs:
        for index, line in enumerate(inputs):
            expected = run(module.graph, line, f"langgraph-{name}-{index}")
            assert run(app, line, f"alto-{name}-{index}") == expected
    announced = re.search(r"Expected of ALTO: (nothing|a gain)", module.__doc__ or "")
    assert announced, "it says beforehand what to expect"
    if announced[1] == "nothing":
        assert sum(one.started for one in runs) == 0
    else:
        assert name == "branching", "each gain has a test of its own that does not depend on time"


def test_the_glossary_of_the_branches_begins_while_the_search_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, inputs = load("tutorials", "branching")
    began = threading.Event()

    def speak(prompt: Prompt) -> Reply:
        if prompt.last.startswith("Terms"):
            began.set()
        if prompt.last.startswith("Find"):
            assert began.wait(20), "the glossary waited for the search"
        return Reply.of(prompt.last, 1)

    monkeypatch.setattr(module.llm, "script", speak)
    state = accelerate(module.graph).invoke(inputs[0])
    question = inputs[0]["request"].strip()
    assert state["notes"] == [f"Find: {question}", f"Terms: Translate: {question}"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [("gains", name) for name in GAINS] + [("tutorials", name) for name in TUTORIALS],
)
def test_an_example_says_how_to_compare_it(folder: str, name: str) -> None:
    text = (EXAMPLES / folder / f"{name}.py").read_text("utf-8")
    path = f"examples/{folder}/{name}"
    assert f"langgraph-alto compare {path}.py:graph \\\\\n" in text
    assert f"--inputs {path}.jsonl" in text
