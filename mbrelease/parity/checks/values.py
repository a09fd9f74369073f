"""The values of the weights: every one of them is read once, in pieces, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mbrelease.averaging.dtypes import FLOATING, decode
from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.checkpoints.safetensors_header import TensorInfo
from mbrelease.files import unreadable
from mbrelease.parity.report import CheckResult, failed, passed, shortened
from mbrelease.progress import SILENT, Progress

PIECE_BYTES = 1 << 22


@dataclass(frozen=True)
class Values:
    """What was found among the values of one tensor."""

    not_finite: int
    """How many are NaN or infinite."""
    constant: float | None
    """The one value, where there is no other."""


def check_values(checkpoint: Checkpoint, progress: Progress = SILENT) -> list[CheckResult]:
    """No value is NaN or infinite, and no matrix holds one value throughout.

    Raises:
        UserError: a file cannot be read.
    """
    progress.start("reading weights", len(checkpoint.tensors), "tensors")
    found: dict[str, Values] = {}
    for header in checkpoint.headers:
        for name, info in header.tensors.items():
            found[name] = _read(header.path, info)
            progress.advance()
    return [check_finite(found), check_constant(found, checkpoint.tensors)]


def check_finite(found: Mapping[str, Values]) -> CheckResult:
    """No value is NaN or infinite."""
    name, expected = "tensors.finite", "every value is finite"
    counts = {key: values.not_finite for key, values in found.items() if values.not_finite}
    if not counts:
        return passed(name, expected)
    return failed(
        name,
        expected=expected,
        found=shortened(f"{key} has {count:,} NaN or infinite" for key, count in counts.items()),
        mend="this checkpoint is lost: take an earlier one",
    )


def check_constant(found: Mapping[str, Values], tensors: Mapping[str, TensorInfo]) -> CheckResult:
    """No matrix holds one value throughout, and no norm is all zeros: neither lets a text through.

    Norms of ones and biases of zeros are how training begins, and may stay so.
    """
    name, expected = "tensors.constant", "no matrix of one value, no norm of zeros"
    dead = [
        f"{key} is {values.constant:g} throughout"
        for key, values in found.items()
        if values.constant is not None and _says_nothing(key, tensors[key], values.constant)
    ]
    if not dead:
        return passed(name, expected)
    return failed(
        name,
        expected=expected,
        found=shortened(dead),
        mend="these were never initialized or were lost when saved: take another checkpoint",
    )


def _says_nothing(name: str, info: TensorInfo, value: float) -> bool:
    if name.endswith(".bias") or info.elements < 2:
        return False
    return len(info.shape) > 1 or value == 0


def count_not_finite(data: bytes, dtype: str) -> int:
    """The number of NaN and infinite values in little-endian ``data``; 0 for whole numbers."""
    if dtype not in FLOATING:
        return 0
    values = decode(memoryview(data), dtype)
    return int(values.size - np.count_nonzero(np.isfinite(values)))


def _read(path: Path, info: TensorInfo) -> Values:
    if info.dtype not in FLOATING:
        return Values(0, None)
    not_finite, constant = 0, None
    for start, piece in _pieces(path, info):
        not_finite += count_not_finite(piece, info.dtype)
        if start == info.start or constant is not None:
            values = decode(memoryview(piece), info.dtype)
            first = float(values[0]) if start == info.start else constant
            constant = first if np.all(values == first) else None
    return Values(not_finite, constant)


def _pieces(path: Path, info: TensorInfo) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            file.seek(info.start)
            for start in range(info.start, info.end, PIECE_BYTES):
                yield start, file.read(min(PIECE_BYTES, info.end - start))
    except OSError as error:
        raise unreadable(path, error) from error
