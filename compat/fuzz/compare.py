"""Compares two outcomes, aspect by aspect.

An *aspect* is one thing that a user could see: how it ended, the stream, the history, and so
on. Where the order of siblings is a race the content is one aspect (compared without order)
and the order another, so that a swapped pair never hides a lost chunk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from compat.fuzz.canonical import key_of, mask, rename, unordered
from compat.fuzz.plan import START, Graph, GraphPlan, all_nodes
from compat.fuzz.run import Outcome, Round


@dataclass
class Difference:
    """One aspect in which two outcomes differ, and the first place where they do."""

    aspect: str
    where: str
    left: Any
    right: Any

    def __str__(self) -> str:
        return f"{self.aspect} at {self.where}: {_short(self.left)} | {_short(self.right)}"


def compare(plan: GraphPlan, left: Outcome, right: Outcome) -> list[Difference]:
    """Where two runs on LangGraph itself differ."""
    found = []
    for aspect, view in _views(plan).items():
        if spot := first_difference(view(left), view(right)):
            found.append(Difference(aspect, *spot))
    for name in sorted({*left.bodies, *right.bodies}):
        if left.bodies[name] != right.bodies[name]:
            found.append(Difference("bodies", name, left.bodies[name], right.bodies[name]))
            break
    return found


def compare_executors(plan: GraphPlan, langgraph: Outcome, alto: Outcome) -> list[Difference]:
    """Where ALTO's run differs from LangGraph's. More body runs than LangGraph's are allowed
    where they may be: not of held nodes, and no more than the executor reported as lost.
    """
    found = [d for d in compare(plan, langgraph, alto) if d.aspect != "bodies"]
    held, allowed, shifted = held_bodies(plan), _allowed_extra(plan, alto), _shifted(plan, alto)
    for name in sorted({*langgraph.bodies, *alto.bodies}):
        more = alto.bodies[name] - langgraph.bodies[name]
        if more < -shifted or more > (0 if name in held else allowed[name]) + shifted:
            sides = (langgraph.bodies[name], alto.bodies[name])
            found.append(Difference("bodies", f"{name} (in vain: {allowed[name]})", *sides))
            break
    if new := Counter(alto.leaked) - Counter(langgraph.leaked):
        found.append(Difference("leaks", "tasks after the run", [], sorted(new.elements())))
    return found


def held_bodies(plan: GraphPlan) -> set[str]:
    """Bodies that must run exactly as often as on LangGraph.

    Not all that `undeclared="hold"` holds: a node may be proven harmless by its source.
    """
    held: set[str] = set()
    off = plan.run.options.get("run_ahead") == "off"

    def visit(graph: Graph, prefix: str) -> None:
        for node in graph.nodes:
            if node.subgraph is not None:
                visit(node.subgraph, f"{prefix}{node.name}__")
            if off or node.effects == "once" or node.store or node.mutate == "global":
                held.add(prefix + node.name)

    visit(plan.graph, "")
    return held


def _allowed_extra(plan: GraphPlan, alto: Outcome) -> Counter[str]:
    """How often each body may have run in vain, by what the executor reported.

    An execution that was lost had retries of its own, and if it is, or calls, a graph, every
    body of that ran in vain with it. One that was taken over may have had retries for which
    LangGraph had no time, when a sibling failed.
    """
    lost, taken_over = alto.executions("lost"), alto.executions("taken over")
    allowed = Counter(lost)

    def visit(graph: Graph, prefix: str, times: int) -> None:
        runs = _most_runs(graph)
        for node in graph.nodes:
            name = prefix + node.name
            attempts = max(node.retry, 1)
            allowed[name] = (lost[name] + times * runs[node.name]) * attempts
            allowed[name] += taken_over[name] * (attempts - 1)
            allowed[f"{name}_error"] += times * runs[node.name]
            if node.subgraph is not None:
                visit(node.subgraph, f"{name}__", allowed[name])

    visit(plan.graph, "", 0)
    return allowed


def _shifted(plan: GraphPlan, alto: Outcome) -> int:
    """How many siblings may have begun, or not, only because of the places that others took.

    What runs ahead takes a place of `max_concurrency` before its turn, and needs none when that
    has come. So if a task fails, which of its siblings had begun by then may be others (README,
    "not the same"): for each execution ahead one sibling, with all its attempts.
    """
    if plan.run.max_concurrency is None or not any(r.end and r.end["error"] for r in alto.rounds):
        return 0
    ahead = alto.executions("lost").total() + alto.executions("taken over").total()
    return ahead * max(max(node.retry, 1) for node in all_nodes(plan))


def _most_runs(graph: Graph) -> Counter[str]:
    """At most how often each node runs in one run of a graph that only runs forward."""
    runs: Counter[str] = Counter()
    for edge in graph.edges:
        runs[edge.target] += edge.sources == [START]
    for node in graph.nodes:
        for edge in graph.edges:
            runs[edge.target] += runs[node.name] * (edge.sources[0] == node.name)
        if node.sends is not None:
            for target in node.sends.targets:
                runs[target] += runs[node.name] * node.sends.width
    return runs


def first_difference(  # noqa: PLR0911 - one per kind of difference
    left: Any, right: Any, where: str = ""
) -> tuple[str, Any, Any] | None:
    """The first place where two plain values differ, as (path, left, right)."""
    if type(left) is type(right) and isinstance(left, dict):
        for key in [*left, *[key for key in right if key not in left]]:
            if key not in left or key not in right:
                return f"{where}.{key}", left.get(key, "<missing>"), right.get(key, "<missing>")
            if found := first_difference(left[key], right[key], f"{where}.{key}"):
                return found
        return None
    if type(left) is type(right) and isinstance(left, list):
        for index, (one, other) in enumerate(zip(left, right, strict=False)):
            if found := first_difference(one, other, f"{where}[{index}]"):
                return found
        if len(left) != len(right):
            index = min(len(left), len(right))
            sides = [side[index] if index < len(side) else "<missing>" for side in (left, right)]
            return f"{where}[{index}]", sides[0], sides[1]
        return None
    # nan never equals itself; no plan makes one, but a difference must not be invented.
    return None if left == right or key_of(left) == key_of(right) else (where, left, right)


def _views(plan: GraphPlan) -> dict[str, Callable[[Outcome], Any]]:
    views: dict[str, Callable[[Outcome], Any]] = {
        "end": lambda o: mask([r.end for r in o.rounds]),
        "stream": lambda o: [_by_step(r) for r in o.rounds],
        "pauses": lambda o: mask([r.snapshot for r in o.rounds]),
        # Oldest first, so that ids are numbered in the order in which they came to be.
        "history": lambda o: rename(list(reversed(o.history))),
        "saved": lambda o: unordered(o.saved),
        "store": lambda o: mask(o.store),
        "callbacks": lambda o: _tree(o.callbacks),
    }
    if plan.has_exact_order():
        # On the virtual clock the order is exact; between threads it is anybody's.
        views["stream order"] = lambda o: rename([r.chunks for r in o.rounds])
        views["callbacks order"] = lambda o: rename(o.callbacks)
    return views


def _ends_step(chunk: list[Any]) -> bool:
    _, mode, payload = chunk
    return mode in ("values", "checkpoints") or (
        mode == "debug" and isinstance(payload, dict) and payload.get("type") == "checkpoint"
    )


def _by_step(round_: Round) -> Any:
    """The stream of a round by namespace, cut where a step ends; between the cuts unordered."""
    spaces: dict[str, list[list[Any]]] = {}
    for chunk in round_.chunks:
        pieces = spaces.setdefault("|".join(chunk[0]), [[]])
        if _ends_step(chunk):
            pieces += [[chunk[1:]], []]
        else:
            pieces[-1].append(chunk[1:])
    made = [
        [mask(name), [unordered(piece) for piece in pieces if piece]]
        for name, pieces in spaces.items()
    ]
    return sorted(made, key=key_of)


def _tree(events: list[Any]) -> Any:
    """Callback events by run: each run with its own events in order, its children in none."""
    runs: dict[str, list[Any]] = {}
    parents: dict[str, str] = {}
    for event in events:
        runs.setdefault(event["run"], []).append(
            {key: value for key, value in event.items() if key not in ("run", "parent")}
        )
        parents.setdefault(event["run"], event["parent"])
    children: dict[str, list[str]] = {}
    for run, parent in parents.items():
        children.setdefault(parent if parent in runs and parent != run else "", []).append(run)

    def branch(run: str) -> Any:
        below = sorted((branch(child) for child in children.get(run, ())), key=key_of)
        return [mask(runs[run]), below]

    return sorted((branch(run) for run in children.get("", ())), key=key_of)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 160 else text[:157] + "..."
