"""The greedy average of measured checkpoints: search, measure each trial on dev, write the result.

What was measured stays in the evidence, so a search that was killed finds it again; what was tried
stays in ``averaging.json``, so the same search is not made twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mbrelease.averaging.average import (
    RECORD_FILE,
    average_checkpoints,
    check_no_input,
    check_replaceable,
    find_average,
)
from mbrelease.averaging.compatibility import check_compatible
from mbrelease.averaging.search import Scored, Search, Trial, greedy_search
from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.errors import UserError, did_you_mean
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.comparable import is_of
from mbrelease.evaluation.evidence import read_records
from mbrelease.evaluation.jobs import plan_jobs
from mbrelease.evaluation.measure import run_jobs
from mbrelease.evaluation.metric_names import lower_is_better, metric_key, shown, split_metric
from mbrelease.evaluation.task_settings import task_sha256
from mbrelease.files import read_json, unwritable
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.project import Project
from mbrelease.registry.tasks import AnyTask
from mbrelease.selection.measurements import SELECTION_SPLIT, split_sha256

RECIPE = "greedy"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CandidateRecord(_Frozen):
    """A candidate by itself. Values are in the metric's own direction, as measured on dev."""

    name: str
    sha256: str
    value: float
    kept: bool


class TrialRecord(_Frozen):
    """The mean of what was kept so far and one candidate more."""

    candidate: str
    sha256: str
    """Of the weights of the mean."""
    value: float
    kept: bool


class SearchRecord(_Frozen):
    """``search`` in ``averaging.json``."""

    metric: str
    """``TASK/METRIC``."""
    candidates: list[CandidateRecord]
    """In training order."""
    trials: list[TrialRecord]
    """In the order in which they were made; the candidate with the best value needed none."""

    def members(
        self, checkpoints: Sequence[Checkpoint]
    ) -> list[tuple[Checkpoint, Fraction]] | None:
        """Each of ``checkpoints`` and its weight, or ``None`` if others were searched."""
        kept = [candidate.kept for candidate in self.candidates]
        known = [candidate.sha256 for candidate in self.candidates]
        if not any(kept) or known != [checkpoint.weights_sha256 for checkpoint in checkpoints]:
            return None
        share = Fraction(1, sum(kept))
        return [
            (checkpoint, share if is_kept else Fraction(0))
            for checkpoint, is_kept in zip(checkpoints, kept, strict=True)
        ]


def greedy_average(
    project: Project,
    checkpoints: Sequence[Checkpoint],
    metric: str,
    output: Path,
    *,
    tasks: Sequence[AnyTask],
    backend: Backend,
    progress: Progress = SILENT,
) -> tuple[Checkpoint, bool]:
    """Search ``checkpoints`` for the mean that measures best, and write it as ``output``.

    Candidates that were not measured on dev are measured first.

    Args:
        project: Whose evidence is read and added to.
        checkpoints: In training order.
        metric: ``TASK/METRIC``.
        output: A folder that is missing, empty, or an earlier average.
        tasks: Among them the metric's.
        backend: Where everything is measured.
        progress: Told how far it is.

    Returns:
        The average, and whether anything was done: not if the same search led to it before.

    Raises:
        CheckFailed: the checkpoints differ in more than their weights, or hold NaN or Inf.
        UserError: there is no such metric, or an input or ``output`` is wrong.
    """
    # Measuring can take hours: what would stop it later is told before.
    judge = _Judge(project, _task(tasks, metric), metric, backend, progress)
    check_no_input(checkpoints, output)
    check_compatible(checkpoints)
    if read_search(output) is None:
        check_replaceable(output)
    values = judge.values(checkpoints)
    members = searched_members(output, checkpoints, metric, [[value] for value in values])
    average = find_average(members, output, recipe=RECIPE) if members else None
    if average is not None:
        return average, False
    check_replaceable(output)
    scored = [
        Scored(checkpoint, judge.sign * value)
        for checkpoint, value in zip(checkpoints, values, strict=True)
    ]
    with _workspace(output) as workspace:
        search = greedy_search(
            scored, judge.score, workspace, recipe=RECIPE, on_trial=judge.tell, progress=progress
        )
    average = average_checkpoints(
        search.members,
        output,
        recipe=RECIPE,
        ranked_by=metric,
        search=_record(judge, values, search).model_dump(mode="json"),
        progress=progress,
    )
    return average, True


def greedy_members(
    output: Path, checkpoints: Sequence[Checkpoint]
) -> list[tuple[Checkpoint, Fraction]] | None:
    """Each of ``checkpoints`` with its weight in ``output``; ``None`` if others were searched."""
    search = read_search(output)
    return search.members(checkpoints) if search else None


def read_search(output: Path) -> SearchRecord | None:
    """How the average in ``output`` was found; ``None`` if there is none, or it says nothing of it.

    Raises:
        UserError: its record cannot be read.
    """
    path = output / RECORD_FILE
    content = read_json(path) if path.is_file() else None
    if not isinstance(content, dict):
        return None
    try:
        return SearchRecord.model_validate(content.get("search"))
    except ValidationError:
        return None


def searched_members(
    output: Path,
    checkpoints: Sequence[Checkpoint],
    metric: str,
    values: Sequence[Collection[float]],
) -> list[tuple[Checkpoint, Fraction]] | None:
    """As ``greedy_members``, if the search was by ``metric`` and began from these values.

    Args:
        output: The folder of an average, which may be missing.
        checkpoints: In training order.
        metric: ``TASK/METRIC``.
        values: Of each checkpoint those that count, such as one for each backend.
    """
    search = read_search(output)
    members = search.members(checkpoints) if search else None
    if search is None or members is None or search.metric != metric:
        return None
    pairs = zip(search.candidates, values, strict=True)
    return members if all(one.value in known for one, known in pairs) else None


def values_in_evidence(
    project: Project, checkpoint: Checkpoint, metric: str, tasks: Sequence[AnyTask]
) -> set[float]:
    """Every value of ``metric`` on dev that was measured on ``checkpoint``, on whatever backend.

    Only results of the present settings and data count.

    Raises:
        UserError: there is no such metric, or the evidence is malformed.
    """
    task = _task(tasks, metric)
    key = split_metric(metric)[1]
    settings, data = task_sha256(task), split_sha256(task, project.root)
    return {
        record.metrics[key]
        for record in read_records(project.evidence, checkpoint.weights_sha256, task.name)
        if record.split == SELECTION_SPLIT
        and is_of(record, checkpoint)
        and record.provenance.task_sha256 == settings
        and data in (None, record.provenance.data_sha256)
        and key in record.metrics
    }


@dataclass(frozen=True)
class _Judge:
    """What candidates and trials are measured by."""

    project: Project
    task: AnyTask
    metric: str
    backend: Backend
    progress: Progress

    @property
    def sign(self) -> int:
        """A value times this is a score: the higher the better."""
        return -1 if lower_is_better(self.metric) else 1

    def values(self, checkpoints: Sequence[Checkpoint]) -> list[float]:
        """The metric of each checkpoint, measured if it was not."""
        root = self.project.root
        jobs = plan_jobs(
            checkpoints, [self.task], SELECTION_SPLIT, backend=self.backend, data_root=root
        )
        languages = self.project.registry.defaults.languages
        records = run_jobs(jobs, self.project.evidence, languages=languages, progress=self.progress)
        return [record.metrics[split_metric(self.metric)[1]] for record in records]

    def score(self, trial: Checkpoint) -> float:
        """The score of a trial."""
        [value] = self.values([trial])
        return self.sign * value

    def tell(self, trial: Trial) -> None:
        """Say what came of a trial."""
        value = shown(self.metric, self.sign * trial.score)
        verdict = "kept" if trial.kept else "dropped"
        self.progress.note(f"{verdict} {trial.candidate.name}: {self.metric} {value} with it")


def _record(judge: _Judge, values: Sequence[float], search: Search) -> SearchRecord:
    return SearchRecord(
        metric=judge.metric,
        candidates=[
            CandidateRecord(
                name=source.name, sha256=source.weights_sha256, value=value, kept=weight > 0
            )
            for (source, weight), value in zip(search.members, values, strict=True)
        ],
        trials=[
            TrialRecord(
                candidate=trial.candidate.name,
                sha256=trial.weights_sha256,
                value=judge.sign * trial.score,
                kept=trial.kept,
            )
            for trial in search.trials
        ],
    )


def _task(tasks: Sequence[AnyTask], metric: str) -> AnyTask:
    """The task of ``metric``."""
    name, key = split_metric(metric)
    task = next((task for task in tasks if task.name == name), None)
    if task is None:
        known = [task.name for task in tasks]
        raise UserError(f"no task '{name}' in the suite", mend=did_you_mean(name, known))
    if key not in map(metric_key, task.known_metrics):
        raise UserError(
            f"task '{name}' has no metric '{metric.rpartition('/')[2]}'",
            mend=f"it has {', '.join(task.known_metrics)}",
        )
    return task


@contextlib.contextmanager
def _workspace(output: Path) -> Iterator[Path]:
    """An empty folder beside ``output``, gone afterwards; so are those of searches killed before.

    Raises:
        UserError: nothing can be written there.
    """
    prefix = f".{output.name}.search."
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        for left in output.parent.glob(f"{glob.escape(prefix)}*"):
            _remove_if_abandoned(left)
        folder = Path(tempfile.mkdtemp(dir=output.parent, prefix=prefix))
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
    except OSError as error:
        raise unwritable(output, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _remove_if_abandoned(folder: Path) -> None:
    """Remove a workspace that nobody locks: its search was killed."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass  # it is still going on
    finally:
        os.close(descriptor)
