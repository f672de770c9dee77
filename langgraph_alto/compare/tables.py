"""Where the gain came from and where time is still lost: edge by edge, node by node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from langgraph_alto.compare.execution import Done
from langgraph_alto.compare.report import BothNumbers, EdgeRow, NodeRow, Spent
from langgraph_alto.core.critical_path import Chain, Run, Wait
from langgraph_alto.core.fanout import START
from langgraph_alto.core.plan import EdgePlan, StreamingPlan

_VIA = {"edge": "direct", "channel": "channel"}


@dataclass
class _Sum:
    """Seconds and tasks over the runs of a side."""

    waited: float = 0.0
    waited_all: float = 0.0
    tasks: int = 0
    ahead: int = 0
    via: str = ""
    waited_for: dict[str, float] = field(default_factory=dict)


@dataclass
class _NodeSum:
    seconds: float = 0.0
    on_chain: float = 0.0
    tasks: int = 0
    ahead: int = 0


@dataclass
class SideTimes:
    """Where the time of a side's runs went."""

    runs: int = 0
    edges: dict[tuple[str, str], _Sum] = field(default_factory=dict)
    nodes: dict[str, _NodeSum] = field(default_factory=dict)
    spent: list[Spent] = field(default_factory=list)

    @classmethod
    def of(cls, runs: Iterable[Done]) -> SideTimes:
        """Take runs apart."""
        made = cls()
        for done in runs:
            if done.is_measured and done.bodies:
                made._add(done)
        return made

    def _add(self, done: Done) -> None:
        run = Run(done.bodies)
        chain = run.chain(done.latency)
        self.runs += 1
        self.spent.append(spent_of(chain, done.latency))
        for wait in chain.waits:
            edge = self._edge(run, wait)
            edge.waited += wait.total
            if wait.blocker is not None:
                edge.waited_for[wait.blocker] = (
                    edge.waited_for.get(wait.blocker, 0.0) + wait.waiting
                )
        for index, body in enumerate(done.bodies):
            if not run.is_leaf(index) or body.node.endswith(START):
                continue
            node = self.nodes.setdefault(body.node, _NodeSum())
            node.tasks += 1
            node.ahead += body.ahead
            node.seconds += body.duration
            node.on_chain += chain.bodies.get(index, 0.0)
            wait = run.wait(index)
            if wait.source is not None:
                edge = self._edge(run, wait)
                edge.tasks += 1
                edge.ahead += run.bodies[wait.target].ahead
                edge.waited_all += wait.total

    def _edge(self, run: Run, wait: Wait) -> _Sum:
        assert wait.source is not None
        key = run.bodies[wait.source].node, run.bodies[wait.target].node
        found = self.edges.setdefault(key, _Sum())
        found.via = found.via or wait.via
        return found

    def mean_spent(self) -> Spent | None:
        """Where a run's time went, on average."""
        if not self.spent:
            return None
        names = ("bodies", "waiting", "executor", "latency")
        return Spent(**{name: fmean(getattr(s, name) for s in self.spent) for name in names})


def spent_of(chain: Chain, latency: float) -> Spent:
    """A latency taken apart along its chain."""
    bodies = sum(chain.bodies.values())
    waiting = sum(wait.waiting for wait in chain.waits)
    return Spent(
        bodies=bodies, waiting=waiting, executor=latency - bodies - waiting, latency=latency
    )


def edge_rows(langgraph: SideTimes, alto: SideTimes, plan: StreamingPlan) -> list[EdgeRow]:
    """One row for each pair of nodes of which one waited for the other; largest effect first."""
    rows = []
    for source, target in {**langgraph.edges, **alto.edges}:
        one = langgraph.edges.get((source, target), _Sum())
        other = alto.edges.get((source, target), _Sum())
        waited = _both(one.waited, other.waited, langgraph.runs, alto.runs)
        edge = _plan_edge(plan, source, target, other.via or one.via)
        runs, sums = (alto.runs, other) if other.tasks else (langgraph.runs, one)
        when, reason, unlock = _explained(plan, edge, source, target)
        rows.append(
            EdgeRow(
                source=source,
                target=target,
                kind=_kind(other.via or one.via, edge),
                tasks=sums.tasks / max(1, runs),
                waited=waited,
                waited_all=_both(one.waited_all, other.waited_all, langgraph.runs, alto.runs),
                waited_for={
                    "langgraph": _mean_each(one.waited_for, langgraph.runs),
                    "alto": _mean_each(other.waited_for, alto.runs),
                },
                gain=(waited.langgraph or 0.0) - (waited.alto or 0.0),
                lost=waited.alto or 0.0,
                ahead=other.ahead / other.tasks if other.tasks else 0.0,
                when=when,
                reason=reason,
                unlock=unlock,
            )
        )
    rows.sort(key=lambda r: (-max(abs(r.gain), r.lost), r.source, r.target))
    return rows


def _mean_each(sums: dict[str, float], runs: int) -> dict[str, float]:
    """Means per run, the largest first; what is nothing is left out."""
    largest = sorted(sums.items(), key=lambda item: -item[1])
    return {node: seconds / runs for node, seconds in largest if seconds > 0}


def _both(one: float, other: float, runs: int, others: int) -> BothNumbers:
    first = one / runs if runs else None
    second = other / others if others else None
    ratio = second / first if first and second is not None else None
    return BothNumbers(langgraph=first, alto=second, ratio=ratio)


def _plan_edge(plan: StreamingPlan, source: str, target: str, via: str) -> EdgePlan | None:
    found = [e for e in plan.edges_to(target) if source in e.sources]
    if via == "send":
        found.sort(key=lambda e: not e.sends)
    return found[0] if found else None


def _kind(via: str, edge: EdgePlan | None) -> str:
    if via in ("send", "data", "order", "resume"):
        return via
    if edge is not None:
        return edge.kind
    return _VIA.get(via, via or "data")


def _explained(
    plan: StreamingPlan, edge: EdgePlan | None, source: str, target: str
) -> tuple[str, str, list[str]]:
    """When the plan lets the target start, why, and what would let it start earlier."""
    node = plan.nodes.get(target)
    unlock: list[str] = []
    if edge is not None:
        unlock += [wait.unlock for wait in edge.waits if wait.unlock]
        unlock += [edge.unlock] if edge.unlock else []
    if node is not None and node.held and node.unlock:
        unlock.append(node.unlock)
    unlock = list(dict.fromkeys(unlock))
    if plan.off is not None:
        return "with its step", f"run-ahead is off: {plan.off}", unlock
    if node is not None and node.held:
        return "with its step", f"{target} is held: {node.reason}", unlock
    if edge is not None:
        return edge.when, edge.reason, unlock
    return "at once", f"{target} reads what {source} writes", unlock


def node_rows(langgraph: SideTimes, alto: SideTimes, plan: StreamingPlan) -> list[NodeRow]:
    """One row for each node that ran; the longest on the chain first."""
    rows = []
    for name in {**langgraph.nodes, **alto.nodes}:
        one = langgraph.nodes.get(name, _NodeSum())
        other = alto.nodes.get(name, _NodeSum())
        runs, sums = (alto.runs, other) if other.tasks else (langgraph.runs, one)
        planned = plan.nodes.get(name)
        rows.append(
            NodeRow(
                node=name,
                tasks=sums.tasks / max(1, runs),
                seconds=_both(one.seconds, other.seconds, langgraph.runs, alto.runs),
                on_chain=_both(one.on_chain, other.on_chain, langgraph.runs, alto.runs),
                ahead=other.ahead / other.tasks if other.tasks else 0.0,
                starts="held" if planned is None else planned.starts,
                reason="" if planned is None else planned.reason,
                unlock=None if planned is None else planned.unlock,
            )
        )
    rows.sort(key=lambda r: (-max(r.on_chain.langgraph or 0.0, r.on_chain.alto or 0.0), r.node))
    return rows


def mean_over(values: Sequence[float]) -> float:
    """A mean; 0 of nothing."""
    return fmean(values) if values else 0.0
