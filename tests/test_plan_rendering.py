"""How a plan looks: text, a Mermaid diagram, JSON that its schema describes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from langgraph_alto.core.effects import Rank, Verdict
from langgraph_alto.core.plan import ANY, EdgePlan, StreamingPlan
from langgraph_alto.core.planner import Setting, streaming_plan
from langgraph_alto.core.spec import ChannelSpec, GraphSpec, NodeSpec, RouterSpec, Stream
from langgraph_alto.plan_rendering import WIDTH, plan_to_json, plan_to_mermaid, plan_to_text

UNLOCK = 'add_node("mail", mail, metadata={"alto": {"effects": "idempotent"}})'


def node(name: str, reads: str, writes: str | None, to: str = "", **more: Any) -> NodeSpec:
    return NodeSpec(
        name,
        reads=frozenset(reads.split()),
        reads_how="source",
        narrowed=True,
        writes=None if writes is None else frozenset(writes.split()),
        writes_how="unknown" if writes is None else "source",
        edges=frozenset(f"to:{target}" for target in to.split()),
        **more,
    )


@pytest.fixture
def research() -> StreamingPlan:
    """A graph with everything that has a look of its own."""
    fan = RouterSpec("fan", frozenset({"topic"}), frozenset({"topic"}), frozenset({"work"}))
    ends = frozenset({"mail", "__end__"})
    last = RouterSpec("last", None, frozenset({"topic"}), ends, sends=False, waits="takes config")
    inner = [node("__start__", "", "", "search"), node("search", "q", "q")]
    nodes = [
        node("__start__", "", "topic", "plan slow"),
        node("plan", "topic", "topic", stream=Stream.ADDABLE, routers=(fan,)),
        node("slow", "topic", None, "mail"),
        node("work", "", "notes", "join", subgraph=spec_of("inner", inner)),
        node("join", "notes", "report", routers=(last,), stream=Stream.CHUNKS),
        node("mail", "report", ""),
    ]
    proven = Verdict(Rank.PROVEN, "pure", "its source only computes", None, False, False)
    verdicts = dict.fromkeys(("plan", "slow", "work", "join", "work:search"), proven)
    detail = "smtplib.SMTP().sendmail() (a/long/path/to/the/module/of/the/app.py:1234)"
    verdicts["mail"] = Verdict(Rank.HELD, "outward write", detail, UNLOCK, False, False)
    return streaming_plan(spec_of("research", nodes), verdicts, Setting(functions={"slow": "slow"}))


def spec_of(name: str, nodes: list[NodeSpec]) -> GraphSpec:
    channels = {f"to:{n.name}": ChannelSpec(f"to:{n.name}", "trigger") for n in nodes}
    channels |= {k: ChannelSpec(k, "value") for n in nodes for k in (*n.reads, *(n.writes or ()))}
    channels["notes"] = ChannelSpec("notes", "reducer", many=True)
    triggered = {f"to:{n.name}": (n.name,) for n in nodes}
    return GraphSpec(name, {n.name: n for n in nodes}, channels, triggered)


# Text


def test_text_has_a_row_for_each_node_and_edge(research: StreamingPlan) -> None:
    text = plan_to_text(research)
    lines = text.splitlines()
    assert lines[0] == (
        "Plan of 'research': 5 nodes may start early, 1 held (run_ahead='streamed')."
    )
    edges = next(number for number, line in enumerate(lines) if line.startswith(" edge "))
    rows = {line.split()[0]: line.split() for line in lines[:edges] if line}
    assert rows["plan"][1:4] == ["certain", "proven:", "pure"]
    assert rows["work"][1] == "streamed"
    assert rows["work:search"][1] == "certain"
    assert rows["mail"][1:5] == ["held", "held:", "outward", "write"]
    assert "anything (unknown)" in text
    for name in (
        "START -> plan",
        "plan -> work (conditional fan)",
        "join -> mail (conditional last)",
        "work:START -> work:search",
    ):
        assert f" {name} " in text, name
    assert max(map(len, lines[: lines.index("Held:")])) <= WIDTH
    assert [line for line in lines if line != line.rstrip()] == []


def test_lines_to_paste_stay_whole(research: StreamingPlan) -> None:
    lines = plan_to_text(research).splitlines()
    held = lines.index("Held:")
    assert lines[held + 1 : held + 3] == [
        "  mail: outward write: smtplib.SMTP().sendmail() "
        "(a/long/path/to/the/module/of/the/app.py:1234)",
        f"    unlock: {UNLOCK}",
    ]
    waits = lines[lines.index("Waits that a line would end:") + 1 :]
    assert waits[:2] == [
        "  work, join wait for slow, which may write anything",
        '    unlock: add_node("slow", slow, metadata={"alto": {"writes": '
        '["notes", "q", "report", "topic"]}})  # keep what it writes'.replace('"q", ', ""),
    ]
    # The edge to a held node is told once, with the node.
    assert sum(UNLOCK in line for line in lines) == 1


def test_text_tells_of_routers_levels_and_notes(research: StreamingPlan) -> None:
    noted = replace(research, notes=("the [bold] source is gone",))
    text = plan_to_text(noted)
    assert "Note: the [bold] source is gone.\n" in text
    assert "  fan (after plan): evaluated while its node streams\n" in text
    assert "  last (after join): not evaluated while its node streams: takes config\n" in text
    assert "  last (after join): where join ran ahead, it waits for slow (anything)" in text
    assert "  request / plan.topic[]: work; aggregated by join\n" in text
    assert text.endswith("  request / plan.topic[] / work: work:search")


def test_text_of_a_plan_that_is_off_and_of_one_without_nodes() -> None:
    assert plan_to_text(StreamingPlan("g", off="breakpoints")) == (
        "Plan of 'g': nothing starts early: breakpoints."
    )


# Mermaid


LINE = re.compile(
    r"graph\ TD"
    r'|(?P<node>n\d+)(?:\["(?P<text>[^"]*)"\]|\(\["[^"]*"\]\))'
    r'|subgraph\ (?P<box>in_n\d+)\ \["[^"]*"\]'
    r"|end"
    r'|(?P<source>n\d+)\ (?P<arrow>-->|-\.->|-\.-)(?:\|"(?P<label>[^"]*)"\|)?\ (?P<to>(in_)?n\d+)'
    r"|classDef\ (?P<style>\w+)\ fill:\#\w{6},stroke:\#\w{6},color:\#\w{6}"
    r"|class\ (?P<members>n\d+(,n\d+)*)\ (?P<of>\w+)"
    r"|linkStyle\ (?P<links>\d+(,\d+)*)\ stroke:\#\w{6}",
    re.VERBOSE,
)


def parsed(diagram: str) -> Iterator[dict[str, str]]:
    for line in diagram.splitlines():
        found = LINE.fullmatch(line.strip())
        assert found, line
        yield {key: value for key, value in found.groupdict().items() if value is not None}


def test_mermaid_is_well_formed(research: StreamingPlan) -> None:
    lines = list(parsed(plan_to_mermaid(research)))
    declared = {line["node"] for line in lines if "node" in line}
    boxes = {line["box"] for line in lines if "box" in line}
    links = [line for line in lines if "source" in line]
    assert {line["source"] for line in links} <= declared
    assert {line["to"] for line in links} <= declared | boxes
    styled = [member for line in lines for member in line.get("members", "").split(",") if member]
    assert sorted(styled) == sorted(declared)
    assert {line["of"] for line in lines if "of" in line} == {
        line["style"] for line in lines if "style" in line
    }
    coloured = [int(n) for line in lines for n in line.get("links", "").split(",") if n]
    assert len(coloured) == len(set(coloured))
    assert max(coloured) < len(links)


def test_mermaid_shows_classes_and_waits(research: StreamingPlan) -> None:
    lines = list(parsed(plan_to_mermaid(research)))
    ids = {line["text"].split("<br/>")[0]: line["node"] for line in lines if "text" in line}
    links = [line for line in lines if "source" in line]
    assert {line["text"] for line in lines if "text" in line} >= {
        "plan<br/>certain, proven",
        "work<br/>streamed, proven",
        "mail<br/>held: outward write",
    }
    labels = {(line["source"], line["to"]): line.get("label") for line in links}
    assert labels[ids["plan"], ids["work"]] == ("Sends while it runs, by name: waits for slow")
    assert labels[ids["work"], ids["join"]] == "waits for slow, work"
    arrows = {(line["source"], line["to"]): line["arrow"] for line in links}
    assert arrows[ids["plan"], ids["work"]] == "-.->"
    assert arrows[ids["work"], ids["join"]] == "-->"
    coloured = {
        (links[int(n)]["source"], links[int(n)]["to"])
        for line in lines
        for n in line.get("links", "").split(",")
        if n
    }
    assert (ids["work"], ids["join"]) in coloured
    assert (ids["slow"], ids["mail"]) in coloured
    assert (ids["plan"], ids["work"]) not in coloured


def test_mermaid_takes_any_name() -> None:
    names = [
        'say "hi"',
        "a;b",
        "end",
        "x --> y",
        "<script>",
        "graph",
        "ü #1",
        "a\nb",
        "`c`",
        "1. d",
        "- e",
    ]
    nodes = [node("__start__", "", "", ""), *(node(name, "", "") for name in names)]
    plan = streaming_plan(spec_of("g", nodes), {})
    lines = list(parsed(plan_to_mermaid(plan)))
    shown = [line["text"].partition("<br/>")[0] for line in lines if "text" in line]
    for text in shown:
        assert not re.search(r"[;<>`%\"]|^- |^1\. ", re.sub(r"#\d+;", "", text)), text
    decoded = [re.sub(r"#(\d+);", lambda code: chr(int(code[1])), text) for text in shown]
    assert decoded == [" ".join(name.split()) for name in names]


# JSON


def schema() -> dict[str, Any]:
    """The schema that the package ships."""
    text = (files("langgraph_alto") / "plan.schema.json").read_text("utf-8")
    return json.loads(text)


def strict(part: Any) -> Any:
    """The schema with every property required and no other allowed."""
    if isinstance(part, list):
        return [strict(item) for item in part]
    if not isinstance(part, dict):
        return part
    made = {key: strict(value) for key, value in part.items()}
    if part.get("type") == "object":
        made |= {"additionalProperties": False, "required": sorted(part["properties"])}
    return made


def test_json_is_what_the_schema_says_no_more_and_no_less(research: StreamingPlan) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    value = json.loads(plan_to_json(research))
    jsonschema.validate(value, schema())
    jsonschema.validate(value, strict(schema()))
    jsonschema.validate(json.loads(plan_to_json(StreamingPlan("g"))), strict(schema()))


def test_the_schema_refuses_what_is_no_plan(research: StreamingPlan) -> None:
    value = json.loads(plan_to_json(research))
    value["edges"][0]["when"] = "soon"
    with pytest.raises(jsonschema.ValidationError, match="'soon' is not one of"):
        jsonschema.validate(value, schema())
    with pytest.raises(jsonschema.ValidationError, match="'schema' is a required property"):
        jsonschema.validate({}, schema())


def test_every_word_of_the_schema_is_explained_or_said_by_its_name() -> None:
    bare = {
        *("name", "node", "router", "routers", "waits", "why", "is_key_known", "reads_how"),
        *("writes_how", "starts", "stream", "unlock"),
    }
    found = set()
    for part in (schema(), *schema()["$defs"].values()):
        for name, facts in part.get("properties", {}).items():
            if "description" not in facts and "const" not in facts:
                found.add(name)
    assert found <= bare


def test_json_tells_everything(research: StreamingPlan) -> None:
    value = json.loads(plan_to_json(research))
    nodes = {node["name"]: node for node in value["nodes"]}
    assert list(nodes) == ["plan", "slow", "work", "work:search", "join", "mail"]
    assert nodes["mail"]["unlock"] == UNLOCK
    assert (nodes["mail"]["held"], nodes["work"]["held"]) == (True, False)
    assert nodes["slow"]["writes"] is None
    edges = {(edge["sources"][0], edge["target"]): edge for edge in value["edges"]}
    assert edges["plan", "work"]["starts"] == "streamed"
    assert edges["join", "mail"]["router"] == "last"
    assert [wait["node"] for wait in edges["work", "join"]["waits"]] == ["slow", "work"]
    assert [level["name"] for level in value["levels"]] == ["plan.topic[]", "work:"]


def test_looks_of_joins_and_of_edges_that_lead_anywhere() -> None:
    joined = EdgePlan(
        ("a", "b"), "c", "join", None, False, "at once", "certain", (), (), "after 'a' and 'b'"
    )
    lost = replace(joined, sources=("c",), target=ANY, kind="command", unlock="destinations=…")
    text = plan_to_text(StreamingPlan("g", edges=(joined, lost)))
    assert " a + b -> c (join) " in text
    assert " c -> any node (command) " in text
    assert "    unlock: destinations=…" in text
    diagram = plan_to_mermaid(StreamingPlan("g", edges=(joined, lost)))
    assert diagram.count('-->|"join"|') == 2
    assert '(["any node"])' in diagram
    assert list(parsed(diagram))
