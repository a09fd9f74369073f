"""``mbrelease registry rename``: give a variant another name."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, talk
from mbrelease.cli.registry.refusal import refusal_as_json

if TYPE_CHECKING:
    from mbrelease.registry.named_files import NamedFile


@click.command("rename")
@click.argument("old")
@click.argument("new")
@json_option
@registry_option
def command(old: str, new: str, as_json: bool, registry_path: Path | None) -> None:
    """Rename the variant OLD to NEW, in every place that names it.

    All files of the registry change at once or not at all. Files that carry the old name, such
    as the decision, stay as they are; how to bring them along is told.
    """
    from mbrelease.registry.edit import rename_variant
    from mbrelease.registry.load import find_registry
    from mbrelease.registry.mistakes import shown_path
    from mbrelease.registry.named_files import named_files

    with refusal_as_json(as_json, variant=old):
        done = rename_variant(registry_path or find_registry(Path.cwd()), old, new)
    left = named_files(done.project.root, old, new) if done.changed else []
    files = [shown_path(file) for file in done.files]
    if as_json:
        print_json(
            {
                "variant": new,
                "was": old,
                "changed": done.changed,
                "files": files,
                "places": [place.as_json() for place in done.places],
                "left": [
                    {"path": shown_path(file.path), "renamed": shown_path(file.renamed),
                     "says_name": file.says_name}
                    for file in left
                ],
            }
        )  # fmt: skip
        return
    if not done.changed:
        talk(f"unchanged: '{old}' is its name")
        return
    count = len(done.places)
    named = f", and {count} {'place that names' if count == 1 else 'places that name'} it"
    talk(f"renamed '{old}' to '{new}'{named if count else ''}, in {_listed(files)}")
    _tell_left(new, left)


def _listed(files: Sequence[str]) -> str:
    shown = ", ".join(files[:4])
    return f"{shown} and {len(files) - 4} more" if len(files) > 4 else shown


def _tell_left(new: str, left: Sequence[NamedFile]) -> None:
    """What still carries the old name, and how it gets the new one."""
    from mbrelease.registry.mistakes import shown_path

    moves = [
        shlex.join(["mv", shown_path(file.path), shown_path(file.renamed)])
        for file in left
        if not file.says_name
    ]
    anew = [shown_path(file.path) for file in left if file.says_name]
    if moves:
        talk("\n  ".join(["files carry the old name still; bring them along:", *moves]))
    if anew:
        lead = (
            f"the old name stands in these; 'mbrelease release {new}' makes new ones, then delete:"
        )
        talk("\n  ".join([lead, *anew]))
