"""Recipes for averages, one file a recipe; ``parse_recipe`` finds the one that a text names."""

from __future__ import annotations

import re

from mbrelease.averaging.recipes import best, best_and_last, last, uniform
from mbrelease.averaging.recipes.recipe import Recipe, RecipeInput, RecipeKind
from mbrelease.errors import UserError, did_you_mean

__all__ = ["KINDS", "Recipe", "RecipeInput", "RecipeKind", "parse_recipe"]

KINDS: tuple[RecipeKind, ...] = (uniform.KIND, last.KIND, best.KIND, best_and_last.KIND)


def parse_recipe(text: str) -> Recipe:
    """The recipe written as ``text``, such as ``best:3+last``.

    Raises:
        UserError: no such recipe (the nearest is proposed), or K is not a positive number.
    """
    for kind in KINDS:
        if match := kind.pattern.fullmatch(text):
            return Recipe(text, kind.needs_scores, kind.build(match))
    raise UserError(f"no recipe '{text}'", mend=_proposal(text))


def _proposal(text: str) -> str:
    """The nearest recipe with the number that was given, or all of them."""
    number = re.search(r"\d+", text)
    count = number[0] if number else "3"
    known = [kind.syntax.replace("K", count) for kind in KINDS]
    return did_you_mean(text, known) or f"one of {', '.join(kind.syntax for kind in KINDS)}"
