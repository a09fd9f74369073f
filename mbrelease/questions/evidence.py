"""What two variants score on the same tasks under the same conditions.

No statistics are made here: a difference is that of two values, and an interval is shown where a
card has drawn and kept it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from mbrelease.cards.paired import kept_interval
from mbrelease.cards.records import like
from mbrelease.evaluation.comparable import is_of
from mbrelease.evaluation.evidence import EvidenceRecord, measured_tasks, read_records
from mbrelease.evaluation.metric_names import metric_key
from mbrelease.evaluation.reported import ReportedResult, read_reported
from mbrelease.evaluation.task_settings import task_sha256
from mbrelease.questions.sides import Side
from mbrelease.registry.project import Project
from mbrelease.registry.tasks import AnyTask

_SPLITS = ("test", "dev")
_SPREAD = "_sd"


@dataclass(frozen=True)
class Measured:
    """One metric that was measured of both under the same conditions."""

    task: str
    split: str
    metric: str
    """As the task writes it, such as ``recall@1``."""
    first: float
    second: float
    interval: tuple[float, float] | None
    """Of the difference, paired, 95%, where one was kept."""

    @property
    def difference(self) -> float:
        """The second minus the first."""
        return self.second - self.first

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        interval = list(self.interval) if self.interval is not None else None
        return {**asdict(self), "difference": self.difference, "interval": interval}


@dataclass(frozen=True)
class Reported:
    """One metric that the same source reports of both."""

    task: str
    subset: str
    split: str
    metric: str
    first: float
    second: float
    seeds: int
    """How many seeds each is the mean of; 0 where none was told."""
    source: str

    @property
    def difference(self) -> float:
        """The second minus the first."""
        return self.second - self.first

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "difference": self.difference}


def measured(project: Project, first: Side, second: Side) -> list[Measured]:
    """All that was measured of both, on test where there is a test split, else on dev.

    Raises:
        UserError: an evidence file is malformed.
    """
    if first.weights_sha256 is None or second.weights_sha256 is None:
        return []
    known = _tasks(project, first.name, second.name)
    shared = [
        task
        for task in measured_tasks(project.evidence, second.weights_sha256)
        if task in measured_tasks(project.evidence, first.weights_sha256)
    ]
    order = {name: index for index, name in enumerate(known)}
    rows: list[Measured] = []
    for task in sorted(shared, key=lambda task: (order.get(task, len(order)), task)):
        pair = _pair(known.get(task), *(_records(project, s, task) for s in (first, second)))
        if pair is not None:
            rows += _rows(project, known.get(task), *pair)
    return rows


def reported(project: Project, first: Side, second: Side) -> list[Reported]:
    """What one source reports of both: the same task, split, metric and place.

    Of reports that differ only in their seeds the means over the seeds that both have. A figure
    that is told several times otherwise is left out.

    Raises:
        UserError: a report is malformed.
    """
    ours, theirs = (_reports(project, side) for side in (first, second))
    rows = []
    for key, results in ours.items():
        if key[3].endswith(_SPREAD) and (*key[:3], key[3].removesuffix(_SPREAD), key[4]) in ours:
            continue  # how much a figure varies is no figure to be better or worse in
        pair = _common(results, theirs.get(key, []))
        if pair is not None:
            task, split, subset, metric, source = key
            words = ", ".join(part for part in (source.name, source.place, source.url) if part)
            rows.append(Reported(task, subset, split, metric, *pair, source=words))
    return rows


def _tasks(project: Project, *names: str) -> dict[str, AnyTask]:
    suites = [project.registry.variants[name].suite for name in reversed(names)]
    return {
        task.name: task
        for suite in dict.fromkeys(suites)
        if suite is not None
        for task in project.registry.suites[suite]
    }


def _records(project: Project, side: Side, task: str) -> list[EvidenceRecord]:
    assert side.weights_sha256 is not None
    return [
        record
        for record in read_records(project.evidence, side.weights_sha256, task)
        if side.checkpoint is None or is_of(record, side.checkpoint)
    ]


def _pair(
    task: AnyTask | None, first: Sequence[EvidenceRecord], second: Sequence[EvidenceRecord]
) -> tuple[EvidenceRecord, EvidenceRecord] | None:
    """Records of both under the same conditions: of today's task, then of the newest code."""
    settings = task_sha256(task) if task is not None else None
    pairs = [(other, one) for one in second if (other := like(one, first)) is not None]

    def rank(pair: tuple[EvidenceRecord, EvidenceRecord]) -> tuple[object, ...]:
        record = pair[1]
        split = _SPLITS.index(record.split) if record.split in _SPLITS else len(_SPLITS)
        p = record.provenance
        return (p.task_sha256 == settings, -split, p.code_version, p.key)

    return max(pairs, key=rank, default=None)


def _rows(
    project: Project, task: AnyTask | None, first: EvidenceRecord, second: EvidenceRecord
) -> Iterator[Measured]:
    labels = task.shown_metrics if task is not None else sorted(first.metrics)
    for label in labels:
        key = metric_key(label)
        if key not in first.metrics or key not in second.metrics:
            continue
        interval = kept_interval(project, task, key, second, first) if task is not None else None
        values = first.metrics[key], second.metrics[key]
        yield Measured(second.task_name, second.split, label, *values, interval)


_Key = tuple[str, str, str, str, Any]


def _reports(project: Project, side: Side) -> Mapping[_Key, list[ReportedResult]]:
    chosen = project.registry.variants[side.name].chosen
    step = chosen.checkpoint if chosen is not None else None
    found: dict[_Key, list[ReportedResult]] = defaultdict(list)
    for result in read_reported(project.evidence, side.name):
        if result.step in (None, step):
            key = (result.task_name, result.split, result.subset, result.metric, result.source)
            found[key].append(result)
    return found


def _common(
    first: Sequence[ReportedResult], second: Sequence[ReportedResult]
) -> tuple[float, float, int] | None:
    if len(first) == len(second) == 1:
        return first[0].value, second[0].value, int(first[0].seed is not None)
    ours, theirs = ({one.seed: one.value for one in side} for side in (first, second))
    seeds = [seed for seed in ours if seed in theirs and seed is not None]
    if not seeds or len(ours) < len(first) or len(theirs) < len(second):
        return None
    return fmean(ours[s] for s in seeds), fmean(theirs[s] for s in seeds), len(seeds)
