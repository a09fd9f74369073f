"""``mbrelease card``: write the model card of a variant or of a folder."""

from __future__ import annotations

from pathlib import Path

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, talk


@click.command("card")
@click.argument("target", metavar="VARIANT|PATH")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Write the card to this file.  [default: print it]",
)
@click.option("--to", "repo_id", metavar="ORG/NAME", help="Where the folder PATH will be pushed.")
@registry_option
@json_option
def command(
    target: str,
    output: Path | None,
    repo_id: str | None,
    registry_path: Path | None,
    as_json: bool,
) -> None:
    """Write the model card of a VARIANT from its registry, decision and evidence.

    For the PATH of a checkpoint that no registry speaks of, write a minimal card from its own
    files. A template in the folder 'templates' beside the registry replaces the shipped one of
    the same name, such as templates/sections/limitations.md.j2.
    """
    from mbrelease.files import sha256_bytes, write_text

    text = _card(target, repo_id, registry_path)
    if output is not None:
        write_text(output, text)
        talk(f"wrote {output}")
    if as_json:
        print_json(
            {
                "target": target,
                "output": None if output is None else str(output),
                "sha256": sha256_bytes(text.encode()),
                "card": text,
            }
        )
    elif output is None:
        click.echo(text, nl=False)


def _card(target: str, repo_id: str | None, registry_path: Path | None) -> str:
    from mbrelease.cards.card import render_card, render_folder_card
    from mbrelease.errors import UserError
    from mbrelease.registry.load import find_registry, load_project

    folder = Path(target)
    try:
        path = find_registry(Path.cwd()) if registry_path is None else registry_path
    except UserError as error:
        if folder.is_dir():
            return render_folder_card(folder, repo_id)
        raise UserError(
            f"{target} is neither a folder nor a variant: {error.message}", mend=error.mend
        ) from error
    project = load_project(path)
    named = {*project.registry.variants, *project.registry.aliases}
    if target not in named and folder.is_dir():
        return render_folder_card(folder, repo_id)
    if repo_id is not None:
        raise UserError(
            f"'{target}' is a variant, and its card names the repo of the registry",
            mend=f"mbrelease registry set {target} repo {repo_id}",
        )
    return render_card(project, target)
