"""Whether two results are equal, and if not, the first difference by key.

Ids that LangGraph itself draws for messages count as equal where they name the same message in
both results; all other ids that differ from run to run have to be named (`ignored`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from langgraph_alto.rendering import to_plain

Kind = Literal["value", "order", "missing", "extra", "type", "expected"]

_ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_DRAWN = re.compile(rf"(?:run-|run--|lc_run--|lc_)?{_UUID}(?:-\d+)?")
_MESSAGES = ("human", "ai", "system", "tool", "function", "chat", "remove", "AIMessageChunk")

SHORTENED = 200
"""Characters of a value that are shown."""


@dataclass(frozen=True, slots=True)
class Found:
    """A difference at a key: `verdicts[2].label`. Values as text."""

    kind: Kind
    key: str
    left: str
    right: str


def plain_result(value: Any, replaced: dict[str, str] | None = None) -> Any:
    """A result as plain data that is independent of it, without what differs in any two runs.

    Args:
        value: Any result of a graph.
        replaced: Texts that stand for the run itself, such as its thread's id, and what to
            write instead.

    Example:
        >>> plain_result({"thread": "t-17"}, {"t-17": "<thread>"})
        {'thread': '<thread>'}
    """
    return _named(_cleaned(to_plain(value), replaced or {}), {})


def _cleaned(value: Any, replaced: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _cleaned(item, replaced) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item, replaced) for item in value]
    if isinstance(value, str):
        for text, instead in replaced.items():
            value = value.replace(text, instead)
        return _ADDRESS.sub("at 0x…", value)
    return value


def _named(value: Any, names: dict[str, str]) -> Any:
    """Drawn ids of messages by the order of their first appearance."""
    if isinstance(value, dict):
        found = {key: _named(item, names) for key, item in value.items()}
        drawn = found.get("id")
        is_message = "content" in found and found.get("type") in _MESSAGES
        if is_message and isinstance(drawn, str) and _DRAWN.fullmatch(drawn):
            found["id"] = names.setdefault(drawn, f"<message {len(names) + 1}>")
        return found
    return [_named(item, names) for item in value] if isinstance(value, list) else value


def first_difference(left: Any, right: Any, ignored: Sequence[str] = ()) -> Found | None:
    """The first difference of two plain results; None if they are equal.

    A list that holds the same elements in another order is a difference of kind "order"; any
    other difference goes before it.

    Args:
        left: LangGraph's result.
        right: ALTO's.
        ignored: Keys that may differ: a name anywhere (`id`), or a whole key with `*`
            (`messages[*].id`, `report.*`).

    Example:
        >>> first_difference({"a": [1, 2]}, {"a": [2, 1]}).kind
        'order'
        >>> first_difference({"a": {"id": 1}}, {"a": {"id": 2}}, ["id"]) is None
        True
    """
    order: Found | None = None
    for found in _differences(left, right, "", tuple(ignored)):
        if found.kind != "order":
            return found
        order = order or found
    return order


def missing_expected(expected: Any, result: Any) -> Found | None:
    """What a result lacks of what was expected: its keys with just these values."""
    if not isinstance(result, dict):
        return Found("expected", "", shown(result), shown(expected))
    for key, value in to_plain(expected).items():
        if key not in result:
            return Found("expected", str(key), "nothing", shown(value))
        found = next(_differences(result[key], value, str(key), ()), None)
        if found is not None:
            return Found("expected", found.key, found.left, found.right)
    return None


def _differences(left: Any, right: Any, key: str, ignored: tuple[str, ...]) -> Iterator[Found]:
    if _is_ignored(key, ignored):
        return
    if isinstance(left, dict) and isinstance(right, dict):
        for name in [*left, *(n for n in right if n not in left)]:
            inner = f"{key}.{name}" if key else str(name)
            if _is_ignored(inner, ignored):
                continue
            if name not in right:
                yield Found("missing", inner, shown(left[name]), "nothing")
            elif name not in left:
                yield Found("extra", inner, "nothing", shown(right[name]))
            else:
                yield from _differences(left[name], right[name], inner, ignored)
    elif isinstance(left, list) and isinstance(right, list):
        yield from _in_lists(left, right, key, ignored)
    elif type(left) is not type(right) and not _are_numbers(left, right):
        yield Found("type", key, shown(left), shown(right))
    elif left != right:
        yield Found("value", key, shown(left), shown(right))


def _in_lists(
    left: list[Any], right: list[Any], key: str, ignored: tuple[str, ...]
) -> Iterator[Found]:
    if left == right:
        return
    if len(left) == len(right):
        ours = sorted(_sort_key(item, f"{key}[{i}]", ignored) for i, item in enumerate(left))
        theirs = sorted(_sort_key(item, f"{key}[{i}]", ignored) for i, item in enumerate(right))
        inner = [
            list(_differences(a, b, f"{key}[{index}]", ignored))
            for index, (a, b) in enumerate(zip(left, right, strict=True))
        ]
        if ours == theirs and any(inner):
            place = next(index for index, found in enumerate(inner) if found)
            yield Found("order", f"{key}[{place}]", shown(left[place]), shown(right[place]))
            return
        for found in inner:
            yield from found
        return
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        yield from _differences(a, b, f"{key}[{index}]", ignored)
    shorter = min(len(left), len(right))
    if len(left) > shorter:
        yield Found("missing", f"{key}[{shorter}]", shown(left[shorter]), "nothing")
    else:
        yield Found("extra", f"{key}[{shorter}]", "nothing", shown(right[shorter]))


def _sort_key(value: Any, key: str, ignored: tuple[str, ...]) -> str:
    return json.dumps(_without(value, key, ignored), sort_keys=True, default=str)


def _without(value: Any, key: str, ignored: tuple[str, ...]) -> Any:
    """A value without what is ignored in it."""
    if _is_ignored(key, ignored):
        return None
    if isinstance(value, dict):
        return {name: _without(item, f"{key}.{name}", ignored) for name, item in value.items()}
    if isinstance(value, list):
        return [_without(item, f"{key}[{i}]", ignored) for i, item in enumerate(value)]
    return value


def _is_ignored(key: str, ignored: Iterable[str]) -> bool:
    name = key.rpartition(".")[2]
    # In `fnmatch` brackets mean a set of characters; here they are an index.
    return any(
        pattern in (key, name) or fnmatchcase(_flat(key), _flat(pattern)) for pattern in ignored
    )


def _flat(key: str) -> str:
    return key.replace("[", "(").replace("]", ")")


def _are_numbers(left: Any, right: Any) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in (left, right))


def shown(value: Any) -> str:
    """A value as one short text."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= SHORTENED else f"{text[: SHORTENED - 1]}…"
