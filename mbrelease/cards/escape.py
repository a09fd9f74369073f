"""Text from a registry, made safe for the place in a Markdown file where it will stand.

``markupsafe.Markup`` marks text that is Markdown already; everything else is escaped when a
template prints it (see ``cards.render``), so nobody has to remember to.
"""

from __future__ import annotations

import json
import re
import unicodedata

from markupsafe import Markup

from mbrelease.cards.told import RESERVED, Told, marked

# Control characters, bidirectional overrides (they reach beyond the text they stand in) and
# lone surrogates (which no UTF-8 file can hold), and what ``told`` keeps for itself.
_UNPRINTABLE = re.compile(
    f"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ufeff{RESERVED}]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANK = re.compile("[ \t\n\r\x0b\x0c\x1c-\x1f\x85\u2028\u2029]+")
# What would end a generated region (see ``regions``), if it began a line.
_REGION_MARK = re.compile("^(?=<!-- /?mbrelease:)", re.MULTILINE)
_LINE_BREAK = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")

# Between two letters an underscore is only an underscore.
_SPECIAL = re.compile(
    r"\\|[`*\[\]|~{$]|<|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])",
)
_ENTITIES = {
    # An entity never acts as syntax; the Hub reads a doubled backslash before "(" as mathematics.
    "\\": "&#92;",
    "<": "&lt;",
    "&": "&amp;",
}
# What makes a heading, a list, a quotation or a rule of the line it begins.
_BLOCK_START = re.compile(r"^(?:(\d{1,9})([.)])(?=\s|$)|(#{1,6}(?=\s|$)|[-+](?=\s|$|-)|>|=))")


def printable(text: str) -> str:
    """``text`` without characters that no reader sees; line breaks become ``\\n``."""
    if text.isascii() and text.isprintable():  # nearly all, and there are many on a page
        return str(text)
    text = _SURROGATE.sub("\ufffd", _LINE_BREAK.sub("\n", text))
    return _UNPRINTABLE.sub("", text)


def one_line(text: str) -> str:
    """``text`` on one line, runs of blanks as one space."""
    return _BLANK.sub(" ", printable(text)).strip(" ")


def markdown(text: str) -> Markup:
    """Plain text as inline Markdown, safe in a paragraph, a list item, a heading or a table cell.

    Right-to-left text is isolated, so that the numbers beside it keep their places.
    """
    escaped = _SPECIAL.sub(lambda match: _ENTITIES.get(match[0], "\\" + match[0]), one_line(text))
    escaped = _BLOCK_START.sub(
        lambda match: f"{match[1]}\\{match[2]}" if match[1] else "\\" + match[0], escaped
    )
    if not escaped.isascii() and any(
        unicodedata.bidirectional(character) in ("R", "AL") for character in escaped
    ):
        escaped = f"\u2068{escaped}\u2069"
    return marked(escaped, text)


def as_markdown(text: str) -> Markup:
    """Text that its author means as Markdown: nothing in it is escaped.

    What is not ``Told`` may be a section that was filled before, with its origins in it.
    """
    return marked(printable(text), text) if isinstance(text, Told) else Markup(text)  # noqa: S704


def paragraphs(text: str) -> Markup:
    """Plain text as Markdown paragraphs: a blank line in ``text`` parts two of them."""
    parts = re.split(r"\n[ \t]*\n", printable(text).strip())
    shown = [marked(str(markdown(part)), text) for part in parts if part.strip()]
    return Markup("\n\n".join(shown))  # noqa: S704  (each part is escaped)


def code(text: str) -> Markup:
    """Plain text as a code span. Not for table cells, where a pipe would end the cell."""
    line = one_line(text)
    ticks = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return marked(f"{ticks}{pad}{line}{pad}{ticks}", text)


def fenced(text: str, language: str = "") -> Markup:
    """Plain text as a fenced block that the text itself cannot close."""
    block = _REGION_MARK.sub(" ", printable(text).strip("\n"))
    fence = "`" * max(3, _longest_run(block) + 1)
    # The fences stay bare, so that what reads the page line by line finds them.
    return Markup(f"{fence}{language}\n{marked(block, text)}\n{fence}")  # noqa: S704


def python_string(text: str) -> Markup:
    """Plain text as a Python string literal on one line."""
    # JSON's escapes are all Python's as well.
    return marked(json.dumps(one_line(text), ensure_ascii=False), text)


def anchor(heading: str) -> str:
    """The name the Hub gives a heading in addresses: ``How to use it`` → ``how-to-use-it``.

    As github-slugger makes it: lower case, blanks become hyphens, punctuation goes.
    """
    return re.sub(r"[^\w\- ]", "", one_line(heading).lower()).replace(" ", "-")


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
