"""What earlier receipts prove of a new commit, so that a new card is not an hour of downloads.

A receipt says which object of the Hub a file was, and that its bytes were downloaded and hashed.
Where a later commit names the very object, by git's hash and by the sha256 of a large file, it is
not downloaded again. Nor is a model loaded again of which no file that a library reads has changed,
by the same libraries. ``pull_check`` takes no receipt's word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mbrelease.hub.contents import LocalFile
from mbrelease.hub.receipt import Receipt, Verified
from mbrelease.hub.remote import RemoteFile

LIBRARIES = ("safetensors", "tokenizers", "torch", "transformers")
# What no library reads when it loads a model.
NOT_LOADED = re.compile(
    r"README\.md|CITATION\.cff|(LICENSE|NOTICE)(\.md|\.txt)?|(card\.lock|averaging)\.json"
    r"|model\.sig|\.eval_results/.*|.*\.(png|svg)"
)


@dataclass(frozen=True)
class Proven:
    """What need not be done again."""

    read_before: Mapping[str, str]
    """The commit at which a file was read back, by its path."""
    objects: Mapping[str, str]
    """The hash by which the Hub knows each of them."""
    loaded: Verified | None
    """How the model was loaded, with the commit in ``loaded_before``."""


NOTHING = Proven({}, {}, None)


def proven(
    files: Sequence[LocalFile],
    tree: Mapping[str, RemoteFile],
    receipts: Iterable[Receipt],
    versions: Mapping[str, str],
) -> Proven:
    """What ``receipts`` of the same repository prove of a commit.

    Args:
        files: what the commit is to hold.
        tree: what the Hub says that it holds.
        receipts: the oldest first.
        versions: of the libraries that are here.
    """
    read_before: dict[str, str] = {}
    loaded: Verified | None = None
    for receipt in receipts:
        verified = receipt.what_was_verified
        if verified is None:  # of a version that did not tell what it did
            continue
        same = [file.path for file in files if _is_object(file, tree.get(file.path), receipt)]
        read_before |= {path: verified.read_before.get(path, receipt.commit) for path in same}
        if _loads_alike(files, same, receipt) and _by_the_same(receipt, versions):
            at = verified.loaded_before or receipt.commit
            loaded = verified.model_copy(update={"loaded_before": at})
    objects = {path: tree[path].sha256 or tree[path].blob_id for path in read_before}
    return Proven(read_before, objects, loaded)


def _is_object(file: LocalFile, there: RemoteFile | None, receipt: Receipt) -> bool:
    known = receipt.files.get(file.path)
    return (
        known is not None
        and there is not None
        and (known.sha256, known.size_bytes) == (file.sha256, file.size_bytes)
        and (known.blob_id, known.size_bytes) == (there.blob_id, there.size_bytes)
        and there.sha256 in {None, file.sha256}
    )


def _loads_alike(files: Sequence[LocalFile], same: Sequence[str], receipt: Receipt) -> bool:
    """Whether each file that is loaded is the same, and there is none less or more."""
    here = {file.path for file in files if _is_loaded(file.path)}
    return here == {path for path in receipt.files if _is_loaded(path)} and here <= set(same)


def _is_loaded(path: str) -> bool:
    return NOT_LOADED.fullmatch(path) is None


def _by_the_same(receipt: Receipt, versions: Mapping[str, str]) -> bool:
    verified = receipt.what_was_verified
    return (
        verified is not None
        and verified.not_loaded is None
        and all(receipt.versions.get(name) == versions.get(name) for name in LIBRARIES)
    )
