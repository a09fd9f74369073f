"""The line of a text that a mistake is in, with a caret under the place."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

WIDTH = 80
"""Columns of a terminal that an excerpt keeps to."""

# What YAML takes for the end of a line.
LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")

_GUTTER = "  | "
ROOM = WIDTH - len(_GUTTER)
_FAR = 4 * WIDTH  # nothing farther from the place is shown, whatever it is made of
_CUT = ("…", 1)
_TAB = "    "


def excerpt(lines: Sequence[str], line: int, column: int) -> list[str]:
    """Two lines: the one of the source, cut to the place where it is long, and one with a caret.

    Nothing where there is no such line. Tabs become four blanks, wide letters count as two, and
    what a terminal would obey or not show becomes a dot.

    Args:
        lines: of the text in which the mistake is.
        line: from 1.
        column: from 1, in characters.
    """
    if not 1 <= line <= len(lines) or not 1 <= column <= len(lines[line - 1]) + 1:
        return []
    source, place = lines[line - 1], column - 1
    before = _Cells.of(source[max(0, place - _FAR) : place])
    after = _Cells.of(source[place : place + _FAR])
    if before.width + after.width > ROOM:
        # A third of the room for what comes before, unless the rest leaves more.
        before = before.last(max(ROOM // 3, ROOM - after.width))
        after = after.first(ROOM - before.width)
    shown = f"{_GUTTER}{before}{after}".rstrip()
    return [shown, f"{_GUTTER}{' ' * before.width}^"]


def printable(text: str) -> str:
    """``text`` with what a terminal would obey written as escapes, such as ``\\x1b``."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )


@dataclass(frozen=True)
class _Cells:
    """Characters as they are shown, each with the columns that it takes."""

    cells: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, text: str) -> _Cells:
        return cls(tuple(map(_cell, text)))

    @property
    def width(self) -> int:
        return sum(width for _, width in self.cells)

    def __str__(self) -> str:
        return "".join(shown for shown, _ in self.cells)

    def first(self, room: int) -> _Cells:
        """As many from the left as fit, with a sign that there were more."""
        return self if self.width <= room else _Cells((*self._fitting(room - 1), _CUT))

    def last(self, room: int) -> _Cells:
        """As many from the right as fit, with a sign that there were more."""
        if self.width <= room:
            return self
        turned = _Cells(self.cells[::-1])._fitting(room - 1)
        return _Cells((_CUT, *reversed(turned)))

    def _fitting(self, room: int) -> tuple[tuple[str, int], ...]:
        used = accumulate(width for _, width in self.cells)
        return tuple(cell for cell, so_far in zip(self.cells, used, strict=True) if so_far <= room)


def _cell(character: str) -> tuple[str, int]:
    if character == "\t":
        return _TAB, len(_TAB)
    if not character.isprintable():
        return "·", 1
    if unicodedata.category(character) in ("Mn", "Me"):
        return character, 0
    return character, 2 if unicodedata.east_asian_width(character) in "WF" else 1
