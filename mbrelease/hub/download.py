"""Read back what was published, and hash the bytes that really came.

The client's own downloads take the server's ETag on trust; cases are known where a server gave
other bytes than the hash it named.
"""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote

from mbrelease.hub.client import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    headers_of,
    is_ambiguous,
    raise_for_status,
    sentences,
)
from mbrelease.hub.contents import LocalFile
from mbrelease.progress import SILENT, Progress

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PAUSES_SECONDS = (0.5, 2.0, 5.0)
DOWNLOADS_AT_ONCE = 4
CHUNK_BYTES = 1 << 20


def find_differences(
    api: HfApi,
    repo_id: str,
    commit: str,
    files: tuple[LocalFile, ...],
    progress: Progress = SILENT,
) -> dict[str, str]:
    """Download ``files`` at ``commit`` and say, by path, how each one that differs does so.

    Raises:
        CheckFailed: a file could not be read (as opposed to: read, and different).
    """
    progress.start("reading back", len(files), "files")
    pool = ThreadPoolExecutor(DOWNLOADS_AT_ONCE)
    try:
        jobs = [
            (file, pool.submit(remote_sha256, api, repo_id, commit, file.path)) for file in files
        ]
        differences = {}
        for file, job in jobs:
            with sentences(api, repo_id):
                fault = _fault(file, job.result())
            if fault is not None:
                differences[file.path] = fault
            progress.advance()
    finally:
        # After a failure or Ctrl-C, what has not begun is not begun.
        pool.shutdown(cancel_futures=True)
    return differences


def _fault(file: LocalFile, found: tuple[str, int] | None) -> str | None:
    if found is None:
        return "is not there"
    digest, size = found
    if size != file.size_bytes:
        return f"has {size} bytes, {file.size_bytes} were sent"
    if digest != file.sha256:
        return f"has sha256 {digest[:12]}…, {file.sha256[:12]}… was sent"
    return None


def remote_sha256(api: HfApi, repo_id: str, commit: str, path: str) -> tuple[str, int] | None:
    """Hex sha256 and size in bytes of what the Hub serves for ``path``, or ``None`` for nothing.

    The bytes are streamed, and kept nowhere; a broken connection is tried again.
    """
    import httpx2

    for pause in PAUSES_SECONDS:
        try:
            return _stream_sha256(api, repo_id, commit, path)
        except Exception as error:
            if not is_ambiguous(error) and not isinstance(error, httpx2.ConnectError):
                raise
            time.sleep(pause)
    return _stream_sha256(api, repo_id, commit, path)


def _stream_sha256(api: HfApi, repo_id: str, commit: str, path: str) -> tuple[str, int] | None:
    import httpx2
    from huggingface_hub import get_session

    # A compressed answer could not be told from a cut one by its length.
    headers = {**headers_of(api), "Accept-Encoding": "identity"}
    url = f"{api.endpoint}/{repo_id}/resolve/{commit}/{quote(path)}"
    timeout = httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    digest, size = hashlib.sha256(), 0
    with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
        if response.status_code == 404:
            return None
        raise_for_status(response)
        for chunk in response.iter_bytes(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size
