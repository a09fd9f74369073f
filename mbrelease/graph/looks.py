"""How each kind of edge and each state looks, the same in every format.

Colours are those of mbrelease.pictures, which people with any colour blindness can tell apart.
Two kinds of one colour differ in their dashes, and each has its word beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from mbrelease.graph.family import SUPERSEDES
from mbrelease.pictures.colours import (
    BLUE,
    FONTS,
    GREEN,
    INK,
    MUTED,
    PAPER,
    RULE,
    VERMILION,
    Colour,
)

PURPLE = Colour("#a3477f", "#d98bbd")
PANEL = Colour("#f6f8fa", "#161b22")


@dataclass(frozen=True)
class Look:
    """A kind of edge."""

    word: str
    """Beside the line, as it is read from the older to the newer variant."""
    colour: Colour
    dashes: str = ""
    """As SVG has them; empty for a solid line."""
    width: float = 1.8


LOOKS: dict[str, Look] = {
    "continued-pretraining": Look("continued pretraining", BLUE, width=2.4),
    "fine-tuning": Look("fine-tuning", GREEN),
    "averaging": Look("averaging", VERMILION, "7 4"),
    "merging": Look("merging", VERMILION),
    "distillation": Look("distillation", PURPLE),
    "quantization": Look("quantization", PURPLE, "2 3"),
    "adapter": Look("adapter", GREEN, "7 4"),
    "context-extension": Look("context extension", BLUE, "9 3 2 3"),
    "weight-initialization": Look("weight initialization", MUTED, "2 3"),
    SUPERSEDES: Look("superseded by", INK, "5 3", 1.3),
}
STATE_DASHES = {"released": "", "planned": "6 3", "unknown": "2 3"}
STATE_WORDS = {"released": "released", "planned": "planned", "unknown": "state unknown"}


def style_sheet() -> str:
    """CSS for the drawing, for pages of both colour schemes."""
    rules = [
        f".g text{{font-family:{FONTS};font-size:12px;fill:var(--ink)}}",
        ".g .name{font-size:14px;font-weight:bold}",
        ".g .quiet{fill:var(--muted)}",
        ".g .head{font-size:19px;font-weight:bold}",
        ".g .paper{fill:var(--paper)}",
        ".g .node rect{fill:var(--panel);stroke:var(--muted);stroke-width:1.3}",
        ".g .released rect{stroke:var(--ink)}",
        ".g .mark{fill:none;stroke:var(--muted);stroke-width:1.6}",
        ".g .released .mark{fill:var(--ink);stroke:var(--ink)}",
        ".g .edge{fill:none}",
        ".g .tip{stroke:none}",
    ]
    rules += [
        f".g .{state} rect{{stroke-dasharray:{dashes}}}"
        for state, dashes in STATE_DASHES.items()
        if dashes
    ]
    rules.append(f".g .unknown .mark{{stroke-dasharray:{STATE_DASHES['unknown']}}}")
    for kind, look in LOOKS.items():
        dashes = f";stroke-dasharray:{look.dashes}" if look.dashes else ""
        line = f"stroke:var(--{kind});stroke-width:{look.width}{dashes}"
        rules += [f".g .edge.{kind}{{{line}}}", f".g .{kind}.tip{{fill:var(--{kind})}}"]
        rules.append(f".g .{kind}.word{{fill:var(--{kind})}}")
    light, dark = _colours("light"), _colours("dark")
    return (
        f".g{{color-scheme:light dark;{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{.g{{{dark}}}}}" + "".join(rules)
    )


def _colours(scheme: str) -> str:
    named = {
        "ink": INK, "muted": MUTED, "paper": PAPER, "panel": PANEL, "rule": RULE,
        **{kind: look.colour for kind, look in LOOKS.items()},
    }  # fmt: skip
    return ";".join(f"--{name}:{getattr(colour, scheme)}" for name, colour in named.items())
