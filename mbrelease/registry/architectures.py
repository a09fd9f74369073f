"""Averages whose parents cannot be averaged, as far as the registry says what they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mbrelease.registry.document import Document
from mbrelease.registry.entries import items, keys, stating, text
from mbrelease.registry.mistakes import Mistake

# The weights of both parents are added up, so they must have the same shapes and meaning.
_MIXING = {"averaging": "averaged", "merging": "merged"}

# What is made so has the architecture of its parent; of a context extension all but its positions.
_PRESERVING = {
    "continued-pretraining", "fine-tuning", "averaging", "merging", "quantization", "adapter",
    "context-extension",
}  # fmt: skip
_POSITIONS = {"rope_theta", "local_rope_theta", "local_window"}

# No weight depends on them: how long the input may be, and which rows of the embedding are unused.
_NO_SHAPE = {"context", "unused_tokens"}
_ROUNDED = 0.05
"""Cards round the number of parameters; more than this share is another model."""


class _Stated(NamedTuple):
    value: Any
    by: str
    """The variant whose entry says so."""


def check_architectures(document: Document) -> Iterator[Mistake]:
    """A mistake at each parent that differs from one before it with which it is averaged."""
    known: dict[str, dict[str, _Stated]] = {}
    for name, stated_parents in stating(document, "parents"):
        # Of ten thousand variants few are averages.
        if not isinstance(stated_parents, list) or len(stated_parents) < 2:
            continue
        for relation, mixed in _MIXING.items():
            parents = _parents(document, name, relation)
            before: dict[str, tuple[str, _Stated]] = {}
            for index, parent in parents.items():
                stated = _stated(document, parent, known)
                different = [
                    f"{field} of {_who(parent, stated[field])} is {stated[field].value}, "
                    f"of {_who(*before[field])} {before[field][1].value}"
                    for field in stated
                    if field in before
                    and _differ(field, stated[field].value, before[field][1].value)
                ]
                if different:
                    message = f"different architectures cannot be {mixed}: {'; '.join(different)}"
                    path = ("variants", name, "parents", index, "variant")
                    yield document.mistake(path, message)
                for field, found in stated.items():
                    before.setdefault(field, (parent, found))


def _who(variant: str, stated: _Stated) -> str:
    return f"'{variant}'" if stated.by == variant else f"'{variant}' (from '{stated.by}')"


def _parents(document: Document, name: str, *relations: str) -> dict[int, str]:
    """The parents by some of the relations, by their positions."""
    path = ("variants", name, "parents")
    found = {}
    for index, _ in enumerate(items(document, *path)):
        parent = text(document, *path, index, "variant")
        if parent is not None and text(document, *path, index, "relation") in relations:
            found[index] = parent
    return found


def _stated(
    document: Document, name: str, known: dict[str, dict[str, _Stated]]
) -> Mapping[str, _Stated]:
    """What the registry says of the architecture of a variant, by itself or by its ancestors.

    Without recursion, for chains are as long as a family is old.
    """
    waiting, entered = [name], set[str]()
    while waiting:
        variant = waiting[-1]
        entered.add(variant)
        if variant in known:
            waiting.pop()
            continue
        above = _parents(document, variant, *_PRESERVING)
        # In a circle of parents, which is told elsewhere, what is waited for adds nothing.
        unknown = [one for one in above.values() if one not in known and one not in entered]
        if unknown:
            waiting += unknown
            continue
        own = keys(document, "variants", variant, "architecture")
        stated = {
            field: _Stated(value, variant)
            for field, value in own.items()
            if value is not None and field not in _NO_SHAPE
        }
        for index, parent in above.items():
            relation = text(document, "variants", variant, "parents", index, "relation")
            changed = _POSITIONS if relation == "context-extension" else set()
            for field, found in known.get(parent, {}).items():
                if field not in changed:
                    stated.setdefault(field, found)
        known[variant] = stated
        waiting.pop()
    return known[name]


def _differ(field: str, one: Any, other: Any) -> bool:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    if numbers and field == "parameters":
        return bool(abs(one - other) > _ROUNDED * max(abs(one), abs(other)))
    if isinstance(one, str) and isinstance(other, str):
        return one.casefold() != other.casefold()
    return bool(one != other)
