"""How the offline model compares a claim with passages: really, if not cleverly.

It looks for the one sentence that shares most words with the claim. If that sentence has all
numbers and names of the claim, it supports it; if it has others in their place, it refutes it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from langgraph_alto.testing.fake_retriever import terms

ENOUGH = 0.5
"""The share of a claim's words that a sentence must have to be about the same thing."""


class Judgement(NamedTuple):
    """A verdict and where it comes from; `sentence` and `title` are empty if nothing was found."""

    label: str
    title: str
    sentence: str


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph."""
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", text.strip())


def numbers(text: str) -> frozenset[str]:
    """The numbers of a text, without separators of thousands."""
    return frozenset(term for term in terms(text) if term[0].isdigit())


def names(text: str) -> frozenset[str]:
    """The capitalised words of a sentence, without the first, which always is."""
    capitalised = re.findall(r"(?<=[a-z0-9,'] )[A-Z][^\W\d_]+", text)
    return terms(" ".join(capitalised))


def judge(claim: str, passages: list[tuple[str, str]]) -> Judgement:
    """Compare a claim with passages, given as (title, text)."""
    wanted = terms(claim)
    best = Judgement("not found", "", "")
    best_share = 0.0
    for title, text in passages:
        for sentence in sentences(text):
            share = len(wanted & terms(sentence)) / max(1, len(wanted))
            if share > best_share:
                best, best_share = Judgement("", title, sentence), share
    if best_share < ENOUGH:
        return Judgement("not found", "", "")
    found = terms(best.sentence)
    for details in (numbers, names):
        if details(claim) - found:  # a detail is missing ...
            if details(best.sentence) - wanted:  # ... and another one stands in its place
                return best._replace(label="refuted")
            return Judgement("not found", "", "")
    return best._replace(label="supported")
