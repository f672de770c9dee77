"""Lines that a user can paste to let something start early.

A line is only proposed where the facts are a guess (a node that may look at the whole state, a
return annotation, nothing at all). What was read in the source or declared is believed: if a
node reads what its sibling writes, then it has to wait, and nothing unlocks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from langgraph_alto.core.beside import is_state
from langgraph_alto.core.spec import GraphSpec, Names, NodeSpec, RouterSpec

_GUESSED = ("signature", "unknown")


class Unlocks:
    """Proposes lines for the nodes of one graph.

    Args:
        spec: The graph.
        functions: The names under which the nodes' functions can be written into `add_node`.
        objects: The nodes whose input is an object of a class: it can't omit what is not read.
        prefix: What stands before a node's name in `Options(nodes=…)`: "" or `"parent:"`.

    Example:
        >>> unlocks = Unlocks(GraphSpec("g", {}), {"slow": "slow"})
        >>> unlocks.declare("slow", "effects", "idempotent")
        'add_node("slow", slow, metadata={"alto": {"effects": "idempotent"}})'
    """

    def __init__(
        self,
        spec: GraphSpec,
        functions: Mapping[str, str],
        objects: Names = frozenset(),
        prefix: str = "",
    ) -> None:
        self._spec = spec
        self._functions = functions
        self._objects = objects
        self._prefix = prefix

    def declare(self, node: str, key: str, value: str | Iterable[str]) -> str:
        """A declaration about a node."""
        text = quoted(value) if isinstance(value, str) else listed(value)
        function = self._functions.get(node)
        if function is None:
            return f"Options(nodes={{{quoted(self._prefix + node)}: {{{quoted(key)}: {text}}}}})"
        return f'add_node({quoted(node)}, {function}, metadata={{"alto": {{"{key}": {text}}}}})'

    def named(self, node: str, line: str | None) -> str | None:
        """A verdict's line, made to be pasted also where the function has no name."""
        if line is None or node in self._functions:
            return line
        metadata = '{"alto": {"effects": "idempotent"}}'
        unnamed = f"add_node({quoted(node)}, …, metadata={metadata})"
        return line.replace(unnamed, self.declare(node, "effects", "idempotent"))

    def writer(self, writer: NodeSpec, reader: NodeSpec | None, channels: Names) -> str | None:
        """What would end a wait for a node that may write these channels, which are read.

        Args:
            writer: For whom something waits.
            reader: The node that waits; None if that is a router.
            channels: What both have in common.
        """
        if writer.handler is not None:
            return None  # what the handler does is done in its place
        keys = frozenset(k for k in channels if is_state(self._spec, k))
        if writer.writes is None:
            known = sorted(c for c in self._spec.channels if is_state(self._spec, c))
            return f"{self.declare(writer.name, 'writes', known)}  # keep what it writes"
        if not keys:
            return None
        unless = f"{' or '.join(map(quoted, sorted(keys)))}"
        if writer.writes_how in _GUESSED:
            line = self.declare(writer.name, "writes", writer.writes - keys)
            return f"{line}  # if it doesn't write {unless}"
        return None if reader is None else self._reader(reader, keys, unless)

    def _reader(self, reader: NodeSpec, keys: Names, unless: str) -> str | None:
        """What would say that a node doesn't read some keys, where that is a guess."""
        if not self._reads_are_guessed(reader):
            return None
        if reader.name not in self._objects:
            line = self.declare(reader.name, "reads", reader.reads - keys)
            return f"{line}  # if it doesn't read {unless}"
        function = self._functions.get(reader.name, "…")
        line = f"add_node({quoted(reader.name)}, {function}, input_schema=OnlyWhatItReads)"
        return f"{line}  # a schema without {unless}"

    def ends(self, node: str, router: RouterSpec | None) -> str:
        """What would say where a router, or a node's `Command`, may lead."""
        names = listed(n for n in self._spec.nodes if not n.startswith("__"))
        if router is None:
            function = self._functions.get(node, "…")
            line = f"add_node({quoted(node)}, {function}, destinations=tuple({names}))"
        else:
            line = f"add_conditional_edges({quoted(node)}, {router.name}, {names})"
        return f"{line}  # keep those that it gives"

    def _reads_are_guessed(self, node: NodeSpec) -> bool:
        whole = node.reads_how != "declared" and node.reads >= node.channels
        return whole or node.reads_how == "unknown"


def quoted(text: str) -> str:
    """A string as Python writes it, in double quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def listed(names: Iterable[str]) -> str:
    """A list of strings as Python writes it, sorted."""
    return f"[{', '.join(map(quoted, sorted(names)))}]"
