"""Options are checked when they are set, and a refusal says what would do."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from langgraph_alto import Options
from langgraph_alto.errors import AltoError, DeclarationError, OptionError
from langgraph_alto.options import ENVIRONMENT_VARIABLE, check_declaration


def test_defaults() -> None:
    assert dataclasses.asdict(Options()) == {
        "run_ahead": "streamed",
        "emit": "ordered",
        "undeclared": "run",
        "max_ahead": 64,
        "partials": False,
        "nodes": {},
        "tools": {},
    }


@pytest.mark.parametrize(
    "options",
    [
        *({"run_ahead": value} for value in ("off", "certain", "streamed", "speculative")),
        *({"emit": value} for value in ("ordered", "eager")),
        *({"undeclared": value} for value in ("run", "hold")),
        {"max_ahead": 1},
        {"partials": True},
        {"nodes": {"search": {"effects": "idempotent"}, "parent:child": {"reads": ["a"]}}},
        {"tools": {"search": {"effects": "once"}}},
        {"nodes": None, "tools": None},
    ],
    ids=str,
)
def test_what_is_valid_is_kept(options: dict[str, Any]) -> None:
    made = Options(**options)
    for name, value in options.items():
        assert getattr(made, name) == (value if value is not None else {})


UNKNOWN = (
    "Unknown option fast. Valid: run_ahead, emit, undeclared, max_ahead, partials, nodes, tools."
)
MAPPING = (
    "must be a mapping from names to declarations, "
    "such as {'search': {'effects': 'idempotent'}}, not list."
)

REFUSED: list[tuple[dict[str, Any], type[AltoError], str]] = [
    ({"fast": True}, OptionError, UNKNOWN),
    ({"b": 1, "a": 2}, OptionError, UNKNOWN.replace("fast", "a, b")),
    (
        {"run_ahead": "on"},
        OptionError,
        "run_ahead='on' is not an option. Valid: 'off', 'certain', 'streamed', 'speculative'.",
    ),
    ({"run_ahead": True}, OptionError, "run_ahead=True is not an option. Valid: 'off', 'certain'"),
    ({"emit": "fast"}, OptionError, "emit='fast' is not an option. Valid: 'ordered', 'eager'."),
    ({"emit": ["eager"]}, OptionError, "emit=['eager'] is not an option. Valid: 'ordered'"),
    ({"undeclared": None}, OptionError, "undeclared=None is not an option. Valid: 'run', 'hold'."),
    *(
        ({"max_ahead": v}, OptionError, f"max_ahead={v!r} must be a whole number, 1 or more.")
        for v in (0, -1, 1.5, "8", True, None)
    ),
    ({"partials": 1}, OptionError, "partials=1 must be True or False."),
    ({"nodes": ["search"]}, OptionError, f"nodes {MAPPING}"),
    ({"tools": []}, OptionError, f"tools {MAPPING}"),
    (
        {"nodes": {"search": "pure"}},
        DeclarationError,
        "nodes['search'] must be a mapping such as {'effects': 'pure'}, not str.",
    ),
    (
        {"nodes": {"search": {"effect": "pure"}}},
        DeclarationError,
        "nodes['search'] has the unknown key 'effect'. "
        "Valid: reads, writes, effects, stream, hedge, placement.",
    ),
    (
        {"nodes": {"a:b": {"effects": "none"}}},
        DeclarationError,
        "nodes['a:b'] declares effects='none'. Valid: 'pure', 'idempotent', 'once'.",
    ),
    (
        {"tools": {"search": {"reads": ["a"]}}},
        DeclarationError,
        "tools['search'] has the unknown key 'reads'. Valid: effects.",
    ),
]


@pytest.mark.parametrize(("options", "error", "message"), REFUSED, ids=[str(r[0]) for r in REFUSED])
def test_what_is_refused_says_what_is_valid(
    options: dict[str, Any], error: type[AltoError], message: str
) -> None:
    with pytest.raises(error) as raised:
        Options(**options)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value, AltoError | ValueError)


def test_options_are_given_by_name() -> None:
    with pytest.raises(TypeError):
        Options("streamed")  # type: ignore[misc]


def test_options_do_not_change() -> None:
    options = Options()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.max_ahead = 3  # type: ignore[misc]


def test_options_do_not_follow_the_mapping_that_they_were_made_from() -> None:
    nodes: dict[str, dict[str, Any]] = {"search": {"effects": "pure"}}
    options = Options(nodes=nodes)
    nodes["other"] = {"effects": "none"}
    assert list(options.nodes) == ["search"]


def test_options_are_compared_by_value_and_replaced() -> None:
    options = Options(max_ahead=3, nodes={"a": {"effects": "pure"}})
    assert options == Options(max_ahead=3, nodes={"a": {"effects": "pure"}})
    assert options != Options()
    assert dataclasses.replace(options, emit="eager").max_ahead == 3
    with pytest.raises(OptionError):
        dataclasses.replace(options, max_ahead=0)


# From the environment


@pytest.mark.parametrize("text", [None, "", "  \n", "{}"])
def test_nothing_in_the_environment_gives_the_defaults(text: str | None) -> None:
    environ = {} if text is None else {ENVIRONMENT_VARIABLE: text}
    assert Options.from_environment(environ) == Options()


def test_options_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"run_ahead": "certain", "max_ahead": 4, "nodes": {"a": {"effects": "once"}}}
    environ = {ENVIRONMENT_VARIABLE: json.dumps(values)}
    assert Options.from_environment(environ) == Options(**values)  # type: ignore[arg-type]
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, '{"max_ahead": 5}')
    assert Options.from_environment().max_ahead == 5


EXAMPLE = f'{ENVIRONMENT_VARIABLE} must hold a JSON object such as {{"max_ahead": 8}}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", f"{EXAMPLE}; it is not valid JSON: "),
        ("max_ahead=8", f"{EXAMPLE}; it is not valid JSON: "),
        ("[1]", f"{EXAMPLE}, not list."),
        ("8", f"{EXAMPLE}, not int."),
        ("null", f"{EXAMPLE}, not NoneType."),
        ('{"speed": 9}', "Unknown option speed. Valid: run_ahead, "),
        ('{"emit": "fast"}', "emit='fast' is not an option. Valid: 'ordered', 'eager'."),
        ('{"nodes": {"a": {"effects": 1}}}', "nodes['a'] declares effects=1. Valid: 'pure'"),
    ],
)
def test_a_bad_environment_is_one_line(text: str, message: str) -> None:
    with pytest.raises(AltoError) as raised:
        Options.from_environment({ENVIRONMENT_VARIABLE: text})
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_declaration_names_where_it_stands() -> None:
    with pytest.raises(DeclarationError, match=r"^metadata\['alto'\] of 'search' has the unknown"):
        check_declaration({"x": 1}, "metadata['alto'] of 'search'", ("effects",))
    check_declaration({}, "anywhere", ())
