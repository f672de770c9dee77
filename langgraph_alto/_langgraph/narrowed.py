"""A state that holds only what a body was seen to read; asked for more, it says so.

A node whose source reads two keys of ten may start once those two are settled. It is given a
dict with these two. A dict that merely lacked the others would answer `get` with None and a
loop with less than there is, and the result would be wrong without a word. So this one knows
what it lacks: whoever asks for that, or for the whole, waits for the real task or gives up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any


class NarrowedState(dict[str, Any]):
    """A dict that is complete but for some keys.

    Args:
        values: What is known; a key that is neither here nor hidden does not exist.
        hidden: The keys of which it can't tell whether and what they are.
        is_enough: Nobody will want more than these (a subgraph with an input schema of its
            own): it is a plain dict of them until it is complete.

    Example:
        >>> def ask(key):
        ...     raise LookupError(key)
        >>> state = NarrowedState({"a": 1}, hidden={"c"})
        >>> state.ask = ask
        >>> state["a"], state.get("b"), "b" in state
        (1, None, False)
        >>> state.get("c")
        Traceback (most recent call last):
        ...
        LookupError: c
    """

    __slots__ = ("_hidden", "_is_complete", "ask")

    def __init__(
        self, values: Mapping[str, Any], hidden: Iterable[str], *, is_enough: bool = False
    ) -> None:
        super().__init__(values)
        self._hidden = frozenset(hidden)
        self._is_complete = is_enough
        self.ask: Callable[[str | None], None] = _ask_nobody
        """Called with the key that is missing, or None for the whole. It raises, or returns
        once `complete` was called."""

    def complete(self, values: Mapping[str, Any]) -> None:
        """The real state is there: from now on this is a dict like any other."""
        dict.clear(self)
        dict.update(self, values)
        self._is_complete = True

    def _knows(self, key: Any) -> None:
        if not self._is_complete and key in self._hidden:
            self.ask(key)

    def _whole(self) -> None:
        if not self._is_complete:
            self.ask(None)

    def __getitem__(self, key: Any) -> Any:
        self._knows(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._knows(key)
        return super().__contains__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        self._knows(key)
        return super().get(key, default)

    def __reduce_ex__(self, protocol: object) -> Any:
        self._whole()
        return dict, (dict(dict.items(self)),)


def _ask_nobody(key: str | None) -> None:
    raise RuntimeError("This state was never given to a task. This is a bug in langgraph_alto.")


def _of_the_whole(name: str) -> Callable[..., Any]:
    plain = getattr(dict, name)

    def call(self: NarrowedState, *args: Any, **kwargs: Any) -> Any:
        self._whole()
        return plain(self, *args, **kwargs)

    call.__name__ = name
    return call


# C code that copies a dict takes the slow way, through `keys`, where `__iter__` is overridden.
for _name in (
    "__delitem__", "__eq__", "__ior__", "__iter__", "__len__", "__ne__", "__or__", "__repr__",
    "__reversed__", "__ror__", "__setitem__", "clear", "copy", "items", "keys", "pop",
    "popitem", "setdefault", "update", "values",
):  # fmt: skip
    setattr(NarrowedState, _name, _of_the_whole(_name))
