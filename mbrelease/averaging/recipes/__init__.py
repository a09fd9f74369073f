"""Recipes for averages, one file a recipe; ``parse_recipe`` finds the one that a text names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mbrelease.averaging.recipes import (
    best,
    best_and_last,
    ema,
    greedy,
    last,
    uniform,
    weights,
    wma,
    wsm,
)
from mbrelease.averaging.recipes.recipe import Recipe, RecipeInput, RecipeKind
from mbrelease.errors import UserError, did_you_mean

__all__ = ["KINDS", "Recipe", "RecipeInput", "RecipeKind", "parse_recipe"]

KINDS: tuple[RecipeKind, ...] = (
    uniform.KIND,
    weights.KIND,
    last.KIND,
    best.KIND,
    best_and_last.KIND,
    ema.KIND,
    wma.KIND,
    wsm.KIND,
    greedy.KIND,
)


def parse_recipe(text: str) -> Recipe:
    """The recipe written as ``text``, such as ``best:3+last``, ours or an installed one.

    Raises:
        UserError: no such recipe (the nearest is proposed), or a parameter is not what it must be.
    """
    for kind in KINDS:
        if match := kind.pattern.fullmatch(text):
            return _recipe(kind, match)
    return _third_party_recipe(text)


def _recipe(kind: RecipeKind, match: re.Match[str]) -> Recipe:
    return Recipe(match[0], kind.needs_scores, kind.build(match), kind.searches)


def _third_party_recipe(text: str) -> Recipe:
    from mbrelease.averaging.recipes.third_party import installed_kinds

    installed = installed_kinds(KINDS)
    matches = [(kind, kind.pattern.fullmatch(text), owner) for kind, owner in installed.kinds]
    found = [(kind, match, owner) for kind, match, owner in matches if match]
    if len(found) > 1:
        owners = " and ".join(f"'{owner}'" for _, _, owner in found)
        raise UserError(f"recipe '{text}' is declared by {owners}", mend="uninstall all but one")
    if found:
        kind, match, _ = found[0]
        return _recipe(kind, match)
    faults = "".join(f"; {fault}" for fault in installed.faults)
    known = [*KINDS, *(kind for kind, _ in installed.kinds)]
    raise UserError(f"no recipe '{text}'{faults}", mend=_proposal(text, known))


def _proposal(text: str, kinds: Sequence[RecipeKind]) -> str:
    """The nearest recipe with the number that was given, or all those it may be."""
    number = re.search(r"[1-9][0-9]*", text)
    count = number[0] if number else "3"
    known = [
        example for kind in kinds for example in kind.examples or [kind.syntax.replace("K", count)]
    ]
    named = [example for example in known if example.partition(":")[0] == text.partition(":")[0]]
    choices = named or [kind.syntax for kind in kinds]
    return did_you_mean(text, named or known) or f"one of {', '.join(choices)}"
