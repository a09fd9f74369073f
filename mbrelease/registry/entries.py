"""What stands at a path of a document; empty where it has not the right shape."""

from __future__ import annotations

from collections.abc import Iterable

from mbrelease.errors import did_you_mean
from mbrelease.registry.document import Document, Node


def keys(document: Document, *path: str | int) -> dict[str, Node]:
    """The entries of the mapping at ``path``, if it is one."""
    node = document.at(path)
    children = node.children if node is not None else None
    return children if isinstance(children, dict) else {}


def items(document: Document, *path: str | int) -> list[Node]:
    """The items of the list at ``path``, if it is one."""
    node = document.at(path)
    children = node.children if node is not None else None
    return children if isinstance(children, list) else []


def text(document: Document, *path: str | int) -> str | None:
    """The text at ``path``, if there is one."""
    node = document.at(path)
    return node.value if node is not None and isinstance(node.value, str) else None


def texts(document: Document, *path: str | int) -> list[tuple[int, str]]:
    """The texts in the list at ``path``, each with its position."""
    nodes = enumerate(items(document, *path))
    return [(index, node.value) for index, node in nodes if isinstance(node.value, str)]


def lost(what: str, name: str, known: Iterable[str]) -> str:
    """The complaint about a name that leads nowhere."""
    return f"{what} '{name}' is not in the registry{hint(name, known)}"


def hint(name: str, known: Iterable[str]) -> str:
    """``, did you mean 'x'?``, or nothing."""
    close = did_you_mean(name, known)
    return f", {close}" if close else ""
