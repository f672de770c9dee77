"""What a run-ahead body emitted and nobody has seen yet.

It is kept with the age that the body had, and handed out when the task is adopted and it is its
turn (`core.order`); what is never adopted is never seen.
"""

from __future__ import annotations

import operator
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph_alto._langgraph.recorder import Recorder

# What an emission is, if it is no event of a callback:
CUSTOM = "custom"
STREAM = "stream"
TAP = "tap"
MESSAGE = "message"
TOOL_OUTPUT = "tool output"


@dataclass(slots=True)
class Emission:
    """One thing that a body emitted at the age of `offset` seconds.

    If it is for handlers, `recorders` noted it. Once it `is_taken`, no more can be added. If it
    is an error, `notes` is how many notes that had by then.
    """

    offset: float
    kind: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    recorders: list[Recorder] = field(default_factory=list)
    is_taken: bool = False
    notes: int = 0


class Outbox:
    """What a body emitted and nobody has seen, in order. Appending is thread-safe."""

    __slots__ = ("_age", "_appended", "emissions", "is_cut", "lock")

    def __init__(self, age: Callable[[], float], appended: Callable[[], None]) -> None:
        self.emissions: deque[Emission] = deque()
        self.is_cut = False
        self.lock = threading.Lock()
        self._age = age
        self._appended = appended

    def put(self, kind: str, /, *args: Any, **kwargs: Any) -> None:
        """Note something that is not for handlers."""
        self._append(kind, args, kwargs, [])

    def put_by(self, recorder: Recorder, kind: str, /, *args: Any) -> None:
        """Note something that only the handler behind this recorder may see."""
        self._append(kind, args, {}, [recorder])

    def tell(
        self, recorder: Recorder, event: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Note an event. LangChain tells it to one handler after the other: it is still one."""
        with self.lock:
            last = self.emissions[-1] if self.emissions else None
            if (
                last is not None
                and not last.is_taken
                and last.recorders
                and recorder not in last.recorders
                and _is_same_event(last, event, args, kwargs)
            ):
                last.recorders.append(recorder)
                return
        self._append(event, args, kwargs, [recorder])

    def _append(
        self, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any], recorders: list[Recorder]
    ) -> None:
        if not self.is_cut:
            found = Emission(self._age(), kind, args, kwargs, recorders)
            found.notes = len(notes_of(args))
            self.emissions.append(found)
            self._appended()

    def take_next(self) -> Iterator[Emission]:
        """What was emitted next, and all that was emitted at the same moment."""
        offset = self.emissions[0].offset
        while self.emissions and self.emissions[0].offset == offset:
            yield self.emissions.popleft()

    def cut(self) -> None:
        """Nothing of it will ever be seen, nor kept."""
        self.is_cut = True
        self.emissions.clear()


def notes_of(args: tuple[Any, ...]) -> list[str]:
    """The notes of the error that an event is about (the list itself), if it is about one."""
    found = getattr(args[0], "__notes__", None) if args else None
    return found if isinstance(found, list) and isinstance(args[0], BaseException) else []


def _is_same_event(
    emission: Emission, event: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> bool:
    return (
        emission.kind == event
        and len(emission.args) == len(args)
        and emission.kwargs.keys() == kwargs.keys()
        and all(map(operator.is_, emission.args, args))
        and all(emission.kwargs[key] is value for key, value in kwargs.items())
    )
