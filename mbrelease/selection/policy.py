"""Decide by a policy: guardrails, then the primary metric, then the tie-break; all of it paired.

Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mbrelease.evaluation.metric_names import shown
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Policy
from mbrelease.selection.compare import candidate_results, reference_result, rounded, share_of
from mbrelease.selection.decision import Candidate, Decision
from mbrelease.selection.entrants import (
    Election,
    Entrant,
    decay_start,
    measured_entrants,
    policy_tasks,
)
from mbrelease.selection.findings import Curves, find
from mbrelease.selection.frozen import frozen_policy
from mbrelease.selection.inference import FEWEST_SEEDS, Resampled, resample
from mbrelease.selection.ledger import reasons
from mbrelease.selection.measurements import SELECTION_SPLIT
from mbrelease.selection.points import has_reported_steps, reported_entrants
from mbrelease.selection.reasons import reasons_for
from mbrelease.selection.rule import NOTHING, Rule, Verdict
from mbrelease.selection.statistics import Floats, standard_error


def decide(project: Project, variant: str) -> Decision:
    """Choose among the candidates of ``variant`` by its policy, from evidence on dev alone.

    Raises:
        UserError: the variant has no policy or no candidates, or a measurement is missing, was
            changed, or was made on other examples.
    """
    return decide_among(hold_election(project, project.resolve_name(variant)))


def hold_election(project: Project, variant: str) -> Election:
    """All that the decision on ``variant`` follows from, as registry and evidence have it now.

    Raises:
        UserError: as ``decide``.
    """
    policy = project.policy(variant)
    by_points = project.variant(variant).run is None and has_reported_steps(project, variant)
    entrants = reported_entrants if by_points else measured_entrants
    reference, *candidates = entrants(project, variant, policy)
    return Election(
        variant=variant,
        split=SELECTION_SPLIT,
        policy_name=project.variant(variant).policy or "",
        policy=policy,
        policy_sha256=frozen_policy(project, variant).sha256,
        tasks=policy_tasks(project, variant, policy),
        reference=reference,
        candidates=tuple(candidates),
        decay_start=None if by_points else decay_start(project, variant),
        reasons_for_second_looks=tuple(reasons(project, variant)),
    )


def decide_among(election: Election) -> Decision:
    """The decision that follows from ``election``; the same from the same, always.

    Raises:
        UserError: entrants were measured on different examples or masks, there are fewer than 30
            examples, or a file of scores is missing or was changed.
    """
    policy = election.policy
    drawn = resample(election)
    changes = drawn.changes(policy)
    margins = [guardrail.margin for guardrail in policy.guardrails]
    rule = Rule.fixed_by(changes, margins, policy.alpha, preference(policy, election.candidates))
    verdict = rule.apply(changes.point[None])
    again = rule.apply(changes.values)
    candidates = candidate_results(election, drawn, rule, verdict, again)
    winner = int(verdict.winner[0])
    decision = Decision(
        variant=election.variant,
        split=election.split,
        basis="points" if drawn.basis_is_points else "examples",
        policy_name=election.policy_name,
        policy=policy,
        policy_sha256=election.policy_sha256,
        tasks=list(election.tasks),
        samples=list(drawn.samples),
        reference=reference_result(election, drawn),
        candidates=candidates,
        chosen=None if winner == NOTHING else candidates[winner].name,
        p_keep_reference=share_of(again, NOTHING),
        optimism=_optimism(drawn, again),
        decay_start=election.decay_start,
        findings=find(_curves(election, drawn)),
        warnings=_warnings(policy, drawn, candidates),
        reasons=[],
        reasons_for_second_looks=list(election.reasons_for_second_looks),
    )
    return decision.model_copy(update={"reasons": reasons_for(decision)})


def preference(policy: Policy, candidates: Sequence[Entrant]) -> list[int] | None:
    """Each candidate's place in the order of the tie-break; ``None`` where values decide.

    An average comes after every checkpoint, in the order of the registry.
    """
    places = list(range(len(candidates)))
    if policy.tie_break == "best":
        return None
    if policy.tie_break == "latest":
        return [-place for place in places]
    if policy.tie_break == "fewest-parents":
        parents = [len(candidate.members) or 1 for candidate in candidates]
        return [len(places) * parents[place] + place for place in places]
    return places


def _optimism(drawn: Resampled, again: Verdict) -> float | None:
    """The mean of the winner's value in a resample less its value on what was left out.

    The whole rule is applied again in each resample (Efron and Tibshirani, 1993, chapter 17).
    """
    rows = np.flatnonzero(again.winner != NOTHING)
    if not len(rows):
        return None
    place = again.winner[rows] + 1
    gained: Floats = drawn.values[rows, place, 0] - drawn.out_of_bag[rows, place]
    return rounded(float(np.nanmean(gained)))


def _curves(election: Election, drawn: Resampled) -> Curves:
    return Curves(
        names=tuple(candidate.name for candidate in election.candidates),
        kinds=tuple(candidate.kind for candidate in election.candidates),
        steps=tuple(candidate.step for candidate in election.candidates),
        metrics=drawn.metrics,
        point=drawn.point[1:],
        values=drawn.values[:, 1:],
        decay_start=election.decay_start,
        alpha=election.policy.alpha,
    )


def _warnings(policy: Policy, drawn: Resampled, candidates: Sequence[Candidate]) -> list[str]:
    if drawn.basis_is_points:
        return [
            "Only reported values are known: no interval, no test, no correction for having "
            "picked the best."
        ]
    found = []
    for sample in drawn.samples:
        trained = any(scores.seeds for scores in drawn.scores[drawn.metrics.index(sample.metric)])
        if trained and sample.n_seeds < FEWEST_SEEDS:
            found.append(
                f"{sample.metric} was measured with {sample.n_seeds} "
                f"{'seed' if sample.n_seeds == 1 else 'seeds'}: seed variance not estimated."
            )
    spread = standard_error(drawn.values)
    for column, metric in enumerate(drawn.metrics):
        if not spread[:, column].any():
            found.append(f"{metric} does not vary: it is the same whatever examples are drawn.")
    return [*found, *_too_few_examples(policy, drawn, candidates)]


def _too_few_examples(
    policy: Policy, drawn: Resampled, candidates: Sequence[Candidate]
) -> list[str]:
    """Of each guardrail that stopped somebody while it could hardly find what it allows."""
    found = []
    for place, guardrail in enumerate(policy.guardrails):
        results = [candidate.guardrails[place] for candidate in candidates]
        smallest = min((one.minimal_detectable_effect or 0.0 for one in results), default=0.0)
        stopped = any(
            not candidate.eligible and (result.p or 0.0) * len(candidates) > policy.alpha
            for candidate, result in zip(candidates, results, strict=True)
        )
        if smallest > guardrail.margin and stopped:
            sample = next(one for one in drawn.samples if one.metric == guardrail.metric)
            found.append(
                f"The guardrail on {guardrail.metric} allows {guardrail.margin:g}, and "
                f"{sample.n_examples} examples find changes of {shown(guardrail.metric, smallest)} "
                "at best (with probability 0.8): a wider margin or more examples would settle more."
            )
    return found
