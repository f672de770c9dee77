"""Judges seeds in worker processes, each under a watchdog.

A deadlock in a graph must not stop the gate, and a thread that hangs can't be killed: so a
case that takes too long costs its process, is reported with the stacks of all threads, and
the next case gets a new process.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import multiprocessing
import os
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from compat.fuzz.case import Verdict, differs, judge
from compat.fuzz.generate import generate
from compat.fuzz.plan import GraphPlan
from compat.fuzz.run import Executor
from compat.fuzz.shrink import shrink

CASE_SECONDS = 30.0
"""A case takes well under a second; with this, a loaded machine is no deadlock."""

SHRINK_SECONDS = 20.0

MOST_WAIT = 0.5
"""A process that dies says nothing: look at least this often (seconds)."""

CASES_PER_PROCESS = 500
"""A fresh process now and then: what one case leaves behind can't pile up over 20,000."""


@dataclass
class Settings:
    """What a worker needs to know."""

    executor: Executor = "alto"
    case_seconds: float = CASE_SECONDS
    shrink_seconds: float = SHRINK_SECONDS


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    stacks: str
    seed: int | None = None
    stage: str = ""
    deadline: float = 0.0
    judged: int = 0


def judge_all(
    seeds: Iterable[int], workers: int, settings: Settings, shrinks: int = 10
) -> Iterator[Verdict]:
    """The verdicts of the seeds, as they come. The first `shrinks` differences are shrunk."""
    queue = iter(seeds)
    running: list[_Worker] = []
    with tempfile.TemporaryDirectory(prefix="alto-fuzz-") as folder:
        try:
            for number in range(workers):
                running.append(_start(settings, os.path.join(folder, f"stacks-{number}")))
            while True:
                for worker in running:
                    if worker.seed is None and (seed := next(queue, None)) is not None:
                        worker.seed, worker.stage = seed, "start"
                        worker.deadline = time.monotonic() + settings.case_seconds
                        worker.connection.send((seed, shrinks > 0))
                busy = [worker for worker in running if worker.seed is not None]
                if not busy:
                    return
                next_deadline = min(worker.deadline for worker in busy) - time.monotonic()
                wait(
                    [worker.connection for worker in busy],
                    timeout=min(max(next_deadline, 0.0), MOST_WAIT),
                )
                for worker in busy:
                    verdict = _receive(worker, settings)
                    if verdict is None:
                        continue
                    shrinks -= verdict.shrunk is not None
                    worker.seed = None
                    worker.judged += 1
                    if not worker.process.is_alive() or worker.judged >= CASES_PER_PROCESS:
                        _stop(worker)
                        running[running.index(worker)] = _start(settings, worker.stacks)
                    yield verdict
        finally:
            for worker in running:
                _stop(worker)


def _start(settings: Settings, stacks: str) -> _Worker:
    # "spawn": a forked child would inherit the locks of whatever threads the parent has.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, settings, stacks), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours, stacks)


def _stop(worker: _Worker) -> None:
    worker.connection.close()
    worker.process.kill()
    worker.process.join()


def _receive(worker: _Worker, settings: Settings) -> Verdict | None:
    """What a worker has to say: a verdict, or None while it is still at it."""
    assert worker.seed is not None
    with contextlib.suppress(EOFError, OSError):
        while worker.connection.poll():
            message = worker.connection.recv()
            if isinstance(message, Verdict):
                return message
            worker.stage = message
            extra = settings.shrink_seconds if message == "shrink" else 0.0
            worker.deadline = time.monotonic() + settings.case_seconds + extra
    if not worker.process.is_alive():
        return _lost(worker, f"the process ended with {worker.process.exitcode}")
    if time.monotonic() > worker.deadline:
        worker.process.kill()
        worker.process.join()
        return _lost(worker, f"no end within {settings.case_seconds:.0f} s")
    return None


def _lost(worker: _Worker, why: str) -> Verdict:
    assert worker.seed is not None
    verdict = Verdict(worker.seed, generate(worker.seed).to_json())
    stacks = ""
    with contextlib.suppress(OSError), open(worker.stacks, encoding="utf-8") as file:
        stacks = file.read()[-6000:]
    verdict.trouble = f"{worker.stage}: {why}\n{stacks}".strip()
    return verdict


def _work(connection: Connection, settings: Settings, stacks: str) -> None:
    """A worker: seeds in, verdicts out, until it is stopped."""
    # Errors are what cases are about; they are in the outcome, not on the terminal.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    logging.getLogger("langchain_core").setLevel(logging.CRITICAL)
    # Not buffered text: faulthandler writes to the file itself.
    with open(stacks, "w", encoding="utf-8") as file, open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        with contextlib.suppress(EOFError, OSError):
            while True:
                seed, may_shrink = connection.recv()
                file.seek(0)
                file.truncate()
                # Shortly before the watchdog of the parent ends the process.
                faulthandler.dump_traceback_later(max(settings.case_seconds * 0.9, 1.0), file=file)
                connection.send(_judge(connection, settings, generate(seed), may_shrink))
                faulthandler.cancel_dump_traceback_later()


def _judge(
    connection: Connection, settings: Settings, plan: GraphPlan, may_shrink: bool
) -> Verdict:
    stage = ["start"]

    def enter(name: str) -> None:
        stage[0] = name
        connection.send(name)

    try:
        verdict = judge(plan, settings.executor, enter)
    except Exception as error:
        failed = Verdict(plan.seed, plan.to_json())
        what = f"{type(error).__name__}: {error}"
        failed.trouble = f"{stage[0]}: {what}\n{traceback.format_exc()[-3000:]}"
        return failed
    if verdict.unexplained and may_shrink:
        enter("shrink")
        aspects = set(verdict.aspects)
        smallest = shrink(
            plan,
            lambda smaller: differs(smaller, settings.executor, aspects),
            settings.shrink_seconds,
        )
        verdict.shrunk = smallest.to_json()
    return verdict
