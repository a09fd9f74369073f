"""Is a published model still what was published? Download it and look, months later.

``status`` asks the Hub for its hashes. Here every byte is downloaded and hashed, for a Hub may name
one hash and serve other bytes; and the model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbrelease.errors import CheckFailed, UserError
from mbrelease.hub.client import quiet_client, shown_endpoint
from mbrelease.hub.contents import git_blob_sha1
from mbrelease.hub.download import Served, Wanted, download, download_folder
from mbrelease.hub.loading import Loading, check_downloaded
from mbrelease.hub.patience import waits_told_to
from mbrelease.hub.receipt import Receipt, read_receipt, read_receipts, receipt_path
from mbrelease.hub.remote import GIT_ATTRIBUTES, RemoteFile, read_head, read_refs, read_tree
from mbrelease.hub.signature_check import (
    SignatureCheck,
    check_model_signature,
    check_receipt_signature,
)
from mbrelease.hub.signed_files import SIGNATURE, read_signature
from mbrelease.hub.signing_keys import Verifier
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
    """Of this very commit, or of another that had the same bytes; without one the files are held
    against what the Hub says of them."""
    files: int
    bytes: int
    findings: tuple[str, ...]
    """What is not as it should be, in sentences."""
    notes: tuple[str, ...]
    loading: Loading
    signed_by: str | None
    """Who signed these very files; ``None`` where that was not asked, or is not so."""

    @property
    def is_same(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def against(self) -> str:
        """What it was held against."""
        signature = f"what {self.signed_by} signed" if self.signed_by else None
        if self.receipt is None:
            return signature or "the hashes that the Hub tells"
        of = "" if self.receipt.commit == self.commit else f", commit {self.receipt.commit[:12]}"
        receipt = f"the receipt of {self.receipt.published}{of}"
        return f"{receipt}, and {signature}" if signature else receipt

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
    receipt: Path | None = None,
    verifier: Verifier | None = None,
    progress: Progress = SILENT,
) -> PullCheck:
    """Download ``repo_id`` at ``revision`` and hold every byte against its receipt; load it.

    Args:
        repo_id, revision: the model, at a branch, tag or commit.
        api: any client; no token is needed for a public model.
        receipts: the folder of receipts.
        receipt: the one that counts, from wherever it was kept, such as the artifact of a job.
        verifier: whose signatures are believed; without, they are not checked.
        progress: is told how far it is.

    Raises:
        CheckFailed: there is no such model or revision, or it could not be read.
        UserError: a receipt is malformed, or of another model.
    """
    with quiet_client(), waits_told_to(progress):
        commit = read_head(api, repo_id, revision)
        if commit is None:
            raise CheckFailed(
                f"{repo_id} has no revision '{revision}'",
                mend=f"see {shown_endpoint(api)}/{repo_id}/commits/main",
            )
        book = _Book.read(receipts, receipt, repo_id, shown_endpoint(api))
        ours = book.of(commit)
        tree = read_tree(api, repo_id, commit)
        names = sorted(ours.files if ours else tree.keys() - {GIT_ATTRIBUTES})
        asked = {*names, *({SIGNATURE} & tree.keys())}
        wanted = [Wanted(name, tree[name].size_bytes) for name in sorted(asked) if name in tree]
        with download_folder(api, repo_id, commit) as folder:
            served = download(api, repo_id, commit, wanted, folder, progress=progress)
            findings = [
                f"{name} {fault}"
                for name in names
                if (fault := _fault(name, served.get(name), ours, tree, folder))
            ]
            loading = check_downloaded(folder)
            signature = _signature(f"{repo_id}@{commit[:12]}", folder, served, tree, verifier)
        tags = read_refs(api, repo_id)[1]
    if ours is None:
        ours = book.of_bytes(served)
    if ours is not None:
        signature += check_receipt_signature(book.path(ours), verifier)
    elif receipt is not None:
        given = book.receipts[0]
        findings.append(f"'{revision}' is {commit[:12]}, the receipt is of {given.commit[:12]}")
    return PullCheck(
        repo_id=repo_id,
        revision=revision,
        commit=commit,
        receipt=ours,
        files=len(wanted),
        bytes=sum(file.size_bytes for file in served.values() if file is not None),
        findings=(
            *_moved_tags(revision, commit, book.receipts, tags),
            *findings,
            *_strangers(ours, tree),
            *signature.findings,
            *loading.failures,
        ),
        notes=(*_notes(commit, ours, book, signature), *_not_loaded(loading)),
        loading=loading,
        signed_by=signature.signed_by,
    )


@dataclass(frozen=True)
class _Book:
    """The receipts that are at hand, the oldest first."""

    receipts: Sequence[Receipt]
    root: Path
    endpoint: str
    given: Path | None
    """The one that was named in the call."""

    @classmethod
    def read(cls, root: Path, given: Path | None, repo_id: str, endpoint: str) -> _Book:
        """Those of ``repo_id`` below ``root``, or the one that was ``given``."""
        if given is None:
            return cls(read_receipts(root, repo_id, endpoint), root, endpoint, None)
        receipt = read_receipt(given)
        if receipt.repo_id != repo_id:
            raise UserError(
                f"{given} is a receipt of {receipt.repo_id}", mend=f"give one of {repo_id}"
            )
        return cls([receipt], root, endpoint, given)

    def of(self, commit: str) -> Receipt | None:
        """The receipt of this very commit."""
        return next((each for each in reversed(self.receipts) if each.commit == commit), None)

    def of_bytes(self, served: Mapping[str, Served | None]) -> Receipt | None:
        """The newest receipt of just these files, such as that of a merged pull request."""
        came = {name: file.sha256 for name, file in served.items() if file is not None}
        for receipt in reversed(self.receipts):
            if {name: file.sha256 for name, file in receipt.files.items()} == came:
                return receipt
        return None

    def path(self, receipt: Receipt) -> Path:
        """Where it lies."""
        return self.given or receipt_path(self.root, receipt.repo_id, receipt.commit)


def _signature(
    called: str,
    folder: Path,
    served: Mapping[str, Served | None],
    tree: Mapping[str, RemoteFile],
    verifier: Verifier | None,
) -> SignatureCheck:
    """Of every file at the commit; what was not downloaded is no part of the release."""
    place = folder / SIGNATURE
    data = read_signature(place, called) if place.is_file() else None
    came = {name: file.sha256 for name, file in served.items() if file is not None}
    present = {name: came.get(name, tree[name].sha256) for name in tree}
    return check_model_signature(data, called, present, verifier)


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
    revision: str, commit: str, known: Sequence[Receipt], tags: Mapping[str, str]
) -> list[str]:
    """Tags that no longer name what they named when their receipt was written."""
    found = []
    for receipt in known:
        for tag in receipt.tags:
            now = tags.get(tag)
            if now == receipt.commit or commit not in {receipt.commit, now}:
                continue
            if tag == revision or receipt.commit == commit:
                names = f"names {now[:12]}" if now else "is gone"
                found.append(f"the tag '{tag}' {names}, and was published as {receipt.commit[:12]}")
    return list(dict.fromkeys(found))


def _strangers(receipt: Receipt | None, tree: Mapping[str, RemoteFile]) -> list[str]:
    """Files that the receipt of this commit does not know."""
    if receipt is None:
        return []
    known = receipt.files.keys() | set(receipt.summary.remote_only) | {GIT_ATTRIBUTES}
    return [f"{path} is not in the receipt of this commit" for path in sorted(tree.keys() - known)]


def _notes(
    commit: str, receipt: Receipt | None, book: _Book, signature: SignatureCheck
) -> Iterator[str]:
    if receipt is None and book.receipts:
        newest = book.receipts[-1]
        yield (
            f"no receipt is of {commit[:12]}; the newest one is of {newest.commit[:12]}, "
            f"published {newest.published}"
        )
    elif receipt is None and signature.signed_by is None:
        yield (
            f"there is no receipt of it in {book.root}: only the Hub's own word was checked; give "
            "the one that the push has left: --receipt FILE"
        )
    if receipt is not None and receipt.endpoint != book.endpoint:
        yield f"the receipt is of {receipt.endpoint}"
    yield from signature.notes


def _not_loaded(loading: Loading) -> list[str]:
    return [] if loading.not_loaded is None else [f"not loaded: {loading.not_loaded}"]
