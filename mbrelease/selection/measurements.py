"""Read the metrics that a policy speaks of from the evidence, all under the same conditions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.evaluation.comparable import comparable_records, eval_options
from mbrelease.evaluation.dataset import data_sha256_at_hand
from mbrelease.evaluation.evidence import EvidenceRecord
from mbrelease.evaluation.jobs import split_files, task_sha256
from mbrelease.evaluation.metric_names import split_metric
from mbrelease.registry.project import Project
from mbrelease.registry.tasks import AnyTask
from mbrelease.selection.decision import Measurement

SELECTION_SPLIT = "dev"


def read_measurements(
    project: Project, variant: str, checkpoints: Sequence[Checkpoint], metric: str
) -> list[Measurement | None]:
    """``metric`` (``task/metric``) of each checkpoint on dev; ``None`` where it is not measured.

    Only records of the data and settings that the registry names now count, and all come from
    the same backend.
    """
    key = split_metric(metric)[1]
    records = _records(project, variant, checkpoints, metric)
    return [
        None if record is None or key not in record.metrics else _read(project, record, metric, key)
        for record in records
    ]


def options_to_measure(
    project: Project, variant: str, checkpoints: Sequence[Checkpoint], metric: str
) -> str:
    """The options of ``mbrelease eval`` with which most of ``checkpoints`` were measured."""
    records = _records(project, variant, checkpoints, metric)
    return next((f" {eval_options(record.provenance)}" for record in records if record), "")


def _records(
    project: Project, variant: str, checkpoints: Sequence[Checkpoint], metric: str
) -> list[EvidenceRecord | None]:
    task_name, _ = split_metric(metric)
    task = next(task for task in project.suite(variant) if task.name == task_name)
    return comparable_records(
        project.evidence,
        checkpoints,
        task_name,
        SELECTION_SPLIT,
        data_sha256=split_sha256(task, project.root),
        task_sha256=task_sha256(task),
    )


def relative_to_project(project: Project, path: Path) -> str:
    """``path`` as the project writes it down: relative to the registry where it lies below it."""
    path, root = path.absolute(), project.root.absolute()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else os.fspath(path)


def _read(project: Project, record: EvidenceRecord, metric: str, key: str) -> Measurement:
    assert record.file is not None
    return Measurement(
        metric=metric,
        value=record.metrics[key],
        ci95=record.ci95.get(key),
        n_examples=record.n_examples,
        evidence=relative_to_project(project, record.file),
        key=record.provenance.key,
    )


def split_sha256(task: AnyTask, root: Path) -> str | None:
    """The sha256 of the data of ``task`` on dev; ``None`` where they are not on this machine."""
    # Where the data are not at hand (a release job), the evidence speaks for itself.
    return data_sha256_at_hand(list(split_files(task, SELECTION_SPLIT, root).values()))
