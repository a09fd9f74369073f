"""``best:K``: the mean of the K checkpoints with the highest scores.

    w_i = 1 / K for the K highest scores, 0 for the others

Of equal scores the earlier checkpoint wins. Source: n-best model averaging by validation score,
the practice of speech toolkits such as ESPnet (https://arxiv.org/abs/1804.00015).
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
    """The same weight for the ``count`` best candidates.

    Raises:
        UserError: there are fewer than ``count``, or a score is missing.
    """
    recipe = f"best:{count}"
    check_enough(recipe, count, candidates)
    return equal_weights(best_positions(recipe, candidates, count), len(candidates))


def _build(match: re.Match[str]) -> Weigh:
    return functools.partial(weights, count=read_count(match))


KIND = RecipeKind("best:K", re.compile(r"best:([^+]*)"), needs_scores=True, build=_build)
