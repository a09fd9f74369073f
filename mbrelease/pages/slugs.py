"""The names of headings in addresses, such as ``#how-to-use``.

The Hub names them as GitHub does ("Mistral 7B v0.1 - GGUF" is ``mistral-7b-v01---gguf`` there), so
a contents list that works here works there. The rule is that of github-slugger
(https://github.com/Flet/github-slugger): lower case, without punctuation, symbols, and what nobody
sees, and each space a hyphen. Nothing is trimmed and nothing runs together.
"""

from __future__ import annotations

import unicodedata

_REMOVED = frozenset({"No", "Cc", "Cf", "Cn", "Co", "Cs"})
_REMOVED_FIRST = frozenset("SZ")  # every symbol and separator
_CONNECTOR = "Pc"  # the underscore and its kin, the only punctuation that stays


def slug(title: str) -> str:
    """The name of a heading, were it the only one of its title."""
    return "".join(_kept(character) for character in title.lower()).replace(" ", "-")


def _kept(character: str) -> str:
    if character in " -":
        return character
    category = unicodedata.category(character)
    if category == "So" and _is_circled_letter(character):
        return character
    removed = (
        category in _REMOVED
        or category[0] in _REMOVED_FIRST
        or (category[0] == "P" and category != _CONNECTOR)
    )
    return "" if removed else character


def _is_circled_letter(character: str) -> bool:
    # Unicode counts these symbols as alphabetic.
    code = ord(character)
    return (
        0x24B6 <= code <= 0x24E9
        or 0x1F130 <= code <= 0x1F149
        or 0x1F150 <= code <= 0x1F169
        or 0x1F170 <= code <= 0x1F189
    )


class Slugs:
    """The names of the headings of one page; a name that was given is given with a number."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def name(self, title: str) -> str:
        """The name of the next heading."""
        first = found = slug(title)
        while found in self._given:
            self._given[first] += 1
            found = f"{first}-{self._given[first]}"
        self._given[found] = 0
        return found
