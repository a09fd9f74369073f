"""What a recipe is: a pure function from ordered candidates to weights that sum to 1."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from mbrelease.errors import UserError

LARGEST_DENOMINATOR = 1 << 24
"""The largest common denominator of the weights of an average.

With whole numbers of at most 24 bits over one denominator, products with float32 values (24 bits)
are exact in float64 (53 bits), and so are sums of values of like magnitude: ``engine`` says how
like.
"""


@dataclass(frozen=True)
class RecipeInput:
    """One candidate as a recipe sees it. A higher ``score`` is better; ``None`` is unknown."""

    name: str
    step: int | None
    score: float | None


Weigh = Callable[[Sequence[RecipeInput]], list[Fraction]]


@dataclass(frozen=True)
class RecipeKind:
    """A family of recipes, such as ``last:K``; each recipe file declares one as ``KIND``."""

    syntax: str
    """How a recipe of this kind is written; a K stands for a whole number."""
    pattern: re.Pattern[str]
    """Matches the whole text of a recipe of this kind, and of no other kind."""
    needs_scores: bool
    build: Callable[[re.Match[str]], Weigh]
    """Binds the parameters in the text, or raises UserError."""
    examples: tuple[str, ...] = ()
    """What is proposed for a misspelt text, where ``syntax`` has parameters other than K."""
    searches: bool = False
    """It measures averages as it goes, so there are no weights before."""


@dataclass(frozen=True)
class Recipe:
    """A recipe with its parameters, such as ``last:3``."""

    text: str
    needs_scores: bool
    weigh: Weigh
    searches: bool = False

    def weights(self, candidates: Sequence[RecipeInput]) -> list[Fraction]:
        """One weight for each candidate, given in training order; none negative, sum exactly 1.

        Their common denominator is at most ``LARGEST_DENOMINATOR``; see ``round_weights``.

        Raises:
            UserError: no candidates, fewer than the recipe needs, a score it needs is missing, or
                the recipe searches.
        """
        if not candidates:
            raise UserError(f"recipe '{self.text}' has no checkpoints to average")
        # A tuple: a recipe of others may not sort or shorten the caller's list.
        weights = self.weigh(tuple(candidates))
        assert len(weights) == len(candidates) and sum(weights) == 1 and min(weights) >= 0
        return round_weights(weights)


def round_weights(weights: Sequence[Fraction]) -> list[Fraction]:
    """The weights over a common denominator D of at most 2^24; unchanged where they have one.

    Otherwise the cumulative sums are rounded to multiples of 1 / 2^24:

        S_i = Σ_{j≤i} w_j,    w'_i = round(S_i) − round(S_{i−1})

    Sums that never fall stay so and the last stays 1: no weight gets negative, a 0 stays 0, the
    sum is exactly 1, and |w'_i − w_i| ≤ 2^-24. (A weight below that may become 0.)
    """
    if lcm(*(weight.denominator for weight in weights)) <= LARGEST_DENOMINATOR:
        return list(weights)
    sums = [Fraction(0), *itertools.accumulate(weights)]
    whole = [round(total * LARGEST_DENOMINATOR) for total in sums]
    return [Fraction(b - a, LARGEST_DENOMINATOR) for a, b in itertools.pairwise(whole)]


def read_count(match: re.Match[str]) -> int:
    """The K of a recipe, the first group of ``match``.

    Raises:
        UserError: it is not a whole number of at least 1.
    """
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", match[1]):
        raise UserError(
            f"recipe '{match[0]}': K is '{match[1]}', not a whole number of at least 1",
            mend=f"such as '{match[0].replace(match[1], '3', 1)}'" if match[1] else None,
        )
    return int(match[1])


def read_number(text: str) -> Fraction | None:
    """The exact number that ``text`` writes (``2``, ``0.3``, ``1/3``, with a sign), or ``None``."""
    decimal = r"[0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18}"
    ratio = r"[0-9]{1,18}/0*[1-9][0-9]{0,17}"
    return Fraction(text) if re.fullmatch(f"[+-]?({decimal}|{ratio})", text) else None


def equal_weights(chosen: set[int], total: int) -> list[Fraction]:
    """Weight 1/n for each of the n ``chosen`` positions, 0 for the others of ``total``."""
    share = Fraction(1, len(chosen))
    return [share if position in chosen else Fraction(0) for position in range(total)]


def check_enough(recipe: str, needed: int, candidates: Sequence[RecipeInput]) -> None:
    """Stop unless there are at least ``needed`` candidates.

    Raises:
        UserError: there are fewer.
    """
    if needed > len(candidates):
        raise UserError(
            f"recipe '{recipe}' needs {needed} checkpoints, and there are {len(candidates)}",
            mend="choose a smaller K, or give more checkpoints",
        )


def best_positions(recipe: str, candidates: Sequence[RecipeInput], count: int) -> set[int]:
    """The positions of the ``count`` highest scores; of equal scores the earlier one wins.

    Raises:
        UserError: a score is missing or not a number.
    """
    scores = [candidate.score for candidate in candidates]
    missing = [c.name for c in candidates if c.score is None or c.score != c.score]
    if missing:
        shown = ", ".join(missing[:4]) + (", …" if len(missing) > 4 else "")
        raise UserError(
            f"recipe '{recipe}' ranks by score, and {len(missing)} of {len(candidates)} "
            f"checkpoints have none: {shown}",
            mend="measure them, or choose a recipe without scores: uniform, last:K",
        )
    known = [(-score, position) for position, score in enumerate(scores) if score is not None]
    return {position for _, position in sorted(known)[:count]}
