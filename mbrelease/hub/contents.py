"""What a release folder may hold. The list says what is allowed; all else is refused."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbrelease.checkpoints.checkpoint import combined_sha256
from mbrelease.checkpoints.safetensors_header import read_header
from mbrelease.errors import UserError
from mbrelease.file_hashes import file_sha256
from mbrelease.files import canonical_json, sha256_bytes, unreadable
from mbrelease.hub.front_matter import readme_problems
from mbrelease.hub.png_texts import compressed_texts
from mbrelease.hub.problems import Problem
from mbrelease.secrets import find_secrets

# The Hub serves no larger file over HTTP, and keeps no larger README out of LFS (no page then).
MAX_FILE_BYTES = 50_000_000_000
MAX_README_BYTES = 10_000_000

ALLOWED = tuple(
    re.compile(pattern)
    for pattern in (
        r"[\w.-]+\.safetensors",
        r"[\w.-]+\.safetensors\.index\.json",
        r"(config|generation_config|adapter_config|averaging|card\.lock)\.json",
        r"(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json",
        r"(vocab|merges)\.txt",
        r"(tokenizer|spiece|sentencepiece\.bpe)\.model",
        r"model\.sig",
        r"README\.md|CITATION\.cff|(LICENSE|NOTICE)(\.md|\.txt)?",
        r"([\w.-]+/)*[\w.-]+\.(png|svg)",
        r"\.eval_results/[\w.-]+\.yaml",
        # sentence-transformers: one folder a module, such as 1_Pooling.
        r"(modules|sentence_bert_config|config_sentence_transformers)\.json",
        r"\d+_[A-Za-z]+/(config\.json|model\.safetensors)",
    )
)

REASONS = (
    (
        r"(.*/)?(training_args\.bin|(optimizer|scheduler|scaler)\.(pt|bin)|rng_state.*\.pth"
        r"|trainer_state\.json)",
        "is the trainer's own state",
    ),
    (
        r".*\.(bin|pt|pth|ckpt|pkl|pickle|joblib|h5|npy|npz)",
        "can run code when it is loaded; only safetensors is published",
    ),
    (r".*\.(py|pyc|ipynb|sh|so)", "is code that would run on other people's machines"),
)


# As the section on provenance writes it.
NAMED_WEIGHTS = re.compile(r"^- Weights \(sha256\): `([0-9a-f]{64})`", re.MULTILINE)


@dataclass(frozen=True)
class LocalFile:
    """A file to publish; ``path`` is relative to the folder, with ``/``."""

    path: str
    size_bytes: int
    sha256: str
    git_sha1: str | None = None
    """Of one whose bytes are not in the folder yet: what git calls them."""

    @classmethod
    def of_bytes(cls, path: str, data: bytes) -> LocalFile:
        """A file that is to hold ``data``."""
        head = b"blob %d\0" % len(data)
        git_sha1 = hashlib.sha1(head + data, usedforsecurity=False).hexdigest()
        return cls(path, len(data), sha256_bytes(data), git_sha1)

    def as_json(self) -> dict[str, Any]:
        """The file as plain values."""
        return {"path": self.path, "size_bytes": self.size_bytes, "sha256": self.sha256}


@dataclass(frozen=True)
class Contents:
    """The files of a release folder in order of their paths, and what is wrong with them."""

    files: tuple[LocalFile, ...]
    problems: tuple[Problem, ...]


def read_contents(folder: Path, token: str | None = None) -> Contents:
    """List, check and hash the files in ``folder``; symbolic links are not followed.

    ``token`` is looked for in the files, so that it is not published by mistake.

    Raises:
        UserError: ``folder`` is no folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder" if folder.exists() else f"{folder} is missing")
    files: list[LocalFile] = []
    problems: list[Problem] = []
    for path, fault in _walk(folder):
        relative = path.relative_to(folder).as_posix()
        fault = fault or _fault_of_name(relative)
        if fault is not None:
            problems.append(Problem(f"{_printable(relative)} {fault}", "take it out of the folder"))
            continue
        try:
            size = path.stat().st_size
            if size > MAX_FILE_BYTES:
                # Not hashed: that would take minutes, to no end.
                problems.append(_too_large(relative))
                continue
            files.append(LocalFile(relative, size, file_sha256(path)))
            problems.extend(_secrets(path, relative, token))
        except UserError as error:
            problems.append(Problem.of(error))
    files.sort(key=lambda file: file.path)
    problems.extend(_faults_of_whole(folder, {file.path for file in files}))
    problems.extend(_card_of_other_weights(folder, files))
    return Contents(tuple(files), tuple(problems))


def git_blob_sha1(path: Path) -> str:
    """The name that git gives to the bytes of ``path`` (the Hub's ``oid`` of a plain file).

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.sha1(usedforsecurity=False)
            digest.update(b"blob %d\0" % os.fstat(file.fileno()).st_size)
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise unreadable(path, error) from error
    return digest.hexdigest()


def _walk(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield every file, and every folder that is not entered, with what is wrong with it."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield folder, f"cannot be read: {error.strerror}"
        return
    for entry in entries:
        path, mode = Path(entry.path), entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            yield path, "is a symbolic link, and would be published as something else"
        elif entry.name.startswith(".") and entry.name != ".eval_results":
            yield path, "is hidden (its name begins with a dot)"
        elif stat.S_ISDIR(mode):
            yield from _walk(path)
        else:
            yield path, None if stat.S_ISREG(mode) else "is not a plain file"


def _fault_of_name(relative: str) -> str | None:
    if any(pattern.fullmatch(relative) for pattern in ALLOWED):
        return None
    for pattern, reason in REASONS:
        if re.fullmatch(pattern, relative):
            return reason
    return "is not a file that a release holds"


def _too_large(relative: str) -> Problem:
    mend = "save the weights in shards (max_shard_size)"
    if not relative.endswith(".safetensors"):
        mend = "take it out of the folder"
    return Problem(
        f"{relative} is larger than the {MAX_FILE_BYTES // 10**9} GB the Hub takes", mend
    )


def _secrets(path: Path, relative: str, token: str | None) -> Iterator[Problem]:
    for place, data in _texts(path, relative):
        for line, kind in find_secrets(data, token):
            where = f"{place}:{line}" if place == relative else place
            yield Problem(f"{where} holds {kind}", "remove it, and revoke it where it was issued")


def _texts(path: Path, relative: str) -> Iterator[tuple[str, bytes]]:
    """What of a file can hold text, with its place: all, but of weights only what describes them.

    Raises:
        UserError: it cannot be read, or is no whole safetensors file.
    """
    if path.suffix == ".safetensors":
        yield f"{relative} (metadata)", canonical_json(read_header(path).metadata).encode()
        return
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    yield relative, data
    if path.suffix == ".png":
        for keyword, text in compressed_texts(data):
            yield f"{relative} (text '{_printable(keyword)}')", text


def _faults_of_whole(folder: Path, paths: set[str]) -> Iterator[Problem]:
    """What is wrong with the files taken together, and with the card among them."""
    if "README.md" not in paths:
        yield Problem(
            f"{folder} has no README.md: a release without a card",
            f"mbrelease card {folder} -o {folder / 'README.md'}",
        )
    elif (folder / "README.md").stat().st_size > MAX_README_BYTES:
        yield Problem(f"README.md is larger than {MAX_README_BYTES // 10**6} MB", "shorten it")
    else:
        yield from readme_problems(folder / "README.md")
    weights = any(path.endswith(".safetensors") and "/" not in path for path in paths)
    if weights and "config.json" not in paths:
        yield Problem(f"{folder} has weights but no config.json: from_pretrained cannot load it")


def _card_of_other_weights(folder: Path, files: list[LocalFile]) -> Iterator[Problem]:
    """A card that names the weights it was written for must lie beside them."""
    weights = {
        file.path: file.sha256
        for file in files
        if file.path.endswith(".safetensors") and "/" not in file.path
    }
    if not weights or not any(file.path == "README.md" for file in files):
        return
    text = (folder / "README.md").read_bytes().decode(errors="replace")
    named = set(NAMED_WEIGHTS.findall(text))
    found = combined_sha256(weights)
    if named and named != {found}:
        yield Problem(
            f"README.md was written for the weights {min(named)[:12]}, and the folder holds "
            f"{found[:12]}",
            "mbrelease release VARIANT, or write the card again",
        )


def _printable(name: str) -> str:
    """``name`` without what would disturb a terminal, such as a newline or a lone surrogate."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name)
