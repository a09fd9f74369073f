"""What there is to show of a metric over training."""

from __future__ import annotations

from dataclasses import dataclass

from mbrelease.selection.decision import Candidate, Decision
from mbrelease.selection.plots.levels import Level, Range, levels_of, limits_for
from mbrelease.selection.plots.words import candidate_words, measured


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

    def name(self, candidate: Candidate) -> str:
        """What ``candidate`` is called in the picture."""
        return candidate_words(candidate, self.decision.candidates)

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
