"""From which element of a list each `Send` of a task was made.

LangGraph does not say: a router may skip elements, give several tasks for one, or send old ones
again. What is looked at, in this order:

1. the elements themselves: a `Send` whose argument is one, or has one among its values, was
   made from it. Elements are taken in their order, and each at most once for a node. That
   counts if every `Send` has one, or if there are more `Send`s than elements (then the others
   were made from something else and come behind);
2. the numbers: more `Send`s than elements, and no node has more of them than there are
   elements, means one for each element and node;
3. the order: the first `Send` is the first element's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

_MOST_ALIKE = 64
"""Of so many elements that are one object, the first ones are told apart by their order."""


def elements_of(
    targets: Sequence[str], arguments: Sequence[object], elements: Sequence[object]
) -> list[int]:
    """The index of the element that each `Send` was made from.

    Args:
        targets: The node of each `Send`.
        arguments: What each hands over.
        elements: The list, as far as it is known.

    Example:
        >>> sections = ["introduction", "methods", "results"]
        >>> elements_of(["work", "work"], [{"on": sections[0]}, {"on": sections[2]}], sections)
        [0, 2]
        >>> elements_of(["work", "check"] * 2, [0, 0, 1, 1], sections[:2])
        [0, 0, 1, 1]
    """
    found = list(_recognised(targets, arguments, elements))
    more = len(targets) > len(elements)
    if None not in found or (more and any(index is not None for index in found)):
        return _others_behind(found, len(elements))
    each = Counter(targets)
    if more and elements and max(each.values()) <= len(elements):
        seen: Counter[str] = Counter()
        for place, target in enumerate(targets):
            found[place] = seen[target]
            seen[target] += 1
        return _others_behind(found, len(elements))
    return list(range(len(targets)))


def are_made_from(
    targets: Sequence[str], arguments: Sequence[object], elements: Sequence[object]
) -> bool:
    """Whether each `Send` hands over an element of a list."""
    return None not in _recognised(targets, arguments, elements)


def _recognised(
    targets: Sequence[str], arguments: Sequence[object], elements: Sequence[object]
) -> Iterator[int | None]:
    indices: dict[int, list[int]] = {}
    for place, element in enumerate(elements):
        indices.setdefault(id(element), []).append(place)
    used: set[tuple[int, str]] = set()
    first = 0
    for target, argument in zip(targets, arguments, strict=True):
        parts = [argument, *argument.values()] if isinstance(argument, dict) else [argument]
        candidates = [
            candidate
            for part in parts
            for candidate in indices.get(id(part), ())[:_MOST_ALIKE]
            if candidate >= first and (candidate, target) not in used
        ]
        index = min(candidates, default=None)
        if index is not None:
            first = index
            used.add((index, target))
        yield index


def _others_behind(found: Sequence[int | None], last: int) -> list[int]:
    result = []
    for index in found:
        result.append(last if index is None else index)
        last += index is None
    return result
