"""A small report writer to look at in a trace: partial output fans out, twice, and is joined.

    plan --sections--> research --queries--> search ---> report

`plan` streams an outline; each line of it is a section. `research` streams search queries for one
section. `search` calls a tool. `report` joins what was found. It is an ordinary LangGraph
application; the model and the search are fakes that take realistic time and need no network.

    langgraph-alto trace examples/tracing/app.py:graph --input '{"topic": "bees"}' --html flow.html
"""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict

from langchain_core.documents import Document
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, tool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Send

from langgraph_alto import Partial
from langgraph_alto.testing import (
    Clock,
    FakeChatModel,
    FakeEngine,
    FakeRetriever,
    LogNormal,
    Prompt,
    RealClock,
)

OUTLINE, QUERIES, REPORT = "Write an outline.", "Write search queries.", "Write the report."


class State(TypedDict, total=False):
    """What the nodes share."""

    topic: str
    sections: Annotated[list[str], operator.add]
    queries: Annotated[list[str], operator.add]
    found: Annotated[list[str], operator.add]
    report: str


class Section(TypedDict):
    """What one `research` task is given."""

    section: str


class Query(TypedDict):
    """What one `search` task is given."""

    query: str


def build(
    model: BaseChatModel | None = None,
    retriever: BaseRetriever | None = None,
    clock: Clock | None = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The application, on fakes unless a model or a retriever is given."""
    clock = clock or RealClock()
    model = model or FakeChatModel(
        script=answer, engine=FakeEngine(clock=clock), model_name="offline-writer"
    )
    retriever = retriever or FakeRetriever(
        documents=[Document(text) for text in PASSAGES],
        k=1,
        clock=clock,
        latency=LogNormal.with_median(0.35, 0.6, 0.1, 2.0),
    )
    builder = StateGraph(State)
    builder.add_node("plan", planner(model))
    builder.add_node("research", researcher(model))
    builder.add_node("search", searcher(web_search_in(retriever)))
    builder.add_node("report", reporter(model))
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", each_section, ["research"])
    builder.add_conditional_edges("research", each_query, ["search"])
    builder.add_edge("search", "report")
    builder.add_edge("report", END)
    return builder.compile(name="report writer")


def each_section(state: State) -> list[Send]:
    """One `research` for each section, as soon as it is written."""
    return [Send("research", {"section": section}) for section in state["sections"]]


def each_query(state: State) -> list[Send]:
    """One `search` for each query, as soon as it is written."""
    return [Send("search", {"query": query}) for query in state["queries"]]


def planner(model: BaseChatModel) -> Any:
    """`plan`: a generator, so that each section goes on when its line is complete."""

    async def plan(state: State) -> AsyncIterator[Partial]:
        async for line in lines(model, OUTLINE, state["topic"]):
            yield Partial(sections=[line])

    return plan


def researcher(model: BaseChatModel) -> Any:
    """`research`: the same one level deeper."""

    async def research(task: Section) -> AsyncIterator[Partial]:
        async for line in lines(model, QUERIES, task["section"]):
            yield Partial(queries=[line])

    return research


def searcher(web_search: BaseTool) -> Any:
    """`search`: one call of the tool."""

    async def search(task: Query) -> dict[str, list[str]]:
        passage = await web_search.ainvoke({"query": task["query"]})
        return {"found": [f"{task['query']}: {passage}"]}

    return search


def reporter(model: BaseChatModel) -> Any:
    """`report`: joins all that was found."""

    async def report(state: State) -> dict[str, str]:
        found = "\n".join(state["found"])
        reply = await model.ainvoke(messages(REPORT, f"{state['topic']}\n{found}"))
        return {"report": str(reply.text)}

    return report


def web_search_in(retriever: BaseRetriever) -> BaseTool:
    """The tool `web_search`."""

    @tool
    async def web_search(query: str) -> str:
        """Find a passage about a query."""
        found = await retriever.ainvoke(query)
        return found[0].page_content if found else "nothing"

    web_search.metadata = {"alto": {"effects": "idempotent"}}  # it may start early
    return web_search


async def lines(model: BaseChatModel, task: str, text: str) -> AsyncIterator[str]:
    """The lines of the model's answer, each when it is complete."""
    line = ""
    async for chunk in model.astream(messages(task, text)):
        line += str(chunk.text)
        while "\n" in line:
            done, _, line = line.partition("\n")
            yield done
    if line:
        yield line


def messages(task: str, text: str) -> list[BaseMessage]:
    """A prompt."""
    return [SystemMessage(task), HumanMessage(text)]


def answer(prompt: Prompt) -> str:
    """What the offline model says: the same to the same prompt, always."""
    about = prompt.last.splitlines()[0]
    if prompt.system == OUTLINE:
        parts = ("where they come from", "how they live together", "what they give us")
        parts += ("what threatens them", "what can be done for them")
        return "\n".join(f"{about}: {part}, told with examples and figures" for part in parts)
    if prompt.system == QUERIES:
        part = about.partition(": ")[2].partition(",")[0] or about
        return "\n".join(
            f"{question} {part} in the reports of the last ten years"
            for question in ("which studies say", "what numbers show")
        )
    found = prompt.last.count("\n")
    return f"A report on {about}, made of {found} passages that were found. " + "It goes on. " * 20


PASSAGES = (
    "Colonies share their work by age: nurses, builders, then foragers.",
    "Pollination by insects is worth more than a tenth of all harvests.",
    "Mites, pesticides and lost meadows threaten them most.",
    "Strips of flowers between fields help within two years.",
)

graph = build()
