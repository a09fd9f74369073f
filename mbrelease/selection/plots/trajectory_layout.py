"""Where the panels of a metric over training stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mbrelease.pictures.labels import Box
from mbrelease.pictures.marks import Mark, key_height
from mbrelease.pictures.sheet import (
    MARGIN,
    SMALL,
    WIDTH,
    text_width,
    tick_words,
    ticks_within,
)
from mbrelease.selection.decision import Candidate
from mbrelease.selection.plots.trajectory import Trajectory

_STRIP = 26.0  # above a panel, for the words on what it shows
_HEIGHT = 300.0  # of the panel of checkpoints
_HEIGHT_BELOW = 180.0  # of a panel of averages that stands below it
_GAP = 16.0  # between two panels
_SLOT = 20.0  # of one average
_BESIDE = 10  # more averages than this do not leave enough room for the checkpoints
_UNDER_STEPS = 52.0  # for the numbers under a panel and what they count
LONGEST_NAME = 190.0  # of an average, in pixels


@dataclass(frozen=True)
class Layout:
    """Where the panels stand."""

    steps: Box | None
    others: list[Box]
    parts: list[list[Candidate]]
    """Of the other candidates: which ones in which panel."""
    key_top: float
    key_right: float
    bottom: float
    """Of all that, the key included."""


def lay_out(what: Trajectory, head: float, marks: Sequence[Mark]) -> Layout:
    """Averages beside the checkpoints, or below them where they are many."""
    numbers = tick_words(ticks_within(what.limits, 6))
    left = MARGIN + max(text_width(number, SMALL) for number in numbers) + 8
    if what.steps and len(what.others) <= _BESIDE:
        return _beside(what, left, head, marks)
    return _below(what, left, head, marks)


def _beside(what: Trajectory, left: float, head: float, marks: Sequence[Mark]) -> Layout:
    """The averages at the right of the checkpoints, the key under these."""
    right, top = float(WIDTH - MARGIN), head + _STRIP
    bottom = top + _HEIGHT
    key_top = bottom + _UNDER_STEPS + _GAP
    if not what.others:
        end = key_top + key_height(marks, right)
        return Layout(Box(left, top, right, bottom), [], [], key_top, right, end)
    heading = text_width(what.others_words, SMALL)
    start = right - max(_SLOT * (len(what.others) + 1), heading)
    end = start - _GAP
    height = max(key_top + key_height(marks, end), bottom + _names_height(what, what.others))
    others = Box(start, top, right, bottom)
    return Layout(Box(left, top, end, bottom), [others], [what.others], key_top, end, height)


def _below(what: Trajectory, left: float, head: float, marks: Sequence[Mark]) -> Layout:
    """The averages in as many panels of the whole width as they need."""
    right = float(WIDTH - MARGIN)
    n_rows = math.ceil(len(what.others) / (int((right - left) / _SLOT) - 1))
    n = math.ceil(len(what.others) / n_rows)
    parts = [what.others[i : i + n] for i in range(0, len(what.others), n)]
    above, y = None, head
    if what.steps:
        above = Box(left, head + _STRIP, right, head + _STRIP + _HEIGHT)
        y = above.bottom + _UNDER_STEPS + _GAP
    height = _HEIGHT if above is None and n_rows == 1 else _HEIGHT_BELOW
    boxes = []
    for part in parts:
        boxes.append(Box(left, y + _STRIP, right, y + _STRIP + height))
        y += _STRIP + height + _names_height(what, part) + _GAP
    return Layout(above, boxes, parts, y, right, y + key_height(marks, right))


def _names_height(what: Trajectory, candidates: Sequence[Candidate]) -> float:
    widths = [text_width(what.name(one), SMALL, bold=True) for one in candidates]
    return min(LONGEST_NAME, max(widths)) + 10
