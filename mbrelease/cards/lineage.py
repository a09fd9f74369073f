"""Where a variant comes from: its published ancestors, the versions before and after, the tree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from markupsafe import Markup

from mbrelease.cards.escape import markdown, one_line
from mbrelease.registry.facts import summaries
from mbrelease.registry.lineage import TreeLine, ancestors, children, tree
from mbrelease.registry.project import Project
from mbrelease.registry.published import published_bases, published_repo
from mbrelease.registry.schema import REPO_ID, Registry

HUB_PAGES = "https://huggingface.co"

# "made by … X"
RELATION_PHRASES: dict[str, str] = {
    "continued-pretraining": "continued pretraining of",
    "fine-tuning": "fine-tuning",
    "averaging": "averaging weights of",
    "merging": "merging",
    "distillation": "distillation from",
    "quantization": "quantizing",
    "adapter": "training an adapter for",
    "context-extension": "extending the context of",
    "weight-initialization": "training from weights taken from",
}


@dataclass(frozen=True)
class Parent:
    """A direct parent and how the variant was made from it."""

    name: str
    repo: str | None
    relation: str
    phrase: str
    link: Markup


@dataclass(frozen=True)
class Version:
    """Another version of the same model."""

    name: str
    link: Markup


@dataclass(frozen=True)
class Lineage:
    """What is known about the family of one variant."""

    known: bool
    """False for a plain folder, of which no registry speaks."""
    parents: tuple[Parent, ...]
    supersedes: Version | None
    superseded_by: tuple[Version, ...]
    tree: str
    """As text, one variant a line; empty where the variant stands alone."""
    base_models: tuple[str, ...]
    """Repo ids of the nearest published ancestors."""
    hub_relation: str | None
    """``finetune``, ``merge``, ``quantized`` or ``adapter``; ``None`` without a published one."""
    new_version: str | None
    """The repo id of the published variant that supersedes this one."""


UNKNOWN = Lineage(False, (), None, (), "", (), None, None)


def read_lineage(project: Project, variant: str) -> Lineage:
    """The lineage of ``variant`` (a resolved name)."""
    registry = project.registry
    entry = registry.variants[variant]
    released = {summary.name for summary in summaries(project) if summary.state == "released"}
    # A version that is only planned is nothing to send a reader to.
    later = [
        name
        for name, other in registry.variants.items()
        if other.supersedes == variant and name in released
    ]
    base_models, relation = published_bases(registry, variant)
    return Lineage(
        known=True,
        parents=tuple(
            Parent(
                parent.variant,
                published_repo(registry, parent.variant),
                parent.relation,
                RELATION_PHRASES[parent.relation],
                variant_link(registry, parent.variant),
            )
            for parent in entry.parents
        ),
        supersedes=_version(registry, entry.supersedes) if entry.supersedes else None,
        superseded_by=tuple(_version(registry, name) for name in later),
        tree=tree_text(registry, variant),
        base_models=base_models,
        hub_relation=relation,
        new_version=next(filter(None, (published_repo(registry, name) for name in later)), None),
    )


def tree_text(registry: Registry, variant: str) -> str:
    """The ancestors, the children and the other versions of ``variant`` as a tree.

    A variant with several parents stands below each of them. Empty for one that stands alone.
    """
    shown = family_members(registry, variant)
    if shown == {variant}:
        return ""
    part = registry.model_copy(
        update={
            "variants": {
                name: entry.model_copy(
                    update={"parents": [p for p in entry.parents if p.variant in shown]}
                )
                for name, entry in registry.variants.items()
                if name in shown
            }
        }
    )
    return "\n".join(_tree_line(registry, line, variant) for line in tree(part))


def repo_link(repo: str, kind: Literal["", "datasets/"] = "") -> Markup:
    """A link to the page of a model or a data set, or just the words where they are no repo id."""
    if not re.fullmatch(REPO_ID, repo) or "/" not in repo:
        return markdown(repo)
    return Markup(f"[{markdown(repo)}]({HUB_PAGES}/{kind}{quote(repo)})")  # noqa: S704


def variant_link(registry: Registry, name: str) -> Markup:
    """A link to a variant's page, or its name where it is not published."""
    repo = published_repo(registry, name)
    return repo_link(repo) if repo else markdown(name)


def family_members(registry: Registry, variant: str) -> set[str]:
    """The variant, its other versions, the ancestors of both, and the variant's children."""
    versions, found = {variant}, {variant}
    while found:
        found = {
            name
            for name, other in registry.variants.items()
            if other.supersedes in versions
            or any(registry.variants[known].supersedes == name for known in versions)
        } - versions
        versions |= found
    above = {parent for name in versions for parent in ancestors(registry, name)}
    return versions | above | {step.child for step in children(registry)[variant]}


def _tree_line(registry: Registry, line: TreeLine, variant: str) -> str:
    entry = registry.variants[line.name]
    relation = f" · {line.relation.replace('-', ' ')}" if line.relation else ""
    repo = f" ({entry.repo})" if entry.repo else ""
    mark = "  ← this model" if line.name == variant else ""
    return f"{line.prefix}{one_line(line.name)}{repo}{relation}{mark}"


def source_link(source: str) -> Markup:
    """A link to a paper's or a card's page: ``source`` is a URL or a repo id."""
    if re.fullmatch(r"https?://[^\s<>`\\]+", source):
        return Markup(f"<{source}>")  # noqa: S704  (nothing in it can end the link)
    return repo_link(source)


def _version(registry: Registry, name: str) -> Version:
    return Version(name, variant_link(registry, name))
