"""Carry out a plan: one guarded commit, read back, compared and loaded; then tag and receipt."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease import __version__
from mbrelease.errors import CheckFailed, UserError
from mbrelease.hub.client import is_ambiguous, quiet_client, sentence, sentences, status_code
from mbrelease.hub.client import transport as transport_of
from mbrelease.hub.committing import Landed, commit
from mbrelease.hub.contents import LocalFile
from mbrelease.hub.moved import Moved, take_over, with_edits
from mbrelease.hub.patience import attempts, patiently, read_patiently, waits_told_to
from mbrelease.hub.plan import Plan
from mbrelease.hub.proven import proven
from mbrelease.hub.receipt import (
    PlanSummary,
    PublishedFile,
    Receipt,
    Verified,
    now,
    read_receipt,
    read_receipts,
    receipt_path,
    write_receipt,
)
from mbrelease.hub.receipt_changes import extended, require_key
from mbrelease.hub.reconcile import holds
from mbrelease.hub.remote import (
    GIT_ATTRIBUTES,
    RemoteFile,
    read_head,
    read_pull_requests,
    read_remote,
    read_tree,
)
from mbrelease.hub.rights import is_job
from mbrelease.hub.sending import deletions, send_files
from mbrelease.hub.stopped import telling_what_is_left
from mbrelease.hub.tagging import ensure_tag
from mbrelease.hub.taken_over import forget, write_card
from mbrelease.hub.verifying import verify_published
from mbrelease.progress import SILENT, Progress

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

# How often a branch may move before the push gives up following it.
MOVES = 3
PACKAGES = ("huggingface_hub", "hf_xet", "safetensors", "tokenizers", "torch", "transformers")


@dataclass(frozen=True)
class Origin:
    """Where a release comes from, for its receipt."""

    variant: str | None = None
    """Of the registry."""
    decision_sha256: str | None = None
    step: int | None = None
    """Of a checkpoint of the run; ``None`` for the release itself."""


UNKNOWN_ORIGIN = Origin()


def publish(
    plan: Plan,
    *,
    api: HfApi,
    progress: Progress = SILENT,
    message: str | None = None,
    receipts: Path = Path("receipts"),
    origin: Origin = UNKNOWN_ORIGIN,
    base: str | None = None,
    sign: Callable[[Plan], Plan] | None = None,
) -> Receipt:
    """Publish what ``plan`` says, whole or not at all, and prove it.

    The repository is made where it is missing; large files go first; then exactly one commit,
    refused by the Hub if the branch has left ``plan.head``. What others did there meanwhile is
    kept: their text on the card is merged into it, and whatever clashes stops the push. Every file
    is then downloaded at the new commit and hashed, and the model loaded; only then is the receipt
    written below ``receipts`` and the tag set, which the receipt is told last. A plan without
    changes sends nothing and completes what an interrupted run left undone. The receipt of a commit
    only ever learns more files and tags.

    Args:
        plan: a plan without problems.
        api: any client.
        progress: is told how far it is.
        message: of the commit.
        receipts: the folder of receipts; what was published last is read there.
        origin: what the receipt says of where the release comes from.
        base: the commit whose card the folder takes account of; of the last receipt by default.
        sign: adds the signature to a plan that was made with ``sign=True``.

    Raises:
        CheckFailed: the plan has problems, both sides have changed the same, the Hub refuses, or
            it serves something else than was sent. The message says what is on the remote. Or the
            receipt of the commit is signed, would have to change, and there is no ``sign``.
    """
    plan.require_clean()
    with quiet_client(), waits_told_to(progress):
        edited = with_edits(plan, api, receipts, base=base)
        edited.require_clean()
        final, landed = _follow(edited, api, progress, message, sign)
        rest = ["read it back"]
        rest += [f"set the tag {final.tag}"] if final.tag is not None else []
        rest += ["write the receipt"]
        with telling_what_is_left(landed.commit, rest):
            earlier = _earlier_receipt(final, landed, receipts)
            if earlier is not None and _lists(earlier, final):
                receipt = earlier
                require_key(receipts, receipt.with_tag(final.tag), has_key=sign is not None)
            else:
                receipt = _prove(final, landed, api, progress, receipts, origin)
                receipt = receipt if earlier is None else extended(earlier, receipt)
                require_key(receipts, receipt.with_tag(final.tag), has_key=sign is not None)
                # What was proven stays so, also where the tag cannot be set.
                with _saying_it_landed(landed):
                    write_receipt(receipts, receipt)
            rest.remove("read it back")
            if final.tag is not None:
                ensure_tag(final, landed.commit, api)
                rest.remove(f"set the tag {final.tag}")
                receipt = receipt.with_tag(final.tag)
                with _saying_it_landed(landed):
                    write_receipt(receipts, receipt)
    forget(final)
    return receipt


def _prove(
    plan: Plan, landed: Landed, api: HfApi, progress: Progress, receipts: Path, origin: Origin
) -> Receipt:
    """Read the commit back and load it; no tag is set yet."""
    with _saying_it_landed(landed):
        tree = read_tree(api, plan.repo_id, landed.commit)
        earlier = read_receipts(receipts, plan.repo_id, plan.endpoint)
    known = proven(plan.files, tree, earlier, _versions())
    verified = verify_published(plan, landed, api, progress, known)
    return _receipt(plan, landed, tree, origin, verified)


@contextmanager
def _saying_it_landed(landed: Landed) -> Iterator[None]:
    """Say of what fails after the commit that the commit is there."""
    try:
        yield
    except UserError as error:
        raise CheckFailed(
            f"published as {landed.commit[:12]}, but no receipt was written: {error.message}",
            mend=error.mend,
        ) from error


def _follow(
    plan: Plan,
    api: HfApi,
    progress: Progress,
    message: str | None,
    sign: Callable[[Plan], Plan] | None,
) -> tuple[Plan, Landed]:
    """Land the plan, and where the branch moves meanwhile, what it becomes there."""
    for move in range(MOVES):
        final = sign(plan) if sign is not None else plan
        assert not final.sign, "what is to be signed needs somebody who signs"
        write_card(final, progress)
        try:
            return final, _land(final, api, progress, message)
        except Moved:
            if move == MOVES - 1:
                raise
        plan = take_over(plan, api, progress)
        plan.require_clean()
    raise AssertionError("the last move is raised")


def _land(plan: Plan, api: HfApi, progress: Progress, message: str | None) -> Landed:
    """The commit that holds the plan, made now or before."""
    title = message or _default_message(plan)
    landed = _proposed_already(plan, title, api) if plan.create_pr else None
    if landed is None and plan.has_changes:
        return _send(plan, api, progress, title)
    landed = landed or _stand_still(plan, api)
    progress.note(f"{plan.repo_id} has these bytes already ({landed.commit[:12]}): not sent")
    return landed


def _stand_still(plan: Plan, api: HfApi) -> Landed:
    """The commit that holds the files already; nothing is sent."""
    assert plan.head is not None, "a remote without a commit lacks every file"
    _require_unmoved(plan, api)
    return Landed(plan.head, None, plan.revision)


def _proposed_already(plan: Plan, title: str, api: HfApi) -> Landed | None:
    """The open pull request of ours that holds the very files.

    An interrupted run may have left it: to run the same command again must not open a second.
    """
    if not plan.repo_exists:
        return None
    commits = read_pull_requests(api, plan.repo_id)
    with sentences(api, plan.repo_id):
        # The Hub names an author for what a job opens that the job itself is not told.
        by_job = is_job(api)
        waiting = read_patiently(
            lambda: list(
                api.get_repo_discussions(
                    plan.repo_id,
                    author=None if by_job else plan.user,
                    discussion_type="pull_request",
                    discussion_status="open",
                )
            )
        )
    for each in waiting:
        found = commits.get(f"refs/pr/{each.num}")
        is_ours = not by_job or each.title == title
        if is_ours and found is not None and holds(plan, found, api=api):
            return Landed(found, None, f"refs/pr/{each.num}", each.url)
    return None


def _send(plan: Plan, api: HfApi, progress: Progress, title: str) -> Landed:
    """Upload and commit; on return the commit is on the Hub."""
    head = _require_unmoved(plan, api) if plan.repo_exists else _create(plan, api)
    with sentences(api, plan.repo_id), transport_of(api, plan.repo_id, create_pr=plan.create_pr):
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *send_files(plan, api, progress),
            *deletions(plan),
        ]
        return commit(plan, head, operations, title, api=api, progress=progress)


def _require_unmoved(plan: Plan, api: HfApi) -> str | None:
    found = read_head(api, plan.repo_id, plan.revision)
    if found != plan.head:
        raise Moved(plan, found)
    return found


def _create(plan: Plan, api: HfApi) -> str | None:
    """Make the repository and return its first commit."""
    private = True if plan.private else None
    remote = None
    for _ in attempts():
        try:
            patiently(lambda: api.create_repo(plan.repo_id, private=private, exist_ok=False))
        except Exception as error:
            if status_code(error) != 409 and not is_ambiguous(error):
                raise sentence(error, api, plan.repo_id) or error from error
            # It exists now: by our request whose answer was lost, or by another's. If it is bare,
            # it does not matter whose.
        remote = read_remote(api, plan.repo_id, plan.revision)
        if remote is not None:
            break
    if remote is None:
        raise CheckFailed(
            f"{plan.repo_id} could not be made at {plan.endpoint}; nothing was sent",
            mend="run the same command again",
        )
    if set(remote.files) - {GIT_ATTRIBUTES}:
        raise Moved(plan, remote.head)
    if plan.private and not remote.private:
        raise CheckFailed(
            f"{plan.repo_id} is public: another made it since the plan; nothing was sent",
            mend="make it private on the Hub, then run the command again",
        )
    return remote.head


def _earlier_receipt(plan: Plan, landed: Landed, receipts: Path) -> Receipt | None:
    """The receipt that a run before this one has written of the commit."""
    path = receipt_path(receipts, plan.repo_id, landed.commit)
    if not path.exists():
        return None
    with _saying_it_landed(landed):
        receipt = read_receipt(path)
    same_place = receipt.endpoint == plan.endpoint and receipt.commit == landed.commit
    return receipt if same_place else None


def _lists(receipt: Receipt, plan: Plan) -> bool:
    """Whether ``receipt`` tells of every file of ``plan`` that it was read back."""
    read = {path: file.sha256 for path, file in receipt.files.items()}
    return all(read.get(file.path) == file.sha256 for file in plan.files)


def _receipt(
    plan: Plan,
    landed: Landed,
    tree: Mapping[str, RemoteFile],
    origin: Origin,
    verified: Verified,
) -> Receipt:
    return Receipt(
        repo_id=plan.repo_id,
        endpoint=plan.endpoint,
        revision=landed.revision,
        commit=landed.commit,
        parent_commit=landed.parent,
        pull_request=landed.pull_request,
        tag=None,
        files={file.path: _published(file, tree[file.path].blob_id) for file in plan.files},
        summary=PlanSummary(
            added=list(plan.added),
            changed=list(plan.changed),
            unchanged=list(plan.unchanged),
            deleted=list(plan.deleted),
            remote_only=list(plan.remote_only),
            bytes_to_send=plan.bytes_to_send,
            checks={check.name: check.state for check in plan.checks},
        ),
        what_was_verified=verified,
        published=now(),
        published_by=plan.user,
        mbrelease=__version__,
        versions=_versions(),
        variant=origin.variant,
        step=origin.step,
        decision_sha256=origin.decision_sha256,
        card_taken_over_from=plan.taken_over.commit if plan.taken_over else None,
    )


def _published(file: LocalFile, blob_id: str) -> PublishedFile:
    return PublishedFile(sha256=file.sha256, size_bytes=file.size_bytes, blob_id=blob_id)


def _versions() -> dict[str, str]:
    """Of what had a hand in it, as far as it is installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _default_message(plan: Plan) -> str:
    return f"Release {plan.tag}" if plan.tag else f"Release {plan.folder.resolve().name}"
