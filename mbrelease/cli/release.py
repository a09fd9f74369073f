"""``mbrelease release``: the whole way, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mbrelease.cli.hub_names import require_repo_id, require_tag
from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, progress, step_line, talk
from mbrelease.cli.sign_options import SignRequest, sign_options

if TYPE_CHECKING:
    from mbrelease.pipeline import Destination, Release
    from mbrelease.registry.project import Project


@click.command("release")
@click.argument("variant")
@click.option("--push", "do_push", is_flag=True, help="Publish the release when it is made.")
@click.option("--to", "repo_id", metavar="ORG/NAME", help="Where to push.  [default: its 'repo']")
@click.option("--tag", help="Tag the published commit.")
@click.option(
    "--reason",
    metavar="TEXT",
    help="Why the policy is changed after a look at the test split, or the split looked at again;"
    " the card prints it.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@sign_options
@json_option
@registry_option
def command(
    variant: str,
    do_push: bool,
    repo_id: str | None,
    tag: str | None,
    reason: str | None,
    device: Any,
    sign: SignRequest,
    as_json: bool,
    registry_path: Path | None,
) -> None:
    """Take VARIANT from its run to a release: evaluate, average, select, verify, card, push.

    A step whose inputs have not changed is skipped and says so. Stopped at any point, the same
    command goes on from there.
    """
    if (repo_id or tag) and not do_push:
        raise click.UsageError("--to and --tag go with --push")
    if sign and not do_push:
        raise click.UsageError("what is signed is what is published: give --push too")
    from mbrelease.pipeline import release_variant
    from mbrelease.registry.load import load_project

    project = load_project(registry_path)
    destination = _destination(project, variant, repo_id, tag, sign) if do_push else None
    with progress(quiet=as_json) as bar:
        release = release_variant(
            project,
            variant,
            destination=destination,
            reason=reason,
            device=device,
            progress=bar,
            on_step=lambda step: bar.note(step_line(step)),
        )
    if as_json:
        from mbrelease.pipeline import as_json as plain

        print_json(plain(release))
    else:
        _print_summary(release)


def _destination(
    project: Project, variant: str, repo_id: str | None, tag: str | None, sign: SignRequest
) -> Destination:
    from mbrelease.errors import UserError
    from mbrelease.hub.client import connect
    from mbrelease.pipeline import Destination

    name = project.resolve_name(variant)
    repo_id = repo_id or project.variant(name).repo
    if repo_id is None:
        raise UserError(
            f"variant '{name}' names no repo in {project.registry_path}",
            mend="give --to ORG/NAME",
        )
    require_repo_id(repo_id)
    require_tag(tag)
    return Destination(connect(), repo_id, tag, sign.signer())


def _print_summary(release: Release) -> None:
    for reason in release.decision.reasons if release.decision else []:
        talk(reason)
    click.echo(str(release.folder))
    if release.receipt is not None:
        click.echo(release.receipt.url)
