"""The model card: front matter and body, from a registry's variant or from a plain folder."""

from __future__ import annotations

from pathlib import Path

from mbrelease.cards.context import CardContext, folder_context, variant_context
from mbrelease.cards.render import render
from mbrelease.registry.project import Project

OWN_TEMPLATES = "templates"
"""A folder of this name beside the registry overrides templates one by one."""


def render_card(project: Project, variant: str) -> str:
    """The whole README.md of ``variant``; the same inputs give the same bytes.

    Args:
        project: the registry, with decisions and evidence beside it.
        variant: a variant's name or an alias.

    Returns:
        YAML front matter and Markdown, ending in one newline.

    Raises:
        UserError: no such variant, a decision is missing, a file is malformed, or a template
            is at fault (``file:line``).
        CheckFailed: the decision chose no candidate.
    """
    return _card(variant_context(project, variant), project.root / OWN_TEMPLATES)


def render_folder_card(folder: Path, repo_id: str | None = None) -> str:
    """A minimal card for a checkpoint that no registry speaks of, from its own files.

    Args:
        folder: The checkpoint.
        repo_id: Where it will be published; its examples load it from there.

    Raises:
        UserError: ``folder`` is no checkpoint, or one of its files is malformed.
    """
    return _card(folder_context(folder, repo_id), None)


def _card(context: CardContext, own_templates: Path | None) -> str:
    return context.metadata + "\n" + render(context, own_templates)
