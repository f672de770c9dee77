"""How values are followed through a function: which ones stay a part of the input.

Every function is a node of its own graph. Those in `PURE` must be proven pure; all others
change something that others can see, by a way that a scan could miss.
"""

# ruff: noqa: F841, E731, B007, B905, C416, PLC0206 - the ways of writing are the point

from __future__ import annotations

import copy
import functools
import itertools
import operator
import types
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import START, StateGraph

from langgraph_alto._langgraph.reader import verdicts
from langgraph_alto.core.effects import Rank
from langgraph_alto.options import Options
from langgraph_alto.source import locate


class State(TypedDict, total=False):
    q: str
    n: int
    xs: list
    d: dict
    messages: list


SEEN: list[Any] = []


def fin(state: State):
    try:
        return {"n": 1}
    finally:
        SEEN.append(1)


def exc(state: State):
    try:
        x = 1 / 0
    except Exception as e:
        SEEN.append(e)
    return {}


def whiletrue(state: State):
    while True:
        if state["n"]:
            SEEN.append(1)
            break
    else:
        pass
    return {}


def star(*args, **kw):
    args[0]["xs"].append(1)
    return {}


def nested(state: State):
    def inner(xs=state["xs"]):
        xs.append(1)

    inner()
    return {}


def late(state: State):
    def inner():
        ys.append(1)

    ys = state["xs"]
    inner()
    return {}


def lam(state: State):
    f = lambda x: x.append(1)
    [f(x) for x in state["xs"]]
    return {}


def tern(state: State):
    (state["xs"] if state["n"] else []).append(1)
    return {}


def walrus(state: State):
    if xs := state.get("xs"):
        xs.pop()
    return {}


def starx(state: State):
    a = [*state["xs"]]
    a[0]["k"] = 1
    return {}


def union(state: State):
    d = state["d"] | {"x": 1}
    d["inner"]["k"] = 1
    return {"d": d}


def union_ok(state: State):
    d = state["d"] | {"x": 1}
    d["y"] = 1
    return {"d": d}


def upd_ok(state: State):
    d = {}
    d.update(state["d"])
    d["y"] = 1
    return {"d": d}


def upd(state: State):
    d = {}
    d.update(state["d"])
    d["y"]["z"] = 1
    return {"d": d}


def sliced(state: State):
    m = state["messages"][-3:]
    m.append(1)
    return {}


def sliced_bad(state: State):
    m = state["messages"][-3:]
    m[0].content = 1
    return {}


def filt(state: State):
    for m in filter(None, state["messages"]):
        m.name = "x"
    return {}


def rev(state: State):
    for m in reversed(state["messages"]):
        m.name = "x"
    return {}


def zipp(state: State):
    for i, (m, n) in enumerate(zip(state["messages"], state["xs"])):
        n["k"] = m
    return {}


def dcopy(state: State):
    s = copy.copy(state["d"])
    s["x"] = 1
    return {}


def dcopy_bad(state: State):
    s = copy.copy(state["d"])
    s["x"]["y"] = 1
    return {}


def chain_bad(state: State):
    for m in itertools.chain(state["messages"], state["xs"]):
        m.name = 1
    return {}


def ret_helper(state: State):
    def get(s, k):
        return s[k]

    get(state, "xs").append(1)
    return {}


class W:
    def __init__(self, s):
        self.s = s

    def go(self):
        self.s["xs"].append(1)


def wrap(state: State):
    W(state).go()
    return {}


@dataclass
class DW:
    s: Any

    def go(self):
        self.s["xs"].append(1)


def dwrap(state: State):
    DW(state).go()
    return {}


def part(state: State):
    functools.partial(operator.setitem, state["d"])("k", 1)
    return {}


def meth(state: State):
    f = state["xs"].append
    f(1)
    return {}


def mapm(state: State):
    list(map(state["xs"].append, [1]))
    return {}


def unp(state: State):
    x, y = state["xs"], state["d"]
    y["a"] = 1
    return {}


def loopalias(state: State):
    cur = state["d"]
    while cur.get("next"):
        cur = cur["next"]
    cur["next"] = 1
    return {}


def sortinplace(state: State):
    state["xs"].sort()
    return {}


def msgmod(state: State):
    last = state["messages"][-1]
    last.tool_calls.append(1)
    return {}


def ok_local_obj(state: State):
    o = W({"xs": []})
    o.go()
    return {"xs": o.s["xs"]}


def dictcomp(state: State):
    d = {k: v for k, v in state["d"].items()}
    d["x"] = 1
    return {"d": d}


def dictcomp_bad(state: State):
    d = {k: v for k, v in state["d"].items()}
    d["x"].append(1)
    return {"d": d}


def str_fmt(state: State):
    return {"q": "{} {q}".format(*state["xs"], **state)}


def strjoin(state: State):
    lines = []
    for m in state["messages"]:
        role = "u" if isinstance(m, HumanMessage) else "a"
        lines.append(f"{role}: {m.content}")
    text = "\n".join(lines)
    text += "end"
    parts = []
    parts += [text]
    return {"q": text, "xs": parts}


def cnt(state: State):
    n = state.get("n", 0)
    n += 1
    total = 0
    for x in state["xs"]:
        total += x["score"]
    return {"n": n + total}


def total_bad(state: State):
    acc = state["xs"]
    for x in [[1]]:
        acc += x
    return {}


def grouped(state: State):
    g = defaultdict(list)
    for x in state["xs"]:
        g[x["k"]].append(x)
    g["z"][0]["q"] = 1
    return {"d": g}


def grouped_copies(state: State):
    g = defaultdict(list)
    for x in state["xs"]:
        g[x["k"]].append(x)
    out = {k: [dict(y) for y in v] for k, v in g.items()}
    for k in out:
        out[k].sort(key=lambda y: y["n"])
    return {"d": out}


def asserted(state: State):
    assert state["n"] >= 0, state["q"]
    return {"n": 1}


PURE = {
    "union_ok", "upd_ok", "sliced", "dcopy", "ok_local_obj", "dictcomp", "str_fmt", "strjoin",
    "cnt", "grouped_copies", "asserted",
}  # fmt: skip

NODES = {
    name: found
    for name, found in list(globals().items())
    if isinstance(found, types.FunctionType) and found.__module__ == __name__
}


def judged(function: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("a", function)
    builder.add_edge(START, "a")
    app = builder.compile()
    return verdicts(app.nodes, app.channels, Options())["a"]


@pytest.mark.parametrize("name", NODES)
def test_values_are_followed(name: str) -> None:
    verdict = judged(NODES[name])
    assert verdict.rank is (Rank.PROVEN if name in PURE else Rank.HELD), verdict
    assert verdict.reason in ("pure", "mutates its input", "shared container")
    assert "failed" not in verdict.detail


def test_a_function_of_a_long_file_is_found_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locate, "LONG_FILE", 0)
    monkeypatch.setattr(locate, "_trees", {})
    for function in NODES.values():
        node = locate._find(function.__code__)
        assert node.name == function.__name__
        assert locate.place("x", node.body[0].lineno) > locate.place("x", 0)
    assert locate._trees == {}


def test_a_file_that_changed_is_no_source(tmp_path: Any) -> None:
    path = tmp_path / "gone.py"
    path.write_text("def a(state):\n    return f(state)\n")
    namespace: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    path.write_text("def a(state):\n    return {}\n")
    assert judged(namespace["a"]).reason == "source can't be read"
