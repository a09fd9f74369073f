"""What was written on a card in two places, brought together.

The author's text is merged line by line. A generated region is never mended by hand: what was
changed in one is a clash, for the next card that is written would not have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from mbrelease.errors import UserError
from mbrelease.metadata.regions import Page, read_page
from mbrelease.metadata.three_way import Clash, Stretch, merge_texts

SHOWN_CHARACTERS = 50
_SHOWN_BEFORE = 10


@dataclass(frozen=True)
class MergedCard:
    """A card with what was written on both sides, and what clashes, in sentences."""

    text: str
    clashes: tuple[str, ...]


def merge_cards(base: str, ours: str, theirs: str, *, there: str) -> MergedCard:
    """Bring into ``ours`` what ``theirs`` has changed since ``base``.

    Lines are compared without their ends, and the ends of ``ours`` are kept.

    Args:
        base: the card that both were made from.
        ours: the card that is to be published.
        theirs: the card as it stands.
        there: what the place of ``theirs`` is called, such as ``the Hub``.
    """
    merged = _merged(_unix(base), _unix(ours), _unix(theirs), there)
    if merged.clashes or merged.text == _unix(ours):
        return MergedCard(ours, merged.clashes)
    return MergedCard(merged.text.replace("\n", "\r\n") if "\r\n" in ours else merged.text, ())


def is_same_text(one: str, other: str) -> bool:
    """Whether two cards differ in no more than the ends of their lines."""
    return _unix(one) == _unix(other)


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n")


def _merged(base: str, ours: str, theirs: str, there: str) -> MergedCard:
    generated = _changed_regions(_page(base), _page(ours), _page(theirs), there)
    if generated:
        return MergedCard(ours, generated)
    merged = merge_texts(base, ours, theirs)
    if merged.clashes:
        return MergedCard(ours, tuple(_sentence(clash, there) for clash in merged.clashes))
    before, after = _page(ours), _page(merged.text)
    if before is not None and (after is None or after.regions != before.regions):
        return MergedCard(ours, (f"the marks of generated regions were changed at {there}",))
    return MergedCard(merged.text, ())


def _changed_regions(
    base: Page | None, ours: Page | None, theirs: Page | None, there: str
) -> tuple[str, ...]:
    if base is None or ours is None or theirs is None:
        return ()
    return tuple(
        f"the generated region '{name}' was changed at {there}: say it outside of it, or in the "
        "registry"
        for name, text in theirs.regions.items()
        if name in base.regions and text not in (base.regions[name], ours.regions.get(name))
    )


def _page(text: str) -> Page | None:
    """The card taken apart, or ``None`` where its marks are broken."""
    try:
        return read_page(text, "README.md")
    except UserError:
        return None


def _sentence(clash: Clash, there: str) -> str:
    ours, theirs = _apart(clash)
    here, at_there = _first_difference(ours.lines, theirs.lines)
    return f"{_place(ours)} here: {here}; {_place(theirs)} at {there}: {at_there}"


def _apart(clash: Clash) -> tuple[Stretch, Stretch]:
    """Both sides without the lines that they begin and end with alike."""
    ours, theirs = clash.ours.lines, clash.theirs.lines
    least = min(len(ours), len(theirs))
    first = next((i for i in range(least) if ours[i] != theirs[i]), least)
    least -= first
    last = next((i for i in range(least) if ours[-1 - i] != theirs[-1 - i]), least)
    return (
        Stretch(clash.ours.start + first, ours[first : len(ours) - last]),
        Stretch(clash.theirs.start + first, theirs[first : len(theirs) - last]),
    )


def _place(stretch: Stretch) -> str:
    count = len(stretch.lines)
    if count <= 1:
        return f"line {stretch.start}"
    return f"lines {stretch.start}-{stretch.start + count - 1}"


def _first_difference(ours: Sequence[str], theirs: Sequence[str]) -> tuple[str, str]:
    """The first lines of both that are not the same, as they are quoted."""
    texts = ([text for line in lines if (text := line.strip())] for lines in (ours, theirs))
    for one, other in zip_longest(*texts, fillvalue=""):
        if one != other:
            return _quoted(one, other), _quoted(other, one)
    return "other blank space", "other blank space"


def _quoted(text: str, other: str) -> str:
    """``text`` so that it is seen where it differs from ``other``."""
    if not text:
        return "nothing"
    shorter = min(len(text), len(other))
    same = next((i for i in range(shorter) if text[i] != other[i]), shorter)
    if same >= SHOWN_CHARACTERS - _SHOWN_BEFORE:
        text = f"…{text[same - _SHOWN_BEFORE :]}"
    cut = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    return f"“{''.join(char if char.isprintable() else '?' for char in cut)}”"
