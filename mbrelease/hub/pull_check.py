"""Is a published model still what was published? Download it and look, months later.

``status`` asks the Hub for its hashes. Here every byte is downloaded and hashed, for a Hub may name
one hash and serve other bytes; and the model is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbrelease.errors import CheckFailed
from mbrelease.hub.client import quiet_client, shown_endpoint
from mbrelease.hub.contents import git_blob_sha1
from mbrelease.hub.download import Served, Wanted, download, download_folder
from mbrelease.hub.loading import Loading, check_downloaded
from mbrelease.hub.patience import waits_told_to
from mbrelease.hub.receipt import Receipt, read_receipts
from mbrelease.hub.remote import GIT_ATTRIBUTES, RemoteFile, read_head, read_refs, read_tree
from mbrelease.progress import SILENT, Progress

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class PullCheck:
    """What was found."""

    repo_id: str
    revision: str
    """As it was asked for."""
    commit: str
    receipt: Receipt | None
    """Of this very commit; without one the files are held against what the Hub says of them."""
    files: int
    bytes: int
    findings: tuple[str, ...]
    """What is not as it should be, in sentences."""
    notes: tuple[str, ...]
    loading: Loading

    @property
    def is_same(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def against(self) -> str:
        """What it was held against."""
        if self.receipt is None:
            return "the hashes that the Hub tells"
        return f"the receipt of {self.receipt.published}"

    def as_json(self) -> dict[str, Any]:
        """The findings as plain values, for ``--json``."""
        receipt = self.receipt.model_dump(mode="json") if self.receipt else None
        return {**asdict(self), "receipt": receipt, "same": self.is_same, "against": self.against}


def pull_check(
    repo_id: str,
    revision: str = "main",
    *,
    api: HfApi,
    receipts: Path = Path("receipts"),
    progress: Progress = SILENT,
) -> PullCheck:
    """Download ``repo_id`` at ``revision`` and hold every byte against its receipt; load it.

    Args:
        repo_id, revision: the model, at a branch, tag or commit.
        api: any client; no token is needed for a public model.
        receipts: the folder of receipts.
        progress: is told how far it is.

    Raises:
        CheckFailed: there is no such model or revision, or it could not be read.
        UserError: a receipt is malformed.
    """
    with quiet_client(), waits_told_to(progress):
        commit = read_head(api, repo_id, revision)
        if commit is None:
            raise CheckFailed(
                f"{repo_id} has no revision '{revision}'",
                mend=f"see {shown_endpoint(api)}/{repo_id}/commits/main",
            )
        known = read_receipts(receipts, repo_id, shown_endpoint(api))
        receipt = next((each for each in reversed(known) if each.commit == commit), None)
        tree = read_tree(api, repo_id, commit)
        names = sorted(receipt.files if receipt else tree.keys() - {GIT_ATTRIBUTES})
        wanted = [Wanted(name, tree[name].size_bytes) for name in names if name in tree]
        with download_folder(api, repo_id, commit) as folder:
            served = download(api, repo_id, commit, wanted, folder, progress=progress)
            findings = [
                f"{name} {fault}"
                for name in names
                if (fault := _fault(name, served.get(name), receipt, tree, folder))
            ]
            loading = check_downloaded(folder)
        tags = read_refs(api, repo_id)[1]
    return PullCheck(
        repo_id=repo_id,
        revision=revision,
        commit=commit,
        receipt=receipt,
        files=len(wanted),
        bytes=sum(file.size_bytes for file in served.values() if file is not None),
        findings=(
            *_moved_tags(revision, commit, known, tags),
            *findings,
            *_strangers(receipt, tree),
            *loading.failures,
        ),
        notes=tuple(_notes(commit, receipt, known, loading)),
        loading=loading,
    )


def _fault(
    name: str,
    served: Served | None,
    receipt: Receipt | None,
    tree: Mapping[str, RemoteFile],
    folder: Path,
) -> str | None:
    """How a file differs from what it should be."""
    if served is None:
        return "is gone" if name not in tree else "is listed, and not served"
    if receipt is not None:
        expected, found = receipt.files[name].sha256, served.sha256
        told = "was published"
    elif (named := tree[name].sha256) is not None:
        expected, found, told = named, served.sha256, "is what the Hub names"
    else:
        expected, found = tree[name].blob_id, git_blob_sha1(folder / name)
        told = "is what the Hub names"
    if expected == found:
        return None
    return f"is served as {found[:12]}…, and {expected[:12]}… {told}"


def _moved_tags(
    revision: str, commit: str, known: list[Receipt], tags: Mapping[str, str]
) -> list[str]:
    """Tags that no longer name what they named when their receipt was written."""
    found = []
    for receipt in known:
        if receipt.tag is None or commit not in {receipt.commit, tags.get(receipt.tag)}:
            continue
        now = tags.get(receipt.tag)
        if now != receipt.commit and (receipt.tag == revision or receipt.commit == commit):
            names = f"names {now[:12]}" if now else "is gone"
            found.append(
                f"the tag '{receipt.tag}' {names}, and was published as {receipt.commit[:12]}"
            )
    return list(dict.fromkeys(found))


def _strangers(receipt: Receipt | None, tree: Mapping[str, RemoteFile]) -> list[str]:
    """Files that the receipt of this commit does not know."""
    if receipt is None:
        return []
    known = receipt.files.keys() | set(receipt.summary.remote_only) | {GIT_ATTRIBUTES}
    return [f"{path} is not in the receipt of this commit" for path in sorted(tree.keys() - known)]


def _notes(
    commit: str, receipt: Receipt | None, known: list[Receipt], loading: Loading
) -> list[str]:
    notes = []
    if receipt is None and known:
        newest = known[-1]
        notes.append(
            f"no receipt is of {commit[:12]}; the newest one is of {newest.commit[:12]}, "
            f"published {newest.published}"
        )
    elif receipt is None:
        notes.append("there is no receipt here: only the Hub's own word was checked")
    if loading.not_loaded is not None:
        notes.append(f"not loaded: {loading.not_loaded}")
    return notes
