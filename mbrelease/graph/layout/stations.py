"""Lines that pass through columns: each has a station there, so that no node is in its way.

Lines of one kind from one node run together as long as they can, as a trunk; so a base with a
child in every column has one line along them all and not one for each child.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_STATIONS_A_NODE = 20
"""A picture with more is drawn without those of its longest lines: they would be most of it."""


@dataclass(frozen=True)
class Line:
    """A line between two nodes, of a kind."""

    older: int
    newer: int
    kind: str


@dataclass(frozen=True)
class Segment:
    """A piece of a line, from an item to one farther right.

    Items are nodes and, from ``Web.nodes`` on, stations.
    """

    left: int
    right: int
    kind: str
    backward: bool
    """Whether the newer end is the left one."""
    before: int
    """The segment that leads to ``left``, by its position; -1 where ``left`` is a node."""


@dataclass(frozen=True)
class Web:
    """All lines, cut into segments."""

    nodes: int
    """How many."""
    column: tuple[int, ...]
    """Of each item."""
    segments: tuple[Segment, ...]
    ends: Mapping[Line, int]
    """The last segment of each line, by its position; the others are found by ``before``."""
    beside: tuple[Line, ...]
    """Lines between two nodes of one column."""


def weave(column: Sequence[int], lines: Sequence[Line]) -> Web:
    """Cut ``lines`` into segments between neighbouring columns.

    Args:
        column: of each node.
        lines: between them; each once.
    """
    beside = tuple(line for line in lines if column[line.older] == column[line.newer])
    trunks: dict[tuple[int, str, bool], list[Line]] = {}
    for line in lines:
        if column[line.older] != column[line.newer]:
            backward = column[line.older] > column[line.newer]
            left = line.newer if backward else line.older
            trunks.setdefault((left, line.kind, backward), []).append(line)
    made = _Weaving(list(column))
    direct = _too_long(column, trunks)
    for key, together in trunks.items():
        made.add(*key, together, direct=key in direct)
    return Web(len(column), tuple(made.column), tuple(made.segments), made.ends, beside)


def _right_end(line: Line, backward: bool) -> int:
    return line.older if backward else line.newer


def _too_long(
    column: Sequence[int], trunks: Mapping[tuple[int, str, bool], Sequence[Line]]
) -> set[tuple[int, str, bool]]:
    """The longest trunks, where there would be too many stations."""
    lengths = {
        key: max(column[_right_end(line, key[2])] for line in together) - column[key[0]] - 1
        for key, together in trunks.items()
    }
    left = _STATIONS_A_NODE * len(column)
    found = set()
    for key in sorted(lengths, key=lambda key: (lengths[key], key)):
        left -= lengths[key]
        if left < 0:
            found.add(key)
    return found


class _Weaving:
    def __init__(self, column: list[int]) -> None:
        self.column = column
        self.segments: list[Segment] = []
        self.ends: dict[Line, int] = {}

    def add(
        self, left: int, kind: str, backward: bool, together: Sequence[Line], *, direct: bool
    ) -> None:
        """The segments of a trunk and of the lines that leave it."""
        at, before, column = left, -1, self.column[left]
        for line in sorted(together, key=lambda line: self.column[_right_end(line, backward)]):
            end = _right_end(line, backward)
            while not direct and column + 1 < self.column[end]:
                column += 1
                self.column.append(column)
                station = len(self.column) - 1
                self.segments.append(Segment(at, station, kind, backward, before))
                at, before = station, len(self.segments) - 1
            self.segments.append(Segment(at, end, kind, backward, before))
            self.ends[line] = len(self.segments) - 1
