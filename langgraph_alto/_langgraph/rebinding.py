"""LangGraph's own functions, with some of the names in them replaced."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import CellType, FunctionType
from typing import Any

from langgraph_alto import observe


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


def rebind_method(owner: type, name: str, **replaced: Any) -> Any:
    """The same of a class's method, below whatever an instrumentation has wrapped around it.

    A wrapper of an unknown kind is left out, with a warning.

    Raises:
        TypeError: As `rebind`.

    Example:
        >>> class Greeter:
        ...     def greet(self):
        ...         return WORD
        >>> rebind_method(Greeter, "greet", WORD="hello")(Greeter())
        'hello'
    """
    function = vars(owner)[name]
    wrappers = []
    while hasattr(function, "__wrapped__"):
        wrappers.append(function)
        function = function.__wrapped__
    rebound: Any = rebind(function, **replaced)
    for wrapper in reversed(wrappers):
        rebound = _wrapped_again(wrapper, rebound)
    return rebound


def _wrapped_again(wrapper: Any, function: Any) -> Any:
    """What a wrapper is, around another function: one of wrapt's, or a decorator's function."""
    if hasattr(wrapper, "_self_wrapper"):
        return type(wrapper)(function, wrapper._self_wrapper)
    former = wrapper.__wrapped__
    cells = getattr(wrapper, "__closure__", None) or ()
    if not any(_holds(cell, former) for cell in cells):
        observe.warn_once(
            f"{wrapper!r} is left out of accelerated graphs: what it wraps is hidden."
        )
        return function
    made = FunctionType(
        wrapper.__code__,
        wrapper.__globals__,
        wrapper.__name__,
        wrapper.__defaults__,
        tuple(CellType(function) if _holds(cell, former) else cell for cell in cells),
    )
    made.__kwdefaults__ = wrapper.__kwdefaults__
    return functools.update_wrapper(made, function)


def _holds(cell: CellType, value: Any) -> bool:
    try:
        return cell.cell_contents is value
    except ValueError:  # it is empty
        return False
