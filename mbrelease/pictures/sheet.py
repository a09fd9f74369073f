"""A sheet of fixed width, measured in pixels from its top left corner, and panels on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from mbrelease.pictures.colours import INK, MUTED, RULE, Colour
from mbrelease.pictures.labels import Box, Pixel, Room

# On a phone a page is about 360 pixels wide: letters of 16 become 9, which can be read.
WIDTH = 640
MARGIN = 14
TITLE, BODY, SMALL = 19.0, 16.0, 15.0
POINTS_AN_INCH = 72  # matplotlib's; at this resolution its point is a pixel
_LEADER = 16.0  # a label farther from its mark than this is joined to it
ASCENT, LINE = 0.8, 1.3  # of the size of the letters

Range = tuple[float, float]


@lru_cache(maxsize=4096)
def text_width(words: str, size: float, *, bold: bool = False) -> float:
    """Pixels that ``words`` take in DejaVu Sans, which is wider than what most pages use."""
    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    return float(text_to_path.get_text_width_height_descent(words, font, ismath=False)[0])


def wrapped(words: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """``words`` in lines of at most ``width`` pixels; a longer word is shortened."""
    lines: list[str] = []
    for word in words.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size, bold=bold) <= width:
            lines[-1] = longer
        else:
            lines.append(shortened(word, width, size, bold=bold))
    return lines


def shortened(words: str, width: float, size: float, *, bold: bool = False) -> str:
    """``words``, or their beginning and end around ``…`` where they are wider than ``width``."""
    if len(words) <= 2 or text_width(words, size, bold=bold) <= width:
        return words
    low, high = 2, len(words) - 1
    while low < high:  # halving, for a name may have thousands of letters
        kept = (low + high + 1) // 2
        if text_width(_cut(words, kept), size, bold=bold) <= width:
            low = kept
        else:
            high = kept - 1
    return _cut(words, low)


def _cut(words: str, kept: int) -> str:
    return f"{words[: (kept + 1) // 2]}…{words[len(words) - kept // 2 :]}"


def ticks_within(limits: Range, most: int, *, whole: bool = False) -> list[float]:
    """Round numbers inside ``limits``, about ``most`` of them."""
    low, high = limits
    found = MaxNLocator(nbins=most, integer=whole, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = (high - low) * 1e-9
    return [float(tick) for tick in found if low - slack <= tick <= high + slack]


def tick_words(ticks: Sequence[float]) -> list[str]:
    """The ticks with as many decimals as it takes to tell them from each other."""
    decimals = next(
        (n for n in range(12) if all(abs(round(tick, n) - tick) < 1e-9 for tick in ticks)), 12
    )
    return [f"{tick:,.{decimals}f}".replace("-", "−") for tick in ticks]


@dataclass(frozen=True)
class Panel:
    """Axes in a box, with limits that stay."""

    axes: Axes
    box: Box
    room: Room
    height: float
    """Of the sheet."""

    def pixel(self, x: float, y: float) -> Pixel:
        """Where on the sheet a point of the data is."""
        across, up = self.axes.transData.transform((x, y))
        return float(across), self.height - float(up)


class Sheet:
    """What a picture is drawn on."""

    def __init__(self, height: float) -> None:
        self.height = height
        size = (WIDTH / POINTS_AN_INCH, height / POINTS_AN_INCH)
        self.figure = Figure(figsize=size, dpi=POINTS_AN_INCH, facecolor="none")
        self.paper = self.figure.add_axes((0, 0, 1, 1), zorder=10)
        self.paper.set(xlim=(0, WIDTH), ylim=(height, 0))
        self.paper.set_axis_off()

    def text(
        self,
        at: Pixel,
        words: str,
        *,
        size: float = SMALL,
        bold: bool = False,
        colour: Colour = INK,
        align: str = "left",
        upright: bool = False,
    ) -> None:
        """Write one line; ``at`` is the end of its base line that ``align`` names."""
        self.paper.text(
            *at,
            words,
            fontsize=size,
            fontweight="bold" if bold else "normal",
            color=colour.light,
            ha=align,
            va="center_baseline" if upright else "baseline",
            rotation=90 if upright else 0,
            rotation_mode="anchor",
        )

    def label(self, box: Box, words: str, *, bold: bool = False, size: float = SMALL) -> None:
        """Write one line into the box that was found for it."""
        # Centred, so that letters that are narrower elsewhere stay in the middle of it.
        middle = (box.left + box.right) / 2
        self.text((middle, box.top + size), words, size=size, bold=bold, align="center")

    def join(self, at: Pixel, box: Box) -> None:
        """A thin line from a mark to its label, if that is far off."""
        end = box.nearest(at)
        if math.dist(at, end) > _LEADER:
            self.paper.plot(*zip(at, end, strict=True), color=MUTED.light, linewidth=0.8)

    def head(self, title: str, below: str) -> float:
        """Write the title and a line below it; where the rest may begin."""
        y = float(MARGIN)
        for words, size, bold, colour in ((title, TITLE, True, INK), (below, BODY, False, MUTED)):
            for line in wrapped(words, WIDTH - 2 * MARGIN, size, bold=bold):
                self.text((MARGIN, y + ASCENT * size), line, size=size, bold=bold, colour=colour)
                y += LINE * size
        return y + 8

    def note(self, top: float, words: str) -> None:
        """Write a note from ``top`` on, in as many lines as it takes."""
        for i, line in enumerate(wrapped(words, WIDTH - 2 * MARGIN, SMALL)):
            self.text((MARGIN, top + (i * LINE + ASCENT) * SMALL), line, colour=MUTED)

    def panel(self, box: Box, x: Range, y: Range) -> Panel:
        """Axes in ``box`` with the limits ``x`` and ``y``, and a rule under them."""
        share = (
            box.left / WIDTH,
            1 - box.bottom / self.height,
            (box.right - box.left) / WIDTH,
            (box.bottom - box.top) / self.height,
        )
        axes = self.figure.add_axes(share, facecolor="none")
        axes.set(xlim=x, ylim=y)
        axes.set_axisbelow(True)
        for side, spine in axes.spines.items():
            spine.set(visible=side == "bottom", color=MUTED.light)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(NullLocator())
        return Panel(axes, box, Room(box), self.height)

    def level_ticks(
        self,
        panel: Panel,
        ticks: Sequence[float],
        *,
        words: bool = True,
        numbers: Sequence[str] | None = None,
    ) -> None:
        """Level rules across ``panel``, and at its left their numbers, or what stands for them."""
        panel.axes.yaxis.set_major_locator(FixedLocator(ticks))
        panel.axes.grid(axis="y", color=RULE.light, linewidth=1)
        panel.axes.tick_params(axis="y", length=0, labelleft=False)
        for tick, number in zip(ticks, numbers or tick_words(ticks), strict=True):
            y = panel.pixel(0, tick)[1] + SMALL * 0.36
            if words:
                self.text((panel.box.left - 8, y), number, colour=MUTED, align="right")

    def upright_ticks(
        self,
        panel: Panel,
        ticks: Sequence[float],
        words: str,
        *,
        numbers: Sequence[str] | None = None,
    ) -> None:
        """Ticks under ``panel`` with their numbers or names, and below them what is counted."""
        panel.axes.xaxis.set_major_locator(FixedLocator(ticks))
        panel.axes.tick_params(axis="x", length=5, color=MUTED.light, labelbottom=False)
        for tick, number in zip(ticks, numbers or tick_words(ticks), strict=True):
            half = text_width(number, SMALL) / 2
            x = min(panel.pixel(tick, 0)[0], WIDTH - half - 2)
            y = panel.box.bottom + 8 + ASCENT * SMALL
            self.text((x, y), number, colour=MUTED, align="center")
        middle = (panel.box.left + panel.box.right) / 2
        y = panel.box.bottom + 30 + ASCENT * SMALL
        self.text((middle, y), words, colour=MUTED, align="center")


def head_height(title: str, below: str) -> float:
    """What ``Sheet.head`` will take."""
    width = WIDTH - 2 * MARGIN
    titles = len(wrapped(title, width, TITLE, bold=True))
    return MARGIN + LINE * (titles * TITLE + len(wrapped(below, width, BODY)) * BODY) + 8


def note_height(words: str) -> float:
    """What ``Sheet.note`` will take."""
    return len(wrapped(words, WIDTH - 2 * MARGIN, SMALL)) * LINE * SMALL
