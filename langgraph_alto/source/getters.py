"""What `operator.itemgetter`, `attrgetter` and `methodcaller` make, and what calling that does."""

from __future__ import annotations

import ast
import functools
import operator
from typing import TYPE_CHECKING, Any

from langgraph_alto.source import attributes, calls, changes, elements
from langgraph_alto.source.values import NOTHING, Arguments, Getter, Value

if TYPE_CHECKING:
    from langgraph_alto.source.interpret import Frame

CLASSES = (operator.itemgetter, operator.attrgetter, operator.methodcaller)


def made(cls: type, node: ast.AST) -> Getter:
    """A call of one of the classes; names that are no constants are not known."""
    given = node.args if isinstance(node, ast.Call) else []
    names = given[:1] if cls is operator.methodcaller else given
    if all(isinstance(name, ast.Constant) for name in names):
        return Getter(cls, tuple(name.value for name in names if isinstance(name, ast.Constant)))
    return Getter(cls, ())


def of(obj: Any) -> Getter:
    """An object of one of the classes that exists: it tells its names when it is pickled."""
    function, names, *_ = obj.__reduce__()
    if isinstance(function, functools.partial):  # a methodcaller with keywords
        names = function.args
    return Getter(type(obj), tuple(names[:1] if type(obj) is operator.methodcaller else names))


def call(frame: Frame, getter: Getter, arguments: Arguments, node: ast.AST) -> Value:
    """Call what one of the classes made."""
    given = arguments.first()
    if not getter.names:
        frame.scanner.look(given, frame, node)
        if getter.cls is operator.methodcaller:
            changes.change(frame, given, node, "__setattr__")
        return elements.element(frame, given, node)
    if getter.cls is operator.itemgetter:
        found = [elements.element(frame, given, node, name) for name in getter.names]
    else:
        found = [_attribute(frame, given, str(name), node) for name in getter.names]
    if getter.cls is operator.methodcaller:
        return calls.call(frame, found[0], Arguments([], {}), node)
    return found[0] if len(found) == 1 else frame.fresh(NOTHING.union(*found))


def _attribute(frame: Frame, value: Value, dotted: str, node: ast.AST) -> Value:
    for name in dotted.split("."):
        value = NOTHING.union(*(attributes.attribute_of(frame, atom, name, node) for atom in value))
    return value
