"""The model and the search of the demo: no network, real text, the times of a real engine.

The model does each stage's work on the text that it is given: it recalls a prepared answer
(`data/answers/`, with some mistakes in it), finds the claims in it, writes queries, and
compares claims with passages. How many tokens each output has and how long a search takes is
drawn from the fixed shape of this application, below, seeded by the text that it is for: an
output is cut into just so many tokens. Nothing here was chosen to make a ratio look good.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from langchain_core.documents import Document

from examples.factcheck import prompts
from examples.factcheck.judge import judge, sentences
from langgraph_alto.testing import (
    CallLog,
    Clock,
    FakeChatModel,
    FakeEngine,
    FakeRetriever,
    LogNormal,
    Prompt,
    RealClock,
    Reply,
    azure,
    rng,
)
from langgraph_alto.testing.fake_retriever import terms

DATA = Path(__file__).parent / "data"

# The shape. Tokens of an output: mean (sigma, clip); seconds: median (sigma, clip).
ANSWER_TOKENS = azure(60, 1000)
TOKENS_A_CLAIM, FEWEST_CLAIMS, MOST_CLAIMS = 60, 3, 12
CLAIM_TOKENS = LogNormal.with_mean(25, 0.35)
QUERY_TOKENS = LogNormal.with_mean(30, 0.3)
VERDICT_TOKENS = LogNormal.with_mean(100, 0.4, 40, 300)
REPORT_TOKENS = LogNormal.with_mean(250, 0.5, 60, 900)
SEARCH_SECONDS = LogNormal.with_median(0.25, 0.8, 0.1, 6.0)


def chat_model(clock: Clock | None = None, log: CallLog | None = None) -> FakeChatModel:
    """The offline model on an engine of its own."""
    return FakeChatModel(
        script=speak,
        engine=FakeEngine(clock=clock or RealClock()),
        log=log or CallLog(),
        model_name="offline-factcheck",
    )


def retriever(clock: Clock | None = None, log: CallLog | None = None) -> FakeRetriever:
    """A search in the passages of `data/reference/`."""
    return FakeRetriever(
        documents=references(),
        k=2,
        latency=SEARCH_SECONDS,
        clock=clock or RealClock(),
        log=log or CallLog(),
    )


def questions() -> list[str]:
    """The questions that the model has an answer to."""
    return list(answers())


@cache
def answers() -> dict[str, list[str]]:
    """Question -> the paragraphs of its answer; the first sentence of each is its claim."""
    found: dict[str, list[str]] = {}
    for path in sorted((DATA / "answers").glob("*.md")):
        title, *paragraphs = re.split(r"\n\s*\n", path.read_text(encoding="utf-8").strip())
        found[title.removeprefix("# ")] = [" ".join(p.split()) for p in paragraphs]
    return found


@cache
def references() -> tuple[Document, ...]:
    """All passages, each with its title."""
    found: list[Document] = []
    for path in sorted((DATA / "reference").glob("*.md")):
        for section in re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.M)[1:]:
            title, text = section.split("\n", 1)
            metadata = {"title": title.strip(), "file": path.name}
            found.append(Document(" ".join(text.split()), metadata=metadata))
    return tuple(found)


def speak(prompt: Prompt) -> Reply:
    """The model's answer to any prompt of the application."""
    stages = {
        prompts.EXTRACT: say_claims,
        prompts.QUERIES: say_queries,
        prompts.VERDICT: say_verdict,
        prompts.REPORT: say_report,
    }
    return stages.get(prompt.system, say_answer)(prompt.last)


def say_answer(question: str) -> Reply:
    """As much of the prepared answer as its length has room for."""
    known = answers()
    # Any other question gets the prepared answer that is closest to it.
    nearest = max(known, key=lambda q: (q == question, len(terms(q) & terms(question))))
    tokens = ANSWER_TOKENS.tokens(rng("answer", question))
    claims = min(MOST_CLAIMS, max(FEWEST_CLAIMS, round(tokens / TOKENS_A_CLAIM)))
    return Reply.of("\n\n".join(known[nearest][:claims]), tokens)


def say_claims(text: str) -> Reply:
    """The first sentence of each paragraph."""
    paragraphs = text.removeprefix("Text:\n").split("\n\n")
    claims = [sentences(paragraph)[0] for paragraph in paragraphs][:MOST_CLAIMS]
    return _json_list("claims", claims, [claim_tokens(claim) for claim in claims])


def claim_tokens(claim: str) -> int:
    """How many tokens a claim takes in the list of claims."""
    return CLAIM_TOKENS.tokens(rng("claim", claim))


def say_queries(text: str) -> Reply:
    """A query for the claim and one for its subject, without the numbers."""
    claim = text.removeprefix("Claim: ")
    subject = [w for w in re.findall(r"[^\W\d_]+", claim) if terms(w)]
    queries = [f"Is it true that {claim[:-1]}?", " ".join([*subject, "history facts figures"])]
    return _json_list("queries", queries, [QUERY_TOKENS.tokens(rng("query", q)) for q in queries])


def say_verdict(text: str) -> Reply:
    """A comparison of the claim with the passages, with its reason."""
    claim, *found = text.removeprefix("Claim: ").split("\n\nPassage: ")
    passages = [(title, body) for title, _, body in (p.partition("\n") for p in found)]
    label, title, sentence = judge(claim, passages)
    if label == "not found":
        subjects = ", ".join(f"“{title}”" for title, _ in passages) or "nothing"
        reason = f"No passage speaks about it. The search found {subjects}."
    else:
        says = "says the same" if label == "supported" else "differs"
        reason = f"The passage “{title}” {says}: {sentence}"
    answer = json.dumps({"label": label, "reason": reason}, ensure_ascii=False)
    return Reply.of(answer, VERDICT_TOKENS.tokens(rng("verdict", claim)))


def say_report(text: str) -> Reply:
    """The report, from the verdicts in the prompt."""
    question = text.removeprefix("Question: ").split("\n", 1)[0]
    verdicts = re.findall(r"^- \[([^\]]+)\] (.*?) \| (.*)$", text, flags=re.M)
    by_label = {
        label: [(claim, reason) for found, claim, reason in verdicts if found == label]
        for label in ("supported", "refuted", "not found")
    }
    counts = ", ".join(f"{len(found)} {label}" for label, found in by_label.items())
    parts = [f"Of {len(verdicts)} claims, {counts}."]
    parts += [f"Refuted: {claim} {reason}" for claim, reason in by_label["refuted"]]
    parts += [
        f"Nothing was found on this claim, which does not make it false: {claim}"
        for claim, _ in by_label["not found"]
    ]
    if by_label["supported"]:
        parts.append("Supported: " + " ".join(claim for claim, _ in by_label["supported"]))
    careful = "with the corrections above" if by_label["refuted"] else "as it stands"
    parts.append(f"The answer can be used {careful}.")
    return Reply.of(" ".join(parts), REPORT_TOKENS.tokens(rng("report", question)))


def _json_list(key: str, items: list[str], tokens: list[int]) -> Reply:
    """A JSON object with one list whose items have the given numbers of tokens."""
    reply = Reply()
    for i, (item, count) in enumerate(zip(items, tokens, strict=True)):
        opening = f'{{"{key}": [' if i == 0 else " "
        closing = "]}" if i == len(items) - 1 else ","
        reply += Reply.of(f"{opening}{json.dumps(item, ensure_ascii=False)}{closing}", count)
    return reply if items else Reply.of(f'{{"{key}": []}}')
