"""Which part of a family to draw."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mbrelease.registry.lineage import children
from mbrelease.registry.schema import Registry


@dataclass(frozen=True)
class Scope:
    """A part of a family: all of it, or what is related to one variant.

    Fields:
        variant: a resolved name; ``None`` for the whole family.
        ancestors: what it was made from.
        descendants: what was made from it.
        depth: the most steps away from it; ``None`` for any number.
    """

    variant: str | None = None
    ancestors: bool = True
    descendants: bool = True
    depth: int | None = None

    def words(self, family: str) -> str:
        """What the picture is of, such as ``Owls: what owl-base comes from``."""
        if self.variant is None:
            return f"Lineage of {family}"
        if self.ancestors and self.descendants:
            said = f"{self.variant} and its relatives"
        elif self.ancestors:
            said = f"what {self.variant} comes from"
        else:
            said = f"what comes from {self.variant}"
        if self.depth is None:
            return f"{family}: {said}"
        steps = "1 step" if self.depth == 1 else f"{self.depth} steps"
        return f"{family}: {said}, {steps} at most"


EVERYTHING = Scope()


def members(registry: Registry, scope: Scope) -> list[str]:
    """The variants in ``scope``, in the order of the registry; of one variant its versions too."""
    if scope.variant is None:
        return list(registry.variants)
    found = _versions(registry, scope.variant)
    if scope.ancestors:
        found |= _reached(
            scope.variant,
            lambda name: [parent.variant for parent in registry.variants[name].parents],
            scope.depth,
        )
    if scope.descendants:
        below = children(registry)
        found |= _reached(
            scope.variant, lambda name: [step.child for step in below[name]], scope.depth
        )
    return [name for name in registry.variants if name in found]


def _versions(registry: Registry, variant: str) -> set[str]:
    """The variant, those that it supersedes and those that supersede it, however far."""
    newer: dict[str, list[str]] = {}
    for name, entry in registry.variants.items():
        if entry.supersedes is not None:
            newer.setdefault(entry.supersedes, []).append(name)

    def older(name: str) -> list[str]:
        supersedes = registry.variants[name].supersedes
        return [] if supersedes is None else [supersedes]

    return _reached(variant, older, None) | _reached(variant, lambda n: newer.get(n, []), None)


def _reached(start: str, ends: Callable[[str], Iterable[str]], depth: int | None) -> set[str]:
    found, circle, steps = {start}, [start], 0
    while circle and (depth is None or steps < depth):
        circle = list(dict.fromkeys(e for n in circle for e in ends(n)))
        circle = [end for end in circle if end not in found]
        found.update(circle)
        steps += 1
    return found
