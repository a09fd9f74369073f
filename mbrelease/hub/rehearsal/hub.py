"""The state of a rehearsal Hub: one folder with a database and the contents."""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mbrelease.errors import UserError
from mbrelease.files import unwritable
from mbrelease.hub.rehearsal.blobs import Blobs
from mbrelease.hub.rehearsal.database import Database
from mbrelease.hub.rehearsal.xet import sweep

# An LFS object that is larger comes in parts of this size.
PART_BYTES = 20_000_000
# Whoever holds a token is this user, who may write everywhere: it is a rehearsal.
USER = "rehearsal"


@dataclass(frozen=True)
class Hub:
    """What the routes work on.

    Fields:
        database: repositories, commits, references, pull requests.
        blobs: contents by sha256.
        xet_folder: where clients with hf_xet leave what they upload.
        parts_folder: where the parts of large objects wait for the last one.
        upload_key: signs upload links; a new one each start.
    """

    database: Database
    blobs: Blobs
    xet_folder: Path
    parts_folder: Path
    part_bytes: int = PART_BYTES
    upload_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)


@contextlib.contextmanager
def opened(root: Path, *, part_bytes: int = PART_BYTES) -> Iterator[Hub]:
    """Open (or make) the Hub below ``root`` and keep others from serving it meanwhile.

    Raises:
        UserError: the folder cannot be written, or another rehearsal Hub serves it.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = (root / "lock").open("a")
    except OSError as error:
        raise unwritable(root, error) from error
    with lock:
        _lock(lock.fileno(), root)
        blobs = Blobs(root / "blobs")
        blobs.sweep()
        sweep(root / "xet")
        # Whose links were signed by an earlier start cannot be completed.
        shutil.rmtree(root / "parts", ignore_errors=True)
        with contextlib.closing(Database(root / "hub.sqlite")) as database:
            yield Hub(database, blobs, root / "xet", root / "parts", part_bytes)


def _lock(descriptor: int, root: Path) -> None:
    try:
        # The kernel's lock: a killed server leaves none behind.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise UserError(
            f"{root} is being served by another rehearsal Hub",
            mend="stop that one, or choose another folder with --root",
        ) from error
