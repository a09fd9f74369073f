"""Where a YAML text names a value (``&name``) and where it uses the name (``*name``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from yaml import events

from mbrelease.registry.composing import PARSER
from mbrelease.registry.document import Document


@dataclass(frozen=True)
class Anchor:
    """A name that a value has been given."""

    name: str
    start: int
    """The character at which the value stands, with its name."""
    uses: list[tuple[int, int]] = field(default_factory=list)
    """The character and the line of each alias, in order."""

    def outside(self, start: int, end: int) -> list[int]:
        """The lines that use it, other than within a span."""
        return [line for at, line in self.uses if not start <= at < end]


def anchors(text: str) -> list[Anchor]:
    """The anchors of a YAML text that can be parsed, in order."""
    found: list[Anchor] = []
    meant: dict[str, Anchor] = {}
    get_event = PARSER(text).get_event
    event: Any = get_event()
    while not isinstance(event, events.StreamEndEvent):
        name = getattr(event, "anchor", None)
        mark = event.start_mark
        if name is not None and isinstance(event, events.AliasEvent):
            meant[name].uses.append((mark.index, mark.line + 1))
        elif name is not None:
            meant[name] = Anchor(name, mark.index)
            found.append(meant[name])
        event = get_event()
    return found


def held_by_anchor(part: Document, path: Sequence[str | int]) -> str | None:
    """Why what stands at ``path`` cannot change alone: ``&name is used on lines 12, 40``.

    ``None`` if no name is in the way. A change would show where the name of something around it
    is used; a name in what goes would leave its uses without meaning.
    """
    named = anchors(part.text)
    around = [part.nearest(path[:depth]) for depth in range(1, len(path) + 1)]
    starts = {node.start for node in around if not node.shared}
    gone = part.at(path)
    start, end = (gone.start, gone.end) if gone is not None else (0, 0)
    for anchor in named:
        if anchor.start in starts or start <= anchor.start < end:
            lines = sorted(set(anchor.outside(start, end)))
            if lines:
                plural = "s" if len(lines) > 1 else ""
                return f"&{anchor.name} is used on line{plural} {', '.join(map(str, lines))}"
    return None
