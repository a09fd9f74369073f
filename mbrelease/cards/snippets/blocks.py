"""The fenced blocks of a Markdown text, as the Hub's reader of Markdown sees them.

Blocks are found in lists and quotations too, and not in comments or other HTML. Only what
decides about fences is read; the rules are CommonMark's (https://spec.commonmark.org/0.31.2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mbrelease.cards.snippets.lines import (
    Rest,
    closes_fence,
    html_block,
    is_paragraph,
    list_marker,
    opening_fence,
    quote_marker,
)

PYTHON = frozenset({"python", "py", "python3"})

_FRONT_MATTER = "---"
_REGION = re.compile(r"<!-- (?P<end>/?)mbrelease:(?P<name>[a-z_]+) -->[ \t]*")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    """The first word behind the fence, in small letters; empty where there is none."""
    code: str
    """Each line with its ``\\n``, without the indentation of the fence."""
    line: int
    """Where the code begins, from 1."""
    last_line: int
    """The line of the closing fence, or the last one there is."""
    prefix: str
    """What a line begins with to stand in the same list item or quotation."""
    region: str | None
    """The generated region it stands in; ``None`` where the text is the author's."""

    @property
    def is_python(self) -> bool:
        """Whether it is code that a reader would run with Python."""
        return self.language in PYTHON


@dataclass(frozen=True)
class Page:
    """A text, parted into its blocks and the lines that are Markdown."""

    blocks: tuple[Block, ...]
    prose: tuple[tuple[int, str], ...]
    """The lines outside of blocks and HTML, with their numbers from 1."""


def read_blocks(text: str) -> tuple[Block, ...]:
    """The fenced blocks of ``text``, in their order."""
    return read_page(text).blocks


def read_page(text: str) -> Page:
    """The blocks of ``text`` and what stands between them; front matter is left out."""
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        del lines[-1]
    reader = _Reader()
    start = _after_front_matter(lines)
    for number, line in enumerate(lines[start:], start + 1):
        reader.read(number, line)
    reader.close(len(lines))
    return Page(tuple(reader.blocks), tuple(reader.prose))


def _after_front_matter(lines: list[str]) -> int:
    if not lines or lines[0].rstrip() != _FRONT_MATTER:
        return 0
    for index, line in enumerate(lines[1:], 1):
        if line.rstrip() == _FRONT_MATTER:
            return index + 1
    return 0


@dataclass
class _Container:
    """A list item or a quotation that is open."""

    prefix: str
    width: int | None = None
    """The columns its lines are indented; ``None`` for a quotation."""
    is_empty: bool = False
    """An item of which nothing but the marker was seen."""

    def enter(self, rest: Rest) -> Rest | None:
        """The line inside of it; ``None`` where the line stands outside."""
        if self.width is None:
            return quote_marker(rest)
        if rest.is_blank:
            return None if self.is_empty else rest.skip(self.width)
        return rest.skip(self.width) if rest.indent >= self.width else None


@dataclass
class _Fence:
    opening: str
    info: str
    indent: int
    line: int
    code: list[str] = field(default_factory=list)


@dataclass
class _Reader:
    blocks: list[Block] = field(default_factory=list)
    prose: list[tuple[int, str]] = field(default_factory=list)
    containers: list[_Container] = field(default_factory=list)
    fence: _Fence | None = None
    html: tuple[re.Pattern[str] | None] | None = None
    """What ends the HTML block that is open."""
    in_paragraph: bool = False
    region: str | None = None

    def read(self, number: int, line: str) -> None:
        """Take the next line."""
        inside, rest = self._enter(Rest(line))
        is_outside = inside < len(self.containers)
        if is_outside:
            self.html = None
            if self.fence is not None:
                self.close(number - 1)
        if self.fence is not None:
            self._in_fence(number, rest)
        elif self.html is not None:
            self._in_html(rest)
        elif is_outside and self._continues_paragraph(rest):
            self.prose.append((number, line))
        else:
            if is_outside:
                del self.containers[inside:]
                self.in_paragraph = False
            self._begin(number, line, self._open(rest))

    def close(self, last_line: int) -> None:
        """End the fence that is open, if there is one."""
        if self.fence is None:
            return
        fence, self.fence = self.fence, None
        self.blocks.append(
            Block(
                language="".join(fence.info.split()[:1]).lower(),
                code="".join(f"{line}\n" for line in fence.code),
                line=fence.line + 1,
                last_line=last_line,
                prefix="".join(container.prefix for container in self.containers),
                region=self.region,
            )
        )

    def _enter(self, rest: Rest) -> tuple[int, Rest]:
        """How many of the open containers the line stands in, and what is left of it there."""
        for count, container in enumerate(self.containers):
            entered = container.enter(rest)
            if entered is None:
                return count, rest
            rest = entered
        return len(self.containers), rest

    def _in_fence(self, number: int, rest: Rest) -> None:
        assert self.fence is not None
        if closes_fence(rest, self.fence.opening):
            self.close(number)
        else:
            self.fence.code.append(rest.skip(self.fence.indent).text)

    def _in_html(self, rest: Rest) -> None:
        assert self.html is not None
        ends = self.html[0]
        if rest.is_blank if ends is None else ends.search(rest.text):
            self.html = None

    def _continues_paragraph(self, rest: Rest) -> bool:
        """Whether a line outside goes on with the paragraph inside, as a lazy writer has it."""
        if not self.in_paragraph or rest.is_blank:
            return False
        begins = (
            quote_marker(rest) or list_marker(rest) or opening_fence(rest)
            or html_block(rest, in_paragraph=True)[0]
        )  # fmt: skip
        return not begins and is_paragraph(rest, in_paragraph=False)

    def _open(self, rest: Rest) -> Rest:
        """Open the quotations and items that begin on this line; what is left of it in them."""
        while True:
            if (quoted := quote_marker(rest)) is not None:
                self.containers.append(_Container("> "))
                rest = quoted
            elif (item := list_marker(rest)) is not None and (
                item.interrupts or not self.in_paragraph
            ):
                self.containers.append(
                    _Container(" " * item.width, item.width, is_empty=item.rest.is_blank)
                )
                rest = item.rest
            else:
                return rest
            self.in_paragraph = False

    def _begin(self, number: int, line: str, rest: Rest) -> None:
        """What a line begins in the innermost container, or goes on with."""
        if self.containers and not rest.is_blank:
            self.containers[-1].is_empty = False
        is_html, ends = html_block(rest, in_paragraph=self.in_paragraph)
        if (opened := opening_fence(rest)) is not None:
            self.fence = _Fence(*opened, rest.indent, number)
            self.in_paragraph = False
        elif is_html:
            self.in_paragraph = False
            if ends is None or not ends.search(rest.body):
                self.html = (ends,)
            self._mark(line)
        else:
            self.in_paragraph = is_paragraph(rest, in_paragraph=self.in_paragraph)
            self.prose.append((number, line))

    def _mark(self, line: str) -> None:
        """Enter or leave a generated region."""
        if match := _REGION.fullmatch(line):
            self.region = None if match["end"] else match["name"]
