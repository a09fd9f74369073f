"""What the pictures say: metrics, candidates and guardrails in words."""

from __future__ import annotations

from collections.abc import Sequence

from mbrelease.evaluation.metric_names import lower_is_better, metric_name, shown
from mbrelease.registry.schema import Guardrail
from mbrelease.selection.decision import Candidate, Decision, Measurement

_STATES = {
    "passes": "passes every guardrail",
    "stopped": "stopped by a guardrail",
    "unsettled": "a guardrail is not settled",
}
_TAKES = {
    "earliest": "the earliest",
    "latest": "the latest",
    "fewest-parents": "the one made of the fewest checkpoints",
    "best": "the one with the best value",
}


def metric_words(metric: str) -> str:
    """``title-abstract/recall@1`` → ``recall@1 of title-abstract``."""
    task, _, name = metric.rpartition("/")
    return f"{metric_name(name)} of {task}" if task else metric_name(name)


def better_words(metric: str) -> str:
    """Which direction is better: ``higher is better``."""
    return "lower is better" if lower_is_better(metric) else "higher is better"


def candidate_words(candidate: Candidate, among: Sequence[Candidate]) -> str:
    """``step 50,000``, ``best:3+last``, or the name where that would be ambiguous."""
    if candidate.kind == "checkpoint" and candidate.step is not None:
        steps = [one.step for one in among if one.kind == "checkpoint"]
        return f"step {candidate.step:,}" if steps.count(candidate.step) < 2 else candidate.name
    recipes = [one.recipe for one in among]
    if candidate.recipe and recipes.count(candidate.recipe) < 2:
        return candidate.recipe
    return candidate.name


def state_words(decision: Decision, candidate: Candidate) -> str:
    """What the guardrails say of a candidate."""
    return _STATES[candidate.state] if decision.policy.guardrails else "candidate"


def guardrail_words(guardrail: Guardrail, reference: str = "") -> str:
    """``guardrail: 0.02 worse than owl-base``, or less where no reference is given."""
    words = f"guardrail: {guardrail.margin:.6g} worse"
    return f"{words} than {reference}" if reference else words


def tie_words(decision: Decision) -> str:
    """Why the selected one need not have the best value; nothing where it has no equals."""
    n = sum(one.tied for one in decision.candidates)
    if n < 2 or decision.chosen is None:
        return ""
    takes = _TAKES[decision.policy.tie_break]
    return f"{n} candidates are the best as far as can be told; of these the policy takes {takes}."


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def measured(candidate: Candidate, metric: str) -> Measurement | None:
    """The measurement of ``task/metric``, if there is one."""
    return next((one for one in candidate.measurements if one.metric == metric), None)


def hover_words(decision: Decision, candidate: Candidate, metrics: Sequence[str]) -> str:
    """A candidate's name, values and state, for the pointer that rests on it."""
    values = []
    for metric in metrics:
        found = measured(candidate, metric)
        if found is not None:
            values.append(f"{metric_words(metric)} {value_words(found)}")
    parts = [candidate.name, *values]
    if candidate.kind != "reference":
        parts.append(state_words(decision, candidate))
    if candidate.name == decision.chosen:
        parts.append("selected")
    return "; ".join(parts)


def value_words(found: Measurement) -> str:
    """A value, with its interval where it has one."""
    value = shown(found.metric, found.value)
    if found.ci95 is None:
        return value
    low, high = (shown(found.metric, bound) for bound in found.ci95)
    return f"{value} (95% interval {low} to {high})"


def capital(text: str) -> str:
    """``text`` with a capital at its beginning."""
    return text[:1].upper() + text[1:]
