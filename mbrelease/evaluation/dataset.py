"""Read evaluation data from JSONL, Parquet or a dataset by name, with the row of every mistake."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbrelease.errors import MissingExtra, UserError
from mbrelease.file_hashes import file_sha256, recall, remember, stat_key
from mbrelease.files import sha256_json, unreadable
from mbrelease.registry.tasks import DataName, DatasetSplit

if TYPE_CHECKING:
    import pyarrow as pa

DataSource = Path | DatasetSplit
"""A file (Parquet by its suffix, else JSONL), or a split of a dataset that has a name."""


@dataclass(frozen=True)
class Names:
    """What texts are called in messages: where they stand, and the id of each."""

    place: str
    ids: Sequence[str]

    def only(self, rows: Iterable[int]) -> Names:
        """Of the texts in these rows."""
        return Names(self.place, [self.ids[row] for row in rows])

    def of(self, rows: Sequence[int], most: int = 5) -> str:
        """``data/dev.jsonl, ids d3, d7 …``: some of the texts."""
        more = " …" if len(rows) > most else ""
        ids = ", ".join(self.ids[row] for row in rows[:most])
        return f"{self.place}, id{'s' * (len(rows) > 1)} {ids}{more}"


@dataclass(frozen=True)
class Dataset:
    """The rows of one source. ``ids`` are the rows' own, or their numbers from 1."""

    path: DataSource
    ids: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> Names:
        """What the texts of its rows are called."""
        return Names(str(self.path), self.ids)

    def place(self, row: int) -> str:
        """Where a row (from 0) stands: ``file:line`` of JSONL, else ``source, row n`` from 1."""
        return _place(self.path, row + 1)

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

    def lists(self, field: str) -> list[list[str]]:
        """The list of each row: of texts or whole numbers, these as text.

        Raises:
            UserError: a row lacks the field or holds something else there.
        """
        found = []
        for number, row in enumerate(self.rows):
            items = row.get(field)
            if not isinstance(items, list):
                raise self._odd(number, field, "a list")
            if not all(isinstance(item, str | int) for item in items):
                raise UserError(
                    f"{self.place(number)}: field '{field}' holds more than texts and whole numbers"
                )
            found.append([str(item) for item in items])
        return found

    def _text(self, row: int, field: str) -> str:
        value = self.rows[row].get(field)
        if not isinstance(value, str):
            raise self._odd(row, field, "text")
        return value

    def _odd(self, row: int, field: str, wanted: str) -> UserError:
        value = self.rows[row].get(field)
        if field not in self.rows[row]:
            found = "is missing"
        else:
            found = f"is {'null' if value is None else type(value).__name__}, not {wanted}"
        return UserError(
            f"{self.place(row)}: field '{field}' {found}",
            mend=f"the fields of this row are {', '.join(self.rows[row])}",
        )


def locate(name: DataName, root: Path) -> DataSource:
    """What a registry in ``root`` calls ``name``: a path, or a dataset whose folder is absolute."""
    if isinstance(name, str):
        return root / name
    folder = root / name.dataset
    if not folder.is_dir():
        return name
    return DatasetSplit(str(folder.absolute()), name.split, name.config, name.revision)


def read_dataset(source: DataSource) -> Dataset:
    """Read rows, each optionally with an ``id``.

    Raises:
        MissingExtra: the source is a dataset by name, and its library is not installed.
        UserError: the source is missing, malformed or empty, or an id stands twice.
    """
    if isinstance(source, DatasetSplit):
        rows: Iterable[dict[str, Any]] = _plain_rows(_named_table(source)[0], source)
    elif _is_parquet(source):
        rows = _plain_rows(_parquet_table(source), source)
    else:
        rows = _json_rows(source)
    ids: dict[str, int] = {}
    kept: list[dict[str, Any]] = []
    for number, row in enumerate(rows, start=1):
        name = _id(row, number, source)
        if name in ids:
            where = f"{'on line' if _has_lines(source) else 'in row'} {ids[name]}"
            raise UserError(f"{_place(source, number)}: id '{name}' stands {where} too")
        ids[name] = number
        kept.append(row)
    if not kept:
        raise UserError(f"{source} is empty")
    return Dataset(source, tuple(ids), tuple(kept))


def data_sha256(sources: Sequence[DataSource]) -> str:
    """Hex sha256 of one source; of several, of their hashes in order.

    That of a file is of its bytes; that of a dataset by name is of its rows, each as JSON with
    sorted keys on a line of its own, whatever its revision is called.
    """
    hashes = [
        _rows_sha256(source) if isinstance(source, DatasetSplit) else file_sha256(source)
        for source in sources
    ]
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def data_sha256_at_hand(sources: Sequence[DataSource]) -> str | None:
    """``data_sha256``, or ``None`` where some of the data are not on this machine.

    A dataset of the Hub is taken for one that is not, so that nobody asks the Hub for it.
    """
    try:
        return data_sha256(sources) if all(map(_is_at_hand, sources)) else None
    except MissingExtra:
        return None


def count_empty(texts: Iterable[str]) -> int:
    """How many texts hold nothing but white space."""
    return sum(not text.strip() for text in texts)


def _is_at_hand(source: DataSource) -> bool:
    return _is_folder(source) if isinstance(source, DatasetSplit) else source.is_file()


def _is_folder(source: DatasetSplit) -> bool:
    return Path(source.dataset).is_absolute()  # see ``locate``


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _has_lines(source: DataSource) -> bool:
    return isinstance(source, Path) and not _is_parquet(source)


def _place(source: DataSource, number: int) -> str:
    return f"{source}:{number}" if _has_lines(source) else f"{source}, row {number}"


def _id(row: dict[str, Any], number: int, source: DataSource) -> str:
    value = row.get("id")
    if value is None:
        return str(number)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UserError(
            f"{_place(source, number)}: id is {type(value).__name__}, not text or a whole number"
        )
    return str(value)


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            # Bytes and not text: JSON may hold U+2028 and its like as they are.
            for number, line in enumerate(file, start=1):
                yield _parse(path, number, _decoded(path, number, line.removesuffix(b"\n")))
    except OSError as error:
        raise unreadable(path, error) from error


def _decoded(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}:{number}: not UTF-8 text (byte {error.start} of the line)") from (
            error
        )


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


def _parquet_table(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            return pq.read_table(file)
    except pa.ArrowException as error:
        raise UserError(f"{path} is no Parquet file, or a damaged one: {_first(error)}") from error
    except OSError as error:
        raise unreadable(path, error) from error


def _plain_rows(table: pa.Table, source: DataSource) -> Iterator[dict[str, Any]]:
    """The rows of a table as Python values."""
    import pyarrow as pa

    if len(set(table.column_names)) < len(table.column_names):
        raise UserError(f"{source} has two columns of the same name")
    start = 0
    for batch in table.to_batches(max_chunksize=1024):
        try:
            yield from batch.to_pylist()
        except (pa.ArrowException, ValueError) as error:  # such as text that is not UTF-8
            rows = f"rows {start + 1} to {start + len(batch)}"
            raise UserError(f"{source}, {rows}: cannot be read: {_first(error)}") from error
        start += len(batch)


def _named_table(source: DatasetSplit) -> tuple[pa.Table, list[Path]]:
    """The rows of a dataset by name, and the files of its cache in which they lie."""
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("eval", f"the dataset {source.dataset}") from error
    if _is_folder(source) and source.revision is not None:
        raise UserError(f"{source}: a folder has no revision", mend="leave out data.revision")
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    try:
        loaded = datasets.load_dataset(
            source.dataset, source.config, split=source.split, revision=source.revision
        )
        return loaded.with_format("arrow")[:], [Path(f["filename"]) for f in loaded.cache_files]
    except Exception as error:  # of the library, its readers and the Hub's client
        raise UserError(
            f"cannot load {source}: {_first(error)}",
            mend="look at data.dataset (a folder beside the registry, or org/name on the Hub), "
            "data.config and the name of the split",
        ) from error


def _rows_sha256(source: DatasetSplit) -> str:
    """Remembered as long as the library's cache of the rows stays as it is."""
    table, files = _named_table(source)
    key = stat_key(files, of=f"rows-{sha256_json(str(source))[:16]}")
    digest = recall(key) if files else None
    if digest is None:
        content = hashlib.sha256()
        for row in _plain_rows(table, source):
            # Dates, decimals and bytes have no JSON: their text stands for them.
            line = json.dumps(row, sort_keys=True, ensure_ascii=False, default=str) + "\n"
            content.update(line.encode())
        digest = content.hexdigest()
        if files:
            remember(key, digest, files)
    return digest


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
