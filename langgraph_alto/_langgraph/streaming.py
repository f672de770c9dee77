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
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.utils import AddableDict
from langgraph.types import PregelExecutableTask, Send

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.policy import same_value
from langgraph_alto.core.events import SendSpec
from langgraph_alto.core.spec import NodeSpec, Stream
from langgraph_alto.core.streaming import Watch

if TYPE_CHECKING:
    from langgraph_alto._langgraph.run import Run

Channels = Mapping[str, Any]


def streams(bound: Any) -> bool:
    """Whether a node's body is a generator function."""
    return isinstance(bound, RunnableLambda) and (
        inspect.isgeneratorfunction(getattr(bound, "func", None))
        or inspect.isasyncgenfunction(getattr(bound, "afunc", None))
    )


def can_be_followed(facts: NodeSpec | None) -> bool:
    """Whether partial output of this node can lead to anything before it ends."""
    return (
        facts is not None
        and facts.stream is Stream.ADDABLE
        and any(router.waits is None and router.sends for router in facts.routers)
    )


def followed(
    run: Run,
    key: str | int,
    task: PregelExecutableTask,
    facts: NodeSpec | None,
    channels: Callable[[], Channels | None],
) -> Runnable[Any, Any]:
    """A task's body, followed by a `Producer` if that can lead to anything; else as it is."""
    proc: Runnable[Any, Any] = task.proc
    if not can_be_followed(facts) or not isinstance(proc, names.RunnableSeq):
        return proc
    assert facts is not None
    bound: Any = run.loop.nodes[task.name].bound
    routers = sum(not isinstance(step, names.ChannelWrite) for step in proc.steps[1:])
    if not streams(bound) or routers != len(facts.routers):
        return proc
    guarded = names.RunnableSeq.__new__(names.RunnableSeq)
    guarded.__dict__.update(proc.__dict__)
    producer = Producer(run, key, task, facts, channels)
    guarded.steps = [producer.follow(proc.steps[0]), *proc.steps[1:]]
    return guarded


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
        run: Run,
        key: str | int,
        task: PregelExecutableTask,
        facts: NodeSpec,
        channels: Callable[[], Channels | None],
    ) -> None:
        self.watch = Watch(same_value)
        self._run = run
        self._key = key
        self._task = task
        self._channels = channels
        self._writers = _writers(run.loop.nodes[task.name].node, facts)
        self._lock = threading.Lock()
        self._new: list[AddableDict] = []
        self._sum: AddableDict | None = None
        self._began = False
        self._is_timed = False

    def follow(self, bound: Any) -> Runnable[Any, Any]:
        """The body, with every chunk that it yields passing by."""
        followed: Any = copy.copy(bound)
        if inspect.isasyncgenfunction(getattr(bound, "afunc", None)):
            followed.afunc = self._follow_async(bound.afunc)
        if inspect.isgeneratorfunction(getattr(bound, "func", None)):
            followed.func = self._follow_sync(bound.func)
        return followed  # type: ignore[no-any-return]

    def _follow_async(self, body: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(body)
        async def generator(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            self._begin()
            async with contextlib.aclosing(body(*args, **kwargs)) as chunks:
                async for chunk in chunks:
                    if self._took(chunk):
                        # What starts now must begin before the next chunk, even if that is
                        # there at once.
                        await self._run.let_others_begin()
                    yield chunk

        return generator

    def _follow_sync(self, body: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(body)
        def generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
            self._begin()
            with contextlib.closing(body(*args, **kwargs)) as chunks:
                for chunk in chunks:
                    self._took(chunk)
                    yield chunk

        return generator

    # Chunks --------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._began:  # a retry
            self._sum, self._new = None, []
            self._tell(self.watch.begin_anew())
        self._began = True

    def _took(self, chunk: Any) -> bool:
        """A chunk passed; returns whether something was started."""
        if self.watch.waits is not None:
            return False
        if not isinstance(chunk, AddableDict):
            self._tell(self.watch.stop("its chunks do not add up: the last one counts"))
            return False
        self._new.append(chunk)
        return self._ask_or_wait()

    def _ask_or_wait(self) -> bool:
        now = self._run.clock()
        at = self.watch.ask_at(now, self._run.waiting_sends)
        if at is None:
            return False
        if at <= now:
            return self._ask()
        if not self._is_timed:
            self._is_timed = True
            self._run.call_later(at, self._on_time)
        return False

    def _on_time(self) -> None:
        self._is_timed = False
        if self._new and not self._run.is_closed:
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
            began = time.thread_time()
            try:
                sends = self._routed(state, channels)
                probed = None
                if sends and self.watch.needs_probe:
                    probed = self._routed(_with_one_more(state), channels)
                given = self.watch.answered(sends, probed)
            except Exception as error:  # a router may need what is not there yet
                given = self.watch.failed(type(error).__name__)
            self.watch.rest(self._run.clock(), time.thread_time() - began)
            return self._tell(given)
        finally:
            self._lock.release()

    def _newest(self) -> AddableDict:
        new, self._new = self._new, []
        for chunk in new:
            self._sum = chunk if self._sum is None else self._sum + chunk
        assert self._sum is not None
        return self._sum

    def _routed(self, state: AddableDict, channels: Channels) -> list[SendSpec]:
        """The `Send`s that the node's routers would give if it ended with this result."""
        writes: deque[tuple[str, Any]] = deque()
        task = self._task
        written = names.PregelTaskWrites(task.path, task.name, writes, task.triggers)
        conf = task.config[names.CONF]
        read = partial(
            names.local_read,
            conf[names.CONFIG_KEY_SCRATCHPAD],
            channels,
            self._run.loop.managed,
            written,
        )
        config: RunnableConfig = {
            **task.config,
            "callbacks": None,
            "configurable": {
                **conf,
                names.CONFIG_KEY_SEND: writes.extend,
                names.CONFIG_KEY_READ: read,
            },
        }
        for writer in self._writers:
            writer.invoke(state, config)
        return [
            SendSpec(value.node, value.arg, value)
            for channel, value in writes
            if channel == names.TASKS and isinstance(value, Send)
        ]

    def _tell(self, sends: list[SendSpec] | None) -> bool:
        if sends is None:
            return False
        self._run.partial_output(self._key, tuple(sends))
        return bool(sends)


def _writers(proc: Any, facts: NodeSpec) -> list[Runnable[Any, Any]]:
    """A node's writers, without the routers that wait for its end."""
    routers = iter(facts.routers)
    found = []
    for step in proc.steps[1:]:
        if isinstance(step, names.ChannelWrite) or next(routers).waits is None:
            found.append(step)
    return found


def _with_one_more(state: AddableDict) -> AddableDict:
    """The same state in which every list that has elements has its last one twice."""
    return AddableDict(
        {
            key: [*value, value[-1]] if isinstance(value, list) and value else value
            for key, value in state.items()
        }
    )
