"""What a model comes from, by its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mbrelease.pages.tags import as_texts, model_page


@dataclass(frozen=True)
class Named:
    """Something with a page of its own; ``href`` is ``None`` where that is not known."""

    id: str
    href: str | None = None
    note: str = ""


def parents(metadata: Mapping[str, Any]) -> list[Named]:
    """The base models."""
    return [Named(name, model_page(name)) for name in as_texts(metadata.get("base_model"))]


def relation(metadata: Mapping[str, Any]) -> str:
    """How the model was made from its base models; the Hub guesses where a card is silent."""
    said = as_texts(metadata.get("base_model_relation"))
    if said:
        return said[0]
    return "no relation is written, so the Hub guesses it" if parents(metadata) else ""


def newer_version(metadata: Mapping[str, Any]) -> Named | None:
    """The model that supersedes this one."""
    named = as_texts(metadata.get("new_version"))
    return Named(named[0], model_page(named[0])) if named else None
