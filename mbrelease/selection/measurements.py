"""Read the metrics that a policy speaks of from the evidence, all under the same conditions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.evaluation.comparable import comparable_records, eval_options
from mbrelease.evaluation.dataset import data_sha256_at_hand
from mbrelease.evaluation.evidence import EvidenceRecord
from mbrelease.evaluation.metric_names import split_metric
from mbrelease.evaluation.task_settings import split_files, task_sha256
from mbrelease.registry.project import Project
from mbrelease.registry.tasks import AnyTask

SELECTION_SPLIT = "dev"


def read_measured(
    project: Project, variant: str, checkpoints: Sequence[Checkpoint], metric: str
) -> list[EvidenceRecord | None]:
    """The record with ``metric`` (``task/metric``) of each checkpoint on dev, or ``None``.

    Only records of the data and settings that the registry names now count, and all come from
    the same backend.
    """
    key = split_metric(metric)[1]
    task = task_of(project, variant, metric)
    records = comparable_records(
        project.evidence,
        checkpoints,
        task.name,
        SELECTION_SPLIT,
        data_sha256=split_sha256(task, project.root),
        task_sha256=task_sha256(task),
    )
    return [record if record and key in record.metrics else None for record in records]


def read_values(
    project: Project, variant: str, checkpoints: Sequence[Checkpoint], metric: str
) -> list[float | None]:
    """As ``read_measured``, the values alone."""
    key = split_metric(metric)[1]
    records = read_measured(project, variant, checkpoints, metric)
    return [record.metrics[key] if record else None for record in records]


def options_to_measure(
    project: Project, variant: str, checkpoints: Sequence[Checkpoint], metric: str
) -> str:
    """The options of ``mbrelease eval`` with which most of ``checkpoints`` were measured."""
    records = read_measured(project, variant, checkpoints, metric)
    return next((f" {eval_options(record.provenance)}" for record in records if record), "")


def task_of(project: Project, variant: str, metric: str) -> AnyTask:
    """The task of the variant's suite that ``metric`` is of."""
    name, _ = split_metric(metric)
    return next(task for task in project.suite(variant) if task.name == name)


def relative_to_project(project: Project, path: Path) -> str:
    """``path`` as the project writes it down: relative to the registry where it lies below it."""
    path, root = path.absolute(), project.root.absolute()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else os.fspath(path)


def split_sha256(task: AnyTask, root: Path) -> str | None:
    """The sha256 of the data of ``task`` on dev; ``None`` where they are not on this machine."""
    # Where the data are not at hand (a release job), the evidence speaks for itself.
    return data_sha256_at_hand(list(split_files(task, SELECTION_SPLIT, root).values()))
