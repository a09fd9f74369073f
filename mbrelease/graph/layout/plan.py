"""Where everything of a picture stands: boxes, lines, and the words before the boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mbrelease.graph.layout.columns import columns
from mbrelease.graph.layout.heights import heights
from mbrelease.graph.layout.rows import adjacent, rows
from mbrelease.graph.layout.stations import Line, Web, weave

STUB_HEIGHT = 18.0
"""What a line with its word takes at the left of a box."""
ARROW = 9.0
_GAP = 16.0
_VERSIONS_GAP = 34.0
_STATION_HEIGHT = 10.0
_STATION_GAP = 8.0
_COMPONENT_GAP = 36.0
_NARROWEST, _WIDEST = 46.0, 170.0
_SLOPE = 0.08  # a gap is so much wider for each pixel that a line in it climbs
_PORT = 9.0
_BOW = 26.0


@dataclass(frozen=True)
class Box:
    """A node, in pixels from the top left corner."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right side."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Its lower side."""
        return self.top + self.height

    @property
    def middle(self) -> float:
        """Half way down."""
        return self.top + self.height / 2


@dataclass(frozen=True)
class Stub:
    """The last, level bit of the lines of one kind into a box, with room for a word over it."""

    node: int
    kind: str
    backward: bool
    """Whether the lines lead away from the box, to a newer version at the left."""
    left: float
    right: float
    y: float


@dataclass(frozen=True)
class Curve:
    """A piece of a line: a curve between two columns, then level through the next one."""

    kind: str
    backward: bool
    start: tuple[float, float]
    end: tuple[float, float]
    level_to: float
    """How far right it goes on at the height of ``end``."""
    before: int
    """The curve that it goes on from, by its position; -1 for the first piece of a line."""
    head_at_start: bool = False


@dataclass(frozen=True)
class Beside:
    """A line between two boxes of one column: straight down, or bowed around others."""

    line: Line
    start: tuple[float, float]
    end: tuple[float, float]
    bowed: bool


@dataclass(frozen=True)
class Plan:
    """A layout; nothing of it is left of or above 0."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    curves: tuple[Curve, ...]
    stubs: tuple[Stub, ...]
    beside: tuple[Beside, ...]
    ends: Mapping[Line, int]
    """The last curve of each line, by its position."""


def plan(
    sizes: Sequence[tuple[float, float]],
    lines: Sequence[Line],
    *,
    made: frozenset[str],
    word_widths: Mapping[str, float],
) -> Plan:
    """Lay a family out.

    Args:
        sizes: width and height of each node's box.
        lines: between nodes, each once.
        made: the kinds of lines that lead from a parent to a child and never in a circle.
        word_widths: what the word for a kind takes.
    """
    parts = _components(len(sizes), lines)
    large = [_Part(part, sizes, lines, made) for part in parts if len(part) > 1]
    across = _across(large, word_widths)
    drawing = _Drawing(sizes, across, word_widths)
    for part in large:
        drawing.add(part)
    drawing.add_alone([part[0] for part in parts if len(part) == 1])
    return drawing.plan()


def _components(count: int, lines: Sequence[Line]) -> list[list[int]]:
    """What lines join, in the order of the first of each."""
    joined: list[list[int]] = [[] for _ in range(count)]
    for line in lines:
        joined[line.older].append(line.newer)
        joined[line.newer].append(line.older)
    seen, found = [False] * count, []
    for start in range(count):
        if seen[start]:
            continue
        seen[start], part = True, [start]
        for node in part:  # it grows as it is read
            for end in joined[node]:
                if not seen[end]:
                    seen[end] = True
                    part.append(end)
        found.append(sorted(part))
    return found


class _Part:
    """Nodes that lines join, in columns and rows; only the places across are open."""

    def __init__(
        self,
        names: Sequence[int],
        sizes: Sequence[tuple[float, float]],
        lines: Sequence[Line],
        made: frozenset[str],
    ) -> None:
        own = {name: i for i, name in enumerate(names)}
        inside = [
            Line(own[line.older], own[line.newer], line.kind) for line in lines if line.older in own
        ]
        self.names = names
        pairs = [(line.older, line.newer) for line in inside if line.kind in made]
        versions = {
            end for line in inside if line.kind not in made for end in (line.older, line.newer)
        }
        self.web: Web = weave(columns(len(names), pairs, versions), inside)
        self.entries = self._entries()
        self.sizes = [
            (sizes[name][0], max(sizes[name][1], STUB_HEIGHT * (len(self.entries[i]) + 0.5)))
            for i, name in enumerate(names)
        ]
        self.rows = rows(self.web)
        self._joined = [adjacent(column, self.web.beside) for column in self.rows]
        self.y = heights(self.web, self.rows, self._least)

    def _entries(self) -> list[dict[tuple[str, bool], list[int]]]:
        """The segments into each node, by their kind and direction."""
        found: list[dict[tuple[str, bool], list[int]]] = [{} for _ in self.names]
        for i, segment in enumerate(self.web.segments):
            if segment.right < self.web.nodes:
                key = (segment.kind, segment.backward)
                found[segment.right].setdefault(key, []).append(i)
        return found

    def height(self, item: int) -> float:
        return self.sizes[item][1] if item < self.web.nodes else _STATION_HEIGHT

    def joined(self, upper: int, lower: int) -> bool:
        """Whether a line of their column joins two neighbours."""
        return (upper, lower) in self._joined[self.web.column[upper]]

    def _least(self, upper: int, lower: int) -> float:
        nodes = (upper < self.web.nodes) + (lower < self.web.nodes)
        gap = _GAP if nodes else _STATION_GAP
        if self.joined(upper, lower):
            gap = _VERSIONS_GAP
        return (self.height(upper) + self.height(lower)) / 2 + gap

    def steepest(self) -> dict[int, float]:
        """How far up or down lines go before each column."""
        found: dict[int, float] = {}
        for segment in self.web.segments:
            climb = abs(self.y[segment.left] - self.y[segment.right])
            column = self.web.column[segment.right]
            found[column] = max(found.get(column, 0.0), climb)
        return found


@dataclass(frozen=True)
class _Across:
    """Where a column lies: the lines' curves end at ``stubs``, the boxes begin at ``boxes``."""

    stubs: float
    boxes: float
    width: float


def _across(parts: Sequence[_Part], word_widths: Mapping[str, float]) -> list[_Across]:
    """The columns, as wide as the widest box in them."""
    width: dict[int, float] = {}
    stub: dict[int, float] = {}
    climb: dict[int, float] = {}
    for part in parts:
        for i, (wide, _) in enumerate(part.sizes):
            column = part.web.column[i]
            width[column] = max(width.get(column, 0.0), wide)
            for key in part.entries[i]:
                stub[column] = max(stub.get(column, 0.0), word_widths[key[0]] + ARROW + 10)
        for column, steep in part.steepest().items():
            climb[column] = max(climb.get(column, 0.0), steep)
    found, x = [], 0.0
    for column in range(max(width, default=-1) + 1):
        if column:
            x += min(_WIDEST, _NARROWEST + _SLOPE * climb.get(column, 0.0))
        boxes = x + stub.get(column, 0.0)
        found.append(_Across(x, boxes, width[column]))
        x = boxes + width[column]
    return found


class _Drawing:
    def __init__(
        self,
        sizes: Sequence[tuple[float, float]],
        across: Sequence[_Across],
        word_widths: Mapping[str, float],
    ) -> None:
        self.sizes = sizes
        self.across = across
        self.words = word_widths
        self.boxes: dict[int, Box] = {}
        self.curves: list[Curve] = []
        self.stubs: list[Stub] = []
        self.beside: list[Beside] = []
        self.ends: dict[Line, int] = {}
        self.bottom = 0.0
        self.right = across[-1].boxes + across[-1].width if across else 0.0

    def plan(self) -> Plan:
        boxes = tuple(self.boxes[name] for name in range(len(self.sizes)))
        return Plan(
            self.right,
            self.bottom,
            boxes,
            tuple(self.curves),
            tuple(self.stubs),
            tuple(self.beside),
            self.ends,
        )

    def add(self, part: _Part) -> None:
        """Place a part below what is there."""
        items = range(len(part.web.column))
        top = min(part.y[item] - part.height(item) / 2 for item in items)
        down = self.bottom + (_COMPONENT_GAP if self.boxes else 0.0) - top
        y = [round(at + down, 1) for at in part.y]
        for i, (_, height) in enumerate(part.sizes):
            column = self.across[part.web.column[i]]
            box = Box(column.boxes, round(y[i] - height / 2, 1), column.width, height)
            self.boxes[part.names[i]] = box
        entries = self._enter(part, y)
        exits = _exits(part, y)
        first = len(self.curves)
        for i, segment in enumerate(part.web.segments):
            before = segment.before + first if segment.before >= 0 else -1
            self.curves.append(self._curve(part, i, before, y, entries, exits))
        for line, end in part.web.ends.items():
            own = Line(part.names[line.older], part.names[line.newer], line.kind)
            self.ends[own] = end + first
        self.beside += [self._besides(part, line) for line in part.web.beside]
        self.bottom = max(y[item] + part.height(item) / 2 for item in items)

    def add_alone(self, names: Sequence[int]) -> None:
        """Place nodes without lines in a grid below the rest."""
        if not names:
            return
        width = max(self.sizes[name][0] for name in names)
        height = max(self.sizes[name][1] for name in names)
        wide = max(self.right, min(len(names), max(3, round(len(names) ** 0.5 / 2))) * width)
        abreast = max(1, int((wide + _GAP) // (width + _GAP)))
        top = self.bottom + (_COMPONENT_GAP if self.boxes else 0.0)
        for i, name in enumerate(names):
            row, place = divmod(i, abreast)
            left, y = place * (width + _GAP), top + row * (height + _GAP)
            self.boxes[name] = Box(left, y, width, height)
            self.right = max(self.right, left + width)
            self.bottom = y + height

    def _enter(self, part: _Part, y: Sequence[float]) -> dict[int, float]:
        """The height at which each segment into a node ends, with the stubs there."""
        found: dict[int, float] = {}
        for i, kinds in enumerate(part.entries):
            box = self.boxes[part.names[i]]
            order = sorted(kinds.items(), key=lambda item: _mean_left(part, item[1], y))
            for place, ((kind, backward), segments) in enumerate(order):
                at = box.middle + (place - (len(order) - 1) / 2) * STUB_HEIGHT
                found |= dict.fromkeys(segments, at)
                left = box.left - self.words[kind] - ARROW - 6
                self.stubs.append(Stub(part.names[i], kind, backward, left, box.left, round(at, 1)))
        return found

    def _curve(
        self,
        part: _Part,
        i: int,
        before: int,
        y: Sequence[float],
        entries: Mapping[int, float],
        exits: Mapping[tuple[int, str, bool], float],
    ) -> Curve:
        segment = part.web.segments[i]
        left = self.across[part.web.column[segment.left]]
        right = self.across[part.web.column[segment.right]]
        start = y[segment.left]
        if segment.left < part.web.nodes:
            start += exits[segment.left, segment.kind, segment.backward]
        into_node = segment.right < part.web.nodes
        end = entries[i] if into_node else y[segment.right]
        level = right.boxes - self.words[segment.kind] - ARROW - 6
        return Curve(
            segment.kind,
            segment.backward,
            (left.boxes + left.width, round(start, 1)),
            (right.stubs, round(end, 1)),
            level if into_node else right.boxes + right.width,
            before,
            head_at_start=segment.backward and segment.left < part.web.nodes,
        )

    def _besides(self, part: _Part, line: Line) -> Beside:
        own = Line(part.names[line.older], part.names[line.newer], line.kind)
        older, newer = self.boxes[own.older], self.boxes[own.newer]
        if part.joined(line.older, line.newer):
            x = older.left + min(24.0, older.width / 2)
            return Beside(own, (x, older.bottom), (x, newer.top), bowed=False)
        if part.joined(line.newer, line.older):
            x = older.left + min(24.0, older.width / 2)
            return Beside(own, (x, older.top), (x, newer.bottom), bowed=False)
        self.right = max(self.right, older.right + _BOW)
        start, end = older.middle + _PORT, newer.middle - _PORT
        return Beside(own, (older.right, start), (newer.right, end), bowed=True)


def _mean_left(part: _Part, segments: Sequence[int], y: Sequence[float]) -> float:
    return sum(y[part.web.segments[i].left] for i in segments) / len(segments)


def _exits(part: _Part, y: Sequence[float]) -> dict[tuple[int, str, bool], float]:
    """How far below its middle lines of each kind leave a node, so that they do not coincide."""
    ends: dict[int, dict[tuple[str, bool], list[float]]] = {}
    for segment in part.web.segments:
        if segment.left < part.web.nodes:
            kinds = ends.setdefault(segment.left, {})
            kinds.setdefault((segment.kind, segment.backward), []).append(y[segment.right])
    found = {}
    for node, kinds in ends.items():
        order = sorted(kinds, key=lambda key: sum(kinds[key]) / len(kinds[key]))
        step = min(_PORT, (part.height(node) - 12) / len(order))
        for place, (kind, backward) in enumerate(order):
            found[node, kind, backward] = (place - (len(order) - 1) / 2) * step
    return found
