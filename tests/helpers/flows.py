"""Flows for tests and pictures: what a run that streams looks like, of any size."""

from __future__ import annotations

from langgraph_alto.flow import Flow, Link, Span, Tick


def sections(count: int, queries: int = 2, *, executor: str = "alto") -> Flow:
    """plan -> research (a section) -> search (a query) -> report, streamed or in supersteps."""
    streamed = executor == "alto"
    every = 0.4
    plan_end = 0.3 + every * count
    spans = [
        Span(
            "plan",
            "plan",
            0.02,
            plan_end,
            parent="run",
            ancestry=("request",),
            ticks=tuple(Tick(0.3 + every * n, n, "sections") for n in range(count)),
            step=1,
            outcome="real",
        ),
        Span("chat", "chat gpt-4o-mini", 0.05, plan_end - 0.02, kind="model", parent="plan"),
    ]
    if streamed:
        spans.append(
            Span(
                "stream",
                "\N{RIGHTWARDS ARROW} research",
                0.3,
                plan_end + 0.1,
                kind="stream",
                parent="run",
                links=(Link("plan"),),
            )
        )
    researched = searched = plan_end
    searches = []
    for n in range(count):
        ready = 0.3 + every * n if streamed else plan_end
        start = ready + (0.03 if n % 4 else 0.25)
        end = start + 0.5 + 0.17 * (n * 7 % 5)
        researched = max(researched, end)
        path = ("request", f"plan.sections[{n}]")
        lost = streamed and n == count - 2
        ticks = tuple(Tick(start + 0.3 + 0.1 * q, q, "queries") for q in range(queries))
        spans.append(
            Span(
                f"r{n}",
                "research",
                start,
                end,
                parent="stream" if streamed else "run",
                ancestry=path,
                links=(Link("plan", n),),
                ticks=ticks if streamed else (),
                step=2,
                outcome="discarded" if lost else "adopted" if streamed else "real",
                reason="plan took the section back" if lost else "",
                details={"alto.task.id": f"task-{n}", "alto.attempt": "1"},
            )
        )
        searches += [] if lost else [(n, q, tick, path) for q, tick in enumerate(ticks)]
    for n, q, tick, path in searches:
        start = (tick.at if streamed else researched) + 0.04
        until = start + 0.35 + 0.21 * ((n * 3 + q * 5) % 6)
        searched = max(searched, until)
        failed = n == 3 and q == 1
        spans.append(
            Span(
                f"s{n}.{q}",
                "search",
                start,
                until,
                parent="run",
                ancestry=(*path, f"research.queries[{q}]"),
                links=(Link(f"r{n}", q if streamed else None),),
                step=3,
                outcome="adopted" if streamed else "real",
                failed=failed,
            )
        )
        spans.append(
            Span(
                f"t{n}.{q}",
                "execute_tool web",
                start + 0.02,
                until - 0.05,
                kind="tool",
                parent=f"s{n}.{q}",
            )
        )
    done = max(researched, searched)
    spans.append(
        Span(
            "report",
            "report",
            done + 0.03,
            done + 1.1,
            parent="run",
            ancestry=("request",),
            links=tuple(Link(f"s{n}.{q}") for n, q, *_ in searches[:32]),
            step=4,
            outcome="real",
        )
    )
    spans.append(Span("run", "report writer", 0.0, done + 1.12, kind="run"))
    return Flow("report writer", tuple(spans), executor=executor).completed()
