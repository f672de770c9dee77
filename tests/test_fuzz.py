"""The fuzzer itself (plans, clock, comparison, shrinking, watchdog), and every kept plan."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compat.fuzz import clock
from compat.fuzz.__main__ import REGRESSIONS, main
from compat.fuzz.canonical import mask, plain, rename
from compat.fuzz.case import TIES, Verdict, judge
from compat.fuzz.compare import compare, compare_executors, held_bodies
from compat.fuzz.generate import features, generate
from compat.fuzz.plan import (
    START,
    Branch,
    Channel,
    Edge,
    Graph,
    GraphPlan,
    Node,
    Run,
    Sends,
    all_nodes,
)
from compat.fuzz.pool import Settings, judge_all
from compat.fuzz.prelude import TIE
from compat.fuzz.run import Outcome, Round, execute
from compat.fuzz.shrink import shrink
from compat.fuzz.source import render, script
from compat.fuzz.summary import Summary

ROOT = Path(__file__).parent.parent


# --- Every difference that was once found ---


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(REGRESSIONS.glob("*.json")), ids=lambda path: path.stem)
def test_kept_plan_runs_alike_on_both_executors(path: Path) -> None:
    plan = GraphPlan.from_json(path.read_text())
    # What depends on threads may need a few runs to show.
    for _ in range(1 if plan.has_exact_order() else 4):
        assert judge(plan).unexplained == []


# --- Plans ---


def _digest(seeds: range) -> str:
    text = "".join(generate(seed).to_json() for seed in seeds)
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.slow
def test_generator_is_deterministic_across_processes() -> None:
    code = "from tests.test_fuzz import _digest; print(_digest(range(100)))"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == _digest(range(100)) == _digest(range(100))


@pytest.mark.slow
def test_plan_survives_json_and_its_script_compiles() -> None:
    for seed in range(150):
        plan = generate(seed)
        assert GraphPlan.from_json(plan.to_json()) == plan
        compile(script(plan), f"seed {seed}", "exec")


@pytest.mark.slow
def test_generator_covers_every_feature() -> None:
    found = set().union(*(features(generate(seed)) for seed in range(600)))
    missing = {
        *("sync", "async", "functional", "api events", "api invoke", "api stream"),
        *("Sends to depth >= 4", "Sends to itself", "Sends from a branch at START"),
        *("Sends from a branch at a node", "Sends of shared", "Sends of slice", "Sends of state"),
        *("edge join", "edge loop", "edge branch", "node defer", "node handler", "node timeout"),
        *("node fail always", "node fail some", "node fail flaky", "node interrupts"),
        *("node effects pure", "node effects idempotent", "node effects once", "node cache"),
        *("node mutate input", "node mutate global", "node store both", "node parent_goto"),
        *("subgraph as a node", "subgraph called", "subgraph checkpointer True"),
        *("checkpointer sqlite", "durability exit", "durability sync", "run swap"),
        *("run interrupt_before", "run interrupt_after", "run update_state", "run turns"),
        *("run max_concurrency", "run step_timeout", "run recursion_limit", "run callbacks"),
        *(f"mode {mode}" for mode in ("values", "updates", "messages", "custom", "tasks")),
        *(f"mode {mode}" for mode in ("checkpoints", "debug")),
    } - found
    assert not missing


def test_false_declarations_are_not_generated() -> None:
    for seed in range(300):
        for node in all_nodes(generate(seed)):
            assert not (node.effects in ("pure", "idempotent") and (node.store or node.mutate))


# --- The virtual clock ---


def test_virtual_clock_jumps_and_keeps_the_order() -> None:
    ended: list[float] = []

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        ended.append(seconds)

    async def everything() -> None:
        await asyncio.gather(*(sleeper(s) for s in (300.0, 0.001, 7.0, 0.002)))

    began = time.perf_counter()
    _, virtual = clock.run_virtual(everything())
    assert ended == [0.001, 0.002, 7.0, 300.0]
    assert virtual == pytest.approx(300.0)
    assert time.perf_counter() - began < 5.0


def test_timers_of_one_instant_go_off_in_the_order_in_which_they_were_set() -> None:
    """asyncio's heap would give these in another order."""
    ended: list[int] = []

    async def everything() -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + 5.0
        for number in range(20):
            loop.call_at(at, ended.append, number)
        await asyncio.sleep(9.0)

    clock.run_virtual(everything())
    assert ended == list(range(20))


def test_virtual_clock_stands_still_for_a_thread() -> None:
    async def everything() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        timer = asyncio.create_task(asyncio.sleep(1000.0))
        await asyncio.to_thread(time.sleep, 0.02)
        before = loop.time()
        timer.cancel()
        return threading.current_thread().name, before

    (_, before), _ = clock.run_virtual(everything())
    assert before < 1.0  # turns of the loop, not the timer


def test_virtual_clock_finds_a_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "STUCK_AFTER", 0.01)

    async def stuck() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(clock.StuckError, match="no timer"):
        clock.run_virtual(stuck())


# --- Canonical values ---


def test_rename_keeps_who_refers_to_whom_and_mask_does_not() -> None:
    one, two = "1f1e5880-0000-6abc-8000-000000000001", "1f1e5880-0000-6abc-8000-000000000002"
    value = plain({"a": f"n:{one}", "b": [two, one], "at": "2026-01-02T03:04:05.678+00:00"})
    assert rename(value) == {"a": "n:<id 1>", "at": "<time>", "b": ["<id 2>", "<id 1>"]}
    assert mask(value) == {"a": "n:<id>", "at": "<time>", "b": ["<id>", "<id>"]}


# --- The comparer finds what is planted ---


@pytest.fixture(scope="module")
def rich_plan() -> GraphPlan:
    """A fan-out of two chains beside a slow node, with everything that is compared."""
    nodes = [
        Node("n0", writes=["c0"], depth=2, sends=Sends(["n1"], 2)),
        Node("n1", writes=["c0"], sends=Sends(["n2"], 2), effects="once"),
        Node("n2", writes=["c0"], custom=1),
        Node("n3", writes=["c0"], slow=10.0, store="put"),
    ]
    edges = [Edge([START], "n0"), Edge([START], "n3")]
    run = Run(modes=["values", "updates", "custom"], checkpointer="memory", callbacks=True)
    return GraphPlan(1, [Channel("c0")], Graph(nodes, edges), run=run)


@pytest.fixture(scope="module")
def rich_outcome(rich_plan: GraphPlan) -> Outcome:
    return execute(rich_plan)


def _updates(outcome: Outcome) -> list[int]:
    return [i for i, chunk in enumerate(outcome.rounds[0].chunks) if chunk[1] == "updates"]


def _alter_write(outcome: Outcome) -> None:
    outcome.saved[1]["writes"][0][1] = "something else"


def _drop_chunk(outcome: Outcome) -> None:
    del outcome.rounds[0].chunks[_updates(outcome)[0]]


def _swap_chunks_of_a_step(outcome: Outcome) -> None:
    chunks, places = outcome.rounds[0].chunks, _updates(outcome)
    first = next(i for i in places if i + 1 in places and chunks[i] != chunks[i + 1])
    chunks[first], chunks[first + 1] = chunks[first + 1], chunks[first]


def _swap_chunks_of_two_steps(outcome: Outcome) -> None:
    chunks, places = outcome.rounds[0].chunks, _updates(outcome)
    chunks[places[0]], chunks[places[-1]] = chunks[places[-1]], chunks[places[0]]


def _alter_history(outcome: Outcome) -> None:
    outcome.history[2]["metadata"]["step"] += 1


def _relink_history(outcome: Outcome) -> None:
    outcome.history[0]["parent_config"] = outcome.history[2]["config"]


def _alter_end(outcome: Outcome) -> None:
    outcome.rounds[0].end["error"] = {"error": "ValueError", "message": "no", "notes": []}


def _alter_snapshot(outcome: Outcome) -> None:
    outcome.rounds[0].snapshot["values"]["c0"].reverse()


def _drop_callback(outcome: Outcome) -> None:
    del outcome.callbacks[3]


def _swap_callbacks(outcome: Outcome) -> None:
    events = outcome.callbacks
    first = next(i for i in range(len(events) - 1) if events[i]["run"] != events[i + 1]["run"])
    events[first], events[first + 1] = events[first + 1], events[first]


def _alter_store(outcome: Outcome) -> None:
    outcome.store[0][1]["mark"] = "other"


def _lose_body(outcome: Outcome) -> None:
    outcome.bodies["n2"] -= 1


PLANTED: list[tuple[Callable[[Outcome], None], str]] = [
    (_alter_write, "saved"),
    (_drop_chunk, "stream"),
    (_swap_chunks_of_a_step, "stream order"),
    (_swap_chunks_of_two_steps, "stream"),
    (_alter_history, "history"),
    (_relink_history, "history"),
    (_alter_end, "end"),
    (_alter_snapshot, "pauses"),
    (_drop_callback, "callbacks"),
    (_swap_callbacks, "callbacks order"),
    (_alter_store, "store"),
    (_lose_body, "bodies"),
]


@pytest.mark.parametrize(
    ("plant", "aspect"), PLANTED, ids=lambda item: getattr(item, "__name__", "")
)
def test_planted_difference_is_found(
    rich_plan: GraphPlan,
    rich_outcome: Outcome,
    plant: Callable[[Outcome], None],
    aspect: str,
) -> None:
    altered = copy.deepcopy(rich_outcome)
    assert compare(rich_plan, rich_outcome, altered) == []
    plant(altered)
    for differences in (
        compare(rich_plan, rich_outcome, altered),
        compare_executors(rich_plan, rich_outcome, altered),
    ):
        assert aspect in {difference.aspect for difference in differences}
        assert all(str(difference).startswith(difference.aspect) for difference in differences)


def test_swap_within_a_step_is_a_matter_of_order_alone(
    rich_plan: GraphPlan, rich_outcome: Outcome
) -> None:
    altered = copy.deepcopy(rich_outcome)
    _swap_chunks_of_a_step(altered)
    assert [d.aspect for d in compare(rich_plan, rich_outcome, altered)] == ["stream order"]


def test_extra_bodies_must_be_allowed_and_reported(
    rich_plan: GraphPlan, rich_outcome: Outcome
) -> None:
    assert held_bodies(rich_plan) == {"n1", "n3"}
    for name, lost, expected in [
        ("n2", "n2", []),
        ("n2", "n0", ["bodies"]),
        ("n2", None, ["bodies"]),
        ("n1", "n1", ["bodies"]),
        ("n3", "n3", ["bodies"]),
    ]:
        altered = copy.deepcopy(rich_outcome)
        altered.bodies[name] += 1
        altered.reports = [{"lost": Counter([lost] if lost else [])}]
        found = compare_executors(rich_plan, rich_outcome, altered)
        assert [difference.aspect for difference in found] == expected


def test_a_lost_subgraph_takes_its_bodies_with_it() -> None:
    inner = Graph(
        [Node("s0", sends=Sends(["s1"], 2), depth=1), Node("s1", retry=3)], [Edge([START], "s0")]
    )
    plan = GraphPlan(1, graph=Graph([Node("n0", subgraph=inner), Node("n1")]))
    langgraph = Outcome(bodies=Counter(n0__s0=1, n0__s1=2))
    for bodies, report, expected in [
        (Counter(n0__s0=2, n0__s1=8), {"lost": Counter(n0=1)}, []),
        (Counter(n0__s0=2, n0__s1=9), {"lost": Counter(n0=1)}, ["bodies"]),
        (Counter(n0__s0=1, n0__s1=5), {"lost": Counter(n0__s1=1)}, []),
        (Counter(n0__s0=2, n0__s1=4), {"lost": Counter(n0__s1=1)}, ["bodies"]),
        (Counter(n0__s0=2, n0__s1=4), {"lost": Counter(n1=9)}, ["bodies"]),
        (Counter(n0__s0=1, n0__s1=6), {"taken over": Counter(n0__s0=1, n0__s1=2)}, []),
        (Counter(n0__s0=2, n0__s1=2), {"taken over": Counter(n0__s0=1, n0__s1=2)}, ["bodies"]),
    ]:
        alto = Outcome(bodies=bodies, reports=[report])
        found = compare_executors(plan, langgraph, alto)
        assert [difference.aspect for difference in found] == expected


@pytest.mark.parametrize(
    ("limit", "error", "lost", "begun", "expected"),
    [
        (2, "Trouble", 1, 2, []),
        (2, "Trouble", 2, 1, []),
        (2, "Trouble", 1, 1, ["bodies"]),
        (2, "Trouble", 0, 2, ["bodies"]),
        (2, None, 1, 2, ["bodies"]),
        (None, "Trouble", 1, 2, ["bodies"]),
    ],
)
def test_what_ran_ahead_may_have_taken_the_place_of_a_sibling_of_one_that_failed(
    limit: int | None, error: str | None, lost: int, begun: int, expected: list[str]
) -> None:
    plan = GraphPlan(1, graph=Graph([Node("n0"), Node("n1")]), run=Run(max_concurrency=limit))
    rounds = [Round(end={"error": error, "result": None})]
    langgraph = Outcome(rounds, bodies=Counter(n0=3))
    alto = Outcome(rounds, bodies=Counter(n0=begun), reports=[{"lost": Counter(n1=lost)}])
    found = compare_executors(plan, langgraph, alto)
    assert [difference.aspect for difference in found] == expected


def test_a_leaked_task_is_a_difference(rich_plan: GraphPlan, rich_outcome: Outcome) -> None:
    altered = dataclasses.replace(rich_outcome, leaked=["runner"])
    assert [d.aspect for d in compare_executors(rich_plan, rich_outcome, altered)] == ["leaks"]


# --- LangGraph against itself ---


@pytest.fixture
def twins() -> GraphPlan:
    """Two siblings with equal arguments, so with equal delays too."""
    nodes = [Node("n0", writes=["c0"], sends=Sends(["n1"], 2, "shared"), depth=1)]
    nodes.append(Node("n1", writes=["c0"], slow=3.0))
    edges = [Edge([START], "n0")]
    run = Run(modes=["tasks"])
    return GraphPlan(1, [Channel("c0")], Graph(nodes, edges), run=run)


def _order_of_results(plan: GraphPlan, delays: str) -> tuple[list[str], float]:
    outcome = execute(plan, delays=delays)
    chunks = [chunk[2] for chunk in outcome.rounds[0].chunks]
    ids = [chunk["id"] for chunk in chunks if "input" in chunk]
    return [ids.index(c["id"]) for c in chunks if "result" in c], outcome.virtual


def test_broken_ties_end_in_either_order_and_change_nothing_else(twins: GraphPlan) -> None:
    usual, seconds = _order_of_results(twins, "0")
    assert usual == [0, 1, 2]
    orders = [_order_of_results(twins, delays) for delays in TIES]
    assert {tuple(order) for order, _ in orders} == {(0, 1, 2), (0, 2, 1)}
    assert all(0 < virtual - seconds < 3 * TIE for _, virtual in orders)


def test_what_hangs_on_the_load_is_not_generated_or_shrunk_to() -> None:
    plan = next(
        plan
        for plan in map(generate, range(3000))
        if not plan.run.asynchronous
        and plan.run.checkpointer
        and any(node.mutate == "input" for node in plan.graph.nodes)
    )
    assert plan.run.durability == "sync"
    sends = [owner.sends for owner in [*plan.graph.nodes, *plan.graph.branches] if owner.sends]
    assert "state" not in {one.arg for one in sends}

    def fails(smaller: GraphPlan) -> bool:
        mutates = any(node.mutate == "input" for node in smaller.graph.nodes)
        return bool(mutates and smaller.run.checkpointer)

    assert shrink(plan, fails, seconds=20).run.durability == "sync"


def test_runs_of_a_subgraph_that_share_its_state_are_not_generated_between_threads() -> None:
    shared = {True: 0, False: 0}
    for plan in map(generate, (*range(1200), 4744)):
        owners = [*plan.graph.nodes, *plan.graph.branches]
        targets = {name for owner in owners if owner.sends for name in owner.sends.targets}
        for node in plan.graph.nodes:
            if node.sub_checkpointer and node.name in targets:
                shared[plan.has_exact_order()] += 1
    assert shared[False] == 0
    assert shared[True] > 0


def test_what_bodies_in_threads_change_in_place_is_not_read() -> None:
    plan = GraphPlan(1, [Channel("c0")], Graph([Node("n0", reads=["c0"], mutate="input")]))
    plan.graph.branches = [Branch("n0", ["n0", "__end__"], reads=["c0"], bound=3)]
    assert "bag.append('n0')" in render(plan)
    plan.run = Run(asynchronous=False, checkpointer="memory")
    threads = render(plan)
    assert "bag.append('id:changed')" in threads
    assert "if item != 'id:changed'" in threads
    assert "isinstance(bag, list) and not key" in threads
    module: dict[str, Any] = {"__name__": "made"}
    exec(threads, module)
    assert module["text"](["one", "id:changed", "two"]) == "one,two"


@pytest.mark.slow
def test_equal_delays_give_equal_outcomes_on_the_virtual_clock() -> None:
    plans = [plan for plan in map(generate, range(60)) if plan.has_exact_order()]
    assert len(plans) > 20
    for plan in plans:
        assert compare(plan, execute(plan), execute(plan)) == [], f"seed {plan.seed}"


@pytest.mark.slow
def test_other_delays_change_orders() -> None:
    plans = [plan for plan in map(generate, range(60)) if plan.has_exact_order()]
    found: Counter[str] = Counter()
    for plan in plans:
        found.update(d.aspect for d in compare(plan, execute(plan), execute(plan, delays="-0")))
    assert found["stream order"] > 3


def test_a_swapped_pair_is_explained_by_a_tie(
    rich_plan: GraphPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = execute

    def swapping(plan: GraphPlan, executor: str = "langgraph", delays: str = "0") -> Outcome:
        outcome = real(plan, "langgraph", delays)
        if executor == "alto":
            _swap_chunks_of_a_step(outcome)
        return outcome

    monkeypatch.setattr("compat.fuzz.case.execute", swapping)
    verdict = judge(rich_plan)
    assert verdict.unexplained == []
    assert [text.split(" at ")[0] for text in verdict.explained] == ["stream order"]
    summary = Summary("alto")
    summary.add(verdict)
    assert summary.explained_by == Counter({"ties broken": 1})


@pytest.mark.slow
def test_what_a_late_saver_sees_of_the_next_step_is_explained_by_a_quick_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seed 4204: LangGraph saves a join with a part in it that came a step later."""
    graph = Graph(
        [Node("n0", writes=["c0"], slow=0.2), Node("n1", writes=["c0"], slow=0.2), Node("n2")],
        [Edge([START], "n0"), Edge(["n0"], "n1"), Edge(["n0", "n1"], "n2")],
    )
    run = Run(checkpointer="memory", latency=5.0)
    plan = GraphPlan(1, [Channel("c0")], graph, run=run)
    real = execute

    def copying(plan: GraphPlan, executor: str = "langgraph", delays: str = "0") -> Outcome:
        if executor == "alto":
            plan = plan.copy()
            plan.run.latency = 0.0
        return real(plan, "langgraph", delays)

    monkeypatch.setattr("compat.fuzz.case.execute", copying)
    verdict = judge(plan)
    assert verdict.unexplained == []
    assert {text.split(" at ")[0] for text in verdict.explained} == {"saved", "history"}
    summary = Summary("alto")
    summary.add(verdict)
    assert summary.explained_by == Counter({"a quick saver": 2})
    plan.run.durability = "sync"
    assert judge(plan).explained == []


@pytest.mark.slow
def test_a_dropped_chunk_is_not_explained(
    rich_plan: GraphPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = execute

    def dropping(plan: GraphPlan, executor: str = "langgraph", delays: str = "0") -> Outcome:
        outcome = real(plan, "langgraph", delays)
        if executor == "alto":
            _drop_chunk(outcome)
        return outcome

    monkeypatch.setattr("compat.fuzz.case.execute", dropping)
    assert "stream" in judge(rich_plan).aspects


# --- Shrinking, the watchdog, the summary, the command line ---


@pytest.mark.slow
def test_shrinking_leaves_what_the_failure_needs() -> None:
    plan = next(
        plan
        for plan in map(generate, range(500))
        if len(plan.graph.nodes) > 5 and any(node.chat for node in plan.graph.nodes)
    )

    def fails(smaller: GraphPlan) -> bool:
        execute(smaller)  # what can't run is no smaller case
        return any(node.chat for node in smaller.graph.nodes)

    smallest = shrink(plan, fails, seconds=30)
    assert [node.chat for node in smallest.graph.nodes] == [True]
    assert [len(smallest.graph.edges), len(smallest.graph.branches)] in ([1, 0], [0, 1])
    assert smallest.run == Run(asynchronous=plan.run.asynchronous)


def test_shrinking_ends_in_time() -> None:
    now = iter(range(10_000))
    plan = generate(1)
    assert shrink(plan, lambda smaller: False, 5, clock=lambda: next(now)) == plan


@pytest.mark.slow
def test_a_hanging_case_costs_its_process_and_is_reported() -> None:
    settings = Settings("langgraph", case_seconds=-1.0)  # too late from the start
    verdicts = list(judge_all(range(2), 1, settings))
    assert [verdict.seed for verdict in verdicts] == [0, 1]
    assert ["no end within" in str(v.trouble) for v in verdicts] == [True, True], verdicts


def _verdict(**fields: object) -> Verdict:
    return dataclasses.replace(Verdict(0, "{}"), **fields)


@pytest.mark.parametrize(
    ("verdict", "problems"),
    [
        (_verdict(counters={"adopted": 1}), 0),
        (_verdict(counters={"adopted": 0}), 1),
        (_verdict(counters={"adopted": 1}, explained=["stream order at x"]), 0),
        (_verdict(counters={"adopted": 1}, unexplained=["stream at x"]), 60),
        (_verdict(trouble="alto: no end within 30 s"), 61),
        (_verdict(trouble="langgraph: no end within 30 s"), 1),
    ],
    ids=["fine", "adopts nothing", "explained", "unexplained", "hangs", "LangGraph hangs"],
)
def test_summary_knows_when_the_gate_does_not_hold(verdict: Verdict, problems: int) -> None:
    summary = Summary("alto")
    for _ in range(60):
        summary.add(verdict)
    assert len(summary.problems()) == problems
    assert summary.as_json()["problems"] == summary.problems()


def test_command_line_shows_a_script_and_refuses_nonsense(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--show", "3"]) == 0
    assert "def build(" in capsys.readouterr().out
    assert main(["--replay", "no-such-file.json"]) == 2
    with pytest.raises(SystemExit) as error:
        main(["--graphs", "0"])
    assert error.value.code == 2


@pytest.mark.slow
def test_langgraph_against_itself_as_a_command(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = ["--graphs", "12", "--executor", "langgraph", "--workers", "1"]
    assert main([*arguments, "--json", str(out), "--keep", str(tmp_path)]) == 0
    assert '"graphs": 12' in out.read_text()
