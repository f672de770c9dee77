"""The public fakes, on a virtual clock: no test here waits."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import Any, Literal

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from langgraph_alto.testing import (
    CallLog,
    EngineModel,
    FakeChatModel,
    FakeEngine,
    FakeRetriever,
    LogNormal,
    Prompt,
    RealClock,
    Reply,
    VirtualClock,
    azure,
    cut,
    rng,
)

MODEL = EngineModel()
FREE = EngineModel(per_context_token=0.0, per_prefill_token=0.0)


def model_on(clock: VirtualClock, engine: EngineModel = MODEL, **kwargs: Any) -> FakeChatModel:
    return FakeChatModel(engine=FakeEngine(engine, clock), **kwargs)


def saying(tokens: int) -> dict[str, Any]:
    """A script for a reply of so many tokens, whatever the prompt."""
    return {"script": lambda prompt: Reply.of("x" * 4 * tokens, tokens)}


# Time


def test_virtual_time_passes_only_when_nothing_else_can_happen() -> None:
    clock = VirtualClock()
    order: list[str] = []

    async def main() -> None:
        async def late() -> None:
            await asyncio.sleep(10)
            order.append("late")

        async def early() -> None:
            await asyncio.sleep(1)
            await asyncio.to_thread(time.sleep, 0.01)  # real work: time stands still meanwhile
            order.append("early")
            assert clock.now() == 1

        await asyncio.gather(late(), early())

    clock.run(main())
    assert order == ["early", "late"]
    assert clock.now() == 10


def test_virtual_timeouts_work() -> None:
    async def main() -> None:
        async with asyncio.timeout(5):
            await asyncio.sleep(60)

    clock = VirtualClock()
    with pytest.raises(TimeoutError):
        clock.run(main())
    assert clock.now() == 5


def test_a_real_clock_is_sped_up_and_does_not_accumulate_drift() -> None:
    clock = RealClock(speed=1000)
    started = clock.now()
    for i in range(1, 41):
        clock.sleep_until(started + i)  # 1 ms each; each wait ends somewhat late
    assert 40 <= clock.now() - started < 120


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_clock_must_go_forward(speed: float) -> None:
    with pytest.raises(ValueError, match="must be a number above 0"):
        RealClock(speed)


# The engine's figures


def test_a_call_alone_takes_prefill_and_a_step_per_token() -> None:
    clock = VirtualClock()
    model = model_on(clock, **saying(100))
    model.invoke("p" * 4000)  # 1000 tokens
    context = sum(1000 + (i // 8) * 8 for i in range(100)) * MODEL.per_context_token
    assert clock.now() == pytest.approx(1000 * 45e-6 + 100 * 7.56e-3 + context, abs=1e-9)


def test_streaming_takes_as_long_as_not_streaming() -> None:
    times = []
    for stream in (False, True):
        clock = VirtualClock()
        model = model_on(clock, FREE, **saying(50))
        if stream:
            assert len([c for c in model.stream("hello") if c.content]) == 50
        else:
            model.invoke("hello")
        times.append(clock.now())
    assert times[0] == pytest.approx(times[1])


def test_calls_slow_each_other_down() -> None:
    clock = VirtualClock()
    model = model_on(clock, FREE, **saying(80))
    clock.run(model.abatch([f"prompt {i}" for i in range(10)]))  # type: ignore[arg-type]
    assert clock.now() == pytest.approx(80 * (7.5e-3 + 10 * 0.06e-3), rel=0.02)


def test_a_prefill_holds_up_the_calls_that_run() -> None:
    async def main() -> float:
        long = asyncio.create_task(model.ainvoke("short"))
        await asyncio.sleep(0.1)
        await model.ainvoke("p" * 40_000)  # 10,000 tokens: 0.45 s
        await long
        return clock.now()

    engine = EngineModel(per_sequence=0, per_context_token=0)
    clock = VirtualClock()
    model = model_on(clock, engine, **saying(100))
    # The second call ends last: it begins at 0.1, prefills 0.45 s and writes 0.75 s.
    assert clock.run(main()) == pytest.approx(1.3, abs=0.01)
    first = model.log.calls[0]
    assert first.ended == pytest.approx(0.75 + 0.45, abs=0.01)


def test_a_shared_prefix_is_computed_once() -> None:
    clock = VirtualClock()
    model = model_on(clock, **saying(1))
    took = []
    for question in ("one", "two"):
        began = clock.now()
        model.invoke([SystemMessage("s" * 8000), HumanMessage(question)])
        took.append(clock.now() - began)
    assert took[0] - took[1] == pytest.approx(2000 * 45e-6, abs=1e-4)


def test_the_prefix_cache_forgets_what_was_used_longest_ago() -> None:
    clock = VirtualClock()
    model = model_on(clock, EngineModel(cache_tokens=2500), **saying(1))
    took = []
    for letter in ("a", "b", "a", "c", "a", "b"):  # 1000 tokens each: two fit
        began = clock.now()
        model.invoke(letter * 4000)
        took.append(round(clock.now() - began, 2))
    assert took == [0.05, 0.05, 0.01, 0.05, 0.01, 0.05]


def test_a_call_that_is_cancelled_leaves_the_engine() -> None:
    async def main() -> None:
        task = asyncio.create_task(model.ainvoke("hello"))
        await asyncio.sleep(0.1)
        assert model.engine.running == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    clock = VirtualClock()
    model = model_on(clock, **saying(1000))
    clock.run(main())
    assert model.engine.running == 0
    (call,) = model.log.calls
    assert call.ended == pytest.approx(0.1)
    assert not call.completed


def test_a_stream_that_is_left_early_leaves_the_engine() -> None:
    model = model_on(VirtualClock(), **saying(1000))
    stream = model.stream("hello")
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert model.engine.running == 0


# What it says


@pytest.mark.slow  # a process of its own
def test_what_it_invents_depends_on_the_prompt_alone_in_every_process() -> None:
    code = (
        "from langgraph_alto.testing import *; m = FakeChatModel(engine=FakeEngine("
        "clock=VirtualClock())); print(m.invoke('Tell me about bees').text)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    model = model_on(VirtualClock())
    assert run.stdout.strip() == model.invoke("Tell me about bees").text
    assert model.invoke("Tell me about wasps").text != model.invoke("Tell me about bees").text


def test_scripts() -> None:
    def script(prompt: Prompt) -> Reply | str | None:
        return {"text": "plain", "tokens": Reply.of("seven letters", 7)}.get(prompt.last)

    model = model_on(VirtualClock(), script=script)
    assert model.invoke("text").text == "plain"
    reply = model.invoke("tokens")
    assert reply.text == "seven letters"
    assert reply.usage_metadata == {"input_tokens": 2, "output_tokens": 7, "total_tokens": 9}
    assert len(model.invoke("something else").text) > 10
    mapped = model_on(VirtualClock(), script={"bees": "honey", "cows": "milk"})
    assert mapped.invoke("What do cows give?").text == "milk"
    assert mapped.invoke("What do cows give?", stop=["l"]).text == "mi"


def test_streamed_chunks_add_up_to_the_message() -> None:
    async def stream() -> Any:
        whole = None
        async for chunk in model.astream("hello"):
            whole = chunk if whole is None else whole + chunk
        return whole

    clock = VirtualClock()
    model = model_on(clock)
    whole = clock.run(stream())
    message = model.invoke("hello")
    assert whole.content == message.content
    assert whole.usage_metadata == message.usage_metadata


def test_callbacks_see_each_token_once() -> None:
    class Tokens(BaseCallbackHandler):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def on_llm_new_token(self, token: str, **_: Any) -> None:
            self.seen.append(token)

    handler = Tokens()
    model = model_on(VirtualClock(), **saying(12))
    for _ in model.stream("hello", config={"callbacks": [handler]}):
        pass
    assert [token for token in handler.seen if token] == ["xxxx"] * 12


class Person(BaseModel):
    """Someone."""

    name: str
    age: int = Field(ge=0, le=120)
    role: Literal["author", "reader"]
    tags: list[str] = Field(min_length=2, max_length=4)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_is_valid_for_its_schema(method: Any) -> None:
    model = model_on(VirtualClock())
    person = model.with_structured_output(Person, method=method).invoke("Who wrote it?")
    assert isinstance(person, Person)
    both = model.with_structured_output(Person, method=method, include_raw=True)
    assert both.invoke("Who wrote it?")["parsed"] == person


def test_structured_output_streams_growing_json() -> None:
    model = model_on(VirtualClock(), script={"": json.dumps({"names": ["Ada", "Grace"]})})
    schema = {
        "title": "Names",
        "description": "Some names.",
        "type": "object",
        "properties": {"names": {"type": "array", "items": {"type": "string"}}},
    }
    parts = list(model.with_structured_output(schema).stream("names"))
    assert parts[-1] == {"names": ["Ada", "Grace"]}
    assert len(parts) > 2


def test_include_raw_reports_what_could_not_be_parsed() -> None:
    model = model_on(VirtualClock(), script={"": "no JSON"})
    result = model.with_structured_output(Person, include_raw=True).invoke("Who?")
    assert result["parsed"] is None
    assert result["parsing_error"] is not None


@tool
def search(query: str, limit: int = 3) -> str:
    """Search the web."""
    return query * limit


def test_tools_are_called_by_script_or_by_force() -> None:
    free = model_on(VirtualClock()).bind_tools([search]).invoke("hello")
    assert free.tool_calls == []
    forced = model_on(VirtualClock()).bind_tools([search], tool_choice="any").invoke("hello")
    assert [call["name"] for call in forced.tool_calls] == ["search"]
    assert search.invoke(forced.tool_calls[0]["args"])

    def script(prompt: Prompt) -> Reply:
        return Reply.calling(("search", {"query": "bees"}), ("search", {"query": "wasps"}))

    model = model_on(VirtualClock(), script=script).bind_tools([search])
    message = model.invoke("hello")
    assert [call["args"]["query"] for call in message.tool_calls] == ["bees", "wasps"]
    assert len({call["id"] for call in message.tool_calls}) == 2
    whole: Any = None
    for chunk in model.stream("hello"):
        whole = chunk if whole is None else whole + chunk
    assert whole.tool_calls == message.tool_calls


def test_cut_gives_exactly_so_many_pieces() -> None:
    for text, tokens in (("", 3), ("ab", 5), ("a longer text", 4)):
        assert len(cut(text, tokens)) == tokens
        assert "".join(cut(text, tokens)) == text


# The log


def test_the_log_knows_who_called_and_how_it_ended() -> None:
    def fail(prompt: Prompt) -> Reply:
        raise LookupError

    log = CallLog()
    model_on(VirtualClock(), log=log).invoke("hello", config={"metadata": {"claim": 3}})
    with pytest.raises(LookupError):
        model_on(VirtualClock(), log=log, script=fail).invoke("hello")
    retriever = FakeRetriever(clock=VirtualClock(), log=log)
    retriever.invoke("hello")
    # What a script can't answer never reached the engine.
    assert [(call.kind, call.completed) for call in log.calls] == [
        ("model", True),
        ("retrieval", True),
    ]
    assert log.calls[0].metadata["claim"] == 3
    log.clear()
    assert log.calls == []


# Retrieval and lengths


def test_a_retrieval_takes_the_time_of_its_query() -> None:
    documents = [Document("Bees make honey"), Document("Cows give milk"), Document("Bees dance")]
    took = []
    for _ in range(2):
        clock = VirtualClock()
        retriever = FakeRetriever(documents=documents, clock=clock)
        found = clock.run(retriever.ainvoke("What do bees do?"))
        assert [d.page_content for d in found] == ["Bees make honey", "Bees dance"]
        took.append(clock.now())
    assert took[0] == took[1]
    assert 0.1 <= took[0] <= 6


def test_a_result_that_is_changed_does_not_change_the_next() -> None:
    retriever = FakeRetriever(documents=[Document("Bees dance")], clock=VirtualClock())
    retriever.invoke("bees")[0].metadata["seen"] = True
    assert retriever.invoke("bees")[0].metadata == {}


def test_azure_lengths_are_those_of_the_trace() -> None:
    draws = sorted(azure().draw(rng("azure", i)) for i in range(4000))
    assert sum(draws) / len(draws) == pytest.approx(211, rel=0.04)
    assert draws[2000] == pytest.approx(129, rel=0.1)
    assert draws[3600] == pytest.approx(423, rel=0.05)
    assert min(azure(60, 100).tokens(rng(i)) for i in range(200)) == 60
    assert max(azure(60, 100).tokens(rng(i)) for i in range(200)) == 100


def test_lognormal_lengths_have_their_mean_and_times_their_median() -> None:
    tokens = [LogNormal.with_mean(100, 0.4).draw(rng("mean", i)) for i in range(4000)]
    assert sum(tokens) / len(tokens) == pytest.approx(100, rel=0.03)
    times = sorted(LogNormal.with_median(0.25, 0.8).draw(rng("median", i)) for i in range(4000))
    assert times[2000] == pytest.approx(0.25, rel=0.05)
    assert all(LogNormal.with_mean(100, 2, 40, 300).draw(rng(i)) >= 40 for i in range(100))
