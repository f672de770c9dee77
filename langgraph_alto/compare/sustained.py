"""The highest rate at which latency stays below a limit, from the concurrencies that were measured.

The limits are multiples of LangGraph's latency without load, so one run at a time must have been
measured, and something above it.
"""

from __future__ import annotations

from collections.abc import Sequence

from langgraph_alto.compare.report import BothNumbers, Executor, Level, Sustained

BOTH: tuple[Executor, Executor] = ("langgraph", "alto")

TARGETS = (1.25, 2.0)
"""Latency targets, as multiples of LangGraph's unloaded median."""

SUGGESTED = (1, 2, 4, 8)
"""Concurrencies that show the rate of most graphs."""


def sustained_rates(levels: Sequence[Level]) -> list[Sustained]:
    """The rate at each target; empty if it was not measured, see `why_not_measured`."""
    unloaded = levels[0].latency.langgraph
    if levels[0].concurrency != 1 or len(levels) < 2 or unloaded is None:
        return []
    found = []
    for target in TARGETS:
        limit = target * unloaded.p50
        rates = {name: _rate_at(levels, name, limit) for name in BOTH}
        found.append(
            Sustained(
                target=target,
                limit=limit,
                rate=both_numbers(rates["langgraph"][0], rates["alto"][0]),
                at_most_concurrency=[name for name in BOTH if rates[name][1]],
            )
        )
    return found


def why_not_measured(levels: Sequence[Level], asked: Sequence[int], *, in_python: bool) -> str:
    """Why there is no sustained rate and what measures it; empty where there is one.

    Args:
        levels: What was measured, lowest concurrency first.
        asked: The concurrencies that were to be measured.
        in_python: Whether `compare()` was called, and not the command.
    """
    if sustained_rates(levels):
        return ""
    if asked[0] == 1 and len(asked) > 1:
        stopped = len(levels) < len(asked)
        why = "the measurement was stopped before it" if stopped else "no run finished on LangGraph"
        return f"The sustained rate was not measured: {why}."
    better = sorted({1, *asked}) if asked[0] != 1 else SUGGESTED
    how = f"command with --concurrency {','.join(map(str, better))}"
    if in_python:
        how = f"call with concurrency={tuple(better)}"
    lacks = "more than one concurrency" if asked[0] == 1 else "a concurrency of 1, too"
    return (
        "The sustained rate, the highest at which latency stays below a limit, was not measured: "
        f"it needs {lacks}. The same {how} measures it."
    )


def _rate_at(levels: Sequence[Level], name: Executor, limit: float) -> tuple[float | None, bool]:
    """The highest rate with a median below a limit, and whether the highest level still kept it."""
    points = []
    for level in levels:
        latency, rate = getattr(level.latency, name), getattr(level.throughput, name)
        if latency is not None and rate is not None:
            points.append((latency.p50, rate))
    best: float | None = None
    for place, (latency, rate) in enumerate(points):
        if latency <= limit:
            best = max(best or 0.0, rate)
        elif place and points[place - 1][0] <= limit:
            before, rate_before = points[place - 1]
            share = (limit - before) / (latency - before)
            best = max(best or 0.0, rate_before + share * (rate - rate_before))
    return best, bool(points) and points[-1][0] <= limit


def both_numbers(first: float | None, second: float | None) -> BothNumbers:
    """A figure on both executors with their ratio."""
    ratio = second / first if first and second is not None else None
    return BothNumbers(langgraph=first, alto=second, ratio=ratio)
