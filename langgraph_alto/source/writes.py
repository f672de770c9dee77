"""What a node may write and where it may lead, read from the source of what it returns.

`Writes` serves one graph. In doubt the answer is "any" (None): a key that is written but not
listed would make run-ahead start work on values that are not final.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from langgraph_alto.core import tables
from langgraph_alto.source import objects, shapes
from langgraph_alto.source.follow import Follower, plain_function
from langgraph_alto.source.kinds import CALLABLE, PREGEL, RUNNABLE, TOOL, TOOL_NODE
from langgraph_alto.source.shapes import (
    ANY_MAPPING,
    END,
    NOTHING,
    UNKNOWN,
    Names,
    Shape,
)

LAMBDA = "langchain_core.runnables.base.RunnableLambda"
GENERATOR = "langchain_core.runnables.base.RunnableGenerator"
BINDING = "langchain_core.runnables.base.RunnableBindingBase"
_GIVES_DATA = frozenset(
    {
        "langchain_core.output_parsers.base.BaseLLMOutputParser",
        "langchain_core.prompts.base.BasePromptTemplate",
        "langchain_core.runnables.passthrough.RunnableAssign",
        "langchain_core.runnables.passthrough.RunnablePassthrough",
    }
)
"""Runnables whose result is data, never a `Command`."""

_SEND_FIELDS = frozenset({"node", "arg", "timeout"})
_RAISES = frozenset({"ParentCommand"})
_LEAVES = frozenset({"PARENT", shapes.PARENT})
_PUSHES = frozenset({"push_message", "push_ui_message", "delete_ui_message"})
_CHANNELS = frozenset(
    {"CONFIG_KEY_READ", "CONFIG_KEY_SEND", "ChannelRead", "ChannelWrite"}
    | {"__pregel_read", "__pregel_send"}
)
_WORDS = _RAISES | _LEAVES | _PUSHES | _CHANNELS

MOST_NAMED = 60
"""How many functions are searched for a name, each at most three calls away."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a node hands to LangGraph when it ends; None stands for "any".

    Attributes:
        keys: Keys of the state that it may write.
        goto: Nodes to which a `Command` or `Send` of its may lead, the end not counted.
        sends: It may give `Send`s.
        leaves: It may give a `Command` for the graph around its own.

    Example:
        >>> outcome_of(shapes.mapping({"a"}))
        Outcome(keys=frozenset({'a'}), goto=frozenset(), sends=False, leaves=False)
    """

    keys: Names | None
    goto: Names | None
    sends: bool = False
    leaves: bool = False


ANY = Outcome(None, None, sends=True, leaves=True)


@dataclass(frozen=True, slots=True)
class RouterEnds:
    """Where a router may lead; None stands for "anywhere".

    Attributes:
        ends: The names that it may return; a path map may make others of them.
        targets: The nodes to which its `Send`s go.
        sends: It may give `Send`s.
    """

    ends: Names | None
    targets: Names | None
    sends: bool


class Writes(Follower):
    """Reads the functions, Runnables and routers of one graph."""

    def __init__(self, packages: Collection[str] = ()) -> None:
        super().__init__(packages)
        self._said: dict[int, tuple[Any, Names]] = {}

    def outcome(self, bound: Any, first: Shape = ANY_MAPPING) -> Outcome:
        """What a node may give, by its source.

        Args:
            bound: The node's Runnable or function.
            first: What its input may be.
        """
        words = self._words(bound)
        if words & _RAISES:
            return ANY
        shape = self._safely(bound, first)
        found = outcome_of(shape)
        if shape.unknown and not words & _LEAVES:
            # Who leads the graph around it somewhere says so by name.
            return Outcome(found.keys, found.goto, found.sends, leaves=False)
        return found

    def reaches_channels(self, bound: Any) -> bool:
        """Whether a node's functions name LangGraph's own ways to read or write channels."""
        return bool(self._words(bound) & _CHANNELS)

    def writes_by_itself(self, bound: Any) -> bool:
        """Whether a node's functions name functions that write a key of the state at once."""
        return bool(self._words(bound) & _PUSHES)

    def _words(self, bound: Any) -> Names:
        """Which words that matter a node's functions, and those that they name, say."""
        known = self._said.get(id(bound))
        if known is None or known[0] is not bound:
            known = self._said[id(bound)] = (bound, self._search(bound))
        return known[1]

    def _search(self, bound: Any) -> Names:
        try:
            queue = [(function, 0) for function in code_of(bound)]
        except Exception:  # an attribute that the app computes
            queue = []
        if not queue:
            return _LEAVES  # nothing can be said of it
        seen: set[CodeType] = set()
        found: set[str] = set()
        while queue and len(seen) < MOST_NAMED:
            current, depth = queue.pop()
            plain = plain_function(current)
            code = getattr(plain, "__code__", None)
            if not isinstance(plain, FunctionType) or code is None or code in seen:
                continue
            seen.add(code)
            used = set(_used(code))
            found |= used & _WORDS
            for function in _named(current, plain, used) if depth < 3 else ():
                inner = plain_function(function)
                if isinstance(inner, FunctionType) and self.is_own(inner):
                    queue.append((function, depth + 1))
        return frozenset(found)

    def router(self, path: Any) -> RouterEnds:
        """Where a conditional edge may lead, by its source."""
        return router_ends(self._safely(path, ANY_MAPPING))

    def _safely(self, obj: Any, first: Shape) -> Shape:
        """Like `runnable`; code that it can't digest is code that it can't read."""
        try:
            return self.runnable(obj, first)
        except Exception:
            self.reset()
            return UNKNOWN

    def runnable(self, obj: Any, first: Shape = UNKNOWN) -> Shape:  # noqa: PLR0911 - one per kind
        """What a Runnable, or a function that stands for one, may give.

        Args:
            obj: The Runnable.
            first: What its input may be.
        """
        names = objects.mro_names(type(obj))
        if PREGEL in names:
            return of_graph(obj)
        if TOOL_NODE in names:
            return self._tool_node(obj)
        if CALLABLE in names or LAMBDA in names or GENERATOR in names:
            first = UNKNOWN if GENERATOR in names or getattr(obj, "explode_args", False) else first
            return shapes.joined(self.root(f, first) for f in functions_of(obj))
        if RUNNABLE not in names:
            return self.root(obj, first)
        if TOOL in names:
            found = shapes.joined(self.root(f, UNKNOWN) for f in _tool_functions(obj))
            # Of a pair it may be the first part, the content without the artifact.
            return UNKNOWN if found == NOTHING or found.items is not None else found
        if names & _GIVES_DATA or names & tables.MODEL_BASES:
            return ANY_MAPPING
        if not type(obj).__module__.startswith(("langchain_core.", "langgraph.")):
            return UNKNOWN  # a class of the app may do anything
        return self._composed(obj, names, first)

    def _composed(self, obj: Any, names: Names, first: Shape) -> Shape:
        """LangChain's combinators, by the attributes under which they keep their parts."""
        if steps := objects.instance_dict(obj).get("steps__"):
            return shapes.mapping(steps)
        if BINDING in names:
            return self.runnable(obj.bound, first)
        steps = getattr(obj, "steps", None)
        if isinstance(steps, list | tuple) and steps:
            return self.runnable(steps[-1])
        kind = type(obj).__name__
        if kind == "RunnableWithFallbacks":
            parts = [obj.runnable, *obj.fallbacks]
        elif kind == "RunnableBranch":
            parts = [obj.default, *(part for _, part in obj.branches)]
        else:
            return UNKNOWN
        return shapes.joined(self.runnable(part, first) for part in parts)

    # Tools ------------------------------------------------------------------------------

    def _tool_node(self, node: Any) -> Shape:
        """Messages under one key, and the `Command`s that its tools may return."""
        if node._wrap_tool_call is not None or node._awrap_tool_call is not None:
            return UNKNOWN
        found = shapes.mapping([str(node._messages_key)])
        for tool in node.tools_by_name.values():
            functions = _tool_functions(tool)
            found = found | shapes.joined(map(self._tool_function, functions))
            found = found if functions else UNKNOWN
        return found

    def _tool_function(self, function: Any) -> Shape:
        shape = self.root(function, UNKNOWN)
        if shape.unknown:
            shape = annotated_function(function)
        return _commands(shape)


def _tool_functions(tool: Any) -> list[Any]:
    """The functions that a tool runs, sync and async."""
    functions = [f for n in ("func", "coroutine") if (f := getattr(tool, n, None)) is not None]
    for name in ("_run", "_arun") if not functions else ():
        found = objects.class_attribute(type(tool), name)
        if found is None or found.owner.__module__.startswith("langchain_core"):
            continue
        if isinstance(found.value, FunctionType):
            functions.append(MethodType(found.value, tool))
    return functions


def _commands(shape: Shape) -> Shape:
    """What a `ToolNode` passes on as it is; all else becomes the content of a message."""
    if shape.unknown:
        return UNKNOWN
    found = Shape(command=shape.command, leaves=shape.leaves)
    return found if shape.items is None else found | _commands(shape.items)


# Shapes to outcomes -------------------------------------------------------------------------


def outcome_of(shape: Shape) -> Outcome:
    """What LangGraph's writers make of a node's result.

    A mapping or object writes its keys, a `Command` its update, a list each of its items if
    one is a `Command`. Everything else is LangGraph's own error, or nothing.
    """
    if shape.unknown:
        return ANY
    keys: Names | None = None if shape.any_keys else (shape.keys or frozenset())
    found = Outcome(keys, frozenset(), leaves=shape.leaves)
    if shape.send is not None:  # it writes itself, and its fields where the state has them
        goto = shape.send.only_texts
        found = _both(found, Outcome(_SEND_FIELDS, goto, sends=True))
    if shape.items is not None:
        found = _both(found, outcome_of(shape.items))
    if shape.command is not None:
        goto, sends = _of_goto(shape.command.goto)
        found = _both(found, Outcome(_of_update(shape.command.update), goto, sends))
    return found


def _of_update(update: Shape) -> Names | None:
    """The keys of `Command(update=…)`: a mapping, pairs, or an object."""
    if update.unknown or update.any_keys or update.items not in (None, NOTHING):
        return None
    return update.keys or frozenset()


def _of_goto(goto: Shape) -> tuple[Names | None, bool]:
    if goto.unknown:
        return None, True
    found: Names | None = goto.texts - {END}
    sends = goto.send is not None
    if goto.plain or goto.is_mapping or goto.command is not None:
        found = None
    if goto.send is not None:
        found = _union(found, goto.send.only_texts)
    if goto.items is not None:
        inner, more = _of_goto(goto.items)
        found, sends = _union(found, inner), sends or more
    return found, sends


def _both(one: Outcome, other: Outcome) -> Outcome:
    return Outcome(
        _union(one.keys, other.keys),
        _union(one.goto, other.goto),
        one.sends or other.sends,
        one.leaves or other.leaves,
    )


def _union(one: Names | None, other: Names | None) -> Names | None:
    return None if one is None or other is None else one | other


def router_ends(shape: Shape) -> RouterEnds:
    """Where a router leads that returns this.

    Example:
        >>> router_ends(shapes.text("a"))
        RouterEnds(ends=frozenset({'a'}), targets=frozenset(), sends=False)
    """
    if shape.unknown:
        return RouterEnds(None, None, sends=True)
    is_odd = shape.plain or shape.is_mapping or shape.command is not None
    ends: Names | None = None if is_odd else shape.texts
    targets = frozenset[str]() if shape.send is None else shape.send.only_texts
    sends = shape.send is not None
    if shape.items is not None:
        inner = router_ends(shape.items)
        ends, targets = _union(ends, inner.ends), _union(targets, inner.targets)
        sends = sends or inner.sends
    return RouterEnds(ends, targets, sends)


def of_graph(graph: Any) -> Shape:
    """What invoking a compiled graph gives: its output channels."""
    output = getattr(graph, "output_channels", None)
    return shapes.mapping(output) if isinstance(output, list | tuple) else UNKNOWN


# Signatures ---------------------------------------------------------------------------------


def annotated(bound: Any) -> Shape:
    """What the return annotations of a node's functions say."""
    functions = functions_of(bound)
    return shapes.joined(map(annotated_function, functions)) if functions else UNKNOWN


def annotated_function(function: Any) -> Shape:
    """What a function's return annotation says; UNKNOWN without one."""
    plain = plain_function(function)
    annotations = getattr(plain, "__annotations__", None) or {}
    if "return" not in annotations:
        return UNKNOWN
    typ = annotations["return"]
    try:
        # A hint may name what exists for the type checker only, or be no type at all.
        typ = typing.get_type_hints(plain)["return"] if isinstance(typ, str) else typ
        found = shapes.of_annotation(typ)
    except Exception:
        return UNKNOWN
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        return found.elements()
    return found


def functions_of(bound: Any) -> list[Any]:
    """The functions that a Runnable wraps, sync and async.

    Where one only moves the other to a thread, it is not counted.
    """
    names = objects.mro_names(type(bound))
    if GENERATOR in names:
        found = [getattr(bound, n, None) for n in ("_transform", "_atransform")]
        return [function for function in found if function is not None]
    if not names & {CALLABLE, LAMBDA}:
        return [] if RUNNABLE in names or not callable(bound) else [bound]
    first, second = getattr(bound, "func", None), getattr(bound, "afunc", None)
    if first is None:
        return [] if second is None else [second]
    moved = getattr(second, "func", None)
    if second is None or getattr(moved, "__name__", "") == "run_in_executor":
        return [first]
    return [first, second]


def code_of(bound: Any, depth: int = 0) -> list[Any]:
    """Every function that a Runnable may run, as far as its parts tell."""
    names = objects.mro_names(type(bound))
    if TOOL_NODE in names:
        return [f for tool in bound.tools_by_name.values() for f in _tool_functions(tool)]
    if TOOL in names:
        return _tool_functions(bound)
    found = functions_of(bound)
    if found or RUNNABLE not in names or depth > 8:
        return found
    for part in _parts(bound):
        found += code_of(part, depth + 1)
    for name in ("invoke", "ainvoke"):
        method = objects.class_attribute(type(bound), name)
        if method is None or method.owner.__module__.startswith(("langchain_core.", "langgraph.")):
            continue
        if isinstance(method.value, FunctionType):
            found.append(MethodType(method.value, bound))
    return found


def _parts(obj: Any) -> Iterator[Any]:
    """The Runnables that one of LangChain's combinators is made of."""
    yield from getattr(obj, "steps", None) or ()
    attributes = objects.instance_dict(obj)
    yield from (attributes.get("steps__") or {}).values()
    yield from attributes.get("fallbacks") or ()
    for pair in attributes.get("branches") or ():
        yield from pair
    for name in ("bound", "runnable", "default", "mapper"):
        if (part := attributes.get(name)) is not None:
            yield part


def _named(function: Any, plain: FunctionType, used: set[str]) -> Iterator[Any]:
    """What a function's names stand for: globals, closures, methods, attributes of modules."""
    for cell in plain.__closure__ or ():
        yield _content(cell)
    owner = function.__self__ if isinstance(function, MethodType) else function
    if not isinstance(owner, FunctionType | functools.partial):  # a method, a callable object
        cls = owner if isinstance(owner, type) else type(owner)
        for name in used:
            found = objects.class_attribute(cls, name)
            if found is not None and isinstance(found.value, FunctionType):
                yield MethodType(found.value, owner)
            elif found is not None:
                yield getattr(found.value, "__func__", None)
    for name in used:
        named = plain.__globals__.get(name)
        yield named
        if isinstance(named, ModuleType):
            yield from (named.__dict__.get(attribute) for attribute in used)


def _used(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, CodeType):
            yield from _used(constant)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


__all__ = ["ANY", "Outcome", "RouterEnds", "Writes", "annotated", "outcome_of", "router_ends"]
