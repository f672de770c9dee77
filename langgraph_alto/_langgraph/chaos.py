"""A seam for the compatibility tests: hold every real task back, so that what can run ahead does.

It is never active in production; `langgraph_alto.testing.chaos` switches it on.
"""

from __future__ import annotations

from typing import Any, Protocol


class HoldBack(Protocol):
    """Changes the real tasks of a step that just began."""

    def hold_back(self, run: Any) -> None: ...


active: HoldBack | None = None
trust_undeclared = False
"""Every undeclared node counts as proven."""

NEVER_TRUSTED = frozenset({"cache policy", "declared once"})
"""Holds that no declaration lifts, and so this neither."""
