"""A registry in several files: ``include: [variants/*.yaml]``.

What the files say is joined into one tree in which every node knows its file, so that all that
looks names up or tells of mistakes need not know that there are several.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol

from mbrelease.errors import UserError, did_you_mean
from mbrelease.files import unreadable
from mbrelease.registry.composing import MAX_REPEATED_NODES
from mbrelease.registry.document import Document, Node, parse_document
from mbrelease.registry.journal import at_one_moment
from mbrelease.registry.mistakes import InvalidRegistry, Mistake, shown_path
from mbrelease.registry.nodes import Inside
from mbrelease.registry.project import REGISTRY_NAME

SHELVES = {
    "suites": "suite",
    "policies": "policy",
    "variants": "variant",
    "peers": "peer",
    "document_sets": "document set",
    "tables": "table",
    "aliases": "alias",
}
"""What an included file may hold, and what each entry of it is called."""

_HOLDS = f"an included file may hold {', '.join(SHELVES)}"
MAX_BYTES = 32 * 2**20
"""Of one file. Ten thousand variants are about 2 MB, and a minute of reading is long enough."""

_WILD = frozenset("*?[")


class Parse(Protocol):
    """``parse_document``, or what does the same."""

    def __call__(self, data: bytes, path: Path, *, file: int = 0) -> Document:
        """The document of one file."""


def read_document(path: Path, changed: Mapping[Path, bytes] | None = None) -> Document:
    """The registry at ``path`` with all that it includes.

    Args:
        path: the registry.
        changed: bytes to read in the place of those of some files, by the paths under which the
            document's ``files`` have them.

    Raises:
        InvalidRegistry: a file of it cannot be parsed, or what is included does not go together.
        UserError: a file cannot be read.
    """
    return join(*read_parts(path, changed))


def read_parts(
    path: Path, changed: Mapping[Path, bytes] | None = None, *, parse: Parse = parse_document
) -> tuple[list[Document], list[Mistake]]:
    """The files of a registry, each a document of its own, and what is wrong with ``include``.

    Args:
        path: the registry.
        changed: as for ``read_document``.
        parse: reads one file.

    Raises:
        InvalidRegistry: a file of it cannot be parsed.
        UserError: a file cannot be read.
    """
    read = partial(_read_all, path, changed or {}, parse)
    main, included_files, mistakes = at_one_moment(path, read, read_bytes)
    documents = [main]
    texts: dict[Path, str] = {}
    for number, (included, data) in enumerate(included_files, 1):
        try:
            documents.append(parse(data, included, file=number))
        except InvalidRegistry as error:
            texts |= error.texts
            mistakes += [replace(mistake, path=included) for mistake in error.mistakes]
    if len(documents) <= len(included_files):
        # Names that stand in what could not be read would be told as lost.
        told = [mistake for document in documents for mistake in document.mistakes]
        texts |= {one.path: one.text for one in documents}
        raise InvalidRegistry(path, [*told, *mistakes], texts=texts)
    return documents, mistakes


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


def included_paths(main: Document) -> tuple[list[Path], list[Mistake]]:
    """The files that a registry includes, in their order, and patterns that lead nowhere."""
    node = main.root.child("include")
    if node is None or not isinstance(node.children, list):
        return [], []  # the schema tells
    found: list[Path] = []
    mistakes: list[Mistake] = []
    for child in node.children:
        if not isinstance(child.value, str):
            continue
        try:
            found += included_by(main.path, [child.value])
        except UserError as problem:
            mistakes.append(main.mistake_at(child, problem.message))
    return _each_once(found), mistakes


def included_by(registry: Path, patterns: Sequence[str]) -> list[Path]:
    """The files that some patterns in the registry at this path mean.

    Raises:
        UserError: a pattern leads nowhere.
    """
    folder = (registry.resolve() if registry.is_symlink() else registry).parent
    own = registry.resolve()
    return _each_once(path for pattern in patterns for path in _matching(folder, pattern, own))


def _each_once(paths: Iterable[Path]) -> list[Path]:
    found: dict[Path, Path] = {}
    for path in paths:
        found.setdefault(path.resolve(), path)
    return list(found.values())


def is_part(path: Path) -> bool:
    """Whether the file has what is included, and not what every registry has."""
    try:
        value = parse_document(read_bytes(path), path).value
    except InvalidRegistry:
        return path.name != REGISTRY_NAME
    return isinstance(value, dict) and not {"version", "family"} & set(value)


def including_registry(path: Path) -> Path | None:
    """The registry above ``path`` that includes it, if one does."""
    wanted = path.resolve()
    for folder in wanted.parents:
        registry = folder / REGISTRY_NAME
        if registry == wanted or not registry.is_file():
            continue
        try:
            paths, _ = included_paths(parse_document(read_bytes(registry), registry))
        except UserError:
            continue
        if wanted in {included.resolve() for included in paths}:
            return registry
    return None


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


def _read_all(
    path: Path, changed: Mapping[Path, bytes], parse: Parse, read: Callable[[Path], bytes]
) -> tuple[Document, list[tuple[Path, bytes]], list[Mistake]]:
    """The registry itself, the bytes of what it includes, and what is wrong with ``include``."""
    main = parse(changed[path] if path in changed else read(path), path)
    paths, mistakes = included_paths(main)
    files = [(one, changed[one] if one in changed else read(one)) for one in paths]
    return main, files, mistakes


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


def join(documents: Sequence[Document], of_include: Sequence[Mistake] = ()) -> Document:
    """The files, the registry itself first, as one document.

    Raises:
        InvalidRegistry: aliases repeat too much in all of them together.
    """
    mistakes = [*(mistake for one in documents for mistake in one.mistakes), *of_include]
    main = documents[0]
    files = tuple(file for document in documents for file in document.files)
    repeated = sum(document.repeated for document in documents)
    whole = Document(files, main.root, tuple(mistakes), repeated)
    if repeated > MAX_REPEATED_NODES:
        what = f"aliases repeat more than {MAX_REPEATED_NODES:,} values in all files together"
        told = [*mistakes, whole.mistake(("include",), what, key=True)]
        raise InvalidRegistry(main.path, told, texts=whole.texts)
    told = list(mistakes)
    shelves = {name: [pair] for name, pair in _entries(main.root)}
    for document in documents[1:]:
        if not isinstance(document.root.children, dict):
            told.append(whole.mistake_at(document.root, _HOLDS))
        for name, (key, node) in _entries(document.root):
            if name in SHELVES:
                shelves.setdefault(name, []).append((key, node))
            else:
                told.append(whole.mistake_at(key, _misplaced(name)))
    keys = {name: pairs[0][0] for name, pairs in shelves.items()}
    children = {
        name: _shelf(whole, name, [node for _, node in pairs], told)
        for name, pairs in shelves.items()
    }
    value = {name: child.value for name, child in children.items()}
    if isinstance(main.root.children, dict):
        root = main.root.with_inside(value, Inside(keys, children))
        whole = replace(whole, root=root)
    return replace(whole, mistakes=tuple(told))


def _entries(root: Node) -> Iterator[tuple[str, tuple[Node, Node]]]:
    """The names at the top of a file, each with its key and its value."""
    if isinstance(root.children, dict) and root.keys is not None:
        for name, child in root.children.items():
            yield name, (root.keys[name], child)


def _misplaced(name: str) -> str:
    if name == "include":
        return "an included file cannot include others; name them in the registry"
    if name in ("version", "family", "defaults"):
        return f"'{name}' stands in the registry itself, not in a file that it includes"
    close = did_you_mean(name, SHELVES)
    return f"unknown key '{name}' in an included file" + (f", {close}" if close else f"; {_HOLDS}")


def _shelf(whole: Document, name: str, nodes: Sequence[Node], told: list[Mistake]) -> Node:
    """What all files have under one name; ``told`` gains what is there twice."""
    if len(nodes) == 1:
        return nodes[0]
    keys: dict[str, Node] = {}
    children: dict[str, Node] = {}
    for node in nodes:
        if not isinstance(node.children, dict) or node.keys is None:
            told.append(whole.mistake_at(node, f"{name} should be a mapping (key: value)"))
            continue
        for entry, child in node.children.items():
            if entry in keys:
                first = keys[entry]
                place = f"{shown_path(whole.file_of(first).path)}:{first.line}:{first.column}"
                message = f"{SHELVES[name]} '{entry}' is given twice, first in {place}"
                told.append(whole.mistake_at(node.keys[entry], message))
            else:
                keys[entry], children[entry] = node.keys[entry], child
    value = {entry: child.value for entry, child in children.items()}
    return nodes[0].with_inside(value, Inside(keys, children))
