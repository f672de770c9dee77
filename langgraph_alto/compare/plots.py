"""The page's distribution plots, as SVG text that takes its colours and fonts from the page.

Drawn by matplotlib, which is needed for a page only. Each plot is made for a width in CSS
pixels, so that its text has the same size on a phone as on a desk.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from langgraph_alto.compare.wording import in_unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_DOTS = 200
"""More samples than this are shown by so many of their quantiles."""

# Stand-ins for colours that the page's style sheet decides, by colour scheme.
_INK, _SOFT, _RULE, _LANGGRAPH, _ALTO, _PAPER = (f"#0a0b0{n}" for n in range(1, 7))
_VARIABLES = {
    _INK: "var(--ink)",
    _SOFT: "var(--soft)",
    _RULE: "var(--rule)",
    _LANGGRAPH: "var(--langgraph)",
    _ALTO: "var(--alto)",
    _PAPER: "var(--paper)",
}

_TEXT = 12
_ROW = 62
"""Height of a row of dots with its label above, in pixels."""

_AXIS = 30
_MARK_LABEL = 24
EDGE = 16
"""What a plot has left and right of its axis, for the labels of the first and the last tick."""


@dataclass(frozen=True, slots=True)
class Row:
    """Samples on one line of a plot. `middle` is marked, with `interval` around it if known."""

    label: str
    value: str
    samples: Sequence[float]
    middle: float | None
    is_alto: bool = False
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line with its name."""

    at: float
    label: str


def latencies(rows: Sequence[Row], mark: Mark | None, *, width: int, title: str) -> str:
    """Latencies from zero on, in seconds: one dot for each run.

    Example:
        >>> row = Row("LangGraph", "p50 1.0 s", [0.9, 1.0, 1.1], 1.0)
        >>> latencies([row], Mark(0.8, "bound"), width=360, title="Latency")[:4]
        '<svg'
    """
    highest = max([s for row in rows for s in row.samples] + ([mark.at] if mark else []))
    limits = (0.0, highest * 1.04)
    tick = in_unit_of(highest)
    return _plot(rows, [mark] if mark else [], limits, tick, width=width, title=title)


def ratios(rows: Sequence[Row], *, width: int, title: str) -> str:
    """Ratios of the runs of a pair around 1: one dot for each pair."""
    values = [s for row in rows for s in row.samples]
    values += [end for row in rows for end in row.interval or ()]
    low, high = min([*values, 0.95]), max([*values, 1.05])
    margin = (high - low) * 0.04
    return _plot(
        rows, [Mark(1.0, "equal")], (low - margin, high + margin), "{:.2f}".format,
        width=width, title=title,
    )  # fmt: skip


def _plot(
    rows: Sequence[Row],
    marks: Sequence[Mark],
    limits: tuple[float, float],
    tick: Any,
    *,
    width: int,
    title: str,
) -> str:
    top = _ROW * len(rows)
    height = top + _MARK_LABEL + _AXIS
    with _settings(title + str(width)):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width / 72, height / 72), facecolor="none")
        side = EDGE / width
        axes = figure.add_axes(
            (side, _AXIS / height, 1 - 2 * side, 1 - _AXIS / height), facecolor="none"
        )
        axes.grid(axis="x", color=_RULE, linewidth=0.6)
        axes.set_xlim(*limits)
        axes.set_ylim(0, top + _MARK_LABEL)
        _draw_axis(axes, tick, width)
        for mark in marks:
            _draw_mark(axes, mark, top)
        for index, row in enumerate(rows):
            _draw_row(axes, row, bottom=_ROW * (len(rows) - 1 - index), width=width)
        return _svg(figure, title)


@contextmanager
def _settings(salt: str) -> Iterator[None]:
    """Text stays text, and ids differ between the plots of a page."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "font.size": _TEXT}):
        yield


def _draw_axis(axes: Axes, tick: Any, width: int) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(_RULE)
    axes.yaxis.set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(max(3, width // 110), steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    axes.tick_params(axis="x", length=0, pad=8, labelcolor=_SOFT, labelsize=_TEXT)
    axes.set_axisbelow(True)


def _draw_mark(axes: Axes, mark: Mark, top: float) -> None:
    axes.plot(
        (mark.at, mark.at), (0, top + 2), color=_INK, linewidth=1.2, linestyle=(0, (1.5, 2.5)),
        zorder=1.5,
    )  # fmt: skip
    low, high = axes.get_xlim()
    place = (mark.at - low) / (high - low)
    axes.annotate(
        mark.label, (mark.at, top + 7), color=_INK, fontsize=_TEXT, va="baseline",
        ha="left" if place < 0.15 else "right" if place > 0.85 else "center",
    )  # fmt: skip


def _draw_row(axes: Axes, row: Row, *, bottom: float, width: int) -> None:
    colour = _ALTO if row.is_alto else _LANGGRAPH
    middle = bottom + 20
    low, high = axes.get_xlim()
    pixel = (high - low) / (width - 2 * EDGE)
    at, offsets, size = _swarm(_thinned(row.samples), pixel, room=34)
    if low == 0 and row.middle is not None:  # from zero on a length says as much as a place
        axes.plot((0, row.middle), (middle, middle), color=colour, linewidth=2, zorder=1.8)
    axes.plot(
        at, [middle + offset for offset in offsets], linestyle="none", marker="o",
        markersize=size, color=colour, markeredgewidth=0, alpha=0.75, clip_on=False, zorder=2,
    )  # fmt: skip
    if row.interval is not None:
        axes.plot(
            row.interval, (middle, middle), color=colour, linewidth=30, alpha=0.22,
            solid_capstyle="butt", zorder=1.7,
        )  # fmt: skip
    if row.middle is not None:
        axes.plot(
            (row.middle,) * 2, (middle - 15, middle + 15), color=_PAPER, linewidth=3.6, zorder=3
        )
        axes.plot((row.middle,) * 2, (middle - 14, middle + 14), color=_INK, linewidth=2, zorder=4)
    axes.annotate(
        row.label, (0, bottom + 46), xycoords=("axes fraction", "data"), color=_INK,
        fontweight="bold", fontsize=_TEXT, va="baseline", zorder=5,
    )  # fmt: skip
    axes.annotate(
        row.value, (1, bottom + 46), xycoords=("axes fraction", "data"), color=_SOFT,
        fontsize=_TEXT, ha="right", va="baseline", zorder=5,
    )  # fmt: skip


def _thinned(samples: Sequence[float]) -> list[float]:
    """The samples in their order, or evenly spread quantiles if they are many."""
    ordered = sorted(samples)
    if len(ordered) <= MOST_DOTS:
        return ordered
    step = (len(ordered) - 1) / (MOST_DOTS - 1)
    return [ordered[round(index * step)] for index in range(MOST_DOTS)]


def _swarm(
    ordered: Sequence[float], pixel: float, *, room: float
) -> tuple[list[float], list[float], float]:
    """Where each dot goes so that none hides another: x, offset from the middle, dot's size.

    `pixel` is how much of the axis a pixel shows, `room` the height in pixels.
    """
    size = 7.0
    while True:
        columns = _columns(ordered, size * pixel)
        tallest = max((len(column) for column in columns), default=0)
        # Where even small dots find no room they overlap: the colour is a little transparent.
        if tallest * size <= room or size <= 4.5:
            break
        size -= 0.5
    step = min(size, room / max(tallest, 1))
    at: list[float] = []
    offsets: list[float] = []
    for column in columns:
        centre = sum(column) / len(column)
        for index in range(len(column)):
            at.append(centre)
            offsets.append((index - (len(column) - 1) / 2) * step)
    return at, offsets, size - 0.8


def _columns(ordered: Sequence[float], width: float) -> list[list[float]]:
    """Neighbours that are nearer than a dot is wide stand in one column."""
    columns: list[list[float]] = []
    for value in ordered:
        if columns and value - columns[-1][0] < width:
            columns[-1].append(value)
        else:
            columns.append([value])
    return columns


def _svg(figure: Figure, title: str) -> str:
    """The figure's SVG element alone, with the page's colours and fonts."""
    drawn = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(drawn, format="svg", metadata=nothing, transparent=True)
    text = drawn.getvalue()
    text = text[text.index("<svg") :]
    # Its own style element would hold for the whole page.
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, variable)
    text = re.sub(r"font-family: [^;\"]*; ", "", text)
    text = re.sub(r"font: (\d+) ([\d.]+px) [^;\"]*", r"font-weight: \1; font-size: \2", text)
    head = text.index(">")
    view = re.search(r'viewBox="[^"]*"', text[:head])
    assert view is not None
    opened = f'<svg {view[0]} role="img" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return f"{opened}<title>{escape(title)}</title>{text[head + 1 :].strip()}"
