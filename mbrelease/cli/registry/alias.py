"""``mbrelease registry alias``: give a variant a further name."""

from __future__ import annotations

from pathlib import Path

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, talk


@click.command("alias")
@click.argument("name")
@click.argument("variant", required=False)
@click.option("--remove", is_flag=True, help="Remove the alias; the variant stays.")
@json_option
@registry_option
def command(
    name: str, variant: str | None, remove: bool, as_json: bool, registry_path: Path | None
) -> None:
    """Let NAME mean VARIANT, whatever it meant before.

    An alias such as production can be given wherever a command takes a variant.
    """
    from mbrelease.registry.edit import remove_alias, set_alias
    from mbrelease.registry.load import find_registry
    from mbrelease.registry.mistakes import shown_path

    if remove == (variant is not None):
        raise click.UsageError("give a VARIANT, or --remove")
    path = registry_path or find_registry(Path.cwd())
    done = set_alias(path, name, variant) if variant is not None else remove_alias(path, name)
    means = done.project.registry.aliases.get(name)
    where = shown_path(done.files[0] if done.files else path)
    if as_json:
        print_json({"path": where, "alias": name, "variant": means, "changed": done.changed})
    elif remove:
        talk(f"removed alias '{name}' from {where}")
    else:
        talk(f"{'' if done.changed else 'unchanged: '}'{name}' means '{means}' in {where}")
