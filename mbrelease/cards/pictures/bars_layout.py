"""Where the panels of the bars stand: in one column, or in two that share the models' names."""

from __future__ import annotations

from dataclasses import dataclass

from mbrelease.cards.escape import one_line
from mbrelease.cards.pictures.bars import Bars, Group
from mbrelease.pictures.labels import Box
from mbrelease.pictures.sheet import (
    LINE,
    MARGIN,
    SMALL,
    WIDTH,
    Range,
    shortened,
    text_width,
    tick_words,
    ticks_within,
    wrapped,
)

PITCH = 22.0  # from one bar to the next
TICKS = 24.0  # under a panel whose scale is cut
_TALLEST = 620.0  # more than this in one column goes into two
_LONGEST_NAME = {1: 290.0, 2: 192.0}
_APART = 18.0  # between two columns
_GAP = 14.0  # between two rows of panels
_BEFORE_VALUES = 10.0
_OF_ZERO = 0.1  # to each side of losses that are all zero
_PAD, _FLAT = 0.12, 0.02  # of the range, and of the value where nothing varies


@dataclass(frozen=True)
class Place:
    """Where one metric stands."""

    group: Group
    heading: tuple[str, ...]
    """In lines, with an arrow to the better side."""
    heading_top: float
    box: Box
    """Of the bars, without the values at their right."""
    values_right: float
    limits: Range
    ticks: tuple[float, ...]
    """Of a scale that is cut; bars have none."""

    @property
    def cut(self) -> bool:
        """Whether its scale need not begin at zero."""
        return self.group.better == "lower"


@dataclass(frozen=True)
class Layout:
    """Where everything stands."""

    places: tuple[Place, ...]
    name_tops: tuple[float, ...]
    """The top of each row of panels, where the models' names begin."""
    names_width: float
    bottom: float


def lay_out(bars: Bars, top: float) -> Layout:
    """The panels of ``bars`` from ``top`` on."""
    n = _columns(bars)
    names_width = min(_LONGEST_NAME[n], max(_names(bars, _LONGEST_NAME[n]).values()))
    left = MARGIN + names_width + _BEFORE_VALUES
    width = (WIDTH - MARGIN - left - (n - 1) * _APART) / n
    places: list[Place] = []
    tops: list[float] = []
    y = top
    for start in range(0, len(bars.groups), n):
        row = bars.groups[start : start + n]
        headings = [_heading(group, width) for group in row]
        bars_top = y + max(map(len, headings)) * LINE * SMALL + 2
        bottom = bars_top + PITCH * len(bars.models)
        tops.append(bars_top)
        for i, (group, heading) in enumerate(zip(row, headings, strict=True)):
            first = left + i * (width + _APART)
            values = max(text_width(text, SMALL, bold=True) for text in group.texts)
            box = Box(first, bars_top, first + width - values - _BEFORE_VALUES, bottom)
            limits = _limits(group)
            ticks = _ticks(limits, box) if group.better == "lower" else ()
            heading_top = bars_top - 2 - len(heading) * LINE * SMALL
            places.append(Place(group, heading, heading_top, box, first + width, limits, ticks))
        y = bottom + (TICKS if any(group.better == "lower" for group in row) else 0) + _GAP
    return Layout(tuple(places), tuple(tops), names_width, y - _GAP)


def _columns(bars: Bars) -> int:
    """One where that is not too tall, or where names shortened for two would be the same."""
    height = len(bars.groups) * (LINE * SMALL + PITCH * len(bars.models) + _GAP)
    in_two = _names(bars, _LONGEST_NAME[2])
    return 1 if height <= _TALLEST or len(in_two) < len(set(bars.models)) else 2


def _names(bars: Bars, longest: float) -> dict[str, float]:
    """The names as they are shown, and how wide that is."""
    found = {}
    for i, name in enumerate(bars.models):
        own = i == bars.own
        words = shortened(one_line(name), longest, SMALL, bold=own)
        found[words] = text_width(words, SMALL, bold=own)
    return found


def _heading(group: Group, width: float) -> tuple[str, ...]:
    """At most two lines, with an arrow to the better side."""
    arrow = " ↑" if group.better == "higher" else " ↓"
    room = width - text_width(arrow, SMALL, bold=True)
    first, *others = wrapped(one_line(group.label), room, SMALL, bold=True) or [""]
    if not others:
        return (first + arrow,)
    return first, shortened(" ".join(others), room, SMALL, bold=True) + arrow


def _limits(group: Group) -> Range:
    values = [value for value in group.values if value is not None]
    ends = [bound for interval in group.intervals if interval for bound in interval]
    low, high = min([*values, *ends]), max([*values, *ends])
    if group.better == "higher":
        low, high = min(0.0, low), max(0.0, high)
        return (low, high) if high > low else (0.0, 1.0)
    pad = max(_PAD * (high - low), _FLAT * abs(high)) or _OF_ZERO
    return low - pad, high + pad


def _ticks(limits: Range, box: Box) -> tuple[float, ...]:
    """As many round numbers as stand apart."""
    for most in (5, 4, 3, 2, 1):
        ticks = ticks_within(limits, most)
        widest = max((text_width(words, SMALL) for words in tick_words(ticks)), default=0.0)
        if len(ticks) <= 1 or (box.right - box.left) / (limits[1] - limits[0]) * (
            ticks[1] - ticks[0]
        ) >= (widest + 12):
            break
    return tuple(ticks)
