"""How far down each item stands: near what it is joined with, in the order of its column.

For one column the best places are known exactly: the sum of squared distances from where the items
would like to stand, under the least distances between them, is an isotonic regression, which
pooling adjacent violators solves in linear time (Ayer and others, "An Empirical Distribution
Function for Sampling with Incomplete Information", 1955). Columns are placed in turn until they
hardly move.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from mbrelease.graph.layout.stations import Web

_ROUNDS = 10
_STRAIGHT = 6.0  # a line through a station counts more than one between nodes


def heights(
    web: Web, rows: Sequence[Sequence[int]], least: Callable[[int, int], float]
) -> list[float]:
    """The middle of each item, downwards.

    Args:
        web: what is joined with what.
        rows: the items of each column, from top to bottom.
        least: the least distance of the middles of two neighbours, upper first.
    """
    below = [_distances(column, least) for column in rows]
    y = [0.0] * len(web.column)
    for column, offsets in zip(rows, below, strict=True):
        for item, offset in zip(column, offsets, strict=True):
            y[item] = offset - offsets[-1] / 2
    left, right = _pulls(web)
    both = [[*a, *b] for a, b in zip(left, right, strict=True)]
    last = len(rows) - 1
    for turn in range(_ROUNDS):
        forward, backward = (left, right) if turn < _ROUNDS - 3 else (both, both)
        for i in range(last, -1, -1):
            _settle(rows[i], below[i], y, backward)
        for i in range(last + 1):
            _settle(rows[i], below[i], y, forward)
    return y


_Pull = tuple[int, float]
"""The other end of a line, and how much it counts."""


def _distances(column: Sequence[int], least: Callable[[int, int], float]) -> list[float]:
    """How far each item must stand below the first of its column."""
    found = [0.0] * min(1, len(column))
    for upper, lower in itertools.pairwise(column):
        found.append(found[-1] + least(upper, lower))
    return found


def _pulls(web: Web) -> tuple[list[list[_Pull]], list[list[_Pull]]]:
    left: list[list[_Pull]] = [[] for _ in web.column]
    right: list[list[_Pull]] = [[] for _ in web.column]
    for segment in web.segments:
        stations = (segment.left >= web.nodes) + (segment.right >= web.nodes)
        weight = _STRAIGHT if stations == 2 else 1.0 + stations
        left[segment.right].append((segment.left, weight))
        right[segment.left].append((segment.right, weight))
    return left, right


def _settle(
    column: Sequence[int],
    offsets: Sequence[float],
    y: list[float],
    pulls: Sequence[Sequence[_Pull]],
) -> None:
    """Move the items of a column to where ``pulls`` would have them, as far as they can."""
    # Pools of items that touch: where the first would stand, the weight, and how many they are.
    pools: list[tuple[float, float, int]] = []
    for item, offset in zip(column, offsets, strict=True):
        weight = sum(pull for _, pull in pulls[item])
        wish = sum(y[end] * pull for end, pull in pulls[item]) / weight if weight else y[item]
        pool = (wish - offset, weight or 0.1, 1)
        while pools and pools[-1][0] > pool[0]:
            at, heavy, count = pools.pop()
            total = heavy + pool[1]
            pool = ((at * heavy + pool[0] * pool[1]) / total, total, count + pool[2])
        pools.append(pool)
    items = zip(column, offsets, strict=True)
    for at, _, count in pools:
        for _ in range(count):
            item, offset = next(items)
            y[item] = at + offset
