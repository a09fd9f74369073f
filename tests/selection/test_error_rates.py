"""The stated error rates, found again in worlds where the truth is known.

The simulations are those of benchmarks/selection_error_rates.py with fewer repetitions. Each rate
is held against its nominal value within the Monte-Carlo error, 1.96 √(p (1 - p) / repetitions),
and what the bootstrap is known to be off by with few examples, from docs/selection-statistics.md.
All is drawn from fixed seeds, so a test does not fail by chance once in twenty runs.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

REPETITIONS, RESAMPLES = 600, 499


@pytest.fixture(scope="module")
def rates():
    """The simulations, from the script that prints the tables of the docs."""
    path = Path(__file__).parents[2] / "benchmarks" / "selection_error_rates.py"
    spec = importlib.util.spec_from_file_location("selection_error_rates", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # a data class looks itself up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def near(rate, nominal, allowance=0.0):
    print(f"{rate}, nominally {nominal:.1%}")
    return abs(rate.share - nominal) <= rate.error + allowance


def at_most(rate, nominal, allowance=0.0):
    print(f"{rate}, nominally at most {nominal:.1%}")
    return rate.share <= nominal + rate.error + allowance


def at_least(rate, nominal, allowance=0.0):
    print(f"{rate}, nominally at least {nominal:.1%}")
    return rate.share >= nominal - rate.error - allowance


# What percentiles of 499 resamples, and not of infinitely many, add to it.
FEW_RESAMPLES = 0.005


@pytest.mark.parametrize(
    ("kind", "n", "allowance"),
    [
        # 30 right-or-wrong answers have few values, and percentiles jump from one to the next.
        ("accuracy", 30, 0.035),
        ("accuracy", 100, 0.01),
        ("accuracy", 500, 0.0),
        ("loss", 30, 0.01),
        ("loss", 100, 0.0),
        ("loss", 500, 0.0),
        # A class of which there are one or two examples is often not drawn.
        ("macro_f1", 30, 0.01),
        ("macro_f1", 100, 0.0),
        ("macro_f1", 500, 0.0),
        ("clusters", 10, 0.01),
        ("clusters", 30, 0.01),
        ("clusters", 100, 0.0),
    ],
)
def test_intervals_and_bounds_hold_the_true_change(rates, kind, n, allowance):
    found = rates.coverage(getattr(rates, kind)(n), REPETITIONS, RESAMPLES)
    for rate in (found.both, found.lower, found.upper):
        assert near(rate, 0.95, allowance + FEW_RESAMPLES)


def test_examples_that_belong_together_are_not_as_many_as_they_look(rates):
    found = rates.coverage(rates.clusters(100, heeded=False), REPETITIONS, RESAMPLES)
    assert found.both.share + found.both.error < 0.85


@pytest.mark.parametrize(
    ("n_seeds", "shares", "allowance"),
    [
        (5, (0.0, 1.0, 0.0), 0.0),
        (5, (0.5, 0.5, 0.0), 0.0),
        (5, (0.9, 0.1, 0.0), 0.01),
        (10, (0.9, 0.1, 0.0), 0.01),
        # One draw of three seeds cannot reach as far as Student's t with two degrees of freedom.
        (3, (0.9, 0.1, 0.0), 0.07),
    ],
)
def test_intervals_of_trained_heads_hold_the_true_change(rates, n_seeds, shares, allowance):
    found = rates.coverage(rates.trained(n_seeds, *shares, ""), REPETITIONS, RESAMPLES)
    for rate in (found.both, found.lower, found.upper):
        assert at_least(rate, 0.95, allowance + FEW_RESAMPLES)
        assert rate.share < 0.99


def test_how_a_seed_takes_single_examples_is_counted_too_often_and_never_too_little(rates):
    found = rates.coverage(rates.trained(5, 0.0, 0.5, 0.5, ""), REPETITIONS, RESAMPLES)
    assert at_least(found.both, 0.95)


@pytest.mark.parametrize("n", [30, 100])
def test_of_eight_candidates_on_the_margin_holm_lets_one_through_in_a_twentieth(rates, n):
    world = rates.candidates(8, n, change=-rates.MARGIN, paired=False)
    found = rates.let_through(world, REPETITIONS, RESAMPLES)
    assert near(found["points"], 1 - 0.5**8, 0.002)  # 99.6 %
    assert near(found["uncorrected"], 1 - 0.95**8, 0.02)  # 33.7 %
    # A percentile far out in the tail is the least exact: at 0.05 / 8.
    assert near(found["Holm"], 0.05, 0.015)


def test_of_candidates_that_share_a_reference_holm_lets_fewer_through(rates):
    world = rates.candidates(8, 100, change=-rates.MARGIN)
    found = rates.let_through(world, REPETITIONS, RESAMPLES)
    assert near(found["points"], 8 / 9)
    assert near(found["uncorrected"], greatest_above(8, 1.645), 0.02)
    assert at_most(found["Holm"], 0.05)


def greatest_above(k, critical):
    """P that one of k equally correlated standard normals (by 1/2) is above ``critical``."""
    normal = stats.multivariate_normal(cov=0.5 * np.eye(k) + 0.5, seed=0)
    return 1 - normal.cdf(np.full(k, critical))


@pytest.mark.parametrize("n", [30, 100])
def test_the_best_of_seven_equals_is_found_better_in_a_fifth_without_correction(rates, n):
    found = rates.found_better(rates.candidates(7, n), REPETITIONS, RESAMPLES)
    assert near(found["uncorrected"], greatest_above(7, 1.645), 0.01)  # 20.3 %
    assert near(found["max-T"], 0.05, 0.01)


@pytest.mark.parametrize("ahead", [0.0, 0.25])
def test_the_truly_best_is_among_the_equals(rates, ahead):
    world = rates.candidates(8, 100, change=5.0, ahead=ahead)
    kept, how_many = rates.best_kept(world, REPETITIONS, RESAMPLES)
    assert at_least(kept, 0.95, FEW_RESAMPLES)
    assert how_many < 8


def test_a_clear_winner_has_no_equals(rates):
    world = rates.candidates(8, 100, change=5.0, ahead=1.0)
    kept, how_many = rates.best_kept(world, 100, RESAMPLES)
    assert (kept.share, how_many) == (1, 1)


def test_optimism_is_nothing_for_one_and_grows_with_how_many_there_were_to_pick_from(rates):
    """Of equals it is √2 too much: a resample adds its own noise to that of the sample."""
    for k, lowest, highest in ((1, -0.02, 0.02), (2, 0.7, 0.9), (8, 1.8, 2.2)):
        world = rates.candidates(k, 100, paired=False)
        true, told = (10 * one for one in rates.flattery(world, 200, RESAMPLES))
        expected = stats.multivariate_normal.rvs(np.zeros(8), np.eye(8), 40_000, 0)[:, :k]
        assert true == pytest.approx(expected.max(axis=1).mean(), abs=0.15)
        assert lowest < told < highest
