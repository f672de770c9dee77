"""Looking into objects that exist without running any of their code."""

from __future__ import annotations

import collections
import functools
import sys
import typing
from collections.abc import Hashable, Iterator, Mapping, MutableMapping, MutableSequence, MutableSet
from contextvars import ContextVar
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    NoneType,
    UnionType,
)
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin
from uuid import UUID

SCALARS: tuple[type, ...] = (
    str, bytes, int, float, complex, bool, NoneType, range, slice, date, time, timedelta,
    Decimal, UUID, Enum,
)  # fmt: skip
"""Types whose values can't change."""

CONTAINERS: tuple[type, ...] = (
    list, dict, set, collections.deque, bytearray, MutableMapping, MutableSequence, MutableSet,
)  # fmt: skip

CALLABLES: tuple[type, ...] = (FunctionType, MethodType, BuiltinFunctionType, functools.partial)

MOST_REACHED = 400
"""How many objects inside one are looked at."""

MOST_ELEMENTS = 60
"""Of larger containers the elements are not looked at one by one."""


class Found(NamedTuple):
    """An attribute: its kind and the object that stands for it."""

    kind: Literal["value", "method", "property", "cached", "getattr", "unknown"]
    value: Any = None
    owner: Any = None
    """The class in which it stands, where it was found in one."""


UNKNOWN = Found("unknown")


def is_scalar(obj: Any) -> bool:
    """Whether an object can't change."""
    return isinstance(obj, SCALARS)


def is_container(obj: Any) -> bool:
    """Whether an object is a list, dict, set or the like (of any class)."""
    return isinstance(obj, CONTAINERS)


def mro_names(cls: type) -> frozenset[str]:
    """`module.name` of a class and all its bases."""
    try:
        return _mro_names(cls)
    except TypeError:  # an unhashable metaclass
        return frozenset()


@functools.lru_cache(maxsize=2048)
def _mro_names(cls: type) -> frozenset[str]:
    return frozenset(f"{c.__module__}.{c.__qualname__}" for c in cls.__mro__)


def instance_dict(obj: Any) -> Mapping[str, Any]:
    """An instance's own attributes, private ones of pydantic models included."""
    try:
        found = object.__getattribute__(obj, "__dict__")
    except (AttributeError, TypeError):
        found = {}
    if not isinstance(found, dict):
        found = {}
    try:
        private = object.__getattribute__(obj, "__pydantic_private__")
    except (AttributeError, TypeError):
        return found
    return {**found, **private} if isinstance(private, dict) else found


def class_attribute(cls: type, name: str, *, after: type | None = None) -> Found | None:
    """An attribute as it stands in a class or its bases (those after `after`, for `super()`)."""
    mro = cls.__mro__
    if after in mro:
        mro = mro[mro.index(after) + 1 :]
    for owner in mro:
        if name in owner.__dict__:
            return Found("value", owner.__dict__[name], owner)
    return None


def lookup(obj: Any, name: str) -> Found:  # noqa: PLR0911 - one per kind
    """An attribute of an object, found without running a descriptor of the app."""
    if isinstance(obj, ModuleType):
        return _of_module(obj, name)
    if isinstance(obj, type):
        return _of_class(obj, name)
    attributes = instance_dict(obj)
    found = class_attribute(type(obj), name)
    if found is not None and isinstance(found.value, property):
        return Found("property", found.value, found.owner)
    if found is not None and isinstance(found.value, MemberDescriptorType):
        try:
            return Found("value", found.value.__get__(obj))
        except AttributeError:
            return UNKNOWN
    if name in attributes:
        return Found("value", attributes[name])
    if name == "__dict__":
        return UNKNOWN
    if found is not None:
        return _bound(found)
    if (dynamic := class_attribute(type(obj), "__getattr__")) is not None:
        return Found("getattr", dynamic.value, dynamic.owner)
    return UNKNOWN


def _of_module(module: ModuleType, name: str) -> Found:
    if name in module.__dict__:
        return Found("value", module.__dict__[name])
    submodule = sys.modules.get(f"{module.__name__}.{name}")
    return Found("value", submodule) if submodule is not None else UNKNOWN


def _of_class(cls: type, name: str) -> Found:
    found = class_attribute(cls, name)
    if found is None or issubclass(cls, Enum):
        return UNKNOWN
    match found.value:
        case staticmethod():
            return Found("value", found.value.__func__, found.owner)
        case classmethod():
            return Found("method", found.value.__func__, found.owner)
        case property() | GetSetDescriptorType() | MemberDescriptorType():
            return UNKNOWN
        case _:
            return found


def _bound(found: Found) -> Found:
    """A class's attribute as an instance sees it."""
    match found.value:
        case staticmethod():
            return Found("value", found.value.__func__, found.owner)
        case classmethod():
            return Found("method", found.value, found.owner)
        case functools.cached_property():
            return Found("cached", found.value.func, found.owner)
        case FunctionType():
            return Found("method", found.value, found.owner)
        case GetSetDescriptorType() | MemberDescriptorType():
            return UNKNOWN
        case _:
            return found


def elements(obj: Any) -> Iterator[Any] | None:
    """The elements of a builtin container, None where they can't be known."""
    if isinstance(obj, dict):
        values: Any = dict.values(obj)
    elif isinstance(obj, list | tuple | set | frozenset | collections.deque):
        values = obj
    else:
        return None
    if len(values) > MOST_ELEMENTS:
        return None
    try:
        return iter(tuple(values))
    except RuntimeError:  # changed by another thread meanwhile
        return None


def element(obj: Any, key: Hashable) -> Found:
    """The element under a key, without running a `__getitem__` of the app."""
    try:
        if isinstance(obj, dict) and dict.__contains__(obj, key):
            return Found("value", dict.__getitem__(obj, key))
        if isinstance(obj, list) and isinstance(key, int):
            return Found("value", list.__getitem__(obj, key))
        if isinstance(obj, tuple) and isinstance(key, int):
            return Found("value", tuple.__getitem__(obj, key))
    except (TypeError, KeyError, IndexError):
        pass
    return UNKNOWN


def attribute_key(obj: Any, name: str) -> Hashable:
    """The identity of an object's attribute; of a module it is a global name."""
    if isinstance(obj, ModuleType):
        return global_key(obj.__dict__, name)
    return ("attribute", id(obj), name)


def global_key(namespace: Mapping[str, Any], name: str) -> Hashable:
    """The identity of a global name."""
    return ("global", id(namespace), name)


def reached(obj: Any) -> frozenset[Hashable]:
    """The identity of an object and of everything that can change inside it."""
    keys: set[Hashable] = set()
    seen: set[int] = set()
    queue = collections.deque([obj])
    while queue and len(seen) < MOST_REACHED:
        current = queue.popleft()
        if id(current) in seen or is_scalar(current):
            continue
        if isinstance(current, (type, ModuleType, *CALLABLES)):
            continue
        seen.add(id(current))
        if not isinstance(current, tuple | frozenset):
            keys.add(id(current))
        for child in elements(current) or ():
            queue.append(child)
        if not _is_installed(type(current)):
            keys.add(("any", id(current)))
            for name, child in tuple(instance_dict(current).items()):
                keys.add(("attribute", id(current), name))
                queue.append(child)
    return frozenset(keys)


def _is_installed(cls: type) -> bool:
    """Whether instances of a class are not looked into: models, loggers, clients."""
    top = cls.__module__.partition(".")[0]
    if top in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file


# Types of annotations -----------------------------------------------------------------------


def scalar_type(typ: Any) -> bool:
    """Whether every value of an annotated type is immutable."""
    origin = get_origin(typ)
    if origin is Literal:
        return True
    if origin in (Union, UnionType):
        return all(scalar_type(argument) for argument in get_args(typ))
    return isinstance(typ, type) and issubclass(typ, SCALARS)


@functools.lru_cache(maxsize=512)
def _hints(cls: Any) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except Exception:  # a hint may name what exists for the type checker only
        return {}


def field_type(typ: Any, name: Hashable) -> Any:
    """The annotated type of a field of a TypedDict, dataclass or model; None if unknown."""
    origin = get_origin(typ)
    if origin is not None:
        return element_type(typ)
    if isinstance(typ, type) and isinstance(name, str):
        try:
            return _hints(typ).get(name)
        except TypeError:
            return None
    return None


def fields_of(typ: Any) -> Mapping[str, Any]:
    """The annotated fields of a TypedDict, dataclass or model; empty if unknown."""
    if not isinstance(typ, type) or get_origin(typ) is not None:
        return {}
    try:
        return _hints(typ)
    except TypeError:
        return {}


def element_type(typ: Any) -> Any:
    """The annotated type of the elements of a container; None if unknown."""
    origin, arguments = get_origin(typ), get_args(typ)
    if origin in (Union, UnionType):
        rest = [a for a in arguments if a is not NoneType]
        return element_type(rest[0]) if len(rest) == 1 else None
    if not isinstance(origin, type) or not arguments:
        return None
    if issubclass(origin, Mapping):
        return arguments[1] if len(arguments) == 2 else None
    if issubclass(origin, tuple):
        return arguments[0] if len(set(arguments) - {Ellipsis}) == 1 else None
    return arguments[0] if len(arguments) == 1 else None


def class_of(typ: Any) -> type | None:
    """The one class that values of an annotated type have, if there is one."""
    origin = get_origin(typ)
    if origin in (Union, UnionType):
        rest = [a for a in get_args(typ) if a is not NoneType]
        return class_of(rest[0]) if len(rest) == 1 else None
    if isinstance(typ, type) and typ is not object:
        return typ
    return None


def parameter_type(function: FunctionType, name: str) -> Any:
    """The annotated type of a parameter, strings resolved; None if unknown."""
    annotation = function.__annotations__.get(name)
    if not isinstance(annotation, str):
        return annotation
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # as in _hints
        return None
    return hints.get(name)


def is_context_variable(obj: Any) -> bool:
    """Whether an object is a `ContextVar`."""
    return isinstance(obj, ContextVar)
