"""What others changed on the Hub, and how a push goes on without undoing it.

The author's text of the card is merged; whatever else both have changed stops the push.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.errors import CheckFailed, UserError
from mbrelease.files import read_text
from mbrelease.hub.client import sentences, token_of
from mbrelease.hub.comparison import compare
from mbrelease.hub.contents import LocalFile
from mbrelease.hub.patience import read_patiently
from mbrelease.hub.plan import Plan, TakenOver, place, problems_there, shown_changes
from mbrelease.hub.problems import LIST_MARK, Problem
from mbrelease.hub.remote import Remote, RemoteFile, is_same, read_head, read_remote, read_tree
from mbrelease.hub.remote_card import README, read_remote_card
from mbrelease.hub.signed_files import SIGNATURE
from mbrelease.hub.taken_over import last_published, recall
from mbrelease.metadata.card_merge import MergedCard, merge_cards
from mbrelease.progress import Progress

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SHOWN_PATHS = 5
_DIGITS = 40
_COMMIT = re.compile(r"[0-9a-f]{7,40}", re.IGNORECASE)


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
            f"{_listed(paths)} {word}"
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


def with_edits(plan: Plan, api: HfApi, receipts: Path, *, base: str | None = None) -> Plan:
    """The plan with what was written on the card on the Hub since it was published from here.

    Nothing is written: the merged card is ``taken_over`` of the plan. What clashes, and what the
    merge makes wrong, are problems of the plan.

    Args:
        plan: what is to be published.
        api: any client.
        receipts: where the last receipt tells what was published.
        base: the commit that the folder takes account of; by default the one whose card was taken
            over last, or that of the newest receipt that the branch holds.

    Raises:
        UserError: there is no commit ``base``, or a card is no text.
    """
    try:
        return _with_edits(plan, api, receipts, base)
    except CheckFailed as error:
        return _stopped(plan, Problem.of(error))


def _with_edits(plan: Plan, api: HfApi, receipts: Path, base: str | None) -> Plan:
    if plan.not_compared is not None:
        return plan
    if base is not None:
        base = _commit(plan, base, api)
    else:
        plan = _with_deletions(plan, receipts, api)
    if plan.taken_over is not None or plan.head is None or README not in plan.changed:
        return plan
    found = base or recall(plan, receipts, api)
    if found is None or found == plan.head:
        return plan
    before = _published_card(plan, found, api)
    here = Remote(
        plan.repo_id,
        plan.head,
        read_tree(api, plan.repo_id, plan.head),
        plan.branches,
        plan.tags,
        private=plan.private,
    )
    return _merged(plan, before, here, api)


def require_commit(base: str) -> None:
    """Do nothing if ``base`` can be a commit.

    What a branch or a tag names may have changed since somebody looked at it, and what others
    wrote meanwhile would be undone.

    Raises:
        UserError: it cannot.
    """
    if not _COMMIT.fullmatch(base):
        raise UserError(
            f"--base '{base}' is no commit",
            mend="give 7 to 40 digits of the commit that the folder takes account of, "
            "and not a branch or a tag, which move",
        )


def _commit(plan: Plan, base: str, api: HfApi) -> str:
    """The whole of the commit that ``base`` begins.

    Raises:
        UserError: there is none.
    """
    require_commit(base)
    found = _whole(plan, base.lower(), api) if plan.head is not None else None
    if found is None:
        raise UserError(
            f"no commit {base} in {plan.repo_id}",
            mend=f"--base is one of {plan.url}/commits/{plan.revision}",
        )
    return found


def _whole(plan: Plan, base: str, api: HfApi) -> str | None:
    if len(base) == _DIGITS:
        return read_head(api, plan.repo_id, base)
    # The Hub itself knows a commit by all of its digits alone, and a branch can be called like one.
    with sentences(api, plan.repo_id):
        log = read_patiently(lambda: api.list_repo_commits(plan.repo_id, revision=plan.revision))
    found = [commit.commit_id for commit in log if commit.commit_id.startswith(base)]
    return found[0] if len(found) == 1 else None


def _with_deletions(plan: Plan, receipts: Path, api: HfApi) -> Plan:
    """The plan with a remark on what it adds again that was taken out on the Hub."""
    last = last_published(plan, receipts, api) if plan.added and plan.head is not None else None
    gone = [path for path in plan.added if path in last.files] if last is not None else []
    if last is None or not gone:
        return plan
    verb = "was" if len(gone) == 1 else "were"
    remark = (
        f"{_listed(gone)} {verb} deleted on the Hub since {_short(last.commit)} was pushed, "
        "and would be added again"
    )
    # A plan is asked twice: as it is shown, and as it is carried out.
    return plan if remark in plan.notes else replace(plan, notes=(*plan.notes, remark))


def _published_card(plan: Plan, commit: str, api: HfApi) -> str:
    """The card at ``commit``.

    Raises:
        CheckFailed: the Hub has it no more, or cannot be asked.
    """
    text = read_remote_card(api, plan.repo_id, commit)
    if not text and read_head(api, plan.repo_id, commit) is None:
        raise CheckFailed(
            f"{plan.repo_id} no longer has {_short(commit)}, which was pushed last, so nobody can "
            "tell what was written on its card since; nothing was overwritten",
            mend=f"bring what should stay into {plan.folder / README}, then push with "
            f"--base {plan.head}",
        )
    return text


def take_over(plan: Plan, api: HfApi, progress: Progress) -> Plan:
    """The plan on the commit where the branch is now; nothing of what others did is undone.

    Nothing is written, and what clashes on the card is a problem of the plan.

    Raises:
        CheckFailed: both have changed the same file, or the Hub cannot be asked.
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
        return _merged(plan, read_remote_card(api, plan.repo_id, plan.head), remote, api)
    return _on(remote, plan)


def _clashes(plan: Plan, file: LocalFile, changed: Changes, remote: Remote) -> bool:
    """Whether others changed a file of the release to something else than it is to be."""
    if file.path not in changed.paths or (file.path == README and README not in changed.deleted):
        return False
    return not is_same(plan.folder, file, remote.files.get(file.path))


def _merged(plan: Plan, base: str, there: Remote, api: HfApi) -> Plan:
    """The plan on ``there``, with a card that has what both sides wrote since ``base``."""
    assert there.head is not None
    ours = plan.taken_over.text if plan.taken_over else read_text(plan.folder / README)
    theirs = read_remote_card(api, plan.repo_id, there.head)
    merged = merge_cards(base, ours, theirs, there="the Hub")
    if merged.clashes:
        return _stopped(plan, _clash(plan, merged, there.head))
    if merged.text == ours:
        return _on(there, plan)
    card = LocalFile.of_bytes(README, merged.text.encode())
    taken = replace(
        plan,
        files=tuple(card if file.path == README else file for file in plan.files),
        taken_over=TakenOver(merged.text, there.head),
        notes=(*plan.notes, _remark(plan, there.head)),
    )
    moved = _on(there, taken)
    is_changed = README in moved.changed
    return replace(
        moved, card=shown_changes(theirs, merged.text, token_of(api)) if is_changed else None
    )


def _remark(plan: Plan, head: str) -> str:
    return f"{README} takes over what was written on the Hub until {_short(head)}"


def _clash(plan: Plan, merged: MergedCard, head: str) -> Problem:
    """The sentence for a card that both have changed in the same places."""
    lines = "".join(f"{LIST_MARK}{told}" for told in merged.clashes)
    return Problem(
        f"README.md was changed at {plan.repo_id} too, and clashes; nothing was overwritten{lines}",
        f"bring what should stay into {plan.folder / README}, then push with --base {head}",
    )


def _on(remote: Remote, plan: Plan) -> Plan:
    """The plan compared anew, with what is on the Hub now."""
    compared = compare(
        plan.folder,
        plan.files,
        remote.files,
        lambda others: [path for path in plan.deleted if path in others],
        sign=plan.sign,
    )
    # A signature in the folder was made for the card in the folder.
    is_outdated = plan.taken_over is not None and not plan.sign and _has(plan, SIGNATURE)
    problems = problems_there(
        plan.folder,
        plan.files,
        remote,
        compared,
        tag=plan.tag,
        sign=plan.sign or is_outdated,
    )
    if is_outdated and plan.taken_over is not None:
        problems.append(_outdated(plan.taken_over))
    moved = replace(plan, **place(remote, compared, plan.tag))
    return _with_problems(moved, problems)


def _outdated(taken: TakenOver) -> Problem:
    return Problem(
        f"{README} takes over what was written on the Hub until {_short(taken.commit)}, and "
        f"{SIGNATURE} does not hold for that",
        "sign it as it will be published: mbrelease push … --sign-key FILE",
    )


def _has(plan: Plan, path: str) -> bool:
    return any(file.path == path for file in plan.files)


def _stopped(plan: Plan, problem: Problem) -> Plan:
    """The plan with what stops it, and without the changes to a card that will not happen."""
    return replace(_with_problems(plan, [problem]), card=None)


def _with_problems(plan: Plan, problems: Iterable[Problem]) -> Plan:
    return replace(plan, problems=tuple(dict.fromkeys((*plan.problems, *problems))))


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - SHOWN_PATHS} more" if len(paths) > SHOWN_PATHS else ""
    return ", ".join(paths[:SHOWN_PATHS]) + more


def _short(commit: str | None) -> str:
    return commit[:12] if commit else "no commit"
