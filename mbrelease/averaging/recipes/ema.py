"""``ema:β``: the exponential moving average over the checkpoints.

    m_1 = θ_1,    m_t = β · m_{t−1} + (1 − β) · θ_t,    the average is m_n

so that

    w_1 = β^(n−1),    w_t = (1 − β) · β^(n−t)  for t > 1

A β near 1 looks far back, one near 0 stays with the last. As in any moving average that starts at
its first value, the first checkpoint has more weight than the second where β > 1/2.

Source: Li et al. 2025, model merging in pre-training (https://arxiv.org/abs/2505.12082), "EMA",
whose α is 1 − β.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from fractions import Fraction

from mbrelease.averaging.recipes.recipe import RecipeInput, RecipeKind, Weigh, read_number
from mbrelease.errors import UserError


def weights(candidates: Sequence[RecipeInput], *, beta: Fraction) -> list[Fraction]:
    """The weights of the recursion, exactly; 0 < ``beta`` < 1."""
    powers = [beta**age for age in range(len(candidates) - 1, -1, -1)]
    return [powers[0], *((1 - beta) * power for power in powers[1:])]


def _build(match: re.Match[str]) -> Weigh:
    beta = read_number(match[1])
    if beta is None or not 0 < beta < 1:
        raise UserError(
            f"recipe '{match[0]}': β is '{match[1]}', not a number between 0 and 1",
            mend="such as 'ema:0.9'",
        )
    return functools.partial(weights, beta=beta)


KIND = RecipeKind(
    "ema:β", re.compile(r"ema:(.*)"), needs_scores=False, build=_build, examples=("ema:0.9",)
)
