"""Holds LangGraph's own tasks back, to learn which tests can't stand the chaos harness itself.

`langgraph_alto.testing.chaos` does this for graphs that run on ALTO. A test that fails under
it may have found a fault of ALTO, or it may measure time or block on a sibling that the
harness delays. What fails under the same delays on LangGraph alone is of the second kind.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


@contextmanager
def hold_langgraph(longest: float) -> Iterator[None]:
    """Every task of LangGraph's own executor starts up to `longest` seconds late."""
    # Both names are private to LangGraph. All its tasks pass through them, the only task of
    # a step as well as one of many, and they are looked up in this module at each call.
    runner: Any = import_module("langgraph.pregel._runner")
    run, arun = runner.run_with_retry, runner.arun_with_retry
    delays = random.Random(0)

    def run_late(*args: Any, **kwargs: Any) -> Any:
        time.sleep(delays.uniform(0, longest))
        return run(*args, **kwargs)

    async def arun_late(*args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(delays.uniform(0, longest))
        return await arun(*args, **kwargs)

    runner.run_with_retry, runner.arun_with_retry = run_late, arun_late
    try:
        yield
    finally:
        runner.run_with_retry, runner.arun_with_retry = run, arun
