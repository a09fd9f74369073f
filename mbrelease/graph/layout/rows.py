"""The order of items in each column, with few crossings between columns.

Barycentres from left to right and back (Sugiyama, Tagawa and Toda, "Methods for Visual
Understanding of Hierarchical System Structures", 1981), and exchanges of neighbours where that
leaves fewer crossings. Versions of a model that stand in one column stay together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from mbrelease.graph.layout.stations import Line, Web

Block = tuple[int, ...]
"""Items that stay together in this order."""

_ROUNDS = 12
_EXCHANGED = 3_000
"""The most segments for which neighbours are tried both ways; barycentres alone do for more."""
_PASSES = 20
_WORK = 200_000
"""Segments to look at, all rounds together: a large family gets fewer rounds."""


def rows(web: Web) -> list[list[int]]:
    """The items of each column, from top to bottom."""
    order = _first_order(web)
    best, fewest = order, _crossings(web, order)
    rounds = min(_ROUNDS, 1 + _WORK // (len(web.segments) + 1))
    left, right = _neighbours(web)
    for turn in range(rounds):
        if fewest == 0:
            break
        order = _swept(order, left, forward=True)
        order = _swept(order, right, forward=False)
        if len(web.segments) <= _EXCHANGED:
            order = _exchanged(order, left, right)
        count = _crossings(web, order)
        if count < fewest:
            best, fewest = order, count
        elif turn > _ROUNDS // 2:
            break
    return [[item for block in column for item in block] for column in best]


def blocks(web: Web) -> list[Block]:
    """The items, versions of one column together: the oldest first, each after what it supersedes.

    Where two supersede one it stands between them.
    """
    newer: dict[int, list[int]] = {}
    for line in web.beside:
        newer.setdefault(line.older, []).append(line.newer)
    follows = {line.newer for line in web.beside}
    return [tuple(_versions(item, newer)) for item in range(len(web.column)) if item not in follows]


def _versions(oldest: int, newer: dict[int, list[int]]) -> list[int]:
    found = list(_branch(oldest, newer))
    aside = [other for item in found for other in newer.get(item, [])[1:]]
    if len(newer.get(oldest, [])) > 1:
        branch = list(_branch(aside.pop(0), newer))
        aside += [other for item in branch for other in newer.get(item, [])[1:]]
        found = [*reversed(branch), *found]
    while aside:
        branch = list(_branch(aside.pop(0), newer))
        aside += [other for item in branch for other in newer.get(item, [])[1:]]
        found += branch
    return found


def _branch(item: int, newer: dict[int, list[int]]) -> Iterator[int]:
    yield item
    while newer.get(item):
        item = newer[item][0]
        yield item


_Order = list[list[Block]]


def _first_order(web: Web) -> _Order:
    """By depth first from the left, so that what comes from one node stands together."""
    of: dict[int, Block] = {item: block for block in blocks(web) for item in block}
    _, right = _neighbours(web)
    order: _Order = [[] for _ in range(max(web.column, default=-1) + 1)]
    seen: set[Block] = set()
    for start in sorted(range(len(web.column)), key=lambda item: web.column[item]):
        waiting = [start]
        while waiting:
            block = of[waiting.pop()]
            if block in seen:
                continue
            seen.add(block)
            order[web.column[block[0]]].append(block)
            waiting += [end for item in reversed(block) for end in reversed(right[item])]
    return order


def _neighbours(web: Web) -> tuple[list[list[int]], list[list[int]]]:
    """Of each item those that lines join it with, left of it and right of it."""
    left: list[list[int]] = [[] for _ in web.column]
    right: list[list[int]] = [[] for _ in web.column]
    for segment in web.segments:
        if web.column[segment.right] - web.column[segment.left] == 1:
            left[segment.right].append(segment.left)
            right[segment.left].append(segment.right)
    return left, right


def _positions(column: Iterable[Block]) -> dict[int, int]:
    items = (item for block in column for item in block)
    return {item: position for position, item in enumerate(items)}


def _swept(order: _Order, neighbours: Sequence[Sequence[int]], *, forward: bool) -> _Order:
    """Each column ordered by where the neighbours of its blocks stand in the one before it."""
    swept = list(order)
    steps = range(1, len(order)) if forward else range(len(order) - 2, -1, -1)
    for i in steps:
        beside = _positions(swept[i - 1 if forward else i + 1])
        scale = len(beside) / max(1, len(swept[i]))
        keys = {}
        for position, block in enumerate(swept[i]):
            at = [beside[end] for item in block for end in neighbours[item]]
            keys[block] = sum(at) / len(at) if at else position * scale
        swept[i] = sorted(swept[i], key=keys.__getitem__)
    return swept


def _crossings(web: Web, order: _Order) -> int:
    """How many pairs of segments cross, counted by their inversions."""
    position: dict[int, int] = {}
    for column in order:
        position |= _positions(column)
    gaps: list[list[tuple[int, int]]] = [[] for _ in order]
    for segment in web.segments:
        if web.column[segment.right] - web.column[segment.left] == 1:
            pair = (position[segment.left], position[segment.right])
            gaps[web.column[segment.left]].append(pair)
    return sum(_inversions([right for _, right in sorted(gap)]) for gap in gaps)


def _inversions(values: Sequence[int]) -> int:
    """Pairs that stand the wrong way round, counted with a Fenwick tree."""
    tree = [0] * (max(values, default=0) + 2)
    count = 0
    for seen, value in enumerate(values):
        not_greater, i = 0, value + 1
        while i > 0:
            not_greater += tree[i]
            i -= i & -i
        count += seen - not_greater
        i = value + 1
        while i < len(tree):
            tree[i] += 1
            i += i & -i
    return count


def _exchanged(
    order: _Order, left: Sequence[Sequence[int]], right: Sequence[Sequence[int]]
) -> _Order:
    """Neighbouring blocks exchanged where fewer lines cross then, until none is."""
    made = [list(column) for column in order]
    for i, column in enumerate(made):
        sides = [
            (ends, _positions(made[j]))
            for ends, j in ((left, i - 1), (right, i + 1))
            if 0 <= j < len(made)
        ]
        at = {
            block: [
                sorted(beside[end] for item in block for end in ends[item])
                for ends, beside in sides
            ]
            for block in column
        }
        for _ in range(_PASSES):
            changed = False
            for k, (upper, lower) in enumerate(pairwise(list(column))):
                if column[k] != upper or column[k + 1] != lower:
                    continue  # the upper one has just moved down
                pairs = list(zip(at[upper], at[lower], strict=True))
                now = sum(_crossed(a, b) for a, b in pairs)
                if now > sum(_crossed(b, a) for a, b in pairs):
                    column[k], column[k + 1] = lower, upper
                    changed = True
            if not changed:
                break
    return made


def _crossed(upper: Sequence[int], lower: Sequence[int]) -> int:
    """How many lines of the upper block cross lines of the lower one; both are sorted."""
    count = j = 0
    for end in upper:
        while j < len(lower) and lower[j] < end:
            j += 1
        count += j
    return count


def adjacent(column: Sequence[int], lines: Iterable[Line]) -> set[tuple[int, int]]:
    """The pairs of neighbours, upper first, that a line of one column joins."""
    joined = {frozenset((line.older, line.newer)) for line in lines}
    return {pair for pair in pairwise(column) if frozenset(pair) in joined}
