"""The rule by which weights were chosen, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from mbrelease.cards.numbers import count_text, join_words, real_text
from mbrelease.evaluation.metric_names import lower_is_better
from mbrelease.registry.schema import Guardrail
from mbrelease.selection.decision import Decision

_TIE_BREAKS = {
    "earliest": "the earliest of them is chosen",
    "latest": "the latest of them is chosen",
    "fewest-parents": "the one made of the fewest checkpoints is chosen",
    "best": "the one with the best value is chosen, though its lead may be chance",
}


def rules(decision: Decision) -> tuple[str, ...]:
    """What a candidate had to show, and which of those that did was taken."""
    of_basis = _points if decision.basis == "points" else _examples
    return tuple(of_basis(decision))


def _examples(decision: Decision) -> Iterator[str]:
    """Held to ``selection.rule``, which decides."""
    policy, many = decision.policy, len(decision.candidates)
    alpha = f"α = {real_text(policy.alpha)}"
    yield (
        f"Every candidate is paired with {policy.reference} on the same examples of "
        f"{decision.split}, which are drawn again {count_text(policy.resamples)} times (paired "
        f"bootstrap{_drawn_too(decision)})."
    )
    if policy.guardrails:
        correction = f", Holm's correction for {many} candidates" if many > 1 else ""
        yield (
            f"Guardrails: it has to be shown that {_all_may(policy.guardrails, 'does not')} "
            f"(non-inferiority, one-sided {alpha}{correction}). What is inconclusive does not pass."
        )
    bound = f"that holds for all {many} candidates at once (max-T, " if many > 1 else "(one-sided "
    yield f"It has to be better on {policy.primary}, by a lower bound {bound}{alpha})."
    if many > 1:
        yield (
            f"Of those that are, the best on {policy.primary} and all that cannot be told from it "
            f"(max-T) count as equals: {_TIE_BREAKS[policy.tie_break]}. Where none is left, "
            f"{policy.reference} is kept."
        )


def _points(decision: Decision) -> Iterator[str]:
    policy = decision.policy
    yield "Only reported values were compared, as they stand: without intervals and without tests."
    if policy.guardrails:
        yield (f"Guardrails: against {policy.reference}, {_all_may(policy.guardrails, 'may not')}.")
    extreme = "lowest" if lower_is_better(policy.primary) else "highest"
    held = "pass and are" if policy.guardrails else "are"
    yield (
        f"Of those that {held} better than {policy.reference} on {policy.primary}, the "
        f"{extreme} is chosen; where several are equal, {_equal_points(policy.tie_break)}."
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


def _all_may(guardrails: list[Guardrail], verb: str) -> str:
    clauses = []
    for guardrail in guardrails:
        change = "rise" if lower_is_better(guardrail.metric) else "fall"
        by = f" by more than {real_text(guardrail.margin)}" if guardrail.margin else ""
        clauses.append(f"{guardrail.metric} {verb} {change}{by}")
    return join_words(clauses)
