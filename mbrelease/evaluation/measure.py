"""Measure what is missing: each job once, each record written as soon as it is there."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mbrelease.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mbrelease.errors import CheckFailed, UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.dataset import data_sha256, read_dataset
from mbrelease.evaluation.embedding_cache import model_identity
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.evidence import (
    UNDETERMINED,
    EvidenceRecord,
    Provenance,
    scratch_folder,
    write_record,
)
from mbrelease.evaluation.grid.failures import (
    FATAL,
    CannotKeep,
    Failure,
    InFlight,
    MeasurementsFailed,
    failure_of,
)
from mbrelease.evaluation.jobs import Job, provenance_of, stored
from mbrelease.evaluation.metric_names import metric_key, shown
from mbrelease.evaluation.tasks import TASKS
from mbrelease.evaluation.tasks.outcome import Outcome
from mbrelease.files import claimed
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.tasks import AnyTask


@dataclass(frozen=True)
class Order:
    """Jobs to run, and what is the same for all of them."""

    jobs: Sequence[Job]
    evidence: Path
    languages: tuple[str, ...] = ()
    """Of the data, for the records."""


Finished = tuple[Job, Failure | None]
Runner = Callable[[Order, Progress], Generator[Finished]]
"""A place where jobs run: gives each job when its record is written or it failed."""


class LoadedModel:
    """The model that was loaded last, for the next job on the same checkpoint."""

    def __init__(self) -> None:
        self._encoder: Encoder | None = None
        self._of: tuple[Path, str, Backend] | None = None

    def of(self, checkpoint: Checkpoint, backend: Backend) -> Encoder:
        """The encoder of ``checkpoint`` as its files stand now."""
        wanted = (checkpoint.path, model_identity(checkpoint), backend)
        if self._encoder is None or self._of != wanted:
            self.forget()
            self._encoder, self._of = Encoder(checkpoint, backend), wanted
        return self._encoder

    def forget(self) -> None:
        """Let its memory go."""
        self._encoder = self._of = None


def run_jobs(
    jobs: Sequence[Job],
    evidence: Path,
    *,
    languages: Sequence[str] = (),
    progress: Progress = SILENT,
    runner: Runner | None = None,
) -> list[EvidenceRecord]:
    """Measure each job that has no record yet; one that fails stops no other.

    Args:
        jobs: What to measure.
        evidence: Where the records lie.
        languages: Of the data, for the records.
        progress: Told of each measurement.
        runner: Where the jobs run; in this process unless given.

    Returns:
        The record of every job, in the order given.

    Raises:
        MeasurementsFailed: jobs failed; it names each, and the records of the others are kept.
        UserError: nothing can be measured or kept at all.
    """
    records = {job.key: stored(job, evidence) for job in jobs}
    missing = list({job.key: job for job in jobs if records[job.key] is None}.values())
    if not missing:
        return [found for job in jobs if (found := records[job.key])]
    failures: dict[str, Failure] = {}
    order = Order(missing, evidence, tuple(languages))
    try:
        with contextlib.closing((runner or in_this_process)(order, progress)) as finished:
            for job, failure in finished:
                if failure is None:
                    record = _kept(job, evidence)
                    records[job.key] = record
                    progress.note(f"measured {job.checkpoint} · {describe(record, job.task)}")
                else:
                    failures[job.key] = failure
                    if len(missing) > 1:  # why is told at the end, once
                        progress.note(f"failed {failure.job}")
    except KeyboardInterrupt:
        for failure in failures.values():
            progress.note(f"{failure.job} failed: {failure.reason}")
        done = sum(stored(job, evidence) is not None for job in missing)
        progress.note(f"{done} of {len(missing)} measurements are done and kept")
        raise
    if failures:
        raise MeasurementsFailed(failures, len(missing))
    return [found for job in jobs if (found := records[job.key])]


def in_this_process(order: Order, progress: Progress) -> Generator[Finished]:
    """One job after another; those that another process measures at the moment come last."""
    loaded = LoadedModel()
    later: list[Job] = []
    for wait, jobs in ((False, order.jobs), (True, later)):
        for job in jobs:
            try:
                run_job(job, order, loaded=loaded, wait=wait, progress=progress)
            except InFlight:
                later.append(job)
            except FATAL:
                raise
            except Exception as error:
                loaded.forget()
                yield job, failure_of(job.name, error)
            else:
                yield job, None


def run_job(
    job: Job,
    order: Order,
    *,
    loaded: LoadedModel | None = None,
    wait: bool = True,
    progress: Progress = SILENT,
) -> EvidenceRecord:
    """Measure ``job`` and write its record, unless it is there by now.

    Args:
        job: What to measure.
        order: What it is a part of.
        loaded: Keeps the model for the next job.
        wait: Wait for another process that measures the same.
        progress: Told how far it is.

    Raises:
        InFlight: another process measures the same, and ``wait`` is false.
        CannotKeep: the evidence cannot be written.
        UserError: the files are not what was planned with, or the task says no.
    """
    with _claim(job, order.evidence, wait=wait):
        found = stored(job, order.evidence)
        return found or _measure(job, order, loaded or LoadedModel(), progress)


def describe(record: EvidenceRecord, task: AnyTask) -> str:
    """A record in a few words: ``title-abstract dev: recall@1 0.146 (n = 492)``."""
    value = record.metrics[metric_key(task.main_metric)]
    return (
        f"{record.task_name} {record.split}: {task.main_metric} {shown(task.main_metric, value)} "
        f"(n = {record.n_examples})"
    )


@contextlib.contextmanager
def _claim(job: Job, evidence: Path, *, wait: bool) -> Iterator[None]:
    try:
        folder = scratch_folder(evidence)
    except UserError as error:
        raise CannotKeep(error.message, mend=error.mend) from error
    with claimed(folder / f"{job.key}.lock", wait=wait) as is_mine:
        if not is_mine:
            raise InFlight
        yield


def _kept(job: Job, evidence: Path) -> EvidenceRecord:
    record = stored(job, evidence)
    assert record is not None, f"{job.name} ended without a record"
    return record


def _measure(job: Job, order: Order, loaded: LoadedModel, progress: Progress) -> EvidenceRecord:
    import pyarrow as pa

    _provenance(job, "since the measurement was planned, or mbrelease did")
    data = {role: read_dataset(source) for role, source in job.data.items()}
    encoder = loaded.of(open_checkpoint(job.path), job.backend)
    started = time.monotonic()
    outcome: Outcome = TASKS[job.task.type].measure(job.task, data, job.split, encoder, progress)
    _refuse_infinite(job, outcome)
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
        # A long job's files may be written to while it runs: then its numbers are nobody's.
        provenance=replace(
            _provenance(job, "while they were measured; the result is not kept"),
            machine=outcome.machine,
        ),
        languages=order.languages or (UNDETERMINED,),
        evaluation_time_seconds=round(time.monotonic() - started, 3),
    )
    try:
        return write_record(order.evidence, record, pa.table(dict(outcome.examples)))
    except UserError as error:
        raise CannotKeep(error.message, mend=error.mend) from error


def _refuse_infinite(job: Job, outcome: Outcome) -> None:
    for name, value in outcome.metrics.items():
        if not all(map(math.isfinite, [value, *outcome.ci95.get(name, ())])):
            raise CheckFailed(
                f"{job.path}: {name} on {job.task.name} is {value}: the model diverged",
                mend="leave it out of the candidates",
            )


def _provenance(job: Job, changed: str) -> Provenance:
    """How the number of ``job`` comes about, as long as the files are what it was planned with."""
    data_hash = data_sha256(list(job.data.values()))
    found = provenance_of(open_checkpoint(job.path), job.task, data_hash, job.backend)
    if found.key != job.key:
        raise UserError(
            f"{job.path} or the data of '{job.task.name}' changed {changed}",
            mend="run it again when nothing writes to them",
        )
    return found
