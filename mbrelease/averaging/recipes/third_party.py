"""Recipes of other distributions, found by their entry points.

A distribution adds a recipe with an entry point in the group ``mbrelease.recipes`` that names a
``RecipeKind``:

    [project.entry-points."mbrelease.recipes"]
    their = "their_recipes:KIND"

They are looked for only where a text names none of our recipes: ours win, and cost nothing more.
What theirs return is checked, and what goes wrong in them is said with the distribution's name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import numbers
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from mbrelease.averaging.recipes.recipe import RecipeInput, RecipeKind, Weigh
from mbrelease.errors import UserError

GROUP = "mbrelease.recipes"
FLOAT_ROUNDING = Fraction(1, 10**9)
"""How far from 1 weights may sum that are floats; they are then divided by their sum."""


@dataclass(frozen=True)
class Installed:
    """What the installed distributions declare, and what is wrong with it."""

    kinds: tuple[tuple[RecipeKind, str], ...]
    """Each with the name of its distribution."""
    faults: tuple[str, ...]
    """A clause for each recipe that cannot be used."""


def installed_kinds(ours: Sequence[RecipeKind]) -> Installed:
    """The kinds of all installed distributions; what ``ours`` would read first is a fault."""
    kinds: list[tuple[RecipeKind, str]] = []
    faults: list[str] = []
    for name, distribution in _declaring_distributions():
        with _noted(faults, f"the recipes of '{name}'"):
            for entry_point in distribution.entry_points.select(group=GROUP):
                with _noted(faults, f"the recipe '{entry_point.name}' of '{name}'"):
                    kind = _checked_kind(entry_point.load(), ours)
                    kinds.append((_guarded(kind, name), name))
    return Installed(tuple(kinds), tuple(faults))


def _declaring_distributions() -> Iterator[tuple[str, importlib.metadata.Distribution]]:
    """Those with entry points for us, by name; of two of one name the first on the path."""
    seen = set()
    for distribution in importlib.metadata.distributions():
        # The text first: another distribution's broken metadata is not our business.
        with contextlib.suppress(Exception):
            if GROUP not in (distribution.read_text("entry_points.txt") or ""):
                continue
            name = _name(distribution)
            if (same := re.sub(r"[-_.]+", "-", name).lower()) not in seen:
                seen.add(same)
                yield name, distribution


def _name(distribution: importlib.metadata.Distribution) -> str:
    with contextlib.suppress(Exception):
        if name := distribution.metadata["Name"]:
            return name
    return f"a distribution without a name in {distribution.locate_file('')}"


@contextlib.contextmanager
def _noted(faults: list[str], what: str) -> Iterator[None]:
    """Whatever their modules raise when they are imported is a clause, and never a traceback."""
    try:
        yield
    except (Exception, SystemExit) as error:
        faults.append(f"{what} cannot be used: {_in_one_line(error)}")


def _checked_kind(found: Any, ours: Sequence[RecipeKind]) -> RecipeKind:
    if not isinstance(found, RecipeKind):
        raise TypeError(f"a {type(found).__name__} is not a RecipeKind")
    # Fields of other types fail here, where it is caught.
    found.pattern.fullmatch("".join((found.syntax, *found.examples)))
    for kind in ours:
        if kind.pattern.fullmatch(found.syntax):
            raise ValueError(f"'{found.syntax}' is read as {kind.syntax} of mbrelease")
    if found.searches:
        raise ValueError("only mbrelease's own recipes search")
    return found


def _guarded(kind: RecipeKind, distribution: str) -> RecipeKind:
    """The same kind, whose mistakes are sentences and whose weights are checked."""

    def build(match: re.Match[str]) -> Weigh:
        recipe = match[0]
        with _blamed(recipe, distribution):
            weigh = kind.build(match)

        def weights(candidates: Sequence[RecipeInput]) -> list[Fraction]:
            with _blamed(recipe, distribution):
                return _checked_weights(list(weigh(candidates)), len(candidates))

        return weights

    return dataclasses.replace(kind, build=build)


@contextlib.contextmanager
def _blamed(recipe: str, distribution: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"recipe '{recipe}' of '{distribution}' failed: {_in_one_line(error)}",
            mend=f"the fault is in '{distribution}': update it, or choose another recipe",
        ) from error


def _in_one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0].removesuffix(":")


def _checked_weights(returned: Sequence[Any], count: int) -> list[Fraction]:
    """What a recipe returned, as exact numbers that are not negative and sum to 1."""
    if len(returned) != count:
        raise ValueError(f"{len(returned)} weights for {count} checkpoints")
    weights = [_exact(value) for value in returned]
    if (least := min(weights)) < 0:
        raise ValueError(f"a negative weight, {least}")
    total = sum(weights, Fraction(0))
    if total == 1:
        return weights
    floats = any(not isinstance(value, numbers.Rational) for value in returned)
    if floats and abs(total - 1) <= FLOAT_ROUNDING:
        return [weight / total for weight in weights]
    raise ValueError(f"the weights sum to {float(total)!r}, not 1")


def _exact(value: Any) -> Fraction:
    """The same number; NumPy's numbers count as Python's."""
    if isinstance(value, numbers.Rational):
        return Fraction(int(value.numerator), int(value.denominator))
    if isinstance(value, numbers.Real):
        # Of nan and inf there is no fraction: ValueError, OverflowError.
        return Fraction(float(value))
    raise TypeError(f"a weight is a {type(value).__name__}, not a number")
