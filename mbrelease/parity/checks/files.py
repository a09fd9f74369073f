"""The folder as it would be published: safetensors only, no links, nothing private."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mbrelease.files import unreadable
from mbrelease.parity.report import CheckResult, failed, graded, passed, shortened

PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.distcp")
# A trainer's log and a vocabulary are full of slashes and never published, or nobody's path.
NOT_SEARCHED_FOR_PATHS = frozenset({"trainer_state.json", "tokenizer.json", "vocab.json"})
LABELS = frozenset({"id2label", "label2id"})
TEXT_SUFFIXES = frozenset({".json", ".md", ".txt", ".yaml", ".yml", ".toml", ".jinja", ".py"})
MAX_TEXT_BYTES = 100_000_000
HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{30,}\b")
ABSOLUTE_PATH = re.compile(r"(?:/[^/\s\0]+){2,}/?|[A-Za-z]:[\\/]\S.*|file://\S+|~/\S+")


def check_files(folder: Path, *, publishable: bool) -> list[CheckResult]:
    """Look at every file below ``folder``; no pickle is opened.

    Raises:
        UserError: a file cannot be read.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    return [
        check_pickles(folder, files, publishable=publishable),
        check_links(folder, files),
        check_tokens(folder, files),
        check_paths(folder, files),
    ]


def check_pickles(folder: Path, files: list[Path], *, publishable: bool) -> CheckResult:
    """Nothing that runs code when it is opened, such as ``training_args.bin``."""
    name, expected = "files.pickles", "safetensors only"
    pickles = [file for file in files if any(file.match(pattern) for pattern in PICKLES)]
    if not pickles:
        return passed(name, expected)
    return graded(
        publishable,
        name,
        expected=expected,
        found=shortened(str(file.relative_to(folder)) for file in pickles),
        mend="delete them before publishing"
        if publishable
        else "publish the release made from it, which leaves them out",
    )


def check_links(folder: Path, files: list[Path]) -> CheckResult:
    """No symbolic links, which publish what they point to; the Hub cache's own are its way."""
    name, expected = "files.links", "no symbolic links"
    blobs = folder.resolve().parent.parent / "blobs"
    links = [file for file in files if file.is_symlink() and file.resolve().parent != blobs]
    if not links:
        return passed(name, expected)
    return failed(
        name,
        expected=expected,
        found=shortened(f"{file.relative_to(folder)} → {file.readlink()}" for file in links),
        mend="replace each by a copy of its file",
    )


def check_tokens(folder: Path, files: list[Path]) -> CheckResult:
    """No text holds a token of the Hub. Where one stands is said, and not what it is."""
    name, expected = "files.tokens", "no access token in any text"
    found = [
        f"{file.relative_to(folder)}:{number}"
        for file in files
        if file.suffix in TEXT_SUFFIXES
        for number, line in enumerate(_text(file).splitlines(), start=1)
        if HUB_TOKEN.search(line)
    ]
    if not found:
        return passed(name, expected)
    return failed(
        name,
        expected=expected,
        found=f"a Hub token in {shortened(found)}",
        mend="delete it, and revoke it at https://huggingface.co/settings/tokens",
    )


def check_paths(folder: Path, files: list[Path]) -> CheckResult:
    """No JSON names a folder of the machine it was made on."""
    name, expected = "files.paths", "no absolute path in any JSON"
    found = [
        f"{file.relative_to(folder)}: {key} {value}"
        for file in files
        if file.suffix == ".json" and file.name not in NOT_SEARCHED_FOR_PATHS
        for key, value in _strings(_parsed(file))
        if ABSOLUTE_PATH.fullmatch(value)
    ]
    if not found:
        return passed(name, expected)
    return failed(
        name,
        expected=expected,
        found=shortened(found),
        mend="delete the key; a stranger has no such folder",
    )


def _text(path: Path) -> str:
    try:
        if path.is_symlink() and not path.exists():
            return ""
        if path.stat().st_size > MAX_TEXT_BYTES:
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise unreadable(path, error) from error


def _parsed(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError):
        return None  # the check that needs this file says so


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, entry in value.items():
            if name not in LABELS:
                yield from _strings(entry, str(name))
    elif isinstance(value, list):
        for entry in value:
            yield from _strings(entry, key)
    elif isinstance(value, str):
        yield key, value
