"""Is the Hub still as the newest receipt says?

What the world loads is the branch, so the branch is judged: by the newest receipt of it, or of a
pull request that was merged into it since, unless the merge has a receipt of its own. A pull
request that waits is told beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbrelease.errors import CheckFailed
from mbrelease.hub.client import quiet_client, sentences, shown_endpoint, unseen
from mbrelease.hub.patience import read_patiently
from mbrelease.hub.proposals import Proposal, read_proposals
from mbrelease.hub.receipt import PublishedFile, Receipt, receipt_path, release_receipts
from mbrelease.hub.remote import MAIN, Remote, RemoteFile, read_remote
from mbrelease.hub.remote_signature import read_remote_signature
from mbrelease.hub.signature_check import (
    SignatureCheck,
    check_model_signature,
    check_receipt_signature,
)
from mbrelease.hub.signed_files import SIGNATURE
from mbrelease.hub.signing_keys import Verifier

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Status:
    """A receipt held against the remote; every list is of paths."""

    receipt: Receipt
    revision: str
    """The branch that was judged; a pull request where nothing else was published."""
    expected: str
    """The commit that it should be."""
    head: str | None
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    tag_commits: Mapping[str, str | None]
    """What each of the receipt's tags names now; ``None`` for one that is gone."""
    proposals: tuple[Proposal, ...]
    """Pull requests that are open, or younger than the receipt."""
    signature: SignatureCheck

    @property
    def is_same(self) -> bool:
        """Whether commit, files, tag and signatures are as they should be."""
        return not self.findings()

    def findings(self) -> list[str]:
        """What differs, in sentences; empty if nothing does."""
        receipt, found = self.receipt, []
        if self.head != self.expected:
            now = self.head[:12] if self.head else "gone"
            was = f"{receipt.revision} was merged as" if self.was_merged else "the receipt is of"
            found.append(f"'{self.revision}' is {now}, {was} {self.expected[:12]}")
        found += [f"{path} is not the published file" for path in self.changed]
        found += [f"{path} is gone" for path in self.missing]
        for tag, commit in self.tag_commits.items():
            if commit != receipt.commit:
                found.append(f"the tag '{tag}' {f'names {commit[:12]}' if commit else 'is gone'}")
        return [*found, *self.signature.findings]

    @property
    def was_merged(self) -> bool:
        """Whether the receipt is of a pull request that is on the branch now."""
        return self.revision != self.receipt.revision

    def as_json(self) -> dict[str, Any]:
        """The status as plain values, for ``--json``."""
        values = {**asdict(self), "receipt": self.receipt.model_dump(mode="json")}
        return {**values, "same": self.is_same, "findings": self.findings()}


@dataclass(frozen=True)
class _Judge:
    """The receipt that says what a branch should be."""

    receipt: Receipt
    revision: str
    expected: str


def read_status(
    repo_id: str,
    *,
    api: HfApi,
    receipts: Path = Path("receipts"),
    verifier: Verifier | None = None,
) -> Status:
    """Compare the newest receipt for ``repo_id`` with the remote, by the hashes that it tells.

    Args:
        repo_id: the model.
        api: any client.
        receipts: the folder of receipts.
        verifier: whose signatures are believed; without, they are not checked.

    Raises:
        UserError: there is no receipt.
        CheckFailed: the repository is gone, or the Hub cannot be asked.
    """
    with quiet_client():
        found = release_receipts(receipts, repo_id, shown_endpoint(api))
        proposals = read_proposals(api, repo_id, found)
        judge = _judge(found, proposals, api, repo_id)
        remote = read_remote(api, repo_id, judge.revision)
        if remote is None:
            raise _gone(api, repo_id)
        receipt = judge.receipt
        present = {path: remote.files[path] for path in receipt.files if path in remote.files}
        changed = tuple(p for p, file in present.items() if not _is_same(file, receipt.files[p]))
        path = receipt_path(receipts, repo_id, receipt.commit)
        signature = check_receipt_signature(path, verifier)
        signature += _model_signature(api, remote, receipt, changed, verifier)
    return Status(
        receipt=receipt,
        revision=judge.revision,
        expected=judge.expected,
        head=remote.head,
        changed=changed,
        missing=tuple(path for path in receipt.files if path not in remote.files),
        tag_commits={tag: remote.tags.get(tag) for tag in receipt.tags},
        proposals=tuple(
            each
            for each in proposals.values()
            if each.state in ("open", "draft")
            or each.revision in {r.revision for r in found if r.published >= receipt.published}
        ),
        signature=signature,
    )


def _judge(
    found: Sequence[Receipt], proposals: Mapping[str, Proposal], api: HfApi, repo_id: str
) -> _Judge:
    judges = [
        _Judge(receipt, receipt.revision, receipt.commit)
        for receipt in found
        if not receipt.is_proposal
    ]
    merged = [
        _Judge(receipt, MAIN, proposal.merged_as)
        for receipt in found
        if (proposal := proposals.get(receipt.revision)) is not None
        and proposal.commit == receipt.commit
        and proposal.merged_as is not None
    ]
    if merged:
        # Of one commit its own receipt counts: the proposal's knows no tag.
        return _last_of(MAIN, [*merged, *judges], api, repo_id)
    # Where there is nothing but what waits or was closed, that is judged.
    return judges[-1] if judges else _Judge(found[-1], found[-1].revision, found[-1].commit)


def _last_of(branch: str, judges: Sequence[_Judge], api: HfApi, repo_id: str) -> _Judge:
    """Whose commit came last on the branch: the clock of the Hub is not the one of receipts."""
    with sentences(api, repo_id):
        log = read_patiently(lambda: list(api.list_repo_commits(repo_id, revision=branch)))
    order = {commit.commit_id: place for place, commit in enumerate(log)}
    return min(reversed(judges), key=lambda judge: order.get(judge.expected, len(order)))


def _gone(api: HfApi, repo_id: str) -> CheckFailed:
    unknown = unseen(api, repo_id)
    return CheckFailed(f"{unknown.message}; it was published there", mend=unknown.mend)


def _model_signature(
    api: HfApi,
    remote: Remote,
    receipt: Receipt,
    changed: Sequence[str],
    verifier: Verifier | None,
) -> SignatureCheck:
    """Of the branch as it is now; what the Hub tells of small files is no sha256.

    They are known where they are those of the receipt. Where not, that is told already.
    """
    data = None
    if SIGNATURE in remote.files and remote.head is not None:
        asked = verifier is not None
        data = read_remote_signature(api, remote.repo_id, remote.head) if asked else b""
    called = f"{remote.repo_id}@{(remote.head or '')[:12]}"
    digests = {
        path: file.sha256
        or (receipt.files[path].sha256 if path in receipt.files and path not in changed else None)
        for path, file in remote.files.items()
    }
    return check_model_signature(data, called, digests, verifier)


def _is_same(remote: RemoteFile, published: PublishedFile) -> bool:
    if remote.sha256 is not None:
        return remote.sha256 == published.sha256
    return remote.blob_id == published.blob_id
