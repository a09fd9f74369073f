"""``mbrelease registry diff``: what is otherwise in one variant than in another."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json


@click.command("diff")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@json_option
@registry_option
def command(first: str, second: str, as_json: bool, registry_path: Path | None) -> None:
    """Set two variants side by side: lineage, config, training, data, evidence, card.

    Only what differs is shown. Configs are those of the weights where they are on this machine,
    else what the registry states. Evidence is of the weights that were decided or released, on
    tasks measured of both in the same way; no statistics are made, and an interval is shown where
    a card has kept it.
    """
    from mbrelease.questions.difference import difference
    from mbrelease.questions.difference_text import WIDTH, difference_text
    from mbrelease.registry.load import load_project

    project = load_project(registry_path)
    found = difference(project, project.resolve_name(first), project.resolve_name(second))
    if as_json:
        print_json(found.as_json())
        return
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH
    click.echo(difference_text(found, min(columns, WIDTH)))
