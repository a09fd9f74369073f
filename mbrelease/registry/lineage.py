"""Who descends from whom: pure functions over a registry without cycles."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mbrelease.registry.schema import Parent, Registry


@dataclass(frozen=True)
class Step:
    """One edge of the lineage: ``child`` was made from ``parent`` by ``relation``."""

    child: str
    parent: str
    relation: str


@dataclass(frozen=True, eq=False, repr=False)
class Branch:
    """Where a line of a tree hangs."""

    last: bool
    """Nothing hangs below it from the same parent."""
    above: Branch | None
    """Where its parent hangs; ``None`` at a root."""
    depth: int


@dataclass(frozen=True)
class TreeLine:
    """One line of a drawn tree."""

    branch: Branch | None
    """``None`` at a root."""
    name: str
    relation: str | None
    """How it was made from the variant above it; ``None`` at a root."""
    other_parents: tuple[Parent, ...] = ()
    """Its parents beside the one above."""
    repeated: bool = False
    """Drawn before, with what descends from it, under another parent."""

    @property
    def depth(self) -> int:
        """The steps from the root; 0 at a root."""
        return self.branch.depth if self.branch else 0

    @property
    def prefix(self) -> str:
        """The branches before the name."""
        # Drawn when it is asked for: all the prefixes of a long line of descent are long.
        branch, drawn = self.branch, list[str]()
        while branch is not None:
            ends = ("└── ", "├── ") if not drawn else ("    ", "│   ")
            drawn.append(ends[0] if branch.last else ends[1])
            branch = branch.above
        return "".join(reversed(drawn))


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
    return list(distances(registry, name))[1:]


def distances(registry: Registry, name: str) -> dict[str, int]:
    """The steps from ``name`` to itself (0) and up to each ancestor, by the shortest way."""
    found = {name: 0}
    waiting = deque([name])
    while waiting:
        child = waiting.popleft()
        for parent in registry.variants[child].parents:
            if parent.variant not in found:
                found[parent.variant] = found[child] + 1
                waiting.append(parent.variant)
    return found


def descendants(registry: Registry, name: str) -> list[str]:
    """What descends from ``name``, children first, each once (breadth first)."""
    below = children(registry)
    found = {name: None}
    waiting = deque([name])
    while waiting:
        for step in below[waiting.popleft()]:
            if step.child not in found:
                found[step.child] = None
                waiting.append(step.child)
    return list(found)[1:]


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
    # The step from the parent, the name, and where it hangs.
    stack: list[tuple[Step | None, str, Branch | None]] = [
        (None, name, None) for name in reversed([start] if start else roots(registry))
    ]
    while stack:
        step, name, branch = stack.pop()
        repeated = name in drawn
        drawn.add(name)
        others = tuple(
            parent
            for parent in registry.variants[name].parents
            if step is not None and parent.variant != step.parent
        )
        yield TreeLine(branch, name, step.relation if step else None, others, repeated)
        if repeated:
            continue
        last, depth = len(below[name]) - 1, branch.depth + 1 if branch else 1
        for index, edge in reversed(list(enumerate(below[name]))):
            stack.append((edge, edge.child, Branch(index == last, branch, depth)))


def nested(lines: Iterable[TreeLine]) -> list[dict[str, object]]:
    """A drawn tree as nested ``{variant, relation, repeated, children}``, for JSON."""
    top: list[dict[str, object]] = []
    # The children of the last node at each depth.
    levels: list[list[dict[str, object]]] = [top]
    for line in lines:
        below: list[dict[str, object]] = []
        node = {"variant": line.name, "relation": line.relation, "repeated": line.repeated}
        del levels[line.depth + 1 :]
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
