"""How points and lines look, and the key that says it in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mbrelease.pictures.colours import Colour
from mbrelease.pictures.labels import Box
from mbrelease.pictures.sheet import (
    ASCENT,
    LINE,
    MARGIN,
    SMALL,
    Panel,
    Sheet,
    shortened,
    text_width,
)

Point = tuple[float, float]

_GAP = 22.0  # between two entries of the key
_LINES = {"stair": ("-", 1.5), "--": ((0, (3, 2)), 2.0), ":": (":", 2.0)}  # style and width
_SYMBOL = 26.0  # from the start of a symbol to that of its words


@dataclass(frozen=True)
class Mark:
    """A shape, and what it stands for."""

    shape: str
    """As matplotlib names it; ``band`` a filled stretch; ``stair``, ``--`` and ``:`` are lines."""
    size: float
    face: Colour
    edge: Colour
    words: str
    rim: float = 1.0


def draw_mark(
    panel: Panel, point: Point, mark: Mark, gid: str, *, scale: float = 1.0, clear: float = 0.0
) -> None:
    """Draw ``mark`` at a point of the data; labels stay ``clear`` of it by that many pixels."""
    (line,) = panel.axes.plot([point[0]], [point[1]], clip_on=False, gid=gid, **_looks(mark))
    size = mark.size * scale
    line.set(markersize=size, zorder=6 if mark.shape == "*" else 5)
    panel.room.mark(panel.pixel(*point), size / 2 + clear)


def _looks(mark: Mark) -> dict[str, Any]:
    return {
        "marker": mark.shape,
        "markerfacecolor": mark.face.light,
        "markeredgecolor": mark.edge.light,
        "markeredgewidth": mark.rim,
        "linestyle": "none",
    }


def key_height(marks: Sequence[Mark], right: float) -> float:
    """What ``draw_key`` will take."""
    return len(_rows(marks, right)) * LINE * SMALL


def draw_key(sheet: Sheet, top: float, right: float, marks: Sequence[Mark]) -> None:
    """Say what each mark stands for, from the left margin to ``right``."""
    y = top
    for row in _rows(marks, right):
        x = float(MARGIN)
        for mark, words in row:
            middle = y + LINE * SMALL / 2
            _draw_symbol(sheet, Box(x, middle - 7, x + 18, middle + 7), mark)
            baseline = y + (LINE - 1) / 2 * SMALL + ASCENT * SMALL
            sheet.text((x + _SYMBOL, baseline), words)
            x += _entry_width(words)
        y += LINE * SMALL


def _rows(marks: Sequence[Mark], right: float) -> list[list[tuple[Mark, str]]]:
    """The entries in rows that end before ``right``."""
    rows: list[list[tuple[Mark, str]]] = []
    end = right
    for mark in marks:
        words = shortened(mark.words, right - MARGIN - _SYMBOL, SMALL)
        width = _entry_width(words)
        if not rows or end + width - _GAP > right:
            rows.append([])
            end = float(MARGIN)
        rows[-1].append((mark, words))
        end += width
    return rows


def _entry_width(words: str) -> float:
    return _SYMBOL + text_width(words, SMALL) + _GAP


def _draw_symbol(sheet: Sheet, box: Box, mark: Mark) -> None:
    if mark.shape == "band":
        sheet.paper.fill_between(
            [box.left, box.right], box.top, box.bottom, color=mark.face.light, alpha=0.2, lw=0
        )
        return
    if mark.shape in _LINES:
        style, width = _LINES[mark.shape]
        sheet.paper.plot(
            [box.left, box.right],
            [(box.top + box.bottom) / 2] * 2,
            color=mark.face.light,
            linestyle=style,
            linewidth=width,
        )
        return
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    sheet.paper.plot([x], [y], markersize=min(mark.size, 15), **_looks(mark))
