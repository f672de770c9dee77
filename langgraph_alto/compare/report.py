"""What a comparison found, as data: the JSON that `langgraph-alto compare --json` writes.

`report.schema.json` beside this module is made from these models; a test keeps the two equal.
Times are in seconds. A ratio is ALTO's figure divided by LangGraph's: below 1, ALTO needed less.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = Path(__file__).with_name("report.schema.json")

VERSION = 1
"""Counts up when a field is removed or changes its meaning; new fields don't count."""

VerdictCode = Literal["faster", "slower", "no_difference", "results_differ", "no_data"]
Outcome = Literal["finished", "interrupted", "failed", "timeout"]
Executor = Literal["langgraph", "alto"]


class Part(BaseModel):
    """What all parts of a report have in common."""

    model_config = ConfigDict(extra="forbid")


class Verdict(Part):
    """The comparison in one sentence."""

    code: VerdictCode = Field(
        description="`faster` and `slower` are only said where the interval of the ratio leaves "
        "1.00 out and the difference is more than `margin`; else it is `no_difference`. "
        "`results_differ` goes before all others; `no_data`: no pair of runs finished."
    )
    sentence: str = Field(description="The same for people.")
    margin: float = Field(
        description="The smallest difference that is named: 0.02, or what LangGraph differed "
        "from itself, if that was more."
    )


class Difference(Part):
    """The first difference between two results."""

    kind: Literal["value", "order", "missing", "extra", "type", "outcome", "error", "expected"] = (
        Field(
            description="`order`: both hold the same elements in another order. `missing`: ALTO "
            "lacks it, `extra`: LangGraph lacks it. `outcome`: one finished and the other did "
            "not. `expected`: both lack what the inputs file expects."
        )
    )
    line: int = Field(description="The line of the inputs file, from 1.")
    round: int = Field(description="In which round of runs, from 1.")
    key: str = Field(description="Where: `verdicts[2].label`; empty for the whole result.")
    langgraph: str = Field(description="LangGraph's value there, as text, shortened.")
    alto: str = Field(description="ALTO's value there (or what was expected), shortened.")
    sentence: str = Field(description="The difference in one sentence.")


class Failure(Part):
    """Runs that raised, or took longer than the limit."""

    line: int
    executor: Executor
    error: str
    count: int


class Results(Part):
    """How the results of the pairs compare. A failed run is compared by its error."""

    compared: int = Field(description="Pairs of results that were compared.")
    equal: int
    order_only: int = Field(description="Pairs that differ only in the order of elements.")
    different: int = Field(description="Pairs that differ otherwise.")
    langgraph_differs: int | None = Field(
        default=None,  # reports of before have none
        description="So many times two runs on LangGraph itself gave different results; None: "
        "not measured. More than 0: the graph's own results vary.",
    )
    ignored: list[str] = Field(description="Keys that the user said may differ.")
    failed: dict[Executor, int] = Field(description="Runs that raised or timed out.")
    timeouts: dict[Executor, int]
    unexpected: int = Field(description="Results that lack what the inputs file expects.")
    failures: list[Failure] = Field(description="The first 20 kinds of failures.")


class Quantiles(Part):
    """A distribution of times in seconds."""

    p50: float
    p95: float
    p99: float
    mean: float
    least: float
    most: float
    count: int


class Ratio(Part):
    """A ratio, ALTO to LangGraph, with the interval that a bootstrap gives."""

    value: float
    low: float
    high: float


class BothTimes(Part):
    """A time on both executors; None where there was none to measure."""

    langgraph: Quantiles | None
    alto: Quantiles | None
    ratio: Ratio | None = Field(description="Of paired runs, as `ratio` at the top is.")


class BothNumbers(Part):
    """A figure on both executors."""

    langgraph: float | None
    alto: float | None
    ratio: float | None


class Latencies(Part):
    """Latency of finished runs."""

    langgraph: Quantiles | None
    alto: Quantiles | None


class QuantileRatios(Part):
    """Quantiles of ALTO's latencies divided by the same of LangGraph's."""

    p50: Ratio
    p95: Ratio
    p99: Ratio


class PairTimes(Part):
    """One pair of runs with the same input: the raw data of the plots.

    `again` is a second run on LangGraph, by which the noise is measured.
    """

    line: int
    round: int
    order: list[str] = Field(description="In which order they ran.")
    langgraph: float | None = Field(description="Latency; None if it did not finish.")
    alto: float | None
    again: float | None
    bound: float | None
    first_chunk: dict[Executor, float | None]
    first_partial: dict[Executor, float | None]
    outcome: dict[Executor, Outcome]
    equal: bool | None


class Noise(Part):
    """LangGraph against itself, in the same rounds and by the same statistics."""

    ratio: Ratio | None
    sentence: str


class Level(Part):
    """Everything measured at one concurrency."""

    concurrency: int
    latency: Latencies
    ratio: float | None
    ratio_interval: Ratio | None
    quantile_ratios: QuantileRatios | None
    verdict: Verdict
    bound: float | None = Field(description="Median of the pairs' bounds.")
    langgraph_to_bound: float | None = Field(description="LangGraph's latency over the bound.")
    alto_to_bound: float | None
    first_chunk: BothTimes
    first_partial: BothTimes
    throughput: BothNumbers = Field(description="Finished runs per second of wall time.")
    noise: Noise
    pairs: list[PairTimes]


class Sustained(Part):
    """The highest rate at which the median latency stays below a limit.

    Taken from the measured concurrencies (closed loop), between two of them linearly. None
    where no measured concurrency keeps the limit. `at_most_concurrency` says that the highest
    one measured still kept it, so that the true rate may be higher.
    """

    target: float = Field(description="The limit as a multiple of LangGraph's unloaded latency.")
    limit: float = Field(description="The limit in seconds.")
    rate: BothNumbers = Field(description="Runs per second.")
    at_most_concurrency: list[Executor]


class Calls(Part):
    """Means per run. Work that was thrown away is included."""

    model_calls: float
    tool_calls: float = Field(description="Calls of tools and of retrievers.")
    input_tokens: float | None = Field(description="None if no model told.")
    output_tokens: float | None


class BothCalls(Part):
    """Calls on both executors; None if nothing finished there."""

    langgraph: Calls | None
    alto: Calls | None


class Wasted(Part):
    """ALTO's work that no result has in it, per run."""

    started_ahead: float = Field(description="Bodies that began before their step.")
    adopted: float
    discarded: float
    rerun: float
    seconds: float = Field(description="What the bodies that came to nothing took together.")
    share: float = Field(description="The same as a part of all time in bodies.")
    model_calls: float = Field(description="How many more model calls than LangGraph made.")
    held: dict[str, float] = Field(description="Why bodies did not begin early, and how often.")


class Spent(Part):
    """Where a run's latency went, along the chain of bodies that ended last. Adds up to it."""

    bodies: float = Field(description="In bodies on that chain.")
    waiting: float = Field(
        description="Between two of them while the later one's step had not begun: on LangGraph "
        "the barrier, on ALTO what could not start early."
    )
    executor: float = Field(description="The rest: the executor's own work.")
    latency: float


class BothSpent(Part):
    """Means over the runs."""

    langgraph: Spent | None
    alto: Spent | None


class EdgeRow(Part):
    """What happens between two nodes; means per run.

    A task's wait is the time from when everything that it depends on was there to its start.
    """

    source: str = Field(description="The node whose output came last.")
    target: str
    kind: str = Field(description="`direct`, `join`, `conditional`, `command`, `send`, `data`, …")
    tasks: float = Field(description="Tasks of `target` that waited last for `source`.")
    waited: BothNumbers = Field(
        description="Waits on the chain that decided the latency: these add up to "
        "`spent.*.waiting` + `spent.*.executor`."
    )
    waited_all: BothNumbers = Field(description="Waits of all tasks, also those in parallel.")
    waited_for: dict[Executor, dict[str, float]] = Field(
        description="The nodes whose end those waits ended with, and seconds; the executor's "
        "own work is not in here."
    )
    gain: float = Field(
        description="What is waited less: `waited.langgraph - waited.alto`. The latency gains "
        "less than that where another branch decides then."
    )
    lost: float = Field(description="What is still waited for on ALTO: `waited.alto`.")
    ahead: float = Field(description="Which part of the tasks began before their step, 0 to 1.")
    when: str = Field(description="The plan: `at once`, `waits`, `with its step`, …")
    reason: str = Field(description="The plan's reason, in a sentence.")
    unlock: list[str] = Field(description="Lines to paste that would let it start earlier.")


class NodeRow(Part):
    """One node; means per run."""

    node: str
    tasks: float
    seconds: BothNumbers = Field(description="Time in its bodies.")
    on_chain: BothNumbers = Field(description="The part of it on the chain that decided.")
    ahead: float
    starts: str = Field(description="The plan: `certain`, `streamed`, `speculative`, `held`.")
    reason: str
    unlock: str | None


class PartialRow(Part):
    """A partial output of a generator node, yielded in a chunk that adds up (`Partial`)."""

    at: float = Field(description="Seconds since the run began.")
    key: str = Field(description="The key of the state that it adds to.")
    index: int | None = Field(
        description="Its place in the list that the node gives for the key; None: no list."
    )


class SpanRow(Part):
    """One execution of a body."""

    id: str = Field(description="Unique in its timeline.")
    node: str
    path: str = Field(description="Ancestry: `request / plan.sections[3] / search.queries[1]`.")
    namespace: list[str] = Field(description="The subgraph nodes around it, outermost first.")
    parent: str | None = Field(description="The span of the subgraph node around it.")
    step: int
    begin: float = Field(description="Seconds since the run began.")
    end: float
    ahead: bool = Field(description="It began before its step.")
    step_began: float | None = Field(description="When LangGraph's loop began its step.")
    ready: float | None = Field(description="When all that it depends on was there.")
    outcome: Literal["real", "adopted", "discarded", "rerun", "failed"]
    depends: list[str] = Field(description="Ids of the spans whose output it needs.")
    on_chain: bool = Field(description="It is on the chain that decided the latency.")
    partials: list[PartialRow] = Field(
        default=[],  # reports of before have none
        description="What it yielded before its end, by time; of more than 100 (fewer "
        "where many spans have some) evenly spread ones, the first and the last among them.",
    )
    partial_count: int = Field(default=0, description="How many it yielded.")


class Timeline(Part):
    """The bodies of one run."""

    executor: Executor
    latency: float
    bound: float | None
    first_chunk: float | None
    spans: list[SpanRow] = Field(description="In the order of their begin.")
    left_out: int = Field(description="Spans beyond the first 2000.")


class TypicalPair(Part):
    """A pair of runs near the median, for two waterfalls on one axis."""

    line: int
    round: int
    concurrency: int
    langgraph: Timeline
    alto: Timeline


class Ablated(Part):
    """One class of run-ahead, measured in the same rounds."""

    run_ahead: str
    latency: Quantiles | None
    ratio: Ratio | None
    equal: bool
    verdict: Verdict


class InputRow(Part):
    """One line of the inputs file."""

    line: int
    preview: str = Field(description="The input as text, shortened.")
    runs: int
    langgraph: float | None = Field(description="Median latency.")
    alto: float | None
    ratio: float | None
    bound: float | None
    equal: bool | None
    outcome: dict[Executor, Outcome]


class Against(Part):
    """This report beside an older one."""

    file: str
    created: str
    version: str
    ratio_then: float | None
    ratio_now: float | None
    change: Ratio | None = Field(description="The ratio now divided by the ratio then.")
    bound_then: float | None
    code: Literal["better", "worse", "no_difference", "not_comparable"]
    sentence: str
    differs: list[str] = Field(description="What else is not the same: versions, settings, …")


class Settings(Part):
    """How it was measured."""

    runs: int = Field(description="Rounds: each input ran so often on each executor.")
    warm_up: int
    concurrency: list[int]
    mode: Literal["async", "sync"]
    options: dict[str, Any] = Field(description="The ALTO side's options.")
    stream_modes: list[str]
    timeout: float | None
    seed: int
    confidence: float
    resamples: int
    models: Literal["live", "recorded"]
    recording: str | None
    noise: bool


class Environment(Part):
    """Where it was measured."""

    python: str
    platform: str
    processors: int | None
    load_before: float | None = Field(description="Load average of a minute, per processor.")
    load_after: float | None
    packages: dict[str, str]


class Reproduce(Part):
    """How to get the same again."""

    command: str | None = Field(description="None if `compare()` was called in Python.")
    code: str = Field(description="The same in Python.")
    inputs_sha256: str


class Report(Part):
    """A comparison of one graph on LangGraph's executor and on ALTO."""

    schema_version: int
    version: str = Field(description="langgraph_alto's version.")
    created: str = Field(description="ISO 8601, UTC.")
    target: str
    graph: str
    complete: bool = Field(description="False if it was stopped: what was done is reported.")
    equal: bool
    first_difference: Difference | None
    verdict: Verdict
    latency: Latencies = Field(description="At the lowest concurrency, as all up to `bound`.")
    ratio: float | None = Field(
        description="ALTO's latency divided by LangGraph's: of each input the median over its "
        "pairs, of these the geometric mean."
    )
    ratio_interval: Ratio | None
    bound: float | None = Field(
        description="Seconds: the longest path through the bodies' own times and what truly "
        "depended on what. No executor that runs whole bodies can be faster on this graph; the "
        "time that an executor itself takes is not in it."
    )
    bound_ratio: float | None = Field(description="The bound divided by LangGraph's median.")
    bound_if_unlocked: float | None = Field(
        description="The bound if nodes read and write no more than is known for certain: what "
        "the `unlock` lines could reach at most."
    )
    noise: Noise
    runs: list[Level] = Field(description="One for each concurrency, lowest first.")
    sustained: list[Sustained]
    sustained_note: str = Field(
        default="",  # reports of before have none
        description="Why `sustained` is empty, and what measures it; empty where it is not.",
    )
    results: Results
    calls: BothCalls
    wasted: Wasted | None
    spent: BothSpent
    edges: list[EdgeRow] = Field(description="Largest effect first.")
    nodes: list[NodeRow]
    typical: TypicalPair | None
    ablation: list[Ablated]
    against: Against | None
    inputs: list[InputRow]
    settings: Settings
    environment: Environment
    reproduce: Reproduce
    notes: list[str] = Field(description="What a reader should know about this measurement.")

    def to_json(self) -> str:
        """The report as JSON text, described by `report.schema.json`."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False)


def schema() -> dict[str, Any]:
    """The JSON schema of `Report`.

    Example:
        >>> schema()["title"]
        'Report'
    """
    made: dict[str, Any] = Report.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def schema_text() -> str:
    """`report.schema.json`."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
