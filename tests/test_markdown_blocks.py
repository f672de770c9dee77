"""The runner of the documentation's code blocks: what is wrong on a page fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from unittest import SkipTest

import pytest

from tests.helpers.markdown import PAGES, ROOT, BlockFailed

Run = Callable[[str], None]

FENCE = "```"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs all blocks of a page, up to the first one that fails."""

    def run_page(text: str) -> None:
        path = tmp_path / "page.md"
        path.write_text(text.replace("~~~", FENCE), encoding="utf-8")
        document = PAGES.parse(path)
        assert PAGES.setup is not None
        assert PAGES.teardown is not None
        PAGES.setup(document.namespace)
        try:
            for example in document.examples():
                example.evaluate()
        finally:
            PAGES.teardown(document.namespace)

    return run_page


@pytest.mark.slow
def test_blocks_go_on_where_the_one_before_stopped(run: Run) -> None:
    run(
        '~~~python title="app.py"\nx = 20\n~~~\n~~~python\nassert x == 20\n~~~\n'
        "~~~pycon\n>>> x + 1\n21\n~~~\n~~~console\n$ cat app.py\nx = 20\n~~~\n"
    )


@pytest.mark.parametrize(
    "block",
    [
        "~~~python\nassert False\n~~~",
        "~~~pycon\n>>> 1 + 1\n3\n~~~",
        "~~~pycon\nnothing\n~~~",
        "~~~console\n$ echo one\ntwo\n~~~",
        "~~~console\n$ echo one two\none ... three\n~~~",
        "~~~console\n$ false\n~~~",
        "~~~console\nno command\n~~~",
        "~~~text\nanything\n~~~",
        "~~~\nanything\n~~~",
        '~~~json title="input.json"\n{\n~~~',
        "1. a list\n   ~~~python\n   assert False\n   ~~~",
    ],
)
def test_a_wrong_block_fails(run: Run, block: str) -> None:
    with pytest.raises((BlockFailed, AssertionError, ValueError)):
        run(f"# Page\n\n{block}\n")


@pytest.mark.parametrize(
    "output", ["one two", "one ...", "... two", "...", "one ... two", "one   two"]
)
def test_an_output_may_be_left_out_in_parts(run: Run, output: str) -> None:
    run(f"~~~console\n$ echo one two\n{output}\n~~~\n")


def test_a_block_is_skipped_with_its_reason_only(run: Run) -> None:
    with pytest.raises(SkipTest, match="needs a key"):
        run('<!--- skip: next "needs a key" --->\n~~~python\nassert False\n~~~\n')


def test_every_page_is_collected_and_stands_in_the_navigation() -> None:
    pages = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
    listed = re.findall(r'= "(\w+\.md)" }', (ROOT / "zensical.toml").read_text("utf-8"))
    assert sorted(listed) == pages
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")]:
        assert PAGES.should_parse(path), path
        fences = re.findall(r"^\s*```\w", path.read_text("utf-8"), flags=re.M)
        blocks = [e for e in PAGES.parse(path).examples() if "info" in e.region.lexemes]
        assert len(blocks) == len(fences), path
