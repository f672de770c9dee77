"""The fact check on LangGraph's executor and on ALTO, side by side: `make demo`.

    python -m examples.factcheck.demo [--speed N] [--all] [--baseline]

Runs every question on both, compares the results, and shows where the time went. Exits with
1 if a result differs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from examples.factcheck import offline, timeline
from examples.factcheck.app import build
from examples.factcheck.measure import Body, Key, Spent, bodies_of, bound, shares_written, spent
from langgraph_alto.testing import CallLog, Clock, RealClock

SPEED = 2.0
"""Model seconds per second: half the time to wait for, and an executor's own work counts double."""

SIDE_BY_SIDE = 110
"""Columns from which the two timelines stand beside each other."""


@dataclass
class Side:
    """An executor with the application on it, and an engine of its own."""

    name: str
    clock: Clock
    accelerated: bool
    log: CallLog = field(default_factory=CallLog)
    app: Any = None
    ahead: int = 0
    adopted: int = 0
    discarded: int = 0

    def __post_init__(self) -> None:
        model = offline.chat_model(self.clock, self.log)
        self.app = build(model, offline.retriever(self.clock, self.log))
        if self.accelerated:
            from langgraph_alto import accelerate

            self.app = accelerate(self.app)


@dataclass
class Run:
    """One question on one side. Times in model seconds."""

    side: Side
    question: str
    origin: float | None = None
    latency: float | None = None
    bodies: dict[Key, Body] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    async def go(self) -> None:
        """Run it."""
        self.side.log.clear()
        self.origin = self.side.clock.now()
        with _recording(self.side) as reports:
            self.state = await self.side.app.ainvoke({"question": self.question})
        self.latency = self.side.clock.now() - self.origin
        self.bodies = bodies_of(self.side.log.calls, self.origin)
        for report in reports or ():
            self.side.ahead += report.started
            self.side.adopted += report.adopted
            self.side.discarded += report.discarded

    def seen(self) -> tuple[dict[Key, Body], float | None]:
        """Its bodies until now, and the time since it began if it still runs."""
        if self.origin is None or self.latency is not None:
            return self.bodies, None
        calls = list(self.side.log.calls)
        return bodies_of(calls, self.origin), self.side.clock.now() - self.origin

    def took(self) -> float:
        """The latency of a run that has ended."""
        assert self.latency is not None
        return self.latency


def _recording(side: Side) -> Any:
    if not side.accelerated:
        return nullcontext()
    from langgraph_alto import record

    return record()


@dataclass
class Pair:
    """One question on both sides."""

    number: int
    question: str
    runs: tuple[Run, Run]

    @property
    def equal(self) -> bool:
        return self.runs[0].state == self.runs[1].state

    @property
    def bound(self) -> float:
        """The least latency for an executor that starts tasks early."""
        return bound([run.bodies for run in self.runs])

    @property
    def streamed_bound(self) -> float:
        """The least for one that also hands on each claim while the list is written."""
        claims = self.runs[0].state.get("claims", [])
        tokens = [offline.claim_tokens(claim) for claim in claims]
        return bound([run.bodies for run in self.runs], shares_written(tokens))


async def run_pair(pair: Pair) -> None:
    """Run both sides, one after the other; who begins alternates."""
    for run in pair.runs if pair.number % 2 else reversed(pair.runs):
        gc.collect()  # outside the measured time, for both alike
        await run.go()


async def warm_up(speed: float, accelerated: bool) -> None:
    """Imports and first-time work belong to neither side: run once, very fast, and forget."""
    for alto in (False, accelerated):
        side = Side("warm-up", RealClock(speed * 200), accelerated=alto)
        await Run(side, offline.questions()[0]).go()


# What is shown


def timelines(pair: Pair, console: Console) -> RenderableType:
    """Both timelines of a question on one scale."""
    beside = console.width >= SIDE_BY_SIDE
    width = console.width // 2 - 1 if beside else min(console.width, 100)
    seen = [run.seen() for run in pair.runs]
    ends = [run.latency or now or 0.0 for run, (_, now) in zip(pair.runs, seen, strict=True)]
    scale = max(6.0, *(end * 1.02 for end in ends))
    panels = [
        timeline.panel(
            run.side.name, bodies, width=width, scale=scale, now=now, latency=run.latency
        )
        for run, (bodies, now) in zip(pair.runs, seen, strict=True)
    ]
    return Columns(panels, padding=(0, 1)) if beside else Group(*panels)


class Progress:
    """What a live display shows: the question at work, both timelines growing."""

    def __init__(self, pair: Pair, total: int, console: Console) -> None:
        self._pair, self._total, self._console = pair, total, console

    def __rich__(self) -> RenderableType:
        heading = f"Question {self._pair.number} of {self._total}: {self._pair.question}"
        return Group(
            Rule(heading, align="left"),
            timelines(self._pair, self._console),
            timeline.legend(),
        )


def one_line(pair: Pair) -> Text:
    """A question's outcome, printed when both sides are done."""
    first, second = (run.took() for run in pair.runs)
    text = Text("  equal  " if pair.equal else " DIFFERS ", "green" if pair.equal else "bold red")
    names = [run.side.name for run in pair.runs]
    text.append(
        f" {names[0]} {first:5.2f} s   {names[1]} {second:5.2f} s   "
        f"ratio {second / first:.2f}   {pair.question}",
        "default",
    )
    return text


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True)


def result_table(pairs: Sequence[Pair], width: int) -> Table:
    """Each question with latencies, ratio and bound."""
    names = [run.side.name for run in pairs[0].runs]
    table = _table("Latency of each question, in seconds")
    # The figures take some 65 columns; the question gets the rest.
    table.add_column("question", no_wrap=True, overflow="ellipsis", max_width=max(14, width - 65))
    table.add_column("claims\n\\[+/-/?]", justify="right", no_wrap=True)
    headings = (names[0], names[1], "ratio", "bound", f"{names[1]}\n/ bound", "streamed\nbound")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for pair in pairs:
        first, second = (run.took() for run in pair.runs)
        labels = [verdict["label"] for verdict in pair.runs[0].state.get("verdicts", [])]
        counts = "/".join(str(labels.count(x)) for x in ("supported", "refuted", "not found"))
        table.add_row(
            pair.question,
            f"{len(labels)} \\[{counts}]",
            f"{first:.2f}",
            f"{second:.2f}",
            f"{second / first:.2f}",
            f"{pair.bound:.2f}",
            f"{second / pair.bound:.2f}",
            f"{pair.streamed_bound:.2f}",
        )
    table.caption = "Claims that were supported +, refuted -, not found ?"
    table.caption_justify = "left"
    return table


def spent_table(pairs: Sequence[Pair]) -> Table:
    """Where the latency of each side went, over all questions."""
    table = _table("Where the time went, in seconds over all questions")
    table.add_column("executor")
    for heading in ("model", "search", "waiting at\nbarriers", "executor\nitself", "together"):
        table.add_column(heading, justify="right", no_wrap=True)
    for i in range(2):
        runs = [pair.runs[i] for pair in pairs]
        parts = sum((spent(run.bodies, run.took()) for run in runs), Spent())
        total = sum(run.took() for run in runs)
        figures = (parts.model, parts.search, parts.barriers, parts.executor)
        table.add_row(
            runs[0].side.name,
            *(f"{seconds:.2f} {seconds / total:4.0%}" for seconds in figures),
            f"{total:.2f}",
        )
    return table


def verdict(pairs: Sequence[Pair]) -> Text:
    """What it all comes to, in plain words."""
    names = [run.side.name for run in pairs[0].runs]
    first, second = (sum(pair.runs[i].took() for pair in pairs) for i in range(2))
    least = sum(pair.bound for pair in pairs)
    streamed = sum(pair.streamed_bound for pair in pairs)
    differing = [pair.question for pair in pairs if not pair.equal]
    text = Text()
    if differing:
        text.append("The results differ", "bold red").append(f" on: {'; '.join(differing)}\n")
    else:
        text.append("The same results", "bold green").append(
            f" on all {len(pairs)} questions: answers, claims, verdicts and reports.\n"
        )
    text.append(
        f"{names[1]} needed {second / first:.2f} of {names[0]}'s time: {second:.1f} s instead of "
        f"{first:.1f} s. "
    )
    text.append(
        f"The bound is {least / first:.2f} ({least:.1f} s): the longest chain of model calls and "
        f"searches that need each other's results. {names[1]} is within "
        f"{max(0.0, second / least - 1):.1%} of it. Below that, the calls themselves have to "
        f"overlap: claims checked while their list is still being written would allow "
        f"{streamed / first:.2f}."
    )
    side = pairs[0].runs[1].side
    if side.accelerated:
        text.append(
            f"\n{side.ahead} tasks started before their superstep, {side.adopted} of them were "
            f"adopted when LangGraph came to them, {side.discarded} were discarded."
        )
    return text


async def compare(console: Console, speed: float, baseline: bool) -> list[Pair]:
    """Run all questions on both sides, with live timelines where the terminal can show them."""
    await warm_up(speed, accelerated=not baseline)
    clock = RealClock(speed)
    sides = (
        Side("LangGraph", clock, accelerated=False),
        Side("again" if baseline else "ALTO", clock, accelerated=not baseline),
    )
    questions = offline.questions()
    pairs = [
        Pair(number, question, (Run(sides[0], question), Run(sides[1], question)))
        for number, question in enumerate(questions, 1)
    ]
    for pair in pairs:
        shown = Progress(pair, len(pairs), console)
        with (
            Live(shown, console=console, refresh_per_second=8, transient=True)
            if console.is_terminal
            else nullcontext()
        ):
            await run_pair(pair)
        console.print(one_line(pair), soft_wrap=True)
    return pairs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.factcheck.demo", description=__doc__)
    parser.add_argument(
        "--speed", type=float, default=SPEED, help=f"model seconds per second (default {SPEED:g})"
    )
    parser.add_argument("--all", action="store_true", help="the timelines of all questions")
    parser.add_argument(
        "--baseline", action="store_true", help="LangGraph against itself: what noise alone gives"
    )
    options = parser.parse_args(arguments)
    if not options.speed > 0:
        parser.error("--speed must be above 0")
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 120  # a log file has no width; 80 would fold the tables
    console.print(
        f"[bold]Fact check[/bold]: {len(offline.questions())} questions, each on LangGraph's own "
        "executor and on ALTO. One graph, one line changed: [cyan]app = accelerate(graph)[/cyan]\n"
        "The model and the search are offline and deterministic, with the times of an 8B model "
        f"on one GPU;\ntheir clock runs {options.speed:g} times as fast. All times are that "
        "clock's.\n"
    )
    pairs = asyncio.run(compare(console, options.speed, options.baseline))
    # The question with most claims has most to show; --all shows that none was picked.
    shown = pairs if options.all else [max(pairs, key=lambda pair: len(pair.runs[0].bodies))]
    for pair in shown:
        console.print()
        console.print(Rule(pair.question, align="left"))
        console.print(timelines(pair, console))
    console.print(timeline.legend(), "")
    console.print(result_table(pairs, console.width), "")
    console.print(spent_table(pairs), "")
    console.print(verdict(pairs))
    return 0 if all(pair.equal for pair in pairs) else 1


if __name__ == "__main__":
    sys.exit(main())
