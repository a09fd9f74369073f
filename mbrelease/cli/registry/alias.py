"""``mbrelease registry alias``: give a variant a further name."""

from __future__ import annotations

from pathlib import Path

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, talk
from mbrelease.cli.registry.refusal import refusal_as_json


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

    An alias such as production can be given wherever a command takes a variant. The registry
    itself names variants outright: an alias may mean another one tomorrow.
    """
    from mbrelease.registry.edit import remove_alias, set_alias
    from mbrelease.registry.load import find_registry
    from mbrelease.registry.mistakes import shown_path

    if remove and variant is not None:
        raise click.UsageError("--remove takes no VARIANT")
    if not remove and variant is None:
        raise click.UsageError("give a VARIANT, or --remove")
    with refusal_as_json(as_json, alias=name):
        path = registry_path or find_registry(Path.cwd())
        done = set_alias(path, name, variant) if variant is not None else remove_alias(path, name)
    means = done.project.registry.aliases.get(name)
    where = shown_path(done.files[0] if done.files else path)
    if as_json:
        answer = {"path": where, "alias": name, "variant": means, "was": done.was}
        print_json({**answer, "changed": done.changed})
    elif remove:
        talk(f"removed alias '{name}' from {where} (was '{done.was}')")
    elif done.changed:
        was = "" if done.was is None else f" (was '{done.was}')"
        talk(f"'{name}' means '{means}' in {where}{was}")
    else:
        talk(f"unchanged: '{name}' means '{means}' in {where}")
