"""Spans exist for all that `record()` counts, on random graphs; and tracing changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from compat.fuzz.compare import compare_executors
from compat.fuzz.generate import generate
from compat.fuzz.run import execute
from langgraph_alto import RunReport, record

FEW, MANY = range(12), range(12, 200)

Counts = Counter[tuple[str, int, str]]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """A global provider for one test, and what it exports."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield exporter
    provider.shutdown()


def counted(runs: list[RunReport]) -> Counts:
    """The executions that `record()` knows, by node, step and what became of them."""
    return Counter((s.node, s.step, s.outcome) for run in runs for s in run.timeline)


def in_spans(spans: tuple[ReadableSpan, ...]) -> Counts:
    """The same from the spans of first attempts. `record()` counts no `@task` calls."""
    found: Counts = Counter()
    for span in spans:
        about = span.attributes or {}
        if about.get("alto.attempt") == 1 and "alto.task.kind" not in about:
            outcome = str(about.get("alto.run_ahead.outcome", "real"))
            step = about["alto.step"]
            assert isinstance(step, int)
            found[str(about["alto.node"]), step, outcome] += 1
    return found


def totals(spans: tuple[ReadableSpan, ...]) -> dict[str, int]:
    """What the roots say of run-ahead, together."""
    names = ("started", "adopted", "discarded", "rerun")
    found = [s.attributes or {} for s in spans]
    return {n: sum(int(str(a.get(f"alto.run_ahead.{n}", 0))) for a in found) for n in names}


def check(seeds: range, kept: InMemorySpanExporter) -> Counter[str]:
    seen: Counter[str] = Counter()
    for seed in seeds:
        plan = generate(seed)
        kept.clear()
        with record() as runs:
            execute(plan, "alto")
        spans = kept.get_finished_spans()
        assert in_spans(spans) == counted(runs), seed
        reported = {n: sum(getattr(r, n) for r in runs) for n in totals(spans)}
        assert totals(spans) == reported, seed
        ids = {s.context.span_id for s in spans if s.context is not None}
        assert all(s.parent.span_id in ids for s in spans if s.parent is not None), seed
        assert sum(s.parent is None for s in spans) == len(runs), seed
        seen.update(outcome for _, _, outcome in counted(runs).elements())
    return seen


@pytest.mark.slow
def test_spans_equal_the_record_on_a_few_graphs(kept: InMemorySpanExporter) -> None:
    seen = check(FEW, kept)
    assert seen["real"] > 50
    assert seen["adopted"] > 5


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_spans_equal_the_record_on_200_graphs(kept: InMemorySpanExporter) -> None:
    seen = check(MANY, kept)
    assert min(seen["adopted"], seen["discarded"]) > 50


@pytest.mark.slow
def test_a_traced_run_differs_in_nothing_from_an_untraced_one(kept: InMemorySpanExporter) -> None:
    exact = [plan for seed in range(40) if (plan := generate(seed)).has_exact_order()][:12]
    assert len(exact) == 12
    with pytest.MonkeyPatch.context() as undone:
        undone.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
        theirs = [execute(plan, "langgraph") for plan in exact]
        untraced = [execute(plan, "alto") for plan in exact]
    assert not kept.get_finished_spans()
    for plan, langgraph, alto in zip(exact, theirs, untraced, strict=True):
        # Ties of virtual time, which `compat.fuzz` explains, are there without traces too.
        known = {d.aspect for d in compare_executors(plan, langgraph, alto)}
        found = compare_executors(plan, langgraph, execute(plan, "alto"))
        assert {d.aspect for d in found} <= known, found
    assert len(kept.get_finished_spans()) > 100
