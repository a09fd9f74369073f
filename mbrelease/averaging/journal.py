"""Which tiles of an average are written, so that one that was killed goes on from there."""

from __future__ import annotations

import os
from pathlib import Path


class Journal:
    """One byte a tile, set after the tile's own bytes.

    Nothing is synced: after a kill the kernel still holds every byte that was written, in order.
    After a crash of the machine it may not, so a journal counts for one boot only; the caller
    makes the boot part of what is resumed (``boot_id``).
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        size = os.fstat(self._descriptor).st_size
        self._done = os.pread(self._descriptor, size, 0)

    def is_done(self, number: int) -> bool:
        """Whether an earlier run wrote the tile."""
        return number < len(self._done) and self._done[number] == 1

    def mark(self, number: int) -> None:
        """The tile is written."""
        os.pwrite(self._descriptor, b"\x01", number)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def boot_id() -> str:
    """What is the same until the machine starts anew; unlike any other where that is unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return os.urandom(16).hex()
