"""The weight files by size and sha256, and whether what was written down of them says the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.checkpoints.hub_folder import SHA256, HubFolder
from mbrelease.errors import UserError
from mbrelease.file_hashes import file_sha256
from mbrelease.files import read_json
from mbrelease.parity.report import CheckResult, failed, passed, shortened, skipped, warned

NAME = "files.hashes"
AVERAGING_RECORD = "averaging.json"
SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Recorded:
    """What somebody wrote down: the sha256 of files, by name."""

    where: str
    """Such as ``averaging.json``."""
    sha256: Mapping[str, str]


@dataclass(frozen=True)
class Difference:
    """A file that is not what was written down of it."""

    name: str
    found: str
    recorded: str
    where: str

    def __str__(self) -> str:
        return (
            f"{self.name} is {self.found[:SHOWN_DIGITS]}, "
            f"{self.recorded[:SHOWN_DIGITS]} in {self.where}"
        )


def check_hashes(
    checkpoint: Checkpoint, *, read: bool, receipt: Recorded | None = None
) -> CheckResult:
    """The sha256 of each weight file against every record of it that there is.

    Records are ``averaging.json`` beside the weights, the Hub's own list, the names of the files
    in its cache, and a receipt. The sizes and hashes of the files are the ``details``.

    Args:
        checkpoint: whose weights they are.
        read: whether large files may be read; without it, what the Hub tells is taken as it is.
        receipt: of the publication of this commit.

    Raises:
        UserError: a file cannot be read.
    """
    expected = "the sha256 of each weight file, as recorded"
    listed = _from_hub(checkpoint)
    sizes = _sizes(checkpoint)
    if not read and not all(file.name in listed for file in checkpoint.weight_files):
        result = skipped(NAME, expected=expected, reason="headers only")
        return replace(result, details=_details(sizes, {}))
    found = {
        file.name: file_sha256(file) if read else listed[file.name]
        for file in checkpoint.weight_files
    }
    try:
        records = _records(checkpoint, listed, receipt)
    except UserError as error:
        mend = f"write the average again, or delete {AVERAGING_RECORD}"
        result = failed(NAME, expected=expected, found=error.message, mend=mend)
        return replace(result, details=_details(sizes, found))
    result = _judged(checkpoint, found, records, read=read, expected=expected)
    return replace(result, details=_details(sizes, found))


def _judged(
    checkpoint: Checkpoint,
    found: Mapping[str, str],
    records: list[Recorded],
    *,
    read: bool,
    expected: str,
) -> CheckResult:
    wrong = [difference for record in records for difference in _differences(found, record)]
    if wrong:
        return failed(
            NAME,
            expected=expected,
            found=shortened(map(str, wrong)),
            mend="these are not the bytes that were recorded: fetch or make the weights again",
        )
    # Only small files are left; a record of an average tells of config and tokenizer too.
    others = {
        name: file_sha256(checkpoint.path / name)
        for record in records
        for name in record.sha256
        if name not in found and _is_small_file(checkpoint.path, name)
    }
    edited = [difference for record in records for difference in _differences(others, record)]
    if edited:
        return warned(
            NAME,
            expected=expected,
            found=shortened(map(str, edited)),
            mend="it was changed since; make the average or the release again, or leave it so",
        )
    said = ", ".join(f"{name} {digest[:SHOWN_DIGITS]}" for name, digest in _few(found))
    where = " and ".join(dict.fromkeys(record.where for record in records if record.sha256))
    how = f"as in {where}" if where else "recorded nowhere else"
    return passed(NAME, f"{said}; {how if read else 'as the Hub lists it'}", expected)


def _records(
    checkpoint: Checkpoint, listed: Mapping[str, str], receipt: Recorded | None
) -> list[Recorded]:
    records = [Recorded("the Hub's list", listed)] if listed else []
    path = checkpoint.path / AVERAGING_RECORD
    if path.is_file():
        try:
            content = read_json(path)
        except UserError as error:
            # Of a model on the Hub the path would be one of the cache, which nobody has named.
            raise UserError(error.message.replace(str(path), _called(checkpoint))) from error
        files = content.get("files") if isinstance(content, dict) else None
        if not isinstance(files, dict) or not all(map(_is_sha256, files.values())):
            raise UserError(f"{_called(checkpoint)} does not say the sha256 of its files")
        records.append(Recorded(AVERAGING_RECORD, files))
    return records if receipt is None else [*records, receipt]


def _called(checkpoint: Checkpoint) -> str:
    """The record of an average, as it is called where the checkpoint is named."""
    if isinstance(checkpoint, HubFolder):
        return f"{AVERAGING_RECORD} of {checkpoint.name}"
    return str(checkpoint.path / AVERAGING_RECORD)


def _from_hub(checkpoint: Checkpoint) -> dict[str, str]:
    """What the Hub tells of the weight files; its cache names large files by their sha256."""
    if isinstance(checkpoint, HubFolder):
        entries = {file.name: checkpoint.listing.get(file.name) for file in checkpoint.weight_files}
        return {name: entry.sha256 for name, entry in entries.items() if entry and entry.sha256}
    links = {file.name: file.readlink() for file in checkpoint.weight_files if file.is_symlink()}
    return {name: to.name for name, to in links.items() if _is_sha256(to.name)}


def _differences(found: Mapping[str, str], record: Recorded) -> list[Difference]:
    return [
        Difference(name, digest, record.sha256[name], record.where)
        for name, digest in found.items()
        if record.sha256.get(name, digest) != digest
    ]


def _sizes(checkpoint: Checkpoint) -> dict[str, int]:
    if isinstance(checkpoint, HubFolder):
        return {
            file.name: checkpoint.listing[file.name].size_bytes
            for file in checkpoint.weight_files
            if file.name in checkpoint.listing
        }
    return {file.name: file.stat().st_size for file in checkpoint.weight_files}


def _details(sizes: Mapping[str, int], digests: Mapping[str, str]) -> dict[str, Any]:
    return {
        "files": {
            name: {"size_bytes": size, "sha256": digests.get(name)} for name, size in sizes.items()
        }
    }


def _is_small_file(folder: Path, name: str) -> bool:
    path = folder / name
    return path.parent == folder and path.is_file()


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and SHA256.fullmatch(value) is not None


def _few(found: Mapping[str, str], shown: int = 2) -> list[tuple[str, str]]:
    return list(found.items())[:shown]
