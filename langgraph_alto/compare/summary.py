"""A report in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from langgraph_alto.compare.report import EdgeRow, Level, Quantiles, Report, Sustained

EDGES = 8
"""Rows of the edges' table."""


def print_summary(report: Report, console: Console) -> None:
    """Print what a reader wants to know first; everything is in the JSON."""
    console.print(f"[bold]{escape(report.verdict.sentence)}[/bold]", soft_wrap=True)
    for level in report.runs:
        if level.latency.langgraph is not None or level.latency.alto is not None:
            console.print(_level_table(level))
    for line in _lines(report):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if any(edge.tasks for edge in report.edges):
        console.print(_edge_table(report.edges))
    for line in _more_lines(report):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def seconds(value: float | None) -> str:
    """A time with three digits.

    Example:
        >>> seconds(1.23456), seconds(0.0123456), seconds(None)
        ('1.23 s', '12.3 ms', '-')
    """
    if value is None:
        return "-"
    if abs(value) >= 1:
        return f"{value:.3g} s" if abs(value) < 1000 else f"{value:.0f} s"
    return f"{value * 1000:.3g} ms"


def _level_table(level: Level) -> Table:
    at = "one run at a time" if level.concurrency == 1 else f"{level.concurrency} runs at once"
    table = Table(title=at, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    for heading in ("p50", "p95", "p99", "first chunk", "runs/s", "÷ bound"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, spoken, to_bound in (
        ("langgraph", "LangGraph", level.langgraph_to_bound),
        ("alto", "ALTO", level.alto_to_bound),
    ):
        found: Quantiles | None = getattr(level.latency, name)
        chunk: Quantiles | None = getattr(level.first_chunk, name)
        rate: float | None = getattr(level.throughput, name)
        table.add_row(
            spoken,
            *(seconds(None if found is None else getattr(found, q)) for q in ("p50", "p95", "p99")),
            seconds(None if chunk is None else chunk.p50),
            "-" if rate is None else f"{rate:.3g}",
            "-" if to_bound is None else f"{to_bound:.2f}",
        )
    if level.ratio_interval is not None:
        found_ratio = level.ratio_interval
        table.caption = (
            f"ratio ALTO ÷ LangGraph: {found_ratio.value:.3f} "
            f"({found_ratio.low:.3f} to {found_ratio.high:.3f})"
        )
        table.caption_justify = "left"
    return table


def _lines(report: Report) -> list[str]:
    lines = [report.noise.sentence]
    if report.bound is not None:
        share = "" if report.bound_ratio is None else f", {report.bound_ratio:.2f} of LangGraph's"
        lines.append(f"Bound: {seconds(report.bound)}{share}; an executor's own time is not in it.")
    if report.spent.langgraph is not None or report.spent.alto is not None:
        lines.append("A run's mean, along the chain of nodes that ended last:")
    for side in ("langgraph", "alto"):
        spent = getattr(report.spent, side)
        if spent is not None:
            name = "LangGraph" if side == "langgraph" else "ALTO"
            lines.append(
                f"  {name} {seconds(spent.latency)}: {seconds(spent.bodies)} in nodes, "
                f"{seconds(spent.waiting)} waiting, {seconds(spent.executor)} in itself."
            )
    lines += map(_sustained, report.sustained)
    for kind in report.ablation:
        found = kind.ratio
        ratio = "-" if found is None else f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
        lines.append(f"run_ahead={kind.run_ahead}: ratio {ratio}")
    return lines


def _sustained(row: Sustained) -> str:
    said = []
    for key, name in (("langgraph", "LangGraph"), ("alto", "ALTO")):
        rate: float | None = getattr(row.rate, key)
        more = "at least " if key in row.at_most_concurrency else ""
        said.append(f"{name} none" if rate is None else f"{name} {more}{rate:.3g}")
    return (
        f"Sustained rate, the median below {seconds(row.limit)} ({row.target:g} times LangGraph's "
        f"without load): {', '.join(said)} runs/s."
    )


def _edge_table(edges: list[EdgeRow]) -> Table:
    table = Table(
        title="Waits between nodes that decided the latency, per run",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("from", "to"):
        table.add_column(heading, overflow="fold")
    for heading in ("LangGraph", "ALTO"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for edge in edges[:EDGES]:
        table.add_row(
            escape(edge.source),
            escape(edge.target),
            seconds(edge.waited.langgraph),
            seconds(edge.waited.alto),
            escape("\n".join([edge.reason, *edge.unlock])),
        )
    return table


def _more_lines(report: Report) -> list[str]:
    lines = []
    wasted = report.wasted
    if wasted is not None and wasted.started_ahead:
        lines.append(
            f"Ran ahead in a run: {wasted.started_ahead:.3g}, of which {wasted.adopted:.3g} became "
            f"real tasks; {wasted.share:.1%} of the time in nodes came to nothing."
        )
    lines += [
        f"Input {f.line} on {'LangGraph' if f.executor == 'langgraph' else 'ALTO'}, "
        f"{f.count} times: {' '.join(f.error.split())}"
        for f in report.results.failures
    ]
    differs = report.first_difference
    if differs is not None and differs.kind not in ("outcome", "error", "expected"):
        lines.append("What may differ can be named: --ignore KEY (a name, or a whole key with *).")
    if report.against is not None:
        lines.append(report.against.sentence)
        lines += [f"  {text}" for text in report.against.differs]
    if report.sustained_note:
        lines.append(report.sustained_note)
    return lines + report.notes
