"""Paired inference on per-example scores, in NumPy alone.

Everything rests on one bootstrap whose weights are shared by all models and metrics, so that what
models have in common cancels in their differences. Directions are the caller's: a difference is
positive where the first is better.

Sources:
    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 10 and 13.
    Holm, A simple sequentially rejective multiple test procedure (1979).
    Westfall and Young, Resampling-Based Multiple Testing (1993), section 2.
    Rao and Wu, Resampling Inference with Complex Survey Data (1988).
    McCullagh, Resampling and Exchangeable Arrays (2000).
    Owen, The Pigeonhole Bootstrap (2007).
    Hsu, Multiple Comparisons (1996), chapters 3 and 4.
    Davison and Hinkley, Bootstrap Methods and their Application (1997), section 4.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
State = Literal["pass", "fail", "inconclusive"]

FEWEST_EXAMPLES = 30
POWER = 0.8
CHUNK = 250
FEWER_DRAWS = 3
# A sum of whole numbers below this is exact in float32, which multiplies twice as fast.
EXACT_IN_FLOAT32 = 2**24
_TYPES: tuple[type[np.floating], ...] = (np.float32, np.float64)


@dataclass(frozen=True)
class AdditiveScore:
    """A metric of one model that is a function of sums over examples, such as Σ nll / Σ tokens."""

    columns: Floats
    """Shape (seeds, examples, k): what is summed; one seed where nothing was trained."""
    value: Callable[[Floats], Floats]
    """From sums (..., k) to the metric (...)."""


@dataclass(frozen=True)
class WeightedScore:
    """A metric of one model that is no function of sums, such as a rank correlation."""

    n_seeds: int
    n_examples: int
    value: Callable[[Floats], Floats]
    """From example weights (resamples, examples) to values (seeds, resamples)."""


Score = AdditiveScore | WeightedScore


@dataclass(frozen=True)
class Bootstrap:
    """The values of several scores on all examples and on each resample."""

    point: Floats
    """Shape (scores,)."""
    values: Floats
    """Shape (resamples, scores)."""
    out_of_bag: Floats
    """Shape (resamples, scores): on the examples a resample has not drawn; only of the scores for
    which it was asked, otherwise NaN."""


def bootstrap(
    scores: Sequence[Score],
    *,
    resamples: int = 10_000,
    seed: int = 0,
    clusters: NDArray[np.int64] | None = None,
    out_of_bag: Sequence[bool] | None = None,
) -> Bootstrap:
    """Resample the examples of ``scores``, all alike, and value each score on every resample.

    Examples are drawn with replacement, whole clusters where there are clusters. Sums are resampled
    and then divided, never ratios averaged (Efron and Tibshirani, 1993, section 10.6).

    Where heads were trained with several seeds, the seeds are drawn too, independently of the
    examples, and the two effects are added: the mean over all seeds on the drawn examples, plus how
    far the drawn seeds lie from that mean on all examples. The variance of what a seed does to
    single examples is so counted twice; it would be counted three times if the drawn seeds were
    valued on the drawn examples (Owen, 2007), and no resampling counts it once (McCullagh, 2000).

    Args:
        scores: Of the same examples in the same order; their seeds are the same, or there is one.
        resamples: How many.
        seed: Of the drawing. The weights depend on it, the number of units and of seeds alone.
        clusters: The cluster of each example, numbered from 0 without gaps.
        out_of_bag: Which scores are also valued on what was not drawn.
    """
    n_examples = _n_examples(scores[0])
    n_units = n_examples if clusters is None else int(clusters.max()) + 1
    n_seeds = max(map(_n_seeds, scores))
    asked = np.asarray(out_of_bag or [False] * len(scores))
    wanted = [score for score, one in zip(scores, asked, strict=True) if one]
    table, of_asked = (_Table.of(some, n_units, clusters) for some in (scores, wanted))
    everything = np.ones((1, n_units))
    point = table.values(everything)[0]
    by_seed = np.stack([np.broadcast_to(one[0], n_seeds) for one in table.by_seed(everything)], 1)
    values = np.empty((resamples, len(scores)))
    left_out = np.full((resamples, len(scores)), np.nan)
    start = 0
    for counts, seed_counts in _draws(n_units, n_seeds, resamples, seed):
        rows = slice(start, start + len(counts))
        of_seeds = seed_counts / seed_counts.sum(axis=1, keepdims=True) @ (by_seed - point)
        values[rows] = table.values(counts) + of_seeds
        if asked.any():
            absent = (counts == 0).astype(np.float64)
            left_out[rows, asked] = of_asked.values(absent) + of_seeds[:, asked]
        start += len(counts)
    return Bootstrap(point, values, left_out)


def _draws(
    n_units: int, n_seeds: int, resamples: int, seed: int
) -> Iterator[tuple[Floats, Floats]]:
    """Multinomial counts, (chunk, units) and (chunk, seeds), from streams of their own."""
    of_units, of_seeds = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(2))
    for start in range(0, resamples, CHUNK):
        rows = min(CHUNK, resamples - start)
        yield _counts(n_units, rows, of_units), _counts(n_seeds, rows, of_seeds)


def _counts(n: int, rows: int, generator: np.random.Generator) -> Floats:
    """How often each of ``n`` units is drawn, (rows, n), in n - 3 draws with replacement.

    A mean of m draws varies by s²/n · (n - 1)/m, where s² is the unbiased variance. With as many
    draws as units that is too little; n - 1 draws would give s²/n (Rao and Wu, 1988),
    and n - 3 give the variance of Student's t with n - 1 degrees of freedom, so that percentiles
    are about those of t and not those of the normal distribution. It matters for a handful of seeds
    or clusters.
    """
    draws = max(1, n - FEWER_DRAWS)
    # Counting draws is several times faster than Generator.multinomial.
    drawn = generator.integers(0, n, size=(rows, draws), dtype=np.int64)
    drawn += np.arange(rows)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _n_examples(score: Score) -> int:
    return score.columns.shape[1] if isinstance(score, AdditiveScore) else score.n_examples


def _n_seeds(score: Score) -> int:
    return score.columns.shape[0] if isinstance(score, AdditiveScore) else score.n_seeds


@dataclass(frozen=True)
class _Table:
    """The columns of all additive scores side by side, so that one product sums them all."""

    scores: Sequence[Score]
    clusters: NDArray[np.int64] | None
    blocks: tuple[NDArray[np.floating], ...]
    """Whole numbers in float32, the rest in float64; each (columns, units)."""
    places: tuple[tuple[int, NDArray[np.int64]] | None, ...]
    """Of each additive score its block and its columns there, (seeds, k)."""

    @staticmethod
    def of(scores: Sequence[Score], n_units: int, clusters: NDArray[np.int64] | None) -> _Table:
        kept: tuple[list[NDArray[np.floating]], ...] = ([], [])
        known: dict[tuple[int, bytes], int] = {}
        places: list[tuple[int, NDArray[np.int64]] | None] = []
        for score in scores:
            if isinstance(score, WeightedScore):
                places.append(None)
                continue
            columns = score.columns if clusters is None else _by_cluster(score.columns, clusters)
            block = int(not _exact_in_float32(columns))
            rows: NDArray[np.floating] = np.ascontiguousarray(
                np.moveaxis(columns, 2, 1), dtype=_TYPES[block]
            )
            # Gold labels, token counts and the like are the same of every model: summed once.
            at = np.empty(rows.shape[:2], dtype=np.int64)
            for position in np.ndindex(at.shape):
                key = (block, rows[position].tobytes())
                if key not in known:
                    known[key] = len(kept[block])
                    kept[block].append(rows[position])
                at[position] = known[key]
            places.append((block, at))
        blocks = tuple(
            np.stack(some) if some else np.empty((0, n_units), dtype)
            for some, dtype in zip(kept, _TYPES, strict=True)
        )
        return _Table(scores, clusters, blocks, tuple(places))

    def by_seed(self, weights: Floats) -> list[Floats]:
        """Each score of each seed where units have ``weights``, each (resamples, seeds)."""
        sums = [
            np.asarray(weights.astype(block.dtype) @ block.T, dtype=np.float64)
            for block in self.blocks
        ]
        found = []
        for score, place in zip(self.scores, self.places, strict=True):
            if isinstance(score, AdditiveScore):
                assert place is not None
                found.append(score.value(sums[place[0]][:, place[1]]))
            else:
                of_examples = weights if self.clusters is None else weights[:, self.clusters]
                found.append(score.value(of_examples).T)
        return found

    def values(self, weights: Floats) -> Floats:
        """The mean of each score over its seeds, (resamples, scores)."""
        return np.stack([one.mean(axis=1) for one in self.by_seed(weights)], axis=1)


def _by_cluster(columns: Floats, clusters: NDArray[np.int64]) -> Floats:
    order = np.argsort(clusters, kind="stable")
    starts = np.searchsorted(clusters[order], np.arange(int(clusters.max()) + 1))
    return np.add.reduceat(columns[:, order], starts, axis=1)


def _exact_in_float32(columns: Floats) -> bool:
    most = np.abs(columns).max(initial=0.0) * columns.shape[1]
    return bool(most < EXACT_IN_FLOAT32 and (columns == np.floor(columns)).all())


def standard_error(values: Floats) -> Floats:
    """The standard deviation over resamples, (resamples, ...) → (...)."""
    spread = values.std(axis=0, ddof=1)
    # What rounding leaves of a constant is no spread.
    return np.asarray(np.where(spread > 1e-12 * np.abs(values).max(axis=0), spread, 0.0))


def percentile_interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """The two-sided percentile interval (Efron and Tibshirani, 1993, section 13.3).

    Args:
        values: Of one quantity, (resamples,).
        level: How often the interval is meant to hold the true value.
    """
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def one_sided_bounds(values: Floats, alpha: float) -> tuple[float, float]:
    """The lower and the upper bound that each hold with probability 1 - alpha by themselves."""
    low, high = np.quantile(values, [alpha, 1 - alpha])
    return float(low), float(high)


def p_not_above(
    values: Floats, point: float, threshold: float, at: Floats | float | None = None
) -> Floats:
    """p of the hypothesis that a quantity is at most ``threshold``, by inverting the percentile.

    (1 + #{value ≤ threshold}) / (1 + resamples), which counts the observed sample as one of the
    resamples (Davison and Hinkley, 1997, section 4.4).

    Args:
        values: Of the quantity, (resamples,).
        point: On all examples.
        threshold: What the quantity is held against.
        at: As if these had been the points, with the same spread; default ``point`` alone.
    """
    centred = np.sort(values - point)
    place = threshold - np.asarray(point if at is None else at, dtype=np.float64)
    # 0.48 - 0.50 is a little less than -0.02 in floating point: on the threshold is not above it.
    slack = 1e-12 * max(abs(threshold), abs(point))
    below = np.searchsorted(centred, place + slack, side="right")
    return np.asarray((1 + below) / (1 + len(values)))


def holm(p: Floats) -> Floats:
    """Holm-adjusted p along the last axis; rejecting those ≤ α keeps the familywise error ≤ α.

    The i-th smallest of m becomes the greatest of (m - j + 1) p_j over j ≤ i, and at most 1.
    """
    order = np.argsort(p, axis=-1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=-1)
    factors = np.arange(p.shape[-1], 0, -1)
    stepped = np.minimum(1.0, np.maximum.accumulate(ranked * factors, axis=-1))
    adjusted = np.empty_like(stepped)
    np.put_along_axis(adjusted, order, stepped, axis=-1)
    return adjusted


def max_t(values: Floats, point: Floats) -> Floats:
    """The greatest studentised deviation of each resample, over several quantities.

    max_c (value_c - point_c) / SE_c (Westfall and Young, 1993, section 2.5; single step). Its
    1 - α quantile makes one-sided bounds that hold for all quantities at once. Quantities that
    do not vary are left out; where none varies it is 0.

    Args:
        values: Shape (resamples, quantities).
        point: Shape (quantities,).
    """
    error = standard_error(values)
    varies = error > 0
    if not varies.any():
        return np.zeros(len(values))
    deviation = (values[:, varies] - point[varies]) / error[varies]
    return np.asarray(deviation.max(axis=1))


def p_max_t(values: Floats, point: Floats) -> Floats:
    """Max-T adjusted p of each quantity being at most 0, (quantities,).

    A quantity that does not vary has p 0 if it is positive, and otherwise 1.
    """
    greatest = np.sort(max_t(values, point))
    error = standard_error(values)
    t = np.divide(point, error, out=np.zeros_like(point), where=error > 0)
    above = len(greatest) - np.searchsorted(greatest, t, side="left")
    return np.where(error > 0, (1 + above) / (1 + len(greatest)), (point <= 0).astype(float))


def simultaneous_margins(values: Floats, point: Floats, alpha: float) -> Floats:
    """How far below its point each quantity may truly lie, all at once with probability 1 - α.

    The max-T quantile times each standard error, (quantities,).
    """
    return np.asarray(np.quantile(max_t(values, point), 1 - alpha) * standard_error(values))


def allowances(values: Floats, point: Floats, alpha: float) -> Floats:
    """By how much model b may lead model t, for t still to be among the possible best.

    Row t holds t against every b: q_t · SE(b - t), with q_t the 1 - α quantile of the greatest
    studentised (b - t) over b. Each t has all others as its rivals, so the truly best model is
    kept with probability 1 - α, whichever one looks best (Hsu, 1996, chapter 4).

    Args:
        values: Of each model, higher is better, (resamples, models).
        point: Shape (models,).
        alpha: Of losing the truly best one.

    Returns:
        Shape (models, models).
    """
    n_models = len(point)
    found = np.zeros((n_models, n_models))
    for t in range(n_models):
        leads = values - values[:, t : t + 1]
        found[t] = simultaneous_margins(leads, point - point[t], alpha)
    return found


def state_of(p: float, upper: float, margin: float, alpha: float) -> State:
    """Non-inferiority: pass where -margin or worse is refuted, fail where it is shown, or neither.

    Args:
        p: Of a change of -margin or worse.
        upper: One-sided upper bound of the change at 1 - alpha.
        margin: How much worse is acceptable.
        alpha: Of each of the two tests.
    """
    if p <= alpha:
        return "pass"
    return "fail" if upper < -margin else "inconclusive"


def minimal_detectable_effect(error: float, alpha: float, power: float = POWER) -> float:
    """The smallest true change that a one-sided test finds with probability ``power``.

    (z_{1-α} + z_power) · SE; 1.645 + 0.842 at α = 0.05 and a power of 0.8.
    """
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha) + normal.inv_cdf(power)) * error


def examples_to_settle(
    change: float, error: float, margin: float, n_examples: int, alpha: float
) -> int | None:
    """How many examples would settle a non-inferiority test with probability 0.8.

    n ((z_{1-α} + z_power) SE / |change + margin|)², if the change is what it seems to be; ``None``
    where it lies on the margin, which no number of examples settles.
    """
    distance = abs(change + margin)
    if distance <= 1e-9 * max(1.0, abs(margin)):
        return None
    needed = n_examples * (minimal_detectable_effect(error, alpha) / distance) ** 2
    return int(np.ceil(needed)) if needed < 1e12 else None


def wins_ties_losses(difference: Floats) -> tuple[int, int, int]:
    """How many examples a model wins, ties and loses, of per-example differences."""
    return (
        int((difference > 0).sum()),
        int((difference == 0).sum()),
        int((difference < 0).sum()),
    )


def pareto_front(points: Floats) -> NDArray[np.bool_]:
    """Which of ``points`` (models, metrics), higher is better, no other one dominates."""
    at_least = (points[:, None, :] >= points[None, :, :]).all(axis=2)
    above = (points[:, None, :] > points[None, :, :]).any(axis=2)
    return np.asarray(~(at_least & above).any(axis=0))
