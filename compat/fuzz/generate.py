"""An integer in, a `GraphPlan` out: always the same one, whatever Python or machine.

A plan is a random graph that runs forward (`n0`, `n1`, … with edges to later nodes), rich in
nested `Send`s, to which a few *spices* are added: errors, interrupts, stores, subgraphs and
so on. Few per graph, since most of them rightly hold run-ahead back, and a graph full of
them would test nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from compat.fuzz.plan import (
    END,
    START,
    Branch,
    Channel,
    Edge,
    Flow,
    Graph,
    GraphPlan,
    Node,
    Run,
    Sends,
    Stage,
    all_nodes,
    settle,
)

MOST_TASKS = 60
"""About how many tasks a graph may have: small enough for thousands of graphs."""

MODES = ["values", "updates", "messages", "custom", "tasks", "checkpoints", "debug"]


def generate(seed: int) -> GraphPlan:
    """The plan of a seed."""
    for attempt in range(50):
        # A string seeds by its SHA-512: stable across versions, and near seeds are unrelated.
        r = random.Random(f"{seed}/{attempt}")
        plan = GraphPlan(seed)
        plan.run = _run(r)
        if r.random() < 0.07:
            plan.flow = _flow(r)
            # The flow's body takes a place and waits for its tasks: LangGraph hangs at 1.
            plan.run.max_concurrency = None
            if plan.run.checkpointer and r.random() < 0.3:
                plan.flow.interrupts = r.randint(1, 2)
            return plan
        plan.channels = _channels(r)
        plan.graph = _graph(r, plan, r.randint(4, 8))
        if estimate(plan.graph) > MOST_TASKS:
            continue
        for spice in r.sample(SPICES, r.choice([0, 1, 1, 2, 2, 3])):
            spice(r, plan)
        for node in all_nodes(plan):
            _reconcile(node)
        if any(node.interrupts for node in all_nodes(plan)) and r.random() < 0.9:
            plan.run.checkpointer = plan.run.checkpointer or "memory"
        settle(plan)
        return plan
    raise AssertionError(f"seed {seed}: every attempt was too large")


def _reconcile(node: Node) -> None:
    """Take back what a node can't have together."""
    if node.generator:
        # LangGraph gives a generator no `runtime`.
        node.store, node.identity = None, False
        node.fail = "some" if node.fail == "flaky" else node.fail
    if node.fail or node.interrupts or node.timeout is not None:
        # Of siblings that fail in the same instant LangGraph handles any one first; and it
        # refuses timeouts of sync nodes.
        node.no_wait = node.blocking = False
    if node.effects in ("pure", "idempotent") and (node.store or node.mutate):
        # A declaration is believed: a false one makes differences that are nobody's fault.
        node.effects = "once"


def estimate(graph: Graph) -> int:
    """About the number of tasks: nested Sends multiplied out, everything else once."""
    known: dict[tuple[str, int], int] = {}

    def count(name: str, depth: int) -> int:
        node = graph.node(name)
        if node is None:
            return 0
        if (name, depth) not in known:
            known[name, depth] = 1 + (_many(node.sends, depth, count) if node.sends else 0)
        return known[name, depth]

    total = sum(count(node.name, node.depth) for node in graph.nodes)
    for branch in graph.branches:
        if branch.sends is not None:
            node = graph.node(branch.source)
            # A router runs once per task of its node, and there may be many.
            times = 1 if node is None else 3
            total += (
                times
                * branch.sends.width
                * max(count(target, branch.depth - 1) for target in branch.sends.targets)
            )
    return total


def _many(sends: Sends, depth: int, count: Callable[[str, int], int]) -> int:
    if depth <= 0:
        return 0
    each = max(count(target, depth - 1) for target in sends.targets)
    return each * (sends.width + 1 if sends.varied else 2 * sends.width) // 2


def _channels(r: random.Random) -> list[Channel]:
    kinds = ["list", "ordered", "list", "last", "count", "messages"]
    more = [Channel(f"c{i + 1}", r.choice(kinds)) for i in range(r.randint(1, 4))]
    return [Channel("c0", "list"), *more]


def _run(r: random.Random) -> Run:
    run = Run(asynchronous=r.random() < 0.7)
    run.api = r.choices(["stream", "invoke", "events"], [78, 12, 10 if run.asynchronous else 0])[0]
    run.modes = r.sample(MODES, r.choices([1, 2, 3, 7], [35, 40, 20, 5])[0])
    run.subgraphs = r.random() < 0.3
    run.checkpointer = r.choices([None, "memory", "sqlite"], [48, 32, 20])[0]
    if run.checkpointer:
        run.durability = r.choices([None, "async", "exit", "sync"], [55, 15, 22, 8])[0]
        run.turns = r.choices([1, 2], [80, 20])[0]
        run.latency = r.choice([0.0, 0.0, 0.3]) if run.asynchronous else 0.0
    run.callbacks = r.random() < 0.25
    run.sync_routers = run.asynchronous and r.random() < 0.25
    run.recursion_limit = r.choices([40, 2, 3, 5], [92, 2, 3, 3])[0]
    if r.random() < 0.1:
        # In sync runs LangGraph's stream waiter takes a thread of its own from the pool:
        # with fewer than that, LangGraph itself hangs.
        run.max_concurrency = r.randint(1, 4) if run.asynchronous else r.randint(3, 6)
    run.options = r.choices(
        [
            {},
            {"max_ahead": r.randint(1, 4)},
            {"undeclared": "hold"},
            {"run_ahead": "certain"},
            {"run_ahead": "off"},
        ],
        [84, 8, 3, 3, 2],
    )[0]
    return run


def _sends(r: random.Random, node: str | None, later: list[str]) -> Sends:
    """Sends to later nodes, or with a countdown also back to the same one."""
    targets = r.sample(later, min(len(later), r.choice([1, 1, 2])))
    if node is not None and r.random() < 0.25:
        targets = [node]
    arg = r.choices(["item", "shared", "slice", "state"], [60, 12, 16, 12])[0]
    if arg == "state" and node in targets:
        arg = "item"  # a state has no countdown: it would send to itself for ever
    return Sends(targets, r.choice([1, 1, 2, 2, 3]), arg, r.random() < 0.6)


def _node(r: random.Random, plan: GraphPlan, name: str) -> Node:
    names = [channel.name for channel in plan.channels]
    safe = [c.name for c in plan.channels if c.kind != "last"]
    node = Node(name)
    node.reads = r.sample(names, r.randint(0, min(2, len(names))))
    # A LastValue with two writers in one step is an error: worth having, not in every graph.
    node.writes = r.sample(safe if r.random() < 0.85 else names, r.randint(1, min(2, len(safe))))
    node.slow = r.choice([0.2, 1.0, 1.0, 3.0, 10.0])
    node.no_wait = r.random() < 0.08
    return node


def _graph(r: random.Random, plan: GraphPlan, size: int) -> Graph:
    """A forward graph: nested Sends, edges, joins and branches, each towards later nodes."""
    graph = Graph()
    names = [f"n{i}" for i in range(size)]
    deep = r.randint(1, 5)
    for index, name in enumerate(names):
        node = _node(r, plan, name)
        later = names[index + 1 :]
        if later and r.random() < 0.6:
            node.sends = _sends(r, name, later)
            node.depth = deep
        if later and r.random() < 0.1:
            node.goto = [r.choice(later)]
        graph.nodes.append(node)
        graph.edges += [Edge([name], target) for target in later if r.random() < 0.12]
        if index > 1 and r.random() < 0.15:
            graph.edges.append(Edge(sorted(r.sample(names[:index], 2)), name))
        if later and r.random() < 0.2:
            graph.branches.append(_branch(r, plan, name, later, deep))
    for name in r.sample(names[:3], r.randint(1, 2)):
        graph.edges.append(Edge([START], name))
    if r.random() < 0.45:
        graph.branches.append(_branch(r, plan, START, names[1:], deep))
    return graph


def _branch(r: random.Random, plan: GraphPlan, source: str, later: list[str], deep: int) -> Branch:
    branch = Branch(source, depth=deep)
    names = [channel.name for channel in plan.channels]
    branch.reads = r.sample(names, r.randint(1, min(2, len(names))))
    kind = r.random()
    if kind < 0.6:
        branch.sends = _sends(r, None, later)
    if kind > 0.4:
        branch.targets = r.sample(later, min(len(later), r.randint(1, 2)))
        if r.random() < 0.3:
            branch.targets.append(END)
    return branch


def _flow(r: random.Random) -> Flow:
    tasks = []
    for index in range(r.randint(1, 3)):
        item = Node(f"t{index}", slow=r.choice([0.2, 1.0, 3.0]))
        item.fail = r.choices([None, "some", "always"], [88, 9, 3])[0]
        item.retry = r.choice([0, 0, 2])
        item.cache = r.random() < 0.15
        item.custom = int(r.random() < 0.2)
        item.chat = r.random() < 0.15
        item.interrupts = int(r.random() < 0.08)
        tasks.append(item)
    stages = [
        Stage(r.choice(tasks).name, r.randint(1, 4), r.random() < 0.7)
        for _ in range(r.randint(1, 4))
    ]
    return Flow(tasks, stages, previous=r.random() < 0.3)


# --- Spices: each adds one feature to one or two nodes, or to the run ---


def _some(r: random.Random, plan: GraphPlan, most: int = 2) -> list[Node]:
    nodes = [node for node in plan.graph.nodes if node.subgraph is None]
    return r.sample(nodes, min(len(nodes), r.randint(1, most)))


def _fail(r: random.Random, plan: GraphPlan) -> None:
    for node in _some(r, plan):
        node.fail = r.choice(["always", "some", "some", "flaky", "flaky"])
        node.fail_times = r.randint(1, 2)
        node.retry = r.choice([0, 2, 3]) if node.fail != "flaky" else r.choice([2, 3])
        node.handler = r.random() < 0.3


def _interrupt(r: random.Random, plan: GraphPlan) -> None:
    for node in _some(r, plan):
        node.interrupts = r.choice([1, 1, 2])
    plan.run.swap = r.random() < 0.3


def _breakpoints(r: random.Random, plan: GraphPlan) -> None:
    names = [node.name for node in _some(r, plan)]
    plan.run.checkpointer = plan.run.checkpointer or "memory"
    if r.random() < 0.5:
        plan.run.interrupt_before = names
    else:
        plan.run.interrupt_after = names
    plan.run.update_state = r.random() < 0.3
    plan.run.swap = r.random() < 0.3


def _custom(r: random.Random, plan: GraphPlan) -> None:
    for node in _some(r, plan, 4):
        node.custom = r.randint(1, 3)
    if "custom" not in plan.run.modes:
        plan.run.modes.append("custom")


def _chat(r: random.Random, plan: GraphPlan) -> None:
    for node in _some(r, plan, 3):
        node.chat = True
    if r.random() < 0.6 and "messages" not in plan.run.modes:
        plan.run.modes.append("messages")


def _store(r: random.Random, plan: GraphPlan) -> None:
    for node, use in zip(_some(r, plan, 3), ["both", "get", "put"], strict=False):
        node.store = use


def _mutate(r: random.Random, plan: GraphPlan) -> None:
    how = r.choice(["input", "global"])
    for node in _some(r, plan):
        node.mutate = how


def _declare(r: random.Random, plan: GraphPlan) -> None:
    for node in _some(r, plan, 4):
        node.effects = r.choice(["pure", "idempotent", "once"])


def _timeout(r: random.Random, plan: GraphPlan) -> None:
    if not plan.run.asynchronous:
        return  # LangGraph refuses timeouts of sync nodes
    for node in _some(r, plan):
        node.timeout = node.slow * r.choice([0.6, 5.0])
        node.retry = r.choice([0, 2])


def _step_timeout(r: random.Random, plan: GraphPlan) -> None:
    if plan.run.asynchronous:
        plan.run.step_timeout = r.choice([2.0, 8.0, 60.0])


def _cache(r: random.Random, plan: GraphPlan) -> None:
    for node in _some(r, plan, 3):
        node.cache = True


def _defer(r: random.Random, plan: GraphPlan) -> None:
    r.choice(plan.graph.nodes[1:]).defer = True


def _identity(r: random.Random, plan: GraphPlan) -> None:
    for node in _some(r, plan, 3):
        node.identity = True


def _blocking(r: random.Random, plan: GraphPlan) -> None:
    if not plan.run.asynchronous:
        return
    for node in _some(r, plan):
        if node.timeout is None:
            # Real time and virtual time don't mix: a body in a thread takes none.
            node.blocking = node.no_wait = True


def _generator(r: random.Random, plan: GraphPlan) -> None:
    for node in _some(r, plan):
        kinds = {channel.name: channel.kind for channel in plan.channels}
        node.sends, node.goto, node.parent_goto, node.timeout = None, [], None, None
        node.writes = [name for name in node.writes if kinds[name] == "list"] or ["c0"]
        node.generator = r.choice(["plain", "addable"])


def _loop(r: random.Random, plan: GraphPlan) -> None:
    nodes = plan.graph.nodes
    first = r.randrange(len(nodes) - 1)
    last = r.randrange(first, len(nodes) - 1)
    if "c0" not in nodes[last].writes:
        nodes[last].writes.append("c0")
    out = r.choice([nodes[-1].name, END])
    bound = r.randint(3, 6)
    plan.graph.branches.append(
        Branch(nodes[last].name, [nodes[first].name, out], reads=["c0"], bound=bound)
    )


def _subgraph(r: random.Random, plan: GraphPlan) -> None:
    inner = Graph()
    names = [f"s{i}" for i in range(r.randint(1, 3))]
    for name, following in zip(names, [*names[1:], None], strict=True):
        node = _node(r, plan, name)
        if following and r.random() < 0.4:
            node.sends, node.depth = Sends([following], r.randint(1, 2)), 1
        elif following:
            inner.edges.append(Edge([name], following))
        inner.nodes.append(node)
    inner.edges.append(Edge([START], names[0]))
    place = r.randrange(len(plan.graph.nodes))
    outer = plan.graph.nodes[place]
    # As a node a subgraph can do nothing but run: it keeps its name, place and edges only.
    called = r.random() < 0.35
    made = Node(outer.name, reads=outer.reads, writes=outer.writes, called=called, subgraph=inner)
    made.sub_checkpointer = r.choices([None, True, False], [70, 20, 10])[0]
    if not called:
        made.reads, made.writes = [], []
    plan.graph.nodes[place] = made
    if r.random() < 0.2:
        inner.nodes[0].interrupts = 1
    later = plan.graph.nodes[place + 1 :]
    if later and r.random() < 0.25 and not called:
        # Of several siblings that end with a parent command LangGraph takes any one.
        for node, following in zip(inner.nodes, inner.nodes[1:], strict=False):
            if node.sends is not None:
                node.sends = None
                inner.edges.append(Edge([node.name], following.name))
        inner.nodes[-1].parent_goto = r.choice(later).name
    if r.random() < 0.4:
        plan.run.subgraphs = True


SPICES: list[Callable[[random.Random, GraphPlan], None]] = [
    _fail,
    _interrupt,
    _breakpoints,
    _custom,
    _chat,
    _store,
    _mutate,
    _declare,
    _timeout,
    _step_timeout,
    _cache,
    _defer,
    _identity,
    _blocking,
    _generator,
    _loop,
    _subgraph,
]


def features(plan: GraphPlan) -> set[str]:
    """What a plan covers, by name: the report counts these."""
    found = _run_features(plan)
    found |= {f"reducer {channel.kind}" for channel in plan.channels}
    if plan.flow is not None:
        found.add("functional")
    for node in all_nodes(plan):
        found |= _node_features(node)
    for edge in plan.graph.edges:
        found.add("edge join" if len(edge.sources) > 1 else "edge plain")
    for branch in plan.graph.branches:
        where = "START" if branch.source == START else "a node"
        if branch.sends:
            found |= {f"Sends from a branch at {where}", f"Sends of {branch.sends.arg}"}
        if branch.targets:
            found.add("edge loop" if branch.bound else "edge branch")
    return found


def _run_features(plan: GraphPlan) -> set[str]:
    run = plan.run
    found = {"async" if run.asynchronous else "sync", f"api {run.api}"}
    found.add(f"checkpointer {run.checkpointer or 'none'}")
    if run.checkpointer:
        found.add(f"durability {run.durability or 'default'}")
    if run.api == "stream":
        found |= {f"mode {mode}" for mode in run.modes}
    flags = ("subgraphs", "callbacks", "update_state", "swap", "sync_routers", "step_timeout")
    values = ("interrupt_before", "interrupt_after", "latency", "options", "max_concurrency")
    found |= {f"run {name}" for name in flags + values if getattr(run, name)}
    if run.recursion_limit < Run().recursion_limit:
        found.add("run recursion_limit")
    if run.turns > 1:
        found.add("run turns")
    return found


def _node_features(node: Node) -> set[str]:
    flags = ("handler", "chat", "cache", "defer", "identity", "blocking")
    found = {f"node {name}" for name in flags if getattr(node, name)}
    for name in ("fail", "store", "mutate", "effects", "generator"):
        if value := getattr(node, name):
            found.add(f"node {name} {value}")
    for name in ("interrupts", "custom", "retry", "timeout", "parent_goto", "goto"):
        if getattr(node, name):
            found.add(f"node {name}")
    if node.sends:
        found |= {"Sends from Command", f"Sends of {node.sends.arg}"}
        if node.depth >= 4:
            found.add("Sends to depth >= 4")
        if node.name in node.sends.targets:
            found.add("Sends to itself")
    if node.subgraph is not None:
        how = "called" if node.called else "as a node"
        found |= {f"subgraph {how}", f"subgraph checkpointer {node.sub_checkpointer}"}
    return found
