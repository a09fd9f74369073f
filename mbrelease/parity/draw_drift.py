"""How far each part moved from the parent: relative norm above, cosine below, layer by layer."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from mbrelease.parity.checks.drift import exploded, exploded_bound
from mbrelease.parity.drift import Drift, Kind, Part
from mbrelease.parity.drift_columns import Columns, columns_of
from mbrelease.parity.plot_drift import alt_text, note_words
from mbrelease.pictures.colours import BLUE, GREEN, INK, MUTED, PAPER, VERMILION, Colour
from mbrelease.pictures.labels import Box, around_mark
from mbrelease.pictures.marks import Mark, draw_key, draw_mark, key_height
from mbrelease.pictures.render import Picture
from mbrelease.pictures.sheet import (
    LINE,
    MARGIN,
    SMALL,
    WIDTH,
    Panel,
    Range,
    Sheet,
    head_height,
    note_height,
    shortened,
    text_width,
    tick_words,
    ticks_within,
)

_TITLE = "How far each part moved from its parent"
_NORM, _COSINE = "relative norm of the change: ‖θ − θ₀‖ / ‖θ₀‖", "cosine between θ and θ₀"
_STRIP = 26.0  # above a panel, for the words on what it shows
_GAP = 16.0
_HEIGHT, _HEIGHT_BELOW = 280.0, 150.0
_UNDER = 56.0  # for the numbers of the layers
_LONGEST = 260.0
_APART = 14.0  # between two names
_RADII = (14.0, 22.0, 32.0, 46.0, 64.0)
_NAMED = 4  # at most so many of a kind are named in the picture; the note names more

_MARKS: Mapping[Kind, Mark] = {
    "attention": Mark("o", 8, BLUE, BLUE, "attention"),
    "mlp": Mark("s", 7.5, GREEN, GREEN, "MLP"),
    "norms": Mark("^", 7.5, MUTED, MUTED, "norms"),
    "embeddings": Mark("D", 8, INK, INK, "embeddings and head"),
    "head": Mark("D", 8, INK, INK, "embeddings and head"),
}
_STILL = Mark("x", 9, VERMILION, VERMILION, "did not move", 2.5)
_RING = Mark("o", 18, PAPER, VERMILION, "exploded", 2.0)

Heights = Mapping[Part, float | None]


def draw_drift(drift: Drift, child: str, parent: str) -> Picture:
    """The picture of ``drift``, by the names of both."""
    width = WIDTH - 2 * MARGIN
    below = shortened(f"{child} against {parent}", width, 16)
    note = note_words(drift)
    norms, cosines = _norm_limits(drift), _cosine_limits(drift)
    norm_ticks, cosine_ticks = _log_ticks(norms), ticks_within(cosines, 4)
    numbers = [_number(tick) for tick in norm_ticks]
    widest = max(text_width(number, SMALL) for number in [*numbers, *tick_words(cosine_ticks)])
    upper, lower = _boxes(MARGIN + widest + 8, head_height(_TITLE, below) + _STRIP)
    levels = _levels(drift, norms)
    marks, key_top = [*_key(drift), *levels], lower.bottom + _UNDER + _GAP
    note_top = key_top + key_height(marks, WIDTH - MARGIN) + 6
    sheet = Sheet(note_top + note_height(note) + MARGIN)
    sheet.head(_TITLE, below)
    columns = columns_of(drift, upper.right - upper.left)

    panel = _panel(sheet, upper, norms, _NORM)
    sheet.level_ticks(panel, [math.log10(tick) for tick in norm_ticks], numbers=numbers)
    heights = {part: _norm_height(part, norms[0]) for part in drift.parts}
    _draw_parts(panel, drift, columns, heights, "norm")
    _draw_levels(panel, levels)
    _draw_names(sheet, panel, drift, columns, heights)

    panel = _panel(sheet, lower, cosines, _COSINE)
    sheet.level_ticks(panel, cosine_ticks)
    _draw_parts(panel, drift, columns, {part: part.change.cosine for part in drift.parts}, "cosine")
    ticks = columns.ticks()
    sheet.upright_ticks(panel, list(ticks.values()), "layer", numbers=list(ticks))
    draw_key(sheet, key_top, WIDTH - MARGIN, marks)
    sheet.note(note_top, note)
    return Picture(sheet.figure, _TITLE, alt_text(drift, child, parent), _hovers(drift))


def _boxes(left: float, top: float) -> tuple[Box, Box]:
    right, middle = float(WIDTH - MARGIN), top + _HEIGHT
    below = middle + _GAP + _STRIP
    return Box(left, top, right, middle), Box(left, below, right, below + _HEIGHT_BELOW)


def _panel(sheet: Sheet, box: Box, limits: Range, words: str) -> Panel:
    sheet.text((MARGIN, box.top - 9), words, colour=MUTED)
    return sheet.panel(box, (0, box.right - box.left), limits)


def _key(drift: Drift) -> list[Mark]:
    marks = [_MARKS[part.kind] for part in drift.parts if not part.change.identical]
    marks += [_RING] if exploded(drift) else []
    marks += [_STILL] if any(part.change.identical for part in drift.parts) else []
    return list(dict.fromkeys(marks))


def _norm_limits(drift: Drift) -> Range:
    """Of the logarithms; what did not move stands at the lower one."""
    moved = [part.change.relative for part in drift.parts if part.change.relative]
    low, high = math.log10(min(moved, default=0.1)), math.log10(max(moved, default=1.0))
    pad = max(0.1 * (high - low), 0.2)
    return low - pad, high + pad


def _log_ticks(limits: Range) -> list[float]:
    """Powers of ten, and 2 and 5 times them where there is room."""
    powers = range(math.floor(limits[0]), math.ceil(limits[1]) + 1)
    for factors, every in (((1, 2, 5), 1), ((1,), 1), ((1,), 2), ((1,), 4)):
        ticks = [factor * 10.0**power for power in powers[::every] for factor in factors]
        ticks = [tick for tick in ticks if limits[0] <= math.log10(tick) <= limits[1]]
        if len(ticks) <= 7:
            return ticks
    return ticks


def _number(tick: float) -> str:
    return tick_words([tick])[0]


def _norm_height(part: Part, bottom: float) -> float | None:
    if part.change.identical:
        return bottom
    return math.log10(part.change.relative) if part.change.relative else None


def _cosine_limits(drift: Drift) -> Range:
    low = min((part.change.cosine for part in drift.parts if part.change.cosine), default=0.0)
    span = max(1 - low, 1e-4)
    return 1 - 1.1 * span, 1 + 0.1 * span


def _draw_parts(panel: Panel, drift: Drift, columns: Columns, heights: Heights, what: str) -> None:
    for kind in ("attention", "mlp", "norms"):
        _draw_line(panel, [part for part in drift.parts if part.kind == kind], columns, heights)
    rings = set(exploded(drift)) if what == "norm" else set()
    for index, part in enumerate(drift.parts):
        height = heights[part]
        if height is None:
            continue
        point = (columns.of(part), height)
        if part in rings:
            draw_mark(panel, point, _RING, f"ring-{index}")
        mark = _STILL if part.change.identical else _MARKS[part.kind]
        draw_mark(panel, point, mark, f"{what}-{index}")


def _draw_line(panel: Panel, parts: Sequence[Part], columns: Columns, heights: Heights) -> None:
    """From layer to layer, broken where one did not move."""
    line = [part for part in parts if part.layer is not None]
    for one, other in itertools.pairwise(line):
        ends = [(columns.of(part), heights[part]) for part in (one, other)]
        if one.change.identical or other.change.identical or None in (ends[0][1], ends[1][1]):
            continue
        x, y = zip(*ends, strict=True)
        colour: Colour = _MARKS[one.kind].face
        panel.axes.plot(x, y, color=colour.light, linewidth=1.5, alpha=0.6)
        panel.room.draw([panel.pixel(a, b) for a, b in ends if b is not None])


def _levels(drift: Drift, limits: Range) -> dict[Mark, float]:
    """The median of the layers, and the bound where it is in the picture: the height of each."""
    bound = exploded_bound(drift)
    levels = {
        Mark("--", 0, MUTED, MUTED, f"median of the layers: {drift.median:.3g}"): drift.median,
        Mark(":", 0, VERMILION, VERMILION, f"exploded: above {bound:.3g}"): bound,
    }
    heights = {mark: math.log10(value) for mark, value in levels.items() if value > 0}
    return {mark: y for mark, y in heights.items() if limits[0] <= y <= limits[1]}


def _draw_levels(panel: Panel, levels: Mapping[Mark, float]) -> None:
    for mark, y in levels.items():
        panel.axes.axhline(y, color=mark.face.light, linestyle=mark.shape, linewidth=2, zorder=2)
        ends = (panel.box.left, panel.box.right)
        panel.room.draw([(x, panel.pixel(0, y)[1]) for x in ends])


def _draw_names(
    sheet: Sheet, panel: Panel, drift: Drift, columns: Columns, heights: Heights
) -> None:
    """What exploded and what stood still is named; otherwise the part that moved farthest."""
    far = exploded(drift)[:_NAMED]
    quiet = [part for part in drift.parts if part.change.identical and part.kind != "norms"]
    names = {part: f"{_short(part)}: {part.change.relative:.3g}" for part in far}
    for _, parts in itertools.groupby(quiet, key=lambda part: (part.layer, part.in_layer)):
        first, *others = parts
        names[first] = f"layer {first.layer}" if others else _short(first)
    if not names and drift.layers:
        most = max(drift.layers, key=lambda part: part.change.relative or 0.0)
        names[most] = f"{_short(most)}: {most.change.relative:.3g}"
    for part, name in list(names.items())[: 2 * _NAMED]:
        height = heights[part]
        if height is None:
            continue
        words = shortened(name, _LONGEST, SMALL, bold=part in far)
        size = (text_width(words, SMALL, bold=part in far) + _APART, LINE * SMALL)
        at = panel.pixel(columns.of(part), height)
        box = panel.room.place(around_mark(at, panel.box, size, _RADII), of=at)
        if box is not None:
            sheet.join(at, box)
            sheet.label(box, words, bold=part in far)


def _short(part: Part) -> str:
    return part.words.removeprefix("the ")


def _hovers(drift: Drift) -> dict[str, str]:
    return {
        f"{what}-{index}": f"{_short(part)}: {_figures(part)}"
        for index, part in enumerate(drift.parts)
        for what in ("norm", "cosine")
    }


def _figures(part: Part) -> str:
    relative, cosine = part.change.relative, part.change.cosine
    if part.change.identical:
        return "did not move"
    if relative is None or cosine is None:
        return "all zeros in the parent"
    return f"relative norm {relative:.3g}, cosine {cosine:.4g}"
