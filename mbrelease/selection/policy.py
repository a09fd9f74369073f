"""Decide by a policy: guardrails against the reference, then the best primary metric.

Point values are compared, and the reasons say how far they carry. Nothing here needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mbrelease.errors import UserError
from mbrelease.evaluation.candidates import released_checkpoint
from mbrelease.evaluation.metric_names import lower_is_better
from mbrelease.files import sha256_json
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Guardrail, Policy
from mbrelease.selection.candidates import CandidateSource, candidate_sources
from mbrelease.selection.decision import Candidate, Decision, GuardrailResult, Measurement
from mbrelease.selection.measurements import (
    SELECTION_SPLIT,
    options_to_measure,
    read_measurements,
    relative_to_project,
)
from mbrelease.selection.reasons import reasons_for


@dataclass(frozen=True)
class Measured:
    """A candidate and its value of each metric of the policy, by metric."""

    source: CandidateSource
    measurements: dict[str, Measurement]


def decide(project: Project, variant: str) -> Decision:
    """Choose among the candidates of ``variant`` by its policy, from evidence on dev alone.

    A candidate is eligible if no guardrail metric is worse than the reference's by more than
    its margin. Of the eligible ones the best primary metric wins, if it is better than the
    reference's; the policy's tie-break settles exact ties. Otherwise nothing is chosen.

    Raises:
        UserError: the variant has no policy or no candidates, or a measurement is missing.
    """
    variant = project.resolve_name(variant)
    policy = project.policy(variant)
    base = CandidateSource(
        policy.reference, "reference", released_checkpoint(project, policy.reference)
    )
    measured = _measure(project, variant, policy, [base, *candidate_sources(project, variant)])
    reference = _candidate(project, measured[0], [])
    candidates = [
        _candidate(project, one, _guardrails(policy, one, reference)) for one in measured[1:]
    ]
    chosen = _choose(policy, candidates, reference)
    return Decision(
        variant=variant,
        split=SELECTION_SPLIT,
        policy_name=project.variant(variant).policy or "",
        policy=policy,
        policy_sha256=sha256_json(policy.model_dump(mode="json")),
        reference=reference,
        candidates=candidates,
        chosen=chosen.name if chosen else None,
        reasons=reasons_for(policy, candidates, reference, chosen),
    )


def _measure(
    project: Project, variant: str, policy: Policy, sources: Sequence[CandidateSource]
) -> list[Measured]:
    metrics = [policy.primary, *(guardrail.metric for guardrail in policy.guardrails)]
    checkpoints = [source.checkpoint for source in sources]
    table = {
        metric: read_measurements(project, variant, checkpoints, metric)
        for metric in dict.fromkeys(metrics)
    }
    rows: list[Measured] = []
    for position, source in enumerate(sources):
        found = {metric: column[position] for metric, column in table.items()}
        missing = [metric for metric, measurement in found.items() if measurement is None]
        if missing:
            target = source.name if source.kind == "reference" else source.checkpoint.path
            suite = project.variant(variant).suite
            # As the others were: evidence of another backend would not count.
            options = options_to_measure(project, variant, checkpoints, missing[0])
            raise UserError(
                f"no evidence of {', '.join(missing)} for {source.name}",
                mend=f"mbrelease eval {target} --suite {suite}{options}",
            )
        rows.append(Measured(source, {m: value for m, value in found.items() if value}))
    return rows


def _candidate(
    project: Project, measured: Measured, guardrails: list[GuardrailResult]
) -> Candidate:
    source = measured.source
    return Candidate(
        name=source.name,
        kind=source.kind,
        path=relative_to_project(project, source.checkpoint.path),
        weights_sha256=source.checkpoint.weights_sha256,
        step=source.checkpoint.step,
        recipe=source.recipe,
        members={name: float(weight) for name, weight in source.members.items()},
        measurements=list(measured.measurements.values()),
        guardrails=guardrails,
        eligible=all(result.passed for result in guardrails),
    )


def _guardrails(policy: Policy, measured: Measured, reference: Candidate) -> list[GuardrailResult]:
    return [
        _guardrail(guardrail, measured.measurements[guardrail.metric].value, reference)
        for guardrail in policy.guardrails
    ]


def _guardrail(guardrail: Guardrail, value: float, reference: Candidate) -> GuardrailResult:
    held_against = reference.value(guardrail.metric)
    change = improvement(guardrail.metric, value, held_against)
    return GuardrailResult(
        metric=guardrail.metric,
        margin=guardrail.margin,
        value=value,
        reference=held_against,
        change=change,
        # 0.50 - 0.48 is a little more than 0.02 in floating point: on the margin is on the margin.
        passed=change >= -guardrail.margin or math.isclose(change, -guardrail.margin),
    )


def improvement(metric: str, value: float, over: float) -> float:
    """How much better ``value`` is than ``over``, whichever direction is better."""
    return over - value if lower_is_better(metric) else value - over


def _choose(
    policy: Policy, candidates: Sequence[Candidate], reference: Candidate
) -> Candidate | None:
    primary = policy.primary
    better = [
        candidate
        for candidate in candidates
        if candidate.eligible
        and improvement(primary, candidate.value(primary), reference.value(primary)) > 0
    ]
    if not better:
        return None
    sign = -1 if lower_is_better(primary) else 1
    best = max(sign * candidate.value(primary) for candidate in better)
    tied = [candidate for candidate in better if sign * candidate.value(primary) == best]
    return _break_tie(policy, tied)


def _break_tie(policy: Policy, tied: Sequence[Candidate]) -> Candidate:
    """Of equal values: the earliest or latest step (an average comes after every checkpoint)."""
    if policy.tie_break == "fewest-parents":
        return min(tied, key=lambda candidate: len(candidate.members))
    return tied[0] if policy.tie_break == "earliest" else tied[-1]
