"""Records that may be compared: same data, same settings, same backend, same code.

Another attention, number format or device gives other numbers, if only in the last digits, and a
difference of that size may decide. So they are never compared with each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mbrelease.checkpoints.source import Source
from mbrelease.evaluation.evidence import EvidenceRecord, Provenance, read_records


@dataclass(frozen=True, order=True)
class Conditions:
    """What two records must share so that their numbers may be set side by side."""

    code_version: int
    device: str
    dtype: str
    attn: str
    data_sha256: str
    task_sha256: str
    machine: str
    """Of a task that measures speed; otherwise empty."""


def conditions(provenance: Provenance) -> Conditions:
    """The conditions a record was made under."""
    return Conditions(
        provenance.code_version,
        provenance.device,
        provenance.dtype,
        provenance.attn,
        provenance.data_sha256,
        provenance.task_sha256,
        provenance.machine,
    )


def eval_options(provenance: Provenance) -> str:
    """The options with which ``mbrelease eval`` measures under the same conditions."""
    return f"--attn {provenance.attn} --dtype {provenance.dtype} --device {provenance.device}"


def is_of(record: EvidenceRecord, checkpoint: Source) -> bool:
    """Whether ``record`` was measured on ``checkpoint`` as it is now.

    The same weights under another config or with another tokenizer are another model.
    """
    provenance = record.provenance
    return (
        provenance.weights_sha256 == checkpoint.weights_sha256
        and provenance.tokenizer_sha256 == checkpoint.tokenizer_sha256
        and provenance.config_sha256 == checkpoint.config.sha256
        and (provenance.mask_token is None or provenance.mask_token == checkpoint.mask_token)
    )


def comparable_records(
    root: Path,
    checkpoints: Sequence[Source],
    task: str,
    split: str,
    *,
    data_sha256: str | None = None,
    task_sha256: str | None = None,
) -> list[EvidenceRecord | None]:
    """One record a checkpoint, all made under the same conditions; ``None`` where there is none.

    Only records of the tokenizer and config that lie beside the weights now count.

    Of several conditions the one that most models were measured under is taken, of equals the
    one with the newest code.

    Args:
        root: The evidence folder.
        checkpoints: What was measured.
        task: The task's name.
        split: dev or test.
        data_sha256: Only records of these data.
        task_sha256: Only records of these settings.
    """
    found: list[dict[Conditions, EvidenceRecord]] = []
    for checkpoint in checkpoints:
        found.append(
            {
                conditions(record.provenance): record
                for record in read_records(root, checkpoint.weights_sha256, task)
                if record.split == split
                and is_of(record, checkpoint)
                and data_sha256 in (None, record.provenance.data_sha256)
                and task_sha256 in (None, record.provenance.task_sha256)
            }
        )
    count = Counter(condition for records in found for condition in records)
    if not count:
        return [None] * len(checkpoints)
    chosen = max(count, key=lambda condition: (count[condition], condition))
    return [records.get(chosen) for records in found]
