"""``mbrelease verify PATH --signature``: is it what its publisher signed?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.checkpoints.hub_source import SCHEME
from mbrelease.cli.hub_names import bare_hub_model, explicit_hub_model, or_a_folder
from mbrelease.cli.output import print_json, progress
from mbrelease.errors import CheckFailed, UserError

if TYPE_CHECKING:
    from mbrelease.checkpoints.hub_source import HubId
    from mbrelease.cli.sign_options import TrustRequest
    from mbrelease.hub.signed_files import SignedFiles
    from mbrelease.hub.signing_keys import Verifier
    from mbrelease.progress import Progress


def check_signature(
    target: str, trust: TrustRequest, registry_path: Path | None, *, as_json: bool
) -> None:
    """Verify the signature of a folder, a variant's release, a model of a Hub, or a receipt.

    Raises:
        UserError: there is no such thing here, or nobody is named who could have signed it.
        CheckFailed: it is not signed, the signature does not hold, or the Hub cannot be asked.
    """
    verifier = trust.verifier()
    try:
        with progress(quiet=as_json) as bar:
            subject = _subject(target, registry_path, bar)
            signed = _verify(subject, verifier, bar)
    except CheckFailed as error:
        if as_json:
            _print_answer(target, verifier, None, error.message)
        raise
    if as_json:
        _print_answer(subject.name, verifier, signed, None)
        return
    files = "" if subject.path.is_file() else f"; {len(signed.digests)} files, none more or less"
    click.echo(f"{subject.name} is as {verifier.name} signed it{files}")


@dataclass(frozen=True)
class _Subject:
    """What is to be as it was signed."""

    path: Path
    name: str
    """Its path, or what it is called on the Hub; its folder in a cache says nothing to a reader."""
    is_at_hub: bool = False


def _verify(subject: _Subject, verifier: Verifier, progress: Progress) -> SignedFiles:
    from mbrelease.hub.signing import verify_file, verify_signature

    if subject.path.is_file():
        return verify_file(subject.path, verifier)
    called = subject.name if subject.is_at_hub else None
    return verify_signature(subject.path, verifier, called=called, progress=progress)


def _print_answer(
    name: str, verifier: Verifier, signed: SignedFiles | None, error: str | None
) -> None:
    print_json(
        {
            "path": name,
            "passed": error is None,
            "trusted": verifier.name,
            "signed_by": verifier.name if signed else None,
            "files": len(signed.digests) if signed else None,
            "error": error,
        }
    )


def _subject(target: str, registry_path: Path | None, progress: Progress) -> _Subject:
    if Path(target).exists() and not target.startswith(SCHEME):
        return _Subject(Path(target), target)
    if wanted := explicit_hub_model(target):
        return _downloaded(wanted, progress)
    if bare := bare_hub_model(target):
        with or_a_folder(target):
            return _downloaded(bare, progress)
    if registry_path is None and "/" in target:
        mend = "give a release folder, a receipt, or a model on the Hub: org/name@revision"
        raise UserError(f"{target} does not exist", mend=mend)
    from mbrelease.registry.load import load_project

    project = load_project(registry_path)
    name = project.resolve_name(target)
    folder = project.release(name)
    if not folder.is_dir():
        raise UserError(f"{name} has no release yet: {folder}", mend=f"mbrelease release {name}")
    return _Subject(folder, str(folder))


def _downloaded(wanted: HubId, progress: Progress) -> _Subject:
    """Every file of the commit, in the Hub client's cache."""
    from mbrelease.checkpoints.hub_folder import fetch_whole
    from mbrelease.hub.client import quiet_client

    with quiet_client():
        source = fetch_whole(wanted, progress=progress)
    commit = source.hub_commit[:12]
    at = wanted.revision if wanted.revision.startswith(commit) else f"{wanted.revision} ({commit})"
    return _Subject(source.path, f"{wanted.repo_id}@{at}", is_at_hub=True)
