"""``mbrelease registry which``: the variants that answer a description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, talk
from mbrelease.errors import UserError

# Spelt here because the schema is slow to import; a test holds them against it.
RELATIONS = (
    "continued-pretraining", "fine-tuning", "averaging", "merging", "distillation",
    "quantization", "adapter", "context-extension", "weight-initialization",
)  # fmt: skip


@click.command("which")
@click.option(
    "--ancestor", "ancestors", multiple=True, metavar="VARIANT", help="It descends from VARIANT."
)
@click.option(
    "--descendant",
    "descendants",
    multiple=True,
    metavar="VARIANT",
    help="VARIANT descends from it.",
)
@click.option(
    "--relation",
    type=click.Choice(RELATIONS),
    metavar="RELATION",
    help="It was made so from a parent; with --ancestor, from that one or one of its line.",
)
@click.option("--alias", help="It is what ALIAS means.", metavar="ALIAS")
@click.option("--released", is_flag=True, help="It is published.")
@click.option("--planned", is_flag=True, help="It has a run or weights to release.")
@click.option("--language", "languages", multiple=True, metavar="CODE", help="Such as en.")
@click.option("--license", "license", metavar="ID", help="Such as apache-2.0.")
@click.option(
    "--data",
    multiple=True,
    metavar="NAME",
    help="It was trained on the data set NAME, a name or a Hub id; * stands for anything.",
)
@json_option
@registry_option
def command(
    released: bool, planned: bool, as_json: bool, registry_path: Path | None, **conditions: Any
) -> int:
    """Name the variants for which all that is asked holds, one a line.

    --ancestor, --descendant, --language and --data may be given several times. License and
    languages are the variant's own or the defaults'; data are what it was itself trained on.
    Exits 1 where nothing fits.
    """
    from mbrelease.registry.load import load_project
    from mbrelease.registry.which import Wanted, which

    if released and planned:
        raise UserError(
            "no variant is both released and planned", mend="give --released or --planned"
        )
    state = "released" if released else "planned" if planned else None
    names = which(load_project(registry_path), Wanted(state=state, **conditions))
    if as_json:
        print_json(names)
    elif names:
        click.echo("\n".join(names))
    if not names:
        talk("no variant fits")
    return 0 if names else 1
