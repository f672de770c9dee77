"""A module of some app: what it holds is shared by whoever imports it."""

from __future__ import annotations

mode = "none"
_chosen: list[str] = []


def choose(name: str) -> None:
    """Keep a name."""
    _chosen.append(name)


def chosen() -> list[str]:
    """The names that were kept."""
    return list(_chosen)


def forget() -> None:
    """Begin anew."""
    _chosen.clear()
