"""Which files a registry is made of, and their bytes."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
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
    folder = (registry.resolve() if registry.is_symlink() else registry).parent
    own = registry.resolve()
    return each_once(path for pattern in patterns for path in _matching(folder, pattern, own))


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


def _matching(folder: Path, pattern: str, registry: Path) -> list[Path]:
    """The files that a pattern means.

    Raises:
        UserError: there is none, or one is outside the folder of the registry.
    """
    said = f"include '{pattern if pattern.isprintable() else repr(pattern)[1:-1]}'"
    steps = PurePosixPath(pattern)
    if steps.is_absolute() or ".." in steps.parts:
        raise UserError(f"{said} leads out of the folder of the registry")
    wild = bool(_WILD & set(pattern))
    try:
        paths = sorted(folder.glob(pattern)) if wild else [folder / pattern]
        files = [path for path in paths if path.is_file() and not _hidden(path, folder)]
    except (ValueError, OSError) as error:
        raise UserError(f"{said} is no pattern: {str(error).lower()}") from error
    if wild:
        files = [path for path in files if path.resolve() != registry]
        if not files:
            raise UserError(f"{said} matches no file")
    elif paths[0].is_dir():
        raise UserError(f"{said} is a folder; write '{steps / '*.yaml'}'")
    elif not files:
        raise UserError(f"{said} is not there")
    for path in files:
        if path.resolve() == registry:
            raise UserError(f"{said} is the registry itself")
        if not path.resolve().is_relative_to(folder.resolve()):
            shown = path.relative_to(folder).as_posix()
            raise UserError(f"{said}: {shown} leads out of the folder of the registry")
    return files


def _hidden(path: Path, folder: Path) -> bool:
    """Whether it is what editors and version control keep to themselves."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
