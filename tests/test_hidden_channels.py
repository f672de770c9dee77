"""What passes between tasks beside the declared state: the result is LangGraph's all the same.

`tests/hidden/` holds the rows. Each runs with coroutines (in virtual time) and on threads, with
either of two siblings slow, and must give LangGraph's own state, stream and outside effects. With
every node trusted most rows come out different, so the table can fail.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hidden.harness import Outcome, Side, Twin, run_row, tables, write_twins

ROWS = [(module, name, row) for module, name, row in tables()]
TWINS: tuple[Twin, ...] = ("async", "sync")
SIDES: tuple[Side, ...] = ("left", "right")

HIDDEN = [
    pytest.param(module, name, id=name) for module, name, row in ROWS if not row.runs_ahead
]


@pytest.fixture(autouse=True, scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    directory = tmp_path_factory.mktemp("twins")
    write_twins(directory)
    sys.path.insert(0, str(directory))
    yield
    sys.path.remove(str(directory))


@pytest.mark.parametrize("slow", SIDES)
@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(("module", "name"), HIDDEN)
def test_the_result_is_langgraphs(
    module: str, name: str, twin: Twin, slow: Side, tmp_path: Path
) -> None:
    expected = run_row(module, name, twin, slow, "langgraph", tmp_path / "langgraph", patience=0)
    assert run_row(module, name, twin, slow, "alto", tmp_path / "alto") == expected
