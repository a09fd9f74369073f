"""``uniform``: the mean of all checkpoints.

    w_i = 1 / n

Source: model soups, Wortsman et al. 2022 (https://arxiv.org/abs/2203.05482), "uniform soup".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from mbrelease.averaging.recipes.recipe import RecipeInput, RecipeKind, equal_weights


def weights(candidates: Sequence[RecipeInput]) -> list[Fraction]:
    """The same weight for every candidate."""
    return equal_weights(set(range(len(candidates))), len(candidates))


KIND = RecipeKind("uniform", re.compile("uniform"), needs_scores=False, build=lambda _: weights)
