"""Lengths and times as real traffic has them, drawn the same way on every machine.

Each draw is seeded by what it is for (`rng("verdict", claim)`), never by the order of
calls: two executors that ask in a different order get the same lengths.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

AZURE_OUTPUT_TOKENS: tuple[tuple[float, float], ...] = (
    (0.00, 12),
    (0.05, 41),
    (0.10, 54),
    (0.20, 77),
    (0.30, 91),
    (0.40, 103),
    (0.50, 129),
    (0.60, 176),
    (0.70, 383),
    (0.80, 399),
    (0.90, 423),
    (0.95, 449),
    (0.99, 588),
    (1.00, 954),
)
"""Output tokens of the Azure 2023 conversation trace: (quantile, tokens)."""


def rng(*parts: object) -> random.Random:
    """A random generator that depends on `parts` alone, in every process.

    Example:
        >>> rng("verdict", 3).random() == rng("verdict", 3).random()
        True
    """
    # str() of each part, with a separator that no text holds: ("a", "bc") is not ("ab", "c").
    text = "\x1f".join(str(part) for part in parts)
    return random.Random(hashlib.sha256(text.encode()).digest())


def _clip(value: float, low: float | None, high: float | None) -> float:
    if low is not None:
        value = max(low, value)
    if high is not None:
        value = min(high, value)
    return value


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A distribution given by some of its quantiles, linear between them, then clipped."""

    points: Sequence[tuple[float, float]]
    low: float | None = None
    high: float | None = None

    def draw(self, random: random.Random) -> float:
        """One value."""
        u = random.random()
        for (q0, v0), (q1, v1) in pairwise(self.points):
            if u <= q1:
                return _clip(v0 + (v1 - v0) * (u - q0) / (q1 - q0), self.low, self.high)
        return _clip(self.points[-1][1], self.low, self.high)

    def tokens(self, random: random.Random) -> int:
        """One value as a number of tokens."""
        return max(1, round(self.draw(random)))


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A lognormal distribution with median `exp(mu)`, then clipped."""

    mu: float
    sigma: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def with_mean(
        cls, mean: float, sigma: float, low: float | None = None, high: float | None = None
    ) -> LogNormal:
        """By its mean before clipping: how token counts are written."""
        return cls(math.log(mean) - sigma * sigma / 2, sigma, low, high)

    @classmethod
    def with_median(
        cls, median: float, sigma: float, low: float | None = None, high: float | None = None
    ) -> LogNormal:
        """By its median: how times are written."""
        return cls(math.log(median), sigma, low, high)

    def draw(self, random: random.Random) -> float:
        """One value."""
        return _clip(random.lognormvariate(self.mu, self.sigma), self.low, self.high)

    def tokens(self, random: random.Random) -> int:
        """One value as a number of tokens."""
        return max(1, round(self.draw(random)))


def azure(low: float | None = None, high: float | None = None) -> Quantiles:
    """Answer lengths of the Azure 2023 conversation trace, clipped to `low`..`high`."""
    return Quantiles(AZURE_OUTPUT_TOKENS, low, high)
