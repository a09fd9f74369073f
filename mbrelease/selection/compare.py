"""Each candidate against the reference: intervals, tests, wins and losses."""

from __future__ import annotations

from mbrelease.evaluation.metric_names import lower_is_better
from mbrelease.registry.schema import Guardrail, Policy
from mbrelease.selection.decision import (
    Candidate,
    Comparison,
    GuardrailResult,
    Measurement,
)
from mbrelease.selection.entrants import Election, Entrant
from mbrelease.selection.inference import Resampled
from mbrelease.selection.rule import Rule, Verdict
from mbrelease.selection.statistics import (
    examples_to_settle,
    minimal_detectable_effect,
    one_sided_bounds,
    p_max_t,
    pareto_front,
    percentile_interval,
    standard_error,
    state_of,
    wins_ties_losses,
)

# What is written is the same on every machine: sums differ in their last digits.
DIGITS = 10


def reference_result(election: Election, drawn: Resampled) -> Candidate:
    """The reference with its measurements."""
    return _entered(election.reference, _measurements(drawn, 0, election.reference))


def candidate_results(
    election: Election, drawn: Resampled, rule: Rule, verdict: Verdict, again: Verdict
) -> list[Candidate]:
    """Each candidate with all that was found out about it, in the order of ``election``."""
    policy = election.policy
    above, p_superiority = _superiority(drawn, rule)
    front = pareto_front(drawn.point[1:])
    found = []
    for place, entrant in enumerate(election.candidates):
        found.append(
            _entered(entrant, _measurements(drawn, place + 1, entrant)).model_copy(
                update={
                    "primary": _comparison(drawn, policy, place + 1, policy.primary),
                    "guardrails": [
                        _guardrail(election, drawn, rule, place, column, guardrail)
                        for column, guardrail in enumerate(policy.guardrails, start=1)
                    ],
                    "p_guardrails": rounded(verdict.p_guardrails[0, place])
                    if policy.guardrails
                    else None,
                    "eligible": bool(verdict.eligible[0, place]),
                    "superiority": above[place],
                    "p_superiority": p_superiority[place],
                    "superior": bool(verdict.superior[0, place]),
                    "tied": bool(verdict.tied[0, place]),
                    "p_selected": share_of(again, place),
                    "on_front": bool(front[place]),
                }
            )
        )
    return found


def _entered(entrant: Entrant, measurements: list[Measurement]) -> Candidate:
    return Candidate(
        name=entrant.name,
        kind=entrant.kind,
        path=entrant.path,
        weights_sha256=entrant.weights_sha256,
        step=entrant.step,
        recipe=entrant.recipe,
        members=dict(entrant.members),
        measurements=measurements,
    )


def _measurements(drawn: Resampled, place: int, entrant: Entrant) -> list[Measurement]:
    found = []
    for column, metric in enumerate(drawn.metrics):
        reading = entrant.readings[metric]
        record = reading.record
        interval = None
        if len(drawn.values):
            low, high = percentile_interval(drawn.values[:, place, column])
            interval = (-high, -low) if lower_is_better(metric) else (low, high)
        per_example = record.per_example if record else None
        found.append(
            Measurement(
                metric=metric,
                value=reading.value,
                ci95=_both_rounded(interval),
                n_examples=record.n_examples if record else None,
                evidence=reading.evidence,
                key=record.provenance.key if record else None,
                per_example_sha256=per_example.sha256 if per_example else None,
            )
        )
    return found


def _comparison(drawn: Resampled, policy: Policy, place: int, metric: str) -> Comparison:
    column = drawn.metrics.index(metric)
    change = float(drawn.point[place, column] - drawn.point[0, column])
    if drawn.basis_is_points:
        return Comparison(
            metric=metric,
            change=rounded(change),
            ci95=None,
            standard_error=None,
            wins=None,
            ties=None,
            losses=None,
            minimal_detectable_effect=None,
        )
    values = drawn.values[:, place, column] - drawn.values[:, 0, column]
    error = float(standard_error(values))
    own, base = (drawn.scores[column][position].by_example for position in (place, 0))
    counts = (None, None, None) if own is None or base is None else wins_ties_losses(own - base)
    return Comparison(
        metric=metric,
        change=rounded(change),
        ci95=_both_rounded(percentile_interval(values)),
        standard_error=rounded(error),
        wins=counts[0],
        ties=counts[1],
        losses=counts[2],
        minimal_detectable_effect=rounded(minimal_detectable_effect(error, policy.alpha)),
    )


def _guardrail(
    election: Election,
    drawn: Resampled,
    rule: Rule,
    place: int,
    column: int,
    guardrail: Guardrail,
) -> GuardrailResult:
    policy, entrant = election.policy, election.candidates[place]
    compared = _comparison(drawn, policy, place + 1, guardrail.metric)
    p = float(rule.p_guardrail(place, column, guardrail.margin))
    values = rule.changes.values[:, place, column]
    lower = upper = None
    if len(values):
        lower, upper = one_sided_bounds(values, policy.alpha)
    state = state_of(
        p, upper if upper is not None else compared.change, guardrail.margin, policy.alpha
    )
    settle = None
    if state == "inconclusive" and compared.standard_error:
        sample = next(one for one in drawn.samples if one.metric == guardrail.metric)
        settle = examples_to_settle(
            compared.change,
            compared.standard_error,
            guardrail.margin,
            sample.n_examples,
            policy.alpha,
        )
    return GuardrailResult(
        **compared.model_dump(),
        margin=guardrail.margin,
        value=entrant.readings[guardrail.metric].value,
        reference=election.reference.readings[guardrail.metric].value,
        lower=None if lower is None else rounded(lower),
        upper=None if upper is None else rounded(upper),
        p=rounded(p) if len(values) else None,
        state=state,
        examples_to_settle=settle,
    )


def _superiority(drawn: Resampled, rule: Rule) -> tuple[list[float | None], list[float | None]]:
    """The simultaneous lower bound of each candidate's change of the primary metric, and its p."""
    point, values = rule.changes.point[:, 0], rule.changes.values[:, :, 0]
    if drawn.basis_is_points:
        nothing: list[float | None] = [None] * len(point)
        return nothing, nothing
    bounds = point - rule.superior_above
    return [rounded(x) for x in bounds], [rounded(x) for x in p_max_t(values, point)]


def share_of(again: Verdict, place: int) -> float | None:
    """How often ``place`` won, of all resamples; ``None`` where there were none."""
    return rounded((again.winner == place).mean()) if len(again.winner) else None


def rounded(value: float) -> float:
    """``value`` as it is written down."""
    return float(f"{float(value):.{DIGITS}g}")


def _both_rounded(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if interval is None else (rounded(interval[0]), rounded(interval[1]))
