"""Classes that the scanned code defines while it runs."""

from __future__ import annotations

import ast
from types import FunctionType
from typing import TYPE_CHECKING, Any

from langgraph_alto.source import calls, objects
from langgraph_alto.source.values import (
    NOTHING,
    Arguments,
    Atom,
    Bound,
    Fresh,
    Function,
    LocalClass,
    Real,
    Value,
    no_arguments,
)

if TYPE_CHECKING:
    from langgraph_alto.source.interpret import Frame


def define(frame: Frame, node: ast.ClassDef) -> None:
    """A `class` statement: its body runs, and its bases and decorators hear of it."""
    made = LocalClass(
        node.name,
        {n.name: Function(n, frame) for n in node.body if isinstance(n, _FUNCTIONS)},
        frozenset(n.name for n in node.body if isinstance(n, _FUNCTIONS) and _is_property(n)),
        tuple(
            n.target.id
            for n in node.body
            if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
        ),
        NOTHING.union(*map(frame.evaluate, node.bases)),
    )
    outer = frame.env
    frame.env = dict(outer)
    frame.run_block([n for n in node.body if not isinstance(n, _FUNCTIONS)])
    fields = {name: value for name, value in frame.env.items() if outer.get(name) is not value}
    frame.env = outer
    made.attributes.update(fields)
    value: Value = frozenset({made})
    for base in made.bases:
        if (hook := method(made, "__init_subclass__", skip=True)) is not None:
            frame.scanner.run_bound(Bound(base, *hook), no_arguments(), frame, node)
    for decorator in reversed(node.decorator_list):
        calls.call(frame, frame.evaluate(decorator), Arguments([value], {}), decorator)
    frame.assign_name(node.name, value, node)


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(d).endswith("property") for d in node.decorator_list)


def method(
    cls: LocalClass, name: str, *, skip: bool = False
) -> tuple[FunctionType | Function, Any] | None:
    """A method and the class in which it stands; `skip` begins behind the class itself."""
    if not skip and name in cls.methods:
        return cls.methods[name], cls
    for base in cls.bases:
        if isinstance(base, LocalClass):
            found = method(base, name)
            if found is not None:
                return found
        elif isinstance(base, Real) and isinstance(base.obj, type):
            known = objects.class_attribute(base.obj, name)
            raw = getattr(known.value, "__func__", known.value) if known is not None else None
            if known is not None and isinstance(raw, FunctionType):
                return raw, known.owner
    return None


def attribute(
    frame: Frame, cls: LocalClass, owner: Atom | None, name: str, node: ast.AST
) -> Value | None:
    """An attribute of the class, or of an object of it (`owner`); None if it has none."""
    if name in cls.attributes:
        return cls.attributes[name]
    found = method(cls, name)
    if found is None:
        return None
    function, home = found
    if owner is None:
        return frozenset({function if isinstance(function, Function) else Real(function)})
    bound = Bound(owner, function, home)
    if isinstance(home, LocalClass) and name in home.properties:
        return frame.scanner.run_bound(bound, no_arguments(), frame, node)
    return frozenset({bound})


def make(frame: Frame, cls: LocalClass, arguments: Arguments, node: ast.AST) -> Value:
    """Call the class."""
    made = Fresh(frame.block, cls=cls)
    if (init := method(cls, "__init__")) is not None:
        frame.scanner.run_bound(Bound(made, *init), arguments, frame, node)
    else:
        for name, value in zip(cls.fields, arguments.args, strict=False):
            made.put(name, value, surely=True)
        for name, value in arguments.kwargs.items():
            made.put(name, value, surely=True)
        made.mix(NOTHING.union(*arguments.args[len(cls.fields) :], arguments.star))
        made.mix(arguments.keywords)
    if (hook := method(cls, "__post_init__")) is not None:
        frame.scanner.run_bound(Bound(made, *hook), no_arguments(), frame, node)
    return frozenset({made})
