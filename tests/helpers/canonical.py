"""Runs compared as plain data, with ids renamed in order of their first appearance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from compat.fuzz.canonical import key_of, mask, plain, rename, unordered

__all__ = ["history_of", "key_of", "mask", "plain", "rename", "unordered"]


def history_of(snapshots: Iterable[Any]) -> Any:
    """A thread's history, newest first as LangGraph lists it, ids numbered from the oldest."""
    found = [plain(snapshot) for snapshot in snapshots]
    return list(reversed(rename(list(reversed(found)))))
