"""Runs a row on either executor, with coroutines or on threads, with either sibling slow."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import itertools
import logging
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Literal
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from compat.fuzz.canonical import mask, plain
from langgraph_alto import Options, RunReport, accelerate, record
from langgraph_alto._langgraph import foresight
from langgraph_alto._langgraph.narrowed import NarrowedState
from langgraph_alto.testing import VirtualClock
from langgraph_alto.testing.chaos import trust_undeclared
from tests.hidden import waiting
from tests.hidden.kit import Case, Row, Table

Twin = Literal["async", "sync"]
Side = Literal["left", "right"]
Executor = Literal["langgraph", "alto", "declared", "trusted"]

HERE = Path(__file__).parent
MODULES = (
    "shared_names",
    "shared_objects",
    "stores",
    "one_node",
    "mutation",
    "reads",
    "outside",
    "streamed",
    "ways_to_share",
    "ways_to_change",
    "coroutines",
    "may_run",
)
SYNC = "hidden_sync"
"""The package of the synchronous twins."""


# Twins ----------------------------------------------------------------------------------------

_SYNCHRONOUS: tuple[tuple[str, str], ...] = (
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bapause\b", "pause"),
    (r"\bAwaitable\[([^\]]*)\]", r"\1"),
    (r"\.a(put|get|search|invoke)\(", r".\1("),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\b__a(enter|exit)__", r"__\1__"),
    (r"tests\.hidden\.(?=quartet|outside|mutation)", f"{SYNC}."),
)


def synchronous(text: str) -> str:
    """The source of a module of coroutines as plain functions, line by line."""
    for pattern, replacement in _SYNCHRONOUS:
        text = re.sub(pattern, replacement, text)
    return text


def write_twins(directory: Path) -> None:
    """Write the synchronous twins as a package into a directory of `sys.path`."""
    package = directory / SYNC
    package.mkdir()
    for name in ("__init__", "quartet", *MODULES):
        text = (HERE / f"{name}.py").read_text()
        (package / f"{name}.py").write_text(synchronous(text))


def tables() -> Iterator[tuple[str, str, Row]]:
    """Every row: its module, its name and what it says."""
    for module in MODULES:
        table: Table = importlib.import_module(f"tests.hidden.{module}").TABLE
        for name, row in table.items():
            yield module, name, row


@functools.cache
def _compiled(file: str) -> CodeType:
    return compile(Path(file).read_text(), file, "exec", dont_inherit=True)


OF_MODULES = ("shared_names", "ways_to_share")
"""Their rows share what belongs to the module; in the others a row makes all that it shares."""


@contextmanager
def fresh(module: str, twin: Twin) -> Iterator[ModuleType]:
    """A module of rows in which nothing is left of earlier runs."""
    if module not in OF_MODULES:
        yield importlib.import_module(_name(module, twin))
        return
    with _executed_anew(_name(module, twin)) as made:
        yield made


def _name(module: str, twin: Twin) -> str:
    return f"tests.hidden.{module}" if twin == "async" else f"{SYNC}.{module}"


@contextmanager
def _executed_anew(name: str) -> Iterator[ModuleType]:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    before = sys.modules.get(name)
    made = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        exec(_compiled(str(spec.origin)), made.__dict__)
        yield made
    finally:
        # Type hints of its classes are looked up here while it is in use.
        if before is not None:
            sys.modules[name] = before
        else:
            del sys.modules[name]


class _Lacking(NarrowedState):
    def __init__(self, values: Mapping[str, Any], *args: Any, **options: Any) -> None:
        super().__init__(values, (), is_enough=True)


@contextmanager
def states_that_lack_keys() -> Iterator[None]:
    """Narrowed states become plain dicts, which answer without a word for what they lack."""

    original = foresight.NarrowedState
    foresight.NarrowedState = _Lacking  # type: ignore[misc]
    try:
        yield
    finally:
        foresight.NarrowedState = original  # type: ignore[misc]


# Runs -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a run gave, as plain data.

    `final` is the last chunk once more, as it was when the run had ended.
    """

    chunks: Any
    final: Any
    effect: Any
    error: Any
    report: RunReport | None = field(default=None, compare=False)


def run_row(  # noqa: PLR0917
    module: str,
    name: str,
    twin: Twin,
    slow: Side,
    executor: Executor,
    directory: Path,
    *,
    patience: float = 0.02,
) -> Outcome:
    """Run a row once.

    Args:
        module: Where it stands.
        name: The row.
        twin: With coroutines, in virtual time, or on threads.
        slow: The sibling that ends late.
        executor: LangGraph itself; ALTO; ALTO that is told what the row declares; or ALTO that
            trusts every node and asks no state for what it lacks.
        directory: In which there is room for what the row writes.
        patience: How many seconds a slow thread lets others run ahead, if they do.
    """
    with ExitStack() as stack:
        table: Table = stack.enter_context(fresh(module, twin)).TABLE
        case = table[name].build(empty_directory(module, directory))
        options = Options()
        if executor in ("declared", "trusted"):
            options = Options(nodes=table[name].declared)
        if executor == "trusted":
            stack.enter_context(trust_undeclared())
            stack.enter_context(states_that_lack_keys())
        graph = case.graph if executor == "langgraph" else accelerate(case.graph, options=options)
        runs = stack.enter_context(record())
        run = _run_async if twin == "async" else _run_sync
        chunks, last, error = run(graph, case, slow, lambda: _is_ahead_done(runs), patience)
        effect = None if case.effect is None else plain(case.effect())
        case.close()
    return Outcome(chunks, plain(last), effect, mask(plain(error)), runs[0] if runs else None)


_WRITING = ("outside", "streamed", "may_run")
_numbers = itertools.count()


def empty_directory(module: str, directory: Path) -> Path:
    """A new directory for a row, made if rows of its module write files."""
    made = directory / str(next(_numbers))
    if module in _WRITING:
        made.mkdir()
    return made


Ran = tuple[list[Any], Any, BaseException | None]
MODES = ["values", "custom"]


def _run_async(
    graph: Any, case: Case, slow: Side, is_done: Callable[[], bool], patience: float
) -> Ran:
    chunks: list[Any] = []
    last: Any = None
    waiting.SECONDS.update({"left": 0.0, "right": 0.0, slow: 1.0})

    async def consume() -> None:
        nonlocal last
        if case.prepare is not None:
            case.prepare()
        stream = graph.astream(case.input, case.config, context=case.context, stream_mode=MODES)
        async for mode, chunk in stream:
            chunks.append([mode, plain(chunk)])
            last = chunk if mode == "values" else last

    try:
        VirtualClock().run(consume())
    except Exception as error:
        return chunks, last, error
    return chunks, last, None


def _run_sync(
    graph: Any, case: Case, slow: Side, is_done: Callable[[], bool], patience: float
) -> Ran:
    chunks: list[Any] = []
    last: Any = None
    turns = _Turns(slow, is_done, patience)
    config = {**case.config, "callbacks": [turns.ended]}
    with turns.in_force():
        try:
            if case.prepare is not None:
                case.prepare()
            stream = graph.stream(case.input, config, context=case.context, stream_mode=MODES)
            for mode, chunk in stream:
                chunks.append([mode, plain(chunk)])
                last = chunk if mode == "values" else last
        except Exception as error:
            return chunks, last, error
    return chunks, last, None


def _is_ahead_done(runs: list[RunReport]) -> bool:
    """Whether something has run ahead, and nothing does any more."""
    spans = list(runs[0].timeline) if runs else []
    step = min((s.step for s in spans if s.ended is None), default=None)
    beyond = [s for s in spans if step is not None and s.step > step and not s.namespace]
    return bool(beyond) and all(s.ended is not None for s in beyond)


class _Turns(logging.Handler):
    """Keeps the thread of a slow body waiting: first for its sibling, then for who runs ahead."""

    def __init__(self, slow: Side, is_done: Callable[[], bool], patience: float) -> None:
        super().__init__()
        self.ended = _Ended()
        self._slow = slow
        self._fast = "right" if slow == "left" else "left"
        self._is_done = is_done
        self._patience = patience
        self._round = 0

    def handle(self, record: logging.LogRecord) -> bool:
        """Called in the thread of the body that logs. (`emit` would be called under a lock.)"""
        if record.name == waiting.LOGGER.name and record.getMessage().startswith(self._slow):
            self._round += 1
            self.ended.wait(self._fast, self._round)
            # Later on everything that could run early is real already.
            end = time.monotonic() + (self._patience if self._round == 1 else 0.0)
            while time.monotonic() < end and not self._is_done():
                time.sleep(0.001)
        return True

    @contextmanager
    def in_force(self) -> Iterator[None]:
        logger = waiting.LOGGER
        level, propagate = logger.level, logger.propagate
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        try:
            yield
        finally:
            logger.removeHandler(self)
            logger.setLevel(level)
            logger.propagate = propagate


class _Ended(BaseCallbackHandler):
    """Counts the tasks of each sibling, and of those after it, that have ended."""

    run_inline = True

    def __init__(self) -> None:
        self._who: dict[UUID, str] = {}
        self._counts: Counter[str] = Counter()
        self._changed = threading.Condition()

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: UUID, **rest: Any) -> None:
        name = str(rest.get("name"))
        if name == "work" and isinstance(inputs, dict):
            name = str(inputs.get("who"))
        self._who[run_id] = name.removeprefix("after_")

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **rest: Any) -> None:
        with self._changed:
            self._counts[self._who.get(run_id, "")] += 1
            self._changed.notify_all()

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **rest: Any) -> None:
        self.on_chain_end(None, run_id=run_id)

    def wait(self, who: str, count: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._counts[who] >= count, timeout=5.0)
