"""What checkpoints are ranked by outside a policy: a metric measured on dev."""

from __future__ import annotations

from collections.abc import Sequence

from mbrelease.checkpoints.source import Source
from mbrelease.errors import UserError, did_you_mean
from mbrelease.evaluation.comparable import comparable_records
from mbrelease.evaluation.metric_names import split_metric
from mbrelease.evaluation.task_settings import task_sha256
from mbrelease.registry.project import Project
from mbrelease.registry.tasks import AnyTask
from mbrelease.selection.measurements import SELECTION_SPLIT, split_sha256


def measured_values(
    project: Project, sources: Sequence[Source], metric: str, tasks: Sequence[AnyTask]
) -> list[float | None]:
    """``TASK/METRIC`` on dev, of all checkpoints under the same settings.

    Where ``tasks`` has the task, only results of its present settings and data count.
    """
    name, key = split_metric(metric)
    task = next((task for task in tasks if task.name == name), None)
    records = comparable_records(
        project.evidence,
        sources,
        name,
        SELECTION_SPLIT,
        data_sha256=None if task is None else split_sha256(task, project.root),
        task_sha256=None if task is None else task_sha256(task),
    )
    return [record.metrics.get(key) if record else None for record in records]


def tasks_for(project: Project, metric: str, variant: str | None) -> list[AnyTask]:
    """The suite in which ``metric`` is looked up: the variant's, or the only one that has its task.

    Raises:
        UserError: several suites have a task of that name, with other settings.
    """
    if variant is not None and project.variant(variant).suite is not None:
        return project.suite(variant)
    name, _ = split_metric(metric)
    suites = {
        suite: tasks
        for suite, tasks in project.registry.suites.items()
        if any(task.name == name for task in tasks)
    }
    settings = {task_sha256(t) for tasks in suites.values() for t in tasks if t.name == name}
    if len(settings) > 1:
        raise UserError(
            f"the suites {', '.join(sorted(suites))} each have another task '{name}'",
            mend="average a variant, which names its suite",
        )
    return next(iter(suites.values()), [])


def require_task(tasks: Sequence[AnyTask], metric: str, project: Project) -> None:
    """Stop unless there is a task to measure ``metric`` with.

    Raises:
        UserError: there is none.
    """
    name, _ = split_metric(metric)
    known = [task.name for tasks in project.registry.suites.values() for task in tasks]
    if name not in {task.name for task in tasks}:
        raise UserError(
            f"no suite in {project.registry_path} has a task '{name}'",
            mend=did_you_mean(name, known),
        )
