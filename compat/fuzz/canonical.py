"""Any value of a run as plain data, with everything random in it masked or renamed.

Values are made plain when they are seen (a body may change an object later). Ids and times
stay in until comparison: `rename` numbers ids in order of first appearance, which keeps who
refers to whom, and `mask` drops them, which compares where order is a race.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

from langchain_core.messages import BaseMessage

_ID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b",
)
_NOISE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(?:\+\d\d:\d\d|Z)?)"
    r"|(?P<address>0x[0-9a-f]{6,})"
    r"|(?P<elapsed>elapsed: [\d.]+s)"
    r"|(?P<module>alto_fuzz_\d+)"
    # LangGraph names its loop's class in an error of its own.
    r"|(?P<loop>(?:(?:Async|Sync)PregelLoop|Alto(?:Async|Sync)Loop))"
)


def plain(value: Any) -> Any:  # noqa: PLR0911 - one line per kind of value
    """`value` as dicts, lists and scalars, independent of the original."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _NOISE.sub(lambda match: f"<{match.lastgroup}>", value)
    if isinstance(value, BaseMessage):
        fields = value.model_dump()
        if value.id is None or _ID.fullmatch(value.id):
            # LangGraph mints ids in place, so what an early observer sees depends on when it
            # looks: a body that ran ahead is shown later, with the id (README, "not the same").
            fields["id"] = "<minted or not yet>"
        return {"message": type(value).__name__, **{k: plain(v) for k, v in fields.items()}}
    if isinstance(value, BaseException):
        notes = [plain(note) for note in getattr(value, "__notes__", [])]
        return {"error": type(value).__name__, "message": plain(str(value)), "notes": notes}
    if isinstance(value, dict):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {"type": type(value).__name__, **plain(value._asdict())}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=key_of)
    if hasattr(value, "node") and hasattr(value, "arg"):
        return {"type": "Send", "node": value.node, "arg": plain(value.arg)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [item.name for item in dataclasses.fields(value)]
        pairs = {name: plain(getattr(value, name, None)) for name in names}
        return {"type": type(value).__name__, **pairs}
    if hasattr(value, "model_dump"):
        return {"type": type(value).__name__, **plain(value.model_dump())}
    return plain(repr(value))


def mask(value: Any) -> Any:
    """Plain data with each id replaced by the same word."""
    return _walk(_sort_interrupts(value), _same)


def rename(value: Any) -> Any:
    """Plain data with each id replaced by its number, in order of first appearance."""
    names: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        return names.setdefault(match.group(), f"<id {len(names) + 1}>")

    return _walk(_sort_interrupts(value), number)


def key_of(value: Any) -> str:
    """A text to sort plain data by."""
    return json.dumps(value, sort_keys=True, default=str)


def unordered(values: list[Any]) -> list[Any]:
    """The values masked and sorted: equal for any order of the same values."""
    return sorted((mask(value) for value in values), key=key_of)


def _same(match: re.Match[str]) -> str:
    return "<id>"


def _sort_interrupts(value: Any) -> Any:
    """Lists of interrupts sorted: LangGraph collects those of parallel tasks from a set."""
    if isinstance(value, dict):
        return {key: _sort_interrupts(item) for key, item in value.items()}
    if isinstance(value, list):
        items = [_sort_interrupts(item) for item in value]
        if all(isinstance(item, dict) and item.get("type") == "Interrupt" for item in items):
            items.sort(key=lambda item: key_of(_walk(item, _same)))
            masked = [_walk(item, _same) for item in items]
            # Of equal ones nobody can say which is which.
            return [m if masked.count(m) > 1 else i for i, m in zip(items, masked, strict=True)]
        return items
    return value


def _walk(value: Any, replace: Callable[[re.Match[str]], str]) -> Any:
    if isinstance(value, str):
        return _ID.sub(replace, value)
    if isinstance(value, list):
        return [_walk(item, replace) for item in value]
    if isinstance(value, dict):
        # Keys sorted, so that ids are numbered alike whatever the order of the keys.
        return {
            _ID.sub(replace, key): _walk(value[key], replace)
            for key in sorted(value, key=lambda key: _ID.sub("", key))
        }
    return value
