"""The tokenizer's files: there, inside the embedding matrix, and the parent's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.checkpoints.config import ModernBertConfig
from mbrelease.checkpoints.normalize import CLASS_OF_5X, SPECIAL_TOKENS
from mbrelease.errors import UserError
from mbrelease.parity.checks.encoding import check_encoding
from mbrelease.parity.checks.tokenizer_parent import check_against_parent
from mbrelease.parity.report import (
    CheckResult,
    failed,
    graded,
    passed,
    shortened,
    skipped,
    warned,
)
from mbrelease.parity.tokenizer_file import (
    FLAGS,
    UNUSED,
    TokenizerFiles,
    filled_slots,
    read_tokenizer,
)

SAVE_AGAIN = "save the tokenizer beside the weights: tokenizer.save_pretrained(folder)"
# Vocabularies are padded to a multiple of 64, 128 or at most 512 rows.
MOST_PADDING = 511
SAME_IN_MODERNBERT = (("bos_token", "cls_token"), ("eos_token", "sep_token"))


def check_tokenizer(
    checkpoint: Checkpoint,
    config: ModernBertConfig | None,
    *,
    publishable: bool,
    parent: Checkpoint | None = None,
    new_vocabulary: bool = False,
) -> list[CheckResult]:
    """Ask everything that the tokenizer's files can answer; torch is not needed.

    Args:
        checkpoint: whose tokenizer it is.
        config: its config, where that can be read.
        publishable: see ``graded``.
        parent: whose tokenizer it should be.
        new_vocabulary: what is declared of the model allows it another vocabulary.
    """
    try:
        mine = read_tokenizer(checkpoint)
    except UserError as error:
        expected = "tokenizer.json and tokenizer_config.json"
        name = "tokenizer.files"
        return [failed(name, expected=expected, found=error.message, mend=SAVE_AGAIN)]
    theirs, unreadable = _of_parent(parent)
    results = [
        passed("tokenizer.files", f"{len(mine.ids):,} tokens"),
        check_class(mine.settings, publishable=publishable),
        check_special(mine, checkpoint.raw_config),
        check_pairs(mine, checkpoint.raw_config),
        check_added(mine),
        check_mask(mine, theirs),
    ]
    if config is not None:
        results.append(check_ids(mine, config))
        results.append(check_unused(mine, theirs, config))
        results.append(check_length(mine, theirs, config))
    if theirs is not None:
        results += check_against_parent(mine, theirs, allowed=new_vocabulary)
    results += unreadable
    compared = None if new_vocabulary and theirs and theirs.ids != mine.ids else theirs
    return results + check_encoding(mine, compared, config)


def _of_parent(parent: Checkpoint | None) -> tuple[TokenizerFiles | None, list[CheckResult]]:
    if parent is None:
        return None, []
    try:
        return read_tokenizer(parent), []
    except UserError as error:
        expected = "the parent's tokenizer"
        return None, [skipped("tokenizer.parent", expected=expected, reason=error.message)]


def check_class(settings: Mapping[str, Any], *, publishable: bool) -> CheckResult:
    """A class that both generations know; 5.x writes ``TokenizersBackend``, which 4.x refuses."""
    name, expected = "tokenizer.class", "a class that 4.x and 5.x know"
    found = settings.get("tokenizer_class")
    extra = settings.get("extra_special_tokens")
    if isinstance(extra, list):
        return graded(
            publishable,
            name,
            expected=expected,
            found="extra_special_tokens is a list, which 4.x cannot load",
            mend="rename it additional_special_tokens (mbrelease release does)",
        )
    if found != CLASS_OF_5X:
        return passed(name, "not stated" if found is None else str(found), expected)
    return graded(
        publishable,
        name,
        expected=expected,
        found=f"{found}, which 4.x refuses",
        mend='write "tokenizer_class": "PreTrainedTokenizerFast" (mbrelease release does)',
    )


def check_special(mine: TokenizerFiles, raw: Mapping[str, Any]) -> CheckResult:
    """Each special token is in the vocabulary, under the id that config.json gives it."""
    faults, said = [], []
    for role, token in mine.specials.items():
        declared = raw.get(f"{role}_id")
        if token not in mine.ids:
            faults.append(f"{role} {token} is not in the vocabulary")
        elif type(declared) is int and declared != mine.ids[token]:
            faults.append(f"{role} {token} is {mine.ids[token]}, config.json says {declared}")
        else:
            said.append(f"{token} {mine.ids[token]}")
    if mine.special("mask_token") is None:
        faults.append("there is no mask_token")
    expected = "the ids of config.json"
    if not faults:
        return passed("tokenizer.special", ", ".join(said), expected)
    return failed(
        "tokenizer.special",
        expected=expected,
        found="; ".join(faults),
        mend="correct the *_token_id keys in config.json, or take the tokenizer it trained with",
    )


def check_pairs(mine: TokenizerFiles, raw: Mapping[str, Any]) -> CheckResult:
    """bos is cls, and eos is sep: in ModernBERT one token has both roles."""
    name, expected = "tokenizer.pairs", "bos is cls and eos is sep, as in ModernBERT"
    ids = {role: _id_of(role, mine, raw) for role in SPECIAL_TOKENS}
    apart = [
        f"{one} {ids[one]}, {other} {ids[other]}"
        for one, other in SAME_IN_MODERNBERT
        if ids[one] is not None and ids[other] is not None and ids[one] != ids[other]
    ]
    if not apart:
        return passed(name, expected)
    return warned(
        name,
        expected=expected,
        found="; ".join(apart),
        mend="give both the same token and id, unless it was trained so",
    )


def check_added(mine: TokenizerFiles) -> CheckResult:
    """Both files say the same of an added token: transformers goes by tokenizer_config.json."""
    name, expected = "tokenizer.added", "added tokens are alike in both files"
    faults = [
        f"{token} {key} {_word(theirs[key])} in tokenizer_config.json, {_word(entry.get(key))} "
        "in tokenizer.json"
        for token, theirs in mine.declared.items()
        if (entry := mine.added.get(token)) is not None
        for key in ("id", *FLAGS)
        if key in theirs and theirs[key] != entry.get(key)
    ]
    if faults:
        return failed(
            name,
            expected=expected,
            found=shortened(faults),
            mend="save it again with transformers, which writes both; other engines read "
            "tokenizer.json alone",
        )
    known = [*mine.declared, *(token for token in mine.specials.values() if token in mine.ids)]
    absent = [token for token in dict.fromkeys(known) if token not in mine.added]
    if not absent:
        return passed(name, f"{len(mine.added)} added tokens", expected)
    return warned(
        name,
        expected=expected,
        found=f"not added tokens in tokenizer.json: {shortened(absent)}",
        mend="save it again with transformers; other engines cut these tokens into pieces",
    )


def check_mask(mine: TokenizerFiles, theirs: TokenizerFiles | None) -> CheckResult:
    """Whether [MASK] takes the space before it (``lstrip``), as the model was trained."""
    name, token = "tokenizer.mask", mine.special("mask_token")
    expected = "a mask token, with the parent's lstrip"
    if token is None:
        return skipped(name, expected=expected, reason="there is no mask_token")
    takes = mine.flag(token, "lstrip")
    said = f"{token} {'takes' if takes else 'leaves'} the space before it"
    parents = theirs.special("mask_token") if theirs is not None else None
    if theirs is None or parents is None:
        as_modernbert = "" if takes else "; ModernBERT's own takes it"
        return passed(name, f"{said} (lstrip {_word(takes)}{as_modernbert})", expected)
    if theirs.flag(parents, "lstrip") == takes:
        return passed(name, f"{said}, as the parent's", expected)
    return failed(
        name,
        expected=f"lstrip {_word(not takes)}, as the parent's {parents}",
        found=f"lstrip {_word(takes)}: {said}",
        mend="set lstrip of the mask token as in the parent's tokenizer.json",
    )


def check_ids(mine: TokenizerFiles, config: ModernBertConfig) -> CheckResult:
    """Every token has a row in the embedding matrix."""
    highest = max(mine.ids.values(), default=-1)
    expected = f"ids below vocab_size {config.vocab_size}"
    if highest < config.vocab_size:
        return passed("tokenizer.ids", f"the highest id is {highest}", expected)
    outside = [token for token, index in mine.ids.items() if index >= config.vocab_size]
    return failed(
        "tokenizer.ids",
        expected=expected,
        found=f"{len(outside)} tokens have no embedding: {shortened(outside)}",
        mend="take the tokenizer it trained with; a text with these tokens stops the model",
    )


def check_unused(
    mine: TokenizerFiles, theirs: TokenizerFiles | None, config: ModernBertConfig
) -> CheckResult:
    """Rows of the embedding that no text reaches: [unusedN] tokens, and ids without a token."""
    name = "tokenizer.unused"
    slots = sum(1 for token in mine.ids if UNUSED.fullmatch(token))
    rows = config.vocab_size - len({i for i in mine.ids.values() if i < config.vocab_size})
    found = f"{slots} [unusedN] tokens, {rows} rows without a token"
    expected = f"at most {MOST_PADDING} rows without a token"
    if rows > MOST_PADDING:
        mend = "take the tokenizer it trained with: no padding leaves so many rows"
        return warned(name, expected=expected, found=found, mend=mend)
    filled = filled_slots(mine, theirs) if theirs is not None else {}
    if not filled:
        return passed(name, found, expected)
    listed = shortened(f"{token} for {slot}" for slot, token in filled.items())
    return warned(
        name,
        expected="the parent's [unusedN] tokens",
        found=f"{found}; {len(filled)} given to new tokens: {listed}",
        mend="say so in the card; their rows mean nothing unless this model trained them",
    )


def check_length(
    mine: TokenizerFiles, theirs: TokenizerFiles | None, config: ModernBertConfig
) -> CheckResult:
    """Texts are cut where the model's positions end, not later, nor earlier than the parent's."""
    name, positions = "tokenizer.length", config.max_position_embeddings
    length = mine.settings.get("model_max_length")
    expected = f"model_max_length at most {positions}"
    if type(length) is not int or not 0 < length <= positions:
        # Unset, transformers writes 10**30, at times as a float.
        unlimited = length is None or (isinstance(length, int | float) and length > 10**9)
        found = "no limit" if unlimited else f"{length!r}"
        mend = f'write "model_max_length": {positions} (mbrelease release does)'
        return warned(name, expected=expected, found=found, mend=mend)
    longer = theirs.settings.get("model_max_length") if theirs is not None else None
    if type(longer) is int and length < longer <= positions:
        found = f"{length}, where the parent's is {longer} and the model has {positions} positions"
        mend = f'write "model_max_length": {longer}, unless it was trained on shorter texts'
        return warned(name, expected=expected, found=found, mend=mend)
    return passed(name, str(length), expected)


def _id_of(role: str, mine: TokenizerFiles, raw: Mapping[str, Any]) -> int | None:
    declared = raw.get(f"{role}_id")
    if type(declared) is int:
        return declared
    return mine.ids.get(mine.specials.get(role, ""))


def _word(value: object) -> str:
    return str(value).lower()
