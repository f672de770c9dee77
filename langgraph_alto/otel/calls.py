"""Spans of model and tool calls, by a LangChain callback handler of our own.

It stands in a context variable while a body runs (`tasks.handler_of_body`), and LangChain adds it
to each call. So it is never in a graph's config, and the recorders that stand for the handlers of
a run-ahead body don't meet it: it sees the calls when they happen.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.tracers.context import register_configure_hook
from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)

from langgraph_alto.otel import attributes as a
from langgraph_alto.otel.tasks import handler_of_body

if TYPE_CHECKING:
    from uuid import UUID

CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

register_configure_hook(handler_of_body, inheritable=False)


def captures_content() -> bool:
    """Whether prompts, outputs and arguments may be written into spans. Off by default."""
    return os.environ.get(CAPTURE, "").strip().lower() in (
        "true",
        "1",
        "span_only",
        "span_and_event",
    )


@dataclass(slots=True)
class _Call:
    span: Span
    context: Context
    began: int
    has_chunk: bool = False


class CallHandler(BaseCallbackHandler):
    """Makes `chat` and `execute_tool` spans below the span that is current where a call is made."""

    run_inline = True  # in the caller's context
    ignore_chain = True
    ignore_retriever = True
    ignore_retry = True
    ignore_custom_event = True
    raise_error = False

    def __init__(self, tracer: Tracer, root: Context) -> None:
        self._tracer = tracer
        self._root = root
        self._calls: dict[UUID, _Call] = {}
        self._lock = threading.Lock()
        self._captures = captures_content()

    # Models --------------------------------------------------------------------------------

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **kwargs: Any
    ) -> None:
        found = _about_model(serialized, kwargs, a.CHAT)
        if self._captures:
            found[a.INPUT_MESSAGES] = _as_text([m for batch in messages for m in batch])
        self._begin(f"{a.CHAT} {found[a.REQUEST_MODEL]}", SpanKind.CLIENT, found, kwargs)

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], **kwargs: Any) -> None:
        operation = "text_completion"
        found = _about_model(serialized, kwargs, operation)
        if self._captures:
            found[a.INPUT_MESSAGES] = a.text(prompts)
        self._begin(f"{operation} {found[a.REQUEST_MODEL]}", SpanKind.CLIENT, found, kwargs)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        call = self._calls.get(run_id)
        if call is not None and not call.has_chunk:
            call.has_chunk = True
            since = (time.time_ns() - call.began) / 1e9
            call.span.set_attributes({a.REQUEST_STREAM: True, a.FIRST_CHUNK: since})

    def on_llm_end(self, response: Any, *, run_id: UUID, **kwargs: Any) -> None:
        call = self._take(run_id)
        if call is not None:
            call.span.set_attributes(_about_response(response, self._captures))
            call.span.end()

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._fail(run_id, error)

    # Tools ---------------------------------------------------------------------------------

    def on_tool_start(self, serialized: dict[str, Any], input_str: str, **kwargs: Any) -> None:
        name = a.text((serialized or {}).get("name") or kwargs.get("name") or "tool")
        found: dict[str, Any] = {a.OPERATION: a.EXECUTE_TOOL, a.TOOL_NAME: name}
        if kwargs.get("tool_call_id") is not None:
            found[a.TOOL_CALL_ID] = a.text(kwargs["tool_call_id"])
        if self._captures:
            found[a.TOOL_ARGUMENTS] = a.text(input_str)
        self._begin(f"{a.EXECUTE_TOOL} {name}", SpanKind.INTERNAL, found, kwargs)

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        call = self._take(run_id)
        if call is not None:
            if self._captures:
                call.span.set_attribute(a.TOOL_RESULT, a.text(getattr(output, "content", output)))
            call.span.end()

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._fail(run_id, error)

    # Spans ---------------------------------------------------------------------------------

    def _begin(
        self, name: str, kind: SpanKind, about: dict[str, Any], kwargs: dict[str, Any]
    ) -> None:
        outer = self._calls.get(kwargs.get("parent_run_id"))  # type: ignore[arg-type]
        context = contexts.get_current() if outer is None else outer.context
        if not get_current_span(context).get_span_context().is_valid:
            context = self._root  # a thread of its own, which the context did not follow
        span = self._tracer.start_span(name, context=context, kind=kind, attributes=about)
        call = _Call(span, set_span_in_context(span, context), time.time_ns())
        with self._lock:
            self._calls[kwargs["run_id"]] = call

    def _take(self, run_id: UUID) -> _Call | None:
        with self._lock:
            return self._calls.pop(run_id, None)

    def _fail(self, run_id: UUID, error: BaseException) -> None:
        call = self._take(run_id)
        if call is None:
            return
        kind = type(error).__qualname__
        if isinstance(error, Exception):
            call.span.set_status(Status(StatusCode.ERROR, kind))
            call.span.set_attribute(a.ERROR_TYPE, kind)
        else:  # cancelled, or stopped because its body ran ahead in vain
            call.span.set_attribute(a.OUTCOME, "cancelled")
        call.span.end()

    def close(self) -> None:
        """The run is over: calls that never ended are ended."""
        with self._lock:
            left, self._calls = list(self._calls.values()), {}
        for call in left:
            call.span.set_attribute(a.OUTCOME, "cancelled")
            call.span.end()


def _about_model(
    serialized: dict[str, Any] | None, kwargs: dict[str, Any], operation: str
) -> dict[str, Any]:
    metadata = kwargs.get("metadata") or {}
    params = kwargs.get("invocation_params") or {}
    name = (serialized or {}).get("name") or kwargs.get("name") or "model"
    model = metadata.get("ls_model_name") or params.get("model") or params.get("model_name") or name
    found: dict[str, Any] = {a.OPERATION: operation, a.REQUEST_MODEL: a.text(model)}
    provider = metadata.get("ls_provider") or params.get("_type")
    if provider:
        found[a.PROVIDER] = a.text(provider)
    temperature = metadata.get("ls_temperature")
    if isinstance(temperature, int | float):
        found[a.REQUEST_TEMPERATURE] = float(temperature)
    most = metadata.get("ls_max_tokens")
    if isinstance(most, int):
        found[a.REQUEST_MAX_TOKENS] = most
    if "stream" in params:
        found[a.REQUEST_STREAM] = bool(params["stream"])
    found.update(_server(((serialized or {}).get("kwargs") or {}), params))
    return found


def _server(*places: dict[str, Any]) -> dict[str, Any]:
    for place in places:
        for key in ("base_url", "openai_api_base", "api_base", "endpoint"):
            url = place.get(key)
            if isinstance(url, str) and "//" in url:
                try:
                    split = urlsplit(url)
                    host, port = split.hostname, split.port
                except ValueError:
                    continue
                if host:
                    return {a.SERVER_ADDRESS: a.text(host)} | (
                        {a.SERVER_PORT: port} if port else {}
                    )
    return {}


def _about_response(response: Any, captures: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    messages, reasons = [], []
    into = outof = 0
    for batch in getattr(response, "generations", None) or ():
        for generation in batch:
            message = getattr(generation, "message", None)
            info = getattr(message, "response_metadata", None) or {}
            usage = getattr(message, "usage_metadata", None) or {}
            into += usage.get("input_tokens") or 0
            outof += usage.get("output_tokens") or 0
            reason = info.get("finish_reason") or info.get("stop_reason")
            if reason:
                reasons.append(a.text(reason))
            model = info.get("model_name") or info.get("model")
            if isinstance(model, str):
                found[a.RESPONSE_MODEL] = a.text(model)
            messages.append(message or getattr(generation, "text", ""))
    if into or outof:
        found[a.INPUT_TOKENS], found[a.OUTPUT_TOKENS] = into, outof
    if reasons:
        found[a.FINISH_REASONS] = reasons
    if captures:
        found[a.OUTPUT_MESSAGES] = _as_text(messages)
    return found


def _as_text(messages: list[Any]) -> str:
    shown = [
        {"role": m.type, "content": m.content}
        if isinstance(m, BaseMessage)
        else {"content": str(m)}
        for m in messages
    ]
    return a.text(json.dumps(shown, default=str, ensure_ascii=False))
