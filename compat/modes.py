"""The ways in which the suite can be run."""

from __future__ import annotations

from enum import StrEnum

from compat.errors import CompatError


class Executor(StrEnum):
    """What runs the graphs."""

    LANGGRAPH = "langgraph"
    ALTO = "alto"


class Mode(StrEnum):
    """An executor and what is done to it.

    Each mode has an expectation of its own in `expected.toml`. The value names the mode
    there, on the command line's output and in the cache folder.
    """

    LANGGRAPH = "langgraph"
    """LangGraph as it is: the baseline."""

    LANGGRAPH_CHAOS = "langgraph-chaos"
    """LangGraph with its tasks held back: which tests can't stand the harness itself."""

    ALTO = "alto"
    """ALTO installed, default policy: what a user gets."""

    CHAOS = "chaos"
    """ALTO with real tasks held back, so that all that may start early does so first."""

    CHAOS_TRUST = "chaos-trust"
    """The same with every undeclared node taken as proven: the policy holds nothing back."""

    @property
    def on_alto(self) -> bool:
        """Whether the executor under test is ALTO."""
        return self in (Mode.ALTO, Mode.CHAOS, Mode.CHAOS_TRUST)

    @property
    def is_chaos(self) -> bool:
        """Whether real tasks are held back."""
        return self in (Mode.LANGGRAPH_CHAOS, Mode.CHAOS, Mode.CHAOS_TRUST)


def choose_mode(executor: Executor, *, chaos: bool, trust: bool) -> Mode:
    """The mode that a command line asks for.

    Raises:
        CompatError: `--trust` where there is no policy that it could switch off.
    """
    if trust and not (chaos and executor is Executor.ALTO):
        raise CompatError(
            "--trust switches off ALTO's policy for a chaos run: "
            "use it with --executor alto --chaos."
        )
    if executor is Executor.LANGGRAPH:
        return Mode.LANGGRAPH_CHAOS if chaos else Mode.LANGGRAPH
    if trust:
        return Mode.CHAOS_TRUST
    return Mode.CHAOS if chaos else Mode.ALTO
