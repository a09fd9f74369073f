"""``mbrelease registry show``: all there is to tell of one variant."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json


@click.command("show")
@click.argument("variant")
@json_option
@registry_option
def command(variant: str, as_json: bool, registry_path: Path | None) -> None:
    """Show one variant: its facts, its ancestors, and where its files lie.

    For each step up to the root it tells what the step changed. Tokens and documents seen are
    summed along the path, over the trainings whose weights live on in the variant.
    """
    from mbrelease.questions.files import changed_parts
    from mbrelease.questions.rights import license_remarks
    from mbrelease.registry.facts import details
    from mbrelease.registry.facts_text import details_text
    from mbrelease.registry.lineage import Step
    from mbrelease.registry.load import load_project

    project = load_project(registry_path)
    name = project.resolve_name(variant)
    answer = {**details(project, name), "remarks": license_remarks(project.registry, name)}
    for step in answer["lineage"]:
        edge = Step(step["child"], step["parent"], step["relation"])
        step["files"] = changed_parts(project, edge)
    if as_json:
        print_json(answer)
        return
    # In a pipe, where lines are searched, none is broken.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    click.echo(details_text(answer, width))
