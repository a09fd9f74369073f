"""What the pictures show, in a sentence, for those who do not see them."""

from __future__ import annotations

from collections.abc import Sequence

from mbrelease.evaluation.metric_names import lower_is_better, shown
from mbrelease.selection.decision import Decision
from mbrelease.selection.plots.pareto import pareto_front
from mbrelease.selection.plots.words import (
    better_words,
    candidate_words,
    capital,
    listed,
    measured,
    metric_words,
    tie_words,
    value_words,
)


def alt_text(decision: Decision, metric: str) -> str:
    """The finding of the picture of ``task/metric`` in one sentence."""
    parts = [
        *_reference(decision, metric),
        *_selected(decision, metric),
        *_last(decision, metric),
    ]
    if metric == decision.policy.primary and (tie := tie_words(decision)):
        parts.append(tie.removesuffix("."))
    words = f"{metric_words(metric)} on {decision.split} over training ({better_words(metric)})"
    return f"{capital(words)}: {'; '.join(parts)}."


def _reference(decision: Decision, metric: str) -> list[str]:
    name, found = decision.reference.name, measured(decision.reference, metric)
    if found is None:
        return []
    stays = ", which stays, as no candidate is selected" if decision.chosen is None else ""
    return [f"{shown(metric, found.value)} for {name}, the reference{stays}"]


def _selected(decision: Decision, metric: str) -> list[str]:
    """The selected candidate, or the one with the best value where none is."""
    everyone = [one for one in decision.candidates if measured(one, metric)]
    values = [one.value(metric) for one in everyone]
    best = min(values) if lower_is_better(metric) else max(values)
    chosen = decision.chosen_candidate
    if chosen is None:
        first = everyone[values.index(best)]
        name = candidate_words(first, decision.candidates)
        return [f"{value_words(first.measurement(metric))} for {name}, the best value"]
    if chosen not in everyone:
        return []
    own = chosen.value(metric)
    better = sum(value < own if lower_is_better(metric) else value > own for value in values)
    have = "has a better value" if better == 1 else "have better values"
    rank = f"{better} of {len(values)} candidates {have}" if better else "none has a better value"
    name = candidate_words(chosen, decision.candidates)
    words = f"{value_words(chosen.measurement(metric))} for the selected {name}"
    return [f"{words}, and {rank}" if len(values) > 1 else words]


def _last(decision: Decision, metric: str) -> list[str]:
    steps = [
        (one.step, one)
        for one in decision.candidates
        if one.step is not None and one.kind != "average" and measured(one, metric)
    ]
    if len(steps) < 2:
        return []
    _, last = max(steps, key=lambda pair: pair[0])
    if last.name == decision.chosen:
        return []
    name = candidate_words(last, decision.candidates)
    return [f"{shown(metric, last.value(metric))} at the end of training, {name}"]


def front_alt_text(decision: Decision, across: str) -> str:
    """The finding of the picture of the primary metric against ``across``, in one sentence."""
    up = decision.policy.primary
    front = pareto_front(decision.candidates, across, up)
    names = [candidate_words(one, decision.candidates) for one in front]
    words = (
        f"{capital(metric_words(up))} ({better_words(up)}) against {metric_words(across)} "
        f"({better_words(across)}) on {decision.split}"
    )
    best = f"no candidate is better on both than {_some(names)}"
    chosen = decision.chosen_candidate
    if chosen is None:
        return f"{words}: {best}; none is selected."
    name = candidate_words(chosen, decision.candidates)
    if chosen in front:
        return f"{words}: {best}; {name} is selected."
    return f"{words}: {best}; the selected {name} is not one of them."


def _some(names: Sequence[str]) -> str:
    most = 5
    if len(names) > most + 1:
        return listed([*names[:most], f"{len(names) - most} others"])
    return listed(names)
