"""Hands out what adopted bodies emitted, each in its turn (`core.order`), then their results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.types import PregelExecutableTask

from langgraph_alto._langgraph import names
from langgraph_alto._langgraph.ahead import AheadTask
from langgraph_alto._langgraph.driver import Driver
from langgraph_alto._langgraph.identity import is_lazy, real_values
from langgraph_alto._langgraph.recorder import CUSTOM, STREAM, Emission
from langgraph_alto.core.events import End
from langgraph_alto.core.order import StepOrder, Turn, WakeAt


class HandingOut(Driver):
    """The order in which the tasks of a step may be seen. `order` is None where none is kept."""

    order: StepOrder | None
    _adopted_by_task: dict[str, AheadTask]
    _ended: Mapping[str, Any]
    _step_zero: float

    def take_finished(self) -> Iterator[PregelExecutableTask]:
        """The adopted tasks that are over and whose turn it is, with their writes filled in.

        They need no executor any more: the caller commits each before it asks for the next.
        """
        while self.order is not None:
            with self.lock:
                match self.order.next(self.clock()):
                    case Turn(key):
                        ahead = self._adopted_by_task[str(key)]
                    case WakeAt(at, key):
                        self.wake_later(self._adopted_by_task[str(key)], at)
                        return
                    case None:
                        return
                if ahead.end is not End.FINISHED or ahead.outbox.emissions:
                    ahead.owes_output = True
                    self.grant(ahead)
                    return
            task = ahead.adopted
            assert task is not None
            ahead.use()
            task.writes.extend(ahead.task.writes)
            yield task
            self.end_turns(ahead)

    def _begin_order(self, tasks: dict[str, PregelExecutableTask]) -> None:
        """Adopted tasks queue with what they have emitted so far. The lock is held."""
        if not self._adopted_by_task:
            self.order = None
            return
        for task_id in tasks:
            ahead = self._adopted_by_task.get(task_id)
            if self.order is not None:
                if ahead is None and task_id not in self._ended:
                    self.order.began(task_id, self._step_zero)
                elif ahead is not None and ahead.end is None:
                    self.order.began(task_id, ahead.zero)
            if ahead is not None:
                self._queue(ahead)

    def _queue(self, ahead: AheadTask) -> None:
        """Ask for the task's turn if it has something to hand out. The lock is held."""
        if ahead.is_queued or ahead.adopted is None:
            return
        offset = ahead.next_offset()
        if offset is None:
            return
        ahead.is_queued = True
        if self.order is None:
            self.grant(ahead)
        else:
            is_end = not ahead.outbox.emissions
            self.order.wait(ahead.adopted.id, offset, is_end=is_end)

    def emitted(self, ahead: AheadTask) -> None:
        """An adopted body emitted something, or ended."""
        with self.lock:
            self._queue(ahead)
        self.pump()

    def pump(self) -> None:
        """Give the turn to whoever may hand something out now, or arrange to be asked again."""
        with self.lock:
            if self.order is None or self.is_closed:
                return
            match self.order.next(self.clock()):
                case Turn(key):
                    ahead = self._adopted_by_task[str(key)]
                    ahead.owes_output = True
                    self.grant(ahead)
                case WakeAt(at, key):
                    self.wake_later(self._adopted_by_task[str(key)], at)

    def keeps_turn(self, ahead: AheadTask) -> bool:
        """Whether the task, which has the turn, may hand out its next output now."""
        assert ahead.adopted is not None
        with self.lock:
            offset = ahead.next_offset()
            if offset is None:
                return False
            if ahead.owes_output:
                # The one that it got the turn for: else two outputs of the same age could pass
                # the turn to each other for ever.
                ahead.owes_output = False
                return True
            if self.order is None:
                return True
            key, is_end = ahead.adopted.id, not ahead.outbox.emissions
            return self.order.goes_on(key, offset, self.clock(), is_end=is_end)

    def pass_turn(self, ahead: AheadTask) -> None:
        """Let others hand out; the task queues again if it has more."""
        assert ahead.adopted is not None
        with self.lock:
            ahead.is_queued = False
            if self.order is not None:
                self.order.release(ahead.adopted.id)
            self._queue(ahead)
        self.pump()

    def end_turns(self, ahead: AheadTask) -> None:
        """The task has handed out everything."""
        assert ahead.adopted is not None
        with self.lock:
            if self.order is not None:
                self.order.release(ahead.adopted.id)
        self.pump()

    def committed(self, task_id: str, end: End) -> None:
        """The task's update is in the stream; others may hand out after it. The lock is held."""
        assert self.order is not None
        self.order.release(task_id)

    def play_eagerly(self, emission: Emission) -> None:
        """Hand out a chunk of a body that is not real yet."""
        stream = self.loop.stream
        if emission.kind == STREAM:
            self.loop.config[names.CONF][names.CONFIG_KEY_STREAM](*emission.args)
        elif stream is not None and "custom" in stream.modes:
            called_from = (emission.kwargs["config"] or {}).get(names.CONF, {})
            ns = called_from.get(names.CONFIG_KEY_CHECKPOINT_NS)
            # The body's own namespace may not be known yet, but its parent's is.
            is_own = ns is None or is_lazy(ns)
            namespace = self.loop.checkpoint_ns if is_own else tuple(ns.split(names.NS_SEP)[:-1])
            stream((namespace, "custom", *emission.args))

    def play(self, emission: Emission, config: RunnableConfig) -> None:
        """Hand out a custom chunk or a subgraph's chunk, as the real task would."""
        conf = config[names.CONF]
        if emission.kind == CUSTOM:
            writer = conf[names.CONFIG_KEY_RUNTIME].stream_writer
            called_from = emission.kwargs["config"] or config
            with names.set_config_context(called_from) as context:
                context.run(writer, *map(real_values, emission.args))
        elif emission.kind == STREAM:
            conf[names.CONFIG_KEY_STREAM](*emission.args)

    def outcome(self, ahead: AheadTask, config: RunnableConfig) -> Any:
        """Give the real task what the body wrote and returned, or raise what it raised."""
        if ahead.exception is not None:
            error = ahead.exception
            ahead.exception = None
            if isinstance(error, GraphBubbleUp):
                self.end_turns(ahead)  # no siblings are cut off by it
            raise error
        send = config[names.CONF][names.CONFIG_KEY_SEND]
        send(list(ahead.task.writes))
        return ahead.value
