"""``wma``: the mean of all checkpoints, with weights that rise linearly.

    w_t = 2t / (n (n + 1))    for t = 1 … n

Source: Li et al. 2025, model merging in pre-training (https://arxiv.org/abs/2505.12082), "WMA".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from mbrelease.averaging.recipes.recipe import RecipeInput, RecipeKind


def weights(candidates: Sequence[RecipeInput]) -> list[Fraction]:
    """The weight of each candidate is proportional to its position, counted from 1."""
    count = len(candidates)
    return [Fraction(2 * position, count * (count + 1)) for position in range(1, count + 1)]


KIND = RecipeKind("wma", re.compile("wma"), needs_scores=False, build=lambda _: weights)
