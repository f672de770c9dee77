"""Rows that have no synchronous twin: what asyncio offers to share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.hidden.kit import Case, Table, row
from tests.hidden.quartet import quartet

TABLE: Table = {}
SHARED = "shared container"
ASYNC = ("async",)


@row(TABLE, SHARED, twins=ASYNC)
def gathered(place: Path) -> Case:
    names: list[str] = []

    async def keep(name: str) -> None:
        names.append(name)

    async def remember(who: str) -> None:
        await asyncio.gather(keep(who), keep(f"{who} again"))

    async def recall() -> list[str]:
        return list(names)

    return Case(quartet(remember, recall), effect=lambda: names)


@row(TABLE, SHARED, twins=ASYNC)
def task(place: Path) -> Case:
    names: list[str] = []

    async def keep(name: str) -> None:
        names.append(name)

    async def remember(who: str) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(keep(who))

    async def recall() -> list[str]:
        return list(names)

    return Case(quartet(remember, recall), effect=lambda: names)


@row(TABLE, SHARED, twins=ASYNC)
def thread(place: Path) -> Case:
    names: list[str] = []

    async def remember(who: str) -> None:
        await asyncio.to_thread(names.append, who)

    async def recall() -> list[str]:
        return list(names)

    return Case(quartet(remember, recall), effect=lambda: names)


@row(TABLE, SHARED, twins=ASYNC)
def list_under_a_lock(place: Path) -> Case:
    names: list[str] = []
    lock = asyncio.Lock()

    async def remember(who: str) -> None:
        async with lock:
            names.append(who)

    async def recall() -> list[str]:
        async with lock:
            return list(names)

    return Case(quartet(remember, recall), effect=lambda: names)


@row(TABLE, "outward write", twins=ASYNC)
def queue(place: Path) -> Case:
    waiting: asyncio.Queue[str] = asyncio.Queue()

    async def remember(who: str) -> None:
        await waiting.put(who)

    async def recall() -> int:
        return waiting.qsize()

    return Case(quartet(remember, recall), effect=waiting.qsize)


@row(TABLE, SHARED, twins=ASYNC)
def flag(place: Path) -> Case:
    flags = {"left": asyncio.Event(), "right": asyncio.Event()}

    async def remember(who: str) -> None:
        flags[who].set()

    async def recall() -> bool:
        return flags["left"].is_set() and flags["right"].is_set()

    return Case(quartet(remember, recall))


@row(TABLE, SHARED, twins=ASYNC)
def asynchronous_generator(place: Path) -> Case:
    async def numbers() -> AsyncIterator[int]:
        for number in range(100):
            yield number

    machine = numbers()

    async def remember(who: str) -> Any:
        return await anext(machine)

    async def recall() -> list[int]:
        return [await anext(machine)]

    return Case(quartet(remember, recall))


@row(TABLE, SHARED, twins=ASYNC)
def asynchronous_context_manager(place: Path) -> Case:
    names: list[str] = []

    @contextlib.asynccontextmanager
    async def noted(who: str) -> AsyncIterator[list[str]]:
        yield names

    async def remember(who: str) -> None:
        async with noted(who) as found:
            found.append(who)

    async def recall() -> list[str]:
        return list(names)

    return Case(quartet(remember, recall))


@row(TABLE, runs_ahead=1, twins=ASYNC)
def gathered_reads(place: Path) -> Case:
    prices = {"left": 1, "right": 2}
    gate = asyncio.Semaphore(1)

    async def price(who: str) -> int:
        async with gate:
            await asyncio.sleep(0)
        return prices[who]

    async def remember(who: str) -> None:
        await asyncio.wait_for(price(who), timeout=5.0)

    async def recall() -> list[int]:
        return list(await asyncio.gather(price("left"), price("right")))

    return Case(quartet(remember, recall))
