"""The word of a new model on the page of the one it supersedes, as a pull request.

``new_version`` belongs on the old card; the Hub shows it there as a banner. The client's own
``metadata_update`` would write the metadata anew, without their comments.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from mbrelease.errors import CheckFailed, UserError
from mbrelease.hub.client import (
    is_ambiguous,
    quiet_client,
    sentence,
    sentences,
    status_code,
)
from mbrelease.hub.patience import patiently, read_patiently
from mbrelease.hub.remote import read_head, read_pull_requests
from mbrelease.hub.remote_card import README, read_remote_card
from mbrelease.metadata.new_version import with_new_version

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Announcement:
    """The word of a new model on the card of an old one, at a commit of the old one."""

    old_repo: str
    new_repo: str
    head: str
    """The commit of the old model's main branch that the change stands on."""
    text: str | None
    """The card with its new line; ``None`` where it says so already."""
    pull_request: str | None = None
    """The address of the open pull request of this account that says so."""

    @property
    def sentence(self) -> str:
        """What is to be done, or why nothing is."""
        if self.text is None:
            return f"the card of {self.old_repo} names {self.new_repo} already"
        if self.pull_request is not None:
            return f"{self.pull_request} waits already: new_version: {self.new_repo}"
        return f"a pull request to {self.old_repo} would add: new_version: {self.new_repo}"

    def as_json(self) -> dict[str, Any]:
        """The announcement as plain values, without the text."""
        values = asdict(self)
        del values["text"]
        return {**values, "needed": self.text is not None}


def plan_new_version(api: HfApi, old_repo: str, new_repo: str) -> Announcement:
    """What announcing ``new_repo`` on the card of ``old_repo`` would do; nothing is sent.

    Raises:
        CheckFailed: the Hub cannot be asked, or has no such model.
        UserError: the card cannot be changed, as ``with_new_version`` says.
    """
    if old_repo.casefold() == new_repo.casefold():
        raise UserError(f"{old_repo} cannot be its own new version")
    with quiet_client():
        head = read_head(api, old_repo, "main")
        if head is None:
            raise CheckFailed(f"{old_repo} has no commit, and so no card", mend="push it first")
        before = read_remote_card(api, old_repo, head)
        try:
            text = with_new_version(before, new_repo)
        except UserError as error:
            raise UserError(f"{old_repo}: {error.message}", mend=error.mend) from error
        if text == before:
            return Announcement(old_repo, new_repo, head, None)
        waiting = _waiting(api, old_repo, new_repo)
        return Announcement(old_repo, new_repo, head, text, waiting)


def propose_new_version(
    api: HfApi, old_repo: str, new_repo: str, *, message: str | None = None
) -> Announcement:
    """Open a pull request that names ``new_repo`` on the card of ``old_repo``.

    It stands on the commit whose card was read, so that it can undo nothing that came later. Where
    the card says so already, or this account's pull request waits, none is opened: the same call
    can be made again.

    Args:
        api: any client.
        old_repo, new_repo: the superseded model and the one that supersedes it.
        message: of the commit and the pull request.

    Returns:
        The announcement with the address of its pull request, unless none is needed.

    Raises:
        CheckFailed: the Hub refuses, or it is not known whether it took it.
        UserError: the card cannot be changed, as ``with_new_version`` says.
    """
    planned = plan_new_version(api, old_repo, new_repo)
    if planned.text is None or planned.pull_request is not None:
        return planned
    with quiet_client():
        return _open(api, planned, message or f"New version: {new_repo}")


def _open(api: HfApi, planned: Announcement, message: str) -> Announcement:
    from huggingface_hub import CommitOperationAdd

    assert planned.text is not None
    old_repo, new_repo, card = planned.old_repo, planned.new_repo, planned.text.encode()
    try:
        info = patiently(
            lambda: api.create_commit(
                old_repo,
                [CommitOperationAdd(README, card)],
                commit_message=message,
                commit_description=f"[{new_repo}](/{new_repo}) supersedes this model.",
                create_pr=True,
                parent_commit=planned.head,
            )
        )
        return replace(planned, pull_request=info.pr_url)
    except Exception as error:
        if status_code(error) == 412:
            raise CheckFailed(
                f"{old_repo} has moved since its card was read; nothing was opened",
                mend="run the same command again",
            ) from error
        if not is_ambiguous(error):
            raise sentence(error, api, old_repo) or error from error
        # The answer was lost: is the pull request there?
        waiting = _waiting(api, old_repo, planned.new_repo)
        if waiting is None:
            raise CheckFailed(
                f"no pull request to {old_repo} was found after a broken answer",
                mend="run the same command again: it looks first, and opens no second",
            ) from error
        return replace(planned, pull_request=waiting)


def _waiting(api: HfApi, repo_id: str, new_repo: str) -> str | None:
    """The open pull request of this account whose card names ``new_repo``.

    It may stand on an older commit than that of now; a second one would say nothing more.
    """
    commits = read_pull_requests(api, repo_id)
    with sentences(api, repo_id):
        user = read_patiently(api.whoami)["name"]
        waiting = read_patiently(
            lambda: list(
                api.get_repo_discussions(
                    repo_id, author=user, discussion_type="pull_request", discussion_status="open"
                )
            )
        )
        for each in waiting:
            commit = commits.get(f"refs/pr/{each.num}")
            if commit is not None and _names(read_remote_card(api, repo_id, commit), new_repo):
                return each.url
    return None


def _names(text: str, new_repo: str) -> bool:
    try:
        return with_new_version(text, new_repo) == text
    except UserError:
        return False
