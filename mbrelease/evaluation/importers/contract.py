"""What an importer is, and what all of them read with."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mbrelease.errors import UserError
from mbrelease.evaluation.reported import ReportedResult
from mbrelease.files import read_json, unreadable


@dataclass(frozen=True)
class Reported:
    """A result as it was found in a file."""

    result: ReportedResult
    place: str
    """For sentences: ``paper.csv:3``."""
    model: str | None = None
    """Whose result it is, of a file that speaks of several models."""


class Importer(Protocol):
    """A module that reads the results of one harness."""

    def recognises(self, path: Path) -> bool:
        """Whether ``path`` looks like a file of this harness.

        Raises:
            UserError: it cannot be read at all.
        """

    def read(self, path: Path) -> list[Reported]:
        """All results in a file that was recognised.

        Raises:
            UserError: it is malformed, or a value is no finite number; says where.
        """


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in ``path``; ``None`` if the file is something else.

    Raises:
        UserError: it is called ``.json`` and is not JSON.
    """
    if path.suffix != ".json":
        return None
    content = read_json(path)
    return content if isinstance(content, dict) else None


def is_number(value: Any) -> bool:
    """Whether ``value`` is a number as JSON knows them, NaN included; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def finite(value: Any, place: str) -> float:
    """``value`` as a number.

    Raises:
        UserError: it is none, or NaN, or infinite.
    """
    try:
        number = float(value)
    except ValueError:
        raise UserError(
            f"{place}: {value!r} is not a finite number",
            mend="write a number alone, with a point and without a unit: 87.4",
        ) from None
    except (TypeError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{place}: {value!r} is not a finite number", mend="leave the result out")
    return number


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file that are not empty, each with the number of its last line.

    Raises:
        UserError: the file cannot be read, is no UTF-8 text, or no CSV (``file:line``).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            try:
                for row in reader:
                    if row:
                        yield reader.line_num, [cell.strip() for cell in row]
            except csv.Error as error:
                raise UserError(f"{path}:{reader.line_num}: not CSV: {error}") from error
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from error


def read_header(path: Path) -> list[str] | None:
    """The first row of a CSV file; ``None`` if ``path`` is no CSV file."""
    if path.suffix != ".csv":
        return None
    return next((row for _, row in read_rows(path)), [])
