"""What code that can't be read may change: whatever it can name.

That is so for text that is executed, for the names behind `globals()`, and for functions whose
source is gone; the names that those use stand in their code objects.
"""

from __future__ import annotations

import dis
from collections.abc import Iterable, Iterator, Mapping
from types import CellType, CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from langgraph_alto.core.effects import Place
from langgraph_alto.source import objects

if TYPE_CHECKING:
    from langgraph_alto.source.scan import Scanner


def text(
    scanner: Scanner,
    namespace: Mapping[str, Any],
    cells: Mapping[str, CellType],
    where: Place,
) -> None:
    """A text is executed among these names: it may change and rebind any of them."""
    walk = _Walk(scanner, where)
    walk.names(namespace, namespace, rebound=namespace)
    walk.cells(cells, rebound=())


def function(scanner: Scanner, unread: FunctionType, where: Place) -> None:
    """A function without source: it may change what its code names, and so may what it calls."""
    _Walk(scanner, where).function(unread)


class _Walk:
    def __init__(self, scanner: Scanner, where: Place) -> None:
        self._scanner = scanner
        self._where = where
        self._seen: set[int] = set()

    def function(self, function: FunctionType) -> None:
        code = function.__code__
        if id(code) in self._seen or not self._scanner.kinds.is_own_function(function):
            return
        self._seen.add(id(code))
        names, rebound = _names(code)
        self.names(function.__globals__, names, rebound)
        self.cells(dict(zip(code.co_freevars, function.__closure__ or (), strict=False)), rebound)
        for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._value(default, names)

    def names(
        self, namespace: Mapping[str, Any], names: Iterable[str], rebound: Iterable[str]
    ) -> None:
        """Names of a module; those in `rebound` may be bound anew."""
        known, anew = list(names), set(rebound)
        for name in known:
            if name not in namespace or name.startswith("__"):
                continue
            value = namespace[name]
            if name in anew and self._is_data(value):
                self._change(objects.global_key(namespace, name))
            self._value(value, known)

    def cells(self, cells: Mapping[str, CellType], rebound: Iterable[str]) -> None:
        """Names of the functions around."""
        anew = set(rebound)
        for name, cell in cells.items():
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            if name in anew:
                self._change(("cell", id(cell)))
            self._value(value, cells)

    def _is_data(self, value: Any) -> bool:
        return objects.is_scalar(value) or self._scanner.kinds.is_shared(value)

    def _value(self, value: Any, names: Iterable[str]) -> None:
        """Something that a name stands for, and what other names may mean inside it."""
        if isinstance(value, FunctionType):
            self.function(value)
        elif isinstance(value, ModuleType):
            self._module(value, names)
        elif isinstance(value, type):
            if self._scanner.kinds.is_own_class(value):
                self._class(value, names)
        elif self._scanner.kinds.is_shared(value):
            for key in self._scanner.reached(value):
                self._change(key)
            self._class(type(value), names)

    def _module(self, module: ModuleType, names: Iterable[str]) -> None:
        file = getattr(module, "__file__", None)
        if id(module) in self._seen or not self._scanner.kinds.is_own_module(module.__name__, file):
            return
        self._seen.add(id(module))
        self.names(module.__dict__, names, names)

    def _class(self, cls: type, names: Iterable[str]) -> None:
        if id(cls) in self._seen or not self._scanner.kinds.is_own_class(cls):
            return
        self._seen.add(id(cls))
        known = set(names)
        for name, value in tuple(cls.__dict__.items()):
            if name.startswith("__") and name != "__init__":
                continue
            if isinstance(value, FunctionType):
                if name in known or name == "__init__":
                    self.function(value)
            elif name in known:
                self._change(objects.attribute_key(cls, name))
                self._value(value, ())

    def _change(self, key: Any) -> None:
        self._scanner.change_key(key, self._where)


def _names(code: CodeType) -> tuple[list[str], set[str]]:
    """The names in a code object, and those of them that it binds anew outside of itself."""
    names: dict[str, None] = {}
    rebound: set[str] = set()
    for part in _parts(code):
        names.update(dict.fromkeys(part.co_names))
        for instruction in dis.get_instructions(part):
            if instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF"):
                rebound.add(str(instruction.argval))
    return list(names), rebound


def _parts(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)
