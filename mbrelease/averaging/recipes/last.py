"""``last:K``: the mean of the K latest checkpoints.

    w_i = 1 / K for the last K positions, 0 before them

Source: LAWA, latest weight averaging, Kaddour 2022 (https://arxiv.org/abs/2209.14981).
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
    check_enough,
    equal_weights,
    read_count,
)


def weights(candidates: Sequence[RecipeInput], *, count: int) -> list[Fraction]:
    """The same weight for the last ``count`` candidates.

    Raises:
        UserError: there are fewer than ``count``.
    """
    check_enough(f"last:{count}", count, candidates)
    total = len(candidates)
    return equal_weights(set(range(total - count, total)), total)


def _build(match: re.Match[str]) -> Weigh:
    return functools.partial(weights, count=read_count(match))


KIND = RecipeKind("last:K", re.compile(r"last:([^+]*)"), needs_scores=False, build=_build)
