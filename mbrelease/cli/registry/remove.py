"""``mbrelease registry remove``: remove a variant."""

from __future__ import annotations

from pathlib import Path

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, talk
from mbrelease.cli.registry.refusal import refusal_as_json


@click.command("remove")
@click.argument("variant")
@json_option
@registry_option
def command(variant: str, as_json: bool, registry_path: Path | None) -> None:
    """Remove VARIANT from the registry.

    Refused while anything names it, with each place. Comments in it, and directly above it, go
    with it; files of it, such as its decision and its release, stay.
    """
    from mbrelease.registry.edit import remove_variant
    from mbrelease.registry.load import find_registry
    from mbrelease.registry.mistakes import shown_path
    from mbrelease.registry.named_files import named_files

    with refusal_as_json(as_json, variant=variant, named_in=[], left=[]):
        done = remove_variant(registry_path or find_registry(Path.cwd()), variant)
    left = [shown_path(file.path) for file in named_files(done.project.root, variant)]
    where = shown_path(done.files[0])
    if as_json:
        answer = {"path": where, "variant": variant, "changed": True, "named_in": [], "left": left}
        print_json(answer)
        return
    talk(f"removed '{variant}' from {where}")
    if left:
        talk("\n  ".join(["files of it stay; delete them if nobody needs them:", *left]))
