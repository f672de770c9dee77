"""Scans a node: what its function, its helpers and its tools reach and what they do with it.

`Scanner` serves one graph. It follows the app's own functions `MOST_DEEP` calls deep, each at
most twice on one path (so recursion ends), and remembers what a function did for the same kind
of arguments. A scan never raises: what goes wrong is noted as code that can't be read.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from langgraph_alto.core.effects import NodeFacts, Place
from langgraph_alto.source import foreign, implicit, objects, parameters, runnables, unread
from langgraph_alto.source.findings import Findings
from langgraph_alto.source.interpret import Frame
from langgraph_alto.source.kinds import Kinds
from langgraph_alto.source.locate import (
    FunctionNode,
    SourceGone,
    function_info,
    function_node,
    is_stdlib,
    place,
)
from langgraph_alto.source.values import (
    CONFIG,
    CONTEXT,
    NOTHING,
    Arguments,
    Atom,
    Bound,
    Foreign,
    Fresh,
    Function,
    Input,
    Part,
    Real,
    Special,
    Value,
)

MOST_DEEP = 12
"""How many calls of the app's own functions are followed into one another."""

MOST_CALLS = 4000
"""How many calls of the app's own functions are followed for one node."""

_NO_ARGUMENTS = ast.arguments([], [], None, [], [], None, [])

Declaration = Mapping[str, Any]
Memo = tuple[Findings, Value]


def _undeclared(*_: object) -> Declaration:
    return {}


class _Site(Frame):
    """Where no source line stands: the graph itself."""

    def where(self, node: ast.AST) -> str:
        return ""

    def text(self, node: ast.AST) -> str:
        return self.filename


class Scanner:
    """Scans the nodes of one graph.

    Args:
        packages: Installed top-level packages that are the app itself.
        tool_declaration: What is declared of a tool, by its name and the tool.
        node_declaration: What is declared of a node of a subgraph, by its path and the node.
    """

    def __init__(
        self,
        packages: Collection[str] = (),
        tool_declaration: Callable[[str, Any], Declaration] = _undeclared,
        node_declaration: Callable[[tuple[str, ...], Any], Declaration] = _undeclared,
    ) -> None:
        self.kinds = Kinds(packages)
        self.tool_declaration = tool_declaration
        self.node_declaration = node_declaration
        self.findings = Findings()
        self.path: list[str] = []
        self.rebound: dict[Hashable, Value] = {}
        self.raised: Value = NOTHING
        """Errors that the scanned code makes itself, and what they carry."""
        self._stack: list[FunctionNode] = []
        self._running: list[int] = []
        self._lazy: list[frozenset[str]] = []
        self._muted = 0
        self._calls = 0
        self._memo: dict[Hashable, Memo] = {}
        self._reached: dict[int, frozenset[Hashable]] = {}

    # Entry points ---------------------------------------------------------------------------

    def scan(self, name: str, root: Callable[[Frame, ast.AST], Value]) -> Findings:
        """Everything that `root` finds; an error in the scan itself is a finding too."""
        node = ast.Constant(None)
        info = function_info(ast.Lambda(_NO_ARGUMENTS, node))
        site = _Site(self, info, name, {})
        self.findings = Findings()
        self._calls = 0
        try:
            self._finish(root(site, node), site, node)
        except Exception as error:
            what = f"the scan failed: {type(error).__name__}: {error}"
            self.findings.unreadable[Place(what, name)] = None
            self._stack.clear()
            self._running.clear()
            self._lazy.clear()
            self._muted = 0
        return self.findings

    def scan_node(
        self, name: str, bound: Any, *, whole: bool = True, path: list[str] | None = None
    ) -> Findings:
        """What a node's Runnable does with its input; `whole`: the input is a state of keys."""
        self.path = path or [name]
        value: Value = frozenset({Input(top=whole)})
        return self.scan(name, lambda site, node: runnables.run(site, bound, value, node))

    def scan_reducer(self, name: str, channel: Any) -> NodeFacts:
        """What the reducer of a channel does, as a party that shares objects with nodes."""

        def root(site: Frame, node: ast.AST) -> Value:
            runnables.run_reducer(site, channel, node)
            return NOTHING

        return self.scan(name, root).facts()

    def _finish(self, value: Value, site: Frame, node: ast.AST) -> None:
        """What a node returns goes into the state."""
        self.look(value, site, node)
        seen: set[int] = set()
        queue = list(value)
        while queue:
            atom = queue.pop()
            if isinstance(atom, Fresh) and id(atom) not in seen:
                seen.add(id(atom))
                queue.extend(atom.content())
            elif isinstance(atom, Real) and self.kinds.is_shared(atom.obj):
                self.findings.escapes |= self.reached(atom.obj)
            elif isinstance(atom, Part):
                self.findings.escapes.add(atom.key)

    # What is noted --------------------------------------------------------------------------

    def hold(self, reason: str, where: Place) -> None:
        """Something that holds the node by itself."""
        self.findings.holds[(reason, where)] = None

    def outward(self, where: Place) -> None:
        """Something outside is changed."""
        if not self._muted:
            self.findings.outward_writes[where] = None

    def outside(self, where: Place) -> None:
        """Something outside is read."""
        if not self._muted:
            self.findings.outside_reads[where] = None

    def unproven(self, where: Place) -> None:
        """Something that is no pure computation, and harmless."""
        self.findings.unproven[where] = None

    def unreadable(self, where: Place) -> None:
        """Code of the app that can't be read."""
        if not self._muted:
            self.findings.unreadable[where] = None

    def interrupts(self, where: Place) -> None:
        """`interrupt()` may be called."""
        self.findings.interrupts[where] = None

    def identity(self, where: Place) -> None:
        """The real task's id is needed."""
        self.findings.identity[where] = None

    def change_key(self, key: Hashable, where: Place) -> None:
        """Something that others can reach may change."""
        self.findings.changes.setdefault(key, where)

    def read_key(self, key: Hashable, frame: Frame, node: ast.AST) -> None:
        """Something that others can reach is looked at."""
        if key not in self.findings.reads:
            self.findings.reads[key] = frame.place(node)

    def look(  # noqa: PLR0912 - one per kind
        self,
        value: Value,
        frame: Frame,
        node: ast.AST,
        seen: set[int] | None = None,
    ) -> None:
        """A value is looked at with everything inside it."""
        for atom in value:
            match atom:
                case Input():
                    if atom.top:
                        self.findings.whole_input = True
                case Real():
                    if self.kinds.is_shared(atom.obj):
                        for key in self.reached(atom.obj):
                            self.read_key(key, frame, node)
                        implicit.look(frame, atom, node)
                case Part():
                    self.read_key(atom.key, frame, node)
                    if atom.owner is not None:
                        for key in self.reached(atom.owner):
                            self.read_key(key, frame, node)
                    implicit.look(frame, atom, node)
                case Special() if atom in (CONTEXT, CONFIG):
                    self.read_key(("special", atom.kind), frame, node)
                case Fresh():
                    seen = set() if seen is None else seen
                    if id(atom) not in seen:
                        seen.add(id(atom))
                        implicit.look(frame, atom, node)
                        self.look(atom.content(), frame, node, seen)
                case _:
                    pass

    def look_shallow(self, value: Value, frame: Frame, node: ast.AST) -> None:
        """A value itself is looked at, as a truth value or to copy it."""
        for atom in value:
            if isinstance(atom, Real) and self.kinds.is_shared(atom.obj):
                self.read_key(id(atom.obj), frame, node)
            elif isinstance(atom, Part):
                self.read_key(atom.key, frame, node)
            implicit.look(frame, atom, node)

    def reached(self, obj: Any) -> frozenset[Hashable]:
        """The identities of everything that can change inside an object."""
        known = self._reached.get(id(obj))
        if known is None:
            known = self._reached[id(obj)] = objects.reached(obj)
        return known

    # `if X is None: X = make()` --------------------------------------------------------------

    @contextmanager
    def guarded(self, frame: Frame, node: ast.If) -> Iterator[None]:
        """Inside `if X is None` or `if not X`, setting `X` is making it on first use."""
        guarded: set[str] = set()
        test = node.test
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            guarded.add(ast.unparse(test.operand))
        elif isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is):
            guarded.add(ast.unparse(test.left))
        self._lazy.append(frozenset(guarded))
        try:
            yield
        finally:
            self._lazy.pop()

    def is_lazy(self, target: str, value: Value) -> bool:
        """Whether an assignment only makes an installed class's object on first use.

        A model or a client that is made by whoever comes first is the same for all. What the
        app makes itself may remember who was first.
        """
        return (
            bool(value)
            and all(isinstance(a, Foreign) and not is_stdlib(a.module) for a in value)
            and any(target in guarded for guarded in self._lazy)
        )

    # Running --------------------------------------------------------------------------------

    @contextmanager
    def muted(self) -> Iterator[None]:
        """What is read or written outside counts as a read that nobody writes."""
        self._muted += 1
        try:
            yield
        finally:
            self._muted -= 1

    @contextmanager
    def entering(self, obj: Any) -> Iterator[bool]:
        """Gives False where the object is being run already."""
        if id(obj) in self._running:
            yield False
            return
        self._running.append(id(obj))
        try:
            yield True
        finally:
            self._running.pop()

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """A node of a subgraph."""
        self.path.append(name)
        try:
            yield
        finally:
            self.path.pop()

    def run_runnable(self, obj: Any, value: Value, frame: Frame, node: ast.AST) -> Value:
        """Run a Runnable that exists."""
        return runnables.run(frame, obj, value, node)

    def run_chain(self, chain: Fresh, value: Value, frame: Frame, node: ast.AST) -> Value:
        """Run a chain that the scanned code composed."""
        return runnables.run_chain(frame, chain, value, node)

    def run_hooks(self, owner: Atom, cls: type, value: Value, frame: Frame, node: ast.AST) -> Value:
        """Run the methods that LangChain calls on an object of the app's class."""
        return runnables.run_hooks(frame, owner, cls, value, node)

    def run_bound(self, bound: Bound, arguments: Arguments, frame: Frame, node: ast.AST) -> Value:
        """Run a method of the app."""
        merged = Arguments(
            [frozenset({bound.owner}), *arguments.args],
            arguments.kwargs,
            arguments.star,
            arguments.keywords,
        )
        if isinstance(bound.function, Function):
            return self.run_local(bound.function, merged, receiver=bound.owner, cls=bound.cls)
        if not self.kinds.is_own_function(bound.function):
            return foreign.call(
                frame,
                bound.function.__module__ or "",
                bound.function.__qualname__,
                arguments,
                node,
                owner=bound.owner,
            )
        return self.run_function(bound.function, merged, receiver=bound.owner, cls=bound.cls)

    def run_function(
        self,
        function: FunctionType,
        arguments: Arguments,
        *,
        receiver: Atom | None = None,
        cls: Any = None,
    ) -> Value:
        """Run a function object of the app."""
        code = function.__code__
        try:
            node = function_node(code)
        except SourceGone as error:
            if not self.kinds.is_generated(function) or receiver is None:
                where = place(code.co_filename, code.co_firstlineno)
                self.unreadable(Place(str(error), where))
                self._hand_to_unread(arguments, code.co_qualname)
                what = f"{code.co_qualname} can't be read"
                unread.function(self, function, Place(what, where))
            return NOTHING
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=False))
        frame = Frame(
            self,
            function_info(node),
            code.co_filename,
            function.__globals__,
            cells=cells,
            receiver=receiver,
            cls=cls,
        )
        signature = parameters.signature(arguments)
        key: Hashable = None
        if signature is not None:
            owners = tuple(id(cell) for cell in cells.values())
            key = (code, id(function.__globals__), owners, signature, bool(self._muted), id(cls))
        defaults = parameters.defaults_of(function)
        parameters.bind(frame, node.args, arguments, *defaults, function=function)
        return self._run(frame, node, key)

    def run_local(
        self,
        function: Function,
        arguments: Arguments,
        *,
        receiver: Atom | None = None,
        cls: Any = None,
    ) -> Value:
        """Run a function that the scanned code defined."""
        outer, node = function.frame, function.node
        frame = Frame(
            self,
            function_info(node),
            outer.filename,
            outer.namespace,
            cells=outer.cells,
            outer=outer,
            receiver=receiver,
            cls=cls,
        )
        positional = [outer.evaluate(default) for default in node.args.defaults]
        keywords = {
            argument.arg: outer.evaluate(default)
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            if default is not None
        }
        parameters.bind(frame, node.args, arguments, positional, keywords)
        return self._run(frame, node, None)

    def _run(self, frame: Frame, node: FunctionNode, key: Hashable) -> Value:
        if self._stack.count(node) >= 2:
            return NOTHING
        if key is not None and (known := self._memo.get(key)) is not None:
            self.findings.add(known[0])
            return known[1]
        self._calls += 1
        if len(self._stack) >= MOST_DEEP or self._calls > MOST_CALLS:
            limit = "calls deep" if len(self._stack) >= MOST_DEEP else "calls"
            most = MOST_DEEP if len(self._stack) >= MOST_DEEP else MOST_CALLS
            self.unreadable(frame.place(node, f"more than {most} {limit}"))
            return NOTHING
        before, self.findings = self.findings, Findings()
        self._stack.append(node)
        try:
            result = frame.run()
        finally:
            self._stack.pop()
            made, self.findings = self.findings, before
            before.add(made)
        # Inside a recursion the result is not whole yet, and must not be remembered.
        if key is not None and node not in self._stack:
            self._memo[key] = (made, result)
        return result

    def _hand_to_unread(self, arguments: Arguments, to: str) -> None:
        """Code of the app without source may change what it gets."""
        for value in arguments.all():
            for atom in value:
                if isinstance(atom, Real) and self.kinds.is_shared(atom.obj):
                    for key in self.reached(atom.obj):
                        self.change_key(key, Place(f"handed to {to}, which can't be read"))
