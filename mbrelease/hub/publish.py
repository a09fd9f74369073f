"""Carry out a plan: one guarded commit, read back and compared, then the tag, then the receipt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease import __version__
from mbrelease.errors import CheckFailed, UserError
from mbrelease.hub.client import is_ambiguous, quiet_client, sentence, sentences, status_code
from mbrelease.hub.client import transport as transport_of
from mbrelease.hub.contents import LocalFile
from mbrelease.hub.download import find_differences
from mbrelease.hub.plan import Plan
from mbrelease.hub.receipt import (
    PlanSummary,
    PublishedFile,
    Receipt,
    now,
    read_receipt,
    receipt_path,
    write_receipt,
)
from mbrelease.hub.reconcile import Outcome, holds, reconcile
from mbrelease.hub.remote import (
    GIT_ATTRIBUTES,
    read_head,
    read_pull_requests,
    read_refs,
    read_remote,
    read_tree,
)
from mbrelease.progress import SILENT, Progress

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

# The guard makes a second try safe: if the first one lands after all, the second is refused.
COMMIT_TRIES = 3
# Files from this size on are sent one by one, so that the bar moves.
LARGE_BYTES = 10_000_000


@dataclass(frozen=True)
class Landed:
    """A commit that is on the Hub."""

    commit: str
    parent: str | None
    revision: str
    pull_request: str | None = None


def publish(
    plan: Plan,
    *,
    api: HfApi,
    progress: Progress = SILENT,
    message: str | None = None,
    receipts: Path = Path("receipts"),
    decision_sha256: str | None = None,
) -> Receipt:
    """Publish what ``plan`` says, whole or not at all, and prove it.

    The repository is made where it is missing; large files go first; then exactly one commit,
    refused by the Hub if the branch has left ``plan.head``. Every file is then downloaded at the
    new commit and hashed; only then is the tag set and the receipt written below ``receipts``.
    A plan without changes sends nothing and completes what an interrupted run left undone.

    Raises:
        CheckFailed: the plan has problems, the remote has moved, the Hub refuses, or it serves
            other bytes than were sent. The message says what is on the remote.
    """
    plan.require_clean()
    with quiet_client():
        landed = _proposed_already(plan, api) if plan.create_pr else None
        if landed is None and plan.has_changes:
            landed = _send(plan, api, progress, message)
        else:
            landed = landed or _stand_still(plan, api)
            progress.note(
                f"{plan.repo_id} has these bytes already ({landed.commit[:12]}): not sent"
            )
        receipt = _earlier_receipt(plan, landed, receipts)
        if receipt is None:
            _verify(plan, landed, api, progress)
            receipt = _receipt(plan, landed, api, decision_sha256)
        if plan.tag is not None:
            _ensure_tag(plan, landed.commit, api)
        receipt = receipt.model_copy(update={"tag": plan.tag or receipt.tag})
    write_receipt(receipts, receipt)
    return receipt


def _stand_still(plan: Plan, api: HfApi) -> Landed:
    """The commit that holds the files already; nothing is sent."""
    assert plan.head is not None, "a remote without a commit lacks every file"
    _require_unmoved(plan, plan.head, api)
    return Landed(plan.head, None, plan.revision)


def _proposed_already(plan: Plan, api: HfApi) -> Landed | None:
    """The open pull request of this account that holds the very files.

    An interrupted run may have left it: to run the same command again must not open a second.
    """
    if not plan.repo_exists:
        return None
    commits = read_pull_requests(api, plan.repo_id)
    with sentences(api, plan.repo_id):
        waiting = api.get_repo_discussions(
            plan.repo_id,
            author=plan.user,
            discussion_type="pull_request",
            discussion_status="open",
        )
        for each in waiting:
            commit = commits.get(f"refs/pr/{each.num}")
            if commit is not None and holds(plan, commit, api=api):
                return Landed(commit, None, f"refs/pr/{each.num}", each.url)
    return None


def _send(plan: Plan, api: HfApi, progress: Progress, message: str | None) -> Landed:
    """Upload and commit; on return the commit is on the Hub."""
    head = _require_unmoved(plan, plan.head, api) if plan.repo_exists else _create(plan, api)
    with sentences(api, plan.repo_id), transport_of(api, plan.repo_id, create_pr=plan.create_pr):
        additions = _upload(plan, api, progress)
        return _commit(plan, head, additions, api, message or _default_message(plan))


def _require_unmoved(plan: Plan, head: str | None, api: HfApi) -> str | None:
    found = read_head(api, plan.repo_id, plan.revision)
    if found != head:
        raise _moved(plan, head, found)
    return found


def _addition(plan: Plan, file: LocalFile) -> CommitOperationAdd:
    """What the client is to send for ``file``, which must have the bytes that the plan has shown.

    Small files are held in memory: the client reads them when it commits, and that may be an hour
    of uploads after they were looked at.
    """
    from huggingface_hub import CommitOperationAdd

    path = plan.folder / file.path
    if path.is_file():
        small = file.size_bytes < LARGE_BYTES
        addition = CommitOperationAdd(file.path, path.read_bytes() if small else str(path))
        if addition.upload_info.sha256.hex() == file.sha256:
            return addition
    raise CheckFailed(
        f"{path} has changed since the plan; nothing was sent",
        mend="run the command again when nothing writes to the folder",
    )


def _create(plan: Plan, api: HfApi) -> str | None:
    """Make the repository and return its first commit."""
    try:
        api.create_repo(plan.repo_id, private=True if plan.private else None, exist_ok=False)
    except Exception as error:
        if status_code(error) != 409 and not is_ambiguous(error):
            raise sentence(error, api, plan.repo_id) or error from error
        # It exists now: by our request whose answer was lost, or by another's. If it is bare,
        # it does not matter whose.
    remote = read_remote(api, plan.repo_id, plan.revision)
    if remote is None:
        raise CheckFailed(
            f"{plan.repo_id} could not be made at {plan.endpoint}; nothing was sent",
            mend="run the same command again",
        )
    if set(remote.files) - {GIT_ATTRIBUTES}:
        raise _moved(plan, None, remote.head)
    if plan.private and not remote.private:
        raise CheckFailed(
            f"{plan.repo_id} is public: another made it since the plan; nothing was sent",
            mend="make it private on the Hub, then run the command again",
        )
    return remote.head


def _upload(plan: Plan, api: HfApi, progress: Progress) -> list[CommitOperationAdd]:
    """Send the large files; returns an addition for every file to commit."""
    pairs = [(file, _addition(plan, file)) for file in plan.to_send]
    progress.start("sending", -(-plan.bytes_to_send // 1_000_000), "MB")
    small = [pair for pair in pairs if pair[0].size_bytes < LARGE_BYTES]
    for batch in [small, *([pair] for pair in pairs if pair[0].size_bytes >= LARGE_BYTES)]:
        if not batch:
            continue
        additions = [addition for _, addition in batch]
        api.preupload_lfs_files(
            plan.repo_id,
            additions,
            revision=plan.revision,
            create_pr=plan.create_pr,
            free_memory=False,
        )
        # The client would leave these out of the commit without a word.
        ignored = [a.path_in_repo for a in additions if getattr(a, "_should_ignore", False)]
        if ignored:
            raise CheckFailed(
                f"the .gitignore of {plan.repo_id} would drop {', '.join(ignored)}; no commit made",
                mend="change the .gitignore on the Hub",
            )
        progress.advance(sum(file.size_bytes for file, _ in batch) // 1_000_000)
    return [addition for _, addition in pairs]


def _commit(
    plan: Plan, head: str | None, additions: list[CommitOperationAdd], api: HfApi, message: str
) -> Landed:
    """Make exactly one commit, whatever becomes of the answers."""
    before = read_pull_requests(api, plan.repo_id) if plan.create_pr else {}
    error: Exception | None = None
    for _ in range(COMMIT_TRIES):
        try:
            info = api.create_commit(
                plan.repo_id,
                additions,
                commit_message=message,
                revision=plan.revision,
                create_pr=plan.create_pr,
                parent_commit=head,
            )
            revision = info.pr_revision or plan.revision
            return Landed(info.oid, head, revision, info.pr_url)
        except Exception as refusal:
            error = refusal
            if status_code(error) != 412 and not is_ambiguous(error):
                raise
        finding = reconcile(plan, head, before, api=api)
        if finding.outcome is Outcome.PUBLISHED:
            assert finding.commit is not None and finding.revision is not None
            return Landed(finding.commit, head, finding.revision)
        if finding.outcome is Outcome.MOVED:
            raise _moved(plan, head, finding.commit)
        if finding.outcome is Outcome.UNKNOWN:
            raise _unknown(plan, error, api) from error
        if plan.create_pr or head is None:
            # No guard keeps a second try from making a second pull request or commit.
            break
    assert error is not None
    raise _not_published(plan, error, api) from error


def _verify(plan: Plan, landed: Landed, api: HfApi, progress: Progress) -> None:
    """Download every file at the commit and compare it with what is on disk."""
    where = f"{plan.repo_id} at {landed.commit[:12]}"
    try:
        differences = find_differences(api, plan.repo_id, landed.commit, plan.files, progress)
    except UserError as error:
        raise CheckFailed(
            f"published as {where}, but not yet read back: {error.message}",
            mend="run the same command again: it verifies, tags and writes the receipt",
        ) from error
    if differences:
        path, fault = next(iter(differences.items()))
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        raise CheckFailed(
            f"{where} is not what was sent: {path} {fault}{more}; not tagged, no receipt",
            mend="do not announce it; run the same command again, and tell the Hub if it stays",
        )
    progress.note(f"{len(plan.files)} files read back; every byte is what was sent")


def _ensure_tag(plan: Plan, commit: str, api: HfApi) -> None:
    """Set the tag, unless it is there; one that names another commit is never moved."""
    assert plan.tag is not None
    _, tags = read_refs(api, plan.repo_id)
    failure: Exception | None = None
    if plan.tag not in tags:
        try:
            api.create_tag(plan.repo_id, tag=plan.tag, revision=commit)
        except Exception as error:
            failure = error
        # Read back in either case: the answer may have been lost, or another may have been faster.
        _, tags = read_refs(api, plan.repo_id)
    if plan.tag not in tags:
        told = sentence(failure, api, plan.repo_id) if failure else None
        raise CheckFailed(
            f"published as {commit[:12]} and verified, but the tag '{plan.tag}' was not set"
            + (f": {told.message}" if told else ""),
            mend="run the same command again: it only sets the tag",
        ) from failure
    if tags[plan.tag] != commit:
        raise CheckFailed(
            f"published as {commit[:12]} and verified, but the tag '{plan.tag}' names "
            f"{tags[plan.tag][:12]}",
            mend="choose another tag and run the command again",
        )


def _earlier_receipt(plan: Plan, landed: Landed, receipts: Path) -> Receipt | None:
    """The receipt of a run before this one, if it tells of the same bytes."""
    path = receipt_path(receipts, plan.repo_id, landed.commit)
    if not path.exists():
        return None
    receipt = read_receipt(path)
    same_files = {name: entry.sha256 for name, entry in receipt.files.items()} == {
        file.path: file.sha256 for file in plan.files
    }
    same_place = receipt.endpoint == plan.endpoint and receipt.commit == landed.commit
    return receipt if same_files and same_place else None


def _receipt(plan: Plan, landed: Landed, api: HfApi, decision_sha256: str | None) -> Receipt:
    tree = read_tree(api, plan.repo_id, landed.commit)
    return Receipt(
        repo_id=plan.repo_id,
        endpoint=plan.endpoint,
        revision=landed.revision,
        commit=landed.commit,
        parent_commit=landed.parent,
        pull_request=landed.pull_request,
        tag=plan.tag,
        files={file.path: _published(file, tree[file.path].blob_id) for file in plan.files},
        summary=PlanSummary(
            added=list(plan.added),
            changed=list(plan.changed),
            unchanged=list(plan.unchanged),
            remote_only=list(plan.remote_only),
        ),
        published=now(),
        published_by=plan.user,
        mbrelease=__version__,
        decision_sha256=decision_sha256,
    )


def _published(file: LocalFile, blob_id: str) -> PublishedFile:
    return PublishedFile(sha256=file.sha256, size_bytes=file.size_bytes, blob_id=blob_id)


def _default_message(plan: Plan) -> str:
    return f"Release {plan.tag}" if plan.tag else f"Release {plan.folder.resolve().name}"


def _moved(plan: Plan, planned: str | None, found: str | None) -> CheckFailed:
    return CheckFailed(
        f"{plan.repo_id} has moved since the plan: {_short(planned)} was planned on, "
        f"'{plan.revision}' is {_short(found)} now; nothing was overwritten",
        mend="look at what changed there, then run the command again",
    )


def _unknown(plan: Plan, error: Exception, api: HfApi) -> CheckFailed:
    return CheckFailed(
        f"unknown whether {plan.repo_id} was published: {_told(error, api, plan)}, and the remote "
        "cannot be read",
        mend="run the same command again: it looks first, and goes on from what it finds",
    )


def _not_published(plan: Plan, error: Exception, api: HfApi) -> CheckFailed:
    return CheckFailed(
        f"{plan.repo_id} was not published: {_told(error, api, plan)}; there is no new commit",
        mend="run the same command again; large files that have arrived are not sent twice",
    )


def _told(error: Exception, api: HfApi, plan: Plan) -> str:
    told = sentence(error, api, plan.repo_id)
    return told.message if told else type(error).__name__


def _short(commit: str | None) -> str:
    return commit[:12] if commit else "no commit"
