"""What was written on a card in two places, brought together.

The author's text is merged line by line. A generated region is never mended by hand: what was
changed in one is a clash, for the next card that is written would not have it.
"""

from __future__ import annotations

from dataclasses import dataclass

from mbrelease.errors import UserError
from mbrelease.metadata.regions import Page, read_page
from mbrelease.metadata.three_way import Clash, Stretch, merge_texts

SHOWN_CHARACTERS = 50


@dataclass(frozen=True)
class MergedCard:
    """A card with what was written on both sides, and what clashes, in sentences."""

    text: str
    clashes: tuple[str, ...]


def merge_cards(base: str, ours: str, theirs: str, *, there: str) -> MergedCard:
    """Bring into ``ours`` what ``theirs`` has changed since ``base``.

    Args:
        base: the card that both were made from.
        ours: the card that is to be published.
        theirs: the card as it stands.
        there: what the place of ``theirs`` is called, such as ``the Hub``.
    """
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
    return (
        f"{_place(clash.ours)} here: {_shown(clash.ours)}; {_place(clash.theirs)} at {there}: "
        + (_shown(clash.theirs))
    )


def _place(stretch: Stretch) -> str:
    count = len(stretch.lines)
    if count <= 1:
        return f"line {stretch.start}"
    return f"lines {stretch.start}-{stretch.start + count - 1}"


def _shown(stretch: Stretch) -> str:
    text = next((line.strip() for line in stretch.lines if line.strip()), "")
    if not text:
        return "nothing"
    cut = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    return f"“{''.join(char if char.isprintable() else '?' for char in cut)}”"
