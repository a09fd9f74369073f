"""Load a registry: parse, validate, check references; every mistake at once, with its place."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.errors import UserError
from mbrelease.registry.included_files import read_bytes as read_bytes
from mbrelease.registry.kept import Kept, keep
from mbrelease.registry.mistakes import InvalidRegistry
from mbrelease.registry.project import REGISTRY_NAME, Project
from mbrelease.registry.schema import Registry

if TYPE_CHECKING:
    from mbrelease.registry.document import Document
    from mbrelease.registry.include import Parse
    from mbrelease.registry.mistakes import Mistake

    Check = Callable[[Document], Iterable[Mistake]]


def find_registry(start: Path) -> Path:
    """The nearest ``registry.yaml`` in ``start`` or a folder above it.

    Raises:
        UserError: there is none.
    """
    for folder in [start.resolve(), *start.resolve().parents]:
        if (folder / REGISTRY_NAME).is_file():
            return folder / REGISTRY_NAME
    raise UserError(f"no {REGISTRY_NAME} in {start} or above", mend="give one with --registry PATH")


def load_project(path: Path | None = None) -> Project:
    """Load the registry at ``path``, the one that includes the file there, or the nearest one.

    Raises:
        UserError: there is none, or it is wrong; every mistake has its file:line:column.
    """
    path = find_registry(Path.cwd()) if path is None else _meant(path)
    with without_collector():
        kept = Kept.read(path)
        if kept is not None:
            # Mistakes are told from the text alone.
            with contextlib.suppress(InvalidRegistry):
                return kept.project(path) or _read(path, kept.parse)
        return _read(path)


def _meant(path: Path) -> Path:
    """Of a file of another name: the registry that includes it, where it is none itself."""
    if path.name == REGISTRY_NAME:
        return path
    from mbrelease.registry.include import registry_at

    return registry_at(path)


def read_project(path: Path, *, also: Check | None = None) -> Project:
    """Load the registry at ``path`` from its text alone, whatever is known of it.

    Args:
        path: of the registry itself.
        also: finds further mistakes, which are told with the others.

    Raises:
        UserError: as ``load_project``.
    """
    with without_collector():
        return _read(path, also=also)


def _read(path: Path, parse: Parse | None = None, also: Check | None = None) -> Project:
    # Not needed where a large registry is known, which is most of the time.
    from mbrelease.registry.document import parse_document
    from mbrelease.registry.include import join, read_parts

    parts, mistakes = read_parts(path, parse=parse or parse_document, also=also)
    document = join(parts, mistakes)
    registry = read_registry(document, also)
    keep(parts, document)
    return project_of(document, registry)


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Let no garbage be looked for: what is built lives on, and there are a million objects."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def project_of(document: Document, registry: Registry) -> Project:
    """The project of a ``registry`` that was read from ``document``."""
    files = [file.path.resolve() for file in document.files]
    node = document.at(("variants",))
    variants = (node.keys or {}) if node is not None else {}
    places = {name: (files[key.file], key.line) for name, key in variants.items()}
    return Project(registry, document.path.resolve(), places)


def read_registry(document: Document, also: Check | None = None) -> Registry:
    """The registry that ``document`` describes.

    Args:
        document: a registry with all that it includes.
        also: as for ``read_project``.

    Raises:
        InvalidRegistry: it describes none; all mistakes are listed.
    """
    from mbrelease.registry.references import check_references
    from mbrelease.registry.shape import read_shape

    registry, mistakes = read_shape(document)
    mistakes = [*document.mistakes, *mistakes, *check_references(document)]
    mistakes += also(document) if also is not None else ()
    if registry is None or mistakes:
        raise InvalidRegistry(document.path, mistakes, texts=document.texts)
    return registry
