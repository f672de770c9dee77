"""One walk over a function's syntax that fills the table of its names (`bindings`)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import Any

from langgraph_alto.source.bindings import Binding, Bindings, Change
from langgraph_alto.source.locate import FunctionNode, function_info

READS = frozenset(
    {"get", "keys", "values", "items", "copy", "pop", "popitem", "clear", "remove", "discard"}
    | {"count", "index", "sort", "reverse", "format", "join", "split", "strip", "lower", "upper"}
)
"""Methods of mappings, lists and strings after which no key and no element is new."""

INSIDE = frozenset({"get", "pop", "popitem", "copy"})
"""Those of them that may give an element of a list, which the list may still hold."""

GROWS = frozenset({"update", "setdefault", "append", "appendleft", "add", "insert"}) | {
    "extend",
    "extendleft",
}
"""Methods after which there may be new keys or elements."""

LOOKS = frozenset(
    {"len", "print", "bool", "str", "repr", "isinstance", "any", "all", "sum", "hash", "id"}
    | {"json.dumps", "logging.info", "logging.debug", "logging.warning", "pprint"}
    | {"logger.info", "logger.debug", "logger.warning", "log.info", "log.debug", "log.warning"}
    | {"dict", "AddableDict", "Partial", "deepcopy", "copy.deepcopy"}
)
"""Functions that only look at what they get. `dict` and the like copy it."""

KEEPS = frozenset({"Command", "list", "tuple", "set", "frozenset", "cast", "typing.cast"})
"""Functions whose result holds what they get: who has the result has the object."""


def names_of(node: FunctionNode) -> Bindings:
    """What a function does with its names, from its syntax alone."""
    walk = _Walk(Bindings(function_info(node)))
    if isinstance(node, ast.Lambda):
        walk.found.returns.append(node.body)
        walk.use(node.body, OUT)
    else:
        walk.block(node.body)
    return walk.found


Sink = tuple[str, ...]
"""Where a value goes: `OUT` is the function's result, `("to", *names)` into names."""

READ: Sink = ("read",)
OUT: Sink = ("out",)
LOST: Sink = ("lost",)


def dotted(node: ast.expr) -> str:
    """`a.b.c` as text; "" of everything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Subscript):  # Command[Literal["a"]](…)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


class _Walk:
    def __init__(self, found: Bindings) -> None:
        self.found = found
        self.inner: list[frozenset[str]] = []
        """The names of the functions inside this one that the walk is in."""

    # Statements -------------------------------------------------------------------------

    def block(self, body: Iterable[ast.AST]) -> None:
        for statement in body:
            self.statement(statement)

    def statement(self, node: ast.AST) -> None:
        handler = _STATEMENTS.get(type(node))
        if handler is not None:
            handler(self, node)
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.use(child, READ)
            else:
                self.statement(child)

    def local(self, name: str) -> bool:
        """Whether a name is one of the function that is asked about."""
        return name in self.found.info.locals and not any(name in names for names in self.inner)

    def bind(self, name: str, binding: Binding) -> None:
        if not self.inner and name in self.found.info.locals:
            self.found.bind(name, binding)
        elif self.local(name):  # `nonlocal` in a function inside
            self.found.bind(name, Binding("unknown"))

    def target(self, node: ast.expr, binding: Binding) -> list[str]:
        """Bind what stands on the left of `=`; gives the names that now hold the value."""
        match node:
            case ast.Name():
                self.bind(node.id, binding)
                return [node.id]
            case ast.Starred():
                return self.target(node.value, Binding("unknown"))
            case ast.Tuple() | ast.List():
                return self._unpacked(node, binding)
            case ast.Subscript():
                return self._item(node, binding)
            case ast.Attribute():
                self.lose(node)
        return []

    def _unpacked(self, node: ast.Tuple | ast.List, binding: Binding) -> list[str]:
        value = binding.node if binding.kind == "value" else None
        names: list[str] = []
        starred = any(isinstance(part, ast.Starred) for part in node.elts)
        parts = value.elts if isinstance(value, ast.Tuple | ast.List) and not starred else ()
        for index, part in enumerate(node.elts):
            if len(parts) == len(node.elts):
                names += self.target(part, Binding("value", parts[index]))
            elif binding.node is not None and binding.kind == "value":
                names += self.target(part, Binding("element", binding.node))
            else:
                names += self.target(part, Binding("unknown"))
        return names

    def _item(self, node: ast.Subscript, binding: Binding) -> list[str]:
        """`d[key] = value`; gives `d`, which holds the value from now on, if it is a list."""
        self.use(node.slice, READ)
        if not isinstance(node.value, ast.Name):
            self.lose(node.value)
            return []
        value = binding.node if binding.kind == "value" else None
        change = Change("item", value if isinstance(value, ast.expr) else None, node.slice)
        self.change(node.value.id, change)
        is_key = isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
        return [] if is_key else [node.value.id]

    def change(self, name: str, change: Change) -> None:
        if not self.local(name):
            return
        if self.inner:  # its key and value are expressions of another function
            if not isinstance(change.key, ast.Constant):
                self.found.lost.add(name)
                return
            change = Change("item", None, change.key)
        self.found.changes.setdefault(name, []).append(change)

    def lose(self, node: ast.expr) -> None:
        """Something inside of what an expression stands for is changed or handed on."""
        while isinstance(node, ast.Subscript | ast.Attribute | ast.Starred):
            if isinstance(node, ast.Subscript):
                self.use(node.slice, READ)
                if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
                    self.use(node.value, READ)  # values under a key are not followed
                    return
            node = node.value
        self.use(node, LOST)

    # Expressions ------------------------------------------------------------------------

    def use(self, node: ast.expr | None, sink: Sink) -> None:
        """An expression whose value goes to `sink`."""
        if node is None:
            return
        handler = _EXPRESSIONS.get(type(node))
        if handler is not None:
            handler(self, node, sink)
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.use(child, READ)

    def to(self, names: Iterable[str]) -> Sink:
        """Into names; those of a function inside are not followed."""
        given = tuple(names)
        if self.inner or not given:
            return LOST
        return ("to", *given)

    def name(self, node: ast.Name, sink: Sink) -> None:
        if not isinstance(node.ctx, ast.Load) or sink is READ:
            return
        if node.id in ("locals", "vars", "eval", "exec"):
            self.found.all_lost = True
        if not self.local(node.id):
            return
        if sink[0] == "to" and not self.inner:
            for other in sink[1:]:
                self.found.unite(node.id, other)
        elif sink is not OUT or self.inner:
            self.found.lost.add(node.id)

    def call(self, node: ast.Call, sink: Sink) -> None:
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        function = dotted(node.func)
        if function in ("locals", "vars", "eval", "exec"):
            self.found.all_lost = True
        if isinstance(node.func, ast.Attribute) and node.func.attr in INSIDE:
            key = node.args[0] if node.args else None
            is_key = isinstance(key, ast.Constant) and isinstance(key.value, str)
            self.use(node.func.value, READ if is_key else sink)
        if self._method(node, arguments):
            return
        if function in LOOKS or function.endswith(".Send") or function == "Send":
            goes = LOST if function.endswith("Send") else READ
        elif function in KEEPS or function.endswith(".Command"):
            goes = sink
        else:
            goes = LOST
        if isinstance(node.func, ast.Attribute) and node.func.attr in READS:
            self.use(node.func.value, READ)
        elif not isinstance(node.func, ast.Name):
            self.use(node.func, LOST)
        for argument in arguments:
            self.use(argument, goes)

    def _method(self, node: ast.Call, arguments: list[ast.expr]) -> bool:
        """`name.method(…)` of a local object: what it does to it. False: something else."""
        if not isinstance(node.func, ast.Attribute) or not isinstance(node.func.value, ast.Name):
            return False
        name, method = node.func.value.id, node.func.attr
        if not self.local(name) or method not in READS | GROWS:
            return False
        for argument in arguments:
            if method == "update" or method in READS:
                # A mapping's items are copied; what stands under its keys is not followed.
                plain = method != "update" or isinstance(argument, ast.Name | ast.Dict)
                self.use(argument, READ if plain else LOST)
            elif method == "setdefault":
                self.use(argument, LOST)
            else:
                self.use(argument, self.to([name]))
        if method == "update":
            self.change(name, Change("update", node))
        elif method == "setdefault" and node.args:
            self.change(name, Change("item", None, node.args[0]))
        elif method in GROWS and node.args:
            many = method.startswith("extend")
            self.change(name, Change("grow", node.args[-1], many=many))
        return True

    def comprehension(self, generators: list[ast.comprehension]) -> None:
        for generator in generators:
            names = self.target(generator.target, Binding("element", generator.iter))
            self.use(generator.iter, self.to(names))
            for condition in generator.ifs:
                self.use(condition, READ)

    def function(self, node: FunctionNode) -> None:
        """The body of a function inside: it uses this one's names when it is called."""
        defaults = [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
        for default in defaults:
            self.use(default, LOST)
        self.inner.append(function_info(node).locals)
        if isinstance(node, ast.Lambda):
            self.use(node.body, LOST)
        else:
            self.block(node.body)
        self.inner.pop()


# Statements ---------------------------------------------------------------------------------


def _return(walk: _Walk, node: ast.Return) -> None:
    if node.value is not None and not walk.inner:
        walk.found.returns.append(node.value)
    walk.use(node.value, LOST if walk.inner else OUT)


def _assign(walk: _Walk, node: ast.Assign) -> None:
    names: list[str] = []
    for target in node.targets:
        names += walk.target(target, Binding("value", node.value))
    if len(node.targets) > 1:
        for name in names[1:]:
            walk.found.unite(names[0], name)
        if not all(isinstance(target, ast.Name) for target in node.targets):
            # `a = b.c = …`: what the names hold stands somewhere else, too.
            walk.found.lost.update(filter(walk.local, names))
    walk.use(node.value, walk.to(names))


def _annotated(walk: _Walk, node: ast.AnnAssign) -> None:
    if node.value is not None:
        binding = Binding("value", node.value, annotation=node.annotation)
        walk.use(node.value, walk.to(walk.target(node.target, binding)))


def _augmented(walk: _Walk, node: ast.AugAssign) -> None:
    if not isinstance(node.target, ast.Name):
        walk.target(node.target, Binding("unknown"))
        walk.use(node.value, LOST)
        return
    name = node.target.id
    result = ast.copy_location(
        ast.BinOp(ast.copy_location(ast.Name(name, ast.Load()), node), node.op, node.value), node
    )
    walk.bind(name, Binding("value", result))
    # `d |= …` and `l += …` change the object, and whoever else has it sees it.
    if isinstance(node.op, ast.BitOr):
        call = ast.copy_location(ast.Call(node.target, [node.value], []), node)
        walk.change(name, Change("update", call))
        walk.use(node.value, READ)
    else:
        walk.change(name, Change("grow", node.value, many=True))
        walk.use(node.value, walk.to([name]))


def _for(walk: _Walk, node: ast.For | ast.AsyncFor) -> None:
    names = walk.target(node.target, Binding("element", node.iter))
    walk.use(node.iter, walk.to(names))
    walk.block([*node.body, *node.orelse])


def _with(walk: _Walk, node: ast.With | ast.AsyncWith) -> None:
    for item in node.items:
        walk.use(item.context_expr, LOST)
        if item.optional_vars is not None:
            walk.target(item.optional_vars, Binding("unknown"))
    walk.block(node.body)


def _handler(walk: _Walk, node: ast.ExceptHandler) -> None:
    if node.name:
        walk.bind(node.name, Binding("unknown"))
    walk.use(node.type, READ)
    walk.block(node.body)


def _match(walk: _Walk, node: ast.Match) -> None:
    captures = False
    for pattern in (p for case in node.cases for p in ast.walk(case.pattern)):
        name = getattr(pattern, "name", None) or getattr(pattern, "rest", None)
        if isinstance(name, str):
            walk.bind(name, Binding("unknown"))
            captures = True
    walk.use(node.subject, LOST if captures else READ)
    for case in node.cases:
        walk.use(case.guard, READ)
        walk.block(case.body)


def _delete(walk: _Walk, node: ast.Delete) -> None:
    for target in node.targets:
        if not isinstance(target, ast.Name | ast.Subscript):
            walk.lose(target)


def _define(walk: _Walk, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    walk.bind(node.name, Binding("define" if not node.decorator_list else "unknown", node))
    for decorator in node.decorator_list:
        walk.use(decorator, LOST)
    walk.function(node)


def _define_class(walk: _Walk, node: ast.ClassDef) -> None:
    walk.bind(node.name, Binding("unknown"))
    walk.inner.append(frozenset())
    walk.block([*node.body, *(ast.Expr(d) for d in node.decorator_list)])
    walk.inner.pop()


def _import(walk: _Walk, node: ast.Import | ast.ImportFrom) -> None:
    for alias in node.names:
        name = alias.asname or alias.name.partition(".")[0]
        statement = type(node)(**{f: getattr(node, f) for f in node._fields})
        statement.names = [alias]
        walk.bind(name, Binding("define", statement))


_STATEMENTS: dict[type[ast.AST], Callable[[_Walk, Any], None]] = {
    ast.Return: _return,
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.For: _for,
    ast.AsyncFor: _for,
    ast.With: _with,
    ast.AsyncWith: _with,
    ast.ExceptHandler: _handler,
    ast.Match: _match,
    ast.Delete: _delete,
    ast.FunctionDef: _define,
    ast.AsyncFunctionDef: _define,
    ast.ClassDef: _define_class,
    ast.Import: _import,
    ast.ImportFrom: _import,
}


# Expressions --------------------------------------------------------------------------------


def _conditional(walk: _Walk, node: ast.IfExp, sink: Sink) -> None:
    walk.use(node.test, READ)
    walk.use(node.body, sink)
    walk.use(node.orelse, sink)


def _all_parts(walk: _Walk, node: ast.expr, sink: Sink) -> None:
    """What is built of parts that it holds, or is one of them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            walk.use(child, sink)


def _walrus(walk: _Walk, node: ast.NamedExpr, sink: Sink) -> None:
    names = walk.target(node.target, Binding("value", node.value))
    walk.use(node.value, walk.to(names))
    walk.use(ast.Name(node.target.id, ast.Load()), sink)


def _dict(walk: _Walk, node: ast.Dict, sink: Sink) -> None:
    for key, value in zip(node.keys, node.values, strict=True):
        walk.use(key, READ)
        walk.use(value, READ if key is None else LOST)


def _subscript(walk: _Walk, node: ast.Subscript, sink: Sink) -> None:
    walk.use(node.slice, READ)
    constant = isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
    walk.use(node.value, READ if constant else sink)


def _attribute(walk: _Walk, node: ast.Attribute, sink: Sink) -> None:
    walk.use(node.value, READ if sink is READ else LOST)


def _binary(walk: _Walk, node: ast.BinOp, sink: Sink) -> None:
    # `l + m` and `l * 2` hold the elements of the lists; `d | e` is a copy.
    inner = READ if isinstance(node.op, ast.BitOr) else sink
    walk.use(node.left, inner)
    walk.use(node.right, inner)


def _comprehension(
    walk: _Walk, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, sink: Sink
) -> None:
    walk.comprehension(node.generators)
    walk.use(node.elt, sink)


def _dict_comprehension(walk: _Walk, node: ast.DictComp, sink: Sink) -> None:
    walk.comprehension(node.generators)
    walk.use(node.key, READ)
    walk.use(node.value, LOST)


def _yield(walk: _Walk, node: ast.Yield | ast.YieldFrom, sink: Sink) -> None:
    if walk.inner:
        walk.use(node.value, LOST)
        return
    walk.found.is_generator = True
    if isinstance(node, ast.YieldFrom):
        walk.found.yields_from.append(node.value)
    elif node.value is not None:
        walk.found.yields.append(node.value)
    walk.use(node.value, OUT)


_EXPRESSIONS: dict[type[ast.expr], Callable[[_Walk, Any, Sink], None]] = {
    ast.Name: _Walk.name,
    ast.IfExp: _conditional,
    ast.BoolOp: _all_parts,
    ast.List: _all_parts,
    ast.Tuple: _all_parts,
    ast.Set: _all_parts,
    ast.Starred: _all_parts,
    ast.Await: _all_parts,
    ast.NamedExpr: _walrus,
    ast.Dict: _dict,
    ast.Subscript: _subscript,
    ast.Attribute: _attribute,
    ast.BinOp: _binary,
    ast.ListComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.DictComp: _dict_comprehension,
    ast.Yield: _yield,
    ast.YieldFrom: _yield,
    ast.Lambda: lambda walk, node, _: walk.function(node),
    ast.Call: _Walk.call,
}
