"""An edit of several files, whole or not at all, whatever kills the editor.

One file takes its new bytes by a rename. Several cannot at once: so what all of them are to hold
is first written into one file beside the registry, the journal. From its rename on the edit is
made: whoever reads sees, in the place of a file that still holds its old bytes, those in the
journal. Then the files are written, and the journal removed. Where the editor was killed in
between, the next who edits (or reads, and may write) finishes it. A file that holds neither its
old nor its new bytes was changed by a person since, and stays as that person left it.

Readers take no lock. They read everything, and see whether it has changed meanwhile; each change
is a rename, so it shows.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from mbrelease.errors import UserError
from mbrelease.files import atomic_file, sha256_bytes, sync, unreadable, unwritable, write_bytes
from mbrelease.registry.lock import editing, editing_at_once
from mbrelease.registry.mistakes import shown_path

_TRIES = 20
"""After which a reader asks for the lock: edits follow each other faster than it reads."""

_TEMPORARY = re.compile(r"\.(.+)\.[^.]+\.tmp\Z", re.DOTALL)
"""The name of a file that is to take another's place, as ``atomic_file`` gives it."""

_log = logging.getLogger(__name__)

_Mark = tuple[int, int, int, int] | None
T = TypeVar("T")


@dataclass(frozen=True)
class _Entry:
    """What one file is to hold."""

    before: str | None
    """The sha256 of the bytes that it held; ``None`` if it was not there."""
    after: bytes


def at_one_moment(
    registry: Path,
    read: Callable[[Callable[[Path], bytes]], T],
    read_bytes: Callable[[Path], bytes],
) -> T:
    """What ``read`` makes of the files of ``registry``, all of them as they were at one moment.

    Args:
        registry: the path of ``registry.yaml``.
        read: given what reads the bytes of a file; called again if an edit came in between.
        read_bytes: reads the bytes that lie in a file.

    Raises:
        UserError: as ``read`` raises it, or the journal is damaged.
    """
    # A link to itself is told by whoever reads it; Path.resolve raises no OSError before 3.13.
    registry = Path(os.path.realpath(registry))
    for _ in range(_TRIES):
        seen = _Seen(registry, read_bytes)
        if seen.lacks_files:
            break
        try:
            result = read(seen.read)
        except UserError:
            if seen.is_one_moment:
                raise
        else:
            if seen.is_one_moment:
                return result
    with editing(registry):
        finish(registry)
        return read(read_bytes)


class _Seen:
    """The files of a registry as one reader sees them."""

    def __init__(self, registry: Path, read_bytes: Callable[[Path], bytes]) -> None:
        self._read_bytes = read_bytes
        self._journal = journal_path(registry)
        self._marks: dict[Path, _Mark] = {}
        self._entries: dict[Path, _Entry] = {}
        self._journal_mark = _mark(self._journal)
        if self._journal_mark is not None:
            _finish_if_free(registry)
            self._journal_mark = _mark(self._journal)
            self._entries = _read(self._journal)

    def read(self, path: Path) -> bytes:
        """The bytes of a file, as its last whole edit left them."""
        self._marks[path] = _mark(path)
        data = self._read_bytes(path)
        entry = self._entries.get(path.resolve()) if self._entries else None
        return entry.after if entry is not None and sha256_bytes(data) == entry.before else data

    @property
    def lacks_files(self) -> bool:
        """Whether the journal has files that are not there yet, so that no pattern finds them."""
        new = (path for path, entry in self._entries.items() if entry.before is None)
        return not all(path.exists() for path in new)

    @property
    def is_one_moment(self) -> bool:
        """Whether all that was read was there at once."""
        # The journal first: an edit whose journal is gone by now has changed its files by now.
        return _mark(self._journal) == self._journal_mark and all(
            _mark(path) == mark for path, mark in self._marks.items()
        )


def journal_path(registry: Path) -> Path:
    """Where the journal of ``registry`` lies while there is one."""
    return registry.with_name(f".{registry.name}.journal")


def write_all(registry: Path, before: Mapping[Path, bytes], after: Mapping[Path, bytes]) -> None:
    """Let files of ``registry`` hold ``after`` where they hold ``before``; the lock is held.

    All paths are resolved; a file that is not there yet has no ``before``. What killed editors had
    not renamed yet is removed, beside whichever file of ``before``.

    Raises:
        UserError: a file cannot be written.
    """
    _sweep([journal_path(registry), *before, *after])
    with contextlib.ExitStack() as files:
        for path, data in after.items():
            _staged(files, path, data)
        # All bytes are on the disk by now: only renames are left, which a full disk cannot stop.
        if len(after) > 1:
            _write_journal(registry, before, after)
    _remove(journal_path(registry))


def _write_journal(
    registry: Path, before: Mapping[Path, bytes], after: Mapping[Path, bytes]
) -> None:
    files = [
        {
            "path": _named(registry, path),
            "before": sha256_bytes(before[path]) if path in before else None,
            "after": base64.b64encode(data).decode(),
        }
        for path, data in after.items()
    ]
    write_bytes(journal_path(registry), json.dumps({"version": 1, "files": files}).encode())


def finish(registry: Path) -> None:
    """Finish the edit in the journal, if there is one; the lock is held.

    Raises:
        UserError: a file cannot be read or written, or the journal is damaged.
    """
    journal = journal_path(registry)
    if _mark(journal) is None:
        return
    entries = _read(journal)
    _sweep([journal, *entries])
    with contextlib.ExitStack() as files:
        for path, entry in entries.items():
            try:
                now = sha256_bytes(path.read_bytes()) if path.exists() else None
            except OSError as error:
                raise unreadable(path, error) from error
            if now == entry.before:
                _staged(files, path, entry.after)
            elif now != sha256_bytes(entry.after):
                _log.warning("%s was changed since and stays as it is", shown_path(path))
    _remove(journal)
    count = f"{len(entries)} file{'s' if len(entries) != 1 else ''}"
    _log.warning("finished an interrupted edit of %s", count)


def _finish_if_free(registry: Path) -> None:
    """Finish what a killed editor left, where none is at work and this process may write."""
    with editing_at_once(registry) as is_free:
        if is_free:
            try:
                finish(registry)
            except UserError:
                return  # what is read is whole all the same


def _staged(files: contextlib.ExitStack, path: Path, data: bytes) -> None:
    """Have ``data`` on the disk, and in the place of ``path`` when ``files`` are closed."""
    mode = path.stat().st_mode & 0o7777 if path.exists() else None
    file = files.enter_context(atomic_file(path, mode=mode))
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _sweep(paths: Iterable[Path]) -> None:
    """Remove what killed editors had not renamed to one of ``paths``; the lock is held."""
    names: dict[Path, set[str]] = {}
    for path in paths:
        names.setdefault(path.parent, set()).add(path.name)
    for folder, of_registry in names.items():
        with contextlib.suppress(OSError):  # a folder that is to be made, or cannot be listed
            for left in folder.iterdir():
                match = _TEMPORARY.match(left.name)
                if match is not None and match[1] in of_registry:
                    with contextlib.suppress(OSError):
                        left.unlink()


def _remove(journal: Path) -> None:
    try:
        journal.unlink()
        sync(journal.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise unwritable(journal, error) from error


def _read(journal: Path) -> dict[Path, _Entry]:
    """What the journal says; nothing if it is gone."""
    try:
        content: Any = json.loads(journal.read_bytes())
        return {
            _inside(journal.parent, str(file["path"])): _Entry(
                None if file["before"] is None else str(file["before"]),
                base64.b64decode(file["after"], validate=True),
            )
            for file in content["files"]
        }
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise unreadable(journal, error) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{journal} is no journal of an edit",
            mend="delete it, and see with git whether the registry is as it should be",
        ) from error


def _named(registry: Path, path: Path) -> str:
    """A file by its path below the folder of the registry."""
    name = path.relative_to(registry.parent).as_posix()
    try:
        _inside(registry.parent, name)
    except ValueError as error:
        raise UserError(
            f"{name} cannot be edited together with other files: it is not named *.yaml",
            mend="rename it, or edit the files by hand",
        ) from error
    return name


def _inside(folder: Path, name: str) -> Path:
    """The YAML file that a journal names, never one outside ``folder`` or a hidden one.

    A journal may come with files of others: it may change a registry and nothing else.

    Raises:
        ValueError: it is none.
    """
    steps = PurePosixPath(name)
    path = folder / steps
    if steps.suffix not in (".yaml", ".yml") or any(step.startswith(".") for step in steps.parts):
        raise ValueError(name)
    if path.resolve() != path or not path.is_relative_to(folder):
        raise ValueError(name)
    return path


def _mark(path: Path) -> _Mark:
    """What tells a file from the one that replaces it; ``None`` if there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size
