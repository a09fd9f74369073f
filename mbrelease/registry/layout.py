"""Where the variants of a file stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Slot(NamedTuple):
    """Where a variant stands; characters count from 0, lines and columns from 1."""

    starts: int
    """Its first line."""
    key_start: int
    key_end: int
    key_line: int
    start: int
    end: int
    line: int
    column: int
    size: int
    flow: bool

    def moved(self, characters: int, lines: int) -> Slot:
        """The slot after something above it grew."""
        starts, key_start, key_end, key_line, start, end, line, column, size, flow = self
        return Slot(
            starts + characters, key_start + characters, key_end + characters, key_line + lines,
            start + characters, end + characters, line + lines, column, size, flow,
        )  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Where the variants of a file stand, one below the other."""

    column: int
    """Of their names."""
    slots: Mapping[str, Slot]
    """In their order."""
    below: int
    """Where the lines below the variants start."""
    lines_above: int
    """Lines of the file before these."""

    @property
    def bounds(self) -> list[int]:
        """Where each variant starts, and where the last ends."""
        return [*(slot.starts for slot in self.slots.values()), self.below]
