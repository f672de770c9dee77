"""The graphs that are measured. Each comes for asynchronous and for synchronous runs."""

from __future__ import annotations

import asyncio
import operator
import random
import time
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send

from benchmarks import edges
from benchmarks.case import Case

PURE: dict[str, Any] = {"alto": {"effects": "pure"}}


class State(TypedDict, total=False):
    """What all of these graphs keep."""

    done: Annotated[list[Any], operator.add]
    step: int


def chains(asynchronous: bool, *, seed: int, count: int = 10, stages: int = 4) -> Case:
    """Chains of Sends with random stage times: what run-ahead is for."""
    rng = random.Random(seed)
    times = [[rng.uniform(0.02, 0.2) for _ in range(stages)] for _ in range(count)]

    def build() -> Any:
        builder = StateGraph(State)
        for stage in range(stages):
            builder.add_node(
                f"stage{stage}",
                _chain_body(asynchronous, times, stage, stages),
                destinations=(f"stage{stage + 1}",) if stage + 1 < stages else (),
            )
        builder.add_conditional_edges(
            START, lambda _: [Send("stage0", {"item": i}) for i in range(count)]
        )
        return builder.compile()

    return Case(
        f"{count} chains of {stages} Sends, times #{seed}",
        build,
        asynchronous,
        target=1.03 if asynchronous else 1.05,
        repeats=5,
        bound=max(map(sum, times)),
    )


def _chain_body(asynchronous: bool, times: list[list[float]], stage: int, stages: int) -> Any:
    def outcome(item: int) -> Command[Any]:
        goto = [Send(f"stage{stage + 1}", {"item": item})] if stage + 1 < stages else []
        return Command(update={"done": [[stage, item]]}, goto=goto)

    async def abody(arg: dict[str, int]) -> Command[Any]:
        await asyncio.sleep(times[arg["item"]][stage])
        return outcome(arg["item"])

    def body(arg: dict[str, int]) -> Command[Any]:
        time.sleep(times[arg["item"]][stage])
        return outcome(arg["item"])

    return abody if asynchronous else body


def sequence(asynchronous: bool, *, steps: int = 150, saver: bool) -> Case:
    """Steps of one trivial task each: nothing can overlap."""

    def build() -> Any:
        builder = StateGraph(State)

        async def astep(state: State) -> Command[Any]:
            return _next_step(state, steps)

        def step(state: State) -> Command[Any]:
            return _next_step(state, steps)

        builder.add_node("step", astep if asynchronous else step, destinations=("step",))
        builder.add_edge(START, "step")
        return builder.compile(checkpointer=InMemorySaver() if saver else None)

    return Case(
        f"{steps} sequential steps{_with(saver)}",
        build,
        asynchronous,
        target=1.05,
        repeats=11,
        config={"recursion_limit": steps + 10},
    )


def _next_step(state: State, steps: int) -> Command[Any]:
    step = state.get("step", 0) + 1
    return Command(update={"step": step}, goto="step" if step < steps else ())


def fan_out(asynchronous: bool, *, width: int = 600, body_time: float, saver: bool) -> Case:
    """One wide step of Sends that nothing follows."""

    def build() -> Any:
        builder = StateGraph(State)

        async def abody(arg: dict[str, int]) -> State:
            if body_time:
                await asyncio.sleep(body_time)
            return {"done": [arg["item"]]}

        def body(arg: dict[str, int]) -> State:
            if body_time:
                time.sleep(body_time)
            return {"done": [arg["item"]]}

        builder.add_node("body", abody if asynchronous else body)
        builder.add_conditional_edges(
            START, lambda _: [Send("body", {"item": i}) for i in range(width)]
        )
        return builder.compile(checkpointer=InMemorySaver() if saver else None)

    what = f"{body_time * 1000:.0f} ms bodies" if body_time else "trivial bodies"
    return Case(
        f"{width}-way fan-out, {what}{_with(saver)}",
        build,
        asynchronous,
        target=1.05,
        repeats=7,
        takes_time=body_time > 0,
    )


def all_ahead(asynchronous: bool, *, width: int = 1000) -> Case:
    """Every task of the second step runs ahead beside a sibling, and there is nothing to hide."""

    def build() -> Any:
        builder = StateGraph(State)

        def sends(arg: Any) -> Command[Any]:
            return Command(goto=[Send("work", {"item": i}) for i in range(width)])

        async def asends(arg: Any) -> Command[Any]:
            return sends(arg)

        async def aslow(arg: Any) -> State:
            await asyncio.sleep(0.01)
            return {"done": ["slow"]}

        def slow(arg: Any) -> State:
            time.sleep(0.01)
            return {"done": ["slow"]}

        async def awork(arg: dict[str, int]) -> State:
            return {"done": [arg["item"]]}

        def work(arg: dict[str, int]) -> State:
            return {"done": [arg["item"]]}

        builder.add_node("sends", asends if asynchronous else sends, destinations=("work",))
        builder.add_node("slow", aslow if asynchronous else slow)
        builder.add_node("work", awork if asynchronous else work, metadata=PURE)
        builder.add_conditional_edges(START, lambda _: [Send("sends", {}), Send("slow", {})])
        return builder.compile()

    return Case(
        f"{width} tasks run ahead, nothing to hide",
        build,
        asynchronous,
        target=1.05,
        repeats=7,
    )


def _with(saver: bool) -> str:
    return ", InMemorySaver" if saver else ""


def cases(size: str) -> list[Case]:
    """All cases of a size: "quick", "default" or "full"."""
    found: list[Case] = []
    seeds = {"quick": 1, "default": 3, "full": 10}[size]
    for asynchronous in (True, False):
        found += [chains(asynchronous, seed=seed) for seed in range(seeds)]
        for saver in (False, True):
            found.append(sequence(asynchronous, saver=saver))
            found.append(fan_out(asynchronous, body_time=0.0, saver=saver))
        found.append(fan_out(asynchronous, body_time=0.05, saver=False))
        if size == "full":
            found.append(fan_out(asynchronous, body_time=0.05, saver=True))
        found.append(all_ahead(asynchronous))
        found.append(edges.two_branches(asynchronous))
        found.append(edges.producer(asynchronous))
        found += [edges.branches_with_loops(asynchronous, seed=seed) for seed in range(seeds)]
        found += [edges.subgraph_per_section(asynchronous, seed=seed) for seed in range(seeds)]
        found.append(edges.chunks(asynchronous))
        found.append(edges.chunks(asynchronous, routed=True))
    return found
