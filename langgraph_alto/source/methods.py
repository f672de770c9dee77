"""Methods of objects whose class is not the app's own: containers, the input, packages."""

from __future__ import annotations

import ast
import asyncio
import functools
import os
import queue
from collections.abc import Iterator
from types import FunctionType
from typing import TYPE_CHECKING

from langgraph_alto.core import tables
from langgraph_alto.core.effects import Place
from langgraph_alto.source import changes, elements, foreign, objects
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

_GIVES_ONE = frozenset(
    {"pop", "popitem", "popleft", "setdefault", "get", "__getitem__", "__next__"}
)
_GIVES_COPY = frozenset(
    [
        "copy",
        "model_copy",
        "union",
        "difference",
        "intersection",
        "symmetric_difference",
        "values",
        "_replace",
        "__iter__",
        "__reversed__",
        "elements",
        "most_common",
    ]
)
_QUEUES = (queue.Queue, queue.SimpleQueue, asyncio.Queue)


def knows(obj: object) -> bool:
    """Whether an object's methods are known here, in whatever class they are written."""
    return objects.is_container(obj) or isinstance(obj, _QUEUES)


def call_method(  # noqa: PLR0911 - one per kind
    frame: Frame,
    owner: Atom,
    name: str,
    arguments: Arguments,
    node: ast.AST,
) -> Value:
    """Call a method by name on one atom."""
    match owner:
        case Fresh():
            return _on_fresh(frame, owner, name, arguments, node)
        case Real():
            return _on_real(frame, owner, name, arguments, node)
        case Input():
            return _on_input(frame, owner, name, arguments, node)
        case Part():
            return _on_part(frame, owner, name, arguments, node)
        case Special() if owner in (CONTEXT, CONFIG):
            return _on_injected(frame, owner, name, arguments, node)
        case Foreign():
            return foreign.call(frame, owner.module, f"{owner.name}.{name}", arguments, node)
        case _:
            foreign.look_at_arguments(frame, arguments, node)
            return NOTHING


def _given(frame: Frame, owner: Atom, name: str, arguments: Arguments, node: ast.AST) -> Value:
    """What a container's method gives back."""
    one = frozenset({owner})
    if name in _GIVES_ONE:
        key = _constant(node) if name in ("get", "setdefault", "pop", "__getitem__") else None
        found = elements.element(frame, one, node, elements.ANY_KEY if key is None else key)
        return found.union(*arguments.args[1:], *arguments.kwargs.values())
    if name in _GIVES_COPY:
        made = Fresh(frame.block, elements.element(frame, one, node))
        elements.copy_fields(made, one)
        return frozenset({made})
    if name == "items":
        pair = frame.fresh(elements.element(frame, one, node))
        return frame.fresh(pair)
    frame.scanner.look(one, frame, node)
    return NOTHING


def _constant(node: ast.AST) -> object:
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        return node.args[0].value
    return None


def _on_input(frame: Frame, owner: Input, name: str, arguments: Arguments, node: ast.AST) -> Value:
    cls = objects.class_of(owner.typ)
    if name in tables.MUTATING_METHODS:
        changes.change(frame, frozenset({owner}), node, name)
        return _given(frame, owner, name, arguments, node)
    if name in tables.PLAIN_METHODS or name in _GIVES_ONE or name in _GIVES_COPY:
        foreign.look_at_arguments(frame, arguments, node)
        foreign.call_callables(frame, arguments, node)
        return _given(frame, owner, name, arguments, node)
    frame.scanner.look(frozenset({owner}), frame, node)
    if cls is None:
        found: Value = NOTHING
        for bound in _methods_called(frame, owner, name):
            found |= frame.scanner.run_bound(bound, arguments, frame, node)
    elif not frame.scanner.kinds.is_own_class(cls):
        return foreign.call(frame, cls.__module__, f"{cls.__qualname__}.{name}", arguments, node)
    if tables.mutates_by_name(name):
        changes.change(frame, frozenset({owner}), node, name)
        return NOTHING
    return foreign.unknown(frame, node, arguments)


def _methods_called(frame: Frame, owner: Atom, name: str) -> Iterator[Bound]:
    """Methods of that name in the app's classes that a function can name: it may mean one."""
    if name.startswith("__"):
        return
    for candidate in tuple(frame.namespace.values()):
        if isinstance(candidate, type) and name in candidate.__dict__:
            function = candidate.__dict__[name]
            if isinstance(function, FunctionType) and frame.scanner.kinds.is_own_function(function):
                yield Bound(owner, function, candidate)


def _on_fresh(frame: Frame, owner: Fresh, name: str, arguments: Arguments, node: ast.AST) -> Value:
    scanner = frame.scanner
    if owner.cls == "chain":
        foreign.look_at_arguments(frame, arguments, node)
        if name in tables.INVOKE_METHODS:
            return scanner.run_chain(owner, arguments.first("input"), frame, node)
        return frozenset({owner})
    foreign.call_callables(frame, arguments, node)
    if name in ("append", "add", "appendleft", "insert", "__setitem__"):
        owner.mix(NOTHING.union(*arguments.all()))
    elif name in ("extend", "update", "extendleft", "__init__", "__iadd__", "__ior__"):
        given = NOTHING.union(*arguments.args, arguments.star)
        owner.mix(elements.element(frame, given, node) | arguments.keywords)
        for key, value in arguments.kwargs.items():
            owner.put(key, value, surely=False)
    elif name in ("setdefault", "get", "pop"):
        found = _given(frame, owner, name, arguments, node)
        if name == "setdefault":
            owner.mix(found)
        return found
    else:
        return _given(frame, owner, name, arguments, node)
    return NOTHING


def _on_real(  # noqa: PLR0911 - one per kind
    frame: Frame,
    owner: Real,
    name: str,
    arguments: Arguments,
    node: ast.AST,
) -> Value:
    obj, scanner = owner.obj, frame.scanner
    if obj is os.environ:
        writes = name in tables.MUTATING_METHODS
        (scanner.outward if writes else scanner.outside)(frame.place(node))
        return NOTHING
    if isinstance(obj, _QUEUES) and name in ("put", "put_nowait"):
        scanner.outward(frame.place(node))
        return NOTHING
    if objects.is_context_variable(obj):
        if name == "get":
            scanner.read_key(id(obj), frame, node)
            return frozenset({Part(id(obj))}).union(*arguments.args)
        scanner.change_key(id(obj), frame.place(node))
        return NOTHING
    stateful = isinstance(obj, (Iterator, *_QUEUES)) and not name.startswith("__iter")
    if stateful or isinstance(obj, functools._lru_cache_wrapper):
        scanner.change_key(id(obj), frame.place(node))
        return frozenset({Part(id(obj))})
    if objects.is_container(obj) or isinstance(obj, tuple | frozenset):
        foreign.look_at_arguments(frame, arguments, node)
        foreign.call_callables(frame, arguments, node)
        if name in tables.MUTATING_METHODS:
            scanner.change_key(id(obj), frame.place(node))
        return _given(frame, owner, name, arguments, node)
    if isinstance(obj, FunctionType) and name == "__call__":
        return NOTHING
    cls = type(obj)
    return foreign.call(
        frame, cls.__module__, f"{cls.__qualname__}.{name}", arguments, node, owner=owner
    )


def _on_part(frame: Frame, owner: Part, name: str, arguments: Arguments, node: ast.AST) -> Value:
    scanner = frame.scanner
    scanner.read_key(owner.key, frame, node)
    if name in tables.INVOKE_METHODS or name in tables.WRAP_METHODS:
        scanner.unproven(Place(f"calls {frame.text(node)}", frame.where(node)))
        foreign.look_at_arguments(frame, arguments, node)
        return NOTHING
    if name in tables.MUTATING_METHODS or tables.mutates_by_name(name):
        changes.change(frame, frozenset({owner}), node, name)
        foreign.look_at_arguments(frame, arguments, node)
        return frozenset({owner})
    if name in tables.PLAIN_METHODS:
        foreign.look_at_arguments(frame, arguments, node)
        return _given(frame, owner, name, arguments, node)
    return foreign.unknown(frame, node, arguments)


def _on_injected(
    frame: Frame, owner: Special, name: str, arguments: Arguments, node: ast.AST
) -> Value:
    if name in tables.MUTATING_METHODS:
        changes.change(frame, frozenset({owner}), node, name)
        return frozenset({owner})
    if name in _GIVES_ONE:
        key = _constant(node)
        if isinstance(key, str) and key.startswith("__pregel"):
            frame.scanner.hold("runtime handed on", frame.place(node))
    frame.scanner.read_key(("special", owner.kind), frame, node)
    if name in tables.PLAIN_METHODS:
        foreign.look_at_arguments(frame, arguments, node)
        return frozenset({owner}) if name in _GIVES_ONE | _GIVES_COPY | {"items"} else NOTHING
    return foreign.unknown(frame, node, arguments)
