"""What a signature says was signed, and what is there now.

``model.sig`` is a Sigstore bundle around an in-toto statement (`OpenSSF Model Signing
<https://github.com/sigstore/model-transparency>`_): the sha256 of every file, signed. Here it is
read as it stands. Whether it is to be believed is asked in ``mbrelease.hub.signing``, which needs
the extra ``[sign]``; this module needs nothing.
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbrelease.errors import CheckFailed, UserError
from mbrelease.files import sha256_file, unreadable
from mbrelease.progress import SILENT, Progress

SIGNATURE = "model.sig"
NOT_SIGNED = (".cache/huggingface", ".git", ".gitattributes", SIGNATURE)
"""What lies in a download or a clone, and no signer can know: the client's notes of a download,
git's own, what the Hub writes into every repository, and the signature itself."""
WHOLE = "."
"""What a signature of a single file calls it."""

MAX_BYTES = 10_000_000
SHOWN = 3
SHA256 = re.compile(r"[0-9a-f]{64}")
_PREDICATE = "https://model_signing/signature/v1.0"


@dataclass(frozen=True)
class SignedFiles:
    """The files of a signature, not yet believed."""

    digests: Mapping[str, str]
    """Hex sha256 by path, relative to the folder, with ``/``."""
    key_sha256: str | None
    """Of the public key as PEM text. ``None`` where a certificate stands for a key."""


def read_signature(path: Path, of: str) -> bytes:
    """The bytes of the signature ``path``, which is that of what is called ``of``.

    Raises:
        CheckFailed: there is none, or it is too large to be one.
        UserError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise not_signed(of, path.name) from error
    except OSError as error:
        raise unreadable(path, error) from error
    if len(data) > MAX_BYTES:
        told = f"the {path.name} of {of} is larger than {MAX_BYTES // 10**6} MB, and no signature"
        raise CheckFailed(told)
    return data


def not_signed(of: str, name: str = SIGNATURE) -> CheckFailed:
    """The sentence for what has no signature called ``name``."""
    return CheckFailed(
        f"{of} is not signed: it has no {name}",
        mend="ask its publisher; what is yours is signed by mbrelease push … --sign-key FILE",
    )


def parse_signature(data: bytes, place: str) -> SignedFiles:
    """What ``data``, read from ``place``, says was signed.

    Raises:
        CheckFailed: it is no signature of files by their sha256.
    """
    try:
        bundle = json.loads(data)
        key = bundle["verificationMaterial"].get("publicKey", {}).get("hint")
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True))
        if statement["predicateType"] != _PREDICATE:
            raise _not_ours(place, "an older form")
        digests = _digests(statement["predicate"], place)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        mend = "restore it, or delete it and sign again"
        raise CheckFailed(f"{place} is not a signature of a model", mend=mend) from error
    return SignedFiles(digests, key if isinstance(key, str) else None)


def _digests(predicate: Mapping[str, Any], place: str) -> dict[str, str]:
    form = predicate["serialization"]
    if (form["method"], form["hash_type"]) != ("files", "sha256"):
        raise _not_ours(place, f"{form['method']} by {form['hash_type']}")
    digests = {}
    for entry in predicate["resources"]:
        name, digest = entry["name"], entry["digest"]
        if entry["algorithm"] != "sha256" or name in digests or not SHA256.fullmatch(digest):
            raise ValueError("another algorithm, a file twice, or no hash")
        digests[name] = digest
    return digests


def _not_ours(place: str, form: str) -> CheckFailed:
    mend = "verify it with the command that made it: model_signing verify"
    return CheckFailed(f"{place} does not name whole files by their sha256, but {form}", mend=mend)


def read_digests(folder: Path, progress: Progress = SILENT) -> dict[str, str]:
    """Hex sha256 of every file in ``folder`` that a signature covers, by path.

    A link to a file is read as that file, as in the cache of the Hub's client. What is neither a
    file nor a folder, such as a link to a folder, has no digest: its text is empty.

    Raises:
        UserError: ``folder`` is none, or a file cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder" if folder.exists() else f"{folder} is missing")
    found = sorted(_walk(folder, ""), key=lambda pair: pair[0])
    progress.start("hashing", len(found), "files")
    digests = {}
    for relative, path in found:
        digests[relative] = sha256_file(path) if path.is_file() else ""
        progress.advance()
    return digests


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise unreadable(folder, error) from error
    for entry in entries:
        relative = prefix + entry.name
        if relative in NOT_SIGNED:
            continue
        if stat.S_ISDIR(entry.stat(follow_symlinks=False).st_mode):
            yield from _walk(Path(entry.path), f"{relative}/")
        else:
            yield relative, Path(entry.path)


def find_changes(signed: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """What differs between two tables of hashes, each in a few words, in order of the paths."""
    changes = []
    for path in sorted({*signed, *present}):
        if path not in present:
            fault = "is missing"
        elif path not in signed:
            fault = "was added"
        elif signed[path] != present[path]:
            fault = "was changed"
        else:
            continue
        changes.append(f"{path if path.isprintable() else ascii(path)} {fault}")
    return changes
