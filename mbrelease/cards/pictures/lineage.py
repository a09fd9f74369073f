"""The family of a variant: what there is to draw of it, and the finding in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mbrelease.cards.lineage import RELATION_PHRASES, family_members
from mbrelease.cards.pictures.wording import Wording, enumerated, several, worded
from mbrelease.registry.schema import Registry

MOST_NODES = 12
_SAID = 6  # of what was made from a variant, in the alternative text
SUPERSEDES = "supersedes"


@dataclass(frozen=True)
class Node:
    """A variant."""

    name: str
    repo: str | None


@dataclass(frozen=True)
class Edge:
    """From the older variant to the newer one."""

    older: str
    newer: str
    relation: str
    """How the newer was made from the older, or ``supersedes``."""


@dataclass(frozen=True)
class Family:
    """A variant with its ancestors, its versions and its children."""

    own: str
    nodes: tuple[Node, ...]
    """In the order of the registry."""
    edges: tuple[Edge, ...]
    left_out: int = 0
    """Members that are too far away to be drawn."""

    def made(self) -> list[Edge]:
        """Who was made from whom."""
        return [edge for edge in self.edges if edge.relation != SUPERSEDES]

    def superseded(self) -> list[Edge]:
        """Which version is followed by which."""
        return [edge for edge in self.edges if edge.relation == SUPERSEDES]


def read_family(registry: Registry, variant: str) -> Family | None:
    """The family of ``variant`` (a resolved name), the nearest of it; ``None`` if it is alone."""
    names = family_members(registry, variant)
    if names == {variant}:
        return None
    edges = [
        edge
        for name, entry in registry.variants.items()
        for edge in (
            *(Edge(parent.variant, name, parent.relation) for parent in entry.parents),
            *([Edge(entry.supersedes, name, SUPERSEDES)] if entry.supersedes else []),
        )
        if {edge.older, edge.newer} <= names
    ]
    kept = set(_nearest(list(registry.variants), edges, variant)[:MOST_NODES])
    return Family(
        own=variant,
        nodes=tuple(
            Node(name, entry.repo) for name, entry in registry.variants.items() if name in kept
        ),
        edges=tuple(edge for edge in edges if {edge.older, edge.newer} <= kept),
        left_out=len(names) - len(kept),
    )


def _nearest(order: Sequence[str], edges: Sequence[Edge], start: str) -> list[str]:
    """Those that edges lead to, the fewest edges first, of equals in ``order``."""
    found = [start]
    circle = {start}
    while circle:
        circle = {
            end
            for edge in edges
            for here, end in ((edge.older, edge.newer), (edge.newer, edge.older))
            if here in circle and end not in found
        }
        found += [name for name in order if name in circle]
    return found


def family_words(family: Family) -> Wording:
    """The finding in one sentence."""
    own = family.own
    said = [*_parents(family)]
    older = [edge.older for edge in family.superseded() if edge.newer == own]
    newer = [edge.newer for edge in family.superseded() if edge.older == own]
    said += [worded("supersedes {}", enumerated(older))] if older else []
    said += [worded("is superseded by {}", enumerated(newer))] if newer else []
    made = [edge for edge in family.made() if edge.older == own]
    clauses = [worded("{} {}", own, enumerated(said))] if said else []
    if made:
        listed = [worded("{} ({})", edge.newer, relation_words(edge)) for edge in made[:_SAID]]
        others = ["others"] if len(made) > _SAID else []
        origin = "it" if clauses else own
        verb = "was" if len(made) == 1 else "were"
        whom = enumerated([*listed, *others])
        clauses.append(worded("from {} " + verb + " made {}", origin, whom))
    return worded("Lineage: {}.", several(clauses))


def _parents(family: Family) -> list[Wording]:
    """``was made by averaging weights of a and b``, or in several ways."""
    by_relation: dict[str, list[str]] = {}
    for edge in family.made():
        if edge.newer == family.own:
            by_relation.setdefault(edge.relation, []).append(edge.older)
    ways = [
        worded(f"by {RELATION_PHRASES[relation]} {{}}", enumerated(parents))
        for relation, parents in by_relation.items()
    ]
    return [worded("was made {}", enumerated(ways))] if ways else []


def relation_words(edge: Edge) -> str:
    """How the newer was made, as a noun."""
    return edge.relation if edge.relation == "fine-tuning" else edge.relation.replace("-", " ")
