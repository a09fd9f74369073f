"""What measuring a task gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mbrelease.evaluation.intervals import bootstrap_ci95
from mbrelease.evaluation.metrics import Floats


@dataclass(frozen=True)
class Outcome:
    """The result of one task on one split."""

    metrics: Mapping[str, float]
    ci95: Mapping[str, tuple[float, float]]
    n_examples: int
    examples: Mapping[str, NDArray[np.generic]]
    """The columns of the per-example table."""
    counts: Mapping[str, int]
    experiments: tuple[Mapping[str, float], ...] = field(default=())


def point_and_interval(
    metrics: Callable[[Floats], dict[str, Floats]], n_examples: int
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """The value of each metric on all examples, and its 95 % bootstrap interval.

    Where a value is no finite number there are no intervals.
    """
    point = {name: float(value[0]) for name, value in metrics(np.ones((1, n_examples))).items()}
    finite = np.isfinite(list(point.values())).all()
    return point, bootstrap_ci95(metrics, n_examples) if finite else {}
