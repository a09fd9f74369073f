"""How two variants are related: the shortest chains of steps between them.

One comes from the other, or both come from common ancestors. Without recursion, and without
listing chains that nobody asked for: a family in which every version is merged from two has twice
as many chains with each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from mbrelease.registry.lineage import Step, distances
from mbrelease.registry.schema import Registry


@dataclass(frozen=True)
class Chain:
    """From an ancestor down to each of two variants; a side is empty where it is that ancestor."""

    ancestor: str
    to_first: tuple[Step, ...]
    to_second: tuple[Step, ...]

    @property
    def steps(self) -> int:
        """Of both sides."""
        return len(self.to_first) + len(self.to_second)

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "ancestor": self.ancestor,
            "to_first": [asdict(step) for step in self.to_first],
            "to_second": [asdict(step) for step in self.to_second],
        }


@dataclass(frozen=True)
class Kinship:
    """All shortest chains between two variants."""

    ancestors: tuple[str, ...]
    """Through which they run, in the order that they are found from the first; empty where the
    two are not related."""
    count: int
    """How many chains there are."""
    first: _Upward
    second: _Upward

    @property
    def steps_to_first(self) -> int:
        """From the first of ``ancestors``."""
        return self.first.distance[self.ancestors[0]]

    @property
    def steps_to_second(self) -> int:
        """From the first of ``ancestors``."""
        return self.second.distance[self.ancestors[0]]

    def chains(self, limit: int | None = None) -> list[Chain]:
        """The chains, or the first ``limit`` of them."""
        every = (
            Chain(ancestor, to_first, to_second)
            for ancestor in self.ancestors
            for to_first in _down(self.first, ancestor)
            for to_second in _down(self.second, ancestor)
        )
        return list(islice(every, limit))


@dataclass(frozen=True)
class _Upward:
    """What is above a variant, and the steps of the shortest ways up."""

    name: str
    distance: Mapping[str, int]
    below: Mapping[str, Sequence[Step]]
    """For each ancestor the steps down that are on a shortest way."""


def kinship(registry: Registry, first: str, second: str) -> Kinship:
    """How ``first`` and ``second`` are related.

    Where one comes from the other, only so; else through those common ancestors that are the
    fewest steps away from both together.
    """
    up, other = _upward(registry, first), _upward(registry, second)
    if first in other.distance:
        nearest = [first]
    elif second in up.distance:
        nearest = [second]
    else:
        sums = {
            name: steps + other.distance[name]
            for name, steps in up.distance.items()
            if name in other.distance
        }
        fewest = min(sums.values(), default=0)
        nearest = [name for name, steps in sums.items() if steps == fewest]
    ways, others = _ways(up), _ways(other)
    return Kinship(tuple(nearest), sum(ways[n] * others[n] for n in nearest), up, other)


def _upward(registry: Registry, name: str) -> _Upward:
    distance = distances(registry, name)
    below: dict[str, list[Step]] = {each: [] for each in distance}
    for child, steps in distance.items():
        for parent in registry.variants[child].parents:
            if distance[parent.variant] == steps + 1:
                below[parent.variant].append(Step(child, parent.variant, parent.relation))
    return _Upward(name, distance, below)


def _ways(up: _Upward) -> dict[str, int]:
    """How many shortest ways lead down from each."""
    ways = {up.name: 1}
    for name in up.distance:  # the nearest first
        if name != up.name:
            ways[name] = sum(ways[step.child] for step in up.below[name])
    return ways


def _down(up: _Upward, ancestor: str) -> Iterator[tuple[Step, ...]]:
    """Each shortest way from ``ancestor`` down to where ``up`` begins."""
    path: list[Step] = []
    branches = [iter(up.below[ancestor])]
    if ancestor == up.name:
        yield ()
        return
    while branches:
        step = next(branches[-1], None)
        if step is None:
            branches.pop()
            if path:
                path.pop()
        elif step.child == up.name:
            yield (*path, step)
        else:
            path.append(step)
            branches.append(iter(up.below[step.child]))
