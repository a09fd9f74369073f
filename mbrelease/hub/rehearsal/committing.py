"""A commit request: what it asks for, and the files that come of it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mbrelease.hub.rehearsal.attributes import (
    ATTRIBUTES_PATH,
    matches_attributes,
    with_lfs_path,
)
from mbrelease.hub.rehearsal.blobs import Blobs
from mbrelease.hub.rehearsal.metadata import checked_readme
from mbrelease.hub.rehearsal.names import SHA256, checked_path
from mbrelease.hub.rehearsal.objects import File, lfs_file, regular_file
from mbrelease.hub.rehearsal.refusals import Refused


@dataclass(frozen=True)
class Put:
    """Write a file; ``data`` is its content, or ``None`` for an LFS file known by its sha256."""

    path: str
    data: bytes | None = None
    sha256: str = ""
    size_bytes: int | None = None


@dataclass(frozen=True)
class Delete:
    """Remove a file, or a folder with all that is in it."""

    path: str
    is_folder: bool


@dataclass(frozen=True)
class Change:
    """A commit request.

    Fields:
        parent_commit: what the branch must stand at, a full or shortened id; ``None`` for any.
        operations: in the order in which they are applied.
    """

    title: str
    description: str
    parent_commit: str | None
    operations: tuple[Put | Delete, ...]


def parse_change(body: bytes) -> Change:
    """Read the newline-delimited JSON of a commit request.

    Raises:
        Refused: 400, it is not one.
    """
    header: dict[str, Any] | None = None
    operations: list[Put | Delete] = []
    for line in body.splitlines():
        if not line.strip():
            continue
        key, value = _line(line)
        if key == "header":
            header = value
        else:
            operations.append(_operation(key, value))
    if header is None or not str(header.get("summary", "")).strip():
        raise Refused(400, "A commit needs a header with a summary")
    parent = header.get("parentCommit")
    return Change(
        title=str(header["summary"]).strip(),
        description=str(header.get("description") or "").strip(),
        parent_commit=None if parent is None else str(parent),
        operations=tuple(operations),
    )


def store_contents(change: Change, blobs: Blobs) -> dict[str, File]:
    """Write the contents that came with the request and check that the announced ones are here.

    Returns the new files by path. The contents are on disk before any commit names them.

    Raises:
        Refused: 400, an LFS object was never uploaded or has another size, or the model card's
            metadata is wrong.
    """
    files: dict[str, File] = {}
    for operation in change.operations:
        if not isinstance(operation, Put):
            continue
        if operation.data is not None:
            if operation.path == "README.md":
                checked_readme(operation.data)
            sha256 = blobs.add(operation.data)
            files[operation.path] = regular_file(operation.path, operation.data, sha256)
            continue
        size_bytes = blobs.size(operation.sha256)
        if size_bytes is None:
            raise Refused(
                400, f"{operation.path}: the LFS object {operation.sha256} was not uploaded"
            )
        if operation.size_bytes not in {None, size_bytes}:
            raise Refused(
                400,
                f"{operation.path}: the LFS object has {size_bytes} bytes,"
                f" not {operation.size_bytes}",
            )
        files[operation.path] = lfs_file(operation.path, operation.sha256, size_bytes)
    return files


def apply(
    change: Change, before: Mapping[str, File], new_files: Mapping[str, File], blobs: Blobs
) -> dict[str, File]:
    """The files after ``change``.

    Raises:
        Refused: 404, a file to be deleted is not there; 400, a path is both file and folder.
    """
    files = dict(before)
    for operation in change.operations:
        if isinstance(operation, Put):
            files[operation.path] = new_files[operation.path]
        else:
            _delete(files, operation)
    _refuse_file_as_folder(files)
    _name_lfs_files(files, new_files, blobs)
    return files


def _delete(files: dict[str, File], operation: Delete) -> None:
    inside = operation.path + "/"
    gone = [
        path
        for path in files
        if (path.startswith(inside) if operation.is_folder else path == operation.path)
    ]
    if not gone:
        kind = "folder" if operation.is_folder else "file"
        raise Refused(
            404,
            f"A {kind} with this name doesn't exist: {operation.path}",
            code="EntryNotFound",
        )
    for path in gone:
        del files[path]


def _refuse_file_as_folder(files: Mapping[str, File]) -> None:
    for path in files:
        parent = path.rpartition("/")[0]
        while parent:
            if parent in files:
                raise Refused(400, f"{parent} is a file, so {path} cannot be in it")
            parent = parent.rpartition("/")[0]


def _name_lfs_files(files: dict[str, File], new_files: Mapping[str, File], blobs: Blobs) -> None:
    """Let ``.gitattributes`` name every new LFS file that no pattern of it covers."""
    current = files.get(ATTRIBUTES_PATH)
    before = blobs.read(current.sha256).decode(errors="replace") if current else ""
    text = before
    for path, file in new_files.items():
        if file.lfs and path in files and not matches_attributes(path, text):
            text = with_lfs_path(text, path)
    if text != before:
        data = text.encode()
        files[ATTRIBUTES_PATH] = regular_file(ATTRIBUTES_PATH, data, blobs.add(data))


def _line(line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        item = json.loads(line)
        key, value = item["key"], item["value"]
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(400, "A commit is lines of JSON with a key and a value") from error
    if not isinstance(key, str) or not isinstance(value, dict):
        raise Refused(400, "A commit is lines of JSON with a key and a value")
    return key, value


def _operation(key: str, value: dict[str, Any]) -> Put | Delete:
    path = str(value.get("path", ""))
    if key == "deletedFolder":
        return Delete(checked_path(path.removesuffix("/")), is_folder=True)
    checked_path(path)
    if key == "deletedFile":
        return Delete(path, is_folder=False)
    if key == "file":
        return Put(path, data=_content(value))
    if key == "lfsFile":
        return _lfs_put(path, value)
    raise Refused(400, f"Unknown kind of operation: {key[:80]!r}")


def _content(value: dict[str, Any]) -> bytes:
    content = str(value.get("content", ""))
    if value.get("encoding", "utf-8") != "base64":
        return content.encode()
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise Refused(400, f"{value['path']}: the content is not base64") from error


def _lfs_put(path: str, value: dict[str, Any]) -> Put:
    sha256, size_bytes = str(value.get("oid", "")), value.get("size")
    if value.get("algo") != "sha256" or SHA256.fullmatch(sha256) is None:
        raise Refused(400, f"{path}: an LFS file is named by its sha256")
    # A copy of a file that is already stored comes without a size.
    if size_bytes is not None and not isinstance(size_bytes, int):
        raise Refused(400, f"{path}: the size is not a number")
    return Put(path, sha256=sha256, size_bytes=size_bytes)
