"""What blocks printed: ``evidence/snippets/<weights sha256, 16 digits>.json``.

A record is of one block's code with one model. It holds neither date nor duration, so the same
code gives the same bytes again.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mbrelease.cards.told import Place, place
from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation.evidence import scratch_folder
from mbrelease.files import claimed, read_json, sha256_bytes, sha256_file, sha256_json, write_json

FOLDER = "snippets"
DIGITS = 16
AGAIN = "delete the file and run the card's code again"

_SOFTWARE = ("torch", "transformers", "tokenizers", "sentence-transformers", "flash-attn")
# What loading reads beside config, tokenizer and weights.
_SETTINGS = (
    "tokenizer_config.json", "special_tokens_map.json", "modules.json",
    "sentence_bert_config.json", "config_sentence_transformers.json", "[0-9]_*/config.json",
)  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """The model that a block ran with; what is not known (``None``) is not held against another."""

    weights_sha256: str
    config_sha256: str | None = None
    """Of the normal form of the config, as in the evidence."""
    tokenizer_sha256: str | None = None
    settings_sha256: str | None = None
    """Of the release's other files that loading reads, such as modules.json."""

    def fits(self, other: Identity) -> bool:
        """Whether the two are the same model, as far as is known."""
        mine, others = asdict(self), asdict(other)
        return all(None in (mine[key], others[key]) or mine[key] == others[key] for key in mine)


@dataclass(frozen=True)
class Outcome:
    """How one block ended. A block that fails has none."""

    code_sha256: str
    output: str | None
    """What it printed; ``None`` where it was not run."""
    not_run: str | None
    """Why, in words that follow "it needs"."""
    device: str | None
    """``cpu`` or ``cuda``."""
    software: Mapping[str, str]

    @property
    def key(self) -> str:
        """Its name in the file."""
        return self.code_sha256[:DIGITS]


@dataclass(frozen=True)
class Outcomes:
    """What is known of the blocks of one model."""

    place: Place
    """The file, relative to the registry."""
    by_key: Mapping[str, Outcome]

    def of(self, code: str) -> Outcome | None:
        """The outcome of the block with exactly this code."""
        digest = code_sha256(code)
        found = self.by_key.get(digest[:DIGITS])
        return found if found is not None and found.code_sha256 == digest else None


def code_sha256(code: str) -> str:
    """Hex sha256 of a block's code."""
    return sha256_bytes(code.encode())


def release_identity(release: Path) -> Identity:
    """What a block that loads ``release`` runs with.

    Raises:
        UserError: it is no checkpoint, or has no tokenizer.json.
    """
    checkpoint = open_checkpoint(release)
    settings = {
        path.relative_to(release).as_posix(): sha256_file(path)
        for pattern in _SETTINGS
        for path in release.glob(pattern)
    }
    return Identity(
        checkpoint.weights_sha256,
        checkpoint.config.sha256,
        checkpoint.tokenizer_sha256,
        sha256_json(settings),
    )


def outcomes_file(evidence: Path, weights_sha256: str) -> Path:
    """Where the outcomes of one model lie."""
    return evidence / FOLDER / f"{weights_sha256[:DIGITS]}.json"


def known_outcomes(evidence: Path, weights_sha256: str, release: Path | None = None) -> Outcomes:
    """What a card of these weights can show.

    Args:
        evidence: The folder of the evidence.
        weights_sha256: Of the model.
        release: Its folder. Where that is not on disk, or has other weights yet, the weights
            alone say which outcomes are the model's.

    Raises:
        UserError: the file, or the release, is malformed.
    """
    identity = Identity(weights_sha256)
    path = outcomes_file(evidence, weights_sha256)
    at_hand = release is not None and any(release.glob("*.safetensors"))
    if path.is_file() and release is not None and at_hand:
        found = release_identity(release)
        identity = found if found.weights_sha256 == weights_sha256 else identity
    return read_outcomes(evidence, identity)


def read_outcomes(evidence: Path, identity: Identity) -> Outcomes:
    """What is known of the blocks of a model; nothing that was run with another one.

    Raises:
        UserError: the file is malformed.
    """
    path = outcomes_file(evidence, identity.weights_sha256)
    outcomes: list[Outcome] = []
    if path.is_file():
        stored, found = _read(path)
        if stored.fits(identity):
            outcomes = found
    return Outcomes(place(evidence.parent, path), {outcome.key: outcome for outcome in outcomes})


def write_outcome(evidence: Path, identity: Identity, outcome: Outcome) -> None:
    """Add ``outcome`` to what is known of a model; what was run with another one goes.

    Raises:
        UserError: the file is malformed or cannot be written.
    """
    path = outcomes_file(evidence, identity.weights_sha256)
    with claimed(scratch_folder(evidence) / f"{FOLDER}.{path.name}.lock"):
        kept = dict(read_outcomes(evidence, identity).by_key)
        content = _content(identity, (kept | {outcome.key: outcome}).values())
        if not path.is_file() or read_json(path) != content:
            write_json(path, content)


def software() -> dict[str, str]:
    """The versions of what blocks run with, as far as it is installed."""
    found = {"python": platform.python_version()}
    for package in _SOFTWARE:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _content(identity: Identity, outcomes: Iterable[Outcome]) -> dict[str, Any]:
    blocks = {outcome.key: asdict(outcome) for outcome in outcomes}
    return {**asdict(identity), "blocks": dict(sorted(blocks.items()))}


def _read(path: Path) -> tuple[Identity, list[Outcome]]:
    try:
        content = read_json(path)
    except UserError as error:
        raise UserError(error.message, mend=error.mend or AGAIN) from error
    try:
        blocks = content.pop("blocks")
        identity = Identity(**content)
        outcomes = [Outcome(**block) for block in blocks.values()]
        if list(blocks) != [outcome.key for outcome in outcomes]:
            raise ValueError("a block stands under another's name")
        for outcome in outcomes:
            if (outcome.output is None) == (outcome.not_run is None):
                raise ValueError(f"block {outcome.key} has no outcome")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: malformed record of blocks: {error}", mend=AGAIN) from error
    return identity, outcomes
