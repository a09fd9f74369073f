"""Draw a family: boxes from the ancestors down, with how each was made over it."""

from __future__ import annotations

import itertools
import math

from matplotlib.colors import to_rgba
from matplotlib.patches import FancyBboxPatch, Polygon

from mbrelease.cards.escape import one_line
from mbrelease.cards.pictures.lineage import SUPERSEDES, Family, family_words, relation_words
from mbrelease.cards.pictures.lineage_layout import THIS, Placed, lay_out
from mbrelease.cards.pictures.lineage_routes import Route, routes
from mbrelease.pictures.colours import BLUE, INK, MUTED, PAPER, Colour
from mbrelease.pictures.labels import Box, Pixel
from mbrelease.pictures.render import Picture
from mbrelease.pictures.sheet import (
    ASCENT,
    LINE,
    MARGIN,
    SMALL,
    Sheet,
    head_height,
    note_height,
    shortened,
)

_TITLE = "Lineage"
_HEAD = 8.0  # of an arrow
_HIDDEN = 0.01  # of a fill that only feels the pointer
_LONGEST_NAME = 400.0


def draw_lineage(family: Family) -> Picture:
    """The picture of ``family``."""
    below = f"of {shortened(one_line(family.own), _LONGEST_NAME, SMALL)}"
    note = f"{family.left_out} more not drawn." if family.left_out else ""
    layout = lay_out(family, head_height(_TITLE, below))
    sheet = Sheet(layout.bottom + (12 + note_height(note) if note else 0) + MARGIN)
    sheet.head(_TITLE, below)
    for route in routes(family, layout):
        _draw_route(sheet, route)
    for i, placed in enumerate(layout.placed.values()):
        _draw_words(sheet, placed)
        _draw_box(sheet, placed, f"node-{i}", own=placed.node.name == family.own)
    sheet.note(layout.bottom + 12, note)
    hovers = {
        f"node-{i}": _hover(family, placed) for i, placed in enumerate(layout.placed.values())
    }
    return Picture(sheet.figure, _TITLE, family_words(family).plain, hovers)


def _hover(family: Family, placed: Placed) -> str:
    node = placed.node
    parts = [node.name, *([node.repo] if node.repo else [])]
    for edge in family.edges:
        if edge.newer == node.name:
            parts.append(f"{relation_words(edge)} {_of(edge.relation)}{edge.older}")
    return one_line("; ".join(parts))


def _of(relation: str) -> str:
    return "" if relation == SUPERSEDES else "of "


def _draw_box(sheet: Sheet, placed: Placed, gid: str, *, own: bool) -> None:
    box, colour = placed.box, BLUE if own else MUTED
    sheet.paper.add_patch(
        FancyBboxPatch(
            (box.left, box.top),
            box.right - box.left,
            box.bottom - box.top,
            boxstyle="round,pad=0,rounding_size=7",
            facecolor=to_rgba(PAPER.light, _HIDDEN),
            edgecolor=colour.light,
            linewidth=2.5 if own else 1.2,
            gid=gid,
        )
    )
    lines = [(line, own, INK) for line in placed.name]
    lines += [(line, False, MUTED) for line in placed.repo]
    lines += [(THIS, True, BLUE)] if own else []
    top = (box.top + box.bottom - len(lines) * LINE * SMALL) / 2
    middle = (box.left + box.right) / 2
    for i, (line, bold, ink) in enumerate(lines):
        _write(sheet, (middle, top + i * LINE * SMALL), line, bold=bold, colour=ink)


def _draw_words(sheet: Sheet, placed: Placed) -> None:
    """How it was made, and the arrow from there to the box."""
    words = placed.words
    if words is None:
        return
    middle = (words.box.left + words.box.right) / 2
    for i, line in enumerate(words.lines):
        _write(sheet, (middle, words.box.top + i * LINE * SMALL), line, colour=MUTED)
    _draw_arrow(sheet, (middle, words.box.bottom), (middle, placed.box.top))


def _write(
    sheet: Sheet, top: Pixel, words: str, *, bold: bool = False, colour: Colour = INK
) -> None:
    base = top[1] + ((LINE - 1) / 2 + ASCENT) * SMALL
    sheet.text((top[0], base), words, bold=bold, colour=colour, align="center")


def _draw_route(sheet: Sheet, route: Route) -> None:
    label = route.label
    if label is None:
        _draw_path(sheet, list(route.points))
        return
    _draw_path(sheet, _with_gap(route.points, label), dashed=True)
    _draw_arrow(sheet, route.points[-2], route.points[-1], shaft=False)
    _write(sheet, ((label.left + label.right) / 2, label.top), SUPERSEDES, colour=MUTED)


def _with_gap(points: tuple[Pixel, ...], label: Box) -> list[Pixel]:
    """Without what of a level line is under its word."""
    path = [points[0]]
    for start, end in itertools.pairwise(points):
        left, right = sorted((start[0], end[0]))
        if start[1] == end[1] and left < label.left and label.right < right:
            ends = [label.left - 4, label.right + 4]
            near, far = ends if start[0] < end[0] else ends[::-1]
            path += [(near, start[1]), (math.nan, math.nan), (far, start[1])]
        path.append(end)
    return path


def _draw_path(sheet: Sheet, path: list[Pixel], *, dashed: bool = False) -> None:
    style = (0, (4, 3)) if dashed else "-"
    x, y = zip(*path, strict=True)
    sheet.paper.plot(x, y, color=MUTED.light, linewidth=1.5, linestyle=style, zorder=0.5)


def _draw_arrow(sheet: Sheet, start: Pixel, end: Pixel, *, shaft: bool = True) -> None:
    """Upright, up or down."""
    back = end[1] + (_HEAD if start[1] > end[1] else -_HEAD)
    if shaft:
        _draw_path(sheet, [start, (end[0], back)])
    half = _HEAD / 2
    corners = [end, (end[0] - half, back), (end[0] + half, back)]
    sheet.paper.add_patch(Polygon(corners, closed=True, facecolor=MUTED.light, linewidth=0))
