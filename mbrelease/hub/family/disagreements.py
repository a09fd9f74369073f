"""Where the Hub says one thing of a model and the registry another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from mbrelease.hub.family.model import PublishedModel
from mbrelease.metadata.licenses import license_of
from mbrelease.registry.facts import state_of
from mbrelease.registry.project import Project
from mbrelease.registry.published import published_bases, published_repo

NONE = "–"
_Differ = Callable[[str, str, str], "Disagreement"]


@dataclass(frozen=True)
class Disagreement:
    """One thing that the two say differently."""

    variant: str
    repo: str
    about: str
    """``repo``, ``released``, ``base_model``, ``relation``, ``license`` or ``new_version``."""
    registry: str
    hub: str

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def disagreements(
    project: Project, variant: str, model: PublishedModel, published: Collection[str]
) -> Iterator[Disagreement]:
    """What the Hub says of ``variant`` that the registry contradicts.

    Where the registry is silent there is nothing to contradict.

    Args:
        model: what stands at the repo of the variant.
        published: the repos that receipts speak of, in lower case.
    """
    entry = project.registry.variants[variant]
    repo = entry.repo or model.asked_as

    def differ(about: str, registry: str, hub: str) -> Disagreement:
        return Disagreement(variant, repo, about, registry, hub)

    if model.repo_id.casefold() != repo.casefold():
        yield differ("repo", repo, f"{model.repo_id} (renamed)")
    state = state_of(entry, frozenset(published))
    if state == "released" and model.private:
        yield differ("released", "released", "private")
    if entry.released is False and state != "released" and not model.private:
        yield differ("released", "planned", "published")
    yield from _tree(project, variant, model, differ)
    stated = entry.license or project.registry.defaults.license
    if stated and license_differs(stated, model.license):
        yield differ("license", stated, model.license or NONE)
    yield from _newer(project, variant, model, differ)


def gone(project: Project, variant: str, published: Collection[str], why: str) -> Disagreement:
    """A repo that cannot be read although the registry names it."""
    entry = project.registry.variants[variant]
    state = state_of(entry, frozenset(published))
    return Disagreement(variant, entry.repo or "", "repo", state, why)


def _tree(
    project: Project, variant: str, model: PublishedModel, differ: _Differ
) -> Iterator[Disagreement]:
    """The base models, and the relation to them where they are the same."""
    if not project.registry.variants[variant].parents:
        return  # where it comes from is not told
    bases, relation = published_bases(project.registry, variant)
    if {base.casefold() for base in bases} != {base.casefold() for base in model.bases}:
        yield differ("base_model", ", ".join(bases) or NONE, ", ".join(model.bases) or NONE)
    elif relation != model.relation and bases:
        words = [parent.relation for parent in project.registry.variants[variant].parents]
        exact = ", ".join(dict.fromkeys(words))
        guessed = "" if model.relation_said else " (guessed)"
        yield differ("relation", f"{relation} ({exact})", f"{model.relation}{guessed}")


def _newer(
    project: Project, variant: str, model: PublishedModel, differ: _Differ
) -> Iterator[Disagreement]:
    variants = project.registry.variants
    later = [name for name, entry in variants.items() if entry.supersedes == variant]
    repos = [repo for name in later if (repo := published_repo(project.registry, name))]
    told = model.new_version
    if told is None and repos:
        yield differ("new_version", ", ".join(repos), NONE)
    if told is not None and told.casefold() not in {repo.casefold() for repo in repos}:
        named = {(entry.repo or "").casefold(): entry for entry in variants.values()}
        other = named.get(told.casefold())
        # Of a model that the registry does not know, or does not place, it is silent.
        if repos or (other is not None and other.supersedes is not None):
            yield differ("new_version", ", ".join(repos) or NONE, told)


def license_differs(stated: str, told: str | None) -> bool:
    """Whether they are two licences: ``Apache License 2.0`` and ``apache-2.0`` are one."""
    known = license_of(stated)
    if known is not None:
        return told != known
    # The Hub has no id for it: the card says ``other``, and a name.
    return told is None or (told != "other" and _plain(told) != _plain(stated))


def _plain(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())
