"""Every statistic against one worked out by hand, by SciPy, or by the loop that says what it means.

Error rates are in test_error_rates.py.
"""

import itertools

import numpy as np
import pytest
from scipy import stats

from mbrelease.selection.statistics import (
    AdditiveScore,
    WeightedScore,
    allowances,
    bootstrap,
    examples_to_settle,
    holm,
    max_t,
    minimal_detectable_effect,
    one_sided_bounds,
    p_max_t,
    p_not_above,
    pareto_front,
    percentile_interval,
    simultaneous_margins,
    standard_error,
    state_of,
    wins_ties_losses,
)

N, RESAMPLES = 40, 300


def ratio(sums):
    return sums[..., 0] / sums[..., 1]


def mean_of(values):
    """The mean of ``values``, (seeds, examples)."""
    values = np.atleast_2d(np.asarray(values, dtype=float))
    return AdditiveScore(np.stack([values, np.ones_like(values)], axis=2), ratio)


class Recorder:
    """A score that keeps the example weights it is asked for: one for each resample in turn."""

    def __init__(self, n_examples=N):
        self.weights = []
        self.score = WeightedScore(1, n_examples, self)

    def __call__(self, weights):
        self.weights.append(weights)
        return weights[None, :, 0]

    @property
    def counts(self):
        """Of each resample. The first that were asked for are ones, of all examples."""
        return np.concatenate(self.weights)[-RESAMPLES:].astype(int)


def seed_shares(n_seeds, **options):
    """How large a part of each resample every seed is, (resamples, seeds)."""
    seeds = np.eye(n_seeds)[:, :, None] * np.ones(N)
    drawn = bootstrap([mean_of(one) for one in seeds], resamples=RESAMPLES, **options)
    return drawn.values


# The bootstrap


def test_each_resample_is_the_metric_of_the_examples_it_has_drawn():
    """Example by example: drawn twice is there twice. A loss, an accuracy, and a correlation."""
    generator = np.random.default_rng(0)
    nll, tokens = generator.gamma(2, 30, N), generator.integers(5, 90, N).astype(float)
    right = generator.integers(0, 2, N)
    target, said = generator.normal(size=(2, N))

    def pearson(weights):
        return np.stack(
            [[np.corrcoef(np.repeat([target, said], w, 1))[0, 1] for w in weights.astype(int)]]
        )

    recorder = Recorder()
    loss = AdditiveScore(np.stack([nll, tokens], axis=1)[None], ratio)
    drawn = bootstrap(
        [recorder.score, loss, mean_of(right), WeightedScore(1, N, pearson)], resamples=RESAMPLES
    )
    for row, counts in enumerate(recorder.counts):
        examples = np.repeat(np.arange(N), counts)
        assert drawn.values[row, 1] == pytest.approx(nll[examples].sum() / tokens[examples].sum())
        assert drawn.values[row, 2] == pytest.approx(np.mean(right[examples]))
        assert drawn.values[row, 3] == pytest.approx(
            stats.pearsonr(target[examples], said[examples])[0]
        )
    assert drawn.point[1:] == pytest.approx(
        [nll.sum() / tokens.sum(), right.mean(), stats.pearsonr(target, said)[0]]
    )


def test_what_is_left_out_is_valued_too_where_it_is_asked_for():
    recorder, values = Recorder(), np.random.default_rng(1).normal(size=(2, N))
    drawn = bootstrap(
        [recorder.score, *map(mean_of, values)],
        resamples=RESAMPLES,
        out_of_bag=[False, True, False],
    )
    for row, counts in enumerate(recorder.counts):
        assert drawn.out_of_bag[row, 1] == pytest.approx(values[0, counts == 0].mean())
    assert np.isnan(drawn.out_of_bag[:, [0, 2]]).all()


def test_three_draws_fewer_than_examples_all_equally_likely():
    recorder = Recorder()
    bootstrap([recorder.score], resamples=RESAMPLES)
    assert set(recorder.counts.sum(axis=1)) == {N - 3}
    drawn = recorder.counts.sum(axis=0)
    assert stats.chisquare(drawn).pvalue > 1e-3


def test_a_mean_varies_as_students_t():
    """So says the docstring: s²/n · (n - 1)/(n - 3)."""
    values = np.random.default_rng(2).normal(size=N)
    drawn = bootstrap([mean_of(values)], resamples=20_000)
    expected = stats.t(N - 1, scale=stats.sem(values)).std()
    assert standard_error(drawn.values)[0] == pytest.approx(expected, rel=0.02)


def test_whole_clusters_are_drawn():
    generator = np.random.default_rng(3)
    clusters = generator.permutation(np.repeat(np.arange(10), [1, 2, 3, 4, 5, 5, 5, 5, 5, 5]))
    nll, tokens = generator.gamma(2, 30, N), generator.integers(5, 90, N).astype(float)
    recorder = Recorder()
    loss = AdditiveScore(np.stack([nll, tokens], axis=1)[None], ratio)
    drawn = bootstrap(
        [recorder.score, loss], resamples=RESAMPLES, clusters=clusters, out_of_bag=[False, True]
    )
    for row, counts in enumerate(recorder.counts):
        of_cluster = [set(counts[clusters == cluster]) for cluster in range(10)]
        assert all(len(one) == 1 for one in of_cluster)
        assert sum(one.pop() for one in of_cluster) == 7
        assert drawn.values[row, 1] == pytest.approx((counts @ nll) / (counts @ tokens))
        left = counts == 0
        assert drawn.out_of_bag[row, 1] == pytest.approx(nll[left].sum() / tokens[left].sum())


def test_clusters_of_one_example_are_no_clusters():
    values = np.random.default_rng(4).normal(size=N)
    alone = bootstrap([mean_of(values)], resamples=RESAMPLES, clusters=np.arange(N))
    plain = bootstrap([mean_of(values)], resamples=RESAMPLES)
    assert alone.values == pytest.approx(plain.values)


@pytest.mark.parametrize(("n_seeds", "draws"), [(2, 1), (3, 1), (4, 1), (5, 2), (10, 7)])
def test_seeds_are_drawn_too(n_seeds, draws):
    shares = seed_shares(n_seeds)
    counts = shares * draws
    assert counts == pytest.approx(counts.round())
    assert shares.sum(axis=1) == pytest.approx(np.ones(RESAMPLES))
    assert stats.chisquare(counts.sum(axis=0)).pvalue > 1e-3


def test_the_effects_of_drawn_seeds_and_of_drawn_examples_are_added():
    values = np.random.default_rng(5).normal(size=(5, N))
    recorder, shares = Recorder(), seed_shares(5)
    drawn = bootstrap(
        [recorder.score, mean_of(values), mean_of(values[0])],
        resamples=RESAMPLES,
        out_of_bag=[False, True, True],
    )
    assert drawn.point[1] == pytest.approx(values.mean())
    for row, counts in enumerate(recorder.counts):
        of_seeds = shares[row] @ values.mean(axis=1) - values.mean()
        on_drawn = np.repeat(values, counts, axis=1).mean()
        assert drawn.values[row, 1] == pytest.approx(on_drawn + of_seeds)
        on_left = values[:, counts == 0].mean()
        assert drawn.out_of_bag[row, 1] == pytest.approx(on_left + of_seeds)
        # What was not trained has no seeds, and none are drawn.
        assert drawn.values[row, 2] == pytest.approx(np.repeat(values[0], counts).mean())
        assert drawn.out_of_bag[row, 2] == pytest.approx(values[0, counts == 0].mean())


def test_a_score_that_is_no_sum_has_seeds_as_well():
    values = np.random.default_rng(6).normal(size=(5, N))
    no_sum = WeightedScore(5, N, lambda weights: values @ weights.T / weights.sum(axis=1))
    drawn = bootstrap([mean_of(values), no_sum], resamples=RESAMPLES, out_of_bag=[True, True])
    assert drawn.values[:, 1] == pytest.approx(drawn.values[:, 0])
    assert drawn.out_of_bag[:, 1] == pytest.approx(drawn.out_of_bag[:, 0])


def test_a_policy_may_rest_on_correlations_alone():
    values = np.random.default_rng(6).normal(size=N)
    no_sum = WeightedScore(1, N, lambda weights: (weights @ values / weights.sum(axis=1))[None])
    for clusters in (None, np.arange(N) // 2):
        options = {"resamples": RESAMPLES, "clusters": clusters, "out_of_bag": [True]}
        alone, sums = bootstrap([no_sum], **options), bootstrap([mean_of(values)], **options)
        assert alone.values == pytest.approx(sums.values)
        assert alone.out_of_bag == pytest.approx(sums.out_of_bag)


def test_models_share_their_draws_whichever_others_there_are():
    values = np.random.default_rng(7).normal(size=(3, N))
    together = bootstrap(list(map(mean_of, values)), resamples=RESAMPLES, seed=3)
    for place, one in enumerate(values):
        alone = bootstrap([mean_of(one)], resamples=RESAMPLES, seed=3)
        assert together.values[:, place] == pytest.approx(alone.values[:, 0], abs=1e-12)


def test_a_seed_gives_the_same_values_and_another_seed_others():
    score = mean_of(np.random.default_rng(8).normal(size=(5, N)))
    first, again, other = (
        bootstrap([score], resamples=RESAMPLES, seed=seed).values for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).mean() > 0.99


def test_the_first_resamples_are_the_same_however_many_follow():
    score = mean_of(np.random.default_rng(9).normal(size=(5, N)))
    few, many = (bootstrap([score], resamples=size).values for size in (250, 1000))
    assert few == pytest.approx(many[:250])


def test_identical_copies_do_not_differ_in_any_resample():
    values = np.random.default_rng(10).normal(size=(5, N))
    others = [mean_of(one) for one in np.random.default_rng(11).normal(size=(7, 5, N))]
    drawn = bootstrap([mean_of(values), *others, mean_of(values.copy())], resamples=RESAMPLES)
    assert (drawn.values[:, 0] == drawn.values[:, -1]).all()
    assert drawn.point[0] == drawn.point[-1]


@pytest.mark.parametrize("largest", [1, 400_000, 10_000_000])
def test_sums_of_large_whole_numbers_are_exact(largest):
    """Where float32 would round them they are summed in float64."""
    tokens = np.random.default_rng(12).integers(1, largest + 1, N).astype(float)
    tokens[0] = largest
    recorder = Recorder()
    total = AdditiveScore(tokens[None, :, None], lambda sums: sums[..., 0])
    drawn = bootstrap([recorder.score, total], resamples=RESAMPLES)
    assert (drawn.values[:, 1] == recorder.counts @ tokens).all()


# Spread and intervals


def test_the_standard_error_is_the_standard_deviation_over_resamples():
    values = np.random.default_rng(0).normal(size=(500, 3, 2))
    assert standard_error(values) == pytest.approx(values.std(axis=0, ddof=1))


def test_what_rounding_leaves_of_a_constant_is_no_spread():
    wobble = np.where(np.arange(100) % 2, 1e-16, -1e-16)
    assert standard_error(np.stack([0.7 + wobble, np.zeros(100)], axis=1)).tolist() == [0, 0]
    assert standard_error(0.7 + 1e-6 * wobble / 1e-16) > 0


def test_the_percentile_interval_is_that_of_scipy_on_the_same_values():
    values = np.random.default_rng(1).normal(size=60)
    scipy = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=0)
    assert percentile_interval(scipy.bootstrap_distribution) == pytest.approx(
        tuple(scipy.confidence_interval)
    )
    narrow = percentile_interval(scipy.bootstrap_distribution, 0.5)
    assert narrow == pytest.approx(tuple(np.quantile(scipy.bootstrap_distribution, [0.25, 0.75])))


def test_an_interval_of_a_mean_is_nearly_that_of_students_t():
    values = np.random.default_rng(2).normal(size=100)
    drawn = bootstrap([mean_of(values)], resamples=20_000).values[:, 0]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert percentile_interval(drawn) == pytest.approx(tuple(expected), abs=0.01)


def test_one_sided_bounds_are_the_ends_of_a_wider_interval():
    values = np.random.default_rng(3).normal(size=1000)
    assert one_sided_bounds(values, 0.05) == pytest.approx(percentile_interval(values, 0.90))
    low, high = one_sided_bounds(np.arange(101.0), 0.05)
    assert (low, high) == pytest.approx((5, 95))


# p


def test_p_counts_the_sample_as_one_of_the_resamples():
    values = np.asarray([0.0, 1.0, 2.0, 3.0])
    # Two of four are at most 1, and one more of each is added: (1 + 2) / (1 + 4).
    assert p_not_above(values, 1.5, 1.0) == pytest.approx(3 / 5)
    assert p_not_above(values, 1.5, -1.0) == pytest.approx(1 / 5)
    assert p_not_above(values, 1.5, 9.0) == pytest.approx(1)


def test_p_is_nearly_that_of_the_paired_t_test():
    generator = np.random.default_rng(4)
    change = generator.normal(0.2, 1, 200)
    drawn = bootstrap([mean_of(change)], resamples=20_000)
    for threshold in (-0.05, 0.0, 0.1, 0.4):
        expected = stats.ttest_1samp(change, threshold, alternative="greater").pvalue
        found = p_not_above(drawn.values[:, 0], drawn.point[0], threshold)
        assert found == pytest.approx(expected, abs=0.01)


def test_p_at_another_point_is_that_of_shifted_values():
    values = np.random.default_rng(5).normal(size=500)
    points = np.asarray([-1.0, 0.0, 0.3, 2.0])
    found = p_not_above(values, 0.3, -0.02, at=points)
    assert found == pytest.approx(
        [float(p_not_above(values - 0.3 + at, at, -0.02)) for at in points], abs=1e-12
    )


def test_on_the_threshold_is_not_above_it_whatever_floating_point_makes_of_it():
    """0.48 - 0.50 is a little less, and 0.48 + 0.02 not the same, as exact numbers have it."""
    for model, base in ((0.48, 0.50), (0.93, 0.95), (0.28, 0.30)):
        assert p_not_above(np.full(99, model - base), model - base, -0.02) == 1
    assert p_not_above(np.zeros(99), 0.0, 0.0) == 1


def test_p_is_no_smaller_than_resamples_can_tell():
    assert p_not_above(np.ones(999), 1.0, 0.0) == pytest.approx(1 / 1000)


def naive_holm(p, alpha):
    """Step by step: the smallest at α / m, the next at α / (m - 1), until one is not rejected."""
    rejected = np.zeros(len(p), dtype=bool)
    for step, place in enumerate(np.argsort(p, kind="stable")):
        if p[place] > alpha / (len(p) - step):
            break
        rejected[place] = True
    return rejected


def test_holm_by_hand():
    """4 · 0.01, 3 · 0.02, 2 · 0.03 (not below the one before), 1 · 0.04."""
    assert holm(np.asarray([0.04, 0.01, 0.03, 0.02])) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm(np.asarray([0.7, 0.6])) == pytest.approx([1, 1])
    assert holm(np.asarray([0.03])) == pytest.approx([0.03])
    assert holm(np.asarray([0.02, 0.02, 0.02])) == pytest.approx([0.06] * 3)


def test_holm_rejects_what_its_steps_reject():
    generator = np.random.default_rng(6)
    table = (generator.random((400, 6)) ** 4).round(3)
    adjusted = holm(table)
    assert adjusted.shape == table.shape
    for row, p in enumerate(table):
        assert ((adjusted[row] <= 0.05) == naive_holm(p, 0.05)).all()


# Max-T


def correlated(n_resamples=4000, n=4, seed=7):
    """Values of quantities that share a part, as differences from one reference do."""
    generator = np.random.default_rng(seed)
    shared = generator.normal(size=(n_resamples, 1))
    return (shared + generator.normal(size=(n_resamples, n))) * np.arange(1.0, n + 1)


def test_max_t_is_the_greatest_studentised_deviation():
    values, point = correlated(50), np.asarray([0.1, -0.2, 0.3, 0.0])
    expected = [
        max((row[c] - point[c]) / np.std(values[:, c], ddof=1) for c in range(4)) for row in values
    ]
    assert max_t(values, point) == pytest.approx(expected)


def test_what_does_not_vary_has_no_part_in_max_t():
    values, point = correlated(), np.zeros(4)
    constant = np.concatenate([values, np.full((len(values), 1), 0.5)], axis=1)
    assert max_t(constant, np.append(point, 0.5)) == pytest.approx(max_t(values, point))
    assert max_t(np.full((9, 2), 0.5), np.full(2, 0.5)).tolist() == [0] * 9


def test_simultaneous_margins_are_those_of_dunnett():
    """Differences of seven groups from a control of the same size: correlation 1/2."""
    generator = np.random.default_rng(8)
    groups = generator.normal(size=(60_000, 8))
    margins = simultaneous_margins(groups[:, 1:] - groups[:, :1], np.zeros(7), 0.05)
    critical = margins / np.sqrt(2)
    normal = stats.multivariate_normal(cov=0.5 * np.eye(7) + 0.5)
    for one in critical:
        assert normal.cdf(np.full(7, one)) == pytest.approx(0.95, abs=0.005)


def test_one_candidate_needs_no_correction():
    values = np.random.default_rng(9).normal(0.5, 1, size=(5000, 1))
    margin = simultaneous_margins(values, np.asarray([0.5]), 0.05)
    assert margin == pytest.approx(1.645, abs=0.08)


def test_p_max_t_is_the_smallest_alpha_at_which_the_bound_is_above_zero():
    values = correlated() + np.asarray([2.0, 3.0, 8.0, 0.0])
    point = np.asarray([2.0, 3.0, 8.0, -0.1])
    for place, p in enumerate(p_max_t(values, point)):
        if p < 0.99:
            above, below = (
                point[place] - simultaneous_margins(values, point, alpha)[place]
                for alpha in (p + 0.002, p - 0.002)
            )
            assert below <= 0 <= above


def test_p_max_t_by_hand():
    # Deviations of ±1 standard errors of one quantity in two resamples: t = 0.5 / √2 of SE.
    values, point = np.asarray([[-0.5], [1.5]]), np.asarray([0.5])
    assert p_max_t(values, point) == pytest.approx([(1 + 1) / (1 + 2)])


def test_what_does_not_vary_is_better_or_it_is_not():
    values = np.tile([0.1, 0.0, -0.1], (20, 1))
    assert p_max_t(values, np.asarray([0.1, 0.0, -0.1])).tolist() == [0, 1, 1]
    assert simultaneous_margins(values, np.asarray([0.1, 0.0, -0.1]), 0.05).tolist() == [0, 0, 0]


# Among the best


def test_allowances_hold_each_model_against_all_others():
    values = correlated()
    point = np.asarray([0.2, 0.0, -0.3, 0.1])
    found = allowances(values, point, 0.05)
    for t in range(4):
        others = [b for b in range(4) if b != t]
        leads = values[:, others] - values[:, [t]]
        expected = simultaneous_margins(leads, point[others] - point[t], 0.05)
        assert found[t, others] == pytest.approx(expected)
        assert found[t, t] == 0


def test_between_two_models_there_is_one_lead_and_no_correction():
    generator = np.random.default_rng(10)
    values = generator.normal(size=(20_000, 2))
    found = allowances(values, np.zeros(2), 0.05)
    assert found[0, 1] == pytest.approx(1.645 * np.sqrt(2), rel=0.03)
    assert found[1, 0] == pytest.approx(found[0, 1], rel=0.03)


def test_identical_copies_are_allowed_no_lead_and_cost_nothing():
    values = correlated(n=3)
    copied = np.concatenate([values, values[:, :1]], axis=1)
    found = allowances(copied, np.zeros(4), 0.05)
    assert found[0, 3] == found[3, 0] == 0
    assert found[1, 0] == pytest.approx(allowances(values, np.zeros(3), 0.05)[1, 0])


def test_one_candidate_has_no_rival():
    assert allowances(correlated(n=1), np.zeros(1), 0.05).tolist() == [[0]]


# Non-inferiority and power


@pytest.mark.parametrize(
    ("p", "upper", "state"),
    [
        (0.01, 0.10, "pass"),
        (0.05, 0.10, "pass"),  # α itself refutes
        (0.06, 0.10, "inconclusive"),
        (0.60, -0.02, "inconclusive"),  # on the margin is not below it
        (0.99, -0.03, "fail"),
    ],
)
def test_a_guardrail_has_three_states(p, upper, state):
    assert state_of(p, upper, 0.02, 0.05) == state


def test_the_smallest_effect_is_found_as_often_as_it_says():
    """(1.645 + 0.842) · SE: the power of a z-test there is 0.8."""
    effect = minimal_detectable_effect(0.01, 0.05)
    assert effect == pytest.approx(0.02486, abs=1e-5)
    assert stats.norm.sf(stats.norm.isf(0.05) - effect / 0.01) == pytest.approx(0.8)
    half = minimal_detectable_effect(0.01, 0.05, power=0.5)
    assert half == pytest.approx(0.01645, abs=1e-5)


def test_so_many_examples_would_settle_it():
    """An error of 0.02 from 100 examples; 0.01 from the margin: (2.486 · 0.02 / 0.01)² · 100."""
    for change in (-0.01, -0.03):  # probably passes, probably fails
        assert examples_to_settle(change, 0.02, 0.02, 100, 0.05) == 2474
    needed = 2474
    error = 0.02 * np.sqrt(100 / needed)
    assert minimal_detectable_effect(error, 0.05) == pytest.approx(0.01, rel=1e-3)


def test_no_number_of_examples_settles_what_lies_on_the_margin():
    assert examples_to_settle(0.48 - 0.50, 0.02, 0.02, 100, 0.05) is None
    assert examples_to_settle(-0.02 + 1e-8, 0.02, 0.02, 100, 0.05) is None


def test_wins_ties_and_losses_are_counted():
    assert wins_ties_losses(np.asarray([0.5, 0.0, 0.0, -1.0, 2.0])) == (2, 2, 1)


def naive_front(points):
    return [
        not any(
            all(x >= y for x, y in zip(b, a, strict=True)) and tuple(a) != tuple(b) for b in points
        )
        for a in points
    ]


def test_the_front_is_what_none_dominates():
    corners = np.asarray([[1, 0], [0, 1], [0, 0], [1, 0], [0.5, 0.5]], dtype=float)
    assert pareto_front(corners).tolist() == [True, True, False, True, True]
    generator = np.random.default_rng(11)
    for n_metrics in (1, 2, 3):
        points = generator.integers(0, 5, (30, n_metrics)).astype(float)
        assert pareto_front(points).tolist() == naive_front(points.tolist())


def test_one_model_is_its_own_front():
    assert pareto_front(np.zeros((1, 3))).tolist() == [True]


def test_all_orders_of_candidates_give_the_same_statistics():
    values, point = correlated(500), np.asarray([0.2, 0.0, -0.3, 0.1])
    margins = simultaneous_margins(values, point, 0.05)
    leads = allowances(values, point, 0.05)
    for order in map(list, itertools.permutations(range(4))):
        again = values[:, order], point[order]
        assert simultaneous_margins(*again, 0.05) == pytest.approx(margins[order])
        assert allowances(*again, 0.05) == pytest.approx(leads[np.ix_(order, order)])
        assert p_max_t(*again) == pytest.approx(p_max_t(values, point)[order])
