"""The order of the runs: shuffled pairs in interleaved rounds, warm-up apart."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from langgraph_alto._langgraph.provenance import Provenance
from langgraph_alto.compare.equality import Found, first_difference, missing_expected
from langgraph_alto.compare.execution import Done, Job, Runner
from langgraph_alto.compare.inputs import Case
from langgraph_alto.compare.models import Tally, Watch
from langgraph_alto.compare.recording import Recording
from langgraph_alto.compare.sides import AGAIN, ALTO, LANGGRAPH, Progress, Side

BLOCKS = 3
"""At a concurrency above 1 the runs of a side come in so many blocks, which are interleaved."""


@dataclass
class Group:
    """All runs of one input in one round: one of each side. `order`: as they ran."""

    case: Case
    round: int
    runs: dict[str, Done] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def pair(self, first: str = LANGGRAPH, second: str = ALTO) -> tuple[Done, Done] | None:
        """Two of its runs, if both are over."""
        if first in self.runs and second in self.runs:
            return self.runs[first], self.runs[second]
        return None

    def latencies(self, second: str = ALTO) -> tuple[float, float] | None:
        """The latencies of LangGraph's run and another one, if both mean something."""
        found = self.pair(LANGGRAPH, second)
        if found is None or not all(run.is_measured for run in found):
            return None
        return found[0].latency, found[1].latency

    def difference(self, ignored: Sequence[str], second: str = ALTO) -> Found | None:
        """The first difference of two results; None if they are equal, or one is missing."""
        found = self.pair(LANGGRAPH, second)
        if found is None:
            return None
        one, other = found
        differs = first_difference(one.result, other.result, ignored)
        if differs is None and self.case.expect is not None and other.outcome == "finished":
            return missing_expected(self.case.expect, other.result)
        return differs


@dataclass
class Measured:
    """What was measured at one concurrency. `seconds` are those of all runs of a side."""

    concurrency: int
    groups: list[Group] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def pairs(self, second: str = ALTO) -> list[list[tuple[float, float]]]:
        """For each input its pairs of latencies."""
        by_line: dict[int, list[tuple[float, float]]] = {}
        for group in self.groups:
            found = group.latencies(second)
            if found is not None:
                by_line.setdefault(group.case.line, []).append(found)
        return list(by_line.values())

    def runs_of(self, side: str) -> list[Done]:
        """The runs of a side."""
        return [group.runs[side] for group in self.groups if side in group.runs]


class Measuring:
    """Makes all runs; what is done by the time it is stopped is in `levels`.

    Args:
        runner: Makes them.
        watch: Wraps models, and their classes that are defined while it goes on.
        cases: The inputs.
        provenance: Reads what was seen of a run.
        recording: Where models' answers come from, if not from the models.
        progress: Is told of each run.
        seed: For the order.
    """

    def __init__(
        self,
        runner: Runner,
        watch: Watch,
        cases: Sequence[Case],
        *,
        provenance: Provenance,
        recording: Recording | None,
        progress: Progress,
        seed: int,
    ) -> None:
        self.runner = runner
        self.watch = watch
        self.cases = cases
        self.recording = recording
        self.levels: list[Measured] = []
        self._provenance = provenance
        self._warm = cases[0]
        self._progress = progress
        self._rng = random.Random(seed)
        self._done = 0
        self.total = 0

    def first_that_runs(self, side: Side) -> Done:
        """The first run that does not fail, of all inputs in their order; else the first one."""
        found: list[Done] = []
        for case in self.cases:
            self._quietly(side, case, found)
            if found[-1].is_measured:
                self._warm = case
                return found[-1]
        return found[0]

    def warm_up(self, sides: Iterable[Side], times: int) -> None:
        """Imports, caches and connections: their time belongs to no side."""
        for side in sides:
            for _ in range(times):
                job = self._job(side, self._warm, 0)
                self._run([job], 1, lambda job, done: None)
                self.watch.look_for_models()

    def _quietly(self, side: Side, case: Case, found: list[Done]) -> None:
        """A run that is not counted."""
        self.runner.run([self._job(side, case, 0)], 1, lambda job, done: found.append(done))
        self.watch.look_for_models()

    def record(self, side: Side, recording: Recording) -> list[Done]:
        """Run each input once and keep the answers of the models."""
        found: list[Done] = []
        for case in self.cases:
            job = Job(side, case, 0, lambda: Tally(recording, records=True))
            self._run([job], 1, lambda _, done: found.append(done))
            self.watch.look_for_models()
        return found

    def measure(self, concurrency: int, sides: Sequence[Side], rounds: int) -> Measured:
        """All runs at one concurrency."""
        level = Measured(concurrency)
        self.levels.append(level)
        if concurrency == 1:
            self._one_by_one(level, sides, rounds)
        else:
            self._in_blocks(level, sides, rounds)
        return level

    def _one_by_one(self, level: Measured, sides: Sequence[Side], rounds: int) -> None:
        for number in range(1, rounds + 1):
            for case in self._rng.sample(self.cases, len(self.cases)):
                group = Group(case, number)
                level.groups.append(group)
                for side in self._rng.sample(sides, len(sides)):
                    job = self._job(side, case, number)
                    self._run([job], 1, self._noting({(case.line, number): group}))
                    done = group.runs[side.name]
                    done.read(self._provenance)
                    self._took(level, side, done.latency)

    def _in_blocks(self, level: Measured, sides: Sequence[Side], rounds: int) -> None:
        # Enough runs for all places to be taken most of the time.
        least = 4 * level.concurrency
        rounds = max(rounds, -(-least // len(self.cases)))
        groups = [Group(case, n) for n in range(1, rounds + 1) for case in self.cases]
        self._rng.shuffle(groups)
        size = -(-len(groups) // BLOCKS)
        for start in range(0, len(groups), size):
            block = groups[start : start + size]
            level.groups += block
            by_place = {(group.case.line, group.round): group for group in block}
            for side in self._rng.sample(sides, len(sides)):
                jobs = [self._job(side, group.case, group.round) for group in block]
                seconds = self._run(jobs, level.concurrency, self._noting(by_place))
                self._took(level, side, seconds)
                for group in block:
                    group.runs[side.name].read(self._provenance)

    def measured(self) -> list[Measured]:
        """What is done: at least one level, which may be empty."""
        for done in (d for level in self.levels for g in level.groups for d in g.runs.values()):
            done.read(self._provenance)  # those of a block that was stopped are not read yet
        return [level for level in self.levels if level.groups] or [Measured(1)]

    def runs_at(self, concurrency: int, sides: int, rounds: int) -> int:
        """How many runs `measure` will make."""
        if concurrency > 1:
            rounds = max(rounds, -(-4 * concurrency // len(self.cases)))
        return rounds * len(self.cases) * sides

    def _job(self, side: Side, case: Case, number: int) -> Job:
        return Job(side, case, number, lambda: Tally(self.recording))

    def _noting(self, groups: dict[tuple[int, int], Group]) -> Callable[[Job, Done], None]:
        def note(job: Job, done: Done) -> None:
            group = groups[job.case.line, job.round]
            group.runs[job.side.name] = done
            group.order.append(job.side.name)

        return note

    def _took(self, level: Measured, side: Side, seconds: float) -> None:
        level.seconds[side.name] = level.seconds.get(side.name, 0.0) + seconds

    def _run(
        self, jobs: Sequence[Job], concurrency: int, note: Callable[[Job, Done], None]
    ) -> float:
        def noted(job: Job, done: Done) -> None:
            note(job, done)
            self._done += 1
            self._progress(_SPOKEN.get(done.side, done.side), self._done, self.total)

        return self.runner.run(jobs, concurrency, noted)


_SPOKEN = {LANGGRAPH: "LangGraph", AGAIN: "LangGraph", ALTO: "ALTO"}
