"""Say in plain sentences why a candidate was chosen, and how far the numbers carry."""

from __future__ import annotations

from collections.abc import Sequence

from mbrelease.averaging.recipes import parse_recipe
from mbrelease.evaluation.metric_names import lower_is_better, shown
from mbrelease.selection.decision import Candidate, Comparison, Decision, GuardrailResult
from mbrelease.selection.p_value import p_text

# Names that are listed in a sentence before it says "and 9 others".
LISTED = 4


def reasons_for(decision: Decision) -> list[str]:
    """Plain sentences, the deciding one first; ``decision.reasons`` itself is not read."""
    chosen = decision.chosen_candidate
    if chosen is None:
        return [*_nothing_chosen(decision), *_stopped(decision)]
    return [
        _deciding(decision, chosen),
        *_tie(decision, chosen),
        _against_reference(decision, chosen),
        *_stability(decision, chosen),
        *_made_of(decision, chosen),
        *_stopped(decision),
    ]


def _deciding(decision: Decision, chosen: Candidate) -> str:
    policy = decision.policy
    admitted = [one for one in decision.candidates if one.eligible and one.superior]
    value = _number(chosen, policy.primary)
    if len(admitted) == 1:
        return f"{_alone(decision, chosen)}, with a {policy.primary} of {value}."
    tied = sum(one.tied for one in admitted)
    if tied == 1 or decision.basis == "points" or _is_best(decision, chosen, admitted):
        extreme = "lowest" if lower_is_better(policy.primary) else "highest"
        field = _field(decision, admitted)
        return f"{chosen.name} has the {extreme} {policy.primary} ({value}) of {field}."
    if len(admitted) == len(decision.candidates):
        every = "both" if len(admitted) == 2 else f"all {len(admitted)}"
        field = f"{every} candidates {_conditions(decision)}"
    else:
        field = f"of {len(decision.candidates)} candidates {len(admitted)} {_conditions(decision)}"
    those = f"{tied - 1} of those" if tied > 2 else "of those it alone"
    return (
        f"{chosen.name} is chosen, with a {policy.primary} of {value}: {field}, and {those} "
        "cannot be told from the best."
    )


def _alone(decision: Decision, chosen: Candidate) -> str:
    n_all = len(decision.candidates)
    who = f"{chosen.name}, the only candidate,"
    if n_all > 1:
        who = f"{chosen.name} is the only one of {n_all} candidates that"
    passes = "passes every guardrail and is" if decision.policy.guardrails else "is"
    return f"{who} {passes} better than {decision.reference.name}"


def _field(decision: Decision, admitted: Sequence[Candidate]) -> str:
    n_all, n_admitted = len(decision.candidates), len(admitted)
    some = f"{n_admitted} of {n_all}" if n_admitted < n_all else f"{n_all}"
    return f"the {some} candidates that {_conditions(decision)}"


def _conditions(decision: Decision) -> str:
    conditions = ["pass every guardrail"] if decision.policy.guardrails else []
    return " and ".join([*conditions, f"are better than {decision.reference.name}"])


def _tie(decision: Decision, chosen: Candidate) -> list[str]:
    equals = [one for one in decision.candidates if one.tied and one is not chosen]
    if not equals:
        return []
    policy = decision.policy
    same = [one for one in equals if _change(one) == _change(chosen)]
    if decision.basis == "points":
        if policy.tie_break == "best":
            return [f"{_have_the_same_value(same)}; of equals the first is taken."]
        decided = f"the policy's tie-break, {policy.tie_break}, decided"
        return [f"{_have_the_same_value(same)}; {decided}."]
    best = max([chosen, *equals], key=_change)
    others = [one for one in decision.candidates if one.tied and one is not best]
    named = (
        "" if best is chosen else f", which has the best value ({_number(best, policy.primary)})"
    )
    cannot = (
        f"{_listed(others)} cannot be told from {best.name} on {policy.primary}{named}: "
        f"the differences are within what {_sample_text(decision, policy.primary)} show by chance"
    )
    if policy.tie_break == "best":
        luck = "The policy then takes the best value, which may be luck"
        first = f"; {_have_the_same_value(same)}, and of equals the first is taken" if same else ""
        return [f"{cannot}. {luck}{first}."]
    return [f"{cannot}. The policy's tie-break, {policy.tie_break}, decided."]


def _against_reference(decision: Decision, chosen: Candidate) -> str:
    policy, reference = decision.policy, decision.reference
    compared = chosen.primary
    assert compared is not None
    sentence = (
        f"{policy.primary}: {_number(chosen, policy.primary)} against "
        f"{_number(reference, policy.primary)} of the reference {reference.name}"
    )
    if compared.ci95 is None:
        return f"{sentence}, as reported."
    return (
        f"{sentence}, better by {shown(policy.primary, compared.change)} "
        f"(95% interval {interval_text(policy.primary, compared)}{_counts(compared)}); "
        f"{_corrected(decision)}p {p_text(chosen.p_superiority)}."
    )


def _corrected(decision: Decision) -> str:
    count = len(decision.candidates)
    return f"corrected for {count} candidates, " if count > 1 else ""


def _counts(compared: Comparison) -> str:
    if compared.wins is None:
        return ""
    return f"; {compared.wins} examples won, {compared.losses} lost, {compared.ties} the same"


def _stability(decision: Decision, chosen: Candidate) -> list[str]:
    if chosen.p_selected is None:
        return []
    others = sorted(
        (one for one in decision.candidates if one is not chosen and one.p_selected),
        key=lambda one: -(one.p_selected or 0.0),
    )
    sentence = (
        f"With the examples drawn again, the rule chooses it in {_percent(chosen.p_selected)}"
    )
    if others:
        sentence += f", and {others[0].name} in {_percent(others[0].p_selected or 0.0)}"
    if decision.p_keep_reference:
        sentence += f"; in {_percent(decision.p_keep_reference)} it keeps {decision.reference.name}"
    found = [sentence + "."]
    if decision.optimism is not None:
        primary = decision.policy.primary
        flattered = f"{shown(primary, abs(decision.optimism))}"
        if decision.optimism > 0 and float(flattered) > 0:
            found.append(
                f"Having been picked on these examples flatters its {primary} by about {flattered}."
            )
    return found


def _made_of(decision: Decision, chosen: Candidate) -> list[str]:
    if chosen.kind != "average":
        return []
    ranked = chosen.recipe is not None and parse_recipe(chosen.recipe).needs_scores
    by = (
        f" ('best' is by {decision.policy.primary}, on the very split that chose)" if ranked else ""
    )
    return [f"It averages {', '.join(chosen.members)}{by}."]


def _stopped(decision: Decision) -> list[str]:
    found = []
    stopped = [one for one in decision.candidates if one.state == "stopped"]
    if stopped:
        metrics = _metrics_in_state(stopped, "fail")
        found.append(f"Stopped by the guardrail on {metrics}: {_listed(stopped)}.")
    unsettled = [one for one in decision.candidates if one.state == "unsettled"]
    alone = [one for one in unsettled if all(result.state == "pass" for result in one.guardrails)]
    open_ = [one for one in unsettled if one not in alone]
    if open_:
        metrics = _metrics_in_state(open_, "inconclusive")
        found.append(
            f"Not shown to be within the margin of {metrics}, nor beyond it: {_listed(open_)}"
            f"{_settled_by(open_)}."
        )
    if alone:
        found.append(
            f"Within every margin by themselves, but not when {len(decision.candidates)} "
            f"candidates are tested at once (Holm): {_listed(alone)}."
        )
    return found


def _settled_by(candidates: Sequence[Candidate]) -> str:
    needed = []
    for one in candidates:
        open_ = [result for result in one.guardrails if result.state == "inconclusive"]
        settle = [n for result in open_ if (n := result.examples_to_settle) is not None]
        if len(settle) == len(open_):
            needed.append(max(settle))
    return f" (about {min(needed):,} examples would settle the nearest)" if needed else ""


def _metrics_in_state(candidates: Sequence[Candidate], state: str) -> str:
    found: dict[str, GuardrailResult] = {
        result.metric: result
        for one in candidates
        for result in one.guardrails
        if result.state == state
    }
    return " and ".join(found)


def _nothing_chosen(decision: Decision) -> list[str]:
    policy, reference = decision.policy, decision.reference
    keep = f"keep {reference.name}"
    eligible = [one for one in decision.candidates if one.eligible]
    n_all = len(decision.candidates)
    if not eligible and n_all == 1:
        name = decision.candidates[0].name
        return [f"{name}, the only candidate, does not pass every guardrail: {keep}."]
    if not eligible:
        return [f"None of the {n_all} candidates passes every guardrail: {keep}."]
    best = max(eligible, key=_change)
    compared = best.primary
    assert compared is not None
    held = " that pass the guardrails" if policy.guardrails else ""
    who, nearest = f"None of the {len(eligible)} candidates{held} is", f"The nearest is {best.name}"
    if len(eligible) == 1:
        only = "the only candidate" + (" that passes the guardrails" if n_all > 1 else "")
        who, nearest = f"{best.name}, {only}, is not", best.name
    if compared.ci95 is None or compared.change <= 0:
        return [
            f"{who} better than {reference.name} "
            f"({policy.primary} {_number(reference, policy.primary)}): {keep}."
        ]
    return [
        f"{who} shown to be better than {reference.name}: {keep}.",
        f"{nearest}: {policy.primary} {_number(best, policy.primary)} against "
        f"{_number(reference, policy.primary)} (95% interval of the change "
        f"{interval_text(policy.primary, compared)}; {_corrected(decision)}p "
        f"{p_text(best.p_superiority)}). {_sample_text(decision, policy.primary).capitalize()} "
        f"find a change of {shown(policy.primary, compared.minimal_detectable_effect or 0.0)} "
        "with probability 0.8.",
    ]


def _is_best(decision: Decision, chosen: Candidate, admitted: Sequence[Candidate]) -> bool:
    return _change(chosen) >= max(map(_change, admitted))


def _change(candidate: Candidate) -> float:
    """Of the primary metric against the reference."""
    assert candidate.primary is not None
    return candidate.primary.change


def _have_the_same_value(candidates: Sequence[Candidate]) -> str:
    return f"{_listed(candidates)} {'has' if len(candidates) == 1 else 'have'} the same value"


def _sample_text(decision: Decision, metric: str) -> str:
    sample = next(one for one in decision.samples if one.metric == metric)
    if sample.n_clusters is not None:
        return f"{sample.n_examples:,} examples in {sample.n_clusters:,} groups"
    return f"{sample.n_examples:,} examples"


def _listed(candidates: Sequence[Candidate]) -> str:
    names = [candidate.name for candidate in candidates]
    if len(names) > LISTED + 1:
        return f"{', '.join(names[:LISTED])} and {len(names) - LISTED} others"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def interval_text(metric: str, compared: Comparison) -> str:
    """The interval of a change, signed: ``+0.051 to +0.112``."""
    assert compared.ci95 is not None
    return " to ".join(_signed(metric, bound) for bound in compared.ci95)


def _signed(metric: str, value: float) -> str:
    text = shown(metric, abs(value))
    return f"{'+' if value >= 0 else '-'}{text}"


def _percent(share: float) -> str:
    if 0 < share < 0.005:
        return "less than 1%"
    if 0.995 <= share < 1:
        return "more than 99%"
    return f"{100 * share:.0f}%"


def _number(candidate: Candidate, metric: str) -> str:
    return shown(metric, candidate.value(metric))
