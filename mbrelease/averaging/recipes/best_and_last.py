"""``best:K+last``: the mean of the final checkpoint and the K best of all others.

    w_i = 1 / (K + 1) for the K highest scores before the last, and for the last

The last checkpoint is a member whatever its score and does not count among the K, so an average
has always K + 1 members; where the last is itself among the best, the K best of the others join
it. The last needs no score. Of equal scores the earlier checkpoint wins.

Source: ModernBERT-base, Warner et al. 2024 (https://arxiv.org/abs/2412.13663, appendix A.4): the
average of the three best-performing annealing checkpoints and the final one, ``best:3+last``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from fractions import Fraction

from mbrelease.averaging.recipes.recipe import (
    RecipeInput,
    RecipeKind,
    Weigh,
    best_positions,
    check_enough,
    equal_weights,
    read_count,
)


def weights(candidates: Sequence[RecipeInput], *, count: int) -> list[Fraction]:
    """The same weight for the last candidate and the ``count`` best before it.

    Raises:
        UserError: there are fewer than ``count`` + 1, or a score before the last is missing.
    """
    recipe = f"best:{count}+last"
    check_enough(recipe, count + 1, candidates)
    last = len(candidates) - 1
    return equal_weights(best_positions(recipe, candidates[:last], count) | {last}, last + 1)


def _build(match: re.Match[str]) -> Weigh:
    return functools.partial(weights, count=read_count(match))


KIND = RecipeKind("best:K+last", re.compile(r"best:([^+]*)\+last"), needs_scores=True, build=_build)
