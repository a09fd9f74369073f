"""One line of Markdown as its blocks see it: columns, markers, and what begins a block."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TAB = 4
_MARKER = re.compile(r"([-+*]|(\d{1,9})[.)])(?=[ \t]|$)")
_RULE = re.compile(r"([-*_])[ \t]*(?:\1[ \t]*){2,}$")
_HEADING = re.compile(r"#{1,6}(?:[ \t]|$)|=+[ \t]*$|-+[ \t]*$")
_FENCE = re.compile(r"(?P<ticks>`{3,})(?P<info>[^`]*)$|(?P<tildes>~{3,})(?P<words>.*)$")

# The kinds of HTML blocks, https://spec.commonmark.org/0.31.2/#html-blocks: how they begin and
# what ends them; those that end with a blank line have none.
_ATTRIBUTE = r"""[ \t]+[a-zA-Z_:][\w.:-]*(?:[ \t]*=[ \t]*(?:[^ \t"'=<>`]+|'[^']*'|"[^"]*"))?"""
_BLOCK_TAGS = (
    "address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|"
    "dialog|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|"
    "hr|html|iframe|legend|li|link|main|menu|menuitem|nav|noframes|ol|optgroup|option|p|param|"
    "search|section|summary|table|tbody|td|tfoot|th|thead|title|tr|track|ul"
)
_HTML: tuple[tuple[re.Pattern[str], re.Pattern[str] | None], ...] = (
    (
        re.compile(r"<(?:script|pre|style|textarea)(?=\s|>|$)", re.I),
        re.compile(r"</(?:script|pre|style|textarea)>", re.I),
    ),
    (re.compile(r"<!--"), re.compile(r"-->")),
    (re.compile(r"<\?"), re.compile(r"\?>")),
    (re.compile(r"<![A-Za-z]"), re.compile(r">")),
    (re.compile(r"<!\[CDATA\["), re.compile(r"\]\]>")),
    (re.compile(rf"</?(?:{_BLOCK_TAGS})(?=\s|/?>|$)", re.I), None),
)
_ANY_TAG = re.compile(
    rf"(?:<[a-zA-Z][a-zA-Z0-9-]*(?:{_ATTRIBUTE})*[ \t]*/?>|</[a-zA-Z][a-zA-Z0-9-]*[ \t]*>)[ \t]*$"
)


@dataclass(frozen=True)
class Rest:
    """What is left of a line, and the column at which it begins."""

    text: str
    column: int = 0

    @property
    def is_blank(self) -> bool:
        """Whether nothing but blanks is left."""
        return not self.text.strip(" \t")

    @property
    def indent(self) -> int:
        """The columns of blanks before the first character."""
        column = self.column
        for character in self.text:
            if character == "\t":
                column += _TAB - column % _TAB
            elif character == " ":
                column += 1
            else:
                break
        return column - self.column

    @property
    def body(self) -> str:
        """The text without the blanks before it."""
        return self.text.lstrip(" \t")

    def skip(self, columns: int) -> Rest:
        """Without up to ``columns`` columns of blanks; a tab that is cut becomes spaces."""
        text, column, end = self.text, self.column, self.column + columns
        while column < end and text[:1] in (" ", "\t"):
            width = _TAB - column % _TAB if text[0] == "\t" else 1
            text = " " * max(0, column + width - end) + text[1:]
            column = min(column + width, end)
        return Rest(text, column)

    def after(self, characters: int) -> Rest:
        """Without its blanks and so many characters."""
        return Rest(self.body[characters:], self.column + self.indent + characters)


@dataclass(frozen=True)
class Marker:
    """The beginning of a list item."""

    rest: Rest
    """What follows it on the line."""
    width: int
    """The columns that its further lines are indented."""
    interrupts: bool
    """Whether it begins a list within a paragraph."""


def quote_marker(rest: Rest) -> Rest | None:
    """What follows the ``>`` of a quotation, if there is one."""
    if rest.indent > 3 or not rest.body.startswith(">"):
        return None
    return rest.after(1).skip(1)


def list_marker(rest: Rest) -> Marker | None:
    """The marker of a list item, if the line begins one."""
    if rest.indent > 3 or _RULE.match(rest.body) or not (match := _MARKER.match(rest.body)):
        return None
    content = rest.after(len(match[0]))
    # Five blanks and more: the item begins with indented code.
    blanks = 1 if content.is_blank or content.indent > _TAB else content.indent
    return Marker(
        rest=content.skip(blanks),
        width=rest.indent + len(match[0]) + blanks,
        interrupts=not content.is_blank and match[2] in (None, "1"),
    )


def opening_fence(rest: Rest) -> tuple[str, str] | None:
    """The run of ticks or tildes that opens a fence, and what stands behind it."""
    match = _FENCE.match(rest.body) if rest.indent <= 3 else None
    if match is None:
        return None
    return match["ticks"] or match["tildes"], (match["info"] or match["words"] or "").strip()


def closes_fence(rest: Rest, opening: str) -> bool:
    """Whether the line closes the fence that ``opening`` opened."""
    run = rest.body.rstrip(" \t")
    return rest.indent <= 3 and run.startswith(opening) and not run.strip(opening[0])


def html_block(rest: Rest, *, in_paragraph: bool) -> tuple[bool, re.Pattern[str] | None]:
    """Whether the line begins an HTML block, and what ends it: ``None`` is a blank line."""
    if rest.indent > 3 or not rest.body.startswith("<"):
        return False, None
    for begins, ends in _HTML:
        if begins.match(rest.body):
            return True, ends
    return not in_paragraph and bool(_ANY_TAG.match(rest.body)), None


def is_paragraph(rest: Rest, *, in_paragraph: bool) -> bool:
    """Whether a line that begins no fence, quotation, item or HTML is text of a paragraph."""
    if rest.is_blank:
        return False
    if rest.indent > 3:
        return in_paragraph  # else it is indented code
    if _RULE.match(rest.body):
        return False
    heading = _HEADING.match(rest.body)
    # A line of "=" or "-" makes a heading of the paragraph before it, if there is one.
    return heading is None or (not in_paragraph and not heading[0].startswith("#"))
