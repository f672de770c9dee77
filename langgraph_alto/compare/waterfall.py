"""The bodies of one run for a waterfall."""

from __future__ import annotations

from collections.abc import Sequence

from langgraph_alto.compare.execution import Done, Lost
from langgraph_alto.compare.report import Executor, PartialRow, SpanRow, Timeline
from langgraph_alto.core.critical_path import Body, Emitted, Run, longest_path
from langgraph_alto.core.fanout import START

MOST = 2000
"""Spans that are kept of a run."""

MOST_PARTIALS = 100
"""Partial outputs that are kept of a span: no waterfall shows more."""

MOST_OF_ALL = 10_000
"""Partial outputs that are kept of a run: a page stays small."""


def timeline_of(executor: Executor, done: Done) -> Timeline:
    """A run's bodies in the order of their begin, those that came to nothing included."""
    run = Run(done.bodies)
    chain = run.chain(done.latency)
    spans: list[SpanRow] = []
    most = _most_of_each([*done.bodies, *done.lost])
    for index, body in enumerate(done.bodies):
        if body.node.endswith(START):
            continue
        spans.append(
            SpanRow(
                id=body.id,
                node=body.node,
                path=body.path,
                namespace=list(body.namespace),
                parent=None if body.inside is None else done.bodies[body.inside].id,
                step=body.step,
                begin=body.began,
                end=body.ended,
                ahead=body.ahead,
                step_began=body.step_began,
                ready=run.wait(index).ready,
                outcome="failed" if body.failed else "adopted" if body.ahead else "real",
                depends=[
                    done.bodies[d.on].id
                    for d in body.depends
                    if not done.bodies[d.on].node.endswith(START)
                ],
                on_chain=index in chain.bodies,
                partials=_partials(body.emitted, most),
                partial_count=len(body.emitted),
            )
        )
    for number, lost in enumerate(done.lost):
        spans.append(
            SpanRow(
                id=f"lost-{number}",
                node=lost.node,
                path="request",
                namespace=[],
                parent=None,
                step=lost.step,
                begin=lost.began,
                end=lost.ended,
                ahead=True,
                step_began=None,
                ready=None,
                outcome="rerun" if lost.outcome == "rerun" else "discarded",
                depends=[],
                on_chain=False,
                partials=_partials(lost.emitted, most),
                partial_count=len(lost.emitted),
            )
        )
    spans.sort(key=lambda span: (span.begin, span.end))
    return Timeline(
        executor=executor,
        latency=done.latency,
        bound=longest_path(done.bodies) if done.bodies else None,
        first_chunk=done.first_chunk,
        spans=spans[:MOST],
        left_out=max(0, len(spans) - MOST),
    )


def _most_of_each(bodies: Sequence[Body | Lost]) -> int:
    """How many partial outputs are kept of a span."""
    spans = sum(bool(body.emitted) for body in bodies)
    return max(2, min(MOST_PARTIALS, MOST_OF_ALL // max(1, spans)))


def _partials(emitted: Sequence[Emitted], most: int) -> list[PartialRow]:
    """Partial outputs; of too many the first, the last, and some evenly spread between."""
    if len(emitted) > most:
        emitted = [emitted[n * (len(emitted) - 1) // (most - 1)] for n in range(most)]
    return [PartialRow(at=e.at, key=e.key, index=e.place) for e in emitted]
