"""Values derived once more, from the records alone and by other code than the card's."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from mbrelease.cards.told import Derived, Field, Origin

Read = Callable[[Field], Any]
_BELOW = "&lt;"


def recomputed(origin: Origin, read: Read) -> Any:
    """The value of ``origin`` as the records have it now; ``None`` where this knows no rule.

    Raises:
        LookupError: a record or a field is gone, or holds no such values any more.
    """
    if isinstance(origin, Field):
        return read(origin)
    rule = _RULES.get(origin.how)
    if rule is None:
        for part in origin.of:
            recomputed(part, read)  # so that a lost record is noticed all the same
        return None
    values = [recomputed(part, read) for part in origin.of]
    try:
        return rule(values)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise LookupError(f"there is no {origin.how} of {values}") from error


def agrees(text: str, value: Any) -> bool:
    """Whether the number ``text`` is a rounding of ``value``, or stands in it where it is text.

    ``text`` is as a page has it, such as ``+0.110``, ``80.1``, ``1/3`` or ``&lt; 0.001``.
    """
    bound, text = text.startswith(_BELOW), text.removeprefix(_BELOW).lstrip(" +−-")
    if isinstance(value, str):
        return text in value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True  # nothing that a number could be held against
    if not math.isfinite(value):
        return False
    try:
        shown, half = _parsed(text)
    except (InvalidOperation, ValueError, ZeroDivisionError):
        return True
    exact = abs(Fraction(Decimal(repr(value))))
    if bound:
        return exact * (100 if text.endswith("%") else 1) < shown
    # A hair more than half a unit: the last digit of a binary fraction is not the decimal's.
    half *= Fraction(1_000_001, 10**6)
    return any(abs(exact * scale - shown) <= half for scale in _scales(exact, shown))


def _scales(exact: Fraction, shown: Fraction) -> Iterable[Fraction]:
    """What a page may write a value in: as it is, in percent, in thousands up to trillions.

    No value below one is written in thousands, and none as a nought, which all would agree with.
    """
    yield from (Fraction(1), Fraction(100))
    if shown and exact >= 1:
        yield from (Fraction(1, 1000**power) for power in range(1, 5))


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same but for the last bits of a binary fraction."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= 1e-9 * max(1.0, abs(one), abs(other))
    return bool(one == other)


def _parsed(text: str) -> tuple[Fraction, Fraction]:
    """A number as it is written, and half a unit of its last digit."""
    bare = text.rstrip("%").replace(",", "")
    if "/" in bare:
        return Fraction(bare), Fraction(1, 10**9)
    number = Decimal(bare)
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return abs(Fraction(number)), Fraction(10) ** exponent / 2


def _mean(values: Sequence[Any]) -> float:
    # Decimal fractions are added as they are written, so that a half is a half.
    return float(sum(Fraction(Decimal(repr(value))) for value in values) / len(values))


def _difference(values: Sequence[Any]) -> float:
    return float(values[0] - values[1])


def _relative_change(values: Sequence[Any]) -> float:
    return float((values[0] - values[1]) / values[1])


def _thousands_a_second(values: Sequence[Any]) -> float:
    tokens, seconds = values
    return float(tokens / 1000 / seconds)


def _count(values: Sequence[Any]) -> int | None:
    only = values[0] if len(values) == 1 else values
    return len(only) if isinstance(only, Sequence | dict) and not isinstance(only, str) else None


def _count_where(wanted: Callable[[Any], bool]) -> Callable[[Sequence[Any]], int]:
    return lambda values: sum(map(wanted, values[0]))


def _count_of_tied(values: Sequence[Any]) -> int:
    (decision,) = values
    tied = [one["name"] for one in decision["candidates"] if one["tied"]]
    return sum(name != decision["chosen"] for name in tied)


_RULES: dict[str, Callable[[Sequence[Any]], Any]] = {
    "mean": _mean,
    "sum": sum,
    "difference": _difference,
    "relative change": _relative_change,
    "standard deviation": statistics.stdev,
    "count": _count,
    "thousands a second": _thousands_a_second,
    "count of checkpoints": _count_where(lambda one: one["kind"] == "checkpoint"),
    "count of averages": _count_where(lambda one: one["kind"] == "average"),
    "count of tied candidates": _count_of_tied,
    "1 - alpha": lambda values: 1 - values[0],
}
"""By the ``how`` of a derived value; the others are only checked by writing the page again."""


def fields_of(origin: Origin) -> tuple[Field, ...]:
    """Every field behind a value."""
    if isinstance(origin, Field):
        return (origin,)
    assert isinstance(origin, Derived)
    return tuple(field for part in origin.of for field in fields_of(part))
