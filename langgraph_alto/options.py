"""What a user can set, checked when it is set and not when it is first used."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from langgraph_alto.errors import DeclarationError, OptionError

RunAhead = Literal["off", "certain", "streamed", "speculative"]
Emit = Literal["ordered", "eager"]
Undeclared = Literal["run", "hold"]
Effects = Literal["pure", "idempotent", "once"]

ENVIRONMENT_VARIABLE = "LANGGRAPH_ALTO_OPTIONS"
"""Holds options as a JSON object for `install()` and the command line."""

DECLARATION_KEYS = ("reads", "writes", "effects", "stream", "hedge", "placement")
"""What may be declared of a node: in `Options(nodes=…)` or `metadata={"alto": …}`."""

TOOL_DECLARATION_KEYS = ("effects",)
"""What may be declared of a tool: in `Options(tools=…)` or `BaseTool.metadata["alto"]`."""

_CHOICES: dict[str, tuple[str, ...]] = {
    "run_ahead": get_args(RunAhead),
    "emit": get_args(Emit),
    "undeclared": get_args(Undeclared),
}


@dataclass(frozen=True, init=False)
class Options:
    """How an accelerated graph runs.

    Args:
        run_ahead: Which predictions are acted on: `"off"`, `"certain"` (a finished task
            determines node and input), `"streamed"` (also what a streaming node has
            yielded), `"speculative"` (also likely inputs; verified before they count).
        emit: `"ordered"` gives LangGraph's stream, chunk for chunk; `"eager"` hands out
            chunks as they happen, which may reorder chunks of different tasks.
        undeclared: `"run"` lets a node without a declaration run early unless something
            speaks against it; `"hold"` keeps every such node for its real step.
        max_ahead: How many tasks of a run may be ahead at once; also the most bodies
            that a crash can make run a second time.
        partials: Adds partial outputs with their ancestry to the `custom` stream.
        nodes: Declarations for nodes that can't be edited, by node name or
            `"parent:child"`, e.g. `{"search": {"effects": "idempotent"}}`.
        tools: The same for tools, by tool name.

    Raises:
        OptionError: An unknown option or value; the message lists the valid ones.
        DeclarationError: A declaration with an unknown key or effect.

    Example:
        >>> Options(max_ahead=8, emit="eager").max_ahead
        8
        >>> Options(emit="fast")
        Traceback (most recent call last):
        ...
        langgraph_alto.errors.OptionError: emit='fast' is not an option. Valid: 'ordered', 'eager'.
    """

    run_ahead: RunAhead = "streamed"
    emit: Emit = "ordered"
    undeclared: Undeclared = "run"
    max_ahead: int = 64
    partials: bool = False
    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __init__(
        self,
        *,
        run_ahead: RunAhead = "streamed",
        emit: Emit = "ordered",
        undeclared: Undeclared = "run",
        max_ahead: int = 64,
        partials: bool = False,
        nodes: Mapping[str, Mapping[str, Any]] | None = None,
        tools: Mapping[str, Mapping[str, Any]] | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            valid = ", ".join(f.name for f in fields(self))
            raise OptionError(f"Unknown option {', '.join(sorted(unknown))}. Valid: {valid}.")
        for name, value in (("nodes", nodes), ("tools", tools)):
            if value is not None and not isinstance(value, Mapping):
                raise OptionError(
                    f"{name} must be a mapping from names to declarations, such as "
                    f"{{'search': {{'effects': 'idempotent'}}}}, not {type(value).__name__}."
                )
        values: dict[str, Any] = {
            "run_ahead": run_ahead,
            "emit": emit,
            "undeclared": undeclared,
            "max_ahead": max_ahead,
            "partials": partials,
            "nodes": dict(nodes or {}),
            "tools": dict(tools or {}),
        }
        for name, choices in _CHOICES.items():
            if values[name] not in choices:
                raise OptionError(
                    f"{name}={values[name]!r} is not an option. "
                    f"Valid: {', '.join(map(repr, choices))}."
                )
        if isinstance(max_ahead, bool) or not isinstance(max_ahead, int) or max_ahead < 1:
            raise OptionError(f"max_ahead={max_ahead!r} must be a whole number, 1 or more.")
        if not isinstance(partials, bool):
            raise OptionError(f"partials={partials!r} must be True or False.")
        for name, declaration in values["nodes"].items():
            check_declaration(declaration, f"nodes[{name!r}]", DECLARATION_KEYS)
        for name, declaration in values["tools"].items():
            check_declaration(declaration, f"tools[{name!r}]", TOOL_DECLARATION_KEYS)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Options:
        """The options in `LANGGRAPH_ALTO_OPTIONS`, or the defaults where it is not set.

        Example:
            >>> Options.from_environment({"LANGGRAPH_ALTO_OPTIONS": '{"max_ahead": 4}'}).max_ahead
            4
        """
        text = environ.get(ENVIRONMENT_VARIABLE, "").strip()
        if not text:
            return cls()
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise OptionError(
                f"{ENVIRONMENT_VARIABLE} must hold a JSON object such as "
                f'{{"max_ahead": 8}}; it is not valid JSON: {error}.'
            ) from None
        if not isinstance(values, dict):
            raise OptionError(
                f'{ENVIRONMENT_VARIABLE} must hold a JSON object such as {{"max_ahead": 8}}, '
                f"not {type(values).__name__}."
            )
        return cls(**values)


def check_declaration(declaration: Any, where: str, keys: tuple[str, ...]) -> None:
    """Refuse a declaration that could not mean anything, naming `where` it stands.

    Raises:
        DeclarationError: It is no mapping, or has an unknown key or effect.
    """
    if not isinstance(declaration, Mapping):
        raise DeclarationError(
            f"{where} must be a mapping such as {{'effects': 'pure'}}, "
            f"not {type(declaration).__name__}."
        )
    for key in declaration:
        if key not in keys:
            raise DeclarationError(
                f"{where} has the unknown key {key!r}. Valid: {', '.join(keys)}."
            )
    if "effects" in declaration and declaration["effects"] not in get_args(Effects):
        raise DeclarationError(
            f"{where} declares effects={declaration['effects']!r}. "
            f"Valid: {', '.join(map(repr, get_args(Effects)))}."
        )
