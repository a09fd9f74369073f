"""What to know of a task before its numbers are believed: few seeds, data that say little."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mbrelease.evaluation.evidence import EvidenceRecord
from mbrelease.registry.tasks import ENOUGH_SEEDS, AnyTask, TrainedTask

WORTH_SAYING = 0.01
"""The share of the examples from which a count is told."""

# What is counted, of how many (another count; else the examples), and how it is said.
_COUNTS = (
    ("unseen_label", "spans", "labels unseen in train"),
    ("empty_in_train", "train", "training texts empty"),
    ("empty_queries", None, "queries empty"),
    ("empty", "documents", "texts empty"),
    ("truncated_queries", None, "queries truncated"),
    ("truncated", "documents", "texts truncated"),
)


def few_seeds(tasks: Iterable[AnyTask]) -> str | None:
    """The tasks that train with fewer seeds than tell how much seeds differ; ``None`` if none."""
    few = [
        f"{task.name} ({len(task.seeds)})"
        for task in tasks
        if isinstance(task, TrainedTask) and task.needs_train and len(task.seeds) < ENOUGH_SEEDS
    ]
    if not few:
        return None
    return f"fewer than {ENOUGH_SEEDS} seeds, which hardly tell their spread: {', '.join(few)}"


def odd_data(records: Sequence[EvidenceRecord]) -> str | None:
    """What was counted in the data of a task, all checkpoints' ``records`` of it; the worst counts.

    Returns:
        One line such as ``sort: all 60 labels unseen in train``; ``None`` if all is well.
    """
    said = []
    for name, whole, words in _COUNTS:
        count, of = max(
            ((record.counts.get(name, 0), _whole(record, whole)) for record in records),
            default=(0, 0),
        )
        if count and count >= WORTH_SAYING * of:
            # Two texts of an example may be counted each.
            share = f"all {of:,}" if count == of else f"{count:,} of {of:,}"
            said.append(f"{share if count <= of else f'{count:,}'} {words}")
    return f"{records[0].task_name}: {', '.join(said)}" if said else None


def _whole(record: EvidenceRecord, name: str | None) -> int:
    if name is not None and name in record.counts:
        return record.counts[name]
    return record.n_examples + record.counts.get("unmasked", 0)
