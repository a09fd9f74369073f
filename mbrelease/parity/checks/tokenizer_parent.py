"""The tokenizer beside the parent's: tokens, merges, roles and rules, each by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mbrelease.checkpoints.normalize import SPECIAL_TOKENS
from mbrelease.files import sha256_bytes
from mbrelease.parity.report import CheckResult, failed, passed, shortened, warned
from mbrelease.parity.tokenizer_file import FLAGS, TokenizerFiles, filled_slots

# The parts of tokenizer.json that decide how a text is cut, beside the vocabulary itself.
RULES = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
# What a call chose last, and the file kept.
LAST_CALL = ("truncation", "padding")
VOCABULARY = frozenset({"vocab", "merges"})
TAKE_THE_PARENTS = "take the parent's tokenizer, or train and declare this one"

Pass = Callable[[str, str, str], CheckResult]


def check_against_parent(
    mine: TokenizerFiles, theirs: TokenizerFiles, *, allowed: bool
) -> list[CheckResult]:
    """Say that it is the parent's, or exactly how it differs.

    Where the files are the same byte for byte, the vocabulary and merges need no check.

    Args:
        mine: the tokenizer.
        theirs: the parent's.
        allowed: another tokenizer is declared, so that differences are told and fail nothing.
    """
    results = [check_parent(mine, theirs, allowed=allowed)]
    if mine.data != theirs.data:
        results.append(check_vocabulary(mine, theirs, allowed=allowed))
        results.append(check_merges(mine, theirs, allowed=allowed))
    results.append(check_roles(mine, theirs, allowed=allowed))
    return results


def check_parent(mine: TokenizerFiles, theirs: TokenizerFiles, *, allowed: bool) -> CheckResult:
    """The parent's file, byte for byte, or which of its rules differ."""
    name, expected = "tokenizer.parent", "the parent's tokenizer.json"
    if mine.data == theirs.data:
        return passed(name, f"the same file, sha256 {sha256_bytes(mine.data)[:12]}", expected)
    rules = [f"another {rule}" for rule in RULES if _differ(rule, mine, theirs)]
    rules += [f"another {option} of the model" for option in _options(mine, theirs)]
    rules += _other_flags(mine, theirs)
    left = [f"another {part}" for part in LAST_CALL if _differ(part, mine, theirs)]
    if rules:
        return _judged(name, expected, shortened(rules + left, shown=6), allowed)
    if left:
        mend = "set them to null: a call left them there"
        return warned(name, expected=expected, found="; ".join(left), mend=mend)
    return passed(name, "the same rules in another file", expected)


def check_vocabulary(mine: TokenizerFiles, theirs: TokenizerFiles, *, allowed: bool) -> CheckResult:
    """Each of the parent's tokens under its id; [unusedN] tokens with a new use are told apart."""
    name, expected = "tokenizer.vocabulary", f"the parent's {len(theirs.ids):,} tokens"
    filled = filled_slots(mine, theirs)
    told = {*filled, *filled.values()}
    added = [token for token in mine.ids if token not in theirs.ids and token not in told]
    lost = [token for token in theirs.ids if token not in mine.ids and token not in told]
    moved = [
        f"{token} {index} (parent {theirs.ids[token]})"
        for token, index in mine.ids.items()
        if theirs.ids.get(token, index) != index
    ]
    counted = (("added", added), ("lost", lost), ("with another id", moved))
    found = "; ".join(f"{len(some)} {how}: {shortened(some)}" for how, some in counted if some)
    if not found:
        return passed(name, "the same tokens under the same ids", expected)
    return _judged(name, expected, found, allowed)


def check_merges(mine: TokenizerFiles, theirs: TokenizerFiles, *, allowed: bool) -> CheckResult:
    """The parent's merges in the parent's order, which decides how a word is cut."""
    name, expected = "tokenizer.merges", f"the parent's {len(theirs.merges):,} merges"
    if list(mine.merges) == list(theirs.merges):
        return passed(name, "the same merges in the same order", expected)
    pairs = enumerate(zip(mine.merges, theirs.merges, strict=False), start=1)
    first = next((place for place, (one, other) in pairs if one != other), None)
    own, others = set(mine.merges), set(theirs.merges)
    counted = (("added", len(own - others)), ("lost", len(others - own)))
    parts = [f"{count:,} {how}" for how, count in counted if count] or ["another order"]
    parts += [f"the first to differ is number {first:,}"] if first is not None else []
    return _judged(name, expected, "; ".join(parts), allowed)


def check_roles(mine: TokenizerFiles, theirs: TokenizerFiles, *, allowed: bool) -> CheckResult:
    """The same token, under the same id, as the parent's cls, sep, mask and so on."""
    name, expected = "tokenizer.roles", "the parent's special tokens"
    own, parents = mine.specials, theirs.specials
    said = [
        f"{role} {_token(mine, own[role])} (parent {_token(theirs, parents[role])})"
        for role in SPECIAL_TOKENS
        if role in own
        and role in parents
        and _token(mine, own[role]) != _token(theirs, parents[role])
    ]
    if said:
        return _judged(name, expected, "; ".join(said), allowed)
    lost = [f"no {role} (parent {parents[role]})" for role in parents if role not in own]
    if not lost:
        return passed(name, ", ".join(parents.values()), expected)
    mend = "name them in tokenizer_config.json as the parent does"
    return warned(name, expected=expected, found="; ".join(lost), mend=mend)


def _judged(name: str, expected: str, found: str, allowed: bool) -> CheckResult:
    if allowed:
        return passed(name, f"{found} (another vocabulary is declared)", expected)
    return failed(name, expected=expected, found=found, mend=TAKE_THE_PARENTS)


def _differ(part: str, mine: TokenizerFiles, theirs: TokenizerFiles) -> bool:
    return bool(mine.content.get(part) != theirs.content.get(part))


def _options(mine: TokenizerFiles, theirs: TokenizerFiles) -> list[str]:
    """The settings of the model that differ; what is left out is null or false."""
    own, parents = _model(mine), _model(theirs)
    names = dict.fromkeys([*own, *parents])
    return [name for name in names if (own.get(name) or None) != (parents.get(name) or None)]


def _model(tokenizer: TokenizerFiles) -> dict[str, Any]:
    model: Mapping[str, Any] = tokenizer.content["model"]
    return {name: value for name, value in model.items() if name not in VOCABULARY}


def _other_flags(mine: TokenizerFiles, theirs: TokenizerFiles) -> list[str]:
    """The flags of added tokens that differ, but those of the mask token, which has a check."""
    mask = mine.special("mask_token")
    return [
        f"{token} {flag} {str(mine.flag(token, flag)).lower()}"
        for token in mine.added
        if token in theirs.added and token != mask
        for flag in FLAGS
        if mine.flag(token, flag) != theirs.flag(token, flag)
    ]


def _token(tokenizer: TokenizerFiles, token: str) -> str:
    return f"{token} {tokenizer.ids.get(token, 'without an id')}"
