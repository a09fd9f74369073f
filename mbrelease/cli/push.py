"""``mbrelease push``: publish a release folder, or compare what was published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mbrelease.cli.announce import require_readers
from mbrelease.cli.hub_names import require_repo_id, require_tag
from mbrelease.cli.options import GivenOnce, json_option, registry_option
from mbrelease.cli.output import print_json, progress, talk
from mbrelease.cli.push_one import Outcome, Request, push_one
from mbrelease.cli.push_revisions import parse_revisions
from mbrelease.cli.push_source import Source, find_source
from mbrelease.cli.push_status import show_status
from mbrelease.cli.sign_options import TrustRequest, sign_options, trust_options
from mbrelease.errors import CheckFailed, UserError


@click.command()
@click.argument("release", metavar="PATH|VARIANT", required=False)
@click.option(
    "--to",
    "repo_ids",
    metavar="ORG/NAME",
    multiple=True,
    help="Where to; may be given again.  [default: the variant's repo]",
)
@click.option("--plan", "plan_only", is_flag=True, help="Show what would be done; send nothing.")
@click.option("--markdown", is_flag=True, help="With --plan: as Markdown, for a job's summary.")
@click.option(
    "--anonymous", is_flag=True, help="With --plan: as anyone, with no token and no rights."
)
@click.option(
    "--verify", "run_verify", is_flag=True, help="First ask what 'mbrelease verify' asks."
)
@click.option(
    "--delete",
    metavar="PATTERN",
    multiple=True,
    help="Take out what is only on the Hub, such as '*.bin'; may be given again.",
)
@click.option("--tag", cls=GivenOnce, help="Tag the commit, after it was read back.")
@click.option("--pr", "create_pr", is_flag=True, help="Propose the commit as a pull request.")
@click.option("--private", is_flag=True, help="Make a new repository private.")
@click.option(
    "--announce",
    "announced",
    is_flag=True,
    help="Then propose new_version on the card of the model that the variant supersedes.",
)
@click.option(
    "--revisions",
    metavar="all|STEPS",
    callback=parse_revisions,
    help="Then publish checkpoints of the run as branches, such as 1000,2000.",
)
@click.option(
    "--alias",
    "aliases",
    metavar="NAME",
    multiple=True,
    help="Then let this alias of the registry mean the variant; may be given again.",
)
@click.option(
    "--base",
    cls=GivenOnce,
    metavar="COMMIT",
    help="The commit whose card the folder takes account of.  [default: the last receipt's]",
)
@click.option("-m", "--message", cls=GivenOnce, help="The commit's message.  [default: Release …]")
@click.option(
    "--status", "status_of", metavar="ORG/NAME", help="Compare the newest receipt with the Hub."
)
@sign_options
@trust_options
@registry_option
@json_option
def command(
    release: str | None,
    repo_ids: tuple[str, ...],
    run_verify: bool,
    status_of: str | None,
    trust: TrustRequest,
    registry_path: Path | None,
    **asked: Any,
) -> None:
    """Publish a release folder in one guarded commit, and prove it.

    First the plan: what would be sent, and everything that stands in the way. Then the large
    files, one commit that the Hub refuses if the branch has moved, a download of every file to
    compare its bytes and load it, the tag, and a receipt in receipts/. What others wrote on the
    card meanwhile is merged into it.

    The Hub is what HF_ENDPOINT says; the token is found where 'hf auth login' leaves it.
    """
    request = Request(**asked)
    if status_of is not None:
        if release is not None:
            raise click.UsageError("--status takes the repository; leave PATH out")
        show_status(status_of, trust, registry_path, as_json=request.as_json)
        return
    if trust:
        raise click.UsageError("--public-key, --identity and --issuer go with --status")
    _require_sense(request)
    _require_revisions(request)
    if not release:  # an empty text, such as an unset variable's, would be the current folder
        raise click.UsageError("say what to push: a folder or a variant")
    source = find_source(release, registry_path)
    repos = source.repos(repo_ids)
    _require_one(repos, request)
    _require_names(request.aliases, source)
    if request.announced:
        require_readers(
            source.supersedes, release, create_pr=request.create_pr, private=request.private
        )
    _push_all(request, source, repos, run_verify=run_verify)


def _require_sense(request: Request) -> None:
    if request.markdown and (request.as_json or not request.plan_only):
        raise click.UsageError("--markdown is a form of --plan, and not of --json")
    if request.anonymous and not request.plan_only:
        raise click.UsageError("--anonymous looks; it is for --plan alone")
    if request.create_pr and (request.aliases or request.revisions):
        raise click.UsageError("--alias and --revisions are for what is published, and not --pr")


def _require_revisions(request: Request) -> None:
    """Before anything is asked.

    Raises:
        UserError: the tag cannot be set, or the base is no commit.
    """
    from mbrelease.hub.moved import require_commit

    require_tag(request.tag, create_pr=request.create_pr)
    if request.base is not None:
        require_commit(request.base)


def _push_all(
    request: Request, source: Source, repos: tuple[str, ...], *, run_verify: bool
) -> None:
    """Push to each of ``repos``; one that fails does not stop the others.

    Raises:
        UserError: it failed; of several, a sentence on all that did.
    """
    from mbrelease.hub.client import connect
    from mbrelease.release_checks.checks import release_checks

    signer = request.sign.signer(plan_only=request.plan_only)
    api = connect(token=False if request.anonymous else None)
    with progress(quiet=request.as_json) as bar:
        checks = release_checks(source.subject, run_verify=run_verify, progress=bar)
    outcomes: list[Outcome] = []
    for done, repo_id in enumerate(repos, start=1):
        try:
            outcome = push_one(request, source, repo_id, checks=checks, signer=signer, api=api)
        except KeyboardInterrupt:
            if left := repos[done:]:
                talk(f"not pushed yet: {', '.join(left)}")
            raise
        outcomes.append(outcome)
        if len(repos) > 1 and outcome.error is not None:
            talk(f"error: {repo_id}: {outcome.error}")
    if request.as_json:
        _print_outcomes(outcomes)
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if len(repos) == 1 and failed and failed[0].error is not None:
        raise failed[0].error
    if failed:
        names = ", ".join(outcome.repo_id for outcome in failed)
        raise CheckFailed(f"{len(failed)} of {len(repos)} failed: {names}")


def _print_outcomes(outcomes: list[Outcome]) -> None:
    if len(outcomes) > 1:
        print_json(
            [
                {
                    "repo_id": each.repo_id,
                    **each.answer,
                    "error": each.error.message if each.error else None,
                }
                for each in outcomes
            ]
        )
    elif outcomes[0].answer:
        print_json(outcomes[0].answer)


def _require_one(repos: tuple[str, ...], request: Request) -> None:
    for repo_id in repos:
        require_repo_id(repo_id)
    given = {
        "--announce": request.announced,
        "--markdown": request.markdown,
        "--base": request.base is not None,
    }
    for option, is_given in given.items():
        if is_given and len(repos) > 1:
            raise click.UsageError(f"{option} goes with one --to")


def _require_names(aliases: tuple[str, ...], source: Source) -> None:
    """Before anything is sent, for they are set last.

    Raises:
        UserError: one is no name for an alias, or there is no registry to set it in.
    """
    import re

    from mbrelease.registry.entry import NAME

    if aliases and source.project is None:
        raise UserError("--alias is set in the registry", mend="push a variant by its name")
    for alias in aliases:
        if not re.fullmatch(NAME, alias):
            raise UserError(f"'{alias}' is no name for an alias", mend="use letters and digits")
        if source.project is not None and alias in source.project.registry.variants:
            raise UserError(f"'{alias}' is a variant", mend="choose another alias")
