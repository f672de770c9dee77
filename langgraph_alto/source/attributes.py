"""What `value.name` may be: a field, a method, what a property or a descriptor gives."""

from __future__ import annotations

import ast
from functools import _lru_cache_wrapper
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from langgraph_alto.core import tables
from langgraph_alto.source import implicit, local_classes, objects
from langgraph_alto.source.values import (
    CONFIG,
    CONTEXT,
    NOTHING,
    RUNTIME,
    STORE,
    WRITER,
    Arguments,
    Atom,
    Bound,
    Foreign,
    Fresh,
    Input,
    LocalClass,
    Method,
    Part,
    Real,
    Special,
    Value,
    no_arguments,
)

if TYPE_CHECKING:
    from langgraph_alto.source.interpret import Frame

_RUNTIME_ATTRIBUTES: dict[str, Atom] = {
    "context": CONTEXT,
    "stream_writer": WRITER,
    "heartbeat": WRITER,
    "config": CONFIG,
}


def attribute(frame: Frame, value: Value, node: ast.Attribute) -> Value:
    """What an attribute of a value may be."""
    found: Value = NOTHING
    for atom in value:
        found |= attribute_of(frame, atom, node.attr, node)
    return found


def attribute_of(  # noqa: PLR0911 - one per kind
    frame: Frame,
    atom: Atom,
    name: str,
    node: ast.AST,
) -> Value:
    """What an attribute of one atom may be."""
    match atom:
        case Input():
            return _input_attribute(frame, atom, name, node)
        case Fresh():
            return _fresh_attribute(frame, atom, name, node)
        case Real():
            return _real_attribute(frame, atom, name, node)
        case Part():
            return _part_attribute(frame, atom, name, node)
        case Special():
            return _special_attribute(frame, atom, name, node)
        case Foreign():
            joint = f"{atom.name}.{name}" if atom.name else name
            if atom.module.partition(".")[0] == "pathlib":
                gives_path = atom.name.rpartition(".")[2] in tables.GIVE_PATHS
                return frozenset({Foreign(atom.module, f"Path.{name}")} if gives_path else ())
            return frozenset({Foreign(atom.module, joint)})
        case Bound(function=FunctionType() as function):
            return _real_attribute(frame, Real(function), name, node)
        case LocalClass():
            return local_classes.attribute(frame, atom, None, name, node) or NOTHING
        case _:
            return NOTHING


def _part_attribute(frame: Frame, atom: Part, name: str, node: ast.AST) -> Value:
    frame.scanner.read_key(atom.key, frame, node)
    if isinstance(atom.cls, LocalClass):
        local = local_classes.attribute(frame, atom.cls, atom, name, node)
        if local is not None:
            return local
    known = objects.class_attribute(atom.cls, name) if isinstance(atom.cls, type) else None
    if known is not None:
        return _from_class(frame, atom, known, name, node)
    inside = Part(atom.key, atom.owner)
    return frozenset({inside, Method(inside, name)})


def _input_attribute(frame: Frame, atom: Input, name: str, node: ast.AST) -> Value:
    cls = objects.class_of(atom.typ)
    found = (
        objects.class_attribute(cls, name)
        if cls and frame.scanner.kinds.is_own_class(cls)
        else None
    )
    if found is not None:
        if isinstance(found.value, property) and isinstance(found.value.fget, FunctionType):
            method = Bound(atom, found.value.fget, found.owner)
            return frame.scanner.run_bound(method, no_arguments(), frame, node)
        if isinstance(found.value, FunctionType):
            return frozenset({Bound(atom, found.value, found.owner)})
    typ = objects.fields_of(cls).get(name)
    plain = name in tables.PLAIN_METHODS or name in tables.MUTATING_METHODS
    if typ is None and plain:
        inside = {Input(False)} if atom.typ is None else set()
        return frozenset({Method(atom, name), *inside})
    if atom.top:
        frame.scanner.findings.input_keys.add(name)
    if objects.scalar_type(typ):
        return NOTHING
    return frozenset({Input(False, typ), Method(atom, name)})


def _fresh_attribute(frame: Frame, atom: Fresh, name: str, node: ast.AST) -> Value:
    if name in atom.exact:
        return atom.fields[name]
    if isinstance(atom.cls, LocalClass):
        local = local_classes.attribute(frame, atom.cls, atom, name, node)
        if local is not None:
            return local | atom.fields.get(name, NOTHING)
    found: Value = atom.fields.get(name, NOTHING)
    if isinstance(atom.cls, type):
        known = objects.class_attribute(atom.cls, name)
        if known is not None:
            found |= _from_class(frame, atom, known, name, node)
            return found
    if not found:
        found = atom.elements | {Method(atom, name)}
    return found


def _from_class(  # noqa: PLR0911 - one per kind
    frame: Frame,
    atom: Atom,
    known: objects.Found,
    name: str,
    node: ast.AST,
) -> Value:
    """A class attribute as an instance sees it: methods bound, properties run."""
    raw = known.value
    match raw:
        case property():
            return _property(frame, atom, raw.fget, known.owner, node)
        case staticmethod():
            return frozenset({Real(raw.__func__)})
        case classmethod():
            cls = atom.cls if isinstance(atom, Fresh) else type(getattr(atom, "obj", None))
            return _method(Real(cls), raw.__func__, known.owner)
        case FunctionType():
            return frozenset({Bound(atom, raw, known.owner)})
        case _ if hasattr(raw, "func") and type(raw).__name__ == "cached_property":
            return _property(frame, atom, raw.func, known.owner, node)
        case _ if type(raw).__name__ in ("member_descriptor", "getset_descriptor"):
            return NOTHING
        case _ if _is_slot(raw):
            return frozenset({Method(atom, name)})
        case _ if (got := implicit.got(frame, raw, atom, node)) is not None:
            return got
        case _:
            return frame.outside(raw, objects.attribute_key(known.owner, name), name, node)


def _method(owner: Atom, function: Any, cls: Any) -> Value:
    if isinstance(function, FunctionType):
        return frozenset({Bound(owner, function, cls)})
    return frozenset({Real(function)})


def _property(frame: Frame, atom: Atom, function: Any, cls: Any, node: ast.AST) -> Value:
    if not isinstance(function, FunctionType):
        return NOTHING
    if not frame.scanner.kinds.is_own_function(function):
        return frozenset({Foreign(function.__module__ or "", function.__qualname__)})
    return frame.scanner.run_bound(Bound(atom, function, cls), no_arguments(), frame, node)


def _real_attribute(  # noqa: PLR0911, PLR0912 - one per kind
    frame: Frame,
    atom: Real,
    name: str,
    node: ast.AST,
) -> Value:
    obj, scanner = atom.obj, frame.scanner
    key = objects.attribute_key(obj, name)
    found = objects.lookup(obj, name)
    if found.kind in ("value", "property", "cached") and not isinstance(obj, type | ModuleType):
        scanner.read_key(id(obj), frame, node)  # its methods may have changed any attribute
    match found.kind:
        case "property":
            return _property(frame, atom, found.value.fget, found.owner, node)
        case "cached":
            made = _property(frame, atom, found.value, found.owner, node)
            return made | {Part(key)}
        case "method" if isinstance(found.value, classmethod):
            return _method(Real(type(obj)), found.value.__func__, found.owner)
        case "method":
            return _method(atom, found.value, found.owner)
        case "getattr" if isinstance(found.value, FunctionType):
            if scanner.kinds.is_own_function(found.value):
                scanner.look(frozenset({atom}), frame, node)
                bound = Bound(atom, found.value, found.owner)
                return scanner.run_bound(bound, Arguments([NOTHING], {}), frame, node)
        case "value":
            if found.owner is not None and not isinstance(obj, type | ModuleType):
                owner_key = objects.attribute_key(found.owner, name)
                if scanner.kinds.is_own_class(found.owner):
                    scanner.read_key(owner_key, frame, node)
                if (got := implicit.got(frame, found.value, atom, node)) is not None:
                    return got
            if isinstance(obj, ModuleType) and isinstance(found.value, ModuleType):
                return frozenset({Real(found.value)})
            return _told_apart(frame, obj, name, frame.outside(found.value, key, name, node))
        case _:
            pass
    if isinstance(obj, _lru_cache_wrapper | FunctionType):
        return frozenset({Part(key), Method(atom, name)})
    if objects.is_container(obj) or scanner.kinds.is_own_class(type(obj)):
        scanner.read_key(key, frame, node)
        inside = Part(("any", id(obj)), obj) if name == "__dict__" else Part(key)
        return frozenset({inside, Method(atom, name)})
    return scanner.kinds.foreign(obj, name)


def _told_apart(frame: Frame, obj: Any, name: str, value: Value) -> Value:
    """A C method found on an object is called on that object, not on nothing."""
    if isinstance(obj, type | ModuleType):
        return value
    bound = {
        Method(Real(obj), name) for atom in value if isinstance(atom, Real) and _is_slot(atom.obj)
    }
    return frozenset(bound) or value


def _is_slot(obj: Any) -> bool:
    return type(obj).__name__ in ("method_descriptor", "wrapper_descriptor")


def _special_attribute(  # noqa: PLR0911 - one per kind
    frame: Frame,
    atom: Special,
    name: str,
    node: ast.AST,
) -> Value:
    if atom is RUNTIME:
        if name in ("store", "previous"):
            frame.scanner.hold(name, frame.place(node))
            return NOTHING
        if name == "control":
            frame.scanner.outward(frame.place(node))
            return NOTHING
        if name == "state":
            return frozenset({Input(True)})
        if name in ("merge", "override", "patch_execution_info"):
            return frozenset({atom})
        return frozenset({_RUNTIME_ATTRIBUTES[name]}) if name in _RUNTIME_ATTRIBUTES else NOTHING
    if atom in (CONTEXT, CONFIG):
        frame.scanner.read_key(("special", atom.kind), frame, node)
        return frozenset({atom, Method(atom, name)})
    if atom is STORE:
        return NOTHING
    return frozenset({atom})
