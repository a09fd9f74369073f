"""``mbrelease registry lint``: check a registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.options import json_option
from mbrelease.cli.output import print_json, talk

if TYPE_CHECKING:
    from mbrelease.registry.project import Project


@click.command("lint")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@json_option
def command(path: Path | None, as_json: bool) -> int:
    """Check a registry and tell every mistake with its line and column.

    A file that a registry includes is checked with that registry.

    Exits 1 where there are mistakes, 2 where there is no registry to check.
    """
    from mbrelease.registry.load import find_registry
    from mbrelease.registry.mistakes import InvalidRegistry, shown_path

    path = find_registry(Path.cwd()) if path is None else path
    try:
        project = _checked(path)
    except InvalidRegistry as error:
        path = error.path
        if as_json:
            print_json({"path": shown_path(path), "valid": False, "mistakes": error.as_json()})
        else:
            click.echo(str(error))
        count = len(error.mistakes)
        talk(f"{count} mistake{'s' if count != 1 else ''} in {shown_path(path)}")
        return 1
    path = project.registry_path
    variants = len(project.registry.variants)
    if as_json:
        answer = {"path": shown_path(path), "valid": True, "mistakes": [], "variants": variants}
        print_json(answer)
    else:
        talk(f"{shown_path(path)}: {_count(variants)}, no mistakes")
    return 0


def _checked(path: Path) -> Project:
    """The registry at ``path``, or the one that includes it.

    Raises:
        InvalidRegistry: there are mistakes.
    """
    from mbrelease.registry.include import including_registry, is_part
    from mbrelease.registry.load import read_project
    from mbrelease.registry.mistakes import InvalidRegistry, shown_path

    try:
        return read_project(path)
    except InvalidRegistry:
        if not is_part(path):
            raise
        registry = including_registry(path)
        if registry is None:
            talk(f"no registry.yaml above includes {shown_path(path)}; checked by itself")
            raise
    talk(f"{shown_path(registry)} includes {shown_path(path)}; checked as a whole")
    return read_project(registry)


def _count(variants: int) -> str:
    return f"{variants} variant{'s' if variants != 1 else ''}"
