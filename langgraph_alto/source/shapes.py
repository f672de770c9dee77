"""What an expression may give, as far as LangGraph's writers look at a result.

A `Shape` says what a value may be: a mapping with certain keys, one of some strings, a list, a
`Send`, a `Command`. Everything that is set is possible, and `None` always is; nothing set means
`None`, or a value that no statement gives. Shapes are values: they say nothing of who else holds
the same object (see `bindings` for that).
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin, is_typeddict

from langgraph_alto.source import objects

Names = frozenset[str]

COMMAND = "langgraph.types.Command"
SEND = "langgraph.types.Send"
ADDABLE = "langchain_core.runnables.utils.AddableDict"
MODEL = "pydantic.main.BaseModel"
RUNNABLE = "langchain_core.runnables.base.Runnable"
PARENT = "__parent__"
END = "__end__"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a value may be.

    Attributes:
        unknown: Anything at all.
        keys: A mapping, or an object with attributes, with these keys at most; None: no mapping.
        any_keys: A mapping of which no keys are known.
        texts: One of these strings.
        plain: Something that is none of the others: a number, a string that is not known.
        items: A list, tuple, set or generator of such elements; None: none of them.
        send: A `Send` to a node with such a name.
        command: A `Command` for the graph in which it is given.
        leaves: A `Command` for the graph around that one.
    """

    unknown: bool = False
    keys: Names | None = None
    any_keys: bool = False
    texts: Names = frozenset()
    plain: bool = False
    items: Shape | None = None
    send: Shape | None = None
    command: CommandShape | None = None
    leaves: bool = False

    def __or__(self, other: Shape) -> Shape:
        """What is one or the other."""
        if self is other or other is NOTHING:
            return self
        if self is NOTHING:
            return other
        keys = other.keys if self.keys is None else self.keys | (other.keys or frozenset())
        return Shape(
            unknown=self.unknown or other.unknown,
            keys=keys,
            any_keys=self.any_keys or other.any_keys,
            texts=self.texts | other.texts,
            plain=self.plain or other.plain,
            items=_either(self.items, other.items),
            send=_either(self.send, other.send),
            command=_either_command(self.command, other.command),
            leaves=self.leaves or other.leaves,
        )

    @property
    def only_texts(self) -> Names | None:
        """The strings that it may be, where it can be nothing else; None elsewhere."""
        only = self.texts and self == Shape(texts=self.texts)
        return self.texts if only else None

    @property
    def is_mapping(self) -> bool:
        """Whether it may be a mapping."""
        return self.any_keys or self.keys is not None

    def merged_keys(self) -> Shape:
        """What `{**value}` adds: keys that are known, or any."""
        keys = self.keys or frozenset()
        is_plain_mapping = replace(self, keys=None) == NOTHING
        return Shape(keys=keys) if is_plain_mapping else Shape(keys=keys, any_keys=True)

    def elements(self) -> Shape:
        """What iterating it gives."""
        if self.items is not None and replace(self, items=None) == NOTHING:
            return self.items
        return UNKNOWN if self != NOTHING else NOTHING

    def grown(self, keys: Shape, items: Shape, *, deep: bool) -> Shape:
        """The same after a mapping took more keys, a list more items; `deep`: or what is inside."""
        found = self
        if found.is_mapping:
            found = found | keys
        if found.items is not None:
            found = found | Shape(items=items)
            if deep and found.items is not None:
                found = replace(found, items=found.items.grown(keys, items, deep=True))
        if deep and found.command is not None:
            update = found.command.update.grown(keys, items, deep=True)
            goto = found.command.goto.grown(keys, items, deep=True)
            found = replace(found, command=CommandShape(update, goto))
        return found

    def handed_out(self) -> Shape:
        """The same after somebody else got the object: whatever can change may have changed."""
        command = self.command and CommandShape(
            self.command.update.handed_out(), self.command.goto.handed_out()
        )
        return replace(
            self,
            any_keys=self.is_mapping,
            items=None if self.items is None else UNKNOWN,
            command=command,
        )


@dataclass(frozen=True, slots=True)
class CommandShape:
    """A `Command` for the graph in which it is given: its update, and where it leads."""

    update: Shape
    goto: Shape


def _either(one: Shape | None, other: Shape | None) -> Shape | None:
    if one is None or other is None:
        return one if other is None else other
    return one | other


def _either_command(one: CommandShape | None, other: CommandShape | None) -> CommandShape | None:
    if one is None or other is None:
        return one if other is None else other
    return CommandShape(one.update | other.update, one.goto | other.goto)


NOTHING = Shape()
UNKNOWN = Shape(unknown=True)
PLAIN = Shape(plain=True)
ANY_MAPPING = Shape(any_keys=True)


def text(*values: str) -> Shape:
    """One of some strings."""
    return Shape(texts=frozenset(values))


def mapping(keys: Iterable[str]) -> Shape:
    """A mapping with these keys at most."""
    return Shape(keys=frozenset(keys))


def joined(shapes: Iterable[Shape]) -> Shape:
    """What is one of several."""
    found = NOTHING
    for shape in shapes:
        found = found | shape
    return found


def of_object(obj: Any) -> Shape:
    """The shape of an object that exists and can't change; UNKNOWN of all others."""
    if isinstance(obj, str):
        # A member of `class Node(str, Enum)` is the string that it stands for.
        return text(str.__str__(obj))
    if isinstance(obj, tuple) and type(obj) is tuple:
        return Shape(items=joined(map(of_object, obj)))
    # None is mostly a name that waits to be set.
    return PLAIN if objects.is_scalar(obj) and obj is not None else UNKNOWN


# Classes and annotations --------------------------------------------------------------------


def is_dict_class(cls: type) -> bool:
    """Whether calling a class makes a mapping of the arguments: dict, `Partial`, a TypedDict."""
    if cls is dict or is_typeddict(cls):
        return True
    if ADDABLE not in objects.mro_names(cls) and cls.__module__ != "collections":
        return False
    own = [c for c in cls.__mro__ if c not in (dict, object) and c.__module__ != "collections"]
    changed = any(
        name in c.__dict__ for c in own for name in ("__init__", "__new__", "__setitem__", "update")
    )
    # Reading a defaultdict or Counter may add keys.
    return issubclass(cls, dict) and not changed and not hasattr(cls, "__missing__")


def of_instance(cls: type) -> Shape:
    """The shape of a dataclass's or pydantic model's instance; UNKNOWN of other classes.

    LangGraph takes every attribute whose name is a key of the state, annotated or not.
    """
    names = objects.mro_names(cls)
    is_model = MODEL in names
    if RUNNABLE in names or not (is_model or dataclasses.is_dataclass(cls)):
        return UNKNOWN  # a Runnable as a result is run
    if is_model and getattr(cls, "model_config", {}).get("extra") == "allow":
        return ANY_MAPPING
    for name in ("__init__", "__post_init__", "model_post_init", "__getattr__", "__setattr__"):
        found = objects.class_attribute(cls, name)
        code = getattr(found.value, "__code__", None) if found is not None else None
        written = code is not None and not code.co_filename.startswith("<string>")
        if written and found is not None and not found.owner.__module__.startswith("pydantic"):
            return ANY_MAPPING
    annotated = {name for c in cls.__mro__ for name in getattr(c, "__annotations__", {})}
    return mapping(annotated | set(dir(cls)))


_STREAMS = (
    Iterator, Iterable, Generator, AsyncIterator, AsyncIterable, AsyncGenerator,
)  # fmt: skip
_SEQUENCES = (list, tuple, set, frozenset)


def of_annotation(typ: Any) -> Shape:  # noqa: PLR0911 - one per kind
    """What an annotation says of a value.

    Example:
        >>> of_annotation(int | None) == PLAIN
        True
    """
    origin, arguments = get_origin(typ), get_args(typ)
    if typ is None or typ is types.NoneType:
        return NOTHING
    if origin in (Union, types.UnionType):
        return joined(map(of_annotation, arguments))
    if origin is Annotated:
        return of_annotation(arguments[0])
    if origin is Literal:
        texts = [a for a in arguments if isinstance(a, str)]
        rest = PLAIN if len(texts) < len(arguments) else NOTHING
        return (text(*texts) if texts else NOTHING) | rest
    if origin in (Awaitable, Coroutine):
        return of_annotation(arguments[-1])
    cls = origin if origin is not None else typ
    if not isinstance(cls, type):
        return UNKNOWN
    if cls in _STREAMS or cls in _SEQUENCES:
        # A generator's other arguments are what is sent in and what it returns.
        inside = arguments[:1] if cls in _STREAMS else arguments
        inside = tuple(a for a in inside if a is not Ellipsis) or (Any,)
        return Shape(items=joined(map(of_annotation, inside)))
    return _of_class(cls, arguments)


def _of_class(cls: type, arguments: tuple[Any, ...]) -> Shape:
    names = objects.mro_names(cls)
    if COMMAND in names:
        goto = of_annotation(arguments[0]) if arguments else UNKNOWN
        known = goto.only_texts is not None
        command = CommandShape(UNKNOWN, goto if known else UNKNOWN)
        return Shape(command=command, leaves=True)
    if SEND in names:
        return Shape(send=UNKNOWN)
    if is_typeddict(cls):
        return mapping(objects.fields_of(cls))
    if issubclass(cls, Mapping):
        return ANY_MAPPING
    if issubclass(cls, objects.SCALARS):
        return PLAIN
    return of_instance(cls)
