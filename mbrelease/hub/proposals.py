"""What became of the pull requests that a push has opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mbrelease.errors import UserError
from mbrelease.hub.client import sentences
from mbrelease.hub.patience import read_patiently
from mbrelease.hub.receipt import Receipt

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Proposal:
    """A pull request, as its receipt and the Hub tell of it."""

    revision: str
    """Such as ``refs/pr/1``."""
    commit: str
    """That was proposed."""
    url: str | None
    state: str | None
    """``draft``, ``open``, ``closed`` or ``merged``; ``None`` where the Hub does not tell."""
    merged_as: str | None = None
    """The commit that merging made, where the Hub tells."""

    def __str__(self) -> str:
        where = f": {self.url}" if self.url else ""
        merged = f" as {self.merged_as[:12]}" if self.merged_as else ""
        state = f"{self.state}{merged}" if self.state else "the Hub does not tell its state"
        return f"pull request {self.revision} ({state}){where}"


def read_proposals(api: HfApi, repo_id: str, receipts: Iterable[Receipt]) -> Mapping[str, Proposal]:
    """The pull requests of ``receipts``, by ref; of several receipts for one, the last."""
    newest = {receipt.revision: receipt for receipt in receipts if receipt.is_proposal}
    return {ref: _read(api, repo_id, receipt) for ref, receipt in newest.items()}


def _read(api: HfApi, repo_id: str, receipt: Receipt) -> Proposal:
    bare = Proposal(receipt.revision, receipt.commit, receipt.pull_request, None)
    number = receipt.revision.rpartition("/")[2]
    if not number.isdecimal():
        return bare
    try:
        with sentences(api, repo_id):
            told = read_patiently(lambda: api.get_discussion_details(repo_id, int(number)))
    except UserError:
        return bare  # such as where the community tab is closed: the state is no more than a remark
    return replace(bare, state=told.status, merged_as=told.merge_commit_oid)
