"""The inputs of a comparison: one JSON object a line.

    {"input": {"question": "..."}}
    {"input": {...}, "config": {"recursion_limit": 50}, "context": {"user": "ada"}}
    {"input": {...}, "answers": ["yes", {"edit": "..."}], "expect": {"status": "sent"}}

`answers` are given to interrupts in their order (where several wait at once, in that of their
values as text), and `null` to a breakpoint. `expect` holds keys
that the result must have with just these values. A line that is no object with one of these keys
is an input itself; empty lines count and are left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langgraph_alto.errors import InputsError

KEYS = ("input", "config", "context", "answers", "expect")


@dataclass(frozen=True)
class Case:
    """One input, and what goes with it. `line` is where it stands, from 1."""

    line: int
    input: Any
    config: Mapping[str, Any] = field(default_factory=dict)
    context: Any = None
    answers: tuple[Any, ...] = ()
    expect: Mapping[str, Any] | None = None


def read_inputs(path: str | Path) -> list[Case]:
    """The inputs in a JSONL file.

    Raises:
        InputsError: It can't be read, is empty, or a line can't be used; one line that says
            which.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputsError(f"can't read {str(path)!r}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise InputsError(f"{path}: not UTF-8 text: {error.reason}.") from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            where = f"{path}, line {number}, column {error.colno}"
            raise InputsError(f"{where}: not valid JSON: {error.msg}.") from None
        found.append(case_of(value, number, f"{path}, line {number}"))
    if not found:
        raise InputsError(f'{path} holds no inputs. Write one a line: {{"input": {{…}}}}.')
    return found


def case_of(value: Any, line: int, where: str) -> Case:
    """An input as it stands in a line or was given to `compare()`.

    Example:
        >>> case_of({"question": "Why?"}, 1, "inputs").input
        {'question': 'Why?'}
        >>> case_of({"input": 1, "answers": ["yes"]}, 1, "inputs").answers
        ('yes',)
    """
    if not isinstance(value, Mapping) or "input" not in value:
        return Case(line, value)
    unknown = [key for key in value if key not in KEYS]
    if unknown:
        raise InputsError(f"{where}: unknown key {unknown[0]!r}. Valid: {', '.join(KEYS)}.")
    config = value.get("config") or {}
    if not isinstance(config, Mapping):
        raise InputsError(f"{where}: config must be an object, not {type(config).__name__}.")
    if not isinstance(config.get("configurable", {}), Mapping):
        raise InputsError(f"{where}: config.configurable must be an object.")
    answers = value.get("answers") or ()
    if not isinstance(answers, list | tuple):
        raise InputsError(
            f"{where}: answers must be a list, one for each interrupt, "
            f"not {type(answers).__name__}."
        )
    expect = value.get("expect")
    if expect is not None and not isinstance(expect, Mapping):
        raise InputsError(f"{where}: expect must be an object, not {type(expect).__name__}.")
    return Case(line, value["input"], config, value.get("context"), tuple(answers), expect)


def cases_of(inputs: str | Path | Iterable[Any]) -> list[Case]:
    """Cases from a file's path, or from inputs given in Python."""
    if isinstance(inputs, str | Path):
        return read_inputs(inputs)
    if isinstance(inputs, Mapping):
        raise InputsError("inputs must be a list of inputs, or a path to a JSONL file; not a dict.")
    found = [
        value if isinstance(value, Case) else case_of(value, number, f"inputs[{number - 1}]")
        for number, value in enumerate(inputs, 1)
    ]
    if not found:
        raise InputsError("inputs is empty.")
    return found


def digest(cases: Iterable[Case]) -> str:
    """A hash of all inputs, to know them again."""
    from langgraph_alto.rendering import to_json

    parts = [[c.input, c.config, c.context, list(c.answers), c.expect] for c in cases]
    return hashlib.sha256(to_json(parts).encode()).hexdigest()
