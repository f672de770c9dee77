"""The statistics of a comparison: paired bootstrap intervals, and when a difference is named.

Runs come in pairs with the same input. The ratio of a comparison is made of the logarithms of
the pairs' ratios: for each input their median over the rounds (their mean below 6 rounds), of
these the mean over the inputs. So an input that takes long weighs as much as a short one, and a
run that the machine disturbed weighs little. Pairs are resampled within their input; below 6
rounds they are resampled all together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from langgraph_alto.compare.report import (
    BothTimes,
    Noise,
    QuantileRatios,
    Quantiles,
    Ratio,
    Verdict,
)

CONFIDENCE = 0.95
RESAMPLES = 2000

LEAST = 0.02
"""The smallest difference that is named, however sure it is: nobody would notice it."""

ROUNDS = 6
"""From so many rounds on an input's median is resampled by itself."""

PAIRS = 6
"""Below so many pairs no difference is named: an interval of less would mean little."""

Floats = NDArray[np.float64]
Pair = tuple[float, float]


def quantiles(values: Sequence[float]) -> Quantiles | None:
    """The distribution of some times; None if there are none."""
    if not values:
        return None
    p50, p95, p99 = (float(q) for q in np.quantile(values, (0.5, 0.95, 0.99)))
    return Quantiles(
        p50=p50,
        p95=p95,
        p99=p99,
        mean=float(np.mean(values)),
        least=float(min(values)),
        most=float(max(values)),
        count=len(values),
    )


def typical_ratio(pairs: Sequence[Sequence[Pair]], seed: int = 0) -> Ratio | None:
    """The ratio of paired times, second to first.

    Args:
        pairs: For each input its pairs (LangGraph, ALTO).
        seed: For the resampling.

    Returns:
        The ratio with its interval; None if there is no pair. Of a single pair the interval is
        the ratio itself, which no verdict is made of.

    Example:
        >>> typical_ratio([[(1.0, 0.5), (1.1, 0.55), (0.9, 0.45)]]).value
        0.5
    """
    logs = [np.log([b / a for a, b in some if a > 0 and b > 0]) for some in pairs]
    logs = [values for values in logs if len(values)]
    if not logs:
        return None
    if min(len(values) for values in logs) >= ROUNDS:
        return _resampled(tuple(logs), _mean_of_medians, seed)
    return _resampled((np.concatenate(logs),), _mean_of_means, seed)


def _mean_of_medians(*samples: Floats, axis: int = -1) -> Any:
    return np.exp(np.mean([np.median(values, axis=axis) for values in samples], axis=0))


def _mean_of_means(*samples: Floats, axis: int = -1) -> Any:
    return np.exp(np.mean([np.mean(values, axis=axis) for values in samples], axis=0))


def _resampled(
    samples: tuple[Floats, ...], statistic: Any, seed: int, *, paired: bool = False
) -> Ratio:
    value = float(statistic(*samples))
    if min(len(values) for values in samples) < 2 or all(np.ptp(v) == 0 for v in samples):
        return Ratio(value=value, low=value, high=value)
    found = bootstrap(
        samples,
        statistic,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        paired=paired,
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Ratio(value=value, low=float(found.low), high=float(found.high))


def quantile_ratios(pairs: Sequence[Sequence[Pair]], seed: int = 0) -> QuantileRatios | None:
    """The ratios of the quantiles over all pairs, which are resampled together."""
    flat = [(a, b) for some in pairs for a, b in some if a > 0 and b > 0]
    if not flat:
        return None
    first, second = np.array(flat).T

    def ratio(q: float) -> Ratio:
        def statistic(a: Floats, b: Floats, axis: int = -1) -> Any:
            return np.quantile(b, q, axis=axis) / np.quantile(a, q, axis=axis)

        return _resampled((first, second), statistic, seed, paired=True)

    return QuantileRatios(p50=ratio(0.5), p95=ratio(0.95), p99=ratio(0.99))


def both_times(pairs: Sequence[Sequence[tuple[float | None, float | None]]]) -> BothTimes:
    """A time on both executors, with the ratio of those pairs that have both."""
    whole = [[(a, b) for a, b in some if a is not None and b is not None] for some in pairs]
    return BothTimes(
        langgraph=quantiles([a for some in pairs for a, _ in some if a is not None]),
        alto=quantiles([b for some in pairs for _, b in some if b is not None]),
        ratio=typical_ratio(whole),
    )


# Verdicts ----------------------------------------------------------------------------------


def noise_of(pairs: Sequence[Sequence[Pair]], seed: int = 0) -> Noise:
    """LangGraph against itself."""
    ratio = typical_ratio(pairs, seed)
    if ratio is None:
        return Noise(ratio=None, sentence="LangGraph was not measured against itself.")
    return Noise(
        ratio=ratio,
        sentence=f"LangGraph against itself: {ratio.value:.3f} ({ratio.low:.3f} to "
        f"{ratio.high:.3f}).",
    )


def verdict_of(ratio: Ratio | None, noise: Noise, pairs: int) -> Verdict:
    """Whether one executor is faster, in one sentence.

    Said only where the interval leaves 1.00 out and the difference is more than both `LEAST`
    and what LangGraph differed from itself.
    """
    own = 0.0 if noise.ratio is None else abs(noise.ratio.value - 1.0)
    margin = max(LEAST, own)
    if ratio is None:
        return Verdict(code="no_data", sentence="No pair of runs finished.", margin=margin)
    interval = f"{ratio.value:.2f} times LangGraph's ({ratio.low:.2f} to {ratio.high:.2f})"
    if pairs < PAIRS:
        few = "1 pair of runs is" if pairs == 1 else f"{pairs} pairs of runs are"
        sentence = f"No difference shown: {few} too few ({PAIRS} are needed)."
        return Verdict(code="no_difference", sentence=sentence, margin=margin)
    if ratio.low <= 1.0 <= ratio.high or abs(ratio.value - 1.0) <= margin:
        sentence = f"No difference shown: ALTO's latency is {interval}."
        return Verdict(code="no_difference", sentence=sentence, margin=margin)
    if ratio.value < 1.0:
        sentence = f"ALTO is faster: its latency is {interval}, {1 - ratio.value:.0%} less."
        return Verdict(code="faster", sentence=sentence, margin=margin)
    sentence = f"ALTO is slower: its latency is {interval}, {ratio.value - 1:.0%} more."
    return Verdict(code="slower", sentence=sentence, margin=margin)


def change_of(then: Sequence[Sequence[Pair]], now: Sequence[Sequence[Pair]]) -> Ratio | None:
    """The ratio of two comparisons' ratios, now to then, from their pairs."""
    samples = [
        np.concatenate([np.log([b / a for a, b in some]) for some in pairs if some])
        for pairs in (then, now)
        if any(pairs)
    ]
    if len(samples) < 2:
        return None

    def statistic(before: Floats, after: Floats, axis: int = -1) -> Any:
        return np.exp(np.median(after, axis=axis) - np.median(before, axis=axis))

    return _resampled((samples[0], samples[1]), statistic, 0)
