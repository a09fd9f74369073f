"""The HTML of a card, kept to what can do no harm.

What comes in is taken apart and written anew: allowed elements with allowed attributes, each
closed where it must be, and text that is escaped. Nothing is handed on as it was, so it does not
matter whether a browser would have read the input otherwise. Elements whose content a browser
reads by other rules (script, style, svg, math and the like) never come out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser

from mbrelease.pages.addresses import (
    Addresses,
    NoPicture,
    is_elsewhere,
    link_target,
    picture_source,
)
from mbrelease.pages.slugs import Slugs


def _tags(names: str) -> frozenset[str]:
    return frozenset(names.split())


_HEADINGS = _tags("h1 h2 h3 h4 h5 h6")
_BLOCKS = _HEADINGS | _tags("blockquote center details div dl figure hr ol p pre table ul")
_VOID = _tags("br col hr img source wbr")
_ALLOWED = (
    _BLOCKS
    | _VOID
    | _tags(
        "a abbr b bdi bdo caption cite code colgroup dd del dfn dt em figcaption i ins kbd li"
        " mark picture q rp rt ruby s samp small span strike strong sub summary sup tbody td"
        " tfoot th thead tr tt u var"
    )
)
_DROPPED_WHOLE = _tags(
    "iframe math noembed noframes noscript object plaintext script select style svg template"
    " textarea title xmp"
)
# What ends where the next of its kind begins.
_ENDED_BY_ITSELF = _tags("dd dt li p td th tr")
_VERBATIM = _tags("a code pre")
_MAX_DEPTH = 100

_ALIGNS = re.compile(r"left|right|center|justify")
_STYLED_ALIGN = re.compile(r"text-align:\s*(left|right|center)\s*;?")
_NAME = re.compile(r"[\w.:-]{1,200}")
_LENGTH = re.compile(r"\d{1,5}(?:px|%)?")
_COUNT = re.compile(r"\d{1,4}")
_MEDIA = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(?:dark|light)\s*\)")
_CLASS = re.compile(r"(?:language-[\w+#.-]+|t-[a-z0-9]+|math|footnote|note)(?: (?:t-[a-z0-9]+))*")
_ANY = re.compile(r".{0,2000}", re.DOTALL)

_EVERYWHERE = {
    "dir": re.compile("ltr|rtl|auto"),
    "id": _NAME,
    "lang": re.compile(r"[A-Za-z-]{1,35}"),
    "title": _ANY,
    "class": _CLASS,
}
_ATTRIBUTES: dict[str, dict[str, re.Pattern[str]]] = {
    "a": {"name": _NAME},
    "col": {"span": _COUNT},
    "colgroup": {"span": _COUNT},
    "details": {"open": _ANY},
    "img": {"alt": _ANY, "width": _LENGTH, "height": _LENGTH, "align": _ALIGNS},
    "li": {"value": _COUNT},
    "ol": {"start": _COUNT, "reversed": _ANY},
    "source": {"media": _MEDIA},
    "td": {"colspan": _COUNT, "rowspan": _COUNT},
    "th": {"colspan": _COUNT, "rowspan": _COUNT},
}

_BARE_LINK = re.compile(r"\bhttps?://[^\s<>\"]+")
_AFTER_LINK = re.compile(r"(?:[.,;:!?*_~'\"]|&(?:amp;)?)+$")
_TASK = re.compile(r"\[([ xX])\] ")
_NOTE = re.compile(r"\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\][ \t]*\n?")

Attributes = list[tuple[str, str | None]]


@dataclass
class _Open:
    """An element that is not closed yet: where it stands in the output, and how it ends."""

    tag: str
    at: int
    end: str


def cleaned(html: str, addresses: Addresses) -> str:
    """``html`` with nothing in it that runs, fetches or reaches beyond itself.

    Headings get the names that the Hub gives them, tables a frame of their own to scroll in.
    """
    cleaner = _Cleaner(addresses)
    cleaner.feed(html)
    cleaner.close()
    return cleaner.html()


class _Cleaner(HTMLParser):
    def __init__(self, addresses: Addresses) -> None:
        super().__init__(convert_charrefs=True)
        self._addresses = addresses
        self._out: list[str] = []
        self._open: list[_Open] = []
        self._slugs = Slugs()
        self._heading: list[str] | None = None
        self._dropping: tuple[str, int] | None = None

    def html(self) -> str:
        """What came out, whole."""
        self._close_down_to(0)
        return "".join(self._out)

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        """Write an element that is allowed, with the attributes that are."""
        if self._dropping is not None:
            name, depth = self._dropping
            self._dropping = (name, depth + (tag == name))
        elif tag in _DROPPED_WHOLE:
            self._dropping = (tag, 1)
        elif tag in _ALLOWED and len(self._open) < _MAX_DEPTH:
            self._end_before(tag)
            self._start(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        """``<br/>``; on an element that has an end the slash says nothing, except if dropped."""
        if tag not in _DROPPED_WHOLE:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """Close the element and what is open in it."""
        is_open = any(each.tag == tag for each in self._open)
        if self._dropping is not None:
            name, depth = self._dropping
            if tag == name:
                self._dropping = None if depth == 1 else (name, depth - 1)
                return
            if not is_open:
                return
            # What is dropped and was never closed ends with what it stands in.
            self._dropping = None
        if is_open:
            while self._open[-1].tag != tag:
                self._close()
            self._close()

    def handle_data(self, data: str) -> None:
        """Write text."""
        if self._dropping is not None:
            return
        if self._heading is not None:
            self._heading.append(data)
        if any(each.tag in _VERBATIM for each in self._open):
            self._out.append(escape(data, quote=False))
        else:
            self._out.append(self._marked(data))

    def _start(self, tag: str, attrs: Attributes) -> None:
        given = {name: value or "" for name, value in reversed(attrs)}
        if tag in {"img", "source"}:
            self._picture(tag, given)
            return
        kept = _kept(tag, given)
        if tag == "a" and "href" in given:
            kept.update(_link(given["href"], self._addresses))
        if tag == "table":
            self._out.append('<div class="scroll">')
        self._open.append(_Open(tag, len(self._out), _END.get(tag, f"</{tag}>")))
        self._out.append(_tag(tag, kept))
        if tag in _VOID:
            self._open.pop()
        elif tag in _HEADINGS:
            self._heading = []

    def _picture(self, tag: str, given: dict[str, str]) -> None:
        kept = _kept(tag, given)
        if tag == "source":
            in_picture = any(each.tag == "picture" for each in self._open)
            # A source for another width or kind would hide the picture that is at hand.
            if not in_picture or "media" not in kept:
                return
        written = given.get("srcset" if tag == "source" else "src", "")
        try:
            kept["srcset" if tag == "source" else "src"] = picture_source(
                written.split()[0] if tag == "source" and written.split() else written,
                self._addresses,
            )
        except NoPicture as reason:
            if tag == "img":
                self._out.append(self._placeholder(written, given.get("alt", ""), str(reason)))
            return
        self._out.append(_tag(tag, kept))

    def _placeholder(self, written: str, alt: str, reason: str) -> str:
        words = f"{alt or 'picture'} ({reason})"
        inside_link = any(each.tag == "a" for each in self._open)
        link = None if inside_link else link_target(written, self._addresses)
        if link is None or not is_elsewhere(link):
            return _tag("span", {"class": "no-picture"}) + escape(words) + "</span>"
        return _tag("a", {"class": "no-picture", **_link(link, self._addresses)}) + (
            escape(words) + "</a>"
        )

    def _marked(self, data: str) -> str:
        """Text with what the Hub makes of it beyond Markdown: links, ticks and notes."""
        before = "".join(self._out[-3:]).rstrip()
        task = _TASK.match(data)
        if task and before.endswith(("<li>", "<li>\n<p>")):
            return ("☐ " if task[1] == " " else "☑ ") + self._linked(data[task.end() :])
        note = _NOTE.match(data)
        if note and before.endswith("<blockquote>\n<p>"):
            head = f'<strong class="note">{note[1].capitalize()}</strong><br>'
            return head + self._linked(data[note.end() :])
        return self._linked(data)

    def _linked(self, data: str) -> str:
        pieces, end = [], 0
        for match in _BARE_LINK.finditer(data):
            address = _without_tail(match[0])
            link = _tag("a", _link(address, self._addresses)) + escape(address) + "</a>"
            pieces += [escape(data[end : match.start()], quote=False), link]
            end = match.start() + len(address)
        return "".join([*pieces, escape(data[end:], quote=False)])

    def _end_before(self, tag: str) -> None:
        if not self._open:
            return
        last = self._open[-1].tag
        if (last == tag and tag in _ENDED_BY_ITSELF) or (last == "p" and tag in _BLOCKS):
            self._close()
        if tag == "a" and any(each.tag == "a" for each in self._open):
            self.handle_endtag("a")

    def _close_down_to(self, depth: int) -> None:
        while len(self._open) > depth:
            self._close()

    def _close(self) -> None:
        last = self._open.pop()
        if last.tag == "p" and not "".join(self._out[last.at + 1 :]).strip():
            del self._out[last.at :]
            return
        if last.tag in _HEADINGS and self._heading is not None:
            name = self._slugs.name("".join(self._heading))
            self._heading = None
            start = self._out[last.at]
            if ' id="' not in start:
                self._out[last.at] = f'<{last.tag} id="{escape(name)}"' + start[1 + len(last.tag) :]
        self._out.append(last.end)


_END = {"table": "</table></div>"}


def _kept(tag: str, given: dict[str, str]) -> dict[str, str]:
    """The attributes that are allowed and have an allowed value."""
    rules: dict[str, re.Pattern[str]] = {**_EVERYWHERE, **_ATTRIBUTES.get(tag, {})}
    kept = {
        name: value
        for name, value in given.items()
        if name in rules and rules[name].fullmatch(value)
    }
    styled = _STYLED_ALIGN.fullmatch(given.get("style", "").strip())
    align = given.get("align", "").strip().lower()
    if tag != "img" and (styled or _ALIGNS.fullmatch(align)):
        kept["class"] = styled[1] if styled else align
    return kept


def _link(written: str, addresses: Addresses) -> dict[str, str]:
    target = link_target(written, addresses)
    if target is None:
        return {}
    outside = {"rel": "noopener noreferrer nofollow"} if is_elsewhere(target) else {}
    return {"href": target, **outside}


def _without_tail(address: str) -> str:
    """A link without the sentence's punctuation, and without a bracket that began before it."""
    address = _AFTER_LINK.sub("", address)
    while address.endswith(")") and address.count(")") > address.count("("):
        address = _AFTER_LINK.sub("", address[:-1])
    return address


def _tag(tag: str, attributes: dict[str, str]) -> str:
    written = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
    return f"<{tag}{written}>"
