"""The folder as it would be published: safetensors only, nothing private, nothing left over."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.checkpoints.hub_folder import TEXT_SUFFIXES, HubFolder
from mbrelease.files import RESUME, unreadable
from mbrelease.parity.report import CheckResult, failed, graded, passed, shortened, warned

PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.distcp")
# Of systems, editors and downloads that were cut short; in nobody's release, nor in a run's folder.
LEFTOVERS = (
    ".DS_Store", "._*", "Thumbs.db", "desktop.ini", "*.tmp", "*.swp", "*~", "*.bak", "*.orig",
    "*.incomplete", "*.lock", "*.part",
)  # fmt: skip
LEFTOVER_FOLDERS = frozenset({".ipynb_checkpoints", "__pycache__", ".git", ".cache", RESUME})
# What a trainer needs to go on, and nobody else.
TRAINERS = (
    "trainer_state.json", "optimizer*", "scheduler*", "scaler*", "rng_state*", "training_args*",
    "events.out.tfevents*", "zero_to_fp32.py", "latest",
)  # fmt: skip
TRAINERS_FOLDER = re.compile(r"checkpoint-\d+|global_step\d+|wandb")
# A trainer's log and a vocabulary are full of slashes and never published, or nobody's path.
NOT_SEARCHED_FOR_PATHS = frozenset({"trainer_state.json", "tokenizer.json", "vocab.json"})
LABELS = frozenset({"id2label", "label2id"})
MAX_TEXT_BYTES = 100_000_000
MAX_FILE_BYTES = 50_000_000_000
"""The Hub serves no larger file over HTTP."""
HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{30,}\b")
ABSOLUTE_PATH = re.compile(r"(?:/[^/\s\0]+){2,}/?|[A-Za-z]:[\\/]\S.*|file://\S+|~/\S+")
PLAIN_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.+@=,()-]*")
# What Windows takes in no name, and so in no clone of the repository.
NO_NAME = re.compile(r'[\\:*?"<>|]')


@dataclass(frozen=True)
class Entry:
    """A file of the folder. ``path`` is ``None`` for one that is on the Hub alone."""

    name: str
    """Relative to the folder, with ``/``."""
    size_bytes: int
    path: Path | None

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders and the file's own name."""
        return PurePosixPath(self.name).parts

    def matches(self, patterns: Sequence[str]) -> bool:
        """Whether the file's own name is like one of ``patterns``."""
        return any(PurePosixPath(self.parts[-1]).match(pattern) for pattern in patterns)


def check_files(checkpoint: Checkpoint, *, publishable: bool) -> list[CheckResult]:
    """Look at every file of the folder, or of the commit on the Hub; no pickle is opened.

    Raises:
        UserError: a file cannot be read.
    """
    entries = entries_of(checkpoint)
    return [
        check_pickles(entries, publishable=publishable),
        check_leftovers(entries, publishable=publishable),
        check_names(entries),
        check_sizes(entries),
        check_links(checkpoint.path, entries),
        check_tokens(entries),
        check_paths(entries),
    ]


def entries_of(checkpoint: Checkpoint) -> list[Entry]:
    """The files in order of their names; of symbolic links the link itself."""
    folder = checkpoint.path
    if isinstance(checkpoint, HubFolder):
        listed = sorted(checkpoint.listing.values(), key=lambda file: file.path)
        places = ((file, folder / file.path) for file in listed)
        return [
            Entry(file.path, file.size_bytes, place if place.is_file() else None)
            for file, place in places
        ]
    found = sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    return [Entry(path.relative_to(folder).as_posix(), _size(path), path) for path in found]


def check_pickles(entries: Sequence[Entry], *, publishable: bool) -> CheckResult:
    """Nothing that runs code when it is opened, such as ``training_args.bin``."""
    name, expected = "files.pickles", "safetensors only"
    pickles = [entry for entry in entries if entry.matches(PICKLES)]
    if not pickles:
        return passed(name, expected)
    return graded(
        publishable,
        name,
        expected=expected,
        found=_listed(pickles),
        mend="delete them before publishing"
        if publishable
        else "publish the release made from it, which leaves them out",
    )


def check_leftovers(entries: Sequence[Entry], *, publishable: bool) -> CheckResult:
    """Nothing of a desktop, an editor, a broken download, or in a release of the trainer."""
    name, expected = "files.leftovers", "nothing that a desktop, an editor or a trainer left"
    left = [
        entry
        for entry in entries
        if not entry.matches(PICKLES)  # which have a check of their own
        and (_is_leftover(entry) or (publishable and _is_trainers(entry)))
    ]
    if not left:
        return passed(name, expected)
    mend = "delete them before publishing"
    return graded(publishable, name, expected=expected, found=_listed(left), mend=mend)


def check_names(entries: Sequence[Entry]) -> CheckResult:
    """Names that every system can write, and tell apart."""
    name, expected = "files.names", "names of letters, digits and . _ - + alone"
    bad = [
        _printable(entry.name)
        for entry in entries
        if any(NO_NAME.search(part) or not part.isprintable() for part in entry.parts)
    ]
    alike = defaultdict(list)
    for entry in entries:
        alike[entry.name.casefold()].append(entry.name)
    bad += [" and ".join(map(_printable, names)) for names in alike.values() if len(names) > 1]
    mend = "rename them"
    if bad:
        return failed(name, expected=expected, found=shortened(bad), mend=mend)
    odd = [
        entry.name
        for entry in entries
        if not all(PLAIN_NAME.fullmatch(part) for part in entry.parts)
    ]
    if not odd:
        return passed(name, expected)
    return warned(name, expected=expected, found=shortened(map(repr, odd)), mend=mend)


def check_sizes(entries: Sequence[Entry]) -> CheckResult:
    """No file is larger than the Hub takes in one piece."""
    name, expected = "files.sizes", f"at most {MAX_FILE_BYTES // 10**9} GB in one file"
    large = [entry for entry in entries if entry.size_bytes > MAX_FILE_BYTES]
    if not large:
        total = sum(entry.size_bytes for entry in entries)
        return passed(name, f"{len(entries)} files, {total:,} bytes", expected)
    return failed(
        name,
        expected=expected,
        found=shortened(f"{entry.name} has {entry.size_bytes:,} bytes" for entry in large),
        mend="save the weights in shards (max_shard_size)",
    )


def check_links(folder: Path, entries: Sequence[Entry]) -> CheckResult:
    """No symbolic links, which publish what they point to; the Hub cache's own are its way."""
    name, expected = "files.links", "no symbolic links"
    blobs = folder.resolve().parent.parent / "blobs"
    links = [
        (entry.name, entry.path.readlink())
        for entry in entries
        if entry.path is not None
        and entry.path.is_symlink()
        and entry.path.resolve().parent != blobs
    ]
    if not links:
        return passed(name, expected)
    return failed(
        name,
        expected=expected,
        found=shortened(f"{link} → {target}" for link, target in links),
        mend="replace each by a copy of its file",
    )


def check_tokens(entries: Sequence[Entry]) -> CheckResult:
    """No text holds a token of the Hub. Where one stands is said, and not what it is."""
    name, expected = "files.tokens", "no access token in any text"
    found = [
        f"{entry.name}:{number}"
        for entry in entries
        if entry.path is not None and entry.path.suffix in TEXT_SUFFIXES
        for number, line in enumerate(_text(entry.path).splitlines(), start=1)
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


def check_paths(entries: Sequence[Entry]) -> CheckResult:
    """No JSON names a folder of the machine it was made on."""
    name, expected = "files.paths", "no absolute path in any JSON"
    found = [
        f"{entry.name}: {key} {value}"
        for entry in entries
        if entry.path is not None
        and entry.path.suffix == ".json"
        and entry.path.name not in NOT_SEARCHED_FOR_PATHS
        for key, value in _strings(_parsed(entry.path))
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


def _is_leftover(entry: Entry) -> bool:
    return entry.matches(LEFTOVERS) or not LEFTOVER_FOLDERS.isdisjoint(entry.parts)


def _is_trainers(entry: Entry) -> bool:
    return entry.matches(TRAINERS) or any(map(TRAINERS_FOLDER.fullmatch, entry.parts[:-1]))


def _listed(entries: Sequence[Entry]) -> str:
    return shortened(_printable(entry.name) for entry in entries)


def _printable(name: str) -> str:
    """``name`` without what would disturb a terminal, such as a newline or a lone surrogate."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.exists() else 0
    except OSError as error:
        raise unreadable(path, error) from error


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
