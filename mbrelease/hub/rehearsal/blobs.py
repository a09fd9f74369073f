"""Contents on disk, each under its sha256, written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mbrelease.files import atomic_file, sha256_bytes, sync
from mbrelease.hub.rehearsal.names import SHA256
from mbrelease.hub.rehearsal.refusals import Refused


class Arriving:
    """Bytes on their way into the store, counted and hashed as they come."""

    def __init__(self, file: IO[bytes], limit_bytes: int) -> None:
        self.file = file
        self.limit_bytes = limit_bytes
        self.size_bytes = 0
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            Refused: 400, more came than were announced.
        """
        self.size_bytes += len(data)
        if self.size_bytes > self.limit_bytes:
            raise Refused(400, f"More than the announced {self.limit_bytes} bytes came")
        self.digest.update(data)
        self.file.write(data)


class Blobs:
    """The store of contents below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where the content lies, or would lie.

        Raises:
            Refused: 400, ``sha256`` is no sha256.
        """
        if SHA256.fullmatch(sha256) is None:
            raise Refused(400, f"Not a sha256: {sha256[:80]!r}")
        return self.folder / sha256[:2] / sha256

    def size(self, sha256: str) -> int | None:
        """Bytes of the content, or ``None`` if it is not here."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, sha256: str) -> bytes:
        """The whole content."""
        return self.path(sha256).read_bytes()

    def add(self, data: bytes) -> str:
        """Store ``data`` and return its sha256; what is here already is not written again."""
        sha256 = sha256_bytes(data)
        if self.size(sha256) is None:
            with self.receive(sha256, len(data)) as arriving:
                arriving.write(data)
        return sha256

    @contextlib.contextmanager
    def receive(self, sha256: str, size_bytes: int) -> Iterator[Arriving]:
        """Yield a writer whose bytes are kept if, at the end, they are what was announced.

        Raises:
            Refused: 400, the bytes are others, more or fewer.
            UserError: the disk is full or cannot be written.
        """
        path = self.path(sha256)
        if not path.parent.is_dir():
            path.parent.mkdir(exist_ok=True)
            sync(self.folder)
        with atomic_file(path) as file:
            arriving = Arriving(file, size_bytes)
            yield arriving
            if arriving.size_bytes != size_bytes:
                raise Refused(400, f"{arriving.size_bytes} bytes came, {size_bytes} were announced")
            if arriving.digest.hexdigest() != sha256:
                raise Refused(400, f"The bytes do not have the sha256 {sha256}")

    def sweep(self) -> None:
        """Remove what a kill left half-received."""
        for left in self.folder.glob("*/.*.tmp"):
            left.unlink(missing_ok=True)
