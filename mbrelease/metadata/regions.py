"""The generated regions of a card, and the author's text around them.

A region stands between two comments that no page shows, ``<!-- mbrelease:usage -->`` and
``<!-- /mbrelease:usage -->``. What is outside belongs to the author: it is kept byte for byte, and
stays behind the region that it stands behind. Of the front matter, the keys that are written
here are generated, and all others are the author's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mbrelease.errors import UserError

_MARK = re.compile(r"^<!-- (/?)mbrelease:([a-z_]+) -->[ \t]*$", re.MULTILINE)
# A list that is not indented, and the end of a bracket, belong to the key above.
_KEY = re.compile(r"""(?!-\s|[\s#\]}])("[^"]*"|'[^']*'|[^:]+?)[ \t]*:(?=\s)""")


def has_marks(body: str) -> bool:
    """Whether there is a mark of a generated region in ``body``."""
    return _MARK.search(body) is not None


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
    before, last = _new_regions(regions, old.regions.keys())
    parts: list[Part] = []
    for part in old.parts:
        if part.name is None:
            parts.append(part)
        elif part.name in regions:
            for name in before.get(part.name, ()):
                parts += [Part(name, regions[name]), Part(None, "\n\n")]
            parts.append(Part(part.name, regions[part.name]))
    parts = _tidied(parts)
    for name in last:
        # What the author wrote behind the last region stays behind it.
        parts += [_parting(parts.pop()), Part(name, regions[name]), Part(None, "\n")]
    return Page(_with_own_keys(old.front_matter, front_matter, keys), tuple(parts))


def _new_regions(
    regions: Iterable[str], known: Collection[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """The regions that are not ``known``, by the known one that follows; and those at the end."""
    before: dict[str, list[str]] = {}
    waiting: list[str] = []
    for name in regions:
        if name in known:
            before[name] = waiting
            waiting = []
        else:
            waiting.append(name)
    return before, waiting


def own_keys(front_matter: str, keys: Sequence[str]) -> str:
    """The lines of ``front_matter`` that are the author's."""
    blocks = _key_blocks(front_matter)
    return "".join(b.comments if b.key in keys else b.above + b.lines for b in blocks)


def generated_keys(front_matter: str, keys: Sequence[str]) -> str:
    """The front matter without what is the author's."""
    blocks = "".join(b.bare for b in _key_blocks(front_matter) if b.key in keys)
    return f"---\n{blocks}---\n" if front_matter else ""


@dataclass(frozen=True)
class _Block:
    """A key of the front matter, or, without a key, what stands below the last one."""

    key: str
    above: str
    """Comments and blank lines."""
    lines: str

    @property
    def comments(self) -> str:
        """Every comment that begins a line, for only people write those."""
        within = "".join(line for line in _lines(self.lines) if line.startswith("#"))
        return (self.above if "#" in self.above else "") + within

    @property
    def bare(self) -> str:
        """The lines without comments."""
        return "".join(line for line in _lines(self.lines) if not line.startswith("#"))


def _with_own_keys(old: str, new: str, keys: Sequence[str]) -> str:
    """``new`` with the comments of ``old`` above their keys, and at its end the author's keys."""
    written = {block.key: block for block in _key_blocks(new)}
    above = {b.key: b.comments for b in _key_blocks(old) if b.key in keys and b.key in written}
    generated = "".join(above.get(key, "") + block.lines for key, block in written.items())
    rest = [block for block in _key_blocks(old) if block.key not in above]
    own = "".join(b.comments if b.key in keys else b.above + b.lines for b in rest)
    return f"---\n{generated}{own}---\n"


def _key_blocks(front_matter: str) -> list[_Block]:
    blocks: list[_Block] = []
    waiting = ""
    for line in _lines(front_matter)[1:-1]:
        key = _KEY.match(line)
        if key:
            blocks.append(_Block(key[1].strip("\"'"), waiting, line))
            waiting = ""
        elif line.startswith("#") or not line.strip() or not blocks:
            waiting += line
        else:
            last = blocks[-1]
            blocks[-1] = replace(last, lines=last.lines + waiting + line)
            waiting = ""
    return [*blocks, _Block("", waiting, "")] if waiting else blocks


def _lines(text: str) -> list[str]:
    """With their ends; other than ``splitlines``, only ``\\n`` ends one."""
    return re.findall(r"[^\n]*\n", text)


def _split_front_matter(text: str) -> tuple[str, str]:
    if not text.startswith("---\n"):
        return "", text
    end = text.find("\n---\n", 3)
    if end < 0:
        return "", text
    return text[: end + 5], text[end + 5 :]


def _tidied(parts: Sequence[Part]) -> list[Part]:
    """Two stretches of the author's in a row, where a region went, become one."""
    kept: list[Part] = []
    for part in parts:
        if part.name is not None or not kept or kept[-1].name is not None:
            kept.append(part)
            continue
        both = [kept[-1].text, part.text]
        written = [text for text in both if text.strip()]
        kept[-1] = Part(None, "".join(written) if written else min(both, key=len))
    return kept


def _parting(part: Part) -> Part:
    """The author's text with a blank line before what follows."""
    missing = "\n\n"[len(part.text) - len(part.text.rstrip("\n")) :]
    return Part(None, part.text + missing if part.text.strip() else "\n\n")


def _written(part: Part) -> str:
    if part.name is None:
        return part.text
    # Blank lines around it, so that no Markdown parser takes a mark for a row of a table.
    return f"<!-- mbrelease:{part.name} -->\n\n{part.text}\n\n<!-- /mbrelease:{part.name} -->"
