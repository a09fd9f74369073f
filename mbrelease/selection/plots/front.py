"""Two metrics against each other: which candidates no other one beats on both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mbrelease.evaluation.metric_names import lower_is_better
from mbrelease.pictures.colours import MUTED
from mbrelease.pictures.labels import Box, along_level, along_upright, around_mark
from mbrelease.pictures.marks import Mark, draw_key, draw_mark, key_height
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
    tick_words,
    ticks_within,
)
from mbrelease.selection.decision import Candidate, Decision
from mbrelease.selection.plots.alt import front_alt_text
from mbrelease.selection.plots.levels import (
    Level,
    Range,
    is_within,
    level_words,
    levels_of,
    limits_for,
)
from mbrelease.selection.plots.marks import STAIR, mark_of, marks_in
from mbrelease.selection.plots.pareto import pareto_front, staircase
from mbrelease.selection.plots.words import (
    better_words,
    candidate_words,
    hover_words,
    listed,
    measured,
    metric_words,
    tie_words,
)

_HEIGHT = 400.0
_STRIP = 30.0  # above the panel, for the name of the metric that goes up
_UNDER = 62.0
_LONGEST_NAME = 240.0
_CLEAR = 3.0  # around the mark of another candidate
_NEAR, _FAR = (9.0, 14.0), (13.0, 20.0, 30.0, 45.0, 65.0, 90.0)  # from a mark to its name
_CROWDED = 6.0  # points of lines that the name of one of the front may cover
_TITLE = "The best trade-offs of two metrics"


@dataclass(frozen=True)
class Plane:
    """What there is to show of two metrics."""

    decision: Decision
    across: str
    up: str
    everyone: list[Candidate]
    front: list[Candidate]
    reference: Candidate | None
    """If it was measured on both, and is not far off."""
    limits: tuple[Range, Range]
    """Of ``across`` and ``up``."""

    def point(self, candidate: Candidate) -> tuple[float, float]:
        """Where ``candidate`` is."""
        return candidate.value(self.across), candidate.value(self.up)

    def gid(self, candidate: Candidate) -> str:
        """The id of its mark."""
        if candidate is self.reference:
            return "reference"
        return f"candidate-{self.decision.candidates.index(candidate)}"


def gather(decision: Decision, across: str) -> Plane:
    """The primary metric against ``across``, both measured on at least one candidate."""
    up = decision.policy.primary
    everyone = [one for one in decision.candidates if measured(one, across) and measured(one, up)]
    near = []
    limits = []
    for metric in (across, up):
        levels = levels_of(decision, metric)
        limits.append(limits_for([one.value(metric) for one in everyone], levels))
        near += [is_within(one, limits[-1]) for one in levels if one.kind == "reference"]
    return Plane(
        decision,
        across,
        up,
        everyone,
        pareto_front(decision.candidates, across, up),
        decision.reference if near == [True, True] else None,
        (limits[0], limits[1]),
    )


def draw_front(decision: Decision, across: str) -> Picture:
    """The picture of the primary metric against ``across``."""
    plane = gather(decision, across)
    below = f"on {decision.split}; better is {_better(plane)}{_far(plane)}"
    marks = _key(plane)
    right = float(WIDTH - MARGIN)
    top = head_height(_TITLE, below) + _STRIP
    key_top = top + _HEIGHT + _UNDER
    note, note_top = _note(plane), key_top + key_height(marks, right) + 6
    sheet = Sheet(note_top + note_height(note) + MARGIN)
    sheet.head(_TITLE, below)
    panel = _draw_panel(sheet, top, plane)
    _draw_stair(panel, plane)
    _draw_marks(panel, plane)
    guardrails = _draw_guardrails(panel, plane)
    _draw_names(sheet, panel, plane)
    _name_guardrails(sheet, panel, guardrails)
    draw_key(sheet, key_top, right, marks)
    sheet.note(note_top, note)
    drawn = [*plane.everyone, *([plane.reference] if plane.reference else [])]
    hovers = {plane.gid(one): hover_words(decision, one, [plane.up, across]) for one in drawn}
    return Picture(sheet.figure, _TITLE, front_alt_text(decision, across), hovers)


def _better(plane: Plane) -> str:
    vertical = "down" if lower_is_better(plane.up) else "up"
    return f"{vertical} and to the {'left' if lower_is_better(plane.across) else 'right'}"


def _far(plane: Plane) -> str:
    return "" if plane.reference else f"; {plane.decision.reference.name} is not in this picture"


def _key(plane: Plane) -> list[Mark]:
    marks = marks_in(plane.decision, plane.everyone)
    reference = [mark_of(plane.decision, plane.reference)] if plane.reference else []
    return [*marks, *reference, *([STAIR] if len(plane.front) > 1 else [])]


def _note(plane: Plane) -> str:
    """Not every name has room in the picture."""
    names = [candidate_words(one, plane.decision.candidates) for one in plane.front]
    names = [shortened(name, _LONGEST_NAME, SMALL) for name in names]
    if len(names) == 1:
        corners = f"On both {names[0]} is the best candidate."
    else:
        corners = f"At the corners of the line: {listed(names)}."
    return f"{corners} {tie_words(plane.decision)}".strip()


def _draw_panel(sheet: Sheet, top: float, plane: Plane) -> Panel:
    limits = plane.limits
    numbers = ticks_within(limits[1], 6)
    left = MARGIN + max(text_width(number, SMALL) for number in tick_words(numbers)) + 8
    panel = sheet.panel(Box(left, top, WIDTH - MARGIN, top + _HEIGHT), limits[0], limits[1])
    sheet.level_ticks(panel, numbers)
    sheet.upright_ticks(panel, ticks_within(limits[0], 7), _axis_words(plane.across))
    sheet.text((MARGIN, top - 12), _axis_words(plane.up), colour=MUTED)
    return panel


def _axis_words(metric: str) -> str:
    words = f"{metric_words(metric)} ({better_words(metric)})"
    return shortened(words, WIDTH - 2 * MARGIN, SMALL)


def _draw_stair(panel: Panel, plane: Plane) -> None:
    corners = staircase([plane.point(one) for one in plane.front], plane.across, plane.up)
    x, y = zip(*corners, strict=True)
    panel.axes.plot(x, y, color=MUTED.light, linewidth=1.5, zorder=3, gid="front")
    panel.room.draw([panel.pixel(*corner) for corner in corners])


def _draw_marks(panel: Panel, plane: Plane) -> None:
    drawn = [*plane.everyone, *([plane.reference] if plane.reference else [])]
    for candidate in drawn:
        mark = mark_of(plane.decision, candidate)
        draw_mark(panel, plane.point(candidate), mark, plane.gid(candidate), clear=_CLEAR)


def _draw_names(sheet: Sheet, panel: Panel, plane: Plane) -> None:
    """The selected one and the reference are named, then the front, the rest if there is room."""
    chosen = plane.decision.chosen_candidate
    needed = [one for one in plane.everyone if one is chosen]
    needed += [plane.reference] if plane.reference else []
    front = [one for one in plane.front if one is not chosen]
    others = [one for one in plane.everyone if one not in [*needed, *front]]
    for group, radii, worst in (
        (needed, _FAR, math.inf),
        (front, _FAR, _CROWDED),
        (others, _NEAR, 0.0),
    ):
        for candidate in group:
            selected = candidate is chosen
            words = candidate_words(candidate, plane.decision.candidates)
            words = f"selected: {words}" if selected else words
            words = shortened(words, _LONGEST_NAME, SMALL, bold=selected)
            size = (text_width(words, SMALL, bold=selected), LINE * SMALL)
            at = panel.pixel(*plane.point(candidate))
            places = around_mark(at, panel.box, size, radii)
            box = panel.room.place(places, of=at, worst=worst)
            if box is not None:
                sheet.join(at, box)
                sheet.label(box, words, bold=selected)


@dataclass(frozen=True)
class _Guardrail:
    """One that is drawn as a line."""

    level: Level
    upright: bool
    at: float
    """In pixels of the sheet."""


def _draw_guardrails(panel: Panel, plane: Plane) -> list[_Guardrail]:
    drawn = []
    for metric in (plane.across, plane.up):
        upright = metric == plane.across
        limits = panel.axes.get_xlim() if upright else panel.axes.get_ylim()
        for level in levels_of(plane.decision, metric):
            if level.kind != "guardrail" or not is_within(level, limits):
                continue
            if upright:
                line = panel.axes.axvline(level.value, linewidth=2)
                at = panel.pixel(level.value, 0)[0]
                panel.room.draw([(at, panel.box.top), (at, panel.box.bottom)])
            else:
                line = panel.axes.axhline(level.value, linewidth=2)
                at = panel.pixel(0, level.value)[1]
                panel.room.draw([(panel.box.left, at), (panel.box.right, at)])
            line.set(color=level.colour.light, linestyle=level.dashes)
            drawn.append(_Guardrail(level, upright, at))
    return drawn


def _name_guardrails(sheet: Sheet, panel: Panel, guardrails: Sequence[_Guardrail]) -> None:
    for guardrail in guardrails:
        words = level_words(guardrail.level, (panel.box.right - panel.box.left) * 0.6)
        size = (text_width(words, SMALL), LINE * SMALL)
        along = along_upright if guardrail.upright else along_level
        box = panel.room.place(along(guardrail.at, panel.box, size))
        assert box is not None
        sheet.label(box, words)
