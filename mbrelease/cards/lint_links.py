"""Pictures and files that a card refers to: they are there, and a picture says what it shows."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mbrelease.cards.snippets.blocks import read_page
from mbrelease.metadata.finding import Finding, shown

# Text in brackets that may hold brackets once more, then a target in parentheses.
_TEXT = r"\[(?P<text>(?:\\.|[^\[\]\\]|\[[^\[\]]*\])*)\]"
_TARGET = r"\(\s*(?P<target><[^<>\n]*>|(?:\\.|[^\s()\\]|\([^\s()]*\))*)[^()\n]*\)"
_PICTURE = re.compile(rf"(?<!\\)!{_TEXT}{_TARGET}")
_LINK = re.compile(rf"(?<![\\!]){_TEXT}{_TARGET}")
_DEFINITION = re.compile(r"^ {0,3}\[[^\]\n]+\]:[ \t]*(?P<target><[^<>\n]*>|\S+)", re.MULTILINE)
_CODE = re.compile(r"(?<!`)(`+)(?!`)(?:.|\n(?!\s*\n))*?(?<!`)\1(?!`)")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_ELEMENT = re.compile(r"<(?P<name>img|a|source)\b(?P<attributes>[^<>]*)>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"(?P<name>[\w-]+)\s*=\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)')")
_ADDRESS_OF = {"img": "src", "a": "href", "source": "srcset"}


@dataclass(frozen=True)
class _Reference:
    """Something that a card refers to; ``alt`` is ``None`` where it is no picture."""

    line: int
    target: str
    alt: str | None


def link_findings(text: str, folder: Path | None) -> Iterator[Finding]:
    """Pictures without alternative text; pictures and files that are not in ``folder``."""
    for reference in sorted(_references(text), key=lambda each: each.line):
        if reference.alt is not None and not reference.alt.strip():
            what = f"the picture {shown(reference.target)} has no alternative text"
            yield Finding(reference.line, "", what, "say what it shows: ![…](…)")
        path = _path(reference.target)
        if path is None or folder is None:
            continue
        kind = "link" if reference.alt is None else "picture"
        fault = _fault(folder, path)
        if fault is not None:
            what = f"the {kind} {shown(reference.target)} {fault}"
            yield Finding(reference.line, "", what, "put the file beside the card, or correct it")


def _references(text: str) -> Iterator[_Reference]:
    page = read_page(text)
    lines = text.replace("\r\n", "\n").split("\n")
    prose = dict(page.prose)
    markdown = _masked("\n".join(prose.get(number, "") for number in range(1, len(lines) + 1)))
    for pattern in (_PICTURE, _LINK, _DEFINITION):
        for match in pattern.finditer(markdown):
            alt = match["text"] if pattern is _PICTURE else None
            yield _Reference(_line(markdown, match), _target(match["target"]), alt)
    code = {n for block in page.blocks for n in range(block.line - 1, block.last_line + 1)}
    kept = "\n".join("" if n in code else line for n, line in enumerate(lines, 1))
    yield from _elements(_masked(_COMMENT.sub(_blank, kept)))


def _elements(text: str) -> Iterator[_Reference]:
    for match in _ELEMENT.finditer(text):
        name = match["name"].lower()
        given = {
            found["name"].lower(): html.unescape(found["double"] or found["single"] or "")
            for found in _ATTRIBUTE.finditer(match["attributes"])
        }
        target = given.get(_ADDRESS_OF[name])
        if target is None:
            continue
        if name == "source":  # a list of addresses, each with a width
            target = target.strip().split(",")[0].split(" ")[0]
        # In HTML an empty text says that a picture is there for its looks only.
        alt = (
            (given.get("alt", "") or ("decoration" if "alt" in given else ""))
            if name == "img"
            else None
        )
        yield _Reference(_line(text, match), target, alt)


def _masked(text: str) -> str:
    """``text`` with spaces in place of code spans, its lines where they were."""
    return _CODE.sub(_blank, text)


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1


def _target(target: str) -> str:
    bare = target[1:-1] if target.startswith("<") and target.endswith(">") else target
    return html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", bare))


def _path(target: str) -> str | None:
    """The file that ``target`` names beside the card; ``None`` where it leads elsewhere."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return None
    if parts.scheme or parts.netloc or not parts.path or target.startswith(("/", "#")):
        return None
    return unquote(parts.path)


def _fault(folder: Path, path: str) -> str | None:
    try:
        found = (folder / path).resolve()
        if not found.is_relative_to(folder.resolve()):
            return "leads out of the folder of the card"
        return None if found.exists() else "is missing"
    except (OSError, ValueError):
        return "is no file"
