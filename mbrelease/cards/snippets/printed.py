"""What a block printed, as a page can show it."""

from __future__ import annotations

import re

from mbrelease.cards.escape import printable

# Colours, cursor movements and titles of a terminal (ECMA-48).
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_REGION_MARK = re.compile(r"<!--(?=\s*/?mbrelease:)")


def shown_output(text: str) -> str:
    """What a terminal would show of ``text``: whole lines without control characters.

    A mark that begins or ends a generated region is broken, so that no output can end its own.
    """
    text = _ESCAPES.sub("", text).replace("\r\n", "\n")
    # A progress bar goes back to the beginning of its line and writes over it.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    lines = [line.rstrip() for line in printable("\n".join(lines)).split("\n")]
    return _REGION_MARK.sub("<! --", "\n".join(lines).strip("\n"))
