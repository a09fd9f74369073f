"""Rules about what kind of value a field holds, shared by the fields."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mbrelease.metadata.finding import Finding, shown
from mbrelease.metadata.spot import Spot


def nothing_is_null(top: Spot) -> Iterator[Finding]:
    """No value is null: the Hub's schema knows no null, and its pages show the word."""
    for spot in top.everything():
        if spot.value is None:
            yield spot.error(f"{spot.name} is null", "give a value, or remove the line")


def numbers_are_finite(top: Spot) -> Iterator[Finding]:
    """No number is NaN or infinite: JSON, which the Hub answers in, has neither."""
    for spot in top.everything():
        if isinstance(spot.value, float) and not math.isfinite(spot.value):
            yield spot.error(f"{spot.name} is {spot.value}, which is no number", "remove it")


def is_text(spot: Spot) -> Iterator[Finding]:
    """A text that is not empty."""
    if spot.value is not None and (not isinstance(spot.value, str) or not spot.value.strip()):
        yield spot.error(f"{spot.name} is {_told(spot.value)} and must be text")


def is_texts(spot: Spot) -> Iterator[Finding]:
    """A text, or a list of texts."""
    if isinstance(spot.value, dict):
        yield spot.error(f"{spot.name} is a mapping and must be a list of texts")
        return
    for item in spot.items():
        yield from is_text(item)


def is_mapping(spot: Spot, what: str) -> Iterator[Finding]:
    """A mapping; ``what`` says of what."""
    if spot.value is not None and not isinstance(spot.value, dict):
        yield spot.error(f"{spot.name} is {_told(spot.value)} and must be {what}")


def is_list(spot: Spot, what: str) -> Iterator[Finding]:
    """A list with something in it; ``what`` says of what."""
    if spot.value is not None and not isinstance(spot.value, list):
        yield spot.error(f"{spot.name} is {_told(spot.value)} and must be a list of {what}")
    elif spot.value == []:
        yield spot.error(f"{spot.name} is an empty list", "fill it, or remove it")


def has(spot: Spot, *keys: str) -> Iterator[Finding]:
    """A mapping has each of ``keys``."""
    if not isinstance(spot.value, dict):
        return
    for key in keys:
        if key not in spot.value:
            yield spot.error(f"{spot.name or 'the metadata'} has no '{key}'", f"add '{key}'")


def texts_in(spot: Spot, *keys: str) -> Iterator[Finding]:
    """What stands under ``keys`` of a mapping is text."""
    for key in keys:
        child = spot.get(key)
        if child is not None:
            yield from is_text(child)


def spelt_in_camel_case(spot: Spot, *keys: str) -> Iterator[Finding]:
    """Keys that the specification writes in camelCase are not written with underscores."""
    for key in keys:
        wrong = "".join(f"_{c.lower()}" if c.isupper() else c for c in key)
        child = spot.get(wrong)
        if child is not None:
            yield child.error(f"{child.name} is unknown to the Hub", key)


def is_number(value: object) -> bool:
    """Whether ``value`` is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _told(value: object) -> str:
    return (
        "empty" if value == "" or (isinstance(value, str) and not value.strip()) else shown(value)
    )
