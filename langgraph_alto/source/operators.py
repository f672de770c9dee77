"""What an operator between two values gives, and what `with` binds."""

from __future__ import annotations

import ast
from types import ModuleType
from typing import TYPE_CHECKING

from langgraph_alto.source import elements, implicit, objects
from langgraph_alto.source.values import NOTHING, Arguments, Atom, Foreign, Fresh, Real, Value

if TYPE_CHECKING:
    from langgraph_alto.source.interpret import Frame

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


def operate(frame: Frame, left: Value, right: Value, node: ast.BinOp) -> Value:
    """`left <operator> right`."""
    scanner = frame.scanner
    if any(scanner.kinds.is_runnable(atom) for atom in left | right):
        # prompt | model | f: what is composed runs when the chain is invoked.
        chain = Fresh(cls="chain")
        for index, part in enumerate(part for part in (left, right) if part):
            chain.put(index, part, surely=True)
        return frozenset({chain})
    for atom in left | right:
        for method in _OPERATORS.get(type(node.op), ()):
            if (bound := implicit.own_method(frame, atom, method)) is not None:
                return scanner.run_bound(bound, Arguments([right], {}), frame, node)
    # `path / "name"` gives one more path; nobody else has it yet.
    made = frozenset(a for a in (_result(frame, atom) for atom in left | right) if a is not None)
    inside = elements.element(frame, left, node) | elements.element(frame, right, node)
    inside = frozenset(atom for atom in inside if not isinstance(atom, Foreign))
    return made | frame.fresh(inside) if inside else made


def _result(frame: Frame, atom: Atom) -> Atom | None:
    """An object of an installed class under an operator gives one of that class."""
    if isinstance(atom, Foreign):
        return atom
    if not isinstance(atom, Real) or isinstance(atom.obj, type | ModuleType):
        return None
    if objects.is_scalar(atom.obj) or frame.scanner.kinds.is_shared(atom.obj):
        return None
    cls = type(atom.obj)
    return Foreign(cls.__module__, cls.__qualname__)


def enter(frame: Frame, value: Value, node: ast.AST) -> Value:
    """`with value as …`: what is bound."""
    found: Value = NOTHING
    for atom in value:
        entered = False
        for name in ("__enter__", "__aenter__", "__exit__", "__aexit__"):
            if (method := implicit.own_method(frame, atom, name)) is None:
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
