"""Every private LangGraph name that langgraph_alto uses, once, with its reason.

Tested with the versions in `TESTED`. With another version, or when one of the names is gone,
graphs run on LangGraph's own executor and say so once: see `unsupported`.
"""

from __future__ import annotations

from importlib.metadata import version

# Where a run begins: `stream` and `astream` are rebound so that the three class names below
# resolve to ours (`seam`).
from langgraph.pregel import main as pregel_main
from langgraph.pregel._loop import AsyncPregelLoop, PregelLoop, SyncPregelLoop
from langgraph.pregel._runner import FuturesDict, PregelRunner

# isort: split
# A run-ahead task is prepared and run exactly as a real one: same config, retries, timeouts.
from langgraph._internal._constants import (
    CONF,
    CONFIG_KEY_CALL,
    CONFIG_KEY_CHECKPOINT_ID,
    CONFIG_KEY_CHECKPOINT_MAP,
    CONFIG_KEY_CHECKPOINT_NS,
    CONFIG_KEY_CHECKPOINTER,
    CONFIG_KEY_READ,
    CONFIG_KEY_RESUMING,
    CONFIG_KEY_RUNNER_SUBMIT,
    CONFIG_KEY_RUNTIME,
    CONFIG_KEY_SCRATCHPAD,
    CONFIG_KEY_SEND,
    CONFIG_KEY_STREAM,
    CONFIG_KEY_TASK_ID,
    CONFIG_KEY_TIMED_ATTEMPT_OBSERVER,
    ERROR,
    ERROR_SOURCE_NODE,
    INTERRUPT,
    NS_END,
    NS_SEP,
    NULL_TASK_ID,
    PULL,
    PUSH,
    TASKS,
)
from langgraph._internal._future import chain_future
from langgraph._internal._runnable import RunnableCallable, RunnableSeq, set_config_context
from langgraph.errors import is_invalid_resume
from langgraph.pregel._algo import (
    PregelTaskWrites,
    _uuid5_str,
    _xxhash_str,
    local_read,
    prepare_push_task_send,
    task_path_str,
)
from langgraph.pregel._checkpoint import create_checkpoint
from langgraph.pregel._messages import ensure_message_ids
from langgraph.pregel._retry import arun_with_retry, run_with_retry
from langgraph.pregel._write import ChannelWrite
from langgraph.pregel.protocol import StreamProtocol

# isort: split
# Task ids, checkpoint ids and the order of writes are LangGraph's own (`identity`).
from langgraph.checkpoint.base import writes_sort_key
from langgraph.checkpoint.base.id import uuid6

# isort: split
# Models stream inside a node when a handler of this kind listens; the recorder that stands in
# for such handlers must look the same to them (`recorder`). LangChain has no public name.
from langchain_core.callbacks.manager import ahandle_event, handle_event
from langchain_core.tracers._streaming import (
    _StreamingCallbackHandler as StreamingCallbackHandler,
)
from langchain_core.tracers._streaming import (
    _V2StreamingCallbackHandler as V2StreamingCallbackHandler,
)
from langchain_core.tracers.context import _configure_hooks as configure_hooks

# isort: split
# What a body does depends on whether a handler is one of these: `push_message` calls the `_emit`
# of a messages handler, a nested graph's own stream drops some of them, a tool writes partial
# output to what a tools handler left in the context variable, if it streams that tool
# (`_ns_for_emit`). A recorder does the same in their place (`recorder`).
from langgraph.pregel._messages import StreamMessagesHandler, StreamMessagesHandlerV2
from langgraph.pregel._tools import StreamToolCallHandler
from langgraph.pregel._tools import _tool_call_writer as tool_call_writer

TESTED = ("1.2.22",)
"""LangGraph versions whose whole test suite was run on ALTO (`make compat`)."""

task_id_functions = {True: _xxhash_str, False: _uuid5_str}
"""How a task id is derived, by whether the checkpoint's format version is above 1."""


def unsupported() -> str | None:
    """Why this LangGraph can't be accelerated, or None if it can."""
    found = version("langgraph")
    if found in TESTED:
        return None
    return f"langgraph {found} is not among the tested versions ({', '.join(TESTED)})"


__all__ = [
    "CONF",
    "CONFIG_KEY_CALL",
    "CONFIG_KEY_CHECKPOINTER",
    "CONFIG_KEY_CHECKPOINT_ID",
    "CONFIG_KEY_CHECKPOINT_MAP",
    "CONFIG_KEY_CHECKPOINT_NS",
    "CONFIG_KEY_READ",
    "CONFIG_KEY_RESUMING",
    "CONFIG_KEY_RUNNER_SUBMIT",
    "CONFIG_KEY_RUNTIME",
    "CONFIG_KEY_SCRATCHPAD",
    "CONFIG_KEY_SEND",
    "CONFIG_KEY_STREAM",
    "CONFIG_KEY_TASK_ID",
    "CONFIG_KEY_TIMED_ATTEMPT_OBSERVER",
    "ERROR",
    "ERROR_SOURCE_NODE",
    "INTERRUPT",
    "NS_END",
    "NS_SEP",
    "NULL_TASK_ID",
    "PULL",
    "PUSH",
    "TASKS",
    "TESTED",
    "AsyncPregelLoop",
    "ChannelWrite",
    "FuturesDict",
    "PregelLoop",
    "PregelRunner",
    "PregelTaskWrites",
    "RunnableCallable",
    "RunnableSeq",
    "StreamMessagesHandler",
    "StreamMessagesHandlerV2",
    "StreamProtocol",
    "StreamToolCallHandler",
    "StreamingCallbackHandler",
    "SyncPregelLoop",
    "V2StreamingCallbackHandler",
    "ahandle_event",
    "arun_with_retry",
    "chain_future",
    "configure_hooks",
    "create_checkpoint",
    "ensure_message_ids",
    "handle_event",
    "is_invalid_resume",
    "local_read",
    "pregel_main",
    "prepare_push_task_send",
    "run_with_retry",
    "set_config_context",
    "task_id_functions",
    "task_path_str",
    "tool_call_writer",
    "unsupported",
    "uuid6",
    "writes_sort_key",
]
