"""Pictures read back: their words, and where these stand."""

import re
import warnings
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from mbrelease.pictures.labels import Box

SVG = "{http://www.w3.org/2000/svg}"


def drawn(draw):
    """The SVG of a picture that ``draw`` gives, parsed."""
    from mbrelease.pictures import render

    with render.plain_style():
        return ElementTree.fromstring(render.svg_bytes(draw()))


def texts(svg: Element) -> list[Element]:
    return [element for element in svg.iter(f"{SVG}text") if (element.text or "").strip()]


def words(svg: Element) -> list[str]:
    return [(element.text or "").strip() for element in texts(svg)]


def hovers(svg: Element) -> dict[str, str]:
    """By the id of a mark, what is shown when the pointer rests on it."""
    found = {}
    for group in svg.iter(f"{SVG}g"):
        title = group.find(f"{SVG}title")
        if title is not None:
            found[group.get("id", "")] = title.text or ""
    return found


def box_of(text: Element) -> Box:
    """Where a text stands, as wide as in the font that it is measured in."""
    from mbrelease.pictures.sheet import text_width

    style = text.get("style", "")
    x, y = float(text.get("x", "")), float(text.get("y", ""))
    size = float(re.search(r"font-size: ([\d.]+)px", style)[1])  # type: ignore[index]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        width = text_width((text.text or "").strip(), size, bold="font-weight: 700" in style)
    anchor = re.search(r"text-anchor: (\w+)", style)[1]  # type: ignore[index]
    left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * width
    return Box(left, y - 0.8 * size, left + width, y + 0.2 * size)


def overlapping(svg: Element) -> list[tuple[str, str]]:
    """Texts that stand on each other."""
    found = texts(svg)
    return [
        (one.text.strip(), other.text.strip())  # type: ignore[union-attr]
        for i, one in enumerate(found)
        for other in found[i + 1 :]
        if box_of(one).overlap(box_of(other)) > 0
    ]


def outside(svg: Element) -> list[str]:
    """Texts that stick out of the sheet."""
    sheet = Box(0, 0, float(svg.get("width", "")), float(svg.get("height", "")))
    return [text.text or "" for text in texts(svg) if not sheet.around(box_of(text))]
