"""Makes one of two siblings slow. Bodies call it; the harness decides how they wait.

A scan of the bodies must find nothing here that could hold them: an `asyncio.sleep` of so many
virtual seconds, and a logger, behind which the harness can keep a thread waiting.
"""

from __future__ import annotations

import asyncio
import logging

SECONDS = {"left": 0.0, "right": 0.0}
"""For how long each of the two waits in an asynchronous run."""

LOGGER = logging.getLogger("tests.hidden")


async def apause(who: str) -> None:
    """Wait, if this is the slow one."""
    await asyncio.sleep(SECONDS[who])


def pause(who: str) -> None:
    """The same on a thread."""
    LOGGER.info("%s waits", who)
