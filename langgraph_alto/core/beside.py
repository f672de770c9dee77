"""Which nodes may still run when a task of another node has ended, whatever the run does.

Two nodes run *in the same step* if one task leads to both, or if tasks of the same step lead to
them. A node lies *behind* another if it is in an earlier step and may still run when a task of
the other, started ahead of its step, has ended. Both relations are the least ones that follow
from the edges, so a branch or loop that ends at no foreseeable step runs beside everything that
it was started with. More pairs may be named than a run shows: a router that may give `Send`s is
taken to give all of its ends at once, another one any one of them.

    same(x, y)    <=  p leads to x and y at once (to x == y only by Sends)
    same(x, y)    <=  same(p, q), p leads to x, q leads to y
    behind(s, x)  <=  same(s, p) or behind(s, p), p leads to x

A join is entered one step after the last of its members. What surely ended before one of them
can't run beside it: it is neither in the same step as that member, nor behind it or ahead of
it, nor does the member lead to it.

Sets of nodes are whole numbers here, one bit a node: a graph of a hundred nodes then takes
milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from langgraph_alto.core.spec import GraphSpec, Names

START = "__start__"
END = "__end__"


@dataclass(frozen=True, slots=True)
class _Exits:
    """Where a node leads: to all of `together` at once, and to one of each of `choices`."""

    together: int
    choices: tuple[int, ...]
    sends: int

    def any(self) -> int:
        """Every node to which it may lead."""
        found = self.together
        for choice in self.choices:
            found |= choice
        return found

    def with_(self, target: int) -> int:
        """The nodes to which one task may lead when it leads to this one too."""
        bit = 1 << target
        if self.together & bit:
            return self.any() if self.sends & bit else self.any() & ~bit
        found = self.together
        for place, choice in enumerate(self.choices):
            if choice & bit:
                found |= _Exits(self.together, _without(self.choices, place), 0).any()
        return found & ~bit


@dataclass(frozen=True, slots=True)
class _Join:
    """An edge from several nodes, as positions."""

    members: tuple[int, ...]
    target: int


class Beside:
    """Who may still run when a task of a node has ended.

    Example:
        >>> from langgraph_alto.core.spec import NodeSpec
        >>> def node(name, *to):
        ...     return NodeSpec(name, edges=frozenset(to), writes=frozenset())
        >>> nodes = [node("__start__", "a", "slow"), node("a", "b"), node("b"), node("slow")]
        >>> triggered = {n.name: (n.name,) for n in nodes}
        >>> beside = Beside(GraphSpec("g", {n.name: n for n in nodes}, triggered=triggered))
        >>> sorted(beside.of("a")), sorted(beside.behind("b")), sorted(beside.of("__start__"))
        (['slow'], ['slow'], [])
    """

    def __init__(self, spec: GraphSpec) -> None:
        self._names = list(spec.nodes)
        self._place = {name: place for place, name in enumerate(self._names)}
        size = len(self._names)
        self._joins = _joins(spec, self._place)
        self._exits = [self._with_handler(spec, name) for name in self._names]
        self._leads = [exits.any() for exits in self._exits]
        self._follows = self._with_joins()
        self._reach = self._reachable()
        self._same = [0] * size
        self._behind = [0] * size  # bit s of place x: s lies behind x
        self._ahead = [0] * size  # the same turned round: bit x of place s
        self._changed: set[int] = set()
        self._solve(self._first(spec))

    def of(self, name: str) -> Names:
        """The nodes that may still run when a task of this node has ended, itself included
        if it may have several tasks."""
        place = self._place[name]
        return self._named(self._same[place] | self._behind[place])

    def behind(self, name: str) -> Names:
        """Those of them that may be in an earlier step than the task."""
        return self._named(self._behind[self._place[name]])

    def of_join(self, members: Iterable[str]) -> Names:
        """The nodes that may still run when all of these, which a join waits for, have ended."""
        places = tuple(self._place[name] for name in members)
        found = 0
        for place in places:
            found |= self._same[place] | self._behind[place]
        for place in places:
            found &= self._not_before(place)
        return self._named(found)

    def before(self, name: str) -> Names:
        """The nodes that may lead to a node, in however many steps."""
        bit = 1 << self._place[name]
        return frozenset(n for n, place in self._place.items() if self._reach[place] & bit)

    # The edges -------------------------------------------------------------------------------

    def _with_handler(self, spec: GraphSpec, name: str) -> _Exits:
        """Where a node, or the error handler that runs in its place, leads."""
        own, handler = self._exits_of(spec, name), spec.nodes[name].handler
        if handler is None or handler not in spec.nodes:
            return own
        other = self._exits_of(spec, handler)
        return _Exits(own.together | other.any(), own.choices, own.sends | other.sends)

    def _exits_of(self, spec: GraphSpec, name: str) -> _Exits:
        """Where a node leads by itself, not as part of a join."""
        node = spec.nodes[name]
        everything = sum(1 << place for n, place in self._place.items() if n != START)
        if node.goto is None:
            return _Exits(everything, (), everything)
        always = 0
        for channel in (*node.edges, *(spec.triggered if node.writes is None else node.writes)):
            if channel in node.edges or is_state(spec, channel):
                targets = () if is_barrier(spec, channel) else spec.triggered.get(channel, ())
                always |= self._mask(targets)
        sends = self._mask(node.goto) or everything if node.sends else 0
        choices = [self._mask(node.goto)]
        for router in node.routers:
            ends = everything if router.ends is None else self._mask(router.ends)
            # One that gives no Sends is taken to give one name at a time.
            if router.sends or router.ends is None:
                always |= ends
            else:
                choices.append(ends)
            sends |= ends if router.sends else 0
        return _Exits(always | sends, tuple(c for c in choices if c), sends)

    def _with_joins(self) -> list[int]:
        """Where each node leads, joins counted like other edges."""
        follows = list(self._leads)
        for join in self._joins:
            for member in join.members:
                follows[member] |= 1 << join.target
        return follows

    def _reachable(self) -> list[int]:
        """What each node leads to in one step or more."""
        reach = list(self._follows)
        changed = True
        while changed:
            changed = False
            for place, found in enumerate(reach):
                grown = found
                for following in _bits(found):
                    grown |= reach[following]
                if grown != found:
                    reach[place] = grown
                    changed = True
        return reach

    def _first(self, spec: GraphSpec) -> int:
        """The nodes of the first step: `__start__`, or those that the input triggers."""
        if START in self._place:
            return 1 << self._place[START]
        entered = {name for c in spec.input for name in spec.triggered.get(c, ())}
        led_to = 0
        for found in self._reach:
            led_to |= found
        roots = self._mask(entered) or sum(
            1 << place for place in range(len(self._names)) if not led_to >> place & 1
        )
        return roots or (1 << len(self._names)) - 1

    # The relations ---------------------------------------------------------------------------

    def _solve(self, first: int) -> None:
        """Apply the rules until nothing follows any more."""
        for place in _bits(first):
            self._add_same(place, first & ~(1 << place))
        reached = first
        for place in _bits(first):
            reached |= self._reach[place]
        for place in _bits(reached):
            for target in _bits(self._leads[place]):
                self._add_same(target, self._exits[place].with_(target))
        self._changed.update(_bits(reached))
        while self._changed:
            while self._changed:
                self._follow(self._changed.pop())
            for join in self._joins:
                self._enter(join)

    def _follow(self, place: int) -> None:
        """What follows from the steps after a node and after those that run beside it."""
        next_to, next_by_send = 0, 0
        for other in _bits(self._same[place]):
            next_to |= self._leads[other]
            next_by_send |= self._exits[other].sends
        late = self._same[place] | self._behind[place]
        for target in _bits(self._leads[place]):
            # Tasks that two nodes trigger in one node are one task, unless one is a Send.
            twice = (self._exits[place].sends | next_by_send) >> target & 1
            self._add_same(target, next_to if twice else next_to & ~(1 << target))
            self._add_behind(target, late)

    def _enter(self, join: _Join) -> None:
        """What follows for the target of a join from those that run beside its members."""
        late, next_to, admitted = 0, 0, -1
        for member in join.members:
            late |= self._same[member] | self._behind[member]
            next_to |= self._follows[member]
            for other in _bits(self._same[member]):
                next_to |= self._follows[other]
            admitted &= self._not_before(member)
        self._add_behind(join.target, late & admitted)
        self._add_same(join.target, next_to & admitted & ~(1 << join.target))

    def _not_before(self, place: int) -> int:
        """The nodes that have not surely ended when a task of this node has."""
        beside = self._same[place] | self._behind[place] | self._ahead[place]
        return beside | self._reach[place]

    def _add_same(self, place: int, others: int) -> None:
        added = others & ~self._same[place]
        if added:
            self._same[place] |= added
            self._changed.add(place)
        for other in _bits(added & ~(1 << place)):
            self._same[other] |= 1 << place
            self._changed.add(other)

    def _add_behind(self, place: int, others: int) -> None:
        added = others & ~self._behind[place]
        if added:
            self._behind[place] |= added
            self._changed.add(place)
        for other in _bits(added):
            self._ahead[other] |= 1 << place

    # Sets ------------------------------------------------------------------------------------

    def _mask(self, names: Iterable[str]) -> int:
        return sum(1 << self._place[name] for name in set(names) if name in self._place)

    def _named(self, mask: int) -> Names:
        return frozenset(self._names[place] for place in _bits(mask))


def is_state(spec: GraphSpec, channel: str) -> bool:
    """Whether a channel is a key of the state, and no edge."""
    found = spec.channels.get(channel)
    return found is None or not (found.internal or found.kind in ("trigger", "barrier"))


def is_barrier(spec: GraphSpec, channel: str) -> bool:
    """Whether a channel is an edge from several nodes."""
    found = spec.channels.get(channel)
    return found is not None and found.kind == "barrier"


def join_members(spec: GraphSpec, channel: str) -> tuple[str, ...]:
    """The nodes that a join waits for."""
    return tuple(name for name, node in spec.nodes.items() if channel in node.edges)


def _joins(spec: GraphSpec, place: dict[str, int]) -> list[_Join]:
    found = []
    for channel, targets in spec.triggered.items():
        if is_barrier(spec, channel):
            members = tuple(place[name] for name in join_members(spec, channel))
            found += [_Join(members, place[target]) for target in targets if target in place]
    return found


def _without(items: tuple[int, ...], place: int) -> tuple[int, ...]:
    return items[:place] + items[place + 1 :]


def _bits(mask: int) -> Iterator[int]:
    """The places of the bits that are set, the lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
