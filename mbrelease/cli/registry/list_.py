"""``mbrelease registry list``: a row for each variant."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, print_table


@click.command("list")
@json_option
@registry_option
def command(as_json: bool, registry_path: Path | None) -> None:
    """List the variants: repo, parents, released or planned."""
    from mbrelease.registry.facts import summaries
    from mbrelease.registry.load import load_project

    rows = summaries(load_project(registry_path))
    if as_json:
        print_json([row.as_json() for row in rows])
        return
    cells = [(row.name, row.state, "\n".join(row.parents) or "–", row.repo or "–") for row in rows]
    if _fits_terminal(cells):
        print_table(["variant", "state", "parents", "repo"], cells)
    else:
        stacked = [(f"{name}\n  {repo}", state, parents) for name, state, parents, repo in cells]
        print_table(["variant, repo", "state", "parents"], stacked)


def _fits_terminal(cells: Sequence[tuple[str, ...]]) -> bool:
    """Whether each row has room on one line; in a pipe, where lines are searched, always."""
    if not sys.stdout.isatty() or not cells:
        return True
    columns = zip(*cells, strict=True)
    width = sum(max(len(line) for cell in c for line in cell.split("\n")) for c in columns)
    gaps = 3 * len(cells[0])  # as print_table sets them
    return width + gaps <= shutil.get_terminal_size().columns
