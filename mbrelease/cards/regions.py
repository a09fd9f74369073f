"""The generated regions of a card, and the author's text around them.

A region stands between two comments that no page shows, ``<!-- mbrelease:usage -->`` and
``<!-- /mbrelease:usage -->``. What is outside belongs to the author: it is kept byte for byte, and
stays behind the region that it stands behind. Of the front matter, the keys that are written
here are generated, and all others are the author's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mbrelease.errors import UserError

_MARK = re.compile(r"^<!-- (/?)mbrelease:([a-z_]+) -->[ \t]*$", re.MULTILINE)
_KEY = re.compile(r"([A-Za-z_][\w.-]*)[ \t]*:")


@dataclass(frozen=True)
class Part:
    """A region of a card, or, without a name, what the author wrote between two."""

    name: str | None
    text: str
    """Of a region, what is between its marks, without the blank lines there."""


@dataclass(frozen=True)
class Page:
    """A card taken apart."""

    front_matter: str
    """With its fences; empty where there is none."""
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The card, put together again."""
        return self.front_matter + "".join(map(_written, self.parts))

    @property
    def regions(self) -> dict[str, str]:
        """What is generated, by the names of the regions."""
        return {part.name: part.text for part in self.parts if part.name is not None}


def read_page(text: str, place: str) -> Page:
    """Take a card apart.

    Args:
        text: The card.
        place: Its name, for messages.

    Raises:
        UserError: a mark has lost its other one, or a region stands there twice.
    """
    front_matter, body = _split_front_matter(text)
    parts: list[Part] = []
    position, opened = 0, None
    for mark in _MARK.finditer(body):
        closes, name = mark[1] == "/", mark[2]
        where = f"{place}:{front_matter.count(chr(10)) + body.count(chr(10), 0, mark.start()) + 1}"
        if closes != (opened is not None) or (opened is not None and opened != name):
            raise UserError(
                f"{where}: the marks of the generated region '{opened or name}' do not pair",
                mend="restore the two comments around it, or delete what is between them",
            )
        between = body[position : mark.start()]
        if closes:
            if any(part.name == name for part in parts):
                raise UserError(f"{where}: the region '{name}' stands there twice")
            parts.append(Part(name, between.strip("\n")))
            opened = None
        else:
            parts.append(Part(None, between))
            opened = name
        position = mark.end()
    if opened is not None:
        raise UserError(
            f"{place}: the generated region '{opened}' does not end",
            mend=f"restore the comment <!-- /mbrelease:{opened} -->",
        )
    parts.append(Part(None, body[position:]))
    return Page(front_matter, tuple(parts))


def fresh_page(front_matter: str, regions: Mapping[str, str]) -> Page:
    """A card of nothing but generated regions."""
    parts: list[Part] = []
    for name, text in regions.items():
        parts += [Part(None, "\n\n" if parts else "\n"), Part(name, text)]
    return Page(front_matter, (*parts, Part(None, "\n")))


def merged(old: Page, front_matter: str, regions: Mapping[str, str], keys: Sequence[str]) -> Page:
    """``old`` with new generated text; what the author wrote stays as and where it is.

    Args:
        old: The card as it stands.
        front_matter: The new front matter.
        regions: The new regions, in their order; one that is missing here goes.
        keys: The keys of the front matter that are generated, whether they are there or not.
    """
    parts: list[Part] = []
    waiting = list(regions)
    for part in old.parts:
        if part.name is None:
            parts.append(part)
        elif part.name in regions:
            # New regions that come before this one in the order of the card.
            for name in waiting[: waiting.index(part.name)] if part.name in waiting else []:
                parts += [Part(name, regions[name]), Part(None, "\n\n")]
                waiting.remove(name)
            parts.append(Part(part.name, regions[part.name]))
            if part.name in waiting:
                waiting.remove(part.name)
    tail = parts.pop() if parts and parts[-1].name is None else Part(None, "\n")
    for name in waiting:
        parts += [Part(None, "\n\n" if parts else "\n"), Part(name, regions[name])]
    return Page(_with_own_keys(old.front_matter, front_matter, keys), _tidied([*parts, tail]))


def own_keys(front_matter: str, keys: Sequence[str]) -> str:
    """The lines of ``front_matter`` that are the author's."""
    return "".join(block for key, block in _key_blocks(front_matter) if key not in keys)


def generated_keys(front_matter: str, keys: Sequence[str]) -> str:
    """The front matter without what is the author's."""
    blocks = "".join(block for key, block in _key_blocks(front_matter) if key in keys)
    return f"---\n{blocks}---\n" if front_matter else ""


def _with_own_keys(old: str, new: str, keys: Sequence[str]) -> str:
    own = own_keys(old, keys)
    return new.removesuffix("---\n") + own + "---\n" if own else new


def _key_blocks(front_matter: str) -> list[tuple[str, str]]:
    """The top-level keys with the lines that belong to each; comments belong to what follows."""
    blocks: list[tuple[str, str]] = []
    waiting = ""
    for line in front_matter.splitlines(keepends=True)[1:-1]:
        key = _KEY.match(line)
        if key:
            blocks.append((key[1], waiting + line))
            waiting = ""
        elif line.startswith("#") or not line.strip():
            waiting += line
        elif blocks:
            blocks[-1] = (blocks[-1][0], blocks[-1][1] + waiting + line)
            waiting = ""
        else:
            waiting += line
    return [*blocks, ("", waiting)] if waiting else blocks


def _split_front_matter(text: str) -> tuple[str, str]:
    if not text.startswith("---\n"):
        return "", text
    end = text.find("\n---\n", 3)
    if end < 0:
        return "", text
    return text[: end + 5], text[end + 5 :]


def _tidied(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Two blank stretches of the author's in a row, where a region went, become one."""
    kept: list[Part] = []
    for part in parts:
        last = kept[-1] if kept else None
        if part.name is None and last is not None and last.name is None:
            both = [text for text in (last.text, part.text) if text.strip()]
            kept[-1] = Part(None, "".join(both) if both else last.text)
        else:
            kept.append(part)
    return tuple(kept)


def _written(part: Part) -> str:
    if part.name is None:
        return part.text
    # Blank lines around it, so that no Markdown parser takes a mark for a row of a table.
    return f"<!-- mbrelease:{part.name} -->\n\n{part.text}\n\n<!-- /mbrelease:{part.name} -->"
