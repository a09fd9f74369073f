"""The lines of a family: level and upright, past the boxes, and none on top of another's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mbrelease.cards.pictures.lineage import SUPERSEDES, Edge, Family
from mbrelease.cards.pictures.lineage_layout import CLEAR, EDGE, LANE, Layout, Placed, track_key
from mbrelease.pictures.labels import Box, Pixel
from mbrelease.pictures.sheet import LINE, SMALL, WIDTH, text_width

_APART = 22.0  # between the lines of several parents
_ASIDE = 12.0  # from the middle of a box, where two lines would meet there
_VERSIONS = 30.0  # from the middle, where the line between two versions leaves


@dataclass(frozen=True)
class Route:
    """One line, from its beginning to its end."""

    edge: Edge
    points: tuple[Pixel, ...]
    label: Box | None = None
    """Of a line between two versions: where the word on it stands."""


def routes(family: Family, layout: Layout) -> list[Route]:
    """From each parent to the words over the child; from each version to the one before."""
    router = _Router(family, layout)
    return [
        *(router.made(edge) for edge in family.made()),
        *(router.version(edge) for edge in family.superseded()),
    ]


@dataclass(frozen=True)
class _Upright:
    """A stretch that a line of one key takes."""

    x: float
    top: float
    bottom: float
    key: str

    def collides(self, other: _Upright) -> bool:
        """Whether one could be taken for the other."""
        apart = abs(self.x - other.x) >= LANE or self.key == other.key
        return not apart and min(self.bottom, other.bottom) > max(self.top, other.top)


class _Router:
    """What is taken already, while lines are laid: their ends first, then what is between."""

    def __init__(self, family: Family, layout: Layout) -> None:
        self._family, self._layout = family, layout
        self._taken: list[_Upright] = []
        self._arrivals = {edge: self._arrival(edge) for edge in family.made()}
        self._ends = {edge: self._version_ends(edge) for edge in family.superseded()}
        parents = dict.fromkeys(edge.older for edge in family.made())
        self._leaves = {name: self._leave(layout.placed[name]) for name in parents}

    def made(self, edge: Edge) -> Route:
        """From a parent to the words over a child."""
        older, newer = self._pair(edge)
        assert newer.words is not None
        start = (self._leaves[edge.older], older.box.bottom)
        end = (self._arrivals[edge], newer.words.box.top)
        return Route(edge, self._path(edge, older, newer, start, end))

    def version(self, edge: Edge) -> Route:
        """From a version to the one before."""
        older, newer = self._pair(edge)
        to_x, from_x = self._ends[edge]
        level = self._track(edge, min(older.row, newer.row))
        if older.row == newer.row:
            turns = [(from_x, level), (to_x, level)]
            points = _straightened([(from_x, newer.box.bottom), *turns, (to_x, older.box.bottom)])
            return Route(edge, points, _label((from_x + to_x) / 2, level))
        downwards = older.row < newer.row
        upper, lower = (older, newer) if downwards else (newer, older)
        top_x, bottom_x = (to_x, from_x) if downwards else (from_x, to_x)
        start, end = (top_x, upper.box.bottom), (bottom_x, lower.box.top)
        points = self._path(edge, upper, lower, start, end)
        return Route(edge, points[::-1] if downwards else points, _label_on(points, level))

    def _path(
        self, edge: Edge, upper: Placed, lower: Placed, start: Pixel, end: Pixel
    ) -> tuple[Pixel, ...]:
        """Down from one row to another."""
        first, last = self._track(edge, upper.row), self._track(edge, lower.row - 1)
        lane = end[0]
        if lower.row > upper.row + 1:
            rows = range(upper.row + 1, lower.row)
            lane = self._lane(rows, _Upright(end[0], first, last, _key(edge)))
        turns = [(start[0], first), (lane, first), (lane, last), (end[0], last)]
        return _straightened([start, *turns, end])

    def _arrival(self, edge: Edge) -> float:
        """The lines of several parents side by side, that of the leftmost first."""
        _, newer = self._pair(edge)
        assert newer.words is not None
        parents = [other.older for other in self._family.made() if other.newer == edge.newer]
        parents.sort(key=lambda name: _middle(self._layout.placed[name].box))
        shift = parents.index(edge.older) - (len(parents) - 1) / 2
        x = _middle(newer.box) + shift * _APART
        top = self._layout.gaps[newer.row - 1].top
        self._taken.append(_Upright(x, top, newer.words.box.top, _key(edge)))
        return x

    def _version_ends(self, edge: Edge) -> tuple[float, float]:
        """Where the line between two versions ends at the older one, and at the newer."""
        pair = self._pair(edge)
        signs = (1.0, 1.0)
        if pair[0].row == pair[1].row:
            side = 1.0 if pair[0].box.left < pair[1].box.left else -1.0
            signs = (side, -side)
        most = (pair[0].box.right - pair[0].box.left) / 2 - CLEAR
        least = min(max([_VERSIONS, *(self._words_half(edge, one) for one in pair)]), most)
        steps = [least + LANE * i for i in range(1 + int((most - least) / LANE))]
        found = [
            [
                self._end(edge, one, _middle(one.box) + sign * step)
                for one, sign in zip(pair, signs, strict=True)
            ]
            for step in [*steps, *(-step for step in steps)]
        ]
        best = next((ends for ends in found if all(map(self._is_free, ends))), found[0])
        self._taken += best
        return best[0].x, best[1].x

    def _words_half(self, edge: Edge, one: Placed) -> float:
        """How far the words over ``one`` reach, if the line comes down beside them."""
        rows = [placed.row for placed in self._pair(edge)]
        if one.words is None or one.row == min(rows):
            return 0.0
        return one.words.box.right - _middle(one.box) + CLEAR

    def _end(self, edge: Edge, one: Placed, x: float) -> _Upright:
        rows = [placed.row for placed in self._pair(edge)]
        if one.row == min(rows):
            return _Upright(x, one.box.bottom, self._track(edge, one.row), _key(edge))
        return _Upright(x, self._layout.gaps[one.row - 1].top, one.box.top, _key(edge))

    def _leave(self, parent: Placed) -> float:
        """Straight over an only child; else in the middle, or beside it where that is taken."""
        own = [
            x for edge, x in self._arrivals.items()
            if edge.older == parent.node.name
            and self._layout.placed[edge.newer].row == parent.row + 1
        ]  # fmt: skip
        middle = _middle(parent.box)
        straight = [x for x in own if abs(x - middle) <= _APART] if len(own) == 1 else []
        beside = [sign * _ASIDE * i for i in range(1, 6) for sign in (-1, 1)]
        bottom = self._layout.gaps[parent.row].tracks[parent.node.name]
        found = [
            _Upright(x, parent.box.bottom, bottom, parent.node.name)
            for x in [*straight, middle, *(middle + shift for shift in beside)]
        ]
        best = next(filter(self._is_free, found), found[0])
        self._taken.append(best)
        return best.x

    def _lane(self, rows: Iterable[int], wanted: _Upright) -> float:
        """The free place nearest to ``wanted`` that passes all ``rows``."""
        blocks = list(self._blocks(set(rows)))
        steps = (wanted.x + sign * i for i in range(WIDTH) for sign in (1, -1))
        found = [
            _Upright(x, wanted.top, wanted.bottom, wanted.key)
            for x in steps
            if EDGE <= x <= WIDTH - EDGE and not any(a < x < b for a, b in blocks)
        ]
        best = next(filter(self._is_free, found), (found or [wanted])[0])
        self._taken.append(best)
        return best.x

    def _blocks(self, rows: set[int]) -> Iterator[tuple[float, float]]:
        for one in self._layout.placed.values():
            if one.row in rows:
                for box in [one.box, *([one.words.box] if one.words else [])]:
                    yield box.left - CLEAR, box.right + CLEAR

    def _is_free(self, wanted: _Upright) -> bool:
        return not any(wanted.collides(one) for one in self._taken)

    def _pair(self, edge: Edge) -> tuple[Placed, Placed]:
        return self._layout.placed[edge.older], self._layout.placed[edge.newer]

    def _track(self, edge: Edge, row: int) -> float:
        return self._layout.gaps[row].tracks[_key(edge)]


def _key(edge: Edge) -> str:
    return track_key(edge.older, edge.newer, edge.relation)


def _label_on(points: Sequence[Pixel], level: float) -> Box:
    """On the first level stretch where it is long enough, else beside the line."""
    across = [point[0] for point in points if point[1] == level] or [points[0][0]]
    left, right = min(across), max(across)
    word = text_width(SUPERSEDES, SMALL)
    if right - left > word + 2 * _ASIDE:
        return _label((left + right) / 2, level)
    middle = right + CLEAR + word / 2
    fits = middle + word / 2 < WIDTH
    return _label(middle if fits else left - CLEAR - word / 2, level)


def _label(middle: float, level: float) -> Box:
    half = text_width(SUPERSEDES, SMALL) / 2
    return Box(middle - half, level - LINE * SMALL / 2, middle + half, level + LINE * SMALL / 2)


def _middle(box: Box) -> float:
    return (box.left + box.right) / 2


def _straightened(points: Sequence[Pixel]) -> tuple[Pixel, ...]:
    """Without turns that are none."""
    found = [points[0]]
    for point in points[1:]:
        if point == found[-1]:
            continue
        if len(found) > 1 and found[-2][0] == found[-1][0] == point[0]:
            found.pop()
        found.append(point)
    return tuple(found)
