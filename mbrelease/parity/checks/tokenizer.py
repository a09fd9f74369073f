"""The tokenizer's files: there, inside the embedding matrix, and the parent's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.checkpoints.config import ModernBertConfig
from mbrelease.checkpoints.normalize import CLASS_OF_5X, SPECIAL_TOKENS
from mbrelease.errors import UserError
from mbrelease.files import read_json
from mbrelease.parity.report import (
    CheckResult,
    failed,
    graded,
    passed,
    shortened,
    skipped,
    warned,
)

SAVE_AGAIN = "save the tokenizer beside the weights: tokenizer.save_pretrained(folder)"
# The parts of tokenizer.json that decide how a text is cut, beside the vocabulary itself.
PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder", "truncation", "padding")


def check_tokenizer(
    checkpoint: Checkpoint, config: ModernBertConfig | None, *, publishable: bool
) -> list[CheckResult]:
    """Ask everything that the tokenizer's files can answer; see ``graded`` on the flag."""
    try:
        content = read_object(checkpoint.path / "tokenizer.json")
        settings = read_object(checkpoint.path / "tokenizer_config.json")
        ids = token_ids(content)
    except (UserError, AttributeError, KeyError, TypeError, ValueError) as error:
        found = error.message if isinstance(error, UserError) else f"tokenizer.json: {error!r}"
        return [
            failed(
                "tokenizer.files",
                expected="tokenizer.json and tokenizer_config.json",
                found=found,
                mend=SAVE_AGAIN,
            )
        ]
    results = [passed("tokenizer.files", f"{len(ids):,} tokens")]
    results.append(check_class(settings, publishable=publishable))
    results.append(check_special(ids, settings, checkpoint.raw_config))
    if config is not None:
        results.append(check_ids(ids, config))
        results.append(check_length(settings, config))
    return results


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


def check_special(
    ids: Mapping[str, int], settings: Mapping[str, Any], raw: Mapping[str, Any]
) -> CheckResult:
    """Each special token is in the vocabulary, under the id that config.json gives it."""
    faults, said = [], []
    for key in SPECIAL_TOKENS:
        token = _content(settings.get(key))
        declared = raw.get(f"{key}_id")
        if token is None:
            continue
        if token not in ids:
            faults.append(f"{key} {token} is not in the vocabulary")
        elif type(declared) is int and declared != ids[token]:
            faults.append(f"{key} {token} is {ids[token]}, config.json says {declared}")
        else:
            said.append(f"{token} {ids[token]}")
    if _content(settings.get("mask_token")) is None:
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


def check_ids(ids: Mapping[str, int], config: ModernBertConfig) -> CheckResult:
    """Every token has a row in the embedding matrix."""
    highest = max(ids.values(), default=-1)
    expected = f"ids below vocab_size {config.vocab_size}"
    if highest < config.vocab_size:
        return passed("tokenizer.ids", f"the highest id is {highest}", expected)
    outside = [token for token, index in ids.items() if index >= config.vocab_size]
    return failed(
        "tokenizer.ids",
        expected=expected,
        found=f"{len(outside)} tokens have no embedding: {shortened(outside)}",
        mend="take the tokenizer it trained with; a text with these tokens stops the model",
    )


def check_length(settings: Mapping[str, Any], config: ModernBertConfig) -> CheckResult:
    """Texts are cut where the model's positions end, and not later."""
    name, positions = "tokenizer.length", config.max_position_embeddings
    length = settings.get("model_max_length")
    expected = f"model_max_length at most {positions}"
    if type(length) is int and 0 < length <= positions:
        return passed(name, str(length), expected)
    # Unset, transformers writes 10**30, at times as a float.
    unlimited = length is None or (isinstance(length, int | float) and length > 10**9)
    found = "no limit" if unlimited else f"{length!r}"
    return warned(
        name,
        expected=expected,
        found=found,
        mend=f'write "model_max_length": {positions} (mbrelease release does)',
    )


def check_against_parent(checkpoint: Checkpoint, parent: Checkpoint) -> CheckResult:
    """The parent's tokenizer, byte for byte, or how it differs."""
    name, expected = "tokenizer.parent", "the parent's tokenizer.json"
    try:
        if checkpoint.tokenizer_sha256 == parent.tokenizer_sha256:
            return passed(name, f"the same file, sha256 {parent.tokenizer_sha256[:12]}", expected)
        mine = read_object(checkpoint.path / "tokenizer.json")
        theirs = read_object(parent.path / "tokenizer.json")
        differences = vocabulary_differences(token_ids(mine), token_ids(theirs))
        parts = [part for part in PARTS if mine.get(part) != theirs.get(part)]
        parts += ["merges"] if _merges(mine) != _merges(theirs) else []
    except (UserError, AttributeError, KeyError, TypeError, ValueError) as error:
        return skipped(name, expected=expected, reason=str(error).split("\n")[0])
    if differences or parts:
        found = "; ".join([*differences, *(f"another {part}" for part in parts)])
        mend = "take the parent's tokenizer, or train and declare this one"
        # Cutting and padding are a caller's choice that the last call left in the file.
        if not differences and set(parts) <= {"truncation", "padding"}:
            return warned(name, expected=expected, found=found, mend="set them to null")
        return failed(name, expected=expected, found=found, mend=mend)
    return passed(name, "the same tokens and rules in another layout", expected)


def vocabulary_differences(mine: Mapping[str, int], theirs: Mapping[str, int]) -> list[str]:
    """How a vocabulary differs from the parent's, in a few words; empty where it does not."""
    added = [token for token in mine if token not in theirs]
    lost = [token for token in theirs if token not in mine]
    moved = [token for token in mine if token in theirs and mine[token] != theirs[token]]
    counted = (("added", added), ("lost", lost), ("with another id", moved))
    return [f"{len(tokens)} tokens {how}: {shortened(tokens)}" for how, tokens in counted if tokens]


def token_ids(content: Mapping[str, Any]) -> dict[str, int]:
    """Token to id, from a parsed tokenizer.json: the model's vocabulary and the added tokens.

    Raises:
        KeyError, TypeError, ValueError: it is not a tokenizer.json.
    """
    vocabulary = content["model"]["vocab"]
    if isinstance(vocabulary, list):  # Unigram: pairs of token and score
        ids = {str(token): index for index, (token, _) in enumerate(vocabulary)}
    else:
        ids = {str(token): int(index) for token, index in vocabulary.items()}
    for added in content.get("added_tokens") or []:
        ids[str(added["content"])] = int(added["id"])
    return ids


def read_object(path: Path) -> Mapping[str, Any]:
    """A JSON object.

    Raises:
        UserError: the file is missing, is not JSON, or holds something else.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a JSON object")
    return content


def _merges(content: Mapping[str, Any]) -> list[tuple[str, ...]]:
    # Older files write "a b", newer ones ["a", "b"].
    merges = content["model"].get("merges") or []
    return [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in merges]


def _content(token: object) -> str | None:
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) else None
