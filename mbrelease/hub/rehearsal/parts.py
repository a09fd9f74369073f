"""Large LFS objects that come in parts: kept one by one, put together when the last is there."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from mbrelease.files import atomic_file
from mbrelease.hub.rehearsal.hub import Hub
from mbrelease.hub.rehearsal.refusals import Refused

_CHUNK_BYTES = 1 << 20


def count(hub: Hub, size_bytes: int) -> int:
    """How many parts an object comes in; 0 if it comes whole."""
    return -(-size_bytes // hub.part_bytes) if size_bytes > hub.part_bytes else 0


async def receive(
    hub: Hub, sha256: str, size_bytes: int, number: int, pieces: AsyncIterator[bytes]
) -> str:
    """Keep part ``number`` (from 1) of an object and return its ETag.

    Raises:
        Refused: 400, there is no such part, or it has another length.
        UserError: the disk is full or cannot be written.
    """
    if not 1 <= number <= count(hub, size_bytes):
        raise Refused(400, f"An object of {size_bytes} bytes has no part {number}")
    expected = min(hub.part_bytes, size_bytes - (number - 1) * hub.part_bytes)
    digest, arrived = hashlib.sha256(), 0
    path = _folder(hub, sha256) / str(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        async for piece in pieces:
            digest.update(piece)
            arrived += len(piece)
            if arrived > expected:
                break
            file.write(piece)
        if arrived != expected:
            raise Refused(400, f"Part {number} must have {expected} bytes")
    return digest.hexdigest()


def assemble(hub: Hub, sha256: str, size_bytes: int, etags: Sequence[str]) -> None:
    """Put the parts of an object together, in the order in which they are named.

    Raises:
        Refused: 400, a part is missing or is another, or the whole is not what was announced.
        UserError: the disk is full or cannot be written.
    """
    if hub.blobs.size(sha256) is not None:
        return
    folder = _folder(hub, sha256)
    if len(etags) != count(hub, size_bytes):
        raise Refused(400, f"{len(etags)} parts are named, {count(hub, size_bytes)} make the whole")
    with hub.blobs.receive(sha256, size_bytes) as arriving:
        for number, etag in enumerate(etags, start=1):
            digest = hashlib.sha256()
            for chunk in _chunks(folder / str(number)):
                digest.update(chunk)
                arriving.write(chunk)
            if digest.hexdigest() != etag.strip('"'):
                raise Refused(400, f"Part {number} is not the one that came")
    shutil.rmtree(folder, ignore_errors=True)


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
    except FileNotFoundError as error:
        raise Refused(400, f"Part {path.name} did not come") from error


def _folder(hub: Hub, sha256: str) -> Path:
    # Asks the store for a name that is known to be a sha256.
    return hub.parts_folder / hub.blobs.path(sha256).name
