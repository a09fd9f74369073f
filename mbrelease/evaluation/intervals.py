"""Percentile bootstrap intervals of metrics from per-example scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mbrelease.evaluation.metrics import Floats

RESAMPLES = 2000
CHUNK = 250


def bootstrap_ci95(
    metrics: Callable[[Floats], dict[str, Floats]], n_examples: int, *, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """The 2.5 % and 97.5 % quantiles of each metric over resamples of the examples.

    Percentile bootstrap, Efron and Tibshirani (1993), chapter 13. The weights are multinomial
    counts; they depend on ``seed`` and ``n_examples`` alone, so every checkpoint is resampled
    alike. Seeds of a trained head are held fixed: the interval is over examples.

    Args:
        metrics: From weights (resamples, examples) to values (resamples,).
        n_examples: Number of examples.
        seed: Of the resampling.
    """
    generator = np.random.default_rng(seed)
    probabilities = np.full(n_examples, 1.0 / n_examples)
    chunks = [
        metrics(generator.multinomial(n_examples, probabilities, size=CHUNK).astype(np.float64))
        for _ in range(RESAMPLES // CHUNK)
    ]
    intervals = {}
    for name in chunks[0]:
        values = np.concatenate([chunk[name] for chunk in chunks])
        low, high = np.quantile(values, [0.025, 0.975])
        intervals[name] = (float(low), float(high))
    return intervals
