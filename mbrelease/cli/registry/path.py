"""``mbrelease registry path``: how one variant comes from another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, talk

if TYPE_CHECKING:
    from mbrelease.registry.kinship import Chain
    from mbrelease.registry.lineage import Step

MOST = 1000


@click.command("path")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--all", "every", is_flag=True, help=f"Every shortest chain, not one; {MOST:,} at most."
)
@json_option
@registry_option
def command(first: str, second: str, every: bool, as_json: bool, registry_path: Path | None) -> int:
    """Tell how B comes from A, or A from B, or both from a common ancestor.

    The answer is the shortest chain of steps, each with its relation. Exits 1 where the two are
    not related.
    """
    from mbrelease.registry.kinship import kinship
    from mbrelease.registry.load import load_project

    project = load_project(registry_path)
    first, second = project.resolve_name(first), project.resolve_name(second)
    found = kinship(project.registry, first, second)
    chains = found.chains(MOST if every else 1)
    if as_json:
        answer = {"first": first, "second": second, "shortest_chains": found.count}
        print_json({**answer, "chains": [chain.as_json() for chain in chains]})
    else:
        for index, chain in enumerate(chains):
            click.echo(("\n" if index else "") + chain_text(chain))
    if not chains:
        talk(f"{first} and {second} are not related: they have no ancestor in common")
    elif found.count > len(chains):
        talk(_more(found.count, len(chains), every))
    return 0 if chains else 1


def chain_text(chain: Chain) -> str:
    """A chain with a step a line, from the ancestor down; both sides where there are two."""
    sides = [_side(chain.ancestor, steps) for steps in (chain.to_first, chain.to_second) if steps]
    return "\n".join(sides) if sides else chain.ancestor


def _side(ancestor: str, steps: Sequence[Step]) -> str:
    return "\n".join([ancestor, *(f"→ {step.child}  ({step.relation})" for step in steps)])


def _more(count: int, shown: int, every: bool) -> str:
    if every:
        return f"{shown:,} of {count:,} chains of this length are shown"
    others = "1 other chain is" if count == 2 else f"{count - 1:,} other chains are"
    return f"{others} as short; --all shows them"
