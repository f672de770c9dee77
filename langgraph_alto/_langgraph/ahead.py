"""A task that runs before LangGraph has prepared it: how it is built and what it is kept from.

It is prepared by LangGraph's own function and run by LangGraph's own retry loop, so config,
retries, timeouts and attempt counts are LangGraph's. What only the real task has is replaced:

    identity            lazy values (`identity`)
    callbacks, writer   an outbox (`recorder`), handed out after adoption
    reading the state   a gate before routers, until what they read is settled; a body that
                        reads the state itself gives up
    store, @task calls, checkpoints of subgraphs, pending resume values: the body gives up
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_config
from langgraph.store.base import BaseStore
from langgraph.types import PregelExecutableTask, Send

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.gate import Gate
from langgraph_alto._langgraph.identity import (
    Identity,
    LazyExecutionInfo,
    TaskIdentity,
    lazy_str,
    lazy_tuple,
    real_values,
)
from langgraph_alto._langgraph.narrowed import NarrowedState
from langgraph_alto._langgraph.recorder import CUSTOM, STREAM, Outbox, Player, recorders_for
from langgraph_alto._langgraph.streaming import with_steps, writers_begin
from langgraph_alto.core.events import End

if TYPE_CHECKING:
    from langgraph_alto._langgraph.bodies import Bodies
    from langgraph_alto._langgraph.foresight import SettledChannels
    from langgraph_alto._langgraph.observing import Known
    from langgraph_alto._langgraph.streaming import Producer
    from langgraph_alto.report import Span


class GaveUp(BaseException):
    """The body needs what only its real task has; it is stopped, and its real task runs it.

    Not an `Exception`: a body's own `except Exception` must not swallow it.
    """


class AheadTask:
    """One run-ahead execution: the prepared task, its output, its outcome.

    `zero` is the moment at which its body would have begun had it never been paused: its age
    at a time t is t - zero.
    """

    def __init__(
        self, key: int, step: int, send: Send, run: Bodies, *, is_pull: bool = False
    ) -> None:
        self.key = key
        self.step = step
        self.send = send
        self.is_pull = is_pull
        self.state: SettledChannels | None = None
        self.relied_on: dict[str, Any] = {}
        self.node = send.node
        self.run = run
        self.zero = 0.0
        self.paused_at: float | None = None
        self.identity = Identity(self._ask_identity)
        self.age_in_turn: float | None = None
        self.outbox = Outbox(partial(run.age_to_note, self), self._appended)
        self.player: Player | None = None
        self.end: End | None = None
        self.duration = 0.0
        self.value: Any = None
        self.exception: BaseException | None = None
        self.gave_up: str | None = None
        self.adopted: PregelExecutableTask | None = None
        self.dropped = False
        self.handle: Any = None
        self.turn: Any = None
        self.gate: Any = None
        self.is_queued = False
        self.granted = False
        self.owes_output = False
        self.is_used = False
        self.real_config: RunnableConfig | None = None
        self.playing: Any = None
        self.delivering: Any = None
        self.committed: Any = None
        self.waiting_calls: list[Callable[[], None]] = []
        self.holds_permit = False
        self.wake_at: float | None = None
        self.span: Span | None = None
        self.seen: Known | None = None
        self.producer: Producer | None = None
        self.task = prepare(self)
        if isinstance(send.arg, NarrowedState):
            send.arg.ask = self._ask_state

    def age(self) -> float:
        """How long the body has run, in seconds, pauses not counted."""
        now = self.run.clock() if self.paused_at is None else self.paused_at
        return now - self.zero

    def end_turn_of_loop(self) -> None:
        """The event loop goes on: what is emitted from now on is not of the same moment."""
        self.age_in_turn = None

    def pause(self) -> None:
        """The body waits for its adoption."""
        self.paused_at = self.run.clock()
        if self.seen is not None:
            self.seen.waits()

    def go_on(self) -> None:
        """The body does not wait any more."""
        if self.paused_at is not None:
            self.zero += self.run.clock() - self.paused_at
            self.paused_at = None
            if self.seen is not None:
                self.seen.waited()

    def use(self) -> None:
        """LangGraph has begun the real task."""
        self.is_used = True
        if self.seen is not None and self.adopted is not None:
            self.seen.adopted(self.adopted.id, self.step)

    def require_real(self, reason: str) -> None:
        """Go on if this is a real task by now, else stop the body: it has to wait for that."""
        with self.run.lock:
            if self.adopted is not None:
                return
            if self.gave_up is None:
                self.gave_up = reason
        raise GaveUp(reason)

    def next_offset(self) -> float | None:
        """The age at which it emitted what is to be handed out next; None if nothing is yet."""
        if self.outbox.emissions and not self.run.eager:
            return self.outbox.emissions[0].offset
        return self.duration if self.end is not None else None

    def cut(self) -> None:
        """Forget the task: nothing that its body still does has any effect."""
        self.dropped = True
        self.state = None
        self.relied_on.clear()
        self.outbox.cut()
        self.player = None
        self.exception = None
        self.value = None
        self.real_config = None

    def _ask_identity(self) -> TaskIdentity:
        found = None if self.dropped else self.run.identity_of(self)
        if found is None:
            self.require_real("needs its task id")
            found = self.identity.real
            assert found is not None
        return found

    def _ask_state(self, key: str | None) -> None:
        self.require_real("reads the whole state" if key is None else f"reads {key!r}")

    def _appended(self) -> None:
        if self.run.eager:
            self.run.emit_now(self)
        elif self.adopted is not None:
            self.run.emitted(self)


def mute_context_handlers(recorded: Iterable[Any]) -> None:
    """Keep LangChain from adding a handler of the context that is recorded already.

    `get_usage_metadata_callback()` and its like stand in a context variable, and LangChain adds
    them wherever it does not find them among a call's handlers. To be run in the body's context.
    """
    known = {id(handler) for handler in recorded}
    for variable, *_ in names.configure_hooks:
        if id(variable.get()) in known:
            variable.set(None)


# Preparing ---------------------------------------------------------------------------------


class _OneSend:
    """Looks like the channel of pending Sends, and holds just this one."""

    def __init__(self, send: Send) -> None:
        self.sends = [send]

    def is_available(self) -> bool:
        return True

    def get(self) -> list[Send]:
        return self.sends


def prepare(ahead: AheadTask) -> PregelExecutableTask:
    """Build the executable task as LangGraph would, then replace what only a real one has."""
    loop = ahead.run.loop
    task = names.prepare_push_task_send(
        (names.PUSH, 0),  # type: ignore[arg-type]
        None,
        checkpoint=loop.checkpoint,
        checkpoint_id_bytes=b"ahead" + ahead.key.to_bytes(8, "big"),
        pending_writes=loop.checkpoint_pending_writes,
        channels={names.TASKS: _OneSend(ahead.send)},  # type: ignore[dict-item]
        managed=loop.managed,
        config=loop.config,
        step=ahead.step,
        stop=loop.stop,
        for_execution=True,
        store=loop.store,
        checkpointer=loop.checkpointer,
        manager=loop.manager,
        retry_policy=loop.retry_policy,
        cache_policy=None,
        parent_ns=loop.config[names.CONF].get(names.CONFIG_KEY_CHECKPOINT_NS, ""),
        task_id_func=names.task_id_functions[loop.checkpoint["v"] > 1],
        processes=loop.nodes,
    )
    if not isinstance(task, PregelExecutableTask):
        raise ValueError(f"LangGraph prepares no task for a Send to {ahead.node!r}")
    if ahead.is_pull:
        _as_pull(ahead, task)
    _guard_config(ahead, task)
    object.__setattr__(task, "proc", _guard_proc(ahead, task.proc))
    return task


def _as_pull(ahead: AheadTask, task: PregelExecutableTask) -> None:
    """LangGraph prepares a task that an edge triggers from its channels, else like any other."""
    triggers = tuple(sorted(ahead.run.loop.nodes[ahead.node].triggers))
    task.config["metadata"]["langgraph_triggers"] = triggers
    object.__setattr__(task, "triggers", triggers)


def _guard_config(ahead: AheadTask, task: PregelExecutableTask) -> None:
    conf: dict[str, Any] = task.config[names.CONF]
    loop = ahead.run.loop

    known = ahead.run.identity_needed_by(ahead)

    def lazy(field: str, placeholder: str) -> str:
        if known is not None:
            return str(getattr(known, field))
        return lazy_str(lambda: getattr(ahead.identity.known(), field), placeholder)

    task_id = lazy("task_id", task.id)
    checkpoint_ns = lazy("checkpoint_ns", conf[names.CONFIG_KEY_CHECKPOINT_NS])
    checkpoint_id = lazy("checkpoint_id", loop.checkpoint["id"])
    parent_ns = loop.config[names.CONF].get(names.CONFIG_KEY_CHECKPOINT_NS, "")
    conf[names.CONFIG_KEY_TASK_ID] = task_id
    conf[names.CONFIG_KEY_CHECKPOINT_NS] = checkpoint_ns
    conf[names.CONFIG_KEY_CHECKPOINT_MAP] = {
        **conf[names.CONFIG_KEY_CHECKPOINT_MAP],
        parent_ns: checkpoint_id,
    }
    metadata = task.config["metadata"]
    metadata["langgraph_checkpoint_ns"] = checkpoint_ns
    metadata["langgraph_path"] = lazy_tuple(lambda: ahead.identity.known().path)
    runtime = conf[names.CONFIG_KEY_RUNTIME]
    conf[names.CONFIG_KEY_RUNTIME] = runtime.override(
        store=None if runtime.store is None else _GuardedStore(ahead, runtime.store),
        stream_writer=_writer(ahead),
        execution_info=LazyExecutionInfo.over(runtime.execution_info, ahead.identity),
    )
    conf[names.CONFIG_KEY_READ] = _guarded_read(ahead, conf[names.CONFIG_KEY_READ])
    conf[names.CONFIG_KEY_SCRATCHPAD] = _guard_scratchpad(ahead, conf[names.CONFIG_KEY_SCRATCHPAD])
    if checkpointer := conf.get(names.CONFIG_KEY_CHECKPOINTER):
        conf[names.CONFIG_KEY_CHECKPOINTER] = guarded_saver(ahead, checkpointer)
    if stream := conf.get(names.CONFIG_KEY_STREAM):
        conf[names.CONFIG_KEY_STREAM] = names.StreamProtocol(
            partial(ahead.outbox.put, STREAM), stream.modes
        )
    manager: Any = task.config.get("callbacks")
    if manager is not None and manager.handlers:
        ahead.player = Player(
            manager.handlers, provisional=ahead.run.eager, relabel=partial(_relabel, ahead)
        )
        recorders = recorders_for(manager.handlers, ahead.outbox)
        manager.handlers = list(recorders)
        manager.inheritable_handlers = list(recorders)


def _relabel(ahead: AheadTask, note: str) -> str:
    """A note that LangGraph put on a failed attempt, with the real task's id in it."""
    real = ahead.identity.real
    return note if real is None else note.replace(ahead.task.id, real.task_id)


def _writer(ahead: AheadTask) -> Callable[[Any], None]:
    """A stream writer for the outbox. Whose namespace a chunk has is seen from where it is
    called: in the body itself, or in a subgraph of it."""

    def write(chunk: Any) -> None:
        try:
            config = get_config()
        except RuntimeError:  # called outside of any node; the real writer will say so
            config = None
        ahead.outbox.put(CUSTOM, chunk, config=config)

    return write


def _guard_scratchpad(ahead: AheadTask, scratchpad: Any) -> Any:
    """A resume value that no task has taken yet belongs to whoever asks first in real order."""
    get_null_resume = scratchpad.get_null_resume

    def guarded(consume: bool = False) -> Any:
        if get_null_resume(False) is not None:
            ahead.require_real("pending resume value")
        return get_null_resume(consume)

    return dataclasses.replace(scratchpad, get_null_resume=guarded)


def _guarded_read(ahead: AheadTask, read: partial[Any]) -> partial[Any]:
    """Reads the state of the step that the task turned out to belong to.

    It keeps the shape of LangGraph's partial, since `ToolNode` takes the channels out of it.
    """
    scratchpad, _, managed, writes = read.args

    def guarded(
        scratchpad: Any, _: Any, managed: Any, writes: Any, *selection: Any, **options: Any
    ) -> Any:
        channels: Mapping[str, Any] | None = ahead.state
        if channels is None:
            ahead.require_real("reads the state")
            channels = _channels(ahead)
        return names.local_read(scratchpad, channels, managed, writes, *selection, **options)

    return partial(guarded, scratchpad, _GuardedChannels(ahead), managed, writes)


def _channels(ahead: AheadTask) -> Mapping[str, Any]:
    loop = ahead.run.loop
    if loop is None:
        raise GaveUp("the run is over")
    channels: Mapping[str, Any] = loop.channels
    return channels


class _GuardedChannels(Mapping[str, Any]):
    """The channels, for those who reach past `read` (ToolNode)."""

    def __init__(self, ahead: AheadTask) -> None:
        self._ahead = ahead

    def _real(self) -> Mapping[str, Any]:
        self._ahead.require_real("reads the state")
        return _channels(self._ahead)

    def __getitem__(self, key: str) -> Any:
        return self._real()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._real())

    def __len__(self) -> int:
        return len(self._real())


class _GuardedStore(BaseStore):
    """The store: what a sibling may still write to it, an early body must not read."""

    def __init__(self, ahead: AheadTask, store: BaseStore) -> None:
        self._ahead = ahead
        self._store = store
        self.supports_ttl = store.supports_ttl
        self.ttl_config = store.ttl_config

    def batch(self, ops: Any) -> Any:
        self._allow()
        return self._store.batch(ops)

    async def abatch(self, ops: Any) -> Any:
        self._allow()
        return await self._store.abatch(ops)

    def _allow(self) -> None:
        if not self._ahead.run.is_proven(self._ahead.node):
            self._ahead.require_real("store")

    def __getattr__(self, name: str) -> Any:
        self._allow()
        return getattr(self._store, name)


def guarded_saver(ahead: AheadTask, saver: Any) -> Any:
    """The checkpointer for subgraphs: what a discarded body saved would stay for good."""
    if not isinstance(saver, BaseCheckpointSaver):
        return saver
    return _GuardedSaver(ahead, saver)


class _GuardedSaver(BaseCheckpointSaver[Any]):
    def __init__(self, ahead: AheadTask, saver: BaseCheckpointSaver[Any]) -> None:
        super().__init__(serde=saver.serde)
        self._ahead = ahead
        self._saver = saver


def _saver_method(name: str) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        self._ahead.require_real("subgraph or task with a checkpointer")
        return getattr(self._saver, name)(*args, **kwargs)

    call.__name__ = name
    return call


for _name in dir(BaseCheckpointSaver):
    if not _name.startswith("_") and callable(getattr(BaseCheckpointSaver, _name)):
        setattr(_GuardedSaver, _name, _saver_method(_name))


# The body and its writers ------------------------------------------------------------------


def _guard_proc(ahead: AheadTask, proc: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """Put a gate before what reads the state, and sync functions on threads of our own."""
    if not isinstance(proc, names.RunnableSeq):
        return ahead.run.adapt(ahead, proc)
    split = writers_begin(ahead.run.loop.nodes[ahead.node], proc)
    writers = proc.steps[split:]
    routers = [step for step in writers if not isinstance(step, names.ChannelWrite)]
    facts = ahead.run.routers_of(ahead.node, len(routers))
    steps = [ahead.run.adapt(ahead, step) for step in proc.steps[:split]]
    for step in writers:
        is_plain = isinstance(step, names.ChannelWrite)
        steps.append(step if is_plain else Gate(ahead, step, next(facts)))
    return with_steps(proc, steps)


def ahead_writes(ahead: AheadTask) -> list[tuple[str, Any]]:
    """What the body wrote, with message ids pinned as LangGraph pins them at commit.

    Raises:
        GaveUp: It wrote its identity, and that is not known yet.
    """
    writes: deque[tuple[str, Any]] = ahead.task.writes
    names.ensure_message_ids(ahead.run.loop.specs, writes)
    for index, (channel, value) in enumerate(writes):
        real = real_values(value)
        if real is not value:
            writes[index] = (channel, real)
    return list(writes)
