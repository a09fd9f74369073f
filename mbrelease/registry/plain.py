"""Which values can be written to a registry, as the plain ones that reading gives back."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from mbrelease.errors import UserError

_MAX_DIGITS = 29
"""Of a number: what is longer is read as text."""


def plain(value: Any) -> Any:
    """``value`` in None, truths, numbers, texts, lists and dicts with texts for keys.

    Raises:
        UserError: something in it cannot be written.
    """
    try:
        return _plain(value)
    except RecursionError as error:
        raise UserError("a value that is nested without end cannot be written") from error


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(str.__str__(value))
    if isinstance(value, numbers.Integral):
        return _integer(int(value))
    if isinstance(value, float):
        return _fraction(float(value))
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [_plain(item) for item in value]
    raise UserError(
        f"a value of type {type(value).__name__} cannot be written",
        mend="give text, numbers, true or false, null, or lists and mappings of them",
    )


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{value!a} cannot be written: it is no UTF-8", mend="a registry is UTF-8 text"
        ) from error
    return value


def _integer(value: int) -> int:
    if abs(value) >= 10**_MAX_DIGITS:
        raise UserError(
            f"a number of more than {_MAX_DIGITS} digits cannot be written",
            mend="write it as text, or with fewer digits and an exponent, such as 1e40",
        )
    return value


def _fraction(value: float) -> float:
    if not math.isfinite(value):
        raise UserError(
            f"{value} cannot be written: numbers of a registry are finite",
            mend="null says that a number is not known",
        )
    return value
