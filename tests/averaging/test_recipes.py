"""Recipes: which checkpoints, with which weights."""

import itertools
from fractions import Fraction
from math import lcm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbrelease.averaging.recipes import KINDS, RecipeInput, ema, parse_recipe, wsm
from mbrelease.averaging.recipes.recipe import round_weights
from mbrelease.errors import UserError

GRID = Fraction(1, 1 << 24)
CURVES = ["linear", "cosine", "1-sqrt"]
WITHOUT_SCORES = ["uniform", "ema:0.9", "ema:1/3", "wma", *(f"wsm:{curve}" for curve in CURVES)]


def inputs(*scores: float | None) -> list[RecipeInput]:
    return [RecipeInput(f"checkpoint-{n}", n, score) for n, score in enumerate(scores, 1)]


def at(*steps: int | None) -> list[RecipeInput]:
    return [RecipeInput(f"number-{n}", step, None) for n, step in enumerate(steps)]


def evenly(count: int) -> list[RecipeInput]:
    return at(*range(500, 500 * (count + 1), 500))


def mean(weights, members):
    return sum(weight * member for weight, member in zip(weights, members, strict=True))


@pytest.mark.parametrize(
    ("text", "scores", "expected"),
    [
        ("uniform", [None, None, None, None], "1/4 1/4 1/4 1/4"),
        ("uniform", [None], "1"),
        ("last:1", [None, None, None], "0 0 1"),
        ("last:2", [None, None, None], "0 1/2 1/2"),
        ("last:3", [None, None, None], "1/3 1/3 1/3"),
        ("best:1", [1, 3, 2], "0 1 0"),
        ("best:2", [1, 3, 2], "0 1/2 1/2"),
        ("best:2", [-3.5, -3.1, -3.7], "1/2 1/2 0"),
        # Of equal scores the earlier wins.
        ("best:2", [2, 1, 2, 2], "1/2 0 1/2 0"),
        ("best:1+last", [3, 1, 2], "1/2 0 1/2"),
        # The last is the best of all: the K best of the others still join it.
        ("best:1+last", [1, 2, 9], "0 1/2 1/2"),
        ("best:3+last", [1, 5, 4, 3, 2], "0 1/4 1/4 1/4 1/4"),
        # The last needs no score.
        ("best:1+last", [1, 2, None], "0 1/2 1/2"),
        ("weights:1,2,1", [None] * 3, "1/4 1/2 1/4"),
        ("weights:0.5,0,1/6", [None] * 3, "3/4 0 1/4"),
        ("weights:.3,0.7", [None] * 2, "3/10 7/10"),
        ("weights:5", [None], "1"),
        ("ema:1/2", [None] * 4, "1/8 1/8 1/4 1/2"),
        ("ema:0.9", [None] * 3, "81/100 9/100 1/10"),
        ("ema:0.9", [None], "1"),
        ("wma", [None] * 4, "1/10 2/10 3/10 4/10"),
        ("wsm:linear", [None] * 3, "1/3 1/3 1/3"),
        ("wsm:cosine", [None] * 2, "1/2 1/2"),
        ("wsm:cosine", [None] * 3, "1/4 1/2 1/4"),
        ("wsm:1-sqrt", [None], "1"),
    ],
)
def test_weights(text, scores, expected):
    assert parse_recipe(text).weights(inputs(*scores)) == [Fraction(w) for w in expected.split()]


@given(
    st.sampled_from(["uniform", "last:K", "best:K", "best:K+last"]),
    st.integers(1, 6),
    st.lists(st.floats(-10, 10), min_size=7, max_size=12),
)
def test_weights_are_never_negative_and_sum_to_one(syntax, count, scores):
    weights = parse_recipe(syntax.replace("K", str(count))).weights(inputs(*scores))
    assert len(weights) == len(scores)
    assert sum(weights) == 1
    assert min(weights) >= 0


@pytest.mark.parametrize(
    ("text", "scores", "message"),
    [
        ("last:4", [1, 2, 3], "recipe 'last:4' needs 4 checkpoints, and there are 3"),
        ("best:4", [1, 2, 3], "recipe 'best:4' needs 4 checkpoints, and there are 3"),
        ("best:3+last", [1, 2, 3], "recipe 'best:3+last' needs 4 checkpoints, and there are 3"),
        ("uniform", [], "recipe 'uniform' has no checkpoints to average"),
        ("best:1", [1, None], "1 of 2 checkpoints have none: checkpoint-2"),
        ("best:1", [1, float("nan")], "1 of 2 checkpoints have none: checkpoint-2"),
        ("best:1+last", [None, 2, 3], "1 of 2 checkpoints have none: checkpoint-1"),
    ],
)
def test_too_few_checkpoints_or_scores_are_a_sentence(text, scores, message):
    with pytest.raises(UserError) as caught:
        parse_recipe(text).weights(inputs(*scores))
    assert message in caught.value.message


@given(st.permutations([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), st.integers(1, 6))
def test_best_follows_the_scores_and_not_the_positions(scores, count):
    weights = parse_recipe(f"best:{count}").weights(inputs(*scores))
    by_score = dict(zip(scores, weights, strict=True))
    assert [by_score[score] > 0 for score in sorted(scores)] == [False] * (6 - count) + [
        True
    ] * count


@pytest.mark.parametrize("text", ["last:0", "last:-1", "last:x", "last:", "best:1.5", "best:+last"])
def test_k_is_a_positive_whole_number(text):
    with pytest.raises(UserError, match="not a whole number of at least 1"):
        parse_recipe(text)


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("last3", "did you mean 'last:3'?"),
        ("bst:5+last", "did you mean 'best:5+last'?"),
        ("best:3+first", "did you mean 'best:3+last'?"),
        ("unifrom", "did you mean 'uniform'?"),
        ("ema", "did you mean 'ema:0.9'?"),
        ("weights", "did you mean 'weights:1,1,2'?"),
        ("wsm", "one of wsm:linear, wsm:cosine, wsm:1-sqrt"),
        ("wsn:cosine", "did you mean 'wsm:cosine'?"),
        ("gredy", "did you mean 'greedy'?"),
        (
            "",
            "one of uniform, weights:w1,w2,…, last:K, best:K, best:K+last, ema:β, wma, wsm:CURVE, "
            "greedy",
        ),
    ],
)
def test_unknown_recipes_propose_the_nearest(text, mend):
    with pytest.raises(UserError) as caught:
        parse_recipe(text)
    assert caught.value.mend == mend


def test_every_kind_parses_its_own_syntax_and_no_other():
    for kind in KINDS:
        for text in kind.examples or [kind.syntax.replace("K", "2")]:
            matching = [other.syntax for other in KINDS if other.pattern.fullmatch(text)]
            assert matching == [kind.syntax]
            recipe = parse_recipe(text)
            assert (recipe.needs_scores, recipe.searches) == (kind.needs_scores, kind.searches)


@given(st.sampled_from(WITHOUT_SCORES), st.integers(1, 40))
def test_recipes_without_scores_weigh_any_number_of_checkpoints(text, count):
    weights = parse_recipe(text).weights(evenly(count))
    assert len(weights) == count
    assert sum(weights) == 1
    assert min(weights) >= 0
    assert lcm(*(weight.denominator for weight in weights)) <= 1 << 24


@pytest.mark.parametrize(
    ("text", "message", "mend"),
    [
        (
            "weights:1,-2",
            "'weights:1,-2': weight 2 is -2, less than 0",
            "0 leaves a checkpoint out",
        ),
        ("weights:0,0", "the weights sum to 0", "more than 0"),
        ("weights:1,two", "weight 2 is 'two', not a number", "write weights as 2, 0.3 or 1/3"),
        ("weights:1,nan", "weight 2 is 'nan', not a number", "write weights as"),
        ("weights:inf,1", "weight 1 is 'inf', not a number", "write weights as"),
        ("weights:1/0,1", "weight 1 is '1/0', not a number", "write weights as"),
        ("weights:1e999999999", "not a number", "write weights as"),
        ("weights:1, 2", "weight 2 is ' 2', not a number", "no spaces"),
        ("weights:1,", "weight 2 is '', not a number", "write weights as"),
        ("weights:", "weight 1 is '', not a number", "write weights as"),
        ("ema:0", "β is '0', not a number between 0 and 1", "such as 'ema:0.9'"),
        ("ema:1", "β is '1', not a number between 0 and 1", "such as 'ema:0.9'"),
        ("ema:-0.5", "β is '-0.5', not a number between 0 and 1", "such as 'ema:0.9'"),
        ("ema:β", "β is 'β', not a number between 0 and 1", "such as 'ema:0.9'"),
        ("wsm:sqrt", "no curve 'sqrt'", "one of wsm:linear, wsm:cosine, wsm:1-sqrt"),
        ("wsm:", "no curve ''", "one of wsm:linear, wsm:cosine, wsm:1-sqrt"),
    ],
)
def test_wrong_parameters_are_a_sentence_with_a_mend(text, message, mend):
    with pytest.raises(UserError) as caught:
        parse_recipe(text)
    assert message in caught.value.message
    assert mend in (caught.value.mend or "")


@pytest.mark.parametrize("text", ["weights:1,2", "weights:1,2,0,0"])
def test_weights_must_be_as_many_as_the_checkpoints(text):
    with pytest.raises(UserError, match=r"has \d weights, and there are 3 checkpoints") as caught:
        parse_recipe(text).weights(evenly(3))
    assert "one for each, in training order" in caught.value.mend


def test_greedy_says_that_it_measures_as_it_goes():
    recipe = parse_recipe("greedy")
    assert recipe.searches and recipe.needs_scores
    with pytest.raises(UserError, match="measures averages as it goes") as caught:
        recipe.weights(inputs(1, 2))
    assert "a variant or a suite to measure on" in caught.value.mend


fractions = st.fractions(0, 1, max_denominator=10**6)
members = st.lists(st.integers(-1000, 1000).map(Fraction), min_size=1, max_size=12)


@given(members, fractions.filter(lambda beta: 0 < beta < 1))
def test_ema_is_the_recursion(thetas, beta):
    average = thetas[0]
    for theta in thetas[1:]:
        average = beta * average + (1 - beta) * theta
    assert mean(ema.weights(evenly(len(thetas)), beta=beta), thetas) == average


@given(st.integers(2, 30))
def test_ema_and_wma_favour_the_later(count):
    wma = parse_recipe("wma").weights(evenly(count))
    assert all(a < b for a, b in itertools.pairwise(wma))
    # The first of a moving average stands for all before it.
    average = ema.weights(evenly(count), beta=Fraction(3, 4))
    assert all(a < b for a, b in itertools.pairwise(average[1:]))


rising = st.lists(st.integers(0, 10**6), min_size=1, max_size=12, unique=True).map(sorted)


@given(st.sampled_from(CURVES), rising, st.data())
def test_wsm_weighs_each_stretch_by_the_curve(name, steps, data):
    """Σ c_j θ_j = θ_0 + Σ u_i (θ_i − θ_{i−1}), where u_i is the curve at step i."""
    weights = parse_recipe(f"wsm:{name}").weights(at(*steps))
    some = st.integers(-1000, 1000)
    thetas = data.draw(st.lists(some, min_size=len(steps), max_size=len(steps)))
    shares = [sum(weights[i:]) for i in range(1, len(steps))]
    stretches = [b - a for a, b in itertools.pairwise(thetas)]
    assert mean(weights, thetas) == thetas[0] + mean(shares, stretches)
    curve = wsm.CURVES[name]
    for share, time in zip(shares, wsm.times(steps)[1:], strict=True):
        assert abs(share - curve(time)) <= GRID
    assert all(a >= b for a, b in itertools.pairwise([1, *shares, 0]))


@given(st.sampled_from(CURVES), st.lists(st.integers(-9, 9), min_size=1, max_size=12))
def test_wsm_of_a_constant_rate_is_training_with_a_decayed_rate(name, gradients):
    """The theorem of the paper, where gradients do not depend on θ."""
    rate, start, count = Fraction(1, 10), Fraction(7), len(gradients) + 1
    constant = list(itertools.accumulate([start, *(-rate * g for g in gradients)]))
    decayed = start
    for i, gradient in enumerate(gradients, 1):
        decayed -= rate * wsm.CURVES[name](Fraction(i, count)) * gradient
    merged = mean(parse_recipe(f"wsm:{name}").weights(evenly(count)), constant)
    assert merged == decayed


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("linear", [1, 0.75, 0.5, 0.25]),
        ("cosine", [1, 0.8535533905932737, 0.5, 0.14644660940672627]),
        ("1-sqrt", [1, 0.5, 0.2928932188134524, 0.1339745962155614]),
    ],
)
def test_the_curves_of_wsm(name, values):
    curve = wsm.CURVES[name]
    assert [curve(Fraction(i, 4)) for i in range(4)] == pytest.approx(values, abs=float(GRID) / 2)
    assert curve(Fraction(1)) == 0
    assert all(curve(Fraction(i, 4)) % GRID == 0 for i in range(4))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([500, 1000, 1500, 2000], "0 1/4 2/4 3/4"),
        # Three times as far to the second: the mean distance is 100, so the curve ends at 300.
        ([0, 150, 200], "0 1/2 2/3"),
        ([7], "0"),
        # Steps that are not known or do not rise say nothing; the positions do.
        ([None, None, None], "0 1/3 2/3"),
        ([10, None, 200], "0 1/3 2/3"),
        ([10, 10, 200], "0 1/3 2/3"),
        ([30, 20, 200], "0 1/3 2/3"),
    ],
)
def test_the_times_of_wsm(steps, expected):
    assert wsm.times(steps) == [Fraction(time) for time in expected.split()]


weight_lists = st.lists(st.fractions(0, 1), min_size=1, max_size=12).filter(any)


@given(weight_lists)
def test_rounded_weights_are_near_and_sum_to_one(numbers):
    weights = [number / sum(numbers) for number in numbers]
    rounded = round_weights(weights)
    assert sum(rounded) == 1
    assert min(rounded) >= 0
    assert lcm(*(weight.denominator for weight in rounded)) <= 1 << 24
    assert all(abs(a - b) <= GRID for a, b in zip(weights, rounded, strict=True))
    assert all(b == 0 for a, b in zip(weights, rounded, strict=True) if a == 0)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=12).filter(any))
def test_weights_with_a_small_common_denominator_stay(numbers):
    weights = [Fraction(number, sum(numbers)) for number in numbers]
    assert round_weights(weights) == weights


def test_weights_are_rounded_to_the_nearest_of_24_bits_only_where_they_need_more():
    most = (1 << 24) - 1
    fits = [Fraction(1, most), Fraction(most - 1, most)]
    assert round_weights(fits) == fits
    assert round_weights([GRID * 3 / 4, 1 - GRID * 3 / 4]) == [GRID, 1 - GRID]
    assert round_weights([GRID / 4, 1 - GRID / 4]) == [0, 1]


def test_a_recipe_rounds_what_its_formula_gives():
    exact = ema.weights(evenly(30), beta=Fraction("0.987654321"))
    weights = parse_recipe("ema:0.987654321").weights(evenly(30))
    assert weights != exact
    assert weights == round_weights(exact)
    sevenths = parse_recipe("weights:1,2,4").weights(evenly(3))
    assert sevenths == [Fraction(1, 7), Fraction(2, 7), Fraction(4, 7)]
