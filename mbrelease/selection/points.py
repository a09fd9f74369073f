"""Candidates of which only reported values are known: steps of a run, from a card or a paper."""

from __future__ import annotations

from collections.abc import Sequence

from mbrelease.errors import UserError
from mbrelease.evaluation.metric_names import split_metric
from mbrelease.evaluation.reported import ReportedResult, read_reported, reported_folder
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Policy
from mbrelease.selection.entrants import Entrant, Reading, policy_metrics
from mbrelease.selection.measurements import SELECTION_SPLIT, relative_to_project

PREFIX = "step-"


def has_reported_steps(project: Project, variant: str) -> bool:
    """Whether values of single steps of ``variant`` were reported on dev."""
    return bool(_of_steps(read_reported(project.evidence, variant)))


def reported_entrants(project: Project, variant: str, policy: Policy) -> list[Entrant]:
    """The reference, then each step of which something was reported, in order.

    Raises:
        UserError: a metric of the policy was not reported of one of them, or twice.
    """
    results = read_reported(project.evidence, variant)
    steps = sorted({result.step for result in _of_steps(results) if result.step is not None})
    named = project.resolve_name(policy.reference)
    of_reference = [one for one in read_reported(project.evidence, named) if one.step is None]
    reference = Entrant(
        name=policy.reference,
        kind="reference",
        path="",
        weights_sha256="",
        readings={
            metric: _reading(project, named, of_reference, metric, None)
            for metric in policy_metrics(policy)
        },
    )
    return [
        reference,
        *(
            Entrant(
                name=f"{PREFIX}{step}",
                kind="checkpoint",
                path="",
                weights_sha256="",
                readings={
                    metric: _reading(project, variant, results, metric, step)
                    for metric in policy_metrics(policy)
                },
                step=step,
            )
            for step in steps
        ),
    ]


def reported_reading(project: Project, variant: str, metric: str, step: int | None) -> Reading:
    """What is reported now of ``metric`` of ``variant``, at ``step`` where it is of one.

    Raises:
        UserError: nothing, or two values.
    """
    variant = project.resolve_name(variant)
    results = read_reported(project.evidence, variant)
    return _reading(project, variant, results, metric, step)


def _of_steps(results: Sequence[ReportedResult]) -> list[ReportedResult]:
    return [one for one in results if one.step is not None and one.split == SELECTION_SPLIT]


def _reading(
    project: Project,
    variant: str,
    results: Sequence[ReportedResult],
    metric: str,
    step: int | None,
) -> Reading:
    task, key = split_metric(metric)
    found = {
        one.value
        for one in results
        if (one.task_name, one.metric, one.split, one.step) == (task, key, SELECTION_SPLIT, step)
    }
    who = variant if step is None else f"{variant} at step {step}"
    path = reported_folder(project.evidence, variant) / f"{task}.json"
    if not found:
        raise UserError(
            f"no {metric} of {who} was reported on {SELECTION_SPLIT}",
            mend=f"enter it with its source: mbrelease import FILE.csv (it goes to {path})",
        )
    if len(found) > 1:
        values = " and ".join(f"{value:g}" for value in sorted(found))
        raise UserError(
            f"{path}: {metric} of {who} was reported as {values}", mend="keep one of them"
        )
    return Reading(found.pop(), relative_to_project(project, path), None)
