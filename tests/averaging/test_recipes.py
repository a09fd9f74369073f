"""Recipes: which checkpoints, with which weights."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbrelease.averaging.recipes import KINDS, RecipeInput, parse_recipe
from mbrelease.errors import UserError


def inputs(*scores: float | None) -> list[RecipeInput]:
    return [RecipeInput(f"checkpoint-{n}", n, score) for n, score in enumerate(scores, 1)]


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


@pytest.mark.parametrize("text", ["last:0", "last:-1", "last:x", "last:", "best:1.5", "best:+last"])
def test_k_is_a_positive_whole_number(text):
    with pytest.raises(UserError, match="not a whole number of at least 1"):
        parse_recipe(text)


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("last3", "did you mean 'last:3'?"),
        ("bst:5+last", "did you mean 'best:5+last'?"),
        ("unifrom", "did you mean 'uniform'?"),
        ("", "one of uniform, last:K, best:K, best:K+last"),
    ],
)
def test_unknown_recipes_propose_the_nearest(text, mend):
    with pytest.raises(UserError) as caught:
        parse_recipe(text)
    assert caught.value.mend == mend


def test_every_kind_parses_its_own_syntax_and_no_other():
    for kind in KINDS:
        text = kind.syntax.replace("K", "2")
        assert [other.syntax for other in KINDS if other.pattern.fullmatch(text)] == [kind.syntax]
        assert parse_recipe(text).needs_scores == kind.needs_scores
