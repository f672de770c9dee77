"""Methods of the app's classes that Python calls without being told: `len(x)`, `f"{x}"`, `x.y`.

`own_method` finds one by its name. Whoever looks at an object may run many of them, so `look` has
all of those scanned; most only look.
"""

from __future__ import annotations

import ast
import collections
import functools
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from langgraph_alto.source import local_classes, objects
from langgraph_alto.source.values import (
    NOTHING,
    Arguments,
    Atom,
    Bound,
    Fresh,
    Input,
    LocalClass,
    Part,
    Real,
    Value,
)

if TYPE_CHECKING:
    from langgraph_alto.source.interpret import Frame

_LOOKING = (
    "__len__", "__bool__", "__str__", "__repr__", "__format__", "__hash__", "__eq__", "__ne__",
    "__lt__", "__le__", "__gt__", "__ge__", "__iter__", "__contains__", "__getitem__", "__int__",
    "__float__", "__index__", "__abs__", "__neg__", "__pos__", "__invert__", "__round__",
    "__fspath__", "__reversed__",
)  # fmt: skip


def own_method(frame: Frame, atom: Atom, name: str) -> Bound | None:
    """A method that the app's own class gives an object, None where there is none."""
    match atom:
        case Real() if not isinstance(atom.obj, type | ModuleType):
            cls: Any = type(atom.obj)
        case Fresh():
            cls = atom.cls
        case Part():
            cls = atom.cls
        case Input():
            cls = objects.class_of(atom.typ)
        case _:
            return None
    if isinstance(cls, LocalClass):
        local = local_classes.method(cls, name)
        return None if local is None else Bound(atom, *local)
    if not isinstance(cls, type):
        return None
    found = objects.class_attribute(cls, name)
    if found is None or not isinstance(found.value, FunctionType):
        return None
    if not frame.scanner.kinds.is_own_function(found.value):
        return None
    return Bound(atom, found.value, found.owner)


@functools.lru_cache(maxsize=512)
def _written(cls: type) -> tuple[tuple[FunctionType, type], ...]:
    """The methods that looking at an object of a class may run, with the classes they stand in."""
    found = []
    for name in _LOOKING:
        method = objects.class_attribute(cls, name)
        if method is not None and isinstance(method.value, FunctionType):
            found.append((method.value, method.owner))
    return tuple(found)


def look(frame: Frame, atom: Atom, node: ast.AST) -> None:
    """Run what looking at an object may run."""
    match atom:
        case Real(obj=obj) if not isinstance(obj, type | ModuleType):
            cls: Any = type(obj)
        case Fresh() | Part():
            cls = atom.cls
        case _:
            return
    scanner = frame.scanner
    if not isinstance(cls, type) or not scanner.kinds.is_own_class(cls):
        return
    for function, owner in _written(cls):
        if scanner.kinds.is_own_function(function) and not scanner.kinds.is_generated(function):
            bound = Bound(atom, function, owner)
            scanner.run_bound(bound, Arguments([NOTHING], {}), frame, node)


def missing(frame: Frame, atom: Real, node: ast.AST) -> None:
    """`table[key]` of a dict that fills itself with what it lacks."""
    if not isinstance(node, ast.Subscript) or not isinstance(atom.obj, dict):
        return
    if (method := own_method(frame, atom, "__missing__")) is not None:
        frame.scanner.run_bound(method, Arguments([NOTHING], {}), frame, node)
    elif isinstance(atom.obj, collections.defaultdict) and atom.obj.default_factory is not None:
        place = frame.place(node, f"{frame.text(node)} (a defaultdict keeps what it is asked for)")
        frame.scanner.change_key(id(atom.obj), place)


def got(frame: Frame, raw: Any, owner: Atom, node: ast.AST) -> Value | None:
    """An attribute that a descriptor of the app gives; None where it is no such descriptor."""
    method = _descriptor(frame, raw, "__get__")
    if method is None:
        return None
    arguments = Arguments([frozenset({owner}), NOTHING], {})
    return frame.scanner.run_bound(method, arguments, frame, node)


def put(frame: Frame, raw: Any, owner: Atom, value: Value, node: ast.AST) -> bool:
    """An attribute that a descriptor of the app takes; False where it is no such descriptor."""
    method = _descriptor(frame, raw, "__set__")
    if method is None:
        return False
    arguments = Arguments([frozenset({owner}), value], {})
    frame.scanner.run_bound(method, arguments, frame, node)
    return True


def _descriptor(frame: Frame, raw: Any, name: str) -> Bound | None:
    if isinstance(raw, FunctionType | property | staticmethod | classmethod | type):
        return None
    return own_method(frame, Real(raw), name)


def any_method(frame: Frame, atom: Atom) -> Value:
    """The methods of an object of the app: one of them is meant by a name made at run time."""
    cls: Any = type(atom.obj) if isinstance(atom, Real) else getattr(atom, "cls", None)
    if not isinstance(cls, type) or not frame.scanner.kinds.is_own_class(cls):
        return NOTHING
    found: set[Atom] = set()
    for owner in cls.__mro__:
        for raw in owner.__dict__.values():
            if isinstance(raw, FunctionType) and not raw.__name__.startswith("__"):
                found.add(Bound(atom, raw, owner))
    return frozenset(found)
