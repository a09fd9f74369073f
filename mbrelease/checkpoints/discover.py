"""Find the checkpoints of a run, in the order they were trained."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from mbrelease.checkpoints.checkpoint import STEP_FOLDER, Checkpoint, open_checkpoint
from mbrelease.errors import UserError


def discover(path: Path, *, steps: Collection[int] | None = None) -> list[Checkpoint]:
    """The checkpoints in ``path``: a Trainer's output folder or one checkpoint's own folder.

    Args:
        path: The folder.
        steps: Open those of a run at these steps alone; others may be half written.

    Raises:
        UserError: there are none, or one is broken.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist")
    if (path / "config.json").is_file() and not _step_folders(path):
        return [open_checkpoint(path)]
    folders = _step_folders(path)
    if not folders:
        raise UserError(
            f"no checkpoints in {path}",
            mend="give a Trainer's output folder (with checkpoint-* inside) or a checkpoint",
        )
    return [open_checkpoint(folder) for step, folder in folders if steps is None or step in steps]


def discover_all(paths: Iterable[Path]) -> list[Checkpoint]:
    """The checkpoints in several folders: by step where each has one, else as given.

    Raises:
        UserError: a folder has none, or two names are the same folder.
    """
    found = [checkpoint for path in paths for checkpoint in discover(path)]
    seen: set[Path] = set()
    for checkpoint in found:
        resolved = checkpoint.path.resolve()
        if resolved in seen:
            raise UserError(f"{checkpoint.path} is given twice")
        seen.add(resolved)
    if all(checkpoint.step is not None for checkpoint in found):
        found.sort(key=lambda checkpoint: checkpoint.step or 0)
    return found


def _step_folders(path: Path) -> list[tuple[int, Path]]:
    if not path.is_dir():
        return []
    steps = [
        (int(match[1]), entry)
        for entry in path.iterdir()
        if (match := STEP_FOLDER.match(entry.name)) and entry.is_dir()
    ]
    return sorted(steps)
