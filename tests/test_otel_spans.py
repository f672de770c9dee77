"""What stands in the spans: links and their mirror, waits, partial output, run-ahead, resumes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import operator
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, TypedDict

import httpx
import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from opentelemetry import baggage, trace
from opentelemetry import context as contexts
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

from langgraph_alto import Options, Partial, accelerate, install, otel, uninstall
from langgraph_alto.otel.runs import RunSpan
from langgraph_alto.otel.tasks import TaskSpan
from tests.helpers import shapes
from tests.helpers.graphs import AHEAD, chain_graph
from tests.helpers.leaks import quick_gc, references
from tests.helpers.shapes import SHAPES, agenerate, awork, fan_out


class Traced:
    """A provider that keeps what it ends."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False, **options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> list[ReadableSpan]:
        found = self.exporter.get_finished_spans()
        return sorted(found, key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (found,) = self.named(name)
        return found

    def parent_of(self, span: ReadableSpan) -> str | None:
        ids = {s.context.span_id: s.name for s in self.spans if s.context is not None}
        return None if span.parent is None else ids.get(span.parent.span_id, "?")

    def run(self, name: str) -> None:
        install(tracer_provider=self.provider)
        shapes.providers.append(self.provider)
        try:
            SHAPES[name]()
        finally:
            shapes.providers.pop()
            uninstall()


def about(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.fixture
def traced() -> Iterator[Traced]:
    made = Traced()
    yield made
    made.provider.shutdown()


# Streams and links


def test_a_consumer_links_to_its_producer_and_says_so_in_attributes(traced: Traced) -> None:
    asyncio.run(accelerate(fan_out(agenerate, awork), tracer_provider=traced.provider).ainvoke({}))
    plan, stream = traced.one("node plan"), traced.one("stream plan->work")
    workers = traced.named("node work")
    assert len(workers) == 3
    for index, worker in enumerate(workers):
        found = about(worker)
        (link,) = worker.links
        assert link.context == plan.context
        assert traced.parent_of(worker) == "stream plan->work"
        assert found["alto.input.from_span_id"] == f"{plan.context.span_id:016x}"
        assert found["alto.input.partial_index"] == index
        assert found["alto.input.producer_open"] is True
        assert found["alto.input.wait_ms"] >= 0
        assert found["alto.input.bytes"] == len("item") + len("s0")
        assert found["alto.ancestry"] == f"request / plan.items[{index}]"
        assert found["alto.run_ahead"] is True
        assert found["alto.run_ahead.outcome"] == "adopted"
    found = about(stream)
    assert found["alto.stream.items"] == 3
    assert found["alto.stream.max_queue"] >= 1
    assert found["alto.stream.overlap_ms"] > 0
    assert found["alto.stream.first_item_ms"] > 0
    assert stream.links[0].context == plan.context
    assert traced.parent_of(stream) == "invoke_workflow fan"


def test_a_producer_tells_its_partial_outputs(traced: Traced) -> None:
    async def many(state: Any) -> AsyncIterator[Partial]:
        for number in range(100):
            yield Partial(items=[f"s{number}"])

    graph = fan_out(many, awork)
    asyncio.run(accelerate(graph, tracer_provider=traced.provider).ainvoke({}))
    plan = traced.one("node plan")
    emitted = [e for e in plan.events if e.name == "alto.partial.emit"]
    indices = [dict(e.attributes or {})["alto.partial.index"] for e in emitted]
    assert indices == [*range(32), *range(68, 100)]
    assert [e.name for e in plan.events][-1] == "alto.partial.end"
    found = about(plan)
    assert found["alto.partial.count"] == 100
    assert found["alto.partial.bytes"] == sum(len(f"s{n}") for n in range(100))
    assert 0 <= found["alto.partial.first_ms"] <= found["alto.partial.last_ms"]


def test_an_aggregator_has_at_most_32_links_and_the_count(traced: Traced) -> None:
    async def many(state: Any) -> AsyncIterator[Partial]:
        yield Partial(items=[f"s{number}" for number in range(40)])

    graph = fan_out(many, awork)
    asyncio.run(accelerate(graph, tracer_provider=traced.provider).ainvoke({}))
    join = traced.one("node join")
    assert len(join.links) == 32
    assert about(join)["alto.input.count"] == 40


def test_ancestry_is_nested(traced: Traced) -> None:
    class Deep(TypedDict, total=False):
        sections: Annotated[list[str], operator.add]
        found: Annotated[list[str], operator.add]

    class Section(TypedDict, total=False):
        name: str
        queries: list[str]
        found: Annotated[list[str], operator.add]

    inner = StateGraph(Section)
    inner.add_node("search", lambda state: {"queries": ["q0", "q1"]})
    inner.add_node("read", lambda arg: {"found": [arg["query"]]})
    inner.add_edge(START, "search")
    inner.add_conditional_edges(
        "search", lambda state: [Send("read", {"query": q}) for q in state["queries"]], ["read"]
    )
    outer = StateGraph(Deep)
    outer.add_node("plan", lambda state: {"sections": ["a", "b"]})
    outer.add_node("section", inner.compile(name="section"))
    outer.add_edge(START, "plan")
    outer.add_conditional_edges(
        "plan", lambda state: [Send("section", {"name": s}) for s in state["sections"]], ["section"]
    )
    accelerate(outer.compile(name="deep"), tracer_provider=traced.provider).invoke({})
    found = {about(span)["alto.ancestry"] for span in traced.named("node read")}
    assert found == {
        f"request / plan.sections[{i}] / section / search.queries[{j}]"
        for i in range(2)
        for j in range(2)
    }
    nested = traced.named("invoke_workflow section")
    assert len(nested) == 2
    assert {traced.parent_of(span) for span in nested} == {"node section"}


# Run-ahead


def test_a_discarded_body_is_a_span_with_its_reason_and_cost(traced: Traced) -> None:
    traced.run("discarded")
    lost = traced.named("node stage2")
    assert len(lost) == 2
    for span in lost:
        found = about(span)
        assert found["alto.run_ahead.outcome"] == "discarded"
        assert found["alto.run_ahead.reason"] == "a task failed in step 2"
        assert found["alto.run_ahead.cost_ms"] == pytest.approx(
            ((span.end_time or 0) - (span.start_time or 0)) / 1e6, abs=0.01
        )
        assert span.status.is_ok or span.status.is_unset
    root = traced.one("invoke_workflow chains")
    assert about(root)["alto.run_ahead.discarded"] == 2
    assert about(root)["error.type"] == "ValueError"


def test_an_adopted_body_belongs_to_its_real_task(traced: Traced) -> None:
    tasks: set[str] = set()

    async def stage(number: int, item: int) -> int:
        from langgraph.config import get_config

        await asyncio.sleep(0.001 * (item + 1))
        tasks.add(str(get_config()["configurable"]["__pregel_task_id"]))
        return item

    graph = chain_graph(3, stage, asynchronous=True)
    asyncio.run(accelerate(graph, tracer_provider=traced.provider).ainvoke({}))
    ahead = [s for s in traced.spans if about(s).get("alto.run_ahead.outcome") == "adopted"]
    assert ahead
    stages = [about(s) for s in traced.spans if "stage" in s.name]
    # A body that asked for its id too early is stopped, and run again by its real task.
    lost = [found for found in stages if found.get("alto.run_ahead.outcome") == "rerun"]
    assert {found.get("alto.task.id") for found in stages if found not in lost} == tasks
    assert len(stages) == len(tasks) + len(lost) == 9 + len(lost)


def test_what_waits_for_a_router_is_not_the_bodys_time(traced: Traced) -> None:
    """A body that is over and whose router waits for its step ends when the body did."""

    class Wide(TypedDict, total=False):
        slow: str
        fast: str
        seen: Annotated[list[str], operator.add]

    async def slow(state: Wide) -> Wide:
        await asyncio.sleep(0.05)
        return {"slow": "done"}

    builder = StateGraph(Wide)
    builder.add_node("fast", lambda state: {"fast": "done"})
    builder.add_node("slow", slow)
    builder.add_node("after", lambda state: {"seen": ["after"]}, metadata=AHEAD)
    builder.add_edge(START, "fast")
    builder.add_edge(START, "slow")
    builder.add_edge("fast", "after")
    builder.add_conditional_edges("after", lambda state: END if state["slow"] else [], [END])
    graph = builder.compile(name="gated")
    asyncio.run(accelerate(graph, tracer_provider=traced.provider).ainvoke({}))
    after = traced.one("node after")
    assert about(after)["alto.run_ahead.outcome"] == "adopted"
    assert about(after)["alto.router_wait_ms"] > 10
    assert (after.end_time or 0) < (traced.one("node slow").end_time or 0)


def test_attempts_are_spans_and_failed_ones_say_only_their_type(traced: Traced) -> None:
    traced.run("retries")
    flaky = traced.named("node flaky")
    assert [about(s)["alto.attempt"] for s in flaky] == [1, 2, 3]
    assert [about(s).get("error.type") for s in flaky] == ["ConnectionError"] * 2 + [None]
    assert [s.status.is_ok or s.status.is_unset for s in flaky] == [False, False, True]
    assert not any(s.events for s in flaky)


def test_a_resumed_run_links_to_the_interrupted_one(traced: Traced) -> None:
    traced.run("interrupts")
    first, second = traced.named("invoke_workflow asks")
    assert about(first)["alto.outcome"] == "interrupted"
    assert about(first)["gen_ai.conversation.id"] == "thread-1"
    assert second.links[0].context == first.context
    assert about(second)["alto.resumed.from_trace_id"] == f"{first.context.trace_id:032x}"
    asked, again = traced.named("node ask")
    assert about(asked)["alto.outcome"] == "interrupted"
    assert again.links[0].context == asked.context
    assert asked.status.is_unset


def test_a_new_run_of_a_thread_links_to_nothing(traced: Traced) -> None:
    traced.run("breakpoints")
    first, second = traced.named("invoke_workflow stops")
    assert second.links[0].context == first.context
    traced.run("breakpoints")  # another checkpointer, the same thread id
    third = traced.named("invoke_workflow stops")[2]
    assert not third.links


def test_a_broken_off_stream_is_cancelled_and_no_error(traced: Traced) -> None:
    for name in ("consumer_breaks_off", "cancelled"):
        traced.exporter.clear()
        traced.run(name)
        root = traced.one("invoke_workflow fan")
        assert about(root)["alto.outcome"] == "cancelled", name
        assert root.status.is_unset
        assert all(about(s)["alto.outcome"] == "cancelled" for s in traced.named("node work"))


# The user's own spans, models and tools


@pytest.mark.parametrize(
    "name", ["streamed_producer", "streamed_producer_in_threads", "streamed_messages"]
)
def test_the_users_spans_are_children_of_their_node(traced: Traced, name: str) -> None:
    traced.run(name)
    mine = traced.named("mine")
    assert len(mine) == 3
    assert {traced.parent_of(span) for span in mine} == {"node work"}
    assert len({span.parent.span_id for span in mine if span.parent}) == 3


def test_spans_in_generators_stay_where_they_are(traced: Traced) -> None:
    """Neither what a generator sets while it runs, nor its node's span, leaks to its consumer."""
    tracer = trace.get_tracer("mine", tracer_provider=traced.provider)
    seen: list[str] = []

    def current() -> str:
        return str(getattr(trace.get_current_span(), "name", "none"))

    async def plan(state: Any) -> AsyncIterator[Partial]:
        for number in range(2):
            with tracer.start_as_current_span(f"item {number}"):
                await asyncio.sleep(0)
            yield Partial(items=[f"s{number}"])

    async def consume() -> None:
        app = accelerate(fan_out(plan, awork), tracer_provider=traced.provider)
        async for _ in app.astream({}, stream_mode=["custom", "messages", "updates"]):
            seen.append(current())

    asyncio.run(consume())
    assert set(seen) == {"INVALID_SPAN"} or set(seen) == {"none"}
    for number in range(2):
        assert traced.parent_of(traced.one(f"item {number}")) == "node plan"


def test_models_and_tools_have_their_real_times(traced: Traced) -> None:
    """Below their node, while it runs ahead: not when its callbacks are handed out."""
    traced.run("models_and_tools")
    workers = traced.named("node work")
    chats = traced.named("chat FakeListChatModel")
    tools = traced.named("execute_tool look_up")
    assert len(chats) == len(tools) == 3
    for span in [*chats, *tools]:
        assert traced.parent_of(span) == "node work"
        (home,) = (w for w in workers if span.parent and w.context.span_id == span.parent.span_id)
        assert (home.start_time or 0) <= (span.start_time or 0)
        assert (span.end_time or 0) <= (home.end_time or 0)
    assert chats[0].kind is trace.SpanKind.CLIENT
    assert about(tools[0])["gen_ai.tool.name"] == "look_up"
    assert about(traced.one("invoke_workflow fan"))["alto.run_ahead.adopted"] == 3


def test_a_streamed_model_tells_its_first_chunk(traced: Traced) -> None:
    traced.run("messages_of_a_model")
    found = about(traced.one("chat FakeListChatModel"))
    assert found["gen_ai.request.stream"] is True
    assert found["gen_ai.response.time_to_first_chunk"] >= 0


# Context in and out


def test_an_existing_span_is_the_parent_and_baggage_arrives(traced: Traced) -> None:
    found: list[Any] = []

    async def work(arg: Any) -> Any:
        found.append(baggage.get_baggage("customer"))
        return await awork(arg)

    tracer = trace.get_tracer("server", tracer_provider=traced.provider)
    app = accelerate(fan_out(agenerate, work), tracer_provider=traced.provider)

    async def serve() -> None:
        token = contexts.attach(baggage.set_baggage("customer", "c7"))
        with tracer.start_as_current_span("POST /ask"):
            await app.ainvoke({})
        contexts.detach(token)

    asyncio.run(serve())
    assert found == ["c7"] * 3
    assert traced.parent_of(traced.one("invoke_workflow fan")) == "POST /ask"
    assert len({s.context.trace_id for s in traced.spans if s.context}) == 1


def test_headers_lead_into_a_trace_and_out_of_a_body(traced: Traced) -> None:
    """A job queue's message, and an HTTP call from a node; the sampled bit is set."""
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    def work(arg: Any) -> Any:
        with httpx.Client(transport=httpx.MockTransport(answer)) as client:
            client.get("http://engine/", headers=otel.carrier())
        return {"notes": [arg["item"]]}

    graph = fan_out(lambda state: {"items": ["a"]}, work)
    parent = f"00-{7:032x}-{9:016x}-01"
    with otel.carried({"traceparent": parent}):
        accelerate(graph, tracer_provider=traced.provider).invoke({})
    worker = traced.one("node work")
    version, trace_id, span_id, flags = sent[0].headers["traceparent"].split("-")
    assert (version, int(trace_id, 16), int(span_id, 16)) == ("00", 7, worker.context.span_id)
    assert int(flags, 16) & 1
    assert otel.carrier() == {}


# Sampling and being off


def test_what_is_not_sampled_makes_no_spans_and_no_other_traces() -> None:
    traced = Traced(sampler=ParentBased(ALWAYS_OFF))
    with otel.carried({"traceparent": f"00-{7:032x}-{9:016x}-00"}):
        for name in ("streamed_producer", "chains_in_threads", "graph_in_a_body"):
            traced.run(name)
    assert traced.spans == []
    found: list[Any] = []

    def work(arg: Any) -> Any:
        found.append(trace.get_current_span().get_span_context())
        return {}

    graph = fan_out(lambda state: {"items": ["a"]}, work, after=lambda state: {})
    unsampled = Traced(sampler=ALWAYS_OFF)
    accelerate(graph, tracer_provider=unsampled.provider).invoke({})
    assert found[0].is_valid
    assert not found[0].trace_flags.sampled


def test_a_sampler_sees_the_attributes() -> None:
    from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

    class Picky(Sampler):
        def should_sample(
            self, parent_context: Any, trace_id: int, name: str, *args: Any, **kwargs: Any
        ) -> SamplingResult:
            attributes = kwargs.get("attributes") or (args[1] if len(args) > 1 else None) or {}
            wanted = attributes.get("alto.node") != "work"
            found = Decision.RECORD_AND_SAMPLE if wanted else Decision.DROP
            return SamplingResult(found, attributes)

        def get_description(self) -> str:
            return "picky"

    traced = Traced(sampler=Picky())
    asyncio.run(accelerate(fan_out(agenerate, awork), tracer_provider=traced.provider).ainvoke({}))
    assert traced.named("node plan")
    assert not traced.named("node work")


def test_tracing_does_not_switch_run_ahead_off(traced: Traced) -> None:
    from langgraph_alto import record

    async def stage(number: int, item: int) -> int:
        await asyncio.sleep(0.002 * (item + 1))
        return item

    graph = chain_graph(3, stage, asynchronous=True)
    with record() as runs:
        asyncio.run(accelerate(graph, tracer_provider=traced.provider).ainvoke({}))
    assert runs[0].accelerated
    assert runs[0].adopted > 0


def test_partials_and_eager_emission_are_traced_too(traced: Traced) -> None:
    for options in (
        Options(partials=True),
        Options(emit="eager"),
        Options(run_ahead="speculative"),
    ):
        traced.exporter.clear()
        app = accelerate(fan_out(agenerate, awork), options, tracer_provider=traced.provider)
        asyncio.run(app.ainvoke({}))
        assert len(traced.named("node work")) == 3, options


def test_a_thread_that_outlives_its_run_is_told_as_abandoned(traced: Traced) -> None:
    import threading

    let_go = threading.Event()

    def stage(number: int, item: int) -> int:
        if number == 2:
            let_go.wait(10)
        elif item == 2:
            time.sleep(0.03)
            raise ValueError("no")
        return item

    graph = chain_graph(2, stage, asynchronous=False)
    with contextlib.suppress(ValueError):
        accelerate(graph, tracer_provider=traced.provider).invoke({})
    lost = traced.named("node stage2")
    let_go.set()
    assert lost
    assert {about(s)["alto.outcome"] for s in lost} == {"abandoned"}
    assert about(traced.one("invoke_workflow chains"))["alto.run_ahead.abandoned"] == len(lost)


def test_a_traced_run_leaves_nothing(traced: Traced) -> None:
    """No run, task or span of it is alive when it is over, however it ended."""
    names = ("streamed_producer", "discarded", "subgraph", "cancelled", "consumer_breaks_off")
    with quick_gc():
        for name in names:
            traced.run(name)
            traced.exporter.clear()
            assert not references(), name
            left = [o for o in gc.get_objects() if type(o) in (RunSpan, TaskSpan)]
            assert not left, name
