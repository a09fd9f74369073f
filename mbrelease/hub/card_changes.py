"""How the card that would be pushed differs from the one on the Hub.

Three views of one change: the keys of the metadata, old and new; the author's text as a unified
diff, in which a generated region is one line; and how much of each region changes.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mbrelease.errors import UserError
from mbrelease.metadata.front_matter import read_front_matter
from mbrelease.metadata.regions import Page, Part, read_page

README = "README.md"
CONTEXT_LINES = 2


@dataclass(frozen=True)
class KeyChange:
    """A value of the metadata, such as that at ``model-index[0].results[2].metrics[0].value``.

    ``old`` and ``new`` are plain values, or ``None`` where there is none.
    """

    key: str
    old: Any
    new: Any


@dataclass(frozen=True)
class RegionChange:
    """A generated region whose text differs, with the lines that go and come."""

    name: str
    removed_lines: int
    added_lines: int


@dataclass(frozen=True)
class CardChanges:
    """A card, before and after a push."""

    keys: tuple[KeyChange, ...]
    regions: tuple[RegionChange, ...]
    text: tuple[str, ...]
    """The unified diff of what the author wrote; a line ``@@`` begins each stretch of it."""
    whole: tuple[str, ...]
    """The unified diff of the whole file."""


def card_changes(old: str, new: str) -> CardChanges:
    """The change from ``old`` to ``new``, each a whole README.md; ``old`` may be empty.

    Lines are compared without their ends: a card that was saved on another system is the same.
    """
    old, new = old.replace("\r\n", "\n"), new.replace("\r\n", "\n")
    before, after = _page(old), _page(new)
    keys = _keys(old, new)
    # Metadata that cannot be taken apart, and their comments, are told as text.
    apart = keys is not None and bool(keys or before.front_matter == after.front_matter)
    return CardChanges(
        keys=tuple(keys or ()),
        regions=tuple(_regions(before, after)),
        # Its line numbers would be those of no file.
        text=tuple(
            "@@" if line.startswith("@@") else line
            for line in _diff(_authored(before, not apart), _authored(after, not apart))
        ),
        whole=_diff(_lines(old), _lines(new)),
    )


def _page(text: str) -> Page:
    try:
        return read_page(text, README)
    except UserError:  # a mark without its other one: then it is all the author's
        return Page("", (Part(None, text),))


def _keys(old: str, new: str) -> list[KeyChange] | None:
    """What changes in the metadata; ``None`` where one of them cannot be read."""
    before, after = _values(old), _values(new)
    if before is None or after is None:
        return None
    return [
        KeyChange(key, before.get(key), after.get(key))
        for key in dict.fromkeys([*before, *after])
        if key not in before or key not in after or before[key] != after[key]
    ]


def _values(text: str) -> dict[str, Any] | None:
    if not text:
        return {}
    document = read_front_matter(text).document
    return None if document is None else dict(_leaves("", document.value))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The values below ``value`` by their paths; a list of plain values is one."""
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _leaves(f"{path}.{key}" if path else str(key), below)
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        for index, below in enumerate(value):
            yield from _leaves(f"{path}[{index}]", below)
    else:
        yield path, _plain(value)


def _plain(value: Any) -> Any:
    """``value`` where JSON has it, and else as text, such as a date."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return value


def _regions(before: Page, after: Page) -> Iterator[RegionChange]:
    for name in dict.fromkeys([*before.regions, *after.regions]):
        old, new = before.regions.get(name, ""), after.regions.get(name, "")
        if old != new:
            lines = _diff(_lines(old), _lines(new))
            removed = sum(line.startswith("-") for line in lines)
            yield RegionChange(name, removed, sum(line.startswith("+") for line in lines))


def _authored(page: Page, with_front_matter: bool) -> list[str]:
    """The lines of a card, each of its regions as one that does not tell what is in it."""
    head = page.front_matter if with_front_matter else ""
    body = "".join(
        part.text if part.name is None else f"<!-- mbrelease:{part.name} … -->"
        for part in page.parts
    )
    return _lines(head + body)


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []


def _diff(old: list[str], new: list[str]) -> tuple[str, ...]:
    lines = difflib.unified_diff(old, new, n=CONTEXT_LINES, lineterm="")
    return tuple(line for i, line in enumerate(lines) if i > 1)  # without the names of the files
