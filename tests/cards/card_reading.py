"""Read a rendered card as the Hub does: with a Markdown parser, not with regular expressions."""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

_PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
ISOLATES = str.maketrans("", "", "\u2068\u2069")


MARK = re.compile(r"^<!-- /?mbrelease:[a-z_]+ -->\n", re.MULTILINE)


def body(card: str) -> str:
    """The card without its front matter and the marks of its regions."""
    assert card.startswith("---\n")
    text = MARK.sub("", card.split("\n---\n", 1)[1])
    return "\n" + re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


def parse(markdown: str) -> list[Token]:
    return _PARSER.parse(markdown)


def text_of(inline: Token) -> str:
    """What a reader sees of an inline token."""
    return "".join(
        " " if child.type == "softbreak" else child.content for child in inline.children or []
    )


def structure(markdown: str) -> list[tuple[str, str]]:
    """Everything but the words: elements in order, with the targets of links, and HTML as it is."""
    found = []
    for token in parse(markdown):
        found.append((token.type, token.content if token.type == "html_block" else token.tag))
        for child in token.children or []:
            if child.type == "html_inline":
                found.append((child.type, child.content))
            elif child.type not in ("text", "text_special", "softbreak"):
                found.append((child.type, str(child.attrs.get("href", ""))))
    return found


def headings(markdown: str) -> list[str]:
    tokens = parse(markdown)
    return [
        text_of(tokens[index + 1])
        for index, token in enumerate(tokens)
        if token.type == "heading_open" and token.tag == "h2"
    ]


def tables(markdown: str) -> list[list[dict[str, str]]]:
    """Each table as rows by column name; bold is kept as ``**``."""
    found: list[list[dict[str, str]]] = []
    columns: list[str] = []
    cells: list[str] = []
    for token in parse(markdown):
        if token.type == "table_open":
            found.append([])
            columns = []
        elif token.type == "tr_open":
            cells = []
        elif token.type == "inline" and token.level > 2:
            cells.append("".join(_marked(token)))
        elif token.type == "tr_close" and not columns:
            columns = cells
        elif token.type == "tr_close":
            found[-1].append(dict(zip(columns, cells, strict=True)))
    return found


def table_with(markdown: str, column: str) -> list[dict[str, str]]:
    """The rows of every table that has ``column``."""
    found = [row for rows in tables(markdown) if rows and column in rows[0] for row in rows]
    assert found
    return found


def section(markdown: str, heading: str) -> str:
    """The text below one heading of the second level."""
    markdown = MARK.sub("", markdown)
    parts = markdown.split(f"\n## {heading}\n", 1)
    assert len(parts) == 2, f"no section '{heading}'"
    return parts[1].split("\n## ", 1)[0].rstrip("\n") + "\n"


def python_blocks(markdown: str) -> list[str]:
    return [t.content for t in parse(markdown) if t.type == "fence" and t.info == "python"]


def _marked(inline: Token) -> Iterator[str]:
    for child in inline.children or []:
        text = child.content.replace("\u00a0", " ")
        yield "**" if child.type in ("strong_open", "strong_close") else text
