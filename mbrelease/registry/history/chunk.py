"""The entry of one variant in the text of a registry, without reading all of the text.

A registry of ten thousand variants takes seconds to read, and a history has hundreds of them. So
the lines of the entry are cut out by their indentation and read alone. Where they cannot be read
alone, the whole text is read: it is the judge, and the lines are only the key under which what it
said is remembered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mbrelease.registry.document import Document, parse_document
from mbrelease.registry.mistakes import InvalidRegistry

# They begin with the line end and not with "^", which is looked for ten times as fast.
_SECTION = re.compile(r"\nvariants:[ \t]*(?:#[^\n]*)?\r?(?=\n)")
_INCLUDE = re.compile(r"\ninclude:")
_TOP_KEY = re.compile(r"\n[^\s#]")
_TOP_KEY_NO_ITEM = re.compile(r"\n[^\s#\-]")
_FIRST_LINE = re.compile(r"\n( *)[^\s#]")
_CONFLICT = "\n<<<<<<<"
_ALIAS = re.compile(r"(?<![\w'\"])\*([^\s,\[\]{}]+)")


@dataclass(frozen=True)
class Unreadable:
    """A text that is no registry's, and what is wrong with it."""

    why: str


@dataclass
class Reader:
    """Reads entries; equal lines are read once."""

    _read: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def entry(self, text: str, name: str) -> Any:
        """The entry of ``name``; ``None`` where there is none, ``Unreadable`` where none is known.

        Args:
            text: of one file.
            name: a name of a variant.
        """
        if not re.search(rf"{re.escape(name)}['\"]?[ \t]*:", text):
            return None
        # What stands between the sides of a conflict belongs to no entry.
        lines = None if _CONFLICT in text else _lines_of(text, name)
        key = (name, text) if lines is None else (name, *_with_anchors(text, lines))
        if key in self._read:
            return self._read[key]
        entry = _whole(text, name) if lines is None else _read(text, lines, name)
        if not isinstance(
            entry, Unreadable
        ):  # the same lines may be right in a text mended elsewhere
            self._read[key] = entry
        return entry

    def names(self, text: str) -> list[str] | None:
        """The variants that ``text`` holds; ``None`` where it is no registry's."""
        section = _section(text := f"\n{text}")
        if section is not None:
            keys = re.compile(rf"\n {{{section.indent}}}(['\"]?)([\w.\-]+)\1[ \t]*:(?=\s|$)")
            return [key.group(2) for key in keys.finditer(text, section.start, section.end)]
        document = _parsed(text)
        if isinstance(document, Unreadable):
            return None
        return list(_variants(document))


def include_patterns(text: str) -> list[str]:
    """What ``include`` of a registry says; empty where it says nothing that can be read."""
    start = _INCLUDE.search(text := f"\n{text}")
    if start is None:
        return []
    end = _TOP_KEY_NO_ITEM.search(text, start.end())
    document = _parsed(text[start.start() : end.start() if end else None])
    if isinstance(document, Unreadable):
        return []
    found = document.value.get("include") if isinstance(document.value, dict) else None
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _read(text: str, lines: str, name: str) -> Any:
    alone = _parsed(f"variants:\n{lines}")
    if isinstance(alone, Unreadable) or alone.mistakes:
        return _whole(text, name)
    found = _variants(alone).get(name)
    return found if isinstance(found, dict) else _whole(text, name)


def _whole(text: str, name: str) -> Any:
    document = _parsed(text)
    return document if isinstance(document, Unreadable) else _variants(document).get(name)


def _parsed(text: str) -> Document | Unreadable:
    try:
        return parse_document(text.encode(), Path("registry.yaml"))
    except InvalidRegistry as error:
        first = error.mistakes[0]
        return Unreadable(f"{first.line}:{first.column}: {first.message}")


def _variants(document: Document) -> dict[str, Any]:
    value = document.value
    found = value.get("variants") if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class _Section:
    """Where what is below ``variants:`` stands in a text, from a line end to a line end."""

    start: int
    end: int
    indent: int
    """How far in the keys stand."""


def _section(text: str) -> _Section | None:
    """The section of a text that begins with a line end, where it is one in block style."""
    found = _SECTION.search(text)
    if found is None or _SECTION.search(text, found.end()) is not None:
        return None
    start = found.end()
    after = _TOP_KEY.search(text, start)
    first = _FIRST_LINE.search(text, start)
    end = after.start() if after is not None else len(text)
    if first is None or first.start() >= end:
        return None
    return _Section(start, end, len(first.group(1)))


def _lines_of(text: str, name: str) -> str | None:
    """The lines of an entry, its key first; ``None`` where they do not stand by themselves."""
    section = _section(text := f"\n{text}")
    if section is None:
        return None
    key = re.compile(
        rf"\n {{{section.indent}}}(?:{re.escape(name)}|'{re.escape(name)}'|\"{re.escape(name)}\")"
        r"[ \t]*:(?=\s|$)"
    )
    starts = [found.start() + 1 for found in key.finditer(text, section.start, section.end)]
    return _block(text, starts[0], section.indent) if len(starts) == 1 else None


def _block(text: str, start: int, indent: int) -> str:
    """The line at ``start`` and what stands further in below it."""
    line_end = text.find("\n", start)
    if line_end < 0:
        return text[start:]
    end = re.compile(rf"\n {{0,{indent}}}[^\s#]").search(text, line_end)
    return text[start : end.start() + 1 if end else None]


def _with_anchors(text: str, lines: str) -> list[str]:
    """``lines``, and those where the aliases in them are defined, and so on."""
    found = {lines: None}
    waiting = [lines]
    seen: set[str] = set()
    while waiting:
        for alias in _ALIAS.findall(waiting.pop()):
            if alias in seen:
                continue
            seen.add(alias)
            for match in re.finditer(rf"&{re.escape(alias)}(?![^\s,\[\]{{}}])", text):
                start = text.rfind("\n", 0, match.start()) + 1
                line = text[start : match.start()]
                block = _block(text, start, len(line) - len(line.lstrip(" ")))
                if block not in found:
                    found[block] = None
                    waiting.append(block)
    return list(found)
