"""Which variants of a family stand beside each other: ancestors above, in rows of a few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mbrelease.cards.pictures.lineage import Family

MOST_IN_A_ROW = 3


def rows_of(family: Family) -> list[list[str]]:
    """The names from top to bottom; a generation that is too wide takes several rows."""
    generations = _generations(family)
    order = {node.name: i for i, node in enumerate(family.nodes)}
    parents: dict[str, list[str]] = {name: [] for name in order}
    for edge in family.made():
        parents[edge.newer].append(edge.older)
    places: dict[str, float] = {}
    rows: list[list[str]] = []
    for generation in range(max(generations.values()) + 1):
        names = [name for name in order if generations[name] == generation]
        names.sort(key=lambda name: (_mean(places, parents[name]), order[name]))
        places |= {name: (i + 1) / (len(names) + 1) for i, name in enumerate(names)}
        rows += _parted(_versions(family, names))
    return rows


def _generations(family: Family) -> dict[str, int]:
    """One more than that of the youngest parent; versions without parents beside each other."""
    older = _grouped([(edge.newer, edge.older) for edge in family.made()])
    younger = _grouped([(edge.older, edge.newer) for edge in family.made()])
    found: dict[str, int] = {}
    waiting = [node.name for node in family.nodes]
    while waiting:
        for name in waiting:
            parents = older.get(name, [])
            if all(parent in found for parent in parents):
                found[name] = 1 + max((found[parent] for parent in parents), default=-1)
        waiting = [name for name in waiting if name not in found]
    for edge in family.superseded():
        for alone, other in ((edge.older, edge.newer), (edge.newer, edge.older)):
            below = min(
                (found[child] for child in younger.get(alone, [])), default=len(family.nodes)
            )
            if alone not in older and found[alone] < found[other] < below:
                found[alone] = found[other]
    return found


def _grouped(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def _mean(places: Mapping[str, float], names: Sequence[str]) -> float:
    return sum(places[name] for name in names) / len(names) if names else 0.5


def _versions(family: Family, names: Sequence[str]) -> list[list[str]]:
    """``names``, with those that supersede each other together, the oldest first."""
    groups = [[name] for name in names]
    for edge in family.superseded():
        ends = [next((g for g in groups if name in g), None) for name in (edge.older, edge.newer)]
        older, newer = ends
        if older is not None and newer is not None and older is not newer:
            groups.remove(newer)
            older += newer
    return groups


def _parted(groups: Sequence[list[str]]) -> list[list[str]]:
    """In as few rows as can be, of about the same length; versions share a row if they can."""
    n_names = sum(map(len, groups))
    n = -(-n_names // -(-n_names // MOST_IN_A_ROW))
    rows: list[list[str]] = []
    for group in groups:
        for start in range(0, len(group), MOST_IN_A_ROW):
            part = group[start : start + MOST_IN_A_ROW]
            row = next((row for row in rows if len(row) + len(part) <= n), None)
            if row is None:
                rows.append(row := [])
            row += part
    return rows
