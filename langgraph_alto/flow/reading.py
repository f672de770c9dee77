"""OpenTelemetry spans as flows: what the attributes of the schema mean in a `Flow`.

It reads any trace. Spans that are not ours become `"other"` spans below their parents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langgraph_alto.flow.model import Flow, Interval, Kind, Link, Outcome, Span, Tick

MOST_DETAIL = 400
"""Characters of an attribute that are shown."""

DEEPEST = 64
"""Steps of an ancestry that are kept: the first and the last ones."""

KINDS: Mapping[str, Kind] = {
    "invoke_workflow": "run",
    "chat": "model",
    "text_completion": "model",
    "generate_content": "model",
    "embeddings": "model",
    "execute_tool": "tool",
}
"""By `gen_ai.operation.name`."""

SHOWN_OTHERWISE = frozenset(
    {
        "alto.ancestry",
        "alto.node",
        "alto.run_ahead",
        "alto.run_ahead.outcome",
        "alto.run_ahead.reason",
        "alto.input.from_span_id",
        "gen_ai.operation.name",
    }
)

OUTCOMES: Mapping[str, Outcome] = {
    "real": "real",
    "adopted": "adopted",
    "discarded": "discarded",
    "rerun": "rerun",
}


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a recorded span. `at` is in nanoseconds since 1970."""

    name: str
    at: int
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Linked:
    """A link of a recorded span."""

    trace_id: str
    span_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """A span as it was recorded. Times are in nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start: int
    end: int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Event] = ()
    links: Sequence[Linked] = ()
    failed: bool = False
    message: str = ""
    resource: Mapping[str, Any] = field(default_factory=dict)


def record_of(span: Any) -> Record:
    """An SDK's `ReadableSpan` that has ended."""
    context = span.get_span_context()
    status = span.status
    return Record(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else None,
        name=span.name,
        start=span.start_time or 0,
        end=span.end_time or span.start_time or 0,
        attributes=dict(span.attributes or {}),
        events=[Event(e.name, e.timestamp, dict(e.attributes or {})) for e in span.events],
        links=[
            Linked(
                f"{link.context.trace_id:032x}",
                f"{link.context.span_id:016x}",
                dict(link.attributes or {}),
            )
            for link in span.links
        ],
        failed=status.status_code.name == "ERROR",
        message=status.description or "",
        resource=dict(span.resource.attributes) if span.resource else {},
    )


def flows_of(records: Iterable[Record]) -> list[Flow]:
    """A flow for each trace, in order of their starts.

    Example:
        >>> record = Record("t", "a", None, "node plan", 0, 10**9, {"alto.node": "plan"})
        >>> [(span.name, span.kind, span.end) for span in flows_of([record])[0].spans]
        [('plan', 'node', 1.0)]
    """
    traces: dict[str, dict[str, Record]] = {}
    for record in records:
        if record.attributes.get("alto.node") == "__start__" and not record.failed:
            continue  # it only hands the input over
        traces.setdefault(record.trace_id, {})[record.span_id] = record
    found = [list(trace.values()) for trace in traces.values()]
    found.sort(key=lambda trace: min(record.start for record in trace))
    return [_flow(trace) for trace in found]


def _flow(trace: Sequence[Record]) -> Flow:
    began = min(record.start for record in trace)
    ids = {record.span_id for record in trace}
    tops = [record for record in trace if record.parent_id not in ids]
    runs = [record for record in trace if _kind(record) == "run"]
    outer = min(
        [record for record in runs if record in tops] or runs or tops or list(trace),
        key=lambda record: record.start,
    )
    facts = {"outcome": "failed"} if outer.failed else {}
    return Flow(
        title=_name(outer, _kind(outer)),
        spans=_from_partial_outputs([_span(record, began) for record in trace]),
        executor=str(outer.attributes.get("alto.executor", "")),
        facts=facts,
    ).completed()


def _span(record: Record, began: int) -> Span:
    def since(nanoseconds: int) -> float:
        return (nanoseconds - began) / 1e9

    attributes = record.attributes
    kind = _kind(record)
    start, end = since(record.start), since(max(record.start, record.end))
    waited = _float(attributes.get("alto.input.wait_ms"))
    links = [_link(linked, record, kind) for linked in record.links]
    mirrored = attributes.get("alto.input.from_span_id")
    if not links and isinstance(mirrored, str):
        links = [Link(mirrored, _int(attributes.get("alto.input.partial_index")))]
    if waited is not None and len(links) == 1:
        # What was measured when it started counts more than what the spans' ends suggest.
        links = [links[0]._replace(ready=start - waited / 1000)]
    return Span(
        id=record.span_id,
        name=_name(record, kind),
        start=start,
        end=end,
        kind=kind,
        parent=record.parent_id,
        ancestry=_ancestry(attributes.get("alto.ancestry")),
        links=tuple(links),
        ticks=tuple(
            sorted(
                Tick(
                    since(event.at),
                    _int(event.attributes.get("alto.partial.index")),
                    str(event.attributes.get("alto.partial.key", "")),
                )
                for event in record.events
                if event.name == "alto.partial.emit"
            )
        ),
        waits=(Interval(start - waited / 1000, start),) if waited else (),
        step=_int(attributes.get("alto.step")),
        outcome=_outcome(attributes) if kind == "node" else None,
        reason=str(attributes.get("alto.run_ahead.reason", "")),
        failed=record.failed,
        details=_details(record),
    )


def _from_partial_outputs(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The same spans; what descends from a partial output waited from when that was emitted.

    The measured wait counts from when the executor could know of it: where its producer had to
    end first, that is the producer's end.
    """
    by_id = {span.id: span for span in spans}
    found = []
    for span in spans:
        producer = by_id.get(span.links[0].span) if len(span.links) == 1 else None
        item = span.ancestry[-1] if span.ancestry else ""
        for tick in producer.ticks if producer is not None and span.kind == "node" else ():
            is_it = producer is not None and item == f"{producer.name}.{tick.name}[{tick.number}]"
            if is_it and tick.at <= span.start:
                links = (span.links[0]._replace(ready=tick.at),)
                found.append(replace(span, links=links, waits=(Interval(tick.at, span.start),)))
                break
        else:
            found.append(span)
    return tuple(found)


def _link(linked: Linked, record: Record, kind: Kind) -> Link:
    index = linked.attributes.get("alto.input.partial_index")
    if index is None and len(record.links) == 1:
        index = record.attributes.get("alto.input.partial_index")
    return Link(linked.span_id, _int(index))


def _outcome(attributes: Mapping[str, Any]) -> Outcome:
    if not attributes.get("alto.run_ahead"):
        return "real"
    return OUTCOMES.get(str(attributes.get("alto.run_ahead.outcome")), "adopted")


def _kind(record: Record) -> Kind:
    if "alto.node" in record.attributes:
        return "node"
    if record.name.startswith("stream ") and any(
        name.startswith("alto.stream.") for name in record.attributes
    ):
        return "stream"
    return KINDS.get(str(record.attributes.get("gen_ai.operation.name")), "other")


def _name(record: Record, kind: Kind) -> str:
    if kind == "node":
        return str(record.attributes["alto.node"])
    if kind == "stream":
        return f"\N{RIGHTWARDS ARROW} {record.name.rpartition('->')[2]}"
    if kind == "run":
        return record.name.removeprefix("invoke_workflow ")
    return record.name


def _ancestry(value: Any) -> tuple[str, ...]:
    path: tuple[str, ...] = ()
    if isinstance(value, str) and value:
        path = tuple(value.split(" / "))
    elif isinstance(value, list | tuple):
        path = tuple(map(str, value))
    return path if len(path) <= DEEPEST else (path[0], "...", *path[-DEEPEST + 2 :])


def _details(record: Record) -> dict[str, str]:
    found = {"trace": record.trace_id, "span": record.span_id}
    if record.message:
        found["status"] = record.message
    for name, value in sorted(record.attributes.items()):
        if name not in SHOWN_OTHERWISE:
            found[name] = _shown(value)
    return found


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= MOST_DETAIL else text[:MOST_DETAIL] + "\N{HORIZONTAL ELLIPSIS}"


def _int(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _float(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and value >= 0 else None
