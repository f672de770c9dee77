"""What the fake model says where no script tells it: deterministic, of realistic length."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from langgraph_alto.testing.lengths import azure

# ruff: noqa: SIM905  # a list of words reads better as text
WORDS = (
    "a about after all and answer are as at be because been before but by case could detail "
    "do each example few first for from given had have how however if in into is it its known "
    "later less made many may more most much no not of often on one only or other over part "
    "people place question reason same several should since so some still such than that the "
    "their there these they this those through time to two under until use was way well were "
    "what when where which while who will with work would year"
).split()


def text_for(random: Random) -> tuple[str, ...]:
    """Sentences of common words, as tokens: one word each."""
    tokens: list[str] = []
    words_left = 0
    for i in range(azure().tokens(random)):
        word = random.choice(WORDS)
        if words_left == 0:
            words_left = random.randint(6, 18)
            word = word.capitalize()
        words_left -= 1
        tokens.append((" " if i else "") + word + ("." if words_left == 0 else ""))
    return tuple(tokens)


def arguments_for(schema: Mapping[str, Any], random: Random) -> Any:
    """A value that is valid for a JSON schema, as far as models are given them.

    Understands objects, arrays, enumerations, constants, unions, references, and the bounds
    of numbers, strings and arrays; not patterns and formats.
    """
    return _value(schema, schema, random)


def _value(schema: Mapping[str, Any], root: Mapping[str, Any], random: Random) -> Any:
    schema = _plain(schema, root)
    if "enum" in schema:
        return random.choice(list(schema["enum"]))
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _value(part, root, random) for name, part in properties.items()}
    if kind == "array":
        low = schema.get("minItems", 1)
        count = random.randint(low, max(low, schema.get("maxItems", low + 3)))
        return [_value(schema.get("items", {}), root, random) for _ in range(count)]
    return _scalar(kind, schema, random)


def _plain(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema without reference and union: the target, the first choice, all parts in one."""
    if "$ref" in schema:
        return _plain(_resolve(schema["$ref"], root), root)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return _plain(schema[choice][0], root)
    if "allOf" in schema:
        return {k: v for part in schema["allOf"] for k, v in _plain(part, root).items()}
    return {"enum": [schema["const"]]} if "const" in schema else schema


def _scalar(kind: str, schema: Mapping[str, Any], random: Random) -> Any:
    if kind == "string":
        text = " ".join(random.choice(WORDS) for _ in range(random.randint(3, 12)))
        text = text.ljust(schema.get("minLength", 0), ".")
        return text[: schema.get("maxLength", len(text))]
    if kind == "boolean":
        return random.random() < 0.5
    if kind == "null":
        return None
    low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 101) - 1)
    if kind == "integer":
        return random.randint(int(low), int(max(low, high)))
    return round(random.uniform(low, max(low, high)), 3)


def _resolve(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)
