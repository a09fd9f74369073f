"""Evidence files: one measured result of one model on one task, keyed by all that made it.

The layout is mteb's TaskResult, so that others can read it:
``evidence/<weights sha256, 16 digits>/<task>.json``, with the scores of each example in a
Parquet file beside it. See docs/formats.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbrelease.errors import UserError
from mbrelease.files import (
    atomic_file,
    claimed,
    read_json,
    sha256_file,
    sha256_json,
    write_json,
    write_text,
)

if TYPE_CHECKING:
    import pyarrow as pa

# The fields of a score entry that are not metrics.
RESERVED = frozenset(
    {
        "hf_subset", "languages", "main_score", "n_examples", "ci95", "scores_per_experiment",
        "per_example", "provenance", "evaluation_time", "counts", "tried",
    }
)  # fmt: skip

AGAIN = "delete the file and measure again"

UNDETERMINED = "und"
"""ISO 639-2 for a language that nobody named; mteb averages no entry without a language."""


@dataclass(frozen=True)
class Provenance:
    """How a number came about. Everything that could change it is in ``key``."""

    weights_sha256: str
    tokenizer_sha256: str
    config_sha256: str
    """Of the normal form of the config (see ``checkpoints.config``)."""
    data_sha256: str
    """Of the bytes of every data file that was read for this split."""
    task_sha256: str
    """Of the task's settings without its name and paths."""
    attn: str
    dtype: str
    device: str
    code_version: int
    """Raised by hand whenever the measuring code would give another number."""
    mask_token: str | None = None
    """What masked tokens were replaced by, of a task that masks."""
    software: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""
    """The name of the card or processor, of a task that measures speed. It is not in ``key``, for
    who plans a job does not know where it will run; but see ``comparable.Conditions``."""

    @cached_property
    def key(self) -> str:
        """The identity of a measurement: two with the same key need not be made twice."""
        names = [field.name for field in fields(self) if field.name not in ("software", "machine")]
        return sha256_json({name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class PerExample:
    """The Parquet file with the score of each example; ``path`` is relative to the JSON file."""

    path: str
    sha256: str


@dataclass(frozen=True)
class EvidenceRecord:
    """One result: a model, a task, a split."""

    task_name: str
    split: str
    main_score: float
    metrics: Mapping[str, float]
    """By key, such as ``recall_at_1``."""
    n_examples: int
    ci95: Mapping[str, tuple[float, float]]
    experiments: tuple[Mapping[str, float], ...]
    """One entry a seed where a head is trained: ``{"seed": 0, "macro_f1": …}``."""
    counts: Mapping[str, int]
    """Things worth knowing about the data, such as ``truncated`` documents."""
    provenance: Provenance
    languages: tuple[str, ...]
    evaluation_time_seconds: float
    tried: tuple[Mapping[str, float], ...] = ()
    """Where settings were searched, each that was tried: ``{"learning_rate": 5e-05, …}``."""
    per_example: PerExample | None = None
    file: Path | None = None
    """The JSON file the record stands in."""

    @property
    def examples_file(self) -> Path | None:
        """The Parquet file with the score of each example, which may be gone."""
        if self.file is None or self.per_example is None:
            return None
        return self.file.parent / self.per_example.path

    def score_entry(self) -> dict[str, Any]:
        """The record as an entry of ``scores`` in mteb's layout."""
        entry: dict[str, Any] = {
            "hf_subset": "default",
            "languages": list(self.languages),
            "main_score": self.main_score,
            **self.metrics,
            "n_examples": self.n_examples,
            "ci95": {name: list(bounds) for name, bounds in self.ci95.items()},
            "scores_per_experiment": [dict(experiment) for experiment in self.experiments],
            "counts": dict(self.counts),
            "evaluation_time": self.evaluation_time_seconds,
            "provenance": {**asdict(self.provenance), "key": self.provenance.key},
        }
        if self.tried:
            entry["tried"] = [dict(point) for point in self.tried]
        if self.per_example is not None:
            entry["per_example"] = asdict(self.per_example)
        return entry


def task_file(root: Path, weights_sha256: str, task: str) -> Path:
    """Where the evidence of one model on one task lies."""
    return root / weights_sha256[:16] / f"{task}.json"


def scratch_folder(root: Path) -> Path:
    """Where locks and running jobs lie, inside the evidence; git does not see it.

    Raises:
        UserError: it cannot be written.
    """
    folder = root / ".jobs"
    if not (folder / ".gitignore").exists():
        write_text(folder / ".gitignore", "*\n")
    return folder


def measured_tasks(root: Path, weights_sha256: str) -> list[str]:
    """The tasks that there is evidence of one model on, by name."""
    folder = root / weights_sha256[:16]
    return sorted(path.stem for path in folder.glob("[!.]*.json"))


def read_records(root: Path, weights_sha256: str, task: str) -> list[EvidenceRecord]:
    """All records of a model on a task, on any split and backend; empty if there are none.

    Raises:
        UserError: the file is malformed, or holds records of other weights.
    """
    path = task_file(root, weights_sha256, task)
    if not path.exists():
        return []
    try:
        content = read_json(path)
    except UserError as error:
        raise UserError(error.message, mend=error.mend or AGAIN) from error
    try:
        records = [
            _record(path, content["task_name"], split, entry)
            for split, entries in content["scores"].items()
            for entry in entries
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"{path}: malformed evidence: {error!r}", mend=AGAIN) from error
    for record in records:
        if record.provenance.weights_sha256 != weights_sha256:
            raise UserError(
                f"{path}: holds a record of weights {record.provenance.weights_sha256[:16]}",
                mend=AGAIN,
            )
    return records


def find_record(
    root: Path, weights_sha256: str, task: str, split: str, key: str
) -> EvidenceRecord | None:
    """The record with exactly this key, if it was measured before."""
    for record in read_records(root, weights_sha256, task):
        if record.split == split and record.provenance.key == key:
            return record
    return None


def write_record(root: Path, record: EvidenceRecord, examples: pa.Table) -> EvidenceRecord:
    """Store ``record`` and the scores of its examples; returns it with their path and hash.

    A record with the same key is replaced; every other record in the file stays.
    """
    import pyarrow.parquet as pq

    path = task_file(root, record.provenance.weights_sha256, record.task_name)
    key = record.provenance.key
    parquet = path.with_name(f"{record.task_name}.{record.split}.{key[:8]}.parquet")
    with claimed(scratch_folder(root) / f"{path.parent.name}.{path.name}.lock"):
        with atomic_file(parquet) as file:
            pq.write_table(examples, file, compression="zstd")
        per_example = PerExample(parquet.name, sha256_file(parquet))
        stored = replace(record, per_example=per_example, file=path)
        others = [
            other
            for other in read_records(root, record.provenance.weights_sha256, record.task_name)
            if (other.split, other.provenance.key) != (record.split, key)
        ]
        write_json(path, task_result(record.task_name, [*others, stored]))
    return stored


def read_examples(record: EvidenceRecord) -> pa.Table:
    """The scores of each example of ``record``.

    Raises:
        UserError: the file is missing or its bytes are not those that were measured.
    """
    import pyarrow.parquet as pq

    path = record.examples_file
    assert path is not None and record.per_example is not None
    if not path.exists():
        raise UserError(
            f"{path} is missing, the scores of the examples",
            mend="restore it, or run 'mbrelease eval' again, which makes what is missing",
        )
    if sha256_file(path) != record.per_example.sha256:
        raise UserError(
            f"{path} was changed after it was measured (its sha256 differs from the record's)",
            mend="restore it, or delete the record and measure again",
        )
    return pq.read_table(path)


def task_result(task: str, records: Iterable[EvidenceRecord]) -> dict[str, Any]:
    """The records of one model on one task in mteb's layout, as a file of evidence holds them."""
    records = sorted(records, key=lambda record: (record.split, record.provenance.key))
    data = sorted({record.provenance.data_sha256 for record in records})
    return {
        "task_name": task,
        "dataset_revision": "sha256:" + (data[0] if len(data) == 1 else sha256_json(data)),
        "mteb_version": None,
        "evaluation_time": sum(record.evaluation_time_seconds for record in records),
        "scores": {
            split: [record.score_entry() for record in records if record.split == split]
            for split in dict.fromkeys(record.split for record in records)
        },
    }


def _record(path: Path, task: str, split: str, entry: Mapping[str, Any]) -> EvidenceRecord:
    provenance = {k: v for k, v in entry["provenance"].items() if k != "key"}
    per_example = entry.get("per_example")
    metrics = {k: float(v) for k, v in entry.items() if k not in RESERVED}
    if not all(map(math.isfinite, [*metrics.values(), float(entry["main_score"])])):
        raise ValueError("a metric is not a finite number")
    return EvidenceRecord(
        task_name=task,
        split=split,
        main_score=float(entry["main_score"]),
        metrics=metrics,
        n_examples=int(entry["n_examples"]),
        ci95={k: (float(low), float(high)) for k, (low, high) in entry["ci95"].items()},
        experiments=tuple(entry["scores_per_experiment"]),
        counts=dict(entry.get("counts", {})),
        provenance=Provenance(**provenance),
        languages=tuple(entry["languages"]),
        evaluation_time_seconds=float(entry["evaluation_time"]),
        tried=tuple(entry.get("tried", ())),
        per_example=PerExample(**per_example) if per_example else None,
        file=path,
    )
