"""Calls of code that is not followed: the tables say what it does."""

from __future__ import annotations

import ast
import random
from types import FunctionType
from typing import TYPE_CHECKING, Any

from langgraph_alto.core import tables
from langgraph_alto.core.effects import Place
from langgraph_alto.source import calls, changes, elements, objects
from langgraph_alto.source.values import (
    CONFIG,
    NOTHING,
    RUNTIME,
    Arguments,
    Atom,
    Foreign,
    Fresh,
    Input,
    Part,
    Real,
    Value,
)

if TYPE_CHECKING:
    from langgraph_alto.source.interpret import Frame

_GIVES_ITS_ARGUMENTS = (
    "typing.cast", "typing.assert_type", "asyncio.wait_for", "asyncio.shield",
    "asyncio.create_task", "asyncio.ensure_future", "asyncio.tasks", "asyncio.run",
    "contextlib.nullcontext", "contextlib.closing", "weakref.proxy", "operator.getitem",
)  # fmt: skip
_GIVES_ELEMENTS = (
    "itertools", "collections", "copy.copy", "functools.reduce", "operator.itemgetter",
    "dataclasses.replace", "copy.replace", "langchain_core.messages", "langgraph.graph.message",
    "random.choice", "random.sample", "heapq", "asyncio", "concurrent", "anyio",
)  # fmt: skip


def call(
    frame: Frame,
    module: str,
    qualname: str,
    arguments: Arguments,
    node: ast.AST,
    *,
    owner: Atom | None = None,
    function: FunctionType | None = None,
) -> Value:
    """Call something of an installed package or the standard library."""
    scanner = frame.scanner
    name = qualname.rpartition(".")[2]
    if owner is not None:
        handled = _on_object(frame, owner, name, arguments, node)
        if handled is not None:
            return handled
    if function is not None and scanner.kinds.is_generated(function):
        return NOTHING
    effect = tables.effect_of(module, qualname)
    if effect == "outside read" and isinstance(node, ast.Call):
        effect = _by_arguments(node, name, effect)
    place = frame.place(node)
    if effect == "mutator":
        changes.change(frame, arguments.first(), node, "__setitem__")
        return elements.element(frame, arguments.first(), node)
    if effect == "model":
        scanner.unproven(Place(f"calls {place.what}", place.where))
        look_at_arguments(frame, arguments, node)
        return frozenset({Foreign(module, name)})
    if effect == "reader":
        return _reader(frame, module, qualname, arguments, node)
    if effect is None:
        _unread(frame, module, name, arguments, node)
        effect = _effect_by_name(node, name)
    if effect == "outward write":
        scanner.outward(place)
    else:
        scanner.outside(place)
    look_at_arguments(frame, arguments, node)
    call_callables(frame, arguments, node)
    return NOTHING if name in tables.GIVE_TEXT else frozenset({Foreign(module, name)})


def _effect_by_name(node: ast.AST, name: str) -> tables.Effect:
    by_arguments = _by_arguments(node, name, None) if isinstance(node, ast.Call) else None
    if by_arguments is not None:
        return by_arguments
    return "outward write" if tables.writes_outward_by_name(name) else "outside read"


def _by_arguments(
    node: ast.Call, name: str, otherwise: tables.Effect | None
) -> tables.Effect | None:
    """SQL and HTTP methods tell by their text whether they write."""
    text = next(
        (
            c.value
            for argument in (*node.args, *(k.value for k in node.keywords))
            for c in ast.walk(argument)
            if isinstance(c, ast.Constant) and isinstance(c.value, str)
        ),
        None,
    )
    if name in ("execute", "executemany", "executescript", "exec_driver_sql"):
        reads = text is not None and text.lstrip(" (\n\t").lower().startswith(tables.SQL_READS)
        return "outside read" if reads else "outward write"
    if name == "request" and text is not None:
        return "outside read" if text.upper() in tables.HTTP_READS else "outward write"
    if name in ("open", "fdopen"):
        return open_effect(node)
    if otherwise is not None and name in _OUTSIDE_BY_NAME and tables.writes_outward_by_name(name):
        return "outward write"
    return otherwise


_OUTSIDE_BY_NAME = frozenset({
    "write", "writelines", "writestr", "commit", "rollback", "send", "sendall", "create_table",
    "add_documents", "aadd_documents", "add_texts", "aadd_texts", "delete", "adelete", "upsert",
    "mkdir", "touch", "rmdir", "rename", "write_text", "write_bytes", "chmod", "unlink",
    "truncate", "store", "append", "quit", "extract", "extractall",
})  # fmt: skip


def open_effect(node: ast.Call) -> tables.Effect:
    """Whether `open(…)` reads or writes, by its mode; an unknown mode writes."""
    modes = [k.value for k in node.keywords if k.arg == "mode"]
    named = isinstance(node.func, ast.Attribute) and not (
        isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("io", "gzip", "bz2", "lzma", "codecs", "tarfile", "os")
    )
    positional = node.args[0:1] if named else node.args[1:2]
    if not (modes or positional):
        return "outside read"
    mode = (modes or positional)[0]
    if isinstance(mode, ast.Constant) and isinstance(mode.value, str):
        return "outward write" if set(mode.value) & set("wax+") else "outside read"
    return "outward write"


def _reader(frame: Frame, module: str, qualname: str, arguments: Arguments, node: ast.AST) -> Value:
    """A known reader: looks at its arguments, calls what it is given, changes nothing."""
    look_at_arguments(frame, arguments, node)
    made = call_callables(frame, arguments, node)
    head, _, tail = module.partition(".")
    dotted = ".".join(p for p in (head.lstrip("_") or head, tail, qualname) if p)
    given = NOTHING.union(*arguments.all())
    if dotted == "random.seed":
        frame.scanner.change_key(("special", "random"), frame.place(node))
    elif dotted.startswith("random."):
        frame.scanner.read_key(("special", "random"), frame, node)
    if dotted.startswith(_GIVES_ITS_ARGUMENTS):
        return made | given
    if dotted.startswith(_GIVES_ELEMENTS) and (given or made):
        inside = elements.element(frame, given, node) | made
        return frame.fresh(inside | elements.element(frame, inside, node))
    return made | {Foreign(module, qualname)}


def _is_class(atom: Atom) -> bool:
    return isinstance(atom, Real) and isinstance(atom.obj, type)


def _unread(frame: Frame, module: str, name: str, arguments: Arguments, node: ast.AST) -> None:
    """Code that no table knows: it may change what it gets, and interrupt."""
    scanner = frame.scanner
    if scanner.kinds.may_interrupt(module):
        scanner.interrupts(frame.place(node))
    runs = name in tables.INVOKE_METHODS
    for value in arguments.all():
        _hand_on(frame, value, node, name, runs=runs)


def hand_to_unread(frame: Frame, arguments: Arguments, node: ast.AST) -> None:
    """Code that can't be read gets this: it may change what others see, too."""
    for value in arguments.all():
        given = value | elements.element(frame, value, node)
        inputs = frozenset(atom for atom in given if isinstance(atom, Input) and not atom.top)
        changes.change(frame, inputs, node, "__setitem__")
        _hand_on(frame, value, node, frame.text(node), runs=False)


def _hand_on(frame: Frame, value: Value, node: ast.AST, to: str, *, runs: bool) -> None:
    scanner = frame.scanner
    for atom in value:
        if atom is RUNTIME or (atom is CONFIG and not runs):
            scanner.hold("runtime handed on", frame.place(node))
        elif isinstance(atom, Input):
            scanner.findings.hands_input[frame.place(node)] = None
            if tables.mutates_by_name(to):
                changes.change(frame, frozenset({atom}), node, "__setitem__")
        elif isinstance(atom, Part) or (
            isinstance(atom, Real) and scanner.kinds.is_shared(atom.obj)
        ):
            owner = atom.obj if isinstance(atom, Real) else atom.owner
            keys = objects.reached(owner) if owner is not None else frozenset()
            place = frame.place(node, f"hands it to {to}, which can't be read")
            for key in (*keys, *((atom.key,) if isinstance(atom, Part) else ())):
                scanner.change_key(key, place)
        elif isinstance(atom, Fresh):
            inner = frozenset(a for a in atom.content() if isinstance(a, Real | Part))
            if inner:
                _hand_on(frame, inner, node, to, runs=runs)


def _on_object(  # noqa: PLR0911 - one per kind
    frame: Frame, owner: Atom, name: str, arguments: Arguments, node: ast.AST
) -> Value | None:
    """A method of an installed class; None where the tables decide by its name."""
    scanner = frame.scanner
    if isinstance(owner, Fresh):
        return _on_fresh(frame, owner, name, arguments, node)
    if not isinstance(owner, Real):
        return None
    obj = owner.obj
    if scanner.kinds.is_store(obj):
        scanner.hold("store", frame.place(node))
        return NOTHING
    if name in tables.WRAP_METHODS and scanner.kinds.is_runnable(owner):
        look_at_arguments(frame, arguments, node)
        return frozenset({owner})
    if scanner.kinds.is_graph(obj) and name not in tables.INVOKE_METHODS:
        scanner.identity(frame.place(node))
        record = scanner.outward if tables.writes_outward_by_name(name) else scanner.outside
        record(frame.place(node))
        return NOTHING
    if scanner.kinds.is_runnable(owner) and name in (*tables.INVOKE_METHODS, "__call__", "call"):
        look_at_arguments(frame, arguments, node)
        return scanner.run_runnable(obj, arguments.first("input"), frame, node)
    if scanner.kinds.is_model(obj):
        look_at_arguments(frame, arguments, node)
        return scanner.run_runnable(obj, arguments.first(), frame, node)
    if isinstance(obj, random.Random):
        return _on_random(frame, obj, name, arguments, node)
    if isinstance(obj, type) or _keeps_no_state(obj):
        return None
    _reach_into(frame, obj, name, node)
    return None


def _reach_into(frame: Frame, obj: Any, name: str, node: ast.AST) -> None:
    """An inherited method of the app's own class reaches all that the object holds."""
    scanner = frame.scanner
    inside = scanner.reached(obj) if scanner.kinds.is_own_class(type(obj)) else ()
    for key in (id(obj), *inside):
        if tables.mutates_by_name(name):
            scanner.change_key(key, frame.place(node))
        else:
            scanner.read_key(key, frame, node)


def _on_random(frame: Frame, obj: Any, name: str, arguments: Arguments, node: ast.AST) -> Value:
    """The module's own generator belongs to all; one that the app made has its own sequence."""
    if name == "shuffle":
        changes.change(frame, arguments.first(), node, "__setitem__")
    if obj is getattr(random, "_inst", None):
        return _reader(frame, "random", name, arguments, node)
    frame.scanner.change_key(id(obj), frame.place(node))
    return _reader(frame, "random", f"Random.{name}", arguments, node)


_STATELESS_TYPES = frozenset(
    {"lock", "RLock", "Lock", "Semaphore", "BoundedSemaphore", "Condition", "Logger", "Pattern"}
)


def _keeps_no_state(obj: Any) -> bool:
    """Objects whose methods tell nobody anything: loggers, patterns, locks."""
    module = type(obj).__module__.partition(".")[0]
    return type(obj).__name__ in _STATELESS_TYPES or module in ("logging", "re", "structlog")


def _on_fresh(
    frame: Frame, owner: Fresh, name: str, arguments: Arguments, node: ast.AST
) -> Value | None:
    """An inherited method on an object of the app's own class: it may call the app's methods."""
    cls = owner.cls
    if not isinstance(cls, type):
        return None
    if name in tables.INVOKE_METHODS or frame.scanner.kinds.is_model_class(cls):
        look_at_arguments(frame, arguments, node)
        return frame.scanner.run_hooks(owner, cls, arguments.first("input"), frame, node)
    if name in tables.WRAP_METHODS:
        return frozenset({owner})
    return None


def unknown(frame: Frame, node: ast.AST, arguments: Arguments) -> Value:
    """Call something of which nothing is known but how it is written."""
    func = node.func if isinstance(node, ast.Call) else node
    if isinstance(func, ast.Attribute):
        name = func.attr
        if name in tables.PLAIN_METHODS and name not in tables.INVOKE_METHODS:
            look_at_arguments(frame, arguments, node)
            call_callables(frame, arguments, node)
            return NOTHING
    else:
        name = func.id if isinstance(func, ast.Name) else ""
    scanner = frame.scanner
    place = frame.place(node)
    _unread(frame, "", name, arguments, node)
    if name in tables.INVOKE_METHODS or name in tables.WRAP_METHODS:
        scanner.unproven(Place(f"calls {place.what}", place.where))
    elif _effect_by_name(node, name) == "outward write":
        scanner.outward(place)
    else:
        scanner.outside(place)
    look_at_arguments(frame, arguments, node)
    call_callables(frame, arguments, node)
    return NOTHING


def look_at_arguments(frame: Frame, arguments: Arguments, node: ast.AST) -> None:
    """Everything handed over is looked at."""
    for value in arguments.all():
        if value:
            frame.scanner.look(value, frame, node)


def call_callables(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    """Whoever gets a function may call it, with whatever else it got."""
    given = arguments.all()
    found: Value = NOTHING
    for value in given:
        for atom in value:
            if not frame.scanner.kinds.is_invocable(atom):
                continue
            others = NOTHING.union(*(other for other in given if other is not value))
            passed = others | elements.element(frame, others, node)
            found |= calls.call_atom(frame, atom, Arguments([], {}, passed), node)
    return found
