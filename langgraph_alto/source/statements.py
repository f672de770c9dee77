"""One function for each kind of statement: how it runs on atoms in a frame (see `interpret`)."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from langgraph_alto.core.effects import Place
from langgraph_alto.source import (
    attributes,
    calls,
    changes,
    elements,
    local_classes,
    objects,
    operators,
)
from langgraph_alto.source.values import (
    NOTHING,
    Arguments,
    Atom,
    Foreign,
    Fresh,
    Function,
    Real,
    Value,
    joined,
)

if TYPE_CHECKING:
    from langgraph_alto.source.interpret import Frame


def _expression(frame: Frame, node: ast.Expr) -> None:
    frame.evaluate(node.value)


def _assign(frame: Frame, node: ast.Assign) -> None:
    value = frame.evaluate(node.value)
    for target in node.targets:
        frame.assign(target, value)


def _annotated(frame: Frame, node: ast.AnnAssign) -> None:
    if node.value is not None:
        frame.assign(node.target, frame.evaluate(node.value))


def _augmented(frame: Frame, node: ast.AugAssign) -> None:
    added = frame.use(node.value)
    match node.target:
        case ast.Name():
            current = frame.load(node.target.id, node.target)
        case ast.Attribute():
            owner = frame.evaluate(node.target.value)
            current = attributes.attribute(frame, owner, node.target)
        case _:
            owner = frame.evaluate(node.target.value)
            current = elements.element(frame, owner, node.target, frame.key(node.target.slice))
    result = changes.in_place(frame, current, added, node)
    frame.assign(node.target, result)


def _delete(frame: Frame, node: ast.Delete) -> None:
    for target in node.targets:
        match target:
            case ast.Subscript():
                frame.key(target.slice)
                changes.change(frame, frame.evaluate(target.value), node, "__delitem__")
            case ast.Attribute():
                changes.set_attribute(frame, frame.evaluate(target.value), target, NOTHING)
            case ast.Name() if target.id in frame.info.globals:
                frame.assign_name(target.id, NOTHING, target)
            case _:
                pass


def _return(frame: Frame, node: ast.Return) -> None:
    if node.value is not None:
        # What a helper gives back is looked at by its caller; see Scanner.scan for a node.
        frame.returns |= frame.evaluate(node.value)
    frame.dead = True


def _raise(frame: Frame, node: ast.Raise) -> None:
    for part in (node.exc, node.cause):
        if part is not None:
            frame.scanner.raised |= frame.use(part)
    frame.dead = True


def _assert(frame: Frame, node: ast.Assert) -> None:
    frame.use(node.test)
    if node.msg is not None:
        frame.use(node.msg)


def _if(frame: Frame, node: ast.If) -> None:
    frame.use(node.test)
    with frame.scanner.guarded(frame, node):
        frame.run_ways(lambda: frame.run_block(node.body), lambda: frame.run_block(node.orelse))


def _loop(frame: Frame, node: ast.For | ast.AsyncFor | ast.While) -> None:
    def once() -> None:
        if isinstance(node, ast.While):
            frame.use(node.test)
        else:
            found = elements.element(frame, frame.evaluate(node.iter), node.iter)
            frame.assign(node.target, found)
        frame.run_block(node.body)
        exits = frame.exits[-1]
        if exits:
            frame.env = joined([*exits, frame.env]) if not frame.dead else joined(exits)
            frame.dead = False
            exits.clear()

    frame.exits.append([])
    frame.run_ways(once, lambda: None)
    frame.run_ways(once, lambda: None)
    frame.exits.pop()
    if not frame.dead:
        frame.run_ways(lambda: frame.run_block(node.orelse), lambda: None)


def _leave_loop(frame: Frame, node: ast.Break | ast.Continue) -> None:
    if frame.exits:
        frame.exits[-1].append(frame.env)
    frame.dead = True


def _try(frame: Frame, node: ast.Try) -> None:
    before = dict(frame.env)
    with frame.branch():
        frame.run_block(node.body)
        if not frame.dead:
            frame.run_block(node.orelse)
    after, ended = frame.env, frame.dead

    def handle(handler: ast.ExceptHandler) -> Callable[[], None]:
        def way() -> None:
            if handler.type is not None:
                frame.use(handler.type)
            if handler.name:
                frame.env[handler.name] = frame.scanner.raised
            frame.run_block(handler.body)

        return way

    def went_well() -> None:
        frame.env, frame.dead = after, ended

    frame.env = joined([before, after])
    frame.run_ways(*(handle(handler) for handler in node.handlers), went_well)
    if node.finalbody:
        dead, frame.dead = frame.dead, False
        frame.run_block(node.finalbody)
        frame.dead = frame.dead or dead


def _with(frame: Frame, node: ast.With | ast.AsyncWith) -> None:
    for item in node.items:
        value = frame.evaluate(item.context_expr)
        entered = operators.enter(frame, value, item.context_expr)
        if item.optional_vars is not None:
            frame.assign(item.optional_vars, entered)
    frame.run_block(node.body)


def _match(frame: Frame, node: ast.Match) -> None:
    subject = frame.use(node.subject)

    def way(case: ast.match_case) -> Callable[[], None]:
        def run() -> None:
            inside = subject | elements.element(frame, subject, node.subject)
            for pattern in ast.walk(case.pattern):
                name = getattr(pattern, "name", None) or getattr(pattern, "rest", None)
                if isinstance(name, str):
                    frame.env[name] = inside
            if case.guard is not None:
                frame.use(case.guard)
            frame.run_block(case.body)

        return run

    frame.run_ways(*(way(case) for case in node.cases), lambda: None)


def _define(frame: Frame, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    value: Value = frozenset({Function(node, frame)})
    for decorator in reversed(node.decorator_list):
        made = calls.call(frame, frame.evaluate(decorator), Arguments([value], {}), decorator)
        # A decorator of an installed package gives something that calls the function.
        value = value | frozenset(atom for atom in made if not isinstance(atom, Foreign | Fresh))
    frame.assign_name(node.name, value, node)


def _define_class(frame: Frame, node: ast.ClassDef) -> None:
    local_classes.define(frame, node)


def _import(frame: Frame, node: ast.Import) -> None:
    for alias in node.names:
        name = alias.name if alias.asname else alias.name.partition(".")[0]
        _bind_module(frame, node, alias.asname or name, sys.modules.get(name), name)


def _import_from(frame: Frame, node: ast.ImportFrom) -> None:
    name = node.module or ""
    if node.level:
        package = frame.namespace.get("__package__") or ""
        base = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
        name = f"{base}.{name}" if name else base
    module = sys.modules.get(name)
    for alias in node.names:
        bound = alias.asname or alias.name
        if module is None:
            _bind_module(frame, node, bound, None, name)
            continue
        found = objects.lookup(module, alias.name)
        if found.kind != "value":
            _bind_module(frame, node, bound, None, name)
            continue
        key = objects.attribute_key(module, alias.name)
        frame.assign_name(bound, frame.outside(found.value, key, alias.name, node), node)


def _bind_module(frame: Frame, node: ast.stmt, bound: str, module: Any, name: str) -> None:
    """An imported module; one that is not loaded yet is known by its name alone."""
    if module is None and frame.scanner.kinds.is_own_name(name, frame.namespace):
        frame.scanner.unreadable(Place(f"module {name} is not imported yet", frame.where(node)))
    atom: Atom = Foreign(name, "") if module is None else Real(module)
    frame.assign_name(bound, frozenset({atom}), node)


HANDLERS: dict[type[ast.stmt], Callable[[Frame, Any], None]] = {
    ast.Expr: _expression,
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.Delete: _delete,
    ast.Return: _return,
    ast.Raise: _raise,
    ast.Assert: _assert,
    ast.If: _if,
    ast.For: _loop,
    ast.AsyncFor: _loop,
    ast.While: _loop,
    ast.Break: _leave_loop,
    ast.Continue: _leave_loop,
    ast.Try: _try,
    ast.TryStar: _try,
    ast.With: _with,
    ast.AsyncWith: _with,
    ast.Match: _match,
    ast.FunctionDef: _define,
    ast.AsyncFunctionDef: _define,
    ast.ClassDef: _define_class,
    ast.Import: _import,
    ast.ImportFrom: _import_from,
}
"""A statement that is not listed (`pass`, `global`) does nothing here."""
