"""From a plan to fresh objects: module, graph, checkpointer, store and cache."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import os
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.store.memory import InMemoryStore

from compat.fuzz.plan import GraphPlan
from compat.fuzz.source import render

_numbers = itertools.count()


class LateMemorySaver(InMemorySaver):
    """Writing takes virtual time, so that saving overlaps the next step as it does in life."""

    latency = 0.0

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        await asyncio.sleep(self.latency)
        return await super().aput(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        await asyncio.sleep(self.latency)
        await super().aput_writes(config, writes, task_id, task_path)


class InlineSqliteSaver(SqliteSaver):
    """SQLite for async runs without a thread: a thread has no place on a virtual clock."""

    latency = 0.0

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self.get_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        for found in self.list(config, filter=filter, before=before, limit=limit):
            yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        await asyncio.sleep(self.latency)
        return self.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        await asyncio.sleep(self.latency)
        self.put_writes(config, writes, task_id, task_path)


@dataclass
class Built:
    """A graph that was compiled for one run, and what it works on."""

    graph: Any
    saver: BaseCheckpointSaver[Any] | None
    store: InMemoryStore


@contextmanager
def built(plan: GraphPlan, delays: str) -> Iterator[Built]:
    """Build a plan. Its module lives in a real file, since the executor reads node sources."""
    name = f"alto_fuzz_{next(_numbers)}"
    with tempfile.TemporaryDirectory(prefix="alto-fuzz-") as folder:
        path = os.path.join(folder, f"{name}.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(render(plan, delays))
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        connection = None
        try:
            spec.loader.exec_module(module)
            saver: BaseCheckpointSaver[Any] | None = None
            if plan.run.checkpointer == "memory":
                saver = LateMemorySaver()
                saver.latency = plan.run.latency
            elif plan.run.checkpointer == "sqlite":
                connection = sqlite3.connect(":memory:", check_same_thread=False)
                saver = InlineSqliteSaver(connection)
                saver.latency = plan.run.latency
            store = InMemoryStore()
            graph = module.build(saver, store, InMemoryCache())
            graph.step_timeout = plan.run.step_timeout
            yield Built(graph, saver, store)
        finally:
            del sys.modules[name]
            if connection is not None:
                connection.close()
