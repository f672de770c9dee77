"""Every name that goes into a trace or a metric, once.

Those of OpenTelemetry's conventions for generative AI are in development and move: this table is
the only place to change.
"""

from __future__ import annotations

from typing import Any

SCOPE = "langgraph_alto"
"""The instrumentation scope of all spans and metrics."""

# Span names --------------------------------------------------------------------------------

INVOKE_WORKFLOW = "invoke_workflow"
CHAT = "chat"
EXECUTE_TOOL = "execute_tool"
NODE = "node"
STREAM = "stream"

# Generative AI conventions -----------------------------------------------------------------

OPERATION = "gen_ai.operation.name"
WORKFLOW_NAME = "gen_ai.workflow.name"
CONVERSATION = "gen_ai.conversation.id"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
TOOL_NAME = "gen_ai.tool.name"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
ERROR_TYPE = "error.type"

# A request ---------------------------------------------------------------------------------

REQUEST_ID = "alto.request.id"
EXECUTOR = "alto.executor"
NAMESPACE = "alto.namespace"
OFF = "alto.run_ahead.off"
STARTED = "alto.run_ahead.started"
ADOPTED = "alto.run_ahead.adopted"
DISCARDED = "alto.run_ahead.discarded"
RERUN = "alto.run_ahead.rerun"
ABANDONED = "alto.run_ahead.abandoned"
OUTCOME = "alto.outcome"
"""Of a request or task that did not just finish: cached, cancelled, failed, interrupted."""
RESUMED = "alto.resumed"
RESUMED_TRACE = "alto.resumed.from_trace_id"
RESUMED_SPAN = "alto.resumed.from_span_id"

# A task ------------------------------------------------------------------------------------

TASK_NODE = "alto.node"
STEP = "alto.step"
TASK_ID = "alto.task.id"
TASK_KIND = "alto.task.kind"
ANCESTRY = "alto.ancestry"
RUN_AHEAD = "alto.run_ahead"
AHEAD_OUTCOME = "alto.run_ahead.outcome"
AHEAD_REASON = "alto.run_ahead.reason"
AHEAD_COST = "alto.run_ahead.cost_ms"
AHEAD_SAVED = "alto.run_ahead.saved_ms"
ATTEMPT = "alto.attempt"
WORKER = "alto.worker"
GATE_WAIT = "alto.router_wait_ms"

INPUT_SPAN = "alto.input.from_span_id"
INPUT_INDEX = "alto.input.partial_index"
INPUT_OPEN = "alto.input.producer_open"
INPUT_WAIT = "alto.input.wait_ms"
INPUT_BYTES = "alto.input.bytes"
INPUT_COUNT = "alto.input.count"

# A producer --------------------------------------------------------------------------------

EMIT = "alto.partial.emit"
CANCEL = "alto.partial.cancel"
RETRACT = "alto.partial.retract"
END = "alto.partial.end"
PARTIAL_KEY = "alto.partial.key"
PARTIAL_INDEX = "alto.partial.index"
PARTIAL_NODE = "alto.partial.node"
PARTIAL_COUNT = "alto.partial.count"
PARTIAL_BYTES = "alto.partial.bytes"
PARTIAL_FIRST = "alto.partial.first_ms"
PARTIAL_LAST = "alto.partial.last_ms"

# A stream ----------------------------------------------------------------------------------

STREAM_PRODUCER = "alto.stream.producer"
STREAM_CONSUMER = "alto.stream.consumer"
STREAM_ITEMS = "alto.stream.items"
STREAM_BYTES = "alto.stream.bytes"
STREAM_QUEUE = "alto.stream.max_queue"
STREAM_FIRST = "alto.stream.first_item_ms"
STREAM_OVERLAP = "alto.stream.overlap_ms"
SUPPRESSED = "alto.stream.spans_suppressed"

# Metrics -----------------------------------------------------------------------------------

M_FIRST_PARTIAL = "alto.stream.time_to_first_partial"
M_QUEUE = "alto.stream.queue_depth"
M_WAIT = "alto.stream.item_wait"
M_AHEAD = "alto.run_ahead.tasks"
M_SAVED = "alto.run_ahead.overlap_saved"
M_LOST = "alto.run_ahead.discarded_time"
M_DROPPED = "alto.trace.spans_dropped"

# Values ------------------------------------------------------------------------------------

MOST_CHARACTERS = 1_024
"""Of a string in an attribute: 512 spans of 20 KB exceed gRPC's 4 MiB and would be refused."""

_MOST_PARTS = 64


def text(value: object) -> str:
    """A string as an attribute has it.

    Example:
        >>> text("a" * 2000)[-3:], len(text("a" * 2000))
        ('aa…', 1024)
    """
    found = value if type(value) is str else str(value)
    return found if len(found) <= MOST_CHARACTERS else found[: MOST_CHARACTERS - 1] + "\u2026"


def milliseconds(nanoseconds: int) -> float:
    """Nanoseconds as milliseconds, to the microsecond."""
    return round(nanoseconds / 1e6, 3)


def size_of(value: Any) -> int:
    """About how many bytes a value is: its texts and numbers. Looks at its first parts only.

    Example:
        >>> size_of({"ab": ["cde", 1.5]})
        13
    """
    total, left = 0, _MOST_PARTS
    parts = [value]
    while parts and left:
        part = parts.pop()
        left -= 1
        kind = type(part)
        if kind is str or kind is bytes:
            total += len(part)
        elif kind is dict:
            parts.extend(part.values())
            total += sum(len(key) for key in part if type(key) is str)
        elif kind is list or kind is tuple:
            parts.extend(part[:left])
        elif part is not None:
            content = getattr(part, "content", None)  # a message
            total += len(content) if type(content) is str else 8
    return total
