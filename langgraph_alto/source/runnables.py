"""Objects of LangChain and LangGraph that run something, known by their classes' names.

What is inside them is followed: the steps of a sequence, the functions of a lambda, a model's
methods where the app wrote them, tools, the nodes of a subgraph.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Mapping
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from langgraph_alto.core import tables
from langgraph_alto.core.effects import Place
from langgraph_alto.source import calls, elements, foreign, objects
from langgraph_alto.source.kinds import CALLABLE, PREGEL, REMOTE, RUNNABLE, TOOL, TOOL_NODE, WRITE
from langgraph_alto.source.values import (
    CONFIG,
    NOTHING,
    PREVIOUS,
    RUNTIME,
    STORE,
    WRITER,
    Arguments,
    Atom,
    Bound,
    Foreign,
    Fresh,
    Function,
    Getter,
    Input,
    Method,
    Partial,
    Real,
    Value,
)

if TYPE_CHECKING:
    from langgraph_alto.source.interpret import Frame

INJECTED: Mapping[str, Atom] = {
    "config": CONFIG,
    "store": STORE,
    "previous": PREVIOUS,
    "runtime": RUNTIME,
    "writer": WRITER,
}

_HOOKS = frozenset(
    [
        "invoke",
        "ainvoke",
        "stream",
        "astream",
        "batch",
        "abatch",
        "transform",
        "atransform",
        "_generate",
        "_agenerate",
        "_stream",
        "_astream",
        "_call",
        "_acall",
        "_run",
        "_arun",
        "_get_relevant_documents",
        "_aget_relevant_documents",
        "embed_documents",
        "embed_query",
        "aembed_documents",
        "aembed_query",
        "format_prompt",
        "parse",
        "parse_result",
        "aparse",
        "aparse_result",
        "__call__",
        "on_llm_start",
        "compress_documents",
        "format_messages",
    ]
)
"""Methods that LangChain's classes call on an object when it is run."""


def run(frame: Frame, obj: Any, value: Value, node: ast.AST) -> Value:  # noqa: PLR0911 - one per kind
    """Run a Runnable (or anything else that a node can be) on a value."""
    scanner = frame.scanner
    names = objects.mro_names(type(obj))
    with scanner.entering(obj) as entered:
        if not entered:
            return NOTHING
        if PREGEL in names:
            return run_graph(frame, obj, node)
        if REMOTE in names:
            scanner.identity(frame.place(node, f"remote graph {getattr(obj, 'name', '')}"))
            scanner.outward(frame.place(node, f"remote graph {getattr(obj, 'name', '')}"))
            return NOTHING
        if TOOL_NODE in names:
            return _run_tool_node(frame, obj, value, node)
        if TOOL in names:
            return _run_tool(frame, obj, node)
        if CALLABLE in names:
            return _run_callable(frame, obj, names, value, node)
        if scanner.kinds.is_model(obj):
            return _run_model(frame, obj, names, node)
        if RUNNABLE in names:
            return _run_composed(frame, obj, value, node)
        return calls.call_atom(frame, Real(obj), Arguments([value], {}), node)


# LangGraph ----------------------------------------------------------------------------------


def _run_callable(
    frame: Frame, obj: Any, names: Iterable[str], value: Value, node: ast.AST
) -> Value:
    """LangGraph's own wrapper of a function; a conditional edge's writer is one too."""
    if WRITE in names:
        return _run_write(frame, obj, value, node)
    accepts = getattr(obj, "func_accepts", {})
    kwargs: dict[str, Value] = {
        name: frozenset({atom}) for name, atom in INJECTED.items() if name in accepts
    }
    found: Value = NOTHING
    for function in _functions(obj):
        owner = getattr(function, "__self__", None)
        if type(owner).__name__ == "BranchSpec":
            found |= run(frame, getattr(owner, "path", None), value, node)
            continue
        found |= run_root(frame, function, value, kwargs, node)
    for atom in found:
        if isinstance(atom, Real) and frame.scanner.kinds.is_runnable(atom):
            found |= run(frame, atom.obj, value, node)
    return found


def _functions(obj: Any) -> list[Any]:
    """The sync and async function of a wrapper; one that only moves the other to a thread not."""
    found = [obj.func] if getattr(obj, "func", None) is not None else []
    second = getattr(obj, "afunc", None)
    if second is not None and second is not getattr(obj, "func", None):
        moved = isinstance(second, functools.partial) and "run_in_executor" in getattr(
            second.func, "__name__", ""
        )
        branch = type(getattr(second, "__self__", None)).__name__ == "BranchSpec"
        if not (found and (moved or branch)):
            found.append(second)
    return found


def run_root(
    frame: Frame, function: Any, value: Value, kwargs: dict[str, Value], node: ast.AST
) -> Value:
    """A function that LangGraph calls: its first parameter is the input."""
    plain: Any = function.__func__ if isinstance(function, MethodType) else function
    if isinstance(plain, FunctionType):
        parameters = plain.__code__.co_varnames[: plain.__code__.co_argcount]
        skipped = 1 if isinstance(function, MethodType) else 0
        if len(parameters) > skipped:
            value = typed(value, objects.parameter_type(plain, parameters[skipped]))
    return calls.call_atom(frame, Real(function), Arguments([value], dict(kwargs)), node)


def typed(value: Value, typ: Any) -> Value:
    """The input under the type that a parameter's annotation gives it."""
    if typ is None or not any(isinstance(a, Input) and a.typ is None for a in value):
        return value
    if objects.scalar_type(typ):
        return frozenset(atom for atom in value if not isinstance(atom, Input))
    return frozenset(
        Input(a.top, typ) if isinstance(a, Input) and a.typ is None else a for a in value
    )


def _run_write(frame: Frame, obj: Any, value: Value, node: ast.AST) -> Value:
    """A writer of channels: only mappers that the app wrote matter."""
    for entry in getattr(obj, "writes", ()):
        mapper = getattr(entry, "mapper", None)
        if mapper is not None and frame.scanner.kinds.is_own(mapper):
            calls.call_atom(frame, Real(mapper), Arguments([value], {}), node)
    return NOTHING


def run_graph(frame: Frame, graph: Any, node: ast.AST) -> Value:
    """A subgraph: all its nodes, routers and reducers, as parts of the node that runs it."""
    scanner = frame.scanner
    scanner.identity(frame.place(node, f"subgraph {getattr(graph, 'name', '')!r}"))
    for name, child in getattr(graph, "nodes", {}).items():
        with scanner.inside(name):
            effects = scanner.node_declaration(tuple(scanner.path), child).get("effects")
            if effects == "once":
                scanner.findings.once[":".join(scanner.path)] = None
            if effects is None:
                run(frame, child.bound, frozenset({Input(False)}), node)
                mapper = getattr(child, "mapper", None)
                if mapper is not None and scanner.kinds.is_own(mapper):
                    calls.call_atom(frame, Real(mapper), Arguments([NOTHING], {}), node)
            for writer in child.writers:
                run(frame, writer, frozenset({Input(False)}), node)
    for channel in getattr(graph, "channels", {}).values():
        run_reducer(frame, channel, node)
    return NOTHING


def run_reducer(frame: Frame, channel: Any, node: ast.AST) -> None:
    """The reducer of a channel, where the app wrote it; its first argument is the state."""
    for name in ("operator", "reducer"):
        try:
            function = getattr(channel, name, None)
        except Exception:  # a channel of the app may compute its attributes
            continue
        if callable(function):
            arguments = Arguments([frozenset({Input(False)}), NOTHING], {})
            calls.call_atom(frame, Real(function), arguments, node)


# Tools --------------------------------------------------------------------------------------


def _run_tool_node(frame: Frame, obj: Any, value: Value, node: ast.AST) -> Value:
    # What tools read of the state beyond the calls is told by what is injected into them.
    frame.scanner.findings.input_keys.add(str(getattr(obj, "_messages_key", "messages")))
    for tool in obj.tools_by_name.values():
        run(frame, tool, NOTHING, node)
    for name in ("_wrap_tool_call", "_awrap_tool_call"):
        hook = getattr(obj, name, None)
        if hook is not None and frame.scanner.kinds.is_own(hook):
            frame.scanner.look(value, frame, node)
            request = frozenset({Input(False)})
            calls.call_atom(frame, Real(hook), Arguments([request, NOTHING], {}), node)
    handler = getattr(obj, "_handle_tool_errors", None)
    if frame.scanner.kinds.is_own(handler):
        calls.call_atom(frame, Real(handler), Arguments([NOTHING], {}), node)
    return NOTHING


def _run_tool(frame: Frame, tool: Any, node: ast.AST) -> Value:
    scanner = frame.scanner
    name = str(getattr(tool, "name", type(tool).__name__))
    effects = scanner.tool_declaration(name, tool).get("effects")
    scanner.findings.tools[name] = None
    if effects == "once":
        scanner.findings.once[name] = None
    if effects is not None:
        return NOTHING
    functions = [f for f in (getattr(tool, "func", None), getattr(tool, "coroutine", None)) if f]
    functions += [
        Bound(Real(tool), found.value, found.owner)
        for method in ("_run", "_arun")
        if (found := objects.class_attribute(type(tool), method)) is not None
        and scanner.kinds.is_own(found.value)
    ]
    for function in functions:
        atom = function if isinstance(function, Bound) else Real(function)
        if scanner.kinds.is_callable(atom) or isinstance(atom, Bound):
            _run_tool_function(frame, atom, node)
        else:
            _judge_tool(frame, tool, name, getattr(function, "__module__", "") or "", node)
    if not functions:
        _judge_tool(frame, tool, name, type(tool).__module__, node)
    return NOTHING


def _run_tool_function(frame: Frame, atom: Bound | Real, node: ast.AST) -> None:
    """A tool's arguments are made for the call; what is injected is named by annotations."""
    function: Any = atom.function if isinstance(atom, Bound) else atom.obj
    plain = getattr(function, "__func__", function)
    kwargs: dict[str, Value] = {}
    for name, annotation in getattr(plain, "__annotations__", {}).items():
        text = annotation if isinstance(annotation, str) else repr(annotation)
        if "InjectedState" in text:
            if "InjectedState)" not in text and "field=None" not in text:
                frame.scanner.findings.whole_input = True
            kwargs[name] = frozenset({Input(True)})
        elif "InjectedStore" in text or "BaseStore" in text:
            kwargs[name] = frozenset({STORE})
        elif "ToolRuntime" in text or "runtime.Runtime" in text:
            kwargs[name] = frozenset({RUNTIME})
        elif "RunnableConfig" in text:
            kwargs[name] = frozenset({CONFIG})
    calls.call_atom(frame, atom, Arguments([], kwargs), node)


def _judge_tool(frame: Frame, tool: Any, name: str, module: str, node: ast.AST) -> None:
    """A tool of an installed package: by its class, else by its name."""
    scanner = frame.scanner
    place = frame.place(node, f"tool {name!r} of {module or 'an unknown module'}")
    effect = tables.effect_of(type(tool).__module__, type(tool).__qualname__)
    if type(tool).__module__.startswith("langchain_core"):
        effect = tables.effect_of(module, "")
    if scanner.kinds.may_interrupt(module):
        scanner.interrupts(place)
    if effect in ("model", "reader"):
        scanner.unproven(place)
    elif effect == "outward write" or tables.writes_outward_by_name(name):
        scanner.outward(place)
    else:
        scanner.outside(place)


# LangChain ----------------------------------------------------------------------------------


def _run_model(frame: Frame, obj: Any, names: Iterable[str], node: ast.AST) -> Value:
    """A model: what it reads nobody writes, but its own methods may keep count of calls."""
    scanner = frame.scanner
    scanner.unproven(Place(f"calls {type(obj).__name__}", frame.where(node)))
    if tables.CURSOR_MODELS & set(names) and not scanner.kinds.is_own_class(type(obj)):
        scanner.change_key(
            id(obj), frame.place(node, f"{type(obj).__name__} answers in the order of calls")
        )
    # A retriever over a vector store sees what a node adds to that very store.
    for part in objects.instance_dict(obj).values():
        if "VectorStore" in type(part).__name__:
            scanner.read_key(id(part), frame, node)
    with scanner.muted():
        run_hooks(frame, Real(obj), type(obj), NOTHING, node)
    return frozenset({Foreign("langchain_core.language_models", type(obj).__qualname__)})


def run_hooks(frame: Frame, owner: Atom, cls: type, value: Value, node: ast.AST) -> Value:
    """The methods by which the app's own class takes part in a run of LangChain's class."""
    found: Value = NOTHING
    for name in _HOOKS:
        hook = objects.class_attribute(cls, name)
        if hook is None or not frame.scanner.kinds.is_own(hook.value):
            continue
        if name in ("batch", "abatch", "__call__") and found:
            continue
        found |= frame.scanner.run_bound(
            Bound(owner, hook.value, hook.owner), Arguments([value], {}), frame, node
        )
    return found


def _run_composed(frame: Frame, obj: Any, value: Value, node: ast.AST) -> Value:
    """LangChain's combinators, by the attributes under which they keep their parts."""
    cls = type(obj)
    if frame.scanner.kinds.is_own_class(cls):
        return run_hooks(frame, Real(obj), cls, value, node)
    if cls.__name__ == "RunnablePassthrough":
        for function in _functions(obj):
            calls.call_atom(frame, Real(function), Arguments([value], {}), node)
        return value
    steps = getattr(obj, "steps", None)
    if isinstance(steps, list | tuple):
        for step in steps:
            value = run(frame, step, value, node)
        return value
    parts = getattr(obj, "steps__", None)
    if isinstance(parts, Mapping):
        made = Fresh()
        for name, part in parts.items():
            made.put(name, run(frame, part, value, node), surely=True)
        return frozenset({made})
    if cls.__name__ == "RunnableAssign":
        made = Fresh(None, elements.element(frame, value, node))
        frame.scanner.look(value, frame, node)
        for atom in run(frame, obj.mapper, value, node):
            if isinstance(atom, Fresh):
                for key, item in atom.fields.items():
                    made.put(key, item, surely=True)
        return frozenset({made})
    return _run_parts(frame, obj, value, node)


_PARTS = ("bound", "runnable", "default", "_transform", "_atransform")
_PART_LISTS = ("fallbacks", "branches", "runnables", "alternatives")


def _run_parts(frame: Frame, obj: Any, value: Value, node: ast.AST) -> Value:
    found: Value = NOTHING
    parts: list[Any] = [part for name in _PARTS if (part := _attribute(obj, name)) is not None]
    for name in _PART_LISTS:
        several = _attribute(obj, name)
        several = several.values() if isinstance(several, Mapping) else several
        for item in several if isinstance(several, Iterable) else ():
            parts += item if isinstance(item, tuple) else [item]
    functions = _functions(obj)
    for function in functions:
        kwargs: dict[str, Value] = {}
        code = getattr(function, "__code__", None)
        if (
            code is not None
            and "config" in code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
        ):
            kwargs["config"] = frozenset({CONFIG})
        found |= run_root(frame, function, value, kwargs, node)
    for part in parts:
        if objects.mro_names(type(part)) & {RUNNABLE} or callable(part):
            found |= run(frame, part, value, node)
    if not parts and not functions:
        frame.scanner.look(value, frame, node)
        module, qualname = type(obj).__module__, type(obj).__qualname__
        if tables.effect_of(module, qualname) == "reader":
            # Prompts, parsers, pickers: they look at the value and make a new one.
            return elements.element(frame, value, node)
        return foreign.call(frame, module, f"{qualname}.invoke", Arguments([value], {}), node)
    return found


def _attribute(obj: Any, name: str) -> Any:
    found = objects.lookup(obj, name)
    return found.value if found.kind == "value" else None


def run_chain(frame: Frame, chain: Fresh, value: Value, node: ast.AST) -> Value:
    """A chain that the scanned code composed itself: part after part."""
    for index in sorted(key for key in chain.fields if isinstance(key, int)):
        found: Value = NOTHING
        for atom in chain.fields[index]:
            found |= _run_link(frame, atom, value, node)
        value = found
    return value


def _run_link(frame: Frame, atom: Atom, value: Value, node: ast.AST) -> Value:
    match atom:
        case Fresh(cls="chain"):
            return run_chain(frame, atom, value, node)
        case Fresh():
            made = Fresh()
            for key, part in atom.fields.items():
                for inner in part:
                    made.put(key, _run_link(frame, inner, value, node), surely=False)
            return frozenset({made})
        case Function() | Bound() | Partial() | Method() | Getter():
            return calls.call_atom(frame, atom, Arguments([value], {}), node)
        case Real() if callable(atom.obj) or frame.scanner.kinds.is_runnable(atom):
            return run(frame, atom.obj, value, node)
        case Foreign():
            name = f"{atom.name}.invoke"
            return foreign.call(frame, atom.module, name, Arguments([value], {}), node)
        case _:
            return NOTHING


__all__ = ["INJECTED", "run", "run_chain", "run_graph", "run_hooks", "run_reducer"]
