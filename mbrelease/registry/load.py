"""Load a registry: parse, validate, check references."""

from __future__ import annotations

from pathlib import Path

import yaml

from mbrelease.errors import UserError
from mbrelease.registry.project import REGISTRY_NAME, Project
from mbrelease.registry.schema import Registry


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
    # A provisional reader; replaced by the one that knows positions.
    return Project(Registry.model_validate(yaml.safe_load(path.read_text())), path.resolve())
