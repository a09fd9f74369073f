"""Every number on a page, with the record it came from."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mbrelease.cards.told import Origin, Span

# Digits that are part of a name are no number: sha256, checkpoint-900, recall@1, best:3+last; nor
# are those of an entity. A bound such as "< 0.001" belongs to its number.
NUMBER = re.compile(
    r"(?<![\w@])(?<!\w[-./:@])(?<!&#)(?:&lt; ?)?[+−-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
    r"(?:e[-+]?\d+)?(?:/\d+)?%?(?!\w)"
)
_BEFORE_DIGITS = re.compile(r"(?:&lt; ?)?[+−-]?")


FRONT_MATTER = "front matter"
"""What numbers of the front matter have for a region."""


@dataclass(frozen=True)
class Number:
    """A number on a page."""

    region: str
    line: int
    """In its region, from 1."""
    text: str
    origin: Origin | None
    template: str | None = None
    """The template that it is typed in, where no record is behind it."""


def numbers_in(
    region: str, text: str, spans: tuple[Span, ...], template_of: Callable[[str], str | None]
) -> Iterator[Number]:
    """The numbers of a region, in their order.

    Args:
        region: Its name.
        text: What stands in it.
        spans: The origins of its parts, by their places in ``text``.
        template_of: The template in which a number is typed, if any is.
    """
    starts = [span.start for span in spans]
    line, counted = 1, 0
    for found in NUMBER.finditer(text):
        line += text.count("\n", counted, found.start())
        counted = found.start()
        # A sign may stand before the span that has the digits.
        before = _BEFORE_DIGITS.match(found[0])
        digits = found.start() + (len(before[0]) if before else 0)
        index = bisect.bisect_right(starts, digits) - 1
        inside = index >= 0 and spans[index].start <= digits < spans[index].end
        origin = spans[index].origin if inside else None
        template = None if inside else template_of(found[0])
        yield Number(region, line, found[0], origin, template)
