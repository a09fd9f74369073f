"""Every byte written goes through here: whole or not at all, and named by its content."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from mbrelease.errors import UserError

RESUME = ".resume"
"""What only the writer of an unfinished folder needs; gone when the folder is finished."""


def sha256_bytes(data: bytes) -> str:
    """Hex sha256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in pieces.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def canonical_json(value: Any) -> str:
    """JSON text in which equal values have equal bytes: sorted keys, no spaces, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def sha256_json(value: Any) -> str:
    """Hex sha256 of the canonical JSON of ``value``."""
    return sha256_bytes(canonical_json(value).encode())


def json_text(value: Any) -> str:
    """JSON for files that people read and git compares: indented, with a final newline."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        UserError: the file is missing, unreadable or not JSON (``file:line:column``).
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    return parse_json(data, path)


def parse_json(data: bytes, place: Path) -> Any:
    """Parse JSON that was read from ``place``.

    Raises:
        UserError: it is not JSON (``file:line:column``).
    """
    try:
        return json.loads(data.decode())
    except json.JSONDecodeError as error:
        raise UserError(f"{place}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{place}: not UTF-8 text (byte {error.start})") from error
    except ValueError as error:
        raise UserError(f"{place}: not JSON: a number of too many digits") from error
    except RecursionError as error:
        raise UserError(f"{place}: not JSON: nested too deep") from error


@contextlib.contextmanager
def atomic_file(path: Path, *, mode: int | None = None) -> Iterator[IO[bytes]]:
    """Yield a file that becomes ``path`` when the block ends well, and vanishes otherwise.

    The bytes go to a temporary file in the same folder, are synced, and the file is renamed.
    Its permissions are ``mode``, or what the umask leaves.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise unwritable(path, error) from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask() if mode is None else mode)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Write ``data`` as the whole of ``path``, or leave ``path`` as it was."""
    with atomic_file(path, mode=mode) as file:
        file.write(data)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write several files of ``folder`` by name; none takes its place before all are on the disk.

    A file that is replaced keeps its permissions.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    with contextlib.ExitStack() as stack:
        for name, data in files.items():
            path = folder / name
            mode = path.stat().st_mode & 0o777 if path.exists() else None
            file = stack.enter_context(atomic_file(path, mode=mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, its line ends as they are.

    Raises:
        UserError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text", mend="restore it, or delete it") from error


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as readable JSON, whole or not at all."""
    write_text(path, json_text(value))


def append_line(path: Path, line: str) -> None:
    """Add ``line`` at the end of ``path``, or leave ``path`` as it was; the caller holds a lock.

    The file is written anew and renamed: what is added in place can be cut in half by a crash.

    Raises:
        UserError: the file cannot be read, the folder cannot be written or the disk is full.
    """
    try:
        before = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise unreadable(path, error) from error
    end = b"" if not before or before.endswith(b"\n") else b"\n"
    write_bytes(path, before + end + line.encode() + b"\n")


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``path`` when the block ends well.

    An existing ``path`` is moved aside first and deleted last, so that a kill in between leaves
    either the old or the new folder under ``path``, or, in the instant between two renames,
    none and the old one beside it as ``.<name>.old``. What a killed writer left is swept away.

    Raises:
        UserError: the parent folder cannot be written or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
        held = os.open(temporary, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield temporary
        _replace(temporary, path)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise unwritable(path, error) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(held)


@contextlib.contextmanager
def resumable_folder(path: Path, state: str) -> Iterator[Path]:
    """Yield a folder that takes the place of ``path`` when the block ends well.

    Like ``atomic_folder``, but one whose writer was killed or interrupted stays beside ``path`` as
    ``.<name>.partial`` and is yielded again, with what is in it, to a writer with the same
    ``state``. Another state, or a failure that is told, removes it. What lies in ``RESUME`` inside
    is not part of the result.

    Raises:
        UserError: the parent folder cannot be written, the disk is full, another process is
            writing ``path``, or no folder can take its place.
    """
    if path.name in ("", "..") or path.is_mount():
        raise UserError(
            f"no folder can take the place of {path}, which is in use",
            mend=f"name a new one inside it: {path / 'NAME'}",
        )
    temporary = path.parent / f".{path.name}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = _hold(temporary)
    except OSError as error:
        raise unwritable(path, error) from error
    keep = False
    try:
        mark = temporary / RESUME / "state"
        same = mark.is_file() and mark.read_text(encoding="utf-8") == state
        for entry in temporary.iterdir():
            # A temporary file in it is of a writer that was killed.
            if not same or entry.match(".*.tmp"):
                _remove(entry)
        write_text(mark, state)
        yield temporary
        _replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    except KeyboardInterrupt:
        keep = True
        raise
    finally:
        if not keep:
            shutil.rmtree(temporary, ignore_errors=True)
        os.close(held)


def _hold(folder: Path) -> int:
    """Make ``folder`` if it is not there, and lock it."""
    while True:
        folder.mkdir(exist_ok=True)
        # Never through a link that another put there: what lies behind it would be removed.
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise UserError(
                f"another process is writing {folder.parent / _final_name(folder)}",
                mend="wait for it, or choose another output",
            ) from None
        # Its former holder may have given it its final name, or removed it, in between.
        if folder.exists() and os.path.samestat(folder.stat(), os.fstat(descriptor)):
            return descriptor
        os.close(descriptor)


def _final_name(partial: Path) -> str:
    return partial.name.removeprefix(".").removesuffix(".partial")


def _replace(temporary: Path, path: Path) -> None:
    """Let the finished folder ``temporary`` take the place of ``path``."""
    old = path.parent / f".{path.name}.old"
    for entry in [*sorted(temporary.rglob("*")), temporary]:
        if not entry.is_symlink():  # what it points to is another's, or may not be there
            sync(entry)
    if (temporary / RESUME).exists():
        _remove(temporary / RESUME)
        sync(temporary)
    temporary.chmod(0o777 & ~_umask())
    _remove(old)
    if path.exists() or path.is_symlink():
        path.rename(old)
    temporary.rename(path)
    sync(path.parent)
    _remove(old)


def _sweep(path: Path) -> None:
    """Remove the unfinished folders of writers of ``path`` that are no more: nobody locks them."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if not left.is_dir():
            continue
        descriptor = os.open(left, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            continue  # its writer is alive
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` (a file made for it), waiting for another holder.

    ``on_wait`` is called once if there is one.

    The lock is the kernel's (``flock``), so a killed holder leaves none behind.

    Raises:
        UserError: the folder cannot be written, or its file system knows no locks.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    except OSError as error:
        raise unwritable(path, error) from error
    with handle:
        try:
            _lock(handle, on_wait)
        except OSError as error:
            raise UserError(
                f"cannot lock {path}: {error.strerror or error}",
                mend="use a folder on a file system that knows locks",
            ) from error
        yield


def _lock(handle: IO[str], on_wait: Callable[[], None]) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(handle, fcntl.LOCK_EX)


@contextlib.contextmanager
def claimed(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Claim a piece of work by the lock of ``path``, a file that is there as long as the claim.

    Yields whether this process has it: without ``wait``, not where another holds it. Where the
    file system knows no locks everyone has it, so two processes may do the same work, which must
    do no harm.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _claim(path, wait=wait)
    except OSError as error:
        raise unwritable(path, error) from error
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _claim(path: Path, *, wait: bool) -> int | None:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                return descriptor
            os.close(descriptor)
            raise
        except BaseException:  # interrupted while waiting
            os.close(descriptor)
            raise
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
        os.close(descriptor)  # its former holder removed it between opening and locking


def sync(path: Path) -> None:
    """Make the bytes of a file durable, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Delete a folder, a file or a link (never what it points to), if it is there."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def unreadable(path: Path, error: OSError) -> UserError:
    """The sentence for a file that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path} does not exist")
    return UserError(f"cannot read {path}: {error.strerror or error}")


def unwritable(path: Path, error: OSError) -> UserError:
    """The sentence for a path that cannot be written."""
    if error.errno == errno.ENOSPC:
        return UserError(f"the disk is full: {path} was not written", mend="free some space")
    return UserError(
        f"cannot write {path}: {error.strerror or error}",
        mend="check that the folder may be written, or choose another",
    )


def _umask() -> int:
    # There is no call that only reads the umask.
    mask = os.umask(0)
    os.umask(mask)
    return mask
