"""Every exception of langgraph_alto, so that one `except AltoError` catches them all."""

from __future__ import annotations


class AltoError(Exception):
    """Base class of the errors that langgraph_alto raises itself.

    Errors of a graph (its nodes, LangGraph's own) are never wrapped: they arrive as
    LangGraph raises them.
    """


class OptionError(AltoError, ValueError):
    """An option, or its value, that does not exist. The message lists the valid ones."""


class DeclarationError(AltoError, ValueError):
    """A declaration about a node or a tool that names an unknown key, value, node or tool."""


class NotAGraphError(AltoError, TypeError):
    """Something was given to `accelerate` that is no compiled graph."""


class TargetError(AltoError):
    """A command line TARGET that can't be loaded; the message says what to change."""


class RecordingError(AltoError, ValueError):
    """A file that should hold recorded spans and does not; the message says what is wrong."""


class OutputError(AltoError):
    """What a command should make can't be made: no such folder, a missing extra."""


class InputsError(AltoError, ValueError):
    """Inputs, or an earlier report, that a comparison can't use; the message says which line."""


class InvariantViolated(AltoError, AssertionError):
    """A rule of the run-ahead scheduler is broken: a bug. The message names rule and task.

    Please report it with this message.
    """
