"""The lines of a family: level and upright, past the boxes and not through them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mbrelease.cards.pictures.lineage import SUPERSEDES, Edge, Family
from mbrelease.cards.pictures.lineage_layout import Layout, Placed, track_key
from mbrelease.pictures.labels import Box, Pixel
from mbrelease.pictures.sheet import LINE, SMALL, WIDTH, text_width

_APART = 22.0  # between the lines of several parents
_ASIDE = 12.0  # from the middle, where the lines of several parents leave
_VERSIONS = 30.0  # from the middle, where the line between two versions leaves
_CLEAR = 6.0  # from a line to a box or to words that it passes
_LANE = 8.0  # between two lines that pass the same box
_EDGE = 5.0  # of the sheet


@dataclass(frozen=True)
class Route:
    """One line, from its beginning to its end."""

    edge: Edge
    points: tuple[Pixel, ...]
    label: Box | None = None
    """Of a line between two versions: where the word on it stands."""


def routes(family: Family, layout: Layout) -> list[Route]:
    """From each parent to the words over the child; from each version to the one before."""
    lanes = _Lanes(layout)
    made = [_made(family, edge, layout, lanes) for edge in family.made()]
    return [*made, *_versions(family.superseded(), layout, lanes)]


class _Lanes:
    """Where lines pass rows of boxes."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._taken: dict[float, str] = {}

    def past(self, rows: Iterable[int], key: str, near: float) -> float:
        """The free place nearest to ``near`` that passes all ``rows``; lines of one key share."""
        blocks = list(self._blocks(set(rows)))
        steps = (near + sign * i for i in range(WIDTH) for sign in (1, -1))
        inside = [x for x in steps if _EDGE <= x <= WIDTH - _EDGE]
        free = [x for x in inside if not any(left < x < right for left, right in blocks)]
        alone = [x for x in free if self._is_free(x, key)]
        found = (alone or free or inside)[0]
        self._taken[found] = key
        return found

    def _is_free(self, x: float, key: str) -> bool:
        return all(
            owner == key if taken == x else abs(taken - x) >= _LANE or owner == key
            for taken, owner in self._taken.items()
        )

    def _blocks(self, rows: set[int]) -> Iterable[tuple[float, float]]:
        for one in self._layout.placed.values():
            if one.row in rows:
                for box in [one.box, *([one.words.box] if one.words else [])]:
                    yield box.left - _CLEAR, box.right + _CLEAR


def _made(family: Family, edge: Edge, layout: Layout, lanes: _Lanes) -> Route:
    older, newer = layout.placed[edge.older], layout.placed[edge.newer]
    assert newer.words is not None
    key = track_key(edge.older, edge.newer, edge.relation)
    start = (_leaves(family, older, layout), older.box.bottom)
    end = (_arrives(family, edge, layout), newer.words.box.top)
    first = layout.gaps[older.row].tracks[key]
    if newer.row == older.row + 1:
        return Route(edge, _path(start, [(start[0], first), (end[0], first)], end))
    lane = lanes.past(range(older.row + 1, newer.row), key, end[0])
    last = layout.gaps[newer.row - 1].tracks[key]
    turns = [(start[0], first), (lane, first), (lane, last), (end[0], last)]
    return Route(edge, _path(start, turns, end))


def _leaves(family: Family, older: Placed, layout: Layout) -> float:
    """Straight over an only child; elsewhere in the middle, or beside it where the line of
    another parent ends that could be taken for it.
    """
    below = [edge for edge in family.made() if layout.placed[edge.newer].row == older.row + 1]
    own = [_arrives(family, edge, layout) for edge in below if edge.older == older.node.name]
    foreign = [_arrives(family, edge, layout) for edge in below if edge.older != older.node.name]
    middle = _middle(older.box)
    straight = [x for x in own if abs(x - middle) <= _APART] if len(own) == 1 else []
    places = [*straight, middle, middle - _ASIDE, middle + _ASIDE]
    free = (x for x in places if all(abs(x - other) >= _CLEAR for other in foreign))
    return next(free, middle)


def _arrives(family: Family, edge: Edge, layout: Layout) -> float:
    """Side by side, the line of the leftmost parent first."""
    parents = [other.older for other in family.made() if other.newer == edge.newer]
    parents.sort(key=lambda name: _middle(layout.placed[name].box))
    shift = parents.index(edge.older) - (len(parents) - 1) / 2
    return _middle(layout.placed[edge.newer].box) + shift * _APART


def _versions(edges: Sequence[Edge], layout: Layout, lanes: _Lanes) -> list[Route]:
    found = []
    used: dict[str, int] = {}
    for edge in edges:
        older, newer = layout.placed[edge.older], layout.placed[edge.newer]
        aside = _VERSIONS + _LANE * max(used.get(name, 0) for name in (edge.older, edge.newer))
        used |= {name: used.get(name, 0) + 1 for name in (edge.older, edge.newer)}
        if older.row == newer.row:
            found.append(_beside(edge, layout, aside))
        else:
            found.append(_below(edge, layout, lanes, aside))
    return found


def _beside(edge: Edge, layout: Layout, aside: float) -> Route:
    """Under two boxes of the same row."""
    older, newer = layout.placed[edge.older], layout.placed[edge.newer]
    level = layout.gaps[older.row].tracks[track_key(edge.older, edge.newer, edge.relation)]
    sign = 1 if older.box.left < newer.box.left else -1
    start = (_middle(newer.box) - sign * aside, newer.box.bottom)
    end = (_middle(older.box) + sign * aside, older.box.bottom)
    points = _path(start, [(start[0], level), (end[0], level)], end)
    return Route(edge, points, _label((start[0] + end[0]) / 2, level))


def _below(edge: Edge, layout: Layout, lanes: _Lanes, aside: float) -> Route:
    """Between two rows, at the right of what else goes there."""
    placed = layout.placed
    upper, lower = sorted((placed[edge.older], placed[edge.newer]), key=lambda one: one.row)
    key = track_key(edge.older, edge.newer, edge.relation)
    top, bottom = (layout.gaps[row].tracks[key] for row in (upper.row, lower.row - 1))
    words = lower.words.box.right - _middle(lower.box) + _CLEAR if lower.words else 0.0
    widest = (lower.box.right - lower.box.left) / 2 - _CLEAR
    aside = min(max(aside, words), widest)
    start = (_middle(upper.box) + aside, upper.box.bottom)
    end = (_middle(lower.box) + aside, lower.box.top)
    turns = [(start[0], top), (end[0], top)]
    if lower.row > upper.row + 1:
        lane = lanes.past(range(upper.row + 1, lower.row), key, end[0])
        turns = [(start[0], top), (lane, top), (lane, bottom), (end[0], bottom)]
    points = _path(start, turns, end)
    if placed[edge.older] is upper:
        points = points[::-1]
    level = turns[0][0], turns[1][0]
    word = text_width(SUPERSEDES, SMALL)
    if abs(level[0] - level[1]) > word + 2 * _ASIDE:
        return Route(edge, points, _label(sum(level) / 2, top))
    right = max(level) + _CLEAR + word / 2
    at = right if right + word / 2 < WIDTH else min(level) - _CLEAR - word / 2
    return Route(edge, points, _label(at, top))


def _label(middle: float, level: float) -> Box:
    half = text_width(SUPERSEDES, SMALL) / 2
    return Box(middle - half, level - LINE * SMALL / 2, middle + half, level + LINE * SMALL / 2)


def _middle(box: Box) -> float:
    return (box.left + box.right) / 2


def _path(start: Pixel, turns: Sequence[Pixel], end: Pixel) -> tuple[Pixel, ...]:
    """Without turns that are none."""
    points = [start]
    for point in [*turns, end]:
        if point != points[-1]:
            points.append(point)
    return tuple(
        point
        for i, point in enumerate(points)
        if i in (0, len(points) - 1) or not (points[i - 1][0] == point[0] == points[i + 1][0])
    )
