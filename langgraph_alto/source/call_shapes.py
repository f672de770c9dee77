"""What a call in the followed code gives."""

from __future__ import annotations

import ast
import asyncio
import builtins
import copy
import dataclasses
import typing
from collections import deque
from types import BuiltinFunctionType, MethodType
from typing import TYPE_CHECKING, Any

from langgraph_alto.source import objects, shapes
from langgraph_alto.source.resolve import Given, Known, Local
from langgraph_alto.source.shapes import ANY_MAPPING, NOTHING, PLAIN, UNKNOWN, CommandShape, Shape

if TYPE_CHECKING:
    from langgraph_alto.source.evaluate import Activation


def call(frame: Activation, node: ast.Call) -> Shape:
    """What a call gives: a followed function's result, or a known class's object."""
    target = frame.resolve(node.func)
    if isinstance(target, Local):
        return frame.follower.call_local(target, _given(frame, node))
    if isinstance(target, Known):
        return _call_known(frame, target.obj, node)
    if isinstance(node.func, ast.Attribute):
        return _method(frame, node.func, node)
    return UNKNOWN


def _given(frame: Activation, node: ast.Call) -> Given:
    made = Given()
    for argument in node.args:
        if isinstance(argument, ast.Starred):
            made.open = True
        elif not made.open:
            made.args.append(frame.evaluate(argument))
    for keyword in node.keywords:
        if keyword.arg is None:
            made.open = True
        else:
            made.kwargs[keyword.arg] = frame.evaluate(keyword.value)
    return made


def _method(frame: Activation, func: ast.Attribute, node: ast.Call) -> Shape:
    """A method of an object that is not known before the code runs."""
    if func.attr in ("model_dump", "_asdict"):
        return ANY_MAPPING
    if func.attr == "get" and isinstance(func.value, ast.Dict):
        rest = [*func.value.values, *node.args[1:]]
        return shapes.joined(map(frame.evaluate, rest)) if None not in func.value.keys else UNKNOWN
    owner = frame.evaluate(func.value)
    if func.attr == "copy" or owner == NOTHING:
        return owner
    if owner == Shape(plain=owner.plain, texts=owner.texts):
        return PLAIN if hasattr(str, func.attr) else UNKNOWN
    return UNKNOWN


_SAME: tuple[Any, ...] = (copy.copy, copy.deepcopy, asyncio.wait_for, asyncio.shield)
_PLAIN_BUILTINS = frozenset(
    {"len", "sum", "any", "all", "abs", "round", "repr", "ascii", "format", "chr", "ord", "hash"}
    | {"id", "isinstance", "issubclass", "callable", "hasattr", "hex", "oct", "bin", "print"}
)


def _call_known(frame: Activation, obj: Any, node: ast.Call) -> Shape:  # noqa: PLR0911 - one per kind
    if isinstance(obj, type):
        return _construct(frame, obj, node)
    if obj in _SAME and node.args:
        return frame.evaluate(node.args[0])
    if obj is typing.cast and len(node.args) == 2:
        return frame.evaluate(node.args[1])
    if obj is dataclasses.asdict:
        return ANY_MAPPING
    if obj is dict.__dict__["fromkeys"] and node.args:
        keys = frame.evaluate(node.args[0]).elements()
        return ANY_MAPPING if keys.only_texts is None else shapes.mapping(keys.only_texts)
    if obj is asyncio.to_thread and node.args:
        target = frame.resolve(node.args[0])
        given = _given(frame, ast.Call(node.func, node.args[1:], node.keywords))
        if isinstance(target, Local):
            return frame.follower.call_local(target, given)
        return frame.follower.call(target.obj, given) if isinstance(target, Known) else UNKNOWN
    if isinstance(obj, BuiltinFunctionType):
        known = obj.__module__ == "builtins" and obj.__self__ is builtins
        if known and obj.__name__ == "sorted" and node.args:
            return Shape(items=frame.evaluate(node.args[0]).elements())
        return PLAIN if known and obj.__name__ in _PLAIN_BUILTINS else UNKNOWN
    if isinstance(obj, MethodType) and shapes.RUNNABLE in objects.mro_names(type(obj.__self__)):
        plain_call = all(k.arg in ("input", "config") for k in node.keywords)
        if obj.__name__ in ("invoke", "ainvoke") and plain_call:
            return frame.follower.runnable(obj.__self__)
    return frame.follower.call(obj, _given(frame, node))


def _construct(frame: Activation, cls: type, node: ast.Call) -> Shape:
    names = objects.mro_names(cls)
    if shapes.COMMAND in names:
        return _command(frame, cls, node)
    if shapes.SEND in names:
        given = _given(frame, node)
        target = given.args[0] if given.args else given.kwargs.get("node", UNKNOWN)
        return Shape(send=target)
    if shapes.is_dict_class(cls):
        made = shapes.mapping(())
        for argument in node.args:
            made = made | frame.evaluate(argument).merged_keys()
        for keyword in node.keywords:
            if keyword.arg is None:
                made = made | frame.evaluate(keyword.value).merged_keys()
            else:
                made = made | shapes.mapping([keyword.arg])
        return made
    if cls in (list, tuple, set, frozenset, deque):
        inside = frame.evaluate(node.args[0]) if node.args else NOTHING
        return Shape(items=inside.elements())
    if issubclass(cls, objects.SCALARS):
        return PLAIN
    return shapes.of_instance(cls)


def _command(frame: Activation, cls: type, node: ast.Call) -> Shape:
    fields = {k.arg: k.value for k in node.keywords}
    if None in fields or node.args or f"{cls.__module__}.{cls.__qualname__}" != shapes.COMMAND:
        return Shape(command=CommandShape(UNKNOWN, UNKNOWN), leaves=True)
    update, goto, graph = (
        NOTHING if (value := fields.get(name)) is None else frame.evaluate(value)
        for name in ("update", "goto", "graph")
    )
    leaves = graph.unknown or graph.plain or shapes.PARENT in graph.texts
    if _is_parent(frame, fields.get("graph")):
        return Shape(leaves=True)
    return Shape(command=CommandShape(update, goto), leaves=leaves)


def _is_parent(frame: Activation, graph: ast.expr | None) -> bool:
    """`graph=Command.PARENT`, as it stands: a name that may also be None does not count."""
    if isinstance(graph, ast.Constant):
        return bool(graph.value == shapes.PARENT)
    target = frame.resolve(graph) if isinstance(graph, ast.Name | ast.Attribute) else None
    return isinstance(target, Known) and target.obj == shapes.PARENT
