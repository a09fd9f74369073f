"""Whether a reported figure follows from others that it should follow from."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from mbrelease.cards.exact import unit
from mbrelease.cards.published_figures import Figure, Figures
from mbrelease.cards.told import Derived, Place
from mbrelease.registry.reported_tables import Column, DocumentSet

# Enough to see on which side of the reported figure the computed one lies.
_MORE_DECIMALS = 2


@dataclass(frozen=True)
class Deviation:
    """A reported figure that is not what its parts give."""

    computed: Figure
    """To more decimals than the reported one."""
    by_rounding: bool
    """Whether it may be so because the parts were rounded."""


@dataclass(frozen=True)
class Sets:
    """The document sets of a registry, and where they stand."""

    entries: dict[str, DocumentSet]
    place: Place


def deviation(
    figures: Figures, sets: Sets, model: str, column: Column, reported: Figure
) -> Deviation | None:
    """How ``reported`` differs from what its parts give.

    Returns:
        ``None`` where it has the digits that follow from them, where nothing is to be checked, or
        where a part was not reported.
    """
    check = column.check
    if check is None:
        return None
    decimals = reported.decimals
    half = unit(decimals) / 2
    if check.seconds is None:
        computed = figures.mean(model, check.mean, decimals)
        if computed is None:
            return None
        # Each part may be half a unit off, and so may their mean.
        low, high = computed.value - half, computed.value + half
    else:
        seconds = figures.reported(model, check.seconds, decimals)
        if seconds is None or check.thousand_tokens is None or seconds.value <= half:
            return None
        computed = _speed(sets, check.thousand_tokens, seconds)
        tokens = computed.value * seconds.value
        low, high = tokens / (seconds.value + half), tokens / (seconds.value - half)
    if computed.shown == reported.shown:
        return None
    by_rounding = low <= reported.value + half and high >= reported.value - half
    more = decimals + _MORE_DECIMALS
    return Deviation(Figure(computed.value, more, computed.origin, computed.reports), by_rounding)


def _speed(sets: Sets, name: str, seconds: Figure) -> Figure:
    """Thousands of tokens a second."""
    tokens = sets.entries[name].tokens
    value = Fraction(tokens, 1000) / seconds.value
    of = (sets.place.at(name, "tokens").field(tokens), seconds.origin)
    return Figure(
        value,
        seconds.decimals,
        Derived("thousands a second", of, float(value)),
        seconds.reports,
    )
