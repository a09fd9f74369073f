"""One release to one repository: plan, publish, and what is told and recorded after."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mbrelease.cli.announce import announce, plan_announcement
from mbrelease.cli.output import progress, talk
from mbrelease.cli.push_plan import require_clean, show_plan
from mbrelease.cli.push_revisions import RevisionRequest, push_revisions, show_revisions
from mbrelease.cli.push_source import Source
from mbrelease.cli.sign_options import SignRequest
from mbrelease.errors import UserError
from mbrelease.hub.stopped import telling_what_is_left

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from mbrelease.hub.plan import Plan
    from mbrelease.hub.problems import Check
    from mbrelease.hub.receipt import Receipt
    from mbrelease.hub.signing_keys import Signer


@dataclass(frozen=True)
class Request:
    """What was asked for, but for where it goes."""

    plan_only: bool
    markdown: bool
    anonymous: bool
    delete: tuple[str, ...]
    tag: str | None
    create_pr: bool
    private: bool
    announced: bool
    message: str | None
    base: str | None
    aliases: tuple[str, ...]
    revisions: RevisionRequest | None
    sign: SignRequest
    as_json: bool


@dataclass(frozen=True)
class Outcome:
    """What became of a push to one repository."""

    repo_id: str
    answer: dict[str, Any]
    """For ``--json``; empty where there was not even a plan."""
    error: UserError | None


def push_one(
    request: Request,
    source: Source,
    repo_id: str,
    *,
    checks: tuple[Check, ...],
    signer: Signer | None,
    api: HfApi,
) -> Outcome:
    """Plan, and unless that is all, publish; an error is part of the outcome."""
    answer: dict[str, Any] = {}
    try:
        _push(request, source, repo_id, checks, signer, api, answer)
    except UserError as error:
        return Outcome(repo_id, answer, error)
    except KeyboardInterrupt as stop:
        _tell_what_is_left(stop, request)
        raise
    return Outcome(repo_id, answer, None)


def _tell_what_is_left(stop: KeyboardInterrupt, request: Request) -> None:
    """Say what stands, where somebody pressed Ctrl-C after the commit was asked for."""
    from mbrelease.hub.stopped import Stopped

    if isinstance(stop, Stopped):
        then = [f"let the alias {name} mean it" for name in request.aliases]
        then += ["publish the checkpoints"] if request.revisions is not None else []
        then += ["announce it"] if request.announced else []
        talk(stop.sentence(then))


def _push(
    request: Request,
    source: Source,
    repo_id: str,
    checks: tuple[Check, ...],
    signer: Signer | None,
    api: HfApi,
    answer: dict[str, Any],
) -> None:
    plan = _plan(request, source, repo_id, checks, api)
    answer |= {"plan": plan.as_json(), "receipt": None}
    _show(plan, request)
    require_clean(plan)
    revisions = None
    if request.revisions is not None:
        revisions = request.revisions.planned(
            source, plan, api, sign=bool(request.sign), signer=signer
        )
        answer["revisions"] = show_revisions(revisions, quiet=request.as_json)
    # Before the push, so that what stands in the way of the announcement stops both.
    old_repo = source.supersedes if request.announced else None
    answer |= plan_announcement(api, old_repo, repo_id, quiet=request.as_json)
    if request.plan_only:
        return
    receipt = _publish(plan, request, source, signer, api)
    with telling_what_is_left(receipt.commit, ["sign the receipt"] if signer else []):
        _require_key(source, request, receipt, signer)
        receipt = receipt.with_aliases(_record(source, repo_id, request, receipt))
        path = _keep(source.receipts, receipt, signer)
    signed_by = signer.verifier().name if signer is not None else None
    if not request.as_json:
        _show_receipt(receipt, path, signed_by)
    answer |= {
        "receipt": receipt.model_dump(mode="json"),
        "receipt_path": str(path),
        "url": receipt.url,
        "signed_by": signed_by,
    }
    if revisions is not None:
        published = push_revisions(
            revisions, source, plan, api, signer=signer, quiet=request.as_json
        )
        answer["revisions"] = published
    announced = announce(api, old_repo, repo_id, quiet=request.as_json)
    answer |= announced
    if link := _pull_request(announced):
        receipt = _keep_announced(source, receipt, link, signer)
        answer["receipt"] = receipt.model_dump(mode="json")


def _plan(
    request: Request, source: Source, repo_id: str, checks: tuple[Check, ...], api: HfApi
) -> Plan:
    from mbrelease.hub.client import quiet_client
    from mbrelease.hub.moved import with_edits
    from mbrelease.hub.plan import make_plan

    plan = make_plan(
        source.subject.folder,
        repo_id,
        tag=request.tag,
        create_pr=request.create_pr,
        private=request.private,
        sign=bool(request.sign),
        delete=request.delete,
        checks=checks,
        anonymous=request.anonymous,
        api=api,
    )
    with quiet_client():
        return with_edits(plan, api, source.receipts, base=request.base)


def _show(plan: Plan, request: Request) -> None:
    from mbrelease.hub.plan_markdown import plan_markdown

    if request.markdown:
        click.echo(plan_markdown(plan), nl=False)
    elif not request.as_json:
        show_plan(plan)


def _publish(
    plan: Plan, request: Request, source: Source, signer: Signer | None, api: HfApi
) -> Receipt:
    from mbrelease.hub.publish import Origin, publish
    from mbrelease.hub.signed_plan import sign_plan

    with progress(quiet=request.as_json) as bar:
        return publish(
            plan,
            api=api,
            progress=bar,
            message=request.message,
            receipts=source.receipts,
            origin=Origin(source.variant, source.decision_sha256),
            base=request.base,
            sign=partial(sign_plan, signer=signer, api=api) if signer is not None else None,
        )


def _record(source: Source, repo_id: str, request: Request, receipt: Receipt) -> list[str]:
    """Let the registry know; returns the aliases that mean the variant now."""
    from mbrelease.registry.publication import record_publication

    if source.project is None or source.variant is None or receipt.pull_request is not None:
        return []
    told = record_publication(source.project, source.variant, repo_id, aliases=request.aliases)
    for line in told:
        talk(f"registry: {line}")
    return list(request.aliases)


def _keep(receipts: Path, receipt: Receipt, signer: Signer | None) -> Path:
    from mbrelease.hub.receipt import write_receipt

    path = write_receipt(receipts, receipt)
    if signer is not None:
        from mbrelease.hub.signing import sign_file

        sign_file(path, signer)
    return path


def _keep_announced(source: Source, receipt: Receipt, link: str, signer: Signer | None) -> Receipt:
    """The receipt with ``link``, unless it is signed and there is no key: that goes before."""
    from mbrelease.hub.receipt_changes import needs_key

    announced = receipt.model_copy(update={"announced": link})
    if signer is None and needs_key(source.receipts, announced):
        talk(f"note: the receipt is signed, and without the key it does not learn of {link}")
        return receipt
    _keep(source.receipts, announced, signer)
    return announced


def _require_key(source: Source, request: Request, receipt: Receipt, signer: Signer | None) -> None:
    """Before the registry is changed: what it learns must be told in the receipt too."""
    from mbrelease.hub.receipt_changes import require_key

    if source.variant is not None and receipt.pull_request is None:
        told = receipt.with_aliases(request.aliases)
        require_key(source.receipts, told, has_key=signer is not None)


def _pull_request(announced: dict[str, Any]) -> str | None:
    told = announced.get("announcement")
    return told.get("pull_request") if isinstance(told, dict) else None


def _show_receipt(receipt: Receipt, path: Path, signed_by: str | None) -> None:
    rows = [("url", receipt.pull_request or receipt.url), ("commit", receipt.commit)]
    rows += [("tag", ", ".join(receipt.tags))] if receipt.tags else []
    rows += [("signed", f"by {signed_by}")] if signed_by else []
    for name, value in [*rows, ("receipt", str(path))]:
        click.echo(f"{name:8}{value}")
