"""`python -m compat.fuzz`: random graphs on both executors, and every difference explained.

Exit status: 0 the gate holds, 1 it does not, 2 bad usage.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from compat.fuzz.case import Verdict, judge
from compat.fuzz.generate import generate
from compat.fuzz.plan import GraphPlan
from compat.fuzz.pool import CASE_SECONDS, Settings, judge_all
from compat.fuzz.source import script
from compat.fuzz.summary import Summary

REGRESSIONS = Path(__file__).parent / "regressions"


def main(arguments: list[str] | None = None) -> int:
    """Run the gate, or show or replay one case."""
    options = _parser().parse_args(arguments)
    console = Console()
    if options.show or options.replay:
        try:
            plan = _plan(options.show or options.replay)
        except (OSError, ValueError, TypeError) as error:
            console.print(f"no such case: {error}", markup=False)
            return 2
        return _show(plan) if options.show else _replay(plan, options.executor, console)
    return _run(options, console)


def _run(options: argparse.Namespace, console: Console) -> int:
    summary = Summary(options.executor)
    settings = Settings(options.executor, case_seconds=options.case_seconds)
    began = time.monotonic()
    seeds = _seeds(options, began)
    columns = (
        TextColumn("fuzz"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    told, kept = began, 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=options.graphs)
        for verdict in judge_all(seeds, options.workers, settings, options.shrink):
            summary.add(verdict)
            summary.seconds = time.monotonic() - began
            state = f"{summary.adopting} adopt, {len(summary.failures)} unexplained"
            progress.update(bar, advance=1, description=state)
            if verdict.unexplained or verdict.trouble:
                _tell(verdict, console)
                # A broken executor fails everywhere: a few files say as much as a thousand.
                if kept < options.shrink and _keep(verdict, options.keep, console):
                    kept += 1
            if not console.is_terminal and time.monotonic() - told > 10:
                # A log file gets a line now and then in place of the bar.
                told = time.monotonic()
                console.print(f"{summary.graphs}/{options.graphs} graphs, {state}", markup=False)
    summary.seconds = time.monotonic() - began
    summary.show(console)
    if options.json:
        Path(options.json).write_text(json.dumps(summary.as_json(), indent=1) + "\n")
    return 1 if summary.problems() else 0


def _seeds(options: argparse.Namespace, began: float) -> Iterator[int]:
    for seed in range(options.seed, options.seed + options.graphs):
        if options.seconds and time.monotonic() - began > options.seconds:
            return
        yield seed


def _tell(verdict: Verdict, console: Console) -> None:
    console.print(f"seed {verdict.seed}: difference", style="red")
    for line in (verdict.unexplained or (verdict.trouble or "").splitlines())[:3]:
        console.print("  " + line[:300], markup=False, soft_wrap=True)


def _keep(verdict: Verdict, folder: Path, console: Console) -> bool:
    """Write a failing case where the tests find it, if it is one to keep."""
    if verdict.trouble is not None and verdict.trouble.startswith("langgraph"):
        return False
    if verdict.shrunk is None and verdict.trouble is None:
        return False  # past the number that is shrunk: the seed is in the summary
    kind = verdict.aspects[0].replace(" ", "-") if verdict.aspects else "trouble"
    path = folder / f"{kind}-{verdict.seed}.json"
    path.write_text((verdict.shrunk or verdict.plan) + "\n")
    console.print(f"  kept as {path.name}", markup=False)
    return True


def _plan(case: str) -> GraphPlan:
    if case.lstrip("-").isdigit():
        return generate(int(case))
    return GraphPlan.from_json(Path(case).read_text())


def _show(plan: GraphPlan) -> int:
    print(script(plan), end="")
    return 0


def _replay(plan: GraphPlan, executor: str, console: Console) -> int:
    verdict = judge(plan, "langgraph" if executor == "langgraph" else "alto")
    for kind, lines in (("explained", verdict.explained), ("unexplained", verdict.unexplained)):
        for line in lines:
            console.print(f"{kind}: {line}", markup=False, soft_wrap=True)
    console.print(f"{verdict.counters} held {verdict.held}", markup=False, soft_wrap=True)
    return 1 if verdict.unexplained else 0


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m compat.fuzz", description=__doc__)
    parser.add_argument("--graphs", type=_positive, default=300, help="how many (300)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--workers", type=_positive, default=2, help="processes (2)")
    parser.add_argument("--json", metavar="OUT", help="also write the summary as JSON")
    parser.add_argument("--seconds", type=float, help="begin no graph after this time")
    parser.add_argument("--case-seconds", type=float, default=CASE_SECONDS, help="watchdog")
    parser.add_argument(
        "--executor",
        choices=["alto", "langgraph"],
        default="alto",
        help="the second side; langgraph compares LangGraph with itself",
    )
    parser.add_argument(
        "--shrink", type=int, default=10, help="differences to shrink and keep (10)"
    )
    parser.add_argument("--keep", type=Path, default=REGRESSIONS, help="folder for shrunk plans")
    parser.add_argument("--show", metavar="CASE", help="print a seed or plan file as a script")
    parser.add_argument("--replay", metavar="CASE", help="judge one seed or plan file")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
