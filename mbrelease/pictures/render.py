"""A drawn figure as the bytes of an SVG, and of a PNG: the same bytes each time."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from mbrelease.pictures.colours import PAPER, style_sheet
from mbrelease.pictures.sheet import POINTS_AN_INCH

_PNG_COLOURS = 64
_PNG_SCALE = 2.5  # 1,600 pixels wide: sharp at 700 on a screen of high resolution
_SETTINGS = {
    "font.family": ["DejaVu Sans"],
    "svg.fonttype": "none",
    "svg.hashsalt": "mbrelease",
    "text.parse_math": False,
    "path.simplify": False,
}
_OPENING = re.compile(r"<svg [^>]*>")


@dataclass(frozen=True)
class Picture:
    """A figure, and what it says to those who do not see it."""

    figure: Figure
    title: str
    description: str
    hovers: Mapping[str, str]
    """By the id of a mark, what is shown when the pointer rests on it."""


@contextlib.contextmanager
def plain_style() -> Iterator[None]:
    """matplotlib as it comes, whatever the user has set, and our settings; then as it was."""
    with matplotlib.style.context(["default", _SETTINGS]), warnings.catch_warnings():
        # An SVG takes letters that the font has not from the reader's; a PNG has boxes for them.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        yield


def svg_bytes(picture: Picture) -> bytes:
    """An SVG without a background, with text as text and with the colours of both schemes."""
    buffer = io.BytesIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    picture.figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue().decode()
    text = text[text.index("<svg ") :]  # the DTD before it is of no use on a page
    for mark, words in picture.hovers.items():
        opening = f'<g id="{mark}">'
        text = text.replace(opening, f"{opening}<title>{escape(words)}</title>")
    return _OPENING.sub(lambda _: _head(picture), text, count=1).encode()


def _head(picture: Picture) -> str:
    width, height = (side * POINTS_AN_INCH for side in picture.figure.get_size_inches())
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'version="1.1" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.6g} {height:.6g}" role="img">\n'
        f"<title>{escape(picture.title)}</title>\n"
        f"<desc>{escape(picture.description)}</desc>\n"
        f"<style>{style_sheet()}</style>"
    )


def png_bytes(picture: Picture) -> bytes:
    """An opaque PNG in the light colours."""
    for text in picture.figure.findobj(Text):
        text.set_path_effects([withStroke(linewidth=4, foreground=PAPER.light)])
    buffer = io.BytesIO()
    picture.figure.savefig(
        buffer,
        format="png",
        dpi=POINTS_AN_INCH * _PNG_SCALE,
        facecolor=PAPER.light,
        metadata={"Software": None},
    )
    return _with_palette(buffer)


def _with_palette(png: io.BytesIO) -> bytes:
    """The same picture in so few colours that nobody sees the difference, at a quarter the size."""
    from PIL import Image  # comes with matplotlib

    with Image.open(png) as image:
        few = image.convert("RGB").quantize(_PNG_COLOURS, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    few.save(buffer, "png", optimize=True)
    return buffer.getvalue()
