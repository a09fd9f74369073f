"""Embeddings on disk, computed once for all tasks, seeds and processes.

``$XDG_CACHE_HOME/mbrelease/embeddings/<key>.npy`` is a NumPy file with, after the array, the
number of truncated texts (8 bytes, little-endian) and the sha256 of all before it, so that damage
is seen. Files not used for longest go first when there are more than ``MBRELEASE_EMBEDDINGS_GB``
(10 by default; 0 keeps none). The folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.files import atomic_file, claimed, locked, sha256_json

CODE_VERSION = 1
"""Raised by hand whenever the encoder would give other embeddings."""
LIMIT_VARIABLE = "MBRELEASE_EMBEDDINGS_GB"
LIMIT_GB = 10.0
ABANDONED_SECONDS = 3600
"""A temporary file or a lock that is so old is of a process that was killed."""

_DIGEST_BYTES, _COUNT_BYTES = 32, 8
_CHUNK_BYTES = 1 << 22

Embeddings = tuple[NDArray[np.float32], int]
"""Vectors, shape (texts, hidden), and how many of the texts were truncated."""


def model_identity(checkpoint: Checkpoint) -> str:
    """What decides the embeddings that ``checkpoint`` gives, as its files stand now."""
    return sha256_json(
        [checkpoint.weights_sha256, checkpoint.tokenizer_sha256, checkpoint.config.sha256]
    )


def embedding_key(
    model: str, backend: Backend, texts: Sequence[str], *, max_length: int, pooling: str
) -> str:
    """The name of the embeddings of ``texts``; a prompt is part of each text.

    Args:
        model: The ``model_identity``.
        backend: What the forward pass runs on.
        texts: In order.
        max_length: Tokens kept of each.
        pooling: cls or mean.
    """
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    software = [_version(package) for package in ("torch", "transformers", "tokenizers")]
    computed_by = [backend.attn, backend.dtype, backend.device, CODE_VERSION, *software]
    return sha256_json([model, digest.hexdigest(), max_length, pooling, computed_by])


def cached(
    key: str, compute: Callable[[], Embeddings], *, still_true: Callable[[], bool]
) -> Embeddings:
    """The embeddings named ``key``: read, or computed and kept.

    Another process that is computing the same is waited for. A cache that cannot be written is
    done without.

    Args:
        key: See ``embedding_key``.
        compute: Called where there are none, or they are damaged.
        still_true: Asked after ``compute``; the result is kept only if the key still says what
            it was computed from.
    """
    limit_bytes = _limit_bytes()
    path = _folder() / f"{key}.npy"
    if limit_bytes == 0:
        return compute()
    if (found := _read(path)) is not None:
        return found
    with contextlib.ExitStack() as held:
        with contextlib.suppress(UserError):
            held.enter_context(claimed(path.with_suffix(".lock")))
        if (found := _read(path)) is not None:
            return found
        result = compute()
        if result[0].nbytes <= limit_bytes and still_true():
            with contextlib.suppress(UserError, OSError):
                _write(path, result)
                _make_room(path, limit_bytes)
                return _mapped(path), result[1]  # pages that the system may take back
        return result


def _folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "mbrelease" / "embeddings"


def _limit_bytes() -> int:
    given = os.environ.get(LIMIT_VARIABLE) or str(LIMIT_GB)
    try:
        gigabytes = float(given)
    except ValueError:
        gigabytes = math.nan
    if not 0 <= gigabytes < math.inf:
        raise UserError(f"{LIMIT_VARIABLE}={given} is no number of gigabytes", mend="such as 10")
    return int(gigabytes * 1e9)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _read(path: Path) -> Embeddings | None:
    """What ``path`` holds, mapped into memory; ``None`` where it is missing or damaged."""
    try:
        with path.open("rb") as file:
            left = os.fstat(file.fileno()).st_size - _DIGEST_BYTES
            digest, count = hashlib.sha256(), b""
            while left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
                digest.update(chunk)
                left -= len(chunk)
                count = (count + chunk)[-_COUNT_BYTES:]
            if file.read() != digest.digest():
                return None
        vectors = _mapped(path)
        os.utime(path)  # used now
    except (OSError, ValueError):
        return None
    return vectors, int.from_bytes(count, "little")


def _mapped(path: Path) -> NDArray[np.float32]:
    # Copy on write: whoever changes the array changes no file.
    vectors: NDArray[np.float32] = np.load(path, mmap_mode="c", allow_pickle=False)
    return vectors


def _write(path: Path, embeddings: Embeddings) -> None:
    digest = hashlib.sha256()
    with atomic_file(path, mode=0o600) as file:
        for piece in _pieces(embeddings):
            digest.update(piece)
            file.write(piece)
        file.write(digest.digest())


def _pieces(embeddings: Embeddings) -> Iterator[bytes | memoryview]:
    vectors = np.ascontiguousarray(embeddings[0], dtype=np.float32)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(vectors))
    yield header.getvalue()
    yield from (row.data for row in vectors)
    yield embeddings[1].to_bytes(_COUNT_BYTES, "little")


def _make_room(newest: Path, limit_bytes: int) -> None:
    """Delete what was not used for longest until the folder fits; never ``newest``."""
    with locked(newest.parent / ".room"):
        kept = []
        for entry in newest.parent.iterdir():
            with contextlib.suppress(FileNotFoundError):
                stat = entry.stat()
                if entry.suffix == ".npy":
                    kept.append((entry != newest, stat.st_mtime_ns, stat.st_size, entry))
                elif entry.suffix and time.time() - stat.st_mtime > ABANDONED_SECONDS:
                    entry.unlink()  # of a writer that was killed
        total = sum(size for _, _, size, _ in kept)
        for is_old, _, size, entry in sorted(kept):
            if is_old and total > limit_bytes:
                entry.unlink(missing_ok=True)
                total -= size
