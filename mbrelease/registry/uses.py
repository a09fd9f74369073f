"""Where a registry names a variant: what holds it in place, and what follows when it is renamed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from mbrelease.registry.document import Document
from mbrelease.registry.entries import items, keys, text, texts
from mbrelease.registry.mistakes import shown_path

Path = tuple[str | int, ...]
_Found = tuple[Path, bool, str]


@dataclass(frozen=True)
class Place:
    """A place that names a variant."""

    file: FilePath
    line: int
    column: int
    what: str
    """What names it, such as ``a parent of 'owl-science'``."""
    path: Path
    is_key: bool
    """Its key is the name, not its value."""

    def __str__(self) -> str:
        return f"{shown_path(self.file)}:{self.line}:{self.column}: {self.what}"

    def as_json(self) -> dict[str, Any]:
        """The place for ``--json``."""
        place = {"path": shown_path(self.file), "line": self.line, "column": self.column}
        return {**place, "what": self.what}


def places_of(document: Document, variant: str) -> list[Place]:
    """Every place that names ``variant``, other than where it is defined, in document order."""
    found = [
        *_in_variants(document, variant),
        *_in_policies(document, variant),
        *_in_tables(document, variant),
        *_in_aliases(document, variant),
    ]
    places = []
    for path, is_key, what in found:
        node = document.key_node(path) if is_key else document.nearest(path)
        file = document.file_of(node).path
        order = node.file, node.start
        places.append((order, Place(file, node.line, node.column, what, path, is_key)))
    return [place for _, place in sorted(places, key=lambda pair: pair[0])]


def _in_variants(document: Document, variant: str) -> Iterator[_Found]:
    for name in keys(document, "variants"):
        entry: Path = ("variants", name)
        for index, _ in enumerate(items(document, *entry, "parents")):
            path = (*entry, "parents", index, "variant")
            if text(document, *path) == variant:
                yield (path, False, f"a parent of '{name}'")
        path = (*entry, "supersedes")
        if text(document, *path) == variant:
            yield (path, False, f"superseded by '{name}'")
        for key, what in (("related", "related to"), ("design_beside", "with the design of")):
            path = (*entry, "card", key)
            for index, other in texts(document, *path):
                if other == variant:
                    yield ((*path, index), False, f"{what} '{name}' on its card")


def _in_policies(document: Document, variant: str) -> Iterator[_Found]:
    for name in keys(document, "policies"):
        path = ("policies", name, "reference")
        if text(document, *path) == variant:
            yield (path, False, f"the reference of policy '{name}'")


def _in_tables(document: Document, variant: str) -> Iterator[_Found]:
    for name in keys(document, "tables"):
        table: Path = ("tables", name)
        bands = range(len(items(document, *table, "bands")))
        for path in [(*table, "models"), *((*table, "bands", band, "models") for band in bands)]:
            for index, model in texts(document, *path):
                if model == variant:
                    yield ((*path, index), False, f"in table '{name}'")
        for key in ("labels", "stated"):
            if variant in keys(document, *table, key):
                yield ((*table, key, variant), True, f"in table '{name}', {key}")
        for key in ("of", "against"):
            path = (*table, "change", key)
            if text(document, *path) == variant:
                yield (path, False, f"in table '{name}', change")


def _in_aliases(document: Document, variant: str) -> Iterator[_Found]:
    for alias in keys(document, "aliases"):
        if text(document, "aliases", alias) == variant:
            yield (("aliases", alias), False, f"what alias '{alias}' means")
