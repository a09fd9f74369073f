"""One commit, whatever becomes of the answers to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mbrelease.errors import CheckFailed
from mbrelease.hub.client import is_ambiguous, sentence, status_code
from mbrelease.hub.moved import Moved
from mbrelease.hub.patience import patiently
from mbrelease.hub.plan import Plan
from mbrelease.hub.reconcile import Finding, Outcome, reconcile
from mbrelease.hub.remote import read_pull_requests
from mbrelease.hub.stopped import telling_what_is_left
from mbrelease.progress import Progress

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi

# The guard makes a second try safe: if the first one lands after all, the second is refused.
COMMIT_TRIES = 3
STALE_PARENT = 412


@dataclass(frozen=True)
class Landed:
    """A commit that is on the Hub."""

    commit: str
    parent: str | None
    revision: str
    pull_request: str | None = None


def commit(
    plan: Plan,
    head: str | None,
    operations: Sequence[CommitOperationAdd | CommitOperationDelete],
    message: str,
    *,
    api: HfApi,
    progress: Progress,
) -> Landed:
    """Make exactly one commit on ``head``.

    Raises:
        CheckFailed: it was not made, or it is unknown whether it was.
        Moved: the branch has left ``head``.
    """
    before = read_pull_requests(api, plan.repo_id) if plan.create_pr else {}
    with telling_what_is_left(None):
        return _commit(plan, head, operations, message, before, api, progress)


def _commit(
    plan: Plan,
    head: str | None,
    operations: Sequence[CommitOperationAdd | CommitOperationDelete],
    message: str,
    before: Mapping[str, str],
    api: HfApi,
    progress: Progress,
) -> Landed:
    error: Exception | None = None
    for attempt in range(1, COMMIT_TRIES + 1):
        try:
            info = patiently(lambda: _ask(plan, head, operations, message, api))
            revision = info.pr_revision or plan.revision
            return Landed(info.oid, head, revision, info.pr_url)
        except Exception as refusal:
            error = refusal
            if status_code(error) != STALE_PARENT and not is_ambiguous(error):
                raise
        progress.note(f"{_told(error, api, plan)}: looking whether the commit arrived")
        finding = _find_out(plan, head, before, error, api)
        if finding.outcome is Outcome.PUBLISHED:
            assert finding.commit is not None and finding.revision is not None
            progress.note(f"it did, as {finding.commit[:12]}")
            return Landed(finding.commit, head, finding.revision)
        if finding.outcome is Outcome.MOVED:
            raise Moved(plan, finding.commit)
        if finding.outcome is Outcome.UNKNOWN:
            raise _unknown(plan, error, api) from error
        if plan.create_pr or head is None:
            # No guard keeps a second try from making a second pull request or commit.
            break
        if attempt < COMMIT_TRIES:
            progress.note(f"it did not: asked for once more ({attempt + 1} of {COMMIT_TRIES})")
    assert error is not None
    raise _not_published(plan, error, api) from error


def _ask(
    plan: Plan,
    head: str | None,
    operations: Sequence[CommitOperationAdd | CommitOperationDelete],
    message: str,
    api: HfApi,
) -> CommitInfo:
    return api.create_commit(
        plan.repo_id,
        operations,
        commit_message=message,
        revision=plan.revision,
        create_pr=plan.create_pr,
        parent_commit=head,
    )


def _find_out(
    plan: Plan, head: str | None, before: Mapping[str, str], error: Exception, api: HfApi
) -> Finding:
    finding = reconcile(plan, head, before, api=api)
    if finding.outcome is Outcome.NOT_PUBLISHED and status_code(error) == STALE_PARENT:
        # The Hub refuses because the branch has moved, and shows it unmoved: what it shows is old.
        return Finding(Outcome.UNKNOWN)
    return finding


def _unknown(plan: Plan, error: Exception, api: HfApi) -> CheckFailed:
    return CheckFailed(
        f"unknown whether {plan.repo_id} was published: {_told(error, api, plan)}, and the remote "
        "cannot be read",
        mend="run the same command again: it looks first, and goes on from what it finds",
    )


def _not_published(plan: Plan, error: Exception, api: HfApi) -> CheckFailed:
    if plan.create_pr:
        # No guard keeps one that is still on its way from landing.
        return CheckFailed(
            f"unknown whether the pull request to {plan.repo_id} was opened: "
            f"{_told(error, api, plan)}, and none is to be seen",
            mend="run the same command again: it looks first, and opens no second one",
        )
    return CheckFailed(
        f"{plan.repo_id} was not published: {_told(error, api, plan)}; there is no new commit",
        mend="run the same command again; large files that have arrived are not sent twice",
    )


def _told(error: Exception, api: HfApi, plan: Plan) -> str:
    told = sentence(error, api, plan.repo_id)
    return told.message if told else type(error).__name__
