"""Runs of a trainer below a folder, as a newcomer has them on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mbrelease.checkpoints.discover import composer_saves, step_folders

# A project's own folders hold checkpoints too, but no runs.
_NOT_RUNS = {"averages", "evidence", "node_modules", "receipts", "releases", "site-packages"}
_DEPTH = 4
FEW = 3
"""From so many checkpoints on, an average of the last is worth a try."""


@dataclass(frozen=True)
class FoundRun:
    """A folder with checkpoints in it."""

    path: str
    """Relative to where was looked, with ``/``; ``.`` for that folder itself."""
    checkpoints: int


def find_runs(root: Path) -> list[FoundRun]:
    """The runs below ``root`` in order of their paths; neither hidden folders nor links."""
    return sorted(_below(root), key=lambda run: run.path)


def _below(root: Path) -> Iterator[FoundRun]:
    for place, folders, _files in os.walk(root):
        path = Path(place)
        depth = len(path.relative_to(root).parts)
        count = len(step_folders(path)) or len(composer_saves(path))
        if count:
            yield FoundRun(path.relative_to(root).as_posix(), count)
        inside = [] if count or depth >= _DEPTH else folders
        folders[:] = [name for name in inside if name[0] != "." and name not in _NOT_RUNS]
