"""What a registry is to say of a variant that was just published."""

from __future__ import annotations

from collections.abc import Sequence

from mbrelease.registry.draft import Draft
from mbrelease.registry.edit import edit, with_alias, with_value
from mbrelease.registry.project import Project


def record_publication(
    project: Project, variant: str, repo_id: str, *, aliases: Sequence[str] = ()
) -> list[str]:
    """Write into the registry that ``variant`` is published; returns what is new, in words.

    ``released: false`` is no longer true where its own repo is the one; left out, the receipt says
    so. Nothing else is written, and all of it in one edit.

    Args:
        project: the registry, which others may have changed since it was read.
        variant: the name of a variant.
        repo_id: where it was published.
        aliases: names that mean this variant from now on.

    Raises:
        UserError: the registry cannot be changed so.
    """
    if project.variant(variant).released is not False and not aliases:
        return []
    told: list[str] = []

    def change(draft: Draft) -> Draft:
        said = draft.whole.at(("variants", variant, "released"))
        repo = draft.whole.at(("variants", variant, "repo"))
        if said is not None and said.value is False and repo is not None and repo.value == repo_id:
            draft = with_value(draft, variant, "released", True)
            told.append(f"{variant} is released")
        for alias in aliases:
            after = with_alias(draft, alias, variant)
            told.extend([] if after is draft else [f"{alias} means {variant}"])
            draft = after
        return draft

    edit(project.registry_path, change)
    return told
