"""`python -m benchmarks.tracing [--quick] [--json OUT]`: what traces cost.

Three figures, each against the same graph with tracing off, in turns, medians of differences:

- processor time of the calling thread per span, exported over OTLP/gRPC to a collector in a
  process of its own: at most 45 microseconds (the SDK alone takes 34-36);
- the same where tracing is installed and nothing is sampled: at most 2 microseconds per task;
- the time of a 600-way fan-out whose bodies take 50 ms, 64 at once: at most 1.05 of tracing off.
  All at once, the run is bound by the processor and not by its bodies: told without a budget.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import operator
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from langgraph_alto import accelerate, otel

WIDTH = 600
BUDGETS = {"recording_us": 45.0, "not_recording_us": 2.0, "fan_out_64_ratio": 1.05}

COLLECTOR = """
import sys, threading
from tests.helpers.collector import grpc_collector
with grpc_collector() as collector:
    collector.take = lambda request, size: True
    print(collector.endpoint, flush=True)
    sys.stdin.read()
"""


class State(TypedDict, total=False):
    """What the fan-out keeps."""

    items: list[int]
    done: Annotated[list[int], operator.add]


def fan_out(seconds: float) -> Any:
    """plan -> 600 workers -> end; each body takes so long."""

    async def work(arg: dict[str, int]) -> State:
        if seconds:
            await asyncio.sleep(seconds)
        return {"done": [arg["item"]]}

    builder = StateGraph(State)
    builder.add_node("plan", lambda state: {"items": list(range(WIDTH))})
    builder.add_node("work", work)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges(
        "plan", lambda state: [Send("work", {"item": i}) for i in state["items"]], ["work"]
    )
    builder.add_edge("work", END)
    return builder.compile(name="fan")


@contextlib.contextmanager
def collector() -> Iterator[str]:
    """A collector in a process of its own; its address."""
    with subprocess.Popen(
        [sys.executable, "-c", COLLECTOR],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


async def _once(app: Any, clock: Callable[[], float], at_once: int | None = None) -> float:
    gc.collect()
    config: Any = {"max_concurrency": at_once} if at_once else {}
    began = clock()
    await app.ainvoke({}, config)
    return clock() - began


def in_turns(
    apps: list[Any],
    clock: Callable[[], float],
    repeats: int,
    rest: Callable[[], object],
    at_once: int | None = None,
) -> list[list[float]]:
    """What each app took, in turns, the first round not counted. `rest` runs between rounds."""

    async def go() -> list[list[float]]:
        found: list[list[float]] = [[] for _ in apps]
        for number in range(repeats + 1):
            for app, times in zip(apps, found, strict=True):
                taken = await _once(app, clock, at_once)
                if number:
                    times.append(taken)
            rest()
        return found

    return asyncio.run(go())


def per_task(off: list[float], on: list[float]) -> float:
    """The median difference, in microseconds per task (the two others of a run are few)."""
    return statistics.median(b - a for a, b in zip(off, on, strict=True)) / (WIDTH + 2) * 1e6


def measured(repeats: int) -> dict[str, float]:
    """All figures."""
    quiet, slow = fan_out(0.0), fan_out(0.05)
    unsampled = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    with collector() as endpoint:
        tracing = otel.configure(endpoint, protocol="grpc", make_global=False)

        def flush() -> None:
            tracing.provider.force_flush()

        apps = [
            accelerate(quiet),
            accelerate(quiet, tracer_provider=unsampled),
            accelerate(quiet, tracer_provider=tracing.provider),
        ]
        off, passive, on = in_turns(apps, time.thread_time, repeats, flush)
        before = (time.process_time(), tracing.ended)
        asyncio.run(_once(apps[2], time.thread_time))
        tracing.provider.force_flush()
        whole = time.process_time() - before[0] - statistics.median(off)
        spans = tracing.ended - before[1]
        waits = [accelerate(slow), accelerate(slow, tracer_provider=tracing.provider)]
        few = max(3, repeats // 3)
        plain, traced = in_turns(waits, time.perf_counter, few, flush)
        plain64, traced64 = in_turns(waits, time.perf_counter, few, flush, 64)
        lost = tracing.shutdown()
    return {
        "recording_us": per_task(off, on),
        "not_recording_us": per_task(off, passive),
        "process_us": whole / max(1, spans) * 1e6,
        "fan_out_64_ratio": statistics.median(traced64) / statistics.median(plain64),
        "fan_out_64_off_seconds": statistics.median(plain64),
        "fan_out_all_ratio": statistics.median(traced) / statistics.median(plain),
        "fan_out_all_off_seconds": statistics.median(plain),
        "off_us": statistics.median(off) / (WIDTH + 2) * 1e6,
        "spans_lost": float(lost),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; never fails for a slow figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracing", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures there")
    options = parser.parse_args(arguments)
    found = measured(5 if options.quick else 15)
    for name, value in found.items():
        budget = BUDGETS.get(name)
        verdict = "" if budget is None else f"  (budget {budget:g})"
        print(f"{name:24} {value:10.3f}{verdict}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
