"""Find the checkpoints of a run, in the order they were trained."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import TypeVar

from mbrelease.checkpoints.checkpoint import (
    STEP_FOLDER,
    Checkpoint,
    how_to_convert,
    open_checkpoint,
)
from mbrelease.checkpoints.source import Source
from mbrelease.errors import UserError

COMPOSER_SAVE = re.compile(r"^ep(\d+)-ba(\d+)(?:-rank\d+\.pt|\.pt)?$")
"""A file, or a folder of shards, as Composer names them by default: epoch and batch."""

AnySource = TypeVar("AnySource", bound=Source)


def discover(path: Path, *, steps: Collection[int] | None = None) -> list[Checkpoint]:
    """The checkpoints in ``path``: a Trainer's output folder or one checkpoint's own folder.

    Args:
        path: The folder.
        steps: Open those of a run at these steps alone; others may be half written.

    Raises:
        UserError: there are none, or one is broken or no safetensors.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist")
    if (path / "config.json").is_file() and not step_folders(path):
        return [open_checkpoint(path)]
    folders = step_folders(path)
    if not folders:
        raise UserError(
            f"no checkpoints in {path}",
            mend=_how_to_convert(path)
            or "give a Trainer's output folder (with checkpoint-* inside) or a checkpoint",
        )
    return [open_checkpoint(folder) for step, folder in folders if steps is None or step in steps]


def in_order(found: list[AnySource]) -> list[AnySource]:
    """By step where each has one, else as they are.

    Raises:
        UserError: two are the same folder or file.
    """
    seen: set[Path] = set()
    for checkpoint in found:
        resolved = checkpoint.path.resolve()
        if resolved in seen:
            raise UserError(f"{checkpoint.path} is given twice")
        seen.add(resolved)
    if all(checkpoint.step is not None for checkpoint in found):
        return sorted(found, key=lambda checkpoint: checkpoint.step or 0)
    return found


def step_folders(path: Path) -> list[tuple[int, Path]]:
    """The ``checkpoint-N`` folders in ``path`` with their N, in its order."""
    if not path.is_dir():
        return []
    steps = [
        (int(match[1]), entry)
        for entry in path.iterdir()
        if (match := STEP_FOLDER.match(entry.name)) and entry.is_dir()
    ]
    return sorted(steps)


def composer_saves(path: Path) -> list[Path]:
    """What Composer saved in the folder ``path``, by batch and epoch; ``latest-*`` is one of it."""
    if not path.is_dir():
        return []
    matches = [(COMPOSER_SAVE.match(entry.name), entry) for entry in path.iterdir()]
    saves = [(int(match[2]), int(match[1]), entry) for match, entry in matches if match]
    return [entry for _batch, _epoch, entry in sorted(saves)]


def _how_to_convert(path: Path) -> str | None:
    """The mend for weights that are no safetensors: of a Composer run, for its last checkpoint."""
    saves = composer_saves(path)
    return how_to_convert(saves[-1] if saves else path)
