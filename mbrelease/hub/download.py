"""Read back what was published, and hash the bytes that really came.

The client's own downloads take the server's ETag on trust; cases are known where a server gave
other bytes than the hash it named. Small files come the way in which everyone downloads them. Of
large ones the client asks for the head, as it always does first, and the bytes are hashed as they
come: where a file of the same bytes is at hand, they are not kept a second time.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from mbrelease.errors import CheckFailed, UserError
from mbrelease.file_hashes import cache_folder
from mbrelease.files import claimed, sha256_bytes, sha256_file, unwritable
from mbrelease.hub.client import (
    headers_of,
    is_ambiguous,
    patience,
    raise_for_status,
    sentences,
    shown_endpoint,
    status_code,
)
from mbrelease.hub.contents import LocalFile
from mbrelease.hub.patience import patiently
from mbrelease.progress import SILENT, Progress

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PAUSES_SECONDS = (0.5, 2.0, 5.0)
DOWNLOADS_AT_ONCE = 4
CHUNK_BYTES = 1 << 20
LARGE_BYTES = 10_000_000
"""From here on a file is no text, and the Hub keeps it as an object of its own."""
FORGOTTEN_SECONDS = 7 * 86_400

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Served:
    """What came of a file."""

    sha256: str
    size_bytes: int


@contextlib.contextmanager
def download_folder(api: HfApi, repo_id: str, commit: str) -> Iterator[Path]:
    """A folder for the files of a commit; what is left in it by an interruption is found again.

    It is removed when the block ends, unless that is by an exception that another run can mend.

    Raises:
        UserError: there is no place for it.
    """
    name = sha256_bytes(f"{shown_endpoint(api)} {repo_id} {commit}".encode())[:24]
    place = cache_folder() / "mbrelease" / "downloads"
    _forget_old(place)
    with contextlib.ExitStack() as stack:
        try:
            is_ours = stack.enter_context(claimed(place / f"{name}.lock", wait=False))
        except UserError:
            is_ours = False  # no cache can be written here
        if not is_ours:
            yield Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mbrelease-")))
            return
        folder = place / name
        folder.mkdir(exist_ok=True)
        try:
            yield folder
        except (Interrupted, KeyboardInterrupt):
            raise
        except BaseException:
            # What was found wrong is asked for again, and not looked up here.
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


class Interrupted(CheckFailed):
    """A download that did not come to its end; it goes on from there."""


def _forget_old(place: Path) -> None:
    """Remove what nobody came back for."""
    with contextlib.suppress(OSError):
        for folder in place.iterdir():
            if folder.is_dir() and folder.stat().st_mtime < time.time() - FORGOTTEN_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Wanted:
    """A file to download."""

    path: str
    size_bytes: int
    sha256: str | None = None
    """Of what should come, where that is known."""
    at_hand: Path | None = None
    """A file that should be the same: if it is a large one and they are, it is linked to."""


def download(
    api: HfApi,
    repo_id: str,
    commit: str,
    files: Collection[Wanted],
    folder: Path,
    *,
    progress: Progress = SILENT,
) -> dict[str, Served | None]:
    """Download ``files`` at ``commit`` and say, by path, what came; ``None`` for nothing.

    Args:
        api: any client.
        repo_id, commit: the model, and its commit in 40 hex digits.
        files: what is asked for.
        folder: where they are put; what is there of an earlier run is not asked for again.
        progress: is told the bytes.

    Raises:
        CheckFailed: a path leads out of ``folder``.
        Interrupted: a file could not be read.
    """
    for file in files:
        _refuse_to_leave(file.path)
    progress.start("reading back", sum(file.size_bytes for file in files), "bytes")
    downloads = {
        file.path: _Download(api, repo_id, commit, file, folder, progress).run for file in files
    }
    return _at_once(downloads, api, repo_id)


def read_heads(
    api: HfApi, repo_id: str, commit: str, files: Collection[Wanted]
) -> dict[str, str | None]:
    """Ask by which hash the Hub knows what it would serve of ``files`` at ``commit``, by path.

    It is git's hash, or the sha256 of a large file; ``None`` where there is no such file.

    Raises:
        CheckFailed: they are served as those of another commit.
        Interrupted: the Hub could not be asked.
    """
    heads = {
        file.path: _Download(api, repo_id, commit, file, Path(), SILENT).head for file in files
    }
    return _at_once(heads, api, repo_id)


def _at_once(
    jobs: Mapping[str, Callable[[], Answer]], api: HfApi, repo_id: str
) -> dict[str, Answer]:
    """The answers of ``jobs``, of which a few are done at a time."""
    pool = ThreadPoolExecutor(DOWNLOADS_AT_ONCE)
    try:
        begun = [(name, pool.submit(copy_context().run, job)) for name, job in jobs.items()]
        answers = {}
        for name, job in begun:
            with _interruptible(api, repo_id):
                answers[name] = job.result()
    finally:
        # After a failure or Ctrl-C, what has not begun is not begun.
        pool.shutdown(cancel_futures=True)
    return answers


def _mended(ask: Callable[[], Answer]) -> Answer:
    """What ``ask`` returns, however often the connection breaks."""
    for pause in PAUSES_SECONDS:
        try:
            return patiently(ask)
        except Exception as error:
            if not _may_mend(error):
                raise
            time.sleep(pause)
    return patiently(ask)


def difference(file: LocalFile, served: Served | None) -> str | None:
    """How what came differs from what was sent."""
    if served is None:
        return "is not there"
    if served.size_bytes != file.size_bytes:
        return f"has {served.size_bytes} bytes, {file.size_bytes} were sent"
    if served.sha256 != file.sha256:
        return f"has sha256 {served.sha256[:12]}…, {file.sha256[:12]}… was sent"
    return None


@contextlib.contextmanager
def _interruptible(api: HfApi, repo_id: str) -> Iterator[None]:
    try:
        with sentences(api, repo_id):
            yield
    except CheckFailed as error:
        raise Interrupted(error.message, mend=error.mend) from error


@dataclass(frozen=True)
class _Download:
    """One file on its way."""

    api: HfApi
    repo_id: str
    commit: str
    file: Wanted
    folder: Path
    progress: Progress
    hashed: _Hashed = field(default_factory=lambda: _Hashed())

    @property
    def place(self) -> Path:
        """Where it is put."""
        return self.folder / self.file.path

    def run(self) -> Served | None:
        """Fetch it, however often the connection breaks; ``None`` where there is no such file."""
        return _mended(self._fetch)

    def head(self) -> str | None:
        """The hash of the object that is served for it; ``None`` where there is no such file."""
        return _mended(self._head)

    def _head(self) -> str | None:
        try:
            return self._check_head()
        except Exception as error:
            if _says_missing(error):
                return None
            raise

    def _fetch(self) -> Served | None:
        try:
            if self.file.size_bytes < LARGE_BYTES:
                return self._fetch_small()
            return self._fetch_large()
        except Exception as error:
            if _says_missing(error):
                return None
            raise

    def _fetch_small(self) -> Served:
        self.api.hf_hub_download(
            self.repo_id,
            self.file.path,
            revision=self.commit,
            local_dir=self.folder,
            # What the user's own cache holds proves nothing of what is served.
            cache_dir=self.folder / ".cache" / "hub",
        )
        self.progress.advance(self.file.size_bytes)
        return Served(sha256_file(self.place), self.place.stat().st_size)

    def _fetch_large(self) -> Served:
        if self.place.is_file():  # of an earlier run
            self.progress.advance(self.file.size_bytes)
            return Served(sha256_file(self.place), self.place.stat().st_size)
        self._check_head()
        self.place.parent.mkdir(parents=True, exist_ok=True)
        if self.file.at_hand is None:
            part = self.place.with_name(f"{self.place.name}.part")
            with _appended(part) as out:
                served = self._stream(_Hashed.of(part), out)
            part.replace(self.place)
            return served
        served = self._stream(self.hashed, None)
        if served.sha256 == self.file.sha256:
            self.place.symlink_to(self.file.at_hand.resolve())
        return served

    def _check_head(self) -> str | None:
        """See that the client would take what is served for the file of this commit.

        Returns:
            The hash by which the Hub knows the object: git's, or the sha256 of a large file.
        """
        found = self.api.get_hf_file_metadata(url=self._url(), token=self.api.token)
        if found.commit_hash != self.commit:
            told = found.commit_hash[:12] if found.commit_hash else "none"
            raise CheckFailed(
                f"{self.repo_id}: {self.file.path} is served as of commit {told}, and was asked "
                f"for at {self.commit[:12]}",
                mend="run the same command again; if it stays, tell the Hub",
            )
        return found.etag

    def _url(self) -> str:
        return f"{self.api.endpoint}/{self.repo_id}/resolve/{self.commit}/{quote(self.file.path)}"

    def _stream(self, hashed: _Hashed, out: IO[bytes] | None) -> Served:
        """Hash what comes; after a cut, ask for the rest."""
        while True:
            before = hashed.size_bytes
            try:
                self._stream_once(hashed, out)
                return Served(hashed.digest.hexdigest(), hashed.size_bytes)
            except Exception as error:
                # As long as something comes, it comes to its end.
                if hashed.size_bytes == before or not is_ambiguous(error):
                    raise
                time.sleep(PAUSES_SECONDS[0])

    def _stream_once(self, hashed: _Hashed, out: IO[bytes] | None) -> None:
        from huggingface_hub import get_session

        # A compressed answer could not be told from a cut one by its length.
        headers = {**headers_of(self.api), "Accept-Encoding": "identity"}
        if hashed.size_bytes:
            headers["Range"] = f"bytes={hashed.size_bytes}-"
        stream = get_session().stream("GET", self._url(), headers=headers, timeout=patience())
        with stream as response:
            if response.status_code == 416:  # all of it had come
                return
            if response.status_code >= 400:
                response.read()
            raise_for_status(response)
            if hashed.size_bytes and not _goes_on(response, hashed.size_bytes):
                self.progress.advance(-hashed.size_bytes)
                hashed.begin_anew()
                if out is not None:
                    out.truncate(0)
            # As they come: what waits for more is lost with the connection.
            for chunk in response.iter_bytes():
                if out is not None:
                    out.write(chunk)
                hashed.update(chunk)
                self.progress.advance(len(chunk))


class _Hashed:
    """The digest of what has come so far."""

    def __init__(self) -> None:
        self.begin_anew()

    @classmethod
    def of(cls, path: Path) -> _Hashed:
        """Of what a file holds that may not be there."""
        hashed = cls()
        if path.is_file():
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    hashed.update(chunk)
        return hashed

    def begin_anew(self) -> None:
        """Forget what has come."""
        self.digest, self.size_bytes = hashlib.sha256(), 0

    def update(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.digest.update(chunk)
        self.size_bytes += len(chunk)


def _goes_on(response: Any, start: int) -> bool:
    told = str(response.headers.get("content-range", ""))
    return response.status_code == 206 and told.startswith(f"bytes {start}-")


def _says_missing(error: Exception) -> bool:
    """Whether the Hub knows the commit and says that it lacks the file."""
    from huggingface_hub.errors import (
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # the client looked for it on disk after that
    elsewhere = isinstance(error, RepositoryNotFoundError | RevisionNotFoundError)
    return status_code(error) == 404 and not elsewhere


def _may_mend(error: Exception) -> bool:
    """Whether asking again can help: a lost connection, or fewer bytes than were announced.

    The commit is known to be there: a server that knows none such lags behind.
    """
    import httpx2
    from huggingface_hub.errors import RevisionNotFoundError

    return (
        is_ambiguous(error)
        or isinstance(error, RevisionNotFoundError | httpx2.ConnectError)
        or (type(error) is OSError and "Consistency check" in str(error))
    )


@contextlib.contextmanager
def _appended(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("ab") as file:
            yield file
    except OSError as error:
        raise unwritable(path, error) from error


def _refuse_to_leave(path: str) -> None:
    """A server names the files; none of them may lie outside of the folder.

    Raises:
        CheckFailed: this one would.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        raise CheckFailed(f"the Hub names a file {path!r}, which would lie outside of the folder")
