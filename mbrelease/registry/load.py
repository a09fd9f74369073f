"""Load a registry: parse, validate, check references; every mistake at once, with its place."""

from __future__ import annotations

from pathlib import Path

from mbrelease.errors import UserError
from mbrelease.files import unreadable
from mbrelease.registry.document import Document, parse_document
from mbrelease.registry.mistakes import InvalidRegistry
from mbrelease.registry.project import REGISTRY_NAME, Project
from mbrelease.registry.references import check_references
from mbrelease.registry.schema import Registry
from mbrelease.registry.shape import read_shape


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
    """Load the registry at ``path``, or the nearest one.

    Raises:
        UserError: there is none, or it is wrong; every mistake has its file:line:column.
    """
    path = find_registry(Path.cwd()) if path is None else path
    registry = read_registry(parse_document(read_bytes(path), path))
    return Project(registry, path.resolve())


def read_registry(document: Document) -> Registry:
    """The registry that ``document`` describes.

    Raises:
        InvalidRegistry: it describes none; all mistakes are listed.
    """
    registry, mistakes = read_shape(document)
    mistakes = [*document.mistakes, *mistakes, *check_references(document)]
    if registry is None or mistakes:
        raise InvalidRegistry(document.path, mistakes)
    return registry


def read_bytes(path: Path) -> bytes:
    """The bytes of a registry file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
