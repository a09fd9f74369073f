"""What is wrong with the names and the place of a push."""

from __future__ import annotations

from collections.abc import Iterator

from mbrelease.errors import did_you_mean
from mbrelease.hub.problems import Problem
from mbrelease.hub.remote import Remote, is_tag_name


def wrong_repo_id(repo_id: str) -> Iterator[Problem]:
    """Why ``repo_id`` cannot be one."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError:
        mend = "give ORG/NAME of letters, digits, '-', '_' and '.'"
        yield Problem(f"'{repo_id}' is no repository id", mend)
        return
    if "/" not in repo_id:
        yield Problem(f"'{repo_id}' names no account", f"give --to ORG/{repo_id}")


def wrong_tag(tag: str | None, create_pr: bool) -> Iterator[Problem]:
    """Why ``tag`` cannot be set."""
    if tag is not None and not is_tag_name(tag):
        yield Problem(f"'{tag}' is no name for a tag", "try one like v1.0")
    if tag is not None and create_pr:
        yield Problem("a pull request cannot be tagged", "tag it when it is merged")


def wrong_place(
    repo_id: str, remote: Remote | None, revision: str, create_pr: bool
) -> Iterator[Problem]:
    """Why what is to be pushed to is not what is there."""
    if remote is None:
        if create_pr:
            yield Problem(
                f"{repo_id} does not exist: a pull request needs a repository", "drop --pr"
            )
        if revision != "main":
            yield Problem(f"{repo_id} does not exist: it has no branch '{revision}'", "use main")
    elif remote.repo_id != repo_id:
        mend = did_you_mean(repo_id, [remote.repo_id]) or f"it is {remote.repo_id} now"
        yield Problem(f"{repo_id} is known to the Hub as {remote.repo_id}", mend)


def public_already(remote: Remote | None, repo_id: str) -> Iterator[Problem]:
    """Why the repository cannot be made private."""
    if remote is not None and not remote.private:
        message = f"{repo_id} exists and is public; --private does not change it"
        yield Problem(message, "make it private on the Hub, or leave out --private")


def taken_tag(remote: Remote | None, tag: str | None, *, has_changes: bool) -> Iterator[Problem]:
    """Why ``tag`` is another's."""
    if remote is None or tag is None:
        return
    commit = remote.tags.get(tag)
    if commit is not None and (has_changes or commit != remote.head):
        yield Problem(
            f"tag '{tag}' of {remote.repo_id} names {commit[:12]} already, and is not moved",
            "choose another tag",
        )
    if tag in remote.branches:
        yield Problem(f"'{tag}' is a branch of {remote.repo_id}", "choose another tag")
