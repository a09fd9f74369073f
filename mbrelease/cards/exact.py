"""Reported figures as exact numbers.

A figure was written in decimals, and half a unit is rounded up as people do: the mean of 80.05 is
shown as 80.1, whatever a binary float makes of it.
"""

from __future__ import annotations

from fractions import Fraction

_HALF = Fraction(1, 2)


def exact(value: float) -> Fraction:
    """The number that somebody wrote down, where ``value`` is the float that was read of it."""
    return Fraction(repr(value))


def unit(decimals: int) -> Fraction:
    """One in the last of so many decimals."""
    return Fraction(1, 10**decimals)


def rounded(value: Fraction, decimals: int) -> Fraction:
    """``value`` to so many decimals; half a unit goes away from zero."""
    steps = abs(value) / unit(decimals) + _HALF
    whole = steps.numerator // steps.denominator * unit(decimals)
    return -whole if value < 0 else whole


def exact_text(value: Fraction, decimals: int) -> str:
    """``value`` as a page shows it: ``80.1``, ``1,455.5``, ``−0.3``."""
    shown = rounded(value, decimals)
    digits = str(abs(shown.numerator) * 10**decimals // shown.denominator).rjust(decimals + 1, "0")
    whole, part = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    return ("−" if shown < 0 else "") + f"{int(whole):,}" + (f".{part}" if part else "")


def signed_text(value: Fraction, decimals: int) -> str:
    """A change as a page shows it: ``+58``, ``−0.3``, ``0``."""
    return ("+" if rounded(value, decimals) > 0 else "") + exact_text(value, decimals)
