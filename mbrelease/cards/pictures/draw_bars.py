"""Draw bars from zero, or points on a cut scale, with whiskers and printed values."""

from __future__ import annotations

import math

from mbrelease.cards.escape import one_line
from mbrelease.cards.pictures.bars import Bars, bars_words, readable
from mbrelease.cards.pictures.bars_layout import PITCH, Layout, Place, lay_out
from mbrelease.pictures.colours import BLUE, INK, MUTED, PAPER, RULE
from mbrelease.pictures.render import Picture
from mbrelease.pictures.sheet import (
    ASCENT,
    LINE,
    MARGIN,
    SMALL,
    WIDTH,
    Panel,
    Sheet,
    head_height,
    note_height,
    shortened,
    text_width,
    tick_words,
)

_THICK = 13.0  # of a bar, in pixels
_CAP = 4.0  # of a whisker, to each side
_BEFORE_NOTE = 14.0
_NONE = "–"


def draw_bars(bars: Bars) -> Picture:
    """The picture of ``bars``, of which at least one metric was measured of this model."""
    part = readable(bars)
    title, below = one_line(part.title), one_line(part.subtitle)
    note = _note(bars, part)
    layout = lay_out(part, head_height(title, below))
    sheet = Sheet(layout.bottom + _BEFORE_NOTE + note_height(note) + MARGIN)
    sheet.head(title, below)
    hovers: dict[str, str] = {}
    _draw_names(sheet, part, layout)
    for index, place in enumerate(layout.places):
        _draw_place(sheet, part, place, index)
        hovers |= _hovers(part, place, index)
    sheet.note(layout.bottom + _BEFORE_NOTE, note)
    return Picture(sheet.figure, title, bars_words(bars).plain, hovers)


def _note(bars: Bars, part: Bars) -> str:
    kinds = {group.better for group in part.groups}
    said = [
        words
        for kind, words in (
            ("higher", "bars begin at zero, and higher is better (↑)"),
            ("lower", "points stand on a scale that does not begin at zero, lower is better (↓)"),
        )
        if kind in kinds
    ]
    scales = ["each panel has a scale of its own"] if len(part.groups) > 1 else []
    words = [f"{'; '.join([*scales, *said]).capitalize()}."]
    if part.has_intervals:
        words.append("Thin lines: 95% intervals.")
    models = len(bars.models) - len(part.models)
    groups = len(bars.measured) - len(part.groups)
    for n, noun in ((models, "model"), (groups, "metric")):
        if n:
            words.append(f"{n} more {noun}{'' if n == 1 else 's'} not drawn.")
    return " ".join(words)


def _draw_names(sheet: Sheet, bars: Bars, layout: Layout) -> None:
    for top in layout.name_tops:
        for i, name in enumerate(bars.models):
            own = i == bars.own
            words = shortened(one_line(name), layout.names_width, SMALL, bold=own)
            sheet.text((MARGIN + layout.names_width, _base(top, i)), words, bold=own, align="right")


def _base(top: float, i: int) -> float:
    """The base line of the words of the bar ``i``."""
    return top + (i + 0.5) * PITCH + 0.36 * SMALL


def _draw_place(sheet: Sheet, bars: Bars, place: Place, index: int) -> None:
    for i, line in enumerate(place.heading):
        y = place.heading_top + (i * LINE + (LINE - 1) / 2 + ASCENT) * SMALL
        sheet.text((place.box.left, y), line, bold=True)
    panel = sheet.panel(place.box, place.limits, (len(bars.models), 0))
    panel.axes.spines["bottom"].set_visible(False)
    if place.cut:
        _draw_ticks(sheet, panel, place)
    else:
        panel.axes.axvline(0, color=MUTED.light, linewidth=2, clip_on=False, zorder=4)
    for i, value in enumerate(place.group.values):
        text = _NONE if value is None else one_line(place.group.texts[i])
        own = i == bars.own
        right = (place.values_right, _base(place.box.top, i))
        sheet.text(right, text, bold=own, colour=MUTED if value is None else INK, align="right")
        if value is None:
            continue
        draw = _draw_point if place.cut else _draw_bar
        draw(panel, bars, i, value, f"value-{index}-{i}")
        interval = place.group.intervals[i]
        if interval is not None:
            _draw_whisker(panel, i + 0.5, interval)


def _draw_bar(panel: Panel, bars: Bars, i: int, value: float, gid: str) -> None:
    colour = BLUE if i == bars.own else MUTED
    solid = i in (bars.own, bars.reference)
    (bar,) = panel.axes.barh(i + 0.5, value, _THICK / PITCH, color=colour.light)
    bar.set(gid=gid, alpha=None if solid else 0.6, linewidth=0, zorder=3)


def _draw_point(panel: Panel, bars: Bars, i: int, value: float, gid: str) -> None:
    colour = BLUE if i == bars.own else MUTED
    solid = i in (bars.own, bars.reference)
    panel.axes.plot(
        [value],
        [i + 0.5],
        marker="o",
        markersize=11,
        markerfacecolor=colour.light if solid else PAPER.light,
        markeredgecolor=colour.light,
        markeredgewidth=2,
        linestyle="none",
        gid=gid,
        zorder=6,
    )


def _draw_whisker(panel: Panel, y: float, interval: tuple[float, float]) -> None:
    """With a rim in the colour of the page, so that it is seen on its bar too."""
    cap = _CAP / PITCH
    low, high = interval
    gap = math.nan  # where the pen is lifted
    x = [low, high, gap, low, low, gap, high, high]
    path = [y, y, gap, y - cap, y + cap, gap, y - cap, y + cap]
    for colour, width in ((PAPER, 3.6), (INK, 1.6)):
        panel.axes.plot(x, path, color=colour.light, linewidth=width, zorder=5, clip_on=False)


def _draw_ticks(sheet: Sheet, panel: Panel, place: Place) -> None:
    for tick, words in zip(place.ticks, tick_words(place.ticks), strict=True):
        panel.axes.axvline(tick, color=RULE.light, linewidth=1, zorder=1)
        half = text_width(words, SMALL) / 2
        at = min(max(panel.pixel(tick, 0)[0], half + 2), WIDTH - half - 2)
        y = place.box.bottom + 4 + ASCENT * SMALL
        sheet.text((at, y), words, colour=MUTED, align="center")


def _hovers(bars: Bars, place: Place, index: int) -> dict[str, str]:
    found = {}
    for i, (name, value) in enumerate(zip(bars.models, place.group.values, strict=True)):
        if value is not None:
            words = f"{name}: {place.group.label} {place.group.texts[i]}"
            interval = place.group.intervals[i]
            if interval is not None:
                words += f" (95% interval {interval[0]:.4g} to {interval[1]:.4g})"
            found[f"value-{index}-{i}"] = one_line(words)
    return found
