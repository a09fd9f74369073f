"""The column of each variant: one right of its last parent's."""

from __future__ import annotations

from collections.abc import Container, Sequence

Pair = tuple[int, int]
"""From the left end of a line to its right end."""


def columns(count: int, pairs: Sequence[Pair], versions: Container[int] = ()) -> list[int]:
    """The columns of ``count`` nodes, by the longest way to them from a root.

    A node that more lines leave than enter is then moved as near to its children as it can be,
    so that a base that is merged late stands beside the merge and not at the far left; but versions
    of one model stay in the columns that are theirs, which are mostly the same.

    Args:
        count: of nodes, which are 0, 1, …
        pairs: of parent and child, without circles.
        versions: nodes that are not moved.
    """
    parents: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for parent, child in dict.fromkeys(pairs):
        parents[child].append(parent)
        below[parent].append(child)
    column = [0] * count
    order = _parents_first(parents, below)
    for node in order:
        column[node] = max((column[parent] + 1 for parent in parents[node]), default=0)
    for node in reversed(order):
        if len(below[node]) > len(parents[node]) and node not in versions:
            column[node] = min(column[child] for child in below[node]) - 1
    return column


def _parents_first(parents: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> list[int]:
    missing = [len(each) for each in parents]
    order = [node for node, count in enumerate(missing) if count == 0]
    for node in order:  # it grows as it is read
        for child in below[node]:
            missing[child] -= 1
            if missing[child] == 0:
                order.append(child)
    return order
