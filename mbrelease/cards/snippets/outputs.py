"""Under each Python block of a card, what it prints."""

from __future__ import annotations

from mbrelease.cards.escape import fenced
from mbrelease.cards.snippets.blocks import read_blocks
from mbrelease.cards.snippets.records import Outcome, Outcomes
from mbrelease.cards.told import visible


def with_outputs(generated: str, outcomes: Outcomes) -> str:
    """``generated`` with the output of each Python block under it.

    Args:
        generated: Text fresh from the templates, with the origins of its numbers still in it.
        outcomes: What is known; a block that nothing is known of stands alone.

    Returns:
        The text, in which the numbers of an output have the record of the run as their origin.
    """
    lines = generated.split("\n")
    # An origin has no line breaks, so lines have the same numbers with it and without.
    for block in reversed(read_blocks(visible(generated))):
        outcome = outcomes.of(block.code) if block.is_python else None
        if outcome is None or not (below := _below(outcome, outcomes)):
            continue
        after = lines[block.last_line :]
        if after and after[0].strip(" \t>"):
            below.append("")
        lines[block.last_line :] = [(block.prefix + line).rstrip() for line in below] + after
    return "\n".join(lines)


def _below(outcome: Outcome, outcomes: Outcomes) -> list[str]:
    if outcome.not_run is not None:
        return ["", f"*Not run here: it needs {outcome.not_run}.*"]
    if not outcome.output:
        return []
    where = " on a GPU" if outcome.device == "cuda" else ""
    told = outcomes.place.at("blocks", outcome.key, "output").tell(outcome.output)
    return ["", f"It prints{where}:", "", *str(fenced(told, "text")).split("\n")]
