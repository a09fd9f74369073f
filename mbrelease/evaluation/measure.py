"""Measure what is missing: one job a checkpoint and task, never twice."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mbrelease.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mbrelease.errors import CheckFailed, UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.dataset import DataSource, data_sha256, locate, read_dataset
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.evidence import EvidenceRecord, Provenance, find_record, write_record
from mbrelease.evaluation.metric_names import metric_key, shown
from mbrelease.evaluation.tasks import TASKS
from mbrelease.evaluation.tasks.outcome import Outcome
from mbrelease.files import sha256_json
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.tasks import AnyTask

# Packages whose version can change a number in the last digits.
SOFTWARE = ("torch", "transformers", "tokenizers", "scikit-learn", "numpy")


@dataclass(frozen=True)
class Job:
    """One measurement to make. ``data`` maps each role that is read to where its rows are."""

    checkpoint: Checkpoint
    task: AnyTask
    split: str
    data: dict[str, DataSource]
    provenance: Provenance


def plan_jobs(
    checkpoints: Iterable[Checkpoint],
    tasks: Sequence[AnyTask],
    split: str,
    *,
    backend: Backend,
    data_root: Path,
) -> list[Job]:
    """The jobs that cover ``checkpoints`` × ``tasks`` on ``split``; needs no torch.

    Tasks without a file for the split are left out.

    Raises:
        UserError: a data file is missing.
    """
    known: dict[str, tuple[dict[str, DataSource], str]] = {}
    for task in tasks:
        if task.measures(split):
            files = split_files(task, split, data_root)
            known[task.name] = files, data_sha256(list(files.values()))
    return [
        Job(checkpoint, task, split, files, _provenance(checkpoint, task, data_hash, backend))
        for checkpoint in checkpoints
        for task in tasks
        if task.name in known
        for files, data_hash in [known[task.name]]
    ]


def stored(job: Job, evidence: Path) -> EvidenceRecord | None:
    """The record of ``job``, if it was measured before."""
    weights = job.checkpoint.weights_sha256
    return find_record(evidence, weights, job.task.name, job.split, job.provenance.key)


def run_jobs(
    jobs: Sequence[Job],
    evidence: Path,
    *,
    languages: Sequence[str] = (),
    progress: Progress = SILENT,
) -> list[EvidenceRecord]:
    """Measure each job that has no record yet; a model is loaded once for all its jobs.

    Each record is written as soon as it is measured, so an interruption loses one at most.

    Returns:
        The record of every job, in the order given.
    """
    records: list[EvidenceRecord] = []
    encoder: Encoder | None = None
    for job in jobs:
        record = stored(job, evidence)
        if record is None:
            backend = Backend(job.provenance.attn, job.provenance.dtype, job.provenance.device)
            if encoder is None or encoder.checkpoint is not job.checkpoint:
                encoder = Encoder(job.checkpoint, backend)
            record = _measure(job, encoder, evidence, languages, progress)
            progress.note(f"measured {job.checkpoint.name} · {describe(record, job.task)}")
        records.append(record)
    return records


def task_sha256(task: AnyTask) -> str:
    """Hex sha256 of a task's settings without its name and paths, which name nothing."""
    return sha256_json(task.model_dump(mode="json", exclude={"name", "data"}))


def split_files(task: AnyTask, split: str, root: Path) -> dict[str, DataSource]:
    """Where the data are that measuring ``task`` on ``split`` reads, by role.

    Raises:
        UserError: the task names no data for one of them.
    """
    return {role: locate(name, root) for role, name in task.files(split).items()}


def describe(record: EvidenceRecord, task: AnyTask) -> str:
    """A record in a few words: ``title-abstract dev: recall@1 0.146 (n = 492)``."""
    value = record.metrics[metric_key(task.main_metric)]
    return (
        f"{record.task_name} {record.split}: {task.main_metric} {shown(task.main_metric, value)} "
        f"(n = {record.n_examples})"
    )


def _measure(
    job: Job, encoder: Encoder, evidence: Path, languages: Sequence[str], progress: Progress
) -> EvidenceRecord:
    import pyarrow as pa

    data = {split: read_dataset(path) for split, path in job.data.items()}
    started = time.monotonic()
    outcome: Outcome = TASKS[job.task.type].measure(job.task, data, job.split, encoder, progress)
    _refuse_infinite(job, outcome)
    _refuse_changed(job, encoder.backend)
    record = EvidenceRecord(
        task_name=job.task.name,
        split=job.split,
        main_score=outcome.metrics[metric_key(job.task.main_metric)],
        metrics=outcome.metrics,
        n_examples=outcome.n_examples,
        ci95=outcome.ci95,
        experiments=outcome.experiments,
        tried=outcome.tried,
        counts=outcome.counts,
        provenance=job.provenance,
        languages=tuple(languages),
        evaluation_time_seconds=round(time.monotonic() - started, 3),
    )
    return write_record(evidence, record, pa.table(dict(outcome.examples)))


def _refuse_infinite(job: Job, outcome: Outcome) -> None:
    for name, value in outcome.metrics.items():
        if not all(map(math.isfinite, [value, *outcome.ci95.get(name, ())])):
            raise CheckFailed(
                f"{job.checkpoint.path}: {name} on {job.task.name} is {value}: the model diverged",
                mend="leave it out of the candidates",
            )


def _refuse_changed(job: Job, backend: Backend) -> None:
    """A long job's files may be written to while it runs: then its numbers are nobody's."""
    data_hash = data_sha256(list(job.data.values()))
    checkpoint = open_checkpoint(job.checkpoint.path)
    if _provenance(checkpoint, job.task, data_hash, backend).key != job.provenance.key:
        raise UserError(
            f"{job.checkpoint.path} or the data of '{job.task.name}' changed while they were "
            "measured; the result is not kept",
            mend="run it again when nothing writes to them",
        )


def _provenance(
    checkpoint: Checkpoint, task: AnyTask, data_hash: str, backend: Backend
) -> Provenance:
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
