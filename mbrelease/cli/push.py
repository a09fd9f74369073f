"""``mbrelease push``: publish a release folder, or compare what was published."""

from __future__ import annotations

from pathlib import Path

import click

from mbrelease.cli.announce import require_readers
from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, progress, talk
from mbrelease.cli.push_one import Outcome, Request, push_one
from mbrelease.cli.push_revisions import RevisionRequest, parse_revisions
from mbrelease.cli.push_source import Source, find_receipts, find_source
from mbrelease.cli.sign_options import SignRequest, sign_options
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
@click.option("--tag", help="Tag the commit, after it was read back.")
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
    metavar="COMMIT",
    help="The commit whose card the folder takes account of.  [default: the last receipt's]",
)
@click.option("-m", "--message", help="The commit's message.  [default: Release …]")
@click.option(
    "--status", "status_of", metavar="ORG/NAME", help="Compare the newest receipt with the Hub."
)
@sign_options
@registry_option
@json_option
def command(
    release: str | None,
    repo_ids: tuple[str, ...],
    plan_only: bool,
    markdown: bool,
    anonymous: bool,
    run_verify: bool,
    delete: tuple[str, ...],
    tag: str | None,
    create_pr: bool,
    private: bool,
    announced: bool,
    revisions: RevisionRequest | None,
    aliases: tuple[str, ...],
    base: str | None,
    message: str | None,
    status_of: str | None,
    sign: SignRequest,
    registry_path: Path | None,
    as_json: bool,
) -> None:
    """Publish a release folder in one guarded commit, and prove it.

    First the plan: what would be sent, and everything that stands in the way. Then the large
    files, one commit that the Hub refuses if the branch has moved, a download of every file to
    compare its bytes and load it, the tag, and a receipt in receipts/. What others wrote on the
    card meanwhile is merged into it.

    The Hub is what HF_ENDPOINT says; the token is found where 'hf auth login' leaves it.
    """
    if status_of is not None:
        if release is not None:
            raise click.UsageError("--status takes the repository; leave PATH out")
        _status(status_of, registry_path, as_json)
        return
    if markdown and (as_json or not plan_only):
        raise click.UsageError("--markdown is a form of --plan, and not of --json")
    if anonymous and not plan_only:
        raise click.UsageError("--anonymous looks; it is for --plan alone")
    if create_pr and (aliases or revisions):
        raise click.UsageError("--alias and --revisions are for what is published, and not --pr")
    if not release:  # an empty text, such as an unset variable's, would be the current folder
        raise click.UsageError("say what to push: a folder or a variant")
    source = find_source(release, registry_path)
    repos = source.repos(repo_ids)
    _require_one(repos, announced=announced, markdown=markdown, base=base)
    _require_names(aliases, source)
    if announced:
        require_readers(source.supersedes, release, create_pr=create_pr, private=private)
    request = Request(
        plan_only=plan_only,
        markdown=markdown,
        anonymous=anonymous,
        delete=delete,
        tag=tag,
        create_pr=create_pr,
        private=private,
        announced=announced,
        message=message,
        base=base,
        aliases=aliases,
        revisions=revisions,
        sign=sign,
        as_json=as_json,
    )
    _push_all(request, source, repos, run_verify=run_verify)


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
    for repo_id in repos:
        outcome = push_one(request, source, repo_id, checks=checks, signer=signer, api=api)
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


def _require_one(
    repos: tuple[str, ...], *, announced: bool, markdown: bool, base: str | None
) -> None:
    given = {"--announce": announced, "--markdown": markdown, "--base": base is not None}
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


def _status(repo_id: str, registry_path: Path | None, as_json: bool) -> None:
    from mbrelease.hub.client import connect
    from mbrelease.hub.status import read_status

    status = read_status(repo_id, api=connect(), receipts=find_receipts(registry_path))
    if as_json:
        print_json(status.as_json())
    if not status.is_same:
        count, found = len(status.findings()), "\n  - ".join(status.findings())
        raise CheckFailed(f"{repo_id} is not as published ({count}):\n  - {found}")
    if not as_json:
        receipt = status.receipt
        click.echo(
            f"{repo_id} is as published {receipt.published}: {receipt.commit[:12]}, "
            f"{len(receipt.files)} files" + (f", tag {receipt.tag}" if receipt.tag else "")
        )
