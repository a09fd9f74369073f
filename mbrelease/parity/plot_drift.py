"""The picture of how far each part moved from the parent, and what it says in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.parity.checks.drift import exploded, still, summary
from mbrelease.parity.drift import Drift
from mbrelease.parity.report import shortened
from mbrelease.pictures.write import write_pictures

if TYPE_CHECKING:
    from mbrelease.pictures.render import Picture

STEM = "drift"
LISTED = 4


def write_drift(drift: Drift, child: str, parent: str, folder: Path) -> list[Path]:
    """Write ``drift.svg`` and ``drift.png``; the same figures and names, the same bytes.

    Args:
        drift: is drawable.
        child: what the child is called in the picture.
        parent: what the parent is called.
        folder: is made if there is none.

    Raises:
        MissingExtra: matplotlib is not installed.
        UserError: the folder cannot be written.
    """

    def draw() -> dict[str, Picture]:
        from mbrelease.parity.draw_drift import draw_drift

        return {STEM: draw_drift(drift, child, parent)}

    return write_pictures(draw, folder)


def alt_text(drift: Drift, child: str, parent: str) -> str:
    """The finding of the picture in one sentence."""
    parts = [f"How far each part of {child} moved from {parent}: {summary(drift)}"]
    return "; ".join([*parts, *findings(drift)]) + "."


def note_words(drift: Drift) -> str:
    """What is remarkable, to be written under the picture; nothing where nothing is."""
    words = "; ".join(findings(drift))
    return f"{words[:1].upper()}{words[1:]}." if words else ""


def findings(drift: Drift) -> list[str]:
    """What is remarkable, in a few words each: what exploded, what stood still."""
    far = [f"{part.words} ({part.change.relative:.3g})" for part in exploded(drift)]
    quiet = still(drift)
    if any(part.kind == "embeddings" and part.change.identical for part in drift.parts):
        quiet = ["the embeddings", *quiet]
    found = [f"exploded: {shortened(far, LISTED)}"] if far else []
    return [*found, *([f"did not move: {shortened(quiet, LISTED)}"] if quiet else [])]
