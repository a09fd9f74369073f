"""How numbers are written on a card. Nothing is rounded before it comes here.

A metric, its interval and its changes have the same number of decimals.
"""

from __future__ import annotations

import math
from fractions import Fraction

from mbrelease.errors import UserError
from mbrelease.evaluation.metric_names import decimals, lower_is_better, shown

# Between things that a line should not part.
NO_BREAK = "\u00a0"

_LARGEST_DENOMINATOR = 100
_UNITS = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"))


def metric_text(metric: str, value: float) -> str:
    """A value of ``metric``, such as ``0.440``.

    Raises:
        UserError: it is not a finite number, and a card cannot say so in good faith.
    """
    if not math.isfinite(value):
        raise UserError(
            f"{metric} was measured as {value}, which no card can show",
            mend="look for what broke the model or the evaluation, then measure again",
        )
    return shown(metric, _unsigned_zero(value, decimals(metric))).replace("-", "−")


def interval_text(metric: str, bounds: tuple[float, float]) -> str:
    """An interval of ``metric``, such as ``[0.420, 0.460]``."""
    low, high = (metric_text(metric, bound) for bound in bounds)
    return f"[{low},{NO_BREAK}{high}]"


def change_text(metric: str, change: float) -> str:
    """A difference of two values, signed: ``+0.161``, ``−0.0960``, ``0.000``."""
    change = _unsigned_zero(change, decimals(metric))
    return ("+" if change > 0 else "") + metric_text(metric, change)


def change_interval_text(metric: str, bounds: tuple[float, float]) -> str:
    """An interval of a difference, such as ``[+0.051, +0.112]``."""
    low, high = (change_text(metric, bound) for bound in bounds)
    return f"[{low},{NO_BREAK}{high}]"


def metric_heading(metric: str) -> str:
    """A metric with an arrow to its better side: ``loss ↓``."""
    return f"{metric}{NO_BREAK}{'↓' if lower_is_better(metric) else '↑'}"


def count_text(count: int) -> str:
    """A count with its thousands parted: ``518,531``."""
    return f"{count:,}"


def amount_text(amount: int) -> str:
    """A large count in words where that loses nothing: ``450 million``, else ``518,531``."""
    for unit, word in _UNITS:
        if amount >= unit and amount % (unit // 1000) == 0:
            return f"{amount / unit:,.3f}".rstrip("0").rstrip(".") + f" {word}"
    return count_text(amount)


def share_text(share: float) -> str:
    """A share as a percentage: ``60%``."""
    return f"{100 * share:.4g}%"


def frequency_text(share: float) -> str:
    """How often something happens, in whole percent: ``19%``, ``<1%`` where it is rare."""
    return "<1%" if 0 < share < 0.01 else f"{100 * share:.0f}%"


def real_text(value: float) -> str:
    """A setting, such as a learning rate, as papers write it: ``8e-4``, ``0.02``, ``160,000``."""
    if value == int(value):
        return f"{value:,.0f}"
    if abs(value) >= 1e-3:
        return f"{value:.6g}"
    digits, _, exponent = f"{value:.5e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"


def weight_text(weight: float) -> str:
    """The weight of a member of an average: ``1/3`` where it is a simple fraction."""
    fraction = Fraction(weight).limit_denominator(_LARGEST_DENOMINATOR)
    return str(fraction) if abs(fraction - Fraction(weight)) < 1e-12 else f"{weight:.6g}"


def join_words(words: list[str] | tuple[str, ...], conjunction: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {conjunction} {words[-1]}"


def noun_text(count: int, noun: str) -> str:
    """``checkpoint`` for one, ``checkpoints`` for more."""
    return noun if count == 1 else f"{noun}s"


def _unsigned_zero(value: float, places: int) -> float:
    # −0.0000 would claim a direction that the digits do not show.
    return 0.0 if round(value, places) == 0 else value
