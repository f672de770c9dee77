"""Runs the code blocks of Markdown pages, each page in a folder of its own.

What a block is for follows from its first line:

- ```` ```python title="app.py" ```` becomes that file and is run; other `python` blocks and `pycon`
  blocks (checked like doctests) go on where it stopped, in one module for the page;
- any other block with a title becomes that file, as does a script with the title `main.py`, for a
  `console` block to run;
- ```` ```console ```` runs what stands behind `$`, in the page's folder, and compares the output:
  `...` stands for anything, white space doesn't count, an output that is left out is not looked at;
- every other block must be marked `<!--- skip: next "the reason" --->` before it, or it fails.
"""

from __future__ import annotations

import doctest
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import chdir
from pathlib import Path
from types import ModuleType
from typing import Any

from sybil import Document, Example, Region, Sybil
from sybil.parsers.markdown import SkipParser
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

ROOT = Path(__file__).parent.parent.parent
TIMEOUT = 120
"""Seconds for one command."""

_INFO = re.compile(r"(?P<info>[^\n]*)\n")
_TITLE = re.compile(r'\btitle="([^"]+)"')
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class BlockFailed(AssertionError):
    """A block that doesn't do what its page says."""


class Page:
    """A page's folder, and the module that its Python blocks are run in."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="alto-page-")).resolve()
        (self.folder / "examples").symlink_to(ROOT / "examples")
        self.module = ModuleType(f"page_{self.folder.name.replace('-', '_')}")
        sys.modules[self.module.__name__] = self.module

    def close(self) -> None:
        """Remove the folder and the module."""
        del sys.modules[self.module.__name__]
        shutil.rmtree(self.folder)

    def write(self, title: str, source: str) -> Path:
        """Put a file into the folder."""
        path = self.folder / title
        assert path.resolve().is_relative_to(self.folder), f"{title} lies outside of the page"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
        return path

    def run_python(self, source: str, path: Path) -> None:
        """Run Python from a file: what reads a function's source finds it there."""
        self.module.__file__ = str(path)
        with chdir(self.folder):
            exec(compile(source, str(path), "exec", dont_inherit=True), vars(self.module))

    def run_pycon(self, source: str, path: Path) -> None:
        """Run a session, and compare what it prints."""
        test = doctest.DocTestParser().get_doctest(source, {}, path.name, str(path), 0)
        test.globs = vars(self.module)
        said: list[str] = []
        runner = doctest.DocTestRunner(optionflags=_FLAGS | doctest.REPORT_ONLY_FIRST_FAILURE)
        with chdir(self.folder):
            runner.run(test, out=said.append, clear_globs=False)
        if runner.failures or not runner.tries:
            raise BlockFailed("".join(said) or "a pycon block without >>>")

    def run_console(self, source: str) -> None:
        """Run commands, and compare what they print."""
        commands = list(_commands(source))
        if not commands:
            raise BlockFailed("a console block without a line that begins with `$ `")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1"}
        for command, expected in commands:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
            if done.returncode != 0:
                raise BlockFailed(f"$ {command}\nended with {done.returncode}:\n{done.stdout}")
            if expected.strip() and not _matches(expected, done.stdout):
                raise BlockFailed(f"$ {command}\nprinted\n{done.stdout}\nand not\n{expected}")


def _matches(expected: str, output: str) -> bool:
    """Whether an output is the expected one: `...` stands for any text, none included."""
    parts = [" ".join(part.split()) for part in expected.split("...")]
    pattern = ".*".join(map(re.escape, parts))
    return re.fullmatch(rf"\s*{pattern}\s*", " ".join(output.split())) is not None


def _commands(source: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with the output that stands under it."""
    found: list[tuple[str, list[str]]] = []
    for line in source.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        elif found:
            found[-1][1].append(line)
    for command, output in found:
        yield command, "\n".join(output) + "\n"


def evaluate(example: Example) -> None:
    """Do with a block what its first line says."""
    info: str = example.region.lexemes["info"].strip()
    source = str(example.parsed)
    page: Page = example.namespace["page"]
    language = info.split(maxsplit=1)[0] if info else ""
    title = found[1] if (found := _TITLE.search(info)) else None
    # So a traceback, and whoever reads the source of a function, finds the block's own lines.
    written = page.write(title or f"line_{example.line}.txt", source)
    if title == "main.py":
        return
    if language == "python":
        page.run_python(source, written)
    elif language == "pycon":
        page.run_pycon(source, written)
    elif language == "console":
        page.run_console(source)
    elif title is None:
        raise BlockFailed(
            f"Nothing runs a {language or 'plain'!r} block. Give it a title if it is a file, or "
            f'write <!--- skip: next "the reason" ---> above it.'
        )
    elif language == "json" and title.endswith(".json"):
        json.loads(source)


def blocks(document: Document) -> Iterable[Region]:
    """Every fenced block of a page."""
    for region in RawFencedCodeBlockLexer(_INFO)(document):
        region.parsed = region.lexemes["source"]
        region.evaluator = evaluate
        yield region


def _setup(namespace: dict[str, Any]) -> None:
    namespace["page"] = Page()


def _teardown(namespace: dict[str, Any]) -> None:
    namespace.pop("page").close()


PAGES = Sybil(
    parsers=[blocks, SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    path=str(ROOT),
    setup=_setup,
    teardown=_teardown,
)
