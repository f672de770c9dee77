"""The shapes of a function's names and expressions."""

from __future__ import annotations

import ast
import builtins
import sys
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from types import CellType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from langgraph_alto.source import call_shapes, shapes
from langgraph_alto.source.bindings import Binding, Bindings, Change
from langgraph_alto.source.locate import FunctionNode
from langgraph_alto.source.resolve import Known, Local, attribute
from langgraph_alto.source.shapes import ANY_MAPPING, NOTHING, PLAIN, UNKNOWN, Shape
from langgraph_alto.source.walk import names_of

if TYPE_CHECKING:
    from langgraph_alto.source.follow import Follower

MOST_ROUNDS = 12
"""How often a function's names are gone over until they stay as they are."""


class Activation:
    """One call of a function: what its names and expressions may be."""

    def __init__(
        self,
        follower: Follower,
        node: FunctionNode,
        namespace: Mapping[str, Any],
        params: dict[str, Shape],
        *,
        cells: Mapping[str, CellType] | None = None,
        outer: Activation | None = None,
        receiver: MethodType | None = None,
    ) -> None:
        self.follower = follower
        self.namespace = namespace
        self.params = params
        self.cells = cells or {}
        self.outer = outer
        self.receiver = receiver
        self.table: Bindings = names_of(node)
        self.shapes: dict[str, Shape] = {}
        self._gave_up = False
        first = [*node.args.posonlyargs, *node.args.args][:1]
        self._self = first[0].arg if first and receiver is not None and outer is None else None

    def run(self) -> Shape:
        """What the function returns; of a generator, what it yields."""
        for _ in range(MOST_ROUNDS):
            before = dict(self.shapes)
            result = self._result()
            for name in tuple(self.shapes):
                self.shapes[name] = self.shapes[name] | self._of_name(name)
            if self.shapes == before:
                return result
        self._gave_up = True
        return self._result()

    def _result(self) -> Shape:
        table = self.table
        if not table.is_generator:
            return shapes.joined(self.evaluate(e) for e in table.returns)
        found = shapes.joined(self.evaluate(e) for e in table.yields)
        return found | shapes.joined(self.evaluate(e).elements() for e in table.yields_from)

    # Names ----------------------------------------------------------------------------------

    def load(self, name: str) -> Shape | None:
        """The shape of a local name, of this function or one around it; None: not local."""
        frame: Activation | None = self
        while frame is not None:
            if name in frame.table.info.locals:
                return UNKNOWN if frame._gave_up else frame.shapes.setdefault(name, NOTHING)
            if frame.rebinds(name):
                return UNKNOWN
            frame = frame.outer
        return None

    def rebinds(self, name: str) -> bool:
        """Whether the function binds a name of the outside anew."""
        info = self.table.info
        return name in info.globals or (name in info.nonlocals and self.outer is None)

    def _of_name(self, name: str) -> Shape:
        bound = self.table.bound.get(name, ())
        if name not in self.params and not bound:
            return UNKNOWN
        found = self.params.get(name, NOTHING)
        found = found | shapes.joined(self._of_binding(binding) for binding in bound)
        for change in self.table.changes_of(name):
            found = self._changed(found, change, deep=self.table.is_shared(name))
        return found.handed_out() if self.table.is_lost(name) else found

    def _of_binding(self, binding: Binding) -> Shape:
        node = binding.node
        if binding.kind not in ("value", "element") or not isinstance(node, ast.expr):
            return UNKNOWN
        found = self.evaluate(node)
        if binding.kind == "element":
            return found.elements()
        if binding.annotation is not None and (found.unknown or found.plain):
            return self._of_literal(binding.annotation) or found
        return found

    def _of_literal(self, annotation: ast.expr) -> Shape | None:
        """`goto: Literal["a", "b"] = …`"""
        if not isinstance(annotation, ast.Subscript):
            return None
        target = self.resolve(annotation.value)
        if not isinstance(target, Known) or target.obj is not typing.Literal:
            return None
        inside = annotation.slice
        parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
        found = shapes.joined(map(self.evaluate, parts))
        return found if found.only_texts is not None else None

    def _changed(self, shape: Shape, change: Change, *, deep: bool) -> Shape:
        """The shape after a change; `deep`: another name may stand for something inside."""
        value = change.value
        if change.kind == "update" and isinstance(value, ast.Call):
            added = shapes.joined(self.evaluate(a).merged_keys() for a in value.args)
            for keyword in value.keywords:
                if keyword.arg is None:
                    added = added | self.evaluate(keyword.value).merged_keys()
                else:
                    added = added | shapes.mapping([keyword.arg])
            elements = shapes.joined(self.evaluate(a).elements() for a in value.args)
        elif change.kind == "item":
            added = self.of_key(change.key)
            elements = UNKNOWN if value is None else self.evaluate(value)
        else:
            added = NOTHING
            elements = UNKNOWN if value is None else self.evaluate(value)
            elements = elements.elements() if change.many else elements
        return shape.grown(added, elements, deep=deep)

    def of_key(self, key: ast.expr | None) -> Shape:
        """A mapping with just that key."""
        if key is None:
            return ANY_MAPPING
        if isinstance(key, ast.Constant) and not isinstance(key.value, str):
            return NOTHING  # no key of a state
        found = self.evaluate(key)
        if found == NOTHING:  # a name that nothing was found for yet, in this round
            return NOTHING
        known = found.only_texts
        return ANY_MAPPING if known is None else shapes.mapping(known)

    # What stands behind a name --------------------------------------------------------------

    def resolve(self, node: ast.expr) -> Known | Local | None:
        """The object or local function that an expression stands for; None: not known."""
        match node:
            case ast.Name():
                return self._resolve_name(node.id)
            case ast.Attribute():
                owner = self.resolve(node.value)
                return attribute(owner.obj, node.attr) if isinstance(owner, Known) else None
            case ast.Subscript():  # Command[Literal["a"]](…)
                owner = self.resolve(node.value)
                known = isinstance(owner, Known) and isinstance(owner.obj, type)
                return owner if known else None
            case _:
                return None

    def _resolve_name(self, name: str) -> Known | Local | None:
        frame: Activation | None = self
        while frame is not None:
            if name in frame.table.info.locals:
                return frame._resolve_local(name)
            if frame.rebinds(name):
                return None
            frame = frame.outer
        if name in self.cells:
            try:
                return Known(self.cells[name].cell_contents)
            except ValueError:
                return None
        if name in self.namespace:
            return Known(self.namespace[name])
        return Known(getattr(builtins, name)) if hasattr(builtins, name) else None

    def _resolve_local(self, name: str) -> Known | Local | None:
        """What a local name stands for that is bound once, by a definition or an import."""
        bound = self.table.bound.get(name, [])
        if name == self._self and not bound and self.receiver is not None:
            return Known(self.receiver.__self__)
        if len(bound) != 1 or name in self.params or bound[0].kind not in ("define", "value"):
            return None
        match bound[0].node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda() as node:
                return Local(node, self)
            case ast.Import() | ast.ImportFrom() as node:
                return _imported(node)
            case _:
                return None

    # Expressions ----------------------------------------------------------------------------

    def evaluate(self, node: ast.expr) -> Shape:
        """What an expression may be."""
        handler = _EXPRESSIONS.get(type(node))
        return UNKNOWN if handler is None else handler(self, node)


def _imported(node: ast.Import | ast.ImportFrom) -> Known | None:
    """What `import` inside a function binds, if the module is loaded already."""
    alias = node.names[0]
    if isinstance(node, ast.ImportFrom):
        module = sys.modules.get(node.module or "") if node.level == 0 else None
        return None if module is None else attribute(module, alias.name)
    full = alias.name if alias.asname else alias.name.partition(".")[0]
    module = sys.modules.get(full)
    return None if module is None else Known(module)


def _constant(frame: Activation, node: ast.Constant) -> Shape:
    if node.value is None:
        return NOTHING
    return shapes.text(node.value) if isinstance(node.value, str) else PLAIN


def _name(frame: Activation, node: ast.Name) -> Shape:
    found = frame.load(node.id)
    if found is not None:
        return found
    target = frame.resolve(node)
    return shapes.of_object(target.obj) if isinstance(target, Known) else UNKNOWN


def _attribute_value(frame: Activation, node: ast.Attribute) -> Shape:
    """A constant of a module or class; what stands in an instance may change."""
    owner = frame.resolve(node.value)
    if not isinstance(owner, Known) or not isinstance(owner.obj, type | ModuleType | Enum):
        return UNKNOWN
    target = attribute(owner.obj, node.attr)
    return UNKNOWN if target is None else shapes.of_object(target.obj)


def _dict(frame: Activation, node: ast.Dict) -> Shape:
    found = shapes.mapping(())
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            found = found | frame.evaluate(value).merged_keys()
        else:
            found = found | frame.of_key(key)
    return found


def _dict_comprehension(frame: Activation, node: ast.DictComp) -> Shape:
    return shapes.mapping(()) | frame.of_key(node.key)


def _sequence(frame: Activation, node: ast.List | ast.Tuple | ast.Set) -> Shape:
    return Shape(
        items=shapes.joined(
            frame.evaluate(e.value).elements() if isinstance(e, ast.Starred) else frame.evaluate(e)
            for e in node.elts
        )
    )


def _comprehension(frame: Activation, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> Shape:
    return Shape(items=frame.evaluate(node.elt))


def _conditional(frame: Activation, node: ast.IfExp) -> Shape:
    return frame.evaluate(node.body) | frame.evaluate(node.orelse)


def _either(frame: Activation, node: ast.BoolOp) -> Shape:
    return shapes.joined(map(frame.evaluate, node.values))


def _inner(frame: Activation, node: ast.Await | ast.NamedExpr) -> Shape:
    return frame.evaluate(node.value)


def _plain(frame: Activation, node: ast.expr) -> Shape:
    return PLAIN


def _binary(frame: Activation, node: ast.BinOp) -> Shape:
    left, right = frame.evaluate(node.left), frame.evaluate(node.right)
    both = left | right
    if isinstance(node.op, ast.BitOr | ast.Add) and both.is_mapping:
        only = Shape(keys=both.keys, any_keys=both.any_keys) == both
        return left.merged_keys() | right.merged_keys() if only else _mixed(node)
    if isinstance(node.op, ast.Add) and both.items is not None:
        return both if both == Shape(items=both.items) else UNKNOWN
    if both == Shape(plain=both.plain, texts=both.texts):
        return NOTHING if both == NOTHING else PLAIN
    return UNKNOWN


def _mixed(node: ast.BinOp) -> Shape:
    """`x | {…}`: whatever x is, a mapping, if it isn't an error."""
    return ANY_MAPPING if isinstance(node.op, ast.BitOr) else UNKNOWN


def _subscript(frame: Activation, node: ast.Subscript) -> Shape:
    if isinstance(node.value, ast.Dict) and None not in node.value.keys:
        return shapes.joined(map(frame.evaluate, node.value.values))  # {"a": …}[key]
    owner = frame.evaluate(node.value)
    if owner == NOTHING:
        return NOTHING
    if owner.items is None or owner != Shape(items=owner.items):
        return UNKNOWN
    return owner if isinstance(node.slice, ast.Slice) else owner.items


_EXPRESSIONS: dict[type[ast.expr], Callable[[Activation, Any], Shape]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute_value,
    ast.Dict: _dict,
    ast.DictComp: _dict_comprehension,
    ast.List: _sequence,
    ast.Tuple: _sequence,
    ast.Set: _sequence,
    ast.ListComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.IfExp: _conditional,
    ast.BoolOp: _either,
    ast.Await: _inner,
    ast.NamedExpr: _inner,
    ast.JoinedStr: _plain,
    ast.Compare: _plain,
    ast.UnaryOp: _plain,
    ast.BinOp: _binary,
    ast.Subscript: _subscript,
    ast.Call: call_shapes.call,
}
