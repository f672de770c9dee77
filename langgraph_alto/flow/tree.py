"""The rows of a waterfall: spans nested by what they descend from. Pure.

Rules
-----
1. What is part of a node (model calls, tools, the user's own spans) stands below it.
2. A node stands below the one whose partial output it was started for, and is marked with that
   output's name. Several nodes for one output stand below a row of their own for it.
3. A node that descends from nothing but the request stands below its run.
4. An edge that streams stands below its producer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from langgraph_alto.flow.model import Flow, Interval, Span

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row: a span, or the hull of several that descend from one output (`span` is None).

    `depth` counts from 0; `parent` is the number of the row that it hangs below; `item` names
    the output that it descends from.
    """

    label: str
    depth: int
    parent: int | None
    interval: Interval
    span: Span | None = None
    item: str = ""


@dataclass(slots=True)
class _Place:
    """A row in the making."""

    label: str
    span: Span | None = None
    item: str = ""
    below: list[_Place] = field(default_factory=list)

    @property
    def start(self) -> float:
        return self.interval().start

    def interval(self) -> Interval:
        if self.span is not None:
            return Interval(self.span.start, self.span.end)
        inside = [place.interval() for place in self.below]
        return Interval(min(i.start for i in inside), max(i.end for i in inside))


def rows(flow: Flow) -> list[Row]:
    """The rows from top to bottom, parents before what hangs below them.

    Example:
        >>> plan = Span("a", "plan", 0, 2, ancestry=("request",))
        >>> path = ("request", "plan.items[0]")
        >>> work = Span("b", "work", 1, 3, ancestry=path, links=(Link("a", 0),))
        >>> [(row.depth, row.label, row.item) for row in rows(Flow("demo", (plan, work)))]
        [(0, 'plan', ''), (1, 'work', 'plan.items[0]')]
    """
    places = {span.id: _Place(span.name, span) for span in flow.spans}
    top: list[_Place] = []
    groups = _groups(flow)
    bases = _bases(groups)
    group_places: dict[tuple[str | None, Path], _Place] = {}
    for (container, path), members in groups.items():
        if path != bases[container] and len(members) > 1:
            group_places[container, path] = _Place(path[-1], item=path[-1])

    def below(span_id: str | None) -> list[_Place]:
        return top if span_id is None else places[span_id].below

    for key, members in groups.items():
        container, path = key
        if path == bases[container]:
            below(container).extend(places[span.id] for span in members)
            continue
        emitter = _emitter(flow, members, container, path)
        outer = group_places.get((container, path[:-1]))
        if emitter is not None:
            home = places[emitter.id].below
        else:
            home = outer.below if outer is not None else below(container)
        if key in group_places:
            group_places[key].below.extend(places[span.id] for span in members)
            home.append(group_places[key])
        else:
            places[members[0].id].item = path[-1]
            home.append(places[members[0].id])
    for span in flow.spans:
        if span.kind == "stream":
            producer = next((link.span for link in span.links if link.span in flow.by_id), None)
            below(producer or flow.container_of(span)).append(places[span.id])
        elif span.kind != "node":
            below(flow.container_of(span)).append(places[span.id])
    return _flattened(top, places)


def _groups(flow: Flow) -> dict[tuple[str | None, Path], list[Span]]:
    """The nodes by the run that they are part of and by what they descend from."""
    groups: dict[tuple[str | None, Path], list[Span]] = {}
    for span in sorted(flow.spans, key=lambda span: (span.start, span.end)):
        if span.kind == "node":
            groups.setdefault((flow.container_of(span), span.ancestry), []).append(span)
    return groups


def _bases(groups: Mapping[tuple[str | None, Path], object]) -> dict[str | None, Path]:
    """For each run the shortest path in it: its nodes that descend from no output of it."""
    bases: dict[str | None, Path] = {}
    for container, path in groups:
        if container not in bases or len(path) < len(bases[container]):
            bases[container] = path
    return bases


def _emitter(flow: Flow, members: Sequence[Span], container: str | None, path: Path) -> Span | None:
    """The node that gave the output for which these were started."""
    for span in members:
        for link in span.links:
            producer = flow.by_id.get(link.span)
            if (
                producer is not None
                and producer.kind == "node"
                and producer.ancestry == path[:-1]
                and flow.container_of(producer) == container
            ):
                return producer
    return None


def _flattened(top: list[_Place], places: Mapping[str, _Place]) -> list[Row]:
    found: list[Row] = []
    seen: set[int] = set()
    # What was recorded may name anything as its producer: a ring hangs nowhere, so it is put
    # at the top where the walk has not met it.
    for start in (top, list(places.values())):
        pending: list[tuple[_Place, int, int | None]] = [
            (place, 0, None) for place in reversed(_in_order(start))
        ]
        while pending:
            place, depth, parent = pending.pop()
            if id(place) in seen:
                continue
            seen.add(id(place))
            number = len(found)
            found.append(Row(place.label, depth, parent, place.interval(), place.span, place.item))
            pending += [(p, depth + 1, number) for p in reversed(_in_order(place.below))]
    return found


def _in_order(places: list[_Place]) -> list[_Place]:
    """By start, streaming edges first; the items of one level together, by their numbers."""
    began: dict[str, float] = {}
    for place in places:
        level = _level(place)[0]
        began[level] = min(began.get(level, place.start), place.start)

    def key(place: _Place) -> tuple[bool, float, str, int, float]:
        level, number = _level(place)
        is_stream = place.span is not None and place.span.kind == "stream"
        # What is no item has a level of its own, and so its own start.
        since = began[level] if level else place.start
        return (not is_stream, since, level, number, place.start)

    return sorted(places, key=key)


def _level(place: _Place) -> tuple[str, int]:
    """`("plan.sections", 3)` of `plan.sections[3]`; without a name where there is no number."""
    name, bracket, rest = place.item.rpartition("[")
    number = rest.removesuffix("]")
    return (name, int(number)) if bracket and number.isdecimal() else ("", 0)
