"""``mbrelease push --announce``: lead readers of the superseded model to the new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mbrelease.cli.output import talk
from mbrelease.errors import CheckFailed, UserError

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def require_readers(old_repo: str | None, release: str, *, create_pr: bool, private: bool) -> None:
    """Do nothing if there is an old page, and its readers will see what it leads them to.

    Raises:
        UserError: there is none, or they will not.
    """
    if create_pr or private:
        option = "--pr" if create_pr else "--private"
        raise UserError(
            f"--announce leads readers to the new model, and with {option} they cannot see it",
            mend=f"announce it with a push without {option}",
        )
    if old_repo is None:
        raise UserError(
            f"{release} supersedes no published model, so there is no page to announce it on",
            mend="push a variant whose 'supersedes' names one that has a repo in the registry",
        )


def plan_announcement(
    api: HfApi, old_repo: str | None, new_repo: str, *, quiet: bool
) -> dict[str, object]:
    """Say what would be opened on ``old_repo``; returns it for ``--json``."""
    from mbrelease.hub.new_version import plan_new_version

    if old_repo is None:
        return {}
    planned = plan_new_version(api, old_repo, new_repo)
    if not quiet:
        talk(planned.sentence)
    return {"announcement": planned.as_json()}


def announce(api: HfApi, old_repo: str | None, new_repo: str, *, quiet: bool) -> dict[str, object]:
    """Open the pull request on ``old_repo``, after the push; returns it for ``--json``.

    Raises:
        CheckFailed: it was not opened. The push itself is done.
    """
    from mbrelease.hub.new_version import propose_new_version

    if old_repo is None:
        return {}
    try:
        announced = propose_new_version(api, old_repo, new_repo)
    except UserError as error:
        raise CheckFailed(
            f"{new_repo} is published, but not announced on {old_repo}: {error.message}",
            mend=error.mend,
        ) from error
    if not quiet and announced.pull_request is not None:
        click.echo(f"{'opened':8}{announced.pull_request}")
    return {"announcement": announced.as_json()}
