"""What changing an object means: `x.name = …`, `x[key] = …`, `x += …`, a method that changes it.

A change of something made here is kept with it; one that others can see is noted by the scanner.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Hashable
from types import FunctionType
from typing import TYPE_CHECKING, Any

from langgraph_alto.core import tables
from langgraph_alto.source import elements, implicit, objects
from langgraph_alto.source.values import (
    CONFIG,
    CONTEXT,
    NOTHING,
    Arguments,
    Atom,
    Bound,
    Foreign,
    Fresh,
    Input,
    Part,
    Real,
    Special,
    Value,
)

if TYPE_CHECKING:
    from langgraph_alto.source.interpret import Frame

_IN_PLACE = {
    ast.Add: "__iadd__",
    ast.Sub: "__isub__",
    ast.Mult: "__imul__",
    ast.BitOr: "__ior__",
    ast.BitAnd: "__iand__",
    ast.BitXor: "__ixor__",
}


def change(  # noqa: PLR0912 - one per kind
    frame: Frame,
    value: Value,
    node: ast.AST,
    how: str,
    what: str | None = None,
) -> None:
    """Note that something changes every object that a value may be."""
    scanner = frame.scanner
    for atom in value:
        match atom:
            case Input():
                place = frame.place(node, what)
                if atom.top:
                    scanner.findings.whole_input = True
                    scanner.findings.changes_own_input[place] = None
                else:
                    scanner.findings.changes_input[place] = None
            case Real() if atom.obj is os.environ:
                scanner.outward(frame.place(node, what))
            case Real():
                if (method := implicit.own_method(frame, atom, how)) is not None:
                    scanner.run_bound(method, Arguments([NOTHING, NOTHING], {}), frame, node)
                else:
                    obj = atom.obj.obj if isinstance(atom.obj, memoryview) else atom.obj
                    scanner.change_key(id(obj), frame.place(node, what))
            case Part():
                if (method := implicit.own_method(frame, atom, how)) is not None:
                    scanner.run_bound(method, Arguments([NOTHING, NOTHING], {}), frame, node)
                    continue
                for key in (atom.key, *objects.reached(atom.owner)):
                    scanner.change_key(key, frame.place(node, what))
            case Special(kind=kind) if atom in (CONTEXT, CONFIG):
                scanner.change_key(("special", kind), frame.place(node, what))
            case Foreign():
                if tables.effect_of(atom.module, atom.name) not in ("reader", "model"):
                    scanner.outward(frame.place(node, what))
            case _:
                pass


def set_attribute(frame: Frame, owner: Value, node: ast.Attribute, value: Value) -> None:
    """`owner.name = value` (and `del owner.name`)."""
    name, scanner = node.attr, frame.scanner
    for atom in owner:
        match atom:
            case Fresh():
                setter = objects.class_attribute(atom.cls, name) if _is_class(atom.cls) else None
                if setter is not None and isinstance(setter.value, property):
                    _set_property(frame, atom, setter.value.fset, value, node)
                else:
                    surely = len(owner) == 1 and atom.block == frame.block
                    atom.put(name, value, surely=surely)
            case Real():
                found = objects.lookup(atom.obj, name)
                if found.kind == "property":
                    _set_property(frame, atom, found.value.fset, value, node)
                elif implicit.put(frame, found.value, atom, value, node):
                    pass
                elif not frame.scanner.is_lazy(ast.unparse(node), value):
                    place = frame.place(node, f"{frame.text(node)} = …")
                    scanner.change_key(objects.attribute_key(atom.obj, name), place)
                    scanner.change_key(("any", id(atom.obj)), place)
            case Part() | Input() | Special():
                change(frame, frozenset({atom}), node, "__setattr__", f"{frame.text(node)} = …")
            case Foreign():
                pass  # a setting of a client that this function made itself
            case _:
                pass


def _is_class(cls: Any) -> bool:
    return isinstance(cls, type)


def _set_property(frame: Frame, atom: Atom, setter: Any, value: Value, node: ast.AST) -> None:
    if isinstance(setter, FunctionType) and frame.scanner.kinds.is_own_function(setter):
        frame.scanner.run_bound(Bound(atom, setter), Arguments([value], {}), frame, node)


def set_element(frame: Frame, owner: Value, node: ast.AST, key: Any, value: Value) -> None:
    """`owner[key] = value`."""
    for atom in owner:
        if isinstance(atom, Fresh) and implicit.own_method(frame, atom, "__setitem__") is None:
            if key is elements.ANY_KEY or not isinstance(key, Hashable):
                atom.mix(value)
            else:
                surely = len(owner) == 1 and atom.block == frame.block
                atom.put(key, value, surely=surely)
        elif (method := implicit.own_method(frame, atom, "__setitem__")) is not None:
            frame.scanner.run_bound(method, Arguments([NOTHING, value], {}), frame, node)
        else:
            text = f"{frame.text(node)} = …"
            change(frame, frozenset({atom}), node, "__setitem__", text)


def in_place(frame: Frame, current: Value, added: Value, node: ast.AugAssign) -> Value:
    """`current += added`: changes what can be changed in place, gives something new elsewhere."""
    result: Value = NOTHING
    how = _IN_PLACE.get(type(node.op), "")
    for atom in current:
        match atom:
            case Input():
                if not _makes_new(frame, node):
                    change(frame, frozenset({atom}), node, how)
                    result |= {atom}
            case Real() if not (
                objects.is_container(atom.obj) or implicit.own_method(frame, atom, how)
            ):
                pass
            case Real() | Part() | Special():
                # A name that held a number is bound anew; that is noted where it is assigned.
                if isinstance(atom, Real) or not _makes_new(frame, node):
                    change(frame, frozenset({atom}), node, how)
                result |= {atom}
            case Fresh():
                atom.mix(elements.element(frame, added, node))
                result |= {atom}
            case _:
                result |= {atom}
    return result


_SCALAR_CALLS = frozenset(
    {"len", "int", "float", "str", "sum", "round", "abs", "bool", "ord", "hash"}
)


def _makes_new(frame: Frame, node: ast.AugAssign) -> bool:
    """Whether `x += …` surely makes a new value, by what is added; `x *= 2` may repeat a list."""
    value = node.value
    if isinstance(node.op, ast.Mult):
        return isinstance(value, ast.Constant) and isinstance(value.value, float)
    return _is_scalar_expression(frame, value)


def _is_scalar_expression(frame: Frame, node: ast.expr) -> bool:
    """Whether an expression surely gives a number or a string, so that `+=` makes a new value."""
    match node:
        case ast.Constant() | ast.JoinedStr() | ast.Compare():
            return True
        case ast.UnaryOp():
            return _is_scalar_expression(frame, node.operand)
        case ast.BinOp():
            return _is_scalar_expression(frame, node.left) or _is_scalar_expression(
                frame, node.right
            )
        case ast.Call(func=ast.Name(id=name)):
            return name in _SCALAR_CALLS
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in ("format", "join", "strip", "lower", "upper", "replace", "time", "count")
        case _:
            return False
