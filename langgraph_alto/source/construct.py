"""Making an object of a class."""

from __future__ import annotations

import ast
import collections
import dataclasses
import functools
import typing
import weakref
from enum import Enum
from types import FunctionType
from typing import TYPE_CHECKING

from langgraph_alto.core import tables
from langgraph_alto.source import builtin_calls, calls, elements, foreign, getters, objects
from langgraph_alto.source.values import (
    NOTHING,
    Arguments,
    Bound,
    Foreign,
    Fresh,
    Partial,
    Real,
    Value,
)

if TYPE_CHECKING:
    from langgraph_alto.source.interpret import Frame

_COPIES = (
    list, tuple, set, frozenset, dict, collections.deque, collections.OrderedDict,
    collections.Counter, collections.defaultdict, reversed, enumerate, zip, filter, map,
)  # fmt: skip

_HOLDERS = (
    "langgraph.types.Send",
    "langgraph.types.Command",
    "langgraph.types.Overwrite",
    "langchain_core.messages",
    "langchain_core.documents",
    "langchain_core.prompt_values",
)
"""Installed classes whose objects hold what they are given, as it is."""

_COMPOSERS = ("langchain_core.runnables", "langgraph._internal._runnable", "langgraph.prebuilt")
"""Installed classes whose objects run what they are given."""


def construct(  # noqa: PLR0911 - one per kind
    frame: Frame,
    cls: type,
    arguments: Arguments,
    node: ast.AST,
) -> Value:
    """Call a class."""
    scanner = frame.scanner
    if cls is type:
        return builtin_calls.call(frame, "type", arguments, node)
    if cls is functools.partial:
        rest = tuple(arguments.args[1:])
        return frozenset({Partial(arguments.first(), rest, arguments.kwargs)})
    if cls in getters.CLASSES:
        foreign.look_at_arguments(frame, arguments, node)
        return frozenset({getters.made(cls, node)})
    if cls is collections.ChainMap:
        # What is stored in it goes into the first of the dicts.
        return NOTHING.union(*arguments.all()) | _copy(frame, cls, arguments, node)
    if issubclass(cls, weakref.ReferenceType):
        return frozenset(
            {Partial(frozenset({Real(typing.cast)}), (NOTHING, arguments.first()), {})}
        )
    if cls in _COPIES:
        return _copy(frame, cls, arguments, node)
    if issubclass(cls, Enum):
        foreign.look_at_arguments(frame, arguments, node)
        return NOTHING
    if scanner.kinds.is_own_class(cls):
        return _own(frame, cls, arguments, node)
    if issubclass(cls, BaseException):
        foreign.look_at_arguments(frame, arguments, node)
        made = Fresh(frame.block, NOTHING.union(*arguments.all()))
        made.put("args", frame.fresh(made.elements), surely=True)
        return frozenset({made})
    if cls.__module__ == "builtins":
        foreign.look_at_arguments(frame, arguments, node)
        return NOTHING
    return _installed(frame, cls, arguments, node)


def _copy(frame: Frame, cls: type, arguments: Arguments, node: ast.AST) -> Value:
    made = Fresh(frame.block)
    for value in (*arguments.args, arguments.star):
        inside = elements.element(frame, value, node)
        frame.scanner.look_shallow(value, frame, node)
        if cls in (enumerate, zip):
            inside = frame.fresh(inside) if inside else NOTHING
        made.mix(inside)
        if cls is dict:
            elements.copy_fields(made, value)
    if cls in (map, filter):
        made.mix(foreign.call_callables(frame, arguments, node))
    elif cls is collections.defaultdict:
        made.mix(calls.call(frame, arguments.first(), Arguments([], {}), node))
    for name, value in arguments.kwargs.items():
        made.put(name, value, surely=True)
    made.mix(arguments.keywords)
    return frozenset({made})


def _own(frame: Frame, cls: type, arguments: Arguments, node: ast.AST) -> Value:
    """An object of the app's own class: its constructor is run."""
    scanner = frame.scanner
    metaclass = objects.class_attribute(type(cls), "__call__")
    if metaclass is not None and scanner.kinds.is_own(metaclass.value):
        bound = Bound(Real(cls), metaclass.value, metaclass.owner)
        return scanner.run_bound(bound, arguments, frame, node)
    found: Value = NOTHING
    new = objects.class_attribute(cls, "__new__")
    maker = getattr(new.value, "__func__", new.value) if new is not None else None
    if isinstance(maker, FunctionType) and scanner.kinds.is_own(maker):
        bound = Bound(Real(cls), maker, cls)
        found = (
            NOTHING
            if scanner.kinds.is_generated(maker)
            else scanner.run_bound(bound, arguments, frame, node)
        )
    made = Fresh(frame.block, cls=cls)
    init = objects.class_attribute(cls, "__init__")
    if (
        init is not None
        and scanner.kinds.is_own(init.value)
        and not scanner.kinds.is_generated(init.value)
    ):
        scanner.run_bound(Bound(made, init.value, init.owner), arguments, frame, node)
    else:
        _store_fields(made, cls, arguments)
    for name in ("__post_init__", "model_post_init"):
        hook = objects.class_attribute(cls, name)
        if hook is not None and scanner.kinds.is_own(hook.value):
            scanner.run_bound(Bound(made, hook.value, hook.owner), Arguments([], {}), frame, node)
    return found or frozenset({made})


def _store_fields(made: Fresh, cls: type, arguments: Arguments) -> None:
    """A constructor that stores what it gets under the names of the fields."""
    names: tuple[str, ...] = getattr(cls, "_fields", ())
    if dataclasses.is_dataclass(cls):
        names = tuple(field.name for field in dataclasses.fields(cls) if field.init)
    for index, value in enumerate(arguments.args):
        if index < len(names):
            made.put(names[index], value, surely=True)
        else:
            made.mix(value)
    for name, value in arguments.kwargs.items():
        made.put(name, value, surely=True)
    made.mix(arguments.star | arguments.keywords)


def _installed(frame: Frame, cls: type, arguments: Arguments, node: ast.AST) -> Value:
    """An object of an installed class: making it does nothing outside, holding may."""
    scanner = frame.scanner
    name = f"{cls.__module__}.{cls.__qualname__}"
    if scanner.kinds.is_model_class(cls):
        foreign.look_at_arguments(frame, arguments, node)
        scanner.unproven(frame.place(node))
        return frozenset({Foreign("langchain_core.language_models", cls.__qualname__)})
    if name.startswith(_HOLDERS):
        made = Fresh(frame.block)
        _store_fields(made, cls, arguments)
        return frozenset({made})
    if name.startswith(_COMPOSERS):
        chain = Fresh(cls="chain")
        chain.put(0, NOTHING.union(*arguments.all()), surely=True)
        return frozenset({chain})
    if cls.__module__ == "itertools":
        return foreign.call(frame, cls.__module__, cls.__qualname__, arguments, node)
    effect = tables.effect_of(cls.__module__, cls.__qualname__)
    if effect == "outward write" or _may_open(cls):
        return foreign.call(frame, cls.__module__, cls.__qualname__, arguments, node)
    foreign.look_at_arguments(frame, arguments, node)
    foreign.call_callables(frame, arguments, node)
    if effect not in ("reader", "outside read"):
        scanner.unproven(frame.place(node))
    return frozenset({Foreign(cls.__module__, cls.__qualname__)})


def _may_open(cls: type) -> bool:
    return cls.__module__ in ("io", "_io") and cls.__name__ in ("FileIO", "open")
