"""Who descends from whom: pure functions over a registry without cycles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mbrelease.registry.schema import Parent, Registry


@dataclass(frozen=True)
class Step:
    """One edge of the lineage: ``child`` was made from ``parent`` by ``relation``."""

    child: str
    parent: str
    relation: str


@dataclass(frozen=True)
class TreeLine:
    """One line of a drawn tree."""

    prefix: str
    """The branches before the name."""
    name: str
    relation: str | None
    """How it was made from the variant above it; ``None`` at a root."""
    other_parents: tuple[Parent, ...] = ()
    """Its parents beside the one above."""
    repeated: bool = False
    """Drawn before, with what descends from it, under another parent."""


def roots(registry: Registry) -> list[str]:
    """The variants without parents, in the order of the file."""
    return [name for name, variant in registry.variants.items() if not variant.parents]


def children(registry: Registry) -> dict[str, list[Step]]:
    """For each variant the steps to what was made from it, in the order of the file."""
    steps: dict[str, list[Step]] = {name: [] for name in registry.variants}
    for name, variant in registry.variants.items():
        for parent in variant.parents:
            steps[parent.variant].append(Step(name, parent.variant, parent.relation))
    return steps


def ancestors(registry: Registry, name: str) -> list[str]:
    """What ``name`` descends from, parents first, each once (breadth first)."""
    found: dict[str, None] = {}
    waiting = [parent.variant for parent in registry.variants[name].parents]
    while waiting:
        found.update(dict.fromkeys(waiting))
        above = [p.variant for child in waiting for p in registry.variants[child].parents]
        waiting = [each for each in dict.fromkeys(above) if each not in found]
    return list(found)


def descendants(registry: Registry, name: str) -> list[str]:
    """What descends from ``name``, children first, each once (breadth first)."""
    below = children(registry)
    found: dict[str, None] = {}
    waiting = [step.child for step in below[name]]
    while waiting:
        found.update(dict.fromkeys(waiting))
        further = [step.child for parent in waiting for step in below[parent]]
        waiting = [each for each in dict.fromkeys(further) if each not in found]
    return list(found)


def steps_to_roots(registry: Registry, name: str) -> list[Step]:
    """Every edge above ``name``, its own first; the same as the path where each has one parent."""
    return [
        Step(child, parent.variant, parent.relation)
        for child in [name, *ancestors(registry, name)]
        for parent in registry.variants[child].parents
    ]


def path_to_root(registry: Registry, name: str) -> list[Step]:
    """The edges from ``name`` to a root along the first parent of each."""
    path: list[Step] = []
    while registry.variants[name].parents:
        parent = registry.variants[name].parents[0]
        path.append(Step(name, parent.variant, parent.relation))
        name = parent.variant
    return path


def tree(registry: Registry, start: str | None = None) -> Iterator[TreeLine]:
    """The lines of the family tree, or of what descends from ``start``.

    A variant with several parents stands under each; what descends from it is drawn once.
    """
    below = children(registry)
    drawn: set[str] = set()
    # (step from the parent or None, name, prefix of the line, prefix of the lines below)
    stack: list[tuple[Step | None, str, str, str]] = [
        (None, name, "", "") for name in reversed([start] if start else roots(registry))
    ]
    while stack:
        step, name, prefix, indent = stack.pop()
        repeated = name in drawn
        drawn.add(name)
        others = tuple(
            parent
            for parent in registry.variants[name].parents
            if step is not None and parent.variant != step.parent
        )
        yield TreeLine(prefix, name, step.relation if step else None, others, repeated)
        if repeated:
            continue
        last = len(below[name]) - 1
        for index, edge in reversed(list(enumerate(below[name]))):
            branch, rest = ("└── ", "    ") if index == last else ("├── ", "│   ")
            stack.append((edge, edge.child, indent + branch, indent + rest))


def nested(lines: Iterable[TreeLine]) -> list[dict[str, object]]:
    """A drawn tree as nested ``{variant, relation, repeated, children}``, for JSON."""
    top: list[dict[str, object]] = []
    # The children of the last node at each depth; every level indents by four characters.
    levels: list[list[dict[str, object]]] = [top]
    for line in lines:
        below: list[dict[str, object]] = []
        node = {"variant": line.name, "relation": line.relation, "repeated": line.repeated}
        del levels[len(line.prefix) // 4 + 1 :]
        levels[-1].append({**node, "children": below})
        levels.append(below)
    return top


def cycles(graph: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Circles in ``graph``, each as ``[a, b, …, a]``; at least one for each knot of them.

    Without recursion, for chains are as long as a family is old. Names that are no node are
    passed over.
    """
    state: dict[str, str] = {}
    for start in graph:
        if start in state:
            continue
        path, branches = [start], [iter(graph[start])]
        state[start] = "open"
        while path:
            for target in branches[-1]:
                if target not in graph:
                    continue
                if state.get(target) == "open":
                    yield [*path[path.index(target) :], target]
                elif target not in state:
                    state[target] = "open"
                    path.append(target)
                    branches.append(iter(graph[target]))
                    break
            else:
                state[path.pop()] = "closed"
                branches.pop()
