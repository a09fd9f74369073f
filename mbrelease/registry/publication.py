"""What a registry is to say of a variant that was just published."""

from __future__ import annotations

from collections.abc import Sequence

from mbrelease.registry.edit import set_alias, set_value
from mbrelease.registry.project import Project


def record_publication(
    project: Project, variant: str, repo_id: str, *, aliases: Sequence[str] = ()
) -> list[str]:
    """Write into the registry that ``variant`` is published; returns what is new, in words.

    ``released: false`` is no longer true where its own repo is the one; left out, the receipt says
    so. Nothing else is written.

    Args:
        project: the registry, which others may have changed since it was read.
        variant: the name of a variant.
        repo_id: where it was published.
        aliases: names that mean this variant from now on.

    Raises:
        UserError: the registry cannot be changed so.
    """
    path = project.registry_path
    entry = project.variant(variant)
    told = []
    if entry.released is False and entry.repo == repo_id:
        set_value(path, variant, "released", True)
        told.append(f"{variant} is released")
    told += [
        f"{alias} means {variant}" for alias in aliases if set_alias(path, alias, variant).changed
    ]
    return told
