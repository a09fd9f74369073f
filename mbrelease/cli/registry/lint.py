"""``mbrelease registry lint``: check a registry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.options import json_option
from mbrelease.cli.output import print_json, talk
from mbrelease.errors import UserError

if TYPE_CHECKING:
    from mbrelease.registry.document import Document
    from mbrelease.registry.mistakes import Mistake
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
    from mbrelease.registry.project import REGISTRY_NAME

    if path is None:
        path = find_registry(Path.cwd())
    elif path.is_dir() and (path / REGISTRY_NAME).is_file():
        path = path / REGISTRY_NAME
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
        return read_project(path, also=_recipes)
    except InvalidRegistry:
        part = is_part(path)
        registry = None if part is False else including_registry(path)
        if registry is None:
            if part:
                talk(f"no registry.yaml above includes {shown_path(path)}; checked by itself")
            raise
    talk(f"{shown_path(registry)} includes {shown_path(path)}; checked as a whole")
    return read_project(registry, also=_recipes)


def _recipes(document: Document) -> Iterator[Mistake]:
    """Averages that no recipe makes, as ``mbrelease average`` would say it."""
    from mbrelease.averaging.recipes import parse_recipe
    from mbrelease.registry.entries import stating, texts

    said: dict[str, str | None] = {}
    for variant, _ in stating(document, "candidates"):
        path = ("variants", variant, "candidates", "averages")
        for index, recipe in texts(document, *path):
            if recipe not in said:
                try:
                    parse_recipe(recipe)
                    said[recipe] = None
                except UserError as problem:
                    said[recipe] = "; ".join(filter(None, [problem.message, problem.mend]))
            message = said[recipe]
            if message is not None:
                yield document.mistake((*path, index), message)


def _count(variants: int) -> str:
    return f"{variants} variant{'s' if variants != 1 else ''}"
