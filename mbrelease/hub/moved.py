"""What others changed on the Hub, and how a push goes on without undoing it.

The author's text of the card is merged; whatever else both have changed stops the push.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.errors import CheckFailed
from mbrelease.files import read_text, sha256_bytes, write_text
from mbrelease.hub.contents import LocalFile
from mbrelease.hub.kept import shadows
from mbrelease.hub.plan import Plan
from mbrelease.hub.plan_problems import taken_tag
from mbrelease.hub.problems import refusal
from mbrelease.hub.receipt import read_receipts
from mbrelease.hub.remote import (
    GIT_ATTRIBUTES,
    Remote,
    RemoteFile,
    is_same,
    read_remote,
    read_tree,
)
from mbrelease.hub.remote_card import README, read_remote_card
from mbrelease.hub.signature_problems import signature_problems
from mbrelease.hub.signed_files import SIGNATURE
from mbrelease.metadata.card_merge import MergedCard, merge_cards
from mbrelease.progress import Progress

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SHOWN_PATHS = 5


class Moved(CheckFailed):
    """The branch is no longer where the plan saw it."""

    def __init__(self, plan: Plan, found: str | None) -> None:
        super().__init__(
            f"{plan.repo_id} has moved since the plan: {_short(plan.head)} was planned on, "
            f"'{plan.revision}' is {_short(found)} now; nothing was overwritten",
            mend="look at what changed there, then run the command again",
        )


@dataclass(frozen=True)
class Changes:
    """The paths that differ between two commits."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    deleted: tuple[str, ...]

    @property
    def paths(self) -> frozenset[str]:
        """All of them."""
        return frozenset({*self.added, *self.changed, *self.deleted})

    def __str__(self) -> str:
        told = [
            f"{', '.join(paths[:SHOWN_PATHS])}"
            + (f" and {len(paths) - SHOWN_PATHS} more" if len(paths) > SHOWN_PATHS else "")
            + f" {word}"
            for word, paths in (
                ("added", self.added),
                ("changed", self.changed),
                ("deleted", self.deleted),
            )
            if paths
        ]
        return "; ".join(told) or "no file changed"


def changes(before: Mapping[str, RemoteFile], after: Mapping[str, RemoteFile]) -> Changes:
    """What happened between two commits, by the hashes of their files."""
    both = sorted(before.keys() & after.keys())
    return Changes(
        added=tuple(sorted(after.keys() - before.keys())),
        changed=tuple(path for path in both if before[path].blob_id != after[path].blob_id),
        deleted=tuple(sorted(before.keys() - after.keys())),
    )


def read_edits(
    plan: Plan, api: HfApi, receipts: Path, *, base: str | None = None
) -> MergedCard | None:
    """The card with what was written on the Hub since it was published from here.

    Args:
        plan: what is to be published.
        api: any client.
        receipts: where the last receipt tells what was published.
        base: the commit that the folder takes account of; that of the last receipt by default.

    Returns:
        ``None`` where nothing was, or nobody can tell.

    Raises:
        CheckFailed: the Hub cannot be asked.
        UserError: a card is no text.
    """
    base = base or _last_published(plan, receipts)
    if README not in plan.changed or plan.head is None or base in {None, plan.head}:
        return None
    assert base is not None
    merged = _merged(plan, base, plan.head, api)
    return merged if merged.clashes or merged.text != read_text(plan.folder / README) else None


def with_edits(
    plan: Plan, api: HfApi, receipts: Path, progress: Progress, *, base: str | None = None
) -> Plan:
    """The plan with the edits of ``read_edits`` in its card, which is written to the folder.

    Raises:
        CheckFailed: they clash with what is to be published, or the Hub cannot be asked.
        UserError: a card is no text.
    """
    merged = read_edits(plan, api, receipts, base=base)
    if merged is None or plan.head is None:
        return plan
    remote = read_remote(api, plan.repo_id, plan.revision)
    if remote is None or remote.head != plan.head:
        raise Moved(plan, remote.head if remote else None)
    return _on(remote, _with_card(plan, merged, plan.head, progress))


def take_over(plan: Plan, api: HfApi, progress: Progress) -> Plan:
    """The plan on the commit where the branch is now; nothing of what others did is undone.

    Raises:
        CheckFailed: both have changed the same, or the Hub cannot be asked.
        UserError: a card is no text.
    """
    remote = read_remote(api, plan.repo_id, plan.revision)
    if remote is None or remote.head is None or plan.head is None:
        raise Moved(plan, remote.head if remote else None)
    changed = changes(read_tree(api, plan.repo_id, plan.head), remote.files)
    progress.note(
        f"'{plan.revision}' of {plan.repo_id} has moved since the plan, {_short(plan.head)} → "
        f"{_short(remote.head)}: {changed}"
    )
    both = [file.path for file in plan.files if _clashes(plan, file, changed, remote)]
    both += [path for path in plan.deleted if path in changed.changed]
    if both:
        raise CheckFailed(
            f"{plan.repo_id} has moved since the plan ({_short(plan.head)} → "
            f"{_short(remote.head)}), and {', '.join(both)} is not as planned there; "
            "nothing was overwritten",
            mend="look at what changed there, then run the command again",
        )
    if README in changed.paths:
        merged = _merged(plan, plan.head, remote.head, api)
        plan = _with_card(plan, merged, remote.head, progress)
    return _on(remote, plan)


def _clashes(plan: Plan, file: LocalFile, changed: Changes, remote: Remote) -> bool:
    """Whether others changed a file of the release to something else than it is to be."""
    if file.path not in changed.paths or (file.path == README and README not in changed.deleted):
        return False
    return not is_same(plan.folder, file, remote.files.get(file.path))


def _last_published(plan: Plan, receipts: Path) -> str | None:
    found = [
        receipt.commit
        for receipt in read_receipts(receipts, plan.repo_id, plan.endpoint)
        if receipt.revision == plan.revision and README in receipt.files
    ]
    return found[-1] if found else None


def _merged(plan: Plan, base: str, head: str, api: HfApi) -> MergedCard:
    return merge_cards(
        read_remote_card(api, plan.repo_id, base),
        read_text(plan.folder / README),
        read_remote_card(api, plan.repo_id, head),
        there="the Hub",
    )


def _with_card(plan: Plan, merged: MergedCard, head: str, progress: Progress) -> Plan:
    """The plan with the merged card, written to the folder, where the next push finds it."""
    path = plan.folder / README
    if merged.clashes:
        raise clash(plan, merged, head)
    if merged.text == read_text(path):
        return plan
    write_text(path, merged.text)
    progress.note(f"{path} takes over what was written on the Hub until {_short(head)}")
    data = merged.text.encode()
    card = LocalFile(README, len(data), sha256_bytes(data))
    files = tuple(card if file.path == README else file for file in plan.files)
    return replace(plan, files=files)


def clash(plan: Plan, merged: MergedCard, head: str) -> CheckFailed:
    """The sentence for a card that both have changed in the same places."""
    lines = "".join(f"\n  - {told}" for told in merged.clashes)
    return CheckFailed(
        f"README.md was changed at {plan.repo_id} too, and clashes; nothing was overwritten{lines}",
        mend=f"bring what should stay into {plan.folder / README}, then push with --base {head}",
    )


def _on(remote: Remote, plan: Plan) -> Plan:
    """The plan compared anew, with what is on the Hub now."""
    there = remote.files
    same = {file.path for file in plan.files if is_same(plan.folder, file, there.get(file.path))}
    here = {file.path for file in plan.files}
    deleted = tuple(path for path in plan.deleted if path in there)
    not_ours = {GIT_ATTRIBUTES, SIGNATURE} if plan.sign else {GIT_ATTRIBUTES}
    kept = tuple(sorted(there.keys() - here - not_ours - set(deleted)))
    moved = replace(
        plan,
        head=remote.head,
        added=tuple(file.path for file in plan.files if file.path not in there),
        changed=tuple(f.path for f in plan.files if f.path in there and f.path not in same),
        unchanged=tuple(file.path for file in plan.files if file.path in same),
        deleted=deleted,
        remote_only=kept,
        branches=dict(remote.branches),
        tags=dict(remote.tags),
        tag_commit=remote.tags.get(plan.tag) if plan.tag else None,
    )
    problems = [
        *shadows([file.path for file in plan.files], kept),
        *taken_tag(remote, plan.tag, has_changes=moved.has_changes),
        *signature_problems(
            plan.folder,
            plan.files,
            kept,
            has_changes=moved.has_changes,
            will_be_signed=plan.sign,
        ),
    ]
    if problems:
        raise refusal(problems)
    return moved


def _short(commit: str | None) -> str:
    return commit[:12] if commit else "no commit"
