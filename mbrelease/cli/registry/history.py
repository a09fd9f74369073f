"""``mbrelease registry history``: the commits that changed a variant."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, talk

if TYPE_CHECKING:
    from mbrelease.registry.history.history import Event, History


@click.command("history")
@click.argument("variant")
@json_option
@registry_option
def command(variant: str, as_json: bool, registry_path: Path | None) -> None:
    """Tell from git every commit that changed VARIANT, the newest first.

    What counts is what its entry says, in whichever file it stood and whatever it was called: an
    old name will do. A variant that is gone has a history too. Needs git; reads the repository of
    the registry.
    """
    from mbrelease.registry.history.history import history
    from mbrelease.registry.load import find_registry

    path = registry_path or find_registry(Path.cwd())
    asked = _meant(path, variant)
    found = history(path, asked)
    if found.name != asked:
        talk(f"'{asked}' was renamed: '{found.name}'")
    if as_json:
        print_json({"variant": variant, **found.as_json()})
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        click.echo(history_text(found, width))
    for one in found.passed_over:
        talk(f"passed over {one.commit.sha[:9]} of {one.commit.date[:10]}: {one.why}")
    if found.shallow:
        talk("this clone is shallow: older commits are not here (git fetch --unshallow)")


def _meant(path: Path, name: str) -> str:
    """The variant of an alias; of a registry that is broken now, the name as it is."""
    from mbrelease.registry.load import load_project
    from mbrelease.registry.mistakes import InvalidRegistry

    try:
        aliases = load_project(path).registry.aliases
    except InvalidRegistry as error:
        talk(f"{error.message.splitlines()[0]}\n(the history is told all the same)")
        return name
    return aliases.get(name, name)


def history_text(found: History, width: int | None = None) -> str:
    """The events as paragraphs: date, commit, author; subject; changes."""
    return "\n\n".join("\n".join(_event(event, width)) for event in found.events)


def _event(event: Event, width: int | None) -> Iterator[str]:
    from mbrelease.registry.change_text import change_lines

    commit = event.commit
    if commit is None:
        yield "not committed"
    else:
        yield f"{commit.date[:10]}  {commit.sha[:9]}  {commit.author}"
        yield f"  {commit.subject}"
    if event.kind in ("added", "removed"):
        yield f"    {event.kind}" + (f" in {event.file}" if event.file else "")
        return
    if event.was_named is not None:
        yield f"    renamed: {event.was_named} → {event.name}"
    if event.was_in is not None:
        yield f"    moved: {event.was_in} → {event.file}"
    for change in event.changes:
        yield from change_lines(change, width, "    ")
