"""How the arguments of a call become names of the function, and when two calls are alike."""

from __future__ import annotations

import ast
from collections.abc import Hashable
from types import FunctionType
from typing import TYPE_CHECKING, Any

from langgraph_alto.source import objects, runnables
from langgraph_alto.source.locate import all_arguments
from langgraph_alto.source.values import (
    NOTHING,
    Arguments,
    Bound,
    Fresh,
    Function,
    Input,
    Method,
    Partial,
    Real,
    Value,
)

if TYPE_CHECKING:
    from langgraph_alto.source.interpret import Frame


def defaults_of(function: FunctionType) -> tuple[list[Value], dict[str, Value]]:
    """What a function object has for arguments that are not given: by position, by name."""

    def value(obj: Any) -> Value:
        return NOTHING if objects.is_scalar(obj) else frozenset({Real(obj)})

    positional = [value(obj) for obj in function.__defaults__ or ()]
    keywords = {name: value(obj) for name, obj in (function.__kwdefaults__ or {}).items()}
    return positional, keywords


def bind(  # noqa: PLR0917 - as Python binds them
    frame: Frame,
    parameters: ast.arguments,
    arguments: Arguments,
    defaults: list[Value],
    keyword_defaults: dict[str, Value],
    function: FunctionType | None = None,
) -> None:
    """Bind the arguments of a call to a function's parameters."""
    positional = [*parameters.posonlyargs, *parameters.args]
    names = [argument.arg for argument in positional]
    given = dict(zip(names, arguments.args, strict=False))
    rest = arguments.args[len(names) :]
    extra = dict(arguments.kwargs)
    for name in (*names, *(argument.arg for argument in parameters.kwonlyargs)):
        if name in extra:
            given[name] = extra.pop(name)
    fallback = dict(zip(names[len(names) - len(defaults) :], defaults, strict=False))
    fallback.update(keyword_defaults)
    spread = arguments.star | arguments.keywords
    for argument in all_arguments(parameters):
        name = argument.arg
        if argument is parameters.vararg:
            frame.env[name] = frame.fresh(arguments.star.union(*rest))
        elif argument is parameters.kwarg:
            made = Fresh(frame.block, arguments.keywords)
            for key, value in extra.items():
                made.put(key, value, surely=True)
            frame.env[name] = frozenset({made})
        elif name in given:
            frame.env[name] = _annotated(given[name], function, name)
        else:
            frame.env[name] = spread | fallback.get(name, NOTHING)


def _annotated(value: Value, function: FunctionType | None, name: str) -> Value:
    if function is None or not any(isinstance(a, Input) and a.typ is None for a in value):
        return value
    return runnables.typed(value, objects.parameter_type(function, name))


def signature(arguments: Arguments) -> Hashable | None:
    """What kind of arguments a call has; None where they can be changed by the call.

    Two calls of a function with the same kind find the same.
    """

    def simple(value: Value) -> bool:
        return all(
            not isinstance(atom, Fresh | Function | Partial)
            and not (isinstance(atom, Bound | Method) and isinstance(atom.owner, Fresh))
            for atom in value
        )

    if not all(map(simple, arguments.all())):
        return None
    return (
        tuple(arguments.args),
        tuple(sorted(arguments.kwargs.items(), key=lambda item: item[0])),
        arguments.star,
        arguments.keywords,
    )
