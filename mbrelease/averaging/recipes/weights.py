"""``weights:w1,w2,…``: a weight for each checkpoint, in training order.

    c_i = w_i / Σ w

The weights are written as ``2``, ``0.3`` or ``1/3`` and need not sum to 1; a 0 leaves a checkpoint
out. Source: the weighted mean.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from fractions import Fraction

from mbrelease.averaging.recipes.recipe import RecipeInput, RecipeKind, Weigh, read_number
from mbrelease.errors import UserError


def weights(
    candidates: Sequence[RecipeInput], *, recipe: str, given: Sequence[Fraction]
) -> list[Fraction]:
    """The ``given`` numbers, of which none is negative and one is positive, divided by their sum.

    Raises:
        UserError: there are more or fewer than candidates.
    """
    if len(given) != len(candidates):
        raise UserError(
            f"recipe '{recipe}' has {len(given)} weights, and there are {len(candidates)} "
            f"checkpoints",
            mend="give one for each, in training order; 0 leaves a checkpoint out",
        )
    total = sum(given)
    return [weight / total for weight in given]


def _build(match: re.Match[str]) -> Weigh:
    given = [_read(match[0], number, text) for number, text in enumerate(match[1].split(","), 1)]
    if not any(given):
        raise UserError(
            f"recipe '{match[0]}': the weights sum to 0", mend="give one that is more than 0"
        )
    return functools.partial(weights, recipe=match[0], given=given)


def _read(recipe: str, number: int, text: str) -> Fraction:
    weight = read_number(text)
    if weight is None:
        raise UserError(
            f"recipe '{recipe}': weight {number} is '{text}', not a number",
            mend="write weights as 2, 0.3 or 1/3, with commas and no spaces between them",
        )
    if weight < 0:
        raise UserError(
            f"recipe '{recipe}': weight {number} is {text}, less than 0",
            mend="an average has no negative weights; 0 leaves a checkpoint out",
        )
    return weight


KIND = RecipeKind(
    "weights:w1,w2,…",
    re.compile(r"weights:(.*)"),
    needs_scores=False,
    build=_build,
    examples=("weights:1,1,2",),
)
