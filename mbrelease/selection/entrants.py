"""Those who stand for election: the candidates and the reference, each with its readings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mbrelease.errors import UserError
from mbrelease.evaluation.candidates import released_checkpoint, run_checkpoints
from mbrelease.evaluation.evidence import EvidenceRecord
from mbrelease.evaluation.metric_names import split_metric
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Policy
from mbrelease.registry.tasks import AnyTask
from mbrelease.selection.candidates import CandidateSource, candidate_sources
from mbrelease.selection.decision import Candidate
from mbrelease.selection.measurements import (
    options_to_measure,
    read_measured,
    relative_to_project,
    task_of,
)


@dataclass(frozen=True)
class Reading:
    """One metric of one entrant, and where it was read."""

    value: float
    evidence: str
    """The file, relative to the registry."""
    record: EvidenceRecord | None
    """``None`` of a reported point."""


@dataclass(frozen=True)
class Entrant:
    """A checkpoint, an average or the reference, with a reading of each metric of the policy."""

    name: str
    kind: Literal["checkpoint", "average", "reference"]
    path: str
    weights_sha256: str
    readings: Mapping[str, Reading]
    """By ``task/metric``."""
    step: int | None = None
    recipe: str | None = None
    members: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def of(candidate: Candidate, readings: Mapping[str, Reading]) -> Entrant:
        """The one that a decision speaks of."""
        return Entrant(
            name=candidate.name,
            kind=candidate.kind,
            path=candidate.path,
            weights_sha256=candidate.weights_sha256,
            readings=readings,
            step=candidate.step,
            recipe=candidate.recipe,
            members=candidate.members,
        )


@dataclass(frozen=True)
class Election:
    """All that a decision follows from."""

    variant: str
    split: str
    policy_name: str
    policy: Policy
    policy_sha256: str
    tasks: tuple[AnyTask, ...]
    """Those that the policy's metrics are of."""
    reference: Entrant
    candidates: tuple[Entrant, ...]
    decay_start: int | None = None
    reasons_for_second_looks: tuple[str, ...] = ()

    @property
    def metrics(self) -> list[str]:
        """The metrics of the policy, the primary one first."""
        return policy_metrics(self.policy)

    def task(self, metric: str) -> AnyTask:
        """The task that ``metric`` is of."""
        name, _ = split_metric(metric)
        return next(task for task in self.tasks if task.name == name)


def policy_metrics(policy: Policy) -> list[str]:
    """The metrics that ``policy`` names, each once, the primary one first."""
    guardrails = [guardrail.metric for guardrail in policy.guardrails]
    return list(dict.fromkeys([policy.primary, *guardrails]))


def policy_tasks(project: Project, variant: str, policy: Policy) -> tuple[AnyTask, ...]:
    """The tasks of the metrics that ``policy`` names, each once."""
    tasks = {
        task.name: task
        for task in (task_of(project, variant, metric) for metric in policy_metrics(policy))
    }
    return tuple(tasks.values())


def measured_entrants(project: Project, variant: str, policy: Policy) -> list[Entrant]:
    """The reference, the checkpoints in step order, the averages in the order of the registry.

    Raises:
        UserError: there are no candidates, or two of one name; or an average has not been built,
            or a measurement is missing: says which and how to make it.
    """
    _require_candidates(project, variant)
    base = CandidateSource(
        policy.reference, "reference", released_checkpoint(project, policy.reference)
    )
    sources = [base, *candidate_sources(project, variant)]
    checkpoints = [source.checkpoint for source in sources]
    table = {
        metric: read_measured(project, variant, checkpoints, metric)
        for metric in policy_metrics(policy)
    }
    entrants = []
    for position, source in enumerate(sources):
        found = {metric: column[position] for metric, column in table.items()}
        missing = [metric for metric, record in found.items() if record is None]
        if missing:
            raise _not_measured(project, variant, sources, position, missing)
        entrants.append(
            Entrant(
                name=source.name,
                kind=source.kind,
                path=relative_to_project(project, source.checkpoint.path),
                weights_sha256=source.checkpoint.weights_sha256,
                readings={
                    metric: reading_of(project, record, metric)
                    for metric, record in found.items()
                    if record
                },
                step=source.checkpoint.step,
                recipe=source.recipe,
                members={name: float(weight) for name, weight in source.members.items()},
            )
        )
    return entrants


def _require_candidates(project: Project, variant: str) -> None:
    candidates = project.variant(variant).candidates
    if candidates.checkpoints == [] and not candidates.averages:
        raise UserError(
            f"'{variant}' has no candidates: its 'candidates' in {project.registry_path} name "
            "neither checkpoints nor averages",
            mend="leave 'checkpoints' out, and all of the run are candidates",
        )
    twice = [recipe for recipe, count in Counter(candidates.averages).items() if count > 1]
    if twice:
        raise UserError(
            f"candidates.averages of '{variant}' in {project.registry_path} names {twice[0]} twice",
            mend="keep one of them",
        )


def reading_of(project: Project, record: EvidenceRecord, metric: str) -> Reading:
    """What ``record`` says of ``metric``."""
    assert record.file is not None
    return Reading(
        record.metrics[split_metric(metric)[1]], relative_to_project(project, record.file), record
    )


def decay_start(project: Project, variant: str) -> int | None:
    """The last step before the learning rate falls for good, as the run's last log has it."""
    checkpoints = run_checkpoints(project, variant)
    states = [checkpoint.trainer_state for checkpoint in checkpoints]
    last = next((state for state in reversed(states) if state is not None), None)
    return last.decay_start if last else None


def _not_measured(
    project: Project,
    variant: str,
    sources: Sequence[CandidateSource],
    position: int,
    missing: Sequence[str],
) -> UserError:
    source = sources[position]
    target = source.name if source.kind == "reference" else source.checkpoint.path
    suite = project.variant(variant).suite
    checkpoints = [one.checkpoint for one in sources]
    # As the others were: evidence of another backend would not count.
    options = options_to_measure(project, variant, checkpoints, missing[0])
    others = [
        one.name
        for one, record in zip(
            sources, read_measured(project, variant, checkpoints, missing[0]), strict=True
        )
        if record is None and one is not source
    ]
    count = len(others)
    also = f" (nor for {count} {'other' if count == 1 else 'others'})" if others else ""
    return UserError(
        f"no evidence of {', '.join(missing)} for {source.name}{also}",
        mend=f"mbrelease eval {target} --suite {suite}{options}",
    )
