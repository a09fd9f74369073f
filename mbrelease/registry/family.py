"""A registry for other programs: read it, ask it, change it. See docs/python-api.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Literal, get_args

from mbrelease.errors import UserError, did_you_mean
from mbrelease.registry import lineage
from mbrelease.registry.draft import Draft
from mbrelease.registry.edit import (
    edit,
    with_alias,
    with_new_name,
    with_value,
    with_variant,
    without_alias,
    without_value,
    without_variant,
)
from mbrelease.registry.facts import Summary, details, summaries
from mbrelease.registry.history.history import History, history
from mbrelease.registry.kinship import Kinship, kinship
from mbrelease.registry.lineage import Step
from mbrelease.registry.load import load_project
from mbrelease.registry.project import REGISTRY_NAME, Project
from mbrelease.registry.schema import Registry, Relation, Variant
from mbrelease.registry.seen import Seen, seen
from mbrelease.registry.which import Wanted, which

State = Literal["released", "planned", "unknown"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Family:
    """A registry as it was when it was read. Each ``name`` is a variant's or an alias.

    Every method that takes a name raises ``UserError`` where there is none like it, and proposes
    the nearest.
    """

    project: Project
    """The registry and the folders beside it, as the commands of ``mbrelease`` use them."""

    @classmethod
    def load(cls, path: str | Path | None = None) -> Family:
        """Read the registry at ``path``: its file, or its folder.

        Args:
            path: left out, the nearest ``registry.yaml`` in the current folder or above.

        Raises:
            UserError: there is none, or it cannot be read.
            InvalidRegistry: it has mistakes, and these are all.
        """
        if path is not None:
            path = Path(path)
            path = path / REGISTRY_NAME if path.is_dir() else path
        return cls(load_project(path))

    @property
    def name(self) -> str:
        """What the family is called."""
        return self.registry.family

    @property
    def path(self) -> Path:
        """The file, ``registry.yaml``; what it includes lies beside or below it."""
        return self.project.registry_path

    @property
    def registry(self) -> Registry:
        """All that the file says, typed."""
        return self.project.registry

    @property
    def variants(self) -> Mapping[str, Variant]:
        """The variants by name, in the order of the file."""
        return MappingProxyType(self.registry.variants)

    @property
    def aliases(self) -> Mapping[str, str]:
        """What each alias means."""
        return MappingProxyType(self.registry.aliases)

    def resolve(self, name: str) -> str:
        """The variant that ``name`` means."""
        return self.project.resolve_name(name)

    def variant(self, name: str) -> Variant:
        """What the registry says of a variant."""
        return self.project.variant(name)

    def defined_in(self, name: str) -> tuple[Path, int]:
        """The file and the line in which a variant is defined."""
        return self.project.defined_in(name)

    def summaries(self) -> tuple[Summary, ...]:
        """A row for each variant, as ``mbrelease registry list`` has it."""
        return tuple(summaries(self.project))

    def details(self, name: str) -> dict[str, Any]:
        """All that is known of a variant, as ``mbrelease registry show --json`` prints it."""
        return details(self.project, self.resolve(name))

    def ancestors(self, name: str) -> tuple[str, ...]:
        """What a variant descends from, parents first."""
        return tuple(lineage.ancestors(self.registry, self.resolve(name)))

    def descendants(self, name: str) -> tuple[str, ...]:
        """What descends from a variant, children first."""
        return tuple(lineage.descendants(self.registry, self.resolve(name)))

    def steps(self, name: str) -> tuple[Step, ...]:
        """Every step that led to a variant: child, parent and relation, its own first."""
        return tuple(lineage.steps_to_roots(self.registry, self.resolve(name)))

    def kinship(self, first: str, second: str) -> Kinship:
        """How two variants are related, as ``mbrelease registry path`` tells."""
        return kinship(self.registry, self.resolve(first), self.resolve(second))

    def seen(self, name: str) -> Seen:
        """The tokens, documents and data that the weights of a variant have seen in all."""
        return seen(self.registry, self.resolve(name))

    def history(self, name: str) -> History:
        """The commits that changed a variant, from git; it may be gone by now.

        Raises:
            UserError: there is no git repository, or no such variant was ever in it.
        """
        return history(self.path, self.aliases.get(name, name))

    def which(
        self,
        *,
        ancestors: str | Iterable[str] = (),
        descendants: str | Iterable[str] = (),
        relation: Relation | None = None,
        alias: str | None = None,
        state: State | None = None,
        languages: str | Iterable[str] = (),
        license: str | None = None,
        data: str | Iterable[str] = (),
    ) -> tuple[str, ...]:
        """The variants for which all this holds, as ``mbrelease registry which`` finds them.

        Args:
            ancestors: it descends from each of these.
            descendants: each of these descends from it.
            relation: it was made so from a parent; with ``ancestors``, in their line.
            alias: it is what this alias means.
            state: a receipt or the registry tells.
            languages: it has each of these.
            license: its own or the default.
            data: it was itself trained on each of these; ``*`` stands for anything.

        Raises:
            UserError: there is no such variant, alias, relation or state.
        """
        _require("relation", relation, get_args(Relation))
        _require("state", state, STATES)
        wanted = Wanted(
            ancestors=_several(ancestors),
            descendants=_several(descendants),
            relation=relation,
            alias=alias,
            state=state,
            languages=_several(languages),
            license=license,
            data=_several(data),
        )
        return tuple(which(self.project, wanted))

    def editing(self) -> Editing:
        """Edits that are written together at the end of a ``with`` block, or not at all."""
        return Editing(self)


class Editing:
    """Edits of a registry, gathered in a ``with`` block and written at its end as one.

    They are made to the files as they are then, under the lock that all edits take, so what others
    wrote since the family was read stays. Comments, order and quoting stay too. Where one of them
    cannot be made, or the registry would not be valid after all of them, the end of the block
    raises ``UserError`` and nothing was written; so it is if the block itself raises. Outside of a
    block nothing would ever write them, so each method raises ``UserError`` there.
    """

    def __init__(self, family: Family) -> None:
        self.family = family
        """After the block, the family as it is now."""
        self.changed = False
        """After the block, whether a file was written."""
        self._changes: list[Callable[[Draft], Draft]] | None = None

    def add(self, name: str, entry: Mapping[str, Any], *, file: str | None = None) -> None:
        """Add a variant.

        Args:
            name: of the variant, which is new.
            entry: what ``registry.yaml`` would say: ``{"repo": …, "parents": […]}``.
            file: the included file to put it into, relative to the registry.
        """
        self._gather(lambda draft: with_variant(draft, name, entry, file=file))

    def set(self, name: str, key: str, value: Any) -> None:
        """Set a key of a variant: ``training.tokens``, ``parents.0.relation``, ``card.tags.+``."""
        self._gather(lambda draft: with_value(draft, name, key, value))

    def unset(self, name: str, key: str) -> None:
        """Remove a key of a variant, or an item of one of its lists."""
        self._gather(lambda draft: without_value(draft, name, key))

    def alias(self, alias: str, name: str) -> None:
        """Let ``alias`` mean a variant, whatever it meant before."""
        self._gather(lambda draft: with_alias(draft, alias, name))

    def unalias(self, alias: str) -> None:
        """Remove an alias; the variant stays."""
        self._gather(lambda draft: without_alias(draft, alias))

    def remove(self, name: str) -> None:
        """Remove a variant that nothing else names."""
        self._gather(lambda draft: without_variant(draft, name))

    def rename(self, name: str, new: str) -> None:
        """Give a variant another name, wherever the registry names it."""
        self._gather(lambda draft: with_new_name(draft, name, new))

    def _gather(self, change: Callable[[Draft], Draft]) -> None:
        if self._changes is None:
            raise UserError(
                "edits are gathered in a with block and written at its end; this one is outside",
                mend="with family.editing() as edit: edit.set(…)",
            )
        self._changes.append(change)

    def __enter__(self) -> Editing:
        if self._changes is not None:
            raise UserError("this with block is open already", mend="take another editing()")
        self._changes = []
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        changes, self._changes = self._changes, None
        if kind is not None or not changes:
            return
        done = edit(self.family.path, lambda draft: _all(changes, draft))
        self.family = replace(self.family, project=done.project)
        self.changed = done.changed


def _all(changes: Iterable[Callable[[Draft], Draft]], draft: Draft) -> Draft:
    for change in changes:
        draft = change(draft)
    return draft


def _several(given: str | Iterable[str]) -> tuple[str, ...]:
    """One name or several: a text is not taken for its letters."""
    return (given,) if isinstance(given, str) else tuple(given)


def _require(what: str, given: str | None, known: Iterable[str]) -> None:
    """A word that is none would fit no variant, without a word."""
    known = tuple(known)
    if given is not None and given not in known:
        mend = did_you_mean(given, known) or f"there are {', '.join(known)}"
        raise UserError(f"no {what} '{given}'", mend=mend)
