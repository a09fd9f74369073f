"""What the files of a registry said of a variant, at a commit and in the working tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from mbrelease.registry.document import parse_document
from mbrelease.registry.history.chunk import Reader, Unreadable, include_patterns
from mbrelease.registry.history.git import Objects
from mbrelease.registry.include import included_paths

_FOLDER = "40000"
_FILE = "100"
"""How the modes of files begin; links and submodules are none."""


@dataclass(frozen=True)
class Stand:
    """What was known of a variant at one time."""

    entry: Mapping[str, Any] | None = None
    """``None``: it was not there."""
    file: str | None = None
    """Where it stood, relative to the root of the repository."""
    unreadable: str | None = None
    """Why nothing is known: the place of a mistake and what it is."""


@dataclass(frozen=True)
class Blob:
    """One file at one time; ``key`` is the same for the same content."""

    key: str
    read: Callable[[], bytes | None]

    def text(self) -> str | Unreadable:
        """Its text."""
        return _decoded(self.read())


class Version(Protocol):
    """The files of a registry at one time."""

    def files(self) -> Iterator[tuple[str, Blob]]:
        """Each file with its path relative to the root of the repository."""
        ...


@dataclass
class Entries:
    """What blobs say; each is read once for each question, and none is kept."""

    reader: Reader = field(default_factory=Reader)
    _entries: dict[tuple[str, str], Any] = field(default_factory=dict)
    _names: dict[str, list[str]] = field(default_factory=dict)

    def entry(self, blob: Blob, name: str) -> Any:
        """The entry of ``name``, ``None``, or ``Unreadable``."""
        key = (blob.key, name)
        if key not in self._entries:
            text = blob.text()
            found = text if isinstance(text, Unreadable) else self.reader.entry(text, name)
            self._entries[key] = found
        return self._entries[key]

    def names(self, blob: Blob) -> list[str]:
        """The variants of a blob; none of one that cannot be read."""
        if blob.key not in self._names:
            text = blob.text()
            found = None if isinstance(text, Unreadable) else self.reader.names(text)
            self._names[blob.key] = found or []
        return self._names[blob.key]

    def stand(self, version: Version, name: str) -> Stand:
        """What ``version`` says of the variant ``name``."""
        unreadable = None
        for path, blob in version.files():
            entry = self.entry(blob, name)
            if isinstance(entry, Unreadable):
                unreadable = unreadable or f"{path}:{entry.why}"
            elif entry is not None:
                # A variant with nothing to say is written as {}.
                return Stand(entry if isinstance(entry, dict) else {}, path)
        return Stand(unreadable=unreadable)

    def all_names(self, version: Version) -> list[str]:
        """The names of all variants of a version."""
        return [name for _, blob in version.files() for name in self.names(blob)]


@dataclass
class Includes:
    """What the registries in blobs include."""

    objects: Objects
    _patterns: dict[str, list[str]] = field(default_factory=dict)

    def of(self, sha: str) -> list[str]:
        """The patterns of the registry in a blob."""
        if sha not in self._patterns:
            data = self.objects.read(sha)
            self._patterns[sha] = (
                _patterns(data) if data is not None and b"include:" in data else []
            )
        return self._patterns[sha]


@dataclass(frozen=True)
class Committed:
    """The files of the registry at ``path`` in the tree of a commit."""

    includes: Includes
    tree: str
    path: PurePosixPath

    def files(self) -> Iterator[tuple[str, Blob]]:
        """Each file with its path relative to the root of the repository."""
        found = self._registry()
        if found is None:
            return
        folder, own = found
        yield str(self.path), self._blob(own)
        seen = {str(self.path)}
        for pattern in self.includes.of(own):
            parts = PurePosixPath(pattern).parts
            for inner, sha in sorted(_matching(self.includes.objects, folder, parts)):
                path = str(self.path.parent / inner)
                if path not in seen:
                    seen.add(path)
                    yield path, self._blob(sha)

    def patterns(self) -> list[str]:
        """What the registry included."""
        found = self._registry()
        return self.includes.of(found[1]) if found is not None else []

    def _blob(self, sha: str) -> Blob:
        return Blob(sha, lambda: self.includes.objects.read(sha))

    def _registry(self) -> tuple[str, str] | None:
        """The tree of the registry's folder, and the registry's blob."""
        trees, folder = self.includes.objects, self.tree
        for part in self.path.parent.parts:
            mode, folder = trees.tree(folder).get(part, ("", ""))
            if mode != _FOLDER:
                return None
        mode, own = trees.tree(folder).get(self.path.name, ("", ""))
        return (folder, own) if mode.startswith(_FILE) else None


@dataclass(frozen=True)
class OnDisk:
    """The files of a registry as they stand in the working tree."""

    root: Path
    registry: Path

    def files(self) -> Iterator[tuple[str, Blob]]:
        """Each file with its path relative to the root of the repository."""
        for path in [self.registry, *self._included()]:
            if path.is_file():
                name = path.resolve().relative_to(self.root).as_posix()
                yield name, Blob(f"now:{name}", path.read_bytes)

    def _included(self) -> Sequence[Path]:
        patterns = _patterns(self.registry.read_bytes()) if self.registry.is_file() else []
        if not patterns:
            return []
        listed = "".join(f"  - {_quoted(pattern)}\n" for pattern in patterns)
        document = parse_document(f"include:\n{listed}".encode(), self.registry)
        return included_paths(document)[0]


def _matching(objects: Objects, tree: str, parts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The files below a tree whose path fits the parts of a pattern, with their blobs."""
    head, rest = parts[0], parts[1:]
    if head == "**" and rest:
        yield from _matching(objects, tree, rest)
    for name, (mode, sha) in objects.tree(tree).items():
        if name.startswith("."):
            continue
        if mode == _FOLDER and rest and (head == "**" or fnmatchcase(name, head)):
            inner = parts if head == "**" else rest
            yield from ((f"{name}/{path}", blob) for path, blob in _matching(objects, sha, inner))
        elif mode.startswith(_FILE) and not rest and fnmatchcase(name, head):
            yield name, sha


def _patterns(data: bytes) -> list[str]:
    text = _decoded(data)
    return [] if isinstance(text, Unreadable) else include_patterns(text)


def _decoded(data: bytes | None) -> str | Unreadable:
    if data is None:
        return Unreadable("1:1: git has not got this version here")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Unreadable(f"{line}:1: not UTF-8")


def _quoted(pattern: str) -> str:
    return "'" + pattern.replace("'", "''") + "'"
