"""sentence-transformers: the ``eval/*_results.csv`` that its evaluators write.

A row an evaluation, the last of which counts; epoch −1 is an evaluation outside training.
"""

from __future__ import annotations

import re
from pathlib import Path

from mbrelease.errors import UserError
from mbrelease.evaluation.importers.contract import Reported, finite, read_header, read_rows
from mbrelease.evaluation.metric_names import metric_key
from mbrelease.evaluation.reported import ReportedResult, ReportSource

COLUMNS = ["epoch", "steps"]
OUTSIDE_TRAINING = "-1"
# Where a score was cut in two to reach an accuracy or F1: no measure of the model.
THRESHOLD = "_threshold"


def recognises(path: Path) -> bool:
    """A table of epochs and steps."""
    header = read_header(path)
    return header is not None and header[:2] == COLUMNS


def read(path: Path) -> list[Reported]:
    """The metrics of the last row, of the task that the file is named for."""
    (_, header), *rows = read_rows(path)
    if not rows:
        raise UserError(f"{path} has no row below its header")
    line, row = rows[-1]
    if len(row) != len(header):
        raise UserError(f"{path}:{line}: {len(row)} values for {len(header)} columns")
    split = "test" if row[0] == OUTSIDE_TRAINING else "dev"
    details = {
        name: _whole(finite(value, f"{path}:{line}, {name}"))
        for name, value in zip(COLUMNS, row[:2], strict=True)
        if value != OUTSIDE_TRAINING
    }
    return [
        Reported(
            ReportedResult(
                task_name=_task(path),
                split=split,
                metric=metric_key(name),
                value=finite(value, f"{path}:{line}, {name}"),
                source=ReportSource(name="sentence-transformers"),
                details=details,
            ),
            f"{path}:{line}, {name}",
        )
        for name, value in list(zip(header, row, strict=True))[2:]
        if not name.endswith(THRESHOLD)
    ]


def _whole(number: float) -> int | float:
    """``1200.0`` → ``1200``; an epoch may be a fraction."""
    return int(number) if number.is_integer() else number


def _task(path: Path) -> str:
    """``similarity_evaluation_sts dev_results.csv`` → ``similarity_evaluation_sts-dev``."""
    name = re.sub(r"_results(?:_@\d+)?$", "", path.stem).strip("_")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)
