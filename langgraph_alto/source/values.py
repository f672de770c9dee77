"""What the scan knows of a value: a set of atoms, each one thing that it may be.

An empty set is a value that nothing else can see and that holds nothing of interest: numbers,
strings, what a model answered. An atom is kept only while it matters whether somebody changes
it, calls it, or looks at it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FunctionType

    from langgraph_alto.source.interpret import Frame
    from langgraph_alto.source.locate import FunctionNode


class Fresh:
    """An object that the scanned code made itself; nobody else has it yet.

    `fields` are what stands under a known key or attribute, `elements` under any other.
    `block` is where it was made: only there an assignment surely replaces what was before.
    Under an `exact` key stands its field and nothing else.
    """

    __slots__ = ("block", "cls", "elements", "exact", "fields")

    def __init__(
        self, block: object = None, elements: Value = frozenset(), cls: Any = None
    ) -> None:
        self.block = block
        self.cls = cls
        self.elements = elements
        self.fields: dict[Hashable, Value] = {}
        self.exact: set[Hashable] = set()

    def get(self, key: Hashable) -> Value:
        """What may stand under a key."""
        field = self.fields.get(key, frozenset())
        return field if key in self.exact else field | self.elements

    def put(self, key: Hashable, value: Value, *, surely: bool) -> None:
        """Store under a known key; `surely` replaces what was there."""
        if surely:
            self.fields[key] = value
            self.exact.add(key)
        else:
            self.fields[key] = self.get(key) | value

    def mix(self, value: Value) -> None:
        """Store under keys that are not known."""
        if value:
            self.elements |= value
            self.exact.clear()

    def content(self) -> Value:
        """Everything that may be inside."""
        return self.elements.union(*self.fields.values())


class Input:
    """The node's input (`top`) or something inside it; `typ` is its annotated type, if any."""

    __slots__ = ("top", "typ")

    def __init__(self, top: bool = False, typ: Any = None) -> None:
        self.top = top
        self.typ = typ

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Input) and self.top == other.top and self.typ is other.typ

    def __hash__(self) -> int:
        return hash((Input, self.top, id(self.typ)))


class Real:
    """An object that exists: a global, a closure's variable, a default, an attribute."""

    __slots__ = ("obj",)

    def __init__(self, obj: Any) -> None:
        self.obj = obj

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Real) and self.obj is other.obj

    def __hash__(self) -> int:
        return hash((Real, id(self.obj)))


class Part:
    """Something inside a real object, or under a name, that does not exist yet.

    Who changes it changes `key`, and whatever else is inside `owner`. `cls` is the app's own
    class that it will have, where that is known.
    """

    __slots__ = ("cls", "key", "owner")

    def __init__(self, key: Hashable, owner: Any = None, cls: Any = None) -> None:
        self.key = key
        self.owner = owner
        self.cls = cls

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Part) and self.key == other.key and self.cls is other.cls

    def __hash__(self) -> int:
        return hash((Part, self.key, id(self.cls)))


@dataclass(frozen=True, slots=True)
class Special:
    """What LangGraph injects: "store", "previous", "runtime", "context", "config", "writer"."""

    kind: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """What installed code gave: judged by the tables under `module.name`."""

    module: str
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A function that the scanned code defines while it runs (`def`, `lambda`)."""

    node: FunctionNode
    frame: Frame


@dataclass(frozen=True, slots=True)
class Method:
    """A method of an object whose class is not known, taken but not yet called."""

    owner: Atom
    name: str


@dataclass(frozen=True, slots=True)
class Bound:
    """A function of the app with its first argument: a method and its object."""

    owner: Atom
    function: FunctionType | Function
    cls: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Partial:
    """`functools.partial` made by the scanned code."""

    function: Value
    args: tuple[Value, ...]
    kwargs: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Getter:
    """What `operator.itemgetter` and its like (`cls`) made. Without `names`: not known of what."""

    cls: Any
    names: tuple[Hashable, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LocalClass:
    """A class that the scanned code defines while it runs."""

    name: str
    methods: Mapping[str, Function]
    properties: frozenset[str] = frozenset()
    fields: tuple[str, ...] = ()
    """Annotated names in their order: what a dataclass's constructor takes."""
    bases: Value = frozenset()
    attributes: dict[str, Value] = field(default_factory=dict)


Atom = (
    Fresh
    | Input
    | Real
    | Part
    | Special
    | Foreign
    | Function
    | Method
    | Bound
    | Partial
    | Getter
    | LocalClass
)
Value = frozenset[Atom]

NOTHING: Value = frozenset()

STORE = Special("store")
PREVIOUS = Special("previous")
RUNTIME = Special("runtime")
CONTEXT = Special("context")
CONFIG = Special("config")
WRITER = Special("writer")


@dataclass(slots=True)
class Arguments:
    """What a call hands over. `star` and `keywords` stand for `*x` and `**x`."""

    args: list[Value]
    kwargs: dict[str, Value]
    star: Value = NOTHING
    keywords: Value = NOTHING

    def all(self) -> list[Value]:
        """Every value that is handed over."""
        rest = [value for value in (self.star, self.keywords) if value]
        return [*self.args, *self.kwargs.values(), *rest]

    def first(self, name: str | None = None) -> Value:
        """The first positional argument, or the one called `name`."""
        if self.args:
            return self.args[0]
        return self.kwargs.get(name or "", self.star)


def no_arguments() -> Arguments:
    """A call without arguments."""
    return Arguments([], {})


Env = dict[str, Value]
"""Names, and what each may stand for."""


def joined(envs: list[Env]) -> Env:
    """The names after several ways to get here."""
    result = dict(envs[0])
    for env in envs[1:]:
        for name, value in env.items():
            known = result.get(name)
            result[name] = value if known is None else known | value
    return result
