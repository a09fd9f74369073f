"""What became of a commit whose answer was lost: read the remote, compare hashes, and know."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from mbrelease.errors import UserError
from mbrelease.hub.client import sentences
from mbrelease.hub.plan import Plan
from mbrelease.hub.remote import is_same, read_pull_requests, read_tree

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# A server that is slow to answer may be slow to commit: look again before saying no.
LOOKS_SECONDS = (0.0, 1.0, 3.0)


class Outcome(Enum):
    """What the remote says about a commit."""

    PUBLISHED = "published"
    NOT_PUBLISHED = "not published"
    MOVED = "moved by another"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """An outcome, with the commit that it is about and the ref that names it."""

    outcome: Outcome
    commit: str | None = None
    revision: str | None = None


def reconcile(
    plan: Plan, head: str | None, pull_requests: Mapping[str, str], *, api: HfApi
) -> Finding:
    """Find out whether the commit of ``plan`` on ``head`` has landed.

    ``pull_requests`` are those that were open before the commit was sent.
    """
    finding = Finding(Outcome.UNKNOWN)
    for pause in LOOKS_SECONDS:
        time.sleep(pause)
        try:
            with sentences(api, plan.repo_id):
                finding = (
                    _look_at_pull_requests(plan, pull_requests, api)
                    if plan.create_pr
                    else _look_at_branch(plan, head, api)
                )
        except UserError:
            finding = Finding(Outcome.UNKNOWN)
        if finding.outcome in {Outcome.PUBLISHED, Outcome.MOVED}:
            return finding
    return finding


def _look_at_branch(plan: Plan, head: str | None, api: HfApi) -> Finding:
    log = [
        commit.commit_id for commit in api.list_repo_commits(plan.repo_id, revision=plan.revision)
    ]
    if head not in log:
        # The branch was rewritten, or had no commit: only its newest commit can be ours.
        if not log:
            return Finding(Outcome.NOT_PUBLISHED)
        ours = log[0]
    elif log[0] == head:
        return Finding(Outcome.NOT_PUBLISHED, head, plan.revision)
    else:
        # The guard makes ours the commit right after the head; others may stand on it by now.
        ours = log[log.index(head) - 1]
    if holds(plan, ours, api=api):
        return Finding(Outcome.PUBLISHED, ours, plan.revision)
    return Finding(Outcome.MOVED, log[0], plan.revision)


def _look_at_pull_requests(plan: Plan, before: Mapping[str, str], api: HfApi) -> Finding:
    for ref, commit in read_pull_requests(api, plan.repo_id).items():
        if ref not in before and holds(plan, commit, api=api):
            return Finding(Outcome.PUBLISHED, commit, ref)
    return Finding(Outcome.NOT_PUBLISHED)


def holds(plan: Plan, commit: str, *, api: HfApi) -> bool:
    """Whether ``commit`` has every file of ``plan``, by the Hub's hashes, and none it deletes."""
    tree = read_tree(api, plan.repo_id, commit)
    return tree.keys().isdisjoint(plan.deleted) and all(
        is_same(plan.folder, file, tree.get(file.path)) for file in plan.files
    )
