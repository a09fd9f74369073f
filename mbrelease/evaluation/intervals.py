"""Percentile bootstrap intervals of metrics from per-example scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mbrelease.evaluation.metrics import Floats

RESAMPLES = 2000
CHUNK = 250


def bootstrap_ci95(
    metrics: Callable[[Floats], dict[str, Floats]],
    n_examples: int,
    *,
    clusters: NDArray[np.str_] | None = None,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """The 2.5 % and 97.5 % quantiles of each metric over resamples of the examples.

    Percentile bootstrap, Efron and Tibshirani (1993), chapter 13. The weights are multinomial
    counts; they depend on ``seed``, ``n_examples`` and ``clusters`` alone, so every checkpoint is
    resampled alike. Seeds of a trained head are held fixed: the interval is over examples.

    Args:
        metrics: From weights (resamples, examples) to values (resamples,).
        n_examples: Number of examples.
        clusters: The name of each example's cluster. Clusters are drawn then, as many as there
            are, and each with all its examples (Davison and Hinkley, 1997, section 3.8).
        seed: Of the resampling.
    """
    generator = np.random.default_rng(seed)
    n_units, cluster = n_examples, None
    if clusters is not None:
        names, cluster = np.unique(clusters, return_inverse=True)
        n_units = len(names)
    probabilities = np.full(n_units, 1.0 / n_units)
    chunks = []
    for _ in range(RESAMPLES // CHUNK):
        drawn = generator.multinomial(n_units, probabilities, size=CHUNK).astype(np.float64)
        chunks.append(metrics(drawn if cluster is None else drawn[:, cluster]))
    intervals = {}
    for name in chunks[0]:
        values = np.concatenate([chunk[name] for chunk in chunks])
        low, high = np.quantile(values, [0.025, 0.975])
        intervals[name] = (float(low), float(high))
    return intervals
