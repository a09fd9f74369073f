"""One editor of a registry at a time: the others wait, and are told for whom.

The lock is the kernel's (``flock``) on a file beside the registry, so a holder that was killed
leaves none behind; what the file says of its holder is only for those who wait. Where the file
system knows no locks, as some network file systems do, a file that must not be there yet takes
its stead. That one outlives a killed holder, and whether a process of another machine still runs
cannot be known from here: it is for a person to remove.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from mbrelease.errors import UserError
from mbrelease.files import unwritable
from mbrelease.registry.mistakes import shown_path

SECONDS_TO_WORD = 2.0
"""Of waiting, after which it is told."""
SECONDS_FOR_ONE_HOLDER = 60.0
"""That one holder may take while this process waits; an edit takes seconds."""

_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})
_PAUSE_SECONDS = 0.02

_log = logging.getLogger(__name__)
_warned: set[Path] = set()


@contextlib.contextmanager
def editing(registry: Path) -> Iterator[None]:
    """Hold the lock of ``registry`` (a resolved path), after those who hold it now.

    Raises:
        UserError: the folder cannot be written, or one holder does not let go.
    """
    path = lock_path(registry)
    try:
        descriptor = _open(path, registry)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        release = _taken(descriptor, path, registry)
        try:
            yield
        finally:
            release()
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def editing_at_once(registry: Path) -> Iterator[bool]:
    """Hold the lock of ``registry`` if it is free and the kernel's; yields whether it is held."""
    try:
        descriptor = _open(lock_path(registry), registry)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        yield False
        return
    try:
        yield True
    finally:
        os.close(descriptor)


def lock_path(registry: Path) -> Path:
    """The file whose lock is that of ``registry``."""
    return registry.with_name(f".{registry.name}.lock")


def _open(path: Path, registry: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except PermissionError:
        if not path.exists():
            raise
        # To lock a file it is enough to read it; only the holder's name stays unsaid.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        # Who may write the registry may lock it, whoever made the file; its owner always may.
        os.fchmod(descriptor, registry.stat().st_mode & 0o666 | 0o600)
    return descriptor


def _taken(descriptor: int, path: Path, registry: Path) -> Callable[[], None]:
    """Take the lock; returns what lets go of it."""
    wait = _Wait(registry, path)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait.once(_mend)
            continue
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise unwritable(path, error) from error
            return _taken_by_name(registry)
        _write(descriptor, _this_process())
        # Closing the file lets go; that it says nothing then spares others a wrong name.
        return lambda: _write(descriptor, None)


def _taken_by_name(registry: Path) -> Callable[[], None]:
    """Take the lock where the kernel has none: who makes the file has it."""
    path = registry.with_name(f".{registry.name}.editing")
    if registry not in _warned:
        _warned.add(registry)
        _log.warning(
            "%s lies on a file system without locks: edits go one at a time by %s, "
            "which only programs that look for it heed",
            shown_path(registry),
            path.name,
        )
    wait = _Wait(registry, path)
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            wait.once(_mend_by_name)
            continue
        except OSError as error:
            raise unwritable(path, error) from error
        _write(descriptor, _this_process())
        os.close(descriptor)
        return lambda: path.unlink(missing_ok=True)


class _Wait:
    """Waiting for a lock: it is told once, and ends where one holder keeps it too long."""

    def __init__(self, registry: Path, path: Path) -> None:
        self.registry, self.path = registry, path
        self.start = self.since = time.monotonic()
        self.holder: dict[str, Any] = {}
        self.told = False

    def once(self, mend: Callable[[Path, dict[str, Any]], str]) -> None:
        """Pause, or raise ``UserError`` where it was too long."""
        # Between others' edits a waiting process needs some luck, not its turn: so the time of
        # one holder counts and not the time waited.
        time.sleep(_PAUSE_SECONDS * random.random())  # noqa: S311
        now = time.monotonic()
        holder = _read(self.path)
        if holder != self.holder:
            self.holder, self.since = holder, now
        if not self.told and now - self.start > SECONDS_TO_WORD:
            self.told = True
            _log.warning("waiting: %s is being edited by %s", self.shown, _described(holder))
        if now - self.since > SECONDS_FOR_ONE_HOLDER:
            raise UserError(
                f"{self.shown} has been edited for {now - self.since:.0f} seconds by "
                f"{_described(holder)}; nothing was written",
                mend=mend(self.path, holder),
            )

    @property
    def shown(self) -> str:
        """The registry's path as a person would type it."""
        return shown_path(self.registry)


def _mend(path: Path, holder: dict[str, Any]) -> str:
    who = f"process {holder['pid']}" if "pid" in holder else "that process"
    return f"try again; if it hangs, end {who}: its lock ends with it"


def _mend_by_name(path: Path, holder: dict[str, Any]) -> str:
    who = f"process {holder['pid']}" if "pid" in holder else "that process"
    where = f" on {holder['host']}" if "host" in holder else ""
    return f"try again; if {who}{where} is no more, delete {shown_path(path)}"


def _this_process() -> dict[str, Any]:
    now = datetime.now().astimezone().isoformat(timespec="milliseconds")
    return {"pid": os.getpid(), "host": os.uname().nodename, "since": now}


def _described(holder: dict[str, Any]) -> str:
    if not {"pid", "host", "since"} <= holder.keys():
        return "another process"
    return f"process {holder['pid']} on {holder['host']} since {holder['since']}"


def _write(descriptor: int, holder: dict[str, Any] | None) -> None:
    """Say who holds the lock, or that nobody does; where that fails it is held all the same."""
    with contextlib.suppress(OSError):
        os.truncate(descriptor, 0)
        if holder is not None:
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
