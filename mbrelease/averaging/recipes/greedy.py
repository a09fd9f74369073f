"""``greedy``: the greedy soup, which measures averages as it goes.

    sort the checkpoints by score, best first (of equal scores the earlier)
    members ← the first of them
    for each of the others:
        if score(mean of members and it) ≥ score(mean of members): members ← members and it
    w_i = 1 / |members| for the members, 0 for the others

Source: model soups, Wortsman et al. 2022 (https://arxiv.org/abs/2203.05482), recipe 1.

What the steps and scores of the checkpoints say is not enough for this one: ``searches`` is set,
and whoever has a model to measure runs it. This file makes the name known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from mbrelease.averaging.recipes.recipe import RecipeInput, RecipeKind
from mbrelease.errors import UserError


def weights(candidates: Sequence[RecipeInput]) -> list[Fraction]:
    """Never any: they are found by measuring.

    Raises:
        UserError: always.
    """
    raise UserError(
        "recipe 'greedy' measures averages as it goes, so it has no weights before that",
        mend="give it a variant or a suite to measure on, or choose another recipe: best:K, last:K",
    )


KIND = RecipeKind(
    "greedy", re.compile("greedy"), needs_scores=True, build=lambda _: weights, searches=True
)
