"""Load a registry: parse, validate, check references; every mistake at once, with its place."""

from __future__ import annotations

from pathlib import Path

from mbrelease.errors import UserError
from mbrelease.registry.document import Document
from mbrelease.registry.include import read_bytes as read_bytes
from mbrelease.registry.include import read_document
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
    document = read_document(path)
    return project_of(document, read_registry(document))


def project_of(document: Document, registry: Registry) -> Project:
    """The project of a ``registry`` that was read from ``document``."""
    files = [file.path.resolve() for file in document.files]
    node = document.at(("variants",))
    variants = (node.keys or {}) if node is not None else {}
    places = {name: (files[key.file], key.line) for name, key in variants.items()}
    return Project(registry, document.path.resolve(), places)


def read_registry(document: Document) -> Registry:
    """The registry that ``document`` describes.

    Raises:
        InvalidRegistry: it describes none; all mistakes are listed.
    """
    registry, mistakes = read_shape(document)
    mistakes = [*document.mistakes, *mistakes, *check_references(document)]
    if registry is None or mistakes:
        raise InvalidRegistry(document.path, mistakes, texts=document.texts)
    return registry
