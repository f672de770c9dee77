"""Every example of the repository, and how one of its inputs is run without waiting for it.

A new example joins by itself: a module below `examples/` that has a `graph`. Its inputs are in a
`.jsonl` beside it, or in the command that its docstring shows.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from langgraph.types import Command

from examples.factcheck import offline
from langgraph_alto.testing import FakeEngine, RealClock, VirtualClock

EXAMPLES = Path(__file__).parent.parent.parent / "examples"

_SHOWN = re.compile(r"--input '([^']*)'")
_threads = count()


@dataclass(frozen=True)
class Example:
    """A module with a graph, and the first line of its inputs."""

    module: str
    line: dict[str, Any]

    def __str__(self) -> str:
        return self.module.removeprefix("examples.")


def every_example() -> list[Example]:
    """All of them, by name."""
    found = []
    for path in sorted(EXAMPLES.rglob("[!_]*.py")):
        text = path.read_text("utf-8")
        if re.search(r"^graph\b", text, re.MULTILINE):
            place = path.relative_to(EXAMPLES.parent).with_suffix("")
            found.append(Example(".".join(place.parts), _first_line(path, text)))
    return found


def _first_line(path: Path, text: str) -> dict[str, Any]:
    # An application has its folder for itself.
    files = path.parent.glob("*.jsonl" if path.stem == "app" else f"{path.stem}.jsonl")
    inputs = next(iter(sorted(files)), None)
    if inputs is not None:
        line = inputs.read_text("utf-8").splitlines()[0]
    else:
        shown = _SHOWN.search(ast.get_docstring(ast.parse(text)) or "")
        assert shown, f"{path} has no inputs: no .jsonl, and no --input in its docstring"
        line = shown[1]
    found: dict[str, Any] = json.loads(line)
    return found


def hasten(module: ModuleType, monkeypatch: pytest.MonkeyPatch, speed: float) -> None:
    """Let the model of a module whose nodes are synchronous be so much faster."""
    llm = getattr(module, "llm", None)
    if llm is None:
        return
    engine = FakeEngine(clock=RealClock(speed=speed))
    monkeypatch.setattr(llm, "engine", engine)
    # Bound models hold a copy of the model; they share what they call.
    for value in vars(module).values():
        for step in getattr(value, "steps", ()):
            if (bound := getattr(step, "bound", None)) is not None and hasattr(bound, "engine"):
                monkeypatch.setattr(bound, "engine", engine)


def run_requests(example: Example, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run an example's first input, on whoever is installed; returns how many requests that were.

    A person's answers are further requests, each of which resumes the one before it.
    """
    module = importlib.import_module(example.module)
    clock = VirtualClock()
    graph = _in_virtual_time(module, clock)
    if graph is not None:
        clock.run(graph.ainvoke(example.line))
        return 1
    hasten(module, monkeypatch, speed=1_000)
    line = example.line
    value, answers = (line["input"], line["answers"]) if "answers" in line else (line, [])
    config: Any = {"configurable": {"thread_id": f"{example}-{next(_threads)}"}}
    state = module.graph.invoke(value, config)
    for answer in answers:
        assert state["__interrupt__"], "a person is asked once for each answer"
        state = module.graph.invoke(Command(resume=answer), config)
    assert "__interrupt__" not in state
    return 1 + len(answers)


def _in_virtual_time(module: ModuleType, clock: VirtualClock) -> Any:
    """The module's graph on a clock, if it can be built on one."""
    if module.__name__ == "examples.factcheck.app":
        return module.build(offline.chat_model(clock), offline.retriever(clock))
    build = getattr(module, "build", None)
    if build is None or "clock" not in inspect.signature(build).parameters:
        return None
    return build(clock=clock)
