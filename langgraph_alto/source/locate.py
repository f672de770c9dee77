"""From a function object to its syntax tree, and from any object to who owns its code."""

from __future__ import annotations

import ast
import linecache
import os
import sys
import sysconfig
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from types import CodeType
from weakref import WeakKeyDictionary

from langgraph_alto.core import tables

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_STDLIB_DIRS = tuple(
    {os.path.realpath(p) for key in ("stdlib", "platstdlib") if (p := sysconfig.get_path(key))}
)
# Judged by tables also where they are worked on from a checkout.
_FRAMEWORKS = frozenset(
    {"langgraph", "langgraph_alto", "langgraph_sdk", "langchain", "langchain_core", "langsmith"}
)
NO_FILE = "<unknown>"
"""Stands for the file of a module that has none."""
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


class SourceGone(Exception):
    """The source of a function can't be read; the message says why."""


@dataclass(frozen=True)
class FunctionInfo:
    """What a function's syntax says about its names."""

    node: FunctionNode
    locals: frozenset[str]
    globals: frozenset[str]
    nonlocals: frozenset[str]


LONG_FILE = 3000
"""Lines above which a file is not parsed as a whole for one function."""

MOST_LINES_OF_A_STATEMENT = 8
"""So many lines before and after a lambda of a long file are tried for its statement."""

_trees: dict[str, tuple[list[str], dict[int, list[FunctionNode]]]] = {}
_nodes: WeakKeyDictionary[CodeType, FunctionNode] = WeakKeyDictionary()
_infos: WeakKeyDictionary[ast.AST, FunctionInfo] = WeakKeyDictionary()


def function_node(code: CodeType) -> FunctionNode:
    """The syntax tree of a code object, parsed once per file and found once per code object.

    Raises:
        SourceGone: No source, or a source that is not what was compiled.
    """
    if (known := _nodes.get(code)) is not None:
        return known
    found = _find(code)
    _nodes[code] = found
    return found


def _find(code: CodeType) -> FunctionNode:
    lines = linecache.getlines(code.co_filename)
    if not lines:
        raise SourceGone(f"no source for {code.co_qualname} in {code.co_filename}")
    known = _trees.get(code.co_filename)
    if known is None or known[0] is not lines:
        if len(lines) > LONG_FILE and (node := _alone(code, lines)) is not None:
            return node
        try:
            tree = ast.parse("".join(lines))
        except (SyntaxError, ValueError) as error:
            raise SourceGone(f"{code.co_filename} can't be parsed: {error}") from None
        known = (lines, _by_line(tree))
        _trees[code.co_filename] = known
    for node in known[1].get(code.co_firstlineno, ()):
        if _is_source_of(node, code):
            return node
    raise SourceGone(f"{code.co_filename} is not what {code.co_qualname} was compiled from")


def _alone(code: CodeType, lines: list[str]) -> FunctionNode | None:
    """The tree of one function of a long file, parsed by itself; None where that fails."""
    first, last = code.co_firstlineno, max(_last_line(code), code.co_firstlineno)
    if code.co_name == "<lambda>":
        return _lambda_alone(code, lines, first, last)
    # `if` takes any indentation, so columns stay as they are in the file.
    text = "if 1:\n" + "".join(lines[first - 1 : last])
    if not lines[first - 1][:1].isspace():
        text = text.removeprefix("if 1:")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    ast.increment_lineno(tree, first - 2)
    for node in _by_line(tree).get(first, ()):
        if not isinstance(node, ast.Lambda) and _is_source_of(node, code):
            return node
    return None


def _lambda_alone(code: CodeType, lines: list[str], first: int, last: int) -> ast.Lambda | None:
    """The tree of a lambda from the statement that it stands in, if that is a short one."""
    for begin in range(first, max(0, first - MOST_LINES_OF_A_STATEMENT), -1):
        for end in range(last, min(len(lines), last + MOST_LINES_OF_A_STATEMENT)):
            text = "if 1:\n" + "".join(lines[begin - 1 : end])
            if not lines[begin - 1][:1].isspace():
                text = text.removeprefix("if 1:")
            try:
                tree = ast.parse(text)
            except (SyntaxError, ValueError):
                continue
            ast.increment_lineno(tree, begin - 2)
            for node in _by_line(tree).get(first, ()):
                if isinstance(node, ast.Lambda) and _is_source_of(node, code):
                    return node
            break
    return None


def _last_line(code: CodeType) -> int:
    ends = [end or 0 for _, end, _, _ in code.co_positions()]
    ends += [_last_line(inner) for inner in code.co_consts if isinstance(inner, CodeType)]
    return max(ends, default=0)


def _by_line(tree: ast.AST) -> dict[int, list[FunctionNode]]:
    index: dict[int, list[FunctionNode]] = {}
    for node in ast.walk(tree):
        if isinstance(node, FunctionNode):
            decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
            line = min([node.lineno, *(d.lineno for d in decorators)])
            index.setdefault(line, []).append(node)
    return index


def _is_source_of(node: FunctionNode, code: CodeType) -> bool:
    """Whether a code object came from this syntax: same name, parameters, place and names."""
    name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
    if name != code.co_name:
        return False
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    if tuple(_unmangled(a, code) for a in arguments) != tuple(
        a.arg for a in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    ):
        return False
    if isinstance(node, ast.Lambda) and not _covers(node, code):
        return False
    # Files change while a process runs, and a stale tree would tell of another function.
    known = {text for child in ast.walk(node) for text in _identifiers(child)}
    used = set(code.co_names)
    if any(name.startswith("@py") for name in used):
        return True  # pytest has rewritten its assert statements
    return all(name in known or _unmangled(name, code) in known for name in used)


def _unmangled(name: str, code: CodeType) -> str:
    """`_Class__attribute` as it was written in the class."""
    owner = code.co_qualname.split(".<locals>.")[-1].rpartition(".")[0].rpartition(".")[2]
    prefix = f"_{owner.lstrip('_')}__"
    return f"__{name.removeprefix(prefix)}" if owner and name.startswith(prefix) else name


def _covers(node: ast.Lambda, code: CodeType) -> bool:
    """Whether the code's positions lie in the lambda: several may begin on one line."""
    for line, end_line, column, end_column in code.co_positions():
        if line is None or column is None or end_line is None or end_column is None:
            continue
        if column == end_column and line == end_line:
            continue  # RESUME and the like stand at the beginning of the line
        body = node.body
        begin, end = (
            (body.lineno, body.col_offset),
            (body.end_lineno or 0, body.end_col_offset or 0),
        )
        if not (begin <= (line, column) and (end_line, end_column) <= end):
            return False
    return True


def _identifiers(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name():
            yield node.id
        case ast.Attribute():
            yield node.attr
        case ast.alias():
            yield node.name
            yield from node.name.split(".")
        case ast.ImportFrom():
            yield node.module or ""
        case ast.keyword() if node.arg:
            yield node.arg
        case ast.Assert():
            yield "AssertionError"
        case ast.MatchClass():
            yield from node.kwd_attrs
        case ast.ClassDef():
            yield from ("__name__", "__module__", "__qualname__", node.name)
        case _:
            pass


def function_info(node: FunctionNode) -> FunctionInfo:
    """Which names a function binds itself, computed once per tree."""
    if (known := _infos.get(node)) is not None:
        return known
    bound: set[str] = {a.arg for a in all_arguments(node.args)}
    declared_global: set[str] = set()
    declared_nonlocal: set[str] = set()
    body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
    while body:
        child = body.pop()
        match child:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                bound.add(child.name)
                continue
            case ast.Lambda():
                continue
            case ast.Global():
                declared_global.update(child.names)
            case ast.Nonlocal():
                declared_nonlocal.update(child.names)
            case ast.Name() if not isinstance(child.ctx, ast.Load):
                bound.add(child.id)
            case ast.alias():
                bound.add((child.asname or child.name).split(".")[0])
            case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar() if child.name:
                bound.add(child.name)
            case ast.MatchMapping() if child.rest:
                bound.add(child.rest)
            case _:
                pass
        body.extend(ast.iter_child_nodes(child))
    info = FunctionInfo(
        node,
        frozenset(bound - declared_global - declared_nonlocal),
        frozenset(declared_global),
        frozenset(declared_nonlocal),
    )
    _infos[node] = info
    return info


def all_arguments(arguments: ast.arguments) -> list[ast.arg]:
    """Every parameter of a function, in the order in which it is written."""
    rest = [arguments.vararg] if arguments.vararg else []
    keywords = [arguments.kwarg] if arguments.kwarg else []
    return [
        *arguments.posonlyargs,
        *arguments.args,
        *rest,
        *arguments.kwonlyargs,
        *keywords,
    ]


def is_stdlib(module: str) -> bool:
    """Whether a module is of the standard library, by its name."""
    return module.partition(".")[0] in sys.stdlib_module_names and module != "__main__"


def is_own(module: str | None, filename: str | None, packages: Collection[str]) -> bool:
    """Whether code is the app's own: neither installed nor of the standard library.

    Args:
        module: The module's name, where it is known.
        filename: Where the code was compiled from.
        packages: Installed top-level packages that are the app itself.
    """
    top = (module or "").partition(".")[0]
    if tables.followed(module or "") or top in packages:
        return True
    if top in _FRAMEWORKS:
        return False
    if filename is None:
        return False
    if any(part in filename for part in _INSTALLED):
        return False
    if filename.startswith("<frozen"):
        return False
    # A module that is built into the interpreter has no file.
    return not (is_stdlib(top) and (filename == NO_FILE or filename.startswith(_STDLIB_DIRS)))


def place(filename: str, line: int) -> str:
    """`file.py:12`, as it is shown to users."""
    return f"{os.path.basename(filename)}:{line}"
