"""``mbrelease push --status``: is the Hub still as the newest receipt says?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.hub_names import require_repo_id
from mbrelease.cli.output import print_json, talk
from mbrelease.cli.push_source import find_receipts
from mbrelease.cli.sign_options import TrustRequest
from mbrelease.errors import CheckFailed

if TYPE_CHECKING:
    from mbrelease.hub.receipt import Receipt
    from mbrelease.hub.status import Status


def show_status(
    repo_id: str, trust: TrustRequest, registry_path: Path | None, *, as_json: bool
) -> None:
    """Hold the newest receipt against the Hub, and say what came out.

    Raises:
        UserError: that is no repository id, or there is no receipt for it.
        CheckFailed: something is not as it was published, or the Hub cannot be asked.
    """
    from mbrelease.hub.client import connect
    from mbrelease.hub.status import read_status

    require_repo_id(repo_id)
    status = read_status(
        repo_id,
        api=connect(),
        receipts=find_receipts(registry_path),
        verifier=trust.verifier_if_any(),
    )
    if as_json:
        print_json(status.as_json())
    else:
        for note in status.signature.notes:
            talk(f"note: {note}")
    found = status.findings()
    if not found and not as_json:
        click.echo(_sentence(repo_id, status))
    if not as_json:
        for proposal in status.proposals:
            click.echo(str(proposal))
    if found:
        told = "\n  - ".join(found)
        raise CheckFailed(f"{repo_id} is not as published ({len(found)}):\n  - {told}")


def _sentence(repo_id: str, status: Status) -> str:
    receipt = status.receipt
    files = f"{len(receipt.files)} files"
    if status.signature.signed_by:
        files += f", signed by {status.signature.signed_by}"
    if status.was_merged:
        return (
            f"{repo_id} is as proposed {receipt.published} in {receipt.revision}, and merged as "
            f"{(status.head or '')[:12]}: {files}{_tags(receipt)}"
        )
    if receipt.is_proposal:
        return (
            f"{repo_id} has no other receipt than that of {receipt.revision}, which is as proposed "
            f"{receipt.published}: {receipt.commit[:12]}, {files}"
        )
    return (
        f"{repo_id} is as published {receipt.published}: {receipt.commit[:12]}, {files}"
        f"{_tags(receipt)}"
    )


def _tags(receipt: Receipt) -> str:
    several = "s" if len(receipt.tags) > 1 else ""
    return f", tag{several} {', '.join(receipt.tags)}" if receipt.tags else ""
