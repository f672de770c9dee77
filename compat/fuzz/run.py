"""Runs a plan on one executor and notes down everything that a user could see of it."""

from __future__ import annotations

import asyncio
import logging
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

from langgraph.callbacks import GraphCallbackHandler
from langgraph.types import Command

from compat.fuzz.build import Built, built
from compat.fuzz.canonical import plain
from compat.fuzz.clock import run_virtual
from compat.fuzz.plan import GraphPlan
from compat.fuzz.source import config_of, first_input

Executor = Literal["langgraph", "alto"]

MOST_ROUNDS = 6
"""Resumes and retries of one turn; enough for every interrupt that a plan can hold."""


@dataclass
class Round:
    """One call of the graph: what was streamed, how it ended, and where it left the thread."""

    chunks: list[Any] = field(default_factory=list)
    end: Any = None
    snapshot: Any = None


@dataclass
class Outcome:
    """All that is compared of a run, as plain data; and what the executor reported."""

    rounds: list[Round] = field(default_factory=list)
    history: list[Any] = field(default_factory=list)
    saved: list[Any] = field(default_factory=list)
    store: list[Any] = field(default_factory=list)
    callbacks: list[Any] = field(default_factory=list)
    bodies: Counter[str] = field(default_factory=Counter)
    leaked: list[str] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    virtual: float = 0.0
    real: float = 0.0

    def total(self, name: str) -> int:
        """A counter of the executor's reports, summed over the runs."""
        return sum(report[name] for report in self.reports)

    def executions(self, kind: str) -> Counter[str]:
        """Executions that began early and were "lost" or "taken over", by their body's name."""
        return sum((report.get(kind, Counter()) for report in self.reports), Counter())


class _Bodies(logging.Handler):
    """Counts the bodies that began: they say so through logging."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.counts: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        assert isinstance(record.args, tuple)
        self.counts[str(record.args[0])] += 1


class _Callbacks(GraphCallbackHandler):
    """Notes every callback event with its run and parent."""

    run_inline = True  # in the loop's thread: another one would have its own order

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def note(self, event: str, data: Any, kwargs: dict[str, Any]) -> None:
        self.events.append(
            {
                "event": event,
                "run": str(kwargs.get("run_id")),
                "parent": str(kwargs.get("parent_run_id")),
                "name": kwargs.get("name"),
                "step": (kwargs.get("metadata") or {}).get("langgraph_step"),
                "tags": plain(kwargs.get("tags")),
                "data": plain(data),
            }
        )

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.note("chain start", inputs, kwargs)

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self.note("chain end", outputs, kwargs)

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        self.note("chain error", error, kwargs)

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.note("model start", messages, kwargs)

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.note("token", token, kwargs)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.note("model end", response.generations, kwargs)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.note("model error", error, kwargs)

    def on_retry(self, retry_state: Any, **kwargs: Any) -> None:
        self.note("retry", None, kwargs)

    def on_interrupt(self, event: Any) -> None:
        self.note("interrupt", event, {})

    def on_resume(self, event: Any) -> None:
        self.note("resume", event, {})


def execute(plan: GraphPlan, executor: Executor = "langgraph", delays: str = "0") -> Outcome:
    """Run a plan to its end (every turn, resume and retry) and note what happened.

    An error of the graph is part of the outcome. A plan that can't even be built raises.
    """
    outcome = Outcome()
    callbacks = _Callbacks()
    began = time.perf_counter()
    with warnings.catch_warnings(), _counting(outcome), built(plan, delays) as made:
        warnings.simplefilter("ignore")
        graphs = [made.graph]
        recording: Any = nullcontext([])
        if executor == "alto":
            from langgraph_alto import Options, accelerate, record

            graphs = [accelerate(made.graph, options=Options(**plan.run.options))]
            if plan.run.swap:
                # Interrupted on one executor, resumed on the other.
                graphs.append(made.graph)
            recording = record()
        elif plan.run.swap:
            graphs.append(made.graph)
        with recording as reports:
            driver = _Driver(plan, made, graphs, outcome, callbacks)
            if plan.run.asynchronous:
                _, outcome.virtual = run_virtual(driver.arun())
            else:
                driver.run()
        outcome.reports = [_report(report) for report in reports]
        outcome.callbacks = callbacks.events
        found = made.store.search(("fuzz",), limit=100)
        outcome.store = [plain([item.key, item.value]) for item in found]
        if made.saver is not None:
            everything = made.saver.list({"configurable": {"thread_id": "1"}})
            outcome.saved = [_saved(item) for item in everything]
    outcome.real = time.perf_counter() - began
    return outcome


@contextmanager
def _counting(outcome: Outcome) -> Iterator[None]:
    log = logging.getLogger("compat.fuzz.body")
    bodies = _Bodies()
    log.addHandler(bodies)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(bodies)
        outcome.bodies = bodies.counts


class _Driver:
    """Calls the graph, turn by turn and round by round, as a client would."""

    def __init__(
        self,
        plan: GraphPlan,
        made: Built,
        graphs: list[Any],
        outcome: Outcome,
        callbacks: _Callbacks,
    ) -> None:
        self.plan = plan
        self.made = made
        self.graphs = graphs
        self.outcome = outcome
        self.config = config_of(plan.run)
        self.called: dict[str, Any] = dict(self.config)
        if plan.run.callbacks:
            self.called["callbacks"] = [callbacks]

    def arguments(self) -> dict[str, Any]:
        run = self.plan.run
        arguments: dict[str, Any] = {}
        if run.checkpointer and run.durability:
            arguments["durability"] = run.durability
        if run.api == "stream":
            # One mode alone is given and comes back without its name.
            arguments["stream_mode"] = run.modes if len(run.modes) > 1 else run.modes[0]
            arguments["subgraphs"] = run.subgraphs
        return arguments

    def chunk(self, value: Any) -> Any:
        """A stream chunk as [namespace, mode, payload]."""
        run = self.plan.run
        if run.api == "events":
            return [[], "event", plain(value)]
        parts = [value]
        if run.subgraphs or len(run.modes) > 1:
            parts = list(value)
        namespace = list(parts.pop(0)) if run.subgraphs else []
        mode = parts.pop(0) if len(run.modes) > 1 else run.modes[0]
        return [namespace, mode, plain(parts[0])]

    def next_value(self, this: Round, snapshot: Any, failed: bool) -> tuple[bool, Any]:
        """Whether to go on in this turn, and with what."""
        this.snapshot = plain(snapshot)
        if failed:
            # What was saved of the failed step is used again: one try.
            return not any(r.end["error"] for r in self.outcome.rounds[:-1]), None
        if not snapshot.next:
            return False, None
        answers = {item.id: f"yes {item.value}" for item in snapshot.interrupts}
        if not answers:
            return True, None
        if self.plan.seed % 3 == 0:
            first = next(iter(answers))
            return True, Command(resume={first: answers[first]})
        return True, Command(resume=answers)

    def wants_update(self, number: int) -> bool:
        return self.plan.run.update_state and number == 0 and self.plan.flow is None

    def finish(self, this: Round, error: Exception | None, result: Any = None) -> None:
        this.end = {"error": plain(error) if error else None, "result": plain(result)}

    def stop(self, this: Round, error: Exception) -> None:
        """Reading or updating the state failed, as LangGraph does on some states."""
        this.snapshot = plain(error)

    def run(self) -> None:
        """The sync client."""
        try:
            self.turns()
        except Exception as error:
            self.stop(self.outcome.rounds[-1], error)

    def turns(self) -> None:
        for turn in range(self.plan.run.turns):
            value = first_input(self.plan, turn)
            for number in range(MOST_ROUNDS):
                graph = self.graphs[number % len(self.graphs)]
                this = Round()
                self.outcome.rounds.append(this)
                try:
                    if self.plan.run.api == "invoke":
                        result = graph.invoke(value, self.called, **self.arguments())
                        self.finish(this, None, result)
                    else:
                        for chunk in graph.stream(value, self.called, **self.arguments()):
                            this.chunks.append(self.chunk(chunk))
                        self.finish(this, None)
                except Exception as error:
                    self.finish(this, error)
                if self.made.saver is None:
                    break
                snapshot = graph.get_state(self.config, subgraphs=True)
                more, value = self.next_value(this, snapshot, bool(this.end["error"]))
                if not more:
                    break
                if self.wants_update(number):
                    graph.update_state(self.config, {"c0": ["updated"]})
        if self.made.saver is not None:
            self.outcome.history = [
                plain(item) for item in self.graphs[0].get_state_history(self.config)
            ]

    async def arun(self) -> None:
        """The async client."""
        try:
            await self.aturns()
        except Exception as error:
            self.stop(self.outcome.rounds[-1], error)

    async def aturns(self) -> None:
        for turn in range(self.plan.run.turns):
            value = first_input(self.plan, turn)
            for number in range(MOST_ROUNDS):
                graph = self.graphs[number % len(self.graphs)]
                this = Round()
                self.outcome.rounds.append(this)
                try:
                    await self.acall(graph, value, this)
                except Exception as error:
                    self.finish(this, error)
                await self.find_leaks()
                if self.made.saver is None:
                    break
                snapshot = await graph.aget_state(self.config, subgraphs=True)
                more, value = self.next_value(this, snapshot, bool(this.end["error"]))
                if not more:
                    break
                if self.wants_update(number):
                    await graph.aupdate_state(self.config, {"c0": ["updated"]})
        if self.made.saver is not None:
            self.outcome.history = [
                plain(item) async for item in self.graphs[0].aget_state_history(self.config)
            ]

    async def acall(self, graph: Any, value: Any, this: Round) -> None:
        arguments = self.arguments()
        if self.plan.run.api == "invoke":
            self.finish(this, None, await graph.ainvoke(value, self.called, **arguments))
            return
        if self.plan.run.api == "events":
            stream = graph.astream_events(value, self.called, version="v2", **arguments)
        else:
            stream = graph.astream(value, self.called, **arguments)
        async for chunk in stream:
            this.chunks.append(self.chunk(chunk))
        self.finish(this, None)

    async def find_leaks(self) -> None:
        """Tasks that are still there when the run is over and the loop had its turns."""
        for _ in range(5):
            await asyncio.sleep(0)
        mine = asyncio.current_task()
        for task in asyncio.all_tasks():
            if task is not mine:
                name: Callable[[], str] = task.get_name
                self.outcome.leaked.append(getattr(task.get_coro(), "__qualname__", name()))


def _saved(item: Any) -> Any:
    """A stored checkpoint as it is on disk, versions without their random part."""
    checkpoint = item.checkpoint
    return plain(
        {
            "namespace": item.config["configurable"].get("checkpoint_ns"),
            "metadata": item.metadata,
            "values": checkpoint["channel_values"],
            "versions": _versions(checkpoint["channel_versions"]),
            "seen": {k: _versions(v) for k, v in checkpoint["versions_seen"].items()},
            "updated": checkpoint.get("updated_channels"),
            "has parent": item.parent_config is not None,
            "writes": sorted(([c, repr(plain(v))] for _, c, v in item.pending_writes or [])),
        }
    )


def _versions(versions: dict[str, Any]) -> dict[str, int]:
    return {name: int(str(version).split(".")[0]) for name, version in versions.items()}


def _body_name(span: Any) -> str:
    """The name by which a body says that it ran; those of subgraphs begin with their node's."""
    levels = [part.split(":")[0] for part in span.namespace if not part.isdigit()]
    return "__".join([*filter(None, levels), span.node])


def _report(report: Any) -> dict[str, Any]:
    names = ("started", "adopted", "discarded", "rerun", "abandoned")
    found: dict[str, Any] = {name: getattr(report, name) for name in names}
    for kind, outcomes in (("lost", ("discarded", "rerun")), ("taken over", ("adopted",))):
        found[kind] = Counter(
            _body_name(span)
            for span in report.timeline
            if span.outcome in outcomes and span.reason != "it had not begun"
        )
    found["held"] = dict(report.held)
    found["fallbacks"] = list(report.fallbacks)
    return found
