"""``mbrelease registry tree``: the family as a tree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, talk
from mbrelease.errors import UserError

if TYPE_CHECKING:
    from mbrelease.registry.lineage import TreeLine
    from mbrelease.registry.project import Project

MAX_JSON_DEPTH = 400
"""Each step is a list in an object; Python's reader ends at a thousand levels."""
LINES_AT_ONCE = 200


@click.command("tree")
@click.argument("variant", required=False)
@json_option
@registry_option
def command(variant: str | None, as_json: bool, registry_path: Path | None) -> None:
    """Draw the family, or what descends from VARIANT, with how each was made.

    A variant with several parents stands under each of them; what descends from it is drawn at
    the first, and the others are marked with an arrow.
    """
    from mbrelease.registry import lineage
    from mbrelease.registry.load import load_project

    project = load_project(registry_path)
    start = project.resolve_name(variant) if variant is not None else None
    lines = list(lineage.tree(project.registry, start))
    if as_json:
        deepest = max((line.depth for line in lines), default=0)
        if deepest > MAX_JSON_DEPTH:
            raise UserError(
                f"the tree is {deepest:,} steps deep, deeper than programs read nested JSON",
                mend="mbrelease registry list --json, which names the parents of each",
            )
        print_json(lineage.nested(lines))
        return
    if not lines:
        talk("the family has no variants yet: mbrelease registry add NAME")
    # Many at once: to hand them over one by one takes longer than to draw them.
    for first in range(0, len(lines), LINES_AT_ONCE):
        part = lines[first : first + LINES_AT_ONCE]
        click.echo("\n".join(_tree_line(project, line) for line in part))


def _tree_line(project: Project, line: TreeLine) -> str:
    variant = project.registry.variants[line.name]
    notes = [line.relation] if line.relation else []
    notes += [f"also {p.relation} of {p.variant}" for p in line.other_parents]
    if variant.supersedes:
        notes.append(f"supersedes {variant.supersedes}")
    if line.repeated:
        notes.append("↑ drawn above")
    return line.prefix + line.name + (f"  ({'; '.join(notes)})" if notes else "")
