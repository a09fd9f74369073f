"""A model card's text as HTML that is safe to show."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

# Tags that cards use within a line; they carry no attributes, so they can do no harm.
_PLAIN_TAG = re.compile(r"</?(?:br|sub|sup|b|i|em|strong|kbd)\s*/?>", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*-->", re.DOTALL)

Address = Callable[[str], str]


def render(text: str, address: Address) -> str:
    """Render ``text``; ``address`` turns a path in the repository into a link.

    All HTML in the text is shown as text, but for a few plain tags; comments are left out.
    """
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    # Without HTML blocks every tag comes to `_tag`, and the text around it stays Markdown.
    parser.disable("html_block")
    parser.add_render_rule("html_inline", _tag)
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", _table_close)
    tokens = _without_comments(parser.parse(text))
    _name_headings(tokens)
    for token in tokens:
        _align(token)
        for child in token.children or []:
            _rewrite(child, address)
    html: str = parser.renderer.render(tokens, parser.options, {})
    return html


def slug(title: str) -> str:
    """The name of a heading in addresses: ``#how-to-use``."""
    return re.sub(r"[^\w-]+", "-", title.lower()).strip("-") or "section"


def _without_comments(tokens: list[Token]) -> list[Token]:
    """Leave out comments, and paragraphs in which nothing else stands."""
    kept: list[Token] = []
    for token in tokens:
        if token.type == "inline" and token.children:
            token.children = [each for each in token.children if not _is_comment(each)]
            if all(each.type == "softbreak" for each in token.children):
                token.children = []
        if token.type == "paragraph_close" and not kept[-1].children:
            del kept[-2:]
        else:
            kept.append(token)
    return kept


def _is_comment(token: Token) -> bool:
    return token.type == "html_inline" and _COMMENT.fullmatch(token.content) is not None


def _name_headings(tokens: Sequence[Token]) -> None:
    used: dict[str, int] = {}
    for opening, inline in itertools.pairwise(tokens):
        if opening.type != "heading_open":
            continue
        title = "".join(
            child.content
            for child in inline.children or []
            if child.type in {"text", "code_inline"}
        )
        name = slug(title)
        used[name] = used.get(name, 0) + 1
        number = used[name]
        opening.attrSet("id", name if number == 1 else f"{name}-{number - 1}")


def _align(token: Token) -> None:
    # The pages allow no inline styles.
    style = token.attrGet("style")
    if isinstance(style, str) and style.startswith("text-align:"):
        del token.attrs["style"]
        token.attrSet("class", style.removeprefix("text-align:"))


def _rewrite(token: Token, address: Address) -> None:
    for attribute in ("href", "src"):
        target = token.attrGet(attribute)
        if not isinstance(target, str):
            continue
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            if attribute == "href":
                token.attrSet("rel", "noopener noreferrer nofollow")
        elif parts.path and not parts.path.startswith("/"):
            fragment = f"#{parts.fragment}" if parts.fragment else ""
            token.attrSet(attribute, address(parts.path) + fragment)


def _tag(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    content = tokens[index].content
    return content if _PLAIN_TAG.fullmatch(content) else escape(content)


def _table_open(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    # A wide table scrolls by itself, not the page.
    return '<div class="scroll"><table>\n'


def _table_close(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    return "</table></div>\n"
