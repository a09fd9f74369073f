"""``wsm:CURVE``: merge weights that stand in for a decay of the learning rate.

For checkpoints θ_0 … θ_{n−1} of a run at a constant learning rate, any weights c_j with sum 1 give

    Σ_j c_j θ_j  =  θ_0 + Σ_{i≥1} u_i (θ_i − θ_{i−1}),    u_i = Σ_{j≥i} c_j

so each stretch of training between two checkpoints counts u_i times, as if it had been run at u_i
times the learning rate. (Exactly so where the updates do not depend on θ.) A curve f that falls
from f(0) = 1 to f(1) = 0 is stood in for by u_i = f(t_i), and therefore by

    c_0 = 1 − u_1,    c_j = u_j − u_{j+1},    c_{n−1} = u_{n−1}

    linear   f(t) = 1 − t
    cosine   f(t) = (1 + cos πt) / 2
    1-sqrt   f(t) = 1 − √t

Where all steps are known and rise, t_i = (s_i − s_0) / (s_{n−1} − s_0 + d) with d their mean
distance; evenly spaced or unknown, t_i = i / n. The decay begins at the first checkpoint and would
reach 0 at the one after the last. Evenly spaced, ``linear`` gives every checkpoint the weight 1/n.
The values of cosine and 1-sqrt are rounded to multiples of 2^-24, so that another libm gives the
same weights.

Sources: WSM, warmup-stable and merge, Tian et al. 2025 (https://arxiv.org/abs/2507.17634), whose
theorem is the algebra above for single steps of the optimizer; here a stretch between checkpoints
takes the place of a step, as the paper's merges do too. t_i = i / n is also how Megatron-LM
samples the curve (tools/checkpoint/weighted_merge.py, "linear" and "minus-sqrt").
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from mbrelease.averaging.recipes.recipe import (
    LARGEST_DENOMINATOR,
    RecipeInput,
    RecipeKind,
    Weigh,
)
from mbrelease.errors import UserError

Curve = Callable[[Fraction], Fraction]


def linear(time: Fraction) -> Fraction:
    """1 − t, exactly."""
    return 1 - time


def cosine(time: Fraction) -> Fraction:
    """(1 + cos πt) / 2, a multiple of 2^-24."""
    return _rounded((1 + math.cos(math.pi * time)) / 2)


def one_minus_sqrt(time: Fraction) -> Fraction:
    """1 − √t, a multiple of 2^-24."""
    return _rounded(1 - math.sqrt(time))


CURVES: Mapping[str, Curve] = {"linear": linear, "cosine": cosine, "1-sqrt": one_minus_sqrt}


def weights(candidates: Sequence[RecipeInput], *, curve: Curve) -> list[Fraction]:
    """The differences of ``curve`` at the times of the candidates, first to last."""
    shares = [curve(time) for time in times([candidate.step for candidate in candidates])]
    # Before the first checkpoint everything counts once, after the last nothing does.
    return [a - b for a, b in itertools.pairwise([Fraction(1), *shares[1:], Fraction(0)])]


def times(steps: Sequence[int | None]) -> list[Fraction]:
    """Where on the curve each checkpoint lies, from 0 for the first to less than 1."""
    known = [step for step in steps if step is not None]
    rising = all(a < b for a, b in itertools.pairwise(known))
    places = known if rising and len(known) == len(steps) else list(range(len(steps)))
    if len(places) == 1:
        return [Fraction(0)]
    span = places[-1] - places[0]
    end = span + Fraction(span, len(places) - 1)
    return [(place - places[0]) / end for place in places]


def _rounded(value: float) -> Fraction:
    return Fraction(round(value * LARGEST_DENOMINATOR), LARGEST_DENOMINATOR)


def _build(match: re.Match[str]) -> Weigh:
    curve = CURVES.get(match[1])
    if curve is None:
        raise UserError(
            f"recipe '{match[0]}': no curve '{match[1]}'", mend=f"one of {', '.join(EXAMPLES)}"
        )
    return functools.partial(weights, curve=curve)


EXAMPLES = tuple(f"wsm:{name}" for name in CURVES)
KIND = RecipeKind(
    "wsm:CURVE", re.compile(r"wsm:(.*)"), needs_scores=False, build=_build, examples=EXAMPLES
)
