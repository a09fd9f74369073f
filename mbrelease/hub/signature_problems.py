"""What would make a published signature untrue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mbrelease.errors import UserError
from mbrelease.hub.contents import LocalFile
from mbrelease.hub.problems import Problem
from mbrelease.hub.signed_files import (
    SHOWN,
    SIGNATURE,
    find_changes,
    parse_signature,
    read_signature,
)


def without_signature(files: Sequence[LocalFile]) -> tuple[LocalFile, ...]:
    """The files that a signature is to cover."""
    return tuple(file for file in files if file.path != SIGNATURE)


def signature_problems(
    folder: Path,
    files: Sequence[LocalFile],
    remote_only: Sequence[str],
    *,
    has_changes: bool,
    will_be_signed: bool,
) -> Iterator[Problem]:
    """Yield what would make ``model.sig`` on the Hub untrue; whose signature it is is not asked.

    Args:
        folder: the release.
        files: what is published of it.
        remote_only: paths that are on the Hub alone, and stay there.
        has_changes: anything is sent.
        will_be_signed: a new signature is made before it is sent.
    """
    is_signed = will_be_signed or any(file.path == SIGNATURE for file in files)
    if not is_signed:
        if has_changes and SIGNATURE in remote_only:
            yield Problem(
                f"the {SIGNATURE} on the Hub would not hold for what is sent",
                f"sign it too: mbrelease push … --sign-key FILE; or --delete {SIGNATURE}",
            )
        return
    if remote_only:
        more = f" and {len(remote_only) - SHOWN} more" if len(remote_only) > SHOWN else ""
        yield Problem(
            f"{', '.join(remote_only[:SHOWN])}{more} would stay on the Hub beside signed files, "
            "and no download would verify",
            "--delete them, or put them into the folder",
        )
    if not will_be_signed:
        yield from _untrue_here(folder, files)


def _untrue_here(folder: Path, files: Sequence[LocalFile]) -> Iterator[Problem]:
    """A signature in the folder that was made for other bytes."""
    place = folder / SIGNATURE
    try:
        signed = parse_signature(read_signature(place, str(folder)), str(place))
    except UserError as error:
        yield Problem.of(error)
        return
    covered = {file.path: file.sha256 for file in without_signature(files)}
    changes = find_changes(signed.digests, covered)
    if changes:
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        yield Problem(
            f"{place} was made for other files: {changes[0]}{more}",
            "sign them: mbrelease push … --sign-key FILE; or delete it",
        )
