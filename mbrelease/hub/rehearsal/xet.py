"""Large files that come by Xet, the way in which an ordinary client with hf_xet uploads.

Such a client asks the Hub where the content store is, and leaves there chunks ("xorbs") and an
index of them ("shards"). This Hub answers with a folder (``local:///…``), a new one for each
upload, because the client keeps the folder's index locked for as long as it lives. When the
commit comes, which names files by sha256 only, the index says which chunks make the file, and
hf_xet itself puts them together.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.hub.rehearsal.refusals import Refused

if TYPE_CHECKING:
    from mbrelease.hub.rehearsal.committing import Put
    from mbrelease.hub.rehearsal.hub import Hub

TOKEN_SECONDS = 24 * 3600

# Layout of a shard: 48-byte records after a 48-byte header, see
# https://huggingface.co/docs/xet/en/shard
_RECORD_BYTES = 48
_SEGMENT = struct.Struct("<32s I I I I")
_FILE_HEADER = struct.Struct("<32s I I 8x")
_HAS_VERIFICATION = 1 << 31
_HAS_SHA256 = 1 << 30
_END = b"\xff" * 32
_INDEX = "global_dedup_lookup.redb"


@dataclass(frozen=True)
class XetFile:
    """A file that a client left in an upload folder.

    Fields:
        xet_hash: by which hf_xet knows it.
        folder: the upload folder.
    """

    sha256: str
    xet_hash: str
    size_bytes: int
    folder: Path


def new_upload_folder(xet_folder: Path) -> Path:
    """A fresh folder for one upload."""
    folder = xet_folder / f"upload-{secrets.token_hex(8)}"
    folder.mkdir(parents=True)
    return folder.resolve()


def sweep(xet_folder: Path) -> None:
    """Remove uploads that were never committed while their token was good, and broken reads."""
    if not xet_folder.is_dir():
        return
    oldest = time.time() - TOKEN_SECONDS
    for folder in xet_folder.iterdir():
        if folder.name.startswith("read-") or folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)


def fetch_uploaded(hub: Hub, puts: Sequence[Put]) -> None:
    """Bring the LFS files of a commit that came by Xet into the store.

    Upload folders of which everything is in the store are removed.

    Raises:
        Refused: 400, the chunks do not make the file that was announced.
    """
    if not hub.xet_folder.is_dir():
        return
    left = {file.sha256: file for file in _files_left(hub.xet_folder)}
    for put in puts:
        if put.data is None and put.sha256 in left and hub.blobs.size(put.sha256) is None:
            _fetch(hub, left[put.sha256])
    kept = {file.folder for file in left.values() if hub.blobs.size(file.sha256) is None}
    for folder in {file.folder for file in left.values()} - kept:
        shutil.rmtree(folder, ignore_errors=True)


def read_shard(data: bytes, folder: Path) -> Iterator[XetFile]:
    """The files that a shard describes, where it tells their sha256."""
    position = _RECORD_BYTES
    while position + _RECORD_BYTES <= len(data):
        xet_hash, flags, segments = _FILE_HEADER.unpack_from(data, position)
        if xet_hash == _END:
            return
        position += _RECORD_BYTES
        starts = range(position, position + segments * _RECORD_BYTES, _RECORD_BYTES)
        if len(data) < starts.stop:
            return
        size_bytes = sum(_SEGMENT.unpack_from(data, start)[2] for start in starts)
        position = starts.stop + (segments * _RECORD_BYTES if flags & _HAS_VERIFICATION else 0)
        if flags & _HAS_SHA256 and position + _RECORD_BYTES <= len(data):
            sha256 = data[position : position + 32]
            position += _RECORD_BYTES
            yield XetFile(_hex(sha256), _hex(xet_hash), size_bytes, folder)


def _files_left(xet_folder: Path) -> Iterator[XetFile]:
    for shard in sorted(xet_folder.glob("upload-*/xet/xorbs/shards/*.mdb")):
        # A folder may vanish meanwhile, with another commit that is done with it.
        with contextlib.suppress(FileNotFoundError):
            yield from read_shard(shard.read_bytes(), shard.parents[3])


def _fetch(hub: Hub, file: XetFile) -> None:
    try:
        import hf_xet  # type: ignore[import-untyped]
    except ImportError as error:
        raise Refused(
            501, "This Hub cannot read Xet uploads; set HF_HUB_DISABLE_XET=1 and push again"
        ) from error
    with _unlocked_copy(file.folder) as folder:
        downloads = hf_xet.XetSession().new_download_stream_group(endpoint=f"local://{folder}")
        stream = downloads.download_stream(hf_xet.XetFileInfo(file.xet_hash, file.size_bytes))
        with hub.blobs.receive(file.sha256, file.size_bytes) as arriving:
            for piece in stream:
                arriving.write(piece)


@contextlib.contextmanager
def _unlocked_copy(upload: Path) -> Iterator[Path]:
    # Chunks and shards are linked, not copied; only the index, which is locked, is copied.
    folder = upload.parent / f"read-{secrets.token_hex(8)}"
    try:
        for part in ("xet/xorbs/xorbs", "xet/xorbs/shards"):
            (folder / part).mkdir(parents=True)
            for entry in (upload / part).iterdir():
                if entry.is_file():
                    os.link(entry, folder / part / entry.name)
        shutil.copy(upload / "xet/xorbs" / _INDEX, folder / "xet/xorbs" / _INDEX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _hex(raw: bytes) -> str:
    # Xet writes a hash as four little-endian words.
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))
