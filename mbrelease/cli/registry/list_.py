"""``mbrelease registry list``: a row for each variant."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, talk

if TYPE_CHECKING:
    from mbrelease.registry.facts import Summary

GAP = "  "
_NONE = "–"


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
    if not rows:
        talk("the family has no variants yet: mbrelease registry add NAME")
        return
    cells = [("variant", "state", "parents", "repo")]
    cells += [
        (row.name, row.state, ", ".join(row.parents) or _NONE, row.repo or _NONE) for row in rows
    ]
    if not _fits_terminal(cells):
        cells = [("variant, repo", "state", "parents", "")]
        cells += [
            (f"{row.name}\n  {row.repo or _NONE}", row.state, "\n".join(row.parents) or _NONE, "")
            for row in rows
        ]
    if not _fits_terminal(cells):
        click.echo("\n".join(line for row in rows for line in _stacked(row)))
        return
    click.echo("\n".join(_table(cells)))


def _stacked(row: Summary) -> Iterator[str]:
    """A variant on the narrowest terminals: a line for each thing."""
    yield row.name
    yield f"  {row.state}"
    yield from (f"  ← {parent}" for parent in row.parents)
    if row.repo:
        yield f"  {row.repo}"


def _fits_terminal(cells: Sequence[Sequence[str]]) -> bool:
    """Whether each row has room on one line; in a pipe, where lines are searched, always."""
    if not sys.stdout.isatty():
        return True
    return sum(_widths(cells)) + 3 * len(GAP) <= shutil.get_terminal_size().columns


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [
        max(len(line) for cell in column for line in cell.split("\n"))
        for column in zip(*rows, strict=True)
    ]


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    # Not by rich, which takes seconds over ten thousand rows.
    widths = _widths(rows)
    yield from _lines(rows[0], widths)
    yield "─" * (sum(widths) + len(GAP) * (len(widths) - 1))
    for row in rows[1:]:
        yield from _lines(row, widths)


def _lines(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """A row, of several lines where a cell has several."""
    columns = [cell.split("\n") for cell in row]
    for index in range(max(map(len, columns))):
        cells = [lines[index] if index < len(lines) else "" for lines in columns]
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        yield GAP.join(padded).rstrip()
