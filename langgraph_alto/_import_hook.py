"""Install the executor as soon as LangGraph has been imported, and not before.

`exec` reaches every Python process that a program starts: reloaders, build tools, pip.
Most never import LangGraph, so none of them may pay for it. `activate()` therefore only
puts a finder in front of `sys.meta_path`. It finds nothing itself; it asks the other
finders and counts how many of LangGraph's modules are being executed.

The executor goes in when that number is zero again, not when `langgraph.pregel.main` has
been executed: that module is imported in the middle of `langgraph.graph.state`, and
installing there would import a half-initialised `langgraph.graph.state` again. The modules
of langgraph_alto count for the same reason: they may be what imports LangGraph. And all
threads count together, since one may hold a module that another waits for.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

SWITCH = "LANGGRAPH_ALTO"
"""The environment variable that switches the executor off when it is `0`."""

_EXECUTOR_MODULE = "langgraph.pregel.main"
_WATCHED = ("langgraph.", "langgraph_alto.")

_lock = threading.Lock()
_active = False


def is_switched_off() -> bool:
    """Whether `LANGGRAPH_ALTO` says that this process keeps LangGraph's own executor."""
    return os.environ.get(SWITCH, "").strip().lower() in ("0", "false", "no", "off")


def activate() -> None:
    """Install the executor now if LangGraph is imported, else when it will be.

    Calling it again does nothing. The switch and the options are read when the executor
    is installed, so a program may still set them before it imports LangGraph.
    """
    global _active  # noqa: PLW0603  (one hook a process)
    with _lock:
        if _active:
            return
        _active = True
    if _is_imported():
        _install()
    else:
        sys.meta_path.insert(0, _Finder())


def warn(problem: str) -> None:
    """Say in one line why a program runs without the executor; never raises."""
    if sys.stderr is not None:
        line = " ".join(problem.split())
        sys.stderr.write(f"langgraph-alto: running on LangGraph's own executor: {line}\n")


def _install() -> None:
    if is_switched_off():
        return
    from langgraph_alto import install
    from langgraph_alto.options import Options

    install(Options.from_environment())


def _is_imported() -> bool:
    module = sys.modules.get(_EXECUTOR_MODULE)
    # Another thread may be in the middle of importing it.
    return module is not None and not getattr(module.__spec__, "_initializing", False)


class _Finder:
    """Watches LangGraph's modules being executed; removes itself when its work is done."""

    def __init__(self) -> None:
        self._executing = 0  # watched modules, in all threads

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(_WATCHED):
            return None
        for finder in tuple(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: ModuleSpec | None = find(name, path, target)
            if spec is not None:
                self._watch(spec)
                return spec
        return None

    def _watch(self, spec: ModuleSpec) -> None:
        """Have the spec's own loader tell us; a loader of ours would show in `__loader__`."""
        loader = spec.loader
        if loader is None:  # a namespace package has no code
            return
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            vars(loader).pop("exec_module", None)
            with _lock:
                self._executing += 1
            try:
                execute(module)
            finally:
                with _lock:
                    self._executing -= 1
            self._finish_if_quiet()

        try:
            loader.exec_module = exec_module  # type: ignore[method-assign]
        except AttributeError as error:  # a loader that is not written in Python
            warn(f"{spec.name} has a loader that can't be watched ({error}).")

    def _finish_if_quiet(self) -> None:
        with _lock:
            if self._executing or not _is_imported() or self not in sys.meta_path:
                return
            sys.meta_path.remove(self)
        try:
            _install()
        except Exception as error:
            # We are inside somebody's import of LangGraph: an error here would look like
            # LangGraph's and break a program that runs well without us.
            warn(f"{type(error).__name__}: {error}")
