"""A sentence that is said twice: on the card with its origins, and as plain text in an SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mbrelease.cards.escape import one_line
from mbrelease.cards.told import Origin, Told, phrase
from mbrelease.cards.trace import NUMBER


@dataclass(frozen=True)
class Wording:
    """``pattern`` with each ``{}`` filled by a part; the pattern is plain in both."""

    pattern: str
    parts: tuple[str | Wording, ...] = ()

    @property
    def markup(self) -> Markup:
        """As Markdown, with the origin of each part."""
        return phrase(
            self.pattern, *(p.markup if isinstance(p, Wording) else p for p in self.parts)
        )

    @property
    def plain(self) -> str:
        """As text."""
        pieces = self.pattern.split("{}")
        assert len(pieces) == len(self.parts) + 1, self.pattern
        whole = pieces[0]
        for part, piece in zip(self.parts, pieces[1:], strict=True):
            whole += (part.plain if isinstance(part, Wording) else one_line(part)) + piece
        return whole


def worded(pattern: str, *parts: str | Wording) -> Wording:
    """``Wording``, written like a call of ``phrase``."""
    return Wording(pattern, parts)


def several(parts: Sequence[str | Wording], separator: str = "; ") -> Wording:
    """All of ``parts``, with ``separator`` between them."""
    return Wording(separator.join("{}" for _ in parts), tuple(parts))


def enumerated(parts: Sequence[str | Wording]) -> Wording:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(parts) < 2:
        return several(parts)
    return worded("{} and {}", several(parts[:-1], ", "), parts[-1])


def sourced(sentence: str, origins: Mapping[str, Origin], otherwise: Origin) -> Wording:
    """``sentence`` with an origin for each number in it.

    Args:
        sentence: plain text.
        origins: of numbers, by their text.
        otherwise: of numbers that ``origins`` does not have.
    """
    pieces: list[str] = []
    end = 0
    for found in NUMBER.finditer(sentence):
        told = Told(found[0], origins.get(found[0], otherwise))
        pieces += [sentence[end : found.start()], told]
        end = found.end()
    pieces.append(sentence[end:])
    pattern, parts = "", []
    for piece in pieces:
        bare = piece.strip()
        if bare:  # blanks at the end of a part would be lost
            before = len(piece) - len(piece.lstrip())
            pattern += f"{piece[:before]}{{}}{piece[before + len(bare) :]}"
            parts.append(piece if isinstance(piece, Told) else bare)
        else:
            pattern += piece
    return Wording(pattern, tuple(parts))
