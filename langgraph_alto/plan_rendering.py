"""How a plan is shown: a table with reasons, a Mermaid diagram, JSON."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from langgraph_alto.core.beside import END, START
from langgraph_alto.core.levels import Level
from langgraph_alto.core.plan import ANY, EdgePlan, NodePlan, StreamingPlan, Wait

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "langgraph-alto/plan/1"
"""Names the form of the JSON, which `plan.schema.json` describes."""

WIDTH = 110
"""Columns of the text where there is no terminal that says."""


# JSON ----------------------------------------------------------------------------------------


def plan_to_json(plan: StreamingPlan, *, indent: int | None = 2) -> str:
    """The plan as JSON text; `plan.schema.json` in this package describes it.

    Example:
        >>> json.loads(plan_to_json(StreamingPlan("g")))["graph"]
        'g'
    """
    value: dict[str, Any] = {"schema": SCHEMA, **dataclasses.asdict(plan)}
    value["levels"] = [
        {**dataclasses.asdict(level), "stream": level.stream.value} for level in plan.levels
    ]
    value["nodes"] = [
        {**dataclasses.asdict(node), "held": node.held} for node in plan.nodes.values()
    ]
    return json.dumps(value, indent=indent, ensure_ascii=False)


# Text ----------------------------------------------------------------------------------------


def plan_to_text(plan: StreamingPlan) -> str:
    """The plan as plain text: what `str(plan)` gives."""
    from rich.console import Console

    out = io.StringIO()
    print_plan(plan, Console(file=out, width=WIDTH, color_system=None))
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


def print_plan(plan: StreamingPlan, console: Console) -> None:
    """Print the nodes and edges as tables, then why nodes are held or wait, and the levels."""

    def say(line: str = "") -> None:
        # A line that can be pasted must stay one line.
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    say(_headline(plan))
    for note in plan.notes:
        say(f"Note: {note}.")
    if plan.nodes:
        console.print(_table(("node", "starts", "effects", "reads", "writes"), _node_rows(plan)))
    if plan.edges:
        console.print(_table(("edge", "starts", "why"), _edge_rows(plan)))
    for title, lines in (
        ("Held", _held_lines(plan)),
        ("Waits that a line would end", _wait_lines(plan)),
        ("Routers", _router_lines(plan)),
        ("Levels", _level_lines(plan.levels)),
    ):
        found = list(lines)
        if found:
            say(f"{title}:")
        for line in found:
            say(f"  {line}")


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        cells = [Text(cell) for cell in row]
        cells[1].stylize(_STYLES.get(row[1].partition(",")[0], ""))
        table.add_row(*cells)
    return table


_STYLES = {
    "streamed": "green",
    "certain": "green",
    "speculative": "yellow",
    "held": "red",
    "at once": "green",
    "after its sources": "green",
    "waits": "yellow",
    "with its step": "red",
}


def _headline(plan: StreamingPlan) -> str:
    if plan.off is not None:
        return f"Plan of {plan.graph!r}: nothing starts early: {plan.off}."
    held = len(plan.held)
    early = len(plan.nodes) - held
    return (
        f"Plan of {plan.graph!r}: {_count(early, 'node')} may start early, {held} held "
        f"(run_ahead={plan.run_ahead!r})."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _node_rows(plan: StreamingPlan) -> Iterator[Sequence[str]]:
    for node in plan.nodes.values():
        name = f"{node.name} (deferred)" if node.defer else node.name
        effects = node.effects if node.rank in node.effects else f"{node.rank}: {node.effects}"
        writes = "anything" if node.writes is None else _names(node.writes)
        yield (
            name,
            node.starts,
            effects,
            f"{_names(node.reads)} ({node.reads_how})",
            f"{writes} ({node.writes_how})",
        )


def _edge_rows(plan: StreamingPlan) -> Iterator[Sequence[str]]:
    for edge in plan.edges:
        if edge.when != "end":
            yield _edge_name(edge), _when(edge), edge.reason


def _when(edge: EdgePlan) -> str:
    """When an edge starts a task, in a word or two."""
    if not edge.sends or edge.starts == "held":
        return edge.when
    sent = "streamed" if edge.starts == "streamed" else "at once"
    return sent if edge.when == sent else f"{sent}, or {edge.when}"


def _edge_name(edge: EdgePlan) -> str:
    kind = {"direct": "", "channel": " (channel)", "error": " (error)"}.get(edge.kind)
    if kind is None:
        kind = f" ({edge.kind} {edge.router})" if edge.router else f" ({edge.kind})"
    return f"{' + '.join(map(_shown, edge.sources))} -> {_shown(edge.target)}{kind}"


def _shown(name: str) -> str:
    head, colon, tail = name.rpartition(":")
    return head + colon + {START: "START", END: "END", ANY: "any node"}.get(tail, tail)


def _names(names: Iterable[str], most: int = 6) -> str:
    found = list(names)
    more = f" +{len(found) - most}" if len(found) > most else ""
    return ", ".join(found[:most]) + more if found else "nothing"


def _held_lines(plan: StreamingPlan) -> Iterator[str]:
    for node in plan.held if plan.off is None else ():
        yield f"{node.name}: {node.reason}: {node.detail}"
        if node.unlock is not None:
            yield f"  unlock: {node.unlock}"


def _wait_lines(plan: StreamingPlan) -> Iterator[str]:
    """Each line that can be pasted once, with those that wait for want of it."""
    waiting: dict[str, tuple[Wait, dict[str, None]]] = {}
    for edge in plan.edges:
        for wait in edge.waits:
            if wait.unlock is not None:
                waiting.setdefault(wait.unlock, (wait, {}))[1][_shown(edge.target)] = None
    for unlock, (wait, targets) in waiting.items():
        verb = "waits" if len(targets) == 1 else "wait"
        yield f"{_names(targets)} {verb} for {wait.node}, which {_why(wait)}"
        yield f"  unlock: {unlock}"
    for edge in plan.edges:
        if edge.unlock is not None and edge.when != "with its step":
            yield f"{_edge_name(edge)}: {edge.reason}"
            yield f"  unlock: {edge.unlock}"


def _why(wait: Wait) -> str:
    """The rest of the sentence "a waits for b, which …"."""
    if wait.why == "writes what is read":
        return f"may write {_names(wait.channels or ())}"
    if wait.why == "what follows is not known":
        return "may lead to any node"
    return wait.why


def _what(wait: Wait) -> str:
    return "anything" if wait.channels is None else _names(wait.channels)


def _router_lines(plan: StreamingPlan) -> Iterator[str]:
    """What is said of routers: why they wait while a node streams, and at which gate."""
    for node in plan.nodes.values():
        for router in node.routers:
            label = f"{router.name} (after {node.name})"
            if node.stream != "nothing":
                why = "evaluated while its node streams"
                if not router.on_partial_state:
                    why = f"not evaluated while its node streams: {router.reason}"
                yield f"{label}: {why}"
            if router.gate:
                gate = _names(f"{wait.node} ({_what(wait)})" for wait in router.gate)
                yield f"{label}: where {node.name} ran ahead, it waits for {gate}"


def _level_lines(levels: Iterable[Level]) -> Iterator[str]:
    for level in levels:
        joined = f"; aggregated by {_names(level.aggregators)}" if level.aggregators else ""
        members = [n for n in level.members if not n.rpartition(":")[2].startswith("__")]
        yield f"{' or '.join(level.paths)}: {_names(members)}{joined}"


# Mermaid -------------------------------------------------------------------------------------


def plan_to_mermaid(plan: StreamingPlan) -> str:
    """The plan as a Mermaid flow chart, as GitHub and LangGraph Studio show it.

    Colours say when a node may start, labels on the edges for whom it waits.

    Example:
        >>> print(plan_to_mermaid(StreamingPlan("g")).splitlines()[0])
        graph TD
    """
    return "\n".join(_Mermaid(plan).lines())


_CLASSES = {
    "streamed": "fill:#d3f9d8,stroke:#2b8a3e,color:#1b1b1b",
    "certain": "fill:#e7f5ff,stroke:#1971c2,color:#1b1b1b",
    "speculative": "fill:#fff3bf,stroke:#e67700,color:#1b1b1b",
    "held": "fill:#ffe3e3,stroke:#c92a2a,color:#1b1b1b",
    "edge_of_graph": "fill:#f1f3f5,stroke:#868e96,color:#1b1b1b",
}
_WAITING = "stroke:#e67700"
_HELD = "stroke:#c92a2a"


class _Mermaid:
    """Writes one diagram; nodes are numbered, since a name can be any text."""

    def __init__(self, plan: StreamingPlan) -> None:
        self._plan = plan
        self._ids: dict[str, str] = {}
        self._classes: dict[str, list[str]] = {}
        self._links: dict[str, list[int]] = {}
        self._boxed: list[str] = []
        self._count = 0

    def lines(self) -> Iterator[str]:
        yield "graph TD"
        edges = list(self._edges())
        inner = {name.rpartition(":")[0] for name in self._ids}
        yield from self._box("", inner, "    ")
        yield from edges
        yield from (f"    {id_} -.- in_{id_}" for id_ in self._boxed)
        for name, style in _CLASSES.items():
            if name in self._classes:
                yield f"    classDef {name} {style}"
                yield f"    class {','.join(self._classes[name])} {name}"
        for style, numbers in self._links.items():
            yield f"    linkStyle {','.join(map(str, numbers))} {style}"

    def _box(self, parent: str, inner: set[str], indent: str) -> Iterator[str]:
        """The nodes of a graph, and a box for each of its subgraphs."""
        for name, id_ in self._ids.items():
            if name.rpartition(":")[0] != parent:
                continue
            yield f"{indent}{id_}{self._shape(name, id_)}"
            if name in inner:
                self._boxed.append(id_)
                yield f'{indent}subgraph in_{id_} ["{_escaped(name)}"]'
                yield from self._box(name, inner, indent + "    ")
                yield f"{indent}end"

    def _shape(self, name: str, id_: str) -> str:
        node = self._plan.nodes.get(name)
        text = _escaped(_shown(name.rpartition(":")[2]))
        self._classes.setdefault("edge_of_graph" if node is None else node.starts, []).append(id_)
        if node is None:
            return f'(["{text}"])'
        return f'["{text}<br/>{_escaped(_summary(node))}"]'

    def _edges(self) -> Iterator[str]:
        for name in self._plan.nodes:
            self._id(name)
        leading: set[str] = set()
        for edge in self._plan.edges:
            for source in edge.sources:
                leading.add(source)
                yield self._edge(source, edge)
        for name in self._plan.nodes:
            if name not in leading:
                head, colon, _ = name.rpartition(":")
                yield f"    {self._link(name, head + colon + END, '-->', '')}"

    def _edge(self, source: str, edge: EdgePlan) -> str:
        dotted = edge.kind in ("conditional", "command", "error")
        style = {"waits": _WAITING, "with its step": _HELD}.get(edge.when)
        if style is not None and not (edge.sends and edge.when == "waits"):
            self._links.setdefault(style, []).append(self._count)
        return f"    {self._link(source, edge.target, '-.->' if dotted else '-->', _label(edge))}"

    def _link(self, source: str, target: str, arrow: str, label: str) -> str:
        self._count += 1
        text = f'|"{_escaped(label)}"|' if label else ""
        return f"{self._id(source)} {arrow}{text} {self._id(target)}"

    def _id(self, name: str) -> str:
        return self._ids.setdefault(name, f"n{len(self._ids)}")


def _summary(node: NodePlan) -> str:
    return f"held: {node.reason}" if node.held else f"{node.starts}, {node.rank}"


def _label(edge: EdgePlan) -> str:
    parts = []
    if edge.kind == "join":
        parts.append("join")
    if edge.sends and edge.starts != "held":
        parts.append("Sends while it runs" if edge.starts == "streamed" else "Sends at once")
    if edge.waits:
        names = _names((_shown(wait.node) for wait in edge.waits), most=3)
        parts.append(f"by name: waits for {names}" if edge.sends else f"waits for {names}")
    return ", ".join(parts)


def _escaped(text: str) -> str:
    """Text inside quotes: what Mermaid or HTML could take for its own becomes a code."""
    flat = " ".join(text.split())
    # "1. a" and "- a" would begin a list.
    unsafe = r"[^\w .,:()'=+/-]|^[+-](?= )|(?<=^\d)[.)](?= )"
    return re.sub(unsafe, lambda match: f"#{ord(match[0])};", flat)
