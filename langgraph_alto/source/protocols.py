"""What attribute access, indexing, iteration, operators and `with` do to atoms."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Hashable, Iterator
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


class _AnyKey:
    def __repr__(self) -> str:
        return "…"


ANY_KEY = _AnyKey()
"""A key that is not known before the code runs."""

_IN_PLACE = {
    ast.Add: "__iadd__",
    ast.Sub: "__isub__",
    ast.Mult: "__imul__",
    ast.BitOr: "__ior__",
    ast.BitAnd: "__iand__",
    ast.BitXor: "__ixor__",
}

_RUNTIME_ATTRIBUTES: dict[str, Atom] = {
    "context": CONTEXT,
    "stream_writer": WRITER,
    "heartbeat": WRITER,
    "config": CONFIG,
}


# Elements -----------------------------------------------------------------------------------


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
    if (method := own_method(frame, atom, "__getitem__")) is not None and key is not ANY_KEY:
        return frame.scanner.run_bound(method, Arguments([NOTHING], {}), frame, node)
    if atom.cls is not None and key is ANY_KEY:
        return _iterated(frame, atom, node) | atom.content()
    return atom.content() if key is ANY_KEY else atom.get(key)


def _iterated(frame: Frame, atom: Atom, node: ast.AST) -> Value:
    """What an object of the app's own class gives when it is iterated."""
    found: Value = NOTHING
    for name in ("__iter__", "__aiter__", "__next__", "__anext__", "__getitem__"):
        if (method := own_method(frame, atom, name)) is not None:
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
    if (method := own_method(frame, atom, name)) is not None:
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
        inside = objects.is_container(obj) or scanner.is_own_class(type(obj))
        return frozenset({Part(id(obj), obj)}) if inside else scanner.foreign(obj)
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
        elif (method := own_method(frame, atom, "__contains__")) is not None:
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


# Attributes ---------------------------------------------------------------------------------


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
    found = objects.class_attribute(cls, name) if cls and frame.scanner.is_own_class(cls) else None
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
    if not frame.scanner.is_own_function(function):
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
            if scanner.is_own_function(found.value):
                scanner.look(frozenset({atom}), frame, node)
                bound = Bound(atom, found.value, found.owner)
                return scanner.run_bound(bound, Arguments([NOTHING], {}), frame, node)
        case "value":
            if found.owner is not None and not isinstance(obj, type | ModuleType):
                owner_key = objects.attribute_key(found.owner, name)
                if scanner.is_own_class(found.owner):
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
    if objects.is_container(obj) or scanner.is_own_class(type(obj)):
        scanner.read_key(key, frame, node)
        inside = Part(("any", id(obj)), obj) if name == "__dict__" else Part(key)
        return frozenset({inside, Method(atom, name)})
    return scanner.foreign(obj, name)


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


# Changes ------------------------------------------------------------------------------------


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
                if (method := own_method(frame, atom, how)) is not None:
                    scanner.run_bound(method, Arguments([NOTHING, NOTHING], {}), frame, node)
                else:
                    obj = atom.obj.obj if isinstance(atom.obj, memoryview) else atom.obj
                    scanner.change_key(id(obj), frame.place(node, what))
            case Part():
                if (method := own_method(frame, atom, how)) is not None:
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
    if isinstance(setter, FunctionType) and frame.scanner.is_own_function(setter):
        frame.scanner.run_bound(Bound(atom, setter), Arguments([value], {}), frame, node)


def set_element(frame: Frame, owner: Value, node: ast.AST, key: Any, value: Value) -> None:
    """`owner[key] = value`."""
    for atom in owner:
        if isinstance(atom, Fresh) and own_method(frame, atom, "__setitem__") is None:
            if key is ANY_KEY or not isinstance(key, Hashable):
                atom.mix(value)
            else:
                surely = len(owner) == 1 and atom.block == frame.block
                atom.put(key, value, surely=surely)
        elif (method := own_method(frame, atom, "__setitem__")) is not None:
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
            case Real() if not (objects.is_container(atom.obj) or own_method(frame, atom, how)):
                pass
            case Real() | Part() | Special():
                # A name that held a number is bound anew; that is noted where it is assigned.
                if isinstance(atom, Real) or not _makes_new(frame, node):
                    change(frame, frozenset({atom}), node, how)
                result |= {atom}
            case Fresh():
                atom.mix(element(frame, added, node))
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


# Operators and context managers -------------------------------------------------------------


def operate(frame: Frame, left: Value, right: Value, node: ast.BinOp) -> Value:
    """`left <operator> right`."""
    scanner = frame.scanner
    if any(scanner.is_runnable(atom) for atom in left | right):
        # prompt | model | f: what is composed runs when the chain is invoked.
        chain = Fresh(cls="chain")
        for index, part in enumerate(part for part in (left, right) if part):
            chain.put(index, part, surely=True)
        return frozenset({chain})
    for atom in left | right:
        for method in _OPERATORS.get(type(node.op), ()):
            if (bound := own_method(frame, atom, method)) is not None:
                return scanner.run_bound(bound, Arguments([right], {}), frame, node)
    # `path / "name"` gives one more path; nobody else has it yet.
    made = frozenset(a for a in (_result(frame, atom) for atom in left | right) if a is not None)
    inside = element(frame, left, node) | element(frame, right, node)
    inside = frozenset(atom for atom in inside if not isinstance(atom, Foreign))
    return made | frame.fresh(inside) if inside else made


def _result(frame: Frame, atom: Atom) -> Atom | None:
    """An object of an installed class under an operator gives one of that class."""
    if isinstance(atom, Foreign):
        return atom
    if not isinstance(atom, Real) or isinstance(atom.obj, type | ModuleType):
        return None
    if objects.is_scalar(atom.obj) or frame.scanner.is_shared(atom.obj):
        return None
    cls = type(atom.obj)
    return Foreign(cls.__module__, cls.__qualname__)


_OPERATORS: dict[type[ast.operator], tuple[str, ...]] = {
    ast.Add: ("__add__", "__radd__"),
    ast.Sub: ("__sub__", "__rsub__"),
    ast.Mult: ("__mul__", "__rmul__"),
    ast.BitOr: ("__or__", "__ror__"),
    ast.BitAnd: ("__and__", "__rand__"),
    ast.LShift: ("__lshift__",),
    ast.RShift: ("__rshift__",),
    ast.MatMult: ("__matmul__",),
    ast.Mod: ("__mod__",),
}


def enter(frame: Frame, value: Value, node: ast.AST) -> Value:
    """`with value as …`: what is bound."""
    found: Value = NOTHING
    for atom in value:
        entered = False
        for name in ("__enter__", "__aenter__", "__exit__", "__aexit__"):
            if (method := own_method(frame, atom, name)) is None:
                continue
            entered = True
            result = frame.scanner.run_bound(
                method, Arguments([NOTHING, NOTHING, NOTHING], {}), frame, node
            )
            if name in ("__enter__", "__aenter__"):
                found |= result
        if not entered:
            # A generator of the app under @contextmanager binds what it yields.
            yields = isinstance(atom, Fresh) and atom.cls is None
            found |= atom.content() if isinstance(atom, Fresh) and yields else frozenset({atom})
    return found


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
    if not frame.scanner.is_own_function(found.value):
        return None
    return Bound(atom, found.value, found.owner)
