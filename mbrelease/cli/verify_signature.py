"""``mbrelease verify PATH --signature``: is it what its publisher signed?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.output import print_json, progress
from mbrelease.errors import UserError

if TYPE_CHECKING:
    from mbrelease.checkpoints.hub_source import HubId
    from mbrelease.cli.sign_options import TrustRequest


def check_signature(
    target: str, trust: TrustRequest, registry_path: Path | None, *, as_json: bool
) -> None:
    """Verify the signature of a folder, a variant's release, a model of a Hub, or a receipt.

    Raises:
        UserError: there is no such thing, or no signature.
        CheckFailed: the signature does not hold.
    """
    from mbrelease.hub.signing import verify_file, verify_signature

    verifier = trust.verifier()
    path = _path(target, registry_path)
    if path.is_file():
        signed = verify_file(path, verifier)
    else:
        with progress(quiet=as_json) as bar:
            signed = verify_signature(path, verifier, progress=bar)
    count = len(signed.digests)
    if as_json:
        print_json({"path": str(path), "passed": True, "signed_by": verifier.name, "files": count})
    else:
        files = "" if path.is_file() else f"; {count} files, none more or less"
        click.echo(f"{target} is as {verifier.name} signed it{files}")


def _path(target: str, registry_path: Path | None) -> Path:
    from mbrelease.checkpoints.hub_source import SCHEME, parse_hub_id

    if Path(target).exists() and not target.startswith(SCHEME):
        return Path(target)
    if wanted := parse_hub_id(target):
        return _downloaded(wanted)
    from mbrelease.registry.load import load_project

    if registry_path is None and "/" in target:
        mend = "give a release folder, a receipt, or a model on the Hub: org/name@revision"
        raise UserError(f"{target} does not exist", mend=mend)
    project = load_project(registry_path)
    name = project.resolve_name(target)
    folder = project.release(name)
    if not folder.is_dir():
        raise UserError(f"{name} has no release yet: {folder}", mend=f"mbrelease release {name}")
    return folder


def _downloaded(wanted: HubId) -> Path:
    """Every file of the commit, in the Hub client's cache."""
    from huggingface_hub import snapshot_download

    from mbrelease.checkpoints.hub_source import open_hub, sentences

    source = open_hub(wanted)
    with sentences(wanted, source.endpoint):
        return Path(
            snapshot_download(wanted.repo_id, revision=source.revision, endpoint=source.endpoint)
        )
