"""Who is who: the variants of a family, their parents, and how each was made.

For other programs, ``from mbrelease.registry import Family``; docs/python-api.md shows how. The
names below are the stable part, imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mbrelease.errors import UserError
    from mbrelease.registry.facts import Summary
    from mbrelease.registry.family import Editing, Family
    from mbrelease.registry.history.history import Event, History
    from mbrelease.registry.kinship import Chain, Kinship
    from mbrelease.registry.lineage import Step
    from mbrelease.registry.mistakes import InvalidRegistry, Mistake
    from mbrelease.registry.project import Project
    from mbrelease.registry.schema import Parent, Registry, Relation, Variant
    from mbrelease.registry.seen import Seen, Total

__all__ = [
    "Chain",
    "Editing",
    "Event",
    "Family",
    "History",
    "InvalidRegistry",
    "Kinship",
    "Mistake",
    "Parent",
    "Project",
    "Registry",
    "Relation",
    "Seen",
    "Step",
    "Summary",
    "Total",
    "UserError",
    "Variant",
]

_MODULE = {
    "Chain": "kinship",
    "Editing": "family",
    "Event": "history.history",
    "Family": "family",
    "History": "history.history",
    "InvalidRegistry": "mistakes",
    "Kinship": "kinship",
    "Mistake": "mistakes",
    "Parent": "schema",
    "Project": "project",
    "Registry": "schema",
    "Relation": "schema",
    "Seen": "seen",
    "Step": "lineage",
    "Summary": "facts",
    "Total": "seen",
    "Variant": "schema",
}


def __getattr__(name: str) -> Any:
    if name == "UserError":
        from mbrelease.errors import UserError

        return UserError
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
