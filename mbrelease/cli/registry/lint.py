"""``mbrelease registry lint``: check a registry."""

from __future__ import annotations

from pathlib import Path

import click

from mbrelease.cli.options import json_option
from mbrelease.cli.output import print_json, talk


@click.command("lint")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@json_option
def command(path: Path | None, as_json: bool) -> int:
    """Check a registry and tell every mistake with its line and column.

    A file that a registry includes is checked with that registry.

    Exits 1 where there are mistakes, 2 where there is no registry to check.
    """
    from mbrelease.registry.include import including_registry, is_part
    from mbrelease.registry.load import find_registry, load_project
    from mbrelease.registry.mistakes import InvalidRegistry, shown_path

    given = path = find_registry(Path.cwd()) if path is None else path
    if is_part(given):
        path = including_registry(given) or given
        if path == given:
            talk(f"no registry.yaml above includes {shown_path(given)}; checked by itself")
        else:
            talk(f"{shown_path(path)} includes {shown_path(given)}; checked as a whole")
    try:
        project = load_project(path)
    except InvalidRegistry as error:
        if as_json:
            print_json({"path": shown_path(path), "valid": False, "mistakes": error.as_json()})
        else:
            click.echo(str(error))
        count = len(error.mistakes)
        talk(f"{count} mistake{'s' if count != 1 else ''} in {shown_path(path)}")
        return 1
    variants = len(project.registry.variants)
    if as_json:
        answer = {"path": shown_path(path), "valid": True, "mistakes": [], "variants": variants}
        print_json(answer)
    else:
        talk(f"{shown_path(path)}: {_count(variants)}, no mistakes")
    return 0


def _count(variants: int) -> str:
    return f"{variants} variant{'s' if variants != 1 else ''}"
