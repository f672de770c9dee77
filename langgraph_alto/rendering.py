"""How the command line shows values and reports: JSON that can be read, and a table."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langgraph_alto.report import RunReport

if TYPE_CHECKING:
    from rich.console import Console


def to_json(value: Any, *, indent: int | None = None) -> str:
    """`value` as JSON text, whatever it holds.

    Example:
        >>> to_json({"seen": {1}, "at": float("nan")})
        '{"seen": [1], "at": null}'
    """
    return json.dumps(to_plain(value), indent=indent, ensure_ascii=False)


def to_plain(value: Any, _inside: tuple[int, ...] = ()) -> Any:
    """`value` as dicts, lists, strings and numbers.

    Messages and other pydantic models become their fields, so that a message reads
    `{"content": …, "type": "ai", …}` and can be given back as input; dataclasses such as
    `Interrupt` do too, and `Send`. What has no fields becomes its text.
    """
    if isinstance(value, enum.Enum):
        value = value.value
    if hasattr(value, "tolist"):  # arrays and their scalars: numpy, torch
        value = value.tolist()
    if value is None or isinstance(value, str | bool | int | float):
        return _scalar(value)
    if id(value) in _inside:
        return f"<{type(value).__name__} inside itself>"
    inside = (*_inside, id(value))
    fields = _fields_of(value)
    if fields is not None:
        return {_key(key): to_plain(item, inside) for key, item in fields.items()}
    items = _items_of(value)
    if items is not None:
        return [to_plain(item, inside) for item in items]
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace")
    return str(value)


def _scalar(value: str | bool | int | float | None) -> str | bool | int | float | None:
    """JSON knows no infinity and no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _items_of(value: Any) -> Iterable[Any] | None:
    """The items of what JSON shows as a list: sequences, and sets in a fixed order."""
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if isinstance(value, bytes | bytearray | memoryview):
        return None
    return value if isinstance(value, Sequence | deque) else None


def _fields_of(value: Any) -> Mapping[Any, Any] | None:
    """The items of a mapping, or the fields of a pydantic model or dataclass."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    model_fields = getattr(type(value), "model_fields", None)
    if isinstance(model_fields, Mapping):
        extra = getattr(value, "model_extra", None) or {}
        return {name: getattr(value, name) for name in model_fields} | dict(extra)
    from langgraph.types import Send

    return {"node": value.node, "arg": value.arg} if isinstance(value, Send) else None


def _key(key: Any) -> str:
    return key if isinstance(key, str) else str(to_plain(key))


_COUNTS = ("started", "adopted", "discarded", "rerun", "abandoned")


def print_report(runs: Sequence[RunReport], console: Console) -> None:
    """Print the reports of `record()`: a table with a row for each run, then the reasons."""
    from rich.table import Table

    table = Table(title="Tasks run ahead", title_justify="left")
    table.add_column("run")
    for name in (*_COUNTS, "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in runs:
        seconds = "" if run.duration is None else f"{run.duration:.3f}"
        table.add_row(run.graph, *(str(getattr(run, name)) for name in _COUNTS), seconds)
    console.print(table)
    for run in runs:
        for note in _notes(run):
            console.print(f"{run.graph}: {note}", markup=False, highlight=False, soft_wrap=True)


def _notes(run: RunReport) -> list[str]:
    """Why tasks did not run ahead."""
    notes = [f"not accelerated: {reason}" for reason in run.fallbacks]
    if not run.accelerated and not notes:
        notes = ["not accelerated"]
    return notes + [f"held {count} times: {reason}" for reason, count in run.held.most_common()]
