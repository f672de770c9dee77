"""Python's builtin functions, as far as they give back or change what they get."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from langgraph_alto.core.effects import Place
from langgraph_alto.source import attributes, changes, elements, foreign, implicit, unread
from langgraph_alto.source.values import NOTHING, Arguments, Fresh, Method, Real, Value

if TYPE_CHECKING:
    from langgraph_alto.source.interpret import Frame

Handler = Callable[["Frame", Arguments, ast.AST], Value]


def call(frame: Frame, name: str, arguments: Arguments, node: ast.AST) -> Value:
    """Call a builtin function."""
    handler = _HANDLERS.get(name)
    if handler is not None:
        return handler(frame, arguments, node)
    foreign.look_at_arguments(frame, arguments, node)
    return NOTHING


def _elements(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    """`sorted`, `max` and the like: the elements, in another order or one of them."""
    inside = NOTHING
    for value in (*arguments.args, arguments.star):
        inside |= elements.element(frame, value, node)
    foreign.call_callables(frame, Arguments([inside, *arguments.kwargs.values()], {}), node)
    return inside


def _sorted(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    return frame.fresh(_elements(frame, arguments, node))


def _extreme(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    inside = _elements(frame, arguments, node)
    return inside.union(*arguments.args) if len(arguments.args) > 1 else inside


def _next(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    first = arguments.first()
    changes.change(frame, first, node, "__next__")
    return elements.element(frame, first, node).union(*arguments.args[1:])


def _getattr(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    name = _constant_name(node)
    owner = arguments.first()
    if name is None:
        # Any attribute may be meant: everything inside is looked at, and given out.
        frame.scanner.look(owner, frame, node)
        found = elements.element(frame, owner, node) | owner
        frame.scanner.unproven(frame.place(node))
        methods = [implicit.any_method(frame, atom) for atom in owner]
        # If it is called, it may be the method that changes the most.
        methods.append(frozenset(Method(atom, "__setitem__") for atom in owner))
        return found.union(*arguments.args[2:], *methods)
    found = NOTHING
    for atom in owner:
        found |= attributes.attribute_of(frame, atom, name, node)
    return found.union(*arguments.args[2:])


def _setattr(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    name = _constant_name(node)
    value = arguments.args[2] if len(arguments.args) > 2 else NOTHING
    if name is None:
        for atom in arguments.first():
            if isinstance(atom, Real):
                # Which attribute is not known: all of them, and the object as a whole.
                for key in frame.scanner.reached(atom.obj):
                    frame.scanner.change_key(key, frame.place(node))
            elif isinstance(atom, Fresh):
                atom.mix(value)
        rest = frozenset(a for a in arguments.first() if not isinstance(a, Real | Fresh))
        changes.change(frame, rest, node, "__setattr__")
        return NOTHING
    target = ast.Attribute(ast.Name("object", ast.Load()), name, ast.Store())
    ast.copy_location(target, node)
    changes.set_attribute(frame, arguments.first(), target, value)
    return NOTHING


def _hasattr(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    _getattr(frame, arguments, node)
    return NOTHING


def _constant_name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call) and len(node.args) > 1:
        second = node.args[1]
        if isinstance(second, ast.Constant) and isinstance(second.value, str):
            return second.value
    return None


def _unreadable(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    foreign.look_at_arguments(frame, arguments, node)
    frame.scanner.unreadable(frame.place(node))
    return NOTHING


def _executed(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    """`exec` and `eval`: the text reaches the names that it is given, else all of the module."""
    _unreadable(frame, arguments, node)
    foreign.hand_to_unread(frame, arguments, node)
    if len(arguments.args) < 2:
        names = Arguments(list(frame.env.values()), {})
        foreign.look_at_arguments(frame, names, node)
        foreign.hand_to_unread(frame, names, node)
        unread.text(frame.scanner, frame.namespace, frame.cells, frame.place(node))
    return NOTHING


def _print(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    foreign.look_at_arguments(frame, arguments, node)
    if "file" in arguments.kwargs and not _is_standard(node):
        frame.scanner.outward(frame.place(node))
    frame.scanner.unproven(Place("prints", frame.where(node)))
    return NOTHING


def _is_standard(node: ast.AST) -> bool:
    """Whether a `print` goes to `sys.stderr` or `sys.stdout`."""
    files = (
        [k.value for k in node.keywords if k.arg == "file"] if isinstance(node, ast.Call) else []
    )
    return all(ast.unparse(file).endswith(("stderr", "stdout")) for file in files)


def _open(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    return foreign.call(frame, "builtins", "open", arguments, node)


def _input(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    return foreign.call(frame, "builtins", "input", arguments, node)


def _vars(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    found = NOTHING
    for atom in arguments.first():
        found |= attributes.attribute_of(frame, atom, "__dict__", node)
    return found


def _globals(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    # Names that are made up when the code runs can't be told apart.
    frame.scanner.unreadable(frame.place(node))
    unread.text(frame.scanner, frame.namespace, {}, frame.place(node))
    return NOTHING


def _locals(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    inside = NOTHING.union(*frame.env.values())
    frame.scanner.look(inside, frame, node)
    return frame.fresh(inside)


def _iter(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    return frame.fresh(elements.element(frame, arguments.first(), node))


def _type(frame: Frame, arguments: Arguments, node: ast.AST) -> Value:
    found = NOTHING
    for atom in arguments.first():
        if isinstance(atom, Real) and not isinstance(atom.obj, type):
            found |= {Real(type(atom.obj))}
        elif isinstance(atom, Fresh) and isinstance(atom.cls, type):
            found |= {Real(atom.cls)}
    return found


_HANDLERS: dict[str, Handler] = {
    "sorted": _sorted,
    "min": _extreme,
    "max": _extreme,
    "next": _next,
    "anext": _next,
    "iter": _iter,
    "aiter": _iter,
    "getattr": _getattr,
    "hasattr": _hasattr,
    "setattr": _setattr,
    "delattr": _setattr,
    "exec": _executed,
    "eval": _executed,
    "compile": _unreadable,
    "__import__": _unreadable,
    "print": _print,
    "open": _open,
    "input": _input,
    "vars": _vars,
    "globals": _globals,
    "locals": _locals,
    "type": _type,
}
