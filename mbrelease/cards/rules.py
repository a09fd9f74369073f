"""The rule by which weights were chosen, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from mbrelease.cards.numbers import count_text, real_text
from mbrelease.cards.told import Place, derived, listed, phrase
from mbrelease.evaluation.metric_names import lower_is_better
from mbrelease.registry.schema import Guardrail
from mbrelease.selection.decision import Decision

_TIE_BREAKS = {
    "earliest": "the earliest of them is chosen",
    "latest": "the latest of them is chosen",
    "fewest-parents": "the one made of the fewest checkpoints is chosen",
    "best": "the one with the best value is chosen, though its lead may be chance",
}


def rules(decision: Decision, place: Place) -> tuple[Markup, ...]:
    """What a candidate had to show, and which of those that did was taken."""
    of_basis = _points if decision.basis == "points" else _examples
    return tuple(of_basis(decision, place))


def _examples(decision: Decision, place: Place) -> Iterator[Markup]:
    """Held to ``selection.rule``, which decides."""
    policy, many = decision.policy, len(decision.candidates)
    at = place.at("policy")
    alpha = phrase("α = {}", at.at("alpha").tell(real_text(policy.alpha), policy.alpha))
    candidates = derived(count_text(many), "count", [place.at("candidates").field()], many)
    yield phrase(
        "Every candidate is paired with {} on the same examples of {}, which are drawn again {} "
        f"times (paired bootstrap{_drawn_too(decision)}).",
        policy.reference,
        decision.split,
        at.at("resamples").tell(count_text(policy.resamples), policy.resamples),
    )
    if policy.guardrails:
        correction: str = Markup("")
        if many > 1:
            correction = phrase(", Holm's correction for {} candidates", candidates)
        yield phrase(
            "Guardrails: it has to be shown that {} (non-inferiority, one-sided {}{}). What is "
            "inconclusive does not pass.",
            _all_may(policy.guardrails, "does not", at),
            alpha,
            correction,
        )
    bound: str = Markup("(one-sided ")
    if many > 1:
        bound = phrase("that holds for all {} candidates at once (max-T, ", candidates)
    yield phrase("It has to be better on {}, by a lower bound {}{}).", policy.primary, bound, alpha)
    if many > 1:
        yield phrase(
            "Of those that are, the best on {} and all that cannot be told from it (max-T) count "
            f"as equals: {_TIE_BREAKS[policy.tie_break]}. Where none is left, {{}} is kept.",
            policy.primary,
            policy.reference,
        )


def _points(decision: Decision, place: Place) -> Iterator[Markup]:
    policy = decision.policy
    yield phrase(
        "Only reported values were compared, as they stand: without intervals and without tests."
    )
    if policy.guardrails:
        may = _all_may(policy.guardrails, "may not", place.at("policy"))
        yield phrase("Guardrails: against {}, {}.", policy.reference, may)
    extreme = "lowest" if lower_is_better(policy.primary) else "highest"
    held = "pass and are" if policy.guardrails else "are"
    yield phrase(
        f"Of those that {held} better than {{}} on {{}}, the {extreme} is chosen; where several "
        f"are equal, {_equal_points(policy.tie_break)}.",
        policy.reference,
        policy.primary,
    )


def _equal_points(tie_break: str) -> str:
    return _TIE_BREAKS["earliest" if tie_break == "best" else tie_break]


def _drawn_too(decision: Decision) -> str:
    drawn = []
    if any(sample.n_clusters is not None for sample in decision.samples):
        drawn.append("examples that belong together as one")
    if any(sample.n_seeds > 1 for sample in decision.samples):
        drawn.append("the seeds of trained heads too")
    return "".join(f"; {what}" for what in drawn)


def _all_may(guardrails: list[Guardrail], verb: str, policy: Place) -> Markup:
    clauses = []
    for i, guardrail in enumerate(guardrails):
        change = "rise" if lower_is_better(guardrail.metric) else "fall"
        by: str = Markup("")
        if guardrail.margin:
            at = policy.at("guardrails", i, "margin")
            by = phrase(" by more than {}", at.tell(real_text(guardrail.margin), guardrail.margin))
        clauses.append(phrase(f"{{}} {verb} {change}{{}}", guardrail.metric, by))
    return listed(clauses)
