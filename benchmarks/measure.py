"""Measures a case on both executors, interleaved and shuffled, and takes medians of ratios."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.case import Case
from langgraph_alto import RunReport, accelerate, record

RESAMPLES = 2_000


@dataclass(frozen=True)
class Ratio:
    """A median of ratios, with the interval that holds 95 of 100 resamples."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class Measured:
    """What came out for one case. `main` is the ratio that the target is about.

    That is time to the bound; where nothing takes time, processor time to LangGraph's, which
    other processes of the machine disturb less.
    """

    case: str
    target: float
    main: Ratio
    to_langgraph: Ratio
    cpu_to_langgraph: Ratio
    to_bound: Ratio | None
    langgraph_to_bound: Ratio | None
    equal: bool
    adopted: int
    started: int

    @property
    def meets_target(self) -> bool:
        return self.main.value <= self.target

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "meets_target": self.meets_target}


def measure(case: Case, *, scale: float = 1.0, seed: int = 0) -> Measured:
    """Run a case; `scale` multiplies its repeats."""
    rng = random.Random(f"{seed} {case.key}")
    graph = case.build()
    graphs = {"langgraph": graph, "alto": accelerate(graph)}
    threads = itertools.count()
    times: dict[str, list[float]] = {name: [] for name in graphs}
    cpu_times: dict[str, list[float]] = {name: [] for name in graphs}
    results: dict[str, list[Any]] = {name: [] for name in graphs}

    with asyncio.Runner() as runner:

        def config() -> dict[str, Any]:
            return {**case.config, "configurable": {"thread_id": str(next(threads))}}

        def run(name: str) -> Any:
            if case.asynchronous:
                return runner.run(graphs[name].ainvoke({}, config()))
            return graphs[name].invoke({}, config())

        async def recorded() -> list[RunReport]:
            with record() as reports:
                await graphs["alto"].ainvoke({}, config())
            return reports

        for name in graphs:  # imports, caches, threads of the default pool
            results[name].append(run(name))
        for _ in range(max(3, round(case.repeats * scale))):
            for name in rng.sample(sorted(graphs), 2):
                gc.collect()
                began, cpu_began = time.perf_counter(), time.process_time()
                results[name].append(run(name))
                times[name].append(time.perf_counter() - began)
                cpu_times[name].append(time.process_time() - cpu_began)
        if case.asynchronous:
            reports = runner.run(recorded())
        else:
            with record() as reports:
                results["alto"].append(run("alto"))

    to_langgraph = paired(times["alto"], times["langgraph"], rng)
    cpu_to_langgraph = paired(cpu_times["alto"], cpu_times["langgraph"], rng)
    bound = case.bound
    to_bound = ratio(times["alto"], bound, rng) if bound else None
    return Measured(
        case=case.key,
        target=case.target,
        main=to_bound or (to_langgraph if case.takes_time else cpu_to_langgraph),
        to_langgraph=to_langgraph,
        cpu_to_langgraph=cpu_to_langgraph,
        to_bound=to_bound,
        langgraph_to_bound=ratio(times["langgraph"], bound, rng) if bound else None,
        equal=all(r == results["langgraph"][0] for found in results.values() for r in found),
        adopted=sum(r.adopted for r in reports),
        started=sum(r.started for r in reports),
    )


def ratio(over: Sequence[float], bound: float, rng: random.Random) -> Ratio:
    """The median of a sample, to a known time.

    Example:
        >>> print(ratio([2.0, 2.0, 2.0], 1.0, random.Random(1)))
        2.000 [2.00, 2.00]
    """
    return paired(over, [bound] * len(over), rng)


def paired(over: Sequence[float], under: Sequence[float], rng: random.Random) -> Ratio:
    """The median of the rounds' ratios.

    The two runs of a round follow each other, and a machine that is slow for a while is slow
    for both: the ratio of the two medians would have that in it.

    Example:
        >>> print(paired([2.0, 20.0, 4.0], [1.0, 10.0, 2.0], random.Random(1)))
        2.000 [2.00, 2.00]
    """
    ratios = [one / other for one, other in zip(over, under, strict=True)]
    drawn = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return Ratio(
        statistics.median(ratios),
        drawn[round(0.025 * RESAMPLES)],
        drawn[round(0.975 * RESAMPLES) - 1],
    )
