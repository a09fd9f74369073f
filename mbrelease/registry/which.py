"""Which variants answer a description: all conditions hold together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mbrelease.errors import UserError, did_you_mean
from mbrelease.registry.facts import published_repos, state_of
from mbrelease.registry.lineage import ancestors, descendants
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Relation, Variant


@dataclass(frozen=True)
class Wanted:
    """What a variant is asked for; what is left out asks nothing."""

    ancestors: tuple[str, ...] = ()
    """It descends from each of these, through any relations."""
    descendants: tuple[str, ...] = ()
    """Each of these descends from it."""
    relation: Relation | None = None
    """It was made so from a parent; with ``ancestors``, from one of these or of their lines."""
    alias: str | None = None
    """It is what this alias means."""
    state: str | None = None
    """``released``, ``planned`` or ``unknown``."""
    languages: tuple[str, ...] = ()
    """It has each of these, by itself or by the defaults."""
    license: str | None = None
    """By itself or by the defaults."""
    data: tuple[str, ...] = ()
    """It was itself trained on each of these: a name or a Hub id, ``*`` stands for anything."""


def which(project: Project, wanted: Wanted) -> list[str]:
    """The variants that fit, in the order of the registry.

    Raises:
        UserError: a variant or an alias that is named does not exist.
    """
    registry = project.registry
    lines = [
        frozenset([name, *descendants(registry, name)])
        for name in map(project.resolve_name, wanted.ancestors)
    ]
    above = [
        frozenset(ancestors(registry, name))
        for name in map(project.resolve_name, wanted.descendants)
    ]
    alias = _meant(project, wanted.alias) if wanted.alias is not None else None
    tops = frozenset(map(project.resolve_name, wanted.ancestors))
    published = published_repos(project) if wanted.state is not None else frozenset()
    return [
        name
        for name, variant in registry.variants.items()
        if alias in (None, name)
        and name not in tops
        and all(name in line for line in lines)
        and all(name in line for line in above)
        and (wanted.relation is None or _made(variant, wanted.relation, lines))
        and (wanted.state is None or state_of(variant, published) == wanted.state)
        and _fits(project, variant, wanted)
    ]


def _made(variant: Variant, relation: Relation, lines: list[frozenset[str]]) -> bool:
    """Whether a parent by ``relation`` stands in all the lines."""
    return any(
        parent.relation == relation and all(parent.variant in line for line in lines)
        for parent in variant.parents
    )


def _fits(project: Project, variant: Variant, wanted: Wanted) -> bool:
    defaults = project.registry.defaults
    own = (variant.license or defaults.license or "").casefold()
    if wanted.license is not None and wanted.license.casefold() != own:
        return False
    languages = defaults.languages if variant.languages is None else variant.languages
    if not set(wanted.languages) <= set(languages):
        return False
    names = [name.casefold() for name in _data_names(variant)]
    return all(any(_is(name, one.casefold()) for name in names) for one in wanted.data)


def _is(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _meant(project: Project, alias: str) -> str:
    aliases = project.registry.aliases
    if alias not in aliases:
        raise UserError(
            f"no alias '{alias}' in {project.registry_path}",
            mend=did_you_mean(alias, aliases) or "see aliases there",
        )
    return aliases[alias]


def _data_names(variant: Variant) -> Iterator[str]:
    for source in variant.data:
        yield source.name
        if source.hub_id is not None:
            yield source.hub_id
