"""tokenizer.json and tokenizer_config.json, parsed, without the tokenizers library."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mbrelease.checkpoints.normalize import SPECIAL_TOKENS
from mbrelease.checkpoints.source import Source
from mbrelease.errors import UserError
from mbrelease.files import parse_json

UNUSED = re.compile(r"\[unused\d+\]|<unused\d+>")
"""Slots for tokens of one's own; ModernBERT has 83."""
FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")
"""Of an added token. ``lstrip``: it takes the spaces before it; ``rstrip``: those after it."""


@dataclass(frozen=True)
class TokenizerFiles:
    """What the two files say."""

    data: bytes
    """tokenizer.json as it stands."""
    content: Mapping[str, Any]
    """tokenizer.json."""
    settings: Mapping[str, Any]
    """tokenizer_config.json."""
    ids: Mapping[str, int]
    """Token to id: the model's vocabulary and the added tokens of both files."""
    added: Mapping[str, Mapping[str, Any]]
    """The added tokens of tokenizer.json: ``id`` and ``FLAGS`` by token."""
    declared: Mapping[str, Mapping[str, Any]]
    """Those of tokenizer_config.json, which transformers lays over the others."""
    merges: Sequence[tuple[str, ...]]
    """The pairs that BPE merges, in their order; empty for other models."""

    def special(self, role: str) -> str | None:
        """The token of a role such as ``mask_token``, if it has one."""
        return _content(self.settings.get(role))

    @property
    def specials(self) -> dict[str, str]:
        """The token of each role that has one."""
        found = {role: self.special(role) for role in SPECIAL_TOKENS}
        return {role: token for role, token in found.items() if token is not None}

    def flag(self, token: str, name: str) -> bool:
        """A flag of an added token as transformers has it; ``False`` for any other token."""
        entry = self.declared.get(token) or self.added.get(token) or {}
        return entry.get(name) is True


def read_tokenizer(source: Source) -> TokenizerFiles:
    """Read both files of a checkpoint.

    Raises:
        UserError: one is missing, is not JSON, or is not a tokenizer's.
    """
    data, content = _read(source, "tokenizer.json")
    _, settings = _read(source, "tokenizer_config.json")
    try:
        added = {str(entry["content"]): entry for entry in content.get("added_tokens") or []}
        decoder = settings.get("added_tokens_decoder") or {}
        declared = {
            str(entry["content"]): {**entry, "id": int(key)} for key, entry in decoder.items()
        }
        ids = _vocabulary(content)
        ids |= {token: int(entry["id"]) for token, entry in added.items()}
        ids = {token: entry["id"] for token, entry in declared.items()} | ids
        merges = _merges(content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        place = source.path / "tokenizer.json"
        raise UserError(f"{place} is not a tokenizer: {error!r}") from error
    return TokenizerFiles(data, content, settings, ids, added, declared, merges)


def filled_slots(mine: TokenizerFiles, theirs: TokenizerFiles) -> dict[str, str]:
    """The parent's [unusedN] tokens whose ids have new tokens now."""
    tokens = {index: token for token, index in mine.ids.items() if token not in theirs.ids}
    slots = {token: index for token, index in theirs.ids.items() if UNUSED.fullmatch(token)}
    return {
        slot: tokens[index]
        for slot, index in slots.items()
        if slot not in mine.ids and index in tokens
    }


def _read(source: Source, name: str) -> tuple[bytes, Mapping[str, Any]]:
    place = source.path / name
    data = source.companion(name)
    if data is None:
        raise UserError(f"{place} does not exist")
    content = parse_json(data, place)
    if not isinstance(content, dict):
        raise UserError(f"{place}: not a JSON object")
    return data, content


def _vocabulary(content: Mapping[str, Any]) -> dict[str, int]:
    vocabulary = content["model"]["vocab"]
    if isinstance(vocabulary, list):  # Unigram: pairs of token and score
        return {str(token): index for index, (token, _) in enumerate(vocabulary)}
    return {str(token): int(index) for token, index in vocabulary.items()}


def _merges(content: Mapping[str, Any]) -> list[tuple[str, ...]]:
    # Older files write "a b", newer ones ["a", "b"].
    merges = content["model"].get("merges") or []
    pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in merges)
    return [tuple(map(str, pair)) for pair in pairs]


def _content(token: object) -> str | None:
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) else None
