"""Normalize the small files of a folder that is there already, and say what changes in them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbrelease.checkpoints.checkpoint import SHARD_INDEX, SINGLE_FILE, Checkpoint
from mbrelease.checkpoints.normalize import config_files, tokenizer_files
from mbrelease.errors import UserError
from mbrelease.file_hashes import file_sha256
from mbrelease.files import (
    atomic_folder,
    canonical_json,
    parse_json,
    unwritable,
    write_bytes,
    write_files,
)

TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
TRAINER_STATE = "trainer_state.json"


@dataclass(frozen=True)
class Change:
    """What a file said under ``key`` and what it is to say, as JSON; ``None`` where nothing."""

    file: str
    key: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Normalization:
    """How a folder is made to read alike for transformers 4.48 to 5.x."""

    checkpoint: Checkpoint
    files: Mapping[str, bytes]
    """Config and tokenizer as they are to be; without a tokenizer where there is none."""
    changes: tuple[Change, ...]

    @property
    def changed_files(self) -> dict[str, bytes]:
        """Those that do not say the same already, however they are laid out."""
        names = {change.file for change in self.changes}
        return {name: data for name, data in self.files.items() if name in names}


def normalization(checkpoint: Checkpoint) -> Normalization:
    """What ``normalize`` would change in the folder of ``checkpoint``; nothing is written.

    Raises:
        UserError: not a ModernBERT, or config or tokenizer cannot be written for all generations.
    """
    _ = checkpoint.config  # of another model nothing is to become one
    files = config_files(checkpoint)
    if any(checkpoint.companion(name) is not None for name in TOKENIZER):
        files |= tokenizer_files(checkpoint)
    # tokenizer.json is not touched, and large.
    small = [name for name in files if name != "tokenizer.json"]
    changes = [change for name in small for change in _changes(checkpoint, name, files[name])]
    return Normalization(checkpoint, files, tuple(changes))


def normalize_in_place(plan: Normalization) -> None:
    """Replace the files that change.

    Raises:
        UserError: the folder is a trainer's, or of links, or cannot be written.
    """
    folder = plan.checkpoint.path
    mend = f"write a folder of its own: mbrelease normalize {folder} -o FOLDER"
    if is_trainers(folder):
        raise UserError(f"{folder} is a trainer's own folder and stays as it is", mend=mend)
    links = [name for name in plan.changed_files if (folder / name).is_symlink()]
    if links:
        raise UserError(f"{folder / links[0]} is a link, as in the Hub's cache", mend=mend)
    write_files(folder, plan.changed_files)


def write_normalized(plan: Normalization, output: Path) -> bool:
    """Write the weights as they are, config and tokenizer as the folder ``output``.

    Returns whether it was written now: one that holds exactly this is kept.

    Raises:
        UserError: ``output`` holds something else or cannot be written.
    """
    checkpoint = plan.checkpoint
    source, target = checkpoint.path.resolve(), output.resolve()
    if target.is_relative_to(source):
        raise UserError(f"{output} lies in {checkpoint.path}", mend="choose another -o")
    if _holds(output, plan):
        return False
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise UserError(f"{output} is there and holds something else", mend="choose another -o")
    with atomic_folder(output) as folder:
        for name, data in plan.files.items():
            write_bytes(folder / name, data)
        for file in _weights(checkpoint):
            try:
                shutil.copyfile(file, folder / file.name)
            except OSError as error:
                raise unwritable(output / file.name, error) from error
    return True


def left_out(plan: Normalization) -> list[str]:
    """What of the folder :func:`write_normalized` does not write, such as a trainer's state."""
    written = {*plan.files, *(file.name for file in _weights(plan.checkpoint))}
    entries = sorted(plan.checkpoint.path.iterdir())
    return [e.name for e in entries if e.name not in written and not e.name.startswith(".")]


def is_trainers(folder: Path) -> bool:
    """Whether a trainer wrote the folder and may go on from it."""
    return (folder / TRAINER_STATE).exists()


def _weights(checkpoint: Checkpoint) -> tuple[Path, ...]:
    is_single = checkpoint.weight_files == (checkpoint.path / SINGLE_FILE,)
    index = () if is_single else (checkpoint.path / SHARD_INDEX,)
    return (*checkpoint.weight_files, *index)


def _holds(output: Path, plan: Normalization) -> bool:
    weights = _weights(plan.checkpoint)
    if not output.is_dir():
        return False
    found = {entry.name for entry in output.iterdir() if entry.is_file()}
    return (
        found == {*plan.files, *(file.name for file in weights)}
        and all((output / name).read_bytes() == data for name, data in plan.files.items())
        and all(file_sha256(file) == file_sha256(output / file.name) for file in weights)
    )


def _changes(checkpoint: Checkpoint, name: str, data: bytes) -> list[Change]:
    before, after = _object(checkpoint, name), parse_json(data, Path(name))
    missing = object()
    return [
        Change(name, key, _text(before, key), _text(after, key))
        for key in sorted({*before, *after})
        if before.get(key, missing) != after.get(key, missing)
    ]


def _object(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    """The content of a JSON file; empty if it is not there or will be written anew."""
    data = checkpoint.companion(name)
    if data is None:
        return {}
    try:
        content = parse_json(data, checkpoint.path / name)
    except UserError:
        return {}
    return content if isinstance(content, dict) else {}


def _text(content: Mapping[str, Any], key: str) -> str | None:
    return canonical_json(content[key]) if key in content else None
