"""The head of every module that is made from a plan: imports, helpers, and how long bodies wait."""

from __future__ import annotations

from langgraph_alto.core.order import TOGETHER

PRELUDE = """\
import asyncio
import logging
import operator
import random
import sys
import time
from typing import Annotated, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables.utils import AddableDict
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.errors import NodeError
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.runtime import Runtime
from langgraph.store.memory import InMemoryStore
from langgraph.types import CachePolicy, Command, RetryPolicy, Send, interrupt

log = logging.getLogger("compat.fuzz.body")
DELAYS = "{delays}"
SEEN = []


class Trouble(Exception):
    pass


def number(text):
    value = 7
    for character in text:
        value = (value * 31 + ord(character)) % 4294967291
    return value


def share(key):
    if DELAYS == "none":
        return 0.0
    part = number("{seed}/" + DELAYS.lstrip("-") + "/" + key) / 4294967291
    return 1.0 - part if DELAYS.startswith("-") else part


{by_call}def wait(key, slow):
    seconds = {wait}
    return max(seconds, {least}) if seconds else 0.0


def text(value):
    items = value if isinstance(value, list) else [value]
    words = [str(getattr(item, "content", item)) for item in items]
    return ",".join(word for word in words if "id:" not in word)[-40:]


def chain(left, right):
    return [*left, *[f"{{len(left) + i}}>{{item}}" for i, item in enumerate(right)]]


async def pause(key, slow):
    await asyncio.sleep(wait(key, slow))


def pause_now(key):
    time.sleep({wait_now})


class Parrot(BaseChatModel):
    slow: float = 0.0

    @property
    def _llm_type(self):
        return "parrot"

    def _words(self, messages):
        said = str(messages[-1].content)
        return [f"<{{said}}>", "ha", "ho"[: 1 + number(said) % 2]]

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        message = AIMessage(content="".join(self._words(messages)))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        for word in self._words(messages):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=word))
            if run_manager:
                run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk

    async def _astream(self, messages, stop=None, run_manager=None, **kwargs):
        for word in self._words(messages):
            await asyncio.sleep(wait(word, self.slow))
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=word))
            if run_manager:
                await run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk


parrot = Parrot(slow={model_slow})
"""

BY_CALL = """\
CALLS = []


def own_share(key):
    CALLS.append(key)
    return random.Random(f"{{len(CALLS)}}/{seed}/{delays}/{{key}}").random()


"""

TIE = 1e-3
"""Seconds by which bodies that take equally long are told apart: more than the turns of the
event loop that run-ahead adds, and far less than what two delays usually differ by."""


def prelude(seed: int, delays: str, model_slow: float) -> str:
    """The text of the head.

    `delays` selects the waiting times: any text is a seed, "-" before it mirrors each
    delay (what was first is last), "none" means no waiting. Two more let siblings differ that
    would take equally long: calls with equal arguments wait differently. They are for
    LangGraph's baseline only: they count calls, which is shared state.

    - "+1": the usual delays, each longer by at most `TIE`; another number for other ties.
    - "~1": delays of any length.

    A body waits not at all or longer than `core.order.TOGETHER`: ALTO takes for simultaneous what
    is nearer (told in docs/semantics.md), so a shorter wait would test nothing.
    """
    apart, other = delays.startswith("+"), delays.startswith("~")
    share = "own_share" if other else "share"
    return PRELUDE.format(
        delays="0" if apart else delays,
        seed=seed,
        by_call=BY_CALL.format(seed=seed, delays=delays) if apart or other else "",
        wait=f"{share}(key) * slow" + (f" + own_share(key) * {TIE}" if apart else ""),
        wait_now=f"int({share}(key) * 3) * 0.003" + (" + own_share(key) * 0.002" if apart else ""),
        least=2 * TOGETHER,
        model_slow=model_slow,
    )
