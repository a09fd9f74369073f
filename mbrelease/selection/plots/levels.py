"""What candidates are held against: the reference's value and the guardrails, as lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mbrelease.evaluation.metric_names import lower_is_better, shown
from mbrelease.pictures.colours import MUTED, VERMILION, Colour
from mbrelease.pictures.sheet import SMALL, shortened, text_width
from mbrelease.selection.decision import Decision
from mbrelease.selection.plots.words import guardrail_words, measured

Range = tuple[float, float]

_PAD = 0.1  # of the range, kept free at both ends
_FLAT = 0.02  # of the value: the range shown of a metric that does not vary
_REACH = {"reference": 8.0, "guardrail": 1.0}  # farther off than so many ranges, it is only named
_LONGEST_NAME = 220.0  # in pixels


@dataclass(frozen=True)
class Level:
    """A value of a metric that is drawn as a line with a label."""

    kind: Literal["reference", "guardrail"]
    value: float
    words: str
    brief: str
    """Where there is no room for ``words``."""
    colour: Colour
    dashes: str
    """As matplotlib writes it."""
    bold: bool = False


def levels_of(decision: Decision, metric: str) -> list[Level]:
    """The reference on ``metric``, and the guardrails on it."""
    found = measured(decision.reference, metric)
    if found is None:
        return []
    name = shortened(decision.reference.name, _LONGEST_NAME, SMALL)
    guardrails = [one for one in decision.policy.guardrails if one.metric == metric]
    also = ", may not be worse" if any(one.margin == 0 for one in guardrails) else ""
    stays = ", stays" if decision.chosen is None else ""
    words = f"{name}: {shown(metric, found.value)}{also}{stays}"
    sign = 1 if lower_is_better(metric) else -1
    return [
        Level("reference", found.value, words, words, MUTED, "--", bold=decision.chosen is None),
        *(
            Level(
                "guardrail",
                found.value + sign * one.margin,
                guardrail_words(one, name),
                guardrail_words(one),
                VERMILION,
                ":",
            )
            for one in guardrails
            if one.margin > 0
        ),
    ]


def limits_for(values: Sequence[float], levels: Sequence[Level]) -> Range:
    """The range to show: all ``values``, and of the levels those that are not far off."""
    low, high = min(values), max(values)
    for kind, reach in _REACH.items():
        far = reach * _span(low, high)
        if kind == "reference":  # what little variation there is should not hide a good gain
            far = max(far, abs(low), abs(high))
        near = [one.value for one in levels if one.kind == kind]
        near = [value for value in near if low - far <= value <= high + far]
        low, high = min([low, *near]), max([high, *near])
    pad = max(_PAD * (high - low), (_span(low, high) - (high - low)) / 2)
    return low - pad, high + pad


def _span(low: float, high: float) -> float:
    return max(high - low, _FLAT * max(abs(low), abs(high)), 1e-6)


def is_within(level: Level, limits: Range) -> bool:
    """Whether there is room for its line."""
    return limits[0] <= level.value <= limits[1]


def level_words(level: Level, room: float) -> str:
    """What to write on its line in ``room`` pixels."""
    fits = text_width(level.words, SMALL, bold=level.bold) <= room
    return shortened(level.words if fits else level.brief, room, SMALL, bold=level.bold)


def far_words(levels: Sequence[Level], limits: Range) -> str:
    """The levels that are not shown, to be written after a ``;``."""
    return "".join(
        f"; {level.words} ({'below' if level.value < limits[0] else 'above'} this picture)"
        for level in levels
        if not is_within(level, limits)
    )
