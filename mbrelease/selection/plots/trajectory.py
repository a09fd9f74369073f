"""A metric over training: checkpoints by step, averages beside, and what they are held against."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from mbrelease.evaluation.metric_names import shown
from mbrelease.selection.decision import Candidate, Decision
from mbrelease.selection.plots.alt import alt_text
from mbrelease.selection.plots.colours import BLUE, INK, MUTED
from mbrelease.selection.plots.labels import Box, along_level, around_mark
from mbrelease.selection.plots.levels import (
    Level,
    Range,
    far_words,
    is_within,
    levels_of,
    limits_for,
)
from mbrelease.selection.plots.marks import (
    BAND,
    BAR,
    Mark,
    draw_key,
    draw_mark,
    key_height,
    mark_of,
    marks_in,
)
from mbrelease.selection.plots.render import Picture
from mbrelease.selection.plots.sheet import (
    LINE,
    MARGIN,
    SMALL,
    WIDTH,
    Panel,
    Sheet,
    head_height,
    shortened,
    text_width,
    tick_words,
    ticks_within,
)
from mbrelease.selection.plots.words import (
    better_words,
    candidate_words,
    capital,
    hover_words,
    measured,
    metric_words,
)

_STRIP = 26.0  # above a panel, for the words on what it shows
_HEIGHT = 300.0  # of the panel of checkpoints
_HEIGHT_BELOW = 180.0  # of a panel of averages that stands below it
_GAP = 16.0  # between two panels
_SLOT = 20.0  # of one average
_BESIDE = 12  # more averages than this do not leave enough room for the checkpoints
_LONGEST_NAME = 190.0  # of an average, in pixels
_LONGEST_LABEL = 300.0  # of the selected one
_UNDER_STEPS = 52.0  # for the numbers under a panel and what they count


@dataclass(frozen=True)
class Trajectory:
    """What there is to show of one metric."""

    decision: Decision
    metric: str
    steps: list[Candidate]
    """Those with a step, in order."""
    others: list[Candidate]
    """The averages, and what has no step."""
    levels: list[Level]
    limits: Range

    @property
    def everyone(self) -> list[Candidate]:
        """All candidates that are drawn."""
        return [*self.steps, *self.others]

    @property
    def others_words(self) -> str:
        """What the candidates without a step are."""
        are_averages = all(one.kind == "average" for one in self.others)
        return "averages" if are_averages else "candidates"

    def interval(self, candidate: Candidate) -> Range | None:
        """The interval of ``candidate``, if it has one."""
        found = measured(candidate, self.metric)
        return found.ci95 if found else None


def gather(decision: Decision, metric: str) -> Trajectory:
    """What there is to show of ``task/metric``, measured on at least one candidate."""
    shown_here = [one for one in decision.candidates if measured(one, metric)]
    on_curve = [one for one in shown_here if one.kind != "average" and one.step is not None]
    levels = levels_of(decision, metric)
    values = [one.value(metric) for one in shown_here]
    intervals = [one.measurement(metric).ci95 for one in shown_here]
    ends = [bound for interval in intervals if interval for bound in interval]
    return Trajectory(
        decision,
        metric,
        sorted(on_curve, key=lambda one: one.step or 0),
        [one for one in shown_here if one not in on_curve],
        levels,
        limits_for([*values, *ends], levels),
    )


def draw_trajectory(decision: Decision, metric: str) -> Picture:
    """The picture of ``task/metric``, measured on at least one candidate."""
    what = gather(decision, metric)
    title = capital(metric_words(metric))
    below = f"on {decision.split}, {better_words(metric)}{far_words(what.levels, what.limits)}"
    marks = _key(what)
    layout = _lay_out(what, head_height(title, below), marks)
    sheet = Sheet(layout.height)
    sheet.head(title, below)
    ticks = ticks_within(what.limits, 6)
    panels = []
    if layout.steps is not None:
        panels.append(_draw_steps(sheet, layout.steps, what, ticks))
    for box, part in zip(layout.others, layout.parts, strict=True):
        panels.append(_draw_others(sheet, box, what, part, ticks))
    _draw_levels(sheet, panels, what)
    draw_key(sheet, layout.key_top, layout.key_right, marks)
    hovers = {
        f"candidate-{decision.candidates.index(one)}": hover_words(decision, one, [metric])
        for one in what.everyone
    }
    return Picture(sheet.figure, title, alt_text(decision, metric), hovers)


def _key(what: Trajectory) -> list[Mark]:
    marks = marks_in(what.decision, what.everyone)
    if any(what.interval(one) for one in what.steps[1:]):
        return [*marks, BAND]
    return [*marks, BAR] if any(what.interval(one) for one in what.everyone) else marks


@dataclass(frozen=True)
class _Layout:
    """Where the panels stand."""

    steps: Box | None
    others: list[Box]
    parts: list[list[Candidate]]
    """Of the other candidates: which ones in which panel."""
    key_top: float
    key_right: float
    height: float
    """Of the sheet."""


def _lay_out(what: Trajectory, head: float, marks: Sequence[Mark]) -> _Layout:
    numbers = tick_words(ticks_within(what.limits, 6))
    left = MARGIN + max(text_width(number, SMALL) for number in numbers) + 8
    if what.steps and len(what.others) <= _BESIDE:
        return _beside(what, left, head, marks)
    return _below(what, left, head, marks)


def _beside(what: Trajectory, left: float, head: float, marks: Sequence[Mark]) -> _Layout:
    """The averages at the right of the checkpoints, the key under these."""
    right, top = float(WIDTH - MARGIN), head + _STRIP
    bottom = top + _HEIGHT
    key_top = bottom + _UNDER_STEPS + _GAP
    if not what.others:
        height = key_top + key_height(marks, right) + MARGIN
        return _Layout(Box(left, top, right, bottom), [], [], key_top, right, height)
    heading = text_width(what.others_words, SMALL)
    start = right - max(_SLOT * (len(what.others) + 1), heading)
    end = start - _GAP
    height = key_top + key_height(marks, end)
    height = max(height, bottom + _names_height(what, what.others)) + MARGIN
    others = Box(start, top, right, bottom)
    return _Layout(Box(left, top, end, bottom), [others], [what.others], key_top, end, height)


def _below(what: Trajectory, left: float, head: float, marks: Sequence[Mark]) -> _Layout:
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
    return _Layout(above, boxes, parts, y, right, y + key_height(marks, right) + MARGIN)


def _name(what: Trajectory, candidate: Candidate) -> str:
    return candidate_words(candidate, what.decision.candidates)


def _names_height(what: Trajectory, candidates: Sequence[Candidate]) -> float:
    widths = [text_width(_name(what, one), SMALL, bold=True) for one in candidates]
    return min(_LONGEST_NAME, max(widths)) + 10


def _draw_steps(sheet: Sheet, box: Box, what: Trajectory, ticks: Sequence[float]) -> Panel:
    steps = [one.step or 0 for one in what.steps]
    values = [one.value(what.metric) for one in what.steps]
    pad = 0.04 * (steps[-1] - steps[0]) or max(1.0, 0.1 * steps[0])
    panel = sheet.panel(box, (steps[0] - pad, steps[-1] + pad), what.limits)
    sheet.level_ticks(panel, ticks)
    sheet.upright_ticks(panel, _step_ticks(panel, steps), "training step")
    _draw_decay(sheet, panel, what.decision.decay_start, steps)
    _draw_band(panel, what)
    panel.axes.plot(steps, values, color=BLUE.light, linewidth=2, gid="curve")
    panel.room.draw([panel.pixel(x, y) for x, y in zip(steps, values, strict=True)])
    for candidate, step in zip(what.steps, steps, strict=True):
        _draw_candidate(panel, what, candidate, step, scale=0.75 if len(steps) > 25 else 1.0)
    _name_selected(sheet, panel, what)
    return panel


def _step_ticks(panel: Panel, steps: Sequence[int]) -> list[float]:
    """The steps themselves where there is room for them, otherwise round numbers."""
    width = text_width(f"{steps[-1]:,}", SMALL) + 20
    at = [panel.pixel(step, 0)[0] for step in steps]
    if all(right - left >= width for left, right in itertools.pairwise(at)):
        return [float(step) for step in steps]
    most = int((panel.box.right - panel.box.left) / width)
    return ticks_within(panel.axes.get_xlim(), most, whole=True)


def _draw_decay(sheet: Sheet, panel: Panel, start: int | None, steps: Sequence[int]) -> None:
    if start is None or start >= steps[-1]:
        return
    first, end = max(start, panel.axes.get_xlim()[0]), panel.axes.get_xlim()[1]
    panel.axes.axvspan(first, end, color=INK.light, alpha=0.08, lw=0, gid="decay")
    words = "learning rate decays"
    half = text_width(words, SMALL) / 2
    middle = (panel.pixel(first, 0)[0] + panel.box.right) / 2
    x = min(middle, panel.box.right - half)
    sheet.text((x, panel.box.top - 9), words, colour=MUTED, align="center")


def _draw_band(panel: Panel, what: Trajectory) -> None:
    """A band over each run of checkpoints with intervals, a bar where one stands alone."""
    run: list[tuple[int, Range]] = []
    for candidate in [*what.steps, None]:
        interval = what.interval(candidate) if candidate else None
        if candidate is not None and interval is not None:
            run.append((candidate.step or 0, interval))
            continue
        if len(run) == 1:
            panel.axes.vlines(run[0][0], *run[0][1], color=BLUE.light, linewidth=2)
        elif run:
            x, ends = zip(*run, strict=True)
            low, high = zip(*ends, strict=True)
            panel.axes.fill_between(x, low, high, color=BLUE.light, alpha=0.2, lw=0, gid="band")
        run = []


def _draw_candidate(
    panel: Panel, what: Trajectory, candidate: Candidate, x: float, *, scale: float = 1.0
) -> None:
    mark = mark_of(what.decision, candidate)
    gid = f"candidate-{what.decision.candidates.index(candidate)}"
    point = (x, candidate.value(what.metric))
    draw_mark(panel, point, mark, gid, scale=1.0 if mark.shape == "*" else scale)


def _name_selected(sheet: Sheet, panel: Panel, what: Trajectory) -> None:
    chosen = what.decision.chosen_candidate
    if chosen is None or chosen not in what.steps:
        return
    value = chosen.value(what.metric)
    words = f"selected: {_name(what, chosen)} ({shown(what.metric, value)})"
    words = shortened(
        words, min(_LONGEST_LABEL, panel.box.right - panel.box.left), SMALL, bold=True
    )
    size = (text_width(words, SMALL, bold=True), LINE * SMALL)
    at = panel.pixel(chosen.step or 0, value)
    box = panel.room.place(around_mark(at, panel.box, size, (14, 24, 36, 50)), of=at)
    assert box is not None
    sheet.join(at, box)
    sheet.label(box, words, bold=True)


def _draw_others(
    sheet: Sheet, box: Box, what: Trajectory, part: Sequence[Candidate], ticks: Sequence[float]
) -> Panel:
    panel = sheet.panel(box, (-1, len(part)), what.limits)
    sheet.level_ticks(panel, ticks, words=box.left < WIDTH / 4)
    middle = (box.left + box.right) / 2
    sheet.text((middle, box.top - 9), what.others_words, colour=MUTED, align="center")
    for x, candidate in enumerate(part):
        interval = what.interval(candidate)
        if interval is not None:
            panel.axes.vlines(x, *interval, color=BLUE.light, linewidth=2, zorder=3)
            panel.room.draw([panel.pixel(x, bound) for bound in interval])
        _draw_candidate(panel, what, candidate, x)
        selected = candidate.name == what.decision.chosen
        words = shortened(_name(what, candidate), _LONGEST_NAME, SMALL, bold=selected)
        foot = (panel.pixel(x, 0)[0], box.bottom + 8)
        sheet.text(foot, words, bold=selected, align="right", upright=True)
    return panel


def _draw_levels(sheet: Sheet, panels: Sequence[Panel], what: Trajectory) -> None:
    """The reference and the guardrails in every panel, with words in the first one."""
    inside = [level for level in what.levels if is_within(level, what.limits)]
    first = panels[0]
    for level in inside:
        for panel in panels:
            panel.axes.axhline(
                level.value, color=level.colour.light, linestyle=level.dashes, linewidth=2, zorder=2
            )
        left, right = first.axes.get_xlim()
        first.room.draw([first.pixel(left, level.value), first.pixel(right, level.value)])
    for level in inside:
        width = first.box.right - first.box.left - 12
        words = shortened(level.words, width, SMALL, bold=level.bold)
        size = (text_width(words, SMALL, bold=level.bold), LINE * SMALL)
        y = first.pixel(0, level.value)[1]
        box = first.room.place(along_level(y, first.box, size))
        assert box is not None
        sheet.label(box, words, bold=level.bold)
