"""What stands at a path of a document; empty where it has not the right shape."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from mbrelease.errors import did_you_mean
from mbrelease.registry.document import Document

MAX_HINTS = 20
"""Names for which the nearest of many is looked for: that takes longer than all else."""
_MANY = 200


def value_at(document: Document, path: Iterable[str | int]) -> Any:
    """The plain value at ``path``; ``None`` if there is none."""
    value = document.root.value
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def keys(document: Document, *path: str | int) -> dict[str, Any]:
    """The entries of the mapping at ``path``, if it is one."""
    value = value_at(document, path)
    return value if isinstance(value, dict) else {}


def stating(document: Document, key: str) -> Iterator[tuple[str, Any]]:
    """The variants that say something under ``key``, each with what it says."""
    for name, entry in keys(document, "variants").items():
        if isinstance(entry, dict):
            value = entry.get(key)
            if value is not None:
                yield name, value


def items(document: Document, *path: str | int) -> list[Any]:
    """The items of the list at ``path``, if it is one."""
    value = value_at(document, path)
    return value if isinstance(value, list) else []


def text(document: Document, *path: str | int) -> str | None:
    """The text at ``path``, if there is one."""
    value = value_at(document, path)
    return value if isinstance(value, str) else None


def texts(document: Document, *path: str | int) -> list[tuple[int, str]]:
    """The texts in the list at ``path``, each with its position."""
    values = enumerate(items(document, *path))
    return [(index, value) for index, value in values if isinstance(value, str)]


def lost(document: Document, what: str, name: str, known: Collection[str]) -> str:
    """The complaint about a name that leads nowhere."""
    means = text(document, "aliases", name)
    if means in known:
        return f"{what} '{name}' is an alias, which may mean another one tomorrow; write '{means}'"
    asked = (what, name)
    if asked not in document.hints:
        look = len(known) < _MANY or len(document.hints) < MAX_HINTS
        document.hints[asked] = hint(name, known) if look else ""
    return f"{what} '{name}' is not in the registry{document.hints[asked]}"


def hint(name: str, known: Iterable[str]) -> str:
    """``, did you mean 'x'?``, or nothing."""
    close = did_you_mean(name, known)
    return f", {close}" if close else ""
