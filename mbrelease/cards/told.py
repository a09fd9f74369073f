"""Texts that know where their numbers come from.

``Told`` is text with an origin. What escapes it for Markdown (``cards.escape``) keeps the origin
in the text itself, between characters that Unicode reserves for such inner use, so that it comes
through tables and templates; ``extract`` takes the origins out of the finished page again.
Formatting with ``f""`` or ``str.format`` loses an origin: use ``phrase`` and ``listed``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

# Noncharacters: text from outside is rid of them (see escape.printable), so nobody can forge one.
_OPEN, _MIDDLE, _CLOSE = "\ufdd0", "\ufdd1", "\ufdd2"
RESERVED = "\ufdd0-\ufdef"
_TOLD = re.compile(f"{_OPEN}([^{_MIDDLE}]*){_MIDDLE}([^{_CLOSE}]*){_CLOSE}")
_FORGED = re.compile(f"[{RESERVED}]")
_PLAIN_KEY = re.compile(r"[A-Za-z_][\w@+-]*")

Value = str | int | float | None


@dataclass(frozen=True)
class Field:
    """One value of a record."""

    file: str
    """Relative to the registry's folder, with ``/``."""
    field: str
    """The way to the value, such as ``scores.test[0].recall_at_1``; see ``cards.fields``."""
    value: Value = None
    """Unrounded; ``None`` for a text, which the page shows whole."""


@dataclass(frozen=True)
class Derived:
    """A value that was computed from others."""

    how: str
    """Such as ``mean``, ``difference`` or ``relative change``; see ``cards.arithmetic``."""
    of: tuple[Origin, ...]
    value: Value = None


Origin = Field | Derived


class Told(str):
    """A text whose numbers have an origin."""

    origin: Origin

    def __new__(cls, text: str, origin: Origin) -> Told:
        """``text`` as it is shown, not yet escaped."""
        told = super().__new__(cls, text)
        told.origin = origin
        return told

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (str(self), self.origin)


@dataclass(frozen=True)
class Place:
    """A place in a record, from which fields are told."""

    file: str
    path: str = ""

    def at(self, *steps: str | int) -> Place:
        """Further into the record: keys, and positions in lists."""
        path = self.path
        for step in steps:
            path += _step(step, first=not path)
        return Place(self.file, path)

    def entry(self, key: str) -> Place:
        """The entry of a list whose provenance has ``key``, whatever its position."""
        return Place(self.file, f"{self.path}[key={key}]")

    def field(self, value: Value = None) -> Field:
        """The value that stands here."""
        return Field(self.file, self.path, value)

    def tell(self, text: str, value: Value = None) -> Told:
        """``text``, which shows the value that stands here."""
        return Told(text, self.field(value))

    def optional(self, text: str | None, value: Value = None) -> Told | None:
        """``tell``, or nothing where there is no text."""
        return self.tell(text, value) if text else None


def place(root: Path, file: Path) -> Place:
    """The beginning of ``file`` as records name it: relative to ``root``."""
    # Never an absolute path: what is published tells nothing of the machine.
    return Place(Path(os.path.relpath(file, root)).as_posix())


def derived(text: str, how: str, of: Iterable[Origin], value: Value = None) -> Told:
    """``text``, which shows what was computed from ``of``."""
    return Told(text, Derived(how, tuple(of), value))


def origin_of(text: str) -> Origin | None:
    """The origin of ``text``, if it has one."""
    return text.origin if isinstance(text, Told) else None


def marked(escaped: str, text: str) -> Markup:
    """``escaped``, which is ``text`` made safe, with the origin of ``text`` in it."""
    if not isinstance(text, Told) or not any(map(str.isdigit, escaped)):
        return Markup(escaped)  # noqa: S704  (the caller escaped it)
    origin = json.dumps(as_json(text.origin), ensure_ascii=True, separators=(",", ":"))
    return Markup(f"{_OPEN}{origin}{_MIDDLE}{escaped}{_CLOSE}")  # noqa: S704


def phrase(pattern: str, *parts: str) -> Markup:
    """``pattern``, which is Markdown, with each ``{}`` filled by a part, which is text.

    A part that is ``Markup`` is Markdown already.
    """
    pieces = pattern.split("{}")
    assert len(pieces) == len(parts) + 1, pattern
    whole = pieces[0]
    for part, piece in zip(parts, pieces[1:], strict=True):
        whole += inline(part) + piece
    return Markup(whole)  # noqa: S704  (each part was escaped)


def listed(parts: Sequence[str], last: str = " and ") -> Markup:
    """``a``, ``a and b``, ``a, b and c``, each escaped."""
    shown = [inline(part) for part in parts]
    head = ", ".join(shown[:-1])
    return Markup(f"{head}{last}{shown[-1]}" if head else "".join(shown))  # noqa: S704


def joined(parts: Iterable[str], separator: str = ", ") -> Markup:
    """All of ``parts``, each escaped, with ``separator`` between them."""
    return Markup(separator.join(inline(part) for part in parts))  # noqa: S704


def inline(text: str) -> str:
    """``text`` as Markdown within a line, with its origin in it."""
    from mbrelease.cards.escape import markdown

    return str(text) if isinstance(text, Markup) else str(markdown(text))


def visible(text: str) -> str:
    """``text`` without the origins in it."""
    return _TOLD.sub(lambda match: match[2], text)


@dataclass(frozen=True)
class Span:
    """A stretch of a page that one origin stands behind."""

    start: int
    end: int
    origin: Origin


def extract(text: str) -> tuple[str, tuple[Span, ...]]:
    """``text`` without the origins in it, and where they stood.

    What a template of another hand made of an origin, or put in its place, is none.
    """
    spans: list[Span] = []
    pieces: list[str] = []
    length = position = 0
    for match in _TOLD.finditer(text):
        before, shown = (_FORGED.sub("", s) for s in (text[position : match.start()], match[2]))
        start = length + len(before)
        length = start + len(shown)
        pieces += [before, shown]
        origin = _read_origin(match[1])
        if origin is not None:
            spans.append(Span(start, length, origin))
        position = match.end()
    pieces.append(_FORGED.sub("", text[position:]))
    return "".join(pieces), tuple(spans)


def _read_origin(text: str) -> Origin | None:
    try:
        return from_json(json.loads(text))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return None


def as_json(origin: Origin) -> dict[str, Any]:
    """An origin as the lock has it."""
    if isinstance(origin, Field):
        found: dict[str, Any] = {"record": origin.file, "field": origin.field}
    else:
        found = {"how": origin.how, "of": [as_json(part) for part in origin.of]}
    return found if origin.value is None else found | {"value": origin.value}


def from_json(found: dict[str, Any]) -> Origin:
    """The origin that ``as_json`` wrote."""
    if "record" in found:
        return Field(found["record"], found["field"], found.get("value"))
    return Derived(found["how"], tuple(map(from_json, found["of"])), found.get("value"))


def _step(step: str | int, *, first: bool) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if _PLAIN_KEY.fullmatch(step):
        return step if first else f".{step}"
    return f"[{json.dumps(step, ensure_ascii=False)}]"
