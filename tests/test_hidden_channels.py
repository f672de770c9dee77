"""What passes between tasks beside the declared state: the result is LangGraph's all the same.

`tests/hidden/` holds the rows. Each runs with coroutines (in virtual time) and on threads, with
either of two siblings slow, and must give LangGraph's own state, stream and outside effects. With
every node trusted the rows come out different, but for those that say why not: the table can fail.
The rows of `may_run` share only what nobody changes, and must run ahead.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from langgraph_alto import Options
from langgraph_alto._langgraph.reader import verdicts
from langgraph_alto.core.effects import Rank
from langgraph_alto.core.tables import writes_outward_by_name
from tests.hidden.harness import (
    Outcome,
    Side,
    Twin,
    empty_directory,
    fresh,
    run_row,
    tables,
    write_twins,
)
from tests.hidden.kit import Row

ROWS: dict[tuple[str, str], Row] = {(module, name): row for module, name, row in tables()}
SIDES: tuple[Side, ...] = ("left", "right")

OPEN: dict[tuple[str, str], str] = {
    ("mutation", "list_of_the_input_that_a_closure_keeps"): "objects of the input by another way",
    ("ways_to_share", "object_in_the_context_that_a_closure_keeps"): "the same of the context",
    ("streamed", "item_that_the_generator_changes_afterwards"): "a Send's argument is no copy",
    ("streamed", "item_filled_bit_by_bit"): "a Send's argument is no copy",
}
"""Rows whose result is not LangGraph's yet."""


MANY = ("ways_to_share", "ways_to_change", "reads")
"""Modules of many rows of one kind: their synchronous twins are for `make full`."""


def _params(
    *, hidden: bool, xfail: bool = False, slow: tuple[str, ...] | None = MANY
) -> list[object]:
    """Each row with each way to run it; on threads those of the modules in `slow` (None: of all)
    belong to the full size."""
    found = []
    for key, row in ROWS.items():
        if hidden is bool(row.runs_ahead):
            continue
        for twin in row.twins:
            is_slow = twin == "sync" and (slow is None or key[0] in slow)
            marks = [pytest.mark.slow, pytest.mark.full] if is_slow else []
            if xfail and key in OPEN:
                marks.append(pytest.mark.xfail(reason=OPEN[key]))
            found.append(pytest.param(*key, twin, id=f"{key[0]}-{key[1]}-{twin}", marks=marks))
    return found


@pytest.fixture(autouse=True, scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the synchronous twins are, and what the rows write."""
    made = tmp_path_factory.mktemp("hidden")
    write_twins(made)
    sys.path.insert(0, str(made))
    yield made
    sys.path.remove(str(made))
    expected.cache_clear()


@cache
def expected(module: str, name: str, twin: Twin, slow: Side, directory: Path) -> Outcome:
    """LangGraph's own outcome."""
    return run_row(module, name, twin, slow, "langgraph", directory, patience=0)


@pytest.mark.parametrize(("module", "name", "twin"), _params(hidden=True, xfail=True))
def test_the_result_is_langgraphs(module: str, name: str, twin: Twin, directory: Path) -> None:
    for slow in SIDES:
        found = run_row(module, name, twin, slow, "alto", directory)
        assert found == expected(module, name, twin, slow, directory), f"{slow} slow"


@pytest.mark.parametrize(("module", "name", "twin"), _params(hidden=True, slow=None))
def test_with_every_node_trusted_the_result_is_another(
    module: str, name: str, twin: Twin, directory: Path
) -> None:
    row = ROWS[module, name]
    patience = 5.0 if row.why_equal is None else 0.02
    differs = False
    for slow in reversed(SIDES):
        if not differs:
            found = run_row(module, name, twin, slow, "trusted", directory, patience=patience)
            differs = found != expected(module, name, twin, slow, directory)
    assert differs is (row.why_equal is None)


@pytest.mark.parametrize(("module", "name", "twin"), _params(hidden=False))
def test_what_only_shares_what_is_read_runs_ahead(
    module: str, name: str, twin: Twin, directory: Path
) -> None:
    for slow in SIDES:
        found = run_row(module, name, twin, slow, "alto", directory, patience=5.0)
        assert found == expected(module, name, twin, slow, directory), f"{slow} slow"
        assert found.error is None
        assert found.report is not None
        assert found.report.adopted >= ROWS[module, name].runs_ahead, f"{slow} slow"
        assert found.report.rerun == found.report.discarded == 0


@pytest.mark.parametrize(
    ("module", "name"),
    [pytest.param(*key, id="-".join(key)) for key, row in ROWS.items() if row.declared],
)
def test_a_false_declaration_of_reads_changes_no_result(
    module: str, name: str, directory: Path
) -> None:
    for slow in SIDES:
        found = run_row(module, name, "async", slow, "declared", directory)
        assert found == expected(module, name, "async", slow, directory), f"{slow} slow"


@pytest.mark.parametrize(("module", "name"), [pytest.param(*key, id="-".join(key)) for key in ROWS])
def test_nodes_are_held_for_the_reasons_that_the_row_names(
    module: str, name: str, directory: Path
) -> None:
    row = ROWS[module, name]
    with fresh(module, "async") as found:
        case = found.TABLE[name].build(empty_directory(module, directory))
        judged = verdicts(case.graph.nodes, case.graph.channels, Options()).values()
        case.close()
    reasons = {verdict.reason for verdict in judged if verdict.rank is Rank.HELD}
    assert row.held <= reasons
    assert bool(row.held) == bool(reasons)


def test_the_table_is_long_and_most_of_it_can_fail() -> None:
    hidden = [row for row in ROWS.values() if not row.runs_ahead]
    assert len(hidden) >= 40
    assert len(ROWS) - len(hidden) >= 12
    assert sum(row.why_equal is None for row in hidden) / len(hidden) > 0.9


@pytest.mark.parametrize(
    ("name", "writes"),
    [
        ("hset", True),
        ("lpush", True),
        ("incr", True),
        ("replace_one", True),
        ("to_csv", True),
        ("apply_async", True),
        ("writelines", True),
        ("extract_text", False),
        ("replace", False),
        ("to_dict", False),
        ("hget", False),
    ],
)
def test_names_of_installed_code_say_whether_it_writes(name: str, writes: bool) -> None:
    assert writes_outward_by_name(name) is writes
