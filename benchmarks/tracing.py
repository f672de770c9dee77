"""`python -m benchmarks.tracing [--quick] [--json OUT]`: what traces cost.

Each figure is against the same graph with tracing off, in turns, medians of differences:

- processor time of the calling thread per span, exported over OTLP/gRPC to a collector in a
  process of its own: at most 45 microseconds on a machine where the SDK alone takes 34-36. How
  fast this one is says `sdk_us`: the same graph untraced, whose bodies make a span of nine
  attributes, a link and an event by the SDK alone, through the same exporter;
- the same where tracing is installed and nothing is sampled: at most 2 microseconds per task;
- the time of a 600-way fan-out whose bodies take 50 ms, 64 at once: at most 1.05 of tracing off.
  All at once, the run is bound by the processor and not by its bodies: told without a budget;
- the slowest of a hundred small runs whose collector is dead, to the same with a live one, with
  the interval that holds 95 of 100 resamples.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import operator
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Link, set_span_in_context

from langgraph_alto import accelerate, otel

WIDTH = 600
BUDGETS = {"recording_us": 45.0, "not_recording_us": 2.0, "fan_out_64_ratio": 1.05}

NOBODY = "http://127.0.0.1:9"
"""Nothing listens on the port of the discard service."""

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


def fan_out(seconds: float, provider: TracerProvider | None = None, width: int = WIDTH) -> Any:
    """plan -> workers -> end; each body takes so long, and makes a span if it has a provider."""

    async def plain(arg: dict[str, int]) -> State:
        if seconds:
            await asyncio.sleep(seconds)
        return {"done": [arg["item"]]}

    work = plain if provider is None else _with_a_span(plain, provider)
    builder = StateGraph(State)
    builder.add_node("plan", lambda state: {"items": list(range(width))})
    builder.add_node("work", work)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges(
        "plan", lambda state: [Send("work", {"item": i}) for i in state["items"]], ["work"]
    )
    builder.add_edge("work", END)
    return builder.compile(name="fan")


def _with_a_span(body: Any, provider: TracerProvider) -> Any:
    tracer = provider.get_tracer("alone")
    root = tracer.start_span("invoke_workflow alone")
    context = set_span_in_context(root)

    async def work(arg: dict[str, int]) -> State:
        number = arg["item"]
        attributes: dict[str, str | int | float | bool] = {
            "alone.node": "work",
            "alone.step": 2,
            "alone.ahead": True,
            "alone.ancestry": f"plan.items[{number}]",
            "alone.task": f"{number:032x}",
            "alone.attempt": 1,
            "alone.worker": threading.current_thread().name,
            "alone.wait": 1.25,
            "alone.bytes": 12,
        }
        links = [Link(root.get_span_context())]
        with tracer.start_as_current_span("node work", context, attributes=attributes, links=links):
            trace.get_current_span().add_event("alone.emit")
            return await body(arg)

    return work


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
    with collector() as endpoint:
        tracing = otel.configure(endpoint, protocol="grpc", make_global=False)
        found = {
            **cost_of_a_span(tracing, repeats),
            **cost_of_a_run(tracing, max(3, repeats // 3)),
            **dead_collector(tracing, 40 * repeats),
        }
        found["spans_lost"] = float(tracing.shutdown())
    return found


def cost_of_a_span(tracing: otel.Tracing, repeats: int) -> dict[str, float]:
    """Processor time per span, recorded and not."""
    quiet = fan_out(0.0)
    unsampled = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    apps = [
        accelerate(quiet),
        accelerate(quiet, tracer_provider=unsampled),
        accelerate(quiet, tracer_provider=tracing.provider),
        accelerate(fan_out(0.0, tracing.provider)),
    ]
    flush = tracing.provider.force_flush
    off, passive, on, alone = in_turns(apps, time.thread_time, repeats, flush)
    before = (time.process_time(), tracing.ended)
    asyncio.run(_once(apps[2], time.thread_time))
    flush()
    whole = time.process_time() - before[0] - statistics.median(off)
    recording, sdk = per_task(off, on), per_task(off, alone)
    return {
        "recording_us": recording,
        "sdk_us": sdk,
        "recording_to_sdk": recording / sdk,
        "fastest_recording_us": _fastest(off, on),
        "fastest_sdk_us": _fastest(off, alone),
        "fastest_not_recording_us": _fastest(off, passive),
        "not_recording_us": per_task(off, passive),
        "process_us": whole / max(1, tracing.ended - before[1]) * 1e6,
        "off_us": statistics.median(off) / (WIDTH + 2) * 1e6,
    }


def cost_of_a_run(tracing: otel.Tracing, repeats: int) -> dict[str, float]:
    """The time of a run whose bodies take 50 ms, to the same without tracing."""
    slow, flush = fan_out(0.05), tracing.provider.force_flush
    apps = [accelerate(slow), accelerate(slow, tracer_provider=tracing.provider)]
    plain, traced = in_turns(apps, time.perf_counter, repeats, flush)
    plain64, traced64 = in_turns(apps, time.perf_counter, repeats, flush, 64)
    return {
        "fan_out_64_ratio": statistics.median(traced64) / statistics.median(plain64),
        "fan_out_64_off_seconds": statistics.median(plain64),
        "fan_out_all_ratio": statistics.median(traced) / statistics.median(plain),
        "fan_out_all_off_seconds": statistics.median(plain),
    }


def dead_collector(tracing: otel.Tracing, runs: int) -> dict[str, float]:
    """The slowest of a hundred runs, exported to nobody, to the same exported to a collector."""
    nowhere = otel.configure(NOBODY, protocol="grpc", make_global=False)
    small = fan_out(0.01, width=8)
    apps = [
        accelerate(small, tracer_provider=tracing.provider),
        accelerate(small, tracer_provider=nowhere.provider),
    ]
    alive, dead = in_turns(apps, time.perf_counter, runs, lambda: None)
    nowhere.shutdown()
    rng = random.Random(0)
    drawn = sorted(
        _slow(rng.choices(dead, k=runs)) / _slow(rng.choices(alive, k=runs)) for _ in range(1_000)
    )
    return {
        "dead_p99_ratio": _slow(dead) / _slow(alive),
        "dead_p99_ratio_low": drawn[25],
        "dead_p99_ratio_high": drawn[974],
    }


def _fastest(off: list[float], on: list[float]) -> float:
    """The same between the fastest tenths: what it is when nothing else disturbs the run."""
    tenths = (statistics.quantiles(times, n=10)[0] for times in (off, on))
    undisturbed, traced = tenths
    return (traced - undisturbed) / (WIDTH + 2) * 1e6


def _slow(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; never fails for a slow figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracing", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures there")
    options = parser.parse_args(arguments)
    found = measured(5 if options.quick else 25)
    for name, value in found.items():
        budget = BUDGETS.get(name)
        verdict = "" if budget is None else f"  (budget {budget:g})"
        print(f"{name:24} {value:10.3f}{verdict}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
