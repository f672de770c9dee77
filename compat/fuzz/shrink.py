"""Makes a failing plan smaller while it still fails, until nothing can be left out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

from compat.fuzz.plan import (
    END,
    START,
    Edge,
    Graph,
    GraphPlan,
    Node,
    Run,
    all_graphs,
    all_nodes,
    settle,
)

_KEEP = {"name", "subgraph", "seed", "asynchronous"}


def shrink(
    plan: GraphPlan,
    fails: Callable[[GraphPlan], bool],
    seconds: float = 30.0,
    clock: Callable[[], float] = time.monotonic,
) -> GraphPlan:
    """The smallest plan found within `seconds` for which `fails` still holds.

    Greedy: each smaller plan that still fails is the next to be made smaller, big cuts
    (nodes) before small ones (a feature of a node). A plan that can't be run does not fail.
    """
    ends = clock() + seconds
    progress = True
    while progress:
        progress = False
        for smaller in candidates(plan):
            if clock() > ends:
                return plan
            settle(smaller)
            if smaller == plan:
                continue
            try:
                failed = fails(smaller)
            except Exception:
                failed = False  # no valid graph any more
            if failed:
                plan, progress = smaller, True
                break
    return plan


def candidates(plan: GraphPlan) -> Iterator[GraphPlan]:
    """Every plan that is one cut smaller."""
    yield from _without_nodes(plan)
    yield from _without_parts(plan)
    yield from _simpler_run(plan)
    yield from _simpler_nodes(plan)
    yield from _simpler_branches(plan)
    yield from _without_channels(plan)


def _without_nodes(plan: GraphPlan) -> Iterator[GraphPlan]:
    for level, graph in enumerate(all_graphs(plan.graph)):
        for node in graph.nodes:
            smaller = plan.copy()
            _drop(all_graphs(smaller.graph)[level], node.name)
            run = smaller.run
            if level == 0:
                run.interrupt_before = [n for n in run.interrupt_before if n != node.name]
                run.interrupt_after = [n for n in run.interrupt_after if n != node.name]
            yield smaller
        for index, node in enumerate(graph.nodes):
            if node.subgraph is not None:
                smaller = plan.copy()
                here = all_graphs(smaller.graph)[level]
                here.nodes[index] = Node(node.name, writes=node.writes)
                yield smaller


def _drop(graph: Graph, name: str) -> None:
    """Take a node out, with everything that leads to it or away from it."""
    graph.nodes = [node for node in graph.nodes if node.name != name]
    graph.branches = [branch for branch in graph.branches if branch.source != name]
    for owner in [*graph.nodes, *graph.branches]:
        if owner.sends is not None:
            owner.sends.targets = [target for target in owner.sends.targets if target != name]
            owner.sends = owner.sends if owner.sends.targets else None
    for node in graph.nodes:
        node.goto = [target for target in node.goto if target != name]
    for branch in graph.branches:
        if branch.bound and name in branch.targets:
            branch.targets = []
        branch.targets = [target for target in branch.targets if target != name]
    graph.branches = [b for b in graph.branches if b.sends or set(b.targets) - {END}]
    for edge in graph.edges:
        edge.sources = [source for source in edge.sources if source != name]
    graph.edges = [edge for edge in graph.edges if edge.sources and edge.target != name]
    begins = any(START in edge.sources for edge in graph.edges)
    if graph.nodes and not begins and all(branch.source != START for branch in graph.branches):
        graph.edges.append(Edge([START], graph.nodes[0].name))


def _without_parts(plan: GraphPlan) -> Iterator[GraphPlan]:
    for level, graph in enumerate(all_graphs(plan.graph)):
        for kind in ("edges", "branches"):
            for index in range(len(getattr(graph, kind))):
                smaller = plan.copy()
                parts = getattr(all_graphs(smaller.graph)[level], kind)
                taken = parts.pop(index)
                yield smaller
                if kind == "edges" and len(taken.sources) > 1:
                    smaller = smaller.copy()
                    taken = dataclasses.replace(taken, sources=taken.sources[:1])
                    all_graphs(smaller.graph)[level].edges.insert(index, taken)
                    yield smaller
    if plan.flow is not None:
        for index in range(len(plan.flow.stages)):
            smaller = plan.copy()
            assert smaller.flow is not None
            smaller.flow.stages.pop(index)
            yield smaller
            if plan.flow.stages[index].width > 1:
                smaller = plan.copy()
                assert smaller.flow is not None
                smaller.flow.stages[index].width -= 1
                yield smaller


def _simpler_run(plan: GraphPlan) -> Iterator[GraphPlan]:
    default = Run()
    for item in dataclasses.fields(Run):
        if item.name in _KEEP or getattr(plan.run, item.name) == getattr(default, item.name):
            continue
        smaller = plan.copy()
        setattr(smaller.run, item.name, getattr(default, item.name))
        yield smaller
    for index in range(len(plan.run.modes)):
        if len(plan.run.modes) > 1:
            smaller = plan.copy()
            smaller.run.modes.pop(index)
            yield smaller
    if plan.run.checkpointer == "sqlite":
        smaller = plan.copy()
        smaller.run.checkpointer = "memory"
        yield smaller


def _simpler_nodes(plan: GraphPlan) -> Iterator[GraphPlan]:
    default = Node("")
    for index, node in enumerate(all_nodes(plan)):
        for item in dataclasses.fields(Node):
            if item.name in _KEEP or getattr(node, item.name) == getattr(default, item.name):
                continue
            if item.name == "writes":
                continue  # a node that writes nothing is an error of its own
            yield _with_node(plan, index, item.name, getattr(default, item.name))
        for name in ("interrupts", "custom", "retry", "depth"):
            if getattr(node, name) > 1:
                yield _with_node(plan, index, name, getattr(node, name) - 1)
        for key in ("reads", "writes"):
            values = getattr(node, key)
            for place in range(len(values)):
                if len(values) > 1:
                    yield _with_node(plan, index, key, values[:place] + values[place + 1 :])
        if sends := node.sends:
            for better in _simpler_sends(sends):
                yield _with_node(plan, index, "sends", better)


def _simpler_branches(plan: GraphPlan) -> Iterator[GraphPlan]:
    for index, branch in enumerate(plan.graph.branches):
        if branch.sends is None:
            continue
        for better in (
            [None, *_simpler_sends(branch.sends)]
            if branch.targets
            else _simpler_sends(branch.sends)
        ):
            smaller = plan.copy()
            smaller.graph.branches[index].sends = better
            yield smaller


def _simpler_sends(sends: Any) -> Iterator[Any]:
    if sends.width > 1:
        yield dataclasses.replace(sends, width=sends.width - 1)
    if sends.varied:
        yield dataclasses.replace(sends, varied=False)
    if sends.arg != "item":
        yield dataclasses.replace(sends, arg="item")
    if len(sends.targets) > 1:
        for target in sends.targets:
            yield dataclasses.replace(sends, targets=[target])


def _with_node(plan: GraphPlan, index: int, name: str, value: Any) -> GraphPlan:
    smaller = plan.copy()
    setattr(all_nodes(smaller)[index], name, value)
    return smaller.copy()  # shares nothing with the plan that `value` came from


def _without_channels(plan: GraphPlan) -> Iterator[GraphPlan]:
    for channel in plan.channels[1:]:
        smaller = plan.copy()
        smaller.channels = [c for c in smaller.channels if c.name != channel.name]
        for node in all_nodes(smaller):
            node.reads = [name for name in node.reads if name != channel.name]
            node.writes = [name for name in node.writes if name != channel.name] or ["c0"]
        for graph in all_graphs(smaller.graph):
            for branch in graph.branches:
                branch.reads = [name for name in branch.reads if name != channel.name]
        yield smaller
