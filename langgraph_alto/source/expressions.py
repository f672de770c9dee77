"""One function for each kind of expression: what it may stand for in a frame (see `interpret`)."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from langgraph_alto.source import attributes, calls, elements, operators
from langgraph_alto.source.values import NOTHING, Fresh, Function, Input, Value

if TYPE_CHECKING:
    from langgraph_alto.source.interpret import Frame


def _name(frame: Frame, node: ast.Name) -> Value:
    return frame.load(node.id, node)


def _attribute(frame: Frame, node: ast.Attribute) -> Value:
    return attributes.attribute(frame, frame.evaluate(node.value), node)


def _subscript(frame: Frame, node: ast.Subscript) -> Value:
    owner = frame.evaluate(node.value)
    if isinstance(node.slice, ast.Slice):
        for part in (node.slice.lower, node.slice.upper, node.slice.step):
            if part is not None:
                frame.use(part)
        inside = elements.element(frame, owner, node)
        return frame.fresh(inside) if inside else NOTHING
    key = frame.key(node.slice)
    return elements.element(frame, owner, node, key) if owner else NOTHING


def _dict(frame: Frame, node: ast.Dict) -> Value:
    made = Fresh(frame.block)
    for key, item in zip(node.keys, node.values, strict=True):
        if key is None:
            spread = frame.use(item)
            made.mix(elements.element(frame, spread, item))
            elements.copy_fields(made, spread)
        else:
            constant = frame.key(key)
            value = frame.evaluate(item)
            _look_at_input(frame, value, item)
            if constant is elements.ANY_KEY:
                made.mix(value)
            else:
                made.put(constant, value, surely=True)
    return frozenset({made})


def _look_at_input(frame: Frame, value: Value, node: ast.expr) -> None:
    """The whole input stored in something else: it is no longer told by its keys."""
    if any(isinstance(atom, Input) and atom.top for atom in value):
        frame.scanner.look(value, frame, node)


def _sequence(frame: Frame, node: ast.List | ast.Tuple | ast.Set) -> Value:
    made = Fresh(frame.block)
    for index, item in enumerate(node.elts):
        if isinstance(item, ast.Starred):
            made.mix(elements.element(frame, frame.use(item.value), item))
            continue
        value = frame.evaluate(item)
        _look_at_input(frame, value, item)
        if isinstance(node, ast.Set) or made.elements:
            made.mix(value)
        else:
            made.put(index, value, surely=True)
    return frozenset({made})


def _comprehension(frame: Frame, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> Value:
    _generators(frame, node.generators)
    return frame.fresh(frame.evaluate(node.elt))


def _dict_comprehension(frame: Frame, node: ast.DictComp) -> Value:
    _generators(frame, node.generators)
    frame.use(node.key)
    return frame.fresh(frame.evaluate(node.value))


def _generators(frame: Frame, generators: list[ast.comprehension]) -> None:
    for generator in generators:
        source = frame.evaluate(generator.iter)
        frame.assign(generator.target, elements.element(frame, source, generator.iter))
        for condition in generator.ifs:
            frame.use(condition)


def _binary(frame: Frame, node: ast.BinOp) -> Value:
    left, right = frame.use(node.left), frame.use(node.right)
    if not left and not right:
        return NOTHING
    return operators.operate(frame, left, right, node)


def _either(frame: Frame, node: ast.BoolOp) -> Value:
    found = [frame.evaluate(part) for part in node.values]
    for value, part in zip(found, node.values, strict=True):
        frame.scanner.look_shallow(value, frame, part)
    return NOTHING.union(*found)


def _conditional(frame: Frame, node: ast.IfExp) -> Value:
    frame.use(node.test)
    return frame.evaluate(node.body) | frame.evaluate(node.orelse)


def _compare(frame: Frame, node: ast.Compare) -> Value:
    left = frame.evaluate(node.left)
    for operator, right in zip(node.ops, node.comparators, strict=True):
        value = frame.evaluate(right)
        if isinstance(operator, ast.In | ast.NotIn):
            elements.contains(frame, value, node.left, right)
        elif not isinstance(operator, ast.Is | ast.IsNot):
            frame.scanner.look(value, frame, right)
    if not all(isinstance(operator, ast.Is | ast.IsNot) for operator in node.ops):
        frame.scanner.look(left, frame, node.left)
    return NOTHING


def _unary(frame: Frame, node: ast.UnaryOp) -> Value:
    frame.use(node.operand)
    return NOTHING


def _used_parts(frame: Frame, node: ast.expr) -> Value:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            frame.use(child)
    return NOTHING


def _inner(frame: Frame, node: ast.Await | ast.Starred) -> Value:
    return frame.evaluate(node.value)


def _yield(frame: Frame, node: ast.Yield) -> Value:
    frame.yields = frame.yields or NOTHING
    if node.value is not None:
        frame.yields |= frame.evaluate(node.value)
    return NOTHING


def _yield_from(frame: Frame, node: ast.YieldFrom) -> Value:
    frame.yields = frame.yields or NOTHING
    frame.yields |= elements.element(frame, frame.use(node.value), node)
    return NOTHING


def _lambda(frame: Frame, node: ast.Lambda) -> Value:
    return frozenset({Function(node, frame)})


def _walrus(frame: Frame, node: ast.NamedExpr) -> Value:
    value = frame.evaluate(node.value)
    frame.assign(node.target, value)
    return value


def _call(frame: Frame, node: ast.Call) -> Value:
    return calls.visit(frame, node)


HANDLERS: dict[type[ast.expr], Callable[[Frame, Any], Value]] = {
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.Call: _call,
    ast.Dict: _dict,
    ast.List: _sequence,
    ast.Tuple: _sequence,
    ast.Set: _sequence,
    ast.ListComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.DictComp: _dict_comprehension,
    ast.BinOp: _binary,
    ast.BoolOp: _either,
    ast.IfExp: _conditional,
    ast.Compare: _compare,
    ast.UnaryOp: _unary,
    ast.JoinedStr: _used_parts,
    ast.FormattedValue: _used_parts,
    ast.Await: _inner,
    ast.Starred: _inner,
    ast.Yield: _yield,
    ast.YieldFrom: _yield_from,
    ast.Lambda: _lambda,
    ast.NamedExpr: _walrus,
}
"""An expression that is not listed (a constant) holds nothing of interest."""
