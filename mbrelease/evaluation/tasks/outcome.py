"""What measuring a task gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

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


def point_and_interval(
    metrics: Callable[[Floats], dict[str, Floats]], n_examples: int
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """The value of each metric on all examples, and its 95 % bootstrap interval.

    Where a value is no finite number there are no intervals.
    """
    point = {name: float(value[0]) for name, value in metrics(np.ones((1, n_examples))).items()}
    finite = np.isfinite(list(point.values())).all()
    return point, bootstrap_ci95(metrics, n_examples) if finite else {}


def outcome_of_seeds(
    seeds: Sequence[int],
    ids: Sequence[str],
    columns: Mapping[str, NDArray[np.generic]],
    metrics: Callable[[Mapping[str, NDArray[np.generic]], Floats], dict[str, Floats]],
    counts: Mapping[str, int],
    tuned: FineTuned | None = None,
) -> Outcome:
    """The result of heads that were trained with ``seeds``, on the examples ``ids``.

    Args:
        seeds: In the order of the columns' rows.
        ids: Of the examples.
        columns: Per-example scores, each of shape (seeds, examples).
        metrics: From columns and weights (resamples, examples) to means over the seeds.
        counts: See ``Outcome``.
        tuned: Where models were fine-tuned, how: each experiment names the chosen settings.
    """
    settings = asdict(tuned.chosen) if tuned else {}
    n_examples = len(ids)
    point, ci95 = point_and_interval(lambda weights: metrics(columns, weights), n_examples)
    experiments = []
    for row, seed in enumerate(seeds):
        one = {name: column[row : row + 1] for name, column in columns.items()}
        values = metrics(one, np.ones((1, n_examples)))
        scores = {name: float(value[0]) for name, value in values.items()}
        experiments.append({"seed": seed, **scores, **settings})
    examples: dict[str, NDArray[np.generic]] = {
        "id": np.tile(np.asarray(ids), len(seeds)),
        "seed": np.repeat(np.asarray(seeds), n_examples),
        **{name: column.reshape(-1) for name, column in columns.items()},
    }
    tried = tuned.tried if tuned else ()
    return Outcome(point, ci95, n_examples, examples, counts, tuple(experiments), tried)
