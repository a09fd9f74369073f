"""What measuring a task gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from mbrelease.errors import UserError
from mbrelease.evaluation.dataset import Dataset
from mbrelease.evaluation.intervals import bootstrap_ci95
from mbrelease.evaluation.metrics import Floats
from mbrelease.evaluation.training.finetuning import FineTuned


@dataclass(frozen=True)
class Outcome:
    """The result of one task on one split."""

    metrics: Mapping[str, float]
    ci95: Mapping[str, tuple[float, float]]
    n_examples: int
    examples: Mapping[str, NDArray[np.generic]]
    """The columns of the per-example table."""
    counts: Mapping[str, int]
    experiments: tuple[Mapping[str, float], ...] = ()
    """One entry a seed where something is trained: ``{"seed": 0, "macro_f1": …}``."""
    tried: tuple[Mapping[str, float], ...] = ()
    """Where settings were searched, each that was tried, with its ``score`` on what chooses."""
    machine: str = ""
    """The name of the card or processor, where the numbers depend on it."""


@dataclass(frozen=True)
class Sample:
    """The examples that a result is about, and which of them belong together."""

    ids: NDArray[np.str_]
    clusters: NDArray[np.str_] | None = None
    """The cluster of each; ``None`` where each stands for itself."""

    @staticmethod
    def of(dataset: Dataset, cluster: str | None) -> Sample:
        """All rows of ``dataset``; ``cluster`` is a task's field of that name.

        Raises:
            UserError: a row lacks the field, or all have the same in it.
        """
        ids = np.asarray(dataset.ids)
        if cluster is None:
            return Sample(ids)
        clusters = np.asarray(dataset.labels(cluster))
        if (clusters == clusters[0]).all():
            raise UserError(
                f"{dataset.path}: '{cluster}' is {clusters[0]} in every row, and one cluster says "
                "nothing of how much others differ",
                mend="leave out the task's 'cluster'",
            )
        return Sample(ids, clusters)

    def __len__(self) -> int:
        return len(self.ids)

    def only(self, rows: Sequence[int]) -> Sample:
        """The examples in these rows."""
        kept = list(rows)
        return Sample(self.ids[kept], None if self.clusters is None else self.clusters[kept])

    def columns(self, copies: int = 1) -> dict[str, NDArray[np.generic]]:
        """``id``, and ``cluster`` where there are clusters: the first columns of a table.

        Args:
            copies: How many times all examples stand in the table, one after the other.
        """
        ids: dict[str, NDArray[np.generic]] = {"id": np.tile(self.ids, copies)}
        return ids if self.clusters is None else {**ids, "cluster": np.tile(self.clusters, copies)}


def point_and_interval(
    metrics: Callable[[Floats], dict[str, Floats]], sample: Sample
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """The value of each metric on all examples, and its 95 % bootstrap interval.

    Where a value is no finite number there are no intervals.
    """
    point = {name: float(value[0]) for name, value in metrics(np.ones((1, len(sample)))).items()}
    finite = np.isfinite(list(point.values())).all()
    ci95 = bootstrap_ci95(metrics, len(sample), clusters=sample.clusters) if finite else {}
    return point, ci95


def outcome_of_seeds(
    seeds: Sequence[int],
    sample: Sample,
    columns: Mapping[str, NDArray[np.generic]],
    metrics: Callable[[Mapping[str, NDArray[np.generic]], Floats], dict[str, Floats]],
    counts: Mapping[str, int],
    tuned: FineTuned | None = None,
) -> Outcome:
    """The result of heads that were trained with ``seeds``, on the examples of ``sample``.

    Args:
        seeds: In the order of the columns' rows.
        sample: The examples.
        columns: Per-example scores, each of shape (seeds, examples).
        metrics: From columns and weights (resamples, examples) to means over the seeds.
        counts: See ``Outcome``.
        tuned: Where models were fine-tuned, how: each experiment names the chosen settings.
    """
    settings = asdict(tuned.chosen) if tuned else {}
    point, ci95 = point_and_interval(lambda weights: metrics(columns, weights), sample)
    experiments = []
    for row, seed in enumerate(seeds):
        one = {name: column[row : row + 1] for name, column in columns.items()}
        values = metrics(one, np.ones((1, len(sample))))
        scores = {name: float(value[0]) for name, value in values.items()}
        experiments.append({"seed": seed, **scores, **settings})
    examples: dict[str, NDArray[np.generic]] = {
        **sample.columns(len(seeds)),
        "seed": np.repeat(np.asarray(seeds), len(sample)),
        **{name: column.reshape(-1) for name, column in columns.items()},
    }
    tried = tuned.tried if tuned else ()
    return Outcome(point, ci95, len(sample), examples, counts, tuple(experiments), tried)
