"""Whether `compare` can be trusted on this machine, on the real clock.

    python -m benchmarks.comparison [--quick]

1. LangGraph against itself, 20 times: "no difference shown" in 19 at least.
2. A graph slowed by 5 % is found slower; one slowed by 1 % is not claimed to be.
3. What measuring costs: an observed run beside a plain one, at most 1 %.

Exits with 1 if one of these does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import statistics
import sys
import time
from typing import Any, TypedDict
from unittest.mock import patch

from langgraph.graph import START, StateGraph

from benchmarks.cases import chains, fan_out
from benchmarks.measure import Ratio, paired
from langgraph_alto._langgraph.probe import Observation, observing, probed
from langgraph_alto.compare import Report, compare
from langgraph_alto.compare.models import Tally, counting, watching
from langgraph_alto.compare.sides import Sides


class State(TypedDict, total=False):
    first: int
    second: int


def sequence(seed: int, seconds: float, factor: float = 1.0) -> Any:
    """Two nodes that wait, a little different each time; `factor` slows them."""
    rng = random.Random(seed)

    async def one(state: State) -> State:
        await asyncio.sleep(factor * seconds * rng.lognormvariate(0, 0.01))
        return {"first": 1}

    async def two(state: State) -> State:
        await asyncio.sleep(factor * seconds * rng.lognormvariate(0, 0.01))
        return {"second": state["first"]}

    builder = StateGraph(State)
    builder.add_node(one)
    builder.add_node(two)
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    return builder.compile()


def against_itself(seed: int, runs: int, factor: float = 1.0) -> Report:
    """LangGraph on both sides, the second one slowed."""

    def other(self: Sides, name: str = "alto", **_: Any) -> Any:
        return Sides(sequence(seed + 1, 0.05, factor), self.options).langgraph(name)

    with patch.object(Sides, "alto", other):
        return compare(sequence(seed, 0.05), [{}], runs=runs, seed=seed)


def overhead(case: Any, repeats: int) -> tuple[Ratio, Ratio]:
    """Latency and processor time of observed runs, to those of plain ones; on LangGraph."""
    graph = case.build()
    sides = {"plain": graph, "observed": probed(graph)}
    wall: dict[str, list[float]] = {name: [] for name in sides}
    work: dict[str, list[float]] = {name: [] for name in sides}
    rng = random.Random(1)
    with asyncio.Runner() as runner:
        for number in range(repeats + 1):
            for name in rng.sample(sorted(sides), 2):
                gc.collect()
                took, spent = runner.run(_run(sides[name], case, observed=name == "observed"))
                if number:  # the first one is to warm up
                    wall[name].append(took)
                    work[name].append(spent)
    return (
        paired(wall["observed"], wall["plain"], rng),
        paired(work["observed"], work["plain"], rng),
    )


async def _run(graph: Any, case: Any, *, observed: bool) -> tuple[float, float]:
    began, work_began = time.perf_counter(), time.process_time()
    if observed:
        with observing(Observation(time.perf_counter)), counting(Tally()):
            await graph.ainvoke({}, case.config)
    else:
        await graph.ainvoke({}, case.config)
    return time.perf_counter() - began, time.process_time() - work_began


def main() -> int:
    """Print the figures; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="A few of each.")
    quick = parser.parse_args().quick
    times, runs = (4, 8) if quick else (20, 20)

    codes = [against_itself(seed, runs).verdict.code for seed in range(times)]
    silent = codes.count("no_difference")
    print(f"LangGraph against itself: no difference shown in {silent} of {times}", flush=True)
    found = [against_itself(seed, runs, 1.05) for seed in range(times // 2)]
    slower = sum(report.verdict.code == "slower" for report in found)
    middle = statistics.median(report.ratio or 0.0 for report in found)
    print(f"5 % slower: found in {slower} of {len(found)}, ratio {middle:.3f}", flush=True)
    little = [against_itself(seed, runs, 1.01) for seed in range(times // 2)]
    claimed = sum(report.verdict.code != "no_difference" for report in little)
    middle = statistics.median(report.ratio or 0.0 for report in little)
    print(f"1 % slower: claimed in {claimed} of {len(little)}, ratio {middle:.3f}", flush=True)

    repeats = 7 if quick else 41
    with watching():
        typical, work = overhead(chains(True, seed=1), repeats)
        print(f"Measuring 40 bodies of 10 to 200 ms: latency {typical}, processor {work}")
        worst, worst_work = overhead(fan_out(True, body_time=0.0, saver=False), repeats)
        print(f"Measuring 600 bodies that do nothing: latency {worst}, processor {worst_work}")

    holds = (
        silent >= times - 1
        and slower == len(found)
        and claimed == 0
        and min(typical.value, typical.low) <= 1.01
    )
    print("All of it holds." if holds else "Not all of it holds.")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
