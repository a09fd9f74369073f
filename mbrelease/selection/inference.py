"""Resample the examples of all entrants at once, so that everything about them is paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbrelease.errors import UserError
from mbrelease.evaluation.metric_names import lower_is_better, split_metric
from mbrelease.registry.schema import Policy
from mbrelease.selection.decision import Sample
from mbrelease.selection.entrants import Election, Entrant
from mbrelease.selection.rule import Changes
from mbrelease.selection.scores import ExampleScores, common_seeds, read_scores
from mbrelease.selection.statistics import FEWEST_EXAMPLES, Floats, bootstrap

FEWEST_SEEDS = 3


@dataclass(frozen=True)
class Resampled:
    """Every metric of the reference (first) and of each candidate; higher is better throughout."""

    metrics: tuple[str, ...]
    point: Floats
    """Shape (entrants, metrics)."""
    values: Floats
    """Shape (resamples, entrants, metrics); no resamples where only points are known."""
    out_of_bag: Floats
    """Shape (resamples, entrants): the primary metric on the examples that were not drawn."""
    scores: tuple[tuple[ExampleScores, ...], ...]
    """Of each metric those of each entrant; empty where only points are known."""
    samples: tuple[Sample, ...]

    @property
    def basis_is_points(self) -> bool:
        """Whether there are no scores of single examples."""
        return not self.samples

    def changes(self, policy: Policy) -> Changes:
        """Each candidate less the reference: the primary metric, then each guardrail."""
        wanted = [policy.primary, *(guardrail.metric for guardrail in policy.guardrails)]
        columns = [self.metrics.index(metric) for metric in wanted]
        point, values = self.point[:, columns], self.values[:, :, columns]
        return Changes(point[1:] - point[:1], values[:, 1:] - values[:, :1])


def resample(election: Election) -> Resampled:
    """Read the scores of all entrants and resample them, paired.

    Raises:
        UserError: entrants were measured on different examples or masks, there are fewer than 30
            examples, or a file of scores is missing or was changed.
    """
    entrants = [election.reference, *election.candidates]
    metrics = election.metrics
    signs = np.asarray([-1.0 if lower_is_better(metric) else 1.0 for metric in metrics])
    point = np.asarray([[one.readings[m].value for m in metrics] for one in entrants]) * signs
    if any(reading.record is None for one in entrants for reading in one.readings.values()):
        none = np.empty((0, *point.shape))
        return Resampled(tuple(metrics), point, none, none[:, :, 0], (), ())
    table = [_read(election, entrants, metric) for metric in metrics]
    policy = election.policy
    values = np.empty((policy.resamples, *point.shape))
    out_of_bag = np.empty((policy.resamples, len(entrants)))
    for group in _groups(table):
        flat = [one.score for column in group for one in table[column]]
        asked = [column == 0 for column in group for _ in entrants]
        drawn = bootstrap(
            flat,
            resamples=policy.resamples,
            seed=policy.seed,
            clusters=_numbered(table[group[0]][0].clusters),
            out_of_bag=asked,
        )
        for place, column in enumerate(group):
            own = slice(place * len(entrants), (place + 1) * len(entrants))
            values[:, :, column] = drawn.values[:, own] * signs[column]
            # Of the seeds that all share; the record's own value is over all of its seeds.
            point[:, column] = drawn.point[own] * signs[column]
            if column == 0:
                out_of_bag[:] = drawn.out_of_bag[:, own] * signs[column]
    samples = tuple(
        _sample(metric, column[0]) for metric, column in zip(metrics, table, strict=True)
    )
    return Resampled(tuple(metrics), point, values, out_of_bag, tuple(map(tuple, table)), samples)


def _read(election: Election, entrants: Sequence[Entrant], metric: str) -> list[ExampleScores]:
    task, key = election.task(metric), split_metric(metric)[1]
    found = []
    for one in entrants:
        record = one.readings[metric].record
        assert record is not None
        found.append(read_scores(record, task, key))
    for one, scores in zip(entrants, found, strict=True):
        _require_same_examples(metric, entrants[0], found[0], one, scores)
    if len(found[0].ids) < FEWEST_EXAMPLES:
        raise UserError(
            f"{metric} was measured on {len(found[0].ids)} examples; fewer than {FEWEST_EXAMPLES} "
            "say nothing of how sure a difference is",
            mend=f"give the task '{task.name}' more examples on {election.split}",
        )
    clusters = found[0].clusters
    if clusters is not None and len(set(clusters)) < FEWEST_EXAMPLES:
        raise UserError(
            f"the examples of {metric} are {len(set(clusters))} clusters; fewer than "
            f"{FEWEST_EXAMPLES} say nothing of how sure a difference is",
            mend=f"give the task '{task.name}' examples of more clusters on {election.split}",
        )
    shared = common_seeds(found)
    if found[0].seeds and not shared[0].seeds:
        raise UserError(
            f"no seed of {metric} is shared by all candidates",
            mend="measure them with the same 'seeds'",
        )
    return shared


def _require_same_examples(
    metric: str, reference: Entrant, expected: ExampleScores, one: Entrant, found: ExampleScores
) -> None:
    if found.ids != expected.ids or found.clusters != expected.clusters:
        raise UserError(
            f"{metric}: {one.name} was measured on other examples than {reference.name}",
            mend="measure them on the same data",
        )
    if (
        expected.masked is not None
        and found.masked is not None
        and not np.array_equal(expected.masked, found.masked)
    ):
        raise UserError(
            f"{metric}: {one.name} was measured with other masks than {reference.name}, for "
            "their tokenizers differ",
            mend="compare their bits_per_byte",
        )


def _groups(table: Sequence[Sequence[ExampleScores]]) -> list[list[int]]:
    """The metrics that rest on the same examples and seeds, so that they are drawn together."""
    groups: list[list[int]] = []
    seeds: list[tuple[int, ...]] = []
    for column, scores in enumerate(table):
        one = scores[0]
        for place, group in enumerate(groups):
            first = table[group[0]][0]
            agree = not one.seeds or not seeds[place] or one.seeds == seeds[place]
            if agree and one.ids == first.ids and one.clusters == first.clusters:
                group.append(column)
                seeds[place] = seeds[place] or one.seeds
                break
        else:
            groups.append([column])
            seeds.append(one.seeds)
    return groups


def _numbered(clusters: Sequence[str] | None) -> NDArray[np.int64] | None:
    if clusters is None:
        return None
    return np.unique(np.asarray(clusters), return_inverse=True)[1].astype(np.int64).reshape(-1)


def _sample(metric: str, scores: ExampleScores) -> Sample:
    return Sample(
        metric=metric,
        n_examples=len(scores.ids),
        n_clusters=len(set(scores.clusters)) if scores.clusters is not None else None,
        n_seeds=len(scores.seeds) or 1,
    )
