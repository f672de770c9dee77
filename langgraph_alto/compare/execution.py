"""One run of one side: its latency, its chunks, its result, and what was seen of its bodies."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from langgraph.types import Command

from langgraph_alto._langgraph.probe import Observation, observing
from langgraph_alto._langgraph.provenance import Provenance, emitted_by
from langgraph_alto.compare.equality import plain_result
from langgraph_alto.compare.inputs import Case
from langgraph_alto.compare.models import Tally, counting
from langgraph_alto.compare.report import Outcome
from langgraph_alto.compare.sides import Graph, Side
from langgraph_alto.core.critical_path import Body, Dependency, Emitted
from langgraph_alto.rendering import to_json

T = TypeVar("T")

CHUNKS = ("updates", "custom", "messages")
"""Stream modes whose chunks a user would see come."""

_threads = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Lost:
    """A body that ran ahead and came to nothing. Seconds since the run began."""

    node: str
    step: int
    began: float
    ended: float
    outcome: str
    emitted: tuple[Emitted, ...] = ()


@dataclass
class Done:
    """A run that is over. Times in seconds.

    `result` is plain data: the state with the interrupts that are left, or the error.
    """

    side: str
    line: int
    latency: float = 0.0
    first_chunk: float | None = None
    first_partial: float | None = None
    outcome: Outcome = "finished"
    error: str | None = None
    result: Any = None
    tally: Tally = field(default_factory=Tally)
    seen: list[tuple[Observation, float]] = field(default_factory=list)
    bodies: list[Body] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    started_ahead: int = 0
    adopted: int = 0
    held: dict[str, int] = field(default_factory=dict)

    @property
    def is_measured(self) -> bool:
        """Whether its latency means something."""
        return self.outcome in ("finished", "interrupted")

    def read(self, provenance: Provenance) -> None:
        """Work out from what was seen which bodies ran and what they depended on."""
        for seen, zero in self.seen:
            append_segment(self.bodies, provenance.bodies(seen, zero))
            for body in seen.ahead:
                if body.outcome in ("discarded", "rerun") and body.began is not None:
                    began, ended = body.began - zero, (body.ended or body.began) - zero
                    emitted = emitted_by(body, zero)
                    lost = Lost(body.node, body.step, began, ended, body.outcome, emitted)
                    self.lost.append(lost)
            self.started_ahead += len(seen.ahead)
            self.adopted += len(seen.adopted)
            for reason, count in seen.held.items():
                self.held[reason] = self.held.get(reason, 0) + count
        self.seen.clear()


@dataclass(frozen=True)
class Manner:
    """How all runs are made. `timeout` in seconds, for a run with all its answers."""

    stream_modes: tuple[str, ...] = ("values", "updates", "custom")
    timeout: float | None = None
    collects: bool = True


class _Attempt:
    """A run under way: what its segments (up to an interrupt each) have given so far."""

    def __init__(self, side: Side, case: Case, manner: Manner, tally: Tally) -> None:
        self.side = side
        self.case = case
        self.manner = manner
        self.graph: Graph = side.fresh()
        self.done = Done(side.name, case.line, tally=tally)
        self.config, self.replaced = _config(self.graph, case)
        self.answers = deque(case.answers)
        self.next_input: Any = case.input
        self.values: Any = None
        self.interrupts: list[Any] = []
        self.began = 0.0

    def arguments(self) -> dict[str, Any]:
        """What to call `stream` with."""
        made: dict[str, Any] = {"stream_mode": list(self.manner.stream_modes)}
        if self.case.context is not None:
            made["context"] = self.case.context
        return made

    def took(self, mode: str, chunk: Any, now: float) -> None:
        """A chunk of the stream."""
        done = self.done
        if mode == "values":
            self.values = chunk
            return
        if mode == "updates" and isinstance(chunk, dict) and "__interrupt__" in chunk:
            self.interrupts += chunk["__interrupt__"]
            return
        if mode not in CHUNKS:
            return
        at = done.latency + now - self.began
        if mode == "custom" and isinstance(chunk, dict) and chunk.get("type") == "alto.partial":
            done.first_partial = at if done.first_partial is None else done.first_partial
        elif done.first_chunk is None:
            done.first_chunk = at

    def segment_over(self, seen: Observation, now: float) -> bool:
        """A segment has ended; returns whether there is an answer with which it goes on."""
        done = self.done
        done.seen.append((seen, self.began - done.latency))
        done.latency += now - self.began
        return self._answer()

    def _answer(self) -> bool:
        # Parallel tasks are interrupted in any order.
        pending, self.interrupts = sorted(self.interrupts, key=_text), []
        if not self.answers or not self.graph.checkpointer:
            self.interrupts = pending
            return False
        if not pending:
            return self._is_at_breakpoint()
        if len(pending) == 1:
            self.next_input = Command(resume=self.answers.popleft())
            return True
        if len(self.answers) < len(pending):
            self.interrupts = pending
            return False
        self.next_input = Command(resume={i.id: self.answers.popleft() for i in pending})
        return True

    def _is_at_breakpoint(self) -> bool:
        """A breakpoint shows no interrupt; a `null` answer goes on from it."""
        if self.answers[0] is not None or not (
            self.graph.interrupt_before_nodes or self.graph.interrupt_after_nodes
        ):
            return False
        self.answers.popleft()
        self.next_input = None
        return True

    def finish(self) -> Done:
        """The run as it is to be compared."""
        done = self.done
        if done.outcome == "finished":
            if self.interrupts:
                done.outcome = "interrupted"
            result = self.values
            if self.interrupts:
                shown = [i.value for i in sorted(self.interrupts, key=_text)]
                result = {"__interrupt__": shown, "values": _without_interrupts(self.values)}
            done.result = plain_result(result, self.replaced)
        return done

    def failed(self, error: BaseException) -> None:
        """The graph raised."""
        self.done.outcome = "failed"
        self.done.error = f"{type(error).__name__}: {error}"
        self.done.result = plain_result(
            {"error": type(error).__name__, "message": str(error)}, self.replaced
        )

    def timed_out(self) -> None:
        """It took too long."""
        self.done.outcome = "timeout"
        self.done.error = f"no end after {self.manner.timeout:g} s"
        self.done.result = {"error": "timeout"}


def _text(interrupt: Any) -> str:
    return to_json(interrupt.value)


def _without_interrupts(values: Any) -> Any:
    """A state as it is streamed, in which LangGraph shows interrupts with ids that it draws."""
    if isinstance(values, dict):
        return {key: value for key, value in values.items() if key != "__interrupt__"}
    return values


def append_segment(bodies: list[Body], more: list[Body]) -> None:
    """Add the bodies of a resumed run: they depend on all that was there when it stopped."""
    offset = len(bodies)
    before = tuple(Dependency(i, "resume") for i in range(offset) if bodies[i].inside is None)
    for body in more:
        body.depends = tuple(
            Dependency(d.on + offset, d.via, d.after, d.guessed) for d in body.depends
        )
        if body.inside is not None:
            body.inside += offset
        elif not body.depends:
            body.depends = before
        body.id = f"{body.id}@{offset}" if offset else body.id
    bodies += more


def _config(graph: Graph, case: Case) -> tuple[dict[str, Any], dict[str, str]]:
    """A run's config, with a thread of its own where there is a checkpointer."""
    config = dict(case.config)
    configurable = dict(config.get("configurable") or {})
    replaced: dict[str, str] = {}
    if graph.checkpointer:
        given = str(configurable.get("thread_id") or "compare")
        configurable["thread_id"] = f"{given}-{next(_threads)}-{time.time_ns():x}"
        replaced[configurable["thread_id"]] = given
    if configurable:
        config["configurable"] = configurable
    return config, replaced


# Asynchronous ------------------------------------------------------------------------------


async def run_async(side: Side, case: Case, manner: Manner, tally: Tally) -> Done:
    """Run one side on one input in the running event loop. Never raises what the graph raises."""
    attempt = _Attempt(side, case, manner, tally)
    clock = asyncio.get_running_loop().time
    started = clock()
    try:
        async with asyncio.timeout(manner.timeout):
            while await _segment(attempt, clock):
                pass
    except TimeoutError as error:
        if manner.timeout is not None and clock() - started >= manner.timeout:
            attempt.timed_out()
        else:
            attempt.failed(error)
    except Exception as error:
        attempt.failed(error)
    return attempt.finish()


async def _segment(attempt: _Attempt, clock: Callable[[], float]) -> bool:
    seen = Observation(clock)
    attempt.began = clock()
    with observing(seen), counting(attempt.done.tally):
        graph: Any = attempt.graph
        stream: AsyncIterator[Any] = graph.astream(
            attempt.next_input, attempt.config, **attempt.arguments()
        )
        async for mode, chunk in stream:
            attempt.took(mode, chunk, clock())
    return attempt.segment_over(seen, clock())


# Synchronous -------------------------------------------------------------------------------


def run_sync(side: Side, case: Case, manner: Manner, tally: Tally) -> Done:
    """The same with `stream`, in a thread that can be left behind when it takes too long."""
    attempt = _Attempt(side, case, manner, tally)
    over = threading.Event()

    def run() -> None:
        try:
            while _sync_segment(attempt):
                pass
        except Exception as error:
            attempt.failed(error)
        finally:
            over.set()

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), daemon=True).start()
    if not over.wait(manner.timeout):
        late = _Attempt(side, case, manner, tally)  # the thread still writes to the other one
        late.timed_out()
        return late.finish()
    return attempt.finish()


def _sync_segment(attempt: _Attempt) -> bool:
    clock = time.perf_counter
    seen = Observation(clock)
    attempt.began = clock()
    with observing(seen), counting(attempt.done.tally):
        graph: Any = attempt.graph
        stream: Iterator[Any] = graph.stream(
            attempt.next_input, attempt.config, **attempt.arguments()
        )
        for mode, chunk in stream:
            attempt.took(mode, chunk, clock())
    return attempt.segment_over(seen, clock())


# Many --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A run to be made."""

    side: Side
    case: Case
    round: int
    tally: Callable[[], Tally]


class Runner:
    """Makes runs, one after the other or several at once, and tells how long they took together.

    Args:
        asynchronous: With `astream`, in one event loop for all runs; else with `stream`.
        manner: How.
        loop_factory: Makes the event loop; for tests on a virtual clock.
    """

    def __init__(
        self,
        *,
        asynchronous: bool,
        manner: Manner,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> None:
        self.asynchronous = asynchronous
        self.manner = manner
        self.abandoned = 0
        """Runs that were left behind, whose threads may still go on."""
        self._aio = asyncio.Runner(loop_factory=loop_factory) if asynchronous else None

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the event loop of the runs."""
        assert self._aio is not None
        return self._aio.run(coroutine)

    def run(
        self, jobs: Sequence[Job], concurrency: int, done: Callable[[Job, Done], None]
    ) -> float:
        """Make runs, at most `concurrency` at once; returns the seconds that took.

        `done` is told of each as soon as it is over.
        """
        if self._aio is not None:
            return self._aio.run(self._run_async(jobs, concurrency, done))
        return self._run_sync(jobs, concurrency, done)

    async def _run_async(
        self, jobs: Sequence[Job], concurrency: int, done: Callable[[Job, Done], None]
    ) -> float:
        todo = deque(jobs)
        clock = asyncio.get_running_loop().time

        async def worker() -> None:
            while todo:
                job = todo.popleft()
                if concurrency == 1:
                    self._collect()
                found = await run_async(job.side, job.case, self.manner, job.tally())
                self._note(job, found, done)

        began = clock()
        if concurrency == 1:
            await worker()
        else:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, len(jobs))):
                    group.create_task(worker())
        return clock() - began

    def _run_sync(
        self, jobs: Sequence[Job], concurrency: int, done: Callable[[Job, Done], None]
    ) -> float:
        todo = deque(jobs)
        errors: list[BaseException] = []

        def worker() -> None:
            while todo and not errors:
                try:
                    job = todo.popleft()
                except IndexError:
                    return
                if concurrency == 1:
                    self._collect()
                found = run_sync(job.side, job.case, self.manner, job.tally())
                self._note(job, found, done)

        def guarded() -> None:
            try:
                worker()
            except BaseException as error:
                errors.append(error)

        began = time.perf_counter()
        if concurrency == 1:
            worker()
        else:
            threads = [threading.Thread(target=guarded, daemon=True) for _ in range(concurrency)]
            for thread in threads:
                thread.start()
            try:
                for thread in threads:
                    thread.join()
            except KeyboardInterrupt:
                todo.clear()
                raise
        if errors:
            raise errors[0]
        return time.perf_counter() - began

    def _collect(self) -> None:
        """Outside of the measured time, for all sides alike."""
        if self.manner.collects:
            gc.collect()

    def _note(self, job: Job, found: Done, done: Callable[[Job, Done], None]) -> None:
        if found.outcome == "timeout":
            self.abandoned += 1
        done(job, found)

    def close(self) -> None:
        """Close the event loop; without waiting for threads, where one may never end."""
        if self._aio is None:
            return
        if not self.abandoned:
            self._aio.close()
            return
        loop = self._aio.get_loop()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@contextmanager
def closing(runner: Runner) -> Iterator[Runner]:
    """Close a runner at the end of the block."""
    try:
        yield runner
    finally:
        runner.close()
