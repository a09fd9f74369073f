"""A registry in several files: ``include: [variants/*.yaml]``.

What the files say is joined into one tree in which every node knows its file, so that all that
looks names up or tells of mistakes need not know that there are several.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mbrelease.errors import UserError, did_you_mean
from mbrelease.registry.composing import MAX_REPEATED_NODES
from mbrelease.registry.document import Document, Node, parse_document, without_content
from mbrelease.registry.included_files import each_once, matching, read_bytes
from mbrelease.registry.journal import at_one_moment
from mbrelease.registry.mistakes import InvalidRegistry, Mistake, shown_path
from mbrelease.registry.nodes import Inside
from mbrelease.registry.project import REGISTRY_NAME

if TYPE_CHECKING:
    from mbrelease.registry.load import Check

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

_OF_A_REGISTRY = re.compile(rb"^(?:version|family)[ \t]*:", re.MULTILINE)
"""Of most registries; to parse a large one twice takes long."""

_HOLDS = f"an included file may hold {', '.join(SHELVES)}"


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
    path: Path,
    changed: Mapping[Path, bytes] | None = None,
    *,
    parse: Parse = parse_document,
    also: Check | None = None,
) -> tuple[list[Document], list[Mistake]]:
    """The files of a registry, each a document of its own, and what is wrong with ``include``.

    Args:
        path: the registry.
        changed: as for ``read_document``.
        parse: reads one file.
        also: finds further mistakes, to tell them where a file cannot be parsed.

    Raises:
        InvalidRegistry: a file of it cannot be parsed.
        UserError: a file cannot be read.
    """
    read = partial(_read_all, path, changed or {}, parse)
    main, included_files, mistakes = at_one_moment(path, read, read_bytes)
    documents = [main]
    could_parse = True
    for number, (included, data) in enumerate(included_files, 1):
        try:
            documents.append(parse(data, included, file=number))
        except InvalidRegistry as error:
            could_parse = False
            text = error.texts.get(included, "")
            documents.append(without_content(included, text, number, error.mistakes))
    if not could_parse:
        from mbrelease.registry.load import read_registry

        # Tells what is wrong with the others as well.
        read_registry(replace(join(documents, mistakes), is_whole=False), also)
    return documents, mistakes


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
        files, problems = matching(main.path, child.value)
        found += files
        mistakes += [main.mistake_at(child, problem) for problem in problems]
    return each_once(found), mistakes


def is_part(path: Path) -> bool | None:
    """Whether the file has what is included, and not what every registry has.

    ``None``: that cannot be told, since it cannot be parsed.

    Raises:
        UserError: it cannot be read.
    """
    data = read_bytes(path)
    if _OF_A_REGISTRY.search(data):
        return False
    try:
        value = parse_document(data, path).value
    except InvalidRegistry:
        return None
    return isinstance(value, dict) and not {"version", "family"} & set(value)


def registry_at(path: Path) -> Path:
    """The registry that a path means: a file, the one in a folder, or the one that includes it."""
    if path.name == REGISTRY_NAME and path.is_file():
        return path
    if path.is_dir():
        return path / REGISTRY_NAME if (path / REGISTRY_NAME).is_file() else path
    try:
        if is_part(path) is False:
            return path
        return including_registry(path) or path
    except UserError:
        return path  # who reads it tells


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


def _read_all(
    path: Path, changed: Mapping[Path, bytes], parse: Parse, read: Callable[[Path], bytes]
) -> tuple[Document, list[tuple[Path, bytes]], list[Mistake]]:
    """The registry itself, the bytes of what it includes, and what is wrong with ``include``."""
    main = parse(changed[path] if path in changed else read(path), path)
    paths, mistakes = included_paths(main)
    files = [(one, changed[one] if one in changed else read(one)) for one in paths]
    return main, files, mistakes


def join(documents: Sequence[Document], of_include: Sequence[Mistake] = ()) -> Document:
    """The files, the registry itself first, as one document.

    Raises:
        InvalidRegistry: aliases repeat too much in all of them together.
    """
    mistakes = [*(mistake for one in documents for mistake in one.mistakes), *of_include]
    main = documents[0]
    files = tuple(file for document in documents for file in document.files)
    repeated = sum(document.repeated for document in documents)
    whole = Document(files, main.root, tuple(mistakes), repeated, not of_include)
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
