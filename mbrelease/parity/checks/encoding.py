"""What the tokenizer does with the fixed texts: there and back, and as the parent's does.

The library ``tokenizers`` is asked itself, without transformers: it is what every engine uses.
"""

from __future__ import annotations

import importlib.util
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mbrelease.checkpoints.config import ModernBertConfig
from mbrelease.errors import MissingExtra
from mbrelease.parity.report import CheckResult, failed, passed, shortened, skipped, warned
from mbrelease.parity.texts import TEXTS
from mbrelease.parity.tokenizer_file import TokenizerFiles

NAME = "tokenizer.encoding"
LIBRARY = "tokenizers"
TAKE_THE_PARENTS = "take the parent's tokenizer, or train and declare this one"
SHOWN_CHARACTERS = 24
SHOWN_ERROR = 200

Return = Literal["whole", "words", "lost"]


@dataclass(frozen=True)
class Encoded:
    """One text: its ids between special tokens, its ids alone, and the text of the latter."""

    text: str
    framed: tuple[int, ...]
    ids: tuple[int, ...]
    decoded: str


def check_encoding(
    mine: TokenizerFiles, theirs: TokenizerFiles | None, config: ModernBertConfig | None
) -> list[CheckResult]:
    """Encode and decode ``TEXTS``.

    Args:
        mine: the tokenizer.
        theirs: the parent's, which must do the same.
        config: says how many rows the embedding matrix has.
    """
    expected = f"{len(TEXTS)} texts encoded and decoded"
    if importlib.util.find_spec(LIBRARY) is None:
        reason = MissingExtra("eval", LIBRARY).message
        return [skipped(NAME, expected=expected, reason=reason)]
    try:
        found = encode(mine.data)
    except ValueError as error:
        mend = "save the tokenizer again, with the library's own save"
        return [failed(NAME, expected=expected, found=f"cannot be read: {error}", mend=mend)]
    parents = _of_parent(found, mine, theirs)
    answer = _outside(found, config) or _compared(found, parents)
    answer = answer or check_return(found, mine, same_as_parent=parents is not None)
    return [check_template(found, mine), answer]


def encode(data: bytes, texts: Sequence[str] = TEXTS) -> list[Encoded]:
    """What the tokenizer in ``data``, a tokenizer.json, makes of ``texts``, uncut and unpadded.

    Raises:
        ValueError: the library cannot read ``data``, or stumbles over what it says.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_buffer(data)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return [_encoded(tokenizer, text) for text in texts]
    except BaseException as error:
        # A panic of the library's Rust code is no Exception, and not to be imported by name.
        if type(error).__name__ == "PanicException" or isinstance(error, Exception):
            raise ValueError(" ".join(str(error).split())[:SHOWN_ERROR]) from error
        raise


def _encoded(tokenizer: Any, text: str) -> Encoded:
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    decoded = tokenizer.decode(ids, skip_special_tokens=False)
    framed = tokenizer.encode(text, add_special_tokens=True).ids
    return Encoded(text, tuple(framed), tuple(ids), decoded)


def check_template(found: Sequence[Encoded], mine: TokenizerFiles) -> CheckResult:
    """A text begins with cls (or bos) and ends with sep (or eos)."""
    name = "tokenizer.template"
    roles = mine.specials
    ends = [
        [roles[role] for role in pair if role in roles]
        for pair in (("cls_token", "bos_token"), ("sep_token", "eos_token"))
    ]
    first, last = ({mine.ids.get(token) for token in tokens} for tokens in ends)
    if not first or not last:
        reason = "tokenizer_config.json names no cls or no sep token"
        return skipped(name, expected="a text between cls and sep", reason=reason)
    expected = f"{ends[0][0]} text {ends[1][0]}"
    bare = [
        one for one in found if not one.framed or one.framed[0] not in first
        or one.framed[-1] not in last or one.framed[1:-1] != one.ids
    ]  # fmt: skip
    if not bare:
        return passed(name, expected)
    return warned(
        name,
        expected=expected,
        found=f"{_quoted(bare[0].text)} is {_listed(bare[0].framed)}",
        mend="give tokenizer.json a post_processor that puts them there, as ModernBERT's does, "
        "unless it was trained without",
    )


def check_return(
    found: Sequence[Encoded], mine: TokenizerFiles, *, same_as_parent: bool
) -> CheckResult:
    """Every text comes back: byte for byte from a byte-level tokenizer, else by its words."""
    strict = is_byte_level(mine.content) and _keeps_characters(mine.content)
    returns = {one: returned(one, mine) for one in found}
    expected = "the texts come back" + (" byte for byte" if strict else ", all words of them")
    bad = [one for one in found if returns[one] == "lost" or (strict and returns[one] != "whole")]
    also = ", as from the parent's" if same_as_parent else ""
    tokens = sum(len(one.ids) for one in found)
    if not bad:
        return passed(NAME, f"{len(found)} texts, {tokens:,} tokens{also}", expected)
    listed = shortened(f"{_quoted(one.text)} as {_quoted(one.decoded)}" for one in bad)
    said = f"{len(bad)} of {len(found)} come back otherwise{also}: {listed}"
    # English is in every vocabulary; other scripts may be left out on purpose.
    plain = [one for one in bad if one.text.isascii()]
    if plain and not same_as_parent:
        mend = "take the tokenizer it trained with: decoding must undo encoding"
        return failed(NAME, expected=expected, found=said, mend=mend)
    mend = "say in the card which texts it cannot represent"
    return warned(NAME, expected=expected, found=said, mend=mend)


def returned(one: Encoded, mine: TokenizerFiles) -> Return:
    """How a text comes back; a special token in it may take the spaces around it."""
    text = unicodedata.normalize("NFC", one.text)
    decoded = unicodedata.normalize("NFC", one.decoded)
    prefixed = " " + text if not text.startswith(" ") else text
    if decoded in (one.text, text, prefixed):
        return "whole"
    if _squashed(text) not in _squashed(decoded):
        return "lost"
    takes_spaces = any(
        token in text and (entry.get("lstrip") or entry.get("rstrip"))
        for token, entry in mine.added.items()
    )
    return "whole" if takes_spaces else "words"


def is_byte_level(content: Mapping[str, Any]) -> bool:
    """Whether the tokens are of bytes, so that any text can be given back."""
    decoder = content.get("decoder") or {}
    steps = decoder.get("decoders", [decoder]) if isinstance(decoder, Mapping) else []
    return any(isinstance(step, Mapping) and step.get("type") == "ByteLevel" for step in steps)


def _keeps_characters(content: Mapping[str, Any]) -> bool:
    normalizer = content.get("normalizer")
    return normalizer is None or normalizer == {"type": "NFC"}


def _of_parent(
    found: Sequence[Encoded], mine: TokenizerFiles, theirs: TokenizerFiles | None
) -> Sequence[Encoded] | None:
    if theirs is None or theirs.data == mine.data:
        return None if theirs is None else found
    try:
        return encode(theirs.data)
    except ValueError:
        return None  # what the library cannot read is no measure


def _compared(found: Sequence[Encoded], parents: Sequence[Encoded] | None) -> CheckResult | None:
    """A failure where the parent's tokenizer does otherwise; ``None`` where it does the same."""
    pairs = zip(found, parents or found, strict=True)
    other = [(one, parent) for one, parent in pairs if one != parent]
    if not other:
        return None
    one, parent = other[0]
    such = f"{_quoted(one.text)}: {_apart(one, parent)}"
    return failed(
        NAME,
        expected="the parent's ids and texts",
        found=f"{len(other)} of {len(found)} differ, such as {such}",
        mend=TAKE_THE_PARENTS,
    )


def _apart(one: Encoded, parent: Encoded) -> str:
    if one.framed == parent.framed:
        return f"decoded {_quoted(one.decoded)} (parent {_quoted(parent.decoded)})"
    return f"{_listed(one.framed)} (parent {_listed(parent.framed)})"


def _outside(found: Sequence[Encoded], config: ModernBertConfig | None) -> CheckResult | None:
    if config is None:
        return None
    rows = config.vocab_size
    beyond = [(one, max(one.framed)) for one in found if max(one.framed, default=0) >= rows]
    if not beyond:
        return None
    one, highest = beyond[0]
    return failed(
        NAME,
        expected=f"ids below vocab_size {rows}",
        found=f"{len(beyond)} texts have an id without a row, {_quoted(one.text)} {highest}",
        mend="take the tokenizer it trained with; such a text stops the model",
    )


def _squashed(text: str) -> str:
    """``text`` without what a normalizer may change: case, accents, compatibility forms, spaces."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in apart if not unicodedata.combining(c) and not c.isspace())


def _quoted(text: str) -> str:
    short = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
    return repr(short)


def _listed(ids: Sequence[int]) -> str:
    shown = ", ".join(map(str, ids[:8]))
    return f"[{shown}, …]" if len(ids) > 8 else f"[{shown}]"
