"""The ancestry tree: its rules by hand, then random runs of it against a naive model.

Paths and completion over the shapes that graphs have are in `test_levels`.
"""

from __future__ import annotations

import heapq
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from langgraph_alto.core.ancestry import AncestryTree, IllegalEvent
from langgraph_alto.core.paths import (
    ANY,
    Fact,
    Item,
    Key,
    LevelComplete,
    LevelOf,
    LevelReopened,
    Ref,
    RequestComplete,
    Retracted,
    Step,
    path_template,
    path_text,
)
from langgraph_alto.errors import AltoError

# By hand -----------------------------------------------------------------------------------


def complete(task: Key, key: str, name: str, items: int) -> LevelComplete:
    return LevelComplete(LevelOf(task, key), name, items)


@pytest.fixture
def tree() -> AncestryTree:
    """A plan that runs and gave two sections; a task `w0` works on the first one."""
    tree = AncestryTree()
    tree.request_began("r")
    tree.task_began("p", "plan", "r")
    tree.emitted("p", "sections", 0)
    tree.emitted("p", "sections", 1)
    tree.task_began("w0", "work", Item("p", "sections", 0))
    return tree


# Paths


def test_paths_as_tuple_and_as_text(tree: AncestryTree) -> None:
    tree.task_began("s", "search", "w0", index=7)
    assert tree.path("s") == (Step("plan", 1, "sections", 0), Step("work", 1, "search", 7))
    assert tree.path(Item("w0", "search", 7)) == tree.path("s")
    assert tree.path_text("s") == "request / plan.sections[0] / work.search[7]"
    assert (tree.path("r"), tree.path_text("r"), tree.path("p")) == ((), "request", ())
    level = LevelOf("w0", "search")
    assert tree.path_text(level) == "request / plan.sections[0] / work.search[]"


def test_paths_without_their_numbers() -> None:
    path = (Step("plan", 3, "sections", 0), Step("section", 2), Step("draft", 1, "title"))
    assert path_text(path) == "request / plan#3.sections[0] / section#2 / draft.title"
    assert path_template(path) == "request / plan.sections[] / section / draft.title"
    assert str(Step("plan", key="sections", index=ANY)) == "plan.sections[]"


@pytest.mark.parametrize(
    ("most", "shown"),
    [(None, "a[0] / a[1] / a[2]"), (3, "a[0] / a[1] / a[2]"), (2, "… / a[1] / a[2]"), (0, "…")],
)
def test_long_paths_can_be_cut(most: int | None, shown: str) -> None:
    """`str(step)` is `n.a[0]`; the node's name is left out here."""
    tree = AncestryTree()
    tree.request_began("r")
    tree.task_began("0", "n", "r")
    for depth in range(3):
        tree.task_began(str(depth + 1), "n", str(depth), index=depth, of="a")
    assert tree.path_text("3", most).replace("n.", "") == f"request / {shown}"


def test_a_partial_value_has_no_index(tree: AncestryTree) -> None:
    tree.emitted("w0", "title", settled=False)
    title = Item("w0", "title")
    assert tree.path_text(title) == "request / plan.sections[0] / work.title"
    assert tree.group_of(title, "work.title") == title
    assert tree.task_ended("w0") == [complete("w0", "title", "work.title", 1)]
    assert tree.is_settled(title)


def test_several_tasks_may_work_on_one_item(tree: AncestryTree) -> None:
    tree.task_began("w0'", "work", "p", index=0, of="sections")
    tree.task_began("c0", "check", "p", index=0, of="sections")
    assert tree.path("w0'") == tree.path("c0") == tree.path("w0")
    tree.emitted("w0", "notes", 0)
    tree.emitted("w0'", "notes", 0)
    assert tree.path_text(Item("w0'", "notes", 0)) == "request / plan.sections[0] / work#2.notes[0]"
    assert tree.path_text(Item("w0", "notes", 0)) == "request / plan.sections[0] / work.notes[0]"


def test_a_retracted_tasks_number_is_given_to_its_successor(tree: AncestryTree) -> None:
    """So what is run again, and what it gives, has the same path as before."""
    tree.task_began("w0'", "work", Item("p", "sections", 0))
    tree.task_began("w0''", "work", Item("p", "sections", 0))
    tree.retracted("w0")
    for key in ("new", "newer"):
        tree.task_began(key, "work", Item("p", "sections", 0))
        tree.emitted(key, "notes", 0)
    at = "request / plan.sections[0]"
    assert tree.path_text(Item("new", "notes", 0)) == f"{at} / work.notes[0]"
    assert tree.path_text(Item("newer", "notes", 0)) == f"{at} / work#4.notes[0]"


def test_the_smallest_number_is_given_again_first(tree: AncestryTree) -> None:
    section = Item("p", "sections", 0)
    for key in "abc":
        tree.task_began(key, "work", section)
    for key in ("w0", "a", "b"):
        tree.retracted(key)
    for key, number in [("x", ""), ("y", "#2"), ("z", "#3"), ("v", "#5")]:
        tree.task_began(key, "work", section)
        tree.emitted(key, "n")
        assert tree.path_text(Item(key, "n")) == f"request / plan.sections[0] / work{number}.n"


# Completion


def test_a_level_without_items_is_complete_when_it_is_closed(tree: AncestryTree) -> None:
    assert tree.level_closed("w0", "queries") == [complete("w0", "queries", "work.queries[]", 0)]
    assert tree.task_ended("w0") == []


def test_a_level_may_be_closed_before_its_task_ends(tree: AncestryTree) -> None:
    assert tree.level_closed("p", "sections") == []
    assert tree.task_ended("w0") == [complete("p", "sections", "plan.sections[]", 2)]
    assert tree.task_ended("p") == []


def test_what_a_task_in_a_level_started_keeps_the_level_open(tree: AncestryTree) -> None:
    tree.task_ended("p")
    tree.task_began("x", "after", "w0")
    tree.task_began("g", "inner", "x", inside=True)
    assert tree.task_ended("w0") == tree.task_ended("x") == []
    assert tree.task_ended("g") == [complete("p", "sections", "plan.sections[]", 2)]


def test_the_request_is_complete_when_it_ended_and_nothing_runs(tree: AncestryTree) -> None:
    assert tree.request_ended("r") == tree.task_ended("p") == []
    assert tree.task_ended("w0") == [
        complete("p", "sections", "plan.sections[]", 2),
        RequestComplete("r"),
    ]
    assert tree.is_complete("r")


def test_two_requests_do_not_know_of_each_other(tree: AncestryTree) -> None:
    tree.request_began("r2")
    tree.task_began("p2", "plan", "r2")
    tree.task_began("w2", "work", "p2", index=0, of="sections")
    assert tree.path("w2") == tree.path("w0")
    assert (tree.group_of("w0", "request"), tree.group_of("w2", "request")) == ("r", "r2")
    assert [type(f) for f in tree.task_ended("p2") + tree.task_ended("w2")] == [LevelComplete]
    assert tree.request_ended("r2") == [RequestComplete("r2")]
    assert not tree.is_complete("r")


# Retraction


def test_a_retraction_takes_the_subtree_deepest_first(tree: AncestryTree) -> None:
    tree.task_began("w1", "work", Item("p", "sections", 1))
    tree.task_began("s0", "search", "w0", index=0, of="queries")
    tree.task_began("f", "fetch", "s0")
    tree.task_began("s1", "search", "w0", index=1, of="queries")
    tree.task_ended("s1")
    gone = (
        *("f", "s1", "s0", Item("w0", "queries", 1), Item("w0", "queries", 0)),
        *("w0", Item("p", "sections", 0)),
    )
    assert tree.descendants(Item("p", "sections", 0)) == gone[:-1]
    assert tree.retracted(Item("p", "sections", 0)) == [Retracted(gone, ("f", "s0", "w0"))]
    assert tree.members("r") == ("p", Item("p", "sections", 1), "w1")
    assert not any(ref in tree for ref in gone)


def test_a_level_may_be_complete_without_what_was_retracted(tree: AncestryTree) -> None:
    tree.task_ended("p")
    assert tree.retracted("w0") == [
        Retracted(("w0",), ("w0",)),
        complete("p", "sections", "plan.sections[]", 2),
    ]
    assert tree.retracted(Item("p", "sections", 0)) == [
        Retracted((Item("p", "sections", 0),), ()),
    ]


def test_a_retracted_item_can_be_given_again(tree: AncestryTree) -> None:
    path = tree.path("w0")
    tree.retracted(Item("p", "sections", 0))
    tree.task_began("w0", "work", "p", index=0, of="sections")
    assert tree.path("w0") == path
    tree.task_ended("p")
    assert tree.task_ended("w0") == [complete("p", "sections", "plan.sections[]", 2)]


def test_what_follows_a_task_goes_with_it_and_what_it_follows_stays(tree: AncestryTree) -> None:
    tree.task_began("next", "judge", "p")
    tree.task_began("last", "end", "next")
    assert tree.retracted("next") == [Retracted(("last", "next"), ("last", "next"))]
    assert "w0" in tree


def test_a_whole_request_can_be_retracted(tree: AncestryTree) -> None:
    (gone,) = tree.retracted("r")
    assert isinstance(gone, Retracted)
    assert (gone.refs[-1], gone.running) == ("r", ("w0", "p"))
    assert len(tree) == 0


# Restarts


def test_a_failed_attempt_is_taken_back_and_its_task_runs_on(tree: AncestryTree) -> None:
    assert tree.restarted("p") == [
        Retracted(("w0", Item("p", "sections", 1), Item("p", "sections", 0)), ("w0",))
    ]
    tree.emitted("p", "sections", 0)
    assert tree.task_ended("p") == [complete("p", "sections", "plan.sections[]", 1)]


def test_a_generator_that_raises_takes_its_items_with_it(tree: AncestryTree) -> None:
    (gone,) = tree.restarted("p")
    assert isinstance(gone, Retracted)
    assert gone.running == ("w0",)
    assert tree.task_ended("p") == []


def test_levels_around_a_task_that_runs_again_are_open_again(tree: AncestryTree) -> None:
    """A result that was ready ahead of its step could not be adopted."""
    tree.task_ended("p")
    tree.task_began("s", "search", "w0", index=0)
    tree.task_ended("w0")
    assert len(tree.task_ended("s")) == 2
    inner, outer = LevelOf("w0", "search"), LevelOf("p", "sections")
    assert tree.restarted("s") == [
        LevelReopened(inner, "work.search[]"),
        LevelReopened(outer, "plan.sections[]"),
    ]
    assert tree.task_ended("s") == [
        LevelComplete(inner, "work.search[]", 1),
        LevelComplete(outer, "plan.sections[]", 2),
    ]
    assert tree.restarted("w0") == [
        LevelReopened(outer, "plan.sections[]"),
        Retracted(("s", Item("w0", "search", 0)), ()),
    ]
    assert tree.path_text("w0") == "request / plan.sections[0]"


def test_a_graph_that_runs_again_numbers_its_tasks_afresh(tree: AncestryTree) -> None:
    for key in ("first", "second"):
        tree.task_began(key, "inner", "w0", inside=True)
        tree.emitted(key, "n", 0)
        assert tree.path_text(Item(key, "n", 0)).endswith("work / inner.n[0]")
        tree.restarted("w0")


@pytest.mark.parametrize("ended", [False, True])
def test_nothing_is_said_of_levels_that_are_gone(tree: AncestryTree, ended: bool) -> None:
    tree.task_began("s", "search", "w0", index=0)
    tree.level_closed("w0", "search")
    if ended:
        tree.task_ended("w0")
    gone = Retracted(("s", Item("w0", "search", 0)), ("s",))
    assert tree.restarted("w0") == [gone]
    tree.task_began("s", "search", "w0", index=0)
    tree.level_closed("w0", "search")
    if ended:
        tree.task_ended("w0")
    running = ("s",) if ended else ("s", "w0")
    assert tree.retracted("w0") == [Retracted((*gone.refs, "w0"), running)]


# Names


def test_an_adopted_task_is_known_by_both_names(tree: AncestryTree) -> None:
    """A run-ahead task's key is a number, a real one's a text."""
    tree.task_began(7, "search", "w0", index=0)
    tree.emitted(7, "pages", 0)
    assert tree.renamed(7, "task-id") == []
    assert tree.path(7) == tree.path("task-id")
    assert Item(7, "pages", 0) in tree
    assert tree.members("w0") == (
        Item("w0", "search", 0),
        "task-id",
        Item("task-id", "pages", 0),
    )
    assert tree.task_ended(7) == [complete("task-id", "pages", "search.pages[]", 1)]
    assert tree.retracted("task-id") == [Retracted((Item("task-id", "pages", 0), "task-id"), ())]
    assert 7 not in tree
    tree.task_began(7, "search", "w0", index=0)
    assert tree.path_text(7) == "request / plan.sections[0] / work.search[0]"


# Groups


def test_groups_and_members(tree: AncestryTree) -> None:
    tree.task_began("s", "search", "w0", index=0, of="queries")
    tree.task_began("after", "grade", "s")
    tree.task_began("g", "inner", "after", inside=True)
    section, query = Item("p", "sections", 0), Item("w0", "queries", 0)
    groups = {ref: tree.group_of(ref, "plan.sections[]") for ref in ("p", "w0", "s", "g", query)}
    assert groups == {"p": None, "w0": section, "s": section, "g": section, query: section}
    assert tree.group_of(section, "plan.sections[]") == section
    assert tree.group_of("g", "grade:") == "after"
    assert tree.group_of("after", "grade:") is None
    assert tree.members(section) == ("w0", query, "s", "after", "g")
    assert tree.members(section, "work.queries[]") == (query, "s", "after")
    assert tree.members("r", "plan.sections[]") == (section, Item("p", "sections", 1), "w0")
    assert tree.members("r", "request") == ("p",)
    assert tree.members("after") == tree.members("after", "grade:") == ("g",)
    assert tree.members("s") == ()


def test_an_item_is_settled_with_all_that_it_descends_from(tree: AncestryTree) -> None:
    tree.emitted("p", "sections", 2, settled=False)
    tree.task_began("w2", "work", Item("p", "sections", 2))
    tree.emitted("w2", "notes", 0)
    assert not tree.is_settled(Item("w2", "notes", 0))
    assert tree.settled(Item("p", "sections", 2)) == []
    assert tree.is_settled(Item("w2", "notes", 0))


# Forgetting


def test_a_level_can_be_forgotten_while_its_task_runs(tree: AncestryTree) -> None:
    tree.level_closed("p", "sections")
    tree.task_ended("w0")
    assert tree.forget(LevelOf("p", "sections")) == 3
    assert (len(tree), tree.is_complete(LevelOf("p", "sections"))) == (2, True)
    assert tree.task_ended("p") == []
    assert tree.forget("p") == 1


def test_what_follows_a_forgotten_task_stays_and_follows_its_parent(tree: AncestryTree) -> None:
    tree.task_began("a", "a", "w0")
    tree.task_began("b", "b", "a")
    tree.task_began("in", "in", "a", inside=True)
    path = tree.path("b")
    tree.task_ended("in")
    tree.task_ended("a")
    assert tree.forget("a") == 2
    assert tree.path("b") == path
    assert tree.descendants("w0") == ("b",)


def test_a_complete_request_can_be_forgotten(tree: AncestryTree) -> None:
    for end in (tree.task_ended, tree.request_ended):
        with pytest.raises(IllegalEvent, match="something there runs"):
            tree.forget("r")
        end("p" if end == tree.task_ended else "r")
    tree.task_ended("w0")
    assert tree.forget("r") == 5
    assert len(tree) == 0


def run_loop(tree: AncestryTree, rounds: range, chained: bool) -> int:
    """plan -> work[] (each with a search[] below) -> judge -> plan …; gives the largest size.

    Each step begins with what the one before wrote, and what is committed is forgotten.
    """
    largest = 0
    last = None
    for turn in rounds:
        plan, judge = f"p{turn}", f"j{turn}"
        tree.task_began(plan, "plan", last if chained and last is not None else "r")
        for i in range(3):
            work, search = f"w{turn}.{i}", turn * 3 + i
            tree.task_began(work, "work", plan, index=i, of="sections")
            tree.task_began(search, "search", work, index=0)
            tree.renamed(search, f"s{turn}.{i}")
            tree.task_ended(work)
        tree.task_ended(plan)
        for i in range(3):
            tree.task_ended(turn * 3 + i)
        tree.task_began(judge, "judge", plan if chained else "r")
        if last is not None:
            tree.forget(last)
        tree.forget(plan)
        tree.task_ended(judge)
        last = judge
        largest = max(largest, len(tree))
    return largest


@pytest.mark.slow
@pytest.mark.parametrize(("rounds", "chained"), [(1_000, False), (10_000, True)])
def test_ten_thousand_rounds_take_no_more_room_than_a_hundred(rounds: int, chained: bool) -> None:
    tree = AncestryTree()
    tree.request_began("r")
    few = run_loop(tree, range(100), chained)
    size = len(pickle.dumps(tree))
    tree.forget("j99")
    many = run_loop(tree, range(100, rounds), chained)
    assert many == few <= 3
    assert len(pickle.dumps(tree)) < size * 1.3  # longer numbers in the same few stories


def test_numbers_go_on_after_forgetting() -> None:
    tree = AncestryTree()
    tree.request_began("r")
    run_loop(tree, range(41), chained=False)
    tree.task_began("p", "plan", "r")
    tree.emitted("p", "sections", 0)
    assert tree.path_text(Item("p", "sections", 0)) == "request / plan#42.sections[0]"


def test_deep_nesting_needs_no_deep_stack() -> None:
    tree = AncestryTree()
    tree.request_began("r")
    tree.task_began(0, "n", "r")
    for depth in range(5_000):
        tree.task_began(depth + 1, "n", depth, index=0)
        tree.task_ended(depth)
    assert len(tree.path(5_000)) == 5_000
    assert len(tree.task_ended(5_000)) == 5_000
    (gone,) = tree.retracted(0)
    assert isinstance(gone, Retracted)
    assert gone.refs[:2] == (5_000, Item(4_999, "n", 0))


# Illegal events


ILLEGAL: dict[str, tuple[Callable[[AncestryTree], object], str]] = {
    "a key twice": (
        lambda t: t.task_began("w0", "work", "r"),
        r"'w0' \(work\) can't begin: its key is in use. Its story: began\.",
    ),
    "a request twice": (lambda t: t.request_began("r"), "its key is in use"),
    "an unknown key": (
        lambda t: t.task_ended("x"),
        "'x' can't end: there is no such task, item or request. Its story: it never began",
    ),
    "an unknown parent": (lambda t: t.task_began("n", "n", "x"), "'x' can't begin a task"),
    "an unknown item": (lambda t: t.retracted(Item("p", "sections", 9)), "no such task, item"),
    "an item of an unknown task": (lambda t: t.path(Item("x", "sections", 0)), "no such task"),
    "ended twice": (
        lambda t: (t.task_ended("w0"), t.task_ended("w0")),
        r"'w0' \(work\) can't end: it ended before.*Its story: began -> ended\.",
    ),
    "a request ended twice": (
        lambda t: (t.request_ended("r"), t.request_ended("r")),
        r"'r' \(request\) can't end: .*Its story: began -> ended\.",
    ),
    "the end of an item": (lambda t: t.task_ended(Item("p", "sections", 0)), "or is no task"),
    "the end of a task as a request": (lambda t: t.request_ended("p"), "or is no request"),
    "retracted twice": (
        lambda t: (t.renamed("w0", "w"), t.retracted("w"), t.retracted("w0")),
        "'w0' can't be retracted: .*Its story: began -> renamed 'w' -> retracted",
    ),
    "an item retracted twice": (
        lambda t: [t.retracted(Item("p", "sections", 1)) for _ in "12"],
        "Its story: emitted -> retracted",
    ),
    "an item twice": (lambda t: t.emitted("p", "sections", 0), "it did before"),
    "an item of a task that ended": (
        lambda t: (t.task_ended("p"), t.emitted("p", "sections", 5)),
        "can't emit 'sections' 5: it ended",
    ),
    "an item of a request": (lambda t: t.emitted("r", "x", 0), "or is no task"),
    "an item in a closed level": (
        lambda t: (t.level_closed("p", "sections"), t.emitted("p", "sections", 5)),
        "the level is closed",
    ),
    "closed twice": (
        lambda t: [t.level_closed("p", "sections") for _ in "12"],
        "can't close 'sections': the level is closed",
    ),
    "list and value": (lambda t: t.emitted("p", "sections"), "a list in one place"),
    "settled twice": (lambda t: t.settled(Item("p", "sections", 0)), "it is settled"),
    "begun in a complete level": (
        lambda t: (
            t.task_ended("p"),
            t.task_ended("w0"),
            t.task_began("n", "n", Item("p", "sections", 1)),
        ),
        "can't begin 'n': its level is complete",
    ),
    "begun for an item that can't come any more": (
        lambda t: (t.task_ended("p"), t.task_began("n", "n", "p", index=5)),
        "it ended",
    ),
    "begun after the request": (
        lambda t: (t.request_ended("r"), t.task_began("n", "n", "p")),
        "the request ended",
    ),
    "begun in a graph that ended": (
        lambda t: (t.task_ended("w0"), t.task_began("n", "n", "w0", inside=True)),
        "the task that ran the graph ended",
    ),
    "begun inside of an item": (
        lambda t: t.task_began("n", "n", Item("p", "sections", 0), inside=True),
        "it is no task",
    ),
    "begun for an item of a request": (lambda t: t.task_began("n", "n", "r", index=0), "no task"),
    "renamed to a known key": (lambda t: t.renamed("w0", "p"), "its key is in use"),
    "a request renamed": (lambda t: t.renamed("r", "q"), "it is no task"),
    "a request restarted": (lambda t: t.restarted("r"), "it is no task"),
    "restarted after the end": (
        lambda t: (t.task_ended("w0"), t.task_ended("p"), t.request_ended("r"), t.restarted("p")),
        "its request is complete",
    ),
    "a running task forgotten": (lambda t: t.forget("w0"), "something there runs"),
    "an item forgotten": (
        lambda t: (t.task_ended("w0"), t.forget(Item("p", "sections", 0))),
        "or it is an item",
    ),
    "an open level forgotten": (
        lambda t: (t.task_ended("w0"), t.forget(LevelOf("p", "sections"))),
        "can't forget 'sections': it is not complete",
    ),
    "an unknown level": (lambda t: t.is_complete(LevelOf("p", "x")), "it has no such level"),
    "a forgotten task": (
        lambda t: (t.task_ended("w0"), t.forget("w0"), t.path("w0")),
        "Its story: began -> ended -> forgotten",
    ),
}


@pytest.mark.parametrize("case", ILLEGAL)
def test_an_illegal_event_is_an_error_that_tells_the_story(tree: AncestryTree, case: str) -> None:
    event, message = ILLEGAL[case]
    with pytest.raises(IllegalEvent, match=message) as raised:
        event(tree)
    assert isinstance(raised.value, AltoError)
    assert "a bug in langgraph_alto" in str(raised.value)


def test_stories_are_kept_for_a_while() -> None:
    tree = AncestryTree()
    tree.request_began("r")
    for key in range(400):
        tree.task_began(key, "n", "r")
        tree.retracted(key)
    with pytest.raises(IllegalEvent, match="began -> retracted"):
        tree.task_ended(399)
    with pytest.raises(IllegalEvent, match="it never began, or long ago"):
        tree.task_ended(0)


# Random runs -------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class Thing:
    """A request, task or item of the model: plain facts, nothing that is kept up to date."""

    kind: str
    parent: Thing | None = None  # what it comes from; of an item its task
    home: Thing | None = None  # of a task: what it lives in
    names: list[Key] = field(default_factory=list)
    node: str = ""
    running: bool = True
    turn: int = 1
    label: str = ""
    index: int = 0
    settled: bool = True
    path: tuple[Step, ...] | None = None  # as first seen

    def __repr__(self) -> str:
        return f"<{self.ref}>"

    @property
    def ref(self) -> Ref:
        if self.kind == "item":
            assert self.parent is not None
            return Item(self.parent.names[-1], self.label, self.index)
        return self.names[-1]

    def ups(self) -> Iterator[Thing | tuple[Thing, str]]:
        """All that it lives in: an item in a level, a level in its task."""
        at: Thing | None = self
        while at is not None:
            if at.kind == "item":
                assert at.parent is not None
                yield (at.parent, at.label)
                at = at.parent
            else:
                at = at.home
            if at is not None:
                yield at

    def origins(self) -> Iterator[Thing]:
        at = self.parent
        while at is not None:
            yield at
            at = at.parent

    def steps(self) -> tuple[Step, ...]:
        if self.kind == "item":
            assert self.parent is not None
            task = self.parent
            return (*task.steps(), Step(task.node, task.turn, self.label, self.index))
        if self.kind == "request" or self.home is None:
            return ()
        inside = (Step(self.home.node, self.home.turn),) if self.home.kind == "task" else ()
        return (*self.home.steps(), *inside)

    def prefix(self) -> str:
        """The graphs that its node runs in."""
        at = self.parent if self.kind == "item" else self
        assert at is not None
        around = [a.node for a in at.places() if a.kind == "task" and a is not at]
        return "".join(f"{name}:" for name in reversed(around))

    def places(self) -> Iterator[Thing]:
        """Itself, and the items, tasks and request that it lives in."""
        at: Thing | None = self
        while at is not None:
            yield at
            if at.kind == "item":
                assert at.parent is not None
                at = at.parent.home
            else:
                at = at.home

    def level_name(self) -> str:
        if self.kind == "request":
            return "request"
        if self.kind == "task":
            return f"{self.prefix()}{self.node}:"
        assert self.parent is not None
        return f"{self.prefix()}{self.parent.node}.{self.label}[]"


Level = tuple[Thing, str]


class Model:
    """What must be so, found by looking at everything each time."""

    def __init__(self) -> None:
        self.things: list[Thing] = []
        self.open: dict[Level, bool] = {}
        self.count: dict[Level, int] = {}
        self.turns: dict[tuple[Thing, str], set[int]] = {}

    def of(self, *kinds: str) -> list[Thing]:
        return [t for t in self.things if t.kind in kinds]

    def items(self, level: Level) -> list[Thing]:
        return [t for t in self.of("item") if (t.parent, t.label) == level]

    def is_busy(self, where: Thing | Level) -> bool:
        """Whether it is open, or something that lives in it is open or runs."""
        if isinstance(where, tuple) and self.open[where]:
            return True
        if isinstance(where, Thing) and where.kind != "item" and where.running:
            return True
        running = [t for t in self.of("task") if t.running]
        opened = [level for level, is_open in self.open.items() if is_open]
        return any(where in t.ups() for t in running) or any(
            where is level[0] or where in level[0].ups() for level in opened
        )

    def complete(self) -> set[Thing | Level]:
        done: set[Thing | Level] = {level for level in self.open if not self.is_busy(level)}
        return done | {t for t in self.of("request") if not self.is_busy(t)}

    def begin(self, thing: Thing) -> None:
        assert thing.home is not None
        used = self.turns.setdefault((thing.home, thing.node), set())
        thing.turn = next(n for n in range(1, 1000) if n not in used)
        used.add(thing.turn)
        self.things.append(thing)

    def below(self, thing: Thing) -> list[Thing]:
        return [t for t in self.things if thing in t.origins()]

    def remove(self, things: list[Thing], retracted: bool) -> None:
        self.things = [thing for thing in self.things if thing not in things]
        for thing in things:
            if thing.kind == "task" and retracted and thing.home is not None:
                self.turns[thing.home, thing.node].discard(thing.turn)
            if thing.kind == "item" and retracted and thing.parent in self.things:
                self.count[thing.parent, thing.label] -= 1
            for level in [level for level in self.open if level[0] is thing]:
                del self.open[level], self.count[level]


class AncestryMachine(RuleBasedStateMachine):
    """Random trees of events. Each rule does what a legal event does, in the model as well."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = AncestryTree()
        self.model = Model()
        self.next_key = 0

    # Events

    def happen(self, event: Callable[[], list[Fact]], change: Callable[[], None]) -> list[Fact]:
        """Let something happen in the tree and the model; what became complete must be told."""
        before = self.model.complete()
        facts = event()
        change()
        after = self.model.complete()
        told = [f for f in facts if not isinstance(f, Retracted)]
        expected: list[Fact] = []
        for where in after - before:
            if isinstance(where, Thing):
                expected.append(RequestComplete(where.ref))
            else:
                name = f"{where[0].prefix()}{where[0].node}.{where[1]}[]"
                level = LevelOf(where[0].names[-1], where[1])
                expected.append(LevelComplete(level, name, self.model.count[where]))
        for where in before - after:
            if isinstance(where, tuple) and where in self.model.open:
                name = f"{where[0].prefix()}{where[0].node}.{where[1]}[]"
                expected.append(LevelReopened(LevelOf(where[0].names[-1], where[1]), name))
        assert sorted(map(str, told)) == sorted(map(str, expected))
        return facts

    def pick(self, data: st.DataObject, things: list[Thing]) -> Thing:
        return data.draw(st.sampled_from(things))

    def new_key(self) -> int:
        self.next_key += 1
        return self.next_key

    @initialize()
    def begin(self) -> None:
        self.begin_request()

    @precondition(lambda self: len(self.model.of("request")) < 2)
    @rule()
    def begin_request(self) -> None:
        request = Thing("request", names=[f"r{self.new_key()}"])
        self.happen(
            lambda: self.tree.request_began(request.names[0]),
            lambda: self.model.things.append(request),
        )

    @rule(data=st.data(), node=st.sampled_from("ab"), inside=st.booleans())
    def begin_task(self, data: st.DataObject, node: str, inside: bool) -> None:
        parents = [t for t in self.model.things if self.is_open(t, inside and t.kind == "task")]
        if not parents:
            return
        parent = self.pick(data, parents)
        inside = inside and parent.kind == "task"
        key = self.new_key()
        home = parent if inside or parent.kind != "task" else parent.home
        task = Thing("task", parent, home, [key], node)
        self.happen(
            lambda: self.tree.task_began(key, node, parent.ref, inside=inside),
            lambda: self.model.begin(task),
        )

    def is_open(self, parent: Thing, inside: bool) -> bool:
        """Whether tasks can begin from it."""
        home = parent if inside or parent.kind != "task" else parent.home
        assert home is not None
        if home.kind == "item":
            assert home.parent is not None
            return self.model.is_busy((home.parent, home.label))
        return home.running

    @rule(
        data=st.data(),
        label=st.sampled_from("st"),
        index=st.integers(0, 3),
        settled=st.booleans(),
        node=st.sampled_from([None, "a", "b"]),
    )
    def emit(
        self, data: st.DataObject, label: str, index: int, settled: bool, node: str | None
    ) -> None:
        """An item is given; with a node, by the task that begins for it."""
        tasks = [t for t in self.model.of("task") if t.running]
        if tasks:
            self.give(self.pick(data, tasks), label, index, settled, node)

    @rule(
        data=st.data(),
        label=st.sampled_from("st"),
        indices=st.sets(st.integers(0, 3), min_size=2),
        node=st.sampled_from("ab"),
    )
    def fan_out(self, data: st.DataObject, label: str, indices: set[int], node: str) -> None:
        """Several items are given, by the tasks that begin for them."""
        tasks = [t for t in self.model.of("task") if t.running]
        if tasks:
            task = self.pick(data, tasks)
            for index in sorted(indices):
                self.give(task, label, index, True, node)

    def give(self, task: Thing, label: str, index: int, settled: bool, node: str | None) -> None:
        there = [t for t in self.model.items((task, label)) if t.index == index]
        if not self.model.open.get((task, label), True) or there:
            return
        settled = settled or node is not None
        item = Thing("item", task, label=label, index=index, settled=settled, running=False)
        key = self.new_key()

        def change() -> None:
            self.model.open[task, label] = True
            self.model.count[task, label] = self.model.count.get((task, label), 0) + 1
            self.model.things.append(item)
            if node is not None:
                self.model.begin(Thing("task", item, item, [key], node))

        def event() -> list[Fact]:
            if node is None:
                return self.tree.emitted(task.ref, label, index, settled=settled)
            return self.tree.task_began(key, node, task.ref, index=index, of=label)

        self.happen(event, change)

    @precondition(lambda self: any(not t.settled for t in self.model.things))
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        item = self.pick(data, [t for t in self.model.things if not t.settled])
        ref = item.ref
        assert isinstance(ref, Item)
        self.happen(lambda: self.tree.settled(ref), lambda: setattr(item, "settled", True))

    @rule(data=st.data(), label=st.sampled_from("st"))
    def close(self, data: st.DataObject, label: str) -> None:
        tasks = [
            t for t in self.model.of("task") if t.running and self.model.open.get((t, label), True)
        ]
        if tasks:
            task = self.pick(data, tasks)
            self.happen(
                lambda: self.tree.level_closed(task.ref, label), lambda: self.shut((task, label))
            )

    def shut(self, level: Level) -> None:
        self.model.open[level] = False
        self.model.count.setdefault(level, 0)
        for item in self.model.items(level):
            item.settled = True

    @precondition(lambda self: any(t.running for t in self.model.of("task")))
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        self.finish(self.pick(data, [t for t in self.model.of("task") if t.running]))

    @precondition(lambda self: self.model.of("item"))
    @rule(data=st.data())
    def end_a_level(self, data: st.DataObject) -> None:
        """Everything in a level ends, and its task."""
        item = self.pick(data, self.model.of("item"))
        level = (item.parent, item.label)
        for task in self.model.of("task"):
            if task.running and (level in task.ups() or task is item.parent):
                self.finish(task)
        assert level in self.model.complete()

    def finish(self, task: Thing) -> None:
        def change() -> None:
            task.running = False
            for level in self.model.open:
                if level[0] is task:
                    self.shut(level)

        self.happen(lambda: self.tree.task_ended(task.ref), change)

    @precondition(lambda self: any(t.running for t in self.model.of("request")))
    @rule(data=st.data(), surely=st.integers(0, 7))
    def end_request(self, data: st.DataObject, surely: int) -> None:
        if not surely:  # now and then: afterwards little can happen
            request = self.pick(data, [t for t in self.model.of("request") if t.running])
            self.happen(
                lambda: self.tree.request_ended(request.ref),
                lambda: setattr(request, "running", False),
            )

    @precondition(lambda self: self.model.of("task"))
    @rule(data=st.data())
    def rename(self, data: st.DataObject) -> None:
        task = self.pick(data, self.model.of("task"))
        new = f"id{self.new_key()}"
        self.happen(
            lambda: self.tree.renamed(data.draw(st.sampled_from(task.names)), new),
            lambda: task.names.append(new),
        )

    @precondition(lambda self: self.model.of("task", "item"))
    @rule(data=st.data())
    def retract(self, data: st.DataObject) -> None:
        thing = self.pick(data, self.model.of("task", "item"))
        doomed = [*self.model.below(thing), thing]
        refs = {t.ref: t for t in doomed}
        running = {t.ref for t in doomed if t.kind == "task" and t.running}
        assert set(self.tree.descendants(thing.ref)) == refs.keys() - {thing.ref}
        facts = self.happen(
            lambda: self.tree.retracted(thing.ref), lambda: self.model.remove(doomed, True)
        )
        self.check_retraction(facts, refs, running)

    def check_retraction(
        self, facts: list[Fact], refs: dict[Ref, Thing], running: set[Ref]
    ) -> None:
        """Exactly these, and each after all that come from it."""
        (gone,) = [f for f in facts if isinstance(f, Retracted)]
        assert len(gone.refs) == len(refs)
        assert set(gone.refs) == refs.keys()
        assert (set(gone.running), len(gone.running)) == (running, len(running))
        depths = [len(list(refs[ref].origins())) for ref in gone.refs]
        assert depths == sorted(depths, reverse=True)
        assert list(gone.running) == [ref for ref in gone.refs if ref in running]

    @precondition(lambda self: self.model.of("task"))
    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        task = self.pick(data, self.model.of("task"))
        *_, request = task.origins()
        if not self.model.is_busy(request):
            return
        doomed = self.model.below(task)
        refs = {t.ref: t for t in doomed}
        running = {t.ref for t in doomed if t.kind == "task" and t.running}

        def change() -> None:
            task.running = True
            self.model.remove(doomed, True)
            for level in [level for level in self.model.open if level[0] is task]:
                del self.model.open[level], self.model.count[level]
            for home, node in [t for t in self.model.turns if t[0] is task]:
                del self.model.turns[home, node]

        facts = self.happen(lambda: self.tree.restarted(task.ref), change)
        if doomed:
            self.check_retraction(facts, refs, running)
        else:
            assert not any(isinstance(f, Retracted) for f in facts)

    @precondition(lambda self: any(not self.model.is_busy(t) for t in self.model.of("task")))
    @rule(data=st.data())
    def forget_task(self, data: st.DataObject) -> None:
        task = self.pick(data, [t for t in self.model.of("task") if not self.model.is_busy(t)])
        doomed = [task, *(t for t in self.model.things if task in t.ups())]
        for follower in self.model.things:
            if follower.parent is task and follower not in doomed:
                follower.parent = task.parent
        assert self.tree.forget(task.ref) == len(doomed)
        self.model.remove(doomed, False)

    @rule(data=st.data())
    def forget_level(self, data: st.DataObject) -> None:
        done = [level for level in self.model.open if not self.model.is_busy(level)]
        if done:
            level = data.draw(st.sampled_from(done))
            doomed = [t for t in self.model.things if level in t.ups()]
            assert self.tree.forget(LevelOf(level[0].ref, level[1])) == len(doomed)
            self.model.remove(doomed, False)

    @rule(data=st.data())
    def forget_request(self, data: st.DataObject) -> None:
        done = [t for t in self.model.of("request") if not self.model.is_busy(t)]
        if done:
            request = self.pick(data, done)
            doomed = [request, *(t for t in self.model.things if request in t.ups())]
            assert self.tree.forget(request.ref) == len(doomed)
            self.model.remove(doomed, False)

    # Illegal events change nothing

    @rule(data=st.data(), which=st.integers(0, 9), label=st.sampled_from("st"))
    def do_something_illegal(self, data: st.DataObject, which: int, label: str) -> None:
        events = (
            list(self.illegal(self.pick(data, self.model.things), label))
            if (self.model.things)
            else []
        )
        if not events:
            return
        before = self.picture()
        with pytest.raises(IllegalEvent, match="Its story: "):
            events[which % len(events)]()
        assert self.picture() == before

    def illegal(self, thing: Thing, label: str) -> Iterator[Callable[[], object]]:
        tree, ref = self.tree, thing.ref
        yield lambda: tree.task_ended("nobody")
        yield lambda: tree.task_began(thing.names[-1] if thing.names else "n", "a", "nobody")
        if thing.kind == "request":
            yield lambda: tree.task_ended(ref)
            yield lambda: tree.restarted(ref)
            if not thing.running:
                yield lambda: tree.request_ended(ref)
                yield lambda: tree.task_began("n", "a", ref)
        if isinstance(ref, Item):
            yield lambda: tree.forget(ref)
            yield lambda: tree.emitted(ref.task, ref.key, ref.index)
            if thing.settled:
                yield lambda: tree.settled(ref)
            if not self.is_open(thing, False):
                yield lambda: tree.task_began("n", "a", ref)
                yield lambda: tree.task_began("n", "a", ref.task, index=ref.index, of=ref.key)
        if thing.kind == "task":
            yield lambda: tree.renamed(ref, ref)
            if self.model.is_busy(thing):
                yield lambda: tree.forget(ref)
            if not thing.running:
                yield lambda: tree.task_ended(ref)
                yield lambda: tree.emitted(ref, label, 9)
                yield lambda: tree.level_closed(ref, label)
                yield lambda: tree.task_began("n", "a", ref, inside=True)
                yield lambda: tree.task_began("n", "a", ref, index=9, of=label)
            elif not self.model.open.get((thing, label), True):
                yield lambda: tree.level_closed(ref, label)
                yield lambda: tree.emitted(ref, label, 9)
                yield lambda: tree.task_began("n", "a", ref, index=9, of=label)

    def picture(self) -> Any:
        """All that can be asked."""
        refs = [t.ref for t in self.model.things]
        return (
            len(self.tree),
            [self.tree.path(ref) for ref in refs],
            [self.tree.is_settled(ref) for ref in refs],
            [self.tree.is_complete(ref) for ref in refs],
            [self.tree.is_complete(LevelOf(t.ref, label)) for t, label in self.model.open],
            [self.tree.members(t.ref) for t in self.model.of("request")],
            [self.tree.descendants(ref) for ref in refs],
        )

    # What holds after each event

    @invariant()
    def nothing_else_is_kept(self) -> None:
        assert len(self.tree) == len(self.model.things)
        names = [name for t in self.model.of("request", "task") for name in t.names]
        assert set(self.tree._named) == set(names)

    @invariant()
    def paths_are_as_in_the_model_unique_and_stable(self) -> None:
        seen: dict[tuple[Thing, tuple[Step, ...]], Thing] = {}
        for thing in self.model.things:
            path = self.tree.path(thing.ref)
            assert path == thing.steps() == (path if thing.path is None else thing.path)
            thing.path = path
            if thing.kind == "item":
                *_, request = thing.origins()
                assert seen.setdefault((request, path), thing) is thing
                assert re.fullmatch(
                    r"request( / [ab](#\d+)?(\.[st]\[\d\])?)+", self.tree.path_text(thing.ref)
                )

    @invariant()
    def all_names_mean_the_same_task(self) -> None:
        for task in self.model.of("task"):
            assert len({self.tree._find(name) for name in task.names}) == 1
            for item in self.model.of("item"):
                if item.parent is task:
                    refs = [Item(name, item.label, item.index) for name in task.names]
                    assert all(self.tree.path(ref) == item.steps() for ref in refs)

    @invariant()
    def complete_and_settled_are_as_in_the_model(self) -> None:
        for thing in self.model.things:
            assert self.tree.is_complete(thing.ref) is not self.model.is_busy(thing)
            unsettled = [a for a in thing.places() if not a.settled]
            assert self.tree.is_settled(thing.ref) is not bool(unsettled)
        for level in self.model.open:
            complete = self.tree.is_complete(LevelOf(level[0].ref, level[1]))
            assert complete is not self.model.is_busy(level)

    @invariant()
    def groups_are_as_in_the_model(self) -> None:
        for thing in self.model.things:
            places = [a for a in thing.places() if a is not thing or thing.kind != "task"]
            for name in {a.level_name() for a in places}:
                nearest = next(a for a in places if a.level_name() == name)
                assert self.tree.group_of(thing.ref, name) == nearest.ref
            assert self.tree.group_of(thing.ref, "nowhere") is None
            members = {t.ref for t in self.model.things if thing in t.ups()}
            assert set(self.tree.members(thing.ref)) == members


AncestryMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
TestRandomEvents = pytest.mark.slow(AncestryMachine.TestCase)


# What is complete can all be forgotten


@given(
    widths=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    rounds=st.integers(1, 12),
    keep=st.integers(0, 3),
)
def test_forgetting_bounds_what_is_kept(widths: list[int], rounds: int, keep: int) -> None:
    """Rounds of a nested fan-out, of which the last few are kept: size follows from these."""
    tree = AncestryTree()
    tree.request_began("r")
    whole = 1
    for width in reversed(widths):
        whole = 1 + width * (1 + whole)  # a task, and per item what is below it
    kept: list[Key] = []
    for turn in range(rounds):
        root = f"{turn}"
        tree.task_began(root, "n0", "r")
        todo: list[tuple[int, str]] = [(0, root)]
        ready: list[str] = []
        while todo:
            depth, task = heapq.heappop(todo)
            ready.append(task)
            for index in range(widths[depth] if depth < len(widths) else 0):
                child = f"{task}.{index}"
                tree.task_began(child, f"n{depth + 1}", task, index=index, of="k")
                heapq.heappush(todo, (depth + 1, child))
        done = [fact for task in ready for fact in tree.task_ended(task)]
        levels = [fact.level for fact in done if isinstance(fact, LevelComplete)]
        assert len(set(levels)) == len(levels)
        kept.append(root)
        if len(kept) > keep:
            assert tree.forget(kept.pop(0)) == whole
        assert len(tree) == 1 + whole * len(kept)
