"""What there is to measure: one job a checkpoint, task and split, keyed by content.

A job names all it needs and goes to any process or machine as JSON. Nothing here needs torch.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.checkpoints.source import own_name
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.dataset import DataSource, data_sha256
from mbrelease.evaluation.evidence import EvidenceRecord, Provenance, find_record
from mbrelease.evaluation.task_settings import split_files, task_sha256
from mbrelease.evaluation.tasks import TASKS
from mbrelease.registry.tasks import AnyTask, DatasetSplit

# Packages whose version can change a number in the last digits.
SOFTWARE = (
    "torch",
    "transformers",
    "tokenizers",
    "sentence-transformers",
    "scikit-learn",
    "numpy",
)


@dataclass(frozen=True)
class Job:
    """One measurement to make. ``data`` maps each role that is read to where its rows are."""

    path: Path
    """Of the checkpoint."""
    checkpoint: str
    """What people call the checkpoint, and no other of the same plan."""
    weights_sha256: str
    task: AnyTask
    split: str
    data: Mapping[str, DataSource]
    backend: Backend
    key: str
    """Of the record that it will give."""

    @property
    def name(self) -> str:
        """What people call the job: ``checkpoint-500 · title-abstract dev``."""
        return f"{self.checkpoint} · {self.task.name} {self.split}"

    def to_json(self) -> dict[str, Any]:
        """What ``job_from_json`` reads, in whatever folder."""
        return {
            "path": str(self.path.absolute()),
            "checkpoint": self.checkpoint,
            "weights_sha256": self.weights_sha256,
            "task": self.task.model_dump(mode="json"),
            "split": self.split,
            "data": {
                role: str(source.absolute()) if isinstance(source, Path) else asdict(source)
                for role, source in self.data.items()
            },
            "backend": asdict(self.backend),
            "key": self.key,
        }


def job_from_json(content: Mapping[str, Any]) -> Job:
    """The job that another process wrote down."""
    task: AnyTask = TypeAdapter(AnyTask).validate_python(content["task"])
    return Job(
        path=Path(content["path"]),
        checkpoint=content["checkpoint"],
        weights_sha256=content["weights_sha256"],
        task=task,
        split=content["split"],
        data={
            role: Path(source) if isinstance(source, str) else DatasetSplit(**source)
            for role, source in content["data"].items()
        },
        backend=Backend(**content["backend"]),
        key=content["key"],
    )


def plan_jobs(
    checkpoints: Sequence[Checkpoint],
    tasks: Sequence[AnyTask],
    split: str,
    *,
    backend: Backend,
    data_root: Path,
) -> list[Job]:
    """The jobs that cover ``checkpoints`` × ``tasks`` on ``split``; needs no torch.

    All jobs of a checkpoint stand together. Tasks with nothing to measure on the split are left
    out.

    Raises:
        UserError: a data file is missing.
    """
    known: dict[str, tuple[dict[str, DataSource], str]] = {}
    for task in tasks:
        if task.measures(split):
            sources = split_files(task, split, data_root)
            known[task.name] = sources, data_sha256(list(sources.values()))
    names = distinct_names([checkpoint.path for checkpoint in checkpoints])
    return [
        Job(
            path=checkpoint.path,
            checkpoint=names[checkpoint.path],
            weights_sha256=checkpoint.weights_sha256,
            task=task,
            split=split,
            data=sources,
            backend=backend,
            key=provenance_of(checkpoint, task, data_hash, backend).key,
        )
        for checkpoint in checkpoints
        for task in tasks
        if task.name in known
        for sources, data_hash in [known[task.name]]
    ]


def distinct_names(paths: Iterable[Path]) -> dict[Path, str]:
    """A short name for each folder: its own, with those above it where two would be the same."""
    depth = dict.fromkeys(paths, 1)
    while True:
        names = {path: _last_parts(path, count) for path, count in depth.items()}
        times = Counter(names.values())
        alike = [
            path
            for path, name in names.items()
            if times[name] > 1 and depth[path] < len(path.absolute().parts)
        ]
        if not alike:
            return names
        depth |= {path: depth[path] + 1 for path in alike}


def _last_parts(path: Path, count: int) -> str:
    if count == 1:
        return own_name(path)
    return str(Path(*path.absolute().parts[-count:]))


def stored(job: Job, evidence: Path) -> EvidenceRecord | None:
    """The record of ``job``, if it was measured before and the scores of its examples are there.

    Whether these are still as they were measured is not read.
    """
    record = find_record(evidence, job.weights_sha256, job.task.name, job.split, job.key)
    if record is None or record.examples_file is None or not record.examples_file.is_file():
        return None
    return record


def provenance_of(
    checkpoint: Checkpoint, task: AnyTask, data_hash: str, backend: Backend
) -> Provenance:
    """How a number of ``task`` on data of this hash would come about, as the files stand now."""
    return Provenance(
        weights_sha256=checkpoint.weights_sha256,
        tokenizer_sha256=checkpoint.tokenizer_sha256,
        config_sha256=checkpoint.config.sha256,
        data_sha256=data_hash,
        task_sha256=task_sha256(task),
        attn=backend.attn,
        dtype=backend.dtype,
        device=backend.device,
        code_version=TASKS[task.type].CODE_VERSION,
        mask_token=checkpoint.mask_token if task.type == "mlm" else None,
        software=_software(),
    )


def _software() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in SOFTWARE:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
