"""One activation of a function: its statements and expressions, run on atoms.

Branches are run both ways and joined, loops twice, so that what one pass stores the next one
sees. Nothing of the app is executed.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Callable, Hashable, Iterable
from contextlib import contextmanager
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
from langgraph_alto.source.locate import FunctionInfo, place
from langgraph_alto.source.values import (
    NOTHING,
    PREVIOUS,
    STORE,
    Arguments,
    Atom,
    Foreign,
    Fresh,
    Function,
    Input,
    Part,
    Real,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CellType

    from langgraph_alto.source.scan import Scanner

Env = dict[str, Value]


class Frame:
    """A function being scanned: its names, where it is, and what it may return."""

    def __init__(
        self,
        scanner: Scanner,
        info: FunctionInfo,
        filename: str,
        namespace: dict[str, Any],
        *,
        cells: dict[str, CellType] | None = None,
        outer: Frame | None = None,
        receiver: Atom | None = None,
        cls: Any = None,
    ) -> None:
        self.scanner = scanner
        self.info = info
        self.filename = filename
        self.namespace = namespace
        self.cells = cells or {}
        self.outer = outer
        self.receiver = receiver
        """The first argument of a method: what `super()` stands on."""
        self.cls = cls
        self.env: Env = {}
        self.returns: Value = NOTHING
        self.yields: Value | None = None
        self.block: tuple[object, ...] = (object(),)
        self.dead = False
        self.exits: list[list[Env]] = []

    # Places ---------------------------------------------------------------------------------

    def where(self, node: ast.AST) -> str:
        """`file.py:12` of a piece of syntax."""
        return place(self.filename, getattr(node, "lineno", 0))

    def place(self, node: ast.AST, what: str | None = None) -> Place:
        """A piece of syntax as it is shown to users."""
        return Place(what or self.text(node), self.where(node))

    def text(self, node: ast.AST) -> str:
        """The source of a piece of syntax, shortened."""
        text = " ".join(ast.unparse(node).split())
        return text if len(text) <= 60 else f"{text[:57]}..."

    # Running --------------------------------------------------------------------------------

    def run(self) -> Value:
        """The function's result, with everything found on the way noted by the scanner."""
        node = self.info.node
        if isinstance(node, ast.Lambda):
            return self.evaluate(node.body)
        self.run_block(node.body)
        if self.yields is not None:
            return frozenset({Fresh(None, self.yields)})
        return self.returns

    def run_block(self, body: Iterable[ast.stmt]) -> None:
        """Statements one after the other, up to one that leaves."""
        for statement in body:
            if self.dead:
                return
            handler = _STATEMENTS.get(type(statement))
            if handler is not None:
                handler(self, statement)

    @contextmanager
    def branch(self) -> Iterator[None]:
        """A part that may or may not run: what it stores does not surely replace."""
        before = self.block
        self.block = (*before, object())
        try:
            yield
        finally:
            self.block = before

    def run_ways(self, *ways: Callable[[], None]) -> None:
        """Several ways to go on from here, then joined."""
        before = self.env
        ends: list[Env] = []
        for way in ways:
            self.env, self.dead = dict(before), False
            with self.branch():
                way()
            if not self.dead:
                ends.append(self.env)
        self.dead = not ends
        self.env = joined(ends) if ends else before

    # Names ----------------------------------------------------------------------------------

    def load(self, name: str, node: ast.AST) -> Value:
        """What a name stands for."""
        frame: Frame | None = self
        while frame is not None:
            if name in frame.env:
                return self.injected(frame.env[name], node)
            if name in frame.info.locals:
                return NOTHING
            frame = frame.outer
        if name in self.cells:
            cell = self.cells[name]
            key: Hashable = ("cell", id(cell))
            try:
                content = cell.cell_contents
            except ValueError:
                return NOTHING
            return self.outside(content, key, name, node)
        if name in self.namespace:
            return self.outside(
                self.namespace[name], objects.global_key(self.namespace, name), name, node
            )
        found = getattr(builtins, name, None)
        return NOTHING if found is None else frozenset({Real(found)})

    def outside(self, obj: Any, key: Hashable, name: str, node: ast.AST) -> Value:
        """An object that a name outside the function stands for."""
        if key not in self.scanner.findings.reads:
            self.scanner.findings.reads[key] = self.place(node, name)
        later = self.scanner.rebound.get(key, NOTHING)
        if obj is None:  # a name that waits to be set
            return later or frozenset({Part(key)})
        if objects.is_scalar(obj):
            return later
        if isinstance(obj, tuple) and all(map(objects.is_scalar, obj)):
            return later
        return later | {Real(obj)}

    def injected(self, value: Value, node: ast.AST) -> Value:
        """Note the use of what LangGraph injects and what holds a node."""
        for atom in value:
            if atom is STORE or atom is PREVIOUS:
                self.scanner.hold(atom.kind, self.place(node))
        return value

    def assign_name(self, name: str, value: Value, node: ast.AST) -> None:
        """Bind a name, wherever it belongs."""
        if name in self.info.globals:
            self._rebind(objects.global_key(self.namespace, name), name, value, node)
            return
        if name in self.info.nonlocals:
            frame = self.outer
            while frame is not None:
                if name in frame.info.locals:
                    frame.env[name] = frame.env.get(name, NOTHING) | value
                    return
                frame = frame.outer
            if name in self.cells:
                self._rebind(("cell", id(self.cells[name])), name, value, node)
            return
        self.env[name] = value

    def _rebind(self, key: Hashable, name: str, value: Value, node: ast.AST) -> None:
        """A name outside the function is bound anew."""
        self.scanner.rebound[key] = self.scanner.rebound.get(key, NOTHING) | frozenset(
            Part(key, None, atom.cls) if isinstance(atom, Fresh) else atom for atom in value
        )
        if not self.scanner.is_lazy(name, value):
            self.scanner.change_key(key, self.place(node, f"{name} = …"))

    # Assignments ----------------------------------------------------------------------------

    def assign(self, target: ast.expr, value: Value) -> None:
        """Bind what stands on the left of `=`."""
        match target:
            case ast.Name():
                self.assign_name(target.id, value, target)
            case ast.Tuple() | ast.List():
                self._unpack(target, value)
            case ast.Starred():
                inside = elements.element(self, value, target)
                self.assign(target.value, frozenset({Fresh(self.block, inside)}))
            case ast.Attribute():
                changes.set_attribute(self, self.evaluate(target.value), target, value)
            case ast.Subscript():
                owner = self.evaluate(target.value)
                key = self.key(target.slice)
                changes.set_element(self, owner, target, key, value)
            case _:
                pass

    def _unpack(self, target: ast.Tuple | ast.List, value: Value) -> None:
        starred = any(isinstance(part, ast.Starred) for part in target.elts)
        for index, part in enumerate(target.elts):
            key: Any = elements.ANY_KEY if starred else index
            if isinstance(part, ast.Starred):
                self.assign(part, value)
            else:
                self.assign(part, elements.element(self, value, target, key))

    def key(self, node: ast.expr) -> Any:
        """A subscript's key where it is a constant, `ANY_KEY` elsewhere."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name) and node.id == "__name__":
            return self.namespace.get("__name__", elements.ANY_KEY)
        if (
            isinstance(node, ast.UnaryOp)
            and isinstance(node.op, ast.USub)
            and isinstance(node.operand, ast.Constant)
            and isinstance(node.operand.value, int)
        ):
            return -node.operand.value
        self.use(node)
        return elements.ANY_KEY

    # Expressions ----------------------------------------------------------------------------

    def use(self, node: ast.expr) -> Value:
        """Evaluate an expression whose value is looked at here, or leaves the scan's sight."""
        value = self.evaluate(node)
        if value:
            self.scanner.look(value, self, node)
        return value

    def evaluate(self, node: ast.expr) -> Value:
        """What an expression may stand for."""
        handler = _EXPRESSIONS.get(type(node))
        return NOTHING if handler is None else handler(self, node)

    def fresh(self, elements: Value = NOTHING, cls: Any = None) -> Value:
        """An object made here."""
        return frozenset({Fresh(self.block, elements, cls)})


def joined(envs: list[Env]) -> Env:
    """The names after several ways to get here."""
    result = dict(envs[0])
    for env in envs[1:]:
        for name, value in env.items():
            known = result.get(name)
            result[name] = value if known is None else known | value
    return result


# Statements ---------------------------------------------------------------------------------


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
    if module is None and frame.scanner.is_own_name(name, frame.namespace):
        frame.scanner.unreadable(Place(f"module {name} is not imported yet", frame.where(node)))
    atom: Atom = Foreign(name, "") if module is None else Real(module)
    frame.assign_name(bound, frozenset({atom}), node)


_STATEMENTS: dict[type[ast.stmt], Callable[[Frame, Any], None]] = {
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


# Expressions --------------------------------------------------------------------------------


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


_EXPRESSIONS: dict[type[ast.expr], Callable[[Frame, Any], Value]] = {
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
