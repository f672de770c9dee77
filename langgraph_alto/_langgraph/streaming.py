"""Follows what a generator node yields, so that its routers can be asked before it has ended.

The node's body stays LangGraph's own Runnable; only the generator function inside it is wrapped,
so that every chunk passes by here on its way. The writers and routers are then run on the chunks'
sum, with the state that they would see if the node ended now, and what they write is looked at
for `Send`s and thrown away. `core.streaming` says when to ask and what to believe.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.callbacks import CallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import (
    Runnable,
    RunnableConfig,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnableSequence,
)
from langchain_core.runnables.utils import AddableDict
from langgraph.types import PregelExecutableTask, Send

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.foresight import SettledChannels
from langgraph_alto._langgraph.gate import narrowed, reads_of
from langgraph_alto._langgraph.narrowed import NarrowedState
from langgraph_alto._langgraph.policy import same_value
from langgraph_alto.core.events import PartialOutput, SendSpec
from langgraph_alto.core.spec import Names, NodeSpec, RouterSpec, Stream
from langgraph_alto.core.streaming import Watch

if TYPE_CHECKING:
    from langgraph_alto._langgraph.watching import Watching

Channels = Mapping[str, Any]


def streams(bound: Any) -> bool:
    """Whether a node's body is a generator function."""
    return isinstance(bound, RunnableLambda) and (
        inspect.isgeneratorfunction(getattr(bound, "func", None))
        or inspect.isasyncgenfunction(getattr(bound, "afunc", None))
    )


def is_streaming_runnable(bound: Any) -> bool:
    """Whether a node's body is a Runnable made of others (`prompt | model | parser`)."""
    return isinstance(
        bound, RunnableSequence | RunnableParallel | RunnableGenerator | BaseChatModel
    )


def can_be_followed(facts: NodeSpec | None, *, speculative: bool) -> bool:
    """Whether partial output of this node can lead to anything before it ends."""
    return (
        facts is not None
        and (facts.stream is Stream.ADDABLE or (speculative and facts.stream is Stream.CHUNKS))
        and any(router.waits is None and router.sends for router in facts.routers)
    )


class Follower(Protocol):
    """Looks at the chunks that a body yields, on their way."""

    def began(self) -> None:
        """The body begins, maybe not for the first time."""

    def took(self, chunk: Any) -> bool:
        """A chunk passed; returns whether something was started."""

    async def let_others_begin(self) -> None:
        """Let what was just started begin."""


def followed(
    run: Watching,
    key: str | int,
    task: PregelExecutableTask,
    facts: NodeSpec | None,
    channels: Callable[[], Channels | None],
) -> tuple[Runnable[Any, Any], Producer | None]:
    """A task's body, followed by whoever can make something of its chunks; else as it is.

    That is a `Producer` if routers can be asked about them, and what shows partial outputs.
    """
    proc: Runnable[Any, Any] = task.proc
    if not isinstance(proc, names.RunnableSeq):
        return proc, None
    split = writers_begin(run.loop.nodes[task.name], proc)
    writers = proc.steps[split:]
    producer = None
    if _asks(run, facts, writers):
        assert facts is not None
        producer = Producer(run, key, task, facts, channels)
    # What is yielded is shown before anything is made of it.
    found = (producer, run.tap(task), run.emissions(key, task))
    followers = [f for f in found if f is not None]
    if not followers:
        return proc, None
    if split == 1 and streams(proc.steps[0]):
        body: Runnable[Any, Any] = proc.steps[0]
        for follower in reversed(followers):
            body = passing_by(body, follower)
        return with_steps(proc, [body, *writers]), producer
    if producer is None or not run.speculates:
        return proc, None
    first: Runnable[Any, Any] = writers[0]
    for follower in followers:
        first = _FollowedWriter(first, follower)
    steps = [*proc.steps[:split], first, *writers[1:]]
    return with_steps(proc, steps, _StreamedSeq), producer


def _asks(run: Watching, facts: NodeSpec | None, writers: list[Runnable[Any, Any]]) -> bool:
    """Whether routers of a node are asked about what it has yielded."""
    if not run.asks_routers or not can_be_followed(facts, speculative=run.speculates):
        return False
    assert facts is not None
    return len(facts.routers) == sum(not isinstance(w, names.ChannelWrite) for w in writers)


def passing_by(bound: Any, follower: Follower) -> Runnable[Any, Any]:
    """A generator function's Runnable, with every chunk that it yields passing by."""
    followed: Any = copy.copy(bound)
    if inspect.isasyncgenfunction(getattr(bound, "afunc", None)):
        followed.afunc = _passing_by_async(bound.afunc, follower)
    if inspect.isgeneratorfunction(getattr(bound, "func", None)):
        followed.func = _passing_by_sync(bound.func, follower)
    return followed  # type: ignore[no-any-return]


def _passing_by_async(body: Callable[..., Any], follower: Follower) -> Callable[..., Any]:
    @functools.wraps(body)
    async def generator(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        follower.began()
        async with contextlib.aclosing(body(*args, **kwargs)) as chunks:
            async for chunk in chunks:
                if follower.took(chunk):
                    # What starts now must begin before the next chunk, even if that is
                    # there at once.
                    await follower.let_others_begin()
                yield chunk

    return generator


def _passing_by_sync(body: Callable[..., Any], follower: Follower) -> Callable[..., Any]:
    @functools.wraps(body)
    def generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
        follower.began()
        with contextlib.closing(body(*args, **kwargs)) as chunks:
            for chunk in chunks:
                follower.took(chunk)
                yield chunk

    return generator


def writers_begin(node: Any, proc: Any) -> int:
    """Where a node's writers begin among the steps of its body; a composed body has several."""
    return len(proc.steps) - len(node.flat_writers)


def with_steps(proc: Any, steps: list[Runnable[Any, Any]], kind: Any = None) -> Runnable[Any, Any]:
    """The same sequence with other steps."""
    kind = kind or names.RunnableSeq
    made: Any = kind.__new__(kind)
    made.__dict__.update(proc.__dict__)
    made.steps = steps
    return made  # type: ignore[no-any-return]


class Producer:
    """A task whose body yields; asks its routers about what is there.

    Args:
        run: The run it belongs to.
        key: The task's id, or the key of a run-ahead task.
        task: The task.
        facts: What is known of its node.
        channels: Gives the channels as the step began with them, None while they are not settled.
    """

    def __init__(
        self,
        run: Watching,
        key: str | int,
        task: PregelExecutableTask,
        facts: NodeSpec,
        channels: Callable[[], Channels | None],
    ) -> None:
        self.watch = Watch(same_value)
        self.run = run
        self._key = key
        self._task = task
        self._channels = channels
        self._asked = _asked(run.loop.nodes[task.name], facts)
        self._is_whole = not any(router.waits for router in facts.routers)
        self._lock = threading.Lock()
        self._new: list[Any] = []
        self._sum: Any = None
        self._is_settled = facts.stream is Stream.ADDABLE
        """Whether list elements are final when they come; else when the next one begins."""
        self._has_begun = False
        self._has_failed = False
        self._is_timed = False

    async def let_others_begin(self) -> None:
        """Let what was just started begin."""
        await self.run.let_others_begin()

    # Chunks --------------------------------------------------------------------------------

    def began(self) -> None:
        """The body begins, maybe not for the first time."""
        if self._has_begun:  # a retry
            self._sum, self._new = None, []
            self._tell(self.watch.begin_anew())
        self._has_begun = True

    def took(self, chunk: Any) -> bool:
        """A chunk passed; returns whether something was started."""
        if self.watch.waits is not None:
            return False
        if self._is_settled and not isinstance(chunk, AddableDict):
            if not self.run.speculates:
                self._tell(self.watch.stop("its chunks do not add up: the last one counts"))
                return False
            self._is_settled = False
        self._new.append(chunk)
        # Where a timer is set, nothing is asked before it: most chunks end here.
        return False if self._is_timed else self._ask_or_wait()

    def _ask_or_wait(self) -> bool:
        now = self.run.clock()
        at = self.watch.ask_at(now, self.run.waiting_sends)
        if at is None:
            return False
        if at <= now:
            return self._ask()
        if not self._is_timed:
            self._is_timed = True
            self.run.call_later(at, self._on_time)
        return False

    def ask_soon(self) -> None:
        """More of the state is settled: ask about what could not be asked about yet."""
        if (self._new or self._has_failed) and not self._is_timed:
            self._is_timed = True
            self.run.call_later(self.run.clock(), self._on_time)

    def _on_time(self) -> None:
        self._is_timed = False
        if (self._new or self._has_failed) and not self.run.is_closed:
            self._ask_or_wait()

    # Routers -------------------------------------------------------------------------------

    def _ask(self) -> bool:
        """Ask the routers about the newest state, in one thread at a time."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            channels = self._channels()
            if channels is None:
                return False
            state = self._newest()
            if state is None:
                return False
            began = time.thread_time()
            self._has_failed = False
            try:
                sends = self._routed(state, channels)
                probed = None
                if sends and self.watch.needs_probe:
                    probed = self._routed(_with_one_more(state), channels)
                given = self.watch.answered(sends, probed)
            except Exception as error:  # a router may need what is not there yet
                self._has_failed = True
                given = self.watch.failed(type(error).__name__)
            self.watch.rest(self.run.clock(), time.thread_time() - began)
            return self._tell(given)
        finally:
            self._lock.release()

    def _newest(self) -> dict[str, Any] | None:
        """What is settled of all chunks so far."""
        new, self._new = self._new, []
        for chunk in new:
            self._sum = added(self._sum, chunk)
        if not isinstance(self._sum, dict):
            return None
        if self._is_settled:
            return self._sum
        # Strings, numbers and messages may still grow, and so may the last element of a list.
        return {key: value[:-1] for key, value in self._sum.items() if isinstance(value, list)}

    def _routed(self, state: dict[str, Any], channels: Channels) -> list[SendSpec]:
        """The `Send`s that the node's routers would give if it ended with this result."""
        writes: deque[tuple[str, Any]] = deque()
        task = self._task
        written = names.PregelTaskWrites(task.path, task.name, writes, task.triggers)
        conf = task.config[names.CONF]
        read = partial(
            names.local_read,
            conf[names.CONFIG_KEY_SCRATCHPAD],
            channels,
            self.run.loop.managed,
            written,
        )
        config: RunnableConfig = {
            **task.config,
            "callbacks": _nobody(),
            "configurable": {
                **conf,
                names.CONFIG_KEY_SEND: writes.extend,
                names.CONFIG_KEY_READ: read,
            },
        }
        is_ahead = isinstance(channels, SettledChannels)
        for writer, router in self._asked:
            (_narrowed(writer, router) if is_ahead else writer).invoke(state, config)
        return [
            SendSpec(value.node, value.arg, value)
            for channel, value in writes
            if channel == names.TASKS and isinstance(value, Send)
        ]

    def _tell(self, sends: list[SendSpec] | None) -> bool:
        if sends is None:
            return False
        self.run.partial_output(PartialOutput(self._key, tuple(sends), self._is_whole))
        return bool(sends)


def _nobody() -> CallbackManager:
    """A manager with no handlers: no one is told that a router was asked.

    Without a manager LangChain would make one, and an instrumentation adds its handler to that.
    """
    manager = CallbackManager([])
    manager.set_handlers([])
    return manager


def _asked(node: Any, facts: NodeSpec) -> list[tuple[Runnable[Any, Any], RouterSpec | None]]:
    """A node's writers, without the routers that wait for its end."""
    routers = iter(facts.routers)
    found: list[tuple[Runnable[Any, Any], RouterSpec | None]] = []
    for step in node.flat_writers:
        router = None if isinstance(step, names.ChannelWrite) else next(routers)
        if router is None or router.waits is None:
            found.append((step, router))
    return found


def read_by_routers(node: Any, facts: NodeSpec | None) -> Names:
    """What must be settled before the routers of a task that runs ahead are asked."""
    found: set[str] = set()
    if facts is None or not can_be_followed(facts, speculative=True):
        return frozenset()
    for writer, router in _asked(node, facts):
        if router is not None:
            reads = reads_of(writer, router)
            found.update(router.channels if reads is None else reads)
    return frozenset(found)


def _narrowed(writer: Runnable[Any, Any], router: RouterSpec | None) -> Runnable[Any, Any]:
    reads = None if router is None else reads_of(writer, router)
    if router is None or reads is None:
        return writer
    return narrowed(writer, router.channels - reads, _not_yet)


def _not_yet(state: NarrowedState, key: str | None) -> None:
    raise LookupError("A router looks at what is not settled yet; it is asked again later.")


def _with_one_more(state: dict[str, Any]) -> dict[str, Any]:
    """The same state in which every list that has elements has its last one twice."""
    return {
        key: [*value, value[-1]] if isinstance(value, list) and value else value
        for key, value in state.items()
    }


def added(total: Any, chunk: Any) -> Any:
    """The sum of chunks as LangChain makes it: what can't be added replaces what was there."""
    if total is None:
        return chunk
    try:
        return total + chunk
    except TypeError:
        return chunk


class _StreamedSeq(names.RunnableSeq):
    """A node's body that is streamed where LangGraph would invoke it.

    LangGraph does the same in a run that is consumed with `stream_mode="messages"`.
    """

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        for _ in self.stream(input, config, **kwargs):
            pass

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        async for _ in self.astream(input, config, **kwargs):
            pass


class _FollowedWriter(Runnable[Any, Any]):
    """A node's first writer, with the chunks that come to it passing by."""

    def __init__(self, writer: Runnable[Any, Any], follower: Follower) -> None:
        self._writer = writer
        self._follower = follower
        self.name = getattr(writer, "name", None)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self._writer.invoke(input, config, **kwargs)

    def transform(
        self, input: Iterator[Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        def followed() -> Iterator[Any]:
            self._follower.began()
            for chunk in input:
                self._follower.took(chunk)
                yield chunk

        return self._writer.transform(followed(), config, **kwargs)

    def atransform(
        self, input: AsyncIterator[Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        async def followed() -> AsyncIterator[Any]:
            self._follower.began()
            async for chunk in input:
                if self._follower.took(chunk):
                    await self._follower.let_others_begin()
                yield chunk

        return self._writer.atransform(followed(), config, **kwargs)
