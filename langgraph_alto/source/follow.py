"""What a function returns, followed through its names and the functions that it calls.

Nothing of the app is executed. The order of statements does not count: a name is all that any
statement makes of it (see `bindings`), so the answer holds for every path through the code.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection, Hashable
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from langgraph_alto.source import objects, shapes
from langgraph_alto.source.evaluate import Activation
from langgraph_alto.source.locate import FunctionNode, SourceGone, function_node, is_own, is_stdlib
from langgraph_alto.source.resolve import Given, Local
from langgraph_alto.source.shapes import ANY_MAPPING, NOTHING, UNKNOWN, Shape

MOST_DEEP = 8
"""How many calls are followed into one another."""

MOST_CALLS = 300
"""How many calls are followed for one node."""


class Follower:
    """Follows the functions of one graph; what it can't follow is UNKNOWN.

    Args:
        packages: Installed top-level packages that are the app itself.
    """

    def __init__(self, packages: Collection[str] = ()) -> None:
        self.packages = frozenset(packages)
        self._top = ""
        self._stack: list[CodeType | FunctionNode] = []
        self._calls = 0
        self._memo: dict[Hashable, Shape] = {}

    def runnable(self, obj: Any) -> Shape:
        """What a Runnable gives when it is invoked; a subclass may know more."""
        return UNKNOWN

    def root(self, function: Any, first: Shape) -> Shape:
        """What a function gives that LangGraph calls with its input; of a generator, each item."""
        if self._stack:  # a chain that the code of a node runs
            return self.call(function, Given([first], open=True), as_root=True)
        self._calls = 0
        self._top = _package_of(function)
        return self.call(function, Given([first], open=True), as_root=True)

    def reset(self) -> None:
        """Forget what was under way when an error came out."""
        self._stack.clear()

    def call(self, obj: Any, given: Given, *, as_root: bool = False) -> Shape:
        """What calling an object gives."""
        match obj:
            case functools.partial():
                args = [shapes.of_object(a) for a in obj.args]
                kwargs = {k: shapes.of_object(v) for k, v in obj.keywords.items()}
                merged = Given([*args, *given.args], {**kwargs, **given.kwargs}, given.open)
                return self.call(obj.func, merged, as_root=as_root)
            case MethodType() if isinstance(obj.__func__, FunctionType):
                return self._follow(obj.__func__, given, receiver=obj, as_root=as_root)
            case FunctionType():
                return self._follow(obj, given, as_root=as_root)
            case type() | ModuleType() | BuiltinFunctionType() | functools._lru_cache_wrapper():
                return UNKNOWN
            case _:
                found = objects.class_attribute(type(obj), "__call__")
                if found is None or not isinstance(found.value, FunctionType):
                    return UNKNOWN
                method = MethodType(found.value, obj)
                return self._follow(found.value, given, receiver=method, as_root=as_root)

    def call_local(self, local: Local, given: Given) -> Shape:
        """What calling a function gives that the followed code defined."""
        home = local.home
        made = Activation(
            self,
            local.node,
            home.namespace,
            _bind(local.node.args, given, None, has_receiver=False),
            cells=home.cells,
            outer=home,
            receiver=home.receiver,
        )
        return self._run(made, local.node)

    def _follow(
        self,
        function: FunctionType,
        given: Given,
        *,
        receiver: MethodType | None = None,
        as_root: bool = False,
    ) -> Shape:
        code = function.__code__
        if not as_root and not self._is_followed(function):
            return UNKNOWN
        try:
            node = function_node(code)
        except SourceGone:
            return UNKNOWN
        params = _bind(node.args, given, function, has_receiver=receiver is not None)
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=False))
        key: Hashable = (
            *(code, id(function.__globals__), tuple(map(id, cells.values())), as_root),
            id(receiver.__self__) if receiver is not None else None,
            tuple(sorted(params.items(), key=lambda item: item[0])),
        )
        if (known := self._memo.get(key)) is not None:
            return known
        made = Activation(self, node, function.__globals__, params, cells=cells, receiver=receiver)
        result = self._run(made, code, as_root=as_root)
        if result.unknown or result.plain:
            said = shapes.of_annotation(objects.parameter_type(function, "return"))
            result = said if said.only_texts is not None else result  # -> Literal["a", "b"]
        self._memo[key] = result
        return result

    def is_own(self, function: FunctionType) -> bool:
        """Whether a function is the app's own."""
        module = function.__globals__.get("__name__")
        return is_own(module, function.__code__.co_filename, self.packages)

    def _is_followed(self, function: FunctionType) -> bool:
        """The app's own functions, and those of the package whose function a node is."""
        return self.is_own(function) or (self._top != "" and _package_of(function) == self._top)

    def _run(
        self, made: Activation, key: CodeType | FunctionNode, *, as_root: bool = False
    ) -> Shape:
        self._calls += 1
        if key in self._stack or len(self._stack) >= MOST_DEEP or self._calls > MOST_CALLS:
            return UNKNOWN
        self._stack.append(key)
        try:
            result = made.run()
        finally:
            self._stack.pop()
        return Shape(items=result) if made.table.is_generator and not as_root else result


def plain_function(function: Any) -> Any:
    """The function under partials and methods, or that of a callable object."""
    for _ in range(8):
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, MethodType):
            function = function.__func__
        elif isinstance(function, FunctionType | type):
            break
        else:
            found = objects.class_attribute(type(function), "__call__")
            if found is None or not isinstance(found.value, FunctionType):
                break
            function = found.value
    return function


def _package_of(function: Any) -> str:
    namespace = getattr(plain_function(function), "__globals__", None) or {}
    module = str(namespace.get("__name__", ""))
    return "" if is_stdlib(module) else module.partition(".")[0]


def _bind(
    parameters: ast.arguments, given: Given, function: FunctionType | None, *, has_receiver: bool
) -> dict[str, Shape]:
    """The shapes of a function's parameters."""
    names = [a.arg for a in (*parameters.posonlyargs, *parameters.args)]
    every = (*names, *(a.arg for a in parameters.kwonlyargs))
    if given.open or (function is None and (parameters.defaults or parameters.kw_defaults)):
        bound = dict.fromkeys(every, UNKNOWN)
    else:
        bound = dict.fromkeys(every, NOTHING)  # a call that leaves one out is an error
        if function is not None:
            defaults = function.__defaults__ or ()
            last = names[len(names) - len(defaults) :]
            bound.update(zip(last, map(_default, defaults), strict=True))
            bound.update({k: _default(v) for k, v in (function.__kwdefaults__ or {}).items()})
    if has_receiver and names:
        bound[names.pop(0)] = UNKNOWN
    bound.update(zip(names, given.args, strict=False))
    extra = dict(given.kwargs)
    bound.update({name: extra.pop(name) for name in tuple(extra) if name in bound})
    if parameters.vararg:
        rest = shapes.joined(given.args[len(names) :])
        bound[parameters.vararg.arg] = Shape(items=UNKNOWN if given.open else rest)
    if parameters.kwarg:
        bound[parameters.kwarg.arg] = ANY_MAPPING if given.open else shapes.mapping(extra)
    return bound


def _default(obj: Any) -> Shape:
    return NOTHING if obj is None else shapes.of_object(obj)
