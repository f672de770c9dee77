"""What calling an atom does: the app's own code is followed, the rest is judged by tables."""

from __future__ import annotations

import ast
import builtins
import functools
import sys
import weakref
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from langgraph_alto.source import (
    attributes,
    builtin_calls,
    construct,
    elements,
    foreign,
    getters,
    implicit,
    local_classes,
    methods,
    objects,
)
from langgraph_alto.source.values import (
    CONFIG,
    NOTHING,
    RUNTIME,
    WRITER,
    Arguments,
    Atom,
    Bound,
    Foreign,
    Fresh,
    Function,
    Getter,
    LocalClass,
    Method,
    Part,
    Partial,
    Real,
    Special,
    Value,
)

if TYPE_CHECKING:
    from langgraph_alto.source.interpret import Frame

INTERRUPT = "langgraph.types.interrupt"

_AMBIENT: dict[str, Special] = {
    "langgraph.config.get_config": CONFIG,
    "langgraph.config.get_stream_writer": WRITER,
    "langgraph.runtime.get_runtime": RUNTIME,
}


def visit(frame: Frame, node: ast.Call) -> Value:
    """A call as it stands in the source."""
    is_super = _is_super(node.func)
    callee = _of_super(frame, node.func) if is_super else frame.evaluate(node.func)
    arguments = _arguments(frame, node)
    if not callee:
        return foreign.unknown(frame, node, arguments)
    return call(frame, callee, arguments, node)


def _arguments(frame: Frame, node: ast.Call) -> Arguments:
    made = Arguments([], {})
    for item in node.args:
        if isinstance(item, ast.Starred):
            made.star |= elements.element(frame, frame.use(item.value), item)
        else:
            made.args.append(frame.evaluate(item))
    for keyword in node.keywords:
        if keyword.arg is None:
            made.keywords |= elements.element(frame, frame.use(keyword.value), keyword.value)
        else:
            made.kwargs[keyword.arg] = frame.evaluate(keyword.value)
    return made


def _is_super(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "super"
    )


def _of_super(frame: Frame, node: ast.expr) -> Value:
    """The method that `super().name` stands for."""
    owner: Frame | None = frame
    while owner is not None and owner.receiver is None:
        owner = owner.outer
    if owner is None or not isinstance(node, ast.Attribute) or not isinstance(owner.cls, type):
        return NOTHING
    receiver = owner.receiver
    assert receiver is not None
    obj = receiver.obj if isinstance(receiver, Real) else None
    cls = obj if isinstance(obj, type) else type(obj) if obj is not None else None
    if cls is None:
        known = getattr(receiver, "cls", None)
        cls = known if isinstance(known, type) else owner.cls
    found = objects.class_attribute(cls, node.attr, after=owner.cls)
    if found is None or found.owner is object:
        return frozenset({WRITER})  # object.__init__ and the like do nothing
    raw = found.value
    if isinstance(raw, classmethod | staticmethod):
        raw = raw.__func__
    if isinstance(raw, FunctionType):
        return frozenset({Bound(receiver, raw, found.owner)})
    return frozenset({Method(receiver, node.attr)})


def call(frame: Frame, callee: Value, arguments: Arguments, node: ast.AST) -> Value:
    """Call everything that a value may be."""
    found: Value = NOTHING
    for atom in callee:
        found |= call_atom(frame, atom, arguments, node)
    return found


def call_atom(  # noqa: PLR0911 - one per kind
    frame: Frame,
    atom: Atom,
    arguments: Arguments,
    node: ast.AST,
) -> Value:
    """Call one thing."""
    match atom:
        case Function():
            return frame.scanner.run_local(atom, arguments)
        case Bound():
            return call_bound(frame, atom, arguments, node)
        case Real():
            return _call_real(frame, atom, arguments, node)
        case Method():
            return methods.call_method(frame, atom.owner, atom.name, arguments, node)
        case Partial():
            merged = Arguments(
                [*atom.args, *arguments.args],
                {**atom.kwargs, **arguments.kwargs},
                arguments.star,
                arguments.keywords,
            )
            return call(frame, atom.function, merged, node)
        case Getter():
            return getters.call(frame, atom, arguments, node)
        case LocalClass():
            return local_classes.make(frame, atom, arguments, node)
        case Foreign():
            return foreign.call(frame, atom.module, atom.name, arguments, node)
        case Fresh():
            return _call_fresh(frame, atom, arguments, node)
        case Special():
            foreign.look_at_arguments(frame, arguments, node)
            return NOTHING
        case _:
            if (own := implicit.own_method(frame, atom, "__call__")) is not None:
                return frame.scanner.run_bound(own, arguments, frame, node)
            # An attribute that is no method may still stand beside the one that is.
            is_value = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            return NOTHING if is_value else foreign.unknown(frame, node, arguments)


def _call_fresh(frame: Frame, atom: Fresh, arguments: Arguments, node: ast.AST) -> Value:
    if (own := implicit.own_method(frame, atom, "__call__")) is not None:
        return frame.scanner.run_bound(own, arguments, frame, node)
    found: Value = NOTHING
    for inner in atom.content():
        if isinstance(inner, Function | Bound | Partial) or frame.scanner.kinds.is_callable(inner):
            found |= call_atom(frame, inner, arguments, node)
    return found


def call_bound(frame: Frame, atom: Bound, arguments: Arguments, node: ast.AST) -> Value:
    """Call a method: the app's own is followed, an installed class's judged."""
    function = atom.function
    if isinstance(function, Function) or frame.scanner.kinds.is_own_function(function):
        return frame.scanner.run_bound(atom, arguments, frame, node)
    if isinstance(atom.owner, Real) and methods.knows(atom.owner.obj):
        return methods.call_method(frame, atom.owner, function.__name__, arguments, node)
    wrapped = getattr(function, "__wrapped__", None)
    if isinstance(wrapped, FunctionType) and frame.scanner.kinds.is_own_function(wrapped):
        return frame.scanner.run_bound(Bound(atom.owner, wrapped, atom.cls), arguments, frame, node)
    return foreign.call(
        frame,
        function.__module__ or "",
        function.__qualname__,
        arguments,
        node,
        owner=atom.owner,
        function=function,
    )


def _call_real(  # noqa: PLR0911, PLR0912 - one per kind
    frame: Frame,
    atom: Real,
    arguments: Arguments,
    node: ast.AST,
) -> Value:
    obj = atom.obj
    match obj:
        case FunctionType():
            return call_function(frame, obj, arguments, node)
        case MethodType():
            if isinstance(obj.__func__, FunctionType):
                cls = obj.__self__ if isinstance(obj.__self__, type) else type(obj.__self__)
                owner = defining_class(cls, obj.__func__)
                bound = Bound(Real(obj.__self__), obj.__func__, owner)
                return call_bound(frame, bound, arguments, node)
            return call_atom(frame, Real(obj.__func__), arguments, node)
        case functools.partial():
            return call_atom(frame, _partial(obj), arguments, node)
        case functools._lru_cache_wrapper():
            return _call_cached(frame, obj, arguments, node)
        case type():
            return construct.construct(frame, obj, arguments, node)
        case BuiltinFunctionType():
            return _call_builtin(frame, obj, arguments, node)
        case ModuleType():
            return NOTHING
        case _:
            pass
    if type(obj).__name__ in ("method_descriptor", "wrapper_descriptor"):
        found: Value = NOTHING
        rest = Arguments(arguments.args[1:], arguments.kwargs, arguments.star, arguments.keywords)
        for owner_atom in arguments.first():
            found |= methods.call_method(frame, owner_atom, obj.__name__, rest, node)
        return found
    if isinstance(obj, getters.CLASSES):
        return getters.call(frame, getters.of(obj), arguments, node)
    if isinstance(obj, weakref.ReferenceType):
        return frozenset({Real(obj())})
    if frame.scanner.kinds.is_task(obj):
        frame.scanner.identity(frame.place(node, f"@task {getattr(obj, '__name__', '')}"))
        return call_atom(frame, Real(obj.func), arguments, node)
    if (own := implicit.own_method(frame, atom, "__call__")) is not None:
        return frame.scanner.run_bound(own, arguments, frame, node)
    wrapped = objects.instance_dict(obj).get("__wrapped__")
    if callable(wrapped):
        return call_atom(frame, Real(wrapped), arguments, node)
    if not callable(obj) and isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        # A proxy gave the object itself for one of its methods.
        method = attributes.attribute_of(frame, atom, node.func.attr, node)
        return call(frame, method - {atom}, arguments, node)
    return methods.call_method(frame, atom, "__call__", arguments, node)


def defining_class(cls: Any, function: FunctionType) -> Any:
    """The class in whose body a method stands: `super()` starts behind it."""
    for owner in getattr(cls, "__mro__", ()):
        raw = owner.__dict__.get(function.__name__)
        if getattr(raw, "__func__", raw) is function:
            return owner
    return cls


def _partial(obj: functools.partial[Any]) -> Partial:
    def value(item: Any) -> Value:
        return NOTHING if objects.is_scalar(item) else frozenset({Real(item)})

    return Partial(
        frozenset({Real(obj.func)}),
        tuple(value(item) for item in obj.args),
        {name: value(item) for name, item in obj.keywords.items()},
    )


def call_function(  # noqa: PLR0911 - one per kind
    frame: Frame, function: FunctionType, arguments: Arguments, node: ast.AST
) -> Value:
    """Call a plain function object."""
    scanner = frame.scanner
    if scanner.kinds.is_own_function(function):
        return scanner.run_function(function, arguments)
    name = f"{function.__module__}.{function.__qualname__}"
    if name == INTERRUPT:
        scanner.interrupts(frame.place(node))
        foreign.look_at_arguments(frame, arguments, node)
        return NOTHING
    if name == "langgraph.config.get_store":
        scanner.hold("store", frame.place(node))
        return NOTHING
    if name in _AMBIENT:
        return frozenset({_AMBIENT[name]})
    if name == "importlib.import_module":
        return _imported(frame, node)
    if inner := list(_own_inside(frame, function)):
        # A decorator of an installed package: what it wraps is what matters.
        found: Value = NOTHING
        for own in inner:
            made = call_atom(frame, Real(own), arguments, node)
            found |= elements.element(frame, made, node) | made
        return found
    return foreign.call(
        frame, function.__module__ or "", function.__qualname__, arguments, node, function=function
    )


def _imported(frame: Frame, node: ast.AST) -> Value:
    """A module by its name, where that is written down and the module is there."""
    name = frame.key(node.args[0]) if isinstance(node, ast.Call) and node.args else None
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is None:
        frame.scanner.unreadable(frame.place(node))
        return NOTHING
    return frozenset({Real(module)})


def _own_inside(frame: Frame, function: FunctionType) -> Iterator[Any]:
    """The app's own callables that a function of an installed package carries."""
    registry = getattr(function, "registry", None)
    if callable(getattr(function, "dispatch", None)) and registry is not None:
        # `singledispatch`: which one is called depends on the argument.
        yield from (own for own in registry.values() if frame.scanner.kinds.is_callable(Real(own)))
        return
    wrapped = getattr(function, "__wrapped__", None)
    if wrapped is not None and frame.scanner.kinds.is_callable(Real(wrapped)):
        yield wrapped
        return
    for cell in function.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:
            continue
        candidates = content.values() if isinstance(content, dict) else (content,)
        for candidate in candidates:
            if isinstance(candidate, FunctionType) and frame.scanner.kinds.is_own_function(
                candidate
            ):
                yield candidate


def _call_cached(frame: Frame, obj: Any, arguments: Arguments, node: ast.AST) -> Value:
    """A function under `lru_cache`: who changes what it gave changes it for all callers."""
    made = call_atom(frame, Real(obj.__wrapped__), arguments, node)
    frame.scanner.read_key(id(obj), frame, node)
    return frozenset(
        Part(id(obj), None, atom.cls) if isinstance(atom, Fresh) else atom for atom in made
    )


def _call_builtin(frame: Frame, obj: Any, arguments: Arguments, node: ast.AST) -> Value:
    owner = getattr(obj, "__self__", None)
    if owner is not None and not isinstance(owner, ModuleType | type):
        return methods.call_method(frame, Real(owner), obj.__name__, arguments, node)
    if obj.__module__ == "builtins" or owner is builtins:
        return builtin_calls.call(frame, obj.__name__, arguments, node)
    module = obj.__module__ or getattr(owner, "__module__", None) or ""
    return foreign.call(frame, module, obj.__qualname__, arguments, node)
