"""Columns of text that keep to a width: wide ones are broken, and too narrow they are stacked."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

GAP = 2
MARGIN = 2
STACKED_BELOW = 60
"""Columns of the terminal."""
_MOST_OF_LABEL = 0.4


def columns_text(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """A table of ``rows`` below ``head``, as lines of at most ``width`` columns.

    Long words such as URLs are broken; nothing is cut off.
    """
    if width < STACKED_BELOW:
        return stacked_text(head, rows, width)
    widths = _widths([head, *rows], width - MARGIN)
    lines: list[str] = []
    for row in [head, *rows]:
        lines += _row(row, widths)
    return lines


def stacked_text(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Each row as its first cell and, below that, the others with the names of their columns."""
    return [line for row in rows for line in _stacked(head, row, width)]


def _widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """As wide as the cells need; where that is too much, the widest give way to the others."""
    needed = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = width - GAP * (len(needed) - 1)
    needed[0] = min(needed[0], max(int(_MOST_OF_LABEL * room), room - sum(needed[1:])))
    rest, left = room - needed[0], list(range(1, len(needed)))
    widths = needed.copy()
    for index in sorted(left, key=lambda i: needed[i]):
        widths[index] = min(needed[index], rest // len(left))
        rest -= widths[index]
        left.remove(index)
    return widths


def _row(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    cells = [textwrap.wrap(cell, max(width, 1)) for cell, width in zip(row, widths, strict=True)]
    for index in range(max(map(len, cells))):
        line = (" " * GAP).join(
            (cell[index] if index < len(cell) else "").ljust(width)
            for cell, width in zip(cells, widths, strict=True)
        )
        yield (" " * MARGIN + line).rstrip()


def _stacked(head: Sequence[str], row: Sequence[str], width: int) -> Iterator[str]:
    """The first cell, and each other on a line of its own with the name of its column."""
    yield from _wrapped(row[0], width, MARGIN)
    for name, cell in zip(head[1:], row[1:], strict=True):
        if cell:
            yield from _wrapped(f"{name}: {cell}", width, 2 * MARGIN)


def _wrapped(text: str, width: int, margin: int) -> list[str]:
    first, rest = " " * margin, " " * (margin + MARGIN)
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest)
