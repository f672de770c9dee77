"""One activation of a function, run on atoms: its names, its ways through the code, its result.

What each kind of syntax does stands in `statements` and `expressions`. Branches are run
both ways and joined, loops twice, so that what one pass stores the next one sees. Nothing of the
app is executed.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Hashable, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from langgraph_alto.core.effects import Place
from langgraph_alto.source import changes, elements, expressions, objects, statements
from langgraph_alto.source.locate import FunctionInfo, place
from langgraph_alto.source.values import (
    NOTHING,
    PREVIOUS,
    STORE,
    Atom,
    Env,
    Fresh,
    Part,
    Real,
    Value,
    joined,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CellType

    from langgraph_alto.source.scan import Scanner


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
            handler = statements.HANDLERS.get(type(statement))
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
        handler = expressions.HANDLERS.get(type(node))
        return NOTHING if handler is None else handler(self, node)

    def fresh(self, elements: Value = NOTHING, cls: Any = None) -> Value:
        """An object made here."""
        return frozenset({Fresh(self.block, elements, cls)})
