"""Fact check: answer a question, then check each claim of the answer against references.

    answer -> extract -+-> claim -> search -> verdict -+-> report
                       +-> claim -> search -> verdict -+
                       +-> ...        (one chain a claim)

This is an ordinary LangGraph application: nothing in it knows about langgraph_alto. Each
claim's chain is a series of `Send`s, so a claim needs nothing of its neighbours until the
report. LangGraph still runs the chains in lockstep: no claim is searched before the queries
of every claim are written, and no verdict begins before the slowest search has ended.
"""

import asyncio
import operator
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Send
from pydantic import BaseModel

# Loaded by its path, as in `langgraph-alto run examples/factcheck/app.py:graph`, this file
# belongs to no package, and the folder above `examples` must be found another way.
if (_root := str(Path(__file__).resolve().parents[2])) not in sys.path:
    sys.path.append(_root)

from examples.factcheck import offline, prompts

Label = Literal["supported", "refuted", "not found"]


class Claims(BaseModel):
    """What `extract` asks of the model."""

    claims: list[str]


class Queries(BaseModel):
    """What `claim` asks of the model."""

    queries: list[str]


class Finding(BaseModel):
    """What `verdict` asks of the model."""

    label: Label
    reason: str


class Verdict(TypedDict):
    """A checked claim, as it stands in the state."""

    claim: str
    label: Label
    reason: str


class State(TypedDict, total=False):
    """The graph's state. Chains add to `verdicts`; LangGraph keeps the order of the claims."""

    question: str
    answer: str
    claims: list[str]
    verdicts: Annotated[list[Verdict], operator.add]
    report: str


class ClaimTask(TypedDict):
    """One claim on its way: the argument of the first `Send` of a chain."""

    index: int
    claim: str


class SearchTask(ClaimTask):
    """A claim with its queries."""

    queries: list[str]


class VerdictTask(ClaimTask):
    """A claim with what was found."""

    passages: list[str]


def build(
    model: BaseChatModel | None = None, retriever: BaseRetriever | None = None
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The compiled graph, on any chat model and retriever; by default on the offline ones."""
    chat = model or offline.chat_model()
    references = retriever or offline.retriever()
    claims_of: Runnable[Any, Any] = chat.with_structured_output(Claims)
    queries_of: Runnable[Any, Any] = chat.with_structured_output(Queries)
    finding_of: Runnable[Any, Any] = chat.with_structured_output(Finding)

    async def answer(state: State) -> State:
        reply = await chat.ainvoke([HumanMessage(state["question"])])
        return {"answer": str(reply.text)}

    async def extract(state: State) -> Command[Literal["claim", "report"]]:
        found = await claims_of.ainvoke(
            [SystemMessage(prompts.EXTRACT), HumanMessage(f"Text:\n{state['answer']}")]
        )
        chains = [
            Send("claim", ClaimTask(index=index, claim=text))
            for index, text in enumerate(found.claims)
        ]
        return Command(update={"claims": found.claims}, goto=chains or "report")

    async def claim(task: ClaimTask) -> Command[Literal["search"]]:
        written = await queries_of.ainvoke(
            [SystemMessage(prompts.QUERIES), HumanMessage(f"Claim: {task['claim']}")],
            about(task),
        )
        return Command(goto=[Send("search", SearchTask(**task, queries=written.queries))])

    async def search(task: SearchTask) -> Command[Literal["verdict"]]:
        results = await asyncio.gather(
            *(references.ainvoke(query, about(task)) for query in task["queries"])
        )
        passages: list[str] = []
        for document in (document for documents in results for document in documents):
            text = f"{document.metadata['title']}\n{document.page_content}"
            if text not in passages:
                passages.append(text)
        found = VerdictTask(index=task["index"], claim=task["claim"], passages=passages)
        return Command(goto=[Send("verdict", found)])

    async def verdict(task: VerdictTask) -> State:
        evidence = "\n\n".join(f"Passage: {passage}" for passage in task["passages"])
        finding = await finding_of.ainvoke(
            [SystemMessage(prompts.VERDICT), HumanMessage(f"Claim: {task['claim']}\n\n{evidence}")],
            about(task),
        )
        checked = Verdict(claim=task["claim"], label=finding.label, reason=finding.reason)
        return {"verdicts": [checked]}

    async def report(state: State) -> State:
        verdicts = "\n".join(
            f"- [{v['label']}] {v['claim']} | {v['reason']}" for v in state.get("verdicts", [])
        )
        reply = await chat.ainvoke(
            [
                SystemMessage(prompts.REPORT),
                HumanMessage(
                    f"Question: {state['question']}\n\nAnswer:\n{state['answer']}\n\n"
                    f"Verdicts:\n{verdicts}"
                ),
            ]
        )
        return {"report": str(reply.text)}

    builder = StateGraph(State)
    builder.add_node(answer)
    builder.add_node(extract)
    builder.add_node(claim)
    builder.add_node(search)
    builder.add_node(verdict)
    builder.add_node(report)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", "extract")
    # All chains have as many steps, so their verdicts end in one superstep and this edge
    # fires once, with all of them in the state.
    builder.add_edge("verdict", "report")
    builder.add_edge("report", END)
    return builder.compile(name="factcheck")


def about(task: ClaimTask) -> RunnableConfig:
    """Says in traces which claim a call is for."""
    return {"metadata": {"claim": task["index"]}}


graph = build()
