"""When routers are asked about partial state, with time as data."""

from __future__ import annotations

from langgraph_alto.core.events import SendSpec
from langgraph_alto.core.streaming import BURST, SHARE, Watch


def test_the_routers_cost_is_rationed() -> None:
    """1,000 partials a second for ten seconds: routers take 1 % of a run, and the first 2 ms."""
    watch = Watch(lambda a, b: a == b)
    sends: list[SendSpec] = []
    asked = 0
    for partial in range(10_000):
        now = partial / 1000
        sends.append(SendSpec("work", partial))
        at = watch.ask_at(now)
        assert at is not None
        if at <= now:
            took = 20e-6 + 0.3e-6 * len(sends)
            watch.answered(sends, [*sends, SendSpec("work", partial)])
            watch.rest(now + took, took)
            asked += 1
    assert watch.seconds <= BURST + SHARE * 10 + 0.004
    assert 30 < asked < 1000
    assert watch.waits is None
