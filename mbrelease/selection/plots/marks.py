"""How candidates look, and what it says of them."""

from __future__ import annotations

from collections.abc import Sequence

from mbrelease.pictures.colours import BLUE, GREEN, INK, MUTED, PAPER, VERMILION
from mbrelease.pictures.marks import Mark
from mbrelease.selection.decision import Candidate, Decision
from mbrelease.selection.plots.words import candidate_words, state_words


def mark_of(decision: Decision, candidate: Candidate) -> Mark:
    """The mark of a candidate: by shape first, and by colour too."""
    if candidate.kind == "reference":
        return Mark("s", 10, INK, PAPER, "the reference")
    if candidate.name == decision.chosen:
        name = candidate_words(candidate, decision.candidates)
        return Mark("*", 20, GREEN, PAPER, f"selected: {name}")
    words = state_words(decision, candidate)
    if candidate.state == "stopped":
        return Mark("x", 8, VERMILION, VERMILION, words, 2.5)
    if candidate.state == "unsettled":
        return Mark("D", 7.5, PAPER, VERMILION, words, 2.0)
    return Mark("o", 8, BLUE, BLUE, words)


BAND = Mark("band", 0, BLUE, BLUE, "95% interval")
STAIR = Mark("stair", 0, MUTED, MUTED, "no candidate is beyond this line")
BAR = Mark("|", 18, BLUE, BLUE, "95% interval", 2.0)


def marks_in(decision: Decision, candidates: Sequence[Candidate]) -> list[Mark]:
    """The different marks of ``candidates``, the selected one first."""
    marks = {mark.shape: mark for mark in (mark_of(decision, one) for one in candidates)}
    return [marks[shape] for shape in ("*", "o", "D", "x") if shape in marks]
