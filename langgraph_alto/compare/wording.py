"""Numbers and their units as people read them."""

from __future__ import annotations

import math
from collections.abc import Callable

from langgraph_alto.compare.report import Ratio


def seconds(value: float | None) -> str:
    """A time in seconds with three digits, in the unit that fits it.

    Example:
        >>> [seconds(t) for t in (0.0, 0.0000421, 0.0123, 0.8124, 1.3891, 12.34, 75.2)]
        ['0 ms', '42.1 µs', '12.3 ms', '812 ms', '1,389 ms', '12.3 s', '75.2 s']
    """
    if value is None or not math.isfinite(value):
        return "—"
    if value == 0:
        return "0 ms"
    factor, unit = _unit(abs(value))
    return f"{_digits(value * factor)} {unit}"


def in_unit_of(highest: float) -> Callable[[float], str]:
    """Names the ticks of an axis that ends at `highest` seconds, all in one unit.

    Example:
        >>> tick = in_unit_of(15.0)
        >>> tick(0), tick(2.5), tick(15)
        ('0 s', '2.5 s', '15 s')
    """
    factor, unit = _unit(highest)
    return lambda value: f"{round(value * factor, 6):,.10g} {unit}"


def _unit(size: float) -> tuple[float, str]:
    if size < 0.001:
        return 1e6, "µs"
    return (1e3, "ms") if size < 10 else (1.0, "s")


def _digits(value: float) -> str:
    """Three digits, and none that was not measured after the point of a large number."""
    size = abs(value)
    places = 0 if size >= 99.95 else 1 if size >= 9.995 else 2
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if places == 2 and float(text) == round(value) else text


def change(before: float, after: float) -> str:
    """Two times, the unit said once where it is the same.

    Example:
        >>> change(1.389, 0.812), change(0.5, 12.34)
        ('1,389 → 812 ms', '500 ms → 12.3 s')
    """
    first, second = seconds(before), seconds(after)
    if first.split()[-1] == second.split()[-1]:
        first = first.split()[0]
    return f"{first} → {second}"


def number(value: float | None) -> str:
    """A figure such as a mean count, with no more places than it needs.

    Example:
        >>> [number(n) for n in (0.0, 4.0, 4.25, 1234.5, None)]
        ['0', '4', '4.25', '1,234', '—']
    """
    if value is None or not math.isfinite(value):
        return "—"
    if abs(value) >= 100 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def percent(value: float | None) -> str:
    """A part of one as a percentage.

    Example:
        >>> percent(0.034), percent(0.5)
        ('3.4%', '50%')
    """
    if value is None or not math.isfinite(value):
        return "—"
    share = value * 100
    return f"{share:.0f}%" if share >= 10 or share == round(share) else f"{share:.1f}%"


def rate(value: float | None, at_least: bool = False) -> str:
    """Runs per second.

    Example:
        >>> rate(2.345), rate(2.345, at_least=True), rate(None)
        ('2.35 /s', '≥ 2.35 /s', '—')
    """
    if value is None or not math.isfinite(value):
        return "—"
    return f"{'≥ ' if at_least else ''}{_digits(value)} /s"


def plain_ratio(value: float | None) -> str:
    """A ratio with two places.

    Example:
        >>> plain_ratio(0.584)
        '0.58'
    """
    return "—" if value is None or not math.isfinite(value) else f"{value:.2f}"


def ratio(found: Ratio | None) -> str:
    """A ratio and its interval.

    Example:
        >>> ratio(Ratio(value=0.584, low=0.57, high=0.6)).split()
        ['0.58', '[0.57,', '0.60]']
    """
    if found is None:
        return "—"
    interval = f"[{plain_ratio(found.low)},\N{NO-BREAK SPACE}{plain_ratio(found.high)}]"
    return f"{plain_ratio(found.value)} {interval}"
