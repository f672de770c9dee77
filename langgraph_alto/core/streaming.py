"""When the routers of a task that still writes are evaluated, and what their answers are worth.

A router is written for the finished state. Asked about a part of it, it may say what it would
not say in the end. So its `Send`s count only as long as growth does not change them:

1. Only `Send`s count, never the name of a node.
2. Before the first of them is believed, the router is asked twice: about what is there, and about
   the same with one more element (the last one again). A `Send` that depends on the number or
   on the whole of the elements changes, and then the router waits for its producer.
3. If a later answer changes a `Send` that an earlier one gave, that task is retracted, and the
   router waits for its producer from then on.
4. The newest state alone is looked at, and what questions cost is rationed: after t seconds all
   of them together took `BURST` + t * `SHARE` seconds at most (and the last of them what it
   took), however many partial outputs there were. This is a token bucket.
5. While many `Send`s wait for a slot already, none is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from langgraph_alto.core.events import SendSpec

SHARE = 0.01
"""The share of the time that questions to routers may take."""

BURST = 0.002
"""Seconds that questions may take before their share of the time is up: the first come at once."""

Same = Callable[[object, object], bool]


class Watch:
    """One task that streams.

    Args:
        same: Whether two arguments are equal.
        most_waiting: So many `Send`s may wait for a slot.

    Example:
        >>> watch = Watch(lambda a, b: a == b)
        >>> watch.ask_at(now=5.0)
        5.0
        >>> one, two = SendSpec("work", 1), SendSpec("work", 2)
        >>> watch.answered([one], [one, two])
        [SendSpec(node='work', arg=1, packet=None)]
        >>> watch.rest(5.003, took=0.003)
        >>> round(watch.ask_at(now=5.01), 3)  # 1 ms more than `BURST`: a hundredth of the time
        5.1
    """

    def __init__(self, same: Same, most_waiting: int = 256) -> None:
        self.given: list[SendSpec] = []
        self.waits: str | None = None
        """Why the routers are not asked any more before the task has ended."""
        self.asked = 0
        self.seconds = 0.0
        self._same = same
        self._most_waiting = most_waiting
        self._since: float | None = None
        self._next = float("-inf")
        self._is_probed = False

    @property
    def needs_probe(self) -> bool:
        """Whether the router must be asked about one more element as well."""
        return not self._is_probed

    def ask_at(self, now: float, waiting: int = 0) -> float | None:
        """When the routers may be asked next: at once if that is `now` or before; None: not.

        Args:
            now: The time, in seconds.
            waiting: How many `Send`s wait for a slot.
        """
        if self.waits is not None or waiting >= self._most_waiting:
            return None
        return max(now, self._next)

    def rest(self, now: float, took: float) -> None:
        """A question was asked that ended `now` and cost `took` seconds of processor time."""
        if self._since is None:
            self._since = now - took
        self.asked += 1
        self.seconds += took
        self._next = self._since + max(0.0, self.seconds - BURST) / SHARE

    def answered(
        self, sends: Sequence[SendSpec], probed: Sequence[SendSpec] | None
    ) -> list[SendSpec] | None:
        """The routers' answer; returns the `Send`s that count now, None if nothing changed.

        Args:
            sends: What they gave for the state as it is.
            probed: What they gave for one more element; None if they were not asked.
        """
        if sends and not self._is_probed:
            if probed is None or not self._begins_with(probed, sends):
                return self._stop("its Sends depend on all elements, so they change as more come")
            self._is_probed = True
        if not self._begins_with(sends, self.given):
            return self._stop("a later element changed a Send")
        if len(sends) == len(self.given):
            return None
        self.given = list(sends)
        return self.given

    def failed(self, error: str) -> list[SendSpec] | None:
        """The routers raised: perhaps they need what is not there yet. They are asked again."""
        return self._stop(f"its router raised {error}") if self.given else None

    def stop(self, reason: str) -> list[SendSpec] | None:
        """The routers are not asked any more."""
        return None if self.waits is not None else self._stop(reason)

    def begin_anew(self) -> list[SendSpec] | None:
        """The body begins again (a retry): what it gave before does not count."""
        had = bool(self.given)
        self.given = []
        return self.given if had else None

    def _stop(self, reason: str) -> list[SendSpec] | None:
        self.waits = reason
        return self.begin_anew()

    def _begins_with(self, sends: Sequence[SendSpec], start: Sequence[SendSpec]) -> bool:
        return len(sends) >= len(start) and all(
            a.node == b.node and (a.arg is b.arg or self._same(a.arg, b.arg))
            for a, b in zip(sends, start, strict=False)
        )
