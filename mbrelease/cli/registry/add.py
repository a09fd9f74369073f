"""``mbrelease registry add``: add a variant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, talk
from mbrelease.cli.registry.refusal import refusal_as_json
from mbrelease.errors import UserError


@click.command("add")
@click.argument("name")
@click.option("--repo", help="The repo id it is, or will be, published under.")
@click.option(
    "--parent",
    "parents",
    multiple=True,
    metavar="VARIANT:RELATION",
    help="What it is made from, such as modernbert-base:continued-pretraining; repeatable.",
)
@click.option("--supersedes", metavar="VARIANT", help="The version that it replaces.")
@click.option("--run", help="The Trainer's output folder, relative to the registry.")
@click.option("--weights", help="A folder with its weights, where there was no run.")
@click.option("--suite", help="The tasks it is measured on.")
@click.option("--policy", help="The policy that chooses its weights.")
@click.option("--license", "license_id", help="Such as apache-2.0.")
@click.option("--language", "languages", multiple=True, help="Such as en; repeatable.")
@click.option("--summary", help="A sentence for its card.")
@click.option(
    "--file",
    metavar="PATH",
    help="The included file to put it into, relative to the registry; made if it is not there.",
)
@json_option
@registry_option
def command(
    name: str,
    parents: tuple[str, ...],
    license_id: str | None,
    languages: tuple[str, ...],
    summary: str | None,
    file: str | None,
    as_json: bool,
    registry_path: Path | None,
    **texts: str | None,
) -> None:
    """Add the variant NAME at the end of the registry."""
    from mbrelease.registry.edit import add_variant
    from mbrelease.registry.load import find_registry
    from mbrelease.registry.mistakes import shown_path

    entry: dict[str, Any] = {
        "repo": texts["repo"],
        "parents": [_parent(text) for text in parents],
        **{key: texts[key] for key in ("supersedes", "run", "weights", "suite", "policy")},
        "license": license_id,
        "languages": list(languages),
        "card": {"summary": summary} if summary else None,
    }
    entry = {key: value for key, value in entry.items() if value}
    with refusal_as_json(as_json, variant=name):
        path = registry_path or find_registry(Path.cwd())
        done = add_variant(path, name, entry, file=file)
    where = shown_path(done.files[0])
    aliases = done.project.registry.aliases
    named = [parent["variant"] for parent in entry.get("parents", [])]
    for given in dict.fromkeys([*named, *filter(None, [texts["supersedes"]])]):
        if given in aliases:
            talk(f"'{given}' is an alias: '{aliases[given]}' was written")
    for parent in entry.get("parents", []):
        parent["variant"] = aliases.get(parent["variant"], parent["variant"])
    if "supersedes" in entry:
        entry["supersedes"] = aliases.get(entry["supersedes"], entry["supersedes"])
    if as_json:
        print_json({"path": where, "variant": name, "entry": entry, "changed": True})
    else:
        talk(f"added '{name}' to {where}")


def _parent(text: str) -> dict[str, str]:
    variant, colon, relation = text.rpartition(":")
    if not colon:
        raise UserError(
            f"--parent {text} does not say how the variant was made from it",
            mend=f"write --parent {text}:continued-pretraining, or another relation",
        )
    return {"variant": variant, "relation": relation}
