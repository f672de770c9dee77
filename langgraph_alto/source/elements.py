"""What stands inside a value: `value[key]`, `key in value`, what a loop over it gives."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from langgraph_alto.source import implicit, objects
from langgraph_alto.source.values import (
    CONFIG,
    CONTEXT,
    NOTHING,
    Arguments,
    Atom,
    Foreign,
    Fresh,
    Input,
    Part,
    Real,
    Special,
    Value,
    no_arguments,
)

if TYPE_CHECKING:
    from langgraph_alto.source.interpret import Frame


class _AnyKey:
    def __repr__(self) -> str:
        return "…"


ANY_KEY = _AnyKey()
"""A key that is not known before the code runs."""


def element(frame: Frame, value: Value, node: ast.AST, key: Any = ANY_KEY) -> Value:
    """What stands in a value under a key, or what iterating it gives."""
    found: Value = NOTHING
    for atom in value:
        match atom:
            case Input():
                found |= _input_element(frame, atom, key)
            case Fresh():
                found |= _fresh_element(frame, atom, node, key)
            case Real():
                found |= _real_element(frame, atom, node, key)
            case Part():
                frame.scanner.read_key(atom.key, frame, node)
                found |= {atom}
            case Special():
                found |= _special_element(frame, atom, node, key)
            case Foreign():
                found |= {atom}
            case _:
                pass
    return found


def _input_element(frame: Frame, atom: Input, key: Any) -> Value:
    if atom.top:
        if isinstance(key, str):
            frame.scanner.findings.input_keys.add(key)
        else:
            frame.scanner.findings.whole_input = True
    typ = objects.element_type(atom.typ) if key is ANY_KEY else objects.field_type(atom.typ, key)
    return NOTHING if objects.scalar_type(typ) else frozenset({Input(False, typ)})


def _fresh_element(frame: Frame, atom: Fresh, node: ast.AST, key: Any) -> Value:
    if (
        method := implicit.own_method(frame, atom, "__getitem__")
    ) is not None and key is not ANY_KEY:
        return frame.scanner.run_bound(method, Arguments([NOTHING], {}), frame, node)
    if atom.cls is not None and key is ANY_KEY:
        return _iterated(frame, atom, node) | atom.content()
    return atom.content() if key is ANY_KEY else atom.get(key)


def _iterated(frame: Frame, atom: Atom, node: ast.AST) -> Value:
    """What an object of the app's own class gives when it is iterated."""
    found: Value = NOTHING
    for name in ("__iter__", "__aiter__", "__next__", "__anext__", "__getitem__"):
        if (method := implicit.own_method(frame, atom, name)) is not None:
            found |= frame.scanner.run_bound(method, no_arguments(), frame, node)
    # Only what an iterator gives comes out of a loop, never the object that is iterated.
    inside: Value = NOTHING
    for made in found - {atom}:
        inside |= made.content() if isinstance(made, Fresh) else frozenset({made})
    return inside


def _real_element(  # noqa: PLR0911 - one per kind
    frame: Frame,
    atom: Real,
    node: ast.AST,
    key: Any,
) -> Value:
    obj, scanner = atom.obj, frame.scanner
    if obj is os.environ:
        scanner.outside(frame.place(node, "os.environ"))
        return NOTHING
    if isinstance(obj, type | ModuleType):
        return NOTHING
    if obj is sys.modules and key is ANY_KEY:
        scanner.unreadable(frame.place(node))
        return NOTHING
    if not isinstance(obj, tuple):
        scanner.read_key(id(obj), frame, node)
    if isinstance(obj, Iterator):
        scanner.change_key(id(obj), frame.place(node, "an iterator that others can reach"))
        return frozenset({Part(id(obj))})
    if isinstance(obj, dict) and objects.element(obj, key) is objects.UNKNOWN:
        implicit.missing(frame, atom, node)
    name = "__iter__" if key is ANY_KEY else "__getitem__"
    if (method := implicit.own_method(frame, atom, name)) is not None:
        if key is ANY_KEY:
            return _iterated(frame, atom, node) | {Part(id(obj), obj)}
        return scanner.run_bound(method, Arguments([NOTHING], {}), frame, node)
    if key is not ANY_KEY:
        known = objects.element(obj, key)
        if known.kind == "value":
            return NOTHING if objects.is_scalar(known.value) else frozenset({Real(known.value)})
        return frozenset({Part(id(obj), obj)}) if objects.is_container(obj) else NOTHING
    known_elements = objects.elements(obj)
    if known_elements is None:
        inside = objects.is_container(obj) or scanner.kinds.is_own_class(type(obj))
        return frozenset({Part(id(obj), obj)}) if inside else scanner.kinds.foreign(obj)
    found = [child for child in known_elements if not objects.is_scalar(child)]
    if not found and len(obj):
        return NOTHING
    rest = NOTHING if isinstance(obj, tuple | frozenset) else frozenset({Part(id(obj), obj)})
    return rest | {Real(child) for child in found}


def _special_element(frame: Frame, atom: Special, node: ast.AST, key: Any) -> Value:
    if atom not in (CONFIG, CONTEXT):
        return NOTHING
    if isinstance(key, str) and key.startswith("__pregel"):
        frame.scanner.hold("runtime handed on", frame.place(node))
    frame.scanner.read_key(("special", atom.kind), frame, node)
    return frozenset({atom})


def contains(frame: Frame, value: Value, key: ast.expr, node: ast.expr) -> None:
    """`key in value`: of the input only that key is looked at."""
    constant = key.value if isinstance(key, ast.Constant) else None
    for atom in value:
        if isinstance(atom, Input) and atom.top and isinstance(constant, str):
            frame.scanner.findings.input_keys.add(constant)
        elif (method := implicit.own_method(frame, atom, "__contains__")) is not None:
            frame.scanner.run_bound(method, Arguments([NOTHING], {}), frame, node)
        else:
            frame.scanner.look(frozenset({atom}), frame, node)


def copy_fields(made: Fresh, source: Value) -> None:
    """`{**source}`: keys of a known object stay known."""
    if len(source) != 1:
        return
    (atom,) = source
    if isinstance(atom, Fresh):
        for key, value in atom.fields.items():
            made.put(key, value, surely=key in atom.exact)
    elif isinstance(atom, Input):
        for key, typ in objects.fields_of(atom.typ).items():
            value = NOTHING if objects.scalar_type(typ) else frozenset({Input(False, typ)})
            made.put(key, value, surely=True)
