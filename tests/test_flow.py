"""Flows: waits and overlaps, the critical path in cases with a closed form, rows, the terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from langgraph_alto.flow import Flow, Interval, Link, Span, Tick
from langgraph_alto.flow.critical_path import Segment, critical_path, held_up_by, marks
from langgraph_alto.flow.payload import payload, why
from langgraph_alto.flow.terminal import print_flow
from langgraph_alto.flow.tree import rows
from tests.helpers.flows import sections

REQUEST = ("request",)


def path_of(flow: Flow) -> list[tuple[str | None, float, float, str]]:
    return [(s.span, s.start, s.end, s.kind) for s in critical_path(flow)]


def run(end: float, *spans: Span) -> Flow:
    return Flow("demo", (Span("run", "demo", 0, end, kind="run"), *spans)).completed()


def node(id: str, start: float, end: float, *fed_by: str | Link, **about: object) -> Span:
    links = tuple(Link(f) if isinstance(f, str) else f for f in fed_by)
    return Span(id, id, start, end, parent="run", links=links, **about)  # type: ignore[arg-type]


class TestWaitsAndOverlaps:
    def test_from_a_partial_output(self) -> None:
        flow = run(
            5,
            node("plan", 0, 4, ticks=(Tick(1, 0), Tick(2, 1))),
            node("work", 2.5, 5, Link("plan", 1)),
        )
        assert flow["work"].waits == (Interval(2, 2.5),)
        assert flow["work"].overlaps == (Interval(2.5, 4),)

    def test_from_the_end_of_a_producer(self) -> None:
        flow = run(5, node("plan", 0, 2), node("work", 3, 5, "plan"))
        assert flow["work"].waits == (Interval(2, 3),)
        assert flow["work"].overlaps == ()

    def test_a_join_waits_from_its_last_input(self) -> None:
        flow = run(9, node("a", 0, 2), node("b", 0, 6), node("join", 7, 9, "a", "b"))
        assert flow["join"].waits == (Interval(6, 7),)

    def test_what_was_measured_stays(self) -> None:
        own = (Interval(0.5, 1),)
        flow = run(3, node("plan", 0, 2), node("work", 1, 3, "plan", waits=own))
        assert flow["work"].waits == own

    def test_an_unknown_producer_says_nothing(self) -> None:
        flow = run(3, node("work", 1, 3, "gone"))
        assert (flow["work"].waits, flow["work"].overlaps) == ((), ())


class TestCriticalPath:
    def test_a_chain(self) -> None:
        flow = run(6, node("a", 0, 2), node("b", 2, 5, "a"), node("c", 5, 6, "b"))
        assert path_of(flow) == [
            ("a", 0, 2, "work"),
            ("b", 2, 5, "work"),
            ("c", 5, 6, "work"),
        ]

    def test_the_slowest_branch(self) -> None:
        flow = run(9, node("a", 0, 4), node("b", 0, 7), node("join", 7, 9, "a", "b"))
        assert path_of(flow) == [("b", 0, 7, "work"), ("join", 7, 9, "work")]

    def test_a_stream_is_left_at_the_partial_output(self) -> None:
        """The rest of the producer is not on the path: its end held up nobody."""
        flow = run(
            6,
            node("plan", 0, 5, ticks=(Tick(1, 0), Tick(2, 1)), step=1),
            node("early", 1, 4, Link("plan", 0), step=2, outcome="adopted"),
            node("late", 2.5, 6, Link("plan", 1), step=2, outcome="adopted"),
        )
        assert path_of(flow) == [
            ("plan", 0, 2, "work"),
            ("late", 2, 2.5, "wait"),
            ("late", 2.5, 6, "work"),
        ]

    def test_in_supersteps_the_slowest_sibling_is_on_it(self) -> None:
        """`y` needs only `b`, and waits for `a`."""
        flow = run(
            9,
            node("a", 0, 6, step=1),
            node("b", 0, 2, step=1),
            node("y", 6, 9, "b", step=2),
        )
        assert path_of(flow) == [("a", 0, 6, "work"), ("y", 6, 9, "work")]
        assert held_up_by(flow, flow["y"]) == (flow["a"], 6)
        assert why(flow, flow["y"]) == [
            "Waited 4.00 s after its input was there: for a (step 1) to end."
        ]

    def test_ahead_of_its_step_it_waits_for_its_input_only(self) -> None:
        flow = run(
            6,
            node("a", 0, 6, step=1),
            node("b", 0, 2, step=1),
            node("y", 2, 5, "b", step=2, outcome="adopted"),
        )
        assert held_up_by(flow, flow["y"]) == (flow["b"], 2)
        assert path_of(flow) == [("a", 0, 6, "work")]

    def test_it_may_wait_for_its_producer_to_end(self) -> None:
        """The input was there at 1; the producer's end at 4 is what it was started by."""
        flow = run(
            6,
            node("plan", 0, 4, ticks=(Tick(1, 0),)),
            node("work", 4.5, 6, Link("plan", 0), outcome="adopted"),
        )
        assert flow["work"].waits == (Interval(1, 4.5),)
        assert path_of(flow) == [
            ("plan", 0, 4, "work"),
            ("work", 4, 4.5, "wait"),
            ("work", 4.5, 6, "work"),
        ]
        assert why(flow, flow["work"])[0] == (
            "Waited 3.50 s after its input was there: for plan to end."
        )

    def test_inside_of_a_node(self) -> None:
        flow = run(
            4,
            node("a", 1, 4),
            Span("chat", "chat", 1.5, 3, kind="model", parent="a"),
        )
        assert path_of(flow) == [
            ("run", 0, 1, "work"),
            ("a", 1, 1.5, "work"),
            ("chat", 1.5, 3, "work"),
            ("a", 3, 4, "work"),
        ]
        on_path = marks(flow, critical_path(flow))
        assert on_path["a"] == [Interval(1, 4)]
        assert on_path["run"] == [Interval(0, 4)]

    def test_what_was_thrown_away_is_not_on_it(self) -> None:
        flow = run(5, node("a", 0, 5, step=1), node("lost", 1, 4.9, "a", outcome="discarded"))
        assert path_of(flow) == [("a", 0, 5, "work")]

    def test_consumers_below_a_stream(self) -> None:
        flow = run(
            4,
            node("plan", 0, 3, ticks=(Tick(1, 0),)),
            Span("edge", "edge", 1, 4, kind="stream", parent="run", links=(Link("plan"),)),
            Span("work", "work", 1, 4, parent="edge", links=(Link("plan", 0),), outcome="adopted"),
        )
        assert path_of(flow) == [("plan", 0, 1, "work"), ("work", 1, 4, "work")]

    def test_nothing(self) -> None:
        assert critical_path(Flow("empty", ())) == ()
        assert critical_path(Flow("empty", (), duration=2)) == (Segment(None, 0, 2),)

    @pytest.mark.slow
    @given(st.data())
    def test_it_covers_the_whole_run_without_overlap(self, data: st.DataObject) -> None:
        """Whatever is recorded: the segments tile the time, so they add up to the length."""
        ids = [f"s{n}" for n in range(data.draw(st.integers(1, 8)))]
        times = st.integers(0, 20).map(float)
        spans = []
        for id in ids:
            start, end = sorted((data.draw(times), data.draw(times)))
            spans.append(
                Span(
                    id,
                    id,
                    start,
                    end,
                    kind=data.draw(st.sampled_from(["node", "run", "stream", "tool"])),
                    parent=data.draw(st.sampled_from([None, "gone", *ids])),
                    links=tuple(
                        Link(i, data.draw(st.sampled_from([None, 0])))
                        for i in data.draw(st.lists(st.sampled_from(ids), max_size=2))
                    ),
                    ticks=(Tick(data.draw(times), 0),) if data.draw(st.booleans()) else (),
                    step=data.draw(st.sampled_from([None, 1, 2, 3])),
                    outcome=data.draw(st.sampled_from([None, "adopted", "discarded"])),
                    ancestry=REQUEST * data.draw(st.integers(0, 3)),
                )
            )
        flow = Flow("any", tuple(spans)).completed()
        segments = critical_path(flow)
        now = 0.0
        for segment in segments:
            assert segment.start == pytest.approx(now)
            assert segment.end > segment.start
            now = segment.end
        assert now == pytest.approx(flow.length)
        shown = [row.span.id for row in rows(flow) if row.span is not None]
        assert sorted(shown) == sorted(ids)
        assert payload(flow)["rows"]


class TestRows:
    def names(self, flow: Flow) -> list[str]:
        return [f"{'  ' * row.depth}{row.label} {row.item}".rstrip() for row in rows(flow)]

    def test_a_nested_fan_out(self) -> None:
        assert self.names(sections(3, 1)) == [
            "report writer",
            "  plan",
            "    \N{RIGHTWARDS ARROW} research",
            "    chat gpt-4o-mini",
            "    research plan.sections[0]",
            "      search research.queries[0]",
            "        execute_tool web",
            "    research plan.sections[1]",
            "    research plan.sections[2]",
            "      search research.queries[0]",
            "        execute_tool web",
            "  report",
        ]

    def test_several_tasks_of_one_item_get_a_row_of_their_own(self) -> None:
        item = (*REQUEST, "plan.items[0]")
        flow = run(
            4,
            node("plan", 0, 1, ancestry=REQUEST),
            node("first", 1, 2, "plan", ancestry=item),
            node("second", 2, 4, "first", ancestry=item),
        )
        assert self.names(flow) == [
            "demo",
            "  plan",
            "    plan.items[0] plan.items[0]",
            "      first",
            "      second",
        ]
        assert rows(flow)[2].interval == Interval(1, 4)

    def test_items_stand_in_their_order(self) -> None:
        """Not in the order in which they happened to start."""
        spans = [
            node(f"w{n}", 2 - n / 10, 3, "plan", ancestry=(*REQUEST, f"plan.items[{n}]"))
            for n in range(11)
        ]
        flow = run(4, node("plan", 0, 1, ancestry=REQUEST), *spans)
        assert [row.label for row in rows(flow)][2:] == [f"w{n}" for n in range(11)]

    def test_a_run_in_a_run(self) -> None:
        item = (*REQUEST, "plan.items[0]")
        flow = run(
            9,
            node("plan", 0, 1, ancestry=REQUEST),
            node("section", 1, 8, "plan", ancestry=item),
            Span("inner", "inner", 1, 8, kind="run", parent="section", ancestry=item),
            Span("split", "split", 1, 2, parent="inner", ancestry=(*item, "section")),
            Span(
                "deep",
                "deep",
                2,
                8,
                parent="inner",
                ancestry=(*item, "section", "split.subs[0]"),
                links=(Link("split"),),
            ),
        )
        assert self.names(flow) == [
            "demo",
            "  plan",
            "    section plan.items[0]",
            "      inner",
            "        split",
            "          deep split.subs[0]",
        ]

    @pytest.mark.slow
    def test_a_long_chain_does_not_recurse(self) -> None:
        path = REQUEST
        spans = [node("n0", 0, 1, ancestry=path)]
        for n in range(1, 3000):
            path = (*path, f"n{n - 1}[0]")
            spans.append(node(f"n{n}", n, n + 1, f"n{n - 1}", ancestry=path))
        assert rows(run(3000, *spans))[-1].depth == 3000


class TestTerminal:
    def text(self, flow: Flow, width: int = 100) -> str:
        stream = io.StringIO()
        print_flow(flow, Console(file=stream, width=width, color_system=None))
        return stream.getvalue()

    def test_it_shows_what_there_is(self) -> None:
        text = self.text(sections(4))
        assert "report writer on ALTO" in text
        assert "plan took the section back" in text
        assert "search research.queries[1] failed" in text
        (plan,) = [line for line in text.splitlines() if "  plan " in line]
        assert plan.count("│") == 4
        assert plan.startswith("\N{BLACK CIRCLE}")

    def test_long_runs_are_cut(self) -> None:
        text = self.text(sections(143))
        assert len(text.splitlines()) < 100
        assert "more rows are left out here; --html shows all." in text

    def test_names_move_no_cursor(self) -> None:
        text = self.text(run(1, node("\x1b[2J[red]evil[/red]", 0, 1)))
        assert "\x1b" not in text
        assert "[red]evil[/red]" in text

    @pytest.mark.parametrize("width", [20, 40, 300])
    def test_any_width(self, width: int) -> None:
        assert self.text(sections(3), width)
