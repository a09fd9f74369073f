"""``mbrelease pull-check``: download a published model and hold it against its receipt."""

from __future__ import annotations

from pathlib import Path

import click

from mbrelease.cli.hub_names import hub_model
from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, progress, talk
from mbrelease.cli.push_source import find_receipts
from mbrelease.cli.sign_options import TrustRequest, trust_options
from mbrelease.errors import CheckFailed


@click.command("pull-check")
@click.argument("model", metavar="ID[@REVISION]")
@click.option(
    "--receipt",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The receipt, wherever it was kept.  [default: that of the commit, in receipts/]",
)
@trust_options
@registry_option
@json_option
def command(
    model: str,
    receipt: Path | None,
    trust: TrustRequest,
    registry_path: Path | None,
    as_json: bool,
) -> None:
    """Is a published model still what was published?

    Every file is downloaded at the revision (main, if none is named) and every byte hashed, and
    compared with the receipt of that commit; without one, with the hashes that the Hub tells. Then
    the model is loaded. What was downloaded is removed again; an interrupted check goes on.

    With --public-key or --identity, the signatures of the model and of the receipt must hold too.

    A public model needs no token. Exit code 1 if anything is not as it was published.
    """
    from mbrelease.hub.client import connect
    from mbrelease.hub.plan_words import size_words
    from mbrelease.hub.pull_check import pull_check

    wanted = hub_model(model)
    repo_id, revision = wanted.repo_id, wanted.revision
    verifier = trust.verifier_if_any()
    with progress(quiet=as_json) as bar:
        found = pull_check(
            repo_id,
            revision,
            api=connect(),
            receipts=find_receipts(registry_path),
            receipt=receipt,
            verifier=verifier,
            progress=bar,
        )
    if as_json:
        print_json(found.as_json())
    where = f"{repo_id}@{found.commit[:12]}"
    if not as_json:
        for note in found.notes:
            talk(f"note: {note}")
    if not found.is_same:
        told = "\n  - ".join(found.findings)
        raise CheckFailed(f"{where} is not as published ({len(found.findings)}):\n  - {told}")
    if not as_json:
        loaded = ", and it loads" if found.loading.not_loaded is None else ""
        click.echo(
            f"{where}: {found.files} files, {size_words(found.bytes)}: every byte is that of "
            f"{found.against}{loaded}"
        )
