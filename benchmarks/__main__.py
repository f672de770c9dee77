"""`python -m benchmarks [--quick|--full] [--json OUT] [--only TEXT]`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.cases import cases
from benchmarks.measure import Measured, measure

SCALES = {"quick": 0.5, "default": 1.0, "full": 3.0}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a table; 1 if the executors' results differ, never for a slow ratio."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", const="quick", dest="size")
    size.add_argument("--full", action="store_const", const="full", dest="size")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures there")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name has it")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the runs")
    options = parser.parse_args(arguments)
    chosen = options.size or "default"
    console = Console()
    selected = [case for case in cases(chosen) if options.only in case.key]
    if not selected:
        parser.error(f"no case has {options.only!r} in its name")
    found: list[Measured] = []
    for number, case in enumerate(selected, 1):
        console.print(f"[dim]{number}/{len(selected)} {case.key}[/dim]", highlight=False)
        found.append(measure(case, scale=SCALES[chosen], seed=options.seed))
    console.print(table(found))
    if options.json:
        figures = {"size": chosen, "cases": [item.as_json() for item in found]}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    different = [item.case for item in found if not item.equal]
    for name in different:
        console.print(f"[red]The executors' results differ: {name}[/red]")
    return 1 if different else 0


def table(found: list[Measured]) -> Table:
    """The ratios; the one that the target is about is the last."""
    made = Table(title="Medians of ratios, with 95 % intervals")
    made.add_column("case")
    for heading in (
        "alto / langgraph",
        "the same, cpu",
        "langgraph / bound",
        "alto / bound",
        "target",
        "adopted",
    ):
        made.add_column(heading, justify="right")
    for item in found:
        style = "green" if item.meets_target else "yellow"
        ratios = (
            item.to_langgraph,
            item.cpu_to_langgraph,
            item.langgraph_to_bound,
            item.to_bound,
        )
        made.add_row(
            item.case if item.equal else f"[red]{item.case}: RESULTS DIFFER[/red]",
            *(f"[{style}]{r}[/{style}]" if r is item.main else str(r or "") for r in ratios),
            f"{item.target:.2f}",
            str(item.adopted),
        )
    return made


if __name__ == "__main__":
    sys.exit(main())
