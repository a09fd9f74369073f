"""Merge two texts that were made from the same one, line by line.

Between lines that stand in all three, a stretch that only one side changed is taken from that side;
one that both changed alike is taken once; one that they changed differently is a clash. This is
the merge of diff3: Khanna, Kunal and Pierce, A Formal Investigation of Diff3 (2007).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher


@dataclass(frozen=True)
class Stretch:
    """Some lines of a text; ``start`` counts from 1."""

    start: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Clash:
    """What both sides changed, each in its own way."""

    ours: Stretch
    theirs: Stretch


@dataclass(frozen=True)
class Merged:
    """The text of both; where they clash, that of ours."""

    text: str
    clashes: tuple[Clash, ...]


def merge_texts(base: str, ours: str, theirs: str) -> Merged:
    """Merge ``ours`` and ``theirs``, which were both made from ``base``."""
    b, o, t = _lines(base), _lines(ours), _lines(theirs)
    text: list[str] = []
    clashes: list[Clash] = []
    at_b = at_o = at_t = 0
    for start_b, start_o, start_t, length in _common(b, o, t):
        between = b[at_b:start_b], o[at_o:start_o], t[at_t:start_t]
        taken = _taken(*between)
        if taken is None:
            taken = between[1]
            clashes.append(
                Clash(
                    Stretch(at_o + 1, tuple(line.rstrip("\r\n") for line in between[1])),
                    Stretch(at_t + 1, tuple(line.rstrip("\r\n") for line in between[2])),
                )
            )
        text += [*taken, *o[start_o : start_o + length]]
        at_b, at_o, at_t = start_b + length, start_o + length, start_t + length
    return Merged("".join(text), tuple(clashes))


def _taken(base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> Sequence[str] | None:
    if ours == theirs or theirs == base:
        return ours
    return theirs if ours == base else None


def _common(
    base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]
) -> Iterator[tuple[int, int, int, int]]:
    """The runs of lines that stand in all three: where they begin in each, and how many lines.

    The last one is the empty run at the end.
    """
    first = SequenceMatcher(None, base, ours, autojunk=False).get_matching_blocks()
    second = SequenceMatcher(None, base, theirs, autojunk=False).get_matching_blocks()
    i = k = 0
    while i < len(first) and k < len(second):
        one, other = first[i], second[k]
        start = max(one.a, other.a)
        end = min(one.a + one.size, other.a + other.size)
        if start < end:
            yield start, one.b + start - one.a, other.b + start - other.a, end - start
        if one.a + one.size < other.a + other.size:
            i += 1
        else:
            k += 1
    yield len(base), len(ours), len(theirs), 0


def _lines(text: str) -> list[str]:
    """With their ends; other than ``splitlines``, only ``\\n`` ends one."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)
