"""The one exception of the runner: something that its user has to see to."""

from __future__ import annotations


class CompatError(Exception):
    """The suite could not be run. The message is one line that says what to do."""
