"""A flow as bars in the terminal. Each mark is a character of its own: it reads without colour."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from langgraph_alto.flow.critical_path import critical_path, marks
from langgraph_alto.flow.model import Flow, Interval, Span
from langgraph_alto.flow.payload import EXECUTORS, seconds, summary, why
from langgraph_alto.flow.tree import Row, rows

MOST_ROWS = 60
WIDEST_NAME = 42
NARROWEST_BAR = 16
MOST_REASONS = 12

TASK, OVERLAP, LOST, PART, HULL, WAIT, TICK, ON_PATH = "█▓░▄─·│●"

LEGEND = (
    (TASK, "blue", "task"),
    (TASK, "green", "ran ahead"),
    (OVERLAP, "green", "while its producer ran"),
    (TICK, "bold", "partial output"),
    (WAIT, "yellow", "waiting"),
    (LOST, "dim", "discarded"),
    (ON_PATH, "dark_orange", "critical path"),
)


def print_flow(flow: Flow, console: Console, *, scale: float | None = None) -> None:
    """Print a waterfall of a flow, and why its tasks waited or were thrown away.

    `scale` is the length of the time axis in seconds, so that several flows can share one.
    """
    path = critical_path(flow)
    on_path = marks(flow, path)
    found = rows(flow)
    shown = _that_fit(found)
    length = scale or flow.length or 1.0
    names = [_name(row, on_path) for row in shown]
    name_width = min(WIDEST_NAME, console.width // 2, max([len(n) for n in names], default=0))
    columns = max(NARROWEST_BAR, console.width - name_width - 11)
    title = Text(flow.title, "bold")
    if flow.executor:
        title.append(f" on {EXECUTORS.get(flow.executor, flow.executor)}", "not bold")
    _print(console, title)
    _print(console, Text(", ".join(f"{name} {text}" for name, text in summary(flow, path)), "dim"))
    for row, name in zip(shown, names, strict=True):
        name.truncate(name_width, overflow="ellipsis", pad=True)
        taken = seconds(row.interval.length)
        _print(console, Text.assemble(name, " ", _bar(row, length, columns), f" {taken:>8}"))
    _print(console, Text(" " * (name_width + 1) + _axis(columns, length), "dim"))
    if len(shown) < len(found):
        left = len(found) - len(shown)
        _print(console, Text(f"{left} more rows are left out here; --html shows all.", "dim"))
    _print(console, _legend())
    _print_reasons(flow, console)


def _that_fit(found: Sequence[Row]) -> Sequence[Row]:
    """All rows, or those down to the greatest depth that fits, or the first of the outermost."""
    for depth in range(max((row.depth for row in found), default=0), 0, -1):
        shown = [row for row in found if row.depth <= depth]
        if len(shown) <= MOST_ROWS:
            return shown
    return [row for row in found if row.depth <= 1][:MOST_ROWS]


def _name(row: Row, on_path: dict[str, list[Interval]]) -> Text:
    span = row.span
    is_on_path = span is not None and span.id in on_path
    text = Text(f"{ON_PATH} " if is_on_path else "  ", "dark_orange")
    style = "bold" if span is None or span.kind == "run" else ""
    if span is not None and span.failed:
        style = "red"
    elif span is not None and (span.was_lost or span.kind in {"model", "tool", "other", "stream"}):
        style = "dim"
    text.append("  " * min(row.depth, 8))
    text.append(_plain(row.label), style)
    if row.item and row.item != row.label:
        text.append(f" {_plain(row.item)}", "dim")
    if span is not None and span.failed:
        text.append(" failed", "red")
    return text


def _bar(row: Row, length: float, columns: int) -> Text:
    cells: list[tuple[str, str]] = [(" ", "")] * columns
    span = row.span

    def fill(interval: Interval, mark: str, style: str) -> None:
        first = min(columns - 1, max(0, int(interval.start / length * columns)))
        last = min(columns, max(first + 1, round(interval.end / length * columns)))
        for at in range(first, last):
            cells[at] = (mark, style)

    for wait in span.waits if span is not None else ():
        fill(wait, WAIT, "yellow")
    mark, style = _look(span)
    fill(row.interval, mark, style)
    if span is not None:
        for overlap in span.overlaps if not span.was_lost else ():
            fill(overlap, OVERLAP, style)
        for tick in span.ticks:
            fill(Interval(tick.at, tick.at), TICK, "bold")
    text = Text()
    for mark, style in cells:
        text.append(mark, style)
    return text


def _look(span: Span | None) -> tuple[str, str]:
    if span is None or span.kind in {"run", "stream"}:
        return HULL, "dim"
    if span.was_lost:
        return LOST, "dim"
    if span.kind != "node":
        return PART, "cyan"
    if span.failed:
        return TASK, "red"
    return TASK, "green" if span.ran_ahead else "blue"


def _axis(columns: int, length: float) -> str:
    """The start, the middle and the end of the time axis."""
    middle, end = seconds(length / 2), seconds(length)
    line = "0".ljust(columns // 2) + middle
    return line.ljust(columns - len(end))[: columns - len(end)] + end


def _legend() -> Text:
    text = Text()
    for mark, style, what in LEGEND:
        text.append(f"{mark} ", style).append(f"{what}  ", "dim")
    return text


def _print_reasons(flow: Flow, console: Console) -> None:
    """The longest waits, and what was thrown away."""
    nodes = [span for span in flow.spans if span.kind == "node"]
    waited = [span for span in nodes if span.waits and span.waits[0].length > 0.01 * flow.length]
    waited.sort(key=lambda span: -span.waits[0].length)
    lost = [span for span in nodes if span.was_lost and span not in waited]
    for span in (waited + lost)[:MOST_REASONS]:
        place = f" ({_plain(' / '.join(span.ancestry[1:]))})" if len(span.ancestry) > 1 else ""
        text = " ".join(why(flow, span))
        _print(console, Text(f"{_plain(span.name)}{place}: {_plain(text)}"))
    left = len(waited) + len(lost) - MOST_REASONS
    if left > 0:
        _print(console, Text(f"... and {left} more.", "dim"))


def _plain(text: str) -> str:
    """Without what would move a terminal's cursor."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _print(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True, highlight=False)
