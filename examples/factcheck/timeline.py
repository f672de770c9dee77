"""A run as bars in the terminal: one row a claim, the same scale for both executors.

Each cell is a letter on a coloured ground, so that the picture reads the same without colour.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from examples.factcheck.measure import IN_CHAIN, Body, Key, barriers

LETTERS = {
    "answer": "a",
    "extract": "e",
    "claim": "q",
    "search": "s",
    "verdict": "v",
    "report": "r",
}
COLOURS = {
    "answer": "blue",
    "extract": "cyan",
    "claim": "magenta",
    "search": "yellow",
    "verdict": "blue",
    "report": "cyan",
}
LABEL = 8
"""Columns in front of the bars."""


def legend() -> Text:
    """What the letters mean."""
    text = Text()
    for node, letter in LETTERS.items():
        name = "queries" if node == "claim" else node
        text.append(f" {letter} ", f"black on {COLOURS[node]}").append(f" {name}  ")
    text.append(" . ", "dim").append(" waiting  ")
    text.append(" Q S V ", "bold black on green")
    return text.append(" run ahead of the barrier")


def panel(
    title: str,
    bodies: Mapping[Key, Body],
    *,
    width: int,
    scale: float,
    now: float | None = None,
    latency: float | None = None,
) -> Panel:
    """A run's timeline, `scale` seconds wide; `now` is given while the run goes on."""
    columns = max(10, width - LABEL - 4)
    claims = sorted({key.claim for key in bodies if key.claim is not None})
    rows = [("answer", [Key("answer"), Key("extract")])]
    rows += [(f"claim {n + 1}", [Key(node, n) for node in IN_CHAIN]) for n in claims]
    rows += [("report", [Key("report")])]
    lines: list[RenderableType] = [
        _row(label, keys, bodies, columns=columns, scale=scale, now=now) for label, keys in rows
    ]
    lines.append(_axis(columns, scale))
    seconds = f"{latency:.2f} s" if latency is not None else "running" if now else "next"
    return Panel(Group(*lines), title=f"{title}  [bold]{seconds}[/bold]", width=width)


def _row(
    label: str,
    keys: list[Key],
    bodies: Mapping[Key, Body],
    *,
    columns: int,
    scale: float,
    now: float | None,
) -> Text:
    opened = barriers(bodies)
    cells: list[tuple[str, str]] = [(" ", "")] * columns
    busy_until, ended = None, 0.0
    for key in keys:
        body = bodies.get(key)
        if body is None:
            continue
        start = _column(body.started, columns, scale)
        if busy_until is not None:
            if body.started - ended < 0.75 * scale / columns:
                start = busy_until  # a gap that only rounding would show
            for i in range(busy_until, start):
                cells[i] = (".", "dim")
        ended = body.ended if body.ended is not None else now or 0.0
        end = min(columns, max(start + 1, _column(ended, columns, scale)))
        for i in range(start, end):
            middle = (i + 0.5) / columns * scale
            # Only a chain can be ahead: the other bodies need everything before them.
            ahead = key.claim is not None and middle < opened[key.node]
            letter = LETTERS[key.node]
            cells[i] = (
                (letter.upper(), "bold black on green")
                if ahead
                else (letter, f"black on {COLOURS[key.node]}")
            )
        busy_until = end
    text = Text(f"{label:<{LABEL}}", no_wrap=True)
    for letter, style in cells:
        text.append(letter, style)
    return text


def _column(seconds: float, columns: int, scale: float) -> int:
    return min(columns - 1, max(0, round(seconds / scale * columns)))


def _axis(columns: int, scale: float) -> Text:
    """Whole seconds, as many as fit."""
    cells = [" "] * columns
    every = next(step for step in (1, 2, 5, 10, 20, 50, 10**9) if step / scale * columns >= 5)
    for second in range(0, int(scale) + 1, every):
        mark = f"{second}s"
        at = round(second / scale * columns)
        if at + len(mark) <= columns:
            cells[at : at + len(mark)] = mark
    return Text(" " * LABEL + "".join(cells), style="dim", no_wrap=True)
