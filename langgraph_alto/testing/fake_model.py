"""`FakeChatModel`: a chat model that needs no network and takes as long as a real one.

What it says depends on the prompt alone (a script, or the prompt's hash), so two runs of a
graph can be compared; when it says it follows an `EngineModel`, token by token.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, SystemMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCallChunk
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.base import OutputParserLike
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import Field

from langgraph_alto.testing.calls import Call, CallLog
from langgraph_alto.testing.engine import FakeEngine, Running
from langgraph_alto.testing.invent import arguments_for, text_for
from langgraph_alto.testing.lengths import rng

STRIDE = 8
"""Tokens between two looks at the engine where nobody watches the single token."""


def count_tokens(text: str) -> int:
    """About how many tokens a text has: one for four characters, as English has."""
    return max(1, round(len(text) / 4)) if text else 0


def cut(text: str, tokens: int) -> tuple[str, ...]:
    """A text as exactly `tokens` pieces of nearly equal size.

    Some are empty where the text has fewer characters, as tokens that end a sequence or hold
    half a character are.

    Example:
        >>> cut("fact check", 3)
        ('fac', 't ch', 'eck')
    """
    bounds = [round(i * len(text) / tokens) for i in range(tokens + 1)]
    return tuple(text[a:b] for a, b in pairwise(bounds))


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a script sees of a call."""

    messages: tuple[BaseMessage, ...]
    schema: Mapping[str, Any] | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: Any = None

    @property
    def system(self) -> str:
        """The text of the system messages."""
        return "\n".join(str(m.text) for m in self.messages if isinstance(m, SystemMessage))

    @property
    def last(self) -> str:
        """The text of the last message."""
        return str(self.messages[-1].text) if self.messages else ""

    @property
    def text(self) -> str:
        """The whole prompt: message types, texts, and the tool calls of earlier turns."""
        return "\n".join(
            f"{m.type}: {m.text}" + "".join(f" {call}" for call in getattr(m, "tool_calls", ()))
            for m in self.messages
        )

    @property
    def forced_tool(self) -> Mapping[str, Any] | None:
        """The tool that the caller insists on, if any."""
        if not self.tools or self.tool_choice in (None, False, "auto", "none"):
            return None
        choice = self.tool_choice
        if isinstance(choice, Mapping):
            choice = choice.get("function", choice).get("name")
        named = [tool for tool in self.tools if tool["function"]["name"] == choice]
        return named[0] if named else self.tools[0]

    def prefixes(self) -> list[tuple[str, int]]:
        """The prompt up to each message with its tokens: what an engine can have cached."""
        found: list[tuple[str, int]] = []
        text, tokens = json.dumps(list(self.tools), sort_keys=True) if self.tools else "", 0
        tokens = count_tokens(text)
        for message in self.messages:
            own = str(message.text)
            text += f"\n{message.type}: {own}"
            tokens += count_tokens(own)
            found.append((text, tokens))
        return found


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as the tokens it comes in, and the tools it calls after them."""

    tokens: tuple[str, ...] = ()
    tool_calls: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(cls, text: str, tokens: int | None = None) -> Reply:
        """A text, in a natural number of tokens or in just so many."""
        return cls(cut(text, count_tokens(text) if tokens is None else tokens))

    @classmethod
    def calling(cls, *calls: tuple[str, Mapping[str, Any]], text: str = "") -> Reply:
        """Tool calls, given as (name, arguments); ids follow from their position and content."""
        return cls(
            cls.of(text).tokens if text else (),
            tuple(
                {"name": name, "args": dict(args), "id": f"call_{_digest(i, name, args)}"}
                for i, (name, args) in enumerate(calls)
            ),
        )

    def __add__(self, other: Reply) -> Reply:
        return Reply(self.tokens + other.tokens, self.tool_calls + other.tool_calls)

    @property
    def text(self) -> str:
        """All of the text."""
        return "".join(self.tokens)

    def stopped_at(self, stop: Sequence[str] | None) -> Reply:
        """The reply up to the first of the stop sequences."""
        text = self.text
        ends = [text.index(s) for s in stop or () if s and s in text]
        return Reply.of(text[: min(ends)]) if ends else self


def _digest(*parts: object) -> str:
    return f"{rng(*parts).getrandbits(64):016x}"


Script = Callable[[Prompt], "Reply | str | None"]
"""Gives the answer to a prompt, or None to have one invented."""


class FakeChatModel(BaseChatModel):
    """A deterministic offline chat model that streams its tokens in real time.

    Attributes:
        script: A function from `Prompt` to the answer; or a mapping whose first key found in
            the prompt gives it. Without an answer one is invented from the prompt's hash: of
            a length as in the Azure trace, valid for the schema or the forced tool if the
            call has one.
        engine: What sets the pace and is shared by calls that run together. Its clock can be
            sped up, or virtual.
        log: Where each call is noted.

    `with_structured_output` streams JSON text, or a tool call with
    `method="function_calling"`. Nothing about timing is in the messages, so they compare equal.

    Example:
        >>> from langgraph_alto.testing import FakeChatModel, FakeEngine, VirtualClock
        >>> clock = VirtualClock()
        >>> model = FakeChatModel(script={"capital of France": "It is Paris."},
        ...                       engine=FakeEngine(clock=clock))
        >>> model.invoke("What is the capital of France?").text
        'It is Paris.'
        >>> round(clock.now(), 3)  # 3 tokens of 7.56 ms, and 8 of the prompt
        0.023
    """

    script: Script | Mapping[str, str] | None = Field(default=None, exclude=True)
    engine: FakeEngine = Field(default_factory=FakeEngine, exclude=True)
    log: CallLog = Field(default_factory=CallLog, exclude=True)
    model_name: str = "fake-chat-model"

    @property
    def _llm_type(self) -> str:
        return "langgraph-alto-fake"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    def get_num_tokens(self, text: str) -> int:
        """As the model itself counts."""
        return count_tokens(text)

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools. The script decides on calls; a forced choice always gives one."""
        converted = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=converted, tool_choice=tool_choice, **kwargs)

    def with_structured_output(
        self,
        schema: Any,
        *,
        include_raw: bool = False,
        method: Literal["json_schema", "json_mode", "function_calling"] = "json_schema",
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Answers as JSON that is parsed into `schema` (a class, TypedDict or JSON schema)."""
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        kwargs.pop("strict", None)
        if kwargs:
            raise ValueError(f"Received unsupported arguments {kwargs}")
        json_schema = convert_to_json_schema(schema)
        model = self.bind(
            response_format={"type": "json_schema", "json_schema": json_schema},
            ls_structured_output_format={"kwargs": {"method": method}, "schema": json_schema},
        )
        parser: OutputParserLike[Any] = (
            PydanticOutputParser(pydantic_object=schema)
            if isinstance(schema, type) and is_basemodel_subclass(schema)
            else JsonOutputParser()
        )
        if not include_raw:
            return model | parser
        parsed: Runnable[Any, Any] = RunnablePassthrough.assign(
            parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
        )
        unparsed: Runnable[Any, Any] = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks(
            [unparsed], exception_key="parsing_error"
        )

    # Generation. The sync and the async half differ in how they wait, and in nothing else.

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self._serving(messages, stop, run_manager, kwargs) as serving:
            for deadline in serving.strides():
                self.engine.clock.sleep_until(deadline)
            return serving.result()

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self._serving(messages, stop, run_manager, kwargs) as serving:
            for deadline in serving.strides():
                await self.engine.clock.wait_until(deadline)
            return serving.result()

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        # LangChain calls on_llm_new_token for each chunk that is yielded here.
        with self._serving(messages, stop, run_manager, kwargs) as serving:
            for chunk in serving.chunks():
                self.engine.clock.sleep_until(serving.sequence.advance())
                yield chunk
            yield serving.last_chunk()

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        with self._serving(messages, stop, run_manager, kwargs) as serving:
            for chunk in serving.chunks():
                await self.engine.clock.wait_until(serving.sequence.advance())
                yield chunk
            yield serving.last_chunk()

    @contextmanager
    def _serving(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None,
        kwargs: Mapping[str, Any],
    ) -> Iterator[_Serving]:
        """A call from its admission to its end, however it ends."""
        prompt = _prompt(messages, kwargs)
        reply = self._reply(prompt).stopped_at(stop)
        prefixes = prompt.prefixes()
        metadata = run_manager.metadata if run_manager else None
        with self.log.record("model", self.engine.clock, metadata) as call:
            call.input_tokens = prefixes[-1][1] if prefixes else 0
            sequence = self.engine.begin(prefixes)
            try:
                yield _Serving(reply, sequence, call, self.model_name)
            finally:
                sequence.end()

    def _reply(self, prompt: Prompt) -> Reply:
        answer: Reply | str | None = None
        if callable(self.script):
            answer = self.script(prompt)
        elif self.script:
            answer = next((a for key, a in self.script.items() if key in prompt.text), None)
        if answer is None:
            return _invented(prompt)
        return Reply.of(answer) if isinstance(answer, str) else answer


def _prompt(messages: Sequence[BaseMessage], kwargs: Mapping[str, Any]) -> Prompt:
    response_format = kwargs.get("response_format") or {}
    return Prompt(
        tuple(messages),
        response_format.get("json_schema"),
        tuple(kwargs.get("tools") or ()),
        kwargs.get("tool_choice"),
    )


def _invented(prompt: Prompt) -> Reply:
    random = rng(prompt.text)
    if prompt.schema is not None:
        return Reply.of(json.dumps(arguments_for(prompt.schema, random)))
    if (tool := prompt.forced_tool) is not None:
        function = tool["function"]
        arguments = arguments_for(function.get("parameters", {}), random)
        return Reply.calling((function["name"], arguments))
    return Reply(text_for(random))


@dataclass(frozen=True, slots=True)
class _Serving:
    """A reply on its way out."""

    reply: Reply
    sequence: Running
    call: Call
    model_name: str

    def strides(self) -> Iterator[float]:
        """The deadlines to wait for until the whole reply is there."""
        left = len(self.reply.tokens) + sum(map(len, map(_arguments, self.reply.tool_calls)))
        while left > 0:
            tokens = min(STRIDE, left)
            left -= tokens
            yield self.sequence.advance(tokens)
            self.call.output_tokens += tokens

    def chunks(self) -> Iterator[ChatGenerationChunk]:
        """One chunk for each token."""
        for token in self.reply.tokens:
            yield ChatGenerationChunk(message=AIMessageChunk(content=token))
            self.call.output_tokens += 1
        for index, tool_call in enumerate(self.reply.tool_calls):
            for i, piece in enumerate(_arguments(tool_call)):
                # Name and id come with the first token of a call, as with real models.
                part = ToolCallChunk(
                    name=tool_call["name"] if i == 0 else None,
                    id=tool_call["id"] if i == 0 else None,
                    args=piece,
                    index=index,
                    type="tool_call_chunk",
                )
                yield ChatGenerationChunk(
                    message=AIMessageChunk(content="", tool_call_chunks=[part])
                )
                self.call.output_tokens += 1

    def last_chunk(self) -> ChatGenerationChunk:
        message = AIMessageChunk(
            content="",
            usage_metadata=self._usage(),
            response_metadata=self._metadata(),
            chunk_position="last",
        )
        return ChatGenerationChunk(
            message=message, generation_info={"finish_reason": self._finish_reason()}
        )

    def result(self) -> ChatResult:
        message = AIMessage(
            content=self.reply.text,
            tool_calls=[{**call, "type": "tool_call"} for call in self.reply.tool_calls],
            usage_metadata=self._usage(),
            response_metadata={**self._metadata(), "finish_reason": self._finish_reason()},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _usage(self) -> UsageMetadata:
        read, written = self.call.input_tokens, self.call.output_tokens
        return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)

    def _metadata(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    def _finish_reason(self) -> str:
        return "tool_calls" if self.reply.tool_calls else "stop"


def _arguments(tool_call: Mapping[str, Any]) -> tuple[str, ...]:
    """A tool call's arguments as the tokens of their JSON."""
    return Reply.of(json.dumps(tool_call["args"])).tokens
