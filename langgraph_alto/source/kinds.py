"""What an object is to a scan: whose code it is, and what may be done with it.

`Kinds` answers for one graph and remembers its answers. Classes of LangChain and LangGraph are
known by their names, so that neither is imported.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Collection, Hashable, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

from langgraph_alto.core import tables
from langgraph_alto.source import objects
from langgraph_alto.source.locate import NO_FILE, is_own, is_stdlib
from langgraph_alto.source.values import (
    NOTHING,
    Atom,
    Bound,
    Foreign,
    Fresh,
    Function,
    Getter,
    Method,
    Partial,
    Real,
    Value,
)

RUNNABLE = "langchain_core.runnables.base.Runnable"
TOOL = "langchain_core.tools.base.BaseTool"
TOOL_NODE = "langgraph.prebuilt.tool_node.ToolNode"
PREGEL = "langgraph.pregel.main.Pregel"
REMOTE = "langgraph.pregel.remote.RemoteGraph"
STORE_BASE = "langgraph.store.base.BaseStore"
TASK = "langgraph.func._TaskFunction"
CALLABLE = "langgraph._internal._runnable.RunnableCallable"
WRITE = "langgraph.pregel._write.ChannelWrite"


class Kinds:
    """Tells the app's own code from installed code, and objects by what can be done with them.

    Args:
        packages: Installed top-level packages that are the app itself.
    """

    def __init__(self, packages: Collection[str] = ()) -> None:
        self.packages = frozenset(packages)
        self._own: dict[Hashable, bool] = {}
        self._interrupting: dict[str, bool] = {}

    # Whose code it is -----------------------------------------------------------------------

    def is_own_function(self, function: Any) -> bool:
        """Whether a function's source is the app's own."""
        code = getattr(function, "__code__", None)
        if code is None:
            return False
        known = self._own.get(code)
        if known is None:
            # Not __module__: functools.wraps gives a wrapper the name of the wrapped's module.
            module = function.__globals__.get("__name__")
            known = is_own(module, code.co_filename, self.packages)
            self._own[code] = known
        return known

    def is_own(self, obj: Any) -> bool:
        """The same for a method or a partial."""
        if isinstance(obj, MethodType):
            return self.is_own(obj.__func__)
        if isinstance(obj, functools.partial):
            return self.is_own(obj.func)
        return self.is_own_function(obj)

    def is_own_class(self, cls: Any) -> bool:
        """Whether a class is the app's own."""
        if not isinstance(cls, type) or cls.__module__ == "builtins":
            return False
        known = self._own.get(cls)
        if known is None:
            module = sys.modules.get(cls.__module__)
            file = getattr(module, "__file__", None) or NO_FILE
            known = is_own(cls.__module__, file, self.packages)
            self._own[cls] = known
        return known

    def is_own_module(self, name: str, file: str | None) -> bool:
        """The same for a module that is imported."""
        return file is not None and is_own(name, file, self.packages)

    def is_own_name(self, module: str, namespace: Mapping[str, Any]) -> bool:
        """Whether a module that is not imported is the app's own, by its package's name."""
        mine = str(namespace.get("__name__", "")).partition(".")[0]
        return module.partition(".")[0] == mine and not is_stdlib(module)

    def is_generated(self, function: Any) -> bool:
        """A method that a class decorator wrote: it only touches the object's own fields."""
        if not isinstance(function, FunctionType):
            return True
        filename = function.__code__.co_filename
        return filename.startswith(("<string>", "<attrs", "<namedtuple", "<stdin-generated"))

    # What others can change or call ---------------------------------------------------------

    def is_shared(self, obj: Any) -> bool:
        """Whether an object can be changed and is looked into."""
        if objects.is_scalar(obj) or isinstance(obj, type | ModuleType | FunctionType):
            return False
        return (
            objects.is_container(obj)
            or isinstance(obj, tuple | frozenset)
            or self.is_own_class(type(obj))
        )

    def is_callable(self, atom: Atom) -> bool:
        """Whether an existing object is a function of the app, however it is wrapped."""
        if not isinstance(atom, Real):
            return False
        obj = atom.obj
        for _ in range(8):
            if isinstance(obj, MethodType):
                obj = obj.__func__
            elif isinstance(obj, functools.partial):
                obj = obj.func
            elif not self.is_own_function(obj) and callable(getattr(obj, "__wrapped__", None)):
                obj = obj.__wrapped__
            else:
                break
        if isinstance(obj, FunctionType):
            return self.is_own_function(obj)
        if isinstance(obj, type):
            return self.is_own_class(obj) and not issubclass(obj, BaseException)
        return self.is_own_class(type(obj)) and callable(obj)

    def is_invocable(self, atom: Atom) -> bool:
        """Whether an atom is a function that somebody who gets it may call."""
        match atom:
            case Function() | Bound() | Partial() | Getter():
                return True
            case Method(owner=owner, name=name):
                return not isinstance(owner, Fresh) and name in tables.MUTATING_METHODS
            case Real(obj=obj):
                return isinstance(obj, objects.CALLABLES) or self.is_callable(atom)
            case _:
                return False

    # What LangChain, LangGraph and installed packages give ----------------------------------

    def is_runnable(self, atom: Atom) -> bool:
        """Whether an atom is a LangChain Runnable (graphs, tools and models are)."""
        if isinstance(atom, Real):
            return RUNNABLE in objects.mro_names(type(atom.obj))
        if isinstance(atom, Fresh):
            return bool(atom.cls == "chain")
        return isinstance(atom, Foreign) and atom.module.startswith("langchain")

    def is_model(self, obj: Any) -> bool:
        """Whether an object is a chat model, embedder or retriever."""
        return not isinstance(obj, type) and self.is_model_class(type(obj))

    def is_model_class(self, cls: type) -> bool:
        """The same for a class."""
        return bool(objects.mro_names(cls) & tables.MODEL_BASES)

    def is_store(self, obj: Any) -> bool:
        """Whether an object is a LangGraph store."""
        return STORE_BASE in objects.mro_names(type(obj))

    def is_graph(self, obj: Any) -> bool:
        """Whether an object is a compiled or remote graph."""
        return bool(objects.mro_names(type(obj)) & {PREGEL, REMOTE})

    def is_task(self, obj: Any) -> bool:
        """Whether an object was made by `@task`."""
        return TASK in objects.mro_names(type(obj))

    def may_interrupt(self, module: str) -> bool:
        """Whether an installed package calls `interrupt()`."""
        top = module.partition(".")[0]
        if top not in self._interrupting:
            self._interrupting[top] = _interrupts(top)
        return self._interrupting[top]

    def foreign(self, obj: Any, name: str = "") -> Value:
        """What an attribute or element of an installed class's object is judged by."""
        cls = type(obj)
        if isinstance(obj, ModuleType):
            return frozenset({Foreign(obj.__name__, name)})
        if cls.__module__ == "builtins":
            return NOTHING
        joint = f"{cls.__qualname__}.{name}" if name else cls.__qualname__
        return frozenset({Foreign(cls.__module__, joint)})


def _interrupts(module: str) -> bool:
    """Whether an installed package has `interrupt` in one of its modules."""
    top = module.partition(".")[0]
    if not top or is_stdlib(top) or top in ("langchain_core", "langgraph", "langsmith"):
        return False
    interrupt = getattr(sys.modules.get("langgraph.types"), "interrupt", None)
    if interrupt is None:
        return False
    return any(
        getattr(found, "__dict__", {}).get("interrupt") is interrupt
        for name, found in tuple(sys.modules.items())
        if name == top or name.startswith(f"{top}.")
    )
