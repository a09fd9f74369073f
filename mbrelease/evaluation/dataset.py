"""Read evaluation data from JSONL, with the line of every mistake."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbrelease.errors import UserError
from mbrelease.files import sha256_file, unreadable


@dataclass(frozen=True)
class Dataset:
    """The rows of one file. ``ids`` are the rows' own, or their line numbers."""

    path: Path
    ids: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def texts(self, fields: str | Sequence[str]) -> list[str]:
        """The text of each row: one field, or several joined by a newline.

        Raises:
            UserError: a row lacks a field or holds something other than text there.
        """
        names = [fields] if isinstance(fields, str) else list(fields)
        return ["\n".join(self._text(row, name) for name in names) for row in range(len(self.rows))]

    def labels(self, field: str) -> list[str]:
        """The label of each row as text: a name, a number, true or false.

        Raises:
            UserError: a row lacks the field or holds something else there.
        """
        rows = enumerate(self.rows)
        return [
            str(row[field]) if isinstance(row.get(field), int) else self._text(number, field)
            for number, row in rows
        ]

    def _text(self, row: int, field: str) -> str:
        value = self.rows[row].get(field)
        if not isinstance(value, str):
            found = "is missing" if value is None else f"is {type(value).__name__}, not text"
            raise UserError(
                f"{self.path}:{row + 1}: field '{field}' {found}",
                mend=f"the fields of this row are {', '.join(self.rows[row])}",
            )
        return value


def read_dataset(path: Path) -> Dataset:
    """Read a JSONL file: one object a line, optionally with an ``id``.

    Raises:
        UserError: the file is missing or empty, a line is no JSON object, or an id stands twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from error
    rows: list[dict[str, Any]] = []
    ids: dict[str, int] = {}
    # Not splitlines: JSON may hold U+2028 and its like as they are.
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], start=1):
        row = _parse(path, number, line)
        name = str(number if row.get("id") is None else row["id"])
        if name in ids:
            raise UserError(f"{path}:{number}: id '{name}' stands on line {ids[name]} too")
        ids[name] = number
        rows.append(row)
    if not rows:
        raise UserError(f"{path} is empty")
    return Dataset(path, tuple(ids), tuple(rows))


def data_sha256(paths: Sequence[Path]) -> str:
    """Hex sha256 of one data file; of several, of their hashes in order."""
    import hashlib

    hashes = [sha256_file(path) for path in paths]
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _parse(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{number}:{error.colno}: not JSON: {error.msg}") from error
    except (RecursionError, ValueError) as error:
        raise UserError(f"{path}:{number}: cannot be read: {error}") from error
    if not isinstance(row, dict):
        raise UserError(f"{path}:{number}: a {type(row).__name__} where an object is expected")
    if "\\ud" in line.lower():
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"{path}:{number}: half of a surrogate pair, which is no text"
            ) from error
    return row
