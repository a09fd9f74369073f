"""Where the boxes of a family and the words over them stand."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mbrelease.cards.escape import one_line
from mbrelease.cards.pictures.lineage import Family, Node, relation_words
from mbrelease.cards.pictures.lineage_rows import rows_of
from mbrelease.pictures.labels import Box
from mbrelease.pictures.sheet import LINE, SMALL, WIDTH, shortened, text_width

THIS = "this model"
ARROW = 14.0  # from the words over a box to the box
TRACK, WORDED_TRACK = 12.0, 26.0  # the height of a level line, and of one with a word on it
CLEAR = 6.0  # from a line to a box or to words that it passes
LANE = 7.0  # between two upright lines
EDGE = 5.0  # of the sheet, where no line is
_WIDTHS = {1: 400.0, 2: 280.0, 3: 184.0}  # of a box, by how many stand in the longest row
_BESIDE = {1: 0.0, 2: 44.0, 3: 30.0}  # between two boxes, where lines pass
_PAD = 8.0  # in a box
_GAP = 10.0  # under a row, before the first level line
_LONGEST = 2  # lines of a name
_PARTS = re.compile(r"[^-/_. ]*[-/_. ]?")


@dataclass(frozen=True)
class Words:
    """What stands over a box: how it was made."""

    lines: tuple[str, ...]
    box: Box


@dataclass(frozen=True)
class Placed:
    """A variant in its place."""

    node: Node
    box: Box
    name: tuple[str, ...]
    repo: tuple[str, ...]
    words: Words | None
    row: int


@dataclass(frozen=True)
class Gap:
    """The room under a row: level lines first, then the words over the next row."""

    top: float
    tracks: Mapping[str, float]
    """By key, how far down each level line is."""


@dataclass(frozen=True)
class Layout:
    """Where everything stands."""

    placed: Mapping[str, Placed]
    gaps: tuple[Gap, ...]
    bottom: float


def lay_out(family: Family, top: float) -> Layout:
    """The boxes from ``top`` on, each row with the room under it that its lines need."""
    rows = rows_of(family)
    row_of = {name: i for i, row in enumerate(rows) for name in row}
    nodes = {node.name: node for node in family.nodes}
    longest = max(map(len, rows))
    width = _width(family, row_of, longest)
    placed: dict[str, Placed] = {}
    gaps: list[Gap] = []
    y = top
    for i, row in enumerate(rows):
        texts = {name: _texts(nodes[name], family, width) for name in row}
        height = max(_height(*texts[name], own=name == family.own) for name in row)
        across = len(row) * width + (len(row) - 1) * _BESIDE[longest]
        x = (WIDTH - across) / 2
        for name in row:
            box = Box(x, y, x + width, y + height)
            placed[name] = Placed(nodes[name], box, *texts[name], _words(family, name, box), i)
            x += width + _BESIDE[longest]
        y += height
        gap, end = _gap(family, row_of, i, y)
        gaps.append(gap)
        y = end
        if i + 1 < len(rows):
            over = [len(_lines_over(family, name, width)) for name in rows[i + 1]]
            y += max(over) * LINE * SMALL + ARROW
    return Layout(placed, tuple(gaps), y)


def _width(family: Family, row_of: Mapping[str, int], longest: int) -> float:
    """Of a box, so that every line that passes a row has room beside it."""
    passing = {
        track_key(edge.older, edge.newer, edge.relation)
        for edge in family.edges
        if abs(row_of[edge.older] - row_of[edge.newer]) > 1
    }
    side = EDGE + CLEAR + LANE * math.ceil(len(passing) / 2)
    room = WIDTH - 2 * side - (longest - 1) * _BESIDE[longest]
    return min(_WIDTHS[longest], room / longest)


def _texts(node: Node, family: Family, width: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    name = _wrapped(one_line(node.name), width - 2 * _PAD, bold=node.name == family.own)
    repo = one_line(node.repo or "")
    return name, _wrapped(repo, width - 2 * _PAD, bold=False) if repo else ()


def _wrapped(words: str, width: float, *, bold: bool) -> tuple[str, ...]:
    """In at most two lines, parted behind a sign; what is left over is cut from its middle."""
    if text_width(words, SMALL, bold=bold) <= width:
        return (words,)
    first = ""
    for part in _PARTS.findall(words):
        if not part or text_width(first + part, SMALL, bold=bold) > width:
            break
        first += part
    if not first:
        return (shortened(words, width, SMALL, bold=bold),)
    return first, shortened(words[len(first) :], width, SMALL, bold=bold)


def _height(name: Sequence[str], repo: Sequence[str], *, own: bool) -> float:
    return (len(name) + len(repo) + own) * LINE * SMALL + 2 * _PAD


def _words(family: Family, name: str, box: Box) -> Words | None:
    lines = _lines_over(family, name, box.right - box.left)
    if not lines:
        return None
    half = max(text_width(line, SMALL) for line in lines) / 2
    middle, bottom = (box.left + box.right) / 2, box.top - ARROW
    top = bottom - len(lines) * LINE * SMALL
    return Words(lines, Box(middle - half, top, middle + half, bottom))


def _lines_over(family: Family, name: str, width: float) -> tuple[str, ...]:
    """How ``name`` was made; where in several ways, each with its parent."""
    edges = [edge for edge in family.made() if edge.newer == name]
    relations = list(dict.fromkeys(relation_words(edge) for edge in edges))
    if len(relations) > 1:
        relations = [f"{relation_words(edge)} ({one_line(edge.older)})" for edge in edges]
    return tuple(shortened(words, width, SMALL) for words in relations)


def _gap(family: Family, row_of: Mapping[str, int], row: int, top: float) -> tuple[Gap, float]:
    """The level lines under ``row``: one a parent, and one a pair of versions."""
    keys = {
        track_key(edge.older, edge.newer, edge.relation): edge.relation == "supersedes"
        for edge in family.edges
        if row in _turns(row_of[edge.older], row_of[edge.newer])
    }
    y, tracks = top + _GAP, {}
    for key, worded in sorted(keys.items(), key=lambda pair: not pair[1]):
        height = WORDED_TRACK if worded else TRACK
        tracks[key] = y + height / 2
        y += height
    return Gap(top, tracks), y if tracks else top


def _turns(older: int, newer: int) -> set[int]:
    """The rows under which a line between these two may run level."""
    upper, lower = sorted((older, newer))
    return {upper} if upper == lower else {upper, lower - 1}


def track_key(older: str, newer: str, relation: str) -> str:
    """Lines from one parent share theirs; that between two versions is its own."""
    return f"supersedes {older}\n{newer}" if relation == "supersedes" else older
