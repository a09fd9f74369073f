"""The files of a release beside those on the Hub, by their hashes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mbrelease.hub.contents import LocalFile
from mbrelease.hub.remote import GIT_ATTRIBUTES, RemoteFile, is_same
from mbrelease.hub.signed_files import SIGNATURE


@dataclass(frozen=True)
class Comparison:
    """The paths of both sides, each in one of these."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    remote_only: tuple[str, ...] = ()
    """On the Hub and not of the release; they are kept."""

    @property
    def has_changes(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.added or self.changed or self.deleted)


def compare(
    folder: Path,
    files: Iterable[LocalFile],
    there: Mapping[str, RemoteFile],
    delete: Callable[[Collection[str]], Collection[str]],
    *,
    sign: bool,
) -> Comparison:
    """Compare ``files`` of ``folder`` with what is ``there``.

    Args:
        folder, files: the release.
        there: the files on the Hub, by path.
        delete: of the paths that are only there, those to take out.
        sign: a signature is made later, so that on the Hub is no leftover.
    """
    here = {file.path: file for file in files}
    same = {path for path, file in here.items() if is_same(folder, file, there.get(path))}
    not_ours = {GIT_ATTRIBUTES, SIGNATURE} if sign else {GIT_ATTRIBUTES}
    others = sorted(there.keys() - here.keys() - not_ours)
    deleted = set(delete(others))
    return Comparison(
        added=tuple(path for path in here if path not in there),
        changed=tuple(path for path in here if path in there and path not in same),
        unchanged=tuple(path for path in here if path in same),
        deleted=tuple(path for path in others if path in deleted),
        remote_only=tuple(path for path in others if path not in deleted),
    )
