"""`compare()`: runs both executors on the same inputs and reports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

from langgraph_alto.compare import statistics as stats
from langgraph_alto.compare.building import Material, build_report, load
from langgraph_alto.compare.execution import Manner, Runner, closing
from langgraph_alto.compare.inputs import Case, cases_of
from langgraph_alto.compare.measuring import Measuring
from langgraph_alto.compare.models import watching
from langgraph_alto.compare.recording import Recording
from langgraph_alto.compare.report import Report, Settings
from langgraph_alto.compare.sides import AGAIN, ALTO, PARTIALS, Graph, Progress, Side, Sides
from langgraph_alto.errors import InputsError, NotAGraphError, OptionError
from langgraph_alto.options import Options, RunAhead
from langgraph_alto.planning import plan
from langgraph_alto.run import is_async

UNNAMED = "LangGraph"
"""What LangGraph calls a graph that was given no name."""

MODES = ("values", "updates", "custom", "messages", "tasks", "checkpoints", "debug")


@dataclass(frozen=True)
class Request:
    """How to compare. Wrong values are told when it is made, before any work starts.

    Attributes:
        runs: Rounds: how often each input runs on each side.
        concurrency: How many runs at once; each is measured by itself, 1 first.
        warm_up: Runs of each side that don't count.
        options: The ALTO side's options.
        ablate: Also measure each class of run-ahead.
        ignore: Keys of the results that may differ: `id`, `messages[*].id`.
        timeout: Seconds for a run; None: no limit.
        mode: "async", "sync", or "auto": asynchronous if the graph has a part that must be.
        record: A file for the models' answers: each input runs once on LangGraph with the real
            models; all runs that are measured get the same answers at the same times.
        replay: A file that `record` wrote.
        noise: Also measure LangGraph against itself.
        stream_modes: What the runs stream.
        seed: For the order of the runs, and the resampling.
    """

    runs: int = 10
    concurrency: Sequence[int] = (1,)
    warm_up: int = 1
    options: Options = field(default_factory=Options)
    ablate: bool = False
    ignore: Sequence[str] = ()
    timeout: float | None = 300.0
    mode: str = "auto"
    record: str | Path | None = None
    replay: str | Path | None = None
    noise: bool = True
    stream_modes: Sequence[str] = ("values", "updates", "custom")
    seed: int = 0

    def __post_init__(self) -> None:
        _need(_is_count(self.runs, 1), f"runs={self.runs!r} must be 1 or more.")
        _need(_is_count(self.warm_up, 0), f"warm_up={self.warm_up!r} must be 0 or more.")
        levels = list(self.concurrency)
        _need(
            bool(levels) and all(_is_count(level, 1) for level in levels),
            f"concurrency={self.concurrency!r} must be whole numbers from 1, such as 1,8.",
        )
        _need(
            self.timeout is None or self.timeout > 0,
            f"timeout={self.timeout!r} must be more than 0 seconds.",
        )
        valid = ("auto", "async", "sync")
        _need(self.mode in valid, f"mode={self.mode!r} is not one. Valid: {', '.join(valid)}.")
        wrong = [mode for mode in self.stream_modes if mode not in MODES]
        _need(not wrong, f"stream mode {wrong[:1]} is not one. Valid: {', '.join(MODES)}.")
        _need(
            self.record is None or self.replay is None,
            "record and replay can't be given together: a new recording is replayed at once.",
        )


def _need(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise OptionError(otherwise)


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


@dataclass(frozen=True)
class About:
    """What a report says of where it comes from."""

    target: str
    command: str | None = None
    code: str = ""


def compare(
    graph: Any,
    inputs: str | Path | Iterable[Any],
    *,
    progress: Progress | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    about: About | None = None,
    **how: Any,
) -> Report:
    """Run a graph on LangGraph's executor and on ALTO, and say what the difference is.

    Args:
        graph: A compiled graph, a `StateGraph`, or a function without arguments, sync or
            async, that returns one.
        inputs: A path to a JSONL file, or a list of inputs; see `compare.inputs`.
        progress: Is told of each run: what ran, how many are done, how many there will be.
        loop_factory: Makes the event loop of asynchronous runs; for tests on a virtual clock.
        about: Where the graph comes from, for the report.
        **how: The fields of `Request`: `runs`, `concurrency`, `options`, `ablate`, `ignore`,
            `timeout`, `record`, `replay`, …

    Returns:
        The report. If it was stopped with Ctrl-C, of what was done by then (`complete` False).

    Raises:
        InputsError: The inputs, or a recording, can't be used.
        OptionError: A field of `Request` has no such value.
        NotAGraphError: (a TypeError) `graph` is no graph.
        RuntimeError: An event loop is running here: use `await asyncio.to_thread(compare, …)`.

    Example:
        >>> from langgraph.graph import START, StateGraph
        >>> builder = StateGraph(dict)
        >>> _ = builder.add_node("hello", lambda state: {"said": "hello"})
        >>> _ = builder.add_edge(START, "hello")
        >>> compare(builder, [{}], runs=2).equal
        True
    """
    try:
        request = Request(**how)
    except TypeError as error:
        raise OptionError(f"compare() {str(error).partition('()')[2].strip()}.") from None
    cases = cases_of(inputs)
    recording = None if request.replay is None else Recording.load(request.replay)
    _refuse_running_loop()
    comparison = Comparison(
        graph, cases, request, recording=recording, loop_factory=loop_factory, about=about
    )
    with comparison:
        comparison.make()
        return comparison.run(progress)


def _refuse_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "compare() runs event loops of its own. Where one is running, use "
        "`await asyncio.to_thread(compare, ...)`."
    )


class Comparison:
    """One comparison from its graph to its report. To be used in a `with` block.

    Args:
        graph: What is compared; see `compare`.
        cases: The inputs.
        request: How.
        recording: The models' answers.
        loop_factory: Makes the event loop.
        about: Where the graph comes from.
        check: Makes a compiled graph of what was made, or says why that can't be.
    """

    def __init__(
        self,
        graph: Any,
        cases: Sequence[Case],
        request: Request,
        *,
        recording: Recording | None = None,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
        about: About | None = None,
        check: Callable[[Any], Graph] | None = None,
    ) -> None:
        self._given = graph
        self._cases = cases
        self._request = request
        self._recording = recording
        self._loop_factory = loop_factory
        self._about = about or About(target=_name_of(graph))
        self._check = check or compiled
        self._notes: list[str] = []
        self._complete = True
        self._stack = ExitStack()
        self._runner: Runner | None = None
        self._graph: Graph | None = None

    def __enter__(self) -> Comparison:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def has_abandoned(self) -> bool:
        """Whether runs that timed out may still be going on in threads."""
        return self._runner is not None and bool(self._runner.abandoned)

    def make(self) -> None:
        """Make the graph and both of its sides. What the graph's function raises passes through.

        Raises:
            NotAGraphError: There is none.
            DeclarationError: The options declare what the graph does not have.
        """
        self._runner, self._graph = self._made()
        self._sides = Sides(self._graph, self._request.options)
        self._notes += self._sides.notes
        self._plan = plan(self._sides.graph, self._request.options)
        self._both = [self._sides.langgraph(), self._sides.alto()]

    def run(self, progress: Progress | None = None) -> Report:
        """Measure, and report what was measured. `make` comes before it.

        Raises:
            InputsError: Every input fails on LangGraph, or there is nothing to record.
        """
        assert self._runner is not None
        assert self._graph is not None
        load_before = load()
        with watching() as watch:
            measuring = Measuring(
                self._runner,
                watch,
                self._cases,
                provenance=self._sides.provenance,
                recording=self._recording,
                progress=progress or (lambda what, done, total: None),
                seed=self._request.seed,
            )
            ablated = self._measure(measuring)
        return build_report(
            Material(
                target=self._about.target,
                graph=self._title(),
                cases=self._cases,
                levels=measuring.measured(),
                plan=self._plan,
                settings=self._settings(self._runner),
                ignored=self._request.ignore,
                complete=self._complete,
                ablated=ablated,
                load_before=load_before,
                command=self._about.command,
                code=self._about.code or self._code(),
                notes=self._notes,
            )
        )

    def _title(self) -> str:
        """The graph's name; where it has only LangGraph's default, what was asked for."""
        assert self._graph is not None
        name = self._graph.name
        if name and name != UNNAMED:
            return str(name)
        target = self._about.target
        return target.replace("\\", "/").rpartition("/")[2] if target != UNNAMED else "graph"

    # The graph -----------------------------------------------------------------------------

    def _made(self) -> tuple[Runner, Graph]:
        """The compiled graph, and what runs it: an async factory's in its event loop."""
        made = self._given
        if callable(made) and not isinstance(made, Pregel | StateGraph):
            made = made()
        request = self._request
        manner = Manner(
            stream_modes=tuple(dict.fromkeys(("values", "updates", *request.stream_modes))),
            timeout=request.timeout,
            collects=self._loop_factory is None,
        )
        is_awaited = isinstance(made, Awaitable) and not isinstance(made, Pregel)
        if is_awaited:
            if request.mode == "sync":
                raise OptionError("mode='sync': the graph is made by an async function.")
            runner = self._new_runner(True, manner)
            made = runner.call(_result(made))
        graph = self._check(made)
        if is_awaited:
            return runner, graph
        asynchronous = is_async(graph) if request.mode == "auto" else request.mode == "async"
        return self._new_runner(asynchronous, manner), graph

    def _new_runner(self, asynchronous: bool, manner: Manner) -> Runner:
        runner = Runner(asynchronous=asynchronous, manner=manner, loop_factory=self._loop_factory)
        return self._stack.enter_context(closing(runner))

    # Measuring -----------------------------------------------------------------------------

    def _measure(self, measuring: Measuring) -> list[tuple[str, str]]:
        """All runs; Ctrl-C ends them and keeps what is done."""
        request, sides = self._request, self._sides
        both = [*self._both, *([sides.langgraph(AGAIN)] if request.noise else [])]
        ablated, more = self._ablated(sides)
        if any(node.stream != "nothing" for node in self._plan.nodes.values()):
            more.append(sides.alto(PARTIALS, partials=True))
        lowest, *higher = sorted(set(request.concurrency))
        measuring.total = (
            request.warm_up * len(both + more)
            + (len(self._cases) if request.record else 0)
            + measuring.runs_at(lowest, len(both + more), request.runs)
            + sum(measuring.runs_at(level, len(both), request.runs) for level in higher)
        )
        try:
            if request.record is not None:
                self._record(measuring, both[0], request.record)
            self._warm_up(measuring, both + more)
            measuring.measure(lowest, both + more, request.runs)
            for level in higher:
                measuring.measure(level, both, request.runs)
        except KeyboardInterrupt:
            self._complete = False
            assert self._runner is not None
            self._runner.abandoned += 1  # a thread of the run that was stopped may go on
            self._notes.append("Stopped before its end: this is what was done by then.")
        return ablated

    def _ablated(self, sides: Sides) -> tuple[list[tuple[str, str]], list[Side]]:
        """Each class of run-ahead with its side; the one that is measured anyway has its own."""
        if not self._request.ablate:
            return [], []
        found: list[tuple[str, str]] = []
        more: list[Side] = []
        for kind in get_args(RunAhead):
            if kind == self._request.options.run_ahead:
                found.append((kind, ALTO))
            else:
                more.append(sides.alto(f"ablate:{kind}", run_ahead=kind))
                found.append((kind, more[-1].name))
        return found, more

    def _record(self, measuring: Measuring, side: Side, path: str | Path) -> None:
        recording = Recording()
        failed = [done for done in measuring.record(side, recording) if not done.is_measured]
        if not len(recording):
            why = f" The first run: {failed[0].error}" if failed else ""
            raise InputsError(f"nothing to record: no chat model was called.{why}")
        recording.save(path)
        measuring.recording = recording

    def _warm_up(self, measuring: Measuring, sides: Sequence[Side]) -> None:
        if not self._request.warm_up:
            return
        first = measuring.first_that_runs(sides[0])
        if not first.is_measured:
            raise InputsError(f"every input fails on LangGraph; the first one: {first.error}")
        measuring.warm_up(sides, self._request.warm_up)

    # The report ----------------------------------------------------------------------------

    def _settings(self, runner: Runner) -> Settings:
        request = self._request
        recording = request.record or request.replay
        return Settings(
            runs=request.runs,
            warm_up=request.warm_up,
            concurrency=sorted(set(request.concurrency)),
            mode="async" if runner.asynchronous else "sync",
            options=dict(vars(request.options)),
            stream_modes=list(runner.manner.stream_modes),
            timeout=request.timeout,
            seed=request.seed,
            confidence=stats.CONFIDENCE,
            resamples=stats.RESAMPLES,
            models="live" if recording is None else "recorded",
            recording=None if recording is None else str(recording),
            noise=request.noise,
        )

    def _code(self) -> str:
        request, default = self._request, Request()
        changed = [
            f"{name}={value!r}"
            for name, value in vars(request).items()
            if value != getattr(default, name)
        ]
        return f"compare({', '.join(['graph', 'inputs', *changed])})"


async def _result(made: Awaitable[Any]) -> Any:
    return await made


def compiled(made: Any) -> Graph:
    """A compiled graph; a builder is compiled."""
    if isinstance(made, StateGraph):
        made = made.compile()
    if not isinstance(made, Pregel):
        kind = type(made).__name__
        raise NotAGraphError(
            f"compare() needs a compiled graph, a StateGraph, or a function that returns one; "
            f"not {kind}."
        )
    return made


def _name_of(graph: Any) -> str:
    name = getattr(graph, "name", None) or getattr(graph, "__name__", None)
    return str(name or type(graph).__name__)
