"""``mbrelease push``: publish a release folder, or compare what was published."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.announce import announce, plan_announcement, require_readers
from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, progress
from mbrelease.cli.push_plan import require_clean, show_plan
from mbrelease.cli.sign_options import SignRequest, sign_options
from mbrelease.errors import CheckFailed, UserError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from mbrelease.hub.plan import Plan
    from mbrelease.hub.receipt import Receipt
    from mbrelease.hub.signing_keys import Signer
    from mbrelease.release_checks.checks import Subject


@click.command()
@click.argument("release", metavar="PATH|VARIANT", required=False)
@click.option(
    "--to", "repo_id", metavar="ORG/NAME", help="Where to.  [default: the variant's repo]"
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
@click.option("-m", "--message", help="The commit's message.  [default: Release …]")
@click.option(
    "--status", "status_of", metavar="ORG/NAME", help="Compare the newest receipt with the Hub."
)
@sign_options
@registry_option
@json_option
def command(
    release: str | None,
    repo_id: str | None,
    plan_only: bool,
    markdown: bool,
    anonymous: bool,
    run_verify: bool,
    delete: tuple[str, ...],
    tag: str | None,
    create_pr: bool,
    private: bool,
    announced: bool,
    message: str | None,
    status_of: str | None,
    sign: SignRequest,
    registry_path: Path | None,
    as_json: bool,
) -> None:
    """Publish a release folder in one guarded commit, and prove it.

    First the plan: what would be sent, and everything that stands in the way. Then the large
    files, one commit that the Hub refuses if the branch has moved, a download of every file to
    compare its bytes, the tag, and a receipt in receipts/.

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
    if not release:  # an empty text, such as an unset variable's, would be the current folder
        raise click.UsageError("say what to push: a folder or a variant")
    source = _find(release, repo_id, registry_path)
    if announced:
        require_readers(source.supersedes, release, create_pr=create_pr, private=private)
    old_repo = source.supersedes if announced else None

    from mbrelease.hub.client import connect
    from mbrelease.hub.plan import make_plan
    from mbrelease.hub.plan_markdown import plan_markdown
    from mbrelease.release_checks.checks import release_checks

    signer = sign.signer(plan_only=plan_only)
    api = connect(token=False if anonymous else None)
    with progress(quiet=as_json) as bar:
        checks = release_checks(source.subject, run_verify=run_verify, progress=bar)
    plan = make_plan(
        source.subject.folder,
        source.repo_id,
        tag=tag,
        create_pr=create_pr,
        private=private,
        sign=bool(sign),
        delete=delete,
        checks=checks,
        anonymous=anonymous,
        api=api,
    )
    if markdown:
        click.echo(plan_markdown(plan), nl=False)
    elif not as_json:
        show_plan(plan)
    elif plan.problems:
        print_json({"plan": plan.as_json(), "receipt": None})
    require_clean(plan)
    # Before the push, so that what stands in the way of the announcement stops both.
    planned = plan_announcement(api, old_repo, source.repo_id, quiet=as_json)
    if not plan_only:
        _publish(plan, api, source, message, old_repo, signer, as_json)
    elif as_json:
        print_json({"plan": plan.as_json(), "receipt": None, **planned})


@dataclass(frozen=True)
class _Source:
    """What is pushed, where to, and where its receipts go."""

    subject: Subject
    repo_id: str
    receipts: Path
    decision: Path | None
    variant: str | None = None
    supersedes: str | None = None
    """The repo of the variant that this one supersedes, as far as it is published."""

    @property
    def decision_sha256(self) -> str | None:
        """Of the decision file, where the variant has one."""
        from mbrelease.files import sha256_file

        return sha256_file(self.decision) if self.decision and self.decision.is_file() else None


def _find(release: str, repo_id: str | None, registry_path: Path | None) -> _Source:
    """A folder by its path, or the release of a variant by its name or alias."""
    if registry_path is None and Path(release).is_dir():
        if repo_id is None:
            raise UserError(f"where should {release} go?", mend="give --to ORG/NAME")
        from mbrelease.release_checks.checks import subject_of

        return _Source(subject_of(Path(release)), repo_id, Path("receipts"), None)
    if registry_path is None and (release.startswith(".") or "/" in release):
        raise UserError(f"{release} is not a folder", mend="give a release folder or a variant")
    from mbrelease.registry.load import load_project

    project = load_project(registry_path)
    name = project.resolve_name(release)
    folder, repo_id = project.release(name), repo_id or project.variant(name).repo
    if not folder.is_dir():
        raise UserError(f"{name} has no release yet: {folder}", mend=f"mbrelease release {name}")
    if repo_id is None:
        mend = f"give --to ORG/NAME, or: mbrelease registry set {name} repo ORG/NAME"
        raise UserError(f"the registry names no repo for {name}", mend=mend)
    older = project.variant(name).supersedes
    entry = project.variant(older) if older is not None else None
    old_repo = entry.repo if entry is not None and entry.released is not False else None
    from mbrelease.release_checks.checks import Subject

    subject = Subject(folder, project, name)
    return _Source(subject, repo_id, project.receipts, project.decision(name), name, old_repo)


def _publish(
    plan: Plan,
    api: HfApi,
    source: _Source,
    message: str | None,
    old_repo: str | None,
    signer: Signer | None,
    as_json: bool,
) -> None:
    from mbrelease.hub.publish import Origin, publish
    from mbrelease.hub.receipt import receipt_path
    from mbrelease.hub.signed_plan import sign_plan
    from mbrelease.hub.signing import sign_file

    with progress(quiet=as_json) as bar:
        receipt = publish(
            plan,
            api=api,
            progress=bar,
            message=message,
            receipts=source.receipts,
            origin=Origin(source.variant, source.decision_sha256),
            sign=partial(sign_plan, signer=signer, api=api) if signer is not None else None,
        )
    path = receipt_path(source.receipts, receipt.repo_id, receipt.commit)
    if signer is not None:
        sign_file(path, signer)
    signed_by = signer.verifier().name if signer is not None else None
    if not as_json:
        _show_receipt(receipt, path, signed_by)
    announced = announce(api, old_repo, plan.repo_id, quiet=as_json)
    if as_json:
        print_json(
            {
                "plan": plan.as_json(),
                "receipt": receipt.model_dump(mode="json"),
                "receipt_path": str(path),
                "url": receipt.url,
                "signed_by": signed_by,
                **announced,
            }
        )


def _show_receipt(receipt: Receipt, path: Path, signed_by: str | None) -> None:
    rows = [("url", receipt.pull_request or receipt.url), ("commit", receipt.commit)]
    rows += [("tag", receipt.tag)] if receipt.tag else []
    rows += [("signed", f"by {signed_by}")] if signed_by else []
    for name, value in [*rows, ("receipt", str(path))]:
        click.echo(f"{name:8}{value}")


def _status(repo_id: str, registry_path: Path | None, as_json: bool) -> None:
    from mbrelease.hub.client import connect
    from mbrelease.hub.status import read_status

    status = read_status(repo_id, api=connect(), receipts=_receipts(registry_path))
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


def _receipts(registry_path: Path | None) -> Path:
    """``./receipts``, or those of the project, where there are none here."""
    if registry_path is None and Path("receipts").is_dir():
        return Path("receipts")
    from mbrelease.registry.load import load_project

    try:
        return load_project(registry_path).receipts
    except UserError:
        if registry_path is not None:
            raise
        return Path("receipts")
