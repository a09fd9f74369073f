"""Find room for labels among what is drawn already."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Pixel = tuple[float, float]
"""Across and down, from the top left corner."""

_STEP = 4.0
_OVERLAP = 0.5  # what a square pixel on another label costs, in points of a curve
_OUTSIDE = 1000.0
_NEARER = 4.0  # a label's own mark than any other
_DOUBT = 10.0  # what it costs not to be


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def holds(self, point: Pixel, margin: float = 0.0) -> bool:
        """Whether ``point`` is inside, or nearer than ``margin``."""
        return (
            self.left - margin <= point[0] <= self.right + margin
            and self.top - margin <= point[1] <= self.bottom + margin
        )

    def distance(self, point: Pixel) -> float:
        """From ``point`` to the nearest point of the rectangle."""
        return math.dist(point, self.nearest(point))

    def nearest(self, point: Pixel) -> Pixel:
        """The point of the rectangle that is nearest to ``point``."""
        return (
            min(max(point[0], self.left), self.right),
            min(max(point[1], self.top), self.bottom),
        )

    def overlap(self, other: Box) -> float:
        """The shared area."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, across) * max(0.0, down)

    def around(self, other: Box) -> bool:
        """Whether ``other`` is wholly inside."""
        return self.holds((other.left, other.top)) and self.holds((other.right, other.bottom))


class Room:
    """A panel, and what in it a label should not cover."""

    def __init__(self, inside: Box) -> None:
        self.inside = inside
        self._points: list[Pixel] = []
        self._taken: list[Box] = []
        self._marks: list[Pixel] = []

    def draw(self, path: Sequence[Pixel]) -> None:
        """A line is drawn along ``path``, or a mark where it is one point."""
        self._points += list(path[:1])
        for start, end in itertools.pairwise(path):
            n = max(1, math.ceil(math.dist(start, end) / _STEP))
            self._points += [
                (start[0] + (end[0] - start[0]) * i / n, start[1] + (end[1] - start[1]) * i / n)
                for i in range(1, n + 1)
            ]

    def mark(self, at: Pixel, reach: float) -> None:
        """A mark stands at ``at``, and reaches so far to each side."""
        self._marks.append(at)
        x, y = at
        self._taken.append(Box(x - reach, y - reach, x + reach, y + reach))

    def place(
        self, places: Iterable[Box], *, of: Pixel | None = None, worst: float = math.inf
    ) -> Box | None:
        """Take the place where the least is covered, of equals the first; none above ``worst``.

        A label ``of`` a mark should be nearer to it than to any other mark.
        """
        costs = ((self._cost(box) + self._doubt(box, of), box) for box in places)
        cost, best = min(costs, key=lambda pair: pair[0])
        if cost > worst:
            return None
        self._taken.append(best)
        return best

    def _doubt(self, box: Box, of: Pixel | None) -> float:
        if of is None:
            return 0.0
        others = [mark for mark in self._marks if mark != of]
        own = box.distance(of) + _NEARER
        nearer = sum(box.distance(mark) < own for mark in others)
        end = box.nearest(of)
        crossed = sum(_distance_to_line(mark, of, end) < 2 * _NEARER for mark in others)
        return _DOUBT * (nearer + crossed)

    def _cost(self, box: Box) -> float:
        points = sum(box.holds(point, margin=2.0) for point in self._points)
        overlap = sum(box.overlap(other) for other in self._taken)
        return points + _OVERLAP * overlap + (0.0 if self.inside.around(box) else _OUTSIDE)


def _distance_to_line(point: Pixel, start: Pixel, end: Pixel) -> float:
    """From ``point`` to the nearest point of the straight line from ``start`` to ``end``."""
    (x, y), (dx, dy) = start, (end[0] - start[0], end[1] - start[1])
    length = dx * dx + dy * dy
    along = ((point[0] - x) * dx + (point[1] - y) * dy) / length if length else 0.0
    share = min(max(along, 0.0), 1.0)
    return math.dist(point, (x + share * dx, y + share * dy))


def around_mark(
    mark: Pixel, inside: Box, size: tuple[float, float], radii: Iterable[float]
) -> list[Box]:
    """Places for a label of ``size`` (width, height) beside a mark, the nearest first.

    One that would stick out at a side is moved ``inside``.
    """
    (x, y), (width, height) = mark, size
    places = []
    for r in radii:
        d = r * 0.7
        lefts_and_tops = [
            (x + r, y - height / 2),
            (x - r - width, y - height / 2),
            (x - width / 2, y - r - height),
            (x - width / 2, y + r),
            (x + d, y - d - height),
            (x + d, y + d),
            (x - d - width, y - d - height),
            (x - d - width, y + d),
            (x - width / 5, y - r - height),
            (x - width * 4 / 5, y - r - height),
            (x - width / 5, y + r),
            (x - width * 4 / 5, y + r),
        ]
        for left, top in lefts_and_tops:
            moved = max(inside.left, min(left, inside.right - width))
            places.append(Box(moved, top, moved + width, top + height))
    return places


def along_level(y: float, inside: Box, size: tuple[float, float], gap: float = 3.0) -> list[Box]:
    """Places for a label of ``size`` over and under a level line, from left to right."""
    width, height = size
    free = max(0.0, inside.right - inside.left - width - 8)
    return [
        Box(left, top, left + width, top + height)
        for share in (0.0, 1.0, 0.5, 0.25, 0.75)
        for top in (y - gap - height, y + gap)
        for left in [inside.left + 4 + share * free]
    ]


def along_upright(x: float, inside: Box, size: tuple[float, float], gap: float = 5.0) -> list[Box]:
    """Places for a label of ``size`` to both sides of an upright line, from bottom to top."""
    width, height = size
    free = max(0.0, inside.bottom - inside.top - height - 8)
    return [
        Box(left, top, left + width, top + height)
        for share in (1.0, 0.0, 0.5, 0.25, 0.75)
        for left in (x + gap, x - gap - width)
        for top in [inside.top + 4 + share * free]
    ]
