"""What the Hub tells before a push: the account, the repository, what it says of the metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mbrelease.errors import UserError
from mbrelease.hub.client import quiet_client
from mbrelease.hub.front_matter import ask_server
from mbrelease.hub.plan_problems import wrong_place
from mbrelease.hub.problems import Problem
from mbrelease.hub.remote import Remote, read_remote
from mbrelease.hub.remote_card import README
from mbrelease.hub.rights import Rights, anyone, read_rights

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Look:
    """What the Hub told."""

    user: str | None = None
    """``None`` where it did not tell; then it was asked nothing more."""
    remote: Remote | None = None
    not_compared: str | None = None
    """Why nobody knows what is there; with ``None``, no ``remote`` is a repository to be made."""
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def blind(problems: Sequence[Problem]) -> Look:
    """Of a Hub that is not asked, or did not answer, for the first of ``problems``."""
    return Look(not_compared=problems[0].message, problems=tuple(problems))


def look(
    api: HfApi,
    repo_id: str,
    revision: str,
    *,
    create_pr: bool,
    anonymous: bool,
    readme: str | None,
) -> Look:
    """Ask the Hub about the account and the repository, and about the metadata of ``readme``."""
    with quiet_client():
        rights = anyone(repo_id) if anonymous else read_rights(api, repo_id, create_pr=create_pr)
        if rights.user is None:
            # Without an account every further question would get the same answer.
            return blind(rights.problems)
        problems, notes = list(rights.problems), list(rights.notes)
        remote, not_compared = _look_at_place(
            api, repo_id, revision, create_pr, rights, problems, notes
        )
        if readme is not None:
            _look_at_metadata(api, repo_id, readme, problems, notes)
    return Look(rights.user, remote, not_compared, tuple(problems), tuple(notes))


def _look_at_place(
    api: HfApi,
    repo_id: str,
    revision: str,
    create_pr: bool,
    rights: Rights,
    problems: list[Problem],
    notes: list[str],
) -> tuple[Remote | None, str | None]:
    """The branch, or why it is not known; what is wrong with it is added to ``problems``."""
    try:
        remote = read_remote(api, repo_id, revision)
    except UserError as error:
        problems.append(Problem.of(error))
        return None, error.message
    problems += wrong_place(repo_id, remote, revision, create_pr)
    problems += rights.missing_for(remote is not None)
    notes += rights.doubts_about(remote is not None)
    return remote, None


def _look_at_metadata(
    api: HfApi, repo_id: str, readme: str, problems: list[Problem], notes: list[str]
) -> None:
    try:
        errors, warnings = ask_server(api, repo_id, readme)
    except UserError as error:
        problems.append(Problem.of(error))
        return
    refused = "the Hub does not accept README.md's metadata: "
    problems += [Problem(refused + "; ".join(errors))] if errors else []
    notes += [f"{README}: {warning}" for warning in warnings]
