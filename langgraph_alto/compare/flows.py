"""The typical pair of a report as two flows, for `langgraph_alto.flow.waterfall`."""

from __future__ import annotations

from collections.abc import Mapping

from langgraph_alto.compare.report import Executor, SpanRow, Timeline, TypicalPair
from langgraph_alto.compare.wording import seconds
from langgraph_alto.flow.model import Flow, Interval, Link, Outcome, Span, Tick

NAMES: dict[Executor, str] = {"langgraph": "LangGraph", "alto": "ALTO"}


def flows(pair: TypicalPair, *, graph: str) -> list[Flow]:
    """LangGraph's run and ALTO's, in this order, each from its own start."""
    return [_flow(pair.langgraph, graph), _flow(pair.alto, graph)]


def _flow(timeline: Timeline, graph: str) -> Flow:
    facts = {}
    if timeline.first_chunk is not None:
        facts["first chunk"] = seconds(timeline.first_chunk)
    ends = {row.id: row.end for row in timeline.spans}
    return Flow(
        title=graph,
        spans=tuple(_span(row, ends) for row in timeline.spans),
        executor=NAMES[timeline.executor],
        duration=timeline.latency,
        facts=facts,
        follows_items=True,
    ).completed()


def _span(row: SpanRow, ends: Mapping[str, float]) -> Span:
    """A body. Its step is told as a detail only: so its critical path follows the data, as the
    report's figures do, and what a superstep made it wait for is drawn as waiting.
    """
    waits: tuple[Interval, ...] = ()
    if row.ready is not None and row.ready < row.begin:
        waits = (Interval(row.ready, row.begin),)
    return Span(
        id=row.id,
        name=row.node,
        start=row.begin,
        end=row.end,
        parent=row.parent,
        ancestry=tuple(row.path.split(" / ")) if row.path else (),
        links=tuple(_link(id, row.ready, ends) for id in row.depends),
        ticks=tuple(Tick(p.at, p.index, p.key) for p in row.partials),
        emitted=row.partial_count,
        waits=waits,
        outcome=_outcome(row),
        failed=row.outcome == "failed",
        details={"step": str(row.step)},
    )


def _link(producer: str, ready: float | None, ends: Mapping[str, float]) -> Link:
    """An item that was worked on while its producer still ran was there before that one's end."""
    is_early = ready is not None and ready < ends.get(producer, ready)
    return Link(producer, ready=ready if is_early else None)


def _outcome(row: SpanRow) -> Outcome:
    if row.outcome == "failed":
        return "adopted" if row.ahead else "real"
    return row.outcome
