"""`FakeRetriever`: finds passages by shared words, after the time that a search takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field

from langgraph_alto.testing.calls import CallLog
from langgraph_alto.testing.clock import Clock, RealClock
from langgraph_alto.testing.lengths import LogNormal, rng

SEARCH_LATENCY = LogNormal.with_median(0.25, 0.8, 0.1, 6.0)
"""Seconds that a retrieval takes."""

# ruff: noqa: SIM905  # a list of words reads better as text
_STOP_WORDS = frozenset(
    "a an and are as at be been but by did do does for from had has have how in into is it its "
    "of on or that the their then there these they this to was were what when where which who "
    "why will with".split()
)


def terms(text: str) -> frozenset[str]:
    """The words and numbers of a text that say what it is about.

    Example:
        >>> sorted(terms("The tower was 1,083 feet high."))
        ['1083', 'feet', 'high', 'tower']
    """
    words = re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+", re.sub(r"(?<=\d),(?=\d)", "", text.lower()))
    return frozenset(word for word in words if word not in _STOP_WORDS and len(word) > 1)


class FakeRetriever(BaseRetriever):
    """The `k` documents that share most words with the query, ties in their given order.

    Latency is drawn from `latency`, seeded by the query: one query takes the same time
    whoever asks, and whenever.

    Example:
        >>> from langchain_core.documents import Document
        >>> from langgraph_alto.testing import FakeRetriever, VirtualClock
        >>> documents = [Document("Bees make honey."), Document("Cows give milk.")]
        >>> retriever = FakeRetriever(documents=documents, k=1, clock=VirtualClock())
        >>> retriever.invoke("Who makes honey?")[0].page_content
        'Bees make honey.'
    """

    documents: Sequence[Document] = ()
    k: int = 2
    latency: LogNormal = SEARCH_LATENCY
    clock: Clock = Field(default_factory=RealClock, exclude=True)
    log: CallLog = Field(default_factory=CallLog, exclude=True)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        with self._serving(query, run_manager) as deadline:
            self.clock.sleep_until(deadline)
            return self.best(query)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        with self._serving(query, run_manager) as deadline:
            await self.clock.wait_until(deadline)
            return self.best(query)

    def best(self, query: str) -> list[Document]:
        """What a search for `query` gives, at once."""
        wanted = terms(query)
        scored = [(len(wanted & found), -i) for i, found in enumerate(self._terms())]
        top = sorted((s for s in scored if s[0] > 0), reverse=True)[: self.k]
        # Copies: who changes a result must not change what the next search finds.
        return [self.documents[-i].model_copy(deep=True) for _, i in top]

    def _terms(self) -> Iterable[frozenset[str]]:
        return (terms(document.page_content) for document in self.documents)

    @contextmanager
    def _serving(
        self,
        query: str,
        run_manager: CallbackManagerForRetrieverRun | AsyncCallbackManagerForRetrieverRun,
    ) -> Iterator[float]:
        """The search as a call; gives its deadline."""
        with self.log.record("retrieval", self.clock, run_manager.metadata) as call:
            yield call.started + self.latency.draw(rng("retrieval", query))
