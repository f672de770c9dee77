"""The identity of a run-ahead task: task id, namespace, checkpoint id, path.

All four depend on the id of a checkpoint that does not exist yet and on the task's index among
the `Send`s of its step. Most bodies never look, so they get *lazy* values: strings and tuples
that ask for the real thing when something is done with them (compared, formatted, split,
hashed, indexed), and cost nothing while they are only carried around.

When asked before the real task exists, the identity is worked out if it is determined by then
(the checkpoint id is reserved, see `Reservation`); else the body gives up and its real task
runs it. After adoption, the real task's identity is the answer. A body that was told an
identity which then turned out wrong is thrown away and rerun: never adopted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

from langgraph.runtime import ExecutionInfo
from langgraph.types import Send

from langgraph_alto._langgraph import names


@dataclass(frozen=True, slots=True)
class TaskIdentity:
    """What identifies a task to its body."""

    task_id: str
    checkpoint_ns: str
    checkpoint_id: str
    path: tuple[Any, ...]


def identity_of_send(
    node: str, index: int, *, step: int, checkpoint_id: str, checkpoint_v: int, parent_ns: str
) -> TaskIdentity:
    """The identity that LangGraph gives to the `index`-th Send of a step.

    The formula is that of `prepare_push_task_send`; `make compat` and the tests hold it
    against LangGraph.
    """
    checkpoint_ns = f"{parent_ns}{names.NS_SEP}{node}" if parent_ns else node
    task_id = names.task_id_functions[checkpoint_v > 1](
        bytes.fromhex(checkpoint_id.replace("-", "")),
        checkpoint_ns,
        str(step),
        node,
        names.PUSH,
        str(index),
    )
    path = (names.PUSH, index, False)
    return TaskIdentity(task_id, f"{checkpoint_ns}{names.NS_END}{task_id}", checkpoint_id, path)


def identity_of_pull(
    node: str,
    triggers: Iterable[str],
    *,
    step: int,
    checkpoint_id: str,
    checkpoint_v: int,
    parent_ns: str,
) -> TaskIdentity:
    """The identity that LangGraph gives to a task that an edge triggers (`prepare_single_task`)."""
    checkpoint_ns = f"{parent_ns}{names.NS_SEP}{node}" if parent_ns else node
    task_id = names.task_id_functions[checkpoint_v > 1](
        bytes.fromhex(checkpoint_id.replace("-", "")),
        checkpoint_ns,
        str(step),
        node,
        names.PULL,
        *sorted(triggers),
    )
    path = (names.PULL, node)
    return TaskIdentity(task_id, f"{checkpoint_ns}{names.NS_END}{task_id}", checkpoint_id, path)


class Identity:
    """One run-ahead task's identity, as far as it is known.

    Args:
        ask: Works the identity out, or raises to make the body give up.
    """

    __slots__ = ("_ask", "exposed", "real")

    def __init__(self, ask: Callable[[], TaskIdentity]) -> None:
        self._ask = ask
        self.exposed: TaskIdentity | None = None
        self.real: TaskIdentity | None = None

    def known(self) -> TaskIdentity:
        """The identity; from now on the task can only be adopted under it."""
        if self.real is not None:
            return self.real
        if self.exposed is None:
            self.exposed = self._ask()
        return self.exposed

    def settle(self, real: TaskIdentity) -> bool:
        """Take the real task's identity; False if the body was told another one."""
        if self.exposed is not None and self.exposed != real:
            return False
        self.real = real
        return True


_PASSIVE = frozenset(
    {
        "__class__",
        "__new__",
        "__init__",
        "__init_subclass__",
        "__subclasshook__",
        "__getattribute__",
        "__setattr__",
        "__delattr__",
        "__doc__",
        "__dir__",
        "__getnewargs__",
        "__sizeof__",
        "__class_getitem__",
    }
)


def _lazy_type(name: str, base: type) -> type:
    """A subclass of `base` each of whose methods works on the real value, asked for then."""

    def method(attribute: str) -> Callable[..., Any]:
        plain = getattr(base, attribute)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            return plain(self._get(), *args, **kwargs)

        call.__name__ = attribute
        return call

    def __reduce_ex__(self: Any, protocol: object) -> Any:
        return (base, (self._get(),))

    def __copy__(self: Any, memo: object = None) -> Any:
        return self

    def __bool__(self: Any) -> bool:
        return True  # an identity is never empty: no need to know which it is

    namespace: dict[str, Any] = {
        attribute: method(attribute)
        for attribute in dir(base)
        if attribute not in _PASSIVE and callable(getattr(base, attribute))
    }
    namespace |= {
        "__reduce_ex__": __reduce_ex__,
        "__reduce__": __reduce_ex__,
        "__copy__": __copy__,
        "__deepcopy__": __copy__,
        "__bool__": __bool__,
        # str and tuple have none of their own, and "a" + lazy would read the placeholder.
        "__radd__": lambda self, other: other + self._get(),
        "__doc__": f"A {base.__name__} that asks for its value when it is used.",
    }
    return type(name, (base,), namespace)


_LazyStr = _lazy_type("LazyStr", str)
_LazyTuple = _lazy_type("LazyTuple", tuple)


def lazy_str(get: Callable[[], str], placeholder: str) -> str:
    """A string that asks `get` when used. C code that reads its buffer sees `placeholder`."""
    value: Any = _LazyStr(placeholder)
    value._get = get
    return value  # type: ignore[no-any-return]


def lazy_tuple(get: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
    """A tuple that asks `get` when used."""
    value: Any = _LazyTuple()
    value._get = get
    return value  # type: ignore[no-any-return]


def is_lazy(value: object) -> bool:
    """Whether a value is one of this module's lazy ones."""
    return type(value) in (_LazyStr, _LazyTuple)


def real_values(value: Any) -> Any:
    """`value` with the lazy values in it replaced by real ones, copied where there are any.

    What a body writes must not hold them: C code (serializers, `json`, `"".join`) reads the
    placeholder. Looks into built-in containers and `Send`s.
    """
    kind = type(value)
    if kind is _LazyStr or kind is _LazyTuple:
        return value._get()
    if kind is dict:
        changed = {k: r for k, v in value.items() if (r := real_values(v)) is not v}
        return {**value, **changed} if changed else value
    if kind is list or kind is tuple:
        for index, item in enumerate(value):
            if real_values(item) is not item:
                return kind([*value[:index], *map(real_values, value[index:])])
        return value
    if kind is Send:
        arg = real_values(value.arg)
        return value if arg is value.arg else Send(value.node, arg, timeout=value.timeout)
    return value


class LazyExecutionInfo(ExecutionInfo):
    """Execution info whose identity is asked for when one of its fields is read.

    Unlike a lazy string, what a body takes out of it is a plain one, good for C code too.
    """

    __slots__ = ("_identity",)
    _identity: Identity

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return ExecutionInfo(*args, **kwargs)  # `dataclasses.replace` and `copy` make plain ones

    @classmethod
    def over(cls, info: ExecutionInfo, identity: Identity) -> LazyExecutionInfo:
        """The same info with another identity."""
        made: LazyExecutionInfo = object.__new__(cls)
        object.__setattr__(made, "_identity", identity)
        for name in _PLAIN_INFO:
            object.__setattr__(made, name, getattr(info, name))
        return made

    @property
    def checkpoint_id(self) -> str:
        return self._identity.known().checkpoint_id

    @property
    def checkpoint_ns(self) -> str:
        return self._identity.known().checkpoint_ns

    @property
    def task_id(self) -> str:
        return self._identity.known().task_id

    def patch(self, **overrides: Any) -> ExecutionInfo:
        if not _PLAIN_INFO.issuperset(overrides):
            return super().patch(**overrides)
        made = self.over(self, self._identity)
        for name, value in overrides.items():
            object.__setattr__(made, name, value)
        return made

    def __reduce__(self) -> Any:
        return ExecutionInfo, tuple(getattr(self, f.name) for f in fields(ExecutionInfo))


_PLAIN_INFO = frozenset(f.name for f in fields(ExecutionInfo)) - {
    "checkpoint_id",
    "checkpoint_ns",
    "task_id",
}


def plain_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata with its lazy values replaced by real ones, for a handler to see."""
    if any(is_lazy(v) for v in metadata.values()):
        return {k: v._get() if is_lazy(v) else v for k, v in metadata.items()}
    return metadata


def provisional_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata for a handler that can't wait: what is known, else placeholders of the same form."""
    return {
        k: (str.__str__(v) if isinstance(v, str) else ()) if is_lazy(v) else v
        for k, v in metadata.items()
    }


class Reservation:
    """The id of the checkpoint that the current step will end with, if a body asked for it.

    LangGraph makes that id when the step ends. A reserved one is older than that: if another
    client wrote a checkpoint in the meantime, using it would put ours behind theirs. So it is
    used only if a body was told, and only after the thread's head was found to be the expected
    parent (`confirm`).
    """

    __slots__ = ("_confirmed", "_id", "_step")

    def __init__(self) -> None:
        self._step: int | None = None
        self._id: str | None = None
        self._confirmed = False

    def reserve(self, step: int) -> str:
        """The id of the checkpoint that step `step` will end with."""
        if self._step != step or self._id is None:
            self._step, self._id, self._confirmed = step, str(names.uuid6(clock_seq=step)), False
        return self._id

    def is_open(self, step: int) -> bool:
        """Whether an id is reserved for this step."""
        return self._step == step and self._id is not None

    def confirm(self, step: int, head_is_ours: bool) -> None:
        """Tell whether the thread's head is still the checkpoint that this step began from."""
        if self._step == step:
            self._confirmed = head_is_ours

    def take(self, step: int) -> str | None:
        """The id to commit this step with, or None for a fresh one. Ends the reservation."""
        taken = self._id if self._step == step and self._confirmed else None
        self._step = self._id = None
        return taken
