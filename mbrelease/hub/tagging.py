"""Set a tag once, whatever becomes of the answers; one that is there is never moved."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mbrelease.errors import CheckFailed, UserError
from mbrelease.hub.client import is_ambiguous, sentence
from mbrelease.hub.patience import attempts, patiently
from mbrelease.hub.plan import Plan
from mbrelease.hub.remote import read_refs

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# A Hub may show its references as they were a moment ago.
LOOKS_SECONDS = (0.0, 1.0, 3.0)


def ensure_tag(plan: Plan, commit: str, api: HfApi) -> None:
    """Set the tag of ``plan`` to ``commit``, unless it is there.

    Raises:
        CheckFailed: it was not set, or names another commit.
    """
    tag, done = plan.tag, f"published as {commit[:12]} and verified"
    assert tag is not None
    try:
        found, failure = _set(plan.repo_id, tag, commit, api)
    except UserError as error:  # the references cannot be read
        raise CheckFailed(
            f"{done}, but it is unknown whether the tag '{tag}' is set: {error.message}",
            mend="run the same command again: it only looks for the tag, and sets it",
        ) from error
    if found is None:
        told = sentence(failure, api, plan.repo_id) if failure else None
        why = f"was not set: {told.message}" if told else "is not to be seen yet"
        raise CheckFailed(
            f"{done}, but the tag '{tag}' {why}",
            mend="run the same command again: it only sets the tag",
        ) from failure
    if found != commit:
        raise CheckFailed(
            f"{done}, but the tag '{tag}' names {found[:12]}",
            mend="choose another tag and run the command again",
        )


def _set(repo_id: str, tag: str, commit: str, api: HfApi) -> tuple[str | None, Exception | None]:
    """What ``tag`` names in the end, and what was said to setting it."""
    found = read_refs(api, repo_id)[1].get(tag)
    failure: Exception | None = None
    if found is not None:
        return found, None
    for _ in attempts():
        try:
            patiently(lambda: api.create_tag(repo_id, tag=tag, revision=commit))
            failure = None
        except Exception as error:
            failure = error
        # Read back in either case: the answer may have been lost, or another may have been faster.
        found = _look(repo_id, tag, api)
        if found is not None or failure is None or not is_ambiguous(failure):
            break
    return found, failure


def _look(repo_id: str, tag: str, api: HfApi) -> str | None:
    for pause in LOOKS_SECONDS:
        time.sleep(pause)
        found = read_refs(api, repo_id)[1].get(tag)
        if found is not None:
            return found
    return None
