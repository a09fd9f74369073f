"""The colours of a picture, each for a light and for a dark page.

Source: Okabe and Ito, "Color Universal Design" (https://jfly.uni-koeln.de/color/), told apart by
people with any colour blindness; on dark pages their sky blue stands for their blue. Shapes and
words say the same again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """One colour, as ``#rrggbb``."""

    light: str
    dark: str


PAPER = Colour("#ffffff", "#0d1117")
INK = Colour("#1f2328", "#e6edf3")
MUTED = Colour("#57606a", "#9da7b3")
RULE = Colour("#d0d7de", "#30363d")
BLUE = Colour("#0072b2", "#56b4e9")
GREEN = Colour("#009e73", "#00b583")
VERMILION = Colour("#d55e00", "#e8701a")
COLOURS = (PAPER, INK, MUTED, RULE, BLUE, GREEN, VERMILION)

FONTS = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif"


def style_sheet() -> str:
    """CSS for an SVG that was drawn in the light colours.

    What was drawn stays right without it: a viewer that knows no colour schemes shows the light
    one. Text has a rim in the colour of the page, so that lines do not run through it.
    """
    dark = "".join(
        f'[style*="{what}: {colour.light}"]{{{what}:{colour.dark}!important}}'
        for colour in COLOURS
        for what in ("fill", "stroke")
    )
    return (
        "svg{color-scheme:light dark}"
        f"text{{font-family:{FONTS}!important;paint-order:stroke;stroke:{PAPER.light};"
        "stroke-width:4px;stroke-linejoin:round}"
        "@media (prefers-color-scheme:dark){"
        f"{dark}text{{stroke:{PAPER.dark}}}}}"
    )
