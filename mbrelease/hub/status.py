"""Is the Hub still as the newest receipt says?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbrelease.errors import CheckFailed
from mbrelease.hub.client import shown_endpoint
from mbrelease.hub.receipt import PublishedFile, Receipt, newest_receipt
from mbrelease.hub.remote import RemoteFile, read_remote

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Status:
    """A receipt held against the remote; every list is of paths."""

    receipt: Receipt
    head: str | None
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    tag_commit: str | None
    """What the receipt's tag names now."""

    @property
    def is_same(self) -> bool:
        """Whether commit, files and tag are those of the receipt."""
        receipt = self.receipt
        return (
            self.head == receipt.commit
            and not self.changed
            and not self.missing
            and (receipt.tag is None or self.tag_commit == receipt.commit)
        )

    def findings(self) -> list[str]:
        """What differs, in sentences; empty if nothing does."""
        receipt, found = self.receipt, []
        if self.head != receipt.commit:
            now = self.head[:12] if self.head else "gone"
            found.append(f"'{receipt.revision}' is {now}, the receipt is of {receipt.commit[:12]}")
        found += [f"{path} is not the published file" for path in self.changed]
        found += [f"{path} is gone" for path in self.missing]
        if receipt.tag is not None and self.tag_commit != receipt.commit:
            names = f"names {self.tag_commit[:12]}" if self.tag_commit else "is gone"
            found.append(f"the tag '{receipt.tag}' {names}")
        return found

    def as_json(self) -> dict[str, Any]:
        """The status as plain values, for ``--json``."""
        values = {**asdict(self), "receipt": self.receipt.model_dump(mode="json")}
        return {**values, "same": self.is_same, "findings": self.findings()}


def read_status(repo_id: str, *, api: HfApi, receipts: Path = Path("receipts")) -> Status:
    """Compare the newest receipt for ``repo_id`` with the remote, by the hashes that it tells.

    Raises:
        UserError: there is no receipt.
        CheckFailed: the repository is gone, or the Hub cannot be asked.
    """
    receipt = newest_receipt(receipts, repo_id, shown_endpoint(api))
    remote = read_remote(api, repo_id, receipt.revision)
    if remote is None:
        raise CheckFailed(f"{repo_id} is no longer at {receipt.endpoint}, or is hidden")
    present = {path: remote.files[path] for path in receipt.files if path in remote.files}
    return Status(
        receipt=receipt,
        head=remote.head,
        changed=tuple(p for p, file in present.items() if not _is_same(file, receipt.files[p])),
        missing=tuple(path for path in receipt.files if path not in remote.files),
        tag_commit=remote.tags.get(receipt.tag) if receipt.tag else None,
    )


def _is_same(remote: RemoteFile, published: PublishedFile) -> bool:
    if remote.sha256 is not None:
        return remote.sha256 == published.sha256
    return remote.blob_id == published.blob_id
