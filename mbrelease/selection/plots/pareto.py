"""The candidates that no other one beats on both of two metrics."""

from __future__ import annotations

from collections.abc import Sequence

from mbrelease.evaluation.metric_names import lower_is_better
from mbrelease.selection.decision import Candidate
from mbrelease.selection.plots.words import measured

Point = tuple[float, float]


def pareto_front(candidates: Sequence[Candidate], across: str, up: str) -> list[Candidate]:
    """Of those measured on both metrics, the ones that none dominates, by ``across`` ascending.

    One dominates another if it is as good on both and better on one; equals are all kept.
    """
    measured_on_both = [one for one in candidates if measured(one, across) and measured(one, up)]
    goodness = {one.name: _goodness(one, across, up) for one in measured_on_both}
    front = [
        one
        for one in measured_on_both
        if not any(_dominates(other, goodness[one.name]) for other in goodness.values())
    ]
    return sorted(front, key=lambda one: (one.value(across), one.value(up)))


def staircase(front: Sequence[Point], across: str, up: str) -> list[Point]:
    """The edge of what ``front`` (by first coordinate ascending) reaches: a stair, no slope.

    Between two of them nothing was measured, and what is surely reached there is the worse of
    each metric.
    """
    worse_across = max if lower_is_better(across) else min
    worse_up = max if lower_is_better(up) else min
    path = list(front[:1])
    for one in front[1:]:
        last = path[-1]
        path += [(worse_across(last[0], one[0]), worse_up(last[1], one[1])), one]
    return path


def _goodness(candidate: Candidate, across: str, up: str) -> Point:
    x, y = candidate.value(across), candidate.value(up)
    return (-x if lower_is_better(across) else x, -y if lower_is_better(up) else y)


def _dominates(one: Point, other: Point) -> bool:
    return one[0] >= other[0] and one[1] >= other[1] and one != other
