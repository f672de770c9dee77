"""What a function's local names are bound to and what is done with them.

There is no order: a name may hold whatever any statement binds to it. Names that may stand for
one object form a group; what one of them does to the object counts for all. An object that is
handed to code which is not followed is lost: that code may change it. `walk` fills the table.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from langgraph_alto.source.locate import FunctionInfo

Kind = Literal["item", "update", "grow"]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the object under a name: `d[key] = value`, `d.update(…)`, `d.append(value)`."""

    kind: Kind
    value: ast.expr | ast.Call | None
    key: ast.expr | None = None
    many: bool = False
    """The value's elements are added, not the value."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One way in which a name gets its value.

    `"value"`: that of an expression, under `annotation` if it has one. `"element"`: an element
    of it, `at` a place or anywhere. `"define"`: a function or import of this scope.
    """

    kind: Literal["value", "element", "define", "unknown"]
    node: ast.AST | None = None
    annotation: ast.expr | None = None
    at: int | None = None


@dataclass
class Bindings:
    """What the walk found; `of(name)` and `group(name)` are what is asked of it."""

    info: FunctionInfo
    returns: list[ast.expr] = field(default_factory=list)
    yields: list[ast.expr] = field(default_factory=list)
    yields_from: list[ast.expr] = field(default_factory=list)
    is_generator: bool = False
    bound: dict[str, list[Binding]] = field(default_factory=dict)
    changes: dict[str, list[Change]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    all_lost: bool = False
    _parents: dict[str, str] = field(default_factory=dict)
    _members: dict[str, list[str]] = field(default_factory=dict)

    def bind(self, name: str, binding: Binding) -> None:
        """A statement binds a name."""
        self.bound.setdefault(name, []).append(binding)

    def unite(self, one: str, other: str) -> None:
        """Two names may stand for one object, or for one inside the other."""
        first, second = self._root(one), self._root(other)
        if first != second:
            self._parents[second] = first
            members = self._members.setdefault(first, [first])
            members += self._members.pop(second, [second])

    def _root(self, name: str) -> str:
        while (parent := self._parents.get(name)) is not None:
            name = parent
        return name

    def changes_of(self, name: str) -> Iterable[Change]:
        """Every change of an object that the name may stand for."""
        for member in self._group(name):
            yield from self.changes.get(member, ())

    def is_shared(self, name: str) -> bool:
        """Whether other names may stand for the object, or for something inside it."""
        return len(self._group(name)) > 1

    def is_lost(self, name: str) -> bool:
        """Whether code that is not followed may have the object."""
        return self.all_lost or any(member in self.lost for member in self._group(name))

    def _group(self, name: str) -> list[str]:
        return self._members.get(self._root(name), [name])
