"""Which files a registry is made of, and their bytes."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path, PurePosixPath

from mbrelease.errors import UserError
from mbrelease.files import unreadable

MAX_BYTES = 32 * 2**20
"""Of one file. Ten thousand variants are about 2 MB, and a minute of reading is long enough."""

_WILD = frozenset("*?[")


def read_bytes(path: Path) -> bytes:
    """The bytes of a registry file.

    Raises:
        UserError: it cannot be read, is no file (a pipe would be waited for), or is too large.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise UserError(f"cannot read {path}: not a regular file")
        if found.st_size > MAX_BYTES:
            raise UserError(
                f"{path} has {found.st_size:,} bytes; a registry has {MAX_BYTES:,} at most"
            )
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def included_by(registry: Path, patterns: Sequence[str]) -> list[Path]:
    """The files that some patterns in the registry at this path mean.

    Raises:
        UserError: a pattern leads nowhere.
    """
    found: list[Path] = []
    for pattern in patterns:
        files, problems = matching(registry, pattern)
        if problems:
            raise UserError(problems[0])
        found += files
    return each_once(found)


def matching(registry: Path, pattern: str) -> tuple[list[Path], list[str]]:
    """The files that one pattern in the registry at this path means, and what is wrong with it.

    A file that may not be included is told and left out; the others are found all the same.
    """
    folder = (registry.resolve() if registry.is_symlink() else registry).parent
    said = f"include '{pattern if pattern.isprintable() else repr(pattern)[1:-1]}'"
    try:
        files = _found(folder, pattern, registry.resolve())
    except UserError as problem:
        return [], [f"{said}{problem.message}"]
    inside = folder.resolve()
    outside = [path for path in files if not path.resolve().is_relative_to(inside)]
    problems = [
        f"{said}: {path.relative_to(folder).as_posix()} leads out of the folder of the registry"
        for path in outside
    ]
    return [path for path in files if path not in outside], problems


def each_once(paths: Iterable[Path]) -> list[Path]:
    """The paths in their order, without those that lead where one before them leads."""
    found: dict[Path, Path] = {}
    for path in paths:
        found.setdefault(path.resolve(), path)
    return list(found.values())


def matches(pattern: str, path: PurePosixPath) -> bool:
    """Whether ``include`` would find a file at ``path``, relative to the registry, by ``pattern``.

    As ``Path.glob``: ``**`` is any number of folders.
    """

    def match(patterns: Sequence[str], parts: Sequence[str]) -> bool:
        if not patterns or not parts:
            return not patterns and not parts
        if patterns[0] == "**":
            return match(patterns[1:], parts) or match(patterns, parts[1:])
        return fnmatchcase(parts[0], patterns[0]) and match(patterns[1:], parts[1:])

    if path.is_absolute() or any(part.startswith(".") for part in path.parts):
        return False
    return match(PurePosixPath(pattern).parts, path.parts)


def _found(folder: Path, pattern: str, registry: Path) -> list[Path]:
    """The files that a pattern finds.

    Raises:
        UserError: there is none; the message goes on where the pattern was named.
    """
    steps = PurePosixPath(pattern)
    if steps.is_absolute() or ".." in steps.parts:
        raise UserError(" leads out of the folder of the registry")
    wild = bool(_WILD & set(pattern))
    try:
        paths = sorted(folder.glob(pattern)) if wild else [folder / pattern]
        files = [path for path in paths if path.is_file() and not _hidden(path, folder)]
    except PermissionError as error:
        raise UserError(" cannot be read: Permission denied") from error
    except (ValueError, OSError) as error:
        raise UserError(f" is no pattern: {str(error).lower()}") from error
    if wild:
        files = [path for path in files if path.resolve() != registry]
        if not files:
            raise UserError(_nothing_found(folder, steps))
    elif paths[0].is_dir():
        raise UserError(f" is a folder; write '{steps / '*.yaml'}'")
    elif not files:
        raise UserError(" is not there")
    elif files[0].resolve() == registry:
        raise UserError(" is the registry itself")
    return files


def _nothing_found(folder: Path, steps: PurePosixPath) -> str:
    """Why a pattern finds no file: a folder that may not be listed looks like an empty one."""
    fixed = takewhile(lambda step: not _WILD & set(step), steps.parts)
    searched = folder.joinpath(*fixed)
    try:
        next(searched.iterdir(), None)
    except PermissionError:
        shown = searched.relative_to(folder).as_posix()
        return f": the folder {shown} cannot be read: Permission denied"
    except (OSError, ValueError):
        pass  # it is not there
    return " matches no file"


def _hidden(path: Path, folder: Path) -> bool:
    """Whether it is what editors and version control keep to themselves."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
