"""LangGraph's own functions, with some of the names in them replaced."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any


def rebind(function: Callable[..., Any], **replaced: Any) -> FunctionType:
    """The function with the same code, in which each of these global names means another thing.

    Raises:
        TypeError: It is no plain function, or uses variables of a function around it.

    Example:
        >>> def greet():
        ...     return WORD
        >>> rebind(greet, WORD="hello")()
        'hello'
    """
    if not isinstance(function, FunctionType) or function.__code__.co_freevars:
        raise TypeError(f"{function!r} has free variables or no code; it can't be rebound")
    rebound = FunctionType(
        function.__code__,
        {**function.__globals__, **replaced},
        function.__name__,
        function.__defaults__,
    )
    rebound.__kwdefaults__ = function.__kwdefaults__
    rebound.__annotations__ = function.__annotations__
    rebound.__qualname__ = function.__qualname__
    rebound.__doc__ = function.__doc__
    rebound.__module__ = function.__module__
    return rebound
