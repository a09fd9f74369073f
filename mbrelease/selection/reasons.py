"""Say in plain sentences why a candidate was chosen, and how far the numbers carry."""

from __future__ import annotations

from collections.abc import Sequence

from mbrelease.averaging.recipes import parse_recipe
from mbrelease.evaluation.metric_names import lower_is_better, shown
from mbrelease.registry.schema import Policy
from mbrelease.selection.decision import Candidate, Measurement


def reasons_for(
    policy: Policy,
    candidates: Sequence[Candidate],
    reference: Candidate,
    chosen: Candidate | None,
) -> list[str]:
    """Plain sentences, the deciding one first."""
    eligible = [candidate for candidate in candidates if candidate.eligible]
    if chosen is None:
        return [_nothing_chosen(policy, candidates, eligible, reference)]
    sentences = [
        _deciding(policy, candidates, eligible, chosen),
        *_tie(policy, eligible, chosen),
        _against_reference(policy, reference, chosen),
        *_uncertainty(policy, eligible, chosen),
        *_last_checkpoint(policy, candidates, chosen),
        *_best_single(policy, eligible, chosen),
    ]
    stopped = [candidate.name for candidate in candidates if not candidate.eligible]
    if stopped:
        sentences.append(f"Stopped by a guardrail: {', '.join(stopped)}.")
    return sentences


def _deciding(
    policy: Policy,
    candidates: Sequence[Candidate],
    eligible: Sequence[Candidate],
    chosen: Candidate,
) -> str:
    extreme = "lowest" if lower_is_better(policy.primary) else "highest"
    passing = len(eligible)
    some = f"{passing} of {len(candidates)}" if passing < len(candidates) else f"{passing}"
    among = f"the {some} candidates" + (" that pass every guardrail" if policy.guardrails else "")
    return (
        f"{chosen.name} has the {extreme} {policy.primary} ({_number(chosen, policy.primary)}) "
        f"of {among}."
    )


def _tie(policy: Policy, eligible: Sequence[Candidate], chosen: Candidate) -> list[str]:
    value = chosen.value(policy.primary)
    equal = [
        one.name for one in eligible if one is not chosen and one.value(policy.primary) == value
    ]
    if not equal:
        return []
    return [
        f"{' and '.join(equal)} {'has' if len(equal) == 1 else 'have'} exactly the same; "
        f"the policy's tie-break, {policy.tie_break}, decided."
    ]


def _against_reference(policy: Policy, reference: Candidate, chosen: Candidate) -> str:
    return (
        f"The reference {reference.name} has {_number(reference, policy.primary)} "
        f"on the same {_measurement(reference, policy.primary).n_examples} examples."
    )


def _uncertainty(policy: Policy, eligible: Sequence[Candidate], chosen: Candidate) -> list[str]:
    interval = _measurement(chosen, policy.primary).ci95
    if interval is None:
        return []
    low, high = interval
    within = [
        candidate
        for candidate in eligible
        if candidate is not chosen and low <= candidate.value(policy.primary) <= high
    ]
    if not within:
        return []
    return [
        f"The 95% interval of that value is {shown(policy.primary, low)} to "
        f"{shown(policy.primary, high)}, and {len(within)} other "
        f"eligible {'candidate lies' if len(within) == 1 else 'candidates lie'} within it: "
        "by point values alone the choice among them may be noise."
    ]


def _last_checkpoint(
    policy: Policy, candidates: Sequence[Candidate], chosen: Candidate
) -> list[str]:
    checkpoints = [candidate for candidate in candidates if candidate.kind == "checkpoint"]
    if not checkpoints or checkpoints[-1] is chosen:
        return []
    last = checkpoints[-1]
    return [f"The last checkpoint, {last.name}, has {_number(last, policy.primary)}."]


def _best_single(policy: Policy, eligible: Sequence[Candidate], chosen: Candidate) -> list[str]:
    singles = [candidate for candidate in eligible if candidate.kind == "checkpoint"]
    if chosen.kind != "average" or not singles:
        return []
    sign = -1 if lower_is_better(policy.primary) else 1
    best = max(singles, key=lambda candidate: sign * candidate.value(policy.primary))
    ranked = chosen.recipe is not None and parse_recipe(chosen.recipe).needs_scores
    by = f" ('best' is by {policy.primary}, on the very split that chose)" if ranked else ""
    return [
        f"It averages {', '.join(chosen.members)}{by}; the best single checkpoint, {best.name}, "
        f"has {_number(best, policy.primary)}."
    ]


def _nothing_chosen(
    policy: Policy,
    candidates: Sequence[Candidate],
    eligible: Sequence[Candidate],
    reference: Candidate,
) -> str:
    if not eligible:
        return (
            f"None of the {len(candidates)} candidates passes every guardrail: "
            f"keep {reference.name}."
        )
    return (
        f"No candidate that passes the guardrails is better than {reference.name} "
        f"({policy.primary} {_number(reference, policy.primary)}): keep {reference.name}."
    )


def _measurement(candidate: Candidate, metric: str) -> Measurement:
    return next(m for m in candidate.measurements if m.metric == metric)


def _number(candidate: Candidate, metric: str) -> str:
    return shown(metric, candidate.value(metric))
