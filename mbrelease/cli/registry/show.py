"""``mbrelease registry show``: all there is to tell of one variant."""

from __future__ import annotations

from pathlib import Path

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json


@click.command("show")
@click.argument("variant")
@json_option
@registry_option
def command(variant: str, as_json: bool, registry_path: Path | None) -> None:
    """Show one variant: its facts, its ancestors, and where its files lie."""
    from mbrelease.registry.facts import details, details_text
    from mbrelease.registry.load import load_project

    project = load_project(registry_path)
    answer = details(project, project.resolve_name(variant))
    if as_json:
        print_json(answer)
    else:
        click.echo(details_text(answer))
