"""How sure the difference of two models is: the interval of paired examples.

Resampling takes longer than all the rest of a card, so the intervals are kept in ``.mbrelease``,
known by the bytes they rest on. They may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

from mbrelease.errors import UserError
from mbrelease.evaluation.evidence import EvidenceRecord
from mbrelease.files import read_json, sha256_json, write_json
from mbrelease.registry.project import Project
from mbrelease.registry.tasks import AnyTask, EfficiencyTask

KEPT = Path(".mbrelease") / "paired"
RESAMPLES = 2_000
FEWEST_EXAMPLES = 30
CODE_VERSION = 1
"""Raised by hand when the same scores would give another interval."""

Interval = tuple[float, float]


def paired_interval(
    project: Project, task: AnyTask, key: str, own: EvidenceRecord, other: EvidenceRecord
) -> Interval | None:
    """The 95% interval of ``own`` minus ``other`` in the metric ``key``, or ``None``.

    Percentiles of the paired bootstrap over examples, clusters and seeds, as ``select`` draws them
    (``selection.statistics``). There is none where a metric is no mean over examples, where the
    scores of the examples are not here, where the models were measured on other examples, other
    masks or other seeds, or on fewer than 30 examples.

    Raises:
        UserError: scores were changed after they were measured.
    """
    if isinstance(task, EfficiencyTask) or not _at_hand(own) or not _at_hand(other):
        return None
    path = project.root / KEPT / f"{_name(task, key, own, other)}.json"
    kept = _kept(path)
    if kept is not None:
        return kept
    found = _interval(task, key, own, other)
    if found is not None:
        with contextlib.suppress(UserError):  # where nothing can be kept, it is drawn each time
            write_json(path, list(found))
    return found


def kept_interval(
    project: Project, task: AnyTask, key: str, own: EvidenceRecord, other: EvidenceRecord
) -> Interval | None:
    """What ``paired_interval`` kept, of either less the other; nothing is drawn."""
    for one, two, sign in ((own, other, 1), (other, own, -1)):
        kept = _kept(project.root / KEPT / f"{_name(task, key, one, two)}.json")
        if kept is not None:
            return kept if sign > 0 else (-kept[1], -kept[0])
    return None


def _kept(path: Path) -> Interval | None:
    """What stands at ``path``, unless nothing does or it is not what was left there."""
    try:
        content = read_json(path)
    except UserError:
        return None
    match content:
        case [float() as low, float() as high] if math.isfinite(high - low) and low <= high:
            return low, high
    return None


def _at_hand(record: EvidenceRecord) -> bool:
    file = record.examples_file
    return file is not None and file.is_file()


def _name(task: AnyTask, key: str, own: EvidenceRecord, other: EvidenceRecord) -> str:
    sides = [
        [record.per_example.sha256 if record.per_example else None, record.metrics.get(key)]
        for record in (own, other)
    ]
    return sha256_json([CODE_VERSION, RESAMPLES, task.type, key, sides])[:32]


def _interval(
    task: AnyTask, key: str, own: EvidenceRecord, other: EvidenceRecord
) -> Interval | None:
    import numpy as np

    from mbrelease.selection.scores import common_seeds, read_scores
    from mbrelease.selection.statistics import bootstrap, percentile_interval

    both = [read_scores(record, task, key) for record in (own, other)]
    first, second = both
    if first.ids != second.ids or first.clusters != second.clusters:
        return None
    if (
        first.masked is not None
        and second.masked is not None
        and not np.array_equal(first.masked, second.masked)
    ):
        return None
    units = set(first.clusters) if first.clusters is not None else first.ids
    if len(units) < FEWEST_EXAMPLES:
        return None
    shared = common_seeds(both)
    if first.seeds and not shared[0].seeds:
        return None
    clusters = None
    if first.clusters is not None:
        clusters = np.unique(np.asarray(first.clusters), return_inverse=True)[1].reshape(-1)
    drawn = bootstrap([one.score for one in shared], resamples=RESAMPLES, clusters=clusters)
    return percentile_interval(drawn.values[:, 0] - drawn.values[:, 1])
