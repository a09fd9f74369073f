"""The text of a model card as HTML that is safe to show."""

from __future__ import annotations

import re
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mbrelease.errors import MissingExtra
from mbrelease.pages.addresses import Addresses
from mbrelease.pages.clean import cleaned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

# The Hub sets mathematics between these; here it stays the text that it is.
_MATHEMATICS = re.compile(r"\$\$.+?\$\$|\\\\\(.+?\\\\\)|\\\\\[.+?\\\\\]", re.DOTALL)
_FOOTNOTE = re.compile(r"\[\^([^\]\s]+)\]:[ \t]+")
_FOOTNOTE_MARK = re.compile(r"\[\^([^\]\s]+)\]")
_UNSAFE_IN_NAME = re.compile(r"[^\w.-]+")
# The colours are no help in a block as long as this, and take seconds.
_MAX_COLOURED = 20_000


def render(text: str, addresses: Addresses) -> str:
    """Render the body of a card, in GitHub's Markdown, as the Hub does.

    HTML in it is kept as far as it can do no harm; comments are left out. A picture that is not
    shown is a placeholder that says why.

    Raises:
        MissingExtra: the extra [preview] is not installed.
    """
    return cleaned(_parser().render(text, {}), addresses)


def _parser() -> MarkdownIt:
    if find_spec("markdown_it") is None:
        raise MissingExtra("preview", "showing a card as a page")
    from markdown_it import MarkdownIt

    options = {"html": True, "highlight": _coloured}
    parser = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    # Which links and pictures are shown is decided once, where the HTML is cleaned.
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    parser.inline.ruler.before("escape", "mathematics", _mathematics)
    parser.inline.ruler.before("link", "footnote_mark", _footnote_mark)
    parser.block.ruler.before("reference", "footnote", _footnote, {"alt": ["paragraph"]})
    parser.add_render_rule("mathematics", _show_mathematics)
    return parser


def _mathematics(state: StateInline, silent: bool) -> bool:
    match = _MATHEMATICS.match(state.src, state.pos)
    if match is None:
        return False
    if not silent:
        state.push("mathematics", "", 0).content = match[0]
    state.pos = match.end()
    return True


def _show_mathematics(
    _renderer: RendererHTML, tokens: Sequence[Token], index: int, _options: Any, _env: Any
) -> str:
    return f'<code class="math">{escape(tokens[index].content)}</code>'


def _footnote(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """``[^1]: text``, up to a blank line, where it stands."""
    if state.is_code_block(start):
        return False
    match = _FOOTNOTE.match(state.src, state.bMarks[start] + state.tShift[start])
    if match is None or match.end() > state.eMarks[start]:
        return False
    if silent:
        return True
    line = start + 1
    while line < end and not state.isEmpty(line) and not _begins_footnote(state, line):
        line += 1
    name = _name(match[1])
    opening = state.push("paragraph_open", "p", 1)
    opening.attrs = {"class": "footnote", "id": f"fn-{name}"}
    opening.map = [start, line]
    inline = state.push("inline", "", 0)
    inline.content = state.src[match.end() : state.eMarks[line - 1]].strip()
    # The mark leads back to where it stands in the text.
    inline.content = f'<sup><a href="#fnref-{name}">{escape(match[1])}</a></sup> {inline.content}'
    inline.map, inline.children = [start, line], []
    state.push("paragraph_close", "p", -1)
    state.env.setdefault("footnotes", set()).add(match[1])
    state.line = line
    return True


def _begins_footnote(state: StateBlock, line: int) -> bool:
    return _FOOTNOTE.match(state.src, state.bMarks[line] + state.tShift[line]) is not None


def _footnote_mark(state: StateInline, silent: bool) -> bool:
    match = _FOOTNOTE_MARK.match(state.src, state.pos)
    if match is None or match[1] not in state.env.get("footnotes", ()):
        return False
    if not silent:
        name = _name(match[1])
        mark = state.push("html_inline", "", 0)
        mark.content = f'<sup><a id="fnref-{name}" href="#fn-{name}">{escape(match[1])}</a></sup>'
    state.pos = match.end()
    return True


def _name(label: str) -> str:
    return _UNSAFE_IN_NAME.sub("-", label)


def _coloured(code: str, language: str, _attributes: str) -> str:
    """A block of code with its words marked by kind; empty where they are not."""
    if not language or len(code) > _MAX_COLOURED or find_spec("pygments") is None:
        return ""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language.strip(), stripnl=False)
    except ClassNotFound:
        return ""
    shown: str = highlight(code, lexer, HtmlFormatter(nowrap=True, classprefix="t-"))
    return shown
