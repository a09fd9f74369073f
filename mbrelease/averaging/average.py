"""Average checkpoints into a folder that loads like any checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.progress import SILENT, Progress


def average_checkpoints(
    members: Sequence[tuple[Checkpoint, Fraction]],
    output: Path,
    *,
    recipe: str,
    progress: Progress = SILENT,
) -> Checkpoint:
    """Write the weighted mean of ``members`` as the folder ``output`` and return it."""
    raise NotImplementedError
