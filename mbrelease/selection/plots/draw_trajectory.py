"""A metric over training: checkpoints by step, averages beside, and what they are held against."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from mbrelease.evaluation.metric_names import shown
from mbrelease.pictures.colours import BLUE, INK, MUTED
from mbrelease.pictures.labels import Box, along_level, around_mark
from mbrelease.pictures.marks import Mark, draw_key, draw_mark
from mbrelease.pictures.render import Picture
from mbrelease.pictures.sheet import (
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
    ticks_within,
)
from mbrelease.selection.decision import Candidate, Decision
from mbrelease.selection.plots.alt import alt_text
from mbrelease.selection.plots.levels import (
    Range,
    far_words,
    is_within,
    level_words,
)
from mbrelease.selection.plots.marks import BAND, BAR, mark_of, marks_in
from mbrelease.selection.plots.trajectory import Trajectory, gather
from mbrelease.selection.plots.trajectory_layout import LONGEST_NAME, lay_out
from mbrelease.selection.plots.words import (
    better_words,
    capital,
    hover_words,
    metric_words,
    tie_words,
)

_LONGEST_LABEL = 300.0  # of the selected one


def draw_trajectory(decision: Decision, metric: str) -> Picture:
    """The picture of ``task/metric``, measured on at least one candidate."""
    what = gather(decision, metric)
    title = capital(metric_words(metric))
    below = f"on {decision.split}, {better_words(metric)}{far_words(what.levels, what.limits)}"
    marks = _key(what)
    layout = lay_out(what, head_height(title, below), marks)
    note = tie_words(decision) if metric == decision.policy.primary else ""
    sheet = Sheet(layout.bottom + note_height(note) + MARGIN)
    sheet.head(title, below)
    ticks = ticks_within(what.limits, 6)
    panels = []
    if layout.steps is not None:
        panels.append(_draw_steps(sheet, layout.steps, what, ticks))
    for box, part in zip(layout.others, layout.parts, strict=True):
        panels.append(_draw_others(sheet, box, what, part, ticks))
    _draw_levels(sheet, panels, what)
    draw_key(sheet, layout.key_top, layout.key_right, marks)
    sheet.note(layout.bottom + 4, note)
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
    words = f"selected: {what.name(chosen)} ({shown(what.metric, value)})"
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
        words = shortened(what.name(candidate), LONGEST_NAME, SMALL, bold=selected)
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
        words = level_words(level, first.box.right - first.box.left - 12)
        size = (text_width(words, SMALL, bold=level.bold), LINE * SMALL)
        y = first.pixel(0, level.value)[1]
        box = first.room.place(along_level(y, first.box, size))
        assert box is not None
        sheet.label(box, words, bold=level.bold)
