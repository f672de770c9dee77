"""Writes a plan as a Python module: the module that is run, and the script that is kept.

There is one rendering for both, so a printed script is what really ran. Bodies are written
the way people write nodes, since the executor decides by their source. Two things are
deliberate: a body reports that it ran through `logging`, which is no shared state in the
executor's eyes (a list would hold every node), and what a body waits and decides depends
only on what it was given, never on how often or in which order bodies were called.
"""

from __future__ import annotations

from compat.fuzz.plan import Branch, Graph, GraphPlan, Node, Run, Sends, all_nodes
from compat.fuzz.prelude import prelude

ANNOTATIONS = {
    "list": "Annotated[list, operator.add]",
    "ordered": "Annotated[list, chain]",
    "last": "str",
    "count": "Annotated[int, operator.add]",
    "messages": "Annotated[list, add_messages]",
}


def render(plan: GraphPlan, delays: str = "0") -> str:
    """The plan as a module with `build(checkpointer, store, cache)`.

    `delays` selects the waiting times, see `prelude`. Bodies that don't wait do where ties are
    broken: nobody may count on the order of siblings that take equally long.
    """
    apart = delays.startswith("+")
    if delays.startswith("~"):
        plan = plan.copy()
        for node in all_nodes(plan):
            node.no_wait = node.blocking
    parts = [prelude(plan.seed, delays, 0.3 if plan.run.asynchronous else 0.0)]
    if plan.flow is not None:
        parts.append(_flow(plan))
    else:
        fields = [f"    {c.name}: {ANNOTATIONS[c.kind]}" for c in plan.channels]
        parts.append("class State(TypedDict, total=False):\n" + "\n".join(fields or ["    pass"]))
        parts.extend(_Writer(plan, apart).graph(plan.graph, ""))
    return "\n\n".join(parts) + "\n"


def script(plan: GraphPlan, delays: str = "0") -> str:
    """`render` with a main part: runs on LangGraph, or with --alto on ALTO."""
    run = plan.run
    word, loop = ("async ", "async for") if run.asynchronous else ("", "for")
    stream, state = (
        ("astream", "await graph.aget_state")
        if run.asynchronous
        else (
            "stream",
            "graph.get_state",
        )
    )
    start = "asyncio.run(main(app))" if run.asynchronous else "main(app)"
    return (
        render(plan, delays)
        + f"""

{word}def main(graph):
    config = {config_of(run)!r}
    value = {first_input(plan)!r}
    for _ in range(6):
        {loop} chunk in graph.{stream}(value, config, stream_mode={run.modes!r}):
            print(chunk)
        if graph.checkpointer is None:
            break
        snapshot = {state}(config)
        if not snapshot.next:
            break
        answers = {{i.id: "yes" for i in snapshot.interrupts}}
        value = Command(resume=answers) if answers else None


if __name__ == "__main__":
    app = build({"InMemorySaver()" if run.checkpointer else "None"}, InMemoryStore())
    if "--alto" in sys.argv:
        from langgraph_alto import accelerate

        app = accelerate(app)
    {start}
"""
    )


def config_of(run: Run) -> dict[str, object]:
    """The config that a run is started with, without callbacks."""
    config: dict[str, object] = {
        "configurable": {"thread_id": "1"},
        "recursion_limit": run.recursion_limit,
    }
    if run.max_concurrency:
        config["max_concurrency"] = run.max_concurrency
    return config


def first_input(plan: GraphPlan, turn: int = 0) -> object:
    """What a turn begins with."""
    if plan.flow is not None:
        return f"in{turn}"
    made: dict[str, object] = {
        "list": [f"in{turn}"],
        "ordered": [f"in{turn}"],
        "last": f"in{turn}",
        "count": 1,
        "messages": [("user", f"in{turn}")],
    }
    return {channel.name: made[channel.kind] for channel in plan.channels}


CHANGED = "id:changed"
"""What bodies add in place where the order is anybody's guess. `text` leaves out what has "id:" in
it, so that nobody reads it."""


class _Writer:
    """Renders the state graphs of one plan."""

    def __init__(self, plan: GraphPlan, apart: bool = False) -> None:
        self.plan = plan
        self.apart = apart  # bodies that don't wait get a moment, so that they don't tie
        coroutines = plan.run.asynchronous and not plan.run.sync_routers
        self.async_word = "async " if coroutines else ""
        # Between threads, what siblings see of each other's side effects is anybody's guess:
        # there they have them, and only where the order is exact do they also read them.
        self.exact = plan.has_exact_order()
        self.kinds = {channel.name: channel.kind for channel in plan.channels}

    def graph(self, graph: Graph, prefix: str) -> list[str]:
        """Functions, routers and the `build` function of a graph; subgraphs come first."""
        parts: list[str] = []
        for node in graph.nodes:
            if node.subgraph is not None:
                parts.extend(self.graph(node.subgraph, f"{prefix}{node.name}__"))
            if node.subgraph is None or node.called:
                parts.append(self.body(node, prefix))
            if node.handler:
                parts.append(self.error_handler(node, prefix))
        names = []
        for index, branch in enumerate(graph.branches):
            names.append(f"{prefix}route_{branch.source.strip('_')}_{index}")
            parts.append(self.router(branch, names[-1]))
        parts.append(self.build(graph, prefix, names))
        return parts

    def build(self, graph: Graph, prefix: str, routers: list[str]) -> str:
        run = self.plan.run
        lines = [f"def {prefix}build(checkpointer=None, store=None, cache=None):"]
        lines.append("    builder = StateGraph(State)")
        for node in graph.nodes:
            lines.append(f"    builder.add_node({', '.join(self.node_arguments(node, prefix))})")
        for edge in graph.edges:
            source = repr(edge.sources if len(edge.sources) > 1 else edge.sources[0])
            lines.append(f"    builder.add_edge({source}, {edge.target!r})")
        for branch, router in zip(graph.branches, routers, strict=True):
            ends = sorted({*branch.targets, *(branch.sends.targets if branch.sends else [])})
            lines.append(f"    builder.add_conditional_edges({branch.source!r}, {router}, {ends})")
        arguments = ["checkpointer", "store=store", "cache=cache"]
        if not prefix:
            for option in ("interrupt_before", "interrupt_after"):
                if names := getattr(run, option):
                    arguments.append(f"{option}={names!r}")
        lines.append(f"    return builder.compile({', '.join(arguments)})")
        text = "\n".join(lines)
        if prefix:
            # For bodies that call the graph themselves: one compiled graph, as apps have it.
            text += f"\n\n\n{prefix}graph = {prefix}build()"
        return text

    def node_arguments(self, node: Node, prefix: str) -> list[str]:
        if node.subgraph is not None and not node.called:
            arguments = [repr(node.name), f"{prefix}{node.name}__build({node.sub_checkpointer!r})"]
        else:
            arguments = [repr(node.name), f"{prefix}{node.name}"]
        if node.retry:
            pause = 0.2 if self.plan.run.asynchronous else 0.001
            arguments.append(
                f"retry_policy=RetryPolicy(max_attempts={node.retry}, initial_interval={pause}, "
                "backoff_factor=1.0, jitter=False)"
            )
        if node.handler:
            arguments.append(f"error_handler={prefix}{node.name}_error")
        if node.effects:
            arguments.append(f"metadata={{'alto': {{'effects': {node.effects!r}}}}}")
        if node.timeout is not None:
            arguments.append(f"timeout={node.timeout!r}")
        if node.cache:
            arguments.append("cache_policy=CachePolicy()")
        if node.defer:
            arguments.append("defer=True")
        return arguments

    def reads(self, names: list[str]) -> str:
        return "".join(f' + "|" + text(state.get({name!r}))' for name in names)

    def body(self, node: Node, prefix: str) -> str:
        asynchronous = self.plan.run.asynchronous and not node.blocking
        name = prefix + node.name
        lines = [
            f'    key, depth = state.get("k", ""), state.get("depth", {node.depth})',
            f"    seen = key{self.reads(node.reads)}",
            f'    log.info("%s %s", {name!r}, seen)',
        ]
        if node.mutate == "input":
            lines += self.changing(node)
        lines += _waiting(node, name, asynchronous)
        if self.apart and node.no_wait:
            moment = 'await pause("", 0.0)' if asynchronous else 'time.sleep(own_share("") * 0.002)'
            lines.append(f"    {moment}")
        lines.append(f'    mark = f"{node.name}[{{key}}]{{number(seen):08x}}"')
        lines += self.features(node, prefix, asynchronous)
        lines += self.ending(node)
        # Only where it is used, as people write it (and LangGraph gives generators none).
        takes = ", runtime: Runtime" if any("runtime." in line for line in lines) else ""
        word = "async " if asynchronous else ""
        return "\n".join([f"{word}def {name}(state: State{takes}):", *lines])

    def changing(self, node: Node) -> list[str]:
        """A body changes its input in place."""
        bag = f"    bag = state.get({self.plan.channels[0].name!r})"
        if self.exact:
            append = f"        bag.append({node.name!r})"
            return [bag, "    if isinstance(bag, list):", append, '        seen += f"|{len(bag)}"']
        # A sibling may have read the list before or after. And a thread may still be about to
        # save a Send: what that carries is not changed.
        spared = " and not key" if self.plan.run.checkpointer else ""
        condition = f"    if isinstance(bag, list){spared}:"
        return [bag, condition, f"        bag.append({CHANGED!r})"]

    def features(self, node: Node, prefix: str, asynchronous: bool) -> list[str]:
        """What a body does between its waiting and its return."""
        wait = "await " if asynchronous else ""
        sync_or_async = "a" if asynchronous else ""
        lines = []
        for index in range(node.interrupts):
            lines.append(f'    mark += "+" + str(interrupt(f"{node.name}:{{key}}:{index}"))')
        for index in range(node.custom):
            writer = "get_stream_writer()" if node.generator else "runtime.stream_writer"
            lines.append(f'    {writer}({{"custom": mark, "i": {index}}})')
            if asynchronous and index:
                lines.append(f'    await pause("custom" + seen, {node.slow / 2!r})')
        if node.chat:
            lines.append(f'    reply = {wait}parrot.{sync_or_async}invoke(f"{node.name} {{key}}")')
            lines.append("    mark += reply.content")
        key = '"shared"' if self.exact else f'f"{node.name}{{key}}"'
        if node.store in ("get", "both"):
            lines.append(f'    item = {wait}runtime.store.{sync_or_async}get(("fuzz",), {key})')
            if self.exact:
                lines.append('    mark += "?" + str(item and item.value["mark"][:9])')
        if node.store in ("put", "both"):
            put = f"{wait}runtime.store.{sync_or_async}put"
            lines.append(f'    {put}(("fuzz",), {key}, {{"mark": mark}})')
        if node.mutate == "global":
            lines.append("    SEEN.append(key)")
            if self.exact:
                lines.append('    mark += f"#{len(SEEN)}"')
        if node.subgraph is not None and node.called:
            first = self.plan.channels[0].name
            graph = f"{prefix}{node.name}__graph"
            lines.append(f"    inner = {wait}{graph}.{sync_or_async}invoke({{{first!r}: [mark]}})")
            lines.append(f"    mark += text(inner[{first!r}])")
        return lines

    def update(self, node: Node) -> str:
        values = {
            "list": "[mark]",
            "ordered": "[mark]",
            "last": "mark",
            "count": "1",
            # With and without an id: add_messages gives a random one to those without.
            "messages": "[AIMessage(mark)]"
            if len(node.reads) % 2
            else "[AIMessage(mark, id=mark)]",
        }
        pairs = [f"{name!r}: {values[self.kinds[name]]}" for name in node.writes]
        if node.identity and pairs and self.kinds[node.writes[0]] in ("list", "ordered"):
            info = "runtime.execution_info"
            ids = f'f"id:{{{info}.task_id}} {{{info}.checkpoint_ns}}"'
            pairs[0] = pairs[0].replace("[mark]", f"[mark, {ids}]")
        return "{" + ", ".join(pairs) + "}"

    def ending(self, node: Node) -> list[str]:
        update = self.update(node)
        if node.parent_goto:
            return [
                f"    return Command(graph=Command.PARENT, update={update}, "
                f"goto={node.parent_goto!r})"
            ]
        if node.generator:
            kind = "AddableDict" if node.generator == "addable" else ""
            asynchronous = self.plan.run.asynchronous and not node.blocking
            wait = f'await pause(f"{{seen}}{{part}}", {node.slow / 3!r})'
            return [
                "    for part in range(3):",
                f"        mark = f'{{mark}}/{{part}}'\n        yield {kind}({update})",
                f"        {wait if asynchronous else 'pause_now(seen)'}",
            ]
        gotos = [f"*{_sends(node.sends, self.plan)}"] if node.sends else []
        gotos += [repr(name) for name in node.goto]
        if not gotos:
            return [f"    return {update}"]
        lines = []
        if node.sends:
            # The countdown ends every chain; "varied" ends some of them earlier.
            early = ' or number("stop" + seen) % 5 == 0' if node.sends.varied else ""
            plain = f"Command(update={update}, goto={node.goto!r})" if node.goto else update
            lines += [f"    if depth <= 0{early}:", f"        return {plain}"]
        return [*lines, f"    return Command(update={update}, goto=[{', '.join(gotos)}])"]

    def error_handler(self, node: Node, prefix: str) -> str:
        name = f"{prefix}{node.name}_error"
        return "\n".join(
            [
                f"{self.async_word}def {name}(state: State, error: NodeError):",
                f'    log.info("%s %s", {name!r}, "")',
                f'    mark = f"{node.name} handled {{error.error}}"',
                f"    return {self.update(Node('handler', writes=node.writes))}",
            ]
        )

    def router(self, branch: Branch, name: str) -> str:
        lines = [f"{self.async_word}def {name}(state: State):"]
        if branch.bound:
            target, out = branch.targets
            items = f"state.get({branch.reads[0]!r}) or []"
            if not self.exact and any(node.mutate == "input" for node in all_nodes(self.plan)):
                items = f"[item for item in {items} if item != {CHANGED!r}]"
            lines.append(f"    return {target!r} if len({items}) < {branch.bound} else {out!r}")
            return "\n".join(lines)
        lines.append(f'    key, depth, seen = "", {branch.depth}, ""{self.reads(branch.reads)}')
        picks = []
        if branch.targets:
            picks.append(f"{branch.targets!r}[number(seen) % {len(branch.targets)}]")
        if branch.sends:
            lines.append(f'    mark = f"{name[-12:]}{{number(seen):08x}}"')
            picks.append(f"*{_sends(branch.sends, self.plan)}")
        lines.append(f"    return [{', '.join(picks)}]")
        return "\n".join(lines)


def _waiting(node: Node, name: str, asynchronous: bool) -> list[str]:
    """The beginning of a body: its delay, and its errors."""
    lines = []
    if not node.no_wait:
        wait = f'await pause("{name}" + seen, {node.slow!r})'
        lines.append(f"    {wait if asynchronous else f'pause_now({name!r} + seen)'}")
    trouble = f'raise Trouble(f"{node.name} failed at {{key!r}}")'
    if node.fail == "always":
        lines.append(f"    if seen is not None:\n        {trouble}")
    elif node.fail == "some":
        lines.append(f'    if number("fail" + seen) % 3 == 0:\n        {trouble}')
    elif node.fail == "flaky":
        attempt = "runtime.execution_info.node_attempt"
        lines.append(f"    if {attempt} <= {node.fail_times}:\n        {trouble}")
    return lines


def _sends(sends: Sends, plan: GraphPlan) -> str:
    count = f'1 + number("n" + seen) % {sends.width}' if sends.varied else str(sends.width)
    target = (
        repr(sends.targets[0])
        if len(sends.targets) == 1
        else f"{sends.targets!r}[i % {len(sends.targets)}]"
    )
    first = plan.channels[0].name
    if sends.arg == "state":
        made = f"[Send({target}, state) for i in range({count})]"
    elif sends.arg == "shared":
        argument = f'{{"k": f"{{key}}.s", "depth": depth - 1, {first!r}: [mark]}}'
        made = f"[Send({target}, one) for one in [{argument}] for i in range({count})]"
    else:
        piece = f"[mark, text(state.get({first!r}))]" if sends.arg == "slice" else "[mark]"
        argument = f'{{"k": f"{{key}}.{{i}}", "depth": depth - 1, {first!r}: {piece}}}'
        made = f"[Send({target}, {argument}) for i in range({count})]"
    return made


def _flow(plan: GraphPlan) -> str:
    """A functional graph: tasks, and an entrypoint that calls them stage by stage."""
    flow = plan.flow
    assert flow is not None
    asynchronous = plan.run.asynchronous
    word, wait = ("async ", "await ") if asynchronous else ("", "")
    parts = []
    for item in flow.tasks:
        options = []
        if item.retry:
            options.append(
                f"retry_policy=RetryPolicy(max_attempts={item.retry}, initial_interval="
                f"{0.2 if asynchronous else 0.001}, backoff_factor=1.0, jitter=False)"
            )
        if item.cache:
            options.append("cache_policy=CachePolicy()")
        lines = [f"@task({', '.join(options)})", f"{word}def {item.name}(key):", "    seen = key"]
        lines.append(f'    log.info("%s %s", {item.name!r}, seen)')
        # A task has no `runtime` parameter to count attempts by.
        lines += _waiting(item, item.name, asynchronous)
        lines.append(f'    mark = f"{item.name}[{{key[-12:]}}]{{number(seen):08x}}"')
        if item.custom:
            lines.append('    get_stream_writer()({"custom": mark})')
        if item.chat:
            lines.append(f"    reply = {wait}parrot.{'a' if asynchronous else ''}invoke(key)")
            lines.append("    mark += reply.content")
        for index in range(item.interrupts):
            lines.append(f'    mark += "+" + str(interrupt(f"{item.name}:{index}"))')
        lines.append("    return mark")
        parts.append("\n".join(lines))
    lines = ["def build(checkpointer=None, store=None, cache=None):"]
    lines.append("    @entrypoint(checkpointer, store, cache)")
    previous = ", *, previous=None" if flow.previous else ""
    lines.append(f"    {word}def flow(inp{previous}):")
    lines.append(f"        found = [inp{' + str(previous)[-20:]' if flow.previous else ''}]")
    for stage in flow.stages:
        made = f'{stage.task}(f"{{found[-1][-20:]}}.{{i}}")'
        if not stage.gather:
            call = f"await {made}" if asynchronous else f"{made}.result()"
            lines.append(f"        for i in range({stage.width}):")
            lines.append(f"            found.append({call})")
        else:
            lines.append(f"        calls = [{made} for i in range({stage.width})]")
            got = "await asyncio.gather(*calls)" if asynchronous else "[c.result() for c in calls]"
            lines.append(f"        found += {got}")
    for index in range(flow.interrupts):
        lines.append(f'        found.append(str(interrupt("flow:{index}")))')
    lines += ["        return found", "", "    return flow"]
    parts.append("\n".join(lines))
    return "\n\n".join(parts)
