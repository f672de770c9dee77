"""TARGET of the command line: `path/to/file.py:graph` or `package.module:graph`.

The name may be a compiled graph, a builder, or a function without arguments (sync or async)
that returns one. What the module or the function raises is the user's own error and passes
through; everything else is a `TargetError`, one line that says what to change.
"""

from __future__ import annotations

import asyncio
import difflib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from langgraph_alto.errors import TargetError

if TYPE_CHECKING:
    from langgraph.pregel import Pregel

_FORMS = "Write path/to/file.py:NAME or package.module:NAME"


def load_target(text: str) -> Pregel[Any, Any, Any, Any]:
    """The compiled graph that a TARGET names.

    Raises:
        TargetError: There is no such file, module or name, or it is no graph.
    """
    target = find_target(text)
    made = target.make()
    if isinstance(made, Awaitable):
        made = asyncio.run(_result(made))
    return target.check(made)


async def _result(made: Awaitable[Any]) -> Any:
    return await made


@dataclass(frozen=True)
class Target:
    """What a TARGET names in its module: a graph, a builder or a function that makes one."""

    text: str
    value: Any
    module: ModuleType

    def make(self) -> Any:
        """A graph or builder, or an awaitable of one where the function is async.

        An awaitable is the caller's to await, in the event loop in which the graph will
        run: connections that the function opens belong to that loop.
        """
        if not (inspect.isroutine(self.value) or inspect.isclass(self.value)):
            return self.value
        try:
            inspect.signature(self.value).bind()
        except TypeError as error:
            raise TargetError(
                f"{self.text} can't be called without arguments ({error}). "
                f"Name a graph, or a function without arguments that returns one."
            ) from None
        except ValueError:  # a builtin without a signature
            pass
        return self.value()

    def check(self, made: Any) -> Pregel[Any, Any, Any, Any]:
        """`made` as a compiled graph; a builder is compiled."""
        from langgraph.graph import StateGraph
        from langgraph.pregel import Pregel

        if isinstance(made, StateGraph):
            made = made.compile()
        if isinstance(made, Pregel):
            return made
        kind = type(made).__name__
        came = f"returned {_a(kind)}" if made is not self.value else f"is {_a(kind)}"
        raise TargetError(
            f"{self.text} {came}, not a graph. Name a compiled graph, a StateGraph, or a "
            f"function without arguments that returns one.{_graphs_in(self.module)}"
        )


def find_target(text: str) -> Target:
    """Import the module of a TARGET and look its name up.

    Raises:
        TargetError: There is no such file, module or name.
    """
    location, colon, name = text.rpartition(":")
    if not colon or not location or not name:
        if colon and (location or name).endswith(".py"):
            hint = f"{location or name}:NAME"
        else:
            hint = f"{text}:NAME" if text and not colon else ""
        raise TargetError(f"{text!r} names no graph. {_FORMS}{hint and f', here {hint}'}.")
    is_file = location.endswith(".py") or os.sep in location or "/" in location
    module = _load_file(Path(location)) if is_file else _load_module(location)
    value: Any = module
    for part in name.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            raise TargetError(
                f"{location} has no {name!r}.{_near(part, dir(value))}{_graphs_in(module)}"
            ) from None
    return Target(text, value, module)


def _load_file(path: Path) -> ModuleType:
    """Run a file the way `python path` does, but under its own name."""
    if not path.is_file():
        if path.is_dir():
            raise TargetError(f"{str(path)!r} is a folder. {_FORMS}.")
        siblings = [entry.name for entry in path.parent.glob("*.py")]
        raise TargetError(f"No file {str(path)!r} in {os.getcwd()}.{_near(path.name, siblings)}")
    path = path.resolve()
    sys.path.insert(0, str(path.parent))
    # A file called like a module that is in use (types.py, json.py) must not replace it.
    name = path.stem if path.stem not in sys.modules else f"langgraph_alto_target_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{str(path)!r} is not a Python file. {_FORMS}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # type hints and pickles are looked up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _load_module(name: str) -> ModuleType:
    """Import a module, the working folder first, the way `python -m` does."""
    sys.path.insert(0, os.getcwd())
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        raise TargetError(f"{name!r} is not the name of a module. {_FORMS}.")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        prefixes = [".".join(parts[: end + 1]) for end in range(len(parts))]
        if error.name not in prefixes:
            raise  # one of the module's own imports: the user's error
        missing = error.name
    hint = f" Did you mean {name}.py?" if Path(f"{name}.py").is_file() else ""
    raise TargetError(
        f"No module named {missing!r}. It must be installed, or lie in {os.getcwd()}.{hint}"
    )


def _near(name: str, names: list[str]) -> str:
    """A question with the names most like `name`, or nothing."""
    near = difflib.get_close_matches(name, names, n=3)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def _graphs_in(module: ModuleType) -> str:
    """A sentence with the names of the graphs and builders of a module, or nothing."""
    from langgraph.graph import StateGraph
    from langgraph.pregel import Pregel

    names = [name for name, value in vars(module).items() if isinstance(value, Pregel | StateGraph)]
    return f" Graphs there: {', '.join(names)}." if names else ""


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
