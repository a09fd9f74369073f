"""Which of several records of a model to show, and which of another model's compares with it."""

from __future__ import annotations

from collections.abc import Sequence

from mbrelease.errors import UserError
from mbrelease.evaluation.comparable import conditions
from mbrelease.evaluation.dataset import data_sha256_at_hand
from mbrelease.evaluation.evidence import EvidenceRecord
from mbrelease.evaluation.task_settings import split_files, task_sha256
from mbrelease.registry.project import Project
from mbrelease.registry.tasks import AnyTask
from mbrelease.selection.decision import Decision


def most_telling(
    project: Project,
    task: AnyTask,
    split: str,
    own: Sequence[EvidenceRecord],
    others: Sequence[Sequence[EvidenceRecord]],
    decision: Decision | None,
) -> EvidenceRecord:
    """Of the records of one model on a task (``own``, one of them on ``split``), the one to show.

    First those of today's task and data, then those measured as the decision's were, then those
    that most of the other models can be held against, then the newest measuring code.
    """
    keys = {
        measurement.key
        for candidate in (decision.candidates if decision else [])
        if candidate.name == (decision.chosen if decision else None)
        for measurement in candidate.measurements
    }
    chosen_with = {_method(record) for record in own if record.provenance.key in keys}
    settings = task_sha256(task)
    data = _data_on_disk(project, task, split)

    def rank(record: EvidenceRecord) -> tuple[object, ...]:
        p = record.provenance
        comparable = sum(like(record, side) is not None for side in others)
        return (
            p.task_sha256 == settings,
            data is None or p.data_sha256 == data,
            _method(record) in chosen_with,
            comparable,
            p.code_version,
            p.key,
        )

    return max((record for record in own if record.split == split), key=rank)


def _method(record: EvidenceRecord) -> tuple[object, ...]:
    """How a record was measured, whatever the model, the split and the data."""
    p = record.provenance
    return (p.task_sha256, p.code_version, p.attn, p.dtype, p.device)


def like(record: EvidenceRecord, others: Sequence[EvidenceRecord]) -> EvidenceRecord | None:
    """The record of another model that was measured in the same way on the same data."""
    wanted = (record.split, conditions(record.provenance))
    for other in others:
        if (other.split, conditions(other.provenance)) == wanted:
            return other
    return None


def _data_on_disk(project: Project, task: AnyTask, split: str) -> str | None:
    try:
        sources = list(split_files(task, split, project.root).values())
    except UserError:
        return None
    return data_sha256_at_hand(sources)
