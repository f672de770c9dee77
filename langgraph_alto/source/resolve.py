"""What stands behind a name or a call, where it can be known without running code."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from langgraph_alto.source import objects
from langgraph_alto.source.locate import FunctionNode
from langgraph_alto.source.shapes import Shape

if TYPE_CHECKING:
    from langgraph_alto.source.evaluate import Activation


@dataclass
class Given:
    """What a call hands over; `open` where `*x` or `**x` may fill any parameter."""

    args: list[Shape] = field(default_factory=list)
    kwargs: dict[str, Shape] = field(default_factory=dict)
    open: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """An object that exists and that an expression stands for."""

    obj: Any


@dataclass(frozen=True, slots=True, eq=False)
class Local:
    """A function that the followed code defines while it runs."""

    node: FunctionNode
    home: Activation


def attribute(obj: Any, name: str) -> Known | None:
    """An attribute, found without running code of the app."""
    if isinstance(obj, Enum) and name in ("value", "name"):
        return Known(getattr(obj, name))
    if isinstance(obj, type) and issubclass(obj, Enum):
        member = obj.__members__.get(name)
        return Known(member) if member is not None else None
    found = objects.lookup(obj, name)
    if found.kind == "method" and isinstance(found.value, FunctionType | classmethod):
        function: Any = getattr(found.value, "__func__", found.value)
        owner = obj
        if isinstance(found.value, classmethod) or isinstance(obj, type):
            owner = obj if isinstance(obj, type) else type(obj)
        return Known(MethodType(function, owner))
    return Known(found.value) if found.kind == "value" else None
