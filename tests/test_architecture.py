"""Who may import whom, read from the source: a rule that is broken here names file and line."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import langgraph_alto
from langgraph_alto._langgraph import names

PACKAGE = Path(langgraph_alto.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


@dataclass(frozen=True)
class Import:
    """One import statement: `module` is what stands behind `from`, or the module itself."""

    file: Path
    line: int
    module: str
    name: str | None

    @property
    def where(self) -> str:
        return f"{self.file.relative_to(PACKAGE)}:{self.line} imports {self.full}"

    @property
    def full(self) -> str:
        return self.module if self.name is None else f"{self.module}.{self.name}"

    @property
    def part(self) -> str:
        """The part of the package that the importing file belongs to."""
        return self.file.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(file: Path) -> Iterator[Import]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"), str(file))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, None)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            for alias in node.names:
                yield Import(file, node.lineno, node.module or "", alias.name)


IMPORTS = [found for file in FILES for found in imports_of(file)]


def offenders(found: Iterator[Import]) -> list[str]:
    return sorted({i.where for i in found})


def test_there_is_something_to_look_at() -> None:
    assert len(FILES) > 20
    assert len(IMPORTS) > 200


# Directions


PURE = {
    *("__future__", "bisect", "collections", "dataclasses", "enum", "functools", "heapq"),
    *("itertools", "math", "operator", "re", "string", "typing"),
}
"""The standard library without clock, chance, threads, event loop, I/O or introspection."""


def test_core_is_pure() -> None:
    """`now` is data there, and nothing waits, asks the outside or looks into code."""
    allowed = ("langgraph_alto.core", "langgraph_alto.errors")
    assert not offenders(
        i
        for i in IMPORTS
        if i.part == "core"
        and i.module.split(".")[0] not in PURE
        and not i.full.startswith(tuple(f"{a}." for a in allowed))
    )


MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "options": {"errors"},
    "report": set(),
    "observe": {"otel"},
    "otel": {"observe"},
    "core": {"errors"},
    "source": {"core"},
    "_langgraph": {"core", "source", "errors", "options", "report", "observe"},
}
"""What each inner part may import of the package besides itself; the outer ones use these."""


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_imports_point_one_way(part: str) -> None:
    def target(found: Import) -> str | None:
        if found.module == "langgraph_alto":
            return found.name
        if found.module.startswith("langgraph_alto."):
            return found.module.split(".")[1]
        return None

    assert any(i.part == part for i in IMPORTS)
    assert not offenders(
        i
        for i in IMPORTS
        if i.part == part and (t := target(i)) is not None and t not in {part, *MAY_IMPORT[part]}
    )


def is_private(found: Import) -> bool:
    """Whether LangGraph promises nothing about this name."""
    if found.module.split(".")[0] != "langgraph":
        return False
    parts = found.full.split(".")
    return any(p.startswith("_") and not p.startswith("__") for p in parts)


def test_langgraphs_private_modules_are_imported_in_one_place() -> None:
    """`names` lists them, and `reader` what it needs to read a graph's nodes."""
    homes = {PACKAGE / "_langgraph" / "names.py", PACKAGE / "_langgraph" / "reader.py"}
    private = [i for i in IMPORTS if is_private(i)]
    assert {i.file for i in private} >= {PACKAGE / "_langgraph" / "names.py"}
    assert not offenders(i for i in private if i.file not in homes)


def test_langchains_private_modules_are_imported_in_one_place() -> None:
    home = PACKAGE / "_langgraph" / "names.py"
    assert not offenders(
        i
        for i in IMPORTS
        if i.module.split(".")[0] in ("langchain", "langchain_core")
        and any(p.startswith("_") for p in i.full.split("."))
        and i.file != home
    )


def test_every_private_name_is_used() -> None:
    """Each one is a liability when LangGraph changes: none is listed for nothing."""
    used: set[str] = set()
    importing = {i.file for i in IMPORTS if i.full == f"{names.__name__}"}
    for file in importing:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "names"
            ):
                used.add(node.attr)
    listed = set(names.__all__) - {"TESTED"}
    assert listed - used == set()
    assert used - set(names.__all__) == set()
    assert all(hasattr(names, name) for name in names.__all__)


def test_only_otel_imports_opentelemetry() -> None:
    """And the executor knows hooks and no traces."""
    found = [i for i in IMPORTS if i.module.split(".")[0] == "opentelemetry"]
    assert found
    assert not offenders(i for i in found if i.part != "otel")
    inner = {"core", "source", "_langgraph", "report", "options"}
    assert not offenders(
        i for i in IMPORTS if i.part in inner and i.full.startswith("langgraph_alto.otel")
    )


@pytest.mark.parametrize(
    ("package", "home"),
    [
        ("ray", "runtime/ray.py"),
        ("vllm", "engines/vllm.py"),
        ("scipy", "compare/statistics.py"),
    ],
)
def test_optional_packages_have_one_home(package: str, home: str) -> None:
    assert not offenders(
        i for i in IMPORTS if i.module.split(".")[0] == package and i.file != PACKAGE / home
    )


# What a reader of the wheel sees


MACHINE_PATH = re.compile(
    r"""(?<![\w.}*])(?:/(?:home|Users|root|work|tmp|mnt|opt|srv|data)/\w|[A-Z]:\\\\?\w)"""
)


def test_no_file_of_the_package_names_a_machines_path() -> None:
    found = [
        f"{file.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for file in PACKAGE.rglob("*")
        if file.suffix in {".py", ".md", ".toml", ".json", ".txt", ".html"}
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert not found


def test_the_pattern_of_machine_paths_finds_them() -> None:
    for text in ("see /home/me/x", '"/home/you/main/a.py"', "C:\\\\Users\\\\me", "(/tmp/x)"):
        assert MACHINE_PATH.search(text), text
    for text in ("https://example.org/home/x", "./home/x", "a/tmp/b", "and/or", "{root}/data/x"):
        assert not MACHINE_PATH.search(text), text


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(file.relative_to(PACKAGE))
        for file in FILES
        if ast.get_docstring(ast.parse(file.read_text("utf-8"))) is None
    ]
    assert not silent


# The public interface


def test_the_public_names_are_those_of_all() -> None:
    assert sorted(langgraph_alto.__all__) == langgraph_alto.__all__
    assert set(langgraph_alto._HOMES) == set(langgraph_alto.__all__)
    for name in langgraph_alto.__all__:
        assert getattr(langgraph_alto, name) is not None
        assert name in dir(langgraph_alto)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.name: statement.module
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert seen == langgraph_alto._HOMES


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'langgraph_alto' has no attribute 'fast'"):
        langgraph_alto.fast


def test_importing_the_package_does_not_import_langgraph() -> None:
    """Child processes and `--version` stay quick; a name that needs it loads it."""
    code = (
        "import sys, langgraph_alto; "
        "assert not [m for m in sys.modules if m.startswith(('langgraph.', 'langchain'))]; "
        "from langgraph_alto import Options, record; "
        "assert not [m for m in sys.modules if m.startswith(('langgraph.', 'langchain'))]; "
        "from langgraph_alto import accelerate; assert 'langgraph.pregel' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_every_error_is_an_alto_error() -> None:
    from langgraph_alto import errors

    found = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, BaseException)
    ]
    assert len(found) > 4
    for error in found:
        assert issubclass(error, errors.AltoError)
        assert error.__doc__
