"""Sha256 of large files, remembered while the files stay as they are.

Checkpoints of gigabytes are asked for their hash by command after command. A digest is kept under
the device, inode, size, mtime_ns and ctime_ns of its file; a file that was touched is hashed
again. The memory lies in ``$XDG_CACHE_HOME/mbrelease`` and may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from mbrelease.errors import UserError
from mbrelease.files import locked, read_json, sha256_file, unreadable, write_bytes

MEMORY_ENTRIES = 4096
SHA256 = re.compile(r"[0-9a-f]{64}")
SETTLED_NS = 2_000_000_000
"""A file younger than this may change again within one tick of its clock."""

_in_process: dict[str, str] = {}
_on_disk: dict[Path, dict[str, str]] = {}


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file, remembered.

    Raises:
        UserError: the file cannot be read.
    """
    key = stat_key([path])
    digest = recall(key)
    if digest is None:
        digest = sha256_file(path)
        remember(key, digest, [path])
    return digest


def stat_key(paths: Sequence[Path], *, of: str = "file") -> str:
    """What identifies the content of ``paths`` without reading it; ``of`` says what is hashed.

    Raises:
        UserError: a file cannot be found.
    """
    parts = [of]
    for path in paths:
        try:
            stat = path.stat()
        except OSError as error:
            raise unreadable(path, error) from error
        parts.append(
            f"{stat.st_dev}-{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}"
        )
    return " ".join(parts)


def recall(key: str) -> str | None:
    """The digest remembered under ``key``, if there is one."""
    if digest := _in_process.get(key):
        return digest
    place = _memory_file()
    if place not in _on_disk:
        _on_disk[place] = _load(place)
    return _on_disk[place].get(key)


def remember(key: str, digest: str, paths: Sequence[Path]) -> None:
    """Keep the digest of ``paths``, whose ``stat_key`` was ``key`` before they were read.

    Files that changed meanwhile are not remembered; very young ones for this process alone, and a
    memory that cannot be written is done without.
    """
    kind = key.partition(" ")[0]
    if stat_key(paths, of=kind) != key:
        return
    _in_process[key] = digest
    newest = max(max(stat.st_mtime_ns, stat.st_ctime_ns) for stat in map(os.stat, paths))
    if time.time_ns() - newest < SETTLED_NS:
        return
    place = _memory_file()
    with contextlib.suppress(UserError, OSError), locked(place.with_suffix(".lock")):
        known = _load(place) | {key: digest}
        kept = dict(list(known.items())[-MEMORY_ENTRIES:])
        write_bytes(place, json.dumps(kept, indent=0).encode(), mode=0o600)
        _on_disk[place] = kept


def _memory_file() -> Path:
    return cache_folder() / "mbrelease" / "sha256.json"


def cache_folder() -> Path:
    """Where this user's caches are; a folder that cannot be, for a user without a home."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given)
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        # A user without a home, as in containers. Nothing can lie below this.
        return Path(os.devnull)


def _load(place: Path) -> dict[str, str]:
    """What is remembered; a memory that is missing or damaged is empty."""
    try:
        content = read_json(place)
    except UserError:
        return {}
    if not isinstance(content, dict):
        return {}
    return {k: v for k, v in content.items() if isinstance(v, str) and SHA256.fullmatch(v)}
